/**
 * Packs: blobs of many encoded chunks with a directory at the end.
 *
 * Layout: an 8-byte header; the encoded chunks one after the other; the directory; a 44-byte footer of the directory's
 * length (u32 little-endian), its entry count (u32 little-endian), its SHA-256 and a magic number. The directory holds for
 * each chunk, in order: one byte with the codec in its low seven bits and the kind (1: node) in the highest; the stored
 * length and the plaintext length as varints; the 32 bytes of the address; for a delta the number of its bases as a varint and
 * their addresses. Offsets follow from the stored lengths.
 */
import {
  type Address,
  ADDRESS_LENGTH,
  ByteReader,
  ByteWriter,
  type ChunkKind,
  copyBytes,
  equalBytes,
  isVecsnapError,
  maxChunkBytes,
  type Sha256,
  toAddress,
  VecsnapError,
  viewOf,
  varintLength,
} from '../core/index.js';
import { CODECS } from './codec.js';
import type { StoredFingerprints } from './fingerprints.js';
import type { BlobStat, BlobStore } from '../blob/port.js';

/** A chunk in a pack, as far as the index knows it. */
export interface PackEntry {
  readonly address: Address;
  readonly kind: ChunkKind;
  readonly codec: number;
  /** Where its encoded bytes begin in the pack. */
  readonly offset: number;
  /** Bytes in the pack. */
  readonly storedLength: number;
  /** Bytes of the plaintext. */
  readonly length: number;
  /** Chunks that a delta copies from; not there for the other codecs. */
  readonly baseCount?: number | undefined;
}

/** A chunk in the directory of a pack. */
export interface DirectoryEntry extends PackEntry {
  /** The chunks that a delta copies from, in order; not there for the other codecs. */
  readonly bases?: readonly Address[] | undefined;
}

/** A chunk to be put into a pack. */
export interface PackedChunk extends Omit<DirectoryEntry, 'offset' | 'storedLength' | 'baseCount'> {
  readonly bytes: Uint8Array;
  /** The fingerprints of its records, where it has some: they come to stand beside the pack. */
  readonly fingerprints?: StoredFingerprints | undefined;
}

/** Where packs stand among the blobs. */
export const PACK_PREFIX = 'packs/';
/** Where the fingerprints of what is in packs stand (fingerprint-blob.ts). */
export const FINGERPRINTS_PREFIX = 'fingerprints/';

/** What a pack begins with: "vsnpack" and the version of the format. */
export const PACK_HEADER = Uint8Array.of(0x76, 0x73, 0x6e, 0x70, 0x61, 0x63, 0x6b, 1);
const FOOTER_MAGIC = Uint8Array.of(0x76, 0x73, 0x6e, 0x64);
export const FOOTER_BYTES = 44;
const NODE_BIT = 0x80;
/** More than the directory of a pack of the shortest chunks that are worth keeping. */
const MAX_DIRECTORY_BYTES = 2 ** 28;
/** Of most packs. */
const EXPECTED_DIRECTORY_BYTES = 16 * 1024;
/** A delta never copies from more chunks. */
const MAX_BASES = 64;
/** How much of the end of a pack is read first: enough for the directory of most packs. */
const TAIL_BYTES = 64 * 1024;

/** So many bytes of fingerprints of the chunks of a pack are kept, because they are in memory until they are written. Others have none. */
const MOST_FINGERPRINT_BYTES = 4 * 1024 * 1024;
/** Hexadecimal digits that the names of packs have in common whose fingerprints stand together. */
export const GROUP_DIGITS = 24;

/** Where the fingerprints of a pack stand, together with those of packs whose names begin alike. */
export function fingerprintsOfPack(pack: string): string {
  return `${FINGERPRINTS_PREFIX}${pack.slice(PACK_PREFIX.length, PACK_PREFIX.length + GROUP_DIGITS)}`;
}

/** Bytes of an empty pack before its first chunk. */
export const PACK_HEADER_BYTES = PACK_HEADER.length;

