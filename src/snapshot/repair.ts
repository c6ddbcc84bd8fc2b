/**
 * Repair: gets back what can be had of a damaged repository, and notes what cannot (docs/repair.md, docs/ordering.md, P1 to P5).
 *
 *   1. What stands under the name of another is put where it belongs, and what has a flipped bit is mended.
 *   2. Of packs whose directory cannot be read, chunks are found all the same: by mending the directory, by reading what is left of it,
 *      or by what the index still knows.
 *   3. Every copy of every chunk is read. What is sound in such packs is written to new ones; so is what can be mended.
 *   4. Copies that stay damaged are noted, and so are the snapshots that lack chunks. The index is built anew without those copies.
 *
 * Nothing of the old is deleted but notes, the index, and wrong names of what has its right one.
 */
import {
  DigestTable,
  formatAddress,
  isVecsnapError,
  maxChunkBytes,
  throwIfAborted,
  toHex,
} from '../core/index.js';
import type { BlobStore } from '../blob/port.js';
import {
  checkCopies,
  type ChunkStore,
  ChunkWriter,
  CODECS,
  type DirectoryEntry,
  isKnownCodec,
  knownEntries,
  memoryIndex,
  mendChunk,
  mendDirectory,
  checkPackHeader,
  PACK_HEADER_BYTES,
  readRange,
} from '../cas/index.js';
import { type BadCopy, type FoundNotes, knownDamage, loadNotes, replaceNotes } from './damage-note.js';
import { findLosses, type Losses } from './losses.js';
import { putInPlace } from './misplaced.js';
import { overlayOn } from './overlay.js';
import { ProgressCounter, type WorkOptions } from './progress.js';
import type { Repository } from './repository.js';
import { SNAPSHOT_PREFIX } from './snapshot.js';

/** How a repository is repaired. */
export interface RepairOptions extends WorkOptions {
  /** Only say what would be done. What would be written is held in memory. Default: false. */
  readonly dryRun?: boolean | undefined;
}

/** What a repair found and did or, for a dry run, would do. */
export interface RepairReport {
  readonly dryRun: boolean;
  /** Packs in the store, before. */
  readonly packs: number;
  /** Packs whose directory cannot be read, or that do not begin as packs do. What is sound in them was written to others. */
  readonly damagedPacks: readonly string[];
  /** Chunks that were written anew because their pack has no directory any more, or because a flipped bit could be mended. */
  readonly savedChunks: number;
  /** Bytes of the packs that were written for them. */
  readonly writtenBytes: number;
  /** Snapshots in whose blob a flipped bit was mended, or which stood under the name of another blob. */
  readonly mendedSnapshots: readonly string[];
  /** Names of all blobs that are right again: what belongs there had a flipped bit, or stood under the name of another. */
  readonly putBack: readonly string[];
  /** Copies of chunks that are damaged and were noted, so that they do not count as stored. */
  readonly damagedCopies: number;
  /** Chunks that snapshots need and that cannot be had, as CIDs. */
  readonly lostChunks: readonly string[];
  /** The snapshots that lack them. They are kept, marked, and can be restored as far as they are whole. */
  readonly damagedSnapshots: readonly { readonly id: string; readonly lostChunks: number }[];
  /** Blobs of snapshots that cannot be read. They are left alone. */
  readonly unreadableSnapshots: readonly string[];
}

