/**
 * How a chunk is physically kept. The address is of the plaintext, so the choice of a codec never shows outside.
 *
 * Codec numbers stand in pack directories and are never given a second meaning.
 */
import { VecsnapError } from '../core/errors.js';
import type { Deflate } from '../core/platform.js';
import { decodePlanes, encodePlanes, type PlaneWidth } from './planes.js';

/** The codecs and their numbers. */
export const CODECS = { raw: 0, deflate: 1, planes: 2 } as const;

/** The name of a codec. */
export type CodecName = keyof typeof CODECS;

/** The number of a codec. */
export type CodecNumber = (typeof CODECS)[CodecName];

/** Whether this version can decode what is kept under `codec`. */
export function isKnownCodec(codec: number): codec is CodecNumber {
  return (Object.values(CODECS) as number[]).includes(codec);
}

/** A chunk to be encoded. */
export interface PlainChunk {
  readonly bytes: Uint8Array;
  /** Bytes of the numbers that the chunk is made of; 0 when it is not made of numbers. */
  readonly width: 0 | PlaneWidth;
}

/** How much to spend on compression. */
export interface CompressionOptions {
  /** `auto`: each chunk in its smallest form; `none`: as it is. */
  readonly compression: 'auto' | 'none';
  /** The deflate level for what is not made of numbers, 1 (fast) to 9 (small). */
  readonly compressionLevel: number;
}

/** A chunk as it is kept. */
export interface EncodedChunk {
  readonly codec: CodecNumber;
  readonly bytes: Uint8Array;
}

/** An encoded form is taken when it saves at least this part of the plaintext. */
const LEAST_SAVING = 1 / 64;

/** The smallest form of a chunk. */
export function encodeChunk(
  { bytes, width }: PlainChunk,
  options: CompressionOptions,
  deflate: Deflate,
): EncodedChunk {
  const raw: EncodedChunk = { codec: CODECS.raw, bytes };
  if (options.compression === 'none' || bytes.length < 64) return raw;
  const encoded: EncodedChunk =
    width !== 0 && bytes.length % width === 0
      ? { codec: CODECS.planes, bytes: encodePlanes(bytes, width, options.compressionLevel, deflate) }
      : { codec: CODECS.deflate, bytes: deflate.deflate(bytes, options.compressionLevel) };
  return encoded.bytes.length <= bytes.length * (1 - LEAST_SAVING) ? encoded : raw;
}

/**
 * The plaintext of an encoded chunk.
 * @param length the length of the plaintext as the pack directory tells it.
 * @throws VecsnapError CHUNK_DAMAGED.
 */
export function decodeChunk(
  codec: number,
  encoded: Uint8Array,
  length: number,
  deflate: Deflate,
): Uint8Array {
  try {
    return decode(codec, encoded, length, deflate);
  } catch (cause) {
    throw new VecsnapError('CHUNK_DAMAGED', 'A chunk cannot be decoded.', { cause });
  }
}

function decode(codec: number, encoded: Uint8Array, length: number, deflate: Deflate): Uint8Array {
  if (codec === CODECS.deflate) return deflate.inflate(encoded, length);
  if (codec === CODECS.planes) return decodePlanes(encoded, length, deflate);
  if (codec === CODECS.raw && encoded.length === length) return encoded;
  throw new RangeError(codec === CODECS.raw ? 'the length is another' : `unknown codec ${codec}`);
}
