/**
 * The source and the target of every file that holds one matrix: rows of numbers, one vector each, without ids.
 *
 * What differs between the formats stands in {@link MatrixFormat}; each is a file of its own. A file of the format that
 * cannot be split into rows is given as a plain file, and a note says why. Permissions and times are not kept.
 */
import {
  type Dtype,
  type RecordBatch,
  type Schema,
  throwIfAborted,
  type VectorColumn,
  vectorBytes,
  VecsnapError,
} from '../core/index.js';
import { collectionName } from './collection-name.js';
import { openedFile } from './file.js';
import type { FileWriter } from './file-writer.js';
import { LocalFile, sourceChanged, sizeOfFile } from './local-file.js';
import type { Content, FormatNote, OpenSource, Source, Target, WriteReport } from './port.js';
import { ROOM_SLACK_BYTES, roomToRead, SlabRing } from './read-memory.js';

/** The largest dimension that a schema takes. */
export const MAX_DIMENSION = 2 ** 20;

/** Bytes that are read at once, as far as whole rows fill them. */
const SLAB_BYTES = 4 << 20;

/** Bytes that are put together for one write of rows with heads; it also stays in the processor's cache. */
const WRITTEN_SLAB_BYTES = 1 << 20;

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

/** Options of {@link matrixTarget}. */
export interface MatrixTargetOptions {
  /** The vector column to write, when the records have several. */
  readonly column?: string | undefined;
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
    state: file.stateFor(format.name),
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

/** A target that writes the file at `path` from records with one vector column, no ids and no payloads. */
export function matrixTarget(format: MatrixFormat, path: string, options: MatrixTargetOptions = {}): Target {
  const place = `${format.scheme}:${path}`;
  return {
    place,
    async prepare(writeOptions) {
      const { checkTargetFree } = await import('./replace.js');
      await checkTargetFree(path, writeOptions);
    },
    async write(content, writeOptions) {
      const index = columnOf(format, place, content, options.column);
      const { replaceAtomically } = await import('./replace.js');
      return replaceAtomically(path, writeOptions, (temporary) =>
        writeMatrix(format, temporary, content, index, writeOptions.signal),
      );
    },
  };
}

async function writeMatrix(
  format: MatrixFormat,
  path: string,
  content: Content,
  index: number,
  signal: AbortSignal | undefined,
): Promise<WriteReport> {
  const column = content.schema?.vectors[index] as VectorColumn;
  const head = format.planHead(column, content.format, content.expected.records);
  let [records, bytes] = [0, 0];
  const writing = await import('./file-writer.js');
  await writing.FileWriter.run(path, { start: head.length }, async (writer) => {
    const rows = new RowWriter(writer, format.rowHead(column.dimension), vectorBytes(column));
    for await (const batch of content.records?.() ?? []) {
      throwIfAborted(signal);
      const numbers = batch.vectors[index] as Uint8Array;
      records += batch.count;
      bytes += numbers.length;
      await rows.write(batch, numbers);
    }
    await rows.finish();
    throwIfAborted(signal);
    await writer.writeAt(head.encode(records), 0);
  });
  return { records, files: 0, bytes };
}

/** Writes rows with a head before each, put together in slabs that are used again when they were written. */
class RowWriter {
  readonly #writer: FileWriter;
  readonly #head: Uint8Array;
  readonly #stride: number;
  readonly #slabBytes: number;
  readonly #ring: SlabRing;
  #open: { slab: Uint8Array; release: () => void } | undefined;
  #filled = 0;

  constructor(writer: FileWriter, head: Uint8Array, rowBytes: number) {
    this.#writer = writer;
    this.#head = head;
    this.#stride = head.length + rowBytes;
    this.#slabBytes = this.#stride * Math.max(1, Math.floor(WRITTEN_SLAB_BYTES / this.#stride));
    this.#ring = new SlabRing(this.#slabBytes);
  }

  async write(batch: RecordBatch, numbers: Uint8Array): Promise<void> {
    if (this.#head.length === 0) return this.#writer.write(numbers, batch.release);
    const width = this.#stride - this.#head.length;
    for (let at = 0; at < numbers.length; at += width) {
      this.#open ??= this.#ring.take();
      this.#open.slab.set(this.#head, this.#filled);
      this.#open.slab.set(numbers.subarray(at, at + width), this.#filled + this.#head.length);
      this.#filled += this.#stride;
      if (this.#filled === this.#slabBytes) await this.finish();
    }
    batch.release?.();
  }

  /** Hands over the slab that is not full yet. */
  async finish(): Promise<void> {
    const open = this.#open;
    if (open === undefined) return;
    await this.#writer.write(open.slab.subarray(0, this.#filled), open.release);
    [this.#open, this.#filled] = [undefined, 0];
  }
}

/** Which vector column is written. @throws VecsnapError TARGET_UNSUITABLE when something would be lost. */
function columnOf(format: MatrixFormat, place: string, content: Content, wanted: string | undefined): number {
  const { schema } = content;
  const refuse = (what: string, remedy: string) =>
    new VecsnapError('TARGET_UNSUITABLE', what, { place, remedy });
  if (schema === undefined || content.files !== undefined) {
    throw refuse(
      `A ${format.scheme} file holds records, and the content has files.`,
      'Restore to file: or dir:.',
    );
  }
  if (schema.id !== 'none' || schema.payload !== 'none') {
    const lost = lostParts(schema).join(' and ');
    const remedy = 'Restore to jsonl: or to a database, or export the snapshot as a folder.';
    throw refuse(`A ${format.scheme} file has no place for ${lost}, which would be lost.`, remedy);
  }
  const index = wanted === undefined ? 0 : schema.vectors.findIndex((column) => column.name === wanted);
  const names = schema.vectors.map((column) => column.name).join(', ');
  if (index < 0) throw refuse(`There is no vector column ${wanted}.`, `Choose one of ${names}.`);
  if (wanted === undefined && schema.vectors.length !== 1) {
    throw refuse(
      `A ${format.scheme} file holds one vector column, not ${schema.vectors.length}.`,
      `Choose one of ${names}.`,
    );
  }
  const { dtype } = schema.vectors[index] as VectorColumn;
  if (format.dtypes.includes(dtype)) return index;
  throw refuse(
    `A ${format.scheme} file holds ${format.dtypes.join(', ')}, not ${dtype}.`,
    'Restore to npy: or jsonl:.',
  );
}

function lostParts(schema: Schema): string[] {
  return [...(schema.id === 'none' ? [] : ['ids']), ...(schema.payload === 'none' ? [] : ['payloads'])];
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
