/** Chunks of byte streams: gear chunking and fixed pages. */
import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  checkFixedOptions,
  checkGearOptions,
  cutBytes,
  cutStream,
  DEFAULT_FIXED,
  DEFAULT_GEAR,
  fixedCutter,
  GEAR_TABLE,
  gearCutter,
  type GearOptions,
  isPaged,
  PAGED_START_BYTES,
  type StreamCutter,
} from 'vecsnap/chunker';
import { concatBytes, toHex, utf8 } from 'vecsnap/core';
import { runs } from './support/arbitraries.js';
import { collect } from './support/collect.js';
import { seededBytes } from './support/files.js';
import { golden } from './support/golden.js';

const SMALL: GearOptions = { min: 64, avg: 256, max: 1024 };

interface GoldenStream extends GearOptions {
  readonly bytes: number;
  readonly lengths: readonly number[];
}

const { streams, table } = golden('gear') as { streams: GoldenStream[]; table: number[] };

function cut(bytes: Uint8Array, cutter: StreamCutter): string[] {
  return [...cutBytes(bytes, cutter)].map(toHex);
}

/** The bytes in pieces of these sizes, again and again; sizes of 0 are empty pieces. */
async function* inPieces(bytes: Uint8Array, sizes: readonly number[]): AsyncGenerator<Uint8Array> {
  for (let start = 0, i = 0; start < bytes.length; i++) {
    const size = sizes[i % sizes.length] as number;
    yield bytes.slice(start, start + size);
    start += size;
  }
}

const anyCutter = fc.oneof(
  fc
    .constantFrom(SMALL, { min: 64, avg: 1024, max: 1025 }, { min: 255, avg: 256, max: 4096 })
    .chain((options) => fc.boolean().map((kernels) => gearCutter(options, kernels))),
  fc.integer({ min: 64, max: 2000 }).map((size) => fixedCutter({ size })),
);
/** Random bytes, or bytes that repeat so that no end is found. */
const anyBytes = fc
  .record({ length: fc.nat({ max: 20_000 }), seed: fc.nat(), isRandom: fc.boolean() })
  .map(({ length, seed, isRandom }) =>
    isRandom ? seededBytes(length, seed) : new Uint8Array(length).fill(seed),
  );

describe('chunks of a stream', () => {
  it('are the stream, whatever the pieces', async () => {
    const anySizes = fc
      .array(fc.nat({ max: 3000 }), { minLength: 1, maxLength: 8 })
      .filter((sizes) => sizes.some(Boolean));
    await fc.assert(
      fc.asyncProperty(anyBytes, anyCutter, anySizes, async (bytes, cutter, sizes) => {
        const chunks = await collect(cutStream(inPieces(bytes, sizes), cutter));
        expect(Buffer.compare(concatBytes(chunks), bytes)).toBe(0);
        expect(chunks.map(toHex)).toEqual(cut(bytes, cutter));
        expect(chunks.every(({ length }) => length > 0)).toBe(true);
      }),
      { numRuns: runs(100) },
    );
  });

  it('are none when there are no bytes', async () => {
    expect(await collect(cutStream(inPieces(new Uint8Array(0), [1]), gearCutter(SMALL)))).toEqual([]);
  });

  it('cost no copy for each piece, however small these are', async () => {
    // A megabyte in pieces of 16 bytes: joining what is held with each of them would move 8 GB.
    const bytes = seededBytes(1 << 20, 3);
    const chunks = await collect(cutStream(inPieces(bytes, [16]), gearCutter(DEFAULT_GEAR)));
    expect(chunks.map(toHex)).toEqual(cut(bytes, gearCutter(DEFAULT_GEAR)));
  });
});

