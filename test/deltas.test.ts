/** Deltas: what they tell comes back, however long the chain; what they copy from stays; what is missing or damaged is named. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type BlobStore, memoryBlobStore } from 'vecsnap/blob';
import {
  type ChunkStore,
  checkPacks,
  CODECS,
  decodeChunk,
  encodeChunk,
  type Kin,
  type NewChunk,
  type PlainChunk,
  type StoredChunk,
  Wholeness,
} from 'vecsnap/cas';
import { type Address, formatAddress, isVecsnapError, toHex, VecsnapError } from 'vecsnap/core';
import { DEFAULT_SWEEP, markChunks, planSweep, sweep } from 'vecsnap/gc';
import { nodeDeflate, nodeSha256, portableDeflate } from 'vecsnap/platform';
import { outcome, runs } from './support/arbitraries.js';
import { collect } from './support/collect.js';
import { seededBytes } from './support/files.js';
import { putAll, reopen } from './support/stores.js';

const NODE = { sha256: nodeSha256, deflate: nodeDeflate };
const PORTABLE = { sha256: nodeSha256, deflate: portableDeflate };
const AUTO = { compression: 'auto', compressionLevel: 6 } as const;

/** A chunk that stands alone. */
function alone(bytes: Uint8Array): StoredChunk {
  return { address: nodeSha256(bytes), codec: CODECS.raw, bytes, length: bytes.length };
}

/** The chunk as it is kept when it may be told by `bases`. */
function told(plain: PlainChunk, unit: number, bases: readonly StoredChunk[]): StoredChunk {
  const kin: Kin = { unit, chunks: bases };
  const { codec, bytes, bases: used } = encodeChunk({ ...plain, kin }, AUTO, NODE);
  const { length } = plain.bytes;
  const byAddress = (address: Address) =>
    bases.find((base) => toHex(base.address) === toHex(address)) as StoredChunk;
  return {
    address: nodeSha256(plain.bytes),
    codec,
    bytes,
    length,
    ...(used && { bases: used.map(byAddress) }),
  };
}

/** Numbers of 4 bytes of which two bytes are anything. */
function numbers(count: number, seed: number): Uint8Array {
  const bytes = seededBytes(4 * count, seed);
  return bytes.map((byte, i) => (i % 4 === 3 ? 60 + (byte & 3) : i % 4 === 2 ? byte & 31 : byte));
}

/** Records made of records of the bases and of new ones, in any order: what edits of any kind make of them. */
const anyEdit = fc.record({
  unit: fc.constantFrom(1, 2, 4, 12, 16, 100),
  width: fc.constantFrom<0 | 1 | 2 | 4 | 8>(0, 1, 2, 4, 8),
  baseCounts: fc.array(fc.integer({ min: 1, max: 200 }), { minLength: 1, maxLength: 4 }),
  parts: fc.array(
    fc.record({ isNew: fc.boolean(), at: fc.nat({ max: 800 }), count: fc.integer({ min: 1, max: 120 }) }),
    { maxLength: 12 },
  ),
  seed: fc.nat(),
});

type Edit = typeof anyEdit extends fc.Arbitrary<infer T> ? T : never;

function edited({ unit, baseCounts, parts, seed }: Edit): { bases: Uint8Array[]; target: Uint8Array } {
  const bases = baseCounts.map((count, i) => seededBytes(count * unit, seed + i));
  const joined = Buffer.concat(bases);
  const pieces = parts.map(({ isNew, at, count }, i) => {
    if (isNew) return seededBytes(Math.min(count, 9) * unit, seed + 100 + i);
    const from = (at % (joined.length / unit)) * unit;
    return joined.subarray(from, from + count * unit);
  });
  return { bases, target: new Uint8Array(Buffer.concat(pieces)) };
}

