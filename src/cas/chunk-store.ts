/** Chunks by their address: found through the index, read from packs, decoded, and checked against the address. */
import {
  type Address,
  type ChunkKind,
  copyBytes,
  DigestTable,
  formatAddress,
  isVecsnapError,
  mapConcurrent,
  type RandomBytes,
  Semaphore,
  type Sha256,
  toHex,
  VecsnapError,
} from '../core/index.js';
import type { BlobStat, BlobStore } from '../blob/port.js';
import { CODECS, type CompressionOptions, isKnownCodec, MAX_CHAIN, type StoredChunk } from './codec.js';
import { BaseFinder } from './bases.js';
import type { ChunkCoder } from './coder.js';
import { ExpendableIndex } from './expendable-index.js';
import type { ChunkIndex, Location } from './index-port.js';
import { DAMAGE_PREFIX, type KnownDamage } from './known-damage.js';
import { LocationCache } from './location-cache.js';
import { type DirectoryEntry, PACK_PREFIX, packMissing, readPackDirectory, readRange } from './pack.js';

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
export interface ChunkStoreOptions extends CompressionOptions {
  /** A pack is written when its chunks reach this many bytes. */
  readonly packBytes: number;
  /** Reads and writes that are under way at the same time. */
  readonly maxConcurrentIo: number;
  /** Whether every chunk that is read is hashed and compared with its address. */
  readonly verifyChecksum: boolean;
}

/** A pack that cannot be used as it should. */
export interface PackProblem {
  readonly blob: string;
  readonly error: VecsnapError;
}

/** Chunks closer together than this are read in one go. */
const READ_GAP = 16 * 1024;
const READ_BYTES = 2 * 1024 * 1024;
/** Plaintext bytes that go to one worker at a time. */
const DECODED_TOGETHER = 512 * 1024;

