/** Reads chunks that must be as long as a manifest says. */
import { VecsnapError } from '../core/index.js';
import type { ChunkStore } from '../cas/index.js';
import type { ChunkReference } from '../manifest/entries.js';

/** The plaintexts of chunks. @throws VecsnapError MANIFEST_DAMAGED when one has another length, or what the store throws. */
export async function getChecked(
  store: ChunkStore,
  references: readonly ChunkReference[],
): Promise<Uint8Array[]> {
  const addresses = references.map(({ address }) => address);
  // What is far longer than the manifest says may not fit into memory.
  return store.getMany(addresses, (lengths) => {
    if (references.some(({ length }, i) => length !== lengths[i])) throw wrongLength();
  });
}

/** What is said of a chunk that is longer or shorter than the manifest says. */
export function wrongLength(): VecsnapError {
  return new VecsnapError('MANIFEST_DAMAGED', 'A chunk has another length than the manifest says.', {
    remedy: 'Run verify to find which snapshots this concerns.',
  });
}