/** Repairs. The caller holds the write lock. */
export async function repairRepository(
  repository: Repository,
  { dryRun = false, signal, onProgress }: RepairOptions,
): Promise<RepairReport> {
  const { environment } = repository;
  const blobs = dryRun ? overlayOn(environment.blobs) : environment.blobs;
  const within = { ...environment, blobs };
  const putBack = await putInPlace(within);
  const notes = await loadNotes(within);
  const remembered = await rememberedEntries(repository, blobs);
  const store = await repository.openChunks(memoryIndex(), { blobs, isLocked: true });
  const progress = new ProgressCounter('repair', onProgress, { bytes: bytesIn(store) });
  const packs = store.packs.size;
  const confirmLock = async (): Promise<void> => (dryRun ? undefined : repository.confirmLock());
  const rescue = new Rescue(store, { confirmLock, signal, progress });
  await rescue.adoptDamaged(remembered);
  await rescue.checkAll();
  await store.close();
  const { snapshots, problems } = await repository.listSnapshots({ fresh: true, store: blobs });
  const losses = await lossesWithout(repository, blobs, rescue.badCopies(), snapshots, signal);
  const note = { ...losses, copies: rescue.badCopies(), emptied: rescue.emptied() };
  if (!dryRun) await conclude(repository, notes, note);
  return {
    dryRun,
    packs,
    damagedPacks: rescue.damagedPacks(),
    savedChunks: rescue.savedChunks,
    writtenBytes: rescue.writtenBytes,
    mendedSnapshots: idsIn(putBack),
    putBack,
    damagedCopies: note.copies.length,
    lostChunks: [...losses.lost].map((address) => formatAddress(address, 'data')),
    damagedSnapshots: losses.snapshots,
    unreadableSnapshots: problems.map(({ blob }) => blob),
  };
}

/** Ids of the snapshots among these blobs. */
function idsIn(names: readonly string[]): string[] {
  return names.flatMap((name) =>
    name.startsWith(SNAPSHOT_PREFIX) ? [name.slice(SNAPSHOT_PREFIX.length)] : [],
  );
}

type Note = Parameters<typeof replaceNotes>[2];

/** The note first, then the index, which is built anew by it (docs/ordering.md, P2 and P3). */
async function conclude(repository: Repository, notes: FoundNotes, note: Note): Promise<void> {
  const { environment } = repository;
  await replaceNotes(environment, notes, note, environment.clock.now());
  await environment.discardIndex();
  await repository.read(async () => {}, 'persistent');
}

/** What snapshots lack when the given copies are left out. */
async function lossesWithout(
  repository: Repository,
  blobs: BlobStore,
  copies: readonly BadCopy[],
  snapshots: Parameters<typeof findLosses>[1],
  signal: AbortSignal | undefined,
): Promise<Losses> {
  const note = { notedAt: 0, copies, lost: new DigestTable(), snapshots: [], emptied: [] };
  const damage = knownDamage(note, repository.environment.sha256);
  const store = await repository.openChunks(memoryIndex(), { blobs, damage, isLocked: true });
  try {
    return await findLosses(store, snapshots, signal);
  } finally {
    await store.close();
  }
}

/** What the index that persists still knows of packs, by their names: it is the only one to know of those without a directory. */
async function rememberedEntries(
  repository: Repository,
  blobs: BlobStore,
): Promise<ReadonlyMap<string, readonly DirectoryEntry[]>> {
  const probe = await repository.openChunks(memoryIndex(), { blobs, isLocked: true });
  const unreadable = new Set(probe.problems.map(({ blob }) => blob));
  await probe.close();
  const remembered = new Map<string, DirectoryEntry[]>();
  if (unreadable.size === 0) return remembered;
  await repository.read(async ({ store }) => {
    for await (const entries of store.parts.index.entries()) {
      for (const { pack, ...entry } of entries) {
        if (!unreadable.has(pack)) continue;
        const some = remembered.get(pack) ?? [];
        some.push(entry);
        remembered.set(pack, some);
      }
    }
  }, 'persistent');
  return remembered;
}

function bytesIn({ packs }: ChunkStore): number {
  return [...packs.values()].reduce((sum, size) => sum + size, 0);
}

/** A copy of a chunk, by where it stands. */
interface Copy {
  readonly pack: string;
  readonly entry: DirectoryEntry;
}

/** What a rescue works with. */
interface RescueParts {
  readonly confirmLock: () => Promise<void>;
  readonly signal: AbortSignal | undefined;
  readonly progress: ProgressCounter;
}

