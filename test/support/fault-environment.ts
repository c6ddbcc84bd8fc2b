/** Environments on stores that fail: with a lock made of blobs, as on a disk, and an index that stays. */
import { acquireLease, type BlobStore, isProcessAlive, processIdentity } from 'vecsnap/blob';
import { type ChunkIndex, inlineCoder, memoryIndex } from 'vecsnap/cas';
import type { RandomBytes } from 'vecsnap/core';
import { nodeDeflate, nodeReadFile, nodeSha256, systemRandom } from 'vecsnap/platform';
import type { Environment } from 'vecsnap/snapshot';

/** An environment on `blobs` whose lock stands there too. @param index stays from one session to the next. */
export function lockingEnvironment(
  blobs: BlobStore,
  index: ChunkIndex = memoryIndex(),
  random: RandomBytes = systemRandom,
): Environment {
  let time = 1_700_000_000_000;
  const clock = { now: () => (time += 1000) };
  return {
    blobs,
    coder: inlineCoder({ sha256: nodeSha256, deflate: nodeDeflate, readFile: nodeReadFile }),
    sha256: nodeSha256,
    clock,
    random,
    openIndex: async (prefer) => (prefer === 'memory' ? memoryIndex() : index),
    discardIndex: () => index.clear(),
    lock: ({ operation, timeoutMs, signal }) =>
      acquireLease(blobs, {
        kind: 'writer',
        identity: processIdentity(operation, clock),
        isAlive: isProcessAlive,
        clock,
        random: systemRandom,
        timeoutMs,
        signal,
      }),
    indexBytes: async () => 0,
    close: () => blobs.close(),
  };
}
