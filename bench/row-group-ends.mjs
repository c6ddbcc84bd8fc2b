// Compares two rules for where row groups end, over random ids: how evenly groups are sized, and how many an edit disturbs.
// docs/decisions/0001 has the numbers. `node bench/row-group-ends.mjs [edits]`
import { hashBytes, LocalMinimumCutter } from 'vecsnap/core';

const WINDOW = 21; // 384 × f32: groups of 43 records in the mean.
const MEAN = 2 * WINDOW + 1;
const MAX = 4 * MEAN;
const RECORDS = 200_000;
const EDITED_RECORDS = 8_000;
const EDITS = Number(process.argv[2] ?? 2_000);

/** xorshift32: the same numbers each time. */
function randomNumbers(seed) {
  let state = seed;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return state >>> 0;
  };
}

function hashes(count, random) {
  const id = new Uint8Array(8);
  const view = new DataView(id.buffer);
  return Array.from({ length: count }, () => {
    view.setUint32(0, random());
    view.setUint32(4, random());
    return hashBytes(id);
  });
}

function byLocalMinimum(items) {
  const cutter = new LocalMinimumCutter({ window: WINDOW, max: MAX });
  const sizes = items.map((hash) => cutter.push(hash)).filter((size) => size > 0);
  return [...sizes, ...cutter.finish()];
}

/** Ends where the hash is below a threshold, with a least and a largest size; the mean is that of the other rule. */
function byThreshold(min) {
  const threshold = 2 ** 32 / oneIn(min);
  return (items) => {
    const sizes = [];
    let size = 0;
    for (const hash of items) {
      size++;
      if ((size < min || hash >= threshold) && size < MAX) continue;
      sizes.push(size);
      size = 0;
    }
    return size > 0 ? [...sizes, size] : sizes;
  };
}

/** One in so many hashes must be below the threshold for the same mean, found by halving. */
function oneIn(min) {
  let [low, high] = [1, MEAN * 4];
  while (high - low > 1e-6) {
    const rate = 1 / ((low + high) / 2);
    const mean = min - 1 + (1 - (1 - rate) ** (MAX - min + 1)) / rate;
    if (mean < MEAN) low = 1 / rate;
    else high = 1 / rate;
  }
  return low;
}

function distribution(sizes) {
  const sorted = sizes.toSorted((a, b) => a - b);
  const mean = sizes.reduce((sum, size) => sum + size, 0) / sizes.length;
  const variance = sizes.reduce((sum, size) => sum + (size - mean) ** 2, 0) / sizes.length;
  const at = (share) => sorted[Math.floor(share * (sorted.length - 1))];
  const forced = sizes.filter((size) => size === MAX).length / sizes.length;
  return { mean, deviation: Math.sqrt(variance), p1: at(0.01), p50: at(0.5), p99: at(0.99), forced };
}

/** The first and the last item of each group as text, so that equal groups are found again after a shift. */
function groupsOf(items, sizes) {
  let start = 0;
  return sizes.map((size) => {
    const group = items.slice(start, start + size);
    start += size;
    return group.join();
  });
}

function disturbance(rule, random) {
  const items = hashes(EDITED_RECORDS, random);
  const before = new Set(groupsOf(items, rule(items)));
  const replaced = [];
  let records = 0;
  for (let edit = 0; edit < EDITS; edit++) {
    const at = 1000 + (random() % (EDITED_RECORDS - 2000));
    const edited = edit % 2 === 0 ? items.toSpliced(at, 1) : items.toSpliced(at, 0, random());
    const fresh = groupsOf(edited, rule(edited)).filter((group) => !before.has(group));
    replaced.push(fresh.length);
    records += fresh.reduce((sum, group) => sum + group.split(',').length, 0);
  }
  return { ...distribution(replaced), most: Math.max(...replaced), records: records / EDITS };
}

/** @type {[string, (items: Uint32Array | number[]) => number[]][]} */
const rules = [
  ['local minimum', byLocalMinimum],
  ['threshold, min 1', byThreshold(1)],
  [`threshold, min ${Math.round(MEAN / 4)}`, byThreshold(Math.round(MEAN / 4))],
  [`threshold, min ${WINDOW + 1}`, byThreshold(WINDOW + 1)],
];
const round = (value) => Math.round(value * 100) / 100;

console.log(
  `${RECORDS} random ids, groups of ${MEAN} in the mean, ${MAX} at most; then ${EDITS} edits of one record`,
);
for (const [name, rule] of rules) {
  const sizes = distribution(rule(hashes(RECORDS, randomNumbers(1))));
  const edits = disturbance(rule, randomNumbers(2));
  console.log(name, {
    mean: round(sizes.mean),
    deviation: round(sizes.deviation),
    percentiles: [sizes.p1, sizes.p50, sizes.p99],
    forcedPercent: round(sizes.forced * 100),
    newGroupsByAnEdit: {
      mean: round(edits.mean),
      p99: edits.p99,
      most: edits.most,
      records: round(edits.records),
    },
  });
}