/** Reads chunks. */
export class ChunkStore {
  readonly parts: ChunkStoreParts;
  readonly options: ChunkStoreOptions;
  readonly #problems = new Map<string, VecsnapError>();
  readonly #io: Semaphore;
  readonly #located = new LocationCache();
  readonly #bases = new BaseFinder((pack) => this.directory(pack));
  #packs: ReadonlyMap<string, number> = new Map();
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
   * R4).
   */
  async refresh(): Promise<void> {
    const { index } = this.parts;
    this.#located.clear();
    this.#problems.clear();
    await this.#listPacks();
    await this.#useKnownDamage();
    const changed = await this.#changedPacks();
    const gone = new Set([...packsIn(index)].filter((name) => !this.#packs.has(name) || changed.has(name)));
    if (gone.size > 0) await index.removePacks(gone);
    this.#hasLost = gone.size > 0;
    const known = new Set(packsIn(index));
    const unseen = [...this.#packs.keys()].filter(
      (name) => !known.has(name) || (gone.size > 0 && !this.#problems.has(name)),
    );
    await this.#addPacks(unseen, index);
  }

  async #listPacks(): Promise<void> {
    const present = new Map<string, number>();
    for await (const { name, size } of this.parts.blobs.list(PACK_PREFIX)) present.set(name, size);
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
      this.#readDirectory(pack),
    );
    for (const [i, entries] of directories.entries()) {
      if (entries === undefined) continue;
      const { name } = packs[i] as BlobStat;
      const sound = damage ? entries.filter(({ offset }) => !damage.isBad(name, offset)) : entries;
      await into.addPack(packs[i] as BlobStat, sound);
    }
  }

  /** Whether chunks in this pack can be relied on: nothing about the pack itself is wrong as far as is known. */
  isSound(pack: string): boolean {
    return !this.#problems.has(pack);
  }

  /** Tells the index of a pack that is durable. */
  async addPack(pack: BlobStat, entries: readonly DirectoryEntry[]): Promise<void> {
    await this.parts.index.addPack(pack, entries);
    this.#located.clear();
  }

  /** Tells the index of packs that are gone. */
  async removePacks(names: ReadonlySet<string>): Promise<void> {
    this.#located.clear();
    await this.parts.index.removePacks(names);
  }

  /** Where each chunk stands; undefined for those that are in no pack. */
  async locate(addresses: readonly Address[]): Promise<(Location | undefined)[]> {
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
  async basesOf(locations: readonly Location[]): Promise<Address[][]> {
    return Promise.all(locations.map((location) => this.#bases.basesOf(location)));
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

  /** The directory of a pack. @throws VecsnapError PACK_MISSING, PACK_DAMAGED. */
  async directory(name: string): Promise<readonly DirectoryEntry[]> {
    const adopted = this.#adopted.get(name);
    if (adopted !== undefined) return adopted;
    const { blobs, sha256 } = this.parts;
    const size = this.#packs.get(name) ?? (await blobs.stat(name))?.size;
    if (size === undefined) throw packMissing(name);
    return readPackDirectory(blobs, { name, size }, sha256);
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
   * @throws VecsnapError as {@link get}.
   */
  async getMany(addresses: readonly Address[]): Promise<Uint8Array[]> {
    return this.decode(await this.getStored(addresses));
  }

  /** The plaintexts of chunks. @throws VecsnapError CHUNK_DAMAGED, which names the chunk and, if that is the cause, its base. */
  async decode(stored: readonly StoredChunk[]): Promise<Uint8Array[]> {
    const plain = await this.#decode(stored);
    const damaged = plain.indexOf(undefined);
    if (damaged >= 0) throw await this.#diagnose(stored[damaged] as StoredChunk);
    return plain as Uint8Array[];
  }

  /**
   * Several chunks as they are kept, with all that deltas among them copy from.
   * @throws VecsnapError CHUNK_MISSING, PACK_MISSING, PACK_DAMAGED.
   */
  async getStored(addresses: readonly Address[]): Promise<StoredChunk[]> {
    const table = new DigestTable();
    const found: Found[] = [];
    let wanted: readonly Wish[] = addresses.map((address) => ({ address }));
    for (let round = 0; wanted.length > 0; round++) {
      if (round > MAX_CHAIN) throw chainTooLong((wanted[0] as Wish).address);
      const located = await this.#locateNew(wanted, table);
      found.push(...located);
      wanted = located.flatMap(({ address, bases }) =>
        bases.map((base) => ({ address: base, dependant: address })),
      );
    }
    const bytes = await this.#readAll(found.map(({ location }) => location));
    return new Assembly(table, found, bytes).chunks(addresses);
  }

  /** How many deltas each chunk is away from one that stands alone, the longest way. All must be whole. */
  async chainLengths(addresses: readonly Address[]): Promise<number[]> {
    const lengths = addresses.map(() => 0);
    let level = addresses.map((address, owner) => ({ address, owner }));
    for (let length = 0; level.length > 0 && length <= MAX_CHAIN; length++) {
      for (const { owner } of level) lengths[owner] = length;
      const locations = await this.locate(level.map(({ address }) => address));
      const bases = await this.basesOf(locations as Location[]);
      const next = level.flatMap(({ owner }, i) =>
        (bases[i] as Address[]).map((address) => ({ address, owner })),
      );
      level = [...new Map(next.map((step) => [`${step.owner} ${toHex(step.address)}`, step])).values()];
    }
    return lengths;
  }

  /** What is wrong with a chunk that cannot be decoded. For a delta, the damage may be to what it copies from. */
  async #diagnose(chunk: StoredChunk, dependant?: StoredChunk): Promise<VecsnapError> {
    for (const base of chunk.bases ?? []) {
      const [plain] = await this.parts.coder.decode([base], true);
      if (plain === undefined) return this.#diagnose(base, dependant ?? chunk);
    }
    const [location] = await this.parts.index.find([chunk.address]);
    if (location === undefined) return chunkMissing(chunk.address, dependant?.address);
    return chunkDamaged(chunk.address, location, dependant?.address);
  }

  async close(): Promise<void> {
    await this.parts.index.close();
  }

  async #readDirectory(pack: BlobStat) {
    try {
      return await readPackDirectory(this.parts.blobs, pack, this.parts.sha256);
    } catch (error) {
      if (!isVecsnapError(error, 'PACK_DAMAGED', 'PACK_MISSING')) throw error;
      this.#problems.set(pack.name, error);
      return undefined;
    }
  }

  /** Looks up the chunks that are not in `table` yet, and adds them. */
  async #locateNew(wanted: readonly Wish[], table: DigestTable): Promise<Found[]> {
    const fresh = wanted.filter(({ address }) => {
      return table.addNew(address);
    });
    const locations = await this.locate(fresh.map(({ address }) => address));
    const missing = fresh.find((_, i) => locations[i] === undefined);
    if (missing !== undefined) throw chunkMissing(missing.address, missing.dependant);
    const bases = await this.basesOf(locations as Location[]);
    return fresh.map(({ address }, i) => ({
      address,
      location: locations[i] as Location,
      bases: bases[i] as Address[],
    }));
  }

  async #readAll(locations: readonly Location[]): Promise<Uint8Array[]> {
    const results = new Array<Uint8Array>(locations.length);
    const runs = coalesce(locations.map((location, order) => ({ location, order })));
    await Promise.all(
      runs.map(async (run) => {
        const first = (run[0] as Wanted).location;
        const length = Math.max(...run.map(({ location }) => endOf(location))) - first.offset;
        const bytes = await this.#io.run(() => readRange(this.parts.blobs, first.pack, first.offset, length));
        for (const { location, order } of run) {
          const start = location.offset - first.offset;
          results[order] = bytes.subarray(start, start + location.storedLength);
        }
      }),
    );
    return results;
  }

  /** Decodes by about so many bytes at a time, so that several threads have a share of a large request. */
  async #decode(stored: readonly StoredChunk[]): Promise<(Uint8Array | undefined)[]> {
    const { coder } = this.parts;
    const { verifyChecksum } = this.options;
    const parts: Promise<(Uint8Array | undefined)[]>[] = [];
    for (let start = 0; start < stored.length;) {
      let end = start;
      for (let bytes = 0; end < stored.length && bytes < DECODED_TOGETHER; end++)
        bytes += (stored[end] as StoredChunk).length;
      parts.push(coder.decode(stored.slice(start, end), verifyChecksum));
      start = end;
    }
    return (await Promise.all(parts)).flat();
  }
}

