/** Where groups end: the rule, told a second time and naively; and the bound on what an edit costs, which follows from it. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { runs } from './support/arbitraries.js';
import { BatchCutter, LocalMinimumCutter, type LocalMinimumOptions } from 'vecsnap/core';

/** The sizes that the cutter gives. */
function cut(hashes: readonly number[], options: LocalMinimumOptions): number[] {
  const cutter = new LocalMinimumCutter(options);
  const sizes = hashes.map((hash) => cutter.push(hash)).filter((size) => size > 0);
  return [...sizes, ...cutter.finish()];
}

/** The rule as it is told at the head of src/core/local-minimum.ts. */
function naiveCut(hashes: readonly number[], { window, max }: LocalMinimumOptions): number[] {
  const isNaturalEnd = (i: number) =>
    i >= window &&
    hashes.slice(i - window, i).every((hash) => hash > (hashes[i] as number)) &&
    hashes.slice(i + 1, i + 1 + window).every((hash) => hash >= (hashes[i] as number));
  const sizes: number[] = [];
  let size = 0;
  for (const i of hashes.keys()) {
    size++;
    if (!isNaturalEnd(i) && size < max) continue;
    sizes.push(size);
    size = 0;
  }
  return size > 0 ? [...sizes, size] : sizes;
}

/** The items in the groups that the cutter makes of them, as text. */
function groups(items: readonly Item[], options: LocalMinimumOptions): string[] {
  let start = 0;
  return cut(
    items.map(({ hash }) => hash),
    options,
  ).map((size) => {
    const group = items.slice(start, start + size);
    start += size;
    return group.map(({ name }) => name).join(' ');
  });
}

interface Item {
  readonly name: string;
  readonly hash: number;
}

function named(prefix: string, hashes: readonly number[]): Item[] {
  return hashes.map((hash, i) => ({ name: `${prefix}${i}`, hash }));
}

function without(all: readonly string[], others: readonly string[]): string[] {
  const set = new Set(others);
  return all.filter((group) => !set.has(group));
}

const anyHash = fc.nat({ max: 0xffffffff });
const anyWindow = fc.integer({ min: 1, max: 7 });
/** Few different hashes, so that many are equal; or hashes that are spread evenly. */
const anyHashes = fc.oneof(
  fc.array(fc.nat({ max: 3 }), { maxLength: 120 }),
  fc.array(anyHash, { maxLength: 120 }),
);
const anyEdit = fc.record({
  at: fc.nat(),
  removed: fc.nat({ max: 3 }),
  inserted: fc.array(anyHash, { maxLength: 3 }),
});

/** What an edit of k neighbouring items may cost, as the head of src/core/local-minimum.ts derives it. */
function bound(window: number, k: number): number {
  return 2 + Math.floor((2 * window + k - 1) / (window + 1));
}

describe('the ends of groups', () => {
  it('are those of the rule', () => {
    fc.assert(
      fc.property(anyHashes, anyWindow, fc.integer({ min: 1, max: 30 }), (hashes, window, more) => {
        const options = { window, max: window + more };
        expect(cut(hashes, options)).toEqual(naiveCut(hashes, options));
      }),
      { numRuns: runs(1000) },
    );
  });

  it('are the same for hashes that come together', () => {
    const anyLengths = fc.array(fc.nat({ max: 20 }), { maxLength: 20 });
    fc.assert(
      fc.property(
        anyHashes,
        anyWindow,
        fc.integer({ min: 1, max: 30 }),
        anyLengths,
        (hashes, window, more, lengths) => {
          const options = { window, max: window + more };
          const cutter = new BatchCutter(options);
          const sizes: number[] = [];
          let pushed = 0;
          for (const length of [...lengths, hashes.length]) {
            sizes.push(...cutter.push(Uint32Array.from(hashes.slice(pushed, pushed + length))));
            pushed += length;
            // No later than when they come one by one.
            const known = new LocalMinimumCutter(options);
            expect(sizes).toEqual(
              hashes
                .slice(0, pushed)
                .map((hash) => known.push(hash))
                .filter((size) => size > 0),
            );
          }
          expect([...sizes, ...cutter.finish()]).toEqual(naiveCut(hashes, options));
        },
      ),
      { numRuns: runs(1000) },
    );
  });

  it('leave nothing out and keep to the bounds', () => {
    fc.assert(
      fc.property(anyHashes, anyWindow, fc.integer({ min: 1, max: 30 }), (hashes, window, more) => {
        const max = window + more;
        const sizes = cut(hashes, { window, max });
        expect(sizes.reduce((a, b) => a + b, 0)).toBe(hashes.length);
        for (const [i, size] of sizes.entries()) {
          const isFree = i === sizes.length - 1 || sizes[i - 1] === max; // The last, and one after a forced end.
          expect(size).toBeGreaterThan(isFree ? 0 : window);
          expect(size).toBeLessThanOrEqual(max);
        }
      }),
      { numRuns: runs(500) },
    );
  });

  it('are natural ends and, between two of these, one after every max items', () => {
    fc.assert(
      fc.property(anyHashes, anyWindow, fc.integer({ min: 1, max: 20 }), (hashes, window, more) => {
        const max = window + more;
        const natural = cut(hashes, { window, max: Infinity });
        const split = natural.flatMap((size) => [
          ...Array<number>(Math.floor(size / max)).fill(max),
          ...(size % max > 0 ? [size % max] : []),
        ]);
        expect(cut(hashes, { window, max })).toEqual(split);
      }),
      { numRuns: runs(500) },
    );
  });

  it('come 2 · window + 1 apart in the mean', () => {
    const [hashes] = fc.sample(fc.array(anyHash, { minLength: 50_000, maxLength: 50_000, size: 'max' }), {
      numRuns: 1,
      seed: 7,
    });
    const sizes = cut(hashes as number[], { window: 10, max: 84 });
    expect(50_000 / sizes.length).toBeCloseTo(21, 0);
  });
});

