/**
 * The source that reads JSON Lines: one record on each line, `{"id": …, "vector": […], "metadata": {…}}`.
 *
 * - The vector stands under `vector`, `embedding` or `values`, the same for all lines; or there are several under
 *   `vectors`, by name; or there is none. What the first line has, all must have.
 * - `metadata` is the payload. When any line has further keys, the payload is the object of all keys but the id and the
 *   vector, so nothing is lost. The note of the snapshot remembers both, and a restore writes the same keys.
 * - Numbers of vectors are kept as f32 when all of a column are exactly that, else as f64. `NaN`, `Infinity` and
 *   `-Infinity` are read in vectors, as Python writes them.
 *
 * The file is read twice: once to learn the ids, the dimension and the kind of numbers, then in the order of the ids.
 */
import { isAscii } from 'node:buffer';
import {
  fromUtf8,
  isVecsnapError,
  quoteId,
  type RecordBatch,
  type RecordId,
  type Schema,
  utf8,
  type VectorColumn,
  vectorBytes,
  VecsnapError,
} from '../core/index.js';
import { collectionName } from './collection-name.js';
import {
  canonicalObject,
  canonicalValue,
  type Field,
  fieldsOf,
  LineFault,
  type NamedVectors,
  parseId,
  parseVectors,
  VECTOR_KEYS,
  type VectorKey,
} from './jsonl-line.js';
import { LineTable } from './line-table.js';
import { LocalFile, sizeOfFile } from './local-file.js';
import type { FormatNote, OpenSource, Source } from './port.js';
import { SlabRing } from './read-memory.js';

/** Options of {@link jsonlSource}. */
export interface JsonlSourceOptions {
  /** Keep the numbers of vectors as this in any case. `f32` rounds them when they are not exactly that already. */
  readonly dtype?: 'f32' | 'f64' | undefined;
}

/** The longest line that is read. */
const MAX_LINE_BYTES = 64 << 20;
const READ_BYTES = 1 << 20;
const MAX_DIMENSION = 2 ** 20;

/** Bytes of vectors, and of text, in a batch: about. */
const BATCH_VECTOR_BYTES = 2 << 20;
const BATCH_TEXT_BYTES = 4 << 20;
const BATCH_RECORDS = 1 << 14;
/** Lines that are this near to each other are read together. */
const GAP_BYTES = 1 << 14;

/** A source that reads the JSON Lines file at `path`. */
export function jsonlSource(path: string, options: JsonlSourceOptions = {}): Source {
  return {
    place: `jsonl:${path}`,
    collection: collectionName(path, ['.jsonl', '.ndjson', '.json'], 'jsonl'),
    roughBytes: () => sizeOfFile(path),
    state: () => stateOf(path, options),
    open: () => openJsonl(path, options),
  };
}

async function stateOf(path: string, options: JsonlSourceOptions): Promise<string | undefined> {
  const file = await LocalFile.open(path);
  try {
    await file.settle();
    return file.stateFor(readingOf(options));
  } finally {
    await file.close();
  }
}

/** What else than the lines bears on the content. */
function readingOf({ dtype }: JsonlSourceOptions): string {
  return `jsonl ${dtype ?? ''}`;
}

async function openJsonl(path: string, options: JsonlSourceOptions): Promise<OpenSource> {
  const file = await LocalFile.open(path);
  try {
    await file.settle();
    const reader = await JsonlReader.scan(file, options);
    return opened(file, reader, options);
  } catch (error) {
    await file.close();
    throw error;
  }
}

function opened(file: LocalFile, reader: JsonlReader, options: JsonlSourceOptions): OpenSource {
  const bytes = reader.count * reader.schema.vectors.reduce((sum, column) => sum + vectorBytes(column), 0);
  return {
    format: reader.note,
    schema: reader.schema,
    records: () => reader.records(),
    files: undefined,
    expected: { records: reader.count, bytes },
    notes: reader.notes,
    state: () => file.stateFor(readingOf(options)),
    confirmUnchanged: () => file.confirmUnchanged(),
    close: () => file.close(),
  };
}

