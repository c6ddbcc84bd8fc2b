/** Mends flipped bits in sealed blobs. A blob never changes, so a mended one is put beside it before it is replaced (docs/ordering.md, P4). */
import { mendBit } from '../cas/mend.js';
import { isVecsnapError, type Sha256 } from '../core/index.js';
import type { BlobStore } from '../blob/port.js';
import type { Environment } from './environment.js';
import { isSealed } from './sealed-blob.js';
import { SNAPSHOT_PREFIX } from './snapshot.js';
import { decodeSnapshot, snapshotIdIn } from './snapshot-blob.js';

/** Where mended blobs stand until they have their name. */
const RESCUE_PREFIX = 'rescue/';

type Store = Pick<Environment, 'blobs' | 'sha256'>;

/** Mends what can be mended of all snapshots, and gives those their name that stand under another's. @returns their ids. */
export async function mendSnapshots({ blobs, sha256 }: Store): Promise<string[]> {
  await finishReplacing({ blobs, sha256 });
  const damaged = new Set<string>();
  /** Snapshots that are right, but not at their place, by the names that they should have. */
  const right = new Map<string, Uint8Array>();
  for (const name of await namesBelow(blobs, SNAPSHOT_PREFIX)) {
    const bytes = await blobs.get(name);
    if (isWhole(bytes, name, sha256)) continue;
    damaged.add(name);
    const mended = isSealed(bytes, sha256) ? bytes : mendSealed(bytes, sha256);
    const own = mended && ownName(mended, sha256);
    if (mended !== undefined && own !== undefined) right.set(own, mended);
  }
  const mended: string[] = [];
  for (const [name, bytes] of right) {
    if (!damaged.has(name) && (await blobs.stat(name)) !== undefined) continue;
    await replace(blobs, name, bytes);
    mended.push(name.slice(SNAPSHOT_PREFIX.length));
  }
  return mended;
}

/** The name that a snapshot should have by its content; undefined for other blobs. */
function ownName(bytes: Uint8Array, sha256: Sha256): string | undefined {
  const id = snapshotIdIn(bytes, sha256);
  const name = `${SNAPSHOT_PREFIX}${id}`;
  return id !== undefined && isWhole(bytes, name, sha256) ? name : undefined;
}

async function namesBelow(blobs: BlobStore, prefix: string): Promise<string[]> {
  const names: string[] = [];
  for await (const { name } of blobs.list(prefix)) names.push(name);
  return names;
}

/** A sealed blob with one bit turned so that its checksum fits; undefined when there is no such bit. */
export function mendSealed(bytes: Uint8Array, sha256: Sha256): Uint8Array | undefined {
  return mendBit(bytes, (tried) => isSealed(tried, sha256));
}

/** Puts other bytes in place of a blob. A crash in between leaves them in `rescue/`, from where the next repair takes them. */
export async function replace(blobs: BlobStore, name: string, bytes: Uint8Array): Promise<void> {
  const beside = `${RESCUE_PREFIX}${name}`;
  if ((await blobs.stat(beside)) === undefined) await blobs.put(beside, bytes);
  await blobs.delete(name);
  await blobs.put(name, bytes);
  await blobs.delete(beside);
}

/** Does the rest of what a crash has left half done. */
export async function finishReplacing({ blobs, sha256 }: Store): Promise<void> {
  for (const beside of await namesBelow(blobs, RESCUE_PREFIX)) {
    const bytes = await blobs.get(beside);
    const name = beside.slice(RESCUE_PREFIX.length);
    const there = await blobs.get(name).catch((error: unknown) => {
      if (isVecsnapError(error, 'BLOB_MISSING')) return undefined;
      throw error;
    });
    const isNeeded = there === undefined || !isSealed(there, sha256);
    if (isNeeded && isSealed(bytes, sha256)) await replace(blobs, name, bytes);
    else if (!isNeeded) await blobs.delete(beside);
  }
}

function isWhole(bytes: Uint8Array, name: string, sha256: Sha256): boolean {
  try {
    decodeSnapshot(bytes, name, sha256);
    return true;
  } catch (error) {
    if (isVecsnapError(error, 'SNAPSHOT_DAMAGED')) return false;
    if (isVecsnapError(error, 'REPOSITORY_NEWER')) return true;
    throw error;
  }
}
