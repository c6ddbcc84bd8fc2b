/**
 * What a scheduler must know after a restart beyond what the repositories tell, in one small file that is replaced as a whole. It can be
 * deleted at any time: the newest snapshots say which runs were done.
 */
import { open, rename, rm } from 'node:fs/promises';
import { isProcessAlive, processIdentity, type ProcessIdentity } from '../blob/index.js';
import { VecsnapError } from '../core/index.js';
import { systemClock } from '../platform/index.js';
import { readRegular } from '../source/index.js';
import type { FailureReport, Step } from './events.js';

/** What a job does now. */
export type Phase = 'idle' | 'waiting' | 'running' | 'retrying';

/** What is known of one job. Times are ISO 8601, UTC. */
export interface JobRecord {
  readonly phase: Phase;
  readonly step: Step | null;
  /** When it will be tried again. */
  readonly retryAt: string | null;
  /** When a scheduler had the job for the first time. */
  readonly knownSince: string | null;
  /** The time for which the newest snapshot was due. */
  readonly lastDue: string | null;
  readonly lastSuccess: { readonly time: string; readonly snapshot: string | null } | null;
  readonly lastFailure: ({ readonly time: string; readonly step: Step } & FailureReport) | null;
  readonly lastVerify: { readonly time: string; readonly ok: boolean } | null;
}

/** What the file holds. */
export interface ScheduleState {
  /** Whose it is, or was. */
  readonly scheduler: ProcessIdentity | null;
  /** When it was alive last. ISO 8601, UTC. */
  readonly seen: string;
  readonly jobs: Readonly<Record<string, JobRecord>>;
}

export const NEW_RECORD: JobRecord = {
  phase: 'idle',
  step: null,
  retryAt: null,
  knownSince: null,
  lastDue: null,
  lastSuccess: null,
  lastFailure: null,
  lastVerify: null,
};

const VERSION = 1;
/** Nothing is known. */
export const NO_STATE: ScheduleState = { scheduler: null, seen: new Date(0).toISOString(), jobs: {} };
/** A scheduler writes its state once a minute at least. */
const ALIVE_MS = 180_000;

/** What was read: the state, or an empty one and why. */
export interface LoadedState {
  readonly state: ScheduleState;
  readonly problem?: VecsnapError;
}

/** Reads a state file; one that is not there is empty. */
export async function loadState(path: string): Promise<LoadedState> {
  let text: string;
  try {
    text = (await readRegular(path)).toString('utf8');
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return { state: NO_STATE };
    return { state: NO_STATE, problem: stateFailed(path, 'read', cause) };
  }
  try {
    return { state: checkState(JSON.parse(text)) };
  } catch (cause) {
    return { state: NO_STATE, problem: stateFailed(path, 'understood', cause) };
  }
}

/**
 * Whether a scheduler works with this state at `now`. One of another host or container cannot be seen from here: it counts as gone when
 * it has not been heard of for three minutes.
 */
export function isAtWork({ scheduler, seen }: ScheduleState, now: number): boolean {
  if (scheduler === null || !isProcessAlive(scheduler)) return false;
  const here = thisScheduler();
  const isInSight = scheduler.host === here.host && scheduler.pidNamespace === here.pidNamespace;
  return isInSight || Math.abs(now - Date.parse(seen)) < ALIVE_MS;
}

/** This process, as a scheduler. */
export function thisScheduler(): ProcessIdentity {
  return processIdentity('schedule', systemClock);
}

/** Replaces a state file: whoever reads it finds the old or the new one, whole. */
export async function saveState(path: string, state: ScheduleState): Promise<void> {
  const temporary = `${path}.tmp-${process.pid}`;
  try {
    const file = await open(temporary, 'w');
    try {
      await file.writeFile(`${JSON.stringify({ version: VERSION, ...state }, undefined, 2)}\n`);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
  } catch (cause) {
    await rm(temporary, { force: true });
    throw stateFailed(path, 'written', cause);
  }
}

/** @throws TypeError for anything that {@link saveState} has not written. */
function checkState(value: unknown): ScheduleState {
  const { version, scheduler, seen, jobs } = mapping(value);
  if (version !== VERSION) throw new TypeError(`it has version ${String(version)}`);
  checkTime(seen);
  const records = Object.entries(mapping(jobs)).map(([name, record]) => [name, checkRecord(mapping(record))]);
  return {
    scheduler: scheduler === null ? null : checkIdentity(mapping(scheduler)),
    seen: seen as string,
    jobs: Object.fromEntries(records) as Record<string, JobRecord>,
  };
}

function checkRecord(value: Readonly<Record<string, unknown>>): JobRecord {
  const { knownSince, lastDue, lastSuccess, lastFailure, lastVerify } = { ...NEW_RECORD, ...value };
  for (const one of [lastSuccess, lastFailure, lastVerify]) if (one !== null) checkTime(mapping(one)['time']);
  for (const time of [knownSince, lastDue]) if (time !== null) checkTime(time);
  return { ...NEW_RECORD, ...value };
}

function checkTime(value: unknown): void {
  if (typeof value !== 'string' || Number.isNaN(Date.parse(value))) throw new TypeError('a time is none');
}

function checkIdentity(value: Readonly<Record<string, unknown>>): ProcessIdentity {
  const isWhole = ['host', 'bootId', 'pidNamespace', 'processStart'].every(
    (key) => typeof value[key] === 'string',
  );
  if (!isWhole || !Number.isSafeInteger(value['pid']) || (value['pid'] as number) < 1)
    throw new TypeError('no process');
  return value as unknown as ProcessIdentity;
}

function mapping(value: unknown): Readonly<Record<string, unknown>> {
  if (typeof value === 'object' && value !== null && !Array.isArray(value))
    return value as Record<string, unknown>;
  throw new TypeError('a part is no mapping');
}

function stateFailed(path: string, what: string, cause: unknown): VecsnapError {
  const why = cause instanceof Error ? cause.message : String(cause);
  return new VecsnapError('STORE_FAILED', `The state of the schedule cannot be ${what}: ${why}`, {
    place: path,
    remedy:
      'Work goes on, by what the repositories say. Make the file writable, or delete it if it is damaged.',
    cause,
  });
}