/** Reads all packs of a store, and writes to it what is to be saved. */
class Rescue {
  readonly #store: ChunkStore;
  readonly #confirmLock: () => Promise<void>;
  readonly #signal: AbortSignal | undefined;
  readonly #progress: ProgressCounter;
  /** Packs without a directory. */
  readonly #damagedPacks: ReadonlySet<string>;
  readonly #sound = new DigestTable();
  /** Packs that have a directory and do not begin as packs do. */
  readonly #headless = new Set<string>();
  /** Chunks that could not be mended. */
  readonly #hopeless = new DigestTable();
  readonly #damaged: Copy[] = [];
  /** Copies of which nobody can tell, because what they copy from is missing. */
  #baseless: Copy[] = [];
  savedChunks = 0;
  writtenBytes = 0;

  constructor(store: ChunkStore, { confirmLock, signal, progress }: RescueParts) {
    this.#store = store;
    this.#confirmLock = confirmLock;
    this.#signal = signal;
    this.#progress = progress;
    this.#damagedPacks = new Set(store.problems.map(({ blob }) => blob));
  }

  /** Packs without a directory. */
  emptied(): readonly string[] {
    return [...this.#damagedPacks];
  }

  damagedPacks(): readonly string[] {
    return [...this.#damagedPacks, ...this.#headless];
  }

  /** Those that somebody would take for stored: copies in packs without a directory are not. */
  badCopies(): readonly BadCopy[] {
    return this.#damaged
      .filter(({ pack }) => !this.#damagedPacks.has(pack))
      .map(({ pack, entry }) => ({ pack, offset: entry.offset, address: entry.address }));
  }

  /** Finds what stands in packs without a directory. @param remembered what an index knows of them. */
  async adoptDamaged(remembered: ReadonlyMap<string, readonly DirectoryEntry[]>): Promise<void> {
    const { blobs, sha256 } = this.#store.parts;
    for (const name of this.#damagedPacks) {
      throwIfAborted(this.#signal);
      const pack = { name, size: this.#store.packs.get(name) ?? 0 };
      const entries =
        (await mendDirectory(blobs, pack, sha256)) ??
        union(await knownEntries(blobs, pack), remembered.get(name) ?? []);
      await this.#store.adopt(
        name,
        entries.filter((entry) => isReadable(entry) && endsWithin(entry, pack.size)),
      );
    }
  }

  /** Checks all copies; saves what can be saved; and looks again at those of which nobody could tell before. */
  async checkAll(): Promise<void> {
    await this.#saving(async (writer) => {
      for (const pack of this.#store.packs.keys()) {
        await this.#checkHeader(pack);
        await this.#check(pack, await this.#store.directory(pack), writer);
      }
      await this.#mend(writer);
    });
    for (let before = Infinity; this.#baseless.length < before;) {
      const left = byPack(this.#baseless);
      before = this.#baseless.length;
      this.#baseless = [];
      await this.#saving(async (writer) => {
        for (const [pack, entries] of left) await this.#check(pack, entries, writer);
        await this.#mend(writer);
      });
    }
  }

  async #saving(work: (writer: ChunkWriter) => Promise<void>): Promise<void> {
    const writer = new ChunkWriter(this.#store);
    try {
      await work(writer);
      const { chunks, bytes } = await writer.commit();
      this.savedChunks += chunks;
      this.writtenBytes += bytes;
    } catch (error) {
      await writer.abandon(this.#confirmLock);
      throw error;
    }
  }

  async #check(pack: string, entries: readonly DirectoryEntry[], writer: ChunkWriter): Promise<void> {
    throwIfAborted(this.#signal);
    for await (const { entry, state, bytes } of checkCopies(this.#store, pack, entries)) {
      this.#progress.add(1, entry.storedLength);
      if (state === 'baseless') this.#baseless.push({ pack, entry });
      else if (state === 'bad' && isKnownCodec(entry.codec)) await this.#lookAgain(writer, { pack, entry });
      else if (state === 'odd') await this.#writeAnew(writer, { pack, entry });
      else await this.#keep(writer, { pack, entry }, bytes);
    }
  }

  async #checkHeader(pack: string): Promise<void> {
    if (this.#damagedPacks.has(pack)) return;
    try {
      checkPackHeader(pack, await readRange(this.#store.parts.blobs, pack, 0, PACK_HEADER_BYTES));
    } catch (error) {
      if (!isVecsnapError(error, 'PACK_DAMAGED', 'REPOSITORY_NEWER')) throw error;
      this.#headless.add(pack); // It was written by this version or an older one, as its directory can be read.
    }
  }

  /** Notes that a chunk is there; when it is only in a pack that is damaged itself, it is written to another. */
  async #keep(writer: ChunkWriter, { pack, entry }: Copy, bytes: Uint8Array | undefined): Promise<void> {
    const isNew = this.#sound.addNew(entry.address);
    if (this.#headless.has(pack)) this.#damaged.push({ pack, entry });
    else if (!this.#damagedPacks.has(pack)) return;
    if (!isNew || bytes === undefined) return;
    const [location] = await this.#store.locate([entry.address]);
    const isHere = location?.pack === pack && location.offset === entry.offset;
    if (isHere) await writer.add([{ ...entry, bytes }]);
  }

  /** What is read wrong once may be right the next time: then the disk is at fault, or the memory, and nothing is lost. */
  async #lookAgain(writer: ChunkWriter, copy: Copy): Promise<void> {
    for await (const { state, bytes } of checkCopies(this.#store, copy.pack, [copy.entry])) {
      if (state === 'sound') await this.#keep(writer, copy, bytes);
      else this.#damaged.push(copy);
    }
  }

  /** A chunk whose bytes say what they should, but are not as they were written. */
  async #writeAnew(writer: ChunkWriter, { pack, entry }: Copy): Promise<void> {
    this.#damaged.push({ pack, entry });
    if (!this.#sound.has(entry.address) && (await writer.flatten([entry.address])).length === 0)
      this.#sound.add(entry.address);
  }

  /** Mends damaged chunks of which there is no sound copy. */
  async #mend(writer: ChunkWriter): Promise<void> {
    for (const { pack, entry } of this.#damaged) {
      throwIfAborted(this.#signal);
      if (this.#sound.has(entry.address) || !this.#hopeless.addNew(entry.address)) continue;
      for await (const { graph } of checkCopies(this.#store, pack, [entry])) {
        const bytes = graph && (await mendChunk(this.#store.parts.coder, graph));
        if (bytes === undefined) continue;
        this.#sound.add(entry.address);
        await writer.add([{ ...entry, bytes }]);
      }
    }
  }
}

/** A delta is of no use when nobody knows what it copies from; and what cannot be decoded cannot be checked. */
function isReadable({ codec, bases, kind, length }: DirectoryEntry): boolean {
  const mayBe = isKnownCodec(codec) && length <= maxChunkBytes(kind);
  return mayBe && (codec !== CODECS.delta || bases !== undefined);
}

function endsWithin({ offset, storedLength }: DirectoryEntry, size: number): boolean {
  return offset + storedLength <= size;
}

/** Entries of both. What the first ones tell is taken where both tell of the same copy. */
function union(first: readonly DirectoryEntry[], second: readonly DirectoryEntry[]): DirectoryEntry[] {
  const copies = new Map<string, DirectoryEntry>();
  for (const entry of [...second, ...first]) copies.set(`${entry.offset} ${toHex(entry.address)}`, entry);
  return [...copies.values()].toSorted((a, b) => a.offset - b.offset);
}

function byPack(copies: readonly Copy[]): Map<string, DirectoryEntry[]> {
  const packs = new Map<string, DirectoryEntry[]>();
  for (const { pack, entry } of copies) {
    const some = packs.get(pack);
    if (some === undefined) packs.set(pack, [entry]);
    else some.push(entry);
  }
  return packs;
}