describe('gear chunks', () => {
  it.each(streams)(
    'of $bytes bytes with $min, $avg, $max are the golden ones',
    ({ bytes, lengths, ...options }) => {
      const digests = Array.from({ length: Math.ceil(bytes / 32) }, (_, i) =>
        createHash('sha256').update(`gear ${i}`).digest(),
      );
      const stream = concatBytes(digests).subarray(0, bytes);
      expect([...cutBytes(stream, gearCutter(options))].map(({ length }) => length)).toEqual(lengths);
    },
  );

  it('come of the golden table', () => {
    expect([...GEAR_TABLE]).toEqual(table);
  });

  it('keep to the bounds', () => {
    fc.assert(
      fc.property(anyBytes, (bytes) => {
        const lengths = [...cutBytes(bytes, gearCutter(SMALL))].map(({ length }) => length);
        for (const length of lengths.slice(0, -1)) expect(length).toBeGreaterThan(SMALL.min);
        for (const length of lengths) expect(length).toBeLessThanOrEqual(SMALL.max);
      }),
      { numRuns: runs(100) },
    );
  });

  it('are of the maximum where no end is found', () => {
    const lengths = [...cutBytes(new Uint8Array(5000), gearCutter(SMALL))].map(({ length }) => length);
    expect(lengths).toEqual([1024, 1024, 1024, 1024, 904]);
  });

  it('are of about the mean size on random bytes', () => {
    const lengths = cut(seededBytes(500_000, 9), gearCutter(SMALL)).map(({ length }) => length / 2);
    expect(500_000 / lengths.length).toBeGreaterThan(200);
    expect(500_000 / lengths.length).toBeLessThan(340);
  });

  it('before an edit are the same, and so are those after the first end that is found again', () => {
    const cutter = gearCutter(SMALL);
    const replaced: number[] = [];
    const anyPlace = fc.oneof(fc.constantFrom(0, 1), fc.double({ min: 0, max: 1, noNaN: true }));
    const anyBytesIn = fc.uint8Array({ maxLength: 100 });
    fc.assert(
      fc.property(fc.nat(), anyPlace, fc.nat({ max: 100 }), anyBytesIn, (seed, place, removed, inserted) => {
        const before = seededBytes(8000, seed);
        const at = Math.floor(place * before.length);
        const tail = before.subarray(Math.min(before.length, at + removed));
        const after = concatBytes([before.subarray(0, at), inserted, tail]);
        const [a, b] = [cut(before, cutter), cut(after, cutter)];
        const first = Math.max(
          ...distancesFromEnd(a).filter((end) => end <= tail.length && distancesFromEnd(b).includes(end)),
        );
        const later = (chunks: readonly string[]) => distancesFromEnd(chunks).filter((end) => end <= first);
        expect(later(b)).toEqual(later(a));
        const earlier = (chunks: readonly string[]) =>
          chunks
            .map((_, i) => chunks.slice(0, i + 1).join('').length / 2)
            .filter((end) => end <= at && end < before.length);
        expect(earlier(b)).toEqual(expect.arrayContaining(earlier(a)));
        replaced.push(Math.max(without(a, b).length, without(b, a).length));
      }),
      { numRuns: 200, seed: 4 },
    );
    expect(Math.max(...replaced)).toBeLessThanOrEqual(12);
    expect(replaced.filter((chunks) => chunks > 4).length).toBeLessThan(replaced.length * 0.06);
  });

  it.each([
    { min: 63, avg: 256, max: 1024 },
    { min: 256, avg: 256, max: 1024 },
    { min: 64, avg: 256, max: 256 },
    { min: 64, avg: 300, max: 1024 },
    { min: 64, avg: 128, max: 1024 },
    { min: 64, avg: 2 ** 24, max: 2 ** 25 },
    { min: 64, avg: 256, max: 2 ** 24 + 1 },
    { min: 64.5, avg: 256, max: 1024 },
    { min: 64, avg: 256, max: 1024.5 },
    { min: Number.NaN, avg: 256, max: 1024 },
  ])('do not come of %j', (options) => {
    expect(() => checkGearOptions(options)).toThrow(RangeError);
  });

  it('may be of these sizes', () => {
    for (const options of [
      SMALL,
      DEFAULT_GEAR,
      { min: 255, avg: 256, max: 257 },
      { min: 64, avg: 2 ** 23, max: 2 ** 24 },
    ])
      expect(() => checkGearOptions(options)).not.toThrow();
  });
});

/** How far the end of each chunk is from the end of the stream. */
function distancesFromEnd(chunks: readonly string[]): number[] {
  let left = chunks.join('').length / 2;
  return chunks.map(({ length }) => (left -= length / 2));
}

function without(all: readonly string[], others: readonly string[]): string[] {
  const set = new Set(others);
  return all.filter((chunk) => !set.has(chunk));
}

describe('fixed pages', () => {
  it('are all of one size but the last', () => {
    const lengths = [...cutBytes(new Uint8Array(1000), fixedCutter({ size: 300 }))].map(
      ({ length }) => length,
    );
    expect(lengths).toEqual([300, 300, 300, 100]);
    expect([...cutBytes(new Uint8Array(600), fixedCutter({ size: 300 }))]).toHaveLength(2);
  });

  it('in which nothing was written are the same', () => {
    fc.assert(
      fc.property(fc.nat({ max: 4999 }), (at) => {
        const before = seededBytes(5000, 1);
        const after = before.slice();
        after[at] = (after[at] as number) ^ 1;
        const cutter = fixedCutter({ size: 300 });
        const differing = cut(after, cutter).flatMap((page, i) =>
          page === cut(before, cutter)[i] ? [] : [i],
        );
        expect(differing).toEqual([Math.floor(at / 300)]);
      }),
    );
  });

  it.each([63, 2 ** 31, 100.5, Number.NaN])('are not of %d bytes', (size) => {
    expect(() => checkFixedOptions({ size })).toThrow(RangeError);
    expect(() => checkFixedOptions(DEFAULT_FIXED)).not.toThrow();
  });

  it('are for redb and SQLite', () => {
    const redb = Uint8Array.of(0x72, 0x65, 0x64, 0x62, 0x1a, 0x0a, 0xa9, 0x0d, 0x0a);
    expect(isPaged(concatBytes([redb, seededBytes(100, 1)]))).toBe(true);
    expect(isPaged(utf8('SQLite format 3\0 and more'))).toBe(true);
    expect(isPaged(utf8('SQLite format 3'))).toBe(false);
    expect(isPaged(new Uint8Array(0))).toBe(false);
    expect(isPaged(seededBytes(100, 1))).toBe(false);
    expect(PAGED_START_BYTES).toBe(16);
  });
});
