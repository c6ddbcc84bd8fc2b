/** Reclaiming: what is live stays readable, what is dead goes, and doubt stops it. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type BlobStore, memoryBlobStore } from 'vecsnap/blob';
import {
  ChunkStore,
  ChunkWriter,
  memoryIndex,
  type NewChunk,
  PACK_OVERHEAD,
  packEntryBytes,
} from 'vecsnap/cas';
import { type Address, DigestTable, toHex } from 'vecsnap/core';
import {
  decideRetention,
  DEFAULT_SWEEP,
  mark,
  markChunks,
  planSweep,
  type PreparedSweep,
  sweep,
} from 'vecsnap/gc';
import { encodeManifest, encodeNode, rowGroupToEntry } from 'vecsnap/manifest';
import { nodeSha256 } from 'vecsnap/platform';
import { faultyBlobStore } from './fault/faulty-blob-store.js';
import { runs } from './support/arbitraries.js';
import { collect, collectAll } from './support/collect.js';
import { chunk, OPTIONS, putAll, reopen, seededRandom, storeParts } from './support/stores.js';

const PACK_BYTES = 3000;

/** A store of sessions, each a list of seeds of chunks, and the addresses of the chunks that are needed. */
const anyStore = fc.record({
  sessions: fc.array(fc.uniqueArray(fc.nat({ max: 120 }), { minLength: 1, maxLength: 30 }), {
    minLength: 1,
    maxLength: 6,
  }),
  live: fc.oneof(fc.constant(0), fc.constant(1), fc.double({ min: 0, max: 1, noNaN: true })),
  maxUnused: fc.constantFrom(0, 0.05, 0.3, 0.7, 1),
  seed: fc.nat(),
});

/** Chunks of many sizes, so that packs are dead to different degrees. */
function sized(seed: number): NewChunk {
  return chunk(seed, 100 + ((seed * 37) % 900));
}

async function make(sessions: readonly (readonly number[])[], random = seededRandom(3)) {
  const blobs = memoryBlobStore();
  const store = await ChunkStore.open(storeParts({ blobs, random }), { ...OPTIONS, packBytes: PACK_BYTES });
  for (const seeds of sessions) await putAll(store, seeds.map(sized));
  await store.refresh();
  return { blobs, store };
}

function liveOf(seeds: Iterable<number>): DigestTable {
  const live = new DigestTable();
  for (const seed of seeds) live.add(nodeSha256(sized(seed).bytes));
  return live;
}

async function plan(store: ChunkStore, live: DigestTable, maxUnused: number): Promise<PreparedSweep> {
  return planSweep(store, await markChunks(store, live), { maxUnused });
}

async function bytesIn(blobs: BlobStore): Promise<number> {
  return (await collect(blobs.list('packs/'))).reduce((sum, { size }) => sum + size, 0);
}

/** Bytes of packs that belong to no live chunk, without headers and footers. */
async function unusedIn(store: ChunkStore, live: DigestTable): Promise<number> {
  let used = 0;
  for (const entry of await collectAll(store.parts.index.entries()))
    if (live.has(entry.address)) used += packEntryBytes(entry);
  const all = [...store.packs.values()].reduce((sum, size) => sum + size - PACK_OVERHEAD, 0);
  return all - used;
}

