/**
 * Blobs in any abstract-level database: LevelDB, memory, a browser.
 *
 * Key layout, all keys ASCII:
 *
 *   h/<name>             canonical msgpack of [size, piece size], both in bytes
 *   p/<name>!<number>    the bytes from number × piece size on; the number in 8 hexadecimal digits
 *
 * `!` sorts before every character of a name, so the pieces of one blob stand together. A blob is written in one batch
 * (docs/ordering.md, B6), and one whose head is there has all of its pieces. Pieces let a read of a range load only what it needs.
 *
 * Classic-level's `getMany` reads a snapshot, so a read that runs beside a delete sees the blob whole or not at all.
 */
import type { AbstractLevel } from 'abstract-level';
import { decodeCanonical, encodeCanonical, isVecsnapError, VecsnapError } from '../core/index.js';
import {
  blobExists,
  blobMissing,
  checkBlobName,
  checkRead,
  partsOf,
  storeFailed,
  storeFull,
} from './name.js';
import type { BlobStat, BlobStore } from './port.js';
import { Serial } from './serial.js';

/** Any abstract-level database, or a sublevel of one; its own encodings do not matter. */
// oxlint-disable-next-line typescript/no-explicit-any -- the encodings are given with every call
export type LevelDatabase = AbstractLevel<any, any, any>;

/** How a {@link levelBlobStore} is set up. */
export interface LevelBlobStoreOptions {
  /** Where the database is, for messages. Default: its location if it has one. */
  readonly place?: string;
  /** Bytes of a value. Written with every blob, so it may be changed at any time. Default 256 KiB. */
  readonly pieceBytes?: number;
}

/**
 * A store in an abstract-level database. Who opened the database closes it. Make one store for a database: puts of
 * one name are told apart within a store. A put takes about the memory of the blob.
 */
export function levelBlobStore(db: LevelDatabase, options: LevelBlobStoreOptions = {}): BlobStore {
  return new LevelBlobStore(db, options);
}

const DEFAULT_PIECE_BYTES = 256 * 1024;
/** Blobs up to this size are read without a look at their last piece. */
const TAKEN_AT_ONCE = 64 * 1024;
/** No blob is larger: a pack has at most 2^30 bytes of chunks, and one more chunk. */
const MOST_BYTES = 2 ** 31;
const MOST_PIECES = 2 ** 22;
const ENCODINGS = { keyEncoding: 'utf8', valueEncoding: 'view' } as const;
/** Databases that know `sync` (classic-level) wait for the disk; the others have no disk or no say. */
const DURABLE = { ...ENCODINGS, sync: true };

interface Head {
  readonly size: number;
  readonly pieceBytes: number;
}

class LevelBlobStore implements BlobStore {
  readonly place: string;
  readonly #db: LevelDatabase;
  readonly #pieceBytes: number;
  readonly #writes = new Serial();

  constructor(db: LevelDatabase, { place, pieceBytes = DEFAULT_PIECE_BYTES }: LevelBlobStoreOptions) {
    if (!Number.isSafeInteger(pieceBytes) || pieceBytes < 1)
      throw new RangeError(`pieceBytes: ${pieceBytes}`);
    this.#db = db;
    this.#pieceBytes = pieceBytes;
    this.place = place ?? locationOf(db);
  }

  async put(name: string, bytes: Uint8Array | readonly Uint8Array[]): Promise<void> {
    checkBlobName(name);
    await this.#writes.run(name, async () => {
      if (await this.#head(name)) throw blobExists(this.place, name);
      const operations = putOperations(name, partsOf(bytes), this.#pieceBytes);
      await this.#attempt('write', name, () => this.#db.batch(operations, DURABLE));
    });
  }

  async get(name: string): Promise<Uint8Array> {
    checkBlobName(name);
    let head = await this.#head(name);
    if (head === undefined) throw blobMissing(this.place, name);
    for (;;) {
      await this.#expectEnd(name, head);
      const blob = new Uint8Array(head.size);
      const seen = await this.#readPieces(name, 0, blob, head.pieceBytes);
      if (seen.size === blob.length) return blob;
      head = seen; // Another blob has come to stand under this name since the head was read.
    }
  }

