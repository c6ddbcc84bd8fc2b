/** Fingerprints: what they are, what stands beside packs, and that chunks told by them are those that would be told by bytes. */
import { isDeepStrictEqual } from 'node:util';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type BlobStore, memoryBlobStore } from 'vecsnap/blob';
import {
  type ChunkStore,
  ChunkWriter,
  CODECS,
  encodeChunk,
  encodeFingerprints,
  FINGERPRINT_BYTES,
  FingerprintBlob,
  fingerprintingOf,
  fingerprintRecords,
  hasFingerprints,
  LoadingCache,
  type NewChunk,
  type PlainChunk,
  type StoredChunk,
  Wholeness,
} from 'vecsnap/cas';
import { type Address, isVecsnapError, toAddress, toHex, VecsnapError } from 'vecsnap/core';
import { nodeDeflate, nodeSha256 } from 'vecsnap/platform';
import { namesIn } from './support/blobs.js';
import { outcome, runs } from './support/arbitraries.js';
import { seededBytes } from './support/files.js';
import { methodsOf, putAll, reopen } from './support/stores.js';

const SEED = 'a repository';
const UNIT = 1024;
const NODE = { sha256: nodeSha256, deflate: nodeDeflate };
const AUTO = { compression: 'auto', compressionLevel: 6, fingerprintSeed: SEED } as const;

function fingerprintsOf(bytes: Uint8Array, unit: number, seed = SEED): Uint8Array {
  const how = fingerprintingOf(bytes.length, unit, seed, nodeSha256);
  return fingerprintRecords(bytes, how as NonNullable<typeof how>) as Uint8Array;
}

// ── What the head of src/cas/fingerprints.ts says, number by number ──────────────────────────────────────────────────

const WORD = 2n ** 32n;
const LONG = 2n ** 64n;

function keyStream(seed: string, length: number): DataView {
  const parts = Array.from({ length: Math.ceil(length / 32) }, (_, n) =>
    nodeSha256(new TextEncoder().encode(`vecsnap fingerprints ${seed} ${n}`)),
  );
  return new DataView(new Uint8Array(Buffer.concat(parts)).buffer);
}

function wordAt(view: DataView, at: number): bigint {
  return BigInt(view.getUint32(at, true));
}

function referenceFingerprint(record: Uint8Array, seed: string): Uint8Array {
  const padded = new Uint8Array(Math.ceil(record.length / 32) * 32);
  padded.set(record);
  const data = new DataView(padded.buffer);
  const key = keyStream(seed, 72 + padded.length + 64);
  const result = new DataView(new ArrayBuffer(FINGERPRINT_BYTES));
  for (let pass = 0; pass < 3; pass++) {
    const keys = 72 + 32 * pass;
    let sum = 0n;
    for (let block = 0; block < padded.length; block += 32) {
      for (let i = block; i < block + 16; i += 4) {
        const a = (wordAt(data, i) + wordAt(key, keys + i)) % WORD;
        const b = (wordAt(data, i + 16) + wordAt(key, keys + i + 16)) % WORD;
        sum = (sum + a * b) % LONG;
      }
    }
    const [x, y, z] = [0, 8, 16].map((at) => key.getBigUint64(24 * pass + at, true)) as [
      bigint,
      bigint,
      bigint,
    ];
    const folded = ((x * (sum % WORD) + y * (sum / WORD) + z) % LONG) / WORD;
    result.setUint32(4 * pass, Number(folded), true);
  }
  return new Uint8Array(result.buffer);
}

