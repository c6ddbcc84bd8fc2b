/** Counts the numbers of a vector column that are NaN or infinite: those whose exponent bits are all set. */
import { countMasked } from '../cas/kernels.js';
import { type Dtype, type Schema, viewOf } from '../core/index.js';

/** The width in bytes of a number, and the bits of its exponent in its upper 16 (a width of 2) or 32 bits. */
const EXPONENTS: Partial<Record<Dtype, { readonly width: 2 | 4 | 8; readonly mask: number }>> = {
  f64: { width: 8, mask: 0x7ff00000 },
  f32: { width: 4, mask: 0x7f800000 },
  f16: { width: 2, mask: 0x7c00 },
  bf16: { width: 2, mask: 0x7f80 },
};

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
  const exponent = EXPONENTS[dtype];
  if (exponent === undefined) return 0;
  const { width, mask } = exponent;
  return countMasked(bytes, width, mask) ?? countEach(bytes, width, mask);
}

/** The same on a machine without kernels. */
function countEach(bytes: Uint8Array, width: 2 | 4 | 8, mask: number): number {
  const view = viewOf(bytes);
  let count = 0;
  if (width === 2) {
    for (let i = 0; i < bytes.length; i += 2) if ((view.getUint16(i, true) & mask) === mask) count++;
  } else {
    for (let i = width - 4; i < bytes.length; i += width)
      if ((view.getUint32(i, true) & mask) === mask) count++;
  }
  return count;
}
