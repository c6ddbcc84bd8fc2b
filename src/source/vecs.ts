/**
 * `.fvecs` and `.bvecs`: each row is an i32 dimension and then its numbers, little-endian.
 *
 * The dimensions are compared when the file is opened, because a file whose rows differ has no schema; that costs one
 * more pass over the file at the speed of memory.
 */
import { type Dtype, DTYPE_BYTES, VecsnapError, viewOf } from '../core/index.js';
import type { LocalFile } from './local-file.js';
import { checkDimension, type MatrixFormat, type MatrixScheme } from './matrix.js';

const HEAD_BYTES = 4;
const WINDOW_BYTES = 1 << 20;

/** f32 rows. */
export const fvecs: MatrixFormat = vecsFormat('fvecs', 'f32');
/** u8 rows. */
export const bvecs: MatrixFormat = vecsFormat('bvecs', 'u8');

function vecsFormat(scheme: MatrixScheme, dtype: Dtype): MatrixFormat {
  return {
    scheme,
    dtypes: [dtype],
    inspect: async (file) => inspect(file, scheme, dtype),
    planHead: () => ({ length: 0, encode: () => new Uint8Array() }),
    rowHead,
  };
}

async function inspect(file: LocalFile, scheme: MatrixScheme, dtype: Dtype) {
  if (file.size === 0) return { unsplit: 'it has no rows, and without a row the dimension is unknown' };
  const { rows, dimension, oddRow } = await walkRows(file, DTYPE_BYTES[dtype]);
  if (oddRow !== undefined) {
    return { unsplit: `row ${oddRow.row} has the dimension ${oddRow.dimension}, and row 0 has ${dimension}` };
  }
  return { format: { name: scheme }, dtype, dimension, rows, start: 0, rowHead: rowHead(dimension) };
}

interface Walk {
  rows: number;
  /** The dimension of row 0. */
  dimension: number;
  /** The first row of another dimension. */
  oddRow: { row: number; dimension: number } | undefined;
}

/** Goes from row to row to the end of the file. @throws VecsnapError SOURCE_INVALID, SOURCE_TRUNCATED. */
async function walkRows(file: LocalFile, numberBytes: number): Promise<Walk> {
  const window = new Uint8Array(Math.min(WINDOW_BYTES, file.size));
  const view = viewOf(window);
  const walk: Walk = { rows: 0, dimension: 0, oddRow: undefined };
  let [start, end] = [0, 0];
  for (let position = 0; position < file.size; walk.rows++) {
    if (position + HEAD_BYTES > end) {
      start = position;
      end = position + (await file.read(window, position));
    }
    if (position + HEAD_BYTES > end) throw cutRow(file, walk.rows, position);
    const dimension = view.getInt32(position - start, true);
    checkDimension(file, dimension, position);
    if (walk.rows === 0) walk.dimension = dimension;
    if (dimension !== walk.dimension) walk.oddRow ??= { row: walk.rows, dimension };
    position += HEAD_BYTES + dimension * numberBytes;
    if (position > file.size) throw cutRow(file, walk.rows, position);
  }
  return walk;
}

function cutRow(file: LocalFile, row: number, due: number): VecsnapError {
  return new VecsnapError(
    'SOURCE_TRUNCATED',
    `The file ends at byte ${file.size}, in the middle of row ${row}.`,
    {
      place: `${file.path}, byte ${file.size}`,
      remedy: `The row should go to byte ${due}. Write the file again, or take it as file:${file.path}.`,
    },
  );
}

function rowHead(dimension: number): Uint8Array {
  const head = new Uint8Array(HEAD_BYTES);
  viewOf(head).setInt32(0, dimension, true);
  return head;
}
