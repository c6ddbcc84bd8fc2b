/** The audit: equal to a naive computation, and its rows sum to the repository to the byte. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { OwnershipTable, type RepositoryStats } from 'vecsnap/audit';
import { Catalogue, inlineCoder, PACK_OVERHEAD, packEntryBytes } from 'vecsnap/cas';
import { type Schema, toHex, utf8 } from 'vecsnap/core';
import { reachable } from 'vecsnap/manifest';
import { nodeDeflate, nodeSha256 } from 'vecsnap/platform';
import { manifestAddress, type Snapshot, SnapshotManager } from 'vecsnap/snapshot';
import { runs } from './support/arbitraries.js';
import { collect, collectAll } from './support/collect.js';
import { seededBytes } from './support/files.js';
import { memoryEnvironment, memorySource } from './support/memory-environment.js';
import { reopen } from './support/stores.js';

const SCHEMA: Schema = { id: 'u64', payload: 'json', vectors: [{ name: 'v', dtype: 'u8', dimension: 100 }] };
const PARAMETERS = {
  rowGroups: { targetBytes: 1, minRecords: 5, maxRecords: 5 },
  nodes: { window: 1, max: 8 },
  packBytes: 3000,
};

const anySnapshot = fc.record({
  collection: fc.constantFrom('a', 'b', 'c'),
  from: fc.nat({ max: 40 }),
  count: fc.nat({ max: 60 }),
  changed: fc.nat({ max: 3 }),
});

async function repository(
  snapshots: readonly (typeof anySnapshot extends fc.Arbitrary<infer T> ? T : never)[],
) {
  const environment = memoryEnvironment({
    sha256: nodeSha256,
    coder: inlineCoder({ sha256: nodeSha256, deflate: nodeDeflate }),
  });
  const manager = await SnapshotManager.init({ environment }, PARAMETERS);
  for (const { collection, from, count, changed } of snapshots) {
    const records = Array.from({ length: count }, (_, i) => ({
      id: BigInt(from + i),
      vectors: [seededBytes(100, from + i + (i % 17 === 0 ? changed * 1000 : 0))],
      payload: utf8('{}'),
    }));
    await manager.createSnapshot(memorySource({ schema: SCHEMA, records }, collection), 'any');
  }
  return { environment, manager };
}

/** What every snapshot needs, walked whole. */
async function needs(
  { environment }: Awaited<ReturnType<typeof repository>>,
  snapshots: readonly Snapshot[],
): Promise<Set<string>[]> {
  const store = await reopen(environment.blobs);
  return Promise.all(
    snapshots.map(async (snapshot) => {
      const all = await collect(reachable(store, manifestAddress(snapshot), () => true));
      return new Set(all.flatMap(({ address, data }) => [address, ...data]).map(toHex));
    }),
  );
}

function sum(numbers: Iterable<number>): number {
  return [...numbers].reduce((a, b) => a + b, 0);
}

function rowsOf(stats: RepositoryStats): number {
  const { unreferencedBytes, packOverheadBytes, snapshotBytes, configBytes, fingerprintBytes, indexBytes } =
    stats;
  const others = [
    unreferencedBytes,
    packOverheadBytes,
    snapshotBytes,
    configBytes,
    fingerprintBytes,
    indexBytes,
  ];
  return sum([...stats.collections.map(({ newBytes }) => newBytes), ...others]);
}

