/** The machine as Node.js offers it: its own SHA-256, a clock, randomness. */
import { createHash, type Hash, hash, randomBytes } from 'node:crypto';
import { readSync } from 'node:fs';
import type { ReadFile } from '../cas/chunk-graph.js';
import type { Address } from '../core/address.js';
import type { Clock, CompareRanges, RandomBytes, Sha256, Sha256OfTwo } from '../core/platform.js';

/** SHA-256 by OpenSSL. */
export const nodeSha256: Sha256 = (bytes) => new Uint8Array(digest(bytes)) as Address;

function digest(bytes: Uint8Array): Buffer {
  // crypto.hash came with Node 20.12; it saves the making of a Hash object, which counts for small chunks.
  return typeof hash === 'function'
    ? hash('sha256', bytes, 'buffer')
    : createHash('sha256').update(bytes).digest();
}

/** The same of two that begin alike. Making a Hash object takes as long as hashing a few KiB. */
export const nodeSha256OfTwo: Sha256OfTwo = (a, b, shared) => {
  if (shared < WORTH_SHARING) return [nodeSha256(a), nodeSha256(b)];
  const first = createHash('sha256').update(a.subarray(0, shared));
  const second = first.copy();
  return [restOf(first, a, shared), restOf(second, b, shared)];
};

const WORTH_SHARING = 16 * 1024;

function restOf(begun: Hash, bytes: Uint8Array, from: number): Address {
  return new Uint8Array(begun.update(bytes.subarray(from)).digest()) as Address;
}

/** Compares by memcmp, which takes a third of the time of a loop. */
export const nodeCompareRanges: CompareRanges = (bytes, other) => {
  const [a, b] = [bufferOver(bytes), bufferOver(other)];
  return (from, otherFrom, length) => a.compare(b, otherFrom, otherFrom + length, from, from + length) === 0;
};

function bufferOver({ buffer, byteOffset, byteLength }: Uint8Array): Buffer {
  return Buffer.from(buffer, byteOffset, byteLength);
}

/** The time of the machine. */
export const systemClock: Clock = { now: () => Date.now() };

/** Randomness from the operating system. */
export const systemRandom: RandomBytes = (length) => new Uint8Array(randomBytes(length));

/**
 * Reads in the calling thread, to the end of `into` or of the file. What cannot be read counts as the end: whoever misses it asks
 * the store for it, which says what is wrong.
 */
export const nodeReadFile: ReadFile = (descriptor, into, offset) => {
  let filled = 0;
  try {
    while (filled < into.length) {
      const count = readSync(descriptor, into, filled, into.length - filled, offset + filled);
      if (count === 0) break;
      filled += count;
    }
  } catch {
    return filled;
  }
  return filled;
};
