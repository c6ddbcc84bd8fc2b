/** Takes the content of a source into the store and gives its manifest. */
import {
  type Address,
  compareText,
  concatBytes,
  equalBytes,
  inBatches,
  mapAhead,
  OrderCheck,
  quoteId,
  type RecordBatch,
  regroup,
  type Schema,
  type Sha256,
  checkSchema,
  throwIfAborted,
  totalLength,
  utf8,
  VecsnapError,
} from '../core/index.js';
import {
  cutStream,
  fixedCutter,
  gearCutter,
  isPaged,
  PAGED_START_BYTES,
  type RowGroup,
  RowGrouper,
  type StreamCutter,
} from '../chunker/index.js';
import type { ChunkStore, ChunkWriter, NewChunk, WholeNote } from '../cas/index.js';
import {
  type ChunkReference,
  chunksOfRowGroup,
  columnCount,
  entryToFile,
  entryToRowGroup,
  entryToStreamChunk,
  type FileNodeEntry,
  fileToEntry,
  isInnerPath,
  streamChunkToEntry,
} from '../manifest/entries.js';
import type { Entry } from '../manifest/index.js';
import { encodeManifest, type Manifest, type TreeReference } from '../manifest/manifest.js';
import { type BuiltTree, TreeBuilder } from '../manifest/tree-builder.js';
import { TreeReader } from '../manifest/tree-reader.js';
import type { Content, FileEntry, RegularFile } from '../source/port.js';
import { Alignment } from './alignment.js';
import type { FileStates } from './file-states.js';
import { HintsRefused, type TakeHints } from './hints.js';
import { NonFiniteCounter } from './non-finite.js';
import { ProgressCounter, type WorkOptions } from './progress.js';
import type { RepositoryConfig } from './config.js';
import { groupBytes, RowGroupStore, sameColumns, sameLayout, type SimilarGroups } from './row-group-store.js';
import { StoredTree } from './stored-tree.js';
import { alignStream } from './stream-alignment.js';

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
const BATCHES_AHEAD = 8;
/** Files that are under way at the same time: opening and syncing them is mostly waiting. */
const FILES_AHEAD = 12;
/** Of those with more bytes, which keep all threads busy and take memory for batches ahead, one at a time is read. */
const LARGE_FILE_BYTES = 1024 * 1024;

/** Stores the chunks of `content` through `writer`; the caller commits or abandons it. */
export async function takeContent(content: Content, parts: TakeParts, options: WorkOptions): Promise<Taken> {
  return new Taking(parts, options, content).run(content);
}

/** The snapshot that a new one is told by. */
export interface BaseSnapshot {
  readonly taken: Taken;
  readonly manifest: Manifest;
  readonly chunks: ChunkStore;
  /** Whether something that it needs may be lost: then nothing of it is relied on without reading the source. */
  readonly mayLack: boolean;
  /** What is noted with it where all of it is known to be stored, without looking it up. */
  readonly wholeNote: WholeNote | undefined;
}

/** What taking works with. */
export interface TakeParts {
  readonly writer: ChunkWriter;
  readonly config: RepositoryConfig;
  readonly sha256: Sha256;
  /** The snapshot before, which new chunks are told by. */
  readonly base: BaseSnapshot | undefined;
  /** What has changed since then, where the source can tell. */
  readonly hints?: TakeHints | undefined;
  /** Tells which files need not be read. */
  readonly fileStates?: FileStates | undefined;
}

class Taking {
  readonly #parts: TakeParts;
  readonly #signal: AbortSignal | undefined;
  readonly #progress: ProgressCounter;
  readonly #gear: StreamCutter;
  readonly #pages: StreamCutter;
  #nonFinite = 0;
  /** The large file that is being read. */
  #large: Promise<unknown> = Promise.resolve();

  constructor(parts: TakeParts, { signal, onProgress }: WorkOptions, { expected }: Content) {
    const { config } = parts;
    this.#parts = parts;
    this.#signal = signal;
    this.#progress = new ProgressCounter('take', onProgress, expected);
    this.#gear = gearCutter(config.gear);
    this.#pages = fixedCutter(config.fixed);
  }

  async run({ format, schema, records, files }: Content): Promise<Taken> {
    if (schema !== undefined) checkSchema(schema);
    const recordTree = schema && records ? await this.#takeRecords(schema, records) : undefined;
    const fileTree = files ? await this.#takeFiles(files()) : undefined;
    const bytes = encodeManifest({ format, schema, records: recordTree, files: fileTree });
    const { base, writer } = this.#parts;
    const similar = base && { unit: 1, addresses: [base.taken.manifest] };
    const [manifest] = await writer.put([{ bytes, width: 0, kind: 'node', similar }]);
    return {
      manifest: manifest as Address,
      vectorCount: recordTree?.count ?? 0,
      fileCount: fileTree?.count ?? 0,
      logicalBytes: (recordTree?.bytes ?? 0) + (fileTree?.bytes ?? 0),
      nonFiniteCount: this.#nonFinite,
    };
  }

