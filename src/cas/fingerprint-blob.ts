/**
 * The fingerprints of the chunks of packs (fingerprints.ts), in one blob for the packs whose names begin as its own does. Nothing that is stored depends on
 * it: without it, the bytes of chunks are read.
 *
 * Layout: an 8-byte header; 8 bytes that tell the key ({@link checkOfSeed}); for each pack that has fingerprints the last eight digits of its name as a number
 * (u32 little-endian), the length of its part as a varint, and that part; at the end the SHA-256 of all before it. A part has for each chunk: 5 bytes
 * that tell which it is ({@link tagOf}); twice the length of its fingerprints, and 1 more when they are told by those of its bases, as a varint; and these bytes.
 */
import {
  type Address,
  ByteReader,
  ByteWriter,
  concatBytes,
  copyBytes,
  equalBytes,
  type Sha256,
  varintLength,
  VecsnapError,
  viewOf,
} from '../core/index.js';
import { checkOfSeed, type StoredFingerprints } from './fingerprints.js';
import { GROUP_DIGITS, PACK_PREFIX, type ChunkFingerprints } from './pack.js';

/** "vsnprnt" and the version of the format. */
const HEADER = Uint8Array.of(0x76, 0x73, 0x6e, 0x70, 0x72, 0x6e, 0x74, 1);
const DIGEST_BYTES = 32;
/** Nobody writes longer ones, and nobody reads them. */
export const MAX_FINGERPRINT_BLOB_BYTES = 2 ** 25;
const TAG_BYTES = 5;
/** What stands before a part, and before and behind all, takes no more than this. */
const MOST_BESIDE_PART = 64;
const NOWHERE = -1;
const NO_BASES: readonly Address[] = [];
/** What a place takes in memory, about. */
const BYTES_OF_PLACE = 80;

/** A chunk, and what it copies from. */
export type FingerprintedChunk = Pick<ChunkFingerprints, 'address' | 'bases'>;

/** The fingerprints of a pack. */
export interface PackFingerprints {
  readonly pack: string;
  readonly fingerprints: readonly ChunkFingerprints[];
}

/** @param packs whose names begin alike. @param seed with which they were made. */
export function encodeFingerprints(
  packs: readonly PackFingerprints[],
  seed: string,
  sha256: Sha256,
): Uint8Array {
  const lengths = packs.map(({ fingerprints }) => partLength(fingerprints));
  const content = new ByteWriter(
    lengths.reduce((sum, length) => sum + length + MOST_BESIDE_PART, MOST_BESIDE_PART),
  );
  content.bytes(HEADER);
  content.bytes(checkOfSeed(seed, sha256));
  for (const [i, { pack, fingerprints }] of packs.entries()) {
    const number = new Uint8Array(4);
    viewOf(number).setUint32(0, numberOf(pack), true);
    content.bytes(number);
    content.varint(lengths[i] as number);
    for (const chunk of fingerprints) writeChunk(content, chunk);
  }
  content.bytes(sha256(content.toBytes()));
  return content.toBytes();
}

function partLength(fingerprints: readonly ChunkFingerprints[]): number {
  return fingerprints.reduce(
    (sum, { stored }) => sum + TAG_BYTES + varintLength(headOf(stored)) + stored.bytes.length,
    0,
  );
}

function writeChunk(content: ByteWriter, chunk: ChunkFingerprints): void {
  for (let i = 0; i < TAG_BYTES; i++) content.byte(tagByte(chunk, i));
  content.varint(headOf(chunk.stored));
  content.bytes(chunk.stored.bytes);
}

/** How long fingerprints are, and whether they are told by others. */
function headOf({ isDelta, bytes }: StoredFingerprints): number {
  return 2 * bytes.length + (isDelta ? 1 : 0);
}

/**
 * Of a chunk and what it copies from: the first bytes of the addresses, added bit by bit (XOR), as a number. By it, packs under each other's names, an index
 * that is garbled, and a chunk that stands in two packs in two forms are told.
 */
function tagOf(chunk: FingerprintedChunk): number {
  let tag = 0;
  for (let i = TAG_BYTES - 1; i >= 0; i--) tag = tag * 256 + tagByte(chunk, i);
  return tag;
}

function tagByte({ address, bases = NO_BASES }: FingerprintedChunk, i: number): number {
  let byte = address[i] as number;
  for (let base = 0; base < bases.length; base++) byte ^= (bases[base] as Address)[i] as number;
  return byte;
}

function readTag(reader: ByteReader): number {
  const bytes = reader.take(TAG_BYTES);
  return bytes.reduceRight((tag, byte) => tag * 256 + byte, 0);
}

/** What the names of these packs do not have in common. */
function numberOf(pack: string): number {
  return Number.parseInt(pack.slice(PACK_PREFIX.length + GROUP_DIGITS), 16);
}

/** The fingerprints of some packs. */
export class FingerprintBlob {
  readonly #bytes: Uint8Array;
  /** For each pack, by the number at the end of its name and the tags of chunks, where their fingerprints begin in the blob. */
  readonly #places = new Map<number, Map<number, number>>();
  #chunks = 0;

  /** @throws VecsnapError ENCODING_INVALID for what is no such blob, or one that was made with another seed. */
  constructor(blob: Uint8Array, seed: string, sha256: Sha256) {
    this.#bytes = copyBytes(blob); // Not in shared memory, where every look at a byte takes longer.
    const end = Math.max(0, blob.length - DIGEST_BYTES);
    const content = this.#bytes.subarray(0, end);
    const head = concatBytes([HEADER, checkOfSeed(seed, sha256)]);
    if (
      !equalBytes(content.subarray(0, head.length), head) ||
      !equalBytes(sha256(content), this.#bytes.subarray(end))
    )
      throw new VecsnapError('ENCODING_INVALID', 'These are no fingerprints of this repository.', {
        remedy: 'They may be deleted: the next snapshot reads what is stored in place of them.',
      });
    const reader = new ByteReader(content);
    reader.skip(head.length);
    while (reader.remaining > 0) {
      const number = viewOf(reader.take(4)).getUint32(0, true);
      const length = reader.varint();
      this.#places.set(number, this.#placesIn(reader.offset, reader.skip(length) + length));
    }
  }

  /** Two chunks with one tag are not told apart, and have none. */
  #placesIn(start: number, end: number): Map<number, number> {
    const places = new Map<number, number>();
    const reader = new ByteReader(this.#bytes.subarray(0, end));
    reader.skip(start);
    while (reader.remaining > 0) {
      const tag = readTag(reader);
      places.set(tag, places.has(tag) ? NOWHERE : reader.offset);
      reader.skip(Math.floor(reader.varint() / 2));
      this.#chunks++;
    }
    return places;
  }

  /** Bytes that it takes in memory, about. */
  get byteLength(): number {
    return this.#bytes.length + this.#chunks * BYTES_OF_PLACE;
  }

  /** The fingerprints of a chunk that stands in a pack in this form. The bytes are a view of all of them. */
  at(pack: string, chunk: FingerprintedChunk): StoredFingerprints | undefined {
    const place = this.#places.get(numberOf(pack))?.get(tagOf(chunk)) ?? NOWHERE;
    if (place === NOWHERE) return undefined;
    const reader = new ByteReader(this.#bytes);
    reader.skip(place);
    const length = reader.varint();
    return { isDelta: length % 2 === 1, bytes: reader.take(Math.floor(length / 2)) };
  }
}
