/**
 * Which snapshots a policy counts, in the order in which they were taken, and which it sets aside because their dates cannot be
 * relied on. What is set aside is kept, and takes nobody's place. docs/retention.md says why, and what remains.
 */
import { timeOfId } from '../core/snapshot-id.js';

/** As much of a snapshot as its date is judged by. */
export interface Dated {
  readonly id: string;
  readonly collection: string;
  /** ISO 8601. */
  readonly createdAt: string;
  /** The snapshot that it continued, which was therefore taken before it. */
  readonly baseId?: string | null | undefined;
  /** The last snapshot of the collection that there was when this one was taken. */
  readonly afterId?: string | null | undefined;
}

/** A snapshot with its date in milliseconds since 1970; NaN when there is none. */
export interface Timed<S extends Dated> {
  readonly snapshot: S;
  readonly time: number;
}

/** See the head of this file. */
export interface Sorted<S extends Dated> {
  /** By collection, those taken last first. */
  readonly counted: ReadonlyMap<string, readonly Timed<S>[]>;
  /** Why snapshots are set aside, by their ids. */
  readonly setAside: ReadonlyMap<string, string>;
}

const FUTURE = 'dated in the future';
const ALIKE = 'dated like others, as if the clock had stood still';
const DISORDER = 'dated against the order in which the snapshots were taken';
const BEFORE_GONE = 'dated before a snapshot, forgotten since, after which it was taken';
const UNREADABLE = 'has no date that can be read';

/** Snapshots take longer than this; dates so close to each other are made when the clock stands still. In milliseconds. */
const STANDSTILL = 1;
const HOUR = 3_600_000;

/** @param now milliseconds since 1970. */
export function sortByTaking<S extends Dated>(snapshots: readonly S[], now: number): Sorted<S> {
  const timed = withTimes(snapshots);
  const setAside = new Map<string, string>();
  for (const { snapshot, time } of timed) {
    if (Number.isNaN(time)) setAside.set(snapshot.id, UNREADABLE);
    else if (time > now) setAside.set(snapshot.id, FUTURE);
  }
  for (const { snapshot } of datedAlike(timed.filter(isCounted(setAside)))) setAside.set(snapshot.id, ALIKE);
  const counted = new Map<string, readonly Timed<S>[]>();
  const present = new Set(snapshots.map(({ id }) => id));
  const timeOfGone = (id: string): number => {
    const time = present.has(id) ? NaN : timeOfId(id);
    return time <= now ? time : -Infinity;
  };
  for (const [collection, members] of groups(timed)) {
    const bounds = boundsOf(members, isCounted(setAside), timeOfGone);
    for (const one of members.filter(isCounted(setAside)))
      if (one.time < boundIn(bounds, one).gone) setAside.set(one.snapshot.id, BEFORE_GONE);
    const taken = inOrderOfTaking(members.filter(isCounted(setAside)), bounds);
    const agreeing = largestAgreement(taken);
    for (const one of taken) if (!agreeing.has(one)) setAside.set(one.snapshot.id, DISORDER);
    counted.set(collection, taken.filter((one) => agreeing.has(one)).toReversed());
  }
  return { counted, setAside };
}

/**
 * The one of these snapshots of one collection that was taken last, whatever their dates: also one dated in the future. Undefined
 * where there is none.
 */
export function lastTaken<S extends Dated>(snapshots: readonly S[]): S | undefined {
  const timed = withTimes(snapshots).filter(({ time }) => !Number.isNaN(time));
  const bounds = boundsOf(
    timed,
    () => true,
    () => -Infinity,
  );
  return inOrderOfTaking(timed, bounds).at(-1)?.snapshot;
}

/** Older before newer, by dates. */
export function byDate<S extends Dated>(a: Timed<S>, b: Timed<S>): number {
  if (a.time !== b.time && !Number.isNaN(a.time) && !Number.isNaN(b.time)) return a.time - b.time;
  if (Number.isNaN(a.time) !== Number.isNaN(b.time)) return Number.isNaN(a.time) ? -1 : 1;
  return a.snapshot.id < b.snapshot.id ? -1 : 1;
}

