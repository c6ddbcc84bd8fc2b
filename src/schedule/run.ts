/** One run of a job: snapshot, forget, gc, verify, as far as each is due. A run that is tried again goes on where it failed. */
import { resolve } from 'node:path';
import { isVecsnapError, VecsnapError } from '../core/index.js';
import { newestOf, type Snapshot, SnapshotManager, type VerifyReport } from '../snapshot/index.js';
import { resolveSource, type Source } from '../source/index.js';
import { isToCome } from './due.js';
import type { FailureReport, NewEvent, Step } from './events.js';
import type { JobPlan } from './job.js';

/** A run and how far it is. */
export interface Run {
  readonly plan: JobPlan;
  /** The time that it is for. */
  readonly due: number;
  /** What is still to be done. */
  readonly steps: Step[];
  attempt: number;
  snapshot: string | null;
  hasForgotten: boolean;
}

/** What a run needs from its scheduler. */
export interface RunHost {
  readonly signal: AbortSignal;
  /** Whether no further step should begin. */
  readonly isStopping: () => boolean;
  readonly emit: (event: NewEvent) => void;
  /** Called as a step begins. */
  readonly onStep: (step: Step) => void;
  /** Called when a snapshot stands. */
  readonly onSnapshot: () => void;
  readonly onVerified: (ok: boolean) => void;
}

/** The steps of a run for a snapshot. */
export function stepsOf({ job: { policy, gc } }: JobPlan, withVerify: boolean): Step[] {
  const forgets: Step[] =
    policy === undefined || policy === null ? [] : gc === true ? ['forget', 'gc'] : ['forget'];
  return ['snapshot', ...forgets, ...(withVerify ? (['verify'] as const) : [])];
}

/** Does what is left of a run. Leaves `steps` with what is not done when it ends early. @throws what a step throws. */
export async function carryOut(run: Run, host: RunHost): Promise<void> {
  await withManager(run.plan, async (manager) => {
    for (let step = run.steps[0]; step !== undefined; step = run.steps[0]) {
      if (host.isStopping() && step !== 'snapshot') return; // What was asked for next, the next run does.
      host.onStep(step);
      await STEPS[step](manager, run, host);
      run.steps.shift();
    }
  });
}

/** The repository that a job works in, so that jobs of one repository are known to share it. */
export function repositoryKey({ job: { repository } }: JobPlan): unknown {
  return typeof repository === 'string' ? resolve(repository) : repository;
}

/** The mark that a snapshot of a schedule has in its metadata. */
export interface ScheduleMark {
  readonly job: string;
  /** ISO 8601, UTC. */
  readonly due: string;
}

/** The mark of a snapshot; undefined for one that no schedule took. */
export function scheduleMark({ metadata }: Pick<Snapshot, 'metadata'>): ScheduleMark | undefined {
  const { job, due } = (metadata['schedule'] ?? {}) as Partial<Record<string, unknown>>;
  const isMark = typeof job === 'string' && typeof due === 'string' && !Number.isNaN(Date.parse(due));
  return isMark ? { job, due } : undefined;
}

/** What the snapshots of a job tell of its runs. */
export interface TakenRuns {
  /** The newest time up to now for which there is a snapshot. */
  readonly past: number | undefined;
  /** Whether there is one for a time to come, which a wrong clock left. */
  readonly future: boolean;
  /** The newest snapshot that is not of a time to come. */
  readonly newest: { readonly time: string; readonly snapshot: string } | null;
}

/** Asks the repository of a job for its snapshots. */
export async function takenRuns(plan: JobPlan, now: number): Promise<TakenRuns> {
  const snapshots = await withManager(plan, (manager) => manager.listSnapshots());
  const own = snapshots.filter((snapshot) => scheduleMark(snapshot)?.job === plan.name);
  const dues = own.map((snapshot) => Date.parse(scheduleMark(snapshot)?.due ?? snapshot.createdAt));
  const past = dues.filter((due) => due <= now).reduce((most, due) => Math.max(most, due), -Infinity);
  const newest = own.find(({ createdAt }) => !isToCome(Date.parse(createdAt), now));
  return {
    past: past === -Infinity ? undefined : past,
    future: dues.some((due) => due > now),
    newest: newest === undefined ? null : { time: newest.createdAt, snapshot: newest.id },
  };
}

/** Opens the repository of a job, or takes the open one. */
export async function withManager<T>(
  { job: { repository }, lockTimeoutMs }: JobPlan,
  work: (manager: SnapshotManager) => Promise<T>,
): Promise<T> {
  if (typeof repository !== 'string') return work(repository);
  const manager = await SnapshotManager.open({ snapshotDir: repository, lockTimeoutMs });
  try {
    return await work(manager);
  } finally {
    await manager.close();
  }
}

