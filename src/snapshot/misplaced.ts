/** Blobs that stand under the name of another, as after a disk was put together by hand: recognised by what is in them. */
import { isVecsnapError, type RandomBytes, type Sha256, toHex } from '../core/index.js';
import type { BlobStore } from '../blob/port.js';
import { PACK_PREFIX, readPackDirectory } from '../cas/index.js';
import { decodeConfig } from './config.js';
import { FORGOTTEN_PREFIX } from './forgotten.js';
import { SNAPSHOT_PREFIX } from './snapshot.js';
import { snapshotIdIn } from './snapshot-blob.js';

/** Configs and snapshots are small; a larger blob in the place of a pack is none of them. */
const MOST_SEALED_BYTES = 4 * 1024 * 1024;

/** Whether the bytes are a config. */
export function isConfig(bytes: Uint8Array, sha256: Sha256): boolean {
  try {
    decodeConfig(bytes, '', sha256);
    return true;
  } catch (error) {
    if (isVecsnapError(error, 'NOT_A_REPOSITORY', 'REPOSITORY_DAMAGED', 'REPOSITORY_NEWER')) return false;
    throw error;
  }
}

/** A config that stands in the place of a pack or a snapshot. */
export async function misplacedConfig(blobs: BlobStore, sha256: Sha256): Promise<Uint8Array | undefined> {
  for (const prefix of [SNAPSHOT_PREFIX, FORGOTTEN_PREFIX, PACK_PREFIX]) {
    for await (const { name, size } of blobs.list(prefix)) {
      if (size > MOST_SEALED_BYTES) continue;
      const bytes = await blobs.get(name);
      if (isConfig(bytes, sha256)) return bytes;
    }
  }
  return undefined;
}

/**
 * Puts a copy of a blob where it belongs, when it is a whole pack or snapshot and none is there. What stands at the wrong place stays.
 * @returns the name under which it is there now; undefined when it is neither.
 */
export async function putInPlace(
  blobs: BlobStore,
  name: string,
  { sha256, random }: { readonly sha256: Sha256; readonly random: RandomBytes },
): Promise<string | undefined> {
  const bytes = await blobs.get(name);
  const id = snapshotIdIn(bytes, sha256);
  const isPack = id === undefined && (await isWholePack(blobs, name, bytes.length, sha256));
  if (id === undefined && !isPack) return undefined;
  const place = id === undefined ? `${PACK_PREFIX}${toHex(random(16))}` : `${SNAPSHOT_PREFIX}${id}`;
  if ((await blobs.stat(place)) === undefined) await blobs.put(place, bytes);
  return place;
}

async function isWholePack(blobs: BlobStore, name: string, size: number, sha256: Sha256): Promise<boolean> {
  try {
    await readPackDirectory(blobs, { name, size }, sha256);
    return true;
  } catch (error) {
    if (isVecsnapError(error, 'PACK_DAMAGED')) return false;
    throw error;
  }
}
