/** What an index lacks after a crash, and what stands in several packs: whoever opens the chunks next makes it good. */
import { type BlobStore, memoryBlobStore } from 'vecsnap/blob';
import { type ChunkIndex, CODECS, memoryIndex, type NewChunk, type PackEntry } from 'vecsnap/cas';
import type { Address } from 'vecsnap/core';
import { type Environment, SnapshotManager } from 'vecsnap/snapshot';
import { describe, expect, it } from 'vitest';
import { seededBytes } from './support/files.js';
import { memoryEnvironment } from './support/memory-environment.js';
import { recordSource } from './support/memory-source.js';
import { chunk, putAll, reopen } from './support/stores.js';

const RECORD = 50;

/** Forty records, of which some differ from version to version. */
function version(n: number): Uint8Array {
  const bytes = seededBytes(40 * RECORD, 1).slice();
  for (let i = 1; i <= n; i++) bytes.set(seededBytes(RECORD, 100 + i), ((i * 7) % 40) * RECORD);
  return bytes;
}

function told(bytes: Uint8Array, ...bases: Address[]): NewChunk {
  return { bytes, width: 0, kind: 'data', similar: { unit: RECORD, addresses: bases } };
}

async function putOne(blobs: BlobStore, one: NewChunk, index = memoryIndex()): Promise<Address> {
  const [address] = await putAll(await reopen(blobs, index), [one]);
  return address as Address;
}

async function packOf(blobs: BlobStore, address: Address): Promise<string> {
  const [location] = await (await reopen(blobs)).locate([address]);
  return location?.pack ?? '';
}

/** The blobs of one store under the names of the packs of another: names decide in which order packs are read. */
async function renamed(blobs: BlobStore, names: ReadonlyMap<string, string>): Promise<BlobStore> {
  const other = memoryBlobStore();
  for await (const { name } of blobs.list(''))
    await other.put(names.get(name) ?? name, await blobs.get(name));
  return other;
}

describe('an index that a crash left in the middle of bringing it up', () => {
  /** A chunk that stood in two packs, of which that is gone where the index found it. */
  async function lostOne(): Promise<{ blobs: BlobStore; index: ChunkIndex; address: Address }> {
    const blobs = memoryBlobStore();
    const shared = chunk(1);
    const address = await putOne(blobs, shared);
    const elsewhere = memoryBlobStore();
    await putAll(await reopen(elsewhere), [shared, chunk(2)]);
    for await (const { name } of elsewhere.list(''))
      await blobs.put('packs/second', await elsewhere.get(name));
    const index = memoryIndex();
    const [location] = await (await reopen(blobs, index)).locate([address]);
    await blobs.delete(location?.pack as string);
    return { blobs, index, address };
  }

  it('is brought up by the next, after whichever call it was', async () => {
    let crashes = 0;
    for (let calls = 0; calls <= crashes; calls++) {
      const { blobs, index, address } = await lostOne();
      const crashing = crashingAfter(index, calls);
      if ((await Promise.race([crashing.crashed, reopen(blobs, crashing)])) === 'crashed') crashes++;
      const [found] = await (await reopen(blobs, index)).locate([address]);
      expect(found, `after ${calls} calls`).toBeDefined();
    }
    expect(crashes).toBeGreaterThan(2);
  });
});

/** The index, until so many calls that change it were made. Then the process is gone: nothing comes of any call. */
function crashingAfter(
  index: ChunkIndex,
  calls: number,
): ChunkIndex & { readonly crashed: Promise<'crashed'> } {
  let left = calls;
  let onCrash = (): void => undefined;
  const crashed = new Promise<'crashed'>((resolve) => {
    onCrash = () => resolve('crashed');
  });
  const counted = <A extends unknown[]>(call: (...args: A) => Promise<void>) => {
    return async (...args: A): Promise<void> => {
      if (left-- > 0) return call(...args);
      onCrash();
      await new Promise(() => {});
    };
  };
  return {
    ...index,
    crashed,
    addPack: counted((pack, entries) => index.addPack(pack, entries)),
    addDirectory: () => false, // So that all is added by the call that is counted.
    removePacks: counted((names, chunks) => index.removePacks(names, chunks)),
    removeChunksOf: counted((names) => index.removeChunksOf(names)),
  };
}