describe('statistics', () => {
  it('are those of a naive computation, and sum to the repository', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(anySnapshot, { maxLength: 8 }),
        fc.array(fc.nat(), { maxLength: 3 }),
        fc.boolean(),
        async (taken, forgotten, isSwept) => {
          const made = await repository(taken);
          const { manager, environment } = made;
          for (const n of forgotten) {
            const listed = await manager.listSnapshots();
            const snapshot = listed[n % Math.max(1, listed.length)];
            if (snapshot) await manager.deleteSnapshot(snapshot.id);
          }
          if (isSwept) await manager.collectGarbage({ maxUnused: 0.2 });
          const stats = await manager.stats();
          const snapshots = (await manager.listSnapshots()).toReversed();
          const needed = await needs(made, snapshots);
          const store = await reopen(environment.blobs);
          const entries = await collectAll(store.parts.index.entries());
          const bytes = new Map(entries.map((entry) => [toHex(entry.address), packEntryBytes(entry)]));
          const bytesOf = (chunks: Iterable<string>) =>
            sum([...chunks].map((chunk) => bytes.get(chunk) as number));

          const all = new Set(needed.flatMap((set) => [...set]));
          const live = entries.filter(({ address }) => all.has(toHex(address)));
          expect(stats.snapshots).toBe(snapshots.length);
          expect(stats.logicalBytes).toBe(sum(snapshots.map(({ logicalBytes }) => logicalBytes)));
          expect(stats.uniqueBytes).toBe(sum(live.map(({ length }) => length)));
          expect(stats.storedBytes).toBe(sum(live.map(({ storedLength }) => storedLength)));
          expect(stats.dedupeSavedBytes).toBe(stats.logicalBytes - stats.uniqueBytes);
          expect(stats.compressionSavedBytes).toBe(stats.uniqueBytes - stats.storedBytes);
          expect(stats.chunks.count).toBe(all.size);
          expect(stats.chunks.nodes).toBe(live.filter(({ kind }) => kind === 'node').length);
          expect(sum(stats.chunks.histogram.map(({ chunks }) => chunks))).toBe(all.size);
          expect(sum(stats.chunks.histogram.map((bucket) => bucket.bytes))).toBe(stats.uniqueBytes);
          for (const { fromBytes, toBytes, chunks, bytes: inBucket } of stats.chunks.histogram) {
            const inside = live.filter(({ length }) => length >= fromBytes && length < toBytes);
            expect([chunks, inBucket]).toEqual([inside.length, sum(inside.map(({ length }) => length))]);
          }

          for (const { collection, snapshots: rows, ...shares } of stats.collections) {
            const positions = snapshots.flatMap((snapshot, i) =>
              snapshot.collection === collection ? [i] : [],
            );
            expect(rows.map(({ id }) => id)).toEqual(positions.map((i) => (snapshots[i] as Snapshot).id));
            let ofCollection = 0;
            let acrossShared = 0;
            for (const [row, i] of positions.entries()) {
              const older = new Set(needed.slice(0, i).flatMap((set) => [...set]));
              const others = (j: number) => needed.filter((_, k) => k !== j).flatMap((set) => [...set]);
              const fresh = [...(needed[i] as Set<string>)].filter((chunk) => !older.has(chunk));
              const elsewhere = new Set(others(i));
              const exclusive = bytesOf(fresh.filter((chunk) => !elsewhere.has(chunk)));
              expect(rows[row]).toMatchObject({
                newBytes: bytesOf(fresh),
                exclusiveBytes: exclusive,
                sharedBytes: bytesOf(fresh) - exclusive,
                addedBytes: (snapshots[i] as Snapshot).addedBytes,
              });
              const foreign = new Set(
                needed.filter((_, k) => snapshots[k]?.collection !== collection).flatMap((set) => [...set]),
              );
              ofCollection += bytesOf(fresh);
              acrossShared += bytesOf(fresh.filter((chunk) => foreign.has(chunk)));
            }
            expect(shares).toMatchObject({
              newBytes: ofCollection,
              sharedBytes: acrossShared,
              exclusiveBytes: ofCollection - acrossShared,
              logicalBytes: sum(positions.map((i) => (snapshots[i] as Snapshot).logicalBytes)),
            });
          }
          expect(stats.packOverheadBytes).toBe(store.packs.size * PACK_OVERHEAD);
          expect(stats.unreferencedBytes).toBe(
            sum(store.packs.values()) - bytesOf(all) - stats.packOverheadBytes,
          );
          expect(stats.repositoryBytes).toBe(await manager.totalSize());
          expect(rowsOf(stats)).toBe(stats.repositoryBytes);
          for (const collection of ['a', 'b', 'c']) {
            const positions = snapshots.flatMap((snapshot, i) =>
              snapshot.collection === collection ? [i] : [],
            );
            const its = new Set(positions.flatMap((i) => [...(needed[i] as Set<string>)]));
            expect(await manager.collectionSize(collection)).toBe(bytesOf(its));
          }
        },
      ),
      { numRuns: runs(40) },
    );
  });

  it('of exclusive bytes tell what a sweep gives back', async () => {
    const { manager } = await repository([
      { collection: 'a', from: 0, count: 60, changed: 0 },
      { collection: 'a', from: 0, count: 60, changed: 1 },
      { collection: 'b', from: 30, count: 60, changed: 0 },
    ]);
    const before = await manager.stats();
    const row = before.collections[0]?.snapshots[1];
    await manager.deleteSnapshot(row?.id as string);
    const after = await manager.stats();
    expect(after.unreferencedBytes - before.unreferencedBytes).toBe(row?.exclusiveBytes);
    await manager.collectGarbage({ maxUnused: 0 });
    expect((await manager.stats()).unreferencedBytes).toBe(0);
  });

  it('of nothing are zero', async () => {
    const { manager } = await repository([]);
    const stats = await manager.stats();
    expect(stats).toMatchObject({
      snapshots: 0,
      logicalBytes: 0,
      uniqueBytes: 0,
      collections: [],
      unreferencedBytes: 0,
    });
    expect(rowsOf(stats)).toBe(stats.repositoryBytes);
  });
});

