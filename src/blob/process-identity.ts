/**
 * Who this process is, and whether another one still runs, as far as this machine can tell.
 *
 * A pid alone is not enough: it is given again after the process has ended, or after a restart of the system.
 */
import { readFileSync, readlinkSync } from 'node:fs';
import { hostname } from 'node:os';
import type { Clock } from '../core/index.js';
import type { ProcessIdentity } from './lease.js';

/** This process, as the holder of a lease for `operation`. */
export function processIdentity(operation: string, clock: Clock): ProcessIdentity {
  return {
    ...machine(),
    operation,
    pid: process.pid,
    processStart: startOf(process.pid)?.start ?? '',
    startedAt: clock.now(),
  };
}

/**
 * Whether the process of a lease runs, or may run. Processes of another host or another container cannot be seen from
 * here and count as alive.
 */
export function isProcessAlive(identity: ProcessIdentity): boolean {
  const here = machine();
  if (identity.host !== here.host) return true;
  if (differ(identity.bootId, here.bootId)) return false;
  if (differ(identity.pidNamespace, here.pidNamespace)) return true;
  if (!isPidTaken(identity.pid)) return false;
  const found = startOf(identity.pid);
  return found === undefined || !(found.ended || differ(found.start, identity.processStart));
}

/** Whether {@link isProcessAlive} can tell: not of a process on another host or in another container. */
export function canSeeProcess(identity: ProcessIdentity): boolean {
  const here = machine();
  const isHere = identity.host === here.host;
  return (
    isHere && (differ(identity.bootId, here.bootId) || !differ(identity.pidNamespace, here.pidNamespace))
  );
}

function machine(): Pick<ProcessIdentity, 'host' | 'bootId' | 'pidNamespace'> {
  return {
    host: hostname(),
    bootId: fromProc(() => readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()) ?? '',
    pidNamespace: fromProc(() => readlinkSync('/proc/self/ns/pid')) ?? '',
  };
}

/** Whether two texts are both known and not the same. */
function differ(a: string, b: string): boolean {
  return a !== '' && b !== '' && a !== b;
}

function isPidTaken(pid: number): boolean {
  try {
    return process.kill(pid, 0); // Signal 0 only asks.
  } catch (error) {
    return codeOf(error) !== 'ESRCH'; // EPERM: it runs, as another user.
  }
}

/** When a process was started, in clock ticks since the boot, and whether it has ended but was not yet waited for. */
function startOf(pid: number): { start: string; ended: boolean } | undefined {
  const stat = fromProc(() => readFileSync(`/proc/${pid}/stat`, 'utf8'));
  // The second field is the program's name in brackets, which may hold spaces and brackets. The third is the state.
  const fields = stat?.slice(stat.lastIndexOf(')') + 2).split(' ');
  const [state, start] = [fields?.[0], fields?.[19]];
  if (state === undefined || start === undefined) return undefined;
  return { start, ended: state === 'Z' || state === 'X' };
}

/** What Linux tells, or undefined on other systems, for processes that have ended, and where /proc is closed to us. */
function fromProc<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    if (UNTOLD.has(codeOf(error) ?? '')) return undefined;
    throw error;
  }
}

const UNTOLD: ReadonlySet<string> = new Set(['ENOENT', 'ENOTDIR', 'ESRCH', 'EACCES', 'EPERM']);

function codeOf(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error ? String(error.code) : undefined;
}
