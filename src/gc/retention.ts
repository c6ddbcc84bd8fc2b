/** Retention: which snapshots stay. Pure: a policy and a list of snapshots give a decision. */
import { VecsnapError } from '../core/index.js';

/** As much of a snapshot as retention looks at. */
export interface Retained {
  readonly id: string;
  readonly collection: string;
  readonly createdAt: string;
}

/** Which snapshots of each collection stay. */
export interface RetentionPolicy {
  /** The newest so many. */
  readonly keepLast: number;
}

/** What a policy decides about each snapshot. */
export interface RetentionDecision {
  /** Ids of snapshots that go, oldest first. */
  readonly forget: readonly string[];
  /** Those that stay, newest first, with the rules that keep them. */
  readonly keep: readonly { readonly id: string; readonly reasons: readonly string[] }[];
}

/**
 * Decides which of `snapshots` stay; collections are looked at one by one.
 * @throws VecsnapError OPTION_INVALID unless keepLast is a whole number from 1 on: a policy that keeps nothing is a mistake.
 */
export function decideRetention(
  snapshots: readonly Retained[],
  { keepLast }: RetentionPolicy,
): RetentionDecision {
  if (!Number.isSafeInteger(keepLast) || keepLast < 1) throw keepsNothing(keepLast);
  const newestFirst = snapshots.toSorted((a, b) => compare(b.createdAt, a.createdAt) || compare(b.id, a.id));
  const kept = new Map<string, number>();
  const keep: { id: string; reasons: string[] }[] = [];
  const forget: string[] = [];
  for (const { id, collection } of newestFirst) {
    const before = kept.get(collection) ?? 0;
    if (before >= keepLast) forget.unshift(id);
    else keep.push({ id, reasons: [`last ${before + 1} of ${keepLast}`] });
    kept.set(collection, before + 1);
  }
  return { forget, keep };
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

function keepsNothing(keepLast: number): VecsnapError {
  return new VecsnapError('OPTION_INVALID', `A policy must keep at least one snapshot, not ${keepLast}.`, {
    place: 'keepLast',
    remedy: 'To drop all snapshots of a collection, forget them by their ids.',
  });
}
