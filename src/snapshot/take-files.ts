/** Takes files: each is a stream of chunks. */
import {
  type Address,
  compareText,
  concatBytes,
  inBatches,
  mapAhead,
  mapConcurrent,
  quoteId,
  Semaphore,
  throwIfAborted,
  utf8,
  VecsnapError,
} from '../core/index.js';
import { isPaged, PAGED_START_BYTES } from '../chunker/fixed.js';
import { cutStream, fixedCutter, gearCutter, type StreamCutter } from '../chunker/stream.js';
import type { NewChunk } from '../cas/index.js';
import {
  type ChunkReference,
  entryToFile,
  entryToStreamChunk,
  type FileNodeEntry,
  fileToEntry,
  isInnerPath,
} from '../manifest/entries.js';
import type { Entry } from '../manifest/index.js';
import type { TreeReference } from '../manifest/manifest.js';
import type { FileEntry, RegularFile } from '../source/port.js';
import { type Alignment, alignmentWith } from './alignment.js';
import { bytesInBatch } from './file-batches.js';
import { NewStream, NO_BYTES, type OldStream, oldStream, type StoredStream } from './file-stream.js';
import type { ProgressCounter } from './progress.js';
import { newTree } from './stored-tree.js';
import { alignStream } from './stream-alignment.js';
import type { TakeParts } from './take.js';

/** Chunks are hashed and stored by about this many bytes at a time. */
const BATCH_BYTES = 1024 * 1024;
/** Batches that are being hashed, encoded and written at the same time, of chunks or of files. */
const BATCHES_AHEAD = 8;
/** Files of a batch that are read at the same time: opening and syncing them is mostly waiting. */
const FILES_AT_ONCE = 16;
/** Small files that are open at the same time, in all batches: a process may often have no more than a few hundred. */
const MOST_OPEN_FILES = 64;
/** Of those with more bytes, which keep all threads busy and take memory for batches ahead, one at a time is read. */
const LARGE_FILE_BYTES = 1024 * 1024;

interface FileTakeParts extends TakeParts {
  readonly progress: ProgressCounter;
  readonly signal: AbortSignal | undefined;
}

/** Takes the files of one source. */
export class FileTaking {
  readonly #parts: FileTakeParts;
  readonly #gear: StreamCutter;
  readonly #pages: StreamCutter;
  /** Lets one large file be read at a time. */
  readonly #large = new Semaphore(1);
  readonly #small = new Semaphore(MOST_OPEN_FILES);
  /** What a file failed with. Then the others that are under way are taken no further. */
  #failure: { readonly error: unknown } | undefined;

  constructor(parts: FileTakeParts) {
    this.#parts = parts;
    this.#gear = gearCutter(parts.config.gear);
    this.#pages = fixedCutter(parts.config.fixed);
  }

  async run(files: AsyncIterable<FileEntry>): Promise<TreeReference> {
    const alignment = alignmentWith(this.#parts, this.#parts.base?.manifest.files?.root, () => []);
    const tree = newTree(this.#parts, alignment);
    const batches = alignFiles(inBatches(files, bytesInBatch, BATCH_BYTES), alignment);
    const stored = mapAhead(batches, BATCHES_AHEAD, (some) => this.#notingFailure(this.#storeFiles(some)));
    for await (const entries of stored) await tree.append(entries);
    await this.#parts.fileStates?.flush();
    return tree.finish();
  }

  /** So that what else is under way goes no further. */
  #notingFailure<T>(work: Promise<T>): Promise<T> {
    return work.catch((error: unknown) => {
      this.#failure ??= { error };
      throw error;
    });
  }

  async #storeFiles(files: readonly AlignedFile[]): Promise<Entry[]> {
    this.#checkGoesOn();
    const entries = await this.#withoutReading(files);
    const positions = files.flatMap((_, i) => (entries[i] === undefined ? [i] : []));
    const read = positions.map((i) => files[i] as AlignedFileToRead);
    for (const [k, stream] of (await this.#takeStreams(read)).entries()) {
      const { file } = read[k] as AlignedFileToRead;
      if (stream !== undefined) await this.#parts.fileStates?.note(file, stream.content);
      const { path, type, mode } = file;
      const { bytes: size, content } = stream ?? NO_BYTES;
      entries[positions[k] as number] = fileToEntry({ path, type, mode, size, content });
    }
    return entries as Entry[];
  }

  /** The entries of what has no bytes, or has those it had before; undefined for files that must be read. */
  async #withoutReading(files: readonly AlignedFile[]): Promise<(Entry | undefined)[]> {
    const unwritten = await this.#unwritten(files);
    return files.map(({ file, before }) => {
      if (file.type !== 'file') return fileToEntry(file);
      if (before === undefined || !unwritten.has(file)) return undefined;
      this.#parts.progress.add(0, before.size);
      return fileToEntry({ ...before, path: file.path, mode: file.mode });
    });
  }

  async #unwritten(files: readonly AlignedFile[]): Promise<ReadonlySet<RegularFile>> {
    const { base, fileStates } = this.#parts;
    // What is not read is not looked up either.
    if (fileStates === undefined || base?.wholeNote === undefined) return new Set();
    const known = files.flatMap(({ file, before }) =>
      file.type === 'file' && before?.content ? [{ file, content: before.content }] : [],
    );
    return fileStates.unwritten(known);
  }

