/** Counts the numbers of a vector column that are NaN or infinite: those whose exponent bits are all set. */
import { copyBytes, type Dtype, type Schema, viewOf } from '../core/index.js';

/** How many numbers of these vector columns, the first columns given, are not finite. */
export function nonFiniteIn(schema: Schema, columns: readonly Uint8Array[]): number {
  let count = 0;
  for (const [i, { dtype }] of schema.vectors.entries()) {
    const bytes = columns[i];
    if (bytes !== undefined) count += countNonFinite(bytes, dtype);
  }
  return count;
}

/** How many of the numbers in `bytes` are not finite; 0 for dtypes that have none. */
function countNonFinite(bytes: Uint8Array, dtype: Dtype): number {
  if (dtype === 'f32') return countWords(bytes);
  if (dtype === 'f64') return countUpperHalves(bytes);
  if (dtype === 'f16') return countHalves(bytes, 0x7c00);
  if (dtype === 'bf16') return countHalves(bytes, 0x7f80);
  return 0;
}

function countWords(bytes: Uint8Array): number {
  const aligned = bytes.byteOffset % 4 === 0 ? bytes : copyBytes(bytes);
  const words = new Int32Array(aligned.buffer, aligned.byteOffset, aligned.length >>> 2);
  let count = 0;
  for (let i = 0; i < words.length; i++) if (((words[i] as number) & 0x7f800000) === 0x7f800000) count++;
  return count;
}

function countUpperHalves(bytes: Uint8Array): number {
  const view = viewOf(bytes);
  let count = 0;
  for (let i = 4; i < bytes.length; i += 8)
    if ((view.getUint32(i, true) & 0x7ff00000) === 0x7ff00000) count++;
  return count;
}

function countHalves(bytes: Uint8Array, exponent: number): number {
  const view = viewOf(bytes);
  let count = 0;
  for (let i = 0; i < bytes.length; i += 2) if ((view.getUint16(i, true) & exponent) === exponent) count++;
  return count;
}
