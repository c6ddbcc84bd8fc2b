/**
 * The index in LevelDB, or in any other abstract-level database.
 *
 * Keys: `c` and the 32 bytes of an address → the place of that chunk; `p` and the name of a pack → its number and size;
 * `w` and the address of a root → what is kept with the note that all of its tree is here; `f` and the digest of a file → the digest of the
 * state in which it was, and what it had then: its only chunk or the root of its stream; `v` → the version of this layout. Places and packs are varints
 * (see encodePlace and encodePack). A pack and its chunks go in with one atomic batch, so a pack that has its key has all of its chunks (docs/ordering.md, R2 and R3).
 */
import type { AbstractLevel } from 'abstract-level';
import {
  type Address,
  ADDRESS_LENGTH,
  ByteReader,
  ByteWriter,
  concatBytes,
  equalBytes,
  fromUtf8,
  toAddress,
  utf8,
  VecsnapError,
} from '../core/index.js';
import { CODECS } from './codec.js';
import type { ChunkIndex, FileNote, IndexEntry, Location, WholeNote, WholeTree } from './index-port.js';
import type { PackEntry } from './pack.js';

/** A database with bytes as keys and values. */
export type IndexDatabase = AbstractLevel<unknown, Uint8Array, Uint8Array>;

/** What surrounds the database of an index. */
export interface IndexPlace {
  /** Removes the database, which is closed then. By default it is emptied. */
  readonly remove?: () => Promise<void>;
  /** Is called when the database was closed with all that was put. */
  readonly onClosed?: () => Promise<void>;
  /** Whether nobody else waits for the calling thread: few look-ups are then done at once in it, for a third of the time. */
  readonly ownsThread?: boolean | undefined;
}

const CHUNK = utf8('c');
const PACK = utf8('p');
const WHOLE = utf8('w');
const FILE = utf8('f');
const VERSION_KEY = utf8('v');
/** Of the layout, and of what its writers keep: one of version 1 removes packs and leaves the notes of whole trees. */
const VERSION = Uint8Array.of(2);
const ROWS_AT_ONCE = 1000;
/** Two microseconds each, when they are in memory. */
const LOOKED_UP_AT_ONCE = 256;
/** So many new entries are worth a table of their own. */
const SETTLED_ENTRIES = 256;
/** An index of up to so many bytes is settled whenever it was written. */
const SMALL_BYTES = 8 * 1024 * 1024;

/**
 * Opens the index that `db` holds; `db` must be open, with `view` as the encoding of keys and values. An index of another
 * version is emptied: it can be rebuilt.
 * @throws VecsnapError INDEX_DAMAGED when the database cannot be read.
 */
export async function levelIndex(db: IndexDatabase, place: IndexPlace = {}): Promise<ChunkIndex> {
  const index = new LevelIndex(db, place);
  await index.load();
  return index;
}

class LevelIndex implements ChunkIndex {
  readonly #db: IndexDatabase;
  readonly #place: IndexPlace;
  readonly #sizes = new Map<string, number>();
  readonly #numbers = new Map<string, number>();
  readonly #names = new Map<number, string>();
  /** Entries that were added since the database was opened. */
  #written = 0;
  #nextNumber = 0;

  constructor(db: IndexDatabase, place: IndexPlace) {
    this.#db = db;
    this.#place = place;
  }