describe('a fingerprint', () => {
  it('is what its description says, for records of any length', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1024, max: 1200 }),
        fc.integer({ min: 1, max: 5 }),
        fc.string({ maxLength: 8 }),
        fc.nat(),
        (unit, count, seed, content) => {
          const bytes = seededBytes(unit * count, content);
          const records = Array.from({ length: count }, (_, i) => bytes.subarray(i * unit, (i + 1) * unit));
          const expected = Buffer.concat(records.map((record) => referenceFingerprint(record, seed)));
          expect(Buffer.compare(fingerprintsOf(bytes, unit, seed), expected)).toBe(0);
        },
      ),
      { numRuns: runs(60) },
    );
  });

  it('never changes', () => {
    expect(toHex(fingerprintsOf(seededBytes(2 * 1500, 1), 1500))).toBe(
      'e1e20d25803c9255add2336c75f4d71dffbe1cfc378cb22e',
    );
  });

  it('is another when any bit is', () => {
    const bytes = seededBytes(UNIT, 1);
    const seen = new Set([toHex(fingerprintsOf(bytes, UNIT))]);
    for (let bit = 0; bit < 8 * UNIT; bit++) {
      const at = bit >> 3;
      seen.add(toHex(fingerprintsOf(bytes.with(at, (bytes[at] as number) ^ (1 << (bit & 7))), UNIT)));
    }
    expect(seen.size).toBe(8 * UNIT + 1);
  });

  it('is another in another repository', () => {
    const bytes = seededBytes(UNIT, 1);
    expect(fingerprintsOf(bytes, UNIT, 'b')).not.toEqual(fingerprintsOf(bytes, UNIT));
  });

  it('is made of records that are long enough to be worth it', () => {
    expect([1, 1023, 1024, 65_536, 65_537].map(hasFingerprints)).toEqual([false, false, true, true, false]);
    expect(fingerprintingOf(1500, 1024, SEED, nodeSha256)).toBeUndefined();
    expect(fingerprintingOf(2048, 1024, undefined, nodeSha256)).toBeUndefined();
  });
});

// ── Chunks told by fingerprints ──────────────────────────────────────────────────────────────────────────────────────

function alone(bytes: Uint8Array): StoredChunk {
  return { address: nodeSha256(bytes), codec: CODECS.raw, bytes, length: bytes.length };
}

/** Records of the bases and new ones, in any order. */
const anyEdit = fc.record({
  baseCounts: fc.array(fc.integer({ min: 1, max: 20 }), { minLength: 1, maxLength: 4 }),
  parts: fc.array(
    fc.record({ isNew: fc.boolean(), at: fc.nat({ max: 80 }), count: fc.integer({ min: 1, max: 12 }) }),
    {
      minLength: 1,
      maxLength: 8,
    },
  ),
  seed: fc.nat(),
});

describe('a chunk told by fingerprints', () => {
  it('is the one that is told by bytes', () => {
    fc.assert(
      fc.property(anyEdit, ({ baseCounts, parts, seed }) => {
        const bases = baseCounts.map((count, i) => seededBytes(count * UNIT, seed + i));
        const joined = Buffer.concat(bases);
        const pieces = parts.map(({ isNew, at, count }, i) => {
          const from = (at % (joined.length / UNIT)) * UNIT;
          return isNew
            ? seededBytes(Math.min(2, count) * UNIT, seed + 100 + i)
            : joined.subarray(from, from + count * UNIT);
        });
        const plain: PlainChunk = { bytes: new Uint8Array(Buffer.concat(pieces)), width: 4, unit: UNIT };
        const byBytes = encodeChunk({ ...plain, kin: { unit: UNIT, chunks: bases.map(alone) } }, AUTO, NODE);
        const fingerprinted = bases.map((base) => ({
          address: nodeSha256(base),
          fingerprints: fingerprintsOf(base, UNIT),
          chain: 0,
        }));
        const kin = { unit: UNIT, chunks: [], fingerprinted };
        const byFingerprints = encodeChunk({ ...plain, kin }, AUTO, NODE);
        const none = { fingerprints: undefined };
        expect(isDeepStrictEqual({ ...byFingerprints, ...none }, { ...byBytes, ...none })).toBe(true);
        const both = encodeChunk({ ...plain, kin: { ...kin, chunks: bases.map(alone) } }, AUTO, NODE);
        expect(isDeepStrictEqual(both, byFingerprints)).toBe(true);
      }),
      { numRuns: runs(300) },
    );
  });

  it('is found out when fingerprints and bytes of its bases differ', () => {
    const [base, other] = [seededBytes(8 * UNIT, 1), seededBytes(8 * UNIT, 2)] as const;
    const fingerprinted = [
      { address: nodeSha256(base), fingerprints: fingerprintsOf(other, UNIT), chain: 0 },
    ];
    const kin = { unit: UNIT, chunks: [alone(base)], fingerprinted };
    const target = new Uint8Array(Buffer.concat([base.subarray(0, 7 * UNIT), seededBytes(UNIT, 3)]));
    expect(encodeChunk({ bytes: target, width: 4, unit: UNIT, kin }, AUTO, NODE).hasFalseFingerprints).toBe(
      true,
    );
  });
});

