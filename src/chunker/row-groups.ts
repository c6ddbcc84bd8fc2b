/**
 * Row groups: consecutive records that are stored together, each column as a chunk of its own.
 *
 * Where a group ends is decided by hashes of the records, by the rule of core/local-minimum.ts: of their ids, so that changing a
 * vector or a payload never moves an end, and changes one group; or, where there are no ids, of their first vectors. One
 * record that is inserted or deleted, and one without an id that is changed, replaces at most 3 groups by at most 3 others (1 or
 * 2 in most cases). Where many neighbouring records are equal, which only records without ids can be, that stretch counts as
 * one group.
 */
import {
  BatchCutter,
  concatBytes,
  type IdColumn,
  type RecordBatch,
  type Schema,
  hashBytes,
  hashRecords,
  hashTexts,
  type LocalMinimumOptions,
  recordVectorBytes,
  VecsnapError,
  vectorBytes,
} from '../core/index.js';
import { encodeIdColumn, encodePayloadColumn, idKey } from './columns.js';
import type { RowGroupOptions } from './parameters.js';

/** A group may have this many times the records of a group of mean size before an end is forced. */
const MAX_FACTOR = 4;

/** Window and maximum for records of this schema. */
export function rowGroupCuts(schema: Schema, options: RowGroupOptions): LocalMinimumOptions {
  const fitting = Math.round(options.targetBytes / Math.max(1, recordVectorBytes(schema)));
  const mean = Math.max(options.minRecords, Math.min(options.maxRecords, fitting));
  const window = Math.max(1, Math.floor((mean - 1) / 2));
  return { window, max: MAX_FACTOR * (2 * window + 1) };
}

/** What identifies the end of a group: the bytes of its last id, or the hash of its last record when there are no ids. */
export type GroupKey = Uint8Array | number;

/** A row group with its columns in plaintext: ids (where there are any), each vector column, payloads (where there are any). */
export interface RowGroup {
  readonly key: GroupKey;
  readonly count: number;
  readonly columns: readonly Uint8Array[];
  /** Tells the group that its columns will not be read any more. */
  release(): void;
}

/** Groups the records of consecutive batches. */
export class RowGrouper {
  readonly #schema: Schema;
  readonly #widths: readonly number[];
  readonly #cutter: BatchCutter;
  #pending: HeldBatch[] = [];

  constructor(schema: Schema, options: RowGroupOptions) {
    this.#schema = schema;
    this.#widths = schema.vectors.map(vectorBytes);
    this.#cutter = new BatchCutter(rowGroupCuts(schema, options));
  }

