/** The catalogue: what the directories of packs tell, the same as a store tells chunk by chunk. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { memoryBlobStore } from 'vecsnap/blob';
import {
  Catalogue,
  ChunkStore,
  ChunkWriter,
  CODECS,
  type Location,
  memoryIndex,
  type NewChunk,
} from 'vecsnap/cas';
import { type Address, toHex } from 'vecsnap/core';
import { nodeSha256 } from 'vecsnap/platform';
import { runs } from './support/arbitraries.js';
import { collectAll } from './support/collect.js';
import { seededBytes } from './support/files.js';
import { chunk, OPTIONS, putAll, reopen, seededRandom, storeParts } from './support/stores.js';

const UNIT = 32;

/** A chunk that is told by two others, half by each. */
function mixed(seeds: readonly [number, number], kin: readonly Address[]): NewChunk {
  const half = (seed: number) => seededBytes(20 * UNIT, seed).slice();
  const bytes = new Uint8Array(40 * UNIT);
  bytes.set(half(seeds[0]), 0);
  bytes.set(half(seeds[1]), 20 * UNIT);
  return { bytes, width: 0, kind: 'node', similar: { unit: UNIT, addresses: kin } };
}

async function everyChunk(store: ChunkStore): Promise<Address[]> {
  return (await collectAll(store.parts.index.entries())).map(({ address }) => address);
}

/** What a catalogue and a store say of chunks, without the numbers that a catalogue adds. */
async function told(places: Pick<ChunkStore, 'locate' | 'basesOf'>, addresses: readonly Address[]) {
  const locations = (await places.locate(addresses)) as (Location & { number?: number })[];
  const bases = await places.basesOf(locations);
  return locations.map(({ number: _, ...location }, i) => ({
    ...location,
    baseCount: location.baseCount,
    bases: bases[i]?.map(toHex),
  }));
}

describe('a catalogue', () => {
  it('tells of every chunk what the store tells', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.nat({ max: 40 }), { minLength: 2, maxLength: 25 }), async (seeds) => {
        const blobs = memoryBlobStore();
        const store = await reopen(blobs);
        const last: Address[] = [];
        for (const [i, seed] of seeds.entries()) {
          const next = seeds[i + 1] ?? 0;
          const added = await putAll(store, [mixed([seed, next], last.slice(-2)), chunk(seed)]);
          last.push(added[0] as Address);
          await store.refresh();
        }
        const all = await everyChunk(store);
        const catalogue = await Catalogue.read(store);
        expect(await told(catalogue, all)).toEqual(await told(store, all));
        for (const address of all)
          expect(toHex(catalogue.addressOf(catalogue.find(address)))).toBe(toHex(address));
      }),
      { numRuns: runs(40) },
    );
  });

  it('knows deltas of several chunks', async () => {
    const store = await reopen(memoryBlobStore());
    const kin = await putAll(store, [
      { bytes: mixed([1, 2], []).bytes, width: 0, kind: 'node' },
      { bytes: mixed([3, 4], []).bytes, width: 0, kind: 'node' },
    ]);
    await store.refresh();
    const [delta] = (await putAll(store, [mixed([1, 4], kin)])) as [Address];
    await store.refresh();
    const catalogue = await Catalogue.read(store);
    const bases: string[] = [];
    catalogue.forEachBase(catalogue.find(delta), (base) => bases.push(toHex(catalogue.addressOf(base))));
    expect(bases.toSorted()).toEqual(kin.map(toHex).toSorted());
    expect(catalogue.isDelta(catalogue.find(delta))).toBe(true);
    expect(catalogue.isNode(catalogue.find(delta))).toBe(true);
  });

  it('has a chunk of several packs where the index has it', async () => {
    const blobs = memoryBlobStore();
    const store = await reopen(blobs);
    await putAll(
      store,
      [1, 2, 3].map((seed) => chunk(seed)),
    );
    const [old] = [...store.packs.keys(), ...(await reopen(blobs)).packs.keys()] as [string];
    const writer = new ChunkWriter(store);
    await writer.copy(old, [...(await store.directory(old))]);
    await writer.commit();
    await store.refresh();
    expect(store.packs.size).toBe(2);
    for (const at of [store, await reopen(blobs)]) {
      const all = await everyChunk(at);
      const catalogue = await Catalogue.read(at);
      for (const address of all) expect(catalogue.isPlaced(catalogue.find(address))).toBe(false);
      expect(await told(catalogue, all)).toEqual(await told(at, all));
      for (const address of all) expect(catalogue.isPlaced(catalogue.find(address))).toBe(true);
    }
  });

  it('asks the index for what stands in a pack whose directory cannot be read', async () => {
    const blobs = memoryBlobStore();
    const index = memoryIndex();
    const store = await reopen(blobs, index);
    const [address] = (await putAll(store, [chunk(1)])) as [Address];
    await store.refresh();
    const [pack] = [...store.packs.keys()] as [string];
    const bytes = await blobs.get(pack);
    await blobs.delete(pack);
    await blobs.put(pack, bytes.with(bytes.length - 50, (bytes[bytes.length - 50] as number) ^ 1));
    const again = await reopen(blobs, index);
    const catalogue = await Catalogue.read(again);
    expect(catalogue.find(address)).toBe(-1);
    expect(await told(catalogue, [address])).toMatchObject([{ pack, codec: CODECS.raw }]);
  });

  it('leaves out copies that are known to be damaged, and gives nothing for what is not there', async () => {
    const blobs = memoryBlobStore();
    const random = seededRandom(5);
    const first = await ChunkStore.open(storeParts({ blobs, random }), OPTIONS);
    const [bad, good] = (await putAll(first, [chunk(1), chunk(2)])) as [Address, Address];
    const [place] = await first.locate([bad]);
    const damage = {
      tag: 'damage/1',
      isBad: (pack: string, offset: number) => pack === place?.pack && offset === place.offset,
      concerns: () => false,
    };
    const store = await ChunkStore.open(storeParts({ blobs, damage }), OPTIONS);
    const catalogue = await Catalogue.read(store);
    const absent = nodeSha256(new Uint8Array(3));
    const places = await catalogue.locate([bad, good, absent]);
    expect(places.map((one) => one !== undefined)).toEqual([false, true, false]);
    expect(catalogue.sizeOf(catalogue.find(absent))).toBe(0);
  });
});
