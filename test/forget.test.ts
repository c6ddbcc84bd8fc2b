/** Forgetting and having back, tags and pins, stored policies, and what a dry run says that a sweep will give back. */
import fc from 'fast-check';
import { type BlobStore, memoryBlobStore } from 'vecsnap/blob';
import { inlineCoder, PACK_OVERHEAD } from 'vecsnap/cas';
import { type Schema, utf8 } from 'vecsnap/core';
import { nodeDeflate, nodeSha256, systemRandom } from 'vecsnap/platform';
import {
  type CreateOptions,
  decodeSnapshot,
  encodeSnapshot,
  type Snapshot,
  SnapshotManager,
} from 'vecsnap/snapshot';
import { describe, expect, it } from 'vitest';
import { faultyBlobStore } from './fault/faulty-blob-store.js';
import { namesIn } from './support/blobs.js';
import { runs } from './support/arbitraries.js';
import { seededBytes } from './support/files.js';
import { memoryEnvironment, memorySource, MemoryTarget, tickingClock } from './support/memory-environment.js';
import { recordText, type TestRecord } from './support/records.js';

const DIMENSION = 32;
const SCHEMA: Schema = {
  id: 'string',
  payload: 'json',
  vectors: [{ name: 'v', dtype: 'f32', dimension: DIMENSION }],
};
const PARAMETERS = {
  rowGroups: { targetBytes: 3000, minRecords: 5, maxRecords: 64 },
  nodes: { window: 2, max: 20 },
  packBytes: 20_000,
};
const CODER = inlineCoder({ sha256: nodeSha256, deflate: nodeDeflate });
/** One for all, because what is dated later than now is kept. */
const CLOCK = tickingClock();

function record(n: number, seed: number): TestRecord {
  const floats = Float32Array.from(seededBytes(DIMENSION, seed * 1000 + n + 1), (byte) => (byte - 128) / 900);
  return {
    id: `id ${String(n).padStart(5, '0')}`,
    vectors: [new Uint8Array(floats.buffer)],
    payload: utf8(`{"seed":${seed}}`),
  };
}

/** A collection that changes. */
class Records {
  readonly #seeds = new Map<number, number>();

  put(from: number, count: number, step: number, seed: number): void {
    for (let i = 0; i < count; i++) this.#seeds.set(from + i * step, seed);
  }

  remove(from: number, count: number): void {
    for (let i = 0; i < count; i++) this.#seeds.delete(from + i);
  }

