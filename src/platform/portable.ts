/** The machine where there is no Node.js: SHA-256 by @noble/hashes, deflate by fflate. Slower; the addresses are the same. */
import { sha256 } from '@noble/hashes/sha2.js';
import { deflateSync, inflateSync } from 'fflate';
import type { Address } from '../core/address.js';
import type { Deflate, Sha256 } from '../core/platform.js';

/** SHA-256 in JavaScript. */
export const portableSha256: Sha256 = (bytes) => sha256(bytes) as Address;

/** Deflate makes no more of a byte than this. Checked before there is memory for what is announced. */
const MOST_INFLATION = 1032;

/** Raw deflate in JavaScript. */
export const portableDeflate: Deflate = {
  deflate: (bytes, level) => deflateSync(bytes, { level: level as 1 }),
  inflate(bytes, length) {
    if (length > bytes.length * MOST_INFLATION) throw new RangeError(`${bytes.length} bytes are too few`);
    // One byte more than is allowed shows a stream that is too long without growing the output any further.
    const plain = inflateSync(bytes, { out: new Uint8Array(length + 1) });
    if (plain.length !== length) throw new RangeError(`inflated to ${plain.length} bytes, not ${length}`);
    return plain;
  },
};