  async read(name: string, offset: number, into: Uint8Array): Promise<number> {
    checkRead(name, offset);
    const { size } = await this.#readPieces(name, offset, into, this.#pieceBytes);
    return available(size, offset, into);
  }

  async stat(name: string): Promise<BlobStat | undefined> {
    checkBlobName(name);
    const head = await this.#head(name);
    return head && { name, size: head.size };
  }

  async *list(prefix: string): AsyncIterable<BlobStat> {
    const range = { gte: headKey(prefix), lt: headKey(`${prefix}\u007f`), ...ENCODINGS };
    const heads = await this.#attempt('list', prefix, async () =>
      this.#db.iterator<string, Uint8Array>(range),
    );
    try {
      for (;;) {
        const entry = await this.#attempt('list', prefix, () => heads.next());
        if (entry === undefined) return;
        const name = entry[0].slice(headKey('').length);
        yield { name, size: this.#decodeHead(name, entry[1]).size };
      }
    } finally {
      await heads.close();
    }
  }

  async delete(name: string): Promise<void> {
    checkBlobName(name);
    await this.#writes.run(name, async () => {
      const head = await this.#head(name);
      if (head === undefined) return;
      const keys = [headKey(name), ...pieceKeys(name, 0, pieceCount(head))];
      const operations = keys.map((key) => ({ type: 'del', key }) as const);
      await this.#attempt('delete', name, () => this.#db.batch(operations, DURABLE));
    });
  }

  async close(): Promise<void> {
    // The database belongs to who opened it, and iterators are closed by who reads them.
  }

  /** Before memory is taken: a head may say anything, and as large as it says the blob is not unless its last piece is there. */
  async #expectEnd(name: string, head: Head): Promise<void> {
    if (head.size <= TAKEN_AT_ONCE) return;
    const pieces = pieceCount(head);
    const last = await this.#attempt('read', name, () =>
      this.#db.get<string, Uint8Array | undefined>(pieceKey(name, pieces - 1), ENCODINGS),
    );
    const isThere = last?.length === head.size - (pieces - 1) * head.pieceBytes;
    if (isThere && head.size <= MOST_BYTES && pieces <= MOST_PIECES) return;
    if ((await this.#head(name)) === undefined) throw blobMissing(this.place, name); // Deleted meanwhile.
    throw this.#damaged(name, 'its head says more than there is');
  }

  async #head(name: string): Promise<Head | undefined> {
    const bytes = await this.#attempt('read', name, () =>
      this.#db.get<string, Uint8Array | undefined>(headKey(name), ENCODINGS),
    );
    return bytes && this.#decodeHead(name, bytes);
  }

  /**
   * Fills `into` and returns the head. Both come from one `getMany`, so they are of one moment. That needs the piece size
   * before the head is known: it is taken to be `pieceBytes`, and when the head says otherwise the read is done again.
   */
  async #readPieces(name: string, offset: number, into: Uint8Array, pieceBytes: number): Promise<Head> {
    const first = Math.floor(offset / pieceBytes);
    const end = into.length === 0 ? first : Math.ceil((offset + into.length) / pieceBytes);
    const keys = [headKey(name), ...pieceKeys(name, first, end)];
    const [headBytes, ...pieces] = await this.#attempt('read', name, () =>
      this.#db.getMany<string, Uint8Array | undefined>(keys, ENCODINGS),
    );
    if (headBytes === undefined) throw blobMissing(this.place, name);
    const head = this.#decodeHead(name, headBytes);
    if (head.pieceBytes !== pieceBytes) return this.#readPieces(name, offset, into, head.pieceBytes);
    const filled = fill(into, pieces, offset - first * pieceBytes);
    if (filled === available(head.size, offset, into)) return head;
    throw this.#damaged(name, 'a piece of it is missing or cut short');
  }

  #decodeHead(name: string, bytes: Uint8Array): Head {
    const value = this.#decode(name, bytes);
    if (!Array.isArray(value) || value.length !== 2) throw this.#damaged(name, 'its head is malformed');
    const [size, pieceBytes] = value as unknown[];
    if (isCount(size) && isCount(pieceBytes) && pieceBytes > 0) return { size, pieceBytes };
    throw this.#damaged(name, 'its head is malformed');
  }

  #decode(name: string, bytes: Uint8Array): unknown {
    try {
      return decodeCanonical(bytes);
    } catch (cause) {
      throw this.#damaged(name, 'its head is malformed', cause);
    }
  }

  #damaged(name: string, what: string, cause?: unknown): VecsnapError {
    return new VecsnapError('STORE_FAILED', `The database holds the blob damaged: ${what}.`, {
      place: `${this.place}, ${name}`,
      remedy: 'Verify the repository to learn what is affected.',
      cause,
    });
  }

  async #attempt<T>(doing: string, name: string, action: () => Promise<T>): Promise<T> {
    try {
      return await action();
    } catch (cause) {
      throw failureOf(`${this.place}, ${name}`, doing, cause);
    }
  }
}