// ── In a store ───────────────────────────────────────────────────────────────────────────────────────────────────────

/** The n-th version of a chunk: each has another record that is new. */
function version(n: number, seed = 0): Uint8Array {
  const bytes = seededBytes(16 * UNIT, seed * 1000);
  for (let i = 1; i <= n; i++) bytes.set(seededBytes(UNIT, seed * 1000 + i), ((i * 7) % 16) * UNIT);
  return bytes;
}

function newChunk(bytes: Uint8Array, similar: readonly Address[] = []): NewChunk {
  const kin = similar.length > 0 ? { unit: UNIT, addresses: similar } : undefined;
  return { bytes, width: 4, unit: UNIT, kind: 'data', similar: kin };
}

function open(blobs: BlobStore): Promise<ChunkStore> {
  return reopen(blobs, undefined, { fingerprintSeed: SEED });
}

/** Puts versions, each in a session of its own and told by the one before. */
async function putVersions(blobs: BlobStore, count: number, seed = 0): Promise<Address[]> {
  const addresses: Address[] = [];
  for (let n = 0; n < count; n++) {
    const [address] = await putAll(await open(blobs), [newChunk(version(n, seed), addresses.slice(-1))]);
    addresses.push(address as Address);
  }
  return addresses;
}

describe('a store', () => {
  it('knows the fingerprints of what it holds, told by however many', async () => {
    const blobs = memoryBlobStore();
    const addresses = await putVersions(blobs, 110);
    const finder = await (await open(blobs)).fingerprints();
    const found = await finder.find(addresses.map((address) => ({ address, unit: UNIT })));
    for (const [n, one] of found.entries())
      expect(Buffer.compare(one?.fingerprints as Uint8Array, fingerprintsOf(version(n), UNIT))).toBe(0);
    const store = await open(blobs);
    for (const [n, bytes] of (await store.getMany(addresses)).entries())
      expect(Buffer.compare(bytes, version(n))).toBe(0);
    const locations = await store.locate(addresses);
    const standingAlone = locations.flatMap((location, n) => (location?.codec === CODECS.delta ? [] : [n]));
    expect(standingAlone).toEqual([0, 49, 98]);
  });

  it('knows none of records of another length, and of chunks that it has not', async () => {
    const blobs = memoryBlobStore();
    const [address] = (await putVersions(blobs, 1)) as [Address];
    const finder = await (await open(blobs)).fingerprints();
    const absent = nodeSha256(version(5));
    expect(
      await finder.find([
        { address, unit: 2048 },
        { address: absent, unit: UNIT },
      ]),
    ).toEqual([undefined, undefined]);
  });

  it('has the fingerprints of up to four packs in one blob', async () => {
    const blobs = memoryBlobStore();
    const chunks = Array.from({ length: 40 }, (_, i) => newChunk(version(0, i)));
    const addresses = await putAll(await open(blobs), chunks);
    const packs = await namesIn(blobs, 'packs/');
    expect(packs).toHaveLength(40); // One chunk fills a pack here.
    expect(await namesIn(blobs, 'fingerprints/')).toHaveLength(10);
    expect(new Set(packs.map((name) => `fingerprints/${name.slice(6, 30)}`))).toEqual(
      new Set(await namesIn(blobs, 'fingerprints/')),
    );
    const found = await (
      await (await open(blobs)).fingerprints()
    ).find(addresses.map((address) => ({ address, unit: UNIT })));
    expect(found.every((one) => one?.fingerprints.length === 16 * FINGERPRINT_BYTES)).toBe(true);
  });

  it('has none of chunks that compress so well that they would take a good part of it', async () => {
    const blobs = memoryBlobStore();
    const flat = new Uint8Array(16 * UNIT).map((_, i) => (i < 8 * UNIT ? 0 : i % 4 === 3 ? i : 1));
    await putAll(await open(blobs), [newChunk(flat)]);
    expect(await namesIn(blobs, 'fingerprints/')).toEqual([]);
  });

  it('has at most 4 MiB of them for a pack, and reads no more than 32 MiB at once', async () => {
    const blobs = memoryBlobStore();
    const store = await reopen(blobs, undefined, { fingerprintSeed: SEED, packBytes: 2 ** 40 });
    const builder = new ChunkWriter(store);
    const bytes = new Uint8Array(1024 * 1024);
    for (let n = 0; n < 6; n++) {
      const plain = seededBytes(100, n);
      const chunk = {
        address: nodeSha256(plain),
        kind: 'data',
        codec: CODECS.raw,
        length: plain.length,
      } as const;
      await builder.add([{ ...chunk, bytes: plain, fingerprints: { isDelta: false, bytes } }]);
    }
    await builder.commit();
    const [name] = (await namesIn(blobs, 'fingerprints/')) as [string];
    const size = (await blobs.stat(name))?.size ?? 0;
    expect(size).toBeGreaterThan(4 * bytes.length);
    expect(size).toBeLessThan(4 * bytes.length + 200);
    const huge = { ...methodsOf(blobs), stat: async (of: string) => ({ name: of, size: 2 ** 25 + 1 }) };
    const [pack] = (await namesIn(blobs, 'packs/')) as [string];
    expect(await (await (await open(huge)).fingerprints()).blobOf(pack)).toBeUndefined();
    expect(await (await (await open(blobs)).fingerprints()).blobOf(pack)).toBeDefined();
  });

  it('removes them with what is abandoned', async () => {
    const blobs = memoryBlobStore();
    const writer = new ChunkWriter(await open(blobs));
    await writer.put([newChunk(version(0))]);
    await writer.commit();
    await writer.abandon();
    expect(await namesIn(blobs)).toEqual([]);
  });

  it.each(['missing', 'cut', 'garbled'] as const)('does without those that are %s', async (how) => {
    const blobs = memoryBlobStore();
    const [base] = (await putVersions(blobs, 1)) as [Address];
    const [name] = (await namesIn(blobs, 'fingerprints/')) as [string];
    const bytes = await blobs.get(name);
    await blobs.delete(name);
    if (how === 'cut') await blobs.put(name, bytes.slice(0, -5));
    if (how === 'garbled') await blobs.put(name, bytes.with(30, (bytes[30] as number) ^ 4));
    const [address] = (await putAll(await open(blobs), [newChunk(version(1), [base])])) as [Address];
    const store = await open(blobs);
    expect((await store.locate([address]))[0]?.codec).toBe(CODECS.delta);
    expect(Buffer.compare(await store.get(address), version(1))).toBe(0);
    const [found] = await (await store.fingerprints()).find([{ address, unit: UNIT }]); // Made anew.
    expect(found?.fingerprints).toEqual(fingerprintsOf(version(1), UNIT));
  });
});

