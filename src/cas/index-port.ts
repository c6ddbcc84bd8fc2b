/** The port to the index: which pack holds a chunk, and where. It is derived from the pack directories and can be rebuilt. */
import type { Address } from '../core/index.js';
import type { BlobStat } from '../blob/port.js';
import type { FoundChunks } from './found-chunks.js';
import type { DirectoryEntry, PackEntry, StoredDirectory } from './pack.js';

/** Where a chunk stands. */
export interface Location extends Omit<PackEntry, 'address'> {
  /** The name of the blob. */
  readonly pack: string;
}

/** A chunk, and where it stands. */
export interface IndexEntry extends PackEntry {
  /** The name of the blob. */
  readonly pack: string;
}

/** What is kept with the note that a tree is whole: which state of the source it was taken from, or no bytes where that is not known. */
export type WholeNote = Uint8Array;

/** A tree that is noted to be whole. */
export interface WholeTree {
  readonly root: Address;
  readonly note: WholeNote;
}

/** In which state a file had which content. */
export interface FileNote {
  /** A digest that tells the file from all others. */
  readonly file: Uint8Array;
  /** A digest of the state. */
  readonly state: Uint8Array;
  /** Its only chunk, or the root of its stream. */
  readonly content: Address;
}

/**
 * Finds chunks. One that stands in several packs is found in the pack that was added last, except that a delta never takes the
 * place of a copy that stands alone: its bases may be gone (docs/ordering.md, G5).
 */
export interface ChunkIndex {
  /** Whether a look-up takes no longer than to remember what it gave. */
  readonly isInMemory?: boolean;
  /** The place of each chunk; undefined for those that are unknown. */
  find(addresses: readonly Address[]): Promise<(Location | undefined)[]>;
  /**
   * Places chunks that were mentioned, from number `first` on and before `end`, with what they copy from: for an index that
   * knows that, so that nobody looks into packs for it. Chunks that are unknown stay without a place.
   * @returns whether it knew what all those that are deltas copy from; those of which it did not stay without a place.
   */
  place?(found: FoundChunks, first: number, end: number): boolean;
  /** The packs that are in the index, with their sizes in bytes. */
  packs(): ReadonlyMap<string, number>;
  /**
   * Adds all chunks of a pack, or none. A pack that is there already may be added again. Deltas may come without what they copy from:
   * it is read from the pack when it is needed.
   */
  addPack(pack: BlobStat, entries: readonly DirectoryEntry[]): Promise<void>;
  /**
   * The same from the bytes of its directory, for an index that needs no object for each entry.
   * @returns false when it must be done by {@link addPack}, which tells what is wrong, or of which copy of a chunk must be decided. Nothing
   * was added then.
   */
  addDirectory?(pack: BlobStat, directory: StoredDirectory): boolean;
  /**
   * Notes that every chunk of the tree below `root` is in the index and can be put together, until packs or chunks are removed. Where there is
   * none, nobody keeps it in mind.
   * @param before the root of another tree, for which that need not be kept in mind any longer.
   */
  noteWhole?(root: Address, note: WholeNote, before: Address | undefined): Promise<void>;
  /** What was noted with it; undefined when nothing was, or a pack or a chunk was removed since. */
  wholeNote?(root: Address): Promise<WholeNote | undefined>;
  /** All trees of which that is noted. */
  wholeTrees?(): Promise<readonly WholeTree[]>;
  /** Notes states of files, each in the place of what was noted of that file before. Nothing is said of whether the content is stored. */
  noteFiles?(notes: readonly FileNote[]): Promise<void>;
  /** What was noted of each of these files; undefined for those of which nothing was. */
  fileNotes?(files: readonly Uint8Array[]): Promise<(FileNote | undefined)[]>;
  /** Forgets what was noted of files with other content than this. */
  keepFileNotes?(isNeeded: (content: Address) => boolean): Promise<void>;
  /**
   * Removes packs and the chunks that were found in them, also those that stand in other packs too.
   * @param chunks all that may have been found in them, for callers who know: else everything is gone through.
   */
  removePacks(names: ReadonlySet<string>, chunks?: Iterable<Address>): Promise<void>;
  /** Removes the chunks that were found in these packs. The packs stay, so that somebody else will still see that they were there. */
  removeChunksOf(names: ReadonlySet<string>): Promise<void>;
  /**
   * Every chunk once, some at a time, because going from one to the next by a promise would take longer than reading them; in the order of
   * their addresses where reading can fail, so that another index can take over.
   */
  entries(): AsyncIterable<readonly IndexEntry[]>;
  /** Removes everything. */
  clear(): Promise<void>;
  close(): Promise<void>;
  /** Closes it and removes all that it has kept, which cannot be relied on. Where there is none, closing must do. */
  discard?(): Promise<void>;
}
