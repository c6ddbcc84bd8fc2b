/** Row groups: nothing lost, sizes within bounds, and which groups an edit leaves alone. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  checkRowGroupOptions,
  DEFAULT_ROW_GROUPS,
  idKey,
  rowGroupCuts,
  type RowGroup,
  RowGrouper,
  type RowGroupOptions,
} from 'vecsnap/chunker';
import { compareBytes, concatBytes, type RecordBatch, type Schema, toHex, utf8 } from 'vecsnap/core';
import { runs } from './support/arbitraries.js';
import { seededBytes } from './support/files.js';
import {
  anyRecords,
  anySchemaAndRecords,
  fromColumns,
  inRunsOf,
  recordText,
  type TestRecord,
  toBatch,
} from './support/records.js';

/** Groups of five records in the mean, or nearly so, for schemas of any width. */
const SMALL: RowGroupOptions = { targetBytes: 1, minRecords: 5, maxRecords: 5 };

function groupsOf(
  schema: Schema,
  records: readonly TestRecord[],
  sizes: readonly number[] = [records.length],
  options = SMALL,
): RowGroup[] {
  const grouper = new RowGrouper(schema, options);
  const batches = inRunsOf(records, sizes).map((run) => toBatch(schema, run));
  return [...batches.flatMap((batch) => grouper.push(batch)), ...grouper.finish()];
}

/** A group as text: its key, its count and all of its columns. */
function groupText({ key, count, columns }: RowGroup): string {
  return [key instanceof Uint8Array ? toHex(key) : key, count, ...columns.map(toHex)].join('|');
}

function textsOf(...input: Parameters<typeof groupsOf>): string[] {
  return groupsOf(...input).map(groupText);
}

function countUp(counts: number[], i: number): void {
  counts[i] = (counts[i] ?? 0) + 1;
}

/** Whether a group may have ended because it was full. */
function isFull(group: string): boolean {
  return Number(group.split('|')[1]) >= 20;
}

function without(all: readonly string[], others: readonly string[]): string[] {
  const set = new Set(others);
  return all.filter((group) => !set.has(group));
}

const TEXT_IDS: Schema = {
  id: 'string',
  payload: 'json',
  vectors: [{ name: 'v', dtype: 'u8', dimension: 4 }],
};
const NUMBER_IDS: Schema = { ...TEXT_IDS, id: 'u64' };
const NO_IDS: Schema = { id: 'none', payload: 'none', vectors: [{ name: 'v', dtype: 'f32', dimension: 20 }] };

function numbered(count: number, id: (i: number) => string | bigint): TestRecord[] {
  return Array.from({ length: count }, (_, i) => ({
    id: id(i),
    vectors: [seededBytes(4, i + 1)],
    payload: utf8(`{"n":${i}}`),
  }));
}

