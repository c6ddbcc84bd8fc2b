/** Chunk stores in memory. */
import { type BlobStore, memoryBlobStore } from 'vecsnap/blob';
import {
  type ChunkIndex,
  ChunkStore,
  type ChunkStoreOptions,
  type ChunkStoreParts,
  ChunkWriter,
  inlineCoder,
  memoryIndex,
  type NewChunk,
} from 'vecsnap/cas';
import type { RandomBytes } from 'vecsnap/core';
import { nodeDeflate, nodeReadFile, nodeSha256 } from 'vecsnap/platform';
import { seededBytes } from './files.js';

export const OPTIONS: ChunkStoreOptions = {
  compression: 'auto',
  compressionLevel: 6,
  verifyChecksum: true,
  maxConcurrentIo: 4,
  packBytes: 4096,
};

/** Bytes that are the same in every run and never the same twice in one. */
export function seededRandom(seed: number): RandomBytes {
  let calls = 0;
  return (length) => seededBytes(length, seed * 1_000_003 + ++calls).slice();
}

/** The parts of a store; everything that is not given is new and in memory. */
export function storeParts(parts: Partial<ChunkStoreParts> = {}): ChunkStoreParts {
  const coder = inlineCoder({ sha256: nodeSha256, deflate: nodeDeflate, readFile: nodeReadFile });
  return {
    blobs: memoryBlobStore(),
    index: memoryIndex(),
    coder,
    sha256: nodeSha256,
    random: RANDOM,
    ...parts,
  };
}

const RANDOM = seededRandom(1);

/** Opens a store as another process would: with the blobs as they are and an index of its own. */
export function reopen(
  blobs: BlobStore,
  index: ChunkIndex = memoryIndex(),
  options: Partial<ChunkStoreOptions> = {},
): Promise<ChunkStore> {
  return ChunkStore.open(storeParts({ blobs, index }), { ...OPTIONS, ...options });
}

/** Data of this seed and length, which does not compress. */
export function chunk(seed: number, length = 500): NewChunk {
  return { bytes: seededBytes(length, seed), width: 0, kind: 'data' };
}

/** Puts chunks in one session of their own. Gives their addresses. */
export async function putAll(
  store: ChunkStore,
  chunks: readonly NewChunk[],
): Promise<Awaited<ReturnType<ChunkWriter['put']>>> {
  const writer = new ChunkWriter(store);
  const addresses = await writer.put(chunks);
  await writer.commit();
  return addresses;
}

/** The methods of a store, to make others of: those of a class stand in its prototype. */
export function methodsOf(blobs: BlobStore): BlobStore {
  const putParts = blobs.putParts?.bind(blobs);
  return putParts === undefined ? methodsWithoutParts(blobs) : { ...methodsWithoutParts(blobs), putParts };
}

/** The same without `putParts`, so that `put` is what all blobs come through. */
export function methodsWithoutParts(blobs: BlobStore): BlobStore {
  return {
    place: blobs.place,
    put: (name, bytes) => blobs.put(name, bytes),
    get: (name) => blobs.get(name),
    read: (name, offset, into) => blobs.read(name, offset, into),
    stat: (name) => blobs.stat(name),
    list: (prefix) => blobs.list(prefix),
    delete: (name) => blobs.delete(name),
    close: () => blobs.close(),
  };
}