  async #takeRecords(schema: Schema, records: NonNullable<Content['records']>): Promise<TreeReference> {
    const { hints } = this.#parts;
    return hints === undefined ? this.#scan(schema, records()) : this.#takeChanged(schema, hints);
  }

  /** @throws HintsRefused. */
  async #takeChanged(schema: Schema, hints: TakeHints): Promise<TreeReference> {
    const { base } = this.#parts;
    const before = base?.manifest;
    if (base === undefined || before?.schema === undefined || !before.records?.count)
      throw new HintsRefused('the snapshot before has no records');
    if (!sameColumns(before.schema, schema))
      throw new HintsRefused('the records have other columns than before');
    const old = { store: base.chunks, records: before.records, nonFiniteCount: base.taken.nonFiniteCount };
    const parts = { ...this.#parts, progress: this.#progress, signal: this.#signal };
    const { takeHinted } = await import('./hinted.js'); // Most sources do not tell what changed.
    const { tree, nonFiniteCount } = await takeHinted(schema, hints, old, parts);
    this.#nonFinite += nonFiniteCount;
    return tree;
  }

  /** Reads all records. */
  async #scan(schema: Schema, batches: AsyncIterable<RecordBatch>): Promise<TreeReference> {
    const { base, config } = this.#parts;
    const columns = columnCount(schema);
    const isAlike = base?.manifest.schema !== undefined && sameLayout(base.manifest.schema, schema);
    const alignment = this.#align(isAlike ? base.manifest.records?.root : undefined, (entry) =>
      chunksOfRowGroup(entry, columns),
    );
    const tree = this.#newTree(alignment);
    const store = new RowGroupStore(schema, config);
    const similarTo = async (some: readonly RowGroup[]): Promise<SimilarGroups[]> => {
      const similar = (await alignment?.similarToEach(some.map(({ key }) => key))) ?? [];
      return similar.map((entries) => entries.map((entry) => entryToRowGroup(entry, columns)));
    };
    const groups = regroup(this.#groups(schema, batches), groupBytes, BATCH_BYTES);
    const stored = mapAhead(groups, BATCHES_AHEAD, (some) =>
      this.#storeGroups(store, schema, some, alignment && similarTo(some)),
    );
    for await (const entries of stored) await tree.append(entries);
    return tree.finish();
  }

  async *#groups(schema: Schema, batches: AsyncIterable<RecordBatch>): AsyncGenerator<RowGroup[]> {
    const grouper = new RowGrouper(schema, this.#parts.config.rowGroups);
    const order = new OrderCheck();
    for await (const batch of batches) {
      throwIfAborted(this.#signal);
      order.check(batch.ids);
      yield grouper.push(batch);
    }
    yield grouper.finish();
  }

  /** @param similar for each group what stands at its place in the base, if there is one. */
  async #storeGroups(
    store: RowGroupStore,
    schema: Schema,
    groups: readonly RowGroup[],
    similar: Promise<readonly SimilarGroups[]> | undefined,
  ): Promise<Entry[]> {
    similar?.catch(() => {}); // It is thrown below.
    const isBaseFinite = this.#isBaseFinite(schema);
    const counter = new NonFiniteCounter(schema, isBaseFinite);
    const onColumn = (...column: Parameters<typeof counter.note>): void => counter.note(...column);
    const entries = await store.put(this.#parts.writer, groups, { similar, onColumn });
    const known = await similar;
    for (let i = 0; i < groups.length; i++) {
      const group = groups[i] as RowGroup;
      this.#progress.add(group.count, totalLength(group.columns));
      // Most groups stand in the base, and in most bases all numbers are finite.
      const isKnown = isBaseFinite && isAmong(entries[i] as Entry, known?.[i] ?? []);
      if (!isKnown) this.#nonFinite += counter.countIn(i, group.columns);
      group.release();
    }
    return entries;
  }

  /** Whether there is a snapshot before all of whose numbers are finite, and would be if they were taken for those of this schema. */
  #isBaseFinite({ vectors }: Schema): boolean {
    const { base } = this.#parts;
    const before = base?.manifest.schema?.vectors ?? [];
    return base?.taken.nonFiniteCount === 0 && vectors.every(({ dtype }, i) => dtype === before[i]?.dtype);
  }

  async #takeFiles(files: AsyncIterable<FileEntry>): Promise<TreeReference> {
    const alignment = this.#align(this.#parts.base?.manifest.files?.root, () => []);
    const tree = this.#newTree(alignment);
    const aligned = alignFiles(inPathOrder(files), alignment);
    for await (const entry of mapAhead(aligned, FILES_AHEAD, (file) => this.#storeFile(file)))
      await tree.append([entry]);
    await this.#parts.fileStates?.flush();
    return tree.finish();
  }

  async #storeFile({ file, before }: AlignedFile): Promise<Entry> {
    throwIfAborted(this.#signal);
    if (file.type !== 'file') return fileToEntry(file);
    const { path, type, mode } = file;
    const { base, fileStates } = this.#parts;
    const content = before?.content ?? undefined;
    // What is not read is not looked up either.
    const isWhole = base?.wholeNote !== undefined && content !== undefined;
    if (before && isWhole && (await fileStates?.hasStill(file, content))) {
      this.#progress.add(0, before.size);
      return fileToEntry({ ...before, path, mode });
    }
    const take = () => this.#takeStream(file, content);
    const stream = await (file.size > LARGE_FILE_BYTES ? this.#afterLarge(take) : take());
    if (stream.bytes === 0) return fileToEntry({ path, type, mode, size: 0, content: null });
    await fileStates?.note(file, stream.root);
    return fileToEntry({ path, type, mode, size: stream.bytes, content: stream.root });
  }

  /** Takes a large file after those before it; when one of them fails, it fails with it. */
  #afterLarge(take: () => Promise<BuiltTree>): Promise<BuiltTree> {
    const taken = this.#large.then(take);
    this.#large = taken;
    return taken;
  }

  async #takeStream(file: RegularFile, before: Address | undefined): Promise<BuiltTree> {
    const alignment = this.#align(before, (entry) => [entryToStreamChunk(entry).address]);
    const tree = this.#newTree(alignment);
    const chunks = inBatches(alignChunks(this.#cutFile(file), alignment), chunkBytes, BATCH_BYTES);
    const stored = mapAhead(chunks, BATCHES_AHEAD, (some) => this.#storeStreamChunks(some));
    for await (const references of stored) await tree.append(references.map(streamChunkToEntry));
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

  async #storeStreamChunks(chunks: readonly NewChunk[]): Promise<ChunkReference[]> {
    throwIfAborted(this.#signal);
    const addresses = await this.#parts.writer.put(chunks);
    this.#progress.add(
      0,
      chunks.reduce((sum, chunk) => sum + chunkBytes(chunk), 0),
    );
    return chunks.map(({ bytes }, i) => ({ address: addresses[i] as Address, length: bytes.length }));
  }

  /** @param dataOf the chunks that an entry refers to. */
  #align(root: Address | undefined, dataOf: (entry: Entry) => readonly Address[]): Alignment | undefined {
    const { base, writer } = this.#parts;
    if (base === undefined || root === undefined) return undefined;
    const onEntries = (entries: readonly Entry[]): Promise<void> => writer.expect(entries.flatMap(dataOf));
    return new Alignment(
      new TreeReader(base.chunks),
      root,
      base.wholeNote === undefined ? onEntries : undefined,
    );
  }

  #newTree(alignment: Alignment | undefined): StoredTree {
    const { config, sha256, writer } = this.#parts;
    return new StoredTree(new TreeBuilder(sha256, config.nodes), writer, alignment);
  }
}

