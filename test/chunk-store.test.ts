/** The chunk store: what is put is got, once each; damage is found wherever it is; and failures leave nothing half done. */
import { mkdtemp, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { MemoryLevel } from 'memory-level';
import { describe, expect, it } from 'vitest';
import { type BlobStore, fsBlobStore, memoryBlobStore } from 'vecsnap/blob';
import {
  CODECS,
  checkPacks,
  ChunkStore,
  ChunkWriter,
  type IndexDatabase,
  inlineCoder,
  levelIndex,
  memoryIndex,
  type NewChunk,
  PACK_OVERHEAD,
  packEntryBytes,
  type PackFinding,
  readPackDirectory,
} from 'vecsnap/cas';
import { type Address, isVecsnapError, toHex } from 'vecsnap/core';
import { nodeDeflate, nodeSha256 } from 'vecsnap/platform';
import { type FaultyBlobStore, faultyBlobStore } from './fault/faulty-blob-store.js';
import { runs } from './support/arbitraries.js';
import { collect } from './support/collect.js';
import { seededBytes } from './support/files.js';
import { methodsOf, chunk, OPTIONS, putAll, reopen, storeParts } from './support/stores.js';

const anyChunk: fc.Arbitrary<NewChunk> = fc
  .record({
    seed: fc.nat({ max: 40 }),
    length: fc.constantFrom(0, 1, 63, 64, 500, 5000),
    width: fc.constantFrom<NewChunk['width']>(0, 1, 4, 8),
    isNode: fc.boolean(),
  })
  .map(({ seed, length, width, isNode }) => ({
    bytes: seed < 20 ? seededBytes(length, seed) : seededBytes(length, seed).fill(seed),
    width,
    kind: isNode ? 'node' : 'data',
  }));

async function packsIn(blobs: BlobStore): Promise<{ name: string; size: number }[]> {
  return collect(blobs.list('packs/'));
}

async function findingsIn(store: ChunkStore): Promise<PackFinding[]> {
  return collect(checkPacks(store, () => {}));
}

/** Puts other bytes in the place of a blob. */
async function replace(blobs: BlobStore, name: string, bytes: Uint8Array): Promise<void> {
  await blobs.delete(name);
  await blobs.put(name, bytes);
}

async function expectAll(
  store: ChunkStore,
  chunks: readonly NewChunk[],
  addresses: readonly Address[],
): Promise<void> {
  const got = await store.getMany(addresses);
  for (const [i, { bytes }] of chunks.entries()) expect(Buffer.compare(got[i] as Uint8Array, bytes)).toBe(0);
}

describe('chunks', () => {
  it('come back, one by one and together, in this session and in another', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.array(anyChunk, { maxLength: 8 }), { maxLength: 6 }),
        fc.constantFrom<'auto' | 'none'>('auto', 'none'),
        fc.constantFrom(1, 2000, 1e6),
        fc.boolean(),
        async (puts, compression, packBytes, verifyChecksum) => {
          const blobs = memoryBlobStore();
          const options = { compression, packBytes, verifyChecksum };
          const store = await reopen(blobs, memoryIndex(), options);
          const writer = new ChunkWriter(store);
          const addresses = (await Promise.all(puts.map((chunks) => writer.put(chunks)))).flat();
          await writer.commit();
          const chunks = puts.flat();
          expect(addresses.map(toHex)).toEqual(chunks.map(({ bytes }) => toHex(nodeSha256(bytes))));
          await expectAll(store, chunks, addresses);
          const other = await reopen(blobs, memoryIndex(), options);
          await expectAll(other, chunks.toReversed(), addresses.toReversed());
          for (const [i, address] of addresses.entries())
            expect(Buffer.compare(await other.get(address), (chunks[i] as NewChunk).bytes)).toBe(0);
          expect(await findingsIn(other)).toEqual([]);
        },
      ),
      { numRuns: runs(60) },
    );
  });

  it('are stored once: within a call, between calls that overlap, and between sessions', async () => {
    const blobs = memoryBlobStore();
    const store = await reopen(blobs);
    const writer = new ChunkWriter(store);
    const some = [chunk(1), chunk(2), chunk(1)];
    await Promise.all([writer.put(some), writer.put([chunk(2), chunk(3)]), writer.put(some.toReversed())]);
    expect(await writer.commit()).toEqual({ chunks: 3, bytes: 3 * 500 + 3 * 37 + PACK_OVERHEAD });
    const again = new ChunkWriter(store);
    await again.put([chunk(3), chunk(1)]);
    expect(await again.commit()).toEqual({ chunks: 0, bytes: 0 });
    const other = new ChunkWriter(await reopen(blobs));
    await other.put([chunk(3), chunk(4)]);
    expect(await other.commit()).toMatchObject({ chunks: 1 });
    expect(await packsIn(blobs)).toHaveLength(2);
  });

  it('stand in packs in the order of the calls, and nodes after data', async () => {
    const blobs = memoryBlobStore();
    let release: (() => void)[] = [];
    const inner = inlineCoder({ sha256: nodeSha256, deflate: nodeDeflate });
    const coder = {
      ...inner,
      // Encodes in the reverse order of the calls.
      addressAndEncode: async (...input: Parameters<typeof inner.addressAndEncode>) => {
        await new Promise<void>((resolve) => release.unshift(resolve));
        return inner.addressAndEncode(...input);
      },
    };
    const store = await ChunkStore.open(storeParts({ blobs, coder }), { ...OPTIONS, packBytes: 1e6 });
    const writer = new ChunkWriter(store);
    const puts = [
      writer.put([chunk(1), { ...chunk(2), kind: 'node' }]),
      writer.put([chunk(3)]),
      writer.put([{ ...chunk(4), kind: 'node' }, chunk(5)]),
    ];
    await new Promise((resolve) => setImmediate(resolve));
    expect(release).toHaveLength(3);
    release.forEach((resolve) => resolve());
    release = [];
    await Promise.all(puts);
    await writer.commit();
    const [pack] = await packsIn(blobs);
    const entries = await readPackDirectory(blobs, pack as { name: string; size: number }, nodeSha256);
    expect(entries.map(({ address }) => toHex(address))).toEqual(
      [1, 3, 5, 2, 4].map((seed) => toHex(nodeSha256(chunk(seed).bytes))),
    );
    expect(entries.map(({ kind }) => kind)).toEqual(['data', 'data', 'data', 'node', 'node']);
  });

  it('fill packs up to their size', async () => {
    const blobs = memoryBlobStore();
    await putAll(
      await reopen(blobs, memoryIndex(), { packBytes: 3000 }),
      Array.from({ length: 40 }, (_, i) => chunk(i)),
    );
    const packs = await packsIn(blobs);
    for (const pack of packs.slice(0, -1)) {
      const entries = await readPackDirectory(blobs, pack, nodeSha256);
      const stored = 8 + entries.reduce((sum, { storedLength }) => sum + storedLength, 0);
      expect(pack.size).toBe(PACK_OVERHEAD + entries.reduce((sum, entry) => sum + packEntryBytes(entry), 0));
      expect(stored).toBeLessThan(3000 + 500);
    }
    expect(packs.length).toBe(Math.ceil(40 / 6));
  });

  it('may be used again by their giver as soon as the put resolves, also those in a Buffer', async () => {
    const blobs = memoryBlobStore();
    const store = await reopen(blobs);
    const writer = new ChunkWriter(store);
    const places = [new Uint8Array(500), Buffer.alloc(500), new Uint8Array(new SharedArrayBuffer(500))];
    for (const [i, bytes] of places.entries()) {
      bytes.set(seededBytes(500, i));
      await writer.put([{ bytes, width: 0, kind: 'data' }]);
      bytes.fill(0);
    }
    expect(await writer.commit()).toMatchObject({ chunks: 3 });
    await store.refresh();
    expect(await findingsIn(store)).toEqual([]);
    const chunks = [0, 1, 2].map((seed) => chunk(seed));
    await expectAll(
      store,
      chunks,
      chunks.map(({ bytes }) => nodeSha256(bytes)),
    );
  });

  it('that nobody put are missing', async () => {
    const store = await reopen(memoryBlobStore());
    const address = nodeSha256(new Uint8Array(1));
    await expect(store.get(address)).rejects.toThrow(
      expect.objectContaining({
        code: 'CHUNK_MISSING',
        place: expect.stringMatching(/^bafkrei/),
        remedy: expect.any(String),
      }),
    );
    expect(await store.getMany([])).toEqual([]);
  });

  it('of no bytes are read beside others at the same place', async () => {
    const store = await reopen(memoryBlobStore());
    const chunks = [{ ...chunk(0), bytes: new Uint8Array(0) }, chunk(1), chunk(2)];
    const addresses = await putAll(store, chunks);
    for (const order of [
      [0, 1, 2],
      [1, 0, 2],
      [2, 1, 0],
      [1, 0],
      [0, 0, 1, 1],
    ])
      await expectAll(
        store,
        order.map((i) => chunks[i] as NewChunk),
        order.map((i) => addresses[i] as Address),
      );
  });
});

