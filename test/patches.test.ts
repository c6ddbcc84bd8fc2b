/** Chunks that are made of stored ones by a patch: the bytes, the address and what was replaced, by any coder; and what cannot be patched. */
import fc from 'fast-check';
import { afterAll, describe, expect, it } from 'vitest';
import { type BlobStore, memoryBlobStore } from 'vecsnap/blob';
import {
  ChunkStore,
  ChunkWriter,
  type ChunkPatch,
  CODECS,
  type CompressionOptions,
  decodeChunk,
  graphInMemory,
  inlineCoder,
  type NewChunk,
  type PatchedChunk,
  type StoredChunk,
  type UnitPatch,
} from 'vecsnap/cas';
import { type Address, toHex } from 'vecsnap/core';
import { nodeDeflate, nodeSha256, nodeSha256OfTwo, pooledCoder } from 'vecsnap/platform';
import { runs } from './support/arbitraries.js';
import { seededBytes } from './support/files.js';
import { OPTIONS, putAll, reopen, storeParts } from './support/stores.js';

const NODE = { sha256: nodeSha256, deflate: nodeDeflate };
const AUTO: CompressionOptions = { compression: 'auto', compressionLevel: 6 };
const inline = inlineCoder(NODE);
const pool = pooledCoder({ threads: 2 });
const helping = pooledCoder({ threads: 2, helps: true });
afterAll(() => Promise.all([pool.close(), helping.close()]));

interface Case {
  readonly unit: number;
  readonly width: 0 | 1 | 2 | 4 | 8;
  readonly before: Uint8Array;
  readonly patch: UnitPatch;
  readonly after: Uint8Array;
}

/** Records, and others in the places of some; some of those are the same. */
const anyCase: fc.Arbitrary<Case> = fc
  .record({
    unit: fc.constantFrom(1, 4, 16, 100, 512),
    width: fc.constantFrom<Case['width']>(0, 1, 2, 4, 8),
    count: fc.integer({ min: 1, max: 130 }),
    places: fc.uniqueArray(fc.nat({ max: 129 }), { minLength: 1, maxLength: 12 }),
    everything: fc.boolean(),
    same: fc.constantFrom('none', 'some', 'all'),
    seed: fc.nat({ max: 1e6 }),
    isFlat: fc.boolean(),
  })
  .map(({ unit, width, count, places: some, everything, same, seed, isFlat }) => {
    const before = seededBytes(count * unit, seed).map((byte) => (isFlat ? byte & 3 : byte));
    const all = everything ? [...before.keys()].slice(0, count) : some.map((place) => place % count);
    const places = [...new Set(all)].toSorted((a, b) => a - b);
    const after = before.slice();
    for (const [i, place] of places.entries()) {
      if (same === 'all' || (same === 'some' && i % 2 === 0)) continue;
      after.set(seededBytes(unit, seed + i + 1), place * unit);
    }
    const bytes = Uint8Array.from(places.flatMap((place) => [...unitAt(after, unit, place)]));
    return { unit, width, before, patch: { length: before.length, unit, width, places, bytes }, after };
  });

function unitAt(bytes: Uint8Array, unit: number, place: number): Uint8Array {
  return bytes.subarray(place * unit, (place + 1) * unit);
}

/** The chunk in the form in which it would be kept alone. */
async function stored(bytes: Uint8Array, width: Case['width']): Promise<StoredChunk> {
  const [form] = await inline.encode([{ bytes, width }], AUTO);
  return {
    ...(form as { codec: number; bytes: Uint8Array }),
    address: nodeSha256(bytes),
    length: bytes.length,
  };
}

/** All that can be said of results, so that those of two coders can be compared. */
function told(results: readonly (PatchedChunk | 'same' | 'damaged')[]) {
  return results.map((one) =>
    typeof one === 'string'
      ? one
      : {
          address: toHex(one.address),
          replaced: toHex(one.replaced),
          codec: one.codec,
          bytes: toHex(one.bytes),
          bases: one.bases?.map(toHex),
        },
  );
}

