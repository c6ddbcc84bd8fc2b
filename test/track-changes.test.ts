/** Journals of changes: what is written through a tracker is told to the next snapshot, whatever happens in between. */
import { appendFile, mkdtemp, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { inlineCoder } from 'vecsnap/cas';
import { compareIds, type RecordId, type Schema, utf8 } from 'vecsnap/core';
import { nodeDeflate, nodeSha256 } from 'vecsnap/platform';
import { type Snapshot, SnapshotManager } from 'vecsnap/snapshot';
import { followChanges, type Source, trackChanges, type WriteMethods } from 'vecsnap/source';
import { runs } from './support/arbitraries.js';
import { recordLookup } from './support/hinted-source.js';
import { memoryEnvironment, memorySource } from './support/memory-environment.js';
import type { TestRecord } from './support/records.js';

const SCHEMA: Schema = {
  id: 'string',
  payload: 'none',
  vectors: [{ name: 'v', dtype: 'f32', dimension: 2 }],
};
const PARAMETERS = {
  rowGroups: { targetBytes: 1, minRecords: 5, maxRecords: 5 },
  nodes: { window: 1, max: 8 },
};

interface Entry {
  readonly id?: string;
  readonly vector: readonly number[];
}

/** A database with the methods of ruvector, in memory. */
class Database {
  readonly rows = new Map<string, readonly number[]>();
  #nextId = 1;
  /** What a write waits for before it does anything. */
  gate: Promise<void> = Promise.resolve();
  /** Called when a write begins to wait. */
  onWrite: () => void = () => {};

  async insert({ id = `made ${this.#nextId++}`, vector }: Entry): Promise<string> {
    this.onWrite();
    await this.gate;
    this.rows.set(id, vector);
    return id;
  }

  async insertBatch(entries: readonly Entry[]): Promise<string[]> {
    const ids: string[] = [];
    for (const entry of entries) ids.push(await this.insert(entry));
    return ids;
  }

  async delete(id: string): Promise<boolean> {
    await this.gate;
    return this.rows.delete(id);
  }

  async clear(): Promise<void> {
    this.rows.clear();
  }

  get size(): number {
    return this.rows.size;
  }

  get(id: string): readonly number[] | undefined {
    return this.rows.get(id);
  }
}

/** The database as a source: what it holds at the moment at which it is opened. */
function sourceOf(db: Database, seen = { scans: 0 }, onBatch?: () => void): Source {
  return {
    place: 'memory:test',
    collection: 'test',
    async open() {
      const records = [...db.rows]
        .map(([id, vector]): TestRecord => ({
          id,
          vectors: [new Uint8Array(Float32Array.from(vector).buffer)],
          payload: new Uint8Array(0),
        }))
        .toSorted((a, b) => compareIds(a.id, b.id));
      const scan = (batch: number) => {
        if (batch === 0) seen.scans++;
        onBatch?.();
      };
      const open = await memorySource({ schema: SCHEMA, records, onBatch: scan }).open();
      return { ...open, lookUp: recordLookup(SCHEMA, records, { count: records.length }) };
    },
  };
}

let folder: string;
let journal: string;
let manager: SnapshotManager;
let scanning: SnapshotManager;

async function newManager(): Promise<SnapshotManager> {
  const coder = inlineCoder({ sha256: nodeSha256, deflate: nodeDeflate });
  return SnapshotManager.init({ environment: memoryEnvironment({ sha256: nodeSha256, coder }) }, PARAMETERS);
}

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'vecsnap-journal-'));
  journal = join(folder, 'changes');
  manager = await newManager();
  scanning = await newManager();
});

afterEach(async () => {
  await rm(folder, { recursive: true, force: true });
});

function filled(count = 200): Database {
  const db = new Database();
  for (let i = 0; i < count; i++) db.rows.set(`record ${i}`, [i, 0]);
  return db;
}

async function take(db: Database, base?: Snapshot, auditRate = 0): Promise<Snapshot & { scans: number }> {
  const seen = { scans: 0 };
  const source = followChanges(sourceOf(db, seen), { journal });
  const snapshot =
    base === undefined
      ? await manager.createSnapshot(source, 'snapshot')
      : await manager.createIncrementalSnapshot(source, 'snapshot', base.id, { auditRate });
  expect(snapshot.checksum).toBe((await scanning.createSnapshot(sourceOf(db), 'scan')).checksum);
  return { ...snapshot, ...seen };
}