describe('a delta', () => {
  it('comes back whatever was edited, on any machine', () => {
    fc.assert(
      fc.property(anyEdit, (edit) => {
        const { bases, target } = edited(edit);
        const chunk = told({ bytes: target, width: edit.width }, edit.unit, bases.map(alone));
        for (const machine of [NODE, PORTABLE])
          expect(Buffer.compare(decodeChunk(chunk, true, machine), target)).toBe(0);
        expect(chunk.bytes.length).toBeLessThanOrEqual(target.length);
        if (chunk.codec !== CODECS.delta) expect(chunk.bases).toBeUndefined();
        else expect(chunk.bases?.length).toBeGreaterThan(0);
      }),
      { numRuns: runs(500) },
    );
  });

  it('comes back whatever was edited in place, on any machine', () => {
    const anyPlace = fc.record({ at: fc.nat({ max: 9000 }), length: fc.integer({ min: 1, max: 300 }) });
    fc.assert(
      fc.property(
        fc.array(anyPlace, { maxLength: 8 }),
        fc.nat({ max: 9 }),
        fc.nat({ max: 40 }),
        fc.nat({ max: 40 }),
        (places, shift, less, more) => {
          const base = numbers(2200, 1).slice(shift);
          const target = new Uint8Array(Buffer.concat([base.slice(less), seededBytes(more, 2)]));
          for (const { at, length } of places)
            target.set(numbers(75, at).subarray(0, length), Math.min(at, target.length - 300));
          const chunk = told({ bytes: target, width: 0 }, 1, [alone(base.slice(less))]);
          expect(chunk.codec).toBe(CODECS.delta);
          for (const machine of [NODE, PORTABLE])
            expect(Buffer.compare(decodeChunk(chunk, true, machine), target)).toBe(0);
        },
      ),
      { numRuns: runs(300) },
    );
  });

  it.each([
    ['records that changed in place', 384 * 4, 4],
    ['bytes', 1, 0],
  ] as const)('of %s costs little more than what is new', (_, unit, width) => {
    const base = seededBytes(90 * 1536, 1);
    const target = base.slice();
    target.set(seededBytes(1536, 2), 17 * 1536);
    const chunk = told({ bytes: target, width }, unit, [alone(base)]);
    expect(chunk.codec).toBe(CODECS.delta);
    expect(chunk.bytes.length).toBeLessThan(1536 + 24);
  });

  it.each([
    ['words', 64],
    ['bytes', 63],
  ])('goes on from one base to the next, and tells where that is, in %s', (_, unit) => {
    const bases = [40, 3, 37].map((count, i) => seededBytes(count * unit, i));
    const joined = Buffer.concat(bases);
    const part = (from: number, to: number) => joined.subarray(from * unit, to * unit);
    const target = new Uint8Array(Buffer.concat([part(70, 80), part(21, 70), seededBytes(unit, 9)]));
    const chunk = told({ bytes: target, width: 0 }, unit, bases.map(alone));
    expect(chunk.bases?.length).toBe(3);
    expect(chunk.bytes.length).toBeLessThan(unit + 24);
    expect(decodeChunk(chunk, true, NODE)).toEqual(target);
  });

  it.each([
    ['in the first base', 0, 0],
    ['in the second base', 1, 0],
    ['from an odd place on', 0, 3],
  ])(
    'of bytes of no known kind keeps what changed in place %s as the numbers they are',
    (_, which, shift) => {
      const base = numbers(16_000, 1).slice(shift);
      const target = base.slice();
      for (const [i, place] of [36_000, 50_004].entries()) target.set(numbers(384, 2 + i), place - shift);
      const bases = [alone(seededBytes(64_000, 5)), alone(seededBytes(64_000, 6))].with(which, alone(base));
      const chunk = told({ bytes: target, width: 0 }, 1, bases);
      expect(chunk.bases?.map(({ address }) => toHex(address))).toEqual([toHex(nodeSha256(base))]);
      expect(chunk.bytes.length).toBeLessThan(2 * 1536 * 0.8);
      expect(decodeChunk(chunk, true, NODE)).toEqual(target);
      expect(decodeChunk(chunk, true, PORTABLE)).toEqual(target);
    },
  );

  it('finds bytes that moved, however few others changed', () => {
    const base = seededBytes(64_000, 1);
    const moved = new Uint8Array(Buffer.concat([base.subarray(30_001), base.subarray(0, 30_001)]));
    expect(told({ bytes: moved, width: 0 }, 1, [alone(base)]).bytes.length).toBeLessThan(24);
    const exchanged = base.slice(); // More than a 16th of it, where the rest is in its place.
    exchanged.set(base.subarray(40_000, 42_500), 10_000);
    exchanged.set(base.subarray(10_000, 12_500), 40_000);
    expect(told({ bytes: exchanged, width: 0 }, 1, [alone(base)]).bytes.length).toBeLessThan(40);
  });

  it('has only those bases that it copies from', () => {
    const [a, b, c] = [1, 2, 3].map((seed) => seededBytes(4000, seed)) as [
      Uint8Array,
      Uint8Array,
      Uint8Array,
    ];
    const target = new Uint8Array(Buffer.concat([a, c]));
    const chunk = told({ bytes: target, width: 0 }, 1, [a, b, c].map(alone));
    expect(chunk.bases?.map(({ address }) => toHex(address))).toEqual(
      [a, c].map((base) => toHex(nodeSha256(base))),
    );
  });

  it('is not taken where it saves too little, or where bases have other records', () => {
    const base = seededBytes(4000, 1);
    const target = new Uint8Array(Buffer.concat([base.subarray(0, 900), seededBytes(3100, 2)]));
    expect(told({ bytes: target, width: 0 }, 1, [alone(base)]).codec).toBe(CODECS.raw);
    expect(told({ bytes: base, width: 0 }, 3, [alone(base)]).codec).toBe(CODECS.raw);
  });

  it('is never told by a chunk that is damaged', () => {
    const base = seededBytes(4000, 1);
    const damaged = { ...alone(base), bytes: base.with(9, (base[9] as number) ^ 1) };
    expect(told({ bytes: base.with(0, 7), width: 0 }, 1, [damaged]).codec).toBe(CODECS.raw);
  });

  it('that is damaged is told or comes back right', () => {
    fc.assert(
      fc.property(
        anyEdit,
        fc.nat(),
        fc.integer({ min: 1, max: 255 }),
        fc.boolean(),
        (edit, at, change, cut) => {
          const { bases, target } = edited(edit);
          const chunk = told({ bytes: target, width: edit.width }, edit.unit, bases.map(alone));
          fc.pre(chunk.bytes.length > 0);
          const i = at % chunk.bytes.length;
          const bytes = cut
            ? chunk.bytes.slice(0, i)
            : new Uint8Array(chunk.bytes).with(i, (chunk.bytes[i] as number) ^ change);
          const result = outcome(() => decodeChunk({ ...chunk, bytes }, true, NODE));
          if ('error' in result) expect(isVecsnapError(result.error, 'CHUNK_DAMAGED')).toBe(true);
          else expect(Buffer.compare(result.value, target)).toBe(0);
        },
      ),
      { numRuns: runs(500) },
    );
  });

  it('of any bytes is decoded or refused', () => {
    const base = alone(seededBytes(100, 1));
    fc.assert(
      fc.property(
        fc.uint8Array({ maxLength: 40 }),
        fc.nat({ max: 300 }),
        fc.nat({ max: 3 }),
        (bytes, length, bases) => {
          const chunk = {
            address: base.address,
            codec: CODECS.delta,
            bytes,
            length,
            bases: Array.from({ length: bases }, () => base),
          };
          const result = outcome(() => decodeChunk(chunk, false, NODE));
          if ('error' in result) expect(isVecsnapError(result.error, 'CHUNK_DAMAGED')).toBe(true);
          else expect(result.value).toHaveLength(length);
        },
      ),
      { numRuns: runs(3000) },
    );
  });

  it('of pieces without number takes no more memory than a few times its length', () => {
    // Each copies single bytes of the one before in reverse order, as often as it can.
    let chunk = alone(seededBytes(50_000, 1));
    for (let level = 0; level < 6; level++) {
      const steps = Array.from({ length: 50_000 }, (_, i) => [0, 1, i === 0 ? 2 * 49_999 : 3]).flatMap(
        (step) => step,
      );
      const head = [1, 0, ...varint(50_000)];
      const bytes = Uint8Array.from([...head, ...steps.flatMap(varint), 0]);
      chunk = { address: chunk.address, codec: CODECS.delta, bytes, length: 50_000, bases: [chunk] };
    }
    expect(decodeChunk(chunk, false, NODE)).toEqual(seededBytes(50_000, 1));
  });
});