function withTimes<S extends Dated>(snapshots: readonly S[]): Timed<S>[] {
  return snapshots.map((snapshot) => ({ snapshot, time: Date.parse(snapshot.createdAt) }));
}

function isCounted(setAside: ReadonlyMap<string, string>): (one: Timed<Dated>) => boolean {
  return ({ snapshot }) => !setAside.has(snapshot.id);
}

function groups<S extends Dated>(timed: readonly Timed<S>[]): Map<string, Timed<S>[]> {
  const found = new Map<string, Timed<S>[]>();
  for (const one of timed) {
    const group = found.get(one.snapshot.collection);
    if (group === undefined) found.set(one.snapshot.collection, [one]);
    else group.push(one);
  }
  return found;
}

/**
 * Snapshots that follow each other so closely that the clock stood still: every snapshot of a repository has a date of its own, a
 * millisecond later when that of the clock is taken. One of each collection at the same time is as it should be.
 */
function datedAlike<S extends Dated>(timed: readonly Timed<S>[]): Timed<S>[] {
  const sorted = timed.toSorted(byDate);
  const alike: Timed<S>[] = [];
  for (let start = 0, end = 1; start < sorted.length; start = end++) {
    while (end < sorted.length && timeAt(sorted, end) - timeAt(sorted, end - 1) <= STANDSTILL) end++;
    for (const members of groups(sorted.slice(start, end)).values())
      if (members.length > 1) alike.push(...members);
  }
  return alike;
}

function timeAt(timed: readonly Timed<Dated>[], i: number): number {
  return (timed[i] as Timed<Dated>).time;
}

/** What the snapshots that were taken before one say about when it was taken itself. Times in milliseconds since 1970. */
interface Bound {
  /** The latest date among it and those before it that count. */
  readonly time: number;
  /** The latest date among those before it that are gone. */
  readonly gone: number;
  /** How many are before it, one after the other. */
  readonly depth: number;
}

/**
 * The bounds of snapshots, by their ids. Those that do not count pass on what is before them.
 * @param timeOfGone the date of a snapshot that is gone; -Infinity when it says nothing.
 */
function boundsOf<S extends Dated>(
  members: readonly Timed<S>[],
  counts: (one: Timed<Dated>) => boolean,
  timeOfGone: (id: string) => number,
): ReadonlyMap<string, Bound> {
  const bounds = new Map<string, Bound>();
  for (const one of predecessorsFirst(members)) {
    let [time, gone, depth] = [counts(one) ? one.time : -Infinity, -Infinity, 0];
    for (const id of predecessorsOf(one)) {
      const before = bounds.get(id);
      time = Math.max(time, before?.time ?? -Infinity);
      gone = Math.max(gone, before?.gone ?? -Infinity, timeOfGone(id));
      depth = Math.max(depth, before?.depth ?? 0);
    }
    bounds.set(one.snapshot.id, { time, gone, depth: depth + 1 });
  }
  return bounds;
}

function boundIn(bounds: ReadonlyMap<string, Bound>, { snapshot }: Timed<Dated>): Bound {
  return bounds.get(snapshot.id) as Bound;
}

function predecessorsOf({ snapshot: { baseId, afterId } }: Timed<Dated>): string[] {
  return [baseId, afterId].filter((id) => id !== undefined && id !== null);
}

/** Each after those that it was taken after. */
function predecessorsFirst<S extends Dated>(members: readonly Timed<S>[]): Iterable<Timed<S>> {
  const byId = new Map(members.map((one) => [one.snapshot.id, one]));
  const entered = new Set<Timed<S>>();
  const left = new Set<Timed<S>>();
  for (const member of members) {
    const path = [member];
    for (let one = path.at(-1); one !== undefined; one = path.at(-1)) {
      entered.add(one); // A circle, which nobody but a forger makes, ends where it was entered.
      const open = predecessorsOf(one).flatMap((id) => {
        const before = byId.get(id);
        return before === undefined || entered.has(before) ? [] : [before];
      });
      if (open.length > 0) path.push(...open);
      else left.add(path.pop() as Timed<S>);
    }
  }
  return left;
}

