/** What is particular to blobs in a database: pieces, durability, damage, and errors of the database. */
import { MemoryLevel } from 'memory-level';
import { describe, expect, it } from 'vitest';
import { levelBlobStore } from 'vecsnap/blob';

const BYTES = Uint8Array.from({ length: 2500 }, (_, i) => i);

/** A database that records, through the methods that abstract-level asks of its implementations. */
class RecordingLevel extends MemoryLevel {
  readonly batches: { sync: boolean | undefined; keys: string[] }[] = [];
  readonly reads: string[][] = [];
  failure: Error | undefined;

  async _batch(operations: { key: Uint8Array }[], options: { sync?: boolean }): Promise<void> {
    if (this.failure) throw this.failure;
    this.batches.push({ sync: options.sync, keys: operations.map(({ key }) => String(key)).toSorted() });
    // @ts-expect-error -- not part of the public types
    await super._batch(operations, options);
  }

  async _getMany(keys: Uint8Array[], options: object): Promise<unknown> {
    this.reads.push(keys.map(String));
    // @ts-expect-error -- not part of the public types
    return super._getMany(keys, options);
  }
}

describe('a put', () => {
  it('is one batch that waits for the disk', async () => {
    const db = new RecordingLevel();
    const store = levelBlobStore(db, { pieceBytes: 1000 });
    await store.put('packs/a', BYTES);
    await store.delete('packs/a');
    const keys = ['h/packs/a', 'p/packs/a!00000000', 'p/packs/a!00000001', 'p/packs/a!00000002'];
    expect(db.batches).toEqual([
      { sync: true, keys },
      { sync: true, keys },
    ]);
  });

  it('leaves every key to itself when names are alike', async () => {
    const db = new MemoryLevel();
    const store = levelBlobStore(db, { pieceBytes: 100 });
    await store.put('a', BYTES.subarray(0, 900));
    await store.put('a-', BYTES);
    await store.put('a/b', BYTES.subarray(0, 300));
    await store.delete('a');
    expect(await store.get('a-')).toEqual(BYTES);
    await store.delete('a-');
    await store.delete('a/b');
    expect(await db.keys().all()).toEqual([]);
  });
});

describe('a read', () => {
  it('loads only the pieces that it needs', async () => {
    const db = new RecordingLevel();
    const store = levelBlobStore(db, { pieceBytes: 1000 });
    await store.put('a', BYTES);
    const into = new Uint8Array(10);
    expect(await store.read('a', 995, into)).toBe(10);
    expect(into).toEqual(BYTES.subarray(995, 1005));
    expect(db.reads).toEqual([['h/a', 'p/a!00000000', 'p/a!00000001']]);
  });

  it('follows the piece size that the blob was written with', async () => {
    const db = new MemoryLevel();
    await levelBlobStore(db, { pieceBytes: 300 }).put('a', BYTES);
    const store = levelBlobStore(db);
    const into = new Uint8Array(700);
    expect(await store.read('a', 650, into)).toBe(700);
    expect(into).toEqual(BYTES.subarray(650, 1350));
    expect(await store.get('a')).toEqual(BYTES);
    await store.delete('a');
    expect(await db.keys().all()).toEqual([]);
  });
});

describe('damage', () => {
  it.each(['00000000', '00000001', '00000002'])(
    'is told when piece %s is missing or short',
    async (number) => {
      const db = new MemoryLevel<string, Uint8Array>({ valueEncoding: 'view' });
      const store = levelBlobStore(db, { pieceBytes: 1000 });
      await store.put('a', BYTES);
      for (const harm of [() => db.put(`p/a!${number}`, new Uint8Array(7)), () => db.del(`p/a!${number}`)]) {
        await harm();
        const damaged = {
          code: 'STORE_FAILED',
          message: expect.stringContaining('damaged'),
          place: expect.stringContaining('a'),
        };
        await expect(store.get('a')).rejects.toMatchObject(damaged);
        await expect(store.read('a', 0, new Uint8Array(2500))).rejects.toMatchObject(damaged);
      }
    },
  );

  it.each([[], [0xc1], [0x92, 1], [0x92, 1, 0], [0x92, 0xff, 5], [0x01], [0x92, 0xa1, 0x61, 5]])(
    'is told when the head is %j',
    async (...head) => {
      const db = new MemoryLevel<string, Uint8Array>({ valueEncoding: 'view' });
      const store = levelBlobStore(db);
      await db.put('h/a', Uint8Array.from(head));
      const damaged = { code: 'STORE_FAILED', message: expect.stringContaining('damaged') };
      await expect(store.stat('a')).rejects.toMatchObject(damaged);
      await expect(store.get('a')).rejects.toMatchObject(damaged);
      await expect(store.read('a', 0, new Uint8Array(1))).rejects.toMatchObject(damaged);
      await expect(store.list('')[Symbol.asyncIterator]().next()).rejects.toMatchObject(damaged);
    },
  );
});

describe('an error of the database', () => {
  it('is STORE_FAILED with its cause, in every method', async () => {
    const db = new MemoryLevel();
    const store = levelBlobStore(db, { place: 'the database' });
    await db.close();
    const failed = {
      code: 'STORE_FAILED',
      place: expect.stringContaining('the database'),
      remedy: expect.any(String),
      cause: { code: 'LEVEL_DATABASE_NOT_OPEN' },
    };
    await expect(store.put('a', BYTES)).rejects.toMatchObject(failed);
    await expect(store.get('a')).rejects.toMatchObject(failed);
    await expect(store.read('a', 0, new Uint8Array(1))).rejects.toMatchObject(failed);
    await expect(store.stat('a')).rejects.toMatchObject(failed);
    await expect(store.delete('a')).rejects.toMatchObject(failed);
    await expect(store.list('')[Symbol.asyncIterator]().next()).rejects.toMatchObject(failed);
  });

  it('is STORE_FULL when the disk is full', async () => {
    const db = new RecordingLevel();
    const store = levelBlobStore(db);
    db.failure = new Error('IO error: /db/000003.log: No space left on device');
    await expect(store.put('a', BYTES)).rejects.toMatchObject({ code: 'STORE_FULL', cause: db.failure });
    db.failure = undefined;
    await store.put('a', BYTES);
    expect(await store.get('a')).toEqual(BYTES);
  });
});

it('refuses a piece size that is no size', () => {
  for (const pieceBytes of [0, -1, 0.5, Number.NaN]) {
    expect(() => levelBlobStore(new MemoryLevel(), { pieceBytes })).toThrow(RangeError);
  }
});
