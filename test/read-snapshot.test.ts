/** Reading a snapshot in batches: which records come, how far ahead they are read, and what is read for a part of them. */
import fc from 'fast-check';
import { beforeEach, describe, expect, it } from 'vitest';
import { memoryBlobStore } from 'vecsnap/blob';
import { type ChunkCoder, inlineCoder } from 'vecsnap/cas';
import { compareIds, type RecordBatch, type Schema, utf8, vectorBytes } from 'vecsnap/core';
import { nodeDeflate, nodeSha256 } from 'vecsnap/platform';
import { type ReadOptions, type RecordKey, type Selection, SnapshotManager } from 'vecsnap/snapshot';
import { faultyBlobStore, type FaultyBlobStore } from './fault/faulty-blob-store.js';
import { anyText, runs } from './support/arbitraries.js';
import { collect } from './support/collect.js';
import { seededBytes } from './support/files.js';
import { memoryEnvironment, memorySource, MemoryTarget } from './support/memory-environment.js';
import { anySchema, anyRecords, fromBatch, recordText, type TestRecord } from './support/records.js';

/** Groups of a few records, nodes of a few groups and packs of a few chunks, so that small collections have many. */
const SMALL = {
  rowGroups: { targetBytes: 64, minRecords: 2, maxRecords: 8 },
  nodes: { window: 2, max: 20 },
  packBytes: 8192,
} as const;

interface Fixture {
  readonly manager: SnapshotManager;
  readonly blobs: FaultyBlobStore;
  /** Chunks that were decoded so far. */
  readonly decoded: () => number;
}

async function fixture(): Promise<Fixture> {
  const blobs = faultyBlobStore(memoryBlobStore());
  const inline = inlineCoder({ sha256: nodeSha256, deflate: nodeDeflate });
  let decoded = 0;
  const coder: ChunkCoder = {
    ...inline,
    decode(graph, verify) {
      decoded += graph.roots.length;
      return inline.decode(graph, verify);
    },
  };
  const environment = memoryEnvironment({ blobs, coder, sha256: nodeSha256 });
  // Nothing is compressed, so that a chunk takes as many bytes in its pack as it has.
  const manager = await SnapshotManager.init({ environment, compression: 'none' }, SMALL);
  return { manager, blobs, decoded: () => decoded };
}

async function recordsRead(
  manager: SnapshotManager,
  id: string,
  schema: Schema,
  options: ReadOptions = {},
): Promise<TestRecord[]> {
  const batches = await collect(manager.readSnapshot(id, options));
  for (const { count } of batches) expect(count).toBeGreaterThan(0);
  return batches.flatMap((batch) => fromBatch(schema, batch));
}

/** What a selection means, said as plainly as can be. */
function isSelected({ from, to, after, prefix }: Selection, schema: Schema) {
  const compare = (key: RecordKey, id: RecordKey): number =>
    typeof key === 'number' || typeof id === 'number' ? Number(id) - Number(key) : compareIds(id, key);
  return ({ id }: TestRecord, row: number): boolean => {
    const key = schema.id === 'none' ? row : id;
    return (
      (from === undefined || compare(from, key) >= 0) &&
      (to === undefined || compare(to, key) < 0) &&
      (after === undefined || compare(after, key) > 0) &&
      (prefix === undefined || (key as string).startsWith(prefix))
    );
  };
}