describe('row groups', () => {
  it('hold all records in order, whatever the batches', () => {
    fc.assert(
      fc.property(
        anySchemaAndRecords(60),
        fc.array(fc.nat({ max: 9 }), { minLength: 1 }),
        ({ schema, records }, sizes) => {
          const groups = groupsOf(schema, records, sizes);
          const back = groups.flatMap(({ count, columns }) => fromColumns(schema, count, columns));
          expect(back.map(recordText)).toEqual(records.map(recordText));
          expect(groups.map(groupText)).toEqual(textsOf(schema, records));
        },
      ),
      { numRuns: runs(200) },
    );
  });

  it('keep to the bounds, and end with the key of their last record', () => {
    fc.assert(
      fc.property(anySchemaAndRecords(120), ({ schema, records }) => {
        const { window, max } = rowGroupCuts(schema, SMALL);
        const groups = groupsOf(schema, records);
        let end = 0;
        for (const [i, { count, key }] of groups.entries()) {
          end += count;
          const isFree = i === groups.length - 1 || groups[i - 1]?.count === max;
          expect(count).toBeGreaterThan(isFree ? 0 : window);
          expect(count).toBeLessThanOrEqual(max);
          if (schema.id !== 'none') expect(key).toEqual(idKey((records[end - 1] as TestRecord).id));
          else expect(typeof key).toBe('number');
        }
      }),
      { numRuns: runs(100) },
    );
  });

  it.each([
    ['text ids', TEXT_IDS],
    ['numbers as ids', NUMBER_IDS],
    ['no ids', NO_IDS],
  ])('with %s: an insertion, a deletion or a change of one record replaces at most 3', (_, schema) => {
    const edited = anyRecords(schema, 81).filter((records) => records.length > 1);
    fc.assert(
      fc.property(edited, fc.oneof(fc.constant(0), fc.constant(-1), fc.nat()), (records, place) => {
        const at = place < 0 ? records.length - 1 : place % records.length; // The beginning and the end often.
        const extra = records[at] as TestRecord;
        const fewer = textsOf(schema, records.toSpliced(at, 1));
        const all = textsOf(schema, records);
        const changed = {
          ...extra,
          vectors: extra.vectors.map((vector) => vector.map((byte) => byte ^ 0xff)),
        };
        const other = textsOf(schema, records.with(at, changed));
        const most = at === 0 || at === records.length - 1 ? 2 : 3;
        // Where an end is forced, what stands between two natural ends counts as one.
        fc.pre(![all, fewer, other].flat().some(isFull));
        for (const [before, after] of [
          [all, fewer],
          [fewer, all],
        ] as const)
          expect(without(before, after).length).toBeLessThanOrEqual(most);
        expect(without(all, other).length).toBeLessThanOrEqual(schema.id === 'none' ? most : 1);
      }),
      { numRuns: runs(200) },
    );
  });

  it('have the same ends when only vectors and payloads differ', () => {
    const both = anySchemaAndRecords(80).filter(({ schema }) => schema.id !== 'none');
    fc.assert(
      fc.property(both, fc.integer({ min: 1, max: 255 }), ({ schema, records }, change) => {
        const changed = records.map(({ id, vectors, payload }) => ({
          id,
          vectors: vectors.map((vector) => vector.map((byte) => byte ^ change)),
          payload:
            schema.payload === 'none' ? payload : concatBytes([payload, payload, Uint8Array.of(change)]),
        }));
        const ends = (some: readonly TestRecord[]) =>
          groupsOf(schema, some).map(({ key, count }) => [key, count]);
        expect(ends(changed)).toEqual(ends(records));
      }),
      { numRuns: runs(100) },
    );
  });

  it('without ids have the same ends when only payloads and later columns differ', () => {
    const schema: Schema = {
      ...NO_IDS,
      payload: 'bytes',
      vectors: [...NO_IDS.vectors, { name: 'w', dtype: 'u8', dimension: 2 }],
    };
    const records = Array.from({ length: 200 }, (_, i) => ({
      id: 0n,
      vectors: [seededBytes(80, i), seededBytes(2, i)],
      payload: seededBytes(3, i),
    }));
    const changed = records.map(({ id, vectors: [first] }) => ({
      id,
      vectors: [first as Uint8Array, Uint8Array.of(7, 7)],
      payload: Uint8Array.of(1),
    }));
    const ends = (some: readonly TestRecord[]) =>
      groupsOf(schema, some).map(({ key, count }) => [key, count]);
    expect(ends(changed)).toEqual(ends(records));
  });
});

describe('degenerate records', () => {
  const vector = (byte: number) => ({
    id: 0n,
    vectors: [new Uint8Array(80).fill(byte)],
    payload: new Uint8Array(0),
  });
  const { window, max } = rowGroupCuts(NO_IDS, SMALL);

  it('that are all equal are cut at the maximum', () => {
    const sizes = groupsOf(NO_IDS, Array<TestRecord>(500).fill(vector(0)), [7]).map(({ count }) => count);
    expect(sizes).toEqual([
      ...Array<number>(Math.floor(500 / max)).fill(max),
      ...(500 % max ? [500 % max] : []),
    ]);
  });

  it('of two kinds in turn keep to the bounds', () => {
    const records = Array.from({ length: 500 }, (_, i) => vector(i % 2));
    const sizes = groupsOf(NO_IDS, records).map(({ count }) => count);
    expect(sizes.reduce((a, b) => a + b)).toBe(500);
    expect(Math.max(...sizes)).toBeLessThanOrEqual(max);
    expect(sizes.length).toBeLessThanOrEqual(500 / window + 1);
  });

  it.each([
    ['numbers in order', NUMBER_IDS, (i: number) => BigInt(i)],
    ['numbers far apart', NUMBER_IDS, (i: number) => BigInt(i) << 48n],
    ['numbers as text', TEXT_IDS, (i: number) => String(i).padStart(8, '0')],
    ['texts that are all alike', TEXT_IDS, (i: number) => 'x'.repeat(i + 1)],
  ])('with ids that are %s have groups of the mean size', (_, schema, id) => {
    const sizes = groupsOf(schema, numbered(3000, id)).map(({ count }) => count);
    expect(3000 / sizes.length).toBeGreaterThan(4.5);
    expect(3000 / sizes.length).toBeLessThan(5.5);
  });

  it('of any width have a window and a maximum', () => {
    const cuts = (dimension: number, options = DEFAULT_ROW_GROUPS) =>
      rowGroupCuts(
        { id: 'none', payload: 'none', vectors: [{ name: 'v', dtype: 'f32', dimension }] },
        options,
      );
    expect(cuts(1)).toEqual({ window: 511, max: 4092 });
    expect(cuts(384)).toEqual({ window: 21, max: 172 });
    expect(cuts(2 ** 20)).toEqual({ window: 2, max: 20 });
    expect(cuts(1, { targetBytes: 1, minRecords: 1, maxRecords: 1 })).toEqual({ window: 1, max: 12 });
    expect(rowGroupCuts({ id: 'string', payload: 'json', vectors: [] }, DEFAULT_ROW_GROUPS)).toEqual({
      window: 511,
      max: 4092,
    });
  });
});