describe('fingerprints', () => {
  it('are those of the chunk, whatever names packs have', async () => {
    // The first holds X; the second Y, a delta by X. Then each has the name of the other.
    const blobs = memoryBlobStore();
    const [x, y] = (await putVersions(blobs, 2)) as [Address, Address];
    const [p, q] = (await namesIn(blobs, 'packs/')) as [string, string];
    const [first, second] = [await blobs.get(p), await blobs.get(q)];
    for (const name of [p, q]) await blobs.delete(name);
    await blobs.put(p, second);
    await blobs.put(q, first);
    const [z] = (await putAll(await open(blobs), [newChunk(version(0).with(5, 77), [y])])) as [Address];
    const store = await open(blobs);
    expect(Buffer.compare(await store.get(z), version(0).with(5, 77))).toBe(0);
    const found = await (await store.fingerprints()).find([x, y].map((address) => ({ address, unit: UNIT })));
    expect(found).toEqual([undefined, undefined]);
  });

  it('of a chunk with a base that is damaged are those of its own', async () => {
    // T is told by A and B, of which A cannot be decoded, and is audited.
    const [a, b] = [seededBytes(2 * UNIT, 1), seededBytes(16 * UNIT, 2)] as const;
    const target = new Uint8Array(Buffer.concat([a, b.subarray(0, 14 * UNIT)]));
    const fingerprinted = [a, b].map((base) => ({
      address: nodeSha256(base),
      fingerprints: fingerprintsOf(base, UNIT),
      chain: 0,
    }));
    const damaged = { ...alone(a), bytes: a.with(9, (a[9] as number) ^ 1) };
    const kin = { unit: UNIT, chunks: [damaged, alone(b)], fingerprinted };
    const form = encodeChunk({ bytes: target, width: 4, unit: UNIT, kin }, AUTO, NODE);
    expect(form.bases?.map(toHex)).toEqual([toHex(nodeSha256(b))]);
    expect(form.fingerprints).toEqual({ isDelta: false, bytes: fingerprintsOf(target, UNIT) });
  });

  it('are counted by the length of records that is asked for', async () => {
    const blobs = memoryBlobStore();
    const [, address] = (await putVersions(blobs, 2)) as [Address, Address];
    const finder = await (await open(blobs)).fingerprints();
    const found = await finder.find([
      { address, unit: UNIT },
      { address, unit: 2 * UNIT },
    ]);
    expect(found.map((one) => one?.fingerprints.length)).toEqual([16 * FINGERPRINT_BYTES, undefined]);
  });
});