/** Any selection of these records: bounds that are ids of them, or lie anywhere. */
function anySelection(schema: Schema, records: readonly TestRecord[]): fc.Arbitrary<Selection> {
  const ids = records.map(({ id }) => id);
  const near = ids.length === 0 ? [] : [fc.constantFrom(...ids)];
  const anyKey: fc.Arbitrary<RecordKey> =
    schema.id === 'none'
      ? fc.nat({ max: records.length + 3 })
      : schema.id === 'u64'
        ? fc.oneof(...(near as fc.Arbitrary<bigint>[]), fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }))
        : fc.oneof(...(near as fc.Arbitrary<string>[]), anyText);
  const anyPrefix = fc.oneof(
    anyText,
    ...(near as fc.Arbitrary<string>[]).map((text) =>
      fc.tuple(text, fc.nat({ max: 3 })).map(([id, letters]) => Array.from(id).slice(0, letters).join('')),
    ),
  );
  const maybe = <T>(value: fc.Arbitrary<T>) => fc.option(value, { nil: undefined });
  return fc
    .record({
      from: maybe(anyKey),
      to: maybe(anyKey),
      after: maybe(anyKey),
      prefix: schema.id === 'string' ? maybe(anyPrefix) : fc.constant(undefined),
    })
    .filter(({ from, after, to }) => [from, after].every((one) => one === undefined || !isBehind(one, to)));
}

function isBehind(key: RecordKey, to: RecordKey | undefined): boolean {
  if (to === undefined) return false;
  return typeof key === 'number' ? key > (to as number) : compareIds(key, to as typeof key) > 0;
}

describe('a selection', () => {
  it('gives what a filter over all records gives', async () => {
    const anyCase = anySchema.chain((schema) =>
      anyRecords(schema, 120).chain((records) =>
        fc.record({
          schema: fc.constant(schema),
          records: fc.constant(records),
          selections: fc.array(anySelection(schema, records), { minLength: 1, maxLength: 6 }),
          readAheadBytes: fc.option(fc.integer({ min: 1, max: 5000 }), { nil: undefined }),
        }),
      ),
    );
    await fc.assert(
      fc.asyncProperty(anyCase, async ({ schema, records, selections, readAheadBytes }) => {
        const { manager } = await fixture();
        const { id } = await manager.createSnapshot(memorySource({ schema, records }), 'any');
        for (const selection of [{}, ...selections]) {
          const expected = records.filter(isSelected(selection, schema)).map(recordText);
          const read = await recordsRead(manager, id, schema, { ...selection, readAheadBytes });
          expect(read.map(recordText)).toEqual(expected);
        }
      }),
      { numRuns: runs(60) },
    );
  });

  it('begins where another reading ended, at any record', async () => {
    for (const kind of ['none', 'string', 'u64'] as const) {
      const { manager } = await fixture();
      const { schema, records } = collection(kind, 60);
      const { id } = await manager.createSnapshot(memorySource({ schema, records }), 'any');
      for (const [row, record] of records.entries()) {
        const after = kind === 'none' ? row : record.id;
        const rest = await recordsRead(manager, id, schema, { after });
        expect(rest.map(recordText)).toEqual(records.slice(row + 1).map(recordText));
      }
    }
  });

  it('restores a part of the records', async () => {
    const { manager } = await fixture();
    const { schema, records } = collection('string', 300);
    const { id } = await manager.createSnapshot(memorySource({ schema, records }), 'any');
    const target = new MemoryTarget();
    await manager.restoreSnapshot(id, target, { prefix: 'user:1' });
    expect(target.records.map(recordText)).toEqual(
      records.filter((one) => (one.id as string).startsWith('user:1')).map(recordText),
    );
  });
});

function collection(kind: Schema['id'], count: number): { schema: Schema; records: TestRecord[] } {
  const schema: Schema = { id: kind, payload: 'none', vectors: [{ name: 'v', dtype: 'f32', dimension: 4 }] };
  const records = Array.from({ length: count }, (_, i) => ({
    id:
      kind === 'string' ? `user:${String(i).padStart(6, '0')}` : kind === 'u64' ? BigInt(i) * 1_000_003n : 0n,
    vectors: [seededBytes(16, i).slice()],
    payload: new Uint8Array(0),
  }));
  return { schema, records };
}

