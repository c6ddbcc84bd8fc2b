/** Takes the content of a source into the store and gives its manifest. */
import {
  type Address,
  compareText,
  concatBytes,
  inBatches,
  mapAhead,
  OrderCheck,
  quoteId,
  type RecordBatch,
  type Schema,
  checkSchema,
  DTYPE_BYTES,
  throwIfAborted,
  totalLength,
  VecsnapError,
} from '../core/index.js';
import {
  cutBytes,
  cutStream,
  fixedCutter,
  gearCutter,
  isPaged,
  PAGED_START_BYTES,
  type RowGroup,
  RowGrouper,
  type StreamCutter,
} from '../chunker/index.js';
import type { ChunkWriter } from '../cas/index.js';
import { type NewChunk, type PlaneWidth } from '../cas/index.js';
import {
  type BuiltNode,
  type BuiltTree,
  type ChunkReference,
  encodeManifest,
  fileToEntry,
  isInnerPath,
  rowGroupToEntry,
  streamChunkToEntry,
  TreeBuilder,
  type TreeReference,
} from '../manifest/index.js';
import type { Content, FileEntry, RegularFile } from '../source/port.js';
import { countNonFinite } from './non-finite.js';
import { ProgressCounter, type WorkOptions } from './progress.js';
import type { RepositoryConfig } from './config.js';

/** What was taken. */
export interface Taken {
  /** The address of the manifest. */
  readonly manifest: Address;
  readonly vectorCount: number;
  readonly fileCount: number;
  readonly logicalBytes: number;
  readonly nonFiniteCount: number;
}

/** Row groups are hashed and stored by about this many bytes at a time. */
const BATCH_BYTES = 1024 * 1024;
/** Batches that are being hashed, encoded and written at the same time. */
const BATCHES_AHEAD = 6;
/** Files that are being read at the same time. */
const FILES_AHEAD = 4;
/** A column that is longer than this is cut as a stream is, so that no chunk grows without bound. */
const COLUMN_CHUNK_BYTES = 1024 * 1024;

/** Stores the chunks of `content` through `writer`; the caller commits or abandons it. */
export async function takeContent(
  content: Content,
  writer: ChunkWriter,
  config: RepositoryConfig,
  sha256: (bytes: Uint8Array) => Address,
  options: WorkOptions,
): Promise<Taken> {
  return new Taking(writer, config, sha256, options, content).run(content);
}

class Taking {
  readonly #writer: ChunkWriter;
  readonly #config: RepositoryConfig;
  readonly #sha256: (bytes: Uint8Array) => Address;
  readonly #signal: AbortSignal | undefined;
  readonly #progress: ProgressCounter;
  readonly #gear: StreamCutter;
  readonly #pages: StreamCutter;
  #nonFinite = 0;

  constructor(
    writer: ChunkWriter,
    config: RepositoryConfig,
    sha256: (bytes: Uint8Array) => Address,
    { signal, onProgress }: WorkOptions,
    { expected }: Content,
  ) {
    this.#writer = writer;
    this.#config = config;
    this.#sha256 = sha256;
    this.#signal = signal;
    this.#progress = new ProgressCounter('take', onProgress, expected);
    this.#gear = gearCutter(config.gear);
    this.#pages = fixedCutter(config.fixed);
  }

  async run({ format, schema, records, files }: Content): Promise<Taken> {
    if (schema !== undefined) checkSchema(schema);
    const recordTree = schema && records ? await this.#takeRecords(schema, records()) : undefined;
    const fileTree = files ? await this.#takeFiles(files()) : undefined;
    const bytes = encodeManifest({ format, schema, records: recordTree, files: fileTree });
    const [manifest] = await this.#writer.put([{ bytes, width: 0, kind: 'node' }]);
    return {
      manifest: manifest as Address,
      vectorCount: recordTree?.count ?? 0,
      fileCount: fileTree?.count ?? 0,
      logicalBytes: (recordTree?.bytes ?? 0) + (fileTree?.bytes ?? 0),
      nonFiniteCount: this.#nonFinite,
    };
  }