function varint(value: number): number[] {
  return value < 128 ? [value] : [(value % 128) + 128, ...varint(Math.floor(value / 128))];
}

const RECORD = 64;

/** The n-th version of a chunk of records: each version has another record that is new. */
function version(n: number, seed = 0): Uint8Array {
  const bytes = seededBytes(40 * RECORD, seed * 1000);
  for (let i = 1; i <= n; i++) bytes.set(seededBytes(RECORD, seed * 1000 + i), ((i * 7) % 40) * RECORD);
  return bytes;
}

function newChunk(bytes: Uint8Array, similar: readonly Address[] = []): NewChunk {
  return {
    bytes,
    width: 4,
    kind: 'data',
    ...(similar.length > 0 && { similar: { unit: RECORD, addresses: similar } }),
  };
}

/** Puts versions from 0 on, each in a session of its own and told by the one before. */
async function putVersions(store: ChunkStore, count: number, seed = 0): Promise<Address[]> {
  const addresses: Address[] = [];
  for (let n = 0; n < count; n++) {
    const [address] = await putAll(store, [newChunk(version(n, seed), addresses.slice(-1))]);
    addresses.push(address as Address);
    await store.refresh();
  }
  return addresses;
}

async function packOf(store: ChunkStore, address: Address): Promise<string> {
  const [location] = await store.locate([address]);
  return location?.pack as string;
}