/** A file that was gone through once. */
class JsonlReader {
  readonly schema: Schema;
  readonly note: FormatNote;
  readonly notes: readonly string[];
  readonly count: number;
  readonly #file: LocalFile;
  readonly #survey: Survey;
  readonly #order: Uint32Array;

  private constructor(file: LocalFile, survey: Survey, order: Uint32Array, options: JsonlSourceOptions) {
    this.#file = file;
    this.#survey = survey;
    this.#order = order;
    this.count = survey.lines.size;
    this.schema = survey.schema(options.dtype);
    this.note = {
      name: 'jsonl',
      vector: survey.vectorKey ?? null,
      payload: survey.hasOtherKeys ? 'rest' : 'metadata',
    };
    this.notes = options.dtype === undefined ? survey.notes(file.path) : [];
  }

  static async scan(file: LocalFile, options: JsonlSourceOptions): Promise<JsonlReader> {
    const survey = new Survey(options.dtype);
    await eachLine(file, (text, offset, length, number) => survey.add(text, offset, length, number));
    const order = survey.lines.order();
    const twice = survey.lines.duplicate(order);
    if (twice !== undefined) throw await duplicateId(file, survey.lines, twice);
    return new JsonlReader(file, survey, order, options);
  }

  /** @throws VecsnapError SOURCE_CHANGED when the file is not what it was when it was gone through first. */
  async *records(): AsyncGenerator<RecordBatch> {
    const { vectors } = this.schema;
    const widths = vectors.map(vectorBytes);
    const rows = rowsOfBatch(widths, this.count);
    const rings = widths.map((width) => new SlabRing(width * rows));
    try {
      for (const indexes of this.#groups(rows)) {
        const texts = await readLines(this.#file, this.#survey.lines, indexes);
        const slabs = rings.map((ring) => ring.take());
        yield this.#batch(indexes, texts, slabs);
      }
    } catch (error) {
      if (isVecsnapError(error)) await this.#file.confirmUnchanged();
      throw error;
    }
  }

  /** The lines of one batch each, in the order of the ids. */
  *#groups(rows: number): Generator<Uint32Array> {
    const { lines } = this.#survey;
    let start = 0;
    let bytes = 0;
    for (let i = 0; i < this.#order.length; i++) {
      bytes += lines.length(this.#order[i] as number);
      if (i + 1 - start < rows && bytes < BATCH_TEXT_BYTES) continue;
      yield this.#order.subarray(start, i + 1);
      [start, bytes] = [i + 1, 0];
    }
    if (start < this.#order.length) yield this.#order.subarray(start);
  }

  #batch(
    indexes: Uint32Array,
    texts: readonly string[],
    slabs: readonly { slab: Uint8Array; release: () => void }[],
  ): RecordBatch {
    const { vectors: columns, id } = this.schema;
    const count = indexes.length;
    const cut = columns.map(
      (column, i) => slabs[i]?.slab.subarray(0, count * vectorBytes(column)) ?? new Uint8Array(),
    );
    const numbers = columns.map((column, i) => numbersIn(column, cut[i] as Uint8Array));
    const ids: RecordId[] = [];
    const payloads: Uint8Array[] = [];
    for (const [row, text] of texts.entries()) {
      const line = atLine(this.#file.path, this.#survey.lines.number(indexes[row] as number), () =>
        this.#record(text),
      );
      ids.push(line.id);
      payloads.push(utf8(line.payload));
      columns.forEach(({ dimension }, i) =>
        numbers[i]?.set(line.vectors[i]?.[1] as number[], row * dimension),
      );
    }
    const release = () => slabs.forEach((slab) => slab.release());
    return { count, ids: idColumn(id, ids), vectors: cut, payloads, release };
  }

  #record(text: string): { id: RecordId; vectors: NamedVectors; payload: string } {
    const { id, vectors, rest } = splitLine(text, this.#survey.vectorKey);
    const [only] = rest;
    if (this.#survey.hasOtherKeys) return { id, vectors, payload: canonicalObject(rest) };
    return { id, vectors, payload: only === undefined ? '' : canonicalValue(...only) };
  }
}

function rowsOfBatch(widths: readonly number[], count: number): number {
  const width = Math.max(1, ...widths);
  return Math.max(1, Math.min(count, BATCH_RECORDS, Math.floor(BATCH_VECTOR_BYTES / width)));
}

function numbersIn({ dtype }: VectorColumn, bytes: Uint8Array): Float32Array | Float64Array {
  const length = bytes.length / (dtype === 'f32' ? 4 : 8);
  return dtype === 'f32'
    ? new Float32Array(bytes.buffer, bytes.byteOffset, length)
    : new Float64Array(bytes.buffer, bytes.byteOffset, length);
}

function idColumn(kind: Schema['id'], ids: readonly RecordId[]): readonly string[] | BigUint64Array {
  return kind === 'u64' ? BigUint64Array.from(ids as bigint[]) : (ids as string[]);
}

/** The parts of a line. `rest`: what is neither the id nor the vector. */
interface LineParts {
  readonly id: RecordId;
  readonly vectors: NamedVectors;
  readonly rest: readonly Field[];
}

function splitLine(text: string, vectorKey: VectorKey | undefined): LineParts {
  const fields = fieldsOf(text);
  const valueOf = (key: string) => fields.find(([other]) => other === key)?.[1];
  const vector = vectorKey === undefined ? undefined : valueOf(vectorKey);
  if (vectorKey !== undefined && vector === undefined) {
    throw new LineFault(
      `The line has no "${vectorKey}", but the first line has`,
      'Give every line a vector under the same key.',
    );
  }
  return {
    id: parseId(valueOf('id')),
    vectors: vectorKey === undefined ? [] : parseVectors(vectorKey, vector as string),
    rest: fields.filter(([key]) => key !== 'id' && key !== vectorKey),
  };
}

/** What is learned of a column as the lines go by. */
interface ColumnSurvey {
  readonly name: string;
  readonly dimension: number;
  /** The first line with a number that f32 cannot hold. */
  inexactLine: number | undefined;
}

/** What the first reading of a file learns. */
class Survey {
  readonly lines = new LineTable();
  vectorKey: VectorKey | undefined;
  hasOtherKeys = false;
  readonly #dtype: 'f32' | 'f64' | undefined;
  #columns: ColumnSurvey[] = [];
  #idKind: 'string' | 'u64' = 'string';
  #firstLine = 0;

  constructor(dtype: 'f32' | 'f64' | undefined) {
    this.#dtype = dtype;
  }

  add(text: string, offset: number, length: number, number: number): void {
    if (this.#firstLine === 0) this.vectorKey = vectorKeyOf(fieldsOf(text));
    const { id, vectors, rest } = splitLine(text, this.vectorKey);
    if (this.#firstLine === 0) this.#start(id, vectors, number);
    this.#checkId(id);
    this.#checkVectors(id, vectors, number);
    for (const [key, value] of rest) {
      canonicalValue(key, value);
      this.hasOtherKeys ||= key !== 'metadata';
      if (this.vectorKey === undefined) expectNoVector(key, value);
    }
    this.lines.add(id, offset, length, number);
  }

  schema(dtype: 'f32' | 'f64' | undefined): Schema {
    const vectors = this.#columns.map(({ name, dimension, inexactLine }): VectorColumn => {
      return { name, dtype: dtype ?? (inexactLine === undefined ? 'f32' : 'f64'), dimension };
    });
    return { id: this.#idKind, vectors, payload: 'json' };
  }

  notes(path: string): string[] {
    return this.#columns
      .filter(({ inexactLine }) => inexactLine !== undefined)
      .map(
        ({ name, inexactLine }) =>
          `${path}: the numbers of ${name} are kept as f64, in twice the space, because f32 cannot hold those of line ${inexactLine}.`,
      );
  }

  #start(id: RecordId, vectors: NamedVectors, number: number): void {
    this.#firstLine = number;
    this.#idKind = typeof id === 'bigint' ? 'u64' : 'string';
    this.#columns = vectors.map(([name, { length: dimension }]) => ({
      name,
      dimension,
      inexactLine: undefined,
    }));
    for (const { name, dimension } of this.#columns) {
      if (dimension > MAX_DIMENSION)
        throw new LineFault(`"${name}" has ${dimension} dimensions`, `At most ${MAX_DIMENSION}.`);
    }
  }

  #checkId(id: RecordId): void {
    const kind = typeof id === 'bigint' ? 'u64' : 'string';
    if (kind === this.#idKind) return;
    const [here, there] = kind === 'u64' ? ['a number', 'text'] : ['text', 'a number'];
    throw new LineFault(
      `The id ${quoteId(id)} is ${here}, but that of line ${this.#firstLine} is ${there}`,
      'Write all ids as text, or all as numbers.',
    );
  }

  #checkVectors(id: RecordId, vectors: NamedVectors, number: number): void {
    const same =
      vectors.length === this.#columns.length &&
      vectors.every(([name], i) => name === this.#columns[i]?.name);
    if (!same) {
      const [here, there] = [vectors, this.#columns.map(({ name }) => [name])].map((all) =>
        all.map(([name]) => name).join(', '),
      );
      throw new LineFault(
        `The line has the vectors ${here}, but line ${this.#firstLine} has ${there}`,
        'Give every line the same vectors.',
      );
    }
    for (const [index, column] of this.#columns.entries()) {
      const numbers = vectors[index]?.[1] as readonly number[];
      if (numbers.length !== column.dimension) throw this.#otherDimension(id, column, numbers.length);
      if (this.#dtype === 'f32') expectRange(column.name, numbers);
      else if (column.inexactLine === undefined && !isExactly32(numbers)) column.inexactLine = number;
    }
  }

  #otherDimension(id: RecordId, { name, dimension }: ColumnSurvey, found: number): DimensionFault {
    return new DimensionFault(
      `"${name}" of ${quoteId(id)} has ${found} dimensions, but that of line ${this.#firstLine} has ${dimension}`,
      'Give every line a vector of the same dimension.',
    );
  }
}

