/** What becomes of the columns of a row group when some of its records are others and all ids stay. */
import { type RecordBatch, type Schema, vectorBytes } from '../core/index.js';
import { patchPayloadColumn } from '../chunker/index.js';
import type { RowGroupEntry } from '../manifest/index.js';
import { nonFiniteIn } from './non-finite.js';
import type { OldGroup, PatchedRow, Row } from './old-groups.js';

/** See the head of this file. */
export interface GroupPatch {
  /** The group of before, with the same ids. */
  readonly old: RowGroupEntry;
  /** One for each vector column, in their order. */
  readonly vectors: readonly VectorPatch[];
  /** The payload column; undefined when it is the same. */
  readonly payloads: { readonly before: Uint8Array; readonly after: Uint8Array } | undefined;
}

/** Vectors of one column that may be others. */
export interface VectorPatch {
  /** The rows in which they stand, ascending. */
  readonly rows: readonly number[];
  /** The vectors as they are now, joined. */
  readonly bytes: Uint8Array;
}

/** @param group one whose columns are read, but for those of vectors. */
export function patchOf(schema: Schema, { group, columns, patch = [] }: OldGroup): GroupPatch {
  const rows = patch.map(({ row }) => row);
  const vectors = schema.vectors.map((column, i): VectorPatch => ({
    rows,
    bytes: joinVectors(patch, i, vectorBytes(column)),
  }));
  if (schema.payload === 'none') return { old: group, vectors, payloads: undefined };
  const before = columns.at(-1) as Uint8Array;
  const changes = new Map(patch.map(({ row, by }) => [row, payloadOf(by)]));
  const after = patchPayloadColumn(before, group.count, changes);
  return { old: group, vectors, payloads: after && { before, after } };
}

/**
 * How many more numbers are not finite.
 * @param replaced the vectors that stood in the rows of each patch before; undefined where nothing is another.
 */
export function moreNonFinite(
  schema: Schema,
  { vectors }: GroupPatch,
  replaced: readonly (Uint8Array | undefined)[],
): number {
  let more = 0;
  for (const [i, column] of schema.vectors.entries()) {
    const before = replaced[i];
    if (before === undefined) continue;
    const one = { ...schema, vectors: [column] };
    more += nonFiniteIn(one, [(vectors[i] as VectorPatch).bytes]) - nonFiniteIn(one, [before]);
  }
  return more;
}

function joinVectors(rows: readonly PatchedRow[], column: number, width: number): Uint8Array {
  const joined = new Uint8Array(rows.length * width);
  for (const [i, { by }] of rows.entries()) {
    const vectors = (by.from.batch as RecordBatch).vectors[column] as Uint8Array;
    joined.set(vectors.subarray(by.row * width, (by.row + 1) * width), i * width);
  }
  return joined;
}

function payloadOf({ from, row }: Row): Uint8Array {
  return ((from.batch as RecordBatch).payloads as readonly Uint8Array[])[row] as Uint8Array;
}
