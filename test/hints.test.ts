/** Snapshots by what the source tells has changed: the same as by reading everything, and what it does not tell is found. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type BlobStore, memoryBlobStore } from 'vecsnap/blob';
import { type ChunkCoder, inlineCoder } from 'vecsnap/cas';
import { compareIds, type RecordId, type Schema, utf8, vectorBytes } from 'vecsnap/core';
import { nodeDeflate, nodeSha256, pooledCoder } from 'vecsnap/platform';
import { type CreateOptions, type Snapshot, SnapshotManager } from 'vecsnap/snapshot';
import { runs } from './support/arbitraries.js';
import { seededBytes } from './support/files.js';
import {
  hintedSource,
  recordLookup,
  type Scans,
  sortedIds,
  type TestHints,
} from './support/hinted-source.js';
import { memoryEnvironment, memorySource, MemoryTarget } from './support/memory-environment.js';
import { recordText, type TestRecord } from './support/records.js';

const PARAMETERS = {
  rowGroups: { targetBytes: 1, minRecords: 5, maxRecords: 5 },
  nodes: { window: 1, max: 8 },
};

const SCHEMAS: readonly Schema[] = [
  { id: 'string', payload: 'json', vectors: [{ name: 'v', dtype: 'f32', dimension: 4 }] },
  { id: 'u64', payload: 'none', vectors: [{ name: 'v', dtype: 'u8', dimension: 9 }] },
  { id: 'string', payload: 'bytes', vectors: [] },
  {
    id: 'u64',
    payload: 'json',
    vectors: [
      { name: 'a', dtype: 'f32', dimension: 6 },
      { name: 'b', dtype: 'f16', dimension: 40 },
    ],
  },
];

interface ManagerParts {
  readonly seed?: number;
  readonly coder?: ChunkCoder;
  readonly blobs?: BlobStore;
  readonly parameters?: Parameters<typeof SnapshotManager.init>[1];
}

async function newManager({
  seed = 1,
  coder = inlineCoder({ sha256: nodeSha256, deflate: nodeDeflate }),
  blobs = memoryBlobStore(),
  parameters = PARAMETERS,
}: ManagerParts = {}): Promise<SnapshotManager> {
  let next = seed;
  const random = (length: number) => seededBytes(length, next++);
  const environment = memoryEnvironment({ sha256: nodeSha256, coder, blobs, random });
  return SnapshotManager.init({ environment }, parameters);
}

function recordOf(schema: Schema, n: number, version: number): TestRecord {
  const id = schema.id === 'u64' ? BigInt(n) * 2n ** 40n : `record ${n}`;
  const vectors = schema.vectors.map((column, i) => {
    if (i === 1 && version % 2 === 1) return new Uint8Array(vectorBytes(column)).fill(n); // The same again later.
    const bytes = seededBytes(vectorBytes(column), n * 1000 + version);
    // Now and then a number of one byte or two whose bits are all set, and that is not finite in any kind of numbers.
    return (n + version) % 3 === 0 ? bytes.fill(0xff, 0, 8) : bytes;
  });
  return { id, vectors, payload: schema.payload === 'none' ? new Uint8Array(0) : utf8(`{"v":${version}}`) };
}

/** A collection that changes, and notes what. */
class Collection {
  readonly schema: Schema;
  readonly #records = new Map<RecordId, TestRecord>();
  changed = new Set<RecordId>();

  constructor(schema: Schema, count: number) {
    this.schema = schema;
    for (let n = 0; n < count; n++) this.put(n, 0);
    this.changed = new Set();
  }