  content() {
    const records = [...this.#seeds].toSorted(([a], [b]) => a - b).map(([n, seed]) => record(n, seed));
    return { schema: SCHEMA, records };
  }
}

function contentOf(count: number, seed = 1) {
  const records = new Records();
  records.put(0, count, 1, seed);
  return records.content();
}

async function newRepository(
  blobs: BlobStore = memoryBlobStore(),
  parameters: Partial<typeof PARAMETERS> = {},
): Promise<SnapshotManager> {
  const environment = memoryEnvironment({ blobs, sha256: nodeSha256, coder: CODER, clock: CLOCK });
  return SnapshotManager.init({ environment }, { ...PARAMETERS, ...parameters });
}

function reopened(blobs: BlobStore): Promise<SnapshotManager> {
  return SnapshotManager.open({
    environment: memoryEnvironment({ blobs, sha256: nodeSha256, coder: CODER, clock: CLOCK }),
  });
}

/** Takes one snapshot for each seed, of a collection in which each seed changes a tenth. */
async function takeSome(manager: SnapshotManager, count: number, collection = 'test'): Promise<Snapshot[]> {
  const records = new Records();
  records.put(0, 100, 1, 1);
  const taken: Snapshot[] = [];
  for (let i = 0; i < count; i++) {
    records.put(i, 10, 10, i + 2);
    const source = memorySource(records.content(), collection);
    const base = taken.at(-1);
    const name = `${collection} ${i}`;
    taken.push(
      base === undefined
        ? await manager.createSnapshot(source, name)
        : await manager.createIncrementalSnapshot(source, name, base.id),
    );
  }
  return taken;
}

function ids(snapshots: readonly { readonly id: string }[]): string[] {
  return snapshots.map(({ id }) => id);
}

const coded = (code: string) => expect.objectContaining({ code, remedy: expect.any(String) });

describe('what is forgotten', () => {
  it('can be had back as it was, with its marks, until the next sweep', async () => {
    const blobs = memoryBlobStore();
    const manager = await newRepository(blobs);
    const [a, b, c] = (await takeSome(manager, 3)) as [Snapshot, Snapshot, Snapshot];
    await manager.markSnapshot(b.id, { add: ['x'] });
    await manager.deleteSnapshots([a.id, b.id]);
    expect(ids(await manager.listSnapshots())).toEqual([c.id]);
    expect(await manager.getSnapshot(b.id)).toBeUndefined();
    const { snapshots, problems } = await (await reopened(blobs)).listForgotten();
    expect(snapshots).toEqual([{ ...b, tags: ['x'] }, a]);
    expect(problems).toEqual([]);
    expect(ids((await manager.listForgotten({ collection: 'other' })).snapshots)).toEqual([]);
    expect(await manager.unforget([b.id])).toEqual([{ ...b, tags: ['x'] }]);
    expect(await manager.unforget('all')).toEqual([a]);
    expect(ids(await manager.listSnapshots())).toEqual([c.id, b.id, a.id]);
    expect(await namesIn(blobs, 'forgotten/')).toEqual([]);
    const target = new MemoryTarget();
    await manager.restoreSnapshot(a.id, target);
    expect(target.records).toHaveLength(100);
    expect((await manager.verifyRepository()).problems).toEqual([]);
  });

  it('is gone after a sweep, also with its marks, and a dry run changes nothing', async () => {
    const blobs = memoryBlobStore();
    const manager = await newRepository(blobs);
    const [a, b] = (await takeSome(manager, 2)) as [Snapshot, Snapshot];
    await manager.markSnapshot(a.id, { add: ['x'] });
    await manager.deleteSnapshot(a.id);
    expect((await manager.collectGarbage({ dryRun: true })).forgottenSnapshots).toEqual([a.id]);
    expect(ids((await manager.listForgotten()).snapshots)).toEqual([a.id]);
    expect((await manager.collectGarbage()).forgottenSnapshots).toEqual([a.id]);
    expect(await namesIn(blobs, 'forgotten/')).toEqual([]);
    expect(await namesIn(blobs, 'marks/')).toEqual([]);
    await expect(manager.unforget([a.id])).rejects.toThrow(coded('SNAPSHOT_UNKNOWN'));
    expect(await manager.unforget('all')).toEqual([]);
    expect(ids(await manager.listSnapshots())).toEqual([b.id]);
    expect(await manager.collectGarbage()).toMatchObject({ forgottenSnapshots: [], reclaimedBytes: 0 });
  });

  it('is not had back in part: one unknown, and nothing happens', async () => {
    const manager = await newRepository();
    const [a, b] = (await takeSome(manager, 2)) as [Snapshot, Snapshot];
    await manager.deleteSnapshot(a.id);
    await expect(manager.unforget([a.id, b.id])).rejects.toThrow(coded('SNAPSHOT_UNKNOWN'));
    expect(ids((await manager.listForgotten()).snapshots)).toEqual([a.id]);
  });

  it('F1, F3: counts as standing where a crash left both, and the sweep removes the other', async () => {
    const blobs = memoryBlobStore();
    const manager = await newRepository(blobs);
    const [a, b] = (await takeSome(manager, 2)) as [Snapshot, Snapshot];
    const left = await blobs.get(`snapshots/${a.id}`);
    await blobs.put(`forgotten/${a.id}`, left);
    await blobs.put(`forgotten/${b.id}`, left.slice(9)); // Not of that snapshot.
    expect(await manager.listForgotten()).toMatchObject({ snapshots: [], problems: [] });
    await expect(manager.unforget([a.id])).rejects.toThrow(coded('SNAPSHOT_UNKNOWN'));
    await manager.deleteSnapshots([b.id]);
    expect(ids((await manager.listForgotten()).snapshots)).toEqual([b.id]);
    expect((await manager.collectGarbage()).forgottenSnapshots).toEqual([b.id]);
    expect(await namesIn(blobs, 'forgotten/')).toEqual([]);
    expect(ids(await manager.listSnapshots())).toEqual([a.id]);
  });

  it('that is damaged is told, and not had back', async () => {
    const blobs = memoryBlobStore();
    const manager = await newRepository(blobs);
    const [a] = (await takeSome(manager, 2)) as [Snapshot, Snapshot];
    await manager.deleteSnapshot(a.id);
    const bytes = await blobs.get(`forgotten/${a.id}`);
    await blobs.delete(`forgotten/${a.id}`);
    await blobs.put(`forgotten/${a.id}`, bytes.with(20, (bytes[20] as number) ^ 1));
    expect(await manager.listForgotten()).toMatchObject({
      snapshots: [],
      problems: [{ blob: `forgotten/${a.id}` }],
    });
    await expect(manager.unforget([a.id])).rejects.toThrow(coded('SNAPSHOT_DAMAGED'));
  });

  it('F4: goes all the same when the disk is full, and says that it is final', async () => {
    const blobs = faultyBlobStore(memoryBlobStore());
    const manager = await newRepository(blobs);
    const [a, b] = (await takeSome(manager, 2)) as [Snapshot, Snapshot];
    blobs.setFaults({ failures: [{ nth: 1, method: 'put', onwards: true, code: 'STORE_FULL' }] });
    expect(await manager.forget({ ids: [a.id] })).toMatchObject({ forget: [a.id], final: [a.id] });
    expect(ids(await manager.listSnapshots())).toEqual([b.id]);
    expect((await manager.listForgotten()).snapshots).toEqual([]);
  });

  it('G6: is deleted before any pack goes', async () => {
    const blobs = faultyBlobStore(memoryBlobStore());
    const manager = await newRepository(blobs);
    const [a] = (await takeSome(manager, 3)) as [Snapshot];
    await manager.deleteSnapshot(a.id);
    const from = blobs.calls.length;
    await manager.collectGarbage({ maxUnused: 0 });
    const deleted = blobs.calls.slice(from).filter(({ method }) => method === 'delete');
    const firstPack = deleted.findIndex(({ name }) => name?.startsWith('packs/'));
    expect(deleted.slice(0, firstPack).map(({ name }) => name)).toEqual([`forgotten/${a.id}`]);
    expect(firstPack).toBe(1);
  });

  it('F1, F2: whatever fails, each stands or can be had back', async () => {
    for (let nth = 1, reached = true; reached; nth++) {
      for (const when of ['before', 'torn'] as const) {
        const blobs = faultyBlobStore(memoryBlobStore());
        const manager = await newRepository(blobs);
        const taken = await takeSome(manager, 3);
        const calls = blobs.calls.length;
        blobs.setFaults({ failures: [{ nth, when }] });
        const failed = await manager.forget({ policy: { keepLast: 1 } }).then(
          () => false,
          () => true,
        );
        reached = blobs.calls.length - calls >= nth;
        expect(failed).toBe(reached);
        blobs.setFaults({});
        const again = await reopened(blobs);
        const standing = ids(await again.listSnapshots());
        const aside = ids((await again.listForgotten()).snapshots);
        expect([...standing, ...aside].toSorted()).toEqual(ids(taken).toSorted());
        if (!failed) expect(standing).toHaveLength(1);
        await again.forget({ policy: { keepLast: 1 } });
        expect(ids((await again.listForgotten()).snapshots).toReversed()).toEqual(ids(taken.slice(0, 2)));
      }
    }
  });

  it('G6, F3: whatever fails in a sweep or in having back, what can be had back is whole', async () => {
    for (const work of ['sweep', 'unforget'] as const) {
      for (let nth = 1, reached = true; reached; nth++) {
        for (const when of ['before', 'torn'] as const) {
          const blobs = faultyBlobStore(memoryBlobStore());
          const manager = await newRepository(blobs);
          const taken = await takeSome(manager, 3);
          await manager.deleteSnapshots(ids(taken.slice(0, 2)));
          const calls = blobs.calls.length;
          blobs.setFaults({ failures: [{ nth, when }] });
          await (work === 'sweep' ? manager.collectGarbage({ maxUnused: 0 }) : manager.unforget('all')).catch(
            () => undefined,
          );
          reached = blobs.calls.length - calls >= nth;
          blobs.setFaults({});
          const again = await reopened(blobs);
          await again.unforget('all');
          for (const { id } of await again.listSnapshots()) {
            const target = new MemoryTarget();
            await again.restoreSnapshot(id, target);
            expect(target.records).toHaveLength(100);
          }
          expect((await again.verifyRepository()).problems).toEqual([]);
          if (work === 'unforget') expect(await again.listSnapshots()).toHaveLength(3);
        }
      }
    }
  });
});

describe('tags and pins', () => {
  it('change, last, and are told wherever snapshots are', async () => {
    const blobs = memoryBlobStore();
    const manager = await newRepository(blobs);
    const a = await manager.createSnapshot(memorySource(contentOf(20)), 'a', { tags: ['first', 'both'] });
    const [b] = await takeSome(manager, 1);
    expect(a).toMatchObject({ tags: ['first', 'both'], pinned: false });
    expect(
      await manager.markSnapshot(a.id, { add: ['new', 'both'], remove: ['first', 'none'] }),
    ).toMatchObject({
      id: a.id,
      tags: ['both', 'new'],
      pinned: false,
    });
    expect(await manager.pinSnapshot(a.id)).toMatchObject({ tags: ['both', 'new'], pinned: true });
    const expected = { ...a, tags: ['both', 'new'], pinned: true };
    for (const one of [manager, await reopened(blobs)]) {
      expect(await one.getSnapshot(a.id)).toEqual(expected);
      expect(await one.findSnapshot('a')).toEqual(expected);
      expect(await one.listSnapshots()).toEqual([b, expected]);
      expect((await one.listAll()).snapshots).toEqual([b, expected]);
    }
    expect(await namesIn(blobs, 'marks/')).toEqual([`marks/${a.id}-2`]);
    await manager.pinSnapshot(a.id); // Nothing new.
    expect(await namesIn(blobs, 'marks/')).toEqual([`marks/${a.id}-2`]);
    expect((await manager.unpinSnapshot(a.id)).pinned).toBe(false);
    await expect(manager.markSnapshot('nobody', {})).rejects.toThrow(coded('SNAPSHOT_UNKNOWN'));
    await expect(manager.markSnapshot(a.id, { add: [''] })).rejects.toThrow(coded('OPTION_INVALID'));
  });

  it('keep a pinned snapshot from policies and from its id', async () => {
    const manager = await newRepository();
    const [a, b, c] = (await takeSome(manager, 3)) as [Snapshot, Snapshot, Snapshot];
    await manager.pinSnapshot(a.id);
    expect(await manager.cleanupOldSnapshots(1)).toEqual([b.id]);
    await expect(manager.deleteSnapshots([c.id, a.id])).rejects.toThrow(coded('SNAPSHOT_PINNED'));
    expect(ids(await manager.listSnapshots())).toEqual([c.id, a.id]);
    await manager.unpinSnapshot(a.id);
    await manager.deleteSnapshot(a.id);
    expect(ids(await manager.listSnapshots())).toEqual([c.id]);
  });

  it('M1: a crash leaves the old or the new; the one with the highest number counts, and the sweep tidies up', async () => {
    const blobs = memoryBlobStore();
    const manager = await newRepository(blobs);
    const [a] = (await takeSome(manager, 1)) as [Snapshot];
    await manager.pinSnapshot(a.id);
    const old = await blobs.get(`marks/${a.id}-1`);
    for (let i = 0; i < 10; i++) await manager.markSnapshot(a.id, { pinned: i % 2 === 1 });
    expect(await namesIn(blobs, 'marks/')).toEqual([`marks/${a.id}-11`]);
    await manager.unpinSnapshot(a.id);
    await blobs.put(`marks/${a.id}-9`, old); // Pinned, but older.
    expect((await manager.getSnapshot(a.id))?.pinned).toBe(false);
    await manager.collectGarbage();
    expect(await namesIn(blobs, 'marks/')).toEqual([`marks/${a.id}-12`]);
  });

  it('M1: whatever fails, marks are as before or as they should be', async () => {
    for (let nth = 1, reached = true; reached; nth++) {
      for (const when of ['before', 'torn'] as const) {
        const blobs = faultyBlobStore(memoryBlobStore());
        const manager = await newRepository(blobs);
        const [a] = (await takeSome(manager, 1)) as [Snapshot];
        await manager.markSnapshot(a.id, { add: ['x'], pinned: true });
        const calls = blobs.calls.length;
        blobs.setFaults({ failures: [{ nth, when }] });
        const failed = await manager.markSnapshot(a.id, { add: ['y'], pinned: false }).then(
          () => false,
          () => true,
        );
        reached = blobs.calls.length - calls >= nth;
        blobs.setFaults({});
        const { tags, pinned } = (await (await reopened(blobs)).getSnapshot(a.id)) as Snapshot;
        const states = [
          ...(failed ? [{ tags: ['x'], pinned: true }] : []),
          { tags: ['x', 'y'], pinned: false },
        ];
        expect(states).toContainEqual({ tags, pinned });
        expect(failed).toBe(reached);
        await manager.pinSnapshot(a.id);
        expect(await namesIn(blobs, 'marks/')).toHaveLength(1);
      }
    }
  });

  it('that cannot be read count as a pin, verify tells of them, and writing them anew heals them', async () => {
    const blobs = memoryBlobStore();
    const manager = await newRepository(blobs);
    const [a, b] = (await takeSome(manager, 2)) as [Snapshot, Snapshot];
    await manager.markSnapshot(a.id, { add: ['x'] });
    const bytes = await blobs.get(`marks/${a.id}-1`);
    await blobs.delete(`marks/${a.id}-1`);
    await blobs.put(`marks/${a.id}-1`, bytes.with(20, (bytes[20] as number) ^ 1));
    expect(await manager.listSnapshots()).toEqual([b, { ...a, pinned: true }]);
    expect(await manager.cleanupOldSnapshots(1)).toEqual([]);
    expect(await manager.verifyRepository()).toMatchObject({
      ok: false,
      problems: [{ code: 'MARKS_DAMAGED', blob: `marks/${a.id}-1` }],
    });
    await manager.collectGarbage();
    await manager.pinSnapshot(a.id);
    expect((await manager.verifyRepository()).ok).toBe(true);
  });

  it('of another snapshot, or of another version, are not taken for those of this one', async () => {
    const blobs = memoryBlobStore();
    const manager = await newRepository(blobs);
    const [a, b] = (await takeSome(manager, 2)) as [Snapshot, Snapshot];
    await manager.markSnapshot(a.id, { add: ['x'] });
    await blobs.put(`marks/${b.id}-1`, await blobs.get(`marks/${a.id}-1`));
    await blobs.put('marks/strange', new Uint8Array(9));
    expect(await manager.getSnapshot(b.id)).toEqual({ ...b, pinned: true });
  });

  it('travel with an export, and an import takes the tags and not the pin', async () => {
    const manager = await newRepository();
    const [a] = (await takeSome(manager, 1)) as [Snapshot];
    await manager.markSnapshot(a.id, { add: ['x'], pinned: true });
    const { mkdtemp, readFile, rm } = await import('node:fs/promises');
    const { tmpdir } = await import('node:os');
    const directory = await mkdtemp(`${tmpdir()}/vecsnap-test-`);
    const { path } = await manager.exportSnapshot(a.id, directory);
    const { snapshot } = JSON.parse(await readFile(`${path}/metadata.json`, 'utf8')) as { snapshot: object };
    expect(snapshot).toEqual(await manager.getSnapshot(a.id));
    expect(await manager.importSnapshot(path)).toMatchObject({ tags: ['x'], pinned: false });
    await rm(directory, { recursive: true });
  });
});

describe('stored policies', () => {
  it('decide when no other is given: each collection its own, the others the common one', async () => {
    const blobs = memoryBlobStore();
    const manager = await newRepository(blobs);
    const [a, b, c] = [
      await takeSome(manager, 3, 'a'),
      await takeSome(manager, 3, 'b'),
      await takeSome(manager, 2, 'c'),
    ];
    await expect(manager.forget()).rejects.toThrow(coded('OPTION_INVALID'));
    await manager.setPolicy({ keepLast: 2, keepDaily: undefined }, { collection: 'a' });
    expect((await manager.forget({ dryRun: true })).forget).toEqual([a[0]?.id]);
    await expect(manager.forget({ collection: 'b' })).rejects.toThrow(coded('OPTION_INVALID'));
    await manager.setPolicy({ keepLast: 1 });
    await manager.setPolicy({ keepTags: ['x'], keepLast: 2, timeZone: 'Europe/Berlin' }, { collection: 'c' });
    expect(await (await reopened(blobs)).listPolicies()).toEqual([
      { collection: null, policy: { keepLast: 1 } },
      { collection: 'a', policy: { keepLast: 2 } },
      { collection: 'c', policy: { keepTags: ['x'], keepLast: 2, timeZone: 'Europe/Berlin' } },
    ]);
    expect((await manager.decideRetention(undefined, { collection: 'b' })).forget).toEqual(
      ids(b.slice(0, 2)),
    );
    expect((await manager.forget()).forget).toEqual([...ids(a.slice(0, 1)), ...ids(b.slice(0, 2))]);
    expect(await manager.removePolicy({ collection: 'a' })).toBe(true);
    expect(await manager.removePolicy({ collection: 'a' })).toBe(false);
    expect((await manager.forget()).forget).toEqual(ids(a.slice(1, 2)));
    expect(ids(await manager.listSnapshots())).toEqual([...ids(c).toReversed(), b[2]?.id, a[2]?.id]);
    expect(await manager.removePolicy()).toBe(true);
    expect(await manager.removePolicy({ collection: 'c' })).toBe(true);
    await expect(manager.forget()).rejects.toThrow(coded('OPTION_INVALID'));
    expect(await namesIn(blobs, 'policies/')).toHaveLength(1);
  });

  it('are checked before they are stored, and when they are used', async () => {
    const manager = await newRepository();
    for (const policy of [{}, { keepLast: -1 }, { keep: 1 }, { keepWithin: 'x' }])
      await expect(manager.setPolicy(policy as object)).rejects.toThrow(coded('OPTION_INVALID'));
    await expect(manager.setPolicy({ keepLast: 1 }, { collection: '' })).rejects.toThrow(
      coded('OPTION_INVALID'),
    );
    await expect(manager.forget({ ids: [], policy: { keepLast: 1 } })).rejects.toThrow(
      coded('OPTION_INVALID'),
    );
    expect(await manager.listPolicies()).toEqual([]);
  });

  it('that cannot be read forget nothing, and verify tells of them', async () => {
    const blobs = memoryBlobStore();
    const manager = await newRepository(blobs);
    await takeSome(manager, 2);
    await manager.setPolicy({ keepLast: 1 });
    const bytes = await blobs.get('policies/all-1');
    await blobs.delete('policies/all-1');
    await blobs.put('policies/all-1', bytes.slice(0, -1));
    await expect(manager.forget()).rejects.toThrow(coded('POLICY_DAMAGED'));
    await expect(manager.setPolicy({ keepLast: 2 })).rejects.toThrow(coded('POLICY_DAMAGED'));
    expect((await manager.verifyRepository()).problems).toMatchObject([
      { code: 'POLICY_DAMAGED', blob: 'policies/all-1' },
    ]);
    expect(await manager.listSnapshots()).toHaveLength(2);
  });
});

describe('a clock that begins anew at each start', () => {
  const DAY = 86_400_000;
  const BOOT = Date.UTC(2020, 0, 1);
  const FIRST_NIGHT = Date.UTC(2024, 0, 1, 2);
  const NIGHTS = 12;
  let now = 0;
  const opened = async (store: BlobStore, isNew = false): Promise<SnapshotManager> => {
    const environment = memoryEnvironment({
      blobs: store,
      sha256: nodeSha256,
      coder: CODER,
      clock: { now: () => now },
      random: systemRandom,
    });
    return isNew ? SnapshotManager.init({ environment }, PARAMETERS) : SnapshotManager.open({ environment });
  };
  const source = (seed: number, collection = 'test') => memorySource(contentOf(20, seed), collection);

  /** Full snapshots: each night one by the right clock, and after every start before it one by a clock that was not set yet. */
  async function manyNights(): Promise<{ manager: SnapshotManager; real: Snapshot[]; misset: Snapshot[] }> {
    const store = memoryBlobStore();
    const [real, misset]: [Snapshot[], Snapshot[]] = [[], []];
    for (let night = 0; night < NIGHTS; night++) {
      const manager = await opened(store, night === 0);
      if (night > 1) {
        now = BOOT + 20_000 + ((night * 5) % NIGHTS) * 1000;
        misset.push(await manager.createSnapshot(source(night), `start ${night}`));
      }
      now = FIRST_NIGHT + night * DAY;
      real.push(await manager.createSnapshot(source(night), `night ${night}`));
      await manager.close();
    }
    now += DAY;
    return { manager: await opened(store), real, misset };
  }

  it('is told by what each snapshot was taken after, and pushes nothing real out', async () => {
    const { manager, real, misset } = await manyNights();
    const { forget, keep } = await manager.forget({ policy: { keepLast: 3, keepDaily: 5, keepYearly: 9 } });
    expect(forget).toEqual(real.slice(0, -5).map(({ id }) => id));
    const reasons = new Map(keep.map(({ id, reasons }) => [id, reasons]));
    expect(real.slice(-5).map(({ id }) => reasons.get(id)?.at(-1))).toEqual([
      'daily 5 of 5 (2024-01-08)',
      'daily 4 of 5 (2024-01-09)',
      'daily 3 of 5 (2024-01-10)',
      'daily 2 of 5 (2024-01-11)',
      'yearly 1 of 9 (2024)',
    ]);
    for (const { id } of misset) expect(reasons.get(id)).toEqual([expect.stringMatching(/^dated /)]);

    // What says so is gone by now for most, and known from the ids.
    const again = await manager.forget({ policy: { keepLast: 1, keepYearly: 9 } });
    expect(again.forget).toEqual(real.slice(-5, -1).map(({ id }) => id));
    const third = await manager.forget({ policy: { keepLast: 1, keepYearly: 9 } });
    expect(third.forget).toEqual([]);
    expect(third.keep).toHaveLength(1 + misset.length);
    expect(await manager.verifyRepository()).toMatchObject({ ok: true });
    await manager.close();
  });

  it('is stored with a full snapshot: the last one of its collection, when the time is that of the clock', async () => {
    const store = memoryBlobStore();
    now = FIRST_NIGHT;
    const manager = await opened(store, true);
    const take = async (options: CreateOptions = {}, base?: Snapshot): Promise<Snapshot> => {
      now += 1000;
      return base === undefined
        ? manager.createSnapshot(source(1), 'one', options)
        : manager.createIncrementalSnapshot(source(1), 'one', base.id, options);
    };
    const first = await take();
    const other = await take({ collection: 'other' });
    now = BOOT;
    const misset = await take();
    const later = await take({}, first);
    now = FIRST_NIGHT + DAY;
    const given = await take({ createdAt: new Date(FIRST_NIGHT - DAY) });
    const last = await take();
    expect([first, other, later, given].map((one) => 'afterId' in one)).toEqual([false, false, false, false]);
    expect([misset, last].map(({ afterId }) => afterId)).toEqual([first.id, later.id]);
    const stored = new Map((await manager.listSnapshots()).map((one) => [one.id, one]));
    for (const one of [first, other, misset, later, given, last]) expect(stored.get(one.id)).toEqual(one);

    const bytes = await store.get(`snapshots/${last.id}`);
    await store.delete(`snapshots/${last.id}`);
    await store.put(`snapshots/${last.id}`, bytes.subarray(1));
    const { afterId } = await take(); // The one that cannot be read is passed over.
    expect(afterId).toBe(later.id);
    await manager.close();
  });

  it.each([null, '', 7])('is an id: a snapshot that says %j is damaged', async (afterId) => {
    now = FIRST_NIGHT;
    const manager = await opened(memoryBlobStore(), true);
    const snapshot = await manager.createSnapshot(source(1), 'one');
    const blob = `snapshots/${snapshot.id}`;
    const bytes = encodeSnapshot({ ...snapshot, afterId: afterId as unknown as string }, nodeSha256);
    expect(() => decodeSnapshot(bytes, blob, nodeSha256)).toThrow(coded('SNAPSHOT_DAMAGED'));
    await manager.close();
  });

  it('is not known where the store does not give the others, which is told and ends nothing', async () => {
    const inner = memoryBlobStore();
    now = FIRST_NIGHT;
    const first = await (await opened(inner, true)).createSnapshot(source(1), 'first');
    now += DAY;
    const name = new RegExp(first.id);
    const failing = faultyBlobStore(inner, { failures: [{ nth: 1, onwards: true, method: 'get', name }] });
    const second = await (await opened(failing)).createSnapshot(source(2), 'second');
    expect('afterId' in second).toBe(false);
    expect(second.notes).toEqual([
      expect.stringMatching(/^It is not known which snapshot was taken before this one: /),
    ]);
  });
});

describe('a dry run', () => {
  /** Forgets, sweeps, and compares what that gave back with what was said before. */
  async function expectPriced(manager: SnapshotManager, wanted: readonly string[]): Promise<number> {
    const before = await manager.totalSize();
    const dry = await manager.forget({ ids: wanted, dryRun: true });
    expect(await manager.totalSize()).toBe(before);
    await manager.forget({ ids: wanted });
    const planned = await manager.collectGarbage({ dryRun: true });
    const { reclaimedBytes } = await manager.collectGarbage();
    expect(before - (await manager.totalSize())).toBe(reclaimedBytes);
    expect(planned.reclaimedBytes).toBe(reclaimedBytes);
    expect(dry.reclaimableBytes).toBe(reclaimedBytes); // Not just within 2 %.
    return reclaimedBytes;
  }

  it('is of the whole sweep, and forgets nothing', async () => {
    const manager = await newRepository();
    const taken = await takeSome(manager, 6);
    const report = await manager.forget({ policy: { keepLast: 2 }, dryRun: true });
    expect(report).toMatchObject({
      forget: ids(taken.slice(0, 4)),
      keep: [
        { id: taken[5]?.id, reasons: ['last 1 of 2'] },
        { id: taken[4]?.id, reasons: ['last 2 of 2'] },
      ],
      dryRun: true,
      final: [],
    });
    expect(report.bySnapshot?.map(({ id }) => id)).toEqual(report.forget);
    expect(await manager.listSnapshots()).toHaveLength(6);
    expect(await expectPriced(manager, report.forget)).toBeGreaterThan(0);
  });

  it.each([1, 2000, 20_000, 10 ** 7])(
    'is right to the byte with deltas, for packs of %i bytes',
    async (packBytes) => {
      const manager = await newRepository(memoryBlobStore(), { packBytes });
      const taken = await takeSome(manager, 12);
      const plan = await manager.collectGarbage({ dryRun: true });
      expect(plan.reclaimedBytes).toBe(0);
      await expectPriced(manager, ids(taken.slice(0, 4)));
      await expectPriced(manager, ids(taken.slice(5, 9)));
      expect(await expectPriced(manager, ids([...taken.slice(4, 5), ...taken.slice(9)]))).toBeGreaterThan(0);
      expect(await manager.stats()).toMatchObject({ snapshots: 0, unreferencedBytes: 0 });
    },
  );

  it('counts deltas that the sweep will write anew', async () => {
    const manager = await newRepository();
    const taken = await takeSome(manager, 30);
    await manager.deleteSnapshots(ids(taken.slice(0, 28)));
    const plan = await manager.collectGarbage({ dryRun: true });
    expect(plan.flattenedChunks).toBeGreaterThan(0);
    await manager.unforget('all');
    await expectPriced(manager, ids(taken.slice(0, 28)));
  });

  it('is right to the byte for any history', async () => {
    const anyStep = fc.oneof(
      {
        weight: 4,
        arbitrary: fc.record({
          put: fc.nat(150),
          count: fc.integer({ min: 1, max: 60 }),
          step: fc.integer({ min: 1, max: 9 }),
          seed: fc.nat(40),
        }),
      },
      { weight: 1, arbitrary: fc.record({ remove: fc.nat(150), count: fc.integer({ min: 1, max: 40 }) }) },
      { weight: 5, arbitrary: fc.record({ incremental: fc.boolean() }) },
      {
        weight: 2,
        arbitrary: fc.record({
          forget: fc.nat(),
          count: fc.integer({ min: 1, max: 4 }),
          swept: fc.boolean(),
        }),
      },
    );
    let compared = 0;
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom(500, 5000, 50_000),
        fc.array(anyStep, { minLength: 5, maxLength: 30, size: 'max' }),
        async (packBytes, steps) => {
          const manager = await newRepository(memoryBlobStore(), { packBytes });
          const records = new Records();
          records.put(0, 60, 2, 99);
          for (const step of steps) {
            if ('put' in step) records.put(step.put, step.count, step.step, step.seed);
            else if ('remove' in step) records.remove(step.remove, step.count);
            else if ('incremental' in step) {
              const [base] = step.incremental ? await manager.listSnapshots() : [];
              const source = memorySource(records.content());
              await (base
                ? manager.createIncrementalSnapshot(source, 'n', base.id)
                : manager.createSnapshot(source, 'n'));
            } else {
              const all = ids(await manager.listSnapshots());
              const wanted = all.slice(step.forget % Math.max(1, all.length)).slice(0, step.count);
              if (step.swept) await expectPriced(manager, wanted);
              else await manager.deleteSnapshots(wanted);
              compared += step.swept ? 1 : 0;
            }
          }
          await expectPriced(manager, ids(await manager.listSnapshots()).slice(1));
        },
      ),
      { numRuns: runs(40) },
    );
    expect(compared).toBeGreaterThan(20);
  });

