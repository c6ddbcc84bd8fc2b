/** What a sweep will give back, where it writes too many deltas anew for all of them to be encoded first. */
import fc from 'fast-check';
import { memoryBlobStore } from 'vecsnap/blob';
import { type ChunkCoder, ChunkStore, inlineCoder } from 'vecsnap/cas';
import type { Address } from 'vecsnap/core';
import { DEFAULT_SWEEP, markChunks, planSweep, type PreparedSweep, priceSweep, sweep } from 'vecsnap/gc';
import { nodeDeflate, nodeSha256 } from 'vecsnap/platform';
import { describe, expect, it } from 'vitest';
import { runs } from './support/arbitraries.js';
import { OPTIONS, putAll, storeParts } from './support/stores.js';
import { uniform } from './support/uniform.js';

const RECORD = 64;
const RECORDS = 32;
const CHUNK = RECORD * RECORDS;

/** Chunks of one kind, of which some records change from version to version. */
interface Mixed {
  readonly chunks: number;
  readonly versions: number;
  /** The part of the bytes of a record that are not zero, before and after a change. */
  readonly density: number;
  readonly changedDensity: number;
  /** The part of the records that change, on the average. */
  readonly changes: number;
}

const anyMixed: fc.Arbitrary<Mixed> = fc.record({
  chunks: fc.integer({ min: 30, max: 300 }),
  versions: fc.integer({ min: 2, max: 4 }),
  density: fc.constantFrom(1, 0.7, 0.2, 0.02),
  changedDensity: fc.constantFrom(1, 0.4, 0.1),
  changes: fc.double({ min: 0.1, max: 0.4, noNaN: true }),
});

const DENSE: Mixed = { chunks: 300, versions: 2, density: 1, changedDensity: 1, changes: 0.33 };
const SPARSE: Mixed = { ...DENSE, density: 0.02, changedDensity: 0.2 };

/** A store of all versions of which the last ones are needed, and the plan of its sweep. */
async function make(mix: readonly Mixed[], seed: number) {
  const random = uniform(seed);
  const coder = countingCoder();
  const parts = storeParts({ blobs: memoryBlobStore(), coder });
  const store = await ChunkStore.open(parts, { ...OPTIONS, packBytes: 100_000 });
  const needed: Address[] = [];
  for (const one of mix) needed.push(...(await putMixed(store, one, random)));
  const prepared = planSweep(store, await markChunks(store, needed), DEFAULT_SWEEP);
  return { store, prepared, coder };
}

/** Gives the addresses of the last version. */
async function putMixed(store: ChunkStore, mixed: Mixed, random: () => number): Promise<Address[]> {
  const all = Array.from({ length: mixed.chunks }, () => new Uint8Array(CHUNK));
  for (const bytes of all) for (let i = 0; i < RECORDS; i++) fill(bytes, i, mixed.density, random);
  let addresses: Address[] = [];
  for (let version = 0; version < mixed.versions; version++) {
    const chunks = all.map((bytes, i) => {
      const before = addresses.slice(i, i + 1);
      const similar = before.length === 0 ? undefined : { unit: RECORD, addresses: before };
      return { bytes: bytes.slice(), width: 0, kind: 'data', similar } as const;
    });
    addresses = await putAll(store, chunks);
    await store.refresh();
    for (const bytes of all) {
      const part = mixed.changes * 2 * random(); // Some chunks change more than others.
      for (let i = 0; i < RECORDS; i++) if (random() < part) fill(bytes, i, mixed.changedDensity, random);
    }
  }
  return addresses;
}

function fill(bytes: Uint8Array, record: number, density: number, random: () => number): void {
  for (let i = record * RECORD; i < (record + 1) * RECORD; i++)
    bytes[i] = random() < density ? Math.floor(random() * 256) : 0;
}

/** Counts the chunks that are encoded. */
function countingCoder(): ChunkCoder & { encoded: number } {
  const coder = inlineCoder({ sha256: nodeSha256, deflate: nodeDeflate });
  const counting = {
    ...coder,
    encoded: 0,
    encode(...args: Parameters<ChunkCoder['encode']>) {
      counting.encoded += args[0].length;
      return coder.encode(...args);
    },
  };
  return counting;
}

function deltaBytes({ plan }: PreparedSweep): number {
  return plan.flattenedChunks * CHUNK;
}

describe('the price of a sweep', () => {
  it.each([
    ['dense and sparse', [DENSE, SPARSE]],
    ['sparse and dense', [SPARSE, DENSE]],
    ['sparse between dense', [DENSE, { ...SPARSE, versions: 4 }, { ...DENSE, versions: 3 }]],
    [
      'dense among many sparse',
      [
        { ...SPARSE, chunks: 1500 },
        { ...DENSE, chunks: 100 },
      ],
    ],
  ])('is right within a fiftieth of what comes back, from some of the deltas: %s', async (_, mix) => {
    const { store, prepared, coder } = await make(mix, 1);
    expect(prepared.plan.flattenedChunks).toBeGreaterThan(200);
    coder.encoded = 0;
    const price = await priceSweep(store, prepared, deltaBytes(prepared) / 5);
    expect(coder.encoded).toBeLessThan(prepared.plan.flattenedChunks);
    const { reclaimedBytes } = await sweep(store, prepared);
    expect(Math.abs(price / reclaimedBytes - 1)).toBeLessThan(0.02);
  });

  it('is right within a fiftieth of what comes back for any mix', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(anyMixed, { minLength: 1, maxLength: 4 }),
        fc.nat(),
        fc.constantFrom(2, 5, 20),
        async (mix, seed, divisor) => {
          const { store, prepared } = await make(mix, seed);
          const price = await priceSweep(store, prepared, deltaBytes(prepared) / divisor);
          const { reclaimedBytes } = await sweep(store, prepared);
          expect(reclaimedBytes).toBeGreaterThanOrEqual(0);
          expect(Math.abs(price - reclaimedBytes)).toBeLessThanOrEqual(0.02 * reclaimedBytes);
        },
      ),
      { numRuns: runs(10) },
    );
  });

  it('ends, and is right, also when none may be encoded first', async () => {
    const { store, prepared } = await make([SPARSE, DENSE], 3);
    const price = await priceSweep(store, prepared, 0);
    const { reclaimedBytes } = await sweep(store, prepared);
    expect(Math.abs(price / reclaimedBytes - 1)).toBeLessThan(0.02);
  });

  it('is right to the byte when all deltas may be encoded', async () => {
    const { store, prepared } = await make([SPARSE, DENSE], 2);
    const price = await priceSweep(store, prepared, deltaBytes(prepared));
    expect((await sweep(store, prepared)).reclaimedBytes).toBe(price);
  });
});
