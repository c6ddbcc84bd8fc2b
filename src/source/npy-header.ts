/**
 * The header of a `.npy` file, in text: a Python literal such as
 * `{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }`, padded with spaces and ended by a newline.
 */
import type { Dtype } from '../core/index.js';

/** The first bytes of every `.npy` file. */
export const NPY_MAGIC = Uint8Array.of(0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59);

const DESCR_TO_DTYPE: Readonly<Record<string, Dtype>> = {
  '<f4': 'f32',
  '<f8': 'f64',
  '<f2': 'f16',
  '|i1': 'i8',
  '<i1': 'i8',
  '|u1': 'u8',
  '<u1': 'u8',
};
const DTYPE_TO_DESCR: Partial<Readonly<Record<Dtype, string>>> = {
  f32: '<f4',
  f64: '<f8',
  f16: '<f2',
  i8: '|i1',
  u8: '|u1',
};

/** The dtypes of matrices that are split into records. */
export const NPY_DTYPES = Object.keys(DTYPE_TO_DESCR) as Dtype[];

/** numpy leaves this many characters for the row count, so that it can grow in place. */
const ROW_DIGITS = 21;

/** A matrix as its header describes it. */
export interface NpyMatrix {
  readonly dtype: Dtype;
  readonly rows: number;
  readonly dimension: number;
}

/** The matrix that a header describes, or why it is none that can be split, as the end of a sentence. */
export function parseHeader(text: string): NpyMatrix | { readonly unsplit: string } {
  const { descr, fortran_order: fortran, shape, ...others } = parseLiteral(text) ?? {};
  if (
    typeof fortran !== 'boolean' ||
    !isShape(shape) ||
    descr === undefined ||
    Object.keys(others).length > 0
  ) {
    return { unsplit: 'its header is not the usual one' };
  }
  if (typeof descr !== 'string') return { unsplit: 'its numbers are structured' };
  const dtype = Object.hasOwn(DESCR_TO_DTYPE, descr) ? DESCR_TO_DTYPE[descr] : undefined;
  if (dtype === undefined) return { unsplit: `its dtype is ${descr}` };
  if (fortran) return { unsplit: 'its rows are in Fortran order' };
  const [rows, dimension] = shape;
  if (rows === undefined || dimension === undefined || shape.length > 2) {
    return { unsplit: `it has ${shape.length} dimensions instead of 2` };
  }
  return { dtype, rows, dimension };
}

/**
 * A Python dict of texts, booleans, numbers and tuples, by way of JSON. It need not be right for every literal: what is
 * not exactly a plain matrix is kept whole, and the size of the file is compared with what was understood.
 */
function parseLiteral(text: string): Record<string, unknown> | undefined {
  const json = text
    .replaceAll("'", '"')
    .replaceAll('(', '[')
    .replaceAll(')', ']')
    .replaceAll(/\bTrue\b/g, 'true')
    .replaceAll(/\bFalse\b/g, 'false')
    .replaceAll(/,\s*([\]}])/g, '$1');
  try {
    const value: unknown = JSON.parse(json);
    return typeof value === 'object' && !Array.isArray(value)
      ? (value as Record<string, unknown>)
      : undefined;
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}

function isShape(value: unknown): value is number[] {
  return Array.isArray(value) && value.every((length) => Number.isSafeInteger(length) && length >= 0);
}

/**
 * The header of a matrix, newline included, as numpy writes it.
 * @param fill the spaces before the newline, from the length of the text without any.
 */
export function formatHeader(
  { dtype, rows, dimension }: NpyMatrix,
  fill: (length: number) => number,
): string {
  const text = `{'descr': '${DTYPE_TO_DESCR[dtype]}', 'fortran_order': False, 'shape': (${rows}, ${dimension}), }`;
  return `${text.padEnd(text.length + fill(text.length + 1))}\n`;
}

/** The spaces that numpy puts: room for the row count to grow, then up to a multiple of 64, never none. */
export function numpyFill(rows: number, preambleBytes: number): (length: number) => number {
  const growth = ROW_DIGITS - String(rows).length;
  return (length) => growth + 64 - ((preambleBytes + length + growth) % 64);
}