function expectRight(
  result: PatchedChunk | 'same' | 'damaged' | undefined,
  base: StoredChunk,
  one: Case,
): void {
  const isSame = Buffer.compare(one.before, one.after) === 0;
  if (isSame) return expect(result).toBe('same');
  const patched = result as PatchedChunk;
  expect(toHex(patched.address)).toBe(toHex(nodeSha256(one.after)));
  const replaced = one.patch.places.map((place) => Buffer.from(unitAt(one.before, one.unit, place)));
  expect(Buffer.compare(Buffer.concat(replaced), patched.replaced)).toBe(0);
  const { address, codec, bytes } = patched;
  const bases = codec === CODECS.delta ? [base] : undefined;
  expect(patched.bases?.map(toHex)).toEqual(bases?.map((chunk) => toHex(chunk.address)));
  const plain = decodeChunk({ address, codec, bytes, length: one.after.length, bases }, true, NODE);
  expect(Buffer.compare(plain, one.after)).toBe(0);
}

describe('a patch', () => {
  it('gives the chunk with other records, whichever coder makes it and whatever overlaps', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(anyCase, { maxLength: 4 }),
        fc.constantFrom<CompressionOptions['compression']>('auto', 'none'),
        async (cases, compression) => {
          const options = { ...AUTO, compression };
          const bases = await Promise.all(cases.map(({ before, width }) => stored(before, width)));
          // Twice the same chunk with different patches: the one must not see what the other made of it.
          const chunks = [...bases, ...bases.slice(0, 1)];
          const all = [...cases, ...cases.slice(0, 1).map(reversed)];
          const graph = graphInMemory(chunks);
          const patches = all.map(({ patch }) => patch);
          const expected = await inline.patch(graph, patches, options);
          for (const [i, one] of all.entries()) expectRight(expected[i], chunks[i] as StoredChunk, one);
          const others = await Promise.all(
            [pool, helping, pool].map((coder) => coder.patch(graph, patches, options)),
          );
          for (const [i, results] of others.entries()) {
            expect(told(results)).toEqual(told(expected));
            const bytes = results.flatMap((one) => (typeof one === 'string' ? [] : [one.bytes]));
            (i === 1 ? helping : pool).release?.(bytes); // Its memory may be written over now.
          }
          for (const [i, { before }] of cases.entries())
            expect(toHex(nodeSha256(before))).toBe(toHex((chunks[i] as StoredChunk).address));
        },
      ),
      { numRuns: runs(60) },
    );
  });

  it('of a record costs little more than the record', async () => {
    const before = seededBytes(128 * 512, 1);
    const bytes = seededBytes(512, 2);
    const patch = { length: before.length, unit: 512, width: 4, places: [77], bytes } as const;
    const [result] = await pool.patch(graphInMemory([await stored(before, 4)]), [patch], AUTO);
    expect(result).toMatchObject({ codec: CODECS.delta });
    expect((result as PatchedChunk).bytes.length).toBeLessThan(512 + 24);
  });

  it.each([
    ['outside of the chunk', { places: [4] }],
    ['not in order', { places: [2, 1], bytes: new Uint8Array(200) }],
    ['at no place', { places: [-1] }],
    ['twice', { places: [1, 1], bytes: new Uint8Array(200) }],
    ['of another length', { places: [1, 2] }],
    ['of units that do not fill the chunk', { unit: 300, places: [0], bytes: new Uint8Array(300) }],
  ])('that is %s is one of no chunk', async (_, other: Partial<UnitPatch>) => {
    const patch: UnitPatch = {
      length: 400,
      unit: 100,
      width: 0,
      places: [1],
      bytes: new Uint8Array(100),
      ...other,
    };
    const graph = graphInMemory([await stored(seededBytes(400, 1), 0)]);
    expect(await inline.patch(graph, [patch], AUTO)).toEqual(['damaged']);
  });

  it('is not made of a chunk that is damaged, whatever is damaged in it', async () => {
    await fc.assert(
      fc.asyncProperty(anyCase, fc.nat(), fc.integer({ min: 1, max: 255 }), async (one, at, flip) => {
        const sound = await stored(one.before, one.width);
        const i = at % sound.bytes.length;
        const bytes = sound.bytes.with(i, (sound.bytes[i] as number) ^ flip);
        const graph = graphInMemory([{ ...sound, bytes }]);
        const [[here], [there]] = (await Promise.all(
          [inline, pool].map((coder) => coder.patch(graph, [one.patch], AUTO)),
        )) as [[PatchedChunk | string], [PatchedChunk | string]];
        if (here !== 'damaged') expectRight(here as PatchedChunk, sound, one); // A bit that means nothing.
        expect(typeof there).toBe(typeof here);
      }),
      { numRuns: runs(100) },
    );
  });

  it.each([
    ['begins with', 5],
    ['holds', 77],
    ['ends with', 120],
  ])('is not made of a long chunk in a thread when what it %s is damaged', async (_, damagedAt) => {
    const before = seededBytes(128 * 512, 1);
    const patch: UnitPatch = {
      length: before.length,
      unit: 512,
      width: 4,
      places: [77],
      bytes: seededBytes(512, 2),
    };
    const bytes = before.with(damagedAt * 512, (before[damagedAt * 512] as number) ^ 1);
    const other = { ...(await stored(bytes, 4)), address: nodeSha256(before) };
    expect(await pool.patch(graphInMemory([other]), [patch], AUTO)).toEqual(['damaged']);
  });
});

