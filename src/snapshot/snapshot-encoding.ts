/** Writes the blobs that hold snapshots. */
import { parseAddress } from '../core/address.js';
import type { Sha256 } from '../core/platform.js';
import { seal } from './seal.js';
import type { Snapshot } from './snapshot.js';
import { SNAPSHOT_MAGIC, SNAPSHOT_VERSION } from './snapshot-blob.js';

/** The bytes of a snapshot blob. */
export function encodeSnapshot(snapshot: Snapshot, sha256: Sha256): Uint8Array {
  // Pins and damage stand elsewhere: they change.
  const { checksum, createdAt, afterId, sizeBytes: _, pinned: __, damage: ___, ...plain } = snapshot;
  const value = {
    ...plain,
    ...(afterId !== undefined && { afterId }),
    version: SNAPSHOT_VERSION,
    createdAt: Date.parse(createdAt),
    manifest: parseAddress(checksum).address,
  };
  return seal(SNAPSHOT_MAGIC, value, sha256);
}
