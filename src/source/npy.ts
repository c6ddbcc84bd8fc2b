/**
 * `.npy`: `\x93NUMPY`, two version bytes, the length of the header (u16 in version 1, u32 in 2 and 3), the header, then
 * the numbers. Little-endian matrices of f2, f4, f8, i1 and u1 in C order are split into records; all else is kept whole.
 */
import { concatBytes, equalBytes, utf8, VecsnapError, type VectorColumn, viewOf } from '../core/index.js';
import type { LocalFile } from './local-file.js';
import { checkSize, type HeadPlan, type MatrixFormat, type MatrixShape, MAX_DIMENSION } from './matrix.js';
import { formatHeader, NPY_DTYPES, NPY_MAGIC, type NpyMatrix, numpyFill, parseHeader } from './npy-header.js';
import type { FormatNote } from './port.js';

/** The header of a plain matrix has about 120 bytes. A longer one describes something else. */
const MAX_HEADER_BYTES = 1 << 16;

/** Magic, version and length in versions 2 and 3; version 1 has two bytes fewer. */
const LONGEST_PREAMBLE = 12;

/** One array, as numpy saves it. */
export const npy: MatrixFormat = {
  scheme: 'npy',
  dtypes: NPY_DTYPES,
  inspect,
  planHead,
  rowHead: () => new Uint8Array(),
};

async function inspect(file: LocalFile): Promise<MatrixShape | { readonly unsplit: string }> {
  const head = await readHead(file);
  if ('unsplit' in head) return head;
  const matrix = parseHeader(headerText(head));
  if ('unsplit' in matrix) return matrix;
  const shape = {
    ...matrix,
    format: { name: 'npy', header: head },
    start: head.length,
    rowHead: new Uint8Array(),
  };
  checkSize(file, shape);
  if (matrix.dimension < 1) return { unsplit: 'its rows have no numbers' };
  if (matrix.dimension > MAX_DIMENSION)
    return { unsplit: `its rows have more than ${MAX_DIMENSION} numbers` };
  return shape;
}

/** The bytes up to the first number. */
async function readHead(file: LocalFile): Promise<Uint8Array | { readonly unsplit: string }> {
  const start = await file.readExactly(0, Math.min(file.size, LONGEST_PREAMBLE));
  if (!equalBytes(start.subarray(0, NPY_MAGIC.length), NPY_MAGIC.subarray(0, start.length)))
    throw noMagic(file);
  const version = start[6];
  if (version !== undefined && (version < 1 || version > 3)) return { unsplit: `its version is ${version}` };
  const length = headLength(start) ?? LONGEST_PREAMBLE;
  if (length > file.size) throw cutHead(file, length);
  return length > MAX_HEADER_BYTES
    ? { unsplit: `its header has ${length} bytes` }
    : file.readExactly(0, length);
}

/** The bytes before the first number, by the length that stands in the first ones; undefined when those are cut short. */
function headLength(start: Uint8Array): number | undefined {
  const preamble = preambleLength(start);
  if (start.length < preamble) return undefined;
  return preamble + (preamble === 10 ? viewOf(start).getUint16(8, true) : viewOf(start).getUint32(8, true));
}

function preambleLength(start: Uint8Array): number {
  return start[6] === 1 ? 10 : LONGEST_PREAMBLE;
}

function cutHead(file: LocalFile, due: number): VecsnapError {
  return new VecsnapError('SOURCE_TRUNCATED', `The file ends at byte ${file.size}, within its header.`, {
    place: `${file.path}, byte ${file.size}`,
    remedy: `The header should go to byte ${due}. Write the file again, or take it as file:${file.path}.`,
  });
}

function noMagic(file: LocalFile): VecsnapError {
  return new VecsnapError('SOURCE_INVALID', 'The file does not begin as a .npy file does.', {
    place: `${file.path}, byte 0`,
    remedy: `Check that this is the format of the file, or take it as file:${file.path}.`,
  });
}

function headerText(head: Uint8Array): string {
  return Buffer.from(head.subarray(preambleLength(head))).toString('latin1');
}

/** The header that the matrix came with, when it still tells the truth; else one as numpy writes it. */
function planHead(column: VectorColumn, note: FormatNote, expectedRows: number | undefined): HeadPlan {
  const stored = storedHead(column, note, expectedRows);
  if (stored === undefined) {
    const length = freshHead({ ...column, rows: 0 }).length;
    return { length, encode: (rows) => freshHead({ ...column, rows }) };
  }
  const { head, matrix } = stored;
  return {
    length: head.length,
    encode: (rows) => (rows === matrix.rows ? head : fittedHead(head, { ...column, rows })),
  };
}

function storedHead(column: VectorColumn, note: FormatNote, expectedRows: number | undefined) {
  const head = note['header'];
  if (note.name !== 'npy' || !(head instanceof Uint8Array) || headLength(head) !== head.length)
    return undefined;
  const matrix = parseHeader(headerText(head));
  if ('unsplit' in matrix || matrix.rows !== (expectedRows ?? matrix.rows)) return undefined;
  return matrix.dtype === column.dtype && matrix.dimension === column.dimension
    ? { head, matrix }
    : undefined;
}

/** Version 1, which suffices for every matrix. Its length does not depend on the number of rows. */
function freshHead(matrix: NpyMatrix): Uint8Array {
  return withPreamble(formatHeader(matrix, numpyFill(matrix.rows, 10)));
}

/** For another number of rows than was expected: a head of the same length, since the rows are already written behind it. */
function fittedHead(head: Uint8Array, matrix: NpyMatrix): Uint8Array {
  const text = formatHeader(matrix, (length) => Math.max(0, head.length - 10 - length));
  if (text.length + 10 === head.length) return withPreamble(text);
  throw new VecsnapError('TARGET_UNSUITABLE', `The header has no room for ${matrix.rows} rows.`, {
    place: 'header, shape',
    remedy: 'Restore to fbin: or jsonl:.',
  });
}

function withPreamble(header: string): Uint8Array {
  const lengths = Uint8Array.of(1, 0, header.length & 0xff, header.length >> 8);
  return concatBytes([NPY_MAGIC, lengths, utf8(header)]);
}