class DimensionFault extends LineFault {}

/** Which key of the first line holds the vector. */
function vectorKeyOf(fields: readonly Field[]): VectorKey | undefined {
  return VECTOR_KEYS.find((key) =>
    fields.some(([other, value]) => other === key && value.startsWith(key === 'vectors' ? '{' : '[')),
  );
}

function expectNoVector(key: string, value: string): void {
  if (vectorKeyOf([[key, value]]) === undefined) return;
  throw new LineFault(
    `The line has "${key}", but the first line has no vector`,
    'Give every line a vector, or none.',
  );
}

function isExactly32(numbers: readonly number[]): boolean {
  for (const number of numbers) if (Math.fround(number) !== number && !Number.isNaN(number)) return false;
  return true;
}

function expectRange(name: string, numbers: readonly number[]): void {
  const beyond = numbers.find((number) => Number.isFinite(number) && !Number.isFinite(Math.fround(number)));
  if (beyond === undefined) return;
  throw new LineFault(
    `"${name}" has the number ${beyond}, which is too large for f32`,
    'Take the file with dtype f64.',
  );
}

type OnLine = (text: string, offset: number, length: number, number: number) => void;

/** Goes through the lines of a file, without those that are blank. */
async function eachLine(file: LocalFile, onLine: OnLine): Promise<void> {
  let buffer = Buffer.alloc(Math.min(READ_BYTES, file.size + 1)); // The one more is for the end to show.
  let start = 0;
  let filled = 0;
  let number = 0;
  const take = (end: number, from: number) => {
    number++;
    const bytes = buffer.subarray(from, end);
    atLine(file.path, number, () => {
      const text = decodeLine(bytes, start + from);
      if (text.trim() !== '') onLine(text, start + from, bytes.length, number);
    });
  };
  for (;;) {
    const read = await file.read(buffer.subarray(filled), start + filled);
    const end = filled + read;
    let from = 0;
    for (let to = buffer.indexOf(10, filled); to >= 0 && to < end; to = buffer.indexOf(10, from)) {
      take(to, from);
      from = to + 1;
    }
    if (read === 0) {
      if (end > from) take(end, from);
      return;
    }
    if (end - from > MAX_LINE_BYTES) throw lineTooLong(file.path, number + 1);
    if (from === 0 && end === buffer.length) buffer = Buffer.concat([buffer], buffer.length * 2);
    else buffer.copyWithin(0, from, end);
    [start, filled] = [start + from, end - from];
  }
}

