/** The invariants of docs/ordering.md: in what order things are written, and what a failure at any point leaves. */
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type BlobStore, fsBlobStore, memoryBlobStore } from 'vecsnap/blob';
import { type ChunkIndex, inlineCoder, memoryIndex } from 'vecsnap/cas';
import { nodeDeflate, nodeSha256, systemRandom } from 'vecsnap/platform';
import { type Environment, type Snapshot, SnapshotManager } from 'vecsnap/snapshot';
import { describe, expect, it } from 'vitest';
import { faultyBlobStore, type Failure } from './fault/faulty-blob-store.js';
import { type FsCall, observedFsOperations, systemError } from './fault/fs-operations.js';
import { freshDirectory, seededBytes } from './support/files.js';
import { recordSource, type Records } from './support/memory-source.js';

const SMALL = {
  rowGroups: { targetBytes: 256, minRecords: 3, maxRecords: 64 },
  nodes: { window: 2, max: 9 },
  packBytes: 1024,
};

function records(count: number, seed = 1): Records {
  return {
    count,
    ids: Array.from({ length: count }, (_, i) => `id ${String(i).padStart(4, '0')}`),
    schema: { id: 'string', vectors: [{ name: 'v', dtype: 'u8', dimension: 16 }], payload: 'none' },
    vectors: [seededBytes(count * 16, seed)],
  };
}

/** A clock that goes on from one environment to the next: policies keep what a clock dates that stands still or goes back. */
let time = 1_700_000_000_000;

/** An environment on `blobs`. The index is a new one each time, or `index`, which stays. */
function environmentOn(blobs: BlobStore, index?: ChunkIndex): Environment {
  return {
    blobs,
    coder: inlineCoder({ sha256: nodeSha256, deflate: nodeDeflate }),
    sha256: nodeSha256,
    clock: { now: () => (time += 1000) },
    random: systemRandom,
    openIndex: async () => index ?? memoryIndex(),
    discardIndex: async () => {},
    lock: async () => ({ release: async () => {} }),
    indexBytes: async () => 0,
    close: async () => {},
  };
}

async function withManager<T>(environment: Environment, work: (manager: SnapshotManager) => Promise<T>) {
  return work(await SnapshotManager.open({ environment, compression: 'none' }));
}

/** A repository with one snapshot of 100 records. */
async function repositoryWithOne(): Promise<{ blobs: BlobStore; first: Snapshot }> {
  const blobs = memoryBlobStore();
  const manager = await SnapshotManager.init(
    { environment: environmentOn(blobs), compression: 'none' },
    SMALL,
  );
  return { blobs, first: await manager.createSnapshot(recordSource('c', records(100)), 'first') };
}

async function idsIn(manager: SnapshotManager, id: string): Promise<string[]> {
  const ids: string[] = [];
  for await (const batch of manager.readSnapshot(id)) ids.push(...(batch.ids as readonly string[]));
  return ids;
}

/** Two snapshots that share chunks, of which the first is forgotten. */
async function sweepable(): Promise<BlobStore> {
  const { blobs, first } = await repositoryWithOne();
  const { vectors, ...rest } = records(100);
  const changed = (vectors[0] as Uint8Array).slice();
  for (let i = 0; i < 100; i += 20) changed[i * 16] = 255 - (changed[i * 16] as number);
  await withManager(environmentOn(blobs), async (manager) => {
    await manager.createSnapshot(recordSource('c', { ...rest, vectors: [changed] }), 'second');
    await manager.deleteSnapshot(first.id);
  });
  return blobs;
}

/** Every snapshot that is listed is whole; returns their names, oldest first. */
async function expectWhole(blobs: BlobStore, index?: ChunkIndex): Promise<string[]> {
  return withManager(environmentOn(blobs, index), async (manager) => {
    expect(await manager.verifyRepository()).toMatchObject({ ok: true, problems: [] });
    const { snapshots, problems } = await manager.listAll();
    expect(problems).toEqual([]);
    for (const { id, vectorCount } of snapshots) expect(await idsIn(manager, id)).toHaveLength(vectorCount);
    return snapshots.map(({ name }) => name).toReversed();
  });
}

