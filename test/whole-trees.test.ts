/**
 * Trees that are noted to be whole (docs/ordering.md, R12): what stands in them is not looked up, as long as nothing can have gone, and not
 * even read where the source has not been written since.
 */
import { describe, expect, it } from 'vitest';
import { type BlobStore, memoryBlobStore } from 'vecsnap/blob';
import type { ChunkIndex, WholeTree } from 'vecsnap/cas';
import { type CreateOptions, type Snapshot, SnapshotManager } from 'vecsnap/snapshot';
import type { Source } from 'vecsnap/source';
import { seededBytes } from './support/files.js';
import { hintedSource, type Scans } from './support/hinted-source.js';
import { memoryEnvironment, memorySource, persistentIndex } from './support/memory-environment.js';
import type { TestRecord } from './support/records.js';

const PARAMETERS = {
  rowGroups: { targetBytes: 1, minRecords: 5, maxRecords: 5 },
  nodes: { window: 1, max: 8 },
  packBytes: 2000,
};
const SCHEMA = {
  id: 'string',
  payload: 'none',
  vectors: [{ name: 'v', dtype: 'f32', dimension: 16 }],
} as const;

function recordsOf(seed: number): TestRecord[] {
  return Array.from({ length: 200 }, (_, n) => ({
    id: `record ${String(n).padStart(3, '0')}`,
    vectors: [seededBytes(64, seed * 1000 + n)],
    payload: new Uint8Array(0),
  }));
}

function sourceOf(records: readonly TestRecord[], collection = 'c') {
  return { ...memorySource({ schema: SCHEMA, records }), collection };
}

/** A repository in memory whose index persists, and which data chunks are looked up there. */
class Repository {
  readonly blobs: BlobStore = memoryBlobStore();
  lookedUp = 0;
  canNote = true;
  canDiscard = true;
  readonly #kept = persistentIndex();
  readonly #environment = memoryEnvironment({ blobs: this.blobs, index: () => this.#openIndex() });

  init(): Promise<SnapshotManager> {
    return SnapshotManager.init({ environment: this.#environment }, PARAMETERS);
  }

  async #openIndex(): Promise<ChunkIndex> {
    const index = await this.#kept.open();
    const find = index.find.bind(index);
    index.find = async (addresses) => {
      const found = await find(addresses);
      this.lookedUp += found.filter((location) => location?.kind === 'data').length;
      return found;
    };
    const fail = () => Promise.reject(new Error('the disk is full'));
    if (!this.canDiscard) index.clear = fail;
    return this.canNote ? index : Object.assign(index, { noteWhole: fail, wholeNote: fail });
  }

  /** What the index has noted of trees. */
  async notedTrees(): Promise<readonly WholeTree[]> {
    const index = await this.#openIndex();
    const trees = await index.wholeTrees?.();
    await index.close();
    return trees ?? [];
  }

  /** The name of one of the packs that hold records. */
  async #somePack(): Promise<string> {
    for await (const { name } of this.blobs.list('packs/')) return name;
    throw new Error('there are no packs');
  }

  /** Cuts off the end of a pack. */
  async cutPack(): Promise<void> {
    const name = await this.#somePack();
    const bytes = await this.blobs.get(name);
    await this.blobs.delete(name);
    await this.blobs.put(name, bytes.subarray(0, -100));
  }

  /** Inverts bytes in the middle of a pack, which are in one chunk, or two for 400 bytes. */
  async garblePack(count = 1): Promise<void> {
    const name = await this.#somePack();
    const bytes = (await this.blobs.get(name)).slice();
    const start = bytes.length >> 1;
    for (let at = start; at < start + count; at++) bytes[at] = (bytes[at] as number) ^ 0xff;
    await this.blobs.delete(name);
    await this.blobs.put(name, bytes);
  }

