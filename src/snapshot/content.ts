/** The content of a snapshot, read back from the store: what a target is given. */
import {
  concatBytes,
  isDamage,
  MAX_GROUP_BYTES,
  prefetch,
  quoteId,
  type RecordBatch,
  regroup,
  type Schema,
  throwIfAborted,
  vectorBytes,
  VecsnapError,
} from '../core/index.js';
import { decodeIdColumn, decodePayloadColumn } from '../chunker/columns.js';
import type { ChunkStore } from '../cas/index.js';
import {
  type ChunkReference,
  columnCount,
  entryToFile,
  entryToRowGroup,
  entryToStreamChunk,
  type FileContent,
  type FileNodeEntry,
  onlyChunk,
  type RowGroupEntry,
} from '../manifest/entries.js';
import type { Entry } from '../manifest/index.js';
import type { Manifest, TreeReference } from '../manifest/manifest.js';
import { TreeReader } from '../manifest/tree-reader.js';
import type { Content, FileEntry } from '../source/port.js';
import { getChecked, wrongLength } from './checked-chunks.js';
import { bytesInBatch } from './file-batches.js';
import { ProgressCounter, type WorkOptions } from './progress.js';
import { type Selected, selected, selectFrom, type Selection } from './selection.js';
import { checkWhole } from './settings.js';
import type { StoredFile, TakeFile } from './small-files.js';

/** What is read of a snapshot, and how far ahead. */
export interface ReadOptions extends WorkOptions, Selection {
  /**
   * Bytes of content that are read before they are asked for, and so held in memory, however slow the consumer is. A row group
   * that has more is read alone. Default: 8 MiB.
   */
  readonly readAheadBytes?: number | undefined;
}

/** The default of {@link ReadOptions}. */
export const READ_AHEAD_BYTES = 8 * 1024 * 1024;

/** Chunks are read by about this many bytes at a time, where so many may be read ahead. */
const BATCH_BYTES = 1024 * 1024;
/** The first batch has about so many, and each the double of the one before: so the first records come soon. */
const FIRST_BATCH_BYTES = 64 * 1024;
/** Batches that are under way at the same time, at least. */
const BATCHES_AHEAD = 4;

/**
 * The content that a manifest stands for; everything is read as it is asked for. With a selection, only those records.
 * @throws VecsnapError OPTION_INVALID.
 */
export function contentOf(store: ChunkStore, manifest: Manifest, options: ReadOptions = {}): Content {
  const { format, schema, records, files } = manifest;
  const selection = selected(options, schema);
  const expected =
    selection.by === 'all'
      ? { records: records?.count ?? 0, bytes: (records?.bytes ?? 0) + (files?.bytes ?? 0) }
      : {};
  const progress = new ProgressCounter('restore', options.onProgress, expected);
  const reading = new Reading(store, progress, options);
  return {
    format,
    schema,
    records: schema && records && (() => reading.records(schema, records, selection)),
    files: files && (() => reading.files(files)),
    expected,
  };
}

/** A row group of a tree, its plaintext bytes, and how many records come before it, where records are found by their position. */
interface PlacedGroup {
  readonly group: RowGroupEntry;
  readonly bytes: number;
  readonly before: number;
}

/** The row groups that may hold selected records, in order, many at a time. */
async function* rowGroups(
  store: ChunkStore,
  schema: Schema,
  tree: TreeReference,
  selection: Selected,
): AsyncGenerator<readonly PlacedGroup[]> {
  if (selection.by === 'none') return;
  const columns = columnCount(schema);
  const trees = new TreeReader(store);
  if (selection.by === 'rows') {
    for await (const { entry, before } of trees.entriesBetween(tree, selection.rows))
      yield [placedGroup(entry, columns, before)];
    return;
  }
  const keys = selection.by === 'keys' ? selection.keys : {};
  for await (const leaf of trees.leaves(tree, keys))
    yield leaf.map((entry) => placedGroup(entry, columns, 0));
}

function placedGroup(entry: Entry, columns: number, before: number): PlacedGroup {
  return { group: entryToRowGroup(entry, columns), bytes: entry.bytes, before };
}

/** Reads row groups, together and in order. */
export async function readRowGroups(
  store: ChunkStore,
  schema: Schema,
  groups: readonly RowGroupEntry[],
): Promise<RecordBatch[]> {
  for (const group of groups) checkGroup(schema, group);
  const references = groups.flatMap(({ columns }) => columns.flat());
  const chunks = await getChecked(store, references);
  let next = 0;
  return groups.map(({ count, columns }) => {
    const first = next;
    const bytes = columns.map((column) => joinChunks(chunks.slice(next, (next += column.length))));
    const own = chunks.slice(first, next);
    const release = once(() => store.release(own));
    return toBatch(schema, count, bytes, release);
  });
}

