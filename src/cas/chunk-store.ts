/** Chunks by their address: found through the index, read from packs, decoded, and checked against the address. */
import {
  type Address,
  isVecsnapError,
  mapConcurrent,
  type RandomBytes,
  Semaphore,
  type Sha256,
  VecsnapError,
} from '../core/index.js';
import type { BlobStat, BlobStore } from '../blob/port.js';
import { CODECS, type EncodeOptions, MAX_CHAIN } from './codec.js';
import type { BaseFinder, PlaceOfChunk } from './bases.js';
import type { ChunkCoder } from './coder.js';
import type { FingerprintFinder } from './fingerprint-finder.js';
import { Copies } from './copies.js';
import {
  BaseLimit,
  chainTooLong,
  chunkDamaged,
  chunkMissing,
  FoundChunks,
  type StoredForm,
  UsedChunks,
  type WantedChunks,
} from './found-chunks.js';
import { ExpendableIndex } from './expendable-index.js';
import type { ChunkIndex, Location, WholeNote, WholeTree } from './index-port.js';
import { DAMAGE_PREFIX, type KnownDamage } from './known-damage.js';
import { LocationCache } from './location-cache.js';
import {
  type DirectoryCursor,
  type DirectoryEntry,
  entriesStored,
  openPackDirectory,
  PACK_PREFIX,
  packMissing,
  readPackDirectory,
  readRange,
  readStoredDirectory,
  type StoredDirectory,
} from './pack.js';

/** What a chunk store works with. */
export interface ChunkStoreParts {
  readonly blobs: BlobStore;
  readonly index: ChunkIndex;
  readonly coder: ChunkCoder;
  readonly sha256: Sha256;
  readonly random: RandomBytes;
  /** Copies of chunks that count as not being there. */
  readonly damage?: KnownDamage | undefined;
}

/** How a chunk store works. */
export interface ChunkStoreOptions extends EncodeOptions {
  /** A pack is written when its chunks reach this many bytes. */
  readonly packBytes: number;
  /** Reads and writes that are under way at the same time. */
  readonly maxConcurrentIo: number;
  /** Whether every chunk that is read is hashed and compared with its address. */
  readonly verifyChecksum: boolean;
  /**
   * Whether others may sweep meanwhile, because the lock is not held: what is missing is then looked for again where the packs
   * are now (docs/ordering.md, R8). Default: false.
   */
  readonly followsSweeps?: boolean | undefined;
}

/** Plaintexts of chunks that were read, and compared with their addresses, before. */
export interface PlainChunks {
  get(address: Address): Uint8Array | undefined;
}

/** Tells where chunks stand, and what they copy from. */
export type ChunkPlaces = Pick<ChunkStore, 'locate' | 'basesOf'>;

/** How chunks are found. */
export interface FindOptions {
  /** These are not looked for. */
  readonly atHand?: PlainChunks;
  /** Who tells where they stand. Default: the store, by its index and the directories of packs. */
  readonly places?: ChunkPlaces;
}

/** A pack that cannot be used as it should. */
export interface PackProblem {
  readonly blob: string;
  readonly error: VecsnapError;
}

/** Plaintext bytes that go to one worker at a time. */
const DECODED_TOGETHER = 512 * 1024;
/** Where chunks stand in more packs than these, packs are not held open for all of them at once. */
const MOST_FILES = 64;
/** Sweeps that may come between one reading and its end, and times that packs may go while they are listed. */
const MOST_SWEEPS = 8;

/** Reads chunks. */
export class ChunkStore {
  readonly parts: ChunkStoreParts;
  readonly options: ChunkStoreOptions;
  readonly #problems = new Map<string, VecsnapError>();
  readonly #io: Semaphore;
  readonly #located = new LocationCache();
  #bases: Promise<BaseFinder> | undefined;
  #fingerprints: Promise<FingerprintFinder> | undefined;
  #packs: ReadonlyMap<string, number> = new Map();
  /** Grows whenever other packs are found than before. */
  #generation = 0;
  #refreshing: Promise<void> | undefined;
  #hasLost = false;
  readonly #adopted = new Map<string, readonly DirectoryEntry[]>();