describe('ownership', () => {
  it('walks what several snapshots share no more often than it tells something new', async () => {
    const made = await repository(
      Array.from({ length: 6 }, () => ({ collection: 'a', from: 0, count: 60, changed: 0 })),
    );
    const store = await reopen(made.environment.blobs);
    const snapshots = (await made.manager.listSnapshots()).toReversed();
    const reads: string[] = [];
    const chunks = {
      get: (address: Parameters<typeof store.get>[0]) => {
        reads.push(toHex(address));
        return store.get(address);
      },
    };
    const table = await OwnershipTable.build(
      await Catalogue.read(store),
      chunks,
      snapshots.map((snapshot) => ({ ...snapshot, manifest: manifestAddress(snapshot) })),
    );
    const nodes = new Set(reads).size;
    expect(reads.length).toBe(2 * nodes); // Once for the owner, and once for the first that shares it.
    expect(table.find(manifestAddress(snapshots[0] as Snapshot))).toEqual({
      owner: 0,
      shared: true,
      sharedAcross: false,
      held: false,
    });
    expect(table.find(nodeSha256(utf8('nothing')))).toBeUndefined();
  });
});

describe('chunks that only deltas hold', () => {
  it('are stored bytes of whoever needs them, and no content of anybody', async () => {
    const environment = memoryEnvironment({
      sha256: nodeSha256,
      coder: inlineCoder({ sha256: nodeSha256, deflate: nodeDeflate }),
    });
    const manager = await SnapshotManager.init({ environment });
    const source = (changed: number) =>
      memorySource({
        schema: SCHEMA,
        records: Array.from({ length: 3000 }, (_, i) => ({
          id: BigInt(i),
          vectors: [seededBytes(100, i === 7 ? changed : i)],
          payload: utf8('{}'),
        })),
      });
    const first = await manager.createSnapshot(source(7), 'first');
    const second = await manager.createIncrementalSnapshot(source(-1), 'second', first.id);
    await manager.deleteSnapshot(first.id);
    const stats = await manager.stats();
    expect(second.addedBytes).toBeLessThan(3000);
    expect(stats.uniqueBytes).toBeLessThan(stats.logicalBytes * 1.01);
    expect(stats.storedBytes).toBeGreaterThan(stats.logicalBytes * 0.8);
    const [collection] = stats.collections;
    expect(collection?.newBytes).toBeGreaterThan(stats.storedBytes);
    await manager.close();
  });
});