describe('a writer that is abandoned', () => {
  it.each([false, true])('leaves nothing, committed: %s', async (committed) => {
    const blobs = memoryBlobStore();
    const store = await reopen(blobs);
    const [kept] = await putAll(store, [chunk(100)]);
    const before = await packsIn(blobs);
    const writer = new ChunkWriter(store);
    const addresses = await writer.put(Array.from({ length: 30 }, (_, i) => chunk(i)));
    if (committed) await writer.commit();
    await writer.abandon();
    expect(await packsIn(blobs)).toEqual(before);
    expect(await store.locate(addresses)).toEqual(addresses.map(() => undefined));
    expect(await store.get(kept as Address)).toEqual(chunk(100).bytes);
    await expectAll(store, [chunk(1)], await putAll(store, [chunk(1)]));
  });

  it('waits for calls that are still under way when a later one has failed', async () => {
    const blobs = memoryBlobStore();
    let finish = (): void => {};
    const inner = inlineCoder({ sha256: nodeSha256, deflate: nodeDeflate });
    let calls = 0;
    const coder = {
      ...inner,
      addressAndEncode: async (...input: Parameters<typeof inner.addressAndEncode>) => {
        if (++calls === 2) throw new Error('the second call fails');
        await new Promise<void>((resolve) => (finish = resolve));
        return inner.addressAndEncode(...input);
      },
    };
    const store = await ChunkStore.open(storeParts({ blobs, coder }), { ...OPTIONS, packBytes: 1 });
    const writer = new ChunkWriter(store);
    const first = writer.put([chunk(1)]);
    await new Promise((resolve) => setImmediate(resolve));
    await expect(writer.put([chunk(2)])).rejects.toThrow('the second call fails');
    const abandoned = writer.abandon();
    await new Promise((resolve) => setImmediate(resolve));
    finish();
    await first;
    await abandoned;
    expect(await packsIn(blobs)).toEqual([]);
  });
});

