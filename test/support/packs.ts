/** Packs as they stand in a store. */
import { type DirectoryEntry, PACK_HEADER, PackBuilder, type PackedChunk } from 'vecsnap/cas';
import { concatBytes } from 'vecsnap/core';
import { nodeSha256 } from 'vecsnap/platform';

/** The bytes of a pack of these chunks, and the entries of its directory. */
export function packOf(chunks: readonly PackedChunk[]): { bytes: Uint8Array; entries: DirectoryEntry[] } {
  const builder = new PackBuilder();
  const entries = chunks.map((chunk) => builder.add(chunk));
  const stored = chunks.map(({ bytes }) => bytes);
  return { bytes: concatBytes([PACK_HEADER, ...stored, ...builder.finish(nodeSha256).end]), entries };
}
