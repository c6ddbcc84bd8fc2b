/**
 * What all packs hold: every chunk, where it stands and what it copies from, in flat memory; some 60 bytes a chunk, about as much as an
 * index in memory. It is for whoever goes through nearly all chunks. Only the directories of packs tell what deltas copy from, so these are
 * read in any case; going through an index besides, or asking it a million times, would take longer than everything else together.
 */
import {
  type Address,
  ADDRESS_LENGTH,
  copyBytes,
  DigestTable,
  isVecsnapError,
  mapAhead,
  NumberColumn,
  throwIfAborted,
} from '../core/index.js';
import type { ChunkPlaces, ChunkStore } from './chunk-store.js';
import { CODECS } from './codec.js';
import type { Location } from './index-port.js';
import { type DirectoryCursor, packEntryBytes } from './pack.js';

/** A place that a catalogue has told. */
interface CataloguedLocation extends Location {
  readonly number: number;
}

/** How many addresses are looked up in the index together. */
const LOOKED_UP_TOGETHER = 512;

/** See the head of this file. Chunks have numbers; some may stand nowhere, because others copy from them, or somebody has asked for them. */
export class Catalogue implements ChunkPlaces {
  readonly #store: ChunkStore;
  /** Gives chunks their numbers. */
  readonly table = new DigestTable();
  readonly #packs: string[] = [];
  readonly #numbersOfPacks = new Map<string, number>();
  // Of each chunk:
  /** One more than the number of its pack; 0 when it stands nowhere. */
  readonly #places = new NumberColumn();
  readonly #offsets = new NumberColumn();
  readonly #storedLengths = new NumberColumn();
  readonly #lengths = new NumberColumn();
  /** 256 · the number of chunks that it copies from, 2 · codec, and 1 for a node. */
  readonly #tags = new NumberColumn(2);
  /** What it copies from, if that is one chunk; else where in {@link #bases} they begin. */
  readonly #copied = new NumberColumn();
  /** What those deltas copy from that copy from several. */
  readonly #bases = new NumberColumn();
  #basesEnd = 0;

  private constructor(store: ChunkStore) {
    this.#store = store;
  }

  /**
   * Reads the directories of all packs. A chunk that stands in several is not placed, nor is one in a pack whose directory cannot be read:
   * the index says where those are found, and whoever needs them asks it.
   * @throws VecsnapError STORE_FAILED, ABORTED.
   */
  static async read(store: ChunkStore, signal?: AbortSignal): Promise<Catalogue> {
    const catalogue = new Catalogue(store);
    await catalogue.#addPacks(signal);
    return catalogue;
  }

  /** Numbers are from 0 to below this. */
  get size(): number {
    return this.table.size;
  }

  /** The packs in which chunks stand. */
  get packs(): readonly string[] {
    return this.#packs;
  }

  /** The number of a chunk, or -1. */
  find(address: Address): number {
    return this.table.find(address);
  }

  /** The number of a chunk, which is given one if it has none. */
  number(address: Address): number {
    return this.table.add(address);
  }

  /** A copy of the address of a chunk. */
  addressOf(number: number): Address {
    return copyBytes(this.table.at(number)) as Address;
  }

  /** The number of its pack in {@link packs}; below 0 when it stands nowhere. */
  packOf(number: number): number {
    return this.#places.get(number) - 1;
  }

  isPlaced(number: number): boolean {
    return this.#places.get(number) > 0;
  }

  isDelta(number: number): boolean {
    return this.#codecOf(number) === CODECS.delta;
  }