describe('chunks that may be told by others', () => {
  const bases = [chunk(1), chunk(2)];
  /** Chunks that have much in common with the first base. */
  const coming = Array.from({ length: 5 }, (_, i): NewChunk => {
    const bytes = new Uint8Array((bases[0] as NewChunk).bytes);
    bytes[90 * i] = ~(bytes[90 * i] as number);
    return { bytes, width: 0, kind: 'data' };
  });

  async function stored(): Promise<{ store: ChunkStore; writer: ChunkWriter; addresses: Address[] }> {
    const store = await reopen(memoryBlobStore());
    const writer = new ChunkWriter(store);
    const addresses = await writer.put(bases);
    await writer.commit();
    return { store, writer: new ChunkWriter(store), addresses };
  }

  it('are the same when that is found out while they are hashed', async () => {
    const [now, later] = [await stored(), await stored()];
    const similar = { unit: 1, addresses: now.addresses };
    const known = coming.map((one) => ({ ...one, similar }));
    const addresses = await now.writer.put(known);
    let find = (): void => {};
    const found = new Promise<void>((resolve) => (find = resolve)).then(() => coming.map(() => similar));
    const forms: number[] = [];
    const put = later.writer.put(coming, {
      similar: found,
      onEncoded: (position, { codec }) => (forms[position] = codec),
    });
    const next = later.writer.put([chunk(3)]);
    find();
    expect((await put).map(toHex)).toEqual(addresses.map(toHex));
    await next;
    expect(forms).toEqual(coming.map(() => CODECS.delta));
    expect(await later.writer.commit()).toMatchObject({ chunks: coming.length + 1 });
    const { bytes } = await now.writer.commit();
    expect(bytes).toBeLessThan(500);
    await expectAll(later.store, coming, addresses);
  });

  it('fail with what is in the way of finding out, and nobody else does', async () => {
    const { store, writer } = await stored();
    const failure = Promise.reject(new Error('the tree cannot be read'));
    const failed = writer.put(coming, { similar: failure });
    const next = writer.put([chunk(3)]);
    await expect(failed).rejects.toThrow('the tree cannot be read');
    const [address] = await next;
    expect(await writer.put([], { similar: Promise.reject(new Error('nobody asks')) })).toEqual([]);
    await writer.commit();
    await expectAll(store, [chunk(3)], [address as Address]);
  });
});

