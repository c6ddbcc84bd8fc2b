/** Deflate as Node.js offers it. In a file of its own, because what only lists snapshots does not need it. */
import { deflateRawSync, inflateRawSync } from 'node:zlib';
import { equalBytes } from '../core/bytes.js';
import type { Deflate } from '../core/platform.js';

/** Raw deflate by zlib. */
export const nodeDeflate: Deflate = {
  deflate: (bytes, level) => plainView(deflateRawSync(bytes, { level })),
  inflate,
  inflateStrictly(bytes, length) {
    const plain = inflate(bytes, length);
    if (hasSpareBit(bytes, plain)) throw new RangeError('a bit behind the end of the stream is set');
    return plain;
  },
};

function inflate(bytes: Uint8Array, length: number): Uint8Array {
  const plain = inflateRawSync(bytes, { maxOutputLength: Math.max(1, length) });
  if (plain.length !== length) throw new RangeError(`inflated to ${plain.length} bytes, not ${length}`);
  return plainView(plain);
}

/** Whether the last bit that is set means nothing: without it, the stream is the same. */
function hasSpareBit(bytes: Uint8Array, plain: Uint8Array): boolean {
  const last = bytes.at(-1) ?? 0;
  if (last === 0) return false;
  const highest = 1 << (31 - Math.clz32(last));
  const without = new Uint8Array(bytes);
  without[bytes.length - 1] = last - highest;
  try {
    return equalBytes(inflate(without, plain.length), plain);
  } catch {
    return false; // It belongs to the stream.
  }
}

/** A Buffer as the Uint8Array that it promises to be: its own `slice` would give a view where a copy is expected. */
function plainView({ buffer, byteOffset, byteLength }: Buffer<ArrayBuffer>): Uint8Array {
  return new Uint8Array(buffer, byteOffset, byteLength);
}