  isNode(number: number): boolean {
    return (this.#tags.get(number) & 1) === 1;
  }

  /** Plaintext bytes. */
  lengthOf(number: number): number {
    return this.#lengths.get(number);
  }

  /** Bytes in its pack, without its entry in the directory. */
  storedLengthOf(number: number): number {
    return this.#storedLengths.get(number);
  }

  /** Bytes in its pack with its entry in the directory; 0 when it stands nowhere. */
  sizeOf(number: number): number {
    if (!this.isPlaced(number)) return 0;
    return packEntryBytes({
      storedLength: this.storedLengthOf(number),
      length: this.lengthOf(number),
      codec: this.#codecOf(number),
      baseCount: this.isDelta(number) ? this.#baseCountOf(number) : undefined,
    });
  }

  /** Calls `visit` with the number of each chunk that a delta copies from. */
  forEachBase(number: number, visit: (base: number) => void): void {
    const count = this.#baseCountOf(number);
    const copied = this.#copied.get(number);
    if (count === 1) visit(copied);
    else for (let i = 0; i < count; i++) visit(this.#bases.get(copied + i));
  }

  /** As {@link ChunkStore.locate}. What stands nowhere is looked for in the index. */
  async locate(addresses: readonly Address[]): Promise<(Location | undefined)[]> {
    const numbers = addresses.map((address) => this.number(address));
    await this.askIndex(numbers.filter((number) => !this.isPlaced(number)));
    return numbers.map((number) => this.#locationOf(number));
  }

  /** As {@link ChunkStore.basesOf}, for places that {@link locate} gave. */
  async basesOf(locations: readonly Location[]): Promise<Address[][]> {
    return locations.map((location) => {
      const bases: Address[] = [];
      this.forEachBase((location as CataloguedLocation).number, (base) => bases.push(this.addressOf(base)));
      return bases;
    });
  }

  /**
   * Asks the index where chunks are found. Those that it does not know, or knows in packs that are gone, stay as they are.
   * @throws VecsnapError PACK_MISSING, PACK_DAMAGED when it cannot be told what one of them copies from.
   */
  async askIndex(numbers: readonly number[]): Promise<void> {
    for (let start = 0; start < numbers.length; start += LOOKED_UP_TOGETHER) {
      const some = numbers.slice(start, start + LOOKED_UP_TOGETHER);
      const found = await this.#store.parts.index.find(some.map((number) => this.addressOf(number)));
      const isThere = found.map((location) => location !== undefined && this.#store.packs.has(location.pack));
      const locations = found.filter((_, i) => isThere[i]) as Location[];
      const bases = await this.#store.basesOf(locations);
      for (const [i, number] of some.filter((_, j) => isThere[j]).entries())
        this.#addLocated(number, locations[i] as Location, bases[i] as Address[]);
    }
  }

  #addLocated(number: number, location: Location, bases: readonly Address[]): void {
    this.#place(number, this.#numberOf(location.pack), location, bases.length);
    for (const [i, base] of bases.entries()) this.#setBase(number, i, this.number(base));
  }

  async #addPacks(signal: AbortSignal | undefined): Promise<void> {
    const { packs, parts, options } = this.#store;
    const known = parts.index.packs();
    const names = [...packs.keys()].filter((name) => known.has(name));
    const inSeveral = new Set<number>();
    const directories = mapAhead(names, options.maxConcurrentIo, async (name) => ({
      name,
      cursor: await this.#open(name),
    }));
    for await (const { name, cursor } of directories) {
      throwIfAborted(signal);
      if (cursor !== undefined) this.#addPack(name, cursor, inSeveral);
    }
    for (const number of inSeveral) this.#places.set(number, 0);
  }

  /** Undefined when the directory of a pack cannot be read. */
  async #open(pack: string): Promise<DirectoryCursor | undefined> {
    try {
      return await this.#store.openDirectory(pack);
    } catch (error) {
      if (isVecsnapError(error, 'PACK_DAMAGED', 'PACK_MISSING')) return undefined;
      throw error;
    }
  }

  #addPack(pack: string, cursor: DirectoryCursor, inSeveral: Set<number>): void {
    const { damage } = this.#store.parts;
    const packNumber = this.#numberOf(pack);
    while (cursor.next()) {
      if (damage?.isBad(pack, cursor.offset) === true) continue;
      const number = this.table.addAt(cursor.bytes, cursor.addressAt);
      if (this.isPlaced(number)) inSeveral.add(number);
      this.#place(number, packNumber, cursor, cursor.baseCount);
      for (let i = 0; i < cursor.baseCount; i++)
        this.#setBase(number, i, this.table.addAt(cursor.bytes, cursor.basesAt + i * ADDRESS_LENGTH));
    }
  }

  #place(
    number: number,
    packNumber: number,
    { offset, storedLength, length, codec, kind }: Omit<Location, 'pack'>,
    baseCount: number,
  ): void {
    this.#places.set(number, packNumber + 1);
    this.#offsets.set(number, offset);
    this.#storedLengths.set(number, storedLength);
    this.#lengths.set(number, length);
    this.#tags.set(number, baseCount * 256 + codec * 2 + (kind === 'node' ? 1 : 0));
    if (baseCount <= 1) return;
    this.#copied.set(number, this.#basesEnd);
    this.#basesEnd += baseCount;
  }

  #setBase(number: number, i: number, base: number): void {
    if (this.#baseCountOf(number) === 1) this.#copied.set(number, base);
    else this.#bases.set(this.#copied.get(number) + i, base);
  }

  #locationOf(number: number): CataloguedLocation | undefined {
    if (!this.isPlaced(number)) return undefined;
    const location = {
      number,
      pack: this.#packs[this.packOf(number)] as string,
      offset: this.#offsets.get(number),
      storedLength: this.#storedLengths.get(number),
      length: this.lengthOf(number),
      codec: this.#codecOf(number),
      kind: this.isNode(number) ? 'node' : 'data',
    } as const;
    return this.isDelta(number) ? { ...location, baseCount: this.#baseCountOf(number) } : location;
  }

  #codecOf(number: number): number {
    return (this.#tags.get(number) & 0xff) >>> 1;
  }

  #baseCountOf(delta: number): number {
    return this.#tags.get(delta) >>> 8;
  }

  #numberOf(pack: string): number {
    const known = this.#numbersOfPacks.get(pack);
    if (known !== undefined) return known;
    const number = this.#packs.push(pack) - 1;
    this.#numbersOfPacks.set(pack, number);
    return number;
  }
}