/** Some programs put a byte order mark before the first line. */
function decodeLine(bytes: Buffer, offset: number): string {
  const hasMark = offset === 0 && bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf;
  const line = hasMark ? bytes.subarray(3) : bytes;
  if (isAscii(line)) return line.toString('latin1');
  try {
    return fromUtf8(line);
  } catch (cause) {
    throw new LineFault('The line is not UTF-8', 'Write the file again in UTF-8.', cause);
  }
}

/** Lines by their indexes, in this order, in few reads. */
async function readLines(file: LocalFile, lines: LineTable, indexes: Uint32Array): Promise<string[]> {
  const texts = new Array<string>(indexes.length);
  const rows = Array.from(indexes, (_, row) => row);
  rows.sort((a, b) => lines.offset(indexes[a] as number) - lines.offset(indexes[b] as number));
  const placed = rows.map((row) => {
    const index = indexes[row] as number;
    return { row, index, start: lines.offset(index), end: lines.offset(index) + lines.length(index) };
  });
  for (const run of runsOf(placed)) {
    const start = run[0]?.start ?? 0;
    const read = await file.readExactly(start, (run.at(-1)?.end ?? start) - start);
    const bytes = Buffer.from(read.buffer, read.byteOffset, read.length);
    for (const line of run) {
      const cut = bytes.subarray(line.start - start, line.end - start);
      texts[line.row] = atLine(file.path, lines.number(line.index), () => decodeLine(cut, line.start));
    }
  }
  return texts;
}