async function damage(blobs: BlobStore, name: string): Promise<void> {
  const { size } = (await blobs.stat(name)) as { size: number };
  const bytes = new Uint8Array(size);
  await blobs.read(name, 0, bytes);
  bytes[20] = (bytes[20] as number) ^ 1;
  await blobs.delete(name);
  await blobs.put(name, bytes);
}

describe('a chain of deltas', () => {
  it('is read from any link, and ends where it would be too long to read', async () => {
    const blobs = memoryBlobStore();
    const addresses = await putVersions(await reopen(blobs), 110);
    const store = await reopen(blobs);
    const plain = await store.getMany(addresses);
    for (const [n, bytes] of plain.entries()) expect(Buffer.compare(bytes, version(n))).toBe(0);
    const locations = await store.locate(addresses);
    const standingAlone = locations.flatMap((location, n) => (location?.codec === CODECS.delta ? [] : [n]));
    expect(standingAlone).toEqual([0, 49, 98]);
    const { found } = await store.find([addresses[48] as Address]);
    expect(found.basesOf(0)).toHaveLength(1);
    expect(found.addresses).toHaveLength(49);
  });

  it('names the chunk and its base when the base is missing', async () => {
    const blobs = memoryBlobStore();
    const [base, , last] = (await putVersions(await reopen(blobs), 3)) as [Address, Address, Address];
    const middle = nodeSha256(version(1));
    await blobs.delete(await packOf(await reopen(blobs), base));
    const store = await reopen(blobs);
    await expect(store.get(last)).rejects.toThrow(
      expect.objectContaining({
        code: 'CHUNK_MISSING',
        place: expect.stringMatching(`${formatAddress(base, 'data')}.*${formatAddress(middle, 'data')}`),
      }),
    );
    const findings = await collect(checkPacks(store, () => {}));
    expect(
      new Set(findings.map(({ error, address }) => `${error.code} ${toHex(address as Address)}`)),
    ).toEqual(new Set([last, middle].map((address) => `CHUNK_MISSING ${toHex(address)}`)));
  });

  it('names the chunk and its base when the base is damaged', async () => {
    const blobs = memoryBlobStore();
    const [base, , last] = (await putVersions(await reopen(blobs), 3)) as [Address, Address, Address];
    const pack = await packOf(await reopen(blobs), base);
    await damage(blobs, pack);
    const store = await reopen(blobs);
    await expect(store.get(last)).rejects.toThrow(
      expect.objectContaining({
        code: 'CHUNK_DAMAGED',
        place: expect.stringMatching(
          `${formatAddress(base, 'data')} in ${pack}.*${formatAddress(last, 'data')}`,
        ),
      }),
    );
    const findings = await collect(checkPacks(store, () => {}));
    expect(findings.map(({ blob, address }) => [blob, toHex(address as Address)])).toContainEqual([
      pack,
      toHex(base),
    ]);
    expect(new Set(findings.map(({ error }) => error.code))).toEqual(new Set(['CHUNK_DAMAGED']));
  });

  it('that copies from itself is damaged', async () => {
    // Two chunks whose packs say that each copies from the other.
    const blobs = memoryBlobStore();
    const [first, second] = [version(0), version(1)].map((bytes) => nodeSha256(bytes)) as [Address, Address];
    const store = await reopen(blobs);
    await putAll(store, [newChunk(version(0))]);
    await putAll(store, [newChunk(version(1), [first])]);
    const made = await reopen(blobs);
    const pack = await packOf(made, second);
    const bytes = new Uint8Array(((await blobs.stat(pack)) as { size: number }).size);
    await blobs.read(pack, 0, bytes);
    const at = Buffer.from(bytes).lastIndexOf(Buffer.from(first));
    bytes.set(second, at); // The base is the chunk itself.
    const directory = Buffer.from(bytes).readUInt32LE(bytes.length - 44);
    bytes.set(
      nodeSha256(bytes.subarray(bytes.length - 44 - directory, bytes.length - 44)),
      bytes.length - 36,
    );
    await blobs.delete(pack);
    await blobs.put(pack, bytes);
    const looped = await reopen(blobs);
    await expect(looped.get(second)).rejects.toThrow(expect.objectContaining({ code: 'CHUNK_DAMAGED' }));
    expect(await collect(checkPacks(looped, () => {}))).toHaveLength(1);
  });
});

