/** Deflate as Node.js offers it. In a file of its own, because what only lists snapshots does not need it. */
import { constants, deflateRawSync, inflateRawSync, type ZlibOptions } from 'node:zlib';
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

/** Bytes that one symbol of deflate stands for, at most. */
const LONGEST_COPY = 258;
/** In memory that is one piece if it need not be large: joining pieces takes as long as inflating them. */
const LARGEST_PIECE = 1 << 18;
/** The shortest that zlib takes. */
const SHORTEST_PIECE = 64;

function inflate(bytes: Uint8Array, length: number): Uint8Array {
  const plain = inflateRawSync(bytes, { ...piecesFor(length), maxOutputLength: Math.max(1, length) });
  if (plain.length !== length) throw new RangeError(`inflated to ${plain.length} bytes, not ${length}`);
  return plainView(plain);
}

/** With a byte to spare, the end is seen in the first piece. */
function piecesFor(length: number): ZlibOptions {
  return { chunkSize: Math.min(LARGEST_PIECE, Math.max(SHORTEST_PIECE, length + 1)) };
}

/** Whether the last bit that is set means nothing: without it, the stream is the same. */
function hasSpareBit(bytes: Uint8Array, plain: Uint8Array): boolean {
  const last = bytes.at(-1) ?? 0;
  if (last === 0) return false;
  const highest = 1 << (31 - Math.clz32(last));
  const without = new Uint8Array(bytes);
  without[bytes.length - 1] = last - highest;
  return mayInflateTo(without, plain.length) && inflatesTo(without, plain);
}

/** Most streams that lack a bit of their end inflate to another length. No error is made for that, which takes longer than inflating. */
function mayInflateTo(bytes: Uint8Array, length: number): boolean {
  try {
    const maxOutputLength = length + LONGEST_COPY;
    const options = { ...piecesFor(maxOutputLength), maxOutputLength, finishFlush: constants.Z_SYNC_FLUSH };
    return inflateRawSync(bytes, options).length === length;
  } catch {
    return false; // The bit belongs to the stream.
  }
}

function inflatesTo(bytes: Uint8Array, plain: Uint8Array): boolean {
  try {
    return equalBytes(inflate(bytes, plain.length), plain);
  } catch {
    return false; // The bit belongs to the stream.
  }
}

/** A Buffer as the Uint8Array that it promises to be: its own `slice` would give a view where a copy is expected. */
function plainView({ buffer, byteOffset, byteLength }: Buffer<ArrayBuffer>): Uint8Array {
  return new Uint8Array(buffer, byteOffset, byteLength);
}