function headKey(name: string): string {
  return `h/${name}`;
}

function pieceKeys(name: string, first: number, end: number): string[] {
  return Array.from({ length: end - first }, (_, index) => pieceKey(name, first + index));
}

function pieceKey(name: string, number: number): string {
  return `p/${name}!${number.toString(16).padStart(8, '0')}`;
}

function pieceCount({ size, pieceBytes }: Head): number {
  return Math.ceil(size / pieceBytes);
}

function putOperations(name: string, parts: readonly Uint8Array[], pieceBytes: number) {
  const pieces = cut(parts, pieceBytes);
  const size = pieces.reduce((sum, piece) => sum + piece.length, 0);
  const values = new Map(pieces.map((piece, number) => [pieceKey(name, number), piece]));
  values.set(headKey(name), encodeCanonical([size, pieceBytes]));
  return Array.from(values, ([key, value]) => ({ type: 'put', key, value }) as const);
}

/** Copies the joined parts into pieces of `pieceBytes`, the last one shorter. */
function cut(parts: readonly Uint8Array[], pieceBytes: number): Uint8Array[] {
  let rest = parts.reduce((sum, part) => sum + part.length, 0);
  const pieces: Uint8Array[] = [];
  let piece = new Uint8Array(0);
  let filled = 0;
  for (const part of parts) {
    for (let taken = 0; taken < part.length;) {
      if (filled === piece.length) {
        piece = new Uint8Array(Math.min(pieceBytes, rest));
        filled = 0;
        pieces.push(piece);
      }
      const some = part.subarray(taken, taken + piece.length - filled);
      piece.set(some, filled);
      filled += some.length;
      taken += some.length;
      rest -= some.length;
    }
  }
  return pieces;
}

/** The bytes of a blob of `size` bytes that a read from `offset` finds. */
function available(size: number, offset: number, into: Uint8Array): number {
  return Math.max(0, Math.min(into.length, size - offset));
}

/** Copies the pieces one after the other, from byte `skip` of the first on, up to the first missing one. */
function fill(into: Uint8Array, pieces: readonly (Uint8Array | undefined)[], skip: number): number {
  let filled = 0;
  for (const [index, piece] of pieces.entries()) {
    if (piece === undefined) break;
    const start = index === 0 ? skip : 0;
    const some = piece.subarray(start, start + into.length - filled);
    into.set(some, filled);
    filled += some.length;
  }
  return filled;
}

function isCount(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;
}

function locationOf(db: LevelDatabase): string {
  return 'location' in db && typeof db.location === 'string' ? db.location : 'level';
}

/** LevelDB passes on the text of the system's error; IndexedDB has an error of that name. */
const FULL = /no space left|quota ?exceeded/i;

function failureOf(place: string, doing: string, cause: unknown): VecsnapError {
  if (isVecsnapError(cause)) return cause;
  return FULL.test(textOf(cause)) ? storeFull(place, cause) : storeFailed(place, doing, cause);
}

function textOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return `${error.name} ${error.message} ${error.cause === undefined ? '' : textOf(error.cause)}`;
}
