/** The target of every file that holds one matrix: rows of numbers, one vector each, without ids. */
import {
  type Schema,
  throwIfAborted,
  type VectorColumn,
  vectorBytes,
  VecsnapError,
  type RecordBatch,
} from '../core/index.js';
import { FileWriter } from './file-writer.js';
import type { MatrixFormat } from './matrix.js';
import type { Content, Target, WriteReport } from './port.js';
import { SlabRing } from './read-memory.js';
import { checkTargetFree, replaceAtomically } from './replace.js';

/** Bytes that are put together for one write of rows with heads; it also stays in the processor's cache. */
const WRITTEN_SLAB_BYTES = 1 << 20;

/** Options of {@link matrixTarget}. */
export interface MatrixTargetOptions {
  /** The vector column to write, when the records have several. */
  readonly column?: string | undefined;
}

/** A target that writes the file at `path` from records with one vector column, no ids and no payloads. */
export function matrixTarget(format: MatrixFormat, path: string, options: MatrixTargetOptions = {}): Target {
  const place = `${format.scheme}:${path}`;
  return {
    place,
    prepare: (writeOptions) => checkTargetFree(path, writeOptions),
    async write(content, writeOptions) {
      const index = columnOf(format, place, content, options.column);
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
  await FileWriter.run(path, { start: head.length }, async (writer) => {
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