  /** Loses a pack, and lets the index learn of it. */
  async losePack(manager: SnapshotManager): Promise<void> {
    await this.blobs.delete(await this.#somePack());
    await manager.createSnapshot(sourceOf(recordsOf(9).slice(0, 5), 'other'), 'other');
    expect((await manager.verifyRepository()).problems).not.toEqual([]);
  }
}

async function takeNext(manager: SnapshotManager, records: readonly TestRecord[], last: Snapshot) {
  return manager.createIncrementalSnapshot(sourceOf(records), 'next', last.id);
}

describe('a tree that was taken', () => {
  const records = recordsOf(1);
  const changed = records.map((record, n) => (n === 77 ? (recordsOf(2)[n] as TestRecord) : record));

  async function taken() {
    const repository = new Repository();
    const manager = await repository.init();
    const first = await manager.createSnapshot(sourceOf(records), 'first');
    return { repository, manager, first };
  }

  it('is not looked up by the snapshot that follows, but for what has changed', async () => {
    const { repository, manager, first } = await taken();
    repository.lookedUp = 0;
    const same = await takeNext(manager, records, first);
    expect(same.checksum).toBe(first.checksum);
    expect(repository.lookedUp).toBe(0);
    const next = await takeNext(manager, changed, same);
    expect(repository.lookedUp).toBeLessThan(6);
    expect(next.checksum).not.toBe(first.checksum);
    expect((await manager.verifyRepository()).problems).toEqual([]);
  });

  it('is looked up when a pack has gone since, and so is healed', async () => {
    const { repository, manager, first } = await taken();
    await repository.losePack(manager);
    repository.lookedUp = 0;
    await takeNext(manager, records, first);
    expect(repository.lookedUp).toBeGreaterThan(6);
    expect((await manager.verifyRepository()).problems).toEqual([]);
  });

  it('is looked up while a pack is damaged, and what stands there is stored again', async () => {
    const { repository, manager, first } = await taken();
    await repository.cutPack();
    repository.lookedUp = 0;
    const next = await takeNext(manager, records, first);
    expect(repository.lookedUp).toBeGreaterThan(6);
    const { problems } = await manager.verifySnapshot(next.id);
    expect(problems.filter(({ code }) => code !== 'PACK_DAMAGED')).toEqual([]);
  });

  it('is not looked up after a sweep, which has left it whole', async () => {
    const { repository, manager, first } = await taken();
    const next = await takeNext(manager, changed, first);
    const gone = await manager.createSnapshot(sourceOf(recordsOf(3), 'other'), 'other');
    for (const { id } of [first, gone]) await manager.deleteSnapshot(id);
    const { deletedPacks, rewrittenPacks } = await manager.collectGarbage({ maxUnused: 0 });
    expect(Math.min(deletedPacks.length, rewrittenPacks.length)).toBeGreaterThan(0);
    repository.lookedUp = 0;
    const last = await takeNext(manager, changed, next);
    expect(repository.lookedUp).toBe(0);
    expect(last.checksum).toBe(next.checksum);
    expect((await manager.verifyRepository()).problems).toEqual([]);
    expect((await repository.notedTrees()).length).toBe(1);
  });

  it('is looked up after a sweep that met damage', async () => {
    const { repository, manager, first } = await taken();
    const half = records.map((record, n) => (n % 10 < 5 ? record : (recordsOf(2)[n] as TestRecord)));
    const next = await takeNext(manager, half, first);
    await manager.deleteSnapshot(first.id);
    await repository.garblePack(400);
    const { damagedPacks = [] } = await manager.collectGarbage({ maxUnused: 0 });
    expect(damagedPacks.length).toBeGreaterThan(0);
    expect(await repository.notedTrees()).toEqual([]);
    repository.lookedUp = 0;
    await takeNext(manager, changed, next);
    expect(repository.lookedUp).toBeGreaterThan(6);
  });

  it('is looked up when that could not be noted', async () => {
    const repository = new Repository();
    const manager = await repository.init();
    repository.canNote = false;
    const first = await manager.createSnapshot(sourceOf(records), 'first');
    const next = await takeNext(manager, changed, first);
    expect(repository.lookedUp).toBeGreaterThan(6);
    repository.canNote = true;
    repository.lookedUp = 0;
    await takeNext(manager, records, next);
    expect(repository.lookedUp).toBeGreaterThan(6);
    expect((await manager.verifyRepository()).problems).toEqual([]);
  });

  it('is no more whole by hints than the one before', async () => {
    const { repository, manager, first } = await taken();
    await repository.losePack(manager);
    const hints = { since: () => [], count: records.length };
    const hinted = await manager.createIncrementalSnapshot(
      hintedSource({ schema: SCHEMA, records }, hints),
      'hinted',
      first.id,
      { auditRate: 0 },
    );
    expect(hinted.notes).toEqual([]);
    expect((await manager.verifyRepository()).problems).not.toEqual([]);
    await takeNext(manager, records, hinted);
    expect((await manager.verifyRepository()).problems).toEqual([]);
  });
});

describe('a source that tells in which state it is', () => {
  const records = recordsOf(1);
  const NOTHING_READ = [expect.stringMatching(/^Nothing was read/)];

  async function prepared() {
    const repository = new Repository();
    const manager = await repository.init();
    const seen: Scans = { scans: 0 };
    const followed: string[] = [];
    const at = (state: string | undefined, some: readonly TestRecord[] = records): Source => {
      const follow = async (id: string): Promise<void> => void followed.push(id);
      const source = hintedSource(
        { schema: SCHEMA, records: some },
        { since: () => 'nobody looked', follow },
        seen,
      );
      return {
        ...source,
        collection: 'c',
        open: async () => ({ ...(await source.open()), state: () => state }),
      };
    };
    const first = await manager.createSnapshot(at('one'), 'first');
    const next = (source: Source, base: Snapshot, options: CreateOptions = {}) =>
      manager.createIncrementalSnapshot(source, 'next', base.id, options);
    seen.scans = 0;
    return { repository, manager, seen, followed, at, first, next };
  }

  it('is not read again in the same state, and that is noted', async () => {
    const { manager, seen, followed, at, first, next } = await prepared();
    const second = await next(at('one'), first);
    const third = await next(at('one'), second);
    expect(seen.scans).toBe(0);
    const { checksum, vectorCount, fileCount, logicalBytes, sizeBytes, nonFiniteCount } = first;
    expect(third).toMatchObject({
      checksum,
      vectorCount,
      fileCount,
      logicalBytes,
      sizeBytes,
      nonFiniteCount,
    });
    expect(third).toMatchObject({ baseId: second.id, notes: NOTHING_READ, addedBytes: 0 });
    expect(await manager.getSnapshot(third.id)).toEqual(third);
    expect(followed).toEqual([first.id, second.id, third.id]);
    expect((await manager.verifyRepository()).problems).toEqual([]);
  });

  it('is read in another state, and that is the one that counts then', async () => {
    const { seen, at, first, next } = await prepared();
    const changed = recordsOf(2);
    const second = await next(at('two', changed), first);
    expect(second.checksum).not.toBe(first.checksum);
    const third = await next(at('one'), second);
    expect(third.checksum).toBe(first.checksum);
    const touched = await next(at('three'), third);
    expect(seen.scans).toBe(3);
    expect((await next(at('three'), touched)).notes).toEqual(NOTHING_READ);
    await next(at('one'), touched);
    expect(seen.scans).toBe(4);
  });

  it('is read when it does not tell, and when nobody told before', async () => {
    const { seen, at, first, next } = await prepared();
    const second = await next(at(undefined), first);
    expect(seen.scans).toBe(1);
    await next(at(undefined), second);
    expect(seen.scans).toBe(2);
    await next(at('one'), second);
    expect(seen.scans).toBe(3);
  });

  it('is read when that is asked for', async () => {
    const { manager, seen, at, first, next } = await prepared();
    const second = await next(at('one'), first, { rescan: true });
    expect(seen.scans).toBe(1);
    expect(second.notes).not.toEqual(NOTHING_READ);
    await manager.createSnapshot(at('one'), 'full');
    expect(seen.scans).toBe(2);
  });

  it('is not even opened where it tells before', async () => {
    const { seen, at, first, next } = await prepared();
    let opened = 0;
    const telling = (state: string): Source => {
      const source = at(state);
      return { ...source, state: async () => state, open: async () => (opened++, source.open()) };
    };
    const second = await next(telling('one'), first);
    expect([second.notes, opened]).toEqual([NOTHING_READ, 0]);
    expect(second.checksum).toBe(first.checksum);
    const third = await next(telling('two'), second);
    expect([third.notes, opened, seen.scans]).toEqual([[expect.stringMatching(/nobody looked/)], 1, 1]);
    expect((await next(telling('two'), third)).notes).toEqual(NOTHING_READ);
    await next(telling('two'), third, { rescan: true });
    expect(opened).toBe(2);
  });

  it('is read in the same state when it was taken by hints, which are audited again', async () => {
    const { manager, seen, first } = await prepared();
    const source = hintedSource({ schema: SCHEMA, records }, { since: () => [] }, seen);
    const at = (state: string) => ({
      ...source,
      open: async () => ({ ...(await source.open()), state: () => state }),
    });
    const take = (base: Snapshot, options = {}) =>
      manager.createIncrementalSnapshot(at('two'), 'hinted', base.id, options);
    const second = await take(first);
    const third = await take(second);
    expect([second.notes, third.notes, seen.scans]).toEqual([[], [], 0]);
    const scanned = await take(third, { rescan: true });
    expect([scanned.notes, seen.scans]).toEqual([[], 1]);
    expect((await take(scanned)).notes).toEqual(NOTHING_READ);
  });

  it('is read when packs have gone or were cut since', async () => {
    const lost = await prepared();
    await lost.repository.losePack(lost.manager);
    await lost.next(lost.at('one'), lost.first);
    expect(lost.seen.scans).toBe(1);
    expect((await lost.manager.verifyRepository()).problems).toEqual([]);

    const cut = await prepared();
    await cut.repository.cutPack();
    await cut.next(cut.at('one'), cut.first);
    expect(cut.seen.scans).toBe(1);
  });

  it('is not read after a sweep of what others needed', async () => {
    const { manager, seen, at, first, next } = await prepared();
    const gone = await manager.createSnapshot(sourceOf(recordsOf(3), 'other'), 'other');
    await manager.deleteSnapshot(gone.id);
    expect((await manager.collectGarbage({ maxUnused: 0 })).deletedPacks).not.toEqual([]);
    expect((await next(at('one'), first)).notes).toEqual(NOTHING_READ);
    expect(seen.scans).toBe(0);
    expect((await manager.verifyRepository()).problems).toEqual([]);
  });

  it('is read when its state could not be noted', async () => {
    const { repository, seen, at, first, next } = await prepared();
    repository.canNote = false;
    await next(at('one'), first);
    expect(seen.scans).toBe(1);
  });

  it('is read while the snapshot before is marked as damaged, which heals it', async () => {
    const { repository, manager, seen, at, first, next } = await prepared();
    await repository.garblePack();
    repository.canDiscard = false; // A repair notes the damage first, and ends here.
    await expect(manager.repair()).rejects.toThrow('the disk is full');
    repository.canDiscard = true;
    expect((await manager.getSnapshot(first.id))?.damage).toBeDefined();
    await next(at('one'), first);
    expect(seen.scans).toBe(1);
    expect((await manager.getSnapshot(first.id))?.damage).toBeUndefined();
    expect((await manager.verifySnapshot(first.id)).problems).toEqual([]);
  });
});
