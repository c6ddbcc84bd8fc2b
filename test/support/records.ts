/** Records for tests: made one by one, given as batches, read back one by one. */
import fc from 'fast-check';
import {
  compareIds,
  concatBytes,
  type IdColumn,
  type IdKind,
  type RecordBatch,
  type RecordId,
  type Schema,
  toHex,
  vectorBytes,
} from 'vecsnap/core';
import { decodeIdColumn, decodePayloadColumn } from 'vecsnap/chunker';
import { anyText } from './arbitraries.js';

/** One record: its id (0n where it has none), the bytes of its vectors and its payload. */
export interface TestRecord {
  readonly id: RecordId;
  readonly vectors: readonly Uint8Array[];
  readonly payload: Uint8Array;
}

/** A record as text that is equal for equal records and for no others. */
export function recordText({ id, vectors, payload }: TestRecord): string {
  return [typeof id, String(id), ...vectors.map(toHex), toHex(payload)].join('|');
}

/** The records as one batch. */
export function toBatch(schema: Schema, records: readonly TestRecord[], release?: () => void): RecordBatch {
  return {
    count: records.length,
    ids: toIds(schema.id, records),
    vectors: schema.vectors.map((_, i) =>
      concatBytes(records.map(({ vectors }) => vectors[i] as Uint8Array)),
    ),
    payloads: schema.payload === 'none' ? undefined : records.map(({ payload }) => payload),
    ...(release === undefined ? {} : { release }),
  };
}

function toIds(kind: IdKind, records: readonly TestRecord[]): IdColumn {
  if (kind === 'none') return undefined;
  if (kind === 'u64') return BigUint64Array.from(records, ({ id }) => id as bigint);
  return records.map(({ id }) => id as string);
}

/** The records of one batch. */
export function fromBatch(schema: Schema, { count, ids, vectors, payloads }: RecordBatch): TestRecord[] {
  const widths = schema.vectors.map(vectorBytes);
  return Array.from({ length: count }, (_, i) => ({
    id: ids?.[i] ?? 0n,
    vectors: vectors.map((column, c) => {
      const width = widths[c] as number;
      return new Uint8Array(column.subarray(i * width, (i + 1) * width));
    }),
    payload: new Uint8Array(payloads?.[i] ?? []),
  }));
}

/** The records of one row group, decoded from its columns. */
export function fromColumns(schema: Schema, count: number, columns: readonly Uint8Array[]): TestRecord[] {
  const first = schema.id === 'none' ? 0 : 1;
  return fromBatch(schema, {
    count,
    ids: schema.id === 'none' ? undefined : decodeIdColumn(schema.id, columns[0] as Uint8Array, count),
    vectors: columns.slice(first, first + schema.vectors.length),
    payloads:
      schema.payload === 'none' ? undefined : decodePayloadColumn(columns.at(-1) as Uint8Array, count),
  });
}

/** Splits an array into runs of the sizes, again and again. */
export function inRunsOf<T>(items: readonly T[], sizes: readonly number[]): T[][] {
  const runs: T[][] = [];
  for (let start = 0, i = 0; start < items.length; i++) {
    const size = Math.max(1, sizes[i % sizes.length] ?? items.length);
    runs.push(items.slice(start, start + size));
    start += size;
  }
  return runs;
}

/** Any small schema. */
export const anySchema: fc.Arbitrary<Schema> = fc
  .record({
    id: fc.constantFrom<IdKind>('none', 'string', 'u64'),
    payload: fc.constantFrom<Schema['payload']>('none', 'json', 'bytes'),
    vectors: fc.array(
      fc.record({
        dtype: fc.constantFrom<Schema['vectors'][number]['dtype']>(
          'f32',
          'f64',
          'f16',
          'bf16',
          'i8',
          'u8',
          'bits',
        ),
        dimension: fc.integer({ min: 1, max: 12 }),
      }),
      { maxLength: 3 },
    ),
  })
  .filter(({ id, vectors }) => id !== 'none' || vectors.length > 0)
  .map(({ vectors, ...rest }) => ({
    ...rest,
    vectors: vectors.map((column, i) => ({ name: `column ${i}`, ...column })),
  }));

/** Any records of the schema, in order. */
export function anyRecords(schema: Schema, maxLength: number): fc.Arbitrary<TestRecord[]> {
  const vectors = fc.tuple(
    ...schema.vectors.map((column) => {
      const length = vectorBytes(column);
      return fc.uint8Array({ minLength: length, maxLength: length });
    }),
  );
  const payload =
    schema.payload === 'none' ? fc.constant(new Uint8Array(0)) : fc.uint8Array({ maxLength: 12 });
  if (schema.id === 'none')
    return fc.array(fc.record({ id: fc.constant(0n), vectors, payload }), { maxLength, size: 'max' });
  const id: fc.Arbitrary<RecordId> =
    schema.id === 'u64' ? fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }) : anyText;
  return fc
    .uniqueArray(fc.record({ id, vectors, payload }), {
      selector: (record) => record.id,
      maxLength,
      size: 'max',
    })
    .map((records) => records.toSorted((a, b) => compareIds(a.id, b.id)));
}

/** A schema and records of it. */
export function anySchemaAndRecords(
  maxLength: number,
): fc.Arbitrary<{ schema: Schema; records: TestRecord[] }> {
  return anySchema.chain((schema) => anyRecords(schema, maxLength).map((records) => ({ schema, records })));
}
