/**
 * Which snapshots a policy counts, in the order in which they were taken, and which it sets aside because their dates cannot be
 * relied on. What is set aside is kept, and takes nobody's place. docs/retention.md says why, and what remains.
 */

/** As much of a snapshot as its date is judged by. */
export interface Dated {
  readonly id: string;
  readonly collection: string;
  /** ISO 8601. */
  readonly createdAt: string;
  /** The snapshot that it continued, which was therefore taken before it. */
  readonly baseId?: string | null | undefined;
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
const UNREADABLE = 'has no date that can be read';

/** Snapshots take longer than this; dates so close to each other are made when the clock stands still. In milliseconds. */
const STANDSTILL = 1;
const HOUR = 3_600_000;

/** @param now milliseconds since 1970. */
export function sortByTaking<S extends Dated>(snapshots: readonly S[], now: number): Sorted<S> {
  const timed = snapshots.map((snapshot): Timed<S> => ({ snapshot, time: Date.parse(snapshot.createdAt) }));
  const setAside = new Map<string, string>();
  for (const { snapshot, time } of timed) {
    if (Number.isNaN(time)) setAside.set(snapshot.id, UNREADABLE);
    else if (time > now) setAside.set(snapshot.id, FUTURE);
  }
  for (const { snapshot } of datedAlike(timed.filter(isCounted(setAside)))) setAside.set(snapshot.id, ALIKE);
  const counted = new Map<string, readonly Timed<S>[]>();
  for (const [collection, members] of groups(timed)) {
    const taken = inOrderOfTaking(members, isCounted(setAside));
    const agreeing = largestAgreement(taken);
    for (const one of taken) if (!agreeing.has(one)) setAside.set(one.snapshot.id, DISORDER);
    counted.set(collection, taken.filter((one) => agreeing.has(one)).toReversed());
  }
  return { counted, setAside };
}

/** Older before newer, by dates. */
export function byDate<S extends Dated>(a: Timed<S>, b: Timed<S>): number {
  if (a.time !== b.time && !Number.isNaN(a.time) && !Number.isNaN(b.time)) return a.time - b.time;
  if (Number.isNaN(a.time) !== Number.isNaN(b.time)) return Number.isNaN(a.time) ? -1 : 1;
  return a.snapshot.id < b.snapshot.id ? -1 : 1;
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

/** The earliest that a snapshot can have been taken, by the dates of those that it continues, and how many these are. */
interface Bound {
  readonly time: number;
  readonly depth: number;
}

const UNBOUND: Bound = { time: -Infinity, depth: 0 };

/**
 * By their dates, except that a snapshot comes after the one that it continued. Those that do not count pass on what they
 * continued, and are left out.
 */
function inOrderOfTaking<S extends Dated>(
  members: readonly Timed<S>[],
  counts: (one: Timed<Dated>) => boolean,
): Timed<S>[] {
  const byId = new Map(members.map((one) => [one.snapshot.id, one]));
  const bounds = new Map<string, Bound>();
  const bound = ({ snapshot, time }: Timed<S>, before: Bound): Bound => {
    const own = counts({ snapshot, time }) ? time : -Infinity;
    return { time: Math.max(own, before.time), depth: before.depth + 1 };
  };
  for (const one of members) {
    const chain: Timed<S>[] = [];
    const entered = new Set<string>();
    let at: Timed<S> | undefined = one;
    while (at !== undefined && !bounds.has(at.snapshot.id) && !entered.has(at.snapshot.id)) {
      entered.add(at.snapshot.id); // A circle, which nobody but a forger makes, ends here.
      chain.push(at);
      at = byId.get(at.snapshot.baseId ?? '');
    }
    let before = at === undefined ? UNBOUND : (bounds.get(at.snapshot.id) ?? UNBOUND);
    for (const link of chain.toReversed()) bounds.set(link.snapshot.id, (before = bound(link, before)));
  }
  const boundOf = ({ snapshot }: Timed<S>): Bound => bounds.get(snapshot.id) as Bound;
  return members
    .filter(counts)
    .toSorted(
      (a, b) => boundOf(a).time - boundOf(b).time || boundOf(a).depth - boundOf(b).depth || byDate(a, b),
    );
}

/**
 * The most snapshots, in the order of taking, whose dates do not contradict each other. Those of one hour that were taken one after
 * the other count as one, so that many from a clock that always begins anew do not outvote the others.
 */
function largestAgreement<S extends Dated>(taken: readonly Timed<S>[]): ReadonlySet<Timed<S>> {
  const runs: { readonly hour: number; readonly members: Timed<S>[] }[] = [];
  for (const one of taken) {
    const hour = Math.floor(one.time / HOUR);
    if (runs.at(-1)?.hour === hour) runs.at(-1)?.members.push(one);
    else runs.push({ hour, members: [one] });
  }
  const agreeing = longestAscending(runs.map(({ hour }) => hour));
  return new Set(agreeing.flatMap((i) => runs[i]?.members ?? []));
}

/** The positions of a longest part of `values` that nowhere descends (patience sorting). */
function longestAscending(values: readonly number[]): number[] {
  /** For each length, where the part of that length with the least end ends. */
  const ends: number[] = [];
  const before = new Int32Array(values.length).fill(-1);
  for (const [i, value] of values.entries()) {
    let [low, high] = [0, ends.length];
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((values[ends[middle] as number] as number) <= value) low = middle + 1;
      else high = middle;
    }
    if (low > 0) before[i] = ends[low - 1] as number;
    ends[low] = i;
  }
  const found: number[] = [];
  for (let i = ends.at(-1) ?? -1; i >= 0; i = before[i] as number) found.push(i);
  return found.toReversed();
}