describe('a part of a snapshot', () => {
  const COUNT = 20_000;
  const selections: readonly [Schema['id'], Selection][] = [
    ['string', { from: 'user:010000', to: 'user:010010' }],
    ['string', { prefix: 'user:01234' }],
    ['string', { after: `user:0${COUNT - 5}` }],
    ['u64', { from: 7000n * 1_000_003n, to: 7010n * 1_000_003n }],
    ['none', { from: 15_000, to: 15_010 }],
    ['none', { after: COUNT - 10 }],
  ];

  it.each(selections)('with ids of kind %s costs what it holds (case %#)', async (kind, selection) => {
    const { manager, decoded } = await fixture();
    const { schema, records } = collection(kind, COUNT);
    const { id } = await manager.createSnapshot(memorySource({ schema, records, sizes: [1000] }), 'any');
    const before = decoded();
    const read = await recordsRead(manager, id, schema, selection);
    expect(read.map(recordText)).toEqual(records.filter(isSelected(selection, schema)).map(recordText));
    expect(read.length).toBeGreaterThan(3);
    // Of some 4000 groups: at most 7 have records of the range, of 2 columns each, and one more may begin behind it. The tree
    // has at most 8 levels, and of each at most three nodes are needed; and there is the manifest.
    expect(decoded() - before).toBeLessThanOrEqual(8 * 2 + 3 * 8 + 1);
  });

  it('that is empty costs a path through the tree, or less', async () => {
    const { manager, decoded } = await fixture();
    const { schema, records } = collection('string', COUNT);
    const { id } = await manager.createSnapshot(memorySource({ schema, records, sizes: [1000] }), 'any');
    const before = decoded();
    expect(await recordsRead(manager, id, schema, { from: 'v' })).toEqual([]);
    expect(decoded() - before).toBeLessThanOrEqual(2); // The manifest and the root.
    expect(await recordsRead(manager, id, schema, { from: 'user:5', to: 'user:5' })).toEqual([]);
    expect(decoded() - before).toBeLessThanOrEqual(3);
  });
});

describe('an option is refused', () => {
  const wrong: readonly [Schema['id'], ReadOptions, string][] = [
    ['string', { from: 5n }, 'from'],
    ['string', { to: 5 }, 'to'],
    ['string', { after: 'a\ud800' }, 'after'],
    ['string', { prefix: '\udc00' }, 'prefix'],
    ['string', { from: 'b', to: 'a' }, 'from'],
    ['string', { from: '\u{10000}', to: '\uffff' }, 'from'],
    ['string', { after: 'b', to: 'a' }, 'after'],
    ['u64', { from: 'a' }, 'from'],
    ['u64', { from: 5 }, 'from'],
    ['u64', { from: -1n }, 'from'],
    ['u64', { to: 2n ** 64n }, 'to'],
    ['u64', { from: 10n, to: 9n }, 'from'],
    ['u64', { prefix: '1' }, 'prefix'],
    ['none', { from: 5n }, 'from'],
    ['none', { to: -1 }, 'to'],
    ['none', { after: 0.5 }, 'after'],
    ['none', { from: 2, to: 1 }, 'from'],
    ['none', { prefix: '1' }, 'prefix'],
    ['none', { readAheadBytes: 0 }, 'readAheadBytes'],
    ['none', { readAheadBytes: Number.NaN }, 'readAheadBytes'],
  ];

  it.each(wrong)('with ids of kind %s (case %#)', async (kind, options, place) => {
    const { manager } = await fixture();
    const { id } = await manager.createSnapshot(memorySource(collection(kind, 10)), 'any');
    const refusal = expect.objectContaining({ code: 'OPTION_INVALID', place, remedy: expect.any(String) });
    await expect(collect(manager.readSnapshot(id, options))).rejects.toThrow(refusal);
    await expect(manager.restoreSnapshot(id, new MemoryTarget(), options)).rejects.toThrow(refusal);
  });

  it('when the snapshot has no records', async () => {
    const { manager } = await fixture();
    const files = [{ path: 'a', mode: 0o644, bytes: utf8('a') }];
    const { id } = await manager.createSnapshot(memorySource({ files }), 'any');
    expect(await collect(manager.readSnapshot(id))).toEqual([]);
    await expect(collect(manager.readSnapshot(id, { prefix: 'a' }))).rejects.toThrow(
      expect.objectContaining({ code: 'OPTION_INVALID', place: 'prefix' }),
    );
  });
});

