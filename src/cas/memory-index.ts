/**
 * The index in memory: about 70 bytes a chunk. For readers beside a writer, and for stores without LevelDB.
 *
 * Here chunks have numbers, so that a base takes four bytes: it knows what deltas copy from, and a chain is followed from number
 * to number.
 */
import { type Address, DigestTable } from '../core/index.js';
import type { BlobStat } from '../blob/port.js';
import { CODECS } from './codec.js';
import type { FoundChunks } from './found-chunks.js';
import type { ChunkIndex, IndexEntry, Location } from './index-port.js';
import type { DirectoryEntry } from './pack.js';

/** The place of a number among those of a chunk. */
const FIELDS = {
  /** Or {@link NONE}, for a chunk that stands nowhere: others copy from it, or its pack is gone. */
  pack: 0,
  offset: 1,
  storedLength: 2,
  length: 3,
  /** The codec · 2 + (1 for a node). */
  tag: 4,
  /** Or {@link NONE}, for a chunk that is no delta. */
  baseCount: 5,
  /** Where its bases begin among those of all; or {@link NONE}, for a delta that was added without them. */
  firstBase: 6,
} as const;
const FIELD_COUNT = 7;
const NONE = 0xffffffff;
const ENTRIES_AT_ONCE = 1000;

/** An empty index. */
export function memoryIndex(): ChunkIndex {
  const index = new MemoryIndex();
  return {
    isInMemory: true,
    find: (addresses) => index.find(addresses),
    place: (found, first, end) => index.place(found, first, end),
    packs: () => index.packs(),
    addPack: (pack, entries) => index.addPack(pack, entries),
    removePacks: (names) => index.removePacks(names),
    removeChunksOf: (names) => index.removeChunksOf(names),
    entries: () => index.entries(),
    clear: () => index.clear(),
    close: async () => {},
  };
}

class MemoryIndex {
  #table = new DigestTable();
  /** Seven numbers for each chunk, see {@link FIELDS}. */
  #fields = emptyFields(64);
  #bases = new Uint32Array(64);
  #baseCount = 0;
  #names: string[] = [];
  readonly #sizes = new Map<string, number>();

