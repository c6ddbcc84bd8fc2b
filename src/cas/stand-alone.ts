/** Chunks that are kept as deltas, in the forms that they take when they stand alone. Nothing is written. */
import type { Address } from '../core/index.js';
import type { ChunkStore } from './chunk-store.js';
import { type EncodedChunk, numberWidth, type PlainChunk } from './codec.js';
import type { Location } from './index-port.js';
import type { PackedChunk } from './pack.js';

/** @throws VecsnapError as {@link ChunkStore.getMany}. */
export async function standAlone(store: ChunkStore, addresses: readonly Address[]): Promise<PackedChunk[]> {
  const locations = await store.locate(addresses);
  const stored = await store.getStored(addresses);
  const plain = await store.decode(stored);
  const chunks = stored.map((chunk, i): PlainChunk => ({
    bytes: plain[i] as Uint8Array,
    width: numberWidth(chunk),
  }));
  const encoded = await store.parts.coder.encode(chunks, store.options);
  return stored.map(({ address, length }, i) => {
    const { codec, bytes } = encoded[i] as EncodedChunk;
    return { address, kind: (locations[i] as Location).kind, codec, length, bytes };
  });
}