/** Bytes of a pack beside its chunks and directory entries. */
export const PACK_OVERHEAD = PACK_HEADER.length + FOOTER_BYTES;

/** Bytes that a chunk takes in a pack: its encoded form and its entry in the directory. */
export function packEntryBytes({
  storedLength,
  length,
  codec,
  baseCount = 0,
}: Pick<PackEntry, 'storedLength' | 'length' | 'codec' | 'baseCount'>): number {
  const told = codec === CODECS.delta ? varintLength(baseCount) + baseCount * ADDRESS_LENGTH : 0;
  return storedLength + 1 + varintLength(storedLength) + varintLength(length) + ADDRESS_LENGTH + told;
}

/** What is to be known of a pack once all of its chunks are. */
export interface FinishedPack {
  /** What comes behind its chunks. */
  readonly end: readonly Uint8Array[];
  /** From which its entries are told again by {@link entriesWritten}: a fraction of what these take in memory. */
  readonly directory: Uint8Array;
  /** Bytes of all of it. */
  readonly size: number;
  readonly fingerprints: readonly ChunkFingerprints[];
}

/** The fingerprints of a chunk. */
export interface ChunkFingerprints extends Pick<DirectoryEntry, 'address' | 'bases'> {
  readonly stored: StoredFingerprints;
}

/**
 * Makes the directory of a pack, and its end, while its encoded chunks are being written one after the other: behind
 * {@link PACK_HEADER}, in the order in which they are added here.
 */
export class PackBuilder {
  readonly #directory = new ByteWriter(EXPECTED_DIRECTORY_BYTES);
  #count = 0;
  readonly #fingerprints: ChunkFingerprints[] = [];
  #fingerprintBytes = 0;
  #size = PACK_HEADER.length;

  /** Bytes so far, without the directory. */
  get size(): number {
    return this.#size;
  }

  /** Chunks so far. */
  get count(): number {
    return this.#count;
  }

