/** Snapshots: named and dated pointers to manifests. */
import { asMap, type Canonical } from '../core/canonical.js';
import type { Clock } from '../core/platform.js';
import { isSnapshotId, timeOfId } from '../core/snapshot-id.js';

export { isSnapshotId, newSnapshotId } from '../core/snapshot-id.js';

/** A value that JSON can hold. */
export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json };

/** How a snapshot was taken. It never bears on what the snapshot can restore. */
export type SnapshotType = 'full' | 'incremental';

/** One snapshot of one collection. */
export interface Snapshot {
  /** 26 characters: ten of the time, sixteen of chance (https://github.com/ulid/spec, in lower case). Sorts by time. */
  readonly id: string;
  readonly name: string;
  readonly collection: string;
  /** ISO 8601, UTC. */
  readonly createdAt: string;
  readonly snapshotType: SnapshotType;
  /** The snapshot that an incremental one was compared with; null for a full one. That snapshot may be gone since. */
  readonly baseId: string | null;
  /**
   * For a full one: the last snapshot of the collection that there was when it was taken, whatever the dates said; it may be gone
   * since. Not there when there was none, when the time was given instead of being that of the clock, and in snapshots of earlier
   * versions.
   */
  readonly afterId?: string | undefined;
  /** Records in the snapshot. */
  readonly vectorCount: number;
  /** Entries of the tree of files in the snapshot: files, folders and links. */
  readonly fileCount: number;
  /** The address of the manifest: equal for equal content, whenever and however it was taken. */
  readonly checksum: string;
  /** The same as `logicalBytes`; the name that ruvector-snapshot has for it. */
  readonly sizeBytes: number;
  /** Plaintext bytes of ids, vectors, payloads and files. */
  readonly logicalBytes: number;
  /** Bytes of the packs that were written when the snapshot was taken. */
  readonly addedBytes: number;
  /** Numbers in floating-point vectors that are NaN or infinite. They are kept bit for bit. */
  readonly nonFiniteCount: number;
  /** Those of now, which may be others than those that it was taken with. */
  readonly tags: readonly string[];
  /** Whether it is kept whatever policies say. */
  readonly pinned: boolean;
  readonly metadata: { readonly [key: string]: Json };
  /** What the source had to say, for example why a file is kept as a byte stream. */
  readonly notes: readonly string[];
  /** There for a snapshot that a repair found to lack chunks, until they are there again. Not kept with the snapshot. */
  readonly damage?: SnapshotDamage | undefined;
}

/** What a repair found out about a snapshot. */
export interface SnapshotDamage {
  /** Chunks that are lost. Below a lost node there may be more. */
  readonly lostChunks: number;
  /** When that was found, ISO 8601, UTC. */
  readonly notedAt: string;
}

/** Where snapshot blobs stand. */
export const SNAPSHOT_PREFIX = 'snapshots/';

/** A time other than that of every snapshot there is, so that ids sort as snapshots were taken. */
export function nextCreationTime(clock: Clock, existing: readonly string[]): number {
  const taken = new Set(existing.map(timeOfId));
  let now = Math.floor(clock.now());
  while (taken.has(now)) now++;
  return now;
}

/** Whether it is milliseconds since 1970, as many as an id has bits for. */
export function isSnapshotTime(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0 && (value as number) < 2 ** 48;
}

/** Whether all that a snapshot always has is there, and is what it should be. */
export function isSnapshot(value: unknown): value is Snapshot {
  if (typeof value !== 'object' || value === null) return false;
  const one = value as { readonly [key in keyof Snapshot]?: unknown };
  return (
    isText(one.id) &&
    isSnapshotId(one.id) &&
    isText(one.name) &&
    isText(one.collection) &&
    isText(one.createdAt) &&
    isText(one.checksum) &&
    (one.snapshotType === 'full' || one.snapshotType === 'incremental') &&
    (one.baseId === null || isText(one.baseId)) &&
    (one.afterId === undefined || isText(one.afterId)) &&
    isCount(one.vectorCount) &&
    isCount(one.fileCount) &&
    isCount(one.logicalBytes) &&
    isCount(one.sizeBytes) &&
    isCount(one.addedBytes) &&
    isCount(one.nonFiniteCount) &&
    areTexts(one.tags) &&
    areTexts(one.notes) &&
    typeof one.pinned === 'boolean' &&
    asMap(one.metadata as Canonical) !== undefined
  );
}

function isCount(value: unknown): boolean {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

function areTexts(value: unknown): boolean {
  return Array.isArray(value) && value.every((text) => typeof text === 'string');
}

/** Texts are not empty. How long a name may be is checked when it is given; the blob bounds it here. */
function isText(value: unknown): value is string {
  return typeof value === 'string' && value !== '';
}