describe('a sweep of deltas', () => {
  it('leaves what is kept readable, holds little for it, and has nothing left to do', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.integer({ min: 1, max: 60 }), { minLength: 1, maxLength: 4 }),
        fc.array(fc.nat({ max: 240 }), { maxLength: 12 }),
        fc.constantFrom(0, 0.05, 0.3),
        async (counts, picks, maxUnused) => {
          const blobs = memoryBlobStore();
          const store = await reopen(blobs);
          const all: { address: Address; bytes: Uint8Array }[] = [];
          for (const [seed, count] of counts.entries()) {
            const addresses = await putVersions(store, count, seed);
            all.push(...addresses.map((address, n) => ({ address, bytes: version(n, seed) })));
          }
          const kept = [...new Set(picks.map((pick) => pick % all.length))].map(
            (i) => all[i] as (typeof all)[number],
          );
          const reached = kept.map(({ address }) => address);
          const prepared = planSweep(store, await markChunks(store, reached), { maxUnused });
          const before = await bytesOf(blobs);
          const report = await sweep(store, prepared);
          expect(report.reclaimedBytes).toBe(before - (await bytesOf(blobs)));
          // A rewritten chunk takes about what the others of its chain take; here half of a chunk more is allowed for each.
          const most =
            (1 + prepared.plan.flattenedChunks) * 40 * RECORD * 0.5 +
            104 * (report.rewrittenPacks.length + 1);
          expect(Math.abs(report.reclaimedBytes - prepared.plan.reclaimedBytes)).toBeLessThanOrEqual(most);
          for (const at of [store, await reopen(blobs)]) {
            for (const { address, bytes } of kept)
              expect(Buffer.compare(await at.get(address), bytes)).toBe(0);
            const findings = await collect(checkPacks(at, () => {}));
            const isKept = (address?: Address) =>
              reached.some((one) => toHex(one) === toHex(address as Address));
            expect(findings.filter(({ address, lacksBase }) => !lacksBase || isKept(address))).toEqual([]);
          }
          const again = planSweep(store, await markChunks(store, reached), { maxUnused });
          expect(again.plan).toMatchObject({ deletedPacks: [], flattenedChunks: 0 });
        },
      ),
      { numRuns: runs(60) },
    );
  });

  it('writes the oldest that is kept anew and gives back all before it', async () => {
    const blobs = memoryBlobStore();
    const store = await reopen(blobs);
    const addresses = await putVersions(store, 40);
    const kept = addresses.slice(-3);
    const prepared = planSweep(store, await markChunks(store, kept), { maxUnused: 0.05 });
    expect(prepared.plan.flattenedChunks).toBe(1);
    await sweep(store, prepared);
    const fresh = memoryBlobStore();
    const other = await reopen(fresh);
    await putAll(other, [newChunk(version(37))]);
    await putAll(other, [newChunk(version(38), [addresses[37] as Address])]);
    await putAll(other, [newChunk(version(39), [addresses[38] as Address])]);
    expect(await bytesOf(blobs)).toBeLessThanOrEqual(1.1 * (await bytesOf(fresh)));
    for (const n of [37, 38, 39])
      expect(Buffer.compare(await store.get(addresses[n] as Address), version(n))).toBe(0);
  });

  /** Chunks of which some records change together, among others that stay. */
  async function putChanged(changes: readonly number[], others: number) {
    const blobs = memoryBlobStore();
    const store = await reopen(blobs, undefined, { packBytes: 60_000 });
    const staying = Array.from({ length: others }, (_, i) => newChunk(seededBytes(900, 500_000 + i)));
    const before = changes.map((_, seed) => newChunk(version(0, seed + 1)));
    const addresses = await putAll(store, [...staying, ...before]);
    await store.refresh();
    const after = changes.map((count, seed) =>
      newChunk(version(count, seed + 1), addresses.slice(others + seed, others + seed + 1)),
    );
    const kept = [...addresses.slice(0, others), ...(await putAll(store, after))];
    await store.refresh();
    return { blobs, store, kept, chunks: [...staying, ...after] };
  }

  it('takes nothing for nothing: where no pack goes, none is written', async () => {
    const { blobs, store, kept } = await putChanged([24], 53);
    const before = await bytesOf(blobs);
    const prepared = planSweep(store, await markChunks(store, kept), DEFAULT_SWEEP);
    expect(prepared).toMatchObject({ flattened: [], plan: { deletedPacks: [], rewrittenPacks: [] } });
    expect(await sweep(store, prepared)).toMatchObject({ writtenBytes: 0, reclaimedBytes: 0 });
    expect(await bytesOf(blobs)).toBe(before);
  });

  it('takes no more than it gives, and after a few of them little is unused', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.constantFrom(1, 3, 12, 24, 30), { minLength: 1, maxLength: 100 }),
        fc.nat({ max: 400 }),
        async (changes, others) => {
          const { blobs, store, kept, chunks } = await putChanged(changes, others);
          let sweeps = 0;
          for (let gave = Infinity; gave > 0; sweeps++) {
            const report = await sweep(store, planSweep(store, await markChunks(store, kept), DEFAULT_SWEEP));
            gave = report.reclaimedBytes;
            expect(gave).toBeGreaterThanOrEqual(0);
            if (gave === 0) expect(report.writtenBytes).toBe(0);
          }
          expect(sweeps).toBeLessThanOrEqual(3);
          // Of each chunk that it keeps, no more is needed than it takes alone.
          const fresh = memoryBlobStore();
          await putAll(
            await reopen(fresh, undefined, { packBytes: 60_000 }),
            chunks.map(({ bytes }) => newChunk(bytes)),
          );
          const most = (await bytesOf(fresh)) / (1 - 1.5 * DEFAULT_SWEEP.maxUnused);
          expect(await bytesOf(blobs)).toBeLessThanOrEqual(most);
        },
      ),
      { numRuns: runs(25) },
    );
  });

  it('leaves a chunk that changed once as it is', async () => {
    const blobs = memoryBlobStore();
    const store = await reopen(blobs);
    const [, last] = (await putVersions(store, 2)) as [Address, Address];
    const before = await bytesOf(blobs);
    const prepared = planSweep(store, await markChunks(store, [last]), { maxUnused: 0.3 });
    expect(prepared.plan).toMatchObject({ deletedPacks: [], rewrittenPacks: [], flattenedChunks: 0 });
    await sweep(store, prepared);
    expect(await bytesOf(blobs)).toBe(before);
  });
});