  async find(addresses: readonly Address[]): Promise<(Location | undefined)[]> {
    return addresses.map((address) => this.#locate(this.#table.find(address)));
  }

  place(found: FoundChunks, first: number, end: number): boolean {
    const addressOf = (number: number): Address => this.#table.at(number);
    // All before any: one may copy from another.
    for (let chunk = first; chunk < end; chunk++)
      if (found.keyOf(chunk) === undefined)
        found.setKey(chunk, this.#table.find(found.addresses[chunk] as Address));
    let knowsAll = true;
    for (let chunk = first; chunk < end; chunk++) {
      const number = found.keyOf(chunk) as number;
      const location = this.#locate(number);
      if (location === undefined) continue;
      const bases = this.#basesOf(number);
      if (bases === undefined && location.codec === CODECS.delta) knowsAll = false;
      else found.placeByKeys(chunk, location, bases ?? NO_NUMBERS, addressOf);
    }
    return knowsAll;
  }

  packs(): ReadonlyMap<string, number> {
    return this.#sizes;
  }

  async addPack({ name, size }: BlobStat, entries: readonly DirectoryEntry[]): Promise<void> {
    const pack = this.#names.push(name) - 1;
    this.#sizes.set(name, size);
    this.#reserve(this.#table.size + entries.length);
    for (const entry of entries) this.#set(pack, entry);
  }

  async removePacks(names: ReadonlySet<string>): Promise<void> {
    await this.removeChunksOf(names);
    for (const name of names) this.#sizes.delete(name);
  }

  async removeChunksOf(names: ReadonlySet<string>): Promise<void> {
    for (let at = 0; at < this.#table.size * FIELD_COUNT; at += FIELD_COUNT) {
      const pack = this.#names[this.#fields[at] as number];
      if (pack !== undefined && names.has(pack)) this.#fields[at] = NONE;
    }
  }

  async *entries(): AsyncGenerator<readonly IndexEntry[]> {
    for (let start = 0; start < this.#table.size; start += ENTRIES_AT_ONCE) {
      const some: IndexEntry[] = [];
      for (let number = start; number < Math.min(start + ENTRIES_AT_ONCE, this.#table.size); number++) {
        const location = this.#locate(number);
        if (location !== undefined)
          some.push({ address: this.#table.at(number).slice() as Address, ...location });
      }
      yield some;
    }
  }

  async clear(): Promise<void> {
    this.#table = new DigestTable();
    this.#fields = emptyFields(64);
    this.#bases = new Uint32Array(64);
    this.#baseCount = 0;
    this.#names = [];
    this.#sizes.clear();
  }

  /** All locations have the same properties in the same order but for the last; nothing is spread, because there are thousands. */
  #locate(number: number): Location | undefined {
    if (number < 0) return undefined;
    const at = number * FIELD_COUNT;
    const pack = this.#field(at, FIELDS.pack);
    if (pack === NONE) return undefined;
    const tag = this.#field(at, FIELDS.tag);
    const baseCount = this.#field(at, FIELDS.baseCount);
    const name = this.#names[pack] as string;
    const offset = this.#field(at, FIELDS.offset);
    const storedLength = this.#field(at, FIELDS.storedLength);
    const length = this.#field(at, FIELDS.length);
    const codec = tag >>> 1;
    const kind = tag & 1 ? 'node' : 'data';
    return baseCount === NONE
      ? { pack: name, offset, storedLength, length, codec, kind }
      : { pack: name, offset, storedLength, length, codec, kind, baseCount };
  }

  /** Undefined for a chunk that is no delta, or was added without its bases. */
  #basesOf(number: number): Uint32Array | undefined {
    const at = number * FIELD_COUNT;
    const first = this.#field(at, FIELDS.firstBase);
    return first === NONE
      ? undefined
      : this.#bases.subarray(first, first + this.#field(at, FIELDS.baseCount));
  }

  #set(
    pack: number,
    { address, kind, codec, offset, storedLength, length, baseCount, bases }: DirectoryEntry,
  ): void {
    const number = this.#numberOf(address);
    const at = number * FIELD_COUNT;
    const standsAlone = this.#fields[at] !== NONE && this.#field(at, FIELDS.baseCount) === NONE;
    if (baseCount !== undefined && standsAlone) return;
    const firstBase = bases === undefined ? NONE : this.#addBases(bases);
    this.#fields.set(
      [
        pack,
        offset,
        storedLength,
        length,
        codec * 2 + (kind === 'node' ? 1 : 0),
        baseCount ?? NONE,
        firstBase,
      ],
      at,
    );
  }

  #addBases(bases: readonly Address[]): number {
    const first = this.#baseCount;
    this.#baseCount += bases.length;
    if (this.#baseCount > this.#bases.length) {
      const grown = new Uint32Array(Math.max(this.#baseCount, 2 * this.#bases.length));
      grown.set(this.#bases);
      this.#bases = grown;
    }
    for (let i = 0; i < bases.length; i++) this.#bases[first + i] = this.#numberOf(bases[i] as Address);
    return first;
  }

  /** The number of a chunk, which is given one if it has none. */
  #numberOf(address: Address): number {
    const number = this.#table.add(address);
    if ((number + 1) * FIELD_COUNT > this.#fields.length) this.#growFields(2 * this.#fields.length);
    return number;
  }

  #reserve(chunks: number): void {
    this.#table.reserve(chunks);
    if (chunks * FIELD_COUNT > this.#fields.length)
      this.#growFields(Math.max(chunks * FIELD_COUNT, 2 * this.#fields.length));
  }

  #growFields(length: number): void {
    const grown = new Uint32Array(length).fill(NONE, this.#fields.length);
    grown.set(this.#fields);
    this.#fields = grown;
  }

  #field(at: number, field: number): number {
    return this.#fields[at + field] as number;
  }
}

const NO_NUMBERS = new Uint32Array(0);

function emptyFields(chunks: number): Uint32Array {
  return new Uint32Array(chunks * FIELD_COUNT).fill(NONE);
}