/** Tells the key. */
const CHECK = nodeSha256(Buffer.from(`vecsnap fingerprints ${SEED}`)).subarray(0, 8);

describe('what is found to be whole', () => {
  it('has the longest chain, whatever the order in which deltas are met', async () => {
    // D copies from B and C, C from B, and B from A, which stands alone.
    const [a, b, c, d] = [1, 2, 3, 4].map((n) => nodeSha256(Uint8Array.of(n))) as [
      Address,
      Address,
      Address,
      Address,
    ];
    const bases = new Map([
      [toHex(a), []],
      [toHex(b), [a]],
      [toHex(c), [b]],
      [toHex(d), [b, c]],
    ]);
    const placed = [a, b, c, d].map((address, offset) => ({ address, offset }));
    const whole = new Wholeness({
      locate: async (addresses) =>
        addresses.map((address) => ({
          pack: 'packs/x',
          offset: placed.find((one) => one.address === address)?.offset ?? -1,
          storedLength: 1,
          length: 1,
          kind: 'data',
          codec: address === a ? CODECS.raw : CODECS.delta,
        })),
      basesOf: async (locations) =>
        locations.map(
          ({ offset }) => bases.get(toHex((placed[offset] as (typeof placed)[number]).address)) ?? [],
        ),
      isSound: () => true,
    });
    expect(await whole.check([d])).toEqual(['whole']);
    expect([a, b, c, d].map((address) => whole.chainOf(address))).toEqual([0, 1, 2, 3]);
  });
});

describe('a cache of what is loaded', () => {
  const sizes: Readonly<Record<string, number>> = { a: 4, b: 4, c: 4, large: 100 };
  const newCache = () => {
    const loads: string[] = [];
    const waiting = new Map<string, () => void>();
    const cache = new LoadingCache(
      async (name) => {
        loads.push(name);
        if (name === 'bad') throw new Error('it cannot be loaded');
        await new Promise<void>((resolve) => waiting.set(name, resolve));
        return name;
      },
      (name) => sizes[name] ?? 1,
      8,
    );
    const end = async (name: string): Promise<string> => {
      const loaded = cache.get(name);
      waiting.get(name)?.();
      return loaded;
    };
    return { cache, loads, end };
  };

  it('keeps those used last', async () => {
    const { loads, end } = newCache();
    for (const name of ['a', 'b', 'a', 'c', 'a', 'b', 'a']) expect(await end(name)).toBe(name);
    expect(loads).toEqual(['a', 'b', 'c', 'b']);
  });

  it('loads once for all who ask meanwhile, and keeps the last however large', async () => {
    const { cache, loads, end } = newCache();
    const both = [cache.get('large'), cache.get('large')];
    await end('large');
    await Promise.all(both);
    await end('large');
    expect(loads).toEqual(['large']);
  });

  it('forgets nothing that is being loaded, and counts nothing that it has forgotten', async () => {
    const { cache, loads, end } = newCache();
    const slow = cache.get('a');
    for (const name of ['b', 'large', 'c', 'large', 'b']) await end(name); // None of them stays for long.
    await end('a');
    await slow;
    loads.length = 0;
    for (const name of ['c', 'b', 'c', 'b', 'c', 'b']) await end(name);
    expect(loads.length).toBeLessThanOrEqual(2);
  });

  it('tries again what could not be loaded', async () => {
    const { cache, loads } = newCache();
    for (let time = 0; time < 2; time++)
      await expect(cache.get('bad')).rejects.toThrow('it cannot be loaded');
    expect(loads).toEqual(['bad', 'bad']);
  });
});

