/** Lines of snapshots for tests of retention, and what is kept of them. */
import { decideRetention, type Retained, type RetentionPolicy } from 'vecsnap/gc';
import { newSnapshotId } from 'vecsnap/snapshot';
import { expect } from 'vitest';

export const HOUR = 3_600_000;
export const DAY = 24 * HOUR;

export function at(createdAt: string | number, more: Partial<Retained> = {}): Retained {
  const iso = typeof createdAt === 'number' ? new Date(createdAt).toISOString() : createdAt;
  return { id: more.id ?? iso, collection: 'c', createdAt: iso, ...more };
}

/** Snapshots at these times, each continuing the one before. */
export function chain(times: readonly number[], prefix = 'r'): Retained[] {
  return times.map((time, i) =>
    at(time, { id: `${prefix}${i}`, baseId: i === 0 ? null : `${prefix}${i - 1}` }),
  );
}

/** A snapshot taken by a clock that is right, or by one that is misset. */
export interface Taken {
  readonly isReal: boolean;
  readonly time: number;
}

/** Full snapshots with ids as they are, each taken after the one before; and the ids of those that are real. */
export function line(taken: readonly Taken[]): { all: Retained[]; real: ReadonlySet<string> } {
  const all: Retained[] = [];
  const real = new Set<string>();
  const used = new Set<number>();
  for (const { isReal, time: told } of taken) {
    let time = told;
    while (used.has(time)) time++; // As vecsnap does.
    used.add(time);
    const id = newSnapshotId(time, (length) => new Uint8Array(length).fill(all.length));
    all.push(at(time, { id, baseId: null, afterId: all.at(-1)?.id }));
    if (isReal) real.add(id);
  }
  return { all, real };
}

/** The real ones of a line, as if there had been no others. */
export function alone({ all, real }: ReturnType<typeof line>): Retained[] {
  const own = all.filter(({ id }) => real.has(id));
  return own.map((one, i) => ({ ...one, afterId: own[i - 1]?.id }));
}

export function kept(snapshots: readonly Retained[], policy: RetentionPolicy, now?: number): string[] {
  return decideRetention(snapshots, policy, { now })
    .keep.map(({ id }) => id)
    .toReversed();
}

export function reasonsOf(snapshots: readonly Retained[], policy: RetentionPolicy, now?: number) {
  const { keep } = decideRetention(snapshots, policy, { now });
  return Object.fromEntries(keep.map(({ id, reasons }) => [id, reasons]));
}

/** Whether snapshots are so far apart that a clock may have jumped between them. */
export function haveLongGap(snapshots: readonly Retained[]): boolean {
  const times = snapshots.map(({ createdAt }) => Date.parse(createdAt)).toSorted((a, b) => a - b);
  return times.some((time, i) => time - (times[i - 1] ?? time) > 10 * DAY);
}

export const invalid = expect.objectContaining({
  code: 'OPTION_INVALID',
  place: expect.any(String),
  remedy: expect.any(String),
});
