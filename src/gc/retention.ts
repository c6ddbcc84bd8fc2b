/** Retention: which snapshots stay. Pure: a policy, a list of snapshots and the time give a decision. */
import { byDate, type Dated, sortByTaking, type Timed } from './dates.js';
import { jumpsAfter } from './jumps.js';
import { type RetentionPolicy, type Rules, rulesOf } from './policy.js';

/** As much of a snapshot as retention looks at. */
export interface Retained extends Dated {
  readonly tags?: readonly string[] | undefined;
  /** No policy drops it. */
  readonly pinned?: boolean | undefined;
}

/** One policy for every collection, or what gives that of each; collections for which it gives none are left out. */
export type Policies = RetentionPolicy | ((collection: string) => RetentionPolicy | undefined);

/** When a decision is made. */
export interface RetentionMoment {
  /** Milliseconds since 1970. Snapshots with later dates stay, and do not count. Default: no date is too late. */
  readonly now?: number | undefined;
}

/** A snapshot that stays. */
export interface KeptSnapshot {
  readonly id: string;
  /** The rules that keep it, for example `daily 3 of 7 (2024-05-17)`. */
  readonly reasons: readonly string[];
}

/** What a policy decides about each snapshot. */
export interface RetentionDecision {
  /** Ids of snapshots that go, oldest first. */
  readonly forget: readonly string[];
  /** Those that stay, newest first, with the rules that keep them. */
  readonly keep: readonly KeptSnapshot[];
}

/**
 * Decides which of `snapshots` stay; collections are looked at one by one. Pinned ones stay, and those whose date is not to be
 * relied on (docs/retention.md); of a collection that has snapshots, at least one stays.
 * @param snapshots all of the repository, so that it shows whether its clock stood still.
 * @throws VecsnapError OPTION_INVALID for a policy without a rule, an option that there is not, or a value that it does not take.
 */
export function decideRetention(
  snapshots: readonly Retained[],
  policies: Policies,
  { now = Infinity }: RetentionMoment = {},
): RetentionDecision {
  const policyOf = typeof policies === 'function' ? policies : () => policies;
  if (typeof policies !== 'function') rulesOf(policies); // Also where there are no snapshots.
  const { counted, setAside } = sortByTaking(snapshots, now);
  const reasons = new Map<string, string[]>();
  for (const [collection, members] of counted) {
    const policy = policyOf(collection);
    if (policy !== undefined) keepCounted(members, rulesOf(policy), reasons);
  }
  const timed = snapshots.map((snapshot) => ({ snapshot, time: Date.parse(snapshot.createdAt) }));
  const keep: KeptSnapshot[] = [];
  const forget: string[] = [];
  for (const { snapshot } of timed.toSorted(byDate)) {
    const policy = policyOf(snapshot.collection);
    if (policy === undefined) continue;
    const doubt = setAside.get(snapshot.id);
    const all = [...lasting(snapshot, policy), ...(doubt ? [doubt] : (reasons.get(snapshot.id) ?? []))];
    if (all.length > 0) keep.unshift({ id: snapshot.id, reasons: all });
    else forget.push(snapshot.id);
  }
  return { forget, keep };
}

/** The reasons that go by no date. */
function lasting({ pinned, tags = [] }: Retained, { keepTags = [] }: RetentionPolicy): string[] {
  const kept = tags.filter((tag) => keepTags.includes(tag)).map((tag) => `tag ${tag}`);
  return pinned === true ? ['pinned', ...kept] : kept;
}

/** Adds the reasons that go by dates. @param newestFirst the snapshots of one collection that count. */
function keepCounted(
  newestFirst: readonly Timed<Retained>[],
  rules: Rules,
  reasons: Map<string, string[]>,
): void {
  const add = ({ snapshot }: Timed<Retained>, reason: string): void => {
    reasons.set(snapshot.id, [...(reasons.get(snapshot.id) ?? []), reason]);
  };
  for (const [i, one] of newestFirst.slice(0, rules.last).entries())
    add(one, `last ${i + 1} of ${rules.last}`);
  for (const { name, count, periodOf } of rules.periods) {
    const seen = new Set<string>();
    for (const one of newestFirst) {
      if (seen.size >= count) break;
      const period = periodOf(one.time);
      if (seen.has(period)) continue;
      seen.add(period);
      add(one, `${name} ${seen.size} of ${count} (${period})`);
    }
  }
  for (const one of within(newestFirst, rules)) add(one, `within ${rules.within?.text}`);
  const [newest] = newestFirst;
  const isKept = ({ snapshot }: Timed<Retained>): boolean =>
    reasons.has(snapshot.id) ||
    snapshot.pinned === true ||
    (snapshot.tags ?? []).some((tag) => rules.tags.has(tag));
  if (newest !== undefined && !newestFirst.some(isKept)) add(newest, 'the last of its collection');
}

/** Those that are not older than the newest by more than the policy says, the time of jumps left out. */
function within(
  newestFirst: readonly Timed<Retained>[],
  { within, calendar }: Rules,
): readonly Timed<Retained>[] {
  const [newest] = newestFirst;
  if (within === undefined || newest === undefined) return [];
  const jumps = jumpsAfter(newestFirst);
  const from = new Map<number, number>();
  for (const jump of new Set(jumps)) from.set(jump, calendar.before(newest.time - jump, within.duration));
  return newestFirst.filter(({ time }, i) => time >= (from.get(jumps[i] as number) as number));
}
