/** Deflate as Node.js offers it. In a file of its own, because what only lists snapshots does not need it. */
import { deflateRawSync, inflateRawSync } from 'node:zlib';
import type { Deflate } from '../core/platform.js';

/** Raw deflate by zlib. */
export const nodeDeflate: Deflate = {
  deflate: (bytes, level) => plainView(deflateRawSync(bytes, { level })),
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
