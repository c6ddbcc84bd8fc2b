/** The port to the work that takes time: hashing, encoding and decoding many chunks. A pool of workers may stand behind it. */
// Straight from their files and not from core's index: a worker that starts with these loads nothing else.
import type { Address } from '../core/address.js';
import { equalBytes } from '../core/bytes.js';
import type { Deflate, Sha256 } from '../core/platform.js';
import {
  type CompressionOptions,
  decodeChunk,
  encodeChunk,
  type EncodedChunk,
  type PlainChunk,
} from './codec.js';

/** A chunk as it was read from a pack. */
export interface StoredChunk {
  readonly address: Address;
  readonly codec: number;
  readonly bytes: Uint8Array;
  /** Bytes of the plaintext. */
  readonly length: number;
}

/** Hashes, encodes and decodes chunks. Results are in the order of the arguments. */
export interface ChunkCoder {
  /** SHA-256 of each. */
  address(chunks: readonly Uint8Array[]): Promise<Address[]>;
  /** The smallest form of each. */
  encode(chunks: readonly PlainChunk[], options: CompressionOptions): Promise<EncodedChunk[]>;
  /**
   * The plaintext of each; undefined for those that cannot be decoded or, when `verify` is set, do not hash to their
   * address.
   */
  decode(chunks: readonly StoredChunk[], verify: boolean): Promise<(Uint8Array | undefined)[]>;
  /** Says that much work is coming, so that what takes time to start can start. */
  prepare?(): void;
  close(): Promise<void>;
}

/** What a coder needs of the machine. */
export interface CoderPrimitives {
  readonly sha256: Sha256;
  readonly deflate: Deflate;
}

/** A coder that does everything at once in this thread. */
export function inlineCoder({ sha256, deflate }: CoderPrimitives): ChunkCoder {
  return {
    address: async (chunks) => chunks.map(sha256),
    encode: async (chunks, options) => chunks.map((chunk) => encodeChunk(chunk, options, deflate)),
    decode: async (chunks, verify) => chunks.map((chunk) => decodeStored(chunk, verify, { sha256, deflate })),
    close: async () => {},
  };
}

/** The plaintext of a chunk, or undefined when it is damaged; with `verify` it is what its address says (docs/ordering.md, R6). */
export function decodeStored(
  { address, codec, bytes, length }: StoredChunk,
  verify: boolean,
  { sha256, deflate }: CoderPrimitives,
): Uint8Array | undefined {
  try {
    const plain = decodeChunk(codec, bytes, length, deflate);
    return verify && !equalBytes(sha256(plain), address) ? undefined : plain;
  } catch {
    return undefined; // The one thing decodeChunk throws is that the chunk is damaged; the caller names it.
  }
}