describe('SHA-256 of two that begin alike', () => {
  it('is that of each, however much they share', () => {
    const size = 48 * 1024;
    for (const shared of [0, 1, 63, 16 * 1024 - 1, 16 * 1024, 16 * 1024 + 1, size - 1, size]) {
      const [a, b] = [seededBytes(size, 1), seededBytes(size + 5, 2)];
      b.set(a.subarray(0, shared));
      expect(nodeSha256OfTwo(a, b, shared).map(toHex)).toEqual([a, b].map(nodeSha256).map(toHex));
    }
  });
});

function reversed(one: Case): Case {
  const { unit, patch, before } = one;
  const bytes = patch.bytes.toReversed();
  const after = before.slice();
  for (const [i, place] of patch.places.entries()) after.set(unitAt(bytes, unit, i), place * unit);
  return { ...one, patch: { ...patch, bytes }, after };
}

const UNIT = 64;

function records(seed: number): NewChunk {
  return { bytes: seededBytes(40 * UNIT, seed), width: 4, kind: 'data' };
}

/** A chunk with the n-th record of another seed. */
function withRecord(
  { bytes }: NewChunk,
  place: number,
  seed: number,
): { chunk: NewChunk; patch: ChunkPatch } {
  const record = seededBytes(UNIT, seed);
  const after = bytes.slice();
  after.set(record, place * UNIT);
  return {
    chunk: { bytes: after, width: 4, kind: 'data' },
    patch: {
      of: nodeSha256(bytes),
      length: bytes.length,
      unit: UNIT,
      width: 4,
      places: [place],
      bytes: record,
    },
  };
}

async function patched(store: ChunkStore, patches: readonly ChunkPatch[]) {
  const writer = new ChunkWriter(store);
  const results = await writer.patch(patches);
  return { results, totals: await writer.commit() };
}