describe('reading ahead', () => {
  const { schema, records } = collection('none', 20_000);
  const recordBytes = vectorBytes(schema.vectors[0] as Schema['vectors'][number]);
  let fix: Fixture;
  let id: string;

  beforeEach(async () => {
    fix = await fixture();
    ({ id } = await fix.manager.createSnapshot(memorySource({ schema, records, sizes: [1000] }), 'any'));
  });

  /** Bytes that were asked of packs so far. */
  function bytesRead(): number {
    return fix.blobs.calls.reduce((sum, { method, bytes }) => (method === 'read' ? sum + bytes : sum), 0);
  }

  /** Bytes that are read before any record. The directories of packs are not: an earlier reading has left them. */
  async function bytesBeforeRecords(): Promise<number> {
    const nothing = () => collect(fix.manager.readSnapshot(id, { from: 0, to: 0 }));
    expect(await nothing()).toEqual([]);
    const before = bytesRead();
    expect(await nothing()).toEqual([]);
    return bytesRead() - before;
  }

  /** Lets everything run that can run without the consumer. */
  async function settle(): Promise<void> {
    for (let last = -1; last !== fix.blobs.calls.length;) {
      last = fix.blobs.calls.length;
      for (let i = 0; i < 20; i++) await new Promise((resolve) => setImmediate(resolve));
    }
  }

  it.each([1, 3000, 20_000, 100_000])(
    'stops at %d bytes, however long the consumer sleeps',
    async (limit) => {
      const overhead = await bytesBeforeRecords();
      const reading = fix.manager.readSnapshot(id, { readAheadBytes: limit });
      const before = bytesRead();
      let taken = 0;
      let [least, most] = [Infinity, 0];
      for await (const { count } of reading) {
        await settle();
        const read = bytesRead();
        for (let i = 0; i < 3; i++) await settle();
        expect(bytesRead()).toBe(read);
        const ahead = read - before - overhead - taken;
        taken += count * recordBytes; // The batch in hand counts as ahead until the next one is asked for.
        [least, most] = [Math.min(least, ahead), Math.max(most, ahead)];
        if (taken > 150_000) break;
      }
      // Beside the records, at most the nodes are read that hold the groups up to there: a group has two records or more, and its
      // entry 60 bytes or less. One group is always read, however large.
      const groupBytes = 8 * 4 * recordBytes;
      const nodeBytes = ((taken + limit) / (2 * recordBytes) + 64) * 60;
      expect(most).toBeLessThanOrEqual(Math.max(limit, groupBytes) + nodeBytes);
      if (limit > 4 * groupBytes) expect(most).toBeGreaterThan(limit / 2);
    },
  );

  it('gives vectors that stand next to each other together', async () => {
    const batches = await collect(fix.manager.readSnapshot(id));
    const groups = batches.map(({ count }) => count);
    expect(Math.max(...groups)).toBeGreaterThan(8 * 4); // More than the largest row group has.
    const parts = await collect(fix.manager.readSnapshot(id, { from: 0 }));
    expect(parts.length).toBeGreaterThan(2 * batches.length); // A selection comes group by group.
    const texts = (some: readonly RecordBatch[]) =>
      some.flatMap((one) => fromBatch(schema, one)).map(recordText);
    expect(texts(parts)).toEqual(texts(batches));
  });

  it('reads while the consumer does other things', async () => {
    const reading = fix.manager.readSnapshot(id, { readAheadBytes: 50_000 });
    await reading.next();
    await settle();
    const read = bytesRead();
    // All these stand ready.
    for (let taken = 0; taken < 20_000;)
      taken += ((await reading.next()).value as RecordBatch).count * recordBytes;
    expect(bytesRead() - read).toBeLessThan(50_000);
    await reading.return(undefined);
  });

  it('gives its first batch before it has read much', async () => {
    const overhead = await bytesBeforeRecords();
    const before = bytesRead();
    const reading = fix.manager.readSnapshot(id);
    await reading.next();
    expect(bytesRead() - before - overhead).toBeLessThan(records.length * recordBytes * 0.75);
    await reading.return(undefined);
  });

  it('looks at each pack once, also beside a writer and after a sweep', async () => {
    const other = records.map((one, i) => ({ ...one, vectors: [seededBytes(16, -i - 1).slice()] }));
    const bytesFor = async (of: string): Promise<number> => {
      const before = bytesRead();
      await recordsRead(fix.manager, of, schema, { from: 0, to: 0 });
      return bytesRead() - before;
    };
    expect(await bytesFor(id)).toBeGreaterThan(2 * (await bytesFor(id)));
    const known = await bytesFor(id);
    const { id: newer } = await fix.manager.createSnapshot(
      memorySource({ schema, records: other, sizes: [1000] }),
      'newer',
    );
    expect(await bytesFor(id)).toBeGreaterThan(2 * known);
    expect(await bytesFor(id)).toBe(known);
    expect((await recordsRead(fix.manager, newer, schema)).map(recordText)).toEqual(other.map(recordText));
    await fix.manager.deleteSnapshot(id);
    await fix.manager.collectGarbage({ maxUnused: 0 });
    expect((await recordsRead(fix.manager, newer, schema)).map(recordText)).toEqual(other.map(recordText));
  });

  it('reads two at a time, and goes on after one has failed', async () => {
    const whole = records.map(recordText);
    const both = await Promise.all([1, 2].map(() => recordsRead(fix.manager, id, schema)));
    for (const one of both) expect(one.map(recordText)).toEqual(whole);
    fix.blobs.setFaults({ failures: [{ nth: 30, method: 'read', onwards: true }] });
    await expect(recordsRead(fix.manager, id, schema)).rejects.toThrow();
    fix.blobs.setFaults({});
    expect((await recordsRead(fix.manager, id, schema)).map(recordText)).toEqual(whole);
  });

  it('ends with the loop', async () => {
    for await (const batch of fix.manager.readSnapshot(id)) {
      expect(batch.count).toBeGreaterThan(0);
      break;
    }
    const calls = fix.blobs.calls.length;
    await settle();
    expect(fix.blobs.calls.length).toBe(calls);
  });

  it.each([0, 1, 5])('ends with ABORTED when the signal comes after %d batches', async (batches) => {
    const controller = new AbortController();
    const reading = fix.manager.readSnapshot(id, { signal: controller.signal });
    for (let i = 0; i < batches; i++) await reading.next();
    controller.abort();
    await expect(reading.next()).rejects.toThrow(expect.objectContaining({ code: 'ABORTED' }));
    const calls = fix.blobs.calls.length;
    await settle();
    expect(fix.blobs.calls.length).toBe(calls);
    expect(await reading.next()).toEqual({ done: true, value: undefined });
  });

  it('tells of damage when its turn comes, and of no more after it', async () => {
    fix.blobs.setFaults({ failures: [{ nth: 60, method: 'read', onwards: true }] });
    const seen: RecordBatch[] = [];
    const reading = (async () => {
      for await (const batch of fix.manager.readSnapshot(id)) seen.push(batch);
    })();
    await expect(reading).rejects.toThrow(expect.objectContaining({ code: 'STORE_FAILED' }));
    const rows = seen.flatMap((batch) => fromBatch(schema, batch)).map(recordText);
    expect(rows).toEqual(records.slice(0, rows.length).map(recordText));
    const calls = fix.blobs.calls.length;
    await settle();
    expect(fix.blobs.calls.length).toBe(calls);
  });
});