  get records(): TestRecord[] {
    return [...this.#records.values()].toSorted((a, b) => compareIds(a.id, b.id));
  }

  get size(): number {
    return this.#records.size;
  }

  put(n: number, version: number): void {
    const record = recordOf(this.schema, n, version);
    this.#records.set(record.id, record);
    this.changed.add(record.id);
  }

  delete(n: number): void {
    const { id } = recordOf(this.schema, n, 0);
    this.#records.delete(id);
    this.changed.add(id);
  }

  /** What was noted, without the ids of `silently`. */
  since(silently: readonly number[] = []): RecordId[] {
    const hidden = new Set(silently.map((n) => recordOf(this.schema, n, 0).id));
    return [...this.changed].filter((id) => !hidden.has(id));
  }

  source(hints: Partial<TestHints> = {}, seen?: Scans) {
    const { schema, records } = this;
    return hintedSource({ schema, records }, { since: () => this.since(), count: this.size, ...hints }, seen);
  }

  plainSource() {
    return memorySource({ schema: this.schema, records: this.records });
  }
}

function vectorOf({ records }: Collection, n: number): Uint8Array {
  return (records[n] as TestRecord).vectors[0] as Uint8Array;
}

interface Round {
  readonly puts: readonly number[];
  readonly deletes: readonly number[];
  readonly extra: readonly number[];
}

const anyNumber = fc.nat({ max: 400 });
const anyRound: fc.Arbitrary<Round> = fc.record({
  puts: fc.array(anyNumber, { maxLength: 12 }),
  deletes: fc.array(anyNumber, { maxLength: 12 }),
  extra: fc.array(anyNumber, { maxLength: 3 }),
});

function expectSame(hinted: Snapshot, full: Snapshot): void {
  const of = ({ checksum, vectorCount, logicalBytes, nonFiniteCount }: Snapshot) => ({
    checksum,
    vectorCount,
    logicalBytes,
    nonFiniteCount,
  });
  expect(of(hinted)).toEqual(of(full));
}

describe('a snapshot by hints', () => {
  it('is the one that reading everything gives, for any history', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom(...SCHEMAS),
        fc.integer({ min: 1, max: 300 }),
        fc.array(anyRound, { maxLength: 5 }),
        async (schema, count, rounds) => {
          const collection = new Collection(schema, count);
          const manager = await newManager();
          const scanning = await newManager();
          let last = await manager.createSnapshot(collection.source(), 'first');
          for (const [version, { puts, deletes, extra }] of rounds.entries()) {
            for (const n of puts) collection.put(n, version + 1);
            for (const n of deletes) collection.delete(n);
            for (const n of extra) collection.changed.add(recordOf(schema, n, 0).id);
            const seen = { scans: 0 };
            const isMany = collection.changed.size > last.vectorCount / 4;
            last = await manager.createIncrementalSnapshot(collection.source({}, seen), 'next', last.id);
            expectSame(last, await scanning.createSnapshot(collection.plainSource(), 'full'));
            expect(last.notes.map((n) => (isMany ? 'x' : n))).toEqual(isMany ? ['x'] : []);
            if (!isMany) expect(seen.scans).toBe(0);
            collection.changed = new Set();
          }
          const target = new MemoryTarget();
          await manager.restoreSnapshot(last.id, target);
          expect(target.records.map(recordText)).toEqual(collection.records.map(recordText));
          expect((await manager.verifyRepository()).problems).toEqual([]);
        },
      ),
      { numRuns: runs(60) },
    );
  });

  it('looks up what changed and little else', async () => {
    const collection = new Collection(SCHEMAS[0] as Schema, 5000);
    const manager = await newManager();
    const first = await manager.createSnapshot(collection.source(), 'first');
    collection.put(777, 1);
    collection.delete(1234);
    collection.put(99_999, 1);
    const asked = new Set<RecordId>();
    const source = collection.source({ onLookUp: (id) => asked.add(id) });
    const second = await manager.createIncrementalSnapshot(source, 'second', first.id, { auditRate: 0 });
    expect(second.notes).toEqual([]);
    expect([...collection.changed].every((id) => asked.has(id))).toBe(true);
    expect(asked.size).toBeLessThan(3 + 4 * 11); // One group is audited.
    expect(second.addedBytes).toBeLessThan(first.addedBytes / 10);
    expectSame(second, await (await newManager()).createSnapshot(collection.plainSource(), 'full'));
  });

  it('counts numbers that are not finite, those that come and those that go', async () => {
    const schema = SCHEMAS[0] as Schema;
    const nan = new Uint8Array(Float32Array.of(Number.NaN, Infinity, 0, 1).buffer);
    const finite = new Uint8Array(Float32Array.of(0, 1, 2, 3).buffer);
    const records = Array.from({ length: 100 }, (_, i): TestRecord => ({
      ...recordOf(schema, i, 0),
      id: `r${String(i).padStart(3, '0')}`,
      vectors: [i % 10 === 0 ? nan : finite],
    }));
    const manager = await newManager();
    const first = await manager.createSnapshot(memorySource({ schema, records }), 'first');
    expect(first.nonFiniteCount).toBe(20);
    const changed = records.toSpliced(10, 1).with(5, { ...(records[5] as TestRecord), vectors: [nan] });
    const source = hintedSource({ schema, records: changed }, { since: () => ['r005', 'r010'] });
    const second = await manager.createIncrementalSnapshot(source, 'second', first.id);
    expect(second).toMatchObject({ nonFiniteCount: 20, notes: [], vectorCount: 99 });
  });

  it('is the same by worker threads, in groups as large as they are by default', async () => {
    const coder = pooledCoder({ threads: 2 });
    const schema: Schema = {
      id: 'string',
      payload: 'json',
      vectors: [
        { name: 'wide', dtype: 'f32', dimension: 96 },
        { name: 'narrow', dtype: 'u8', dimension: 16 },
      ],
    };
    const collection = new Collection(schema, 2500);
    const parts = { coder, parameters: {} };
    const [manager, scanning] = [await newManager(parts), await newManager(parts)];
    let last = await manager.createSnapshot(collection.source(), 'first');
    for (let version = 1; version <= 4; version++) {
      const some = version === 4 ? [3] : Array.from({ length: 40 }, (_, i) => (i * 61 * version) % 2500);
      for (const n of some) collection.put(n, version);
      if (version === 3) collection.delete(1000);
      const next = await manager.createIncrementalSnapshot(collection.source(), 'next', last.id);
      expect(next.notes).toEqual([]);
      expect(next.addedBytes).toBeLessThan(last.addedBytes + 200_000);
      expectSame(next, await scanning.createSnapshot(collection.plainSource(), 'full'));
      collection.changed = new Set();
      last = next;
    }
    const target = new MemoryTarget();
    await manager.restoreSnapshot(last.id, target);
    expect(target.records.map(recordText)).toEqual(collection.records.map(recordText));
    expect((await manager.verifyRepository()).problems).toEqual([]);
    await coder.close();
  });

  it('is the same where columns are cut into several chunks', async () => {
    const schema: Schema = {
      id: 'u64',
      payload: 'none',
      vectors: [
        { name: 'huge', dtype: 'u8', dimension: 1_048_000 },
        { name: 'small', dtype: 'u8', dimension: 100 },
      ],
    };
    const parameters = { ...PARAMETERS, rowGroups: { targetBytes: 1, minRecords: 2, maxRecords: 2 } };
    const collection = new Collection(schema, 9);
    const [manager, scanning] = [await newManager({ parameters }), await newManager({ parameters })];
    const first = await manager.createSnapshot(collection.source(), 'first');
    collection.put(3, 1);
    collection.put(8, 2);
    const second = await manager.createIncrementalSnapshot(collection.source(), 'second', first.id);
    expect(second.notes).toEqual([]);
    expectSame(second, await scanning.createSnapshot(collection.plainSource(), 'full'));
    expect((await manager.verifyRepository()).problems).toEqual([]);
  });

  it('of changes that were taken back is the snapshot of before, and adds no data', async () => {
    const collection = new Collection(SCHEMAS[0] as Schema, 300);
    const manager = await newManager();
    const first = await manager.createSnapshot(collection.source(), 'first');
    for (const n of [7, 8, 150]) collection.put(n, 1);
    const second = await manager.createIncrementalSnapshot(collection.source(), 'second', first.id);
    for (const n of [7, 8, 150]) collection.put(n, 0);
    const third = await manager.createIncrementalSnapshot(collection.source(), 'third', second.id);
    expect(second.checksum).not.toBe(first.checksum);
    expect(third).toMatchObject({ checksum: first.checksum, addedBytes: 0, notes: [] });
  });

  it('reads everything when a chunk that it would patch is damaged, and is right', async () => {
    const schema: Schema = {
      id: 'u64',
      payload: 'none',
      vectors: [{ name: 'v', dtype: 'u8', dimension: 500 }],
    };
    const collection = new Collection(schema, 60);
    const blobs = memoryBlobStore();
    await (await newManager({ blobs })).createSnapshot(collection.source(), 'first');
    const harmed = memoryBlobStore();
    for await (const { name } of blobs.list('')) {
      const bytes = await blobs.get(name);
      const at = name.startsWith('packs/') ? Buffer.from(bytes).indexOf(vectorOf(collection, 17)) : -1;
      await harmed.put(name, at < 0 ? bytes : bytes.with(at, (bytes[at] as number) ^ 1));
    }
    const environment = memoryEnvironment({ sha256: nodeSha256, blobs: harmed });
    const manager = await SnapshotManager.open({ environment });
    const [base] = await manager.listSnapshots();
    collection.put(18, 1); // In the same group as 17.
    const next = await manager.createIncrementalSnapshot(collection.source(), 'next', (base as Snapshot).id);
    expect(next.notes).toHaveLength(1);
    expect(next.notes[0]).toMatch(/a part of the snapshot before cannot be read/);
    expectSame(next, await (await newManager()).createSnapshot(collection.plainSource(), 'full'));
    const target = new MemoryTarget();
    await manager.restoreSnapshot(next.id, target);
    expect(target.records.map(recordText)).toEqual(collection.records.map(recordText));
  });

  it('also takes the files of the source', async () => {
    const schema = SCHEMAS[0] as Schema;
    const content = { schema, records: [recordOf(schema, 1, 0), recordOf(schema, 2, 0)] };
    const file = (text: string) => [{ path: 'file', mode: 0o644, bytes: utf8(text) }];
    const manager = await newManager();
    const first = await manager.createSnapshot(memorySource({ ...content, files: file('before') }), 'first');
    const source = hintedSource({ ...content, files: file('after') }, { since: () => [] });
    const second = await manager.createIncrementalSnapshot(source, 'second', first.id);
    expect(second.notes).toEqual([]);
    const full = memorySource({ ...content, files: file('after') });
    expectSame(second, await (await newManager()).createSnapshot(full, 'full'));
  });
});