  /** Takes what files contain; undefined for those without a byte. */
  async #takeStreams(files: readonly AlignedFileToRead[]): Promise<(StoredStream | undefined)[]> {
    const isLarge = ({ file }: AlignedFileToRead): boolean => file.size > LARGE_FILE_BYTES;
    const large = files.filter(isLarge).map((file) => this.#notingFailure(this.#takeLarge(file)));
    const small = this.#notingFailure(this.#takeSmall(files.filter((file) => !isLarge(file))));
    await Promise.allSettled([small, ...large]); // When one of them fails, nothing may be under way afterwards.
    const [smallStreams, largeStreams] = [await small, await Promise.all(large)];
    return files.map((file) => (isLarge(file) ? largeStreams : smallStreams).shift());
  }

  async #takeLarge({ file, before }: AlignedFileToRead): Promise<StoredStream | undefined> {
    const old = oldStream(before, this.#parts);
    return this.#storeStream(alignChunks(this.#cutLarge(file), old), old);
  }

  /** Stores chunks while those behind them are read. */
  async #storeStream(chunks: AsyncIterable<NewChunk>, old: OldStream): Promise<StoredStream | undefined> {
    const stream = new NewStream(this.#parts, old);
    const batches = inBatches(chunks, chunkBytes, BATCH_BYTES);
    const stored = mapAhead(batches, BATCHES_AHEAD, (some) => this.#storeStreamChunks(some));
    for await (const references of stored) await stream.append(references);
    return stream.finish();
  }

  /** All chunks of small files are put together, and then all nodes: one by one, each would be worth no thread. */
  async #takeSmall(files: readonly AlignedFileToRead[]): Promise<(StoredStream | undefined)[]> {
    const read = (file: AlignedFileToRead) => this.#small.run(() => this.#readSmall(file));
    const streams = await mapConcurrent(files, FILES_AT_ONCE, read);
    const references = await this.#storeStreamChunks(streams.flatMap(({ chunks }) => chunks));
    const nodes: NewChunk[] = [];
    const taken: (StoredStream | undefined)[] = [];
    for (const { chunks, old, stored } of streams) {
      const stream = new NewStream(this.#parts, old, async (some) => void nodes.push(...some));
      await stream.append(references.splice(0, chunks.length));
      taken.push(stored ?? (await stream.finish()));
    }
    await this.#parts.writer.put(nodes);
    return taken;
  }

  /** All chunks of a small file; one that has more than its source said is stored, and has none left. */
  async #readSmall({ file, before }: AlignedFileToRead): Promise<SmallStream> {
    const old = oldStream(before, this.#parts);
    const rest = alignChunks(this.#cutFile(file), old)[Symbol.asyncIterator]();
    const chunks = await first(rest, chunkBytes, LARGE_FILE_BYTES + 1);
    if (sumOfBytes(chunks) <= LARGE_FILE_BYTES) return { chunks, old, stored: undefined };
    const stored = await this.#storeStream(resumed(chunks, rest), old);
    return { chunks: [], old, stored };
  }

  /** The chunks of a large file, once those before it are read. */
  async *#cutLarge(file: RegularFile): AsyncGenerator<Uint8Array> {
    await this.#large.enter();
    try {
      this.#checkGoesOn();
      yield* this.#cutFile(file);
    } catch (error) {
      this.#failure ??= { error }; // Before the next one begins.
      throw error;
    } finally {
      this.#large.leave();
    }
  }

  async *#cutFile(file: RegularFile): AsyncGenerator<Uint8Array> {
    const pieces = file.read()[Symbol.asyncIterator]();
    const start = await first(pieces, lengthOf, PAGED_START_BYTES);
    const isOfPages = isPaged(start.length === 1 ? (start[0] as Uint8Array) : concatBytes(start));
    yield* cutStream(resumed(start, pieces), isOfPages ? this.#pages : this.#gear);
  }

  async #storeStreamChunks(chunks: readonly NewChunk[]): Promise<ChunkReference[]> {
    this.#checkGoesOn();
    const addresses = await this.#parts.writer.put(chunks);
    this.#parts.progress.add(0, sumOfBytes(chunks));
    return chunks.map(({ bytes }, i) => ({ address: addresses[i] as Address, length: bytes.length }));
  }