describe('an index', () => {
  const chunks = Array.from({ length: 30 }, (_, i) => chunk(i));

  it('that is empty is filled', async () => {
    const blobs = memoryBlobStore();
    const addresses = await putAll(await reopen(blobs), chunks);
    await expectAll(await reopen(blobs), chunks, addresses);
  });

  it('that is behind learns of the packs that it has not seen, and reads no others', async () => {
    const blobs = faultyBlobStore(memoryBlobStore());
    const index = memoryIndex();
    await putAll(await reopen(blobs, index), chunks.slice(0, 10));
    const seen = await packsIn(blobs);
    const addresses = await putAll(await reopen(blobs), chunks);
    const before = blobs.calls.length;
    const store = await reopen(blobs, index);
    const read = blobs.calls.slice(before).filter(({ method }) => method === 'read');
    expect(new Set(read.map(({ name }) => name)).size).toBe((await packsIn(blobs)).length - seen.length);
    await expectAll(store, chunks, addresses);
  });

  it('that is ahead forgets the packs that are gone, but not what other packs have of theirs', async () => {
    const blobs = memoryBlobStore();
    const index = await levelIndex(
      new MemoryLevel({
        keyEncoding: 'view',
        valueEncoding: 'view',
        storeEncoding: 'view',
      }) as unknown as IndexDatabase,
    );
    const addresses = await putAll(await reopen(blobs, index), chunks.slice(0, 5));
    // Somebody whose index knows nothing yet writes the same chunks again, and more.
    const stranger = memoryBlobStore();
    await putAll(await reopen(stranger), chunks.slice(3, 8));
    const copied = await packsIn(stranger);
    for (const { name } of copied) await blobs.put(`${name}-copy`, await stranger.get(name));
    await reopen(blobs, index);
    for (const { name } of copied) await blobs.delete(`${name}-copy`);
    const store = await reopen(blobs, index);
    await expectAll(store, chunks.slice(0, 5), addresses);
    expect(await store.locate([nodeSha256((chunks[7] as NewChunk).bytes)])).toEqual([undefined]);
  });
});

describe('chunks that are read by whoever decodes them', () => {
  it('are the same, and damage to them is told as it is of chunks that are read first', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'vecsnap-'));
    try {
      const chunks = Array.from({ length: 40 }, (_, i) => chunk(i, 3000));
      const onDisk = fsBlobStore(directory);
      const addresses = await putAll(await reopen(onDisk, memoryIndex(), { packBytes: 20_000 }), chunks);
      for (const blobs of [onDisk, faultyBlobStore(onDisk)]) {
        const plain = await (await reopen(blobs, memoryIndex())).getMany(addresses);
        expect(plain.map((bytes) => toHex(bytes))).toEqual(chunks.map(({ bytes }) => toHex(bytes)));
      }
      const [pack] = (await packsIn(onDisk)) as [{ name: string; size: number }];
      const store = await reopen(onDisk, memoryIndex());
      const path = join(directory, pack.name);
      const whole = await readFile(path);
      await writeFile(path, whole.with(1000, (whole[1000] as number) ^ 1));
      await expect(store.getMany(addresses)).rejects.toThrow(
        expect.objectContaining({ code: 'CHUNK_DAMAGED' }),
      );
      await truncate(path, 1000);
      await expect(store.getMany(addresses)).rejects.toThrow(
        expect.objectContaining({ code: 'PACK_DAMAGED' }),
      );
      await store.parts.blobs.close();
      await rm(path);
      await expect(store.getMany(addresses)).rejects.toThrow(
        expect.objectContaining({ code: 'PACK_MISSING' }),
      );
    } finally {
      await rm(directory, { recursive: true });
    }
  });
});

