/** The indexes under their contract, and what is particular to the one in a database. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Level } from 'level';
import { MemoryLevel } from 'memory-level';
import { describe, expect, it } from 'vitest';
import { type IndexDatabase, levelIndex, memoryIndex } from 'vecsnap/cas';
import { concatBytes, utf8 } from 'vecsnap/core';
import { addressOf, entriesOf, testChunkIndex } from './contract/chunk-index.js';
import { collectAll } from './support/collect.js';

const VIEWS = { keyEncoding: 'view', valueEncoding: 'view' } as const;

class RecordingLevel extends MemoryLevel<Uint8Array, Uint8Array> {
  readonly batches: number[] = [];
  failure: Error | undefined;

  // Through the method that abstract-level asks of its implementations.
  async _batch(operations: unknown[], options: object): Promise<void> {
    if (this.failure) throw this.failure;
    this.batches.push(operations.length);
    // @ts-expect-error -- not part of the public types
    await super._batch(operations, options);
  }
}

function memoryDatabase(): RecordingLevel {
  return new RecordingLevel({ ...VIEWS, storeEncoding: 'view' });
}

function asDatabase(db: object): IndexDatabase {
  return db as IndexDatabase;
}

testChunkIndex({
  name: 'memory',
  persistent: false,
  makePlace: async () => ({ open: async () => memoryIndex(), remove: async () => {} }),
});

testChunkIndex({
  name: 'level in memory',
  persistent: true,
  async makePlace() {
    const db = memoryDatabase();
    return {
      async open() {
        await db.open();
        return levelIndex(asDatabase(db));
      },
      remove: () => db.close(),
    };
  },
});

testChunkIndex({
  name: 'level on disk',
  persistent: true,
  async makePlace() {
    const directory = await mkdtemp(join(tmpdir(), 'vecsnap-index-'));
    return {
      async open() {
        const db = new Level<Uint8Array, Uint8Array>(directory, VIEWS);
        await db.open();
        return levelIndex(asDatabase(db));
      },
      remove: () => rm(directory, { recursive: true }),
    };
  },
});

describe('an index in a database', () => {
  it('takes a pack with one batch, and nothing of it when that fails', async () => {
    const db = memoryDatabase();
    const index = await levelIndex(asDatabase(db));
    db.batches.length = 0;
    await index.addPack({ name: 'packs/a', size: 1 }, entriesOf([1, 2, 3]));
    expect(db.batches).toEqual([4]);
    db.failure = new Error('the disk is full');
    await expect(index.addPack({ name: 'packs/b', size: 1 }, entriesOf([3, 4]))).rejects.toThrow();
    db.failure = undefined;
    expect((await index.find([3, 4].map(addressOf))).map((location) => location?.pack)).toEqual([
      'packs/a',
      undefined,
    ]);
    expect([...index.packs().keys()]).toEqual(['packs/a']);
    const again = await levelIndex(asDatabase(db));
    expect([...again.packs().keys()]).toEqual(['packs/a']);
  });

  // Version 1 would remove packs and leave notes of trees that need them.
  it.each([1, 3])(
    'of another version is emptied, and does not look like one that %i could use',
    async (version) => {
      const db = memoryDatabase();
      const index = await levelIndex(asDatabase(db));
      await index.addPack({ name: 'packs/a', size: 1 }, entriesOf([1]));
      await index.noteWhole?.(addressOf(1), new Uint8Array(0), undefined);
      await db.put(utf8('v'), Uint8Array.of(version));
      const other = await levelIndex(asDatabase(db));
      expect(other.packs().size).toBe(0);
      expect(await other.find([addressOf(1)])).toEqual([undefined]);
      expect(await other.wholeNote?.(addressOf(1))).toBeUndefined();
      expect(await db.get(utf8('v'))).toEqual(Uint8Array.of(2));
    },
  );

  const damaged = expect.objectContaining({
    code: 'INDEX_DAMAGED',
    remedy: expect.stringContaining('repair'),
  });

  it.each<[string, number[]]>([
    ['nothing', []],
    ['a number cut short', [0, 0x80]],
    ['too few numbers', [0, 1, 2, 3]],
    ['a number too many', [0, 1, 2, 3, 4, 5]],
    ['a number that could be shorter', [0, 1, 2, 3, 0x84, 0]],
  ])('tells that the place of a chunk is %s', async (_, value) => {
    const db = memoryDatabase();
    const index = await levelIndex(asDatabase(db));
    await index.addPack({ name: 'packs/a', size: 1 }, entriesOf([1]));
    await db.put(concatBytes([utf8('c'), addressOf(1)]), Uint8Array.from(value));
    await expect(index.find([addressOf(1)])).rejects.toThrow(damaged);
    await expect(collectAll(index.entries())).rejects.toThrow(damaged);
    await expect(index.removePacks(new Set(['packs/a']))).rejects.toThrow(damaged);
    await index.clear(); // Which is what repair does.
    expect(await index.find([addressOf(1)])).toEqual([undefined]);
  });

  it.each<[string, Uint8Array, number[]]>([
    ['has no numbers', utf8('ppacks/b'), []],
    ['has a number too many', utf8('ppacks/b'), [1, 1, 1]],
    ['has a name that is not UTF-8', Uint8Array.of(0x70, 0xff), [1, 1]],
  ])('tells that a pack %s when it is opened', async (_, key, value) => {
    const db = memoryDatabase();
    await levelIndex(asDatabase(db));
    await db.put(key, Uint8Array.from(value));
    await expect(levelIndex(asDatabase(db))).rejects.toThrow(damaged);
  });

  it('does not find a chunk in a pack that it does not know', async () => {
    const db = memoryDatabase();
    const index = await levelIndex(asDatabase(db));
    await index.addPack({ name: 'packs/a', size: 1 }, entriesOf([1]));
    await db.put(concatBytes([utf8('c'), addressOf(2)]), Uint8Array.of(7, 8, 1, 1, 0));
    expect(await index.find([addressOf(2)])).toEqual([undefined]);
    expect(await collectAll(index.entries())).toHaveLength(1);
  });

  it('gives packs numbers that no other has, also after packs were removed', async () => {
    const db = memoryDatabase();
    const index = await levelIndex(asDatabase(db));
    for (let n = 0; n < 50; n++) {
      await index.addPack({ name: `packs/${n}`, size: n }, entriesOf([n]));
      if (n % 3 === 0) await index.removePacks(new Set([`packs/${n >> 1}`]));
    }
    const again = await levelIndex(asDatabase(db));
    await again.addPack({ name: 'packs/last', size: 1 }, entriesOf([1000]));
    for (const { pack, ...entry } of await collectAll(again.entries()))
      expect([`packs/${String(entry.length / 1000)}`, 'packs/last']).toContain(pack);
  });
});
