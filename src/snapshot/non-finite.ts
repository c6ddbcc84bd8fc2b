/** Counts the numbers of a vector column that are NaN or infinite: those whose exponent bits are all set. */
import { CODECS, type EncodedChunk } from '../cas/codec.js';
import { countMasked } from '../cas/kernels.js';
import { mayHold } from '../cas/plane-values.js';
import { type Dtype, type Schema, type VectorColumn, viewOf } from '../core/index.js';

/** Where a number has its exponent. */
interface Exponent {
  /** Bytes of the number. */
  readonly width: 2 | 4 | 8;
  /** The bits of the exponent in its upper 16 (a width of 2) or 32 bits. */
  readonly mask: number;
  /** What the highest byte is when those of its bits that are in the mask are set. */
  readonly highBytes: readonly number[];
}

const EXPONENTS: Partial<Record<Dtype, Exponent>> = {
  f64: { width: 8, mask: 0x7ff00000, highBytes: bytesWith(0x7f) },
  f32: { width: 4, mask: 0x7f800000, highBytes: bytesWith(0x7f) },
  f16: { width: 2, mask: 0x7c00, highBytes: bytesWith(0x7c) },
  bf16: { width: 2, mask: 0x7f80, highBytes: bytesWith(0x7f) },
};

/** All bytes that have these bits set. */
function bytesWith(bits: number): number[] {
  return Array.from({ length: 256 }, (_, byte) => byte).filter((byte) => (byte & bits) === bits);
}

/** How many numbers of these vector columns, the first columns given, are not finite. */
export function nonFiniteIn(schema: Schema, columns: readonly Uint8Array[]): number {
  let count = 0;
  for (const [i, { dtype }] of schema.vectors.entries()) {
    const bytes = columns[i];
    if (bytes !== undefined) count += countNonFinite(bytes, dtype);
  }
  return count;
}

/**
 * Counts in row groups that are being stored. The form of most columns shows that all their numbers are finite, because they are far from
 * the largest that there are; those need not be looked at one by one.
 */
export class NonFiniteCounter {
  readonly #schema: Schema;
  /** The column of the first vectors. */
  readonly #first: number;
  readonly #areBasesFinite: boolean;
  /** The columns of groups that are finite, as #place numbers them. */
  readonly #finite = new Set<number>();

  /** @param areBasesFinite whether all numbers are finite of what the groups are told by. */
  constructor(schema: Schema, areBasesFinite: boolean) {
    this.#schema = schema;
    this.#first = schema.id === 'none' ? 0 : 1;
    this.#areBasesFinite = areBasesFinite;
  }

  /** Takes note of the form of a column. */
  note(group: number, column: number, form: EncodedChunk): void {
    const exponent = this.#exponentOf(column);
    if (exponent === undefined || (form.codec === CODECS.delta && !this.#areBasesFinite)) return;
    if (mayHold(form, exponent.width - 1, exponent.highBytes)) return;
    this.#finite.add(this.#place(group, column));
  }

  /** How many numbers of a group are not finite. @param columns all its columns. */
  countIn(group: number, columns: readonly Uint8Array[]): number {
    const { vectors } = this.#schema;
    let count = 0;
    for (let i = 0; i < vectors.length; i++) {
      const column = this.#first + i;
      if (!this.#finite.has(this.#place(group, column)))
        count += countNonFinite(columns[column] as Uint8Array, (vectors[i] as VectorColumn).dtype);
    }
    return count;
  }

  #place(group: number, column: number): number {
    return group * this.#schema.vectors.length + column - this.#first;
  }

  /** Undefined for columns that are no vectors, or whose numbers are all finite. */
  #exponentOf(column: number): Exponent | undefined {
    const vector = this.#schema.vectors[column - this.#first];
    return vector && EXPONENTS[vector.dtype];
  }
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
