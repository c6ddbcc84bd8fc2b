/** When a job is due, as pure functions of what is known of it and the time. Times are in milliseconds since 1970. */
import { countTimes } from './cron.js';
import type { JobPlan } from './job.js';

/** A clock that goes back by less than this is waited for; by more, the scheduler goes by the new time. */
const TOLERANCE_MS = 60_000;

/** A time that a run is for, and how many times it stands for. */
export interface DueRun {
  readonly due: number;
  readonly count: number;
}

/** The newest time that is due and not handled; undefined when there is none. @param handled the newest that was; -Infinity for none. */
export function dueRun({ times, offsetMs }: JobPlan, handled: number, now: number): DueRun | undefined {
  const due = times.newest(now - offsetMs);
  if (due === undefined || due <= handled) return undefined;
  return { due, count: handled === -Infinity ? 1 : Math.max(1, countTimes(times, handled, due)) };
}

/** Whether a time lies in the future, as the clock says that was wrong when it was noted: such a time says nothing. */
export function isToCome(time: number, now: number): boolean {
  return time > now + TOLERANCE_MS;
}

/** What happened at some time; null for what did not, or lies in the future. */
export function pastOnly<T extends { readonly time: string }>(
  one: T | null | undefined,
  now: number,
): T | null {
  return one === null || one === undefined || isToCome(Date.parse(one.time), now) ? null : one;
}

/** The newest time that counts as handled: that which is, unless the clock was set back to before it. */
export function handledNow({ offsetMs }: JobPlan, handled: number, now: number): number {
  const latest = now - offsetMs;
  return isToCome(handled, latest) ? latest : handled;
}

/** When the job will be due the next time. */
export function nextRun({ times, offsetMs }: JobPlan, handled: number, now: number): number | undefined {
  const next = times.next(Math.max(handled, now - offsetMs));
  return next === undefined ? undefined : next + offsetMs;
}

/** When to verify the next time, `-Infinity` for at once; undefined for never. @param verified when it was verified last; undefined for never. */
export function nextVerify(
  { verify }: JobPlan,
  verified: number | undefined,
  now: number,
): number | undefined {
  if (verify === undefined) return undefined;
  if (verified === undefined || isToCome(verified, now)) return -Infinity;
  return 'everyMs' in verify ? verified + verify.everyMs : verify.times.next(verified);
}

/** What is known of the snapshots of a job; undefined for what is not. */
export interface KnownRuns {
  /** What the newest snapshot was due for. */
  readonly lastDue: number | undefined;
  /** Since when there is the job. */
  readonly knownSince: number | undefined;
}

/** How long ago the first time was for which there should be a snapshot and is none: 0 when none was missed. */
export function lagOf(plan: JobPlan, { lastDue: told, knownSince }: KnownRuns, now: number): number {
  const { times, offsetMs } = plan;
  const lastDue = told !== undefined && isToCome(told, now) ? undefined : told;
  const newest = times.newest(now - offsetMs);
  if (newest === undefined || (lastDue !== undefined && lastDue >= newest)) return 0;
  const missed =
    lastDue === undefined ? firstDue(plan, Math.min(knownSince ?? now, now)) : times.next(lastDue);
  return Math.max(0, now - offsetMs - (missed ?? newest));
}

/** The first time for which a job that there is since `known` should take a snapshot. */
function firstDue({ times, offsetMs, catchUp }: JobPlan, known: number): number | undefined {
  const before = catchUp ? times.newest(known - offsetMs) : undefined; // Such a job is due at once.
  return before ?? times.next(known - offsetMs);
}

/** How long to wait after so many tries that failed. */
export function backOff({ retry: { delayMs, maxDelayMs } }: JobPlan, attempts: number): number {
  return Math.min(maxDelayMs, delayMs * 2 ** Math.min(attempts - 1, 60));
}
