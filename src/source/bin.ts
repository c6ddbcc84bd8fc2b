/** `.fbin`, `.u8bin` and `.i8bin`: u32 rows, u32 dimension, then the rows, all little-endian. */
import { type Dtype, VecsnapError, viewOf } from '../core/index.js';
import type { LocalFile } from './local-file.js';
import { checkDimension, checkSize, type HeadPlan, type MatrixFormat, type MatrixScheme } from './matrix.js';

const HEAD_BYTES = 8;

/** f32 rows, as big-ann-benchmarks keeps them. */
export const fbin: MatrixFormat = binFormat('fbin', 'f32');
/** u8 rows. */
export const u8bin: MatrixFormat = binFormat('u8bin', 'u8');
/** i8 rows. */
export const i8bin: MatrixFormat = binFormat('i8bin', 'i8');

function binFormat(scheme: MatrixScheme, dtype: Dtype): MatrixFormat {
  return {
    scheme,
    dtypes: [dtype],
    inspect: async (file) => inspect(file, scheme, dtype),
    planHead: ({ dimension }): HeadPlan => ({
      length: HEAD_BYTES,
      encode: (rows) => encodeHead(rows, dimension),
    }),
    rowHead: () => new Uint8Array(),
  };
}

async function inspect(file: LocalFile, scheme: MatrixScheme, dtype: Dtype) {
  const head = viewOf(await file.readExactly(0, HEAD_BYTES));
  const [rows, dimension] = [head.getUint32(0, true), head.getUint32(4, true)];
  const shape = { dtype, dimension, rows, start: HEAD_BYTES };
  checkDimension(file, dimension, 4);
  checkSize(file, shape);
  return { ...shape, format: { name: scheme }, rowHead: new Uint8Array() };
}

function encodeHead(rows: number, dimension: number): Uint8Array {
  if (rows >= 2 ** 32) {
    throw new VecsnapError('TARGET_UNSUITABLE', `The header counts at most 4294967295 rows, not ${rows}.`, {
      place: 'header, rows',
      remedy: 'Restore to npy: or jsonl:.',
    });
  }
  const head = new Uint8Array(HEAD_BYTES);
  viewOf(head).setUint32(0, rows, true);
  viewOf(head).setUint32(4, dimension, true);
  return head;
}