  /** Adds a chunk, of whose bytes no more is needed here than how many there are. */
  add({ bytes, address, kind, codec, length, bases, fingerprints }: PackedChunk): DirectoryEntry {
    const own = codec === CODECS.delta ? (bases ?? []) : undefined;
    const [offset, storedLength] = [this.#size, bytes.length];
    const entry = { address, kind, codec, length, offset, storedLength, baseCount: own?.length, bases: own };
    writeEntry(this.#directory, entry);
    this.#count++;
    if (fingerprints !== undefined) this.#addFingerprints({ address, bases: own, stored: fingerprints });
    this.#size += bytes.length;
    return entry;
  }

  #addFingerprints(fingerprints: ChunkFingerprints): void {
    this.#fingerprintBytes += fingerprints.stored.bytes.length;
    if (this.#fingerprintBytes <= MOST_FINGERPRINT_BYTES) this.#fingerprints.push(fingerprints);
  }

  finish(sha256: Sha256): FinishedPack {
    const directory = this.#directory.toBytes();
    const footer = new Uint8Array(FOOTER_BYTES);
    const view = viewOf(footer);
    view.setUint32(0, directory.length, true);
    view.setUint32(4, this.count, true);
    footer.set(sha256(directory), 8);
    footer.set(FOOTER_MAGIC, 40);
    const size = this.#size + directory.length + footer.length;
    return { end: [directory, footer], directory, size, fingerprints: this.#fingerprints };
  }
}

/**
 * Reads the directory of a pack.
 * @throws VecsnapError PACK_DAMAGED, PACK_MISSING.
 */
export async function readPackDirectory(
  blobs: BlobStore,
  pack: BlobStat,
  sha256: Sha256,
): Promise<DirectoryEntry[]> {
  return entriesStored(pack, await readStoredDirectory(blobs, pack, sha256));
}

/** The entries of a directory that was read. @throws VecsnapError PACK_DAMAGED. */
export function entriesStored({ name }: BlobStat, { bytes, count, end }: StoredDirectory): DirectoryEntry[] {
  return decodeDirectory(name, bytes, count, end);
}

/**
 * The same, to be gone through without making anything for each chunk, because there may be millions in all.
 * @throws VecsnapError PACK_DAMAGED, PACK_MISSING.
 */
export async function openPackDirectory(
  blobs: BlobStore,
  pack: BlobStat,
  sha256: Sha256,
): Promise<DirectoryCursor> {
  const { bytes: stored, count, end } = await readStoredDirectory(blobs, pack, sha256);
  const bytes = copyBytes(stored); // Not in shared memory, where every look at a byte takes longer.
  const { entries, offset, failure } = goThrough(bytes, () => {});
  checkDirectory(pack.name, { entries, offset, failure, count, end });
  return new DirectoryCursor(bytes);
}

/** A directory, how many entries it says that it has, and where it begins. */
export interface StoredDirectory {
  readonly bytes: Uint8Array;
  readonly count: number;
  readonly end: number;
}

/** Reads the bytes of the directory of a pack. @throws VecsnapError PACK_DAMAGED, PACK_MISSING. */
export async function readStoredDirectory(
  blobs: BlobStore,
  pack: BlobStat,
  sha256: Sha256,
): Promise<StoredDirectory> {
  if (pack.size < PACK_OVERHEAD) throw packDamaged(pack.name, `it has ${pack.size} bytes`);
  const tail = await readRange(
    blobs,
    pack.name,
    Math.max(0, pack.size - TAIL_BYTES),
    Math.min(pack.size, TAIL_BYTES),
  );
  const footer = tail.subarray(tail.length - FOOTER_BYTES);
  if (!equalBytes(footer.subarray(40), FOOTER_MAGIC))
    throw packDamaged(pack.name, 'it has no footer, so its end is missing');
  const length = viewOf(footer).getUint32(0, true);
  if (length > pack.size - PACK_OVERHEAD) throw packDamaged(pack.name, 'its directory is longer than itself');
  if (length > MAX_DIRECTORY_BYTES) throw packDamaged(pack.name, `its directory has ${length} bytes`);
  const start = pack.size - FOOTER_BYTES - length;
  const directory =
    length + FOOTER_BYTES <= tail.length
      ? tail.subarray(tail.length - FOOTER_BYTES - length, tail.length - FOOTER_BYTES)
      : await readRange(blobs, pack.name, start, length);
  if (!equalBytes(sha256(directory), footer.subarray(8, 40)))
    throw packDamaged(pack.name, 'its directory fails its checksum');
  return { bytes: directory, count: viewOf(footer).getUint32(4, true), end: start };
}

/**
 * Reads a range of a pack.
 * @throws VecsnapError PACK_DAMAGED when the pack ends before, PACK_MISSING, STORE_FAILED.
 */
export async function readRange(
  blobs: BlobStore,
  name: string,
  offset: number,
  length: number,
): Promise<Uint8Array> {
  const bytes = new Uint8Array(new SharedArrayBuffer(length));
  const filled = await readAsFarAs(blobs, name, offset, bytes);
  if (filled < length) throw packDamaged(name, `it ends at byte ${offset + filled}`);
  return bytes;
}

/**
 * Fills `into` with bytes of a pack, as far as the pack goes. A store that gives less than it has is not taken for one that has less:
 * that would make damage of a failure.
 * @returns the bytes read.
 * @throws VecsnapError PACK_MISSING, STORE_FAILED.
 */
export async function readAsFarAs(
  blobs: BlobStore,
  name: string,
  offset: number,
  into: Uint8Array,
): Promise<number> {
  let filled = 0;
  for (let read = 1; filled < into.length && read > 0; filled += read) {
    read = await blobs.read(name, offset + filled, into.subarray(filled)).catch((cause: unknown) => {
      throw isVecsnapError(cause, 'BLOB_MISSING') ? packMissing(name, cause) : cause;
    });
  }
  const end = Math.min(offset + into.length, (filled < into.length && (await blobs.stat(name))?.size) || 0);
  if (offset + filled < end) throw readShort(name, offset + filled);
  return filled;
}

/** Checks the first bytes of a pack. @throws VecsnapError PACK_DAMAGED, REPOSITORY_NEWER. */
export function checkPackHeader(name: string, start: Uint8Array): void {
  if (start.length < PACK_HEADER.length || !equalBytes(start.subarray(0, 7), PACK_HEADER.subarray(0, 7)))
    throw packDamaged(name, 'it does not begin as a pack does');
  if (start[7] === 0) throw packDamaged(name, 'it has format 0, which there never was');
  if (start[7] !== PACK_HEADER[7]) {
    throw new VecsnapError(
      'REPOSITORY_NEWER',
      `A pack has format ${start[7]}; this vecsnap reads ${PACK_HEADER[7]}.`,
      {
        place: name,
        remedy: 'Install a newer version of vecsnap.',
      },
    );
  }
}

/** Whether the first bytes of a blob are those of a pack of any version, but for one bit. @throws VecsnapError PACK_MISSING. */
export async function beginsAsPack(blobs: BlobStore, name: string, size: number): Promise<boolean> {
  if (size < PACK_HEADER.length) return false;
  const start = await readRange(blobs, name, 0, PACK_HEADER.length - 1);
  return bitsApart(start, PACK_HEADER.subarray(0, PACK_HEADER.length - 1)) <= 1;
}

function writeEntry(
  directory: ByteWriter,
  { address, kind, codec, storedLength, length, bases }: DirectoryEntry,
): void {
  directory.byte(kind === 'node' ? codec | NODE_BIT : codec);
  directory.varint(storedLength);
  directory.varint(length);
  directory.bytes(address);
  if (bases === undefined) return;
  directory.varint(bases.length);
  for (const base of bases) directory.bytes(base);
}

/**
 * The entries of a directory.
 * @param count how many there must be; undefined when that is not known.
 * @param end where the directory begins, and so the last chunk ends.
 * @throws VecsnapError PACK_DAMAGED.
 */
export function decodeDirectory(
  name: string,
  directory: Uint8Array,
  count: number | undefined,
  end: number,
): DirectoryEntry[] {
  const entries: DirectoryEntry[] = [];
  const { offset, failure } = goThrough(copyBytes(directory), (cursor) => entries.push(cursor.entry()));
  checkDirectory(name, { entries: entries.length, offset, failure, count, end });
  return entries;
}

/** @throws VecsnapError PACK_DAMAGED when a directory could not be gone through, or holds something else than it should. */
function checkDirectory(
  name: string,
  { entries, offset, failure, count = entries, end }: Passage & { count?: number | undefined; end: number },
): void {
  if (failure !== undefined) throw packDamaged(name, 'its directory cannot be decoded', failure);
  if (entries !== count || offset !== end) throw packDamaged(name, 'its directory does not fit its size');
}

/** The entries of a pack that was just written, from its own directory. */
export function entriesWritten({ name, size }: BlobStat, directory: Uint8Array): DirectoryEntry[] {
  return decodeDirectory(name, directory, undefined, size - directory.length - FOOTER_BYTES);
}

/** The entries at the front of a directory that is damaged, as far as they can be decoded. Some of them may be wrong. */
export function frontEntries(directory: Uint8Array): DirectoryEntry[] {
  const entries: DirectoryEntry[] = [];
  goThrough(copyBytes(directory), (cursor) => entries.push(cursor.entry()));
  return entries;
}

/** How far a directory could be gone through. */
interface Passage {
  readonly entries: number;
  /** Where in the pack the next entry would begin. */
  readonly offset: number;
  /** Why the next makes no sense. */
  readonly failure: Error | undefined;
}

/** Calls `visit` for each entry up to the first that makes no sense. */
function goThrough(directory: Uint8Array, visit: (cursor: DirectoryCursor) => void): Passage {
  const cursor = new DirectoryCursor(directory);
  let entries = 0;
  try {
    for (; cursor.next(); entries++) visit(cursor);
  } catch (failure) {
    if (!(failure instanceof VecsnapError || failure instanceof RangeError)) throw failure;
    return { entries, offset: cursor.end, failure };
  }
  return { entries, offset: cursor.end, failure: undefined };
}

/** Whether a pack ends as packs do, but for one bit. */
export function hasFooter(footer: Uint8Array): boolean {
  return bitsApart(footer.subarray(40), FOOTER_MAGIC) <= 1;
}

/** Bits that differ between two byte strings of the same length. */
export function bitsApart(a: Uint8Array, b: Uint8Array): number {
  let bits = 0;
  for (const [i, byte] of a.entries())
    for (let rest = byte ^ (b[i] as number); rest > 0; rest &= rest - 1) bits++;
  return bits;
}

/** Stands on one entry of a directory after the other. Nothing is made for an entry until it is asked for. */
export class DirectoryCursor {
  readonly bytes: Uint8Array;
  readonly #reader: ByteReader;
  codec = 0;
  kind: ChunkKind = 'data';
  /** Where the chunk begins in the pack. */
  offset = 0;
  storedLength = 0;
  length = 0;
  /** Where its address begins in {@link bytes}. */
  addressAt = 0;
  baseCount = 0;
  /** Where the addresses of what it copies from begin. */
  basesAt = 0;
  /** Where the chunk ends. */
  end = PACK_HEADER.length;

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
    this.#reader = new ByteReader(bytes);
  }

  /** Goes to the next entry. @returns false when there is none. @throws RangeError, VecsnapError ENCODING_INVALID for one that makes no sense. */
  next(): boolean {
    const reader = this.#reader;
    if (reader.remaining === 0) return false;
    const tag = reader.byte();
    this.storedLength = reader.varint();
    this.length = reader.varint();
    this.codec = tag & 0x7f;
    this.kind = tag & NODE_BIT ? 'node' : 'data';
    // Longer chunks are never written, in no codec; nobody makes room for one.
    if (Math.max(this.length, this.storedLength) > maxChunkBytes(this.kind))
      throw new RangeError(`a chunk of ${this.length} bytes`);
    this.addressAt = reader.skip(ADDRESS_LENGTH);
    this.baseCount = this.codec === CODECS.delta ? reader.varint() : 0;
    if (this.baseCount > MAX_BASES) throw new RangeError(`a delta of ${this.baseCount} chunks`);
    this.basesAt = reader.skip(this.baseCount * ADDRESS_LENGTH);
    this.offset = this.end;
    this.end += this.storedLength;
    return true;
  }

  /** The entry as an object. All have the same properties, and a directory has thousands, which is why nothing is spread or copied here. */
  entry(): DirectoryEntry {
    const { kind, codec, offset, storedLength, length } = this;
    const address = this.#addressAt(this.addressAt);
    const bases = codec === CODECS.delta ? this.#bases() : undefined;
    return { address, kind, codec, offset, storedLength, length, baseCount: bases?.length, bases };
  }

  #bases(): Address[] {
    const bases: Address[] = [];
    for (let i = 0; i < this.baseCount; i++) bases.push(this.#addressAt(this.basesAt + i * ADDRESS_LENGTH));
    return bases;
  }

  #addressAt(start: number): Address {
    return toAddress(this.bytes.subarray(start, start + ADDRESS_LENGTH));
  }
}

function packDamaged(name: string, what: string, cause?: unknown): VecsnapError {
  return new VecsnapError('PACK_DAMAGED', `A pack is damaged: ${what}.`, {
    place: name,
    remedy:
      'Put the file back from another copy if there is one; else run vecsnap repair, which saves what is sound in it and puts back what stands under a wrong name.',
    cause,
  });
}

function readShort(name: string, at: number): VecsnapError {
  return new VecsnapError(
    'STORE_FAILED',
    `The store gives nothing from byte ${at} of a pack on, which has more.`,
    {
      place: name,
      remedy: 'Check the disk, and run the command again.',
    },
  );
}

/** A pack that the index names is not there. */
export function packMissing(name: string, cause?: unknown): VecsnapError {
  return new VecsnapError('PACK_MISSING', 'A pack that the index names is gone.', {
    place: name,
    remedy:
      'Run vecsnap repair, which finds a pack under another name; or put the file back from another copy.',
    cause,
  });
}
