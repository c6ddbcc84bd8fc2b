/**
 * Gear chunking of byte streams: FastCDC with normalised chunking.
 *
 * Xia et al., "FastCDC: a Fast and Efficient Content-Defined Chunking Approach for Data Deduplication", USENIX ATC 2016.
 * A rolling hash of the last 32 bytes ends a chunk when its highest bits are zero: two bits more than the mean size asks
 * for before that size is reached, and two bits fewer after it, which draws sizes towards the mean.
 *
 * A chunk follows from where it begins and from the bytes it holds. So an edit leaves all chunks before its own alone, and all
 * those after the first old end that is found again. That end comes soon, but there is no bound: on random bytes an edit
 * replaces 1.2 chunks in the mean, 19 of 20 edits replace 4 or fewer, and 1 of 1000 more than 8.
 */

import type { GearOptions } from './parameters.js';

/** Bits by which the condition is harder before the mean size and easier after it. */
const NORMALISATION = 2;

/** One random-looking 32-bit number for each byte: the finaliser of MurmurHash3 over multiples of the golden ratio. */
export const GEAR_TABLE: Uint32Array = Uint32Array.from({ length: 256 }, (_, byte) => {
  let mixed = Math.imul(byte + 1, 0x9e3779b9);
  mixed = Math.imul(mixed ^ (mixed >>> 16), 0x85ebca6b);
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35);
  return mixed ^ (mixed >>> 16);
});

/**
 * The length of the chunk that begins at `start`: up to `bytes.length − start`, which is also the answer when no end is
 * found. Give at least `max` bytes, or all that remain.
 */
export function gearCut(bytes: Uint8Array, start: number, { min, avg, max }: GearOptions): number {
  const available = bytes.length - start;
  if (available <= min) return available;
  const bits = Math.log2(avg);
  const strict = highBits(bits + NORMALISATION);
  const loose = highBits(bits - NORMALISATION);
  const middle = start + Math.min(avg, available);
  const end = start + Math.min(max, available);
  const table = GEAR_TABLE;
  let hash = 0;
  let i = start + min - 32;
  for (const warm = start + min; i < warm; i++) hash = (hash << 1) + (table[bytes[i] as number] as number);
  for (; i < middle; i++) {
    hash = (hash << 1) + (table[bytes[i] as number] as number);
    if ((hash & strict) === 0) return i + 1 - start;
  }
  for (; i < end; i++) {
    hash = (hash << 1) + (table[bytes[i] as number] as number);
    if ((hash & loose) === 0) return i + 1 - start;
  }
  return end - start;
}

function highBits(count: number): number {
  return ~(0xffffffff >>> count);
}