function runsOf<T extends { readonly start: number; readonly end: number }>(placed: readonly T[]): T[][] {
  const runs: T[][] = [];
  let end = -Infinity;
  for (const line of placed) {
    if (line.start > end + GAP_BYTES) runs.push([]);
    runs.at(-1)?.push(line);
    end = line.end;
  }
  return runs;
}

function atLine<T>(path: string, number: number, act: () => T): T {
  try {
    return act();
  } catch (fault) {
    if (!(fault instanceof LineFault)) throw fault;
    const code = fault instanceof DimensionFault ? 'SOURCE_DIMENSION' : 'SOURCE_INVALID';
    const { message, remedy } = fault;
    throw new VecsnapError(code, `${message}.`, { place: `${path}, line ${number}`, remedy, cause: fault });
  }
}

function lineTooLong(path: string, number: number): VecsnapError {
  return new VecsnapError('SOURCE_INVALID', `A line is longer than ${MAX_LINE_BYTES} bytes.`, {
    place: `${path}, line ${number}`,
    remedy: `Write one record on each line, or take the file as file:${path}.`,
  });
}

async function duplicateId(
  file: LocalFile,
  lines: LineTable,
  [first, second]: readonly [number, number],
): Promise<VecsnapError> {
  const [text = ''] = await readLines(file, lines, Uint32Array.of(first));
  const { id } = splitLine(text, undefined);
  const [a, b] = [lines.number(first), lines.number(second)];
  return new VecsnapError('SOURCE_DUPLICATE_ID', `The lines ${a} and ${b} have the same id ${quoteId(id)}.`, {
    place: `${file.path}, lines ${a} and ${b}`,
    remedy: 'Give every line an id of its own, or remove one of the two.',
  });
}
