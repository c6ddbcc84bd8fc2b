/** Reads the numbers of vectors from their bytes. */
import type { Dtype } from './schema.js';

/** Gives the number at position `index` of a vector whose bytes `view` shows. */
export type NumberReader = (view: DataView, index: number) => number;

/** How the numbers of each dtype are read. Exact: every one of them is a JavaScript number. */
export const NUMBER_READERS: Readonly<Record<Dtype, NumberReader>> = {
  f32: (view, index) => view.getFloat32(4 * index, true),
  f64: (view, index) => view.getFloat64(8 * index, true),
  f16: (view, index) => halfToNumber(view.getUint16(2 * index, true)),
  bf16: (view, index) => bfloatToNumber(view.getUint16(2 * index, true)),
  i8: (view, index) => view.getInt8(index),
  u8: (view, index) => view.getUint8(index),
  bits: (view, index) => (view.getUint8(index >>> 3) >>> (index & 7)) & 1,
};

/** IEEE 754 binary16. */
function halfToNumber(bits: number): number {
  const sign = bits >= 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 0x1f;
  const fraction = bits & 0x3ff;
  if (exponent === 0x1f) return fraction === 0 ? sign * Infinity : Number.NaN;
  return exponent === 0 ? sign * fraction * 2 ** -24 : sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

const bfloatBits = new Uint32Array(1);
const bfloatNumber = new Float32Array(bfloatBits.buffer);

/** The upper half of a number of f32. */
function bfloatToNumber(bits: number): number {
  bfloatBits[0] = bits << 16;
  return bfloatNumber[0] as number;
}