describe('a writer', () => {
  it('stores what patches make, once, and in the order of the calls', async () => {
    const blobs = memoryBlobStore();
    const before = records(1);
    await putAll(await reopen(blobs), [before]);
    const [a, b] = [withRecord(before, 3, 10), withRecord(before, 39, 11)];
    const store = await reopen(blobs);
    const writer = new ChunkWriter(store);
    const [first, second, third] = await Promise.all([
      writer.patch([a.patch, b.patch, a.patch]),
      writer.patch([b.patch]),
      writer.put([a.chunk]),
    ]);
    const of = (addresses: readonly (Address | undefined)[]) => addresses.map((one) => one && toHex(one));
    const [ofA, ofB] = of([nodeSha256(a.chunk.bytes), nodeSha256(b.chunk.bytes)]);
    expect(of(first.map((one) => one?.address))).toEqual([ofA, ofB, ofA]);
    expect(of([...second.map((one) => one?.address), ...third])).toEqual([ofB, ofA]);
    expect(await writer.commit()).toMatchObject({ chunks: 2 });
    const again = await reopen(blobs);
    const plain = await again.getMany([nodeSha256(a.chunk.bytes), nodeSha256(b.chunk.bytes)]);
    expect(plain.map((one) => Buffer.compare(one, one === plain[0] ? a.chunk.bytes : b.chunk.bytes))).toEqual(
      [0, 0],
    );
  });

  it('stores nothing for what is there, or is the same', async () => {
    const blobs = memoryBlobStore();
    const before = records(1);
    const { chunk, patch } = withRecord(before, 3, 10);
    await putAll(await reopen(blobs), [before, chunk]);
    const same = { ...patch, bytes: before.bytes.slice(3 * UNIT, 4 * UNIT) };
    const { results, totals } = await patched(await reopen(blobs), [patch, same]);
    expect(results[0]?.address).toEqual(nodeSha256(chunk.bytes));
    expect(results[1]).toEqual({ address: nodeSha256(before.bytes), replaced: undefined });
    expect(totals).toEqual({ chunks: 0, bytes: 0 });
  });

  it('can go on for ever: what would be at the end of too long a chain stands alone', async () => {
    const blobs = memoryBlobStore();
    let now = records(1);
    await putAll(await reopen(blobs), [now]);
    const codecs = [];
    for (let round = 0; round < 60; round++) {
      const { chunk, patch } = withRecord(now, round % 40, 100 + round);
      const store = await reopen(blobs);
      expect((await patched(store, [patch])).results[0]?.address).toEqual(nodeSha256(chunk.bytes));
      const [location] = await store.locate([nodeSha256(chunk.bytes)]);
      codecs.push(location?.codec === CODECS.delta);
      now = chunk;
    }
    expect(codecs.indexOf(false)).toBe(48);
    expect(codecs.filter((isDelta) => !isDelta)).toHaveLength(1);
    expect(Buffer.compare(await (await reopen(blobs)).get(nodeSha256(now.bytes)), now.bytes)).toBe(0);
  });

  it('keeps chunks as they are when nothing is to be compressed', async () => {
    const blobs = memoryBlobStore();
    const before = records(1);
    const { chunk, patch } = withRecord(before, 3, 10);
    await putAll(await reopen(blobs), [before]);
    const store = await reopen(blobs, undefined, { compression: 'none' });
    await patched(store, [patch]);
    expect(await store.locate([nodeSha256(chunk.bytes)])).toMatchObject([{ codec: CODECS.raw }]);
    expect(Buffer.compare(await store.get(nodeSha256(chunk.bytes)), chunk.bytes)).toBe(0);
  });

  describe('leaves it to be put whole', () => {
    const before = records(1);
    const { patch } = withRecord(before, 3, 10);

    it.each([
      ['is in no pack', []],
      ['has another length than is said', [{ ...before, bytes: before.bytes.subarray(UNIT) }]],
    ] as const)('what is made of a chunk that %s', async (_, there) => {
      const blobs = memoryBlobStore();
      const addresses = await putAll(await reopen(blobs), [...there, records(7)]);
      const of = there.length === 0 ? patch.of : (addresses[0] as Address);
      const sound = withRecord(records(7), 0, 8).patch;
      const { results, totals } = await patched(await reopen(blobs), [{ ...patch, of }, sound]);
      expect(results.map((one) => one !== undefined)).toEqual([false, true]);
      expect(totals).toMatchObject({ chunks: 1 });
    });

    it('what is made of a chunk that is damaged', async () => {
      const blobs = memoryBlobStore();
      await putAll(await reopen(blobs), [before]);
      const harmed = await harm(blobs);
      expect(await patched(await reopen(harmed), [patch])).toEqual({
        results: [undefined],
        totals: { chunks: 0, bytes: 0 },
      });
    });

    it('what is made of a chunk whose pack goes meanwhile', async () => {
      const blobs = memoryBlobStore();
      const [pack] = await packsOf(blobs, [before]);
      const store = await reopen(blobs);
      await blobs.delete(pack as string);
      expect(await patched(store, [patch])).toEqual({
        results: [undefined],
        totals: { chunks: 0, bytes: 0 },
      });
    });

    it('what stands there as a delta of a chunk that is gone', async () => {
      const blobs = memoryBlobStore();
      const [gone] = await packsOf(blobs, [records(2)]);
      const base = records(2);
      // The chunk that the patch makes, told by one of another pack, which then goes.
      const told: NewChunk = {
        bytes: base.bytes.with(5, 1 + (base.bytes[5] as number)),
        width: 4,
        kind: 'data',
        similar: { unit: UNIT, addresses: [nodeSha256(base.bytes)] },
      };
      await packsOf(blobs, [told]);
      const other = { bytes: told.bytes.slice(), width: 4, kind: 'data' } as const;
      const source = withRecord(other, 9, 44);
      await packsOf(blobs, [source.chunk]);
      await blobs.delete(gone as string);
      const store = await reopen(blobs);
      const back: ChunkPatch = {
        ...source.patch,
        of: nodeSha256(source.chunk.bytes),
        bytes: other.bytes.slice(9 * UNIT, 10 * UNIT),
      };
      expect(await patched(store, [back])).toEqual({ results: [undefined], totals: { chunks: 0, bytes: 0 } });
      await putAll(await reopen(blobs), [other]); // Which is why it has to be put: it then stands alone.
      expect(Buffer.compare(await (await reopen(blobs)).get(nodeSha256(other.bytes)), other.bytes)).toBe(0);
    });
  });

  it('passes on what fails in the coder, and the calls after it have their turn', async () => {
    const blobs = memoryBlobStore();
    const before = records(1);
    await putAll(await reopen(blobs), [before]);
    const coder = {
      ...inline,
      patch: () => Promise.reject(new Error('no thread')),
    };
    const store = await ChunkStore.open(storeParts({ blobs, coder }), OPTIONS);
    const writer = new ChunkWriter(store);
    const failing = writer.patch([withRecord(before, 3, 10).patch]);
    const after = writer.put([records(5)]);
    await expect(failing).rejects.toThrow('no thread');
    expect(await after).toEqual([nodeSha256(records(5).bytes)]);
  });
});

/** Stores chunks in packs of their own. Gives the names of those packs. */
async function packsOf(blobs: BlobStore, chunks: readonly NewChunk[]): Promise<string[]> {
  const before = new Set((await reopen(blobs)).packs.keys());
  await putAll(await reopen(blobs), chunks);
  return [...(await reopen(blobs)).packs.keys()].filter((name) => !before.has(name));
}

/** The same packs, with a bit of the first chunk of each changed. */
async function harm(blobs: BlobStore): Promise<BlobStore> {
  const harmed = memoryBlobStore();
  for await (const { name } of blobs.list('')) {
    const bytes = await blobs.get(name);
    const at = 200;
    await harmed.put(name, bytes.with(at, (bytes[at] as number) ^ 1));
  }
  return harmed;
}