  #checkGoesOn(): void {
    throwIfAborted(this.#parts.signal);
    if (this.#failure !== undefined) throw this.#failure.error;
  }
}

/** A file and the one that stood at its place in the snapshot before. */
interface AlignedFile {
  readonly file: FileEntry;
  readonly before: (FileNodeEntry & { readonly type: 'file' }) | undefined;
}

/** What was read of a small file, or what it was stored as meanwhile. */
interface SmallStream {
  readonly chunks: readonly NewChunk[];
  readonly old: OldStream;
  readonly stored: StoredStream | undefined;
}

type AlignedFileToRead = AlignedFile & { readonly file: RegularFile };

/** @throws as {@link PathOrder.check}. */
async function* alignFiles(
  batches: AsyncIterable<readonly FileEntry[]>,
  alignment: Alignment | undefined,
): AsyncGenerator<AlignedFile[]> {
  const order = new PathOrder();
  for await (const files of batches) {
    for (const file of files) order.check(file);
    const similar = await alignment?.similarToEach(files.map(({ path }) => utf8(path)));
    yield files.map((file, i) => ({ file, before: fileBefore(file, similar?.[i] ?? []) }));
  }
}

/** @param similar what stands at its place in the snapshot before. */
function fileBefore({ path }: FileEntry, similar: readonly Entry[]): AlignedFile['before'] {
  const there = similar.map(entryToFile);
  // A lone other file at its place may be what it was before it was renamed.
  const before = there.find((one) => one.path === path) ?? (there.length === 1 ? there[0] : undefined);
  return before?.type === 'file' ? before : undefined;
}

async function* alignChunks(chunks: AsyncIterable<Uint8Array>, old: OldStream): AsyncGenerator<NewChunk> {
  for await (const { bytes, similar } of alignStream(chunks, old.next)) {
    const addresses = similar.map((entry) => entryToStreamChunk(entry).address);
    yield {
      bytes,
      width: 0,
      kind: 'data',
      similar: addresses.length === 0 ? undefined : { unit: 1, addresses },
    };
  }
}

/** Items until they have `length` bytes or more, or all there are. */
async function first<T>(items: AsyncIterator<T>, bytesOf: (item: T) => number, length: number): Promise<T[]> {
  const some: T[] = [];
  for (let bytes = 0; bytes < length;) {
    const { done, value } = await items.next();
    if (done) break;
    some.push(value);
    bytes += bytesOf(value);
  }
  return some;
}

/** What is read first, and then the rest. */
async function* resumed<T>(start: readonly T[], rest: AsyncIterator<T>): AsyncGenerator<T> {
  try {
    yield* start;
    for (let step = await rest.next(); !step.done; step = await rest.next()) yield step.value;
  } finally {
    await rest.return?.(); // When nobody wants the rest, its file is closed all the same.
  }
}

/** Checks that paths ascend and stay inside the tree: what was taken must be there again when it is restored. */
class PathOrder {
  #last: string | undefined;

  /** @throws VecsnapError SOURCE_INVALID, SOURCE_UNORDERED. */
  check({ path, mode }: FileEntry): void {
    const isSound = isInnerPath(path) && Number.isSafeInteger(mode) && mode >= 0 && mode <= 0o7777;
    if (!isSound) throw fileError('SOURCE_INVALID', path, 'has a path or a mode that no file can have');
    if (this.#last !== undefined && compareText(this.#last, path) >= 0)
      throw fileError('SOURCE_UNORDERED', path, `came after ${quoteId(this.#last)}`);
    this.#last = path;
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

function sumOfBytes(chunks: readonly NewChunk[]): number {
  return chunks.reduce((sum, chunk) => sum + chunkBytes(chunk), 0);
}

function lengthOf({ length }: Uint8Array): number {
  return length;
}