describe('a sweep', () => {
  it('keeps all that is live, and of the rest no more than it may', async () => {
    await fc.assert(
      fc.asyncProperty(anyStore, async ({ sessions, live: part, maxUnused, seed }) => {
        const { blobs, store } = await make(sessions);
        const seeds = [...new Set(sessions.flat())].filter(
          (one) => ((one * 2654435761 + seed) % 1000) / 1000 < part,
        );
        const live = liveOf(seeds);
        const before = await bytesIn(blobs);
        const planned = await plan(store, live, maxUnused);
        expect(await bytesIn(blobs)).toBe(before);
        const report = await sweep(store, planned);
        const after = await bytesIn(blobs);
        expect(report).toMatchObject({
          deletedPacks: planned.plan.deletedPacks,
          rewrittenPacks: planned.plan.rewrittenPacks,
          keptPacks: [],
        });
        expect(report.reclaimedBytes).toBe(before - after);
        expect(before - after).toBeGreaterThanOrEqual(0);
        // The plan does not know how rewritten chunks fall into packs: it may be off by some headers and footers.
        const packsWritten = Math.ceil(report.writtenBytes / PACK_BYTES) + 1;
        expect(Math.abs(planned.plan.reclaimedBytes - report.reclaimedBytes)).toBeLessThanOrEqual(
          packsWritten * PACK_OVERHEAD,
        );
        for (const at of [store, await reopen(blobs)]) {
          for (const one of seeds)
            expect(await at.get(nodeSha256(sized(one).bytes))).toEqual(sized(one).bytes);
          const total = [...at.packs.values()].reduce((sum, size) => sum + size, 0);
          expect(await unusedIn(at, live)).toBeLessThanOrEqual(maxUnused * total);
        }
        expect((await plan(store, live, maxUnused)).plan).toMatchObject({
          deletedPacks: [],
          rewrittenPacks: [],
          reclaimedBytes: 0,
        });
      }),
      { numRuns: runs(80) },
    );
  });

  it('of everything leaves nothing, of nothing changes nothing', async () => {
    const { blobs, store } = await make([[1, 2, 3, 4, 5, 6, 7, 8], [9]]);
    const all = liveOf([1, 2, 3, 4, 5, 6, 7, 8, 9]);
    expect(await sweep(store, await plan(store, all, 0))).toMatchObject({
      reclaimedBytes: 0,
      writtenBytes: 0,
    });
    const none = liveOf([]);
    await sweep(store, await plan(store, none, 1));
    expect(await collect(blobs.list(''))).toEqual([]);
  });

  it('deletes packs whose chunks are all found elsewhere, as a sweep that was cut off leaves them', async () => {
    const { blobs, store } = await make([[1, 2, 3, 4]]);
    const [old] = await collect(blobs.list('packs/'));
    const writer = new ChunkWriter(store);
    const entries = await collectAll(store.parts.index.entries());
    await writer.copy(
      old?.name as string,
      entries.toSorted((a, b) => a.offset - b.offset),
    );
    await writer.commit(); // And here the power went out.
    const live = liveOf([1, 2, 3, 4]);
    for (const at of [store, await reopen(blobs)]) {
      await at.refresh();
      expect(at.packs.size).toBe(2);
      const planned = await plan(at, live, 0);
      expect(planned.plan.deletedPacks).toHaveLength(1);
      expect(planned.plan.keptPacks).toEqual([]);
    }
    await sweep(store, await plan(store, live, 0));
    expect(store.packs.size).toBe(1);
    const again = await reopen(blobs);
    for (const seed of [1, 2, 3, 4])
      expect(await again.get(nodeSha256(sized(seed).bytes))).toEqual(sized(seed).bytes);
  });

  it('leaves packs alone of which nothing is known', async () => {
    const { blobs } = await make([[1, 2, 3]]);
    await blobs.put('packs/strange', new Uint8Array(100));
    const store = await reopen(blobs);
    const none = liveOf([]);
    const planned = await plan(store, none, 0);
    expect(planned.plan.keptPacks).toEqual(['packs/strange']);
    await sweep(store, planned);
    expect((await collect(blobs.list(''))).map(({ name }) => name)).toEqual(['packs/strange']);
  });

  it('is made from a plan once', async () => {
    const { store } = await make([[1, 2, 3]]);
    const live = liveOf([1]);
    const planned = await plan(store, live, 0);
    await sweep(store, planned);
    await expect(sweep(store, planned)).rejects.toThrow(
      expect.objectContaining({ code: 'PLAN_SPENT', remedy: expect.any(String) }),
    );
    expect(await store.get(nodeSha256(sized(1).bytes))).toEqual(sized(1).bytes);
  });

  it('keeps a pack with a damaged chunk that it should rewrite', async () => {
    const { blobs } = await make([[1, 2, 3]]);
    const [pack] = await collect(blobs.list('packs/'));
    const bytes = await blobs.get(pack?.name as string);
    await blobs.delete(pack?.name as string);
    await blobs.put(pack?.name as string, bytes.with(20, (bytes[20] as number) ^ 1));
    const store = await reopen(blobs);
    const live = liveOf([1, 2]);
    const planned = await plan(store, live, 0);
    expect(planned.plan.rewrittenPacks).toEqual([pack?.name]);
    expect(await sweep(store, planned)).toMatchObject({
      damagedPacks: [pack?.name],
      keptPacks: [pack?.name],
      rewrittenPacks: [],
      writtenBytes: 0,
      reclaimedBytes: 0,
    });
    expect((await collect(blobs.list(''))).map(({ name }) => name)).toEqual([pack?.name]);
    expect(await (await reopen(blobs)).get(nodeSha256(sized(2).bytes))).toEqual(sized(2).bytes);
  });

  it('rewrites the packs with the largest dead part first, and no more than it must', async () => {
    const { store } = await make([]);
    // Three packs: a tenth, a half and nine tenths dead.
    const sessions = [0, 100, 200].map((from) => Array.from({ length: 10 }, (_, i) => chunk(from + i, 200)));
    for (const chunks of sessions) await putAll(store, chunks);
    await store.refresh();
    const live = new DigestTable();
    const kept = [9, 5, 1];
    for (const [i, chunks] of sessions.entries())
      for (const { bytes } of chunks.slice(0, kept[i])) live.add(nodeSha256(bytes));
    const packOf = async (seed: number) =>
      (await store.locate([nodeSha256(chunk(seed, 200).bytes)]))[0]?.pack;
    const [slightly, half, mostly] = [await packOf(0), await packOf(100), await packOf(200)];
    const rewritten = async (maxUnused: number) => (await plan(store, live, maxUnused)).plan.rewrittenPacks;
    expect(await rewritten(1)).toEqual([]);
    expect(await rewritten(0.5)).toEqual([]);
    expect(await rewritten(0.4)).toEqual([mostly]);
    expect(await rewritten(0.1)).toEqual([mostly, half]);
    expect(await rewritten(0)).toEqual([mostly, half, slightly]);
    expect(DEFAULT_SWEEP.maxUnused).toBe(0.05);
  });
});