const OK = { notes: [] as string[], scans: 0 };

describe('a tracked database', () => {
  it('does what the database does', async () => {
    const db = new Database();
    const tracked = trackChanges(db, { journal });
    expect(await tracked.insert({ id: 'a', vector: [1, 2] })).toBe('a');
    expect(await tracked.insertBatch([{ id: 'b', vector: [1, 2] }])).toEqual(['b']);
    expect(await tracked.delete('a')).toBe(true);
    expect(await tracked.delete('a')).toBe(false);
    expect(tracked.get('b')).toEqual([1, 2]);
    expect(tracked.size).toBe(1);
    expect(tracked).toBeInstanceOf(Database);
    const made = await tracked.insert({ vector: [3, 4] });
    expect(db.rows.get(made)).toEqual([3, 4]);
    await tracked[Symbol.asyncDispose]();
  });

  it('leaves the entries of its caller alone', async () => {
    const tracked = trackChanges(new Database(), { journal });
    const entry = Object.freeze({ vector: [1, 2] });
    expect(await tracked.insertBatch([entry, entry])).toHaveLength(2);
    await tracked[Symbol.asyncDispose]();
  });

  it('tells the next snapshot what was written, for any history', async () => {
    const anyStep = fc.oneof(
      { weight: 6, arbitrary: fc.record({ insert: fc.array(fc.nat({ max: 300 }), { maxLength: 8 }) }) },
      { weight: 3, arbitrary: fc.record({ delete: fc.nat({ max: 300 }) }) },
      { weight: 3, arbitrary: fc.constant('snapshot' as const) },
      { weight: 1, arbitrary: fc.constant('reopen' as const) },
    );
    await fc.assert(
      fc.asyncProperty(fc.array(anyStep, { maxLength: 25 }), async (steps) => {
        await rm(folder, { recursive: true, force: true });
        folder = await mkdtemp(join(tmpdir(), 'vecsnap-journal-'));
        journal = join(folder, 'changes');
        manager = await newManager();
        const db = filled();
        let tracked = trackChanges(db, { journal });
        await tracked.delete('none');
        let last: Snapshot = await take(db);
        for (const [i, step] of steps.entries()) {
          if (step === 'reopen') {
            await tracked[Symbol.asyncDispose]();
            tracked = trackChanges(db, { journal });
          } else if (step === 'snapshot') {
            const next = await take(db, last);
            expect(next.notes).toEqual([]);
            last = next;
          } else if ('delete' in step) await tracked.delete(`record ${step.delete}`);
          else await tracked.insertBatch(step.insert.map((n) => ({ id: `record ${n}`, vector: [n, i] })));
        }
        expect(await take(db, last)).toMatchObject(OK);
        await tracked[Symbol.asyncDispose]();
      }),
      { numRuns: runs(25) },
    );
  });

  it('with ids that the database would make is told too', async () => {
    const db = filled();
    await using tracked = trackChanges(db, { journal });
    await tracked.insert({ id: 'record 1', vector: [1, 1] });
    const first = await take(db);
    const id = await tracked.insert({ vector: [7, 7] });
    expect(await take(db, first)).toMatchObject({ ...OK, vectorCount: 201 });
    expect(db.rows.has(id)).toBe(true);
  });

  it('may be any object whose methods are named', async () => {
    const db = filled();
    const methods: WriteMethods = {
      put: (id: string) => ({ ids: [id] }),
      clear: () => ({ ids: undefined }),
    };
    const store = {
      db,
      put: async (id: string, vector: number[]) => void db.rows.set(id, vector),
      clear: () => db.clear(),
    };
    await using tracked = trackChanges(store, { journal, methods });
    await tracked.put('record 5', [5, 5]);
    const first = await take(db);
    await tracked.put('record 6', [6, 6]);
    const second = await take(db, first);
    expect(second).toMatchObject(OK);
    await tracked.clear();
    await tracked.put('only', [1, 1]);
    const third = await take(db, second);
    expect(third.notes[0]).toMatch(/something was written without telling which records/);
    await tracked.put('another', [1, 1]);
    expect((await take(db, third)).notes[0]).toMatch(/a scan is quicker/);
  });

  it('fails to write, and the database is not called, when the journal cannot be written', async () => {
    const db = new Database();
    const tracked = trackChanges(db, { journal: folder });
    await expect(tracked.insert({ id: 'a', vector: [1, 2] })).rejects.toMatchObject({
      code: 'JOURNAL_FAILED',
      place: folder,
    });
    expect(db.size).toBe(0);
    await tracked[Symbol.asyncDispose]();
  });

  it('tells what failed in the database as well, for it may have happened in part', async () => {
    const db = filled();
    const tracked = trackChanges(db, { journal });
    await tracked.delete('none');
    const first = await take(db);
    db.gate = Promise.reject(new Error('half-way'));
    db.gate.catch(() => {});
    await expect(tracked.insert({ id: 'record 9', vector: [0, 0] })).rejects.toThrow('half-way');
    db.rows.set('record 9', [9, 9]);
    expect(await take(db, first)).toMatchObject(OK);
    await tracked[Symbol.asyncDispose]();
  });

  it('writes many at once in few frames that are all told', async () => {
    const db = filled(2000);
    await using tracked = trackChanges(db, { journal });
    await tracked.delete('none');
    const first = await take(db);
    await Promise.all(
      Array.from({ length: 300 }, (_, i) => tracked.insert({ id: `record ${i}`, vector: [i, 1] })),
    );
    expect(await take(db, first)).toMatchObject(OK);
  });
});