  /**
   * Takes the next records. Gives the groups that they complete.
   * @throws VecsnapError SOURCE_INVALID when the batch does not have the columns of the schema with `count` records each.
   */
  push(batch: RecordBatch): RowGroup[] {
    checkBatch(batch, this.#schema, this.#widths);
    if (batch.count === 0) {
      batch.release?.();
      return [];
    }
    const held = new HeldBatch(batch, this.#hashes(batch));
    this.#pending.push(held);
    return this.#cutter.push(held.hashes).map((size) => this.#take(size));
  }

  /** The groups that remain at the end. */
  finish(): RowGroup[] {
    return this.#cutter.finish().map((size) => this.#take(size));
  }

  #hashes(batch: RecordBatch): Uint32Array {
    const hashes = new Uint32Array(batch.count);
    const { ids } = batch;
    if (ids === undefined) hashRecords(batch.vectors[0] as Uint8Array, this.#widths[0] as number, hashes);
    else if (ids instanceof BigUint64Array) hashNumbers(ids, hashes);
    else hashTexts(ids, hashes);
    return hashes;
  }

  #take(count: number): RowGroup {
    const slices = this.#slices(count);
    const columns = encodeColumns(this.#schema, this.#widths, slices);
    const release = () => slices.forEach(({ held }) => held.drop());
    return { key: keyOf(slices.at(-1) as HeldSlice), count, columns, release };
  }

  #slices(count: number): HeldSlice[] {
    const slices: HeldSlice[] = [];
    for (let missing = count; missing > 0;) {
      const held = this.#pending[0] as HeldBatch;
      const from = held.taken;
      const to = Math.min(held.batch.count, from + missing);
      slices.push({ held, batch: held.batch, from, to });
      held.take(to);
      if (to === held.batch.count) this.#pending.shift();
      missing -= to - from;
    }
    return slices;
  }
}

function hashNumbers(ids: BigUint64Array, hashes: Uint32Array): void {
  for (const [i, id] of ids.entries()) hashes[i] = hashBytes(idKey(id));
}

/** What was taken must be there again when it is restored, so nothing is taken from a batch that contradicts itself. */
export function checkBatch(
  { count, ids, vectors, payloads }: RecordBatch,
  { id, vectors: vectorColumns, payload }: Schema,
  widths: readonly number[] = vectorColumns.map(vectorBytes),
): void {
  const idKind = ids === undefined ? 'none' : ids instanceof BigUint64Array ? 'u64' : 'string';
  if (idKind !== id || (ids !== undefined && ids.length !== count)) throw invalidBatch('ids', count);
  if (vectors.length !== widths.length) throw invalidBatch('vector columns', count);
  for (const [column, { length }] of vectors.entries())
    if (length !== count * (widths[column] as number)) throw invalidBatch('vectors', count);
  const hasPayloads = payloads !== undefined;
  if (hasPayloads !== (payload !== 'none') || (hasPayloads && payloads.length !== count))
    throw invalidBatch('payloads', count);
}

function invalidBatch(what: string, count: number): VecsnapError {
  return new VecsnapError(
    'SOURCE_INVALID',
    `The source gave ${count} records with other ${what} than its schema says.`,
    {
      place: what,
      remedy: 'Report this to the author of the source: it gave a batch that contradicts its schema.',
    },
  );
}

/** One record, and where it stands. */
export interface RowPlace {
  readonly batch: RecordBatch;
  readonly row: number;
}

/** The row group of these records, which come from any batches. Records must have ids. */
export function gatherRowGroup(schema: Schema, rows: readonly RowPlace[]): RowGroup {
  const slices: { batch: RecordBatch; from: number; to: number }[] = [];
  let last: (typeof slices)[number] | undefined;
  for (const { batch, row } of rows) {
    if (last?.batch === batch && last.to === row) last.to++;
    else slices.push((last = { batch, from: row, to: row + 1 }));
  }
  const columns = encodeColumns(schema, schema.vectors.map(vectorBytes), slices);
  const { batch, row } = rows.at(-1) as RowPlace;
  return {
    key: idKey(batch.ids?.[row] as string | bigint),
    count: rows.length,
    columns,
    release: () => {},
  };
}

/** Consecutive records of a batch. */
interface Slice {
  readonly batch: RecordBatch;
  readonly from: number;
  readonly to: number;
}

interface HeldSlice extends Slice {
  readonly held: HeldBatch;
}

function encodeColumns(schema: Schema, widths: readonly number[], slices: readonly Slice[]): Uint8Array[] {
  const columns: Uint8Array[] = [];
  if (schema.id !== 'none') columns.push(encodeIdColumn(slices.map(idsOf)));
  for (let column = 0; column < widths.length; column++) {
    const width = widths[column] as number;
    columns.push(joinSlices(slices.map((slice) => vectorsOf(slice, column, width))));
  }
  if (schema.payload !== 'none') columns.push(encodePayloadColumn(slices.flatMap(payloadsOf)));
  return columns;
}

/** A batch that goes back to its giver when every group cut from it is released. */
class HeldBatch {
  readonly batch: RecordBatch;
  readonly hashes: Uint32Array;
  taken = 0;
  #users = 0;

  constructor(batch: RecordBatch, hashes: Uint32Array) {
    this.batch = batch;
    this.hashes = hashes;
  }

  take(to: number): void {
    this.taken = to;
    this.#users++;
  }

  drop(): void {
    this.#users--;
    if (this.#users === 0 && this.taken === this.batch.count) this.batch.release?.();
  }
}

function idsOf({ batch, from, to }: Slice): NonNullable<IdColumn> {
  const ids = batch.ids as NonNullable<IdColumn>;
  return ids instanceof BigUint64Array ? ids.subarray(from, to) : ids.slice(from, to);
}

function vectorsOf({ batch, from, to }: Slice, column: number, width: number): Uint8Array {
  return (batch.vectors[column] as Uint8Array).subarray(from * width, to * width);
}

function payloadsOf({ batch, from, to }: Slice): readonly Uint8Array[] {
  return (batch.payloads as readonly Uint8Array[]).slice(from, to);
}

function joinSlices(parts: readonly Uint8Array[]): Uint8Array {
  return parts.length === 1 ? (parts[0] as Uint8Array) : concatBytes(parts);
}

function keyOf({ held, to }: HeldSlice): GroupKey {
  const id = held.batch.ids?.[to - 1];
  return id === undefined ? (held.hashes[to - 1] as number) : idKey(id);
}
