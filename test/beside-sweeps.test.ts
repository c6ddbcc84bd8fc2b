/**
 * Readers beside a sweep: before whichever call of the store the sweep comes, what is read is whole, verification finds no damage
 * where none is, and who reads a snapshot that was forgotten is told so.
 */
import { beforeAll, describe, expect, it } from 'vitest';
import { type Snapshot, SnapshotManager } from 'vecsnap';
import { type BlobStore, memoryBlobStore } from 'vecsnap/blob';
import type { Schema } from 'vecsnap/core';
import { memoryEnvironment, memorySource, MemoryTarget } from './support/memory-environment.js';
import { fromBatch, recordText, type TestRecord } from './support/records.js';
import { seededBytes } from './support/files.js';

const SCHEMA: Schema = {
  id: 'u64',
  vectors: [{ name: 'vector', dtype: 'f32', dimension: 32 }],
  payload: 'none',
};

/** Records of which a tenth is made anew for each seed. */
function recordsOf(seed: number): TestRecord[] {
  return Array.from({ length: 1200 }, (_, i) => ({
    id: BigInt(i),
    vectors: [seededBytes(128, 1 + (i % 10 === seed ? seed * 10_000 : 0) + i)],
    payload: new Uint8Array(0),
  }));
}

async function copyOf(blobs: BlobStore): Promise<BlobStore> {
  const copy = memoryBlobStore();
  for await (const { name } of blobs.list('')) await copy.put(name, await blobs.get(name));
  return copy;
}

/** A store that runs `action` before the n-th call, and counts calls. */
function interrupted(blobs: BlobStore, nth: number, action: () => Promise<void>) {
  const state = { calls: Number.NEGATIVE_INFINITY }; // Not yet.
  const count = async (): Promise<void> => {
    if (++state.calls === nth) await action();
  };
  const store: BlobStore = {
    place: blobs.place,
    put: async (...call) => (await count(), blobs.put(...call)),
    get: async (...call) => (await count(), blobs.get(...call)),
    read: async (...call) => (await count(), blobs.read(...call)),
    stat: async (...call) => (await count(), blobs.stat(...call)),
    async *list(prefix) {
      await count();
      yield* blobs.list(prefix);
    },
    delete: async (...call) => (await count(), blobs.delete(...call)),
    close: async () => {},
  };
  return { store, state };
}

let whole: BlobStore;
let going: Snapshot;
let staying: Snapshot;
let other: Snapshot;

beforeAll(async () => {
  whole = memoryBlobStore();
  const manager = await SnapshotManager.init(
    { environment: memoryEnvironment({ blobs: whole }) },
    { packBytes: 64 * 1024 },
  );
  const take = (name: string, seed: number) =>
    manager.createSnapshot(memorySource({ schema: SCHEMA, records: recordsOf(seed), sizes: [100] }), name);
  going = await take('going', 1);
  staying = await take('staying', 2);
  other = await take('other', 3);
});

/** Forgets a snapshot and sweeps, as another process would. */
async function sweep(blobs: BlobStore, id: string): Promise<void> {
  const manager = await SnapshotManager.open({ environment: memoryEnvironment({ blobs }) });
  await manager.deleteSnapshot(id);
  const { rewrittenPacks } = await manager.collectGarbage({ maxUnused: 0 });
  expect(rewrittenPacks.length, 'chunks are moved').toBeGreaterThan(0);
}

/** Runs `work` with a sweep before its n-th call, for every n. */
async function atEveryCall(
  work: (manager: SnapshotManager) => Promise<void>,
  forgotten: Snapshot = going,
): Promise<number> {
  for (let nth = 1; ; nth++) {
    const blobs = await copyOf(whole);
    const { store, state } = interrupted(blobs, nth, () => sweep(blobs, forgotten.id));
    const manager = await SnapshotManager.open({ environment: memoryEnvironment({ blobs: store }) });
    state.calls = 0;
    await work(manager);
    await manager.close();
    if (state.calls < nth) return nth - 1;
  }
}

function textsOf(records: readonly TestRecord[]): string[] {
  return records.map(recordText);
}

describe('before whichever call a sweep comes', { timeout: 60_000 }, () => {
  it('a snapshot is read as it was taken', async () => {
    const wanted = textsOf(recordsOf(2));
    const calls = await atEveryCall(async (manager) => {
      const found: string[] = [];
      for await (const batch of manager.readSnapshot(staying.id, { readAheadBytes: 20_000 }))
        found.push(...fromBatch(SCHEMA, batch).map(recordText));
      expect(found).toEqual(wanted);
    });
    expect(calls).toBeGreaterThan(10);
  });

  it('a snapshot is restored as it was taken', async () => {
    const wanted = textsOf(recordsOf(2));
    await atEveryCall(async (manager) => {
      const target = new MemoryTarget();
      await manager.restoreSnapshot(staying.id, target);
      expect(textsOf(target.records)).toEqual(wanted);
    });
  });

  it('verification finds no damage', async () => {
    await atEveryCall(async (manager) => {
      expect((await manager.verifyRepository()).problems).toEqual([]);
    });
    await atEveryCall(async (manager) => {
      expect((await manager.verifySnapshot(staying.id)).problems).toEqual([]);
    });
  });

  it('two snapshots are compared, and everything is counted', async () => {
    await atEveryCall(async (manager) => {
      const { records } = await manager.diffSnapshots(staying.id, other.id);
      expect(records).toMatchObject({ added: 0, removed: 0 });
    });
    await atEveryCall(async (manager) => {
      expect([2, 3]).toContain((await manager.stats()).snapshots);
      expect(await manager.collectionSize('test')).toBeGreaterThan(0);
    });
  });

  it('forgetting is priced', async () => {
    await atEveryCall(async (manager) => {
      const report = await manager.forget({ ids: [other.id], dryRun: true });
      expect(report.reclaimableBytes).toBeGreaterThan(0);
    });
  });

  it('who reads what is forgotten and swept gets all of it, or is told', async () => {
    const wanted = textsOf(recordsOf(1)).length;
    const told = new Map<string, number>();
    await atEveryCall(async (manager) => {
      const target = new MemoryTarget();
      const outcome = await manager.restoreSnapshot(going.id, target).then(
        ({ records }) => String(records),
        ({ code }: { code: string }) => code,
      );
      told.set(outcome, (told.get(outcome) ?? 0) + 1);
    });
    expect([...told.keys()].toSorted()).toEqual([String(wanted), 'SNAPSHOT_FORGOTTEN', 'SNAPSHOT_UNKNOWN']);
    await atEveryCall(async (manager) => {
      const outcome = await manager.verifySnapshot(going.id).then(
        ({ problems }) => problems.map(({ code }) => code),
        ({ code }: { code: string }) => code,
      );
      expect([[], 'SNAPSHOT_FORGOTTEN', 'SNAPSHOT_UNKNOWN']).toContainEqual(outcome);
    });
  });
});

it('a chunk that is missing though nothing moved is told as before', async () => {
  const blobs = await copyOf(whole);
  const manager = await SnapshotManager.open({ environment: memoryEnvironment({ blobs }) });
  for await (const { name } of blobs.list('packs/')) await blobs.delete(name);
  await expect(manager.restoreSnapshot(staying.id, new MemoryTarget())).rejects.toMatchObject({
    code: 'CHUNK_MISSING',
  });
  expect((await manager.verifySnapshot(staying.id)).ok).toBe(false);
});
