/**
 * The source of every file that holds one matrix, and what is common to its formats: rows of numbers, one vector each, without ids.
 *
 * What differs between the formats stands in {@link MatrixFormat}; each is a file of its own. A file of the format that
 * cannot be split into rows is given as a plain file, and a note says why. Permissions and times are not kept.
 */
import { type Dtype, type RecordBatch, type VectorColumn, vectorBytes, VecsnapError } from '../core/index.js';
import { collectionName } from './collection-name.js';
import { openedFile } from './file.js';
import { LocalFile, sourceChanged, sizeOfFile } from './local-file.js';
import type { FormatNote, OpenSource, Source } from './port.js';
import { ROOM_SLACK_BYTES, roomToRead, SlabRing } from './read-memory.js';

/** The largest dimension that a schema takes. */
export const MAX_DIMENSION = 2 ** 20;

/** Bytes that are read at once, as far as whole rows fill them. */
const SLAB_BYTES = 4 << 20;

export type MatrixScheme = 'fbin' | 'u8bin' | 'i8bin' | 'npy' | 'fvecs' | 'bvecs';

/** Where the rows of a matrix stand in its file. */
export interface MatrixShape {
  readonly format: FormatNote;
  readonly dtype: Dtype;
  readonly dimension: number;
  readonly rows: number;
  /** The offset of the first row. */
  readonly start: number;
  /** The bytes that come before the numbers of each row; none in most formats. */
  readonly rowHead: Uint8Array;
}

/** The bytes before the first row, of a length that is known before the rows are counted. */
export interface HeadPlan {
  readonly length: number;
  /** @throws VecsnapError TARGET_UNSUITABLE when the format cannot count so many rows. */
  encode(rows: number): Uint8Array;
}

/** What is particular to one format of matrix files. */
export interface MatrixFormat {
  readonly scheme: MatrixScheme;
  /** The numbers that the format can hold. */
  readonly dtypes: readonly Dtype[];
  /**
   * Reads the header and compares it with the size of the file.
   * @returns the shape, or why the file is no matrix that can be split into rows, as the end of a sentence.
   * @throws VecsnapError SOURCE_TRUNCATED, SOURCE_INVALID.
   */
  inspect(file: LocalFile): Promise<MatrixShape | { readonly unsplit: string }>;
  /** @param expectedRows how many rows are to come, when that is known. */
  planHead(column: VectorColumn, note: FormatNote, expectedRows: number | undefined): HeadPlan;
  /** The bytes that come before the numbers of each row. */
  rowHead(dimension: number): Uint8Array;
}

/** A source that reads the file at `path`. */
export function matrixSource(format: MatrixFormat, path: string): Source {
  return {
    place: `${format.scheme}:${path}`,
    collection: collectionName(path, [`.${format.scheme}`], format.scheme),
    roughBytes: () => sizeOfFile(path),
    open: () => openMatrix(format, path),
  };
}

async function openMatrix(format: MatrixFormat, path: string): Promise<OpenSource> {
  const file = await LocalFile.open(path);
  try {
    await file.settle();
    const shape = await format.inspect(file);
    if (!('unsplit' in shape)) return openedMatrix(file, shape);
    return openedFile(file, [
      `${path} is kept as a byte stream, not as ${format.scheme} records: ${shape.unsplit}.`,
    ]);
  } catch (error) {
    await file.close();
    throw error;
  }
}

function openedMatrix(file: LocalFile, shape: MatrixShape): OpenSource {
  const { format, dtype, dimension, rows } = shape;
  const column: VectorColumn = { name: 'vector', dtype, dimension };
  return {
    format,
    schema: { id: 'none', vectors: [column], payload: 'none' },
    records: () => readRows(file, shape),
    files: undefined,
    expected: { records: rows, bytes: rows * vectorBytes(column) },
    notes: [],
    state: () => file.stateFor(format.name),
    confirmUnchanged: () => file.confirmUnchanged(),
    close: () => file.close(),
  };
}

/** The rows in batches of about {@link SLAB_BYTES}, read into slabs that come back by `release`. */
async function* readRows(file: LocalFile, shape: MatrixShape): AsyncGenerator<RecordBatch> {
  const stride = shape.rowHead.length + vectorBytes(shape);
  const batchRows = Math.min(shape.rows, Math.max(1, Math.floor(SLAB_BYTES / stride)));
  const ring = new SlabRing(batchRows * stride + ROOM_SLACK_BYTES);
  for (let row = 0; row < shape.rows; row += batchRows) {
    const { slab, release } = ring.take();
    const count = Math.min(batchRows, shape.rows - row);
    const position = shape.start + row * stride;
    const bytes = roomToRead(slab, position, count * stride);
    await file.fill(bytes, position);
    const numbers = stripRowHeads(bytes, count, shape.rowHead, file);
    yield { count, ids: undefined, vectors: [numbers], payloads: undefined, release };
  }
}

/** Moves the rows together, in place, over the heads between them. The heads were checked when the file was opened. */
function stripRowHeads(bytes: Uint8Array, count: number, head: Uint8Array, file: LocalFile): Uint8Array {
  if (head.length === 0) return bytes;
  const stride = bytes.length / count;
  const width = stride - head.length;
  for (let row = 0, from = 0; row < count; row++, from += stride) {
    for (let i = 0; i < head.length; i++) if (bytes[from + i] !== head[i]) throw sourceChanged(file.path);
    bytes.copyWithin(row * width, from + head.length, from + stride);
  }
  return bytes.subarray(0, count * width);
}

/**
 * Compares the size that a header gives with that of the file.
 * @throws VecsnapError SOURCE_TRUNCATED, SOURCE_INVALID.
 */
export function checkSize(
  file: LocalFile,
  shape: Pick<MatrixShape, 'rows' | 'dimension' | 'dtype' | 'start'>,
): void {
  const due = shape.start + shape.rows * vectorBytes(shape); // Beyond 2^53 it is inexact, and still larger than any file.
  if (file.size === due) return;
  const short = file.size < due;
  const rows = `${shape.rows} rows of ${shape.dimension} ${shape.dtype}`;
  const remedy = short ? 'Write the file again' : 'Check that this is the format of the file';
  throw new VecsnapError(
    short ? 'SOURCE_TRUNCATED' : 'SOURCE_INVALID',
    `The header says ${rows}, which take ${due} bytes, and the file has ${file.size}.`,
    {
      place: `${file.path}, byte ${Math.min(file.size, due)}`,
      remedy: `${remedy}, or take it as file:${file.path}.`,
    },
  );
}

/** @throws VecsnapError SOURCE_INVALID for a dimension that no schema takes. */
export function checkDimension(file: LocalFile, dimension: number, offset: number): void {
  if (dimension >= 1 && dimension <= MAX_DIMENSION) return;
  throw new VecsnapError(
    'SOURCE_INVALID',
    `The dimension is ${dimension}; it must be 1 to ${MAX_DIMENSION}.`,
    {
      place: `${file.path}, byte ${offset}`,
      remedy: `Check that this is the format of the file, or take it as file:${file.path}.`,
    },
  );
}
