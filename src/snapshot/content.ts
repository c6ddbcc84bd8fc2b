/** The content of a snapshot, read back from the store: what a target is given. */
import {
  type Address,
  concatBytes,
  inBatches,
  mapAhead,
  type RecordBatch,
  type Schema,
  throwIfAborted,
  VecsnapError,
  vectorBytes,
} from '../core/index.js';
import { decodeIdColumn, decodePayloadColumn } from '../chunker/index.js';
import type { ChunkStore } from '../cas/index.js';
import {
  type ChunkReference,
  columnCount,
  decodeManifest,
  entryToFile,
  entryToRowGroup,
  entryToStreamChunk,
  type FileNodeEntry,
  type KeyRange,
  type Manifest,
  type RowGroupEntry,
  TreeReader,
  type TreeReference,
} from '../manifest/index.js';
import type { Content, FileEntry } from '../source/port.js';
import { type Snapshot, manifestAddress } from './snapshot.js';
import { ProgressCounter, type WorkOptions } from './progress.js';

/** Chunks are read by about this many bytes at a time. */
const BATCH_BYTES = 1024 * 1024;
/** Batches that are being read and decoded at the same time. */
const BATCHES_AHEAD = 6;

/** The manifest of a snapshot. */
export async function readManifest(store: ChunkStore, snapshot: Snapshot): Promise<Manifest> {
  return decodeManifest(await store.get(manifestAddress(snapshot)));
}

/** The content that a manifest stands for; everything is read as it is asked for. */
export function contentOf(store: ChunkStore, manifest: Manifest, options: WorkOptions = {}): Content {
  const { format, schema, records, files } = manifest;
  const expected = {
    records: records?.count ?? 0,
    bytes: (records?.bytes ?? 0) + (files?.bytes ?? 0),
  };
  const progress = new ProgressCounter('restore', options.onProgress, expected);
  const reading = new Reading(store, progress, options.signal);
  return {
    format,
    schema,
    records: schema && records && (() => reading.records(schema, records)),
    files: files && (() => reading.files(files)),
    expected,
  };
}

/** The row groups of a tree of records, in order. */
export async function* rowGroups(
  store: ChunkStore,
  schema: Schema,
  { root }: Pick<TreeReference, 'root'>,
  range?: KeyRange,
): AsyncGenerator<RowGroupEntry> {
  const columns = columnCount(schema);
  for await (const entry of new TreeReader(store).entries(root, range)) yield entryToRowGroup(entry, columns);
}

/** Reads row groups, together and in order. */
export async function readRowGroups(
  store: ChunkStore,
  schema: Schema,
  groups: readonly RowGroupEntry[],
): Promise<RecordBatch[]> {
  const references = groups.flatMap(({ columns }) => columns.flat());
  const chunks = await getChecked(store, references);
  let next = 0;
  return groups.map(({ count, columns }) => {
    const bytes = columns.map((column) => joinChunks(column.map(() => chunks[next++] as Uint8Array)));
    return toBatch(schema, count, bytes);
  });
}

class Reading {
  readonly #store: ChunkStore;
  readonly #progress: ProgressCounter;
  readonly #signal: AbortSignal | undefined;

  constructor(store: ChunkStore, progress: ProgressCounter, signal: AbortSignal | undefined) {
    this.#store = store;
    this.#progress = progress;
    this.#signal = signal;
  }

  async *records(schema: Schema, tree: TreeReference): AsyncGenerator<RecordBatch> {
    const runs = inBatches(rowGroups(this.#store, schema, tree), rowGroupBytes, BATCH_BYTES);
    const read = mapAhead(runs, BATCHES_AHEAD, (groups) => readRowGroups(this.#store, schema, groups));
    for await (const batches of read) {
      for (const batch of batches) {
        throwIfAborted(this.#signal);
        yield batch;
        this.#progress.add(batch.count, batchBytes(batch));
      }
    }
  }

  async *files({ root }: TreeReference): AsyncGenerator<FileEntry> {
    for await (const entry of new TreeReader(this.#store).entries(root)) {
      throwIfAborted(this.#signal);
      yield this.#toFile(entryToFile(entry));
    }
  }

  #toFile(file: FileNodeEntry): FileEntry {
    if (file.type !== 'file') return file;
    const { path, type, mode, size, content } = file;
    return { path, type, mode, size, read: () => this.#stream(content) };
  }

  async *#stream(root: Address | null): AsyncGenerator<Uint8Array> {
    if (root === null) return;
    const runs = inBatches(this.#streamChunks(root), ({ length }) => length, BATCH_BYTES);
    for await (const pieces of mapAhead(runs, BATCHES_AHEAD, (some) => getChecked(this.#store, some))) {
      for (const piece of pieces) {
        throwIfAborted(this.#signal);
        yield piece;
        this.#progress.add(0, piece.length);
      }
    }
  }

  async *#streamChunks(root: Address): AsyncGenerator<ChunkReference> {
    for await (const entry of new TreeReader(this.#store).entries(root)) yield entryToStreamChunk(entry);
  }
}

/** The plaintexts of chunks, each of the length that the manifest says. */
async function getChecked(store: ChunkStore, references: readonly ChunkReference[]): Promise<Uint8Array[]> {
  const chunks = await store.getMany(references.map(({ address }) => address));
  for (const [i, { length }] of references.entries()) {
    if ((chunks[i] as Uint8Array).length !== length) throw wrongLength();
  }
  return chunks;
}

function toBatch(schema: Schema, count: number, columns: readonly Uint8Array[]): RecordBatch {
  const hasIds = schema.id !== 'none';
  const vectors = columns.slice(hasIds ? 1 : 0, (hasIds ? 1 : 0) + schema.vectors.length);
  for (const [i, column] of schema.vectors.entries()) {
    if ((vectors[i] as Uint8Array).length !== count * vectorBytes(column)) throw wrongLength();
  }
  return {
    count,
    ids: schema.id === 'none' ? undefined : decodeIdColumn(schema.id, columns[0] as Uint8Array, count),
    vectors,
    payloads:
      schema.payload === 'none' ? undefined : decodePayloadColumn(columns.at(-1) as Uint8Array, count),
  };
}

function joinChunks(chunks: readonly Uint8Array[]): Uint8Array {
  return chunks.length === 1 ? (chunks[0] as Uint8Array) : concatBytes(chunks);
}

function rowGroupBytes({ columns }: RowGroupEntry): number {
  return columns.flat().reduce((sum, { length }) => sum + length, 0);
}

function batchBytes({ vectors, payloads }: RecordBatch): number {
  const ofVectors = vectors.reduce((sum, { length }) => sum + length, 0);
  return ofVectors + (payloads ?? []).reduce((sum, { length }) => sum + length, 0);
}

function wrongLength(): VecsnapError {
  return new VecsnapError('MANIFEST_DAMAGED', 'A chunk has another length than the manifest says.', {
    remedy: 'Run verify to find which snapshots this concerns.',
  });
}