async function bytesOf(blobs: BlobStore): Promise<number> {
  return (await collect(blobs.list('packs/'))).reduce((sum, { size }) => sum + size, 0);
}

describe('a chunk that cannot be put together any more', () => {
  it('is written again, standing alone, and found by whoever reads the packs anew', async () => {
    const blobs = memoryBlobStore();
    const [base, middle, last] = (await putVersions(await reopen(blobs), 3)) as [Address, Address, Address];
    await blobs.delete(await packOf(await reopen(blobs), base));
    const store = await reopen(blobs);
    await putAll(store, [newChunk(version(2), [middle])]);
    for (const at of [store, await reopen(blobs)]) {
      expect(Buffer.compare(await at.get(last), version(2))).toBe(0);
      expect((await at.locate([last]))[0]?.codec).not.toBe(CODECS.delta);
      await expect(at.get(middle)).rejects.toThrow(expect.objectContaining({ code: 'CHUNK_MISSING' }));
    }
  });
});

it('in a pack whose directory cannot be read is broken; others that are looked up with it are not', async () => {
  const [base, sound, lost] = [1, 2, 3].map((n) => nodeSha256(Uint8Array.of(n))) as [
    Address,
    Address,
    Address,
  ];
  const placed = [base, sound, lost].map((address, offset) => ({ address, offset }));
  const asked: number[] = [];
  const whole = new Wholeness({
    locate: async (addresses) =>
      addresses.map((address) => ({
        pack: address === lost ? 'packs/lost' : 'packs/sound',
        offset: placed.find((one) => one.address === address)?.offset ?? -1,
        storedLength: 1,
        length: 1,
        kind: 'data',
        codec: address === base ? CODECS.raw : CODECS.delta,
      })),
    basesOf: async (locations) => {
      asked.push(locations.length);
      if (locations.some(({ pack }) => pack === 'packs/lost'))
        throw new VecsnapError('PACK_MISSING', 'It is gone.', { remedy: 'None.' });
      return locations.map(() => [base]);
    },
    isSound: () => true,
  });
  expect(await whole.check([sound, lost])).toEqual(['whole', 'broken']);
  expect(asked, 'each pack once').toEqual([1, 1]);
});
