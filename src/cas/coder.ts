/** The port to the work that takes time: hashing, encoding and decoding many chunks. A pool of workers may stand behind it. */
// Straight from their files and not from core's index: a worker that starts with these loads nothing else.
import type { Address } from '../core/address.js';
import { VecsnapError } from '../core/errors.js';
import {
  type CoderPrimitives,
  type CompressionOptions,
  damagedAmong,
  decodeChunk,
  encodeChunk,
  type EncodedChunk,
  type PlainChunk,
  type StoredChunk,
} from './codec.js';

/** Hashes, encodes and decodes chunks. Results are in the order of the arguments. */
export interface ChunkCoder {
  /** SHA-256 of each. */
  address(chunks: readonly Uint8Array[]): Promise<Address[]>;
  /** The smallest form of each. */
  encode(chunks: readonly PlainChunk[], options: CompressionOptions): Promise<EncodedChunk[]>;
  /** Both at once, which for chunks that are all to be stored takes less time. */
  addressAndEncode(chunks: readonly PlainChunk[], options: CompressionOptions): Promise<AddressedChunk[]>;
  /**
   * The plaintext of each; undefined for those that cannot be decoded or, when `verify` is set, do not hash to their
   * address.
   */
  decode(chunks: readonly StoredChunk[], verify: boolean): Promise<(Uint8Array | undefined)[]>;
  /** The addresses of those that are damaged, among the chunks and all that they copy from. */
  check(chunks: readonly StoredChunk[]): Promise<Address[]>;
  /** Says that encoded chunks will not be read any more, each once: their memory may be used again. */
  release?(encoded: readonly Uint8Array[]): void;
  /** Says that much work is coming, so that what takes time to start can start. */
  prepare?(): void;
  close(): Promise<void>;
}

/** A chunk as it is kept, and its address. */
export interface AddressedChunk extends EncodedChunk {
  readonly address: Address;
}

/** A coder that does everything at once in this thread. */
export function inlineCoder(primitives: CoderPrimitives): ChunkCoder {
  return {
    address: async (chunks) => chunks.map(primitives.sha256),
    encode: async (chunks, options) => chunks.map((chunk) => encodeChunk(chunk, options, primitives)),
    addressAndEncode: async (chunks, options) =>
      chunks.map((chunk) => ({
        ...encodeChunk(chunk, options, primitives),
        address: primitives.sha256(chunk.bytes),
      })),
    decode: async (chunks, verify) => chunks.map((chunk) => decodeStored(chunk, verify, primitives)),
    check: async (chunks) => damagedAmong(chunks, primitives),
    close: async () => {},
  };
}

/** The plaintext of a chunk, or undefined when it is damaged; with `verify` it is what its address says (docs/ordering.md, R6). */
export function decodeStored(
  chunk: StoredChunk,
  verify: boolean,
  primitives: CoderPrimitives,
): Uint8Array | undefined {
  try {
    return decodeChunk(chunk, verify, primitives);
  } catch (error) {
    if (error instanceof VecsnapError) return undefined;
    throw error;
  }
}