describe('hints that are wrong', () => {
  const everything: CreateOptions = { auditRate: 1 };

  /** A collection of 400 with a snapshot, and a source that keeps silent about some changes. */
  async function lying(
    change: (collection: Collection) => void,
    silently: readonly number[],
    told: Partial<TestHints> = {},
  ) {
    const collection = new Collection(SCHEMAS[0] as Schema, 400);
    const manager = await newManager();
    const first = await manager.createSnapshot(collection.source(), 'first');
    change(collection);
    const seen = { scans: 0 };
    const source = collection.source({ since: () => collection.since(silently), ...told }, seen);
    const second = await manager.createIncrementalSnapshot(source, 'second', first.id, everything);
    expectSame(second, await (await newManager()).createSnapshot(collection.plainSource(), 'full'));
    expect((await manager.verifyRepository()).problems).toEqual([]);
    return { second, seen };
  }

  it.each([
    [
      'a change',
      (some: Collection) => some.put(17, 1),
      [17],
      /they do not tell that a record from "record \d+"/,
    ],
    [
      'a deletion',
      (some: Collection) => some.delete(17),
      [17],
      /they do not tell that the record "record 17" is gone/,
    ],
    [
      'an insertion',
      (some: Collection) => some.put(999, 1),
      [999],
      /they leave 400 records where there are 401/,
    ],
    [
      'one change of many',
      (some: Collection) => [3, 100, 17, 300].forEach((n) => some.put(n, 1)),
      [17],
      /they do not tell that a record from/,
    ],
  ] as const)(
    'because they do not tell %s make it read everything, and say so',
    async (_, change, silently, note) => {
      const { second, seen } = await lying(change, silently);
      expect(second.notes).toHaveLength(1);
      expect(second.notes[0]).toMatch(
        /^Everything was read, and the hints about changes were not used: they are wrong/,
      );
      expect(second.notes[0]).toMatch(note);
      expect(seen.scans).toBe(1);
    },
  );

  it('are found by a sample sooner or later', async () => {
    const collection = new Collection(SCHEMAS[0] as Schema, 400);
    let found = 0;
    for (let seed = 1; seed <= 12; seed++) {
      const manager = await newManager({ seed: seed * 1000 });
      const first = await manager.createSnapshot(collection.plainSource(), 'first');
      const lies = Array.from({ length: 40 }, (_, i) => i * 10);
      for (const n of lies) collection.put(n, seed);
      const source = collection.source({ since: () => collection.since(lies) });
      const { notes } = await manager.createIncrementalSnapshot(source, 'next', first.id, { auditRate: 0.2 });
      found += notes.length;
      collection.changed = new Set();
    }
    expect(found).toBe(12);
  });

  it('cannot make more of a record than the source has', async () => {
    const { second } = await lying((some) => some.put(17, 1), []);
    expect(second.notes).toEqual([]);
  });
});

