/**
 * Forgotten snapshots, which stand aside until the next sweep: `forgotten/<id>` has the bytes that `snapshots/<id>` had.
 *
 * A snapshot that `snapshots/` has is not forgotten, whatever else is there: a crash may leave both (docs/ordering.md, F1 and F3).
 */
import type { BlobStat } from '../blob/port.js';
import { equalBytes, isVecsnapError, mapConcurrent, VecsnapError } from '../core/index.js';
import type { Repository, SnapshotListing, SnapshotProblem } from './repository.js';
import { blobsIn, getSealed } from './sealed-blob.js';
import { type Snapshot, SNAPSHOT_PREFIX } from './snapshot.js';
import { decodeSnapshot } from './snapshot-blob.js';

/** Where they stand. */
export const FORGOTTEN_PREFIX = 'forgotten/';
const READ_AT_ONCE = 32;

/**
 * Forgets a snapshot, which exists: its blob is kept aside, durably, before it goes (docs/ordering.md, F1).
 * @returns whether that can be undone. It cannot on a full disk: there it goes all the same, because that is how space is made
 * (docs/ordering.md, F4).
 */
export async function forgetSnapshot(repository: Repository, id: string): Promise<boolean> {
  const isKept = await keepAside(repository, id);
  await repository.deleteSnapshot(id);
  return isKept;
}

async function keepAside({ environment: { blobs } }: Repository, id: string): Promise<boolean> {
  const bytes = await blobs.get(`${SNAPSHOT_PREFIX}${id}`);
  const name = `${FORGOTTEN_PREFIX}${id}`;
  try {
    await blobs.put(name, bytes).catch(async (error: unknown) => {
      if (!isVecsnapError(error, 'BLOB_EXISTS')) throw error;
      if (equalBytes(await blobs.get(name), bytes)) return; // Left by a crash.
      await blobs.delete(name);
      await blobs.put(name, bytes);
    });
    return true;
  } catch (error) {
    if (isVecsnapError(error, 'STORE_FULL')) return false;
    throw error;
  }
}

/** Blobs of forgotten snapshots, and of some that a crash left though they are not. */
export async function forgottenBlobs({ environment }: Repository): Promise<readonly BlobStat[]> {
  return blobsIn(environment.blobs, FORGOTTEN_PREFIX);
}

/** Every snapshot that is forgotten and can be had back, newest first. */
export async function listForgotten(repository: Repository): Promise<SnapshotListing> {
  const blobs = await forgottenBlobs(repository);
  if (blobs.length === 0) return { snapshots: [], problems: [] };
  const standing = new Set(await repository.snapshotIds());
  const forgotten = blobs.filter(({ name }) => !standing.has(name.slice(FORGOTTEN_PREFIX.length)));
  const read = await mapConcurrent(forgotten, READ_AT_ONCE, ({ name }) => readForgotten(repository, name));
  const found = read.flatMap((one) => one ?? []);
  const snapshots = found.filter((one): one is Snapshot => !('error' in one));
  return {
    snapshots: snapshots.toSorted((a, b) => (a.id < b.id ? 1 : -1)),
    problems: found.filter((one): one is SnapshotProblem => 'error' in one),
  };
}

async function readForgotten(
  { environment: { blobs, sha256 } }: Repository,
  blob: string,
): Promise<Snapshot | SnapshotProblem | undefined> {
  try {
    return decodeSnapshot(await getSealed(blobs, blob), blob, sha256, FORGOTTEN_PREFIX);
  } catch (error) {
    if (isVecsnapError(error, 'BLOB_MISSING')) return undefined; // Swept, or had back, since it was listed.
    if (isVecsnapError(error, 'SNAPSHOT_DAMAGED', 'REPOSITORY_NEWER')) return { blob, error };
    throw error;
  }
}

/**
 * Has forgotten snapshots back: all are looked up first, and each stands, durably, before it is forgotten no longer (docs/ordering.md,
 * F3). The caller holds the lock.
 * @param ids or all that there are.
 * @throws VecsnapError SNAPSHOT_UNKNOWN for one that is not forgotten, or that a sweep has made an end of; SNAPSHOT_DAMAGED.
 */
export async function unforget(
  repository: Repository,
  ids: readonly string[] | 'all',
): Promise<readonly Snapshot[]> {
  const { environment } = repository;
  const { blobs } = environment;
  const { snapshots, problems } = await listForgotten(repository);
  const wanted =
    ids === 'all' ? snapshots : [...new Set(ids)].map((id) => mustFind(id, { snapshots, problems }));
  for (const { id } of wanted) {
    const name = `${FORGOTTEN_PREFIX}${id}`;
    await putWithReserve(environment, `${SNAPSHOT_PREFIX}${id}`, await blobs.get(name));
    await blobs.delete(name);
  }
  return wanted;
}

/** On a full disk what is forgotten must not be out of reach: the way to free space would be a sweep, which makes an end of it. */
async function putWithReserve(
  { blobs, reserve }: Repository['environment'],
  name: string,
  bytes: Uint8Array,
): Promise<void> {
  try {
    await blobs.put(name, bytes);
  } catch (error) {
    if (!isVecsnapError(error, 'STORE_FULL') || !(await reserve?.giveUp())) throw error;
    await blobs.put(name, bytes);
  }
}

function mustFind(id: string, { snapshots, problems }: SnapshotListing): Snapshot {
  const found = snapshots.find((one) => one.id === id);
  if (found !== undefined) return found;
  const damaged = problems.find(({ blob }) => blob === `${FORGOTTEN_PREFIX}${id}`);
  if (damaged !== undefined) throw damaged.error;
  throw new VecsnapError(
    'SNAPSHOT_UNKNOWN',
    `No snapshot with the id ${JSON.stringify(id.slice(0, 80))} is forgotten.`,
    {
      place: FORGOTTEN_PREFIX,
      remedy:
        'list --forgotten shows those that can be had back. What was forgotten before a sweep is gone for ever.',
    },
  );
}