/** What to report about anything that was thrown. */
export function failureReport(error: unknown): FailureReport {
  if (isVecsnapError(error)) {
    const { code, message, place = null, remedy = null } = error;
    return { code, message, place, remedy };
  }
  const message = error instanceof Error ? error.message : String(error);
  const remedy = 'This is a bug in vecsnap, or in the source of the program. Please report it.';
  return { code: 'UNEXPECTED', message, place: null, remedy };
}

/** Whether the same may well succeed later: not for wrong options, damage, and what this version cannot read. */
export function isWorthRetrying(error: unknown): boolean {
  return !isVecsnapError(
    error,
    'ABORTED',
    'OPTION_INVALID',
    'NOT_A_REPOSITORY',
    'REPOSITORY_NEWER',
    'REPOSITORY_DAMAGED',
    'SNAPSHOT_DAMAGED',
    'POLICY_DAMAGED',
    'MARKS_DAMAGED',
    'CHUNK_DAMAGED',
    'CHUNK_MISSING',
    'PACK_DAMAGED',
    'PACK_MISSING',
    'INDEX_DAMAGED',
    'MANIFEST_DAMAGED',
    'SOURCE_UNRECOGNISED',
    'PEER_MISSING',
    'SWEEP_REFUSED',
  );
}

const STEPS: Readonly<Record<Step, (manager: SnapshotManager, run: Run, host: RunHost) => Promise<void>>> = {
  async snapshot(manager, run, host) {
    const { name, job } = run.plan;
    const source = await sourceOf(run.plan);
    const collection = job.collection ?? source.collection;
    const options = {
      collection,
      tags: job.tags ?? undefined,
      metadata: { schedule: { job: name, due: new Date(run.due).toISOString() } },
      signal: host.signal,
    };
    const base = job.mode === 'full' ? undefined : await newestOfCollection(manager, collection);
    const taken =
      base === undefined
        ? await manager.createSnapshot(source, name, options)
        : await manager.createIncrementalSnapshot(source, name, base.id, options);
    run.snapshot = taken.id;
    host.onSnapshot();
    host.emit({ event: 'snapshot', job: name, ...told(taken) });
  },

  async forget(manager, run, { emit, signal }) {
    const { name, job } = run.plan;
    const collection = job.collection ?? (await sourceOf(run.plan)).collection;
    const policy = job.policy === 'stored' ? undefined : job.policy;
    const { forget, keep } = await manager.forget({ policy, collection, signal });
    run.hasForgotten ||= forget.length > 0;
    emit({ event: 'forget', job: name, forgotten: forget, kept: keep.length });
  },

  async gc(manager, { plan: { name }, hasForgotten }, { emit, signal }) {
    if (!hasForgotten) return;
    const { reclaimedBytes } = await manager.collectGarbage({ signal });
    emit({ event: 'gc', job: name, reclaimedBytes });
  },

  async verify(manager, { plan: { name } }, { emit, signal, onVerified }) {
    const report = await manager.verifyRepository({ signal });
    const { ok, problems, checked } = report;
    onVerified(ok);
    emit({
      event: 'verify',
      job: name,
      ok,
      problems: problems.length,
      chunks: checked.chunks,
      bytes: checked.bytes,
    });
    if (!ok) throw damageFound(report);
  },
};

async function newestOfCollection(
  manager: SnapshotManager,
  collection: string,
): Promise<Snapshot | undefined> {
  const { snapshots, now } = await manager.listAll();
  return newestOf(
    snapshots.filter((one) => one.collection === collection),
    now,
  );
}

async function sourceOf({ job: { source, changes } }: JobPlan): Promise<Source> {
  if (typeof source === 'string') return resolveSource(source, { changes: changes ?? undefined });
  return typeof source === 'function' ? source() : source;
}

function told(snapshot: Snapshot) {
  const { id, collection, snapshotType, vectorCount, fileCount, logicalBytes, addedBytes, notes } = snapshot;
  return {
    id,
    collection,
    type: snapshotType,
    records: vectorCount,
    files: fileCount,
    logicalBytes,
    addedBytes,
    notes,
  };
}

/** The first problem stands for all. */
function damageFound({ problems }: VerifyReport): VecsnapError {
  const [first] = problems;
  const more = problems.length > 1 ? ` And ${problems.length - 1} more problems.` : '';
  return new VecsnapError(first?.code ?? 'CHUNK_DAMAGED', `${first?.message ?? 'Damage was found.'}${more}`, {
    place: first?.blob ?? first?.address,
    remedy:
      'vecsnap verify shows all that is damaged, and which snapshots need it; docs/errors.md says what to do.',
  });
}