describe('hints that cannot be used', () => {
  const SCHEMA = SCHEMAS[0] as Schema;

  async function noteOf(
    first: (manager: SnapshotManager) => Promise<Snapshot>,
    source: (baseId: string) => Parameters<SnapshotManager['createSnapshot']>[0],
    options?: CreateOptions,
  ): Promise<readonly string[]> {
    const manager = await newManager();
    const base = await first(manager);
    return (await manager.createIncrementalSnapshot(source(base.id), 'second', base.id, options)).notes;
  }

  const collection = new Collection(SCHEMA, 50);
  const takeFirst = (manager: SnapshotManager) => manager.createSnapshot(collection.plainSource(), 'first');

  it.each([
    [
      'the source does not know',
      takeFirst,
      () => collection.source({ since: () => 'it forgot' }),
      /it forgot/,
    ],
    [
      'much has changed',
      takeFirst,
      () => collection.source({ since: () => collection.records.map(({ id }) => id) }),
      /a scan is quicker/,
    ],
    [
      'columns are others',
      (manager: SnapshotManager) =>
        manager.createSnapshot(
          memorySource({
            schema: { ...SCHEMA, vectors: [{ name: 'v', dtype: 'f16', dimension: 8 }] },
            records: collection.records,
          }),
          'first',
        ),
      () => collection.source(),
      /other columns/,
    ],
    [
      'there was nothing',
      (manager: SnapshotManager) =>
        manager.createSnapshot(memorySource({ schema: SCHEMA, records: [] }), 'first'),
      () => collection.source(),
      /has no records/,
    ],
  ] as const)('because %s are named in a note', async (_, first, source, note) => {
    const notes = await noteOf(first, source);
    expect(notes).toHaveLength(1);
    expect(notes[0]).toMatch(note);
  });

  it('because there is no snapshot before are no matter of note', async () => {
    const manager = await newManager();
    expect((await manager.createSnapshot(collection.source(), 'first')).notes).toEqual([]);
  });

  it.each([-0.1, 1.1, Number.NaN])('are not audited at a rate of %d', async (auditRate) => {
    await expect(noteOf(takeFirst, () => collection.source(), { auditRate })).rejects.toMatchObject({
      code: 'OPTION_INVALID',
      place: 'auditRate',
    });
  });

  it('because the source fails to follow are named by the snapshot, which counts', async () => {
    const manager = await newManager();
    const failing = collection.source({ follow: () => Promise.reject(new Error('the disk is full')) });
    const snapshot = await manager.createSnapshot(failing, 'first');
    expect(snapshot.notes).toEqual([
      'The next snapshot will be taken by reading everything: the disk is full',
    ]);
    expect((await manager.getSnapshot(snapshot.id))?.checksum).toBe(snapshot.checksum);
  });

  it('fail as the source fails', async () => {
    const source = collection.source({
      since: () => ['record 1'],
      onLookUp: () => {
        throw new TypeError('look-up');
      },
    });
    await expect(noteOf(takeFirst, () => source)).rejects.toThrow('look-up');
  });

  it.each(['record 0', 'record 9'])(
    'fail when the source gives %s and was asked for another',
    async (other) => {
      const { schema, records } = collection;
      const get = () => recordLookup(schema, records).get(sortedIds(schema, ['record 1', other]));
      const hinted = collection.source({ since: () => ['record 1'] });
      const source = {
        ...hinted,
        open: async () => ({ ...(await hinted.open()), lookUp: { get, count: 50 } }),
      };
      await expect(noteOf(takeFirst, () => source)).rejects.toMatchObject({
        code: 'SOURCE_INVALID',
        message: expect.stringContaining('asked for others') as string,
      });
    },
  );
});
