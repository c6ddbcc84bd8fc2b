/** The machine as Node.js offers it: its own SHA-256 and zlib, a clock, randomness. */
import { createHash, hash, randomBytes } from 'node:crypto';
import { constants, deflateRawSync, inflateRawSync } from 'node:zlib';
import type { Address } from '../core/address.js';
import type { Clock, Deflate, RandomBytes, Sha256 } from '../core/platform.js';

/** SHA-256 by OpenSSL. */
export const nodeSha256: Sha256 = (bytes) => new Uint8Array(digest(bytes)) as Address;

function digest(bytes: Uint8Array): Buffer {
  // crypto.hash came with Node 20.12; it saves the making of a Hash object, which counts for small chunks.
  return typeof hash === 'function'
    ? hash('sha256', bytes, 'buffer')
    : createHash('sha256').update(bytes).digest();
}

/** Raw deflate by zlib. */
export const nodeDeflate: Deflate = {
  deflate(bytes, effort) {
    const options =
      effort === 'huffman'
        ? { level: 1, memLevel: 9, strategy: constants.Z_HUFFMAN_ONLY }
        : { level: effort };
    return plainView(deflateRawSync(bytes, options));
  },
  inflate(bytes, length) {
    const plain = inflateRawSync(bytes, { maxOutputLength: Math.max(1, length) });
    if (plain.length !== length) throw new RangeError(`inflated to ${plain.length} bytes, not ${length}`);
    return plainView(plain);
  },
};

/** A Buffer as the Uint8Array that it promises to be: its own `slice` would give a view where a copy is expected. */
function plainView({ buffer, byteOffset, byteLength }: Buffer<ArrayBuffer>): Uint8Array {
  return new Uint8Array(buffer, byteOffset, byteLength);
}

/** The time of the machine. */
export const systemClock: Clock = { now: () => Date.now() };

/** Randomness from the operating system. */
export const systemRandom: RandomBytes = (length) => new Uint8Array(randomBytes(length));