it('the part that may stay dead is of what remains after the sweep', async () => {
  const { store } = await make([]);
  const live = new DigestTable();
  for (let session = 0; session < 10; session++) {
    const chunks = Array.from({ length: 10 }, (_, i) => chunk(session * 100 + i, 200));
    await putAll(store, chunks);
    for (const { bytes } of chunks.slice(0, 5)) live.add(nodeSha256(bytes));
  }
  await store.refresh();
  // Half is dead. Were a third of what is there now allowed, four packs would do; of what then remains it takes five.
  const planned = await plan(store, live, 1 / 3);
  await sweep(store, planned);
  const total = [...store.packs.values()].reduce((sum, size) => sum + size, 0);
  expect(await unusedIn(store, live)).toBeLessThanOrEqual(total / 3);
  expect(planned.plan.rewrittenPacks).toHaveLength(5);
});

describe('a mark', () => {
  const schema = { id: 'string', payload: 'none', vectors: [] } as const;

  /** A manifest with one row group for each list of chunks. */
  async function manifestOf(store: ChunkStore, groups: readonly (readonly number[])[]): Promise<Address> {
    const columns = groups.map((seeds) =>
      seeds.map((seed) => ({ address: nodeSha256(sized(seed).bytes), length: sized(seed).bytes.length })),
    );
    const entries = columns.map((column, i) =>
      rowGroupToEntry({ key: Uint8Array.of(i), count: 1, columns: [column] }),
    );
    const node: NewChunk = { bytes: encodeNode({ level: 0, entries }), width: 0, kind: 'node' };
    const bytes = entries.reduce((sum, entry) => sum + entry.bytes, 0);
    const records = { root: nodeSha256(node.bytes), count: entries.length, bytes };
    const manifest = encodeManifest({ format: { name: 'test' }, schema, records, files: undefined });
    const [address] = await putAll(store, [{ bytes: manifest, width: 0, kind: 'node' }, node]);
    return address as Address;
  }

  it('finds the manifests, their nodes and their data', async () => {
    const { store } = await make([[1, 2, 3, 4]]);
    const manifests = [await manifestOf(store, [[1, 2], [3]]), await manifestOf(store, [[3]])];
    await store.refresh();
    const live = await mark(store, manifests);
    expect(live.reachedCount).toBe(4 + 3);
    expect(live.heldCount).toBe(0);
    for (const seed of [1, 2, 3]) expect(live.has(nodeSha256(sized(seed).bytes))).toBe(true);
    expect(live.has(nodeSha256(sized(4).bytes))).toBe(false);
    expect(live.has(nodeSha256(sized(5).bytes))).toBe(false); // Which is not there at all.
    expect((await mark(store, [])).reachedCount).toBe(0);
  });

  it('refuses when anything is missing or damaged, so that nothing is deleted', async () => {
    const refused = expect.objectContaining({
      code: 'SWEEP_REFUSED',
      place: expect.any(String),
      remedy: expect.any(String),
    });
    const { blobs, store } = await make([[1, 2, 3, 4, 5, 6, 7, 8, 9]]);
    const manifest = await manifestOf(store, [
      [1, 2],
      [3, 4, 5, 6, 7, 8],
    ]);
    await expect(mark(store, [nodeSha256(new Uint8Array(9))])).rejects.toThrow(refused);
    for (const { name } of await collect(blobs.list('packs/'))) {
      const bytes = await blobs.get(name);
      await blobs.delete(name);
      await expect(mark(await reopen(blobs), [manifest])).rejects.toThrow(refused);
      await expect(
        mark(store, [manifest]).then(() => store.refresh().then(() => mark(store, [manifest]))),
      ).rejects.toThrow(refused);
      await blobs.put(name, bytes);
      await store.refresh();
    }
    await mark(await reopen(blobs), [manifest]);
    const index = memoryIndex();
    const strange = await ChunkStore.open(storeParts({ blobs, index }), OPTIONS);
    await index.removePacks(new Set([...strange.packs.keys()].slice(0, 1)));
    await expect(mark(strange, [manifest])).rejects.toThrow(refused);
    await expect(mark(store, [await manifestOf(store, [[200]])])).rejects.toThrow(refused);
  });

  it('stops at a signal, which is no refusal', async () => {
    const { store } = await make([[1]]);
    const manifest = await manifestOf(store, [[1]]);
    await expect(mark(store, [manifest], AbortSignal.abort())).rejects.toThrow(
      expect.objectContaining({ code: 'ABORTED' }),
    );
  });

  it('reads each node once, whoever shares it', async () => {
    const blobs = faultyBlobStore(memoryBlobStore());
    const store = await reopen(blobs);
    await putAll(store, [1, 2].map(sized));
    const manifest = await manifestOf(store, [[1], [2]]);
    await store.refresh();
    const before = blobs.calls.length;
    await mark(store, [manifest, manifest, manifest]);
    // The two, and the directories of their packs.
    expect(blobs.calls.length - before).toBe(2 + store.packs.size);
  });
});