  constructor(parts: ChunkStoreParts, options: ChunkStoreOptions) {
    const index = new ExpendableIndex(parts.index, (into) => this.#addAll(into));
    this.parts = { ...parts, index };
    this.options = options;
    this.#io = new Semaphore(options.maxConcurrentIo);
  }

  /** A store whose index knows every pack there is. */
  static async open(parts: ChunkStoreParts, options: ChunkStoreOptions): Promise<ChunkStore> {
    const store = new ChunkStore(parts, options);
    await store.refresh();
    return store;
  }

  /** Packs that are missing their end or whose directory is damaged. */
  get problems(): readonly PackProblem[] {
    return [...this.#problems].map(([blob, error]) => ({ blob, error }));
  }

  /** The packs that stand in the store, with their sizes in bytes. */
  get packs(): ReadonlyMap<string, number> {
    return this.#packs;
  }

  /** Whether a pack that the index knew was gone when it was brought up last, or another one stood at its place. */
  get hasLost(): boolean {
    return this.#hasLost;
  }

  /**
   * Brings the index up to the packs that stand in the store: reads the directories of those it has not seen. When packs are
   * gone that it has seen, it reads them all, because chunks that were found in those may stand in others too (docs/ordering.md,
   * R4). Only then the index forgets that they were there, so that whoever comes after a crash does the same again. Packs that go while
   * that is done are looked at again: a sweep has put what they held into others.
   */
  async refresh(): Promise<void> {
    this.#hasLost = false;
    for (let time = 1; time <= MOST_SWEEPS; time++) {
      await this.#refreshOnce();
      if (!this.problems.some(({ error }) => error.code === 'PACK_MISSING')) return;
    }
  }

  async #refreshOnce(): Promise<void> {
    const { index } = this.parts;
    this.#located.clear();
    this.#problems.clear();
    await this.#listPacks();
    await this.#useKnownDamage();
    const changed = await this.#changedPacks();
    const gone = new Set([...packsIn(index)].filter((name) => !this.#packs.has(name) || changed.has(name)));
    if (gone.size > 0) await index.removeChunksOf(gone);
    this.#hasLost ||= gone.size > 0;
    const known = new Set([...packsIn(index)].filter((name) => !gone.has(name)));
    const unseen = [...this.#packs.keys()].filter(
      (name) => !known.has(name) || (gone.size > 0 && !this.#problems.has(name)),
    );
    await this.#addPacks(unseen, index);
    const lost = new Set([...gone].filter((name) => !this.#packs.has(name)));
    if (lost.size > 0) await index.removePacks(lost);
  }

  async #listPacks(): Promise<void> {
    const present = new Map<string, number>();
    for await (const { name, size } of this.parts.blobs.list(PACK_PREFIX)) present.set(name, size);
    if (!sameKeys(present, this.#packs)) this.#generation++;
    this.#packs = present;
  }

  /** Empties the index when it was built with other copies left out than are known to be damaged (docs/ordering.md, P3). */
  async #useKnownDamage(): Promise<void> {
    const { index, damage } = this.parts;
    const tags = [...index.packs().keys()].filter((name) => name.startsWith(DAMAGE_PREFIX));
    if (tags.length === (damage === undefined ? 0 : 1) && tags[0] === damage?.tag) return;
    await index.clear();
    if (damage !== undefined) await index.addPack({ name: damage.tag, size: 0 }, []);
  }

  /**
   * Packs that have another size than the index knows, but a sound directory: then it is the index that is wrong. Without one, the
   * pack is damaged, and what the index knows of it may be all that tells of its chunks.
   */
  async #changedPacks(): Promise<ReadonlySet<string>> {
    const known = this.parts.index.packs();
    const others = [...this.#packs].filter(([name, size]) => known.has(name) && known.get(name) !== size);
    const changed = new Set<string>();
    for (const [name, size] of others) {
      if ((await this.#readDirectory({ name, size })) !== undefined) changed.add(name);
      else this.#problems.set(name, sizeChanged(name, size, known.get(name)));
    }
    return changed;
  }

  /** Adds all packs to another index. */
  async #addAll(into: ChunkIndex): Promise<void> {
    this.#located.clear();
    await this.#listPacks();
    await this.#addPacks([...this.#packs.keys()], into);
  }

  async #addPacks(names: readonly string[], into: ChunkIndex): Promise<void> {
    const { damage } = this.parts;
    const packs = names.map((name): BlobStat => ({ name, size: this.#packs.get(name) as number }));
    const directories = await mapConcurrent(packs, this.options.maxConcurrentIo, (pack) =>
      this.#readStored(pack),
    );
    const copies = new Copies(this, into);
    for (const [i, stored] of directories.entries()) {
      const pack = packs[i] as BlobStat;
      if (stored !== undefined && damage === undefined && into.addDirectory?.(pack, stored) === true)
        continue;
      const entries = stored && (await this.#unlessBroken(pack, () => entriesStored(pack, stored)));
      if (entries === undefined) continue;
      const sound = damage ? entries.filter(({ offset }) => !damage.isBad(pack.name, offset)) : entries;
      await copies.note(pack, sound);
      await into.addPack(pack, sound);
    }
    await copies.settle();
    this.#located.clear();
  }

  /** How often other packs were found than before: what was read at one number belongs together. */
  get generation(): number {
    return this.#generation;
  }

  /**
   * Runs `read` again when something that it needs is gone and packs have come or gone since it began (docs/ordering.md, R8).
   * @throws VecsnapError what `read` throws, when all packs are where they were.
   */
  async following<T>(read: () => Promise<T>): Promise<T> {
    if (this.options.followsSweeps !== true) return read();
    for (let time = 1; ; time++) {
      const generation = this.#generation;
      try {
        return await read();
      } catch (error) {
        const isGone = isVecsnapError(error, 'CHUNK_MISSING', 'PACK_MISSING', 'BLOB_MISSING');
        if (!isGone || time > MOST_SWEEPS || !(await this.#haveMoved(generation))) throw error;
      }
    }
  }

  /** Whether packs have come or gone since `generation`. */
  async #haveMoved(generation: number): Promise<boolean> {
    await this.#refreshing; // It may have listed the packs before the one that is missed went.
    if (this.#generation === generation) await this.#refreshTogether();
    return this.#generation !== generation;
  }

  /** One for all who miss something at the same time. */
  async #refreshTogether(): Promise<void> {
    this.#refreshing ??= this.refresh().finally(() => {
      this.#refreshing = undefined;
    });
    await this.#refreshing;
  }

  /** Whether chunks in this pack can be relied on: nothing about the pack itself is wrong as far as is known. */
  isSound(pack: string): boolean {
    return !this.#problems.has(pack);
  }

  /**
   * Notes that the tree below `root` is whole, which it is once the snapshot of it is written (docs/ordering.md, R12).
   * @param before the root of the tree that it was told by.
   */
  async noteWhole(root: Address, note: WholeNote, before: Address | undefined): Promise<void> {
    await this.parts.index.noteWhole?.(root, note, before);
  }

  /**
   * What was noted with the tree below `root`, where it is known to be whole without looking any chunk of it up. What has lost a pack has no
   * note of it.
   */
  async wholeNote(root: Address): Promise<WholeNote | undefined> {
    return this.#problems.size === 0 ? this.parts.index.wholeNote?.(root) : undefined;
  }

  /** All trees of which that is noted. */
  async wholeTrees(): Promise<readonly WholeTree[]> {
    return (this.#problems.size === 0 && (await this.parts.index.wholeTrees?.())) || [];
  }

  /** Tells the index of a pack that is durable. */
  async addPack(pack: BlobStat, entries: readonly DirectoryEntry[]): Promise<void> {
    await this.parts.index.addPack(pack, entries);
    this.#located.clear();
  }

  /** Tells the index of packs that are gone. @param chunks all that they held, if it is known. */
  async removePacks(names: ReadonlySet<string>, chunks?: Iterable<Address>): Promise<void> {
    this.#located.clear();
    await this.parts.index.removePacks(names, chunks);
  }

  /** Where each chunk stands; undefined for those that are in no pack. */
  async locate(addresses: readonly Address[]): Promise<(Location | undefined)[]> {
    if (this.parts.index.isInMemory) return this.parts.index.find(addresses);
    const results = addresses.map((address) => this.#located.get(address));
    const unknown = addresses.filter((_, i) => results[i] === undefined);
    const found = await this.parts.index.find(unknown);
    let next = 0;
    return addresses.map((address, i) => {
      const known = results[i];
      if (known !== undefined) return known;
      const location = found[next++];
      if (location !== undefined) this.#located.set(address, location);
      return location;
    });
  }

  /**
   * What each of these chunks copies from, in order; nothing for those that are no deltas.
   * @throws VecsnapError PACK_MISSING, PACK_DAMAGED when that cannot be told.
   */
  async basesOf(locations: readonly PlaceOfChunk[]): Promise<Address[][]> {
    if (!locations.some(({ codec }) => codec === CODECS.delta)) return locations.map(() => []);
    this.#bases ??= import('./bases.js').then(
      ({ BaseFinder }) => new BaseFinder((pack) => this.directory(pack)),
    );
    return (await this.#bases).basesOf(locations);
  }

  /** The fingerprints of chunks, as far as they have some. */
  fingerprints(): Promise<FingerprintFinder> {
    this.#fingerprints ??= import('./fingerprint-finder.js').then(({ FingerprintFinder }) => {
      const { blobs, sha256 } = this.parts;
      const locate = (addresses: readonly Address[]) => this.locate(addresses);
      return new FingerprintFinder({
        blobs,
        sha256,
        seed: this.options.fingerprintSeed,
        locate,
        basesOf: (locations) => this.basesOf(locations),
      });
    });
    return this.#fingerprints;
  }

  /**
   * Takes these for the chunks of a pack whose own directory cannot be read, from now on and for as long as this store is open.
   * Those that stand elsewhere are found there.
   * @param entries ascending by their offsets. Deltas among them tell what they copy from.
   */
  async adopt(name: string, entries: readonly DirectoryEntry[]): Promise<void> {
    this.#adopted.set(name, entries);
    this.#problems.delete(name);
    const locations = await this.locate(entries.map(({ address }) => address));
    const unknown = entries.filter((_, i) => locations[i] === undefined);
    await this.addPack({ name, size: this.#packs.get(name) ?? 0 }, unknown);
  }

  /** The directory of a pack that has one, to be gone through. @throws VecsnapError PACK_MISSING, PACK_DAMAGED. */
  async openDirectory(name: string): Promise<DirectoryCursor> {
    const { blobs, sha256 } = this.parts;
    return openPackDirectory(blobs, { name, size: await this.#sizeOf(name) }, sha256);
  }

  /** The directory of a pack. @throws VecsnapError PACK_MISSING, PACK_DAMAGED. */
  async directory(name: string): Promise<readonly DirectoryEntry[]> {
    const adopted = this.#adopted.get(name);
    if (adopted !== undefined) return adopted;
    const { blobs, sha256 } = this.parts;
    return readPackDirectory(blobs, { name, size: await this.#sizeOf(name) }, sha256);
  }

  async #sizeOf(pack: string): Promise<number> {
    const size = this.#packs.get(pack) ?? (await this.parts.blobs.stat(pack))?.size;
    if (size === undefined) throw packMissing(pack);
    return size;
  }

  /**
   * The plaintext of a chunk.
   * @throws VecsnapError CHUNK_MISSING, CHUNK_DAMAGED, PACK_MISSING, PACK_DAMAGED.
   */
  async get(address: Address): Promise<Uint8Array> {
    const [bytes] = await this.getMany([address]);
    return bytes as Uint8Array;
  }

  /**
   * The plaintexts of several chunks, in the order of the addresses. Neighbours in a pack are read together.
   * @param onFound is told how long they are, before anything is read of them.
   * @throws VecsnapError as {@link get}, and what `onFound` throws.
   */
  async getMany(
    addresses: readonly Address[],
    onFound?: (lengths: readonly number[]) => void,
  ): Promise<Uint8Array[]> {
    return this.following(() => this.#getManyOnce(addresses, onFound));
  }

  async #getManyOnce(
    addresses: readonly Address[],
    onFound: ((lengths: readonly number[]) => void) | undefined,
  ): Promise<Uint8Array[]> {
    const wanted = await this.find(addresses);
    onFound?.(wanted.roots.map((root) => (wanted.found.forms[root] as StoredForm).length));
    const plain = await this.useFound(wanted, (chunks) => this.#decode(chunks));
    if (!plain.includes(undefined)) return plain as Uint8Array[];
    // Read again in a way that says what is wrong.
    return this.useChunksInMemory(addresses, (chunks) => this.decode(chunks));
  }

  /** Says that plaintexts that {@link getMany} gave will not be read any more, each once: their memory may be used again. */
  release(plain: readonly Uint8Array[]): void {
    this.parts.coder.release?.(plain);
  }

  /** The plaintexts of chunks. @throws VecsnapError CHUNK_DAMAGED, which names the chunk and, if that is the cause, its base. */
  async decode(chunks: UsedChunks): Promise<Uint8Array[]> {
    const plain = await this.#decode(chunks);
    const damaged = plain.indexOf(undefined);
    if (damaged >= 0) throw await this.#diagnose(chunks, chunks.roots[damaged] as number);
    return plain as Uint8Array[];
  }

  /**
   * Runs `use` with several chunks and all that deltas among them copy from. Their bytes are in memory, or in files that are
   * open until `use` has settled: whoever decodes the chunks reads them.
   * @throws VecsnapError CHUNK_MISSING, PACK_MISSING, PACK_DAMAGED, and what `use` throws.
   */
  async useChunks<T>(addresses: readonly Address[], use: (chunks: UsedChunks) => Promise<T>): Promise<T> {
    return this.useFound(await this.find(addresses), use);
  }

  /** The same, with all bytes in memory. */
  async useChunksInMemory<T>(
    addresses: readonly Address[],
    use: (chunks: UsedChunks) => Promise<T>,
  ): Promise<T> {
    return this.useFoundInMemory(await this.find(addresses), use);
  }

  /**
   * Runs `use` with chunks that were found, as {@link useChunks} does.
   * @throws VecsnapError PACK_MISSING, PACK_DAMAGED, and what `use` throws.
   */
  async useFound<T>(wanted: WantedChunks, use: (chunks: UsedChunks) => Promise<T>): Promise<T> {
    const { blobs, coder } = this.parts;
    const packs = wanted.found.packs();
    if (coder.readsFiles !== true || blobs.useFiles === undefined || packs.size > MOST_FILES)
      return this.useFoundInMemory(wanted, use);
    const names = [...packs];
    let isOpen = false;
    try {
      return await blobs.useFiles(names, (files) => {
        isOpen = true;
        const descriptors = new Map(names.map((name, i) => [name, files[i] as number]));
        return use(new UsedChunks(wanted, { descriptors }));
      });
    } catch (error) {
      if (isOpen) throw error;
      return this.useFoundInMemory(wanted, use); // Which says what is wrong, if anything is.
    }
  }

  /** The same, with all bytes in memory. */
  async useFoundInMemory<T>(wanted: WantedChunks, use: (chunks: UsedChunks) => Promise<T>): Promise<T> {
    return use(new UsedChunks(wanted, { memory: await this.#readAll(wanted.found) }));
  }

  /**
   * Where chunks stand, and all that deltas among them copy from.
   * @throws VecsnapError CHUNK_MISSING, and PACK_MISSING, PACK_DAMAGED when the directory of a pack cannot be read.
   */
  async find(addresses: readonly Address[], options?: FindOptions): Promise<WantedChunks> {
    const found = new FoundChunks();
    const roots = addresses.map((address) => found.mention(address));
    await this.findMentioned(found, 0, options);
    return { found, roots };
  }

  /** Places chunks that were mentioned, from number `first` on, and all that deltas among them copy from. */
  async findMentioned(found: FoundChunks, first: number, options: FindOptions = {}): Promise<void> {
    const limit = new BaseLimit();
    const index = options.atHand === undefined && options.places === undefined ? this.parts.index : undefined;
    for (let round = 0; first < found.addresses.length; round++) {
      if (round > MAX_CHAIN) throw chainTooLong(found.addresses[first] as Address);
      const end = found.addresses.length;
      // Where the index knows it all nothing is waited for, so that its numbers of chunks stay what they are from one round to the next.
      if (index?.place?.(found, first, end) !== true) await this.#placeRest(found, first, end, options);
      for (; first < end; first++) {
        if (found.atHand.has(first)) continue;
        const address = found.addresses[first] as Address;
        const form = found.forms[first];
        if (form === undefined) throw chunkMissing(address, found.dependantOf(first));
        limit.add(address, form, round > 0);
      }
    }
  }

  /** Places those chunks that are not placed yet; packs say what deltas among them copy from. */
  async #placeRest(
    found: FoundChunks,
    first: number,
    end: number,
    { atHand, places = this }: FindOptions,
  ): Promise<void> {
    const numbers: number[] = [];
    for (let number = first; number < end; number++) {
      if (found.forms[number] !== undefined) continue;
      const plain = atHand?.get(found.addresses[number] as Address);
      if (plain === undefined) numbers.push(number);
      else found.placeAtHand(number, plain);
    }
    const locations = await places.locate(numbers.map((number) => found.addresses[number] as Address));
    const there = numbers.filter((_, i) => locations[i] !== undefined);
    const forms = locations.filter((location) => location !== undefined);
    const bases = await places.basesOf(forms);
    for (const [i, number] of there.entries())
      found.place(number, forms[i] as Location, bases[i] as Address[]);
  }

  /** What is wrong with a chunk that cannot be decoded. For a delta, the damage may be to what it copies from. */
  async #diagnose(chunks: UsedChunks, number: number, dependant?: Address): Promise<VecsnapError> {
    const address = chunks.found.addresses[number] as Address;
    for (const base of chunks.found.basesOf(number)) {
      const [plain] = await this.parts.coder.decode(chunks.graph([base]), true);
      if (plain === undefined) return this.#diagnose(chunks, base, dependant ?? address);
    }
    const [location] = await this.parts.index.find([address]);
    if (location === undefined) return chunkMissing(address, dependant);
    return chunkDamaged(address, location, dependant);
  }

  async close(): Promise<void> {
    await this.parts.index.close();
  }

  async #readDirectory(pack: BlobStat): Promise<DirectoryEntry[] | undefined> {
    const stored = await this.#readStored(pack);
    return stored && this.#unlessBroken(pack, () => entriesStored(pack, stored));
  }

  #readStored(pack: BlobStat): Promise<StoredDirectory | undefined> {
    return this.#unlessBroken(pack, () => readStoredDirectory(this.parts.blobs, pack, this.parts.sha256));
  }

  /** Undefined, and noted, when something is wrong with the pack. */
  async #unlessBroken<T>(pack: BlobStat, read: () => T | Promise<T>): Promise<T | undefined> {
    try {
      return await read();
    } catch (error) {
      if (!isVecsnapError(error, 'PACK_DAMAGED', 'PACK_MISSING')) throw error;
      this.#problems.set(pack.name, error);
      return undefined;
    }
  }

  async #readAll(found: FoundChunks): Promise<Uint8Array[]> {
    const results = new Array<Uint8Array>(found.forms.length);
    await Promise.all(
      found.runs().map(async ({ pack, offset, length, numbers }) => {
        const bytes = await this.#io.run(() => readRange(this.parts.blobs, pack, offset, length));
        for (const number of numbers) {
          const form = found.forms[number] as StoredForm;
          results[number] = bytes.subarray(form.offset - offset, form.offset - offset + form.storedLength);
        }
      }),
    );
    return results;
  }

  /** Decodes by about so many bytes at a time, so that several threads have a share of a large request. */
  async #decode(chunks: UsedChunks): Promise<(Uint8Array | undefined)[]> {
    const { coder } = this.parts;
    const { verifyChecksum } = this.options;
    const { roots, found } = chunks;
    const parts: Promise<(Uint8Array | undefined)[]>[] = [];
    for (let start = 0; start < roots.length;) {
      let end = start;
      for (let bytes = 0; end < roots.length && bytes < DECODED_TOGETHER; end++)
        bytes += (found.forms[roots[end] as number] as StoredForm).length;
      parts.push(coder.decode(chunks.graph(roots.slice(start, end)), verifyChecksum));
      start = end;
    }
    return (await Promise.all(parts)).flat();
  }
}

function sameKeys(a: ReadonlyMap<string, unknown>, b: ReadonlyMap<string, unknown>): boolean {
  return a.size === b.size && [...a.keys()].every((key) => b.has(key));
}

/** The packs that an index knows, without the tag of what is known to be damaged. */
function packsIn(index: ChunkIndex): readonly string[] {
  return [...index.packs().keys()].filter((name) => name.startsWith(PACK_PREFIX));
}

function sizeChanged(name: string, size: number, indexed: number | undefined): VecsnapError {
  return new VecsnapError('PACK_DAMAGED', `A pack has ${size} bytes; it was written with ${indexed}.`, {
    place: name,
    remedy:
      'Put the pack back from another copy if there is one; else run vecsnap repair, which saves what is sound in it.',
  });
}