  async #takeRecords(schema: Schema, batches: AsyncIterable<RecordBatch>): Promise<TreeReference> {
    const tree = this.#newTree();
    const groups = inBatches(this.#groups(schema, batches), groupBytes, BATCH_BYTES);
    for await (const entries of mapAhead(groups, BATCHES_AHEAD, (some) => this.#storeGroups(schema, some))) {
      for (const entry of entries) await tree.append(entry);
    }
    return tree.finish();
  }

  async *#groups(schema: Schema, batches: AsyncIterable<RecordBatch>): AsyncGenerator<RowGroup> {
    const grouper = new RowGrouper(schema, this.#config.rowGroups);
    const order = new OrderCheck();
    for await (const batch of batches) {
      throwIfAborted(this.#signal);
      order.check(batch.ids);
      yield* grouper.push(batch);
    }
    yield* grouper.finish();
  }

  async #storeGroups(schema: Schema, groups: readonly RowGroup[]) {
    const columns = groups.map((group) => this.#columnChunks(schema, group));
    for (const group of groups) this.#count(schema, group);
    const addresses = await this.#writer.put(columns.flat(2));
    for (const group of groups) group.release();
    let next = 0;
    return groups.map(({ key, count }, i) => {
      const references = (columns[i] as NewChunk[][]).map((chunks) =>
        chunks.map(({ bytes }): ChunkReference => ({
          address: addresses[next++] as Address,
          length: bytes.length,
        })),
      );
      return rowGroupToEntry({ key, count, columns: references });
    });
  }

  #count(schema: Schema, { count, columns }: RowGroup): void {
    const first = schema.id === 'none' ? 0 : 1;
    for (const [i, { dtype }] of schema.vectors.entries()) {
      this.#nonFinite += countNonFinite(columns[first + i] as Uint8Array, dtype);
    }
    this.#progress.add(count, totalLength(columns));
  }

  async #takeFiles(files: AsyncIterable<FileEntry>): Promise<TreeReference> {
    const tree = this.#newTree();
    for await (const entry of mapAhead(inPathOrder(files), FILES_AHEAD, (file) => this.#storeFile(file)))
      await tree.append(entry);
    return tree.finish();
  }

  async #storeFile(file: FileEntry) {
    throwIfAborted(this.#signal);
    if (file.type !== 'file') return fileToEntry(file);
    const stream = await this.#takeStream(file);
    const content = stream.bytes === 0 ? null : stream.root;
    return fileToEntry({ path: file.path, type: 'file', mode: file.mode, size: stream.bytes, content });
  }

  async #takeStream(file: RegularFile): Promise<BuiltTree> {
    const tree = this.#newTree();
    const chunks = inBatches(this.#cutFile(file), byteLength, BATCH_BYTES);
    const stored = mapAhead(chunks, BATCHES_AHEAD, (some) => this.#storeStreamChunks(some));
    for await (const references of stored) {
      for (const reference of references) await tree.append(streamChunkToEntry(reference));
    }
    return tree.finish();
  }

  async *#cutFile(file: RegularFile): AsyncGenerator<Uint8Array> {
    const pieces = file.read()[Symbol.asyncIterator]();
    try {
      const start = await firstBytes(pieces, PAGED_START_BYTES);
      yield* cutStream(resumed(start, pieces), isPaged(start) ? this.#pages : this.#gear);
    } finally {
      await pieces.return?.(); // When nobody wants the rest, the file is closed all the same.
    }
  }

  async #storeStreamChunks(chunks: readonly Uint8Array[]): Promise<ChunkReference[]> {
    throwIfAborted(this.#signal);
    const addresses = await this.#writer.put(chunks.map((bytes) => ({ bytes, width: 0, kind: 'data' })));
    this.#progress.add(0, totalLength(chunks));
    return chunks.map(({ length }, i) => ({ address: addresses[i] as Address, length }));
  }

  #columnChunks(schema: Schema, { columns }: RowGroup): NewChunk[][] {
    const widths = columnWidths(schema);
    return columns.map((bytes, i) => this.#cutColumn(bytes, widths[i] as 0 | PlaneWidth));
  }

  #cutColumn(bytes: Uint8Array, width: 0 | PlaneWidth): NewChunk[] {
    if (bytes.length === 0) return [];
    if (bytes.length <= COLUMN_CHUNK_BYTES) return [{ bytes, width, kind: 'data' }];
    const cutter = width === 0 ? this.#gear : this.#pages;
    return [...cutBytes(bytes, cutter)].map((piece) => ({ bytes: piece, width, kind: 'data' }));
  }

  #newTree(): StoredTree {
    return new StoredTree(new TreeBuilder(this.#sha256, this.#config.nodes), this.#writer);
  }
}

/** A tree whose nodes are stored as they are complete. */
class StoredTree {
  readonly #builder: TreeBuilder;
  readonly #writer: ChunkWriter;
  #nodes: NewChunk[] = [];

  constructor(builder: TreeBuilder, writer: ChunkWriter) {
    this.#builder = builder;
    this.#writer = writer;
  }

  async append(entry: Parameters<TreeBuilder['append']>[0]): Promise<void> {
    for (const node of this.#builder.append(entry)) await this.#keep(node);
  }

  async finish(): Promise<BuiltTree> {
    const rest = this.#builder.finish();
    for (let step = rest.next(); ; step = rest.next()) {
      if (step.done) {
        await this.#flush();
        return step.value;
      }
      await this.#keep(step.value);
    }
  }

  async #keep({ bytes }: BuiltNode): Promise<void> {
    this.#nodes.push({ bytes, width: 0, kind: 'node' });
    if (this.#nodes.length >= 64) await this.#flush();
  }

  async #flush(): Promise<void> {
    const nodes = this.#nodes;
    this.#nodes = [];
    await this.#writer.put(nodes);
  }
}

/** Pieces until they have `length` bytes or more, or all there are. */
async function firstBytes(pieces: AsyncIterator<Uint8Array>, length: number): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  while (totalLength(parts) < length) {
    const { done, value } = await pieces.next();
    if (done) break;
    parts.push(value);
  }
  return parts.length === 1 ? (parts[0] as Uint8Array) : concatBytes(parts);
}

/** What is read first, and then the rest. */
async function* resumed(first: Uint8Array, rest: AsyncIterator<Uint8Array>): AsyncGenerator<Uint8Array> {
  yield first;
  for (let step = await rest.next(); !step.done; step = await rest.next()) yield step.value;
}

/**
 * Passes files on, and checks that their paths ascend and stay inside the tree: what was taken must be there again when it is
 * restored.
 * @throws VecsnapError SOURCE_INVALID, SOURCE_UNORDERED.
 */
async function* inPathOrder(files: AsyncIterable<FileEntry>): AsyncGenerator<FileEntry> {
  let last: string | undefined;
  for await (const file of files) {
    const { path, mode } = file;
    const isSound = isInnerPath(path) && Number.isSafeInteger(mode) && mode >= 0 && mode <= 0o7777;
    if (!isSound) throw fileError('SOURCE_INVALID', path, 'has a path or a mode that no file can have');
    if (last !== undefined && compareText(last, path) >= 0)
      throw fileError('SOURCE_UNORDERED', path, `came after ${quoteId(last)}`);
    last = path;
    yield file;
  }
}

function fileError(code: 'SOURCE_INVALID' | 'SOURCE_UNORDERED', path: string, what: string): VecsnapError {
  return new VecsnapError(code, `A file of the source ${what}.`, {
    place: quoteId(path),
    remedy:
      'A source must give files in the order of the UTF-8 bytes of their paths, which lie inside its tree.',
  });
}

/** Bytes of the numbers in each column of a group: ids, vectors, payloads, as far as the schema has them. */
function columnWidths({ id, vectors, payload }: Schema): (0 | PlaneWidth)[] {
  return [
    ...(id === 'none' ? [] : [id === 'u64' ? 8 : 0]),
    ...vectors.map(({ dtype }) => Math.max(1, DTYPE_BYTES[dtype])),
    ...(payload === 'none' ? [] : [0]),
  ] as (0 | PlaneWidth)[];
}

function groupBytes({ columns }: RowGroup): number {
  return totalLength(columns);
}

function byteLength({ length }: Uint8Array): number {
  return length;
}