/** Before anything is read: what a group says of itself must fit together, and into memory. */
function checkGroup(schema: Schema, group: RowGroupEntry): void {
  const first = schema.id === 'none' ? 0 : 1;
  const areWhole = schema.vectors.every(
    (column, i) => columnBytes(group.columns[first + i] ?? []) === group.count * vectorBytes(column),
  );
  const bytes = group.columns.reduce((sum, column) => sum + columnBytes(column), 0);
  if (!areWhole || bytes > MAX_GROUP_BYTES) throw wrongLength();
}

async function* fileNodes(store: ChunkStore, tree: TreeReference): AsyncGenerator<readonly FileNodeEntry[]> {
  for await (const leaf of new TreeReader(store).leaves(tree)) yield leaf.map(entryToFile);
}

function isStored(file: FileNodeEntry): file is FileNodeEntry & StoredFile {
  return file.type === 'file' && file.content !== null;
}

class Reading {
  readonly #store: ChunkStore;
  readonly #progress: ProgressCounter;
  readonly #signal: AbortSignal | undefined;
  readonly #aheadBytes: number;

  constructor(
    store: ChunkStore,
    progress: ProgressCounter,
    { signal, readAheadBytes = READ_AHEAD_BYTES }: ReadOptions,
  ) {
    checkWhole('readAheadBytes', readAheadBytes, 1, Number.MAX_SAFE_INTEGER);
    this.#store = store;
    this.#progress = progress;
    this.#signal = signal;
    this.#aheadBytes = readAheadBytes;
  }