describe('damage', () => {
  const chunks: NewChunk[] = [
    ...Array.from({ length: 6 }, (_, i) => chunk(i, 100)),
    { bytes: seededBytes(800, 7).map((byte) => byte & 15), width: 4, kind: 'data' },
    { bytes: new Uint8Array(3000).fill(5), width: 0, kind: 'data' },
    { bytes: seededBytes(90, 9), width: 0, kind: 'node' },
  ];

  async function damagedStore(harm: (bytes: Uint8Array) => Uint8Array, index = memoryIndex()) {
    const blobs = memoryBlobStore();
    const addresses = await putAll(await reopen(blobs, index, { packBytes: 1e6 }), chunks);
    const [pack] = (await packsIn(blobs)) as [{ name: string; size: number }];
    const whole = await blobs.get(pack.name);
    await replace(blobs, pack.name, harm(whole));
    return { blobs, addresses, pack };
  }

  async function packBytes(): Promise<Uint8Array> {
    const { blobs, pack } = await damagedStore((bytes) => bytes);
    return blobs.get(pack.name);
  }

  it('of one bit anywhere in a pack is found, and never read as other bytes', async () => {
    const { length } = await packBytes();
    const places = Array.from({ length: Math.ceil(length / 7) }, (_, i) => i * 7 + (i % 7)).filter(
      (at) => at < length,
    );
    for (const at of [...places, length - 1]) {
      const { blobs, addresses } = await damagedStore((bytes) =>
        bytes.with(at, (bytes[at] as number) ^ (1 << (at % 8))),
      );
      const store = await reopen(blobs);
      expect((await findingsIn(store)).length, `byte ${at}`).toBeGreaterThan(0);
      for (const [i, address] of addresses.entries()) {
        const got = await store.get(address).catch((error: unknown) => error);
        if (got instanceof Uint8Array) expect(Buffer.compare(got, (chunks[i] as NewChunk).bytes)).toBe(0);
        else expect(isVecsnapError(got, 'CHUNK_DAMAGED', 'CHUNK_MISSING'), String(got)).toBe(true);
      }
    }
  });

  it('of one chunk concerns that chunk alone', async () => {
    const { blobs, addresses, pack } = await damagedStore((bytes) =>
      bytes.with(8 + 250, (bytes[8 + 250] as number) ^ 1),
    );
    const store = await reopen(blobs);
    const findings = await findingsIn(store);
    expect(findings).toHaveLength(1);
    expect(findings[0]).toMatchObject({
      blob: pack.name,
      error: { code: 'CHUNK_DAMAGED', place: expect.stringContaining(pack.name) },
    });
    expect(toHex(findings[0]?.address as Address)).toBe(toHex(addresses[2] as Address));
    for (const [i, address] of addresses.entries()) {
      if (i !== 2) expect(await store.get(address)).toEqual(chunks[i]?.bytes);
      else
        await expect(store.get(address)).rejects.toThrow(expect.objectContaining({ code: 'CHUNK_DAMAGED' }));
    }
    await expect(store.getMany(addresses)).rejects.toThrow(
      expect.objectContaining({ code: 'CHUNK_DAMAGED' }),
    );
  });

  it('goes unnoticed where checksums are not verified, but only there', async () => {
    const { blobs, addresses } = await damagedStore((bytes) => bytes.with(8, (bytes[8] as number) ^ 1));
    const careless = await reopen(blobs, memoryIndex(), { verifyChecksum: false });
    expect(await careless.get(addresses[0] as Address)).not.toEqual(chunks[0]?.bytes);
    expect(await findingsIn(careless)).toHaveLength(1);
  });

  it('of a pack cut short is found; chunks before the cut are read by an index that knows them', async () => {
    const { length } = await packBytes();
    for (const cut of [0, 7, 8, 60, 300, 700, length - 44, length - 1]) {
      const index = memoryIndex();
      const { blobs, addresses, pack } = await damagedStore((bytes) => bytes.slice(0, cut), index);
      const strange = await reopen(blobs);
      expect(strange.problems).toEqual([
        { blob: pack.name, error: expect.objectContaining({ code: 'PACK_DAMAGED' }) },
      ]);
      expect(strange.isSound(pack.name)).toBe(false);
      const store = await reopen(blobs, index);
      expect(store.problems).toHaveLength(1);
      expect((await findingsIn(store)).some(({ error }) => error.code === 'PACK_DAMAGED')).toBe(true);
      for (const [i, address] of addresses.slice(0, 6).entries()) {
        const isWhole = 8 + (i + 1) * 100 <= cut;
        if (isWhole) expect(await store.get(address)).toEqual(chunks[i]?.bytes);
        else
          await expect(store.get(address)).rejects.toThrow(expect.objectContaining({ code: 'PACK_DAMAGED' }));
      }
    }
  });

  it('of a pack that is unsound is healed by writing its chunks again', async () => {
    const index = memoryIndex();
    const { blobs, addresses } = await damagedStore((bytes) => bytes.slice(0, 300), index);
    const store = await reopen(blobs, index);
    await putAll(store, chunks);
    await expectAll(store, chunks, addresses);
    await expectAll(await reopen(blobs), chunks, addresses);
  });

  it('by deletion of a pack is told', async () => {
    const blobs = memoryBlobStore();
    const store = await reopen(blobs);
    const [address] = await putAll(store, chunks.slice(0, 1));
    await store.refresh();
    const [pack] = (await packsIn(blobs)) as [{ name: string; size: number }];
    await blobs.delete(pack.name);
    await expect(store.get(address as Address)).rejects.toThrow(
      expect.objectContaining({ code: 'PACK_MISSING', place: pack.name }),
    );
    expect(await findingsIn(store)).toEqual([
      { blob: pack.name, error: expect.objectContaining({ code: 'PACK_MISSING' }) },
    ]);
    await expect((await reopen(blobs)).get(address as Address)).rejects.toThrow(
      expect.objectContaining({ code: 'CHUNK_MISSING' }),
    );
  });

  it('of an index that has chunks at other places is found', async () => {
    const blobs = memoryBlobStore();
    const index = memoryIndex();
    const store = await reopen(blobs, index);
    await putAll(store, chunks);
    await store.refresh();
    const [pack] = (await packsIn(blobs)) as [{ name: string; size: number }];
    const entries = await readPackDirectory(blobs, pack, nodeSha256);
    for (const harm of [
      { offset: 9 },
      { storedLength: 1 },
      { length: 1 },
      { codec: 3 },
      { kind: 'node' as const },
    ]) {
      await index.clear();
      await index.addPack(
        pack,
        entries.map((entry, i) => (i === 1 ? { ...entry, ...harm } : entry)),
      );
      const findings = await findingsIn(store);
      expect(findings).toHaveLength(1);
      expect(findings[0]?.error.code).toBe('INDEX_DAMAGED');
    }
    await index.clear();
    await index.addPack(pack, entries.slice(1));
    expect(await findingsIn(store)).toHaveLength(1);
  });
});