/** Whether a row group has the chunks of one of these, and no others. */
function isAmong({ value }: Entry, groups: SimilarGroups): boolean {
  const columns = value as readonly (readonly (number | Uint8Array)[])[]; // As rowGroupToEntry makes it.
  return groups.some(({ columns: others }) =>
    columns.every((column, i) => {
      const chunks = others[i] ?? [];
      return (
        column.length === 2 * chunks.length &&
        chunks.every(({ address }, j) => equalBytes(address, column[2 * j + 1] as Uint8Array))
      );
    }),
  );
}

/** A file and the one that stood at its place in the snapshot before. */
interface AlignedFile {
  readonly file: FileEntry;
  readonly before: (FileNodeEntry & { readonly type: 'file' }) | undefined;
}

async function* alignFiles(
  files: AsyncIterable<FileEntry>,
  alignment: Alignment | undefined,
): AsyncGenerator<AlignedFile> {
  for await (const file of files) {
    const similar = (await alignment?.similarTo(utf8(file.path))) ?? [];
    const there = similar.map(entryToFile);
    // A lone other file at its place may be what it was before it was renamed.
    const before =
      there.find(({ path }) => path === file.path) ?? (there.length === 1 ? there[0] : undefined);
    yield { file, before: before?.type === 'file' ? before : undefined };
  }
}

async function* alignChunks(
  chunks: AsyncIterable<Uint8Array>,
  alignment: Alignment | undefined,
): AsyncGenerator<NewChunk> {
  const read = (count: number) => alignment?.next(count) ?? [];
  for await (const { bytes, similar } of alignStream(chunks, read)) {
    const addresses = similar.map((entry) => entryToStreamChunk(entry).address);
    yield {
      bytes,
      width: 0,
      kind: 'data',
      similar: addresses.length === 0 ? undefined : { unit: 1, addresses },
    };
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

function chunkBytes({ bytes }: NewChunk): number {
  return bytes.length;
}
