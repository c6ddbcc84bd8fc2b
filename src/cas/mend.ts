/**
 * Mends single flipped bits: each bit is turned in turn until the checksum fits. What fits a SHA-256 is what was written.
 *
 * That takes time in proportion to the square of the length, so it is done for what is short, which is also what hurts most to lose:
 * directories of packs, nodes and other small chunks, and sealed blobs.
 */
import { copyBytes, equalBytes, isVecsnapError, type Sha256, viewOf } from '../core/index.js';
import type { BlobStat, BlobStore } from '../blob/port.js';
import { type ChunkGraph, inOtherForms, plainBytes } from './chunk-graph.js';
import type { ChunkCoder } from './coder.js';
import {
  bitsApart,
  decodeDirectory,
  type DirectoryEntry,
  FOOTER_BYTES,
  frontEntries,
  hasFooter,
  PACK_OVERHEAD,
  readRange,
} from './pack.js';

/** Bytes that are hashed at most to mend one thing: some seconds. */
const MOST_WORK = 2 ** 31;
/** Directories may take longer: with one, all chunks of a pack come back. */
const MOST_DIRECTORY_WORK = 2 ** 33;
/** Forms of a chunk that are tried together. */
const TRIED_TOGETHER = 512;
/**
 * The bytes with one bit turned so that `isRight` holds, or undefined when there is no such bit, or too many bytes.
 * @param isRight is given the same memory again and again.
 */
export function mendBit(
  bytes: Uint8Array,
  isRight: (bytes: Uint8Array) => boolean,
  mostWork = MOST_WORK,
): Uint8Array | undefined {
  if (bytes.length ** 2 * 8 > mostWork) return undefined;
  const tried = copyBytes(bytes);
  for (let bit = 0; bit < tried.length * 8; bit++) {
    turn(tried, bit);
    if (isRight(tried)) return tried;
    turn(tried, bit);
  }
  return undefined;
}

/**
 * The stored bytes of a damaged chunk with one bit turned so that it fits its address.
 * @param graph the chunk alone with all that it copies from, in memory; that must be sound.
 */
export async function mendChunk(coder: ChunkCoder, graph: ChunkGraph): Promise<Uint8Array | undefined> {
  const bytes = graph.memory[graph.roots[0] as number] as Uint8Array;
  const bits = bytes.length * 8;
  if (bits * Math.max(plainBytes(graph), bytes.length) > MOST_WORK) return undefined;
  for (let first = 0; first < bits; first += TRIED_TOGETHER) {
    const forms = Array.from({ length: Math.min(TRIED_TOGETHER, bits - first) }, (_, i) => {
      const form = copyBytes(bytes);
      turn(form, first + i);
      return form;
    });
    const plain = await coder.decode(inOtherForms(graph, forms), true);
    const right = plain.findIndex((one) => one !== undefined);
    if (right >= 0) return forms[right];
  }
  return undefined;
}

/**
 * The directory of a pack that has one bit flipped in it or in the footer; undefined when more is wrong.
 * @throws VecsnapError PACK_MISSING; what the store throws.
 */
export async function mendDirectory(
  blobs: BlobStore,
  { name, size }: BlobStat,
  sha256: Sha256,
): Promise<DirectoryEntry[] | undefined> {
  if (size < PACK_OVERHEAD) return undefined;
  const footer = copyBytes(await readRange(blobs, name, size - FOOTER_BYTES, FOOTER_BYTES));
  const checksum = footer.subarray(8, 40);
  const told = viewOf(footer).getUint32(0, true);
  const read = async (length: number): Promise<Uint8Array> =>
    copyBytes(await readRange(blobs, name, size - FOOTER_BYTES - length, length));
  const lengths = [told, ...Array.from({ length: 32 }, (_, bit) => (told ^ (1 << bit)) >>> 0)];
  const possible = lengths.filter((length) => length <= size - PACK_OVERHEAD);
  for (const length of possible) {
    const directory = await read(length);
    if (bitsApart(sha256(directory), checksum) <= 1)
      return entriesIn(name, directory, size - FOOTER_BYTES - length);
  }
  if (possible[0] !== told) return undefined;
  const isRight = (bytes: Uint8Array): boolean => equalBytes(sha256(bytes), checksum);
  const mended = mendBit(await read(told), isRight, MOST_DIRECTORY_WORK);
  return mended && entriesIn(name, mended, size - FOOTER_BYTES - told);
}

/** What can still be read of a damaged directory. Every one of these may be wrong, so chunks are to be compared with their addresses. */
export async function knownEntries(blobs: BlobStore, { name, size }: BlobStat): Promise<DirectoryEntry[]> {
  if (size < PACK_OVERHEAD) return [];
  const footer = copyBytes(await readRange(blobs, name, size - FOOTER_BYTES, FOOTER_BYTES));
  const length = viewOf(footer).getUint32(0, true);
  if (!hasFooter(footer) || length > size - PACK_OVERHEAD) return [];
  return frontEntries(await readRange(blobs, name, size - FOOTER_BYTES - length, length));
}

/** Undefined when it does not fit the size of its pack, however right its checksum is. */
function entriesIn(name: string, directory: Uint8Array, end: number): DirectoryEntry[] | undefined {
  try {
    return decodeDirectory(name, directory, undefined, end);
  } catch (error) {
    if (isVecsnapError(error, 'PACK_DAMAGED')) return undefined;
    throw error;
  }
}

function turn(bytes: Uint8Array, bit: number): void {
  bytes[bit >>> 3] = (bytes[bit >>> 3] as number) ^ (1 << (bit & 7));
}
