/** What becomes of the columns of a row group when some of its records are others and all ids stay. */
import { copyBytes, equalBytes, type RecordBatch, type Schema, vectorBytes } from '../core/index.js';
import { decodePayloadColumn, encodePayloadColumn } from '../chunker/index.js';
import { nonFiniteIn } from './non-finite.js';
import type { OldGroup, PatchedRow } from './old-groups.js';

/** See the head of this file. */
export interface PatchedColumns {
  /** The bytes of those columns that are others, by their position in the group. */
  readonly columns: ReadonlyMap<number, Uint8Array>;
  /** How many more numbers are not finite. */
  readonly nonFinite: number;
}

/** @param old a group that is read. */
export function patchColumns(
  schema: Schema,
  { group, columns = [] }: OldGroup,
  rows: readonly PatchedRow[],
): PatchedColumns {
  const patched = new Map<number, Uint8Array>();
  let nonFinite = 0;
  for (const [i, column] of schema.vectors.entries()) {
    const before = columns[i + 1] as Uint8Array;
    const after = patchVectors(before, vectorBytes(column), i, rows);
    if (after === before) continue;
    patched.set(i + 1, after);
    const one = { ...schema, vectors: [column] };
    for (const [bytes, sign] of [
      [before, -1],
      [after, 1],
    ] as const)
      for (const { row } of rows)
        nonFinite += sign * nonFiniteIn(one, [vectorAt(bytes, vectorBytes(column), row)]);
  }
  if (schema.payload !== 'none') {
    const last = columns.length - 1;
    const after = patchPayloads(columns[last] as Uint8Array, group.count, rows);
    if (after !== undefined) patched.set(last, after);
  }
  return { columns: patched, nonFinite };
}

/** The column itself when nothing is another. */
function patchVectors(
  before: Uint8Array,
  width: number,
  column: number,
  rows: readonly PatchedRow[],
): Uint8Array {
  let after = before;
  for (const { row, by } of rows) {
    const vector = vectorAt((by.from.batch as RecordBatch).vectors[column] as Uint8Array, width, by.row);
    if (equalBytes(vector, vectorAt(before, width, row))) continue;
    if (after === before) after = sharedCopy(before);
    after.set(vector, row * width);
  }
  return after;
}

/** Memory that worker threads read without another copy, where there is such. */
function sharedCopy(bytes: Uint8Array): Uint8Array {
  if (typeof SharedArrayBuffer === 'undefined') return copyBytes(bytes);
  const copy = new Uint8Array(new SharedArrayBuffer(bytes.length));
  copy.set(bytes);
  return copy;
}

function vectorAt(column: Uint8Array, width: number, row: number): Uint8Array {
  return column.subarray(row * width, (row + 1) * width);
}

/** Undefined when nothing is another. */
function patchPayloads(
  before: Uint8Array,
  count: number,
  rows: readonly PatchedRow[],
): Uint8Array | undefined {
  const payloads = decodePayloadColumn(before, count);
  let isSame = true;
  for (const { row, by } of rows) {
    const payload = ((by.from.batch as RecordBatch).payloads ?? [])[by.row] as Uint8Array;
    if (equalBytes(payload, payloads[row] as Uint8Array)) continue;
    payloads[row] = payload;
    isSame = false;
  }
  return isSame ? undefined : encodePayloadColumn(payloads);
}