  async *records(schema: Schema, tree: TreeReference, selection: Selected): AsyncGenerator<RecordBatch> {
    const placed = rowGroups(this.#store, schema, tree, selection);
    const read = this.#ahead(
      placed,
      ({ bytes }) => bytes,
      async (groups) => {
        const batches = await readRowGroups(this.#store, schema, groups.map(groupOf));
        if (selection.by === 'all') return joined(batches);
        return batches.map((batch, i) =>
          selectFrom(batch, schema, selection, (groups[i] as PlacedGroup).before),
        );
      },
    );
    for await (const batch of read) {
      if (batch === undefined) continue;
      yield batch;
      this.#progress.add(batch.count, batchBytes(batch));
    }
  }

  async *files(tree: TreeReference): AsyncGenerator<FileEntry> {
    const most = this.#batchBytes();
    const { SmallFiles } = await import('./small-files.js'); // Most snapshots have records alone.
    const small = new SmallFiles(this.#store, Math.floor(this.#aheadBytes / most));
    const batches = regroup(fileNodes(this.#store, tree), bytesInBatch, most);
    for await (const files of batches) {
      const takes = small.batch(files.filter(isStored).filter(({ size }) => size <= most));
      for (const file of files) {
        throwIfAborted(this.#signal);
        yield this.#toFile(file, takes.get(file));
      }
    }
  }

  #toFile(file: FileNodeEntry, take: TakeFile | undefined): FileEntry {
    if (file.type !== 'file') return file;
    const { path, type, mode, size, content } = file;
    const read = () =>
      namingFile(path, take === undefined ? this.#stream(content, size) : this.#taken(content, size, take));
    return { path, type, mode, size, read };
  }

  async *#taken(content: FileContent | null, bytes: number, take: TakeFile): AsyncGenerator<Uint8Array> {
    throwIfAborted(this.#signal);
    const pieces = await take();
    if (pieces === undefined) {
      yield* this.#stream(content, bytes);
      return;
    }
    for (const piece of pieces) {
      throwIfAborted(this.#signal);
      yield piece;
      this.#progress.add(0, piece.length);
    }
  }

  async *#stream(content: FileContent | null, bytes: number): AsyncGenerator<Uint8Array> {
    if (content === null) return;
    const pieces = this.#ahead(this.#streamChunks(content, bytes), lengthOf, (some) =>
      getChecked(this.#store, some),
    );
    for await (const piece of pieces) {
      yield piece;
      this.#progress.add(0, piece.length);
    }
  }

  #batchBytes(): number {
    return Math.min(BATCH_BYTES, this.#aheadBytes / BATCHES_AHEAD);
  }

  /** Reads items ahead, many at a time, and gives what comes of them. @param items as they come, some at a time. */
  async *#ahead<T, R>(
    items: AsyncIterable<readonly T[]>,
    bytesOf: (item: T) => number,
    read: (items: readonly T[]) => Promise<R[]>,
  ): AsyncGenerator<R> {
    const most = this.#batchBytes();
    const runs = regroup(items, bytesOf, (n) => Math.min(most, FIRST_BATCH_BYTES * 2 ** n));
    const limits = { bytesOf: sumOver(bytesOf), limit: this.#aheadBytes };
    const readNow = async (run: readonly T[]): Promise<R[]> => {
      throwIfAborted(this.#signal);
      return read(run);
    };
    let first: Promise<R[]> | undefined; // Nothing competes with what the consumer waits for.
    const results = prefetch(runs, limits, (run) => {
      const result = first === undefined ? readNow(run) : first.then(() => readNow(run));
      first ??= result;
      return result;
    });
    for await (const some of results) {
      for (const result of some) {
        throwIfAborted(this.#signal);
        yield result;
      }
    }
  }

  async *#streamChunks(content: FileContent, bytes: number): AsyncGenerator<readonly ChunkReference[]> {
    const only = onlyChunk(content, bytes);
    if (only !== undefined) {
      yield [only];
      return;
    }
    const leaves = new TreeReader(this.#store).leaves({ root: content.address, bytes });
    for await (const leaf of leaves) yield leaf.map(entryToStreamChunk);
  }
}

/** Passes pieces of a file on, and says which file cannot be read. */
async function* namingFile(path: string, pieces: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  try {
    yield* pieces;
  } catch (error) {
    if (!isDamage(error)) throw error;
    const place = `${quoteId(path)}${error.place === undefined ? '' : `: ${error.place}`}`;
    throw new VecsnapError(error.code, error.message, { place, remedy: error.remedy, cause: error });
  }
}

function toBatch(
  schema: Schema,
  count: number,
  columns: readonly Uint8Array[],
  release: () => void,
): RecordBatch {
  const first = schema.id === 'none' ? 0 : 1;
  const vectors = columns.slice(first, first + schema.vectors.length);
  const areWhole = schema.vectors.every((column, i) => vectors[i]?.length === count * vectorBytes(column));
  if (!areWhole) throw wrongLength();
  return {
    count,
    ids: schema.id === 'none' ? undefined : decodeIdColumn(schema.id, columns[0] as Uint8Array, count),
    vectors,
    payloads:
      schema.payload === 'none' ? undefined : decodePayloadColumn(columns.at(-1) as Uint8Array, count),
    release,
  };
}

/**
 * Batches with nothing but one column of vectors, those as one whose vectors stand one behind the other in memory: what is done for
 * each batch then takes a fraction of the time.
 */
function joined(batches: readonly RecordBatch[]): RecordBatch[] {
  const results: RecordBatch[] = [];
  for (let start = 0, end = 0; start < batches.length; start = end) {
    const first = batches[start] as RecordBatch;
    for (end = start + 1; end < batches.length; end++)
      if (!isNextTo(batches[end - 1] as RecordBatch, batches[end] as RecordBatch)) break;
    results.push(end === start + 1 ? first : asOne(batches.slice(start, end)));
  }
  return results;
}

function isNextTo(a: RecordBatch, b: RecordBatch): boolean {
  if (a.vectors.length !== 1 || a.ids !== undefined || a.payloads !== undefined) return false;
  const left = a.vectors[0] as Uint8Array;
  const right = b.vectors[0] as Uint8Array;
  return left.byteOffset + left.length === right.byteOffset && left.buffer === right.buffer;
}

function asOne(batches: readonly RecordBatch[]): RecordBatch {
  const { buffer, byteOffset } = (batches[0] as RecordBatch).vectors[0] as Uint8Array;
  const bytes = batches.reduce((sum, { vectors }) => sum + (vectors[0] as Uint8Array).length, 0);
  return {
    count: batches.reduce((sum, { count }) => sum + count, 0),
    ids: undefined,
    vectors: [new Uint8Array(buffer, byteOffset, bytes)],
    payloads: undefined,
    release: () => batches.forEach(({ release }) => release?.()),
  };
}

function joinChunks(chunks: readonly Uint8Array[]): Uint8Array {
  return chunks.length === 1 ? (chunks[0] as Uint8Array) : concatBytes(chunks);
}

/** Runs `action` when it is called first. */
function once(action: () => void): () => void {
  let isDone = false;
  return () => {
    if (!isDone) action();
    isDone = true;
  };
}

function groupOf({ group }: PlacedGroup): RowGroupEntry {
  return group;
}

function lengthOf({ length }: ChunkReference): number {
  return length;
}

function sumOver<T>(bytesOf: (item: T) => number): (items: readonly T[]) => number {
  return (items) => items.reduce((sum, item) => sum + bytesOf(item), 0);
}

function columnBytes(chunks: readonly ChunkReference[]): number {
  return chunks.reduce((sum, { length }) => sum + length, 0);
}

function batchBytes({ vectors, payloads }: RecordBatch): number {
  const ofVectors = vectors.reduce((sum, { length }) => sum + length, 0);
  return ofVectors + (payloads ?? []).reduce((sum, { length }) => sum + length, 0);
}
