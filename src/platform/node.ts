/** The machine as Node.js offers it: its own SHA-256, a clock, randomness. */
import { createHash, hash, randomBytes } from 'node:crypto';
import { readSync } from 'node:fs';
import type { ReadFile } from '../cas/chunk-graph.js';
import type { Address } from '../core/address.js';
import type { Clock, CompareRanges, RandomBytes, Sha256 } from '../core/platform.js';

/** SHA-256 by OpenSSL. */
export const nodeSha256: Sha256 = (bytes) => new Uint8Array(digest(bytes)) as Address;

function digest(bytes: Uint8Array): Buffer {
  // crypto.hash came with Node 20.12; it saves the making of a Hash object, which counts for small chunks.
  return typeof hash === 'function'
    ? hash('sha256', bytes, 'buffer')
    : createHash('sha256').update(bytes).digest();
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