/** Runs `work` again and again, the n-th call of the store failing, until it gets through; then `check` after each. */
async function failingEverywhere(
  prepare: () => Promise<BlobStore>,
  work: (manager: SnapshotManager) => Promise<unknown>,
  check: (blobs: BlobStore, index: ChunkIndex, failed: boolean) => Promise<void>,
): Promise<number> {
  for (let nth = 1; ; nth++) {
    for (const when of ['before', 'torn'] as const) {
      const inner = await prepare();
      const failure: Failure = { nth, when };
      const faulty = faultyBlobStore(inner);
      const index = memoryIndex();
      const failed = await withManager(environmentOn(faulty, index), async (manager) => {
        faulty.setFaults({ failures: [failure] });
        return work(manager).then(
          () => false,
          () => true,
        );
      });
      await check(inner, index, failed);
      if (!failed && when === 'torn' && faulty.calls.length < nth) return nth;
    }
  }
}

describe('docs/ordering.md', () => {
  const root = join(import.meta.dirname, '..');
  const page = readFileSync(join(root, 'docs/ordering.md'), 'utf8');
  const rules = [...page.matchAll(/^\| ([A-Z]\d+) +\|/gm)].map(([, rule]) => rule as string);

  it('has the rules that the code cites, and the code cites every rule', () => {
    const cited = new Set<string>();
    for (const name of readdirSync(join(root, 'src'), { recursive: true, encoding: 'utf8' })) {
      if (!name.endsWith('.ts')) continue;
      const text = readFileSync(join(root, 'src', name), 'utf8').replaceAll(/\n\s*\*? /g, ' ');
      for (const [, list] of text.matchAll(/docs\/ordering\.md, ([^)]*)\)/g)) {
        for (const rule of rulesIn(list as string)) cited.add(rule);
      }
    }
    expect([...cited].toSorted()).toEqual(rules.toSorted());
  });

  it('names files that there are', () => {
    const paths = [...page.matchAll(/`((?:src|test)\/[^`]+\.ts)`/g)].map(([, path]) => path as string);
    expect(paths.length).toBeGreaterThan(10);
    for (const path of paths) expect(existsSync(join(root, path)), path).toBe(true);
  });
});

/** The rules of a citation: `W3`, `B1 to B3 and B5`. */
function rulesIn(text: string): string[] {
  return [...text.matchAll(/([A-Z])(\d+)(?: to [A-Z](\d+))?/g)].flatMap(([, letter, from, to = from]) =>
    Array.from({ length: Number(to) - Number(from) + 1 }, (_, i) => `${letter}${Number(from) + i}`),
  );
}

describe('create', () => {
  it('W1 to W3: packs, then the index, then the snapshot', async () => {
    const { blobs } = await repositoryWithOne();
    const faulty = faultyBlobStore(blobs);
    const index = memoryIndex();
    const events: string[] = [];
    const observed: ChunkIndex = {
      ...index,
      addPack: async (pack, entries) => {
        events.push(`index ${pack.name}`);
        expect(await blobs.stat(pack.name)).toEqual({ name: pack.name, size: pack.size });
        await index.addPack(pack, entries);
      },
    };
    await withManager(environmentOn(faulty, observed), async (manager) => {
      await manager.createSnapshot(recordSource('c', records(100, 2)), 'second');
    });
    const puts = faulty.calls.filter(({ method }) => method === 'put').map(({ name }) => name);
    expect(puts.length).toBeGreaterThan(3);
    expect(puts.slice(0, -1).every((name) => name.startsWith('packs/'))).toBe(true);
    expect(puts.at(-1)).toMatch(/^snapshots\//);
    for (const name of puts.slice(0, -1)) expect(events).toContain(`index ${name}`);
  });

  it('W4: whatever fails, every snapshot that is listed is whole, and the next create works', async () => {
    const tried = await failingEverywhere(
      async () => (await repositoryWithOne()).blobs,
      (manager) => manager.createSnapshot(recordSource('c', records(100, 2)), 'second'),
      async (blobs, index, failed) => {
        const names = await expectWhole(blobs);
        expect(await expectWhole(blobs, index)).toEqual(names);
        expect(names[0]).toBe('first');
        if (!failed) expect(names).toEqual(['first', 'second']);
        await withManager(environmentOn(blobs, index), (manager) =>
          manager.createSnapshot(recordSource('c', records(100, 2)), 'next'),
        );
        expect((await expectWhole(blobs)).at(-1)).toBe('next');
      },
    );
    expect(tried).toBeGreaterThan(8);
  });
});

describe('names that are taken', () => {
  it('W4: what another has written is not removed', async () => {
    const { blobs } = await repositoryWithOne();
    const alwaysTheSame: Environment = {
      ...environmentOn(blobs),
      random: (length) => new Uint8Array(length),
    };
    await withManager(alwaysTheSame, async (manager) => {
      await manager.createSnapshot(recordSource('c', records(5, 2)), 'second');
      await expect(manager.createSnapshot(recordSource('c', records(5, 3)), 'third')).rejects.toThrow(
        expect.objectContaining({ code: 'BLOB_EXISTS' }),
      );
    });
    expect(await expectWhole(blobs)).toEqual(['first', 'second']);
  });
});

describe('sweep', () => {
  it.each([
    ['with the index as it was left', true],
    ['with an index built from the packs', false],
  ])(
    'G1 to G3: whatever fails, what remains is whole, and the next sweep finishes it, %s',
    async (_, useIndex) => {
      const tried = await failingEverywhere(
        sweepable,
        (manager) => manager.collectGarbage({ maxUnused: 0 }),
        async (blobs, index) => {
          expect(await expectWhole(blobs, index)).toEqual(['second']);
          expect(await expectWhole(blobs)).toEqual(['second']);
          const kept = useIndex ? index : memoryIndex();
          await withManager(environmentOn(blobs, kept), (manager) =>
            manager.collectGarbage({ maxUnused: 0 }),
          );
          expect(await expectWhole(blobs, kept)).toEqual(['second']);
          const stats = await withManager(environmentOn(blobs), (manager) => manager.stats());
          expect(stats.unreferencedBytes).toBe(0);
        },
      );
      expect(tried).toBeGreaterThan(8);
    },
  );
});

describe('an index that fails', () => {
  /** The n-th pack is not added, or is added and not confirmed. */
  const failingIndex = (index: ChunkIndex, nth: number, when: 'before' | 'torn'): ChunkIndex => {
    let calls = 0;
    return {
      ...index,
      addPack: async (pack, entries) => {
        const fails = ++calls === nth;
        if (!fails || when === 'torn') await index.addPack(pack, entries);
        if (fails) throw new Error('an injected fault');
      },
    };
  };

  it.each([
    [1, 'before'],
    [1, 'torn'],
    [2, 'before'],
    [2, 'torn'],
  ] as const)('G3: loses no chunk that stands elsewhere (%i, %s)', async (nth, when) => {
    const blobs = await sweepable();
    const index = memoryIndex();
    await withManager(environmentOn(blobs, index), (manager) => manager.stats()); // It knows all packs now.
    const failing = environmentOn(blobs, failingIndex(index, nth, when));
    // R10: another one takes its place, and nobody notices.
    await withManager(failing, (manager) => manager.collectGarbage({ maxUnused: 0 }));
    expect(await expectWhole(blobs, index)).toEqual(['second']);
    await withManager(environmentOn(blobs, index), (manager) => manager.collectGarbage({ maxUnused: 0 }));
    expect(await expectWhole(blobs, index)).toEqual(['second']);
    expect(await expectWhole(blobs)).toEqual(['second']);
  });
});

describe('an index that lies', () => {
  /** Says of every chunk of one pack that it stands in another. */
  const lyingIndex = (index: ChunkIndex, lies: ReadonlyMap<string, string>): ChunkIndex => {
    const lie = <T extends { readonly pack: string }>(location: T): T => ({
      ...location,
      pack: lies.get(location.pack) ?? location.pack,
    });
    return {
      ...index,
      find: async (addresses) => (await index.find(addresses)).map((one) => one && lie(one)),
      async *entries() {
        for await (const some of index.entries()) yield some.map(lie);
      },
    };
  };

  it('G8: makes no sweep delete what is needed', async () => {
    const blobs = await sweepable();
    const packs: string[] = [];
    for await (const { name } of blobs.list('packs/')) packs.push(name);
    let tried = 0;
    for (const from of packs) {
      for (const to of packs) {
        if (from === to) continue;
        const copy = memoryBlobStore();
        for await (const { name } of blobs.list('')) await copy.put(name, await blobs.get(name));
        const index = lyingIndex(memoryIndex(), new Map([[from, to]]));
        const error: unknown = await withManager(environmentOn(copy, index), (manager) =>
          manager.collectGarbage({ maxUnused: 0 }),
        ).then(
          () => undefined,
          (reason: unknown) => reason,
        );
        if (error !== undefined) expect(error).toMatchObject({ code: 'SWEEP_REFUSED' });
        expect(await expectWhole(copy)).toEqual(['second']);
        tried++;
      }
    }
    expect(tried).toBeGreaterThan(10);
  });
});

describe('blobs on a disk', () => {
  const at = freshDirectory();

  it('B1, B2: bytes, then the name, then the folder; and each is durable before the next', async () => {
    const calls: FsCall[] = [];
    const store = fsBlobStore(at('repo'), { operations: observedFsOperations((call) => calls.push(call)) });
    await store.put('packs/a', seededBytes(100, 1));
    const from = calls.findIndex(([method]) => method === 'openNew');
    const steps = calls
      .slice(from)
      .map(([method, ...args]) => [method, args.find((arg) => typeof arg === 'string')]);
    const order = steps.filter(([method]) =>
      ['writev', 'fsync', 'link', 'syncDirectory'].includes(method as string),
    );
    expect(order.map(([method]) => method)).toEqual([
      'writev',
      'fsync',
      'syncDirectory', // packs/, which is new, in the folder above
      'link',
      'syncDirectory',
    ]);
    expect(order.at(-1)).toEqual(['syncDirectory', at('repo', 'packs')]);
  });

  it('B4: who takes the lock makes durable what a crashed writer left', async () => {
    let crashed = false;
    const operations = observedFsOperations(([method, path]) => {
      if (method === 'syncDirectory' && path === at('repo', 'packs')) crashed = true;
      if (crashed) throw systemError('EIO');
    });
    const before = fsBlobStore(at('repo'), { operations });
    await expect(before.put('packs/a', seededBytes(100, 1))).rejects.toThrow(
      expect.objectContaining({ code: 'STORE_FAILED' }),
    );
    const synced: unknown[] = [];
    const after = fsBlobStore(at('repo'), {
      operations: observedFsOperations(([method, path]) => {
        if (method === 'syncDirectory') synced.push(path);
      }),
    });
    expect(await after.stat('packs/a')).toEqual({ name: 'packs/a', size: 100 });
    await after.syncNames();
    expect(synced).toEqual([at('repo'), at('repo', 'packs')]);
  });

  it('B3: who takes the lock removes what a crashed writer left in tmp', async () => {
    const manager = await SnapshotManager.init({ snapshotDir: at('repo'), workers: 1 });
    await manager.createSnapshot(recordSource('c', records(10)), 'first');
    mkdirSync(at('repo', 'tmp'), { recursive: true });
    writeFileSync(at('repo', 'tmp', 'left'), 'by a crash');
    await manager.collectGarbage();
    expect(readdirSync(at('repo', 'tmp'))).toEqual([]);
    await manager.close();
  });
});

describe('forget', () => {
  it('F1: whatever fails, each snapshot is there and whole, or gone', async () => {
    await failingEverywhere(
      async () => (await repositoryWithOne()).blobs,
      async (manager) => manager.cleanupOldSnapshots(1),
      async (blobs) => {
        expect(await expectWhole(blobs)).toEqual(['first']);
      },
    );
    await failingEverywhere(
      async () => {
        const { blobs } = await repositoryWithOne();
        await withManager(environmentOn(blobs), (manager) =>
          manager.createSnapshot(recordSource('c', records(50)), 'second'),
        );
        return blobs;
      },
      async (manager) => manager.cleanupOldSnapshots(1),
      async (blobs, _, failed) => {
        const names = await expectWhole(blobs);
        expect(names.at(-1)).toBe('second');
        if (!failed) expect(names).toEqual(['second']);
      },
    );
  });
});