describe('retention', () => {
  /** No two of one time: those do not count (retention.test.ts). */
  const anySnapshots = fc.uniqueArray(
    fc.record({
      id: fc.uuid(),
      collection: fc.constantFrom('a', 'b', 'c'),
      createdAt: fc.nat({ max: 100 }).map((n) => new Date(n * 1000).toISOString()),
    }),
    { maxLength: 30, selector: ({ createdAt }) => createdAt },
  );

  it('keeps the newest of each collection and tells why, whatever the order of the list', () => {
    fc.assert(
      fc.property(
        anySnapshots,
        fc.integer({ min: 1, max: 4 }),
        fc.infiniteStream(fc.nat()),
        (snapshots, keepLast, order) => {
          const { keep, forget } = decideRetention(snapshots, { keepLast });
          const shuffled = snapshots
            .map((snapshot) => ({ snapshot, rank: order.next().value }))
            .toSorted((a, b) => a.rank - b.rank);
          expect(
            decideRetention(
              shuffled.map(({ snapshot }) => snapshot),
              { keepLast },
            ),
          ).toEqual({ keep, forget });
          expect([...keep.map(({ id }) => id), ...forget].toSorted()).toEqual(
            snapshots.map(({ id }) => id).toSorted(),
          );
          const age = new Map(
            snapshots.map((snapshot) => [snapshot.id, `${snapshot.createdAt} ${snapshot.id}`]),
          );
          for (const collection of ['a', 'b', 'c']) {
            const all = snapshots
              .filter((snapshot) => snapshot.collection === collection)
              .map(({ id }) => id);
            const kept = all.filter((id) => !forget.includes(id));
            expect(kept).toHaveLength(Math.min(keepLast, all.length));
            for (const old of all.filter((id) => forget.includes(id)))
              for (const id of kept) expect((age.get(old) as string) < (age.get(id) as string)).toBe(true);
          }
          expect(keep.every(({ reasons }) => reasons.length > 0)).toBe(true);
          const ages = forget.map((id) => age.get(id) as string);
          expect(ages).toEqual(ages.toSorted());
        },
      ),
    );
  });

  it.each([0, -1, 1.5, Number.NaN, Infinity])('does not keep %d', (keepLast) => {
    expect(() => decideRetention([], { keepLast })).toThrow(
      expect.objectContaining({ code: 'OPTION_INVALID' }),
    );
  });
});

it('addresses in tests differ', () => {
  expect(new Set(Array.from({ length: 121 }, (_, i) => toHex(nodeSha256(sized(i).bytes)))).size).toBe(121);
});