describe('an edit', () => {
  it('replaces no more groups than the bound says, and all others are the same', () => {
    fc.assert(
      fc.property(anyHashes, anyWindow, anyEdit, (hashes, window, { at, removed, inserted }) => {
        const before = named('old', hashes);
        const start = at % (before.length + 1);
        const after = before.toSpliced(start, removed, ...named('new', inserted));
        const k = Math.max(1, Math.min(removed, before.length - start), inserted.length);
        const options = { window, max: Infinity };
        const [a, b] = [groups(before, options), groups(after, options)];
        // A deletion and an insertion at one place are one change of as many items as the longer of the two has.
        expect(without(a, b).length).toBeLessThanOrEqual(bound(window, k));
        expect(without(b, a).length).toBeLessThanOrEqual(bound(window, k));
      }),
      { numRuns: runs(3000) },
    );
  });

  it('of one item replaces at most 3 groups by at most 3, which happens', () => {
    expect(bound(1, 1)).toBe(3);
    expect(bound(512, 1)).toBe(3);
    const before = named('old', [9, 9, 9, 1, 9, 9, 2, 9, 9, 9]);
    const options = { window: 2, max: Infinity };
    // Between two ends three items apart, a smaller one takes the place of both.
    const after = before.toSpliced(5, 0, { name: 'new', hash: 0 });
    expect(groups(before, options)).toHaveLength(3);
    expect(without(groups(before, options), groups(after, options))).toHaveLength(3);
    expect(without(groups(after, options), groups(before, options))).toHaveLength(2);
  });

  it.each([
    ['beginning', 0],
    ['end', 1],
  ])('at the %s replaces at most 2', (_, end) => {
    fc.assert(
      fc.property(fc.array(anyHash, { maxLength: 80 }), anyWindow, anyHash, (hashes, window, hash) => {
        const before = named('old', hashes);
        const after = before.toSpliced(end * before.length, 0, { name: 'new', hash });
        const options = { window, max: Infinity };
        expect(without(groups(before, options), groups(after, options)).length).toBeLessThanOrEqual(2);
        expect(without(groups(after, options), groups(before, options)).length).toBeLessThanOrEqual(2);
      }),
      { numRuns: runs(1000) },
    );
  });

  it('among equal items changes nothing beyond the natural ends around it', () => {
    const run = (count: number) => Array<number>(count).fill(5);
    const before = named('old', [9, 9, 9, 1, ...run(100), 1, 9, 9, 9, 0, 9, 9, 9]);
    const after = before.toSpliced(20, 0, { name: 'new', hash: 5 });
    const options = { window: 3, max: 28 };
    const [a, b] = [groups(before, options), groups(after, options)];
    expect(b.slice(0, 1)).toEqual(a.slice(0, 1));
    expect(b.slice(-2)).toEqual(a.slice(-2));
    expect(Math.max(...b.map((group) => group.split(' ').length))).toBe(28);
  });
});

describe('options', () => {
  it.each([
    { window: 0, max: 5 },
    { window: 0.5, max: 5 },
    { window: -1, max: 5 },
    { window: Number.NaN, max: 5 },
    { window: 2 ** 21, max: Infinity },
    { window: 5, max: 5 },
    { window: 5, max: Number.NaN },
  ])('are not %j', (options) => {
    expect(() => new LocalMinimumCutter(options)).toThrow(RangeError);
  });
});
