/** What a blob is by its content, whatever it is called: after a disk was put together by hand, names may be wrong. */
import { concatBytes, isVecsnapError, MAX_BLOB_BYTES, type Sha256, utf8 } from '../core/index.js';
import type { BlobStat, BlobStore } from '../blob/port.js';
import { beginsAsPack, PACK_PREFIX, readPackDirectory } from '../cas/index.js';
import { bitsApart } from '../cas/pack.js';
import { mendBit } from '../cas/mend.js';
import { CONFIG_BLOB, decodeConfig } from './config.js';
import { noteNameIn } from './damage-note.js';
import { FORGOTTEN_PREFIX } from './forgotten.js';
import { markedIdIn, MARKS_PREFIX } from './marks.js';
import { arePolicies, POLICIES_NAME } from './policies.js';
import { isSealed, START_BYTES } from './sealed-blob.js';
import { SNAPSHOT_PREFIX } from './snapshot.js';
import { decodeSnapshot, snapshotIdIn } from './snapshot-blob.js';

/** What a blob is, and where blobs that are this stand: their names begin with one of `places`, the best one first. */
export interface Identity {
  readonly kind: 'config' | 'snapshot' | 'marks' | 'policies' | 'note' | 'pack';
  readonly places: readonly string[];
}

/** A blob of which it is known what it is. */
export interface Known extends Identity {
  /** Its bytes with a flipped bit put right, where that was needed. */
  readonly mended?: Uint8Array;
}

const PACK: Identity = { kind: 'pack', places: [PACK_PREFIX] };

/** Whether this is a name for such a blob. */
export function fits(name: string, { kind, places }: Identity): boolean {
  if (kind === 'config' || kind === 'snapshot') return places.includes(name);
  return places.some((place) => name.startsWith(place));
}

/** What a blob of a store is; undefined when its content does not tell. Of packs only a few bytes are read. */
export async function identify(
  blobs: BlobStore,
  { name, size }: BlobStat,
  sha256: Sha256,
): Promise<Known | undefined> {
  const start = new Uint8Array(START_BYTES);
  await blobs.read(name, 0, start);
  if (looksSealed(start) && size <= MAX_BLOB_BYTES) {
    const bytes = await blobs.get(name);
    const identity = identityOf(bytes, sha256);
    if (identity !== undefined || isSealed(bytes, sha256)) return identity;
    const mended = mendSealed(bytes, sha256);
    const then = mended && identityOf(mended, sha256);
    if (mended !== undefined && then !== undefined) return { ...then, mended };
  }
  return (await isPack(blobs, { name, size }, sha256)) ? PACK : undefined;
}

/** What a sealed blob is that is whole; undefined for other bytes. */
export function identityOf(bytes: Uint8Array, sha256: Sha256): Identity | undefined {
  const id = snapshotIdIn(bytes, sha256);
  if (id !== undefined)
    return isSnapshotOf(id, bytes, sha256)
      ? { kind: 'snapshot', places: [`${SNAPSHOT_PREFIX}${id}`, `${FORGOTTEN_PREFIX}${id}`] }
      : undefined;
  const marked = markedIdIn(bytes, sha256);
  if (marked !== undefined) return { kind: 'marks', places: [`${MARKS_PREFIX}${marked}-`] };
  if (arePolicies(bytes, sha256)) return { kind: 'policies', places: [`${POLICIES_NAME}-`] };
  const note = noteNameIn(bytes, sha256);
  if (note !== undefined) return { kind: 'note', places: [note] };
  return isConfig(bytes, sha256) ? { kind: 'config', places: [CONFIG_BLOB] } : undefined;
}

/** A sealed blob with one bit turned so that its checksum fits; undefined when there is no such bit. */
function mendSealed(bytes: Uint8Array, sha256: Sha256): Uint8Array | undefined {
  return mendBit(bytes, (tried) => isSealed(tried, sha256));
}

/** Whether bytes begin as sealed blobs do, but for one bit. */
function looksSealed(start: Uint8Array): boolean {
  const fixed = concatBytes([start.subarray(0, 3), start.subarray(7, 8)]);
  return bitsApart(fixed, utf8('vsn ')) <= 1;
}

function isConfig(bytes: Uint8Array, sha256: Sha256): boolean {
  try {
    decodeConfig(bytes, '', sha256);
    return true;
  } catch (error) {
    if (isVecsnapError(error, 'REPOSITORY_NEWER')) return true;
    if (isVecsnapError(error, 'NOT_A_REPOSITORY', 'REPOSITORY_DAMAGED')) return false;
    throw error;
  }
}

function isSnapshotOf(id: string, bytes: Uint8Array, sha256: Sha256): boolean {
  try {
    decodeSnapshot(bytes, `${SNAPSHOT_PREFIX}${id}`, sha256);
    return true;
  } catch (error) {
    if (isVecsnapError(error, 'REPOSITORY_NEWER')) return true;
    if (isVecsnapError(error, 'SNAPSHOT_DAMAGED')) return false;
    throw error;
  }
}

/** One that begins or ends as packs do: repair finds what is left in it. */
async function isPack(blobs: BlobStore, { name, size }: BlobStat, sha256: Sha256): Promise<boolean> {
  if (await beginsAsPack(blobs, name, size)) return true;
  try {
    await readPackDirectory(blobs, { name, size }, sha256);
    return true;
  } catch (error) {
    if (isVecsnapError(error, 'PACK_DAMAGED')) return false;
    throw error;
  }
}