describe('what is written while a snapshot is taken', () => {
  it('is told to the next one, whether or not this one has it', async () => {
    const db = filled();
    await using tracked = trackChanges(db, { journal });
    await tracked.delete('none');
    let writes = 0;
    const writing = sourceOf(db, undefined, () => {
      void tracked.insert({ id: `record ${writes++}`, vector: [-1, writes] });
    });
    const first = await manager.createSnapshot(followChanges(writing, { journal }), 'first');
    await tracked.insert({ id: 'record 150', vector: [0, 0] }); // All others are over by now.
    expect(writes).toBeGreaterThan(3);
    expect(await take(db, first)).toMatchObject(OK);
  });

  it('is told also when it began before and came into the database after', async () => {
    const db = filled();
    await using tracked = trackChanges(db, { journal });
    await tracked.delete('none');
    let open = (): void => {};
    db.gate = new Promise((resolve) => (open = resolve));
    const begun = new Promise<void>((resolve) => (db.onWrite = resolve));
    const late = tracked.insert({ id: 'record 42', vector: [4, 2] });
    await begun;
    db.gate = Promise.resolve();
    await tracked.insert({ id: 'record 43', vector: [4, 3] });
    const first = await take(db);
    open();
    await late;
    const second = await take(db, first);
    expect(second).toMatchObject(OK);
    expect(await take(db, second)).toMatchObject(OK);
  });
});

describe('a crash', () => {
  it('of the writer leaves a journal that tells everything that was written, wherever it is torn', async () => {
    const db = filled();
    const tracked = trackChanges(db, { journal });
    await tracked.delete('none');
    const first = await take(db);
    await tracked.insert({ id: 'record 3', vector: [3, 3] });
    const whole = (await stat(journal)).size;
    await tracked.insertBatch([
      { id: 'record 4', vector: [4, 4] },
      { id: 'record 5', vector: [5, 5] },
    ]);
    await tracked[Symbol.asyncDispose]();
    const bytes = await readFile(journal);
    db.rows.set('record 4', [4, 0]).set('record 5', [5, 0]); // What was not durable in the journal was not written.
    for (let size = whole; size < bytes.length; size += 3) {
      db.rows.set('record 6', [6, 0]);
      await writeFile(journal, bytes.subarray(0, size));
      const marks = await readFile(`${journal}.snapshots`);
      expect(await take(db, first)).toMatchObject(OK);
      await writeFile(`${journal}.snapshots`, marks);
      const next = trackChanges(db, { journal });
      await next.insert({ id: 'record 6', vector: [6, size] });
      await next[Symbol.asyncDispose]();
      expect(await take(db, first)).toMatchObject(OK);
      await writeFile(`${journal}.snapshots`, marks);
    }
  });

  it('between the snapshot and its mark makes the next one read everything, and the one after that does not', async () => {
    const db = filled();
    await using tracked = trackChanges(db, { journal });
    await tracked.delete('none');
    const first = await take(db);
    const marks = await readFile(`${journal}.snapshots`);
    await tracked.delete('record 1');
    const second = await take(db, first);
    await writeFile(`${journal}.snapshots`, marks);
    await tracked.delete('record 2');
    const third = await take(db, second);
    expect(third.notes[0]).toMatch(/the journal of changes does not follow the snapshot before/);
    expect(third.scans).toBe(1);
    await tracked.delete('record 3');
    expect(await take(db, third)).toMatchObject(OK);
  });

  it('leaves writes of before that are not known to be over, which are told only as long as they must', async () => {
    const db = filled();
    const crashed = trackChanges(db, { journal });
    await crashed.delete('none');
    const first = await take(db);
    db.gate = new Promise(() => {});
    const begun = new Promise<void>((resolve) => (db.onWrite = resolve));
    void crashed.insert({ id: 'record 8', vector: [8, 8] });
    await begun;
    await crashed[Symbol.asyncDispose]();
    db.gate = Promise.resolve();
    db.rows.set('record 8', [8, 8]); // It came through nevertheless.
    await using tracked = trackChanges(db, { journal });
    await tracked.insert({ id: 'record 9', vector: [9, 9] });
    const second = await take(db, first);
    expect(second).toMatchObject(OK);
    expect(await take(db, second)).toMatchObject(OK);
  });
});

