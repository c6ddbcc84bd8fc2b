/**
 * Where the dates of a collection make a jump, as when a snapshot was taken by a clock that was ahead. The time of a jump has not
 * passed, as far as can be known, so it makes nothing older. docs/retention.md says why, and what remains.
 */
import { timeOfId } from '../core/snapshot-id.js';
import type { Dated, Timed } from './dates.js';

const DAY = 86_400_000;
/** A gap of so many usual ones is a jump: no holiday is so long, and few clocks that matter are less ahead. */
const TIMES_USUAL = 10;
/** With fewer gaps nobody knows which are usual. */
const FEWEST = 3;

/**
 * For each of these snapshots of one collection, by how much the jumps after it make it look too old, in milliseconds.
 * @param newestFirst those that count, whose dates never ascend.
 */
export function jumpsAfter(newestFirst: readonly Timed<Dated>[]): readonly number[] {
  const longest = TIMES_USUAL * Math.max(DAY, usualGap(newestFirst));
  let sum = 0;
  return newestFirst.map(({ time }, i) => {
    const gap = (newestFirst[i - 1]?.time ?? time) - time;
    if (gap > longest) sum += gap;
    return sum;
  });
}

/**
 * The median of the gaps from one day to another that has snapshots, and 0 when there are too few; what is dated wrongly makes one
 * gap too long, so most are right. Where a policy has thinned what there was, gaps are as they were before.
 */
function usualGap(newestFirst: readonly Timed<Dated>[]): number {
  const gaps = newestFirst.slice(0, -1).flatMap((one, i) => {
    const before = timeBefore(one, (newestFirst[i + 1] as Timed<Dated>).time);
    return dayOf(before) < dayOf(one.time) ? [one.time - before] : [];
  });
  if (gaps.length < FEWEST) return 0;
  gaps.sort((a, b) => a - b);
  return gaps[Math.floor((gaps.length - 2) / 2)] as number; // The median of all but one that is longer.
}

/** When the snapshot before this one was taken, forgotten or not. @param least the date of the one before it that is there. */
function timeBefore({ snapshot: { baseId, afterId }, time }: Timed<Dated>, least: number): number {
  const dates = [baseId, afterId].map((id) => (typeof id === 'string' ? timeOfId(id) : NaN));
  return dates.reduce((latest, date) => (date <= time ? Math.max(latest, date) : latest), least);
}

/** Those of UTC will do. */
function dayOf(time: number): number {
  return Math.floor(time / DAY);
}