  it('tells what each takes alone', async () => {
    for (let i = 0; i < 5; i++) {
      const blobs = memoryBlobStore();
      const manager = await newRepository(blobs, { packBytes: 4000 });
      const taken = await takeSome(manager, 5);
      const blobSize = (await blobs.stat(`snapshots/${taken[i]?.id}`))?.size ?? 0;
      const { bySnapshot = [] } = await manager.forget({ ids: ids(taken), dryRun: true });
      const { id, exclusiveBytes } = bySnapshot[i] as { id: string; exclusiveBytes: number };
      await manager.deleteSnapshot(id);
      const before = await manager.stats();
      expect(exclusiveBytes).toBe(before.unreferencedBytes + blobSize);
      const { reclaimedBytes, rewrittenPacks, deletedPacks } = await manager.collectGarbage({ maxUnused: 0 });
      const slack = PACK_OVERHEAD * (rewrittenPacks.length + deletedPacks.length + 1);
      expect(reclaimedBytes).toBeGreaterThanOrEqual(exclusiveBytes - slack);
    }
  });

  it('prices nothing where a sweep would be refused, and still says what goes', async () => {
    const blobs = memoryBlobStore();
    const manager = await newRepository(blobs, { packBytes: 10 ** 6 });
    const [a] = (await takeSome(manager, 2)) as [Snapshot];
    const [pack] = await namesIn(blobs, 'packs/');
    await blobs.delete(pack as string);
    const report = await manager.forget({ ids: [a.id], dryRun: true });
    expect(report).toMatchObject({ forget: [a.id], reclaimableBytes: null });
    expect(report.bySnapshot).toEqual([{ id: a.id, exclusiveBytes: null }]);
    expect((await manager.forget({ ids: [a.id] })).forget).toEqual([a.id]);
  });
});

it('records in tests differ', () => {
  expect(recordText(record(1, 2))).not.toBe(recordText(record(2, 1)));
});