describe('a journal that cannot be relied on', () => {
  async function noteAfter(spoil: (db: Database) => Promise<void>): Promise<string | undefined> {
    const db = filled();
    const tracked = trackChanges(db, { journal });
    await tracked.delete('none');
    const first = await take(db);
    await tracked.insertBatch([{ id: 'record 1', vector: [1, 1] }]);
    await tracked.insertBatch([{ id: 'record 2', vector: [2, 2] }]);
    await tracked[Symbol.asyncDispose]();
    await spoil(db);
    const next = await take(db, first);
    expect(next.scans).toBe(next.notes.length);
    return next.notes[0];
  }

  it.each<[string, (db: Database) => Promise<void>, RegExp]>([
    ['is gone', () => rm(journal), /there is no journal of changes at/],
    ['has lost its marks', () => rm(`${journal}.snapshots`), /does not follow the snapshot before/],
    [
      'has damaged marks',
      () => writeFile(`${journal}.snapshots`, 'damaged!damaged!'),
      /does not follow the snapshot before/,
    ],
    ['is empty', () => writeFile(journal, ''), /there is no journal/],
    ['is another file', () => writeFile(journal, 'x'.repeat(1000)), /there is no journal/],
    ['is damaged in the middle', () => flipByte(-60), /is damaged|does not go back/],
    [
      'was begun anew',
      async (db) => {
        await rm(journal);
        const tracked = trackChanges(db, { journal });
        await tracked.delete('none');
        await tracked[Symbol.asyncDispose]();
      },
      /does not go back to the snapshot before/,
    ],
    ['ends before the snapshot', () => truncate(journal, 40), /does not go back to the snapshot before/],
  ])('because it %s makes the snapshot read everything', async (_, spoil, note) => {
    expect(await noteAfter(spoil)).toMatch(note);
  });

  it('is not begun in place of another file', async () => {
    await writeFile(journal, 'somebody else wrote this');
    const db = filled();
    const tracked = trackChanges(db, { journal });
    await expect(tracked.insertBatch([{ id: 'new', vector: [1, 1] }])).rejects.toMatchObject({
      code: 'JOURNAL_FAILED',
      place: journal,
      message: expect.stringContaining('no journal') as string,
    });
    await tracked[Symbol.asyncDispose]();
    expect(await readFile(journal, 'utf8')).toBe('somebody else wrote this');
    expect(db.rows.has('new')).toBe(false);
  });

  async function flipByte(fromEnd: number): Promise<void> {
    const bytes = await readFile(journal);
    const first = bytes.indexOf('record 1');
    const at = first > 0 ? first : bytes.length + fromEnd;
    bytes[at] = (bytes[at] as number) ^ 1;
    await writeFile(journal, bytes);
  }

  it('because it lies is found by the audit', async () => {
    const db = filled();
    await using tracked = trackChanges(db, { journal });
    await tracked.delete('none');
    const first = await take(db);
    db.rows.set('record 77', [0, 77]); // Not through the tracker.
    const second = await take(db, first, 1);
    expect(second.notes[0]).toMatch(/they are wrong, because they do not tell that a record/);
    expect(await take(db, second, 1)).toMatchObject(OK);
  });

  it('because two write it makes their writes fail', async () => {
    const db = filled();
    const one = trackChanges(db, { journal });
    await one.delete('none');
    const other = trackChanges(db, { journal });
    await other.delete('record 1');
    await expect(one.delete('record 2')).rejects.toMatchObject({ code: 'JOURNAL_FAILED' });
    expect(db.rows.has('record 2')).toBe(true);
    await Promise.all([one, other].map((tracked) => tracked[Symbol.asyncDispose]()));
  });

  it('because it was removed meanwhile fails one write, and begins anew', async () => {
    const db = filled();
    await using tracked = trackChanges(db, { journal });
    await tracked.delete('none');
    const first = await take(db);
    await rm(journal);
    await expect(tracked.delete('record 1')).rejects.toMatchObject({ code: 'JOURNAL_FAILED' });
    await tracked.delete('record 1');
    const second = await take(db, first);
    expect(second.notes[0]).toMatch(/does not go back/);
    await tracked.delete('record 2');
    expect(await take(db, second)).toMatchObject(OK);
  });

  it('because bytes follow that are no frame is cut off there by the next tracker', async () => {
    const db = filled();
    const tracked = trackChanges(db, { journal });
    await tracked.delete('none');
    const first = await take(db);
    await tracked.delete('record 1');
    await tracked[Symbol.asyncDispose]();
    await appendFile(journal, utf8('vsnf and then nothing'));
    await using next = trackChanges(db, { journal });
    await next.delete('record 2');
    expect(await take(db, first)).toMatchObject(OK);
  });
});