/** What tells a chunk in a form from others. */
function tagText(address: Address, bases: readonly Address[] = []): string {
  const tag = address.slice(0, 5);
  for (const base of bases)
    for (const [i, byte] of base.subarray(0, 5).entries()) tag[i] = (tag[i] as number) ^ byte;
  return toHex(tag);
}

describe('a blob of fingerprints', () => {
  const anyAddress = fc.uint8Array({ minLength: 32, maxLength: 32 }).map((bytes) => toAddress(bytes));
  const anyPacks = fc.uniqueArray(
    fc.record({
      number: fc.integer({ min: 0, max: 2 ** 32 - 1 }),
      chunks: fc.array(
        fc.record({
          address: anyAddress,
          bases: fc.option(fc.array(anyAddress, { maxLength: 3 }), { nil: undefined }),
          stored: fc.record({ isDelta: fc.boolean(), bytes: fc.uint8Array() }),
        }),
      ),
    }),
    { selector: ({ number }) => number, maxLength: 5 },
  );
  const nameOf = (number: number): string =>
    `packs/${'ab'.repeat(12)}${number.toString(16).padStart(8, '0')}`;

  it('gives what was put into it, of no other chunk and no other form, and nothing that was changed', () => {
    fc.assert(
      fc.property(
        anyPacks,
        anyAddress,
        fc.nat(),
        fc.integer({ min: 1, max: 255 }),
        (packs, other, at, change) => {
          const all = packs.map(({ number, chunks }) => ({ pack: nameOf(number), fingerprints: chunks }));
          const encoded = encodeFingerprints(all, SEED, nodeSha256);
          const blob = new FingerprintBlob(encoded, SEED, nodeSha256);
          for (const { pack, fingerprints } of all) {
            for (const chunk of fingerprints) {
              const isTwice = fingerprints.some(
                (one) =>
                  one !== chunk && tagText(one.address, one.bases) === tagText(chunk.address, chunk.bases),
              );
              expect(blob.at(pack, chunk)).toEqual(isTwice ? undefined : chunk.stored);
              const isAnother = toHex(other).slice(0, 10) !== '0000000000';
              if (isAnother && fingerprints.length === 1)
                expect(blob.at(pack, { ...chunk, bases: [...(chunk.bases ?? []), other] })).toBeUndefined();
            }
          }
          const i = at % encoded.length;
          const changed = encoded.with(i, (encoded[i] as number) ^ change);
          const result = outcome(() => new FingerprintBlob(changed, SEED, nodeSha256));
          expect('error' in result && isVecsnapError(result.error, 'ENCODING_INVALID')).toBe(true);
        },
      ),
      { numRuns: runs(200) },
    );
  });

  it('has none of two chunks that it cannot tell apart', () => {
    const address = nodeSha256(Uint8Array.of(1));
    const [pack, stored] = [nameOf(1), { isDelta: false, bytes: Uint8Array.of(1, 2) }];
    const one = { address, stored };
    const blobOf = (chunks: readonly (typeof one)[]) =>
      new FingerprintBlob(
        encodeFingerprints([{ pack, fingerprints: chunks }], SEED, nodeSha256),
        SEED,
        nodeSha256,
      );
    expect(blobOf([one]).at(pack, one)).toEqual(stored);
    expect(blobOf([one, one]).at(pack, one)).toBeUndefined();
  });

  it('is refused when it was made with another key', () => {
    const encoded = encodeFingerprints([], SEED, nodeSha256);
    expect(() => new FingerprintBlob(encoded, 'another repository', nodeSha256)).toThrow(VecsnapError);
  });

  it('of any bytes, with a digest that fits, is taken or refused', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 60 }), (body) => {
        const content = Buffer.concat([Buffer.from('vsnprnt\u0001'), CHECK, body]);
        const bytes = new Uint8Array(Buffer.concat([content, nodeSha256(content)]));
        const result = outcome(() => new FingerprintBlob(bytes, SEED, nodeSha256));
        if ('error' in result) expect(isVecsnapError(result.error, 'ENCODING_INVALID')).toBe(true);
      }),
      { numRuns: runs(2000) },
    );
  });
});

// ── In a repository ──────────────────────────────────────────────────────────────────────────────────────────────────
