/** Reads small files of a snapshot together: what is done for each that is read by itself takes longer than a few KiB do. */
import { isDamage } from '../core/index.js';
import type { ChunkStore } from '../cas/index.js';
import { type ChunkReference, entryToStreamChunk, type FileContent, onlyChunk } from '../manifest/entries.js';
import { checkTotals, decodeNode } from '../manifest/node.js';
import { getChecked, wrongLength } from './checked-chunks.js';

/** A file of a snapshot that has bytes. */
export interface StoredFile {
  readonly content: FileContent;
  readonly size: number;
}

/** Gives the bytes of a file, or undefined where it must be read by itself. */
export type TakeFile = () => Promise<readonly Uint8Array[] | undefined>;

/** Roots of so many bytes are not read together: those of small files have a few hundred each. */
const MOST_ROOT_BYTES = 4 * 1024 * 1024;

/** Batches of small files, of which no more than some are in memory. */
export class SmallFiles {
  readonly #store: ChunkStore;
  readonly #most: number;
  readonly #inMemory: Batch[] = [];

  /** @param most batches that are held in memory, whoever still refers to their files. */
  constructor(store: ChunkStore, most: number) {
    this.#store = store;
    this.#most = most;
  }

  /**
   * Files that are read together, when the first of them is taken. A file must be read by itself that is taken again, or after so many others
   * that it is in memory no more; and so must all of a batch of which something cannot be read: that tells what is wrong, and with which file.
   */
  batch(files: readonly StoredFile[]): ReadonlyMap<object, TakeFile> {
    const batch = new Batch(files, this.#store);
    const take = async (i: number) => {
      if (batch.isUnread) this.#hold(batch);
      return batch.take(i);
    };
    return new Map(files.map((file, i) => [file, () => take(i)]));
  }

  #hold(batch: Batch): void {
    this.#inMemory.push(batch);
    if (this.#inMemory.length > this.#most) this.#inMemory.shift()?.drop();
  }
}

type Contents = (readonly Uint8Array[] | undefined)[];

class Batch {
  readonly #files: readonly StoredFile[];
  readonly #store: ChunkStore;
  #contents: Promise<Contents> | undefined;

  constructor(files: readonly StoredFile[], store: ChunkStore) {
    this.#files = files;
    this.#store = store;
  }

  get isUnread(): boolean {
    return this.#contents === undefined;
  }

  async take(i: number): Promise<readonly Uint8Array[] | undefined> {
    this.#contents ??= this.#read();
    const contents = await this.#contents;
    const pieces = contents[i];
    contents[i] = undefined; // Whoever takes it owns it.
    return pieces;
  }

  drop(): void {
    this.#contents = Promise.resolve([]);
  }

  async #read(): Promise<Contents> {
    try {
      return await this.#readAll();
    } catch (error) {
      if (isDamage(error)) return [];
      throw error;
    }
  }

  async #readAll(): Promise<Contents> {
    const streams = this.#files.filter(({ content, size }) => onlyChunk(content, size) === undefined);
    const roots = await this.#store.getMany(
      streams.map(({ content }) => content.address),
      checkRoots,
    );
    const inStreams = roots.map((root, i) => chunksIn(root, streams[i] as StoredFile));
    const chunks = this.#files.map((file) => {
      const only = onlyChunk(file.content, file.size);
      return only === undefined ? inStreams.shift() : [only];
    });
    const plain = await getChecked(
      this.#store,
      chunks.flatMap((own) => own ?? []),
    );
    return chunks.map((own) => own && plain.splice(0, own.length));
  }
}

/** The chunks that the root of a stream names; undefined where it names nodes. */
function chunksIn(root: Uint8Array, { size }: StoredFile): ChunkReference[] | undefined {
  const node = decodeNode(root);
  checkTotals(node, { bytes: size }, 'its file');
  return node.level === 0 ? node.entries.map(entryToStreamChunk) : undefined;
}

/** @throws VecsnapError MANIFEST_DAMAGED. */
function checkRoots(lengths: readonly number[]): void {
  if (lengths.reduce((sum, length) => sum + length, 0) > MOST_ROOT_BYTES) throw wrongLength();
}