/** A chunk that is wanted, and the delta that it is wanted for. */
interface Wish {
  readonly address: Address;
  readonly dependant?: Address;
}

/** A chunk whose place is known. */
interface Found {
  readonly address: Address;
  readonly location: Location;
  readonly bases: readonly Address[];
}

interface Wanted {
  readonly location: Location;
  readonly order: number;
}

/** Puts chunks together with what they copy from; one that several copy from is one object. */
class Assembly {
  readonly #table: DigestTable;
  readonly #found: readonly Found[];
  readonly #bytes: readonly Uint8Array[];
  readonly #made = new Map<number, StoredChunk>();
  readonly #making = new Set<number>();

  constructor(table: DigestTable, found: readonly Found[], bytes: readonly Uint8Array[]) {
    this.#table = table;
    this.#found = found;
    this.#bytes = bytes;
  }

  chunks(addresses: readonly Address[]): StoredChunk[] {
    return addresses.map((address) => this.#make(address));
  }

  #make(address: Address): StoredChunk {
    const index = this.#table.find(address);
    const made = this.#made.get(index);
    if (made !== undefined) return made;
    if (this.#making.has(index)) throw chainTooLong(address); // It copies from itself.
    this.#making.add(index);
    const { location, bases } = this.#found[index] as Found;
    const { codec, length } = location;
    const plain = {
      address: copyBytes(address) as Address,
      codec,
      length,
      bytes: this.#bytes[index] as Uint8Array,
    };
    const chunk: StoredChunk =
      codec === CODECS.delta ? { ...plain, bases: bases.map((base) => this.#make(base)) } : plain;
    this.#made.set(index, chunk);
    return chunk;
  }
}

/** The packs that an index knows, without the tag of what is known to be damaged. */
function packsIn(index: ChunkIndex): readonly string[] {
  return [...index.packs().keys()].filter((name) => name.startsWith(PACK_PREFIX));
}

/** Runs of chunks that stand near each other in one pack. */
function coalesce(wanted: readonly Wanted[]): Wanted[][] {
  const sorted = wanted.toSorted((a, b) =>
    a.location.pack === b.location.pack
      ? a.location.offset - b.location.offset
      : a.location.pack < b.location.pack
        ? -1
        : 1,
  );
  const runs: Wanted[][] = [];
  for (const chunk of sorted) {
    const run = runs.at(-1);
    if (run !== undefined && joins(run, chunk)) run.push(chunk);
    else runs.push([chunk]);
  }
  return runs;
}

function joins(run: readonly Wanted[], { location }: Wanted): boolean {
  const first = (run[0] as Wanted).location;
  const last = (run.at(-1) as Wanted).location;
  return (
    location.pack === first.pack &&
    location.offset - endOf(last) <= READ_GAP &&
    endOf(location) - first.offset <= READ_BYTES
  );
}

function endOf({ offset, storedLength }: Location): number {
  return offset + storedLength;
}

/** A chunk that no pack holds. @param dependant the delta that copies from it, if that is why it is wanted. */
export function chunkMissing(address: Address, dependant?: Address): VecsnapError {
  return new VecsnapError('CHUNK_MISSING', 'A chunk stands in no pack.', {
    place: `${formatAddress(address, 'data')}${neededBy(dependant, 'data')}`,
    remedy:
      'Run verify to see which snapshots this concerns. A new snapshot of the same source writes the chunk again.',
  });
}

/**
 * A chunk whose bytes are not what its address says, or that is kept in a codec of a later version.
 * @param dependant the delta that copies from it, if that is why it is wanted.
 */
export function chunkDamaged(
  address: Address,
  { pack, kind, codec }: Pick<Location, 'pack' | 'kind' | 'codec'>,
  dependant?: Address,
): VecsnapError {
  const place = `${formatAddress(address, kind)} in ${pack}${neededBy(dependant, kind)}`;
  if (!isKnownCodec(codec)) {
    return new VecsnapError(
      'REPOSITORY_NEWER',
      `A chunk is kept in codec ${codec}, which this vecsnap does not know.`,
      {
        place,
        remedy: 'Install a newer version of vecsnap.',
      },
    );
  }
  return new VecsnapError('CHUNK_DAMAGED', 'The bytes of a chunk do not fit its address.', {
    place,
    remedy:
      'Run verify to see which snapshots this concerns; put the pack back from another copy if there is one.',
  });
}

function neededBy(dependant: Address | undefined, kind: ChunkKind): string {
  return dependant === undefined ? '' : `, which ${formatAddress(dependant, kind)} copies from`;
}

function chainTooLong(address: Address): VecsnapError {
  return new VecsnapError(
    'CHUNK_DAMAGED',
    'A chunk is told by a longer chain of others than any that is written.',
    {
      place: formatAddress(address, 'data'),
      remedy: 'Run verify to see which snapshots this concerns.',
    },
  );
}

function sizeChanged(name: string, size: number, indexed: number | undefined): VecsnapError {
  return new VecsnapError('PACK_DAMAGED', `A pack has ${size} bytes; it was written with ${indexed}.`, {
    place: name,
    remedy:
      'Run verify to see which snapshots this concerns; put the pack back from another copy if there is one.',
  });
}