describe('a store that fails', () => {
  const first = Array.from({ length: 12 }, (_, i) => chunk(i));
  const second = Array.from({ length: 12 }, (_, i) => chunk(i + 6));

  /** A session that puts the second chunks beside the first. */
  async function session(blobs: BlobStore): Promise<Address[]> {
    const store = await reopen(blobs);
    const writer = new ChunkWriter(store);
    try {
      const halves = [second.slice(0, 6), second.slice(6)];
      const addresses = (await Promise.all(halves.map((half) => writer.put(half)))).flat();
      await writer.commit();
      await expectAll(store, second, addresses);
      return addresses;
    } catch (error) {
      await writer.abandon();
      throw error;
    }
  }

  it.each<['before' | 'torn', boolean]>([
    ['before', false],
    ['torn', false],
    ['before', true],
    ['torn', true],
  ])('%s any call, onwards: %s, says so, and afterwards everything works', async (when, onwards) => {
    for (let nth = 1; ; nth++) {
      const blobs: FaultyBlobStore = faultyBlobStore(memoryBlobStore());
      const addresses = await putAll(await reopen(blobs), first);
      blobs.setFaults({ failures: [{ nth, when, onwards }] });
      const calls = blobs.calls.length;
      const result = await session(blobs).catch((error: unknown) => error);
      const reached = blobs.calls.length - calls >= nth;
      if (reached)
        expect(isVecsnapError(result, 'STORE_FAILED'), `call ${nth}: ${String(result)}`).toBe(true);
      else expect(Array.isArray(result)).toBe(true);
      blobs.setFaults({});
      await expectAll(await reopen(blobs), first, addresses);
      const again = await session(blobs);
      await expectAll(await reopen(blobs), second, again);
      expect(await findingsIn(await reopen(blobs))).toEqual([]);
      if (!reached) break;
      expect(nth).toBeLessThan(60);
    }
  });

  it('by reading less than there is gives no wrong bytes', async () => {
    const blobs = faultyBlobStore(memoryBlobStore());
    const addresses = await putAll(await reopen(blobs), first);
    const store = await reopen(blobs);
    for (const shortReads of [1, 2, 3]) {
      blobs.setFaults({ shortReads });
      for (const [i, address] of addresses.entries()) {
        const got = await store.get(address).catch((error: unknown) => error);
        if (got instanceof Uint8Array) expect(got).toEqual(first[i]?.bytes);
        else expect(isVecsnapError(got, 'PACK_DAMAGED')).toBe(true);
      }
    }
  });
});

