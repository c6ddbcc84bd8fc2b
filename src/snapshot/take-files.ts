/** Takes files: each is a stream of chunks. */
import {
  type Address,
  compareText,
  concatBytes,
  inBatches,
  mapAhead,
  quoteId,
  throwIfAborted,
  totalLength,
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
  streamChunkToEntry,
} from '../manifest/entries.js';
import type { Entry } from '../manifest/index.js';
import type { TreeReference } from '../manifest/manifest.js';
import type { BuiltTree } from '../manifest/tree-builder.js';
import type { FileEntry, RegularFile } from '../source/port.js';
import { type Alignment, alignmentWith } from './alignment.js';
import type { ProgressCounter } from './progress.js';
import { newTree } from './stored-tree.js';
import { alignStream } from './stream-alignment.js';
import type { TakeParts } from './take.js';

/** Chunks are hashed and stored by about this many bytes at a time. */
const BATCH_BYTES = 1024 * 1024;
/** Batches that are being hashed, encoded and written at the same time. */
const BATCHES_AHEAD = 8;
/** Files that are under way at the same time: opening and syncing them is mostly waiting. */
const FILES_AHEAD = 12;
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
  /** The large file that is being read. */
  #large: Promise<unknown> = Promise.resolve();

  constructor(parts: FileTakeParts) {
    this.#parts = parts;
    this.#gear = gearCutter(parts.config.gear);
    this.#pages = fixedCutter(parts.config.fixed);
  }

  async run(files: AsyncIterable<FileEntry>): Promise<TreeReference> {
    const alignment = alignmentWith(this.#parts, this.#parts.base?.manifest.files?.root, () => []);
    const tree = newTree(this.#parts, alignment);
    const aligned = alignFiles(inPathOrder(files), alignment);
    for await (const entry of mapAhead(aligned, FILES_AHEAD, (file) => this.#storeFile(file)))
      await tree.append([entry]);
    await this.#parts.fileStates?.flush();
    return tree.finish();
  }

  async #storeFile({ file, before }: AlignedFile): Promise<Entry> {
    throwIfAborted(this.#parts.signal);
    if (file.type !== 'file') return fileToEntry(file);
    const { path, type, mode } = file;
    const { base, fileStates } = this.#parts;
    const content = before?.content ?? undefined;
    // What is not read is not looked up either.
    const isWhole = base?.wholeNote !== undefined && content !== undefined;
    if (before && isWhole && (await fileStates?.hasStill(file, content))) {
      this.#parts.progress.add(0, before.size);
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
    const alignment = alignmentWith(this.#parts, before, (entry) => [entryToStreamChunk(entry).address]);
    const tree = newTree(this.#parts, alignment);
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
    throwIfAborted(this.#parts.signal);
    const addresses = await this.#parts.writer.put(chunks);
    this.#parts.progress.add(
      0,
      chunks.reduce((sum, chunk) => sum + chunkBytes(chunk), 0),
    );
    return chunks.map(({ bytes }, i) => ({ address: addresses[i] as Address, length: bytes.length }));
  }
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
