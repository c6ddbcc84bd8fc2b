/** The blobs that hold snapshots. In a file of their own, because a list that is cached needs none of them. */
import { type Address, ADDRESS_LENGTH, formatAddress, parseAddress } from '../core/address.js';
import { asMap, type Canonical, quoteValue } from '../core/canonical.js';
import { VecsnapError } from '../core/errors.js';
import type { Sha256 } from '../core/platform.js';
import { unseal } from './sealed-blob.js';
import { isSnapshot, isSnapshotId, isSnapshotTime, type Snapshot, SNAPSHOT_PREFIX } from './snapshot.js';

export const SNAPSHOT_MAGIC = 'vsnsnap';
export const SNAPSHOT_VERSION = 1;

/**
 * The snapshot that a blob holds, with the tags that it was taken with, and not pinned.
 * @param blob its name: `prefix` and the id.
 * @throws VecsnapError SNAPSHOT_DAMAGED, REPOSITORY_NEWER.
 */
export function decodeSnapshot(
  bytes: Uint8Array,
  blob: string,
  sha256: Sha256,
  prefix: string = SNAPSHOT_PREFIX,
): Snapshot {
  const unsealed = unseal(SNAPSHOT_MAGIC, bytes, sha256);
  if ('flaw' in unsealed) throw snapshotDamaged(blob);
  const map = asMap(unsealed.value);
  if (map === undefined) throw snapshotDamaged(blob);
  const { version, manifest, createdAt, ...plain } = map;
  if (version !== SNAPSHOT_VERSION) throw newerSnapshot(blob, version);
  const isAddress = manifest instanceof Uint8Array && manifest.length === ADDRESS_LENGTH;
  const isDerived = ['checksum', 'sizeBytes', 'pinned', 'damage'].some((key) => key in plain);
  if (!isAddress || !isSnapshotTime(createdAt) || isDerived) throw snapshotDamaged(blob);
  const snapshot = {
    ...plain,
    createdAt: new Date(createdAt).toISOString(),
    checksum: formatAddress(manifest as Address, 'node'),
    sizeBytes: plain['logicalBytes'],
    pinned: false,
  };
  if (!isSnapshot(snapshot) || `${prefix}${snapshot.id}` !== blob) throw snapshotDamaged(blob);
  return snapshot;
}

/** The id that a blob says its snapshot has, whatever the blob is called; undefined for a blob that is no whole snapshot. */
export function snapshotIdIn(bytes: Uint8Array, sha256: Sha256): string | undefined {
  const unsealed = unseal(SNAPSHOT_MAGIC, bytes, sha256);
  if ('flaw' in unsealed) return undefined;
  const id = asMap(unsealed.value)?.['id'];
  return typeof id === 'string' && isSnapshotId(id) ? id : undefined;
}

/** The address of a snapshot's manifest. */
export function manifestAddress({ checksum }: Pick<Snapshot, 'checksum'>): Address {
  return parseAddress(checksum).address;
}

function snapshotDamaged(blob: string): VecsnapError {
  return new VecsnapError('SNAPSHOT_DAMAGED', 'The blob of a snapshot is damaged.', {
    place: blob,
    remedy:
      'Run vecsnap repair, which mends a flipped bit and puts back what stands under a wrong name. If it cannot, put the file back from another copy of the repository; only if there is none, delete it to give the snapshot up.',
  });
}

function newerSnapshot(blob: string, version: Canonical | undefined): VecsnapError {
  return new VecsnapError(
    'REPOSITORY_NEWER',
    `A snapshot has format ${quoteValue(version)}; this vecsnap reads ${SNAPSHOT_VERSION}.`,
    {
      place: blob,
      remedy: 'Install a newer version of vecsnap.',
    },
  );
}