  async load(): Promise<void> {
    const version = await reading(() => this.#db.get(VERSION_KEY));
    if (version === undefined || !equalBytes(version, VERSION)) await this.clear();
    for await (const some of rows(this.#db, PACK)) {
      for (const [key, value] of some) {
        const { number, size } = decodePack(value);
        this.#remember(packName(key), number, size);
      }
    }
  }

  packs(): ReadonlyMap<string, number> {
    return this.#sizes;
  }

  async find(addresses: readonly Address[]): Promise<(Location | undefined)[]> {
    if (addresses.length === 0 || this.#sizes.size === 0) return addresses.map(() => undefined);
    const values = await reading(() => this.#values(addresses.map(chunkKey)));
    return values.map((value) => (value === undefined ? undefined : this.#locate(value)));
  }

  async #values(keys: Uint8Array[]): Promise<(Uint8Array | undefined)[]> {
    const isQuick = this.#place.ownsThread === true && keys.length <= LOOKED_UP_AT_ONCE;
    return isQuick ? keys.map((key) => this.#db.getSync(key)) : this.#db.getMany(keys);
  }

  async addPack(
    { name, size }: { name: string; size: number },
    entries: readonly PackEntry[],
  ): Promise<void> {
    const number = this.#numbers.get(name) ?? this.#nextNumber;
    const batch = this.#db.batch();
    const writer = new ByteWriter();
    for (const entry of await this.#withoutWorse(entries)) {
      batch.put(chunkKey(entry.address), encodePlace(number, entry, writer));
    }
    batch.put(packKey(name), encodePack(number, size));
    await write(batch);
    this.#written += entries.length;
    this.#remember(name, number, size);
  }

  /** Those that are better than what is known, or as good: a copy that stands alone is better than a delta. */
  async #withoutWorse(entries: readonly PackEntry[]): Promise<readonly PackEntry[]> {
    const deltas = entries.filter(({ baseCount }) => baseCount !== undefined);
    if (deltas.length === 0) return entries;
    const known = await this.find(deltas.map(({ address }) => address));
    const isWorse = (i: number): boolean => known[i] !== undefined && known[i].baseCount === undefined;
    const worse = new Set(deltas.filter((_, i) => isWorse(i)));
    return worse.size === 0 ? entries : entries.filter((entry) => !worse.has(entry));
  }

  async noteWhole(root: Address, note: WholeNote, before: Address | undefined): Promise<void> {
    const batch = this.#db.batch();
    if (before !== undefined) batch.del(addressKey(WHOLE, before));
    batch.put(addressKey(WHOLE, root), note);
    await write(batch);
  }

  async wholeNote(root: Address): Promise<WholeNote | undefined> {
    return reading(() => this.#db.get(addressKey(WHOLE, root)));
  }

  async wholeTrees(): Promise<readonly WholeTree[]> {
    const trees: WholeTree[] = [];
    for await (const some of rows(this.#db, WHOLE))
      for (const [key, note] of some) trees.push({ root: addressIn(key), note });
    return trees;
  }

  async noteFiles(notes: readonly FileNote[]): Promise<void> {
    const batch = this.#db.batch();
    for (const { file, state, content } of notes)
      batch.put(concatBytes([FILE, file]), concatBytes([state, content]));
    await write(batch);
    this.#written += notes.length;
  }

  async fileNotes(files: readonly Uint8Array[]): Promise<(FileNote | undefined)[]> {
    const values = await reading(() => this.#values(files.map((file) => concatBytes([FILE, file]))));
    return values.map((value, i) => value && decodeFileNote(files[i] as Uint8Array, value));
  }

  async keepFileNotes(isNeeded: (content: Address) => boolean): Promise<void> {
    for await (const some of rows(this.#db, FILE)) {
      const batch = this.#db.batch();
      for (const [key, value] of some)
        if (!isNeeded(decodeFileNote(key.subarray(1), value).content)) batch.del(key);
      await write(batch);
    }
  }

  /** To be called before anything is removed (docs/ordering.md, R12). */
  async #forgetWhole(): Promise<void> {
    const batch = this.#db.batch();
    for await (const some of rows(this.#db, WHOLE)) for (const [key] of some) batch.del(key);
    await write(batch);
  }

  async removePacks(names: ReadonlySet<string>, chunks?: Iterable<Address>): Promise<void> {
    if (chunks === undefined) await this.removeChunksOf(names);
    else await this.#removeFound(names, chunks);
    const batch = this.#db.batch();
    for (const name of names) batch.del(packKey(name));
    await write(batch);
    for (const name of names) this.#forget(name);
  }

  /** Removes those of these chunks that are found in some packs. */
  async #removeFound(names: ReadonlySet<string>, chunks: Iterable<Address>): Promise<void> {
    await this.#forgetWhole();
    for (const some of inSlices(chunks, ROWS_AT_ONCE)) {
      const locations = await this.find(some);
      const batch = this.#db.batch();
      for (const [i, address] of some.entries())
        if (names.has(locations[i]?.pack ?? '')) batch.del(chunkKey(address));
      await write(batch);
    }
  }

  async removeChunksOf(names: ReadonlySet<string>): Promise<void> {
    await this.#forgetWhole();
    const numbers = new Set([...names].map((name) => this.#numbers.get(name)));
    let batch = this.#db.batch();
    for await (const some of rows(this.#db, CHUNK)) {
      for (const [key, value] of some) if (numbers.has(decodePlace(value).number)) batch.del(key);
      if (batch.length < ROWS_AT_ONCE) continue;
      await write(batch);
      batch = this.#db.batch();
    }
    await write(batch);
  }

  async *entries(): AsyncGenerator<readonly IndexEntry[]> {
    for await (const some of rows(this.#db, CHUNK)) {
      const entries: IndexEntry[] = [];
      for (const [key, value] of some) {
        const location = this.#locate(value);
        if (location !== undefined && key.length === ADDRESS_LENGTH + 1)
          entries.push({ address: addressIn(key), ...location });
      }
      yield entries;
    }
  }

  async clear(): Promise<void> {
    await reading(() => this.#db.clear());
    await reading(() => this.#db.put(VERSION_KEY, VERSION));
    this.#sizes.clear();
    this.#numbers.clear();
    this.#names.clear();
    this.#nextNumber = 0;
  }

  async close(): Promise<void> {
    try {
      if (this.#written >= SETTLED_ENTRIES || (this.#written > 0 && (await isSmall(this.#db)))) {
        await settle(this.#db);
      }
    } finally {
      await this.#db.close();
    }
    await this.#place.onClosed?.();
  }

  async discard(): Promise<void> {
    if (this.#place.remove === undefined) await this.clear();
    await this.#db.close();
    await this.#place.remove?.();
  }

  #locate(value: Uint8Array): Location | undefined {
    const { number, ...place } = decodePlace(value);
    const pack = this.#names.get(number);
    return pack === undefined ? undefined : { pack, ...place };
  }

  #remember(name: string, number: number, size: number): void {
    this.#sizes.set(name, size);
    this.#numbers.set(name, number);
    this.#names.set(number, name);
    this.#nextNumber = Math.max(this.#nextNumber, number + 1);
  }

  #forget(name: string): void {
    const number = this.#numbers.get(name);
    if (number !== undefined) this.#names.delete(number);
    this.#numbers.delete(name);
    this.#sizes.delete(name);
  }
}

/** @throws VecsnapError STORE_FULL, STORE_FAILED. The index is then as it was: a batch is written whole or not at all. */
async function write(batch: { write(): Promise<void> }): Promise<void> {
  try {
    await batch.write();
  } catch (cause) {
    const reason = reasonOf(cause);
    const isFull = /no space left|quota exceeded/i.test(reason);
    throw new VecsnapError(
      isFull ? 'STORE_FULL' : 'STORE_FAILED',
      `The index could not be written: ${reason}.`,
      {
        place: 'index',
        remedy: isFull
          ? 'Free some space and try again.'
          : 'Check the disk, then run repair: it rebuilds the index from the packs.',
        cause,
      },
    );
  }
}

/** Does what reads the database. @throws VecsnapError INDEX_DAMAGED whatever is wrong: an index that cannot be read is of no use. */
async function reading<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (cause) {
    throw indexDamaged(cause);
  }
}

/** What an error of a database and those that caused it say. */
function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.cause === undefined ? error.message : `${error.message}: ${reasonOf(error.cause)}`;
}

/**
 * LevelDB keeps what was just written in a log, makes a table of it when it is opened again, and merges tables when a hundred
 * look-ups had to go through two of them. Doing so at once leaves that to whoever wrote, and not to the next, who may have written
 * nothing, and might be gone with both the old tables and half of a new one on the disk.
 */
async function settle(db: IndexDatabase): Promise<void> {
  const { compactRange } = db as { compactRange?: (start: Uint8Array, end: Uint8Array) => Promise<void> };
  await compactRange?.call(db, CHUNK, Uint8Array.of((CHUNK[0] as number) + 1));
}

async function isSmall(db: IndexDatabase): Promise<boolean> {
  const { approximateSize } = db as {
    approximateSize?: (start: Uint8Array, end: Uint8Array) => Promise<number>;
  };
  const bytes = await approximateSize?.call(db, CHUNK, Uint8Array.of((CHUNK[0] as number) + 1));
  return bytes !== undefined && bytes <= SMALL_BYTES;
}

/** Some addresses at a time. They are copied: a table gives views. */
function* inSlices(addresses: Iterable<Address>, most: number): Generator<Address[]> {
  let some: Address[] = [];
  for (const address of addresses) {
    some.push(address.slice() as Address);
    if (some.length < most) continue;
    yield some;
    some = [];
  }
  if (some.length > 0) yield some;
}

function chunkKey(address: Address): Uint8Array {
  return addressKey(CHUNK, address);
}

function addressKey(prefix: Uint8Array, address: Address): Uint8Array {
  const key = new Uint8Array(prefix.length + ADDRESS_LENGTH);
  key.set(prefix);
  key.set(address, prefix.length);
  return key;
}

function packKey(name: string): Uint8Array {
  return concatBytes([PACK, utf8(name)]);
}

function packName(key: Uint8Array): string {
  try {
    return fromUtf8(key.subarray(1));
  } catch (cause) {
    throw indexDamaged(cause);
  }
}

/** The address in the key of a chunk. Copied byte by byte, because a view of so few takes longer to make than to fill. */
function addressIn(key: Uint8Array): Address {
  const address = new Uint8Array(ADDRESS_LENGTH);
  for (let i = 0; i < ADDRESS_LENGTH; i++) address[i] = key[i + 1] as number;
  return toAddress(address);
}

/** Some rows at a time. */
async function* rows(db: IndexDatabase, prefix: Uint8Array): AsyncGenerator<[Uint8Array, Uint8Array][]> {
  const iterator = db.iterator({ gt: prefix, lt: Uint8Array.of((prefix[0] as number) + 1) });
  try {
    for (;;) {
      const some = await reading(() => iterator.nextv(ROWS_AT_ONCE));
      if (some.length === 0) return;
      yield some;
    }
  } finally {
    await iterator.close();
  }
}

/** Pack number, offset, stored length, length, then codec · 2 + (1 for a node); for a delta then the number of its bases. */
function encodePlace(
  number: number,
  { offset, storedLength, length, codec, kind, baseCount }: PackEntry,
  writer: ByteWriter,
): Uint8Array {
  writer.clear();
  writer.varint(number);
  writer.varint(offset);
  writer.varint(storedLength);
  writer.varint(length);
  writer.varint(codec * 2 + (kind === 'node' ? 1 : 0));
  if (codec === CODECS.delta) writer.varint(baseCount ?? 0);
  return writer.toBytes();
}

function decodePlace(value: Uint8Array): Omit<Location, 'pack'> & { number: number } {
  return decoding(() => {
    const reader = new ByteReader(value);
    const number = reader.varint();
    const offset = reader.varint();
    const storedLength = reader.varint();
    const length = reader.varint();
    const tag = reader.varint();
    const codec = tag >>> 1;
    const kind = tag & 1 ? 'node' : 'data';
    const place = { number, offset, storedLength, length, codec, kind } as const;
    const described = codec === CODECS.delta ? { ...place, baseCount: reader.varint() } : place;
    if (reader.remaining > 0) throw indexDamaged();
    return described;
  });
}

function encodePack(number: number, size: number): Uint8Array {
  const writer = new ByteWriter();
  writer.varint(number);
  writer.varint(size);
  return writer.toBytes();
}

function decodePack(value: Uint8Array): { number: number; size: number } {
  return decoding(() => {
    const reader = new ByteReader(value);
    const pack = { number: reader.varint(), size: reader.varint() };
    if (reader.remaining > 0) throw indexDamaged();
    return pack;
  });
}

function decodeFileNote(file: Uint8Array, value: Uint8Array): FileNote {
  return decoding(() => ({
    file,
    state: value.subarray(0, -ADDRESS_LENGTH),
    content: toAddress(value.subarray(-ADDRESS_LENGTH)),
  }));
}

function decoding<T>(decode: () => T): T {
  try {
    return decode();
  } catch (cause) {
    throw indexDamaged(cause);
  }
}

function indexDamaged(cause?: unknown): VecsnapError {
  return new VecsnapError('INDEX_DAMAGED', 'The index cannot be read.', {
    place: 'index',
    remedy: 'Run repair: it rebuilds the index from the packs.',
    cause,
  });
}