describe('a chunk of which two packs have a delta', () => {
  it('is found where it can be put together, whichever pack is read first', async () => {
    // An index that has lost what it knew: the chunk is written again although a pack has it, in terms of another base.
    const blobs = memoryBlobStore();
    const base = await putOne(blobs, told(version(0)));
    const lost = await putOne(blobs, told(version(1), base));
    const lostPack = await packOf(blobs, lost);
    const basePack = await packOf(blobs, base);
    const hidden = await blobs.get(lostPack);
    await blobs.delete(lostPack);
    await blobs.delete(basePack);
    const other = await putOne(blobs, told(version(2)));
    await putOne(blobs, told(version(1), other));
    const goodPack = await packOf(blobs, lost);
    await blobs.put(lostPack, hidden);
    for (const names of [
      new Map([
        [lostPack, 'packs/a'],
        [goodPack, 'packs/b'],
      ]),
      new Map([
        [lostPack, 'packs/b'],
        [goodPack, 'packs/a'],
      ]),
    ]) {
      const store = await reopen(await renamed(blobs, names));
      const [location] = await store.locate([lost]);
      expect(location).toMatchObject({ codec: CODECS.delta, pack: names.get(goodPack) });
      expect(Buffer.compare(await store.get(lost), version(1))).toBe(0);
    }
  });
});

const SMALL = {
  rowGroups: { targetBytes: 256, minRecords: 3, maxRecords: 64 },
  nodes: { window: 2, max: 9 },
  packBytes: 1024,
};

/** An index that persists, and does not tell of one chunk; `lies` chooses which. */
async function withLyingIndex(
  lies: 'find' | 'entries',
): Promise<{ environment: Environment; manager: SnapshotManager }> {
  const blobs = memoryBlobStore();
  let index = memoryIndex();
  let liesStill = false;
  const lying = (): ChunkIndex => ({
    ...index,
    clear: async () => {
      liesStill = false;
      index = memoryIndex();
    },
    addPack: (pack, entries) => index.addPack(pack, entries),
    addDirectory: (pack, directory) => index.addDirectory?.(pack, directory) ?? false,
    find: async (addresses) => {
      const found = await index.find(addresses);
      return liesStill && lies === 'find'
        ? found.map((one, i) => ((addresses[i]?.[0] ?? 0) % 8 === 7 ? undefined : one))
        : found;
    },
    packs: () => index.packs(),
    async *entries() {
      const isHidden = ({ address }: PackEntry): boolean =>
        liesStill && lies === 'entries' && (address[0] as number) % 8 === 7;
      for await (const some of index.entries()) yield some.filter((entry) => !isHidden(entry));
    },
  });
  const environment = memoryEnvironment({ blobs, index: async () => lying() });
  const manager = await SnapshotManager.init({ environment, compression: 'none' }, SMALL);
  const schema = {
    id: 'none',
    vectors: [{ name: 'v', dtype: 'u8', dimension: 16 }],
    payload: 'none',
  } as const;
  const source = recordSource('c', { schema, count: 3000, vectors: [seededBytes(3000 * 16, 5)] });
  const { id } = await manager.createSnapshot(source, 'first');
  await manager.createSnapshot(source, 'second');
  await manager.deleteSnapshot(id);
  liesStill = true;
  return { environment, manager };
}

describe('an index that does not tell all', () => {
  it.each(['find', 'entries'] as const)('by %s takes nothing away, and is built anew', async (lies) => {
    const { manager } = await withLyingIndex(lies);
    await manager.collectGarbage({ maxUnused: 0 });
    expect((await manager.verifyRepository()).problems).toEqual([]);
  });
});