describe('batches', () => {
  it('are given back exactly once, after all of their groups', () => {
    fc.assert(
      fc.property(
        fc.array(fc.nat({ max: 12 }), { maxLength: 30 }),
        fc.infiniteStream(fc.nat()),
        (sizes, order) => {
          const grouper = new RowGrouper(NUMBER_IDS, SMALL);
          let next = 0;
          const released = sizes.map(() => 0);
          const ranges: [number, number][] = [];
          const groups: { group: RowGroup; from: number; to: number }[] = [];
          let taken = 0;
          const keep = (group: RowGroup) => groups.push({ group, from: taken, to: (taken += group.count) });
          for (const [i, size] of sizes.entries()) {
            ranges.push([next, next + size]);
            const records = numbered(size, (j) => BigInt(next + j));
            next += size;
            for (const group of grouper.push(toBatch(NUMBER_IDS, records, () => countUp(released, i))))
              keep(group);
          }
          for (const group of grouper.finish()) keep(group);
          while (groups.length > 0) {
            const [{ group }] = groups.splice(order.next().value % groups.length, 1) as [
              (typeof groups)[number],
            ];
            group.release();
            for (const [i, [from, to]] of ranges.entries()) {
              const isHeld = from < to && groups.some((other) => other.from < to && other.to > from);
              expect(released[i]).toBe(isHeld ? 0 : 1);
            }
          }
          expect(released.every((times) => times === 1)).toBe(true);
        },
      ),
      { numRuns: runs(100) },
    );
  });

  it('are not given back as long as records of theirs are in no group yet', () => {
    fc.assert(
      fc.property(fc.array(fc.nat({ max: 40 }), { maxLength: 10 }), (sizes) => {
        const grouper = new RowGrouper(NUMBER_IDS, SMALL);
        let [given, taken] = [0, 0];
        const ends: number[] = [];
        const take = (group: RowGroup): void => {
          taken += group.count;
          group.release(); // At once, while the rest of its batch still waits.
        };
        for (const size of sizes) {
          const records = numbered(size, (j) => BigInt(given + j));
          const end = (given += size);
          const release = (): void => {
            if (size > 0) expect(taken).toBeGreaterThanOrEqual(end);
            ends.push(end);
          };
          for (const group of grouper.push(toBatch(NUMBER_IDS, records, release))) take(group);
        }
        for (const group of grouper.finish()) take(group);
        expect(ends).toHaveLength(sizes.length);
      }),
    );
  });

  const good = toBatch(
    TEXT_IDS,
    numbered(3, (i) => `id ${i}`),
  );
  it.each<[string, Schema, Partial<RecordBatch>]>([
    ['fewer ids', TEXT_IDS, { ids: ['a', 'b'] }],
    ['no ids', TEXT_IDS, { ids: undefined }],
    ['ids of another kind', TEXT_IDS, { ids: BigUint64Array.of(1n, 2n, 3n) }],
    ['ids that there should not be', { ...TEXT_IDS, id: 'none' }, {}],
    ['no vectors', TEXT_IDS, { vectors: [] }],
    ['a vector column too many', TEXT_IDS, { vectors: [new Uint8Array(12), new Uint8Array(12)] }],
    ['vectors cut short', TEXT_IDS, { vectors: [new Uint8Array(11)] }],
    ['vectors that are too long', TEXT_IDS, { vectors: [new Uint8Array(16)] }],
    ['fewer payloads', TEXT_IDS, { payloads: [new Uint8Array(0)] }],
    ['no payloads', TEXT_IDS, { payloads: undefined }],
    ['payloads that there should not be', { ...TEXT_IDS, payload: 'none' }, {}],
  ])('with %s are refused', (_, schema, flaw) => {
    const grouper = new RowGrouper(schema, SMALL);
    expect(() => grouper.push({ ...good, ...flaw })).toThrow(
      expect.objectContaining({
        code: 'SOURCE_INVALID',
        place: expect.any(String),
        remedy: expect.any(String),
      }),
    );
  });
});

describe('keys', () => {
  it('are in the order of ids', () => {
    fc.assert(
      fc.property(
        fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
        fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
        (a, b) => {
          expect(Math.sign(compareBytes(idKey(a), idKey(b)))).toBe(a < b ? -1 : a > b ? 1 : 0);
        },
      ),
    );
  });
});

it.each([
  { ...DEFAULT_ROW_GROUPS, targetBytes: 0 },
  { ...DEFAULT_ROW_GROUPS, targetBytes: Number.NaN },
  { ...DEFAULT_ROW_GROUPS, minRecords: 0 },
  { ...DEFAULT_ROW_GROUPS, minRecords: 2000 },
  { ...DEFAULT_ROW_GROUPS, maxRecords: 2 ** 21 },
  { ...DEFAULT_ROW_GROUPS, maxRecords: 7.5 },
])('options are not %j', (options) => {
  expect(() => checkRowGroupOptions(options)).toThrow(RangeError);
  expect(() => checkRowGroupOptions(DEFAULT_ROW_GROUPS)).not.toThrow();
});
