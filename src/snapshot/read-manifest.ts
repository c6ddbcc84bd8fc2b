/** Reads the manifest of a snapshot, which tells what it holds. */
import { VecsnapError } from '../core/index.js';
import type { ChunkStore } from '../cas/index.js';
import { decodeManifest, type Manifest } from '../manifest/manifest.js';
import type { Snapshot } from './snapshot.js';
import { manifestAddress } from './snapshot-blob.js';

/**
 * The manifest of a snapshot.
 * @throws VecsnapError MANIFEST_DAMAGED when it holds more or less than the snapshot says, or what the store throws.
 */
export async function readManifest(store: ChunkStore, snapshot: Snapshot): Promise<Manifest> {
  const manifest = decodeManifest(await store.get(manifestAddress(snapshot)));
  checkSize(snapshot, manifest);
  return manifest;
}

/** @throws VecsnapError MANIFEST_DAMAGED: what a person is told of a snapshot is what it holds. */
export function checkSize(
  { vectorCount, fileCount, logicalBytes }: Snapshot,
  { records, files }: Manifest,
): void {
  const bytes = (records?.bytes ?? 0) + (files?.bytes ?? 0);
  const isSame =
    (records?.count ?? 0) === vectorCount && (files?.count ?? 0) === fileCount && bytes === logicalBytes;
  if (isSame) return;
  throw new VecsnapError('MANIFEST_DAMAGED', 'The manifest holds more or less than the snapshot says.', {
    remedy: 'Run verify to find which snapshots this concerns.',
  });
}
