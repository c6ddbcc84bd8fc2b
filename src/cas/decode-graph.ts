/** Decodes the wanted chunks of a graph: in WebAssembly where there are deltas among them and the machine has it, else one by one. */
// Straight from their files and not from core's index: a worker that starts with these loads nothing else.
import { equalBytes } from '../core/bytes.js';
import { ChainKernels } from './chain-kernels.js';
import { type ChunkGraph, type ReadFile, StoredGraph } from './chunk-graph.js';
import { type CoderPrimitives, decodeStored, type StoredChunk } from './codec.js';
import type { Fresh } from './pieces.js';

/** How the stored bytes of a graph come into memory. */
export interface GraphReading {
  readonly readFile: ReadFile;
  /** Memory for the bytes that are read. */
  readonly room: Fresh;
}

/**
 * Decodes the wanted chunks, in order.
 * @param verify whether they are compared with their addresses.
 * @param use is called with each plaintext, or undefined for a chunk that is damaged; what `fresh` gave is free again when it was called.
 */
export function decodeGraph(
  graph: ChunkGraph,
  verify: boolean,
  { readFile, room }: GraphReading,
  primitives: CoderPrimitives,
  use: (plain: Uint8Array | undefined, root: number) => void,
): void {
  const stored = new StoredGraph(graph);
  const kernels =
    graph.bases.length > 0 ? ChainKernels.open(stored, readFile, primitives.deflate) : undefined;
  if (kernels === undefined) {
    stored.read(readFile, room(stored.byteLength));
    for (const [i, chunk] of stored.wanted().entries()) use(decodeStored(chunk, verify, primitives), i);
    return;
  }
  try {
    let chunks: readonly StoredChunk[] | undefined;
    for (let i = 0; i < graph.roots.length; i++) {
      const plain = decodeIn(kernels, stored, graph.roots[i] as number, verify, primitives);
      // What the kernels do not make sound is decoded again, because TypeScript is the reference.
      chunks ??= plain === undefined ? kernels.chunksOutside() : undefined;
      use(plain ?? decodeStored(chunks?.[i] as StoredChunk, verify, primitives), i);
    }
  } finally {
    kernels.close();
  }
}

/** Undefined when the kernels could not, or what they made is not what the address says. */
function decodeIn(
  kernels: ChainKernels,
  stored: StoredGraph,
  number: number,
  verify: boolean,
  { sha256, fresh = newBytes }: CoderPrimitives,
): Uint8Array | undefined {
  let plain: Uint8Array | undefined;
  try {
    plain = kernels.decode(number, fresh);
  } catch {
    return undefined;
  }
  if (plain === undefined || !verify) return plain;
  return equalBytes(sha256(plain), stored.addressOf(number)) ? plain : undefined;
}

function newBytes(length: number): Uint8Array {
  return new Uint8Array(length);
}
