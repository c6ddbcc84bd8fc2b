/** Chunks in forms that stand alone, also those that are kept as deltas: what a sweep writes for those whose bases go. */
import { type Address, copyBytes } from '../core/index.js';
import type { ChunkStore } from './chunk-store.js';
import type { UsedChunks } from './found-chunks.js';
import { CODECS, type EncodedChunk } from './codec.js';
import type { ChunkToEncode } from './coder.js';
import { deltaShape } from './delta.js';
import type { StoredForm } from './found-chunks.js';
import type { Location } from './index-port.js';
import type { PackedChunk } from './pack.js';

/** Encodes chunks of the store anew, standing alone. @throws VecsnapError as {@link ChunkStore.getMany}. */
export async function standAlone(store: ChunkStore, addresses: readonly Address[]): Promise<PackedChunk[]> {
  const locations = await store.locate(addresses);
  const chunks = await store.useChunksInMemory(addresses, async (stored) => {
    const plain = await store.decode(stored);
    return stored.roots.map((root, i): ChunkToEncode => ({
      bytes: plain[i] as Uint8Array,
      ...shapeOf(stored, root),
    }));
  });
  const encoded = await store.parts.coder.encode(chunks, store.options);
  return addresses.map((address, i) => {
    const { codec, bytes, fingerprints } = encoded[i] as EncodedChunk;
    const { kind, length } = locations[i] as Location;
    return { address: copyBytes(address) as Address, kind, codec, length, bytes, fingerprints };
  });
}

/** What a delta says that the chunk is made of. */
function shapeOf(stored: UsedChunks, number: number): Pick<ChunkToEncode, 'width' | 'unit'> {
  const { codec } = stored.found.forms[number] as StoredForm;
  return codec === CODECS.delta ? deltaShape(stored.bytesInMemory(number)) : { width: 0 };
}