describe('a long journal', () => {
  it('is cut off at the front once no snapshot needs it, and goes on telling', async () => {
    const db = filled(3000);
    await using tracked = trackChanges(db, { journal });
    await tracked.delete('none');
    let last: Snapshot = await take(db);
    const ids = Array.from({ length: 500 }, (_, i) => ({ id: `record ${i}`, vector: [0, 0] }));
    let largest = 0;
    for (let round = 0; round < 12; round++) {
      for (let i = 0; i < 60; i++) await tracked.insertBatch(ids);
      largest = Math.max(largest, (await stat(journal)).size);
      await tracked.insert({ id: 'record 2999', vector: [round, round] });
      const next = await take(db, last);
      expect(next).toMatchObject(OK);
      last = next;
    }
    expect(largest).toBeGreaterThan(2 ** 20);
    expect((await stat(journal)).size).toBeLessThan(12 * 60 * 500 * 11);
  });

  it('is followed from several snapshots', async () => {
    const db = filled();
    await using tracked = trackChanges(db, { journal });
    await tracked.delete('none');
    const first = await take(db);
    await tracked.delete('record 1');
    const second = await take(db, first);
    await tracked.delete('record 2');
    expect(await take(db, first)).toMatchObject(OK);
    expect(await take(db, second)).toMatchObject(OK);
  });
});

describe('a source without ids of its own kind', () => {
  it('is read whole when the journal names what cannot be an id', async () => {
    const schema: Schema = { ...SCHEMA, id: 'u64' };
    const records = Array.from({ length: 20 }, (_, i) => ({
      id: BigInt(i),
      vectors: [new Uint8Array(8)],
      payload: new Uint8Array(0),
    }));
    const source: Source = {
      place: 'memory:u64',
      collection: 'u64',
      open: async () => ({
        ...(await memorySource({ schema, records }).open()),
        lookUp: recordLookup(schema, records),
      }),
    };
    const following = followChanges(source, { journal });
    const target = { put: async (_id: bigint | string) => {} };
    await using tracked = trackChanges(target, {
      journal,
      methods: { put: (id: RecordId) => ({ ids: [id] }) },
    });
    await tracked.put(1n);
    const first = await manager.createSnapshot(following, 'first');
    await tracked.put(2n ** 63n); // None of the records.
    const second = await manager.createIncrementalSnapshot(following, 'second', first.id, { auditRate: 1 });
    expect(second).toMatchObject({ notes: [], checksum: first.checksum });
    await tracked.put('no number');
    const third = await manager.createIncrementalSnapshot(following, 'third', second.id);
    expect(third.notes[0]).toMatch(/names "no number", which is no id of this source/);
  });
});