/** By their dates, except that a snapshot comes after those that it was taken after. */
function inOrderOfTaking<S extends Dated>(
  members: readonly Timed<S>[],
  bounds: ReadonlyMap<string, Bound>,
): Timed<S>[] {
  return members.toSorted((a, b) => {
    const [left, right] = [boundIn(bounds, a), boundIn(bounds, b)];
    return left.time - right.time || left.depth - right.depth || byDate(a, b);
  });
}

/** The snapshots that are dated in one hour, and where in the order of taking the first and the last of them stand. */
interface Hour<S extends Dated> {
  readonly members: readonly Timed<S>[];
  readonly first: number;
  readonly last: number;
}

/**
 * The snapshots, in the order of taking, whose dates do not contradict each other, as the most hours say. An hour counts whole or
 * not at all, and as one: else a clock that always begins anew in the same hour would outvote the others, or gain an hour where it
 * costs them a part of one. Where as many hours say one thing as the other, neither counts.
 */
function largestAgreement<S extends Dated>(taken: readonly Timed<S>[]): ReadonlySet<Timed<S>> {
  const hours = hoursOf(taken);
  /** How many hours can come before each without a contradiction, and how many after it. */
  const before = longestBefore(hours);
  const after = longestBefore(
    hours.toReversed().map(({ first, last }) => ({ first: -last, last: -first })),
  ).toReversed();
  const most = before.reduce((longest, length) => Math.max(longest, length), 0);
  const largest = hours.map((_, i) => (before[i] as number) + (after[i] as number) === most);
  /** How many hours can stand at each place of a largest agreement. */
  const rivals = new Map<number, number>();
  for (const [i, place] of before.entries())
    if (largest[i] === true) rivals.set(place, (rivals.get(place) ?? 0) + 1);
  const agreed = hours.filter((_, i) => largest[i] === true && rivals.get(before[i] as number) === 1);
  return new Set(agreed.flatMap(({ members }) => undisputed(members)));
}

/** Earlier hours first. */
function hoursOf<S extends Dated>(taken: readonly Timed<S>[]): Hour<S>[] {
  const found = new Map<number, { members: Timed<S>[]; first: number; last: number }>();
  for (const [i, one] of taken.entries()) {
    const number = Math.floor(one.time / HOUR);
    const hour = found.get(number);
    if (hour === undefined) found.set(number, { members: [one], first: i, last: i });
    else {
      hour.members.push(one);
      hour.last = i;
    }
  }
  return [...found].toSorted(([a], [b]) => a - b).map(([, hour]) => hour);
}

/**
 * For each span, how many of those before it can be chosen so that each ends before the next begins, and the last before this one
 * (patience sorting).
 */
function longestBefore(spans: readonly { readonly first: number; readonly last: number }[]): number[] {
  /** For each length, where the earliest choice of that length ends. */
  const ends: number[] = [];
  return spans.map(({ first, last }) => {
    let [low, high] = [0, ends.length];
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((ends[middle] as number) < first) low = middle + 1;
      else high = middle;
    }
    ends[low] = Math.min(ends[low] ?? Infinity, last);
    return low;
  });
}

/** Those that no other contradicts. @param members in the order of taking. */
function undisputed<S extends Dated>(members: readonly Timed<S>[]): readonly Timed<S>[] {
  const earliestFrom = new Float64Array(members.length + 1).fill(Infinity);
  for (let i = members.length - 1; i >= 0; i--)
    earliestFrom[i] = Math.min(earliestFrom[i + 1] as number, timeAt(members, i));
  let latest = -Infinity;
  return members.filter(({ time }, i) => {
    latest = Math.max(latest, time);
    return time >= latest && time <= (earliestFrom[i + 1] as number);
  });
}
