/**
 * An index that may be lost at any moment. When the database that keeps it fails, on a full disk or because its files are garbled, an
 * index in memory takes its place, built from the packs, and the work goes on. What failed is discarded at the end, so that the next one
 * is built anew (docs/ordering.md, R10).
 */
import { type Address, compareBytes } from '../core/index.js';
import type { BlobStat } from '../blob/port.js';
import type { FoundChunks } from './found-chunks.js';
import type { ChunkIndex, FileNote, IndexEntry, Location, WholeNote, WholeTree } from './index-port.js';
import type { DirectoryEntry, StoredDirectory } from './pack.js';

/** Adds every pack of the store to an index. */
export type Rebuild = (into: ChunkIndex) => Promise<void>;

/** See the head of this file. */
export class ExpendableIndex implements ChunkIndex {
  readonly #kept: ChunkIndex;
  readonly #rebuild: Rebuild;
  #index: ChunkIndex;
  #fallback: Promise<ChunkIndex> | undefined;

  constructor(kept: ChunkIndex, rebuild: Rebuild) {
    this.#kept = kept;
    this.#index = kept;
    this.#rebuild = rebuild;
  }

  find(addresses: readonly Address[]): Promise<(Location | undefined)[]> {
    return this.#trying((index) => index.find(addresses));
  }

  get isInMemory(): boolean {
    return this.#index.isInMemory === true;
  }

  place(found: FoundChunks, first: number, end: number): boolean {
    return this.#index.place?.(found, first, end) ?? false;
  }

  packs(): ReadonlyMap<string, number> {
    return this.#index.packs();
  }

  addPack(pack: BlobStat, entries: readonly DirectoryEntry[]): Promise<void> {
    return this.#trying((index) => index.addPack(pack, entries));
  }

  addDirectory(pack: BlobStat, directory: StoredDirectory): boolean {
    return this.#index.addDirectory?.(pack, directory) ?? false;
  }

  /** What is noted only saves time: a database that fails then fails again. */
  async noteWhole(root: Address, note: WholeNote, before: Address | undefined): Promise<void> {
    await this.#index.noteWhole?.(root, note, before).catch(() => undefined);
  }

  async wholeNote(root: Address): Promise<WholeNote | undefined> {
    return this.#index.wholeNote?.(root).catch(() => undefined);
  }

  async wholeTrees(): Promise<readonly WholeTree[]> {
    return (await this.#index.wholeTrees?.().catch(() => undefined)) ?? [];
  }

  async noteFiles(notes: readonly FileNote[]): Promise<void> {
    await this.#index.noteFiles?.(notes).catch(() => undefined);
  }

  async fileNotes(files: readonly Uint8Array[]): Promise<(FileNote | undefined)[]> {
    const notes = await this.#index.fileNotes?.(files).catch(() => undefined);
    return notes ?? files.map(() => undefined);
  }

  async keepFileNotes(isNeeded: (content: Address) => boolean): Promise<void> {
    await this.#index.keepFileNotes?.(isNeeded).catch(() => undefined);
  }

  removePacks(names: ReadonlySet<string>, chunks?: Iterable<Address>): Promise<void> {
    return this.#trying((index) => index.removePacks(names, chunks));
  }

  removeChunksOf(names: ReadonlySet<string>): Promise<void> {
    return this.#trying((index) => index.removeChunksOf(names));
  }

  clear(): Promise<void> {
    return this.#trying((index) => index.clear());
  }

  /** The kept index gives its chunks in the order of their addresses, so what it has given is not given again. */
  async *entries(): AsyncGenerator<readonly IndexEntry[]> {
    let last: Address | undefined;
    if (this.#index === this.#kept) {
      try {
        for await (const some of this.#kept.entries()) {
          last = some.at(-1)?.address ?? last;
          yield some;
        }
        return;
      } catch {
        await this.#fallBack(); // Why it failed is of no interest: it is discarded.
      }
    }
    const isNext = ({ address }: IndexEntry): boolean =>
      last === undefined || compareBytes(address, last) > 0;
    for await (const some of this.#index.entries()) yield some.filter(isNext);
  }

  async close(): Promise<void> {
    try {
      if (this.#index === this.#kept) return await this.#kept.close();
    } catch {
      // Like any other failure of it: what was written may be lost, and is written again.
    }
    await this.#discard();
  }

  async discard(): Promise<void> {
    await this.#discard();
  }

  async #trying<T>(work: (index: ChunkIndex) => Promise<T>): Promise<T> {
    const index = this.#index;
    try {
      return await work(index);
    } catch (cause) {
      if (index !== this.#kept) throw cause;
      return work(await this.#fallBack());
    }
  }

  /** Whoever comes first builds it. A failure to read the packs is not kept: the next one may succeed. */
  #fallBack(): Promise<ChunkIndex> {
    this.#fallback ??= this.#build().catch((error: unknown) => {
      this.#fallback = undefined;
      throw error;
    });
    return this.#fallback;
  }

  async #build(): Promise<ChunkIndex> {
    const { memoryIndex } = await import('./memory-index.js'); // Hardly ever needed.
    const index = memoryIndex();
    await this.#rebuild(index);
    this.#index = index;
    return index;
  }

  /** What cannot be discarded now fails again, and is discarded then. */
  async #discard(): Promise<void> {
    await (this.#kept.discard?.() ?? this.#kept.close()).catch(() => undefined);
  }
}
