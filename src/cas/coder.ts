/** The port to the work that takes time: hashing, encoding and decoding many chunks. A pool of workers may stand behind it. */
// Straight from their files and not from core's index: a worker that starts with these loads nothing else.
import type { Address } from '../core/address.js';
import { copyBytes } from '../core/bytes.js';
import {
  type CoderPrimitives,
  type EncodeOptions,
  damagedAmong,
  encodeChunk,
  type EncodedChunk,
  type PlainBase,
  type PlainChunk,
  type StoredChunk,
} from './codec.js';
import { type ChunkGraph, readGraph, type ReadFile } from './chunk-graph.js';
import { decodeGraph } from './decode-graph.js';
import { patchChunk, type PatchedChunk, type UnitPatch } from './patch.js';

/** A chunk to be encoded; what it may be told by is a wanted chunk of a graph, told by its place among those, or plain. */
export type ChunkToEncode = PlainChunk<number>;

/** Hashes, encodes and decodes chunks. Results are in the order of the arguments. */
export interface ChunkCoder {
  /** Whether it reads the chunks of a graph that stand in files. Otherwise all must be in memory. */
  readonly readsFiles?: boolean;
  /** SHA-256 of each. */
  address(chunks: readonly Uint8Array[]): Promise<Address[]>;
  /** The smallest form of each. */
  encode(chunks: readonly ChunkToEncode[], options: EncodeOptions, kin?: ChunkGraph): Promise<EncodedChunk[]>;
  /** Both at once, which for chunks that are all to be stored takes less time. */
  addressAndEncode(
    chunks: readonly ChunkToEncode[],
    options: EncodeOptions,
    kin?: ChunkGraph,
  ): Promise<AddressedChunk[]>;
  /**
   * What a patch makes of each wanted chunk: `damaged` when that is not what its address says or the patch is not one of it, `same` when
   * nothing is another.
   */
  patch(
    graph: ChunkGraph,
    patches: readonly UnitPatch[],
    options: EncodeOptions,
  ): Promise<(PatchedChunk | 'same' | 'damaged')[]>;
  /**
   * The plaintext of each wanted chunk; undefined for those that cannot be decoded or, when `verify` is set, do not hash to their
   * address.
   */
  decode(graph: ChunkGraph, verify: boolean): Promise<(Uint8Array | undefined)[]>;
  /** The same in the calling thread, for so little that handing it over would take longer. Where there is none, any other will do. */
  decodeHere?(graph: ChunkGraph, verify: boolean): Promise<(Uint8Array | undefined)[]>;
  /** The addresses of those that are damaged, among the chunks and all that they copy from. */
  check(graph: ChunkGraph): Promise<Address[]>;
  /** Says that what it encoded, patched or decoded will not be read any more, each chunk once: their memory may be used again. */
  release?(results: readonly Uint8Array[]): void;
  /** Says that much work is coming, so that what takes time to start can start. */
  prepare?(): void;
  close(): Promise<void>;
}

/** A chunk as it is kept, and its address. */
export interface AddressedChunk extends EncodedChunk {
  readonly address: Address;
}

/** What a coder in this thread needs. */
export interface InlinePrimitives extends CoderPrimitives {
  /** With this, it reads chunks from files that the store lends: see {@link BlobStore.useFiles}. */
  readonly readFile?: ReadFile | undefined;
}

/** A coder that does everything at once in this thread. */
export function inlineCoder(primitives: InlinePrimitives): ChunkCoder {
  const reading = { readFile: primitives.readFile ?? cannotRead, room: newBytes };
  const read = (graph: ChunkGraph): StoredChunk[] => readGraph(graph, reading.readFile, reading.room);
  const encode = (
    chunks: readonly ChunkToEncode[],
    options: EncodeOptions,
    kin?: ChunkGraph,
  ): EncodedChunk[] => {
    const known = kin === undefined ? [] : read(kin);
    return chunks.map((chunk) => encodeChunk(withKin(chunk, known), options, primitives));
  };
  return {
    readsFiles: primitives.readFile !== undefined,
    address: async (chunks) => chunks.map(primitives.sha256),
    encode: async (chunks, options, kin) => encode(chunks, options, kin),
    addressAndEncode: async (chunks, options, kin) =>
      encode(chunks, options, kin).map((form, i) => ({
        ...form,
        address: primitives.sha256((chunks[i] as ChunkToEncode).bytes),
      })),
    patch: async (graph, patches, options) =>
      read(graph).map((chunk, i) => patchChunk(chunk, patches[i] as UnitPatch, options, primitives)),
    async decode(graph, verify) {
      const plain: (Uint8Array | undefined)[] = [];
      const given = new Set<number>();
      decodeGraph(graph, verify, reading, primitives, (bytes, i) => {
        const number = graph.roots[i] as number;
        // What is kept as it is would be the same memory again, and whoever has the one may write to it.
        plain.push(bytes !== undefined && given.has(number) ? copyBytes(bytes) : bytes);
        given.add(number);
      });
      return plain;
    },
    check: async (graph) => damagedAmong(read(graph), primitives),
    close: async () => {},
  };
}

/** A chunk to be encoded, with the chunks that it may be told by. */
export function withKin(
  { bytes, width, unit, kin }: ChunkToEncode,
  known: readonly StoredChunk[],
): PlainChunk {
  if (kin === undefined) return { bytes, width, unit };
  const toChunk = (kin: number | PlainBase): StoredChunk | PlainBase =>
    typeof kin === 'number' ? (known[kin] as StoredChunk) : kin;
  return { bytes, width, unit, kin: { ...kin, chunks: kin.chunks.map(toChunk) } };
}

function newBytes(length: number): Uint8Array {
  return new Uint8Array(length);
}

function cannotRead(): never {
  throw new TypeError('this coder was not given a way to read files');
}