describe('reading many chunks', () => {
  it('reads neighbours together, whatever the order that they are asked in', async () => {
    const blobs = faultyBlobStore(memoryBlobStore());
    const chunks = Array.from({ length: 50 }, (_, i) => chunk(i));
    const addresses = await putAll(await reopen(blobs, memoryIndex(), { packBytes: 1e6 }), chunks);
    const store = await reopen(blobs);
    const before = blobs.calls.length;
    const order = fc.sample(fc.shuffledSubarray([...chunks.keys()], { minLength: 50 }), {
      numRuns: 1,
      seed: 1,
    })[0] as number[];
    await expectAll(
      store,
      order.map((i) => chunks[i] as NewChunk),
      order.map((i) => addresses[i] as Address),
    );
    expect(blobs.calls.length - before).toBe(1);
  });

  it('does not read what stands far between', async () => {
    const blobs = faultyBlobStore(memoryBlobStore());
    const chunks = [chunk(1), chunk(2, 100_000), chunk(3)];
    const addresses = await putAll(await reopen(blobs, memoryIndex(), { packBytes: 1e6 }), chunks);
    const store = await reopen(blobs);
    const before = blobs.calls.length;
    await expectAll(store, [chunk(1), chunk(3)], [addresses[0], addresses[2]] as Address[]);
    expect(blobs.calls.slice(before).map(({ bytes }) => bytes)).toEqual([500, 500]);
  });

  it('keeps to the number of reads that may be under way', async () => {
    const inner = memoryBlobStore();
    let running = 0;
    let most = 0;
    const blobs: BlobStore = {
      ...methodsOf(inner),
      async read(...input) {
        most = Math.max(most, ++running);
        await new Promise((resolve) => setImmediate(resolve));
        running--;
        return inner.read(...input);
      },
    };
    const chunks = Array.from({ length: 20 }, (_, i) => chunk(i, 20_000));
    const addresses = await putAll(await reopen(inner, memoryIndex(), { packBytes: 1 }), chunks);
    const store = await reopen(blobs, memoryIndex(), { maxConcurrentIo: 3 });
    await expectAll(store, chunks, addresses);
    expect(most).toBe(3);
  });
});

it('a store writes nothing that two writers of one process could not both have written', async () => {
  const blobs = memoryBlobStore();
  const [a, b] = [await reopen(blobs), await reopen(blobs)];
  await Promise.all([putAll(a, [chunk(1), chunk(2)]), putAll(b, [chunk(2), chunk(3)])]);
  const store = await reopen(blobs);
  await expectAll(
    store,
    [chunk(1), chunk(2), chunk(3)],
    [1, 2, 3].map((seed) => nodeSha256(chunk(seed).bytes)),
  );
});
