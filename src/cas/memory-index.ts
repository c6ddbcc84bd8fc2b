/**
 * The index in memory: about 75 bytes a chunk, and as much again where it has just grown. For readers beside a writer, and for stores without LevelDB.
 *
 * Here chunks have numbers, so that a base takes four bytes: it knows what deltas copy from, and a chain is followed from number
 * to number.
 */
import type { Address } from '../core/index.js';
import type { BlobStat } from '../blob/port.js';
import { type ChunkTable, NONE, PlainChunkTable, ROW, ROW_LENGTH } from './chunk-table.js';
import { CODECS } from './codec.js';
import type { FoundChunks } from './found-chunks.js';
import type { ChunkIndex, IndexEntry, Location } from './index-port.js';
import { KernelChunkTable } from './kernel-table.js';
import type { DirectoryEntry, StoredDirectory } from './pack.js';

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
    addDirectory: (pack, directory) => index.addDirectory(pack, directory),
    removePacks: (names) => index.removePacks(names),
    removeChunksOf: (names) => index.removeChunksOf(names),
    entries: () => index.entries(),
    clear: () => index.clear(),
    close: async () => {},
  };
}

class MemoryIndex {
  #table = emptyTable();
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
    const bases = entries.reduce((sum, entry) => sum + (entry.bases?.length ?? 0), 0);
    this.#makeRoom(entries.length, bases);
    const pack = this.#names.push(name) - 1;
    this.#sizes.set(name, size);
    for (const entry of entries) this.#set(pack, entry);
  }

  /** The same from the bytes of its directory. @returns false when that must be done by {@link addPack}; nothing was added then. */
  addDirectory({ name, size }: BlobStat, { bytes, count, end }: StoredDirectory): boolean {
    const found = this.#table.inspect?.(bytes);
    if (found === undefined || found.entries !== count || found.end !== end || found.rivals > 0) return false;
    this.#makeRoom(found.entries, found.bases);
    if (this.#table.addInspected?.(bytes, this.#names.length) !== true) return false;
    this.#names.push(name);
    this.#sizes.set(name, size);
    return true;
  }

  async removePacks(names: ReadonlySet<string>): Promise<void> {
    await this.removeChunksOf(names);
    for (const name of names) this.#sizes.delete(name);
  }

  async removeChunksOf(names: ReadonlySet<string>): Promise<void> {
    const { rows, size } = this.#table;
    for (let at = 0; at < size * ROW_LENGTH; at += ROW_LENGTH) {
      const pack = this.#names[rows[at] as number];
      if (pack !== undefined && names.has(pack)) rows[at] = NONE;
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
    this.#table = emptyTable();
    this.#names = [];
    this.#sizes.clear();
  }

  /** All locations have the same properties in the same order but for the last; nothing is spread, because there are thousands. */
  #locate(number: number): Location | undefined {
    if (number < 0) return undefined;
    const at = number * ROW_LENGTH;
    const pack = this.#field(at, ROW.pack);
    if (pack === NONE) return undefined;
    const tag = this.#field(at, ROW.tag);
    const baseCount = this.#field(at, ROW.baseCount);
    const name = this.#names[pack] as string;
    const offset = this.#field(at, ROW.offset);
    const storedLength = this.#field(at, ROW.storedLength);
    const length = this.#field(at, ROW.length);
    const codec = tag >>> 1;
    const kind = tag & 1 ? 'node' : 'data';
    return baseCount === NONE
      ? { pack: name, offset, storedLength, length, codec, kind }
      : { pack: name, offset, storedLength, length, codec, kind, baseCount };
  }

  /** Undefined for a chunk that is no delta, or was added without its bases. */
  #basesOf(number: number): Uint32Array | undefined {
    const at = number * ROW_LENGTH;
    const first = this.#field(at, ROW.firstBase);
    return first === NONE
      ? undefined
      : this.#table.bases.subarray(first, first + this.#field(at, ROW.baseCount));
  }

  #set(
    pack: number,
    { address, kind, codec, offset, storedLength, length, baseCount, bases }: DirectoryEntry,
  ): void {
    const number = this.#table.add(address);
    const at = number * ROW_LENGTH;
    const { rows } = this.#table;
    const standsAlone = rows[at] !== NONE && this.#field(at, ROW.baseCount) === NONE;
    if (baseCount !== undefined && standsAlone) return;
    const firstBase = bases === undefined ? NONE : this.#addBases(bases);
    rows.set(
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
    const first = this.#table.takeBases(bases.length);
    for (let i = 0; i < bases.length; i++)
      this.#table.bases[first + i] = this.#table.add(bases[i] as Address);
    return first;
  }

  /** Makes room for so many chunks more, and for the bases of deltas, which may be chunks that are not known yet. */
  #makeRoom(chunks: number, bases: number): void {
    const { size, basesTaken } = this.#table;
    this.#table = this.#table.withRoom(size + chunks + bases, basesTaken + bases);
  }

  #field(at: number, field: number): number {
    return this.#table.rows[at + field] as number;
  }
}

const NO_NUMBERS = new Uint32Array(0);

function emptyTable(): ChunkTable {
  return KernelChunkTable.create() ?? new PlainChunkTable();
}
