/** Opening a repository for a command, and finding the snapshots that a person means in it. */
import type { Snapshot, SnapshotFilter, SnapshotListing, SnapshotManager } from '../index.js';
import type { Call } from './command.js';
import type { LockOption } from './options.js';
import { plural, shortId } from './text.js';
import { tuneEngine } from './tuning.js';

/** Opens a repository, runs `work` in it and closes it. */
export async function withRepository<T>(
  repo: unknown,
  { lockTimeout }: LockOption,
  work: (manager: SnapshotManager) => Promise<T>,
): Promise<T> {
  const { SnapshotManager } = await import('../snapshot/manager.js');
  const lockTimeoutMs = lockTimeout === undefined ? undefined : Math.round(lockTimeout * 1000);
  const manager = await SnapshotManager.open({
    snapshotDir: repo as string,
    ownsThread: true,
    ...(lockTimeoutMs === undefined ? {} : { lockTimeoutMs }),
  });
  tuneEngine();
  try {
    return await work(manager);
  } finally {
    await manager.close();
  }
}

/** What a repository has, as far as it can be read; the person is told of what cannot. */
export async function listReadable(
  manager: SnapshotManager,
  call: Call,
  { forgotten = false }: { readonly forgotten?: boolean } = {},
): Promise<SnapshotListing> {
  const listing = await (forgotten ? manager.listForgotten() : manager.listAll());
  const damaged = listing.problems.length;
  if (damaged > 0) call.warn(`${plural(damaged, 'snapshot')} cannot be read; verify tells more`);
  return listing;
}

/** The snapshots that a person means by `texts`. @throws VecsnapError SNAPSHOT_UNKNOWN, SNAPSHOT_AMBIGUOUS, SNAPSHOT_DAMAGED. */
export async function findAll(
  manager: SnapshotManager,
  call: Call,
  texts: readonly string[],
  filter: SnapshotFilter = {},
): Promise<readonly Snapshot[]> {
  const { findSnapshot } = await import('../snapshot/find.js');
  const listing = await listReadable(manager, call);
  const snapshots = inCollection(listing.snapshots, filter);
  return texts.map((text) =>
    choose(call, listing, (now) => findSnapshot({ ...listing, snapshots, now }, text)),
  );
}

/** Chooses a snapshot, and tells the person when it would be another if that were not dated in the future. */
export function choose<S extends Snapshot | undefined>(
  call: Call,
  { now }: SnapshotListing,
  chosenAt: (now: number | undefined) => S,
): S {
  const [chosen, byDate] = [chosenAt(now), chosenAt(undefined)];
  if (byDate !== undefined && byDate.id !== chosen?.id)
    call.warn(
      `${shortId(byDate.id)} is dated in the future (${byDate.createdAt}) and does not count as the newest`,
    );
  return chosen;
}

/** The snapshot that a person means. @throws VecsnapError as {@link findAll}. */
export async function findOne(manager: SnapshotManager, call: Call, text: unknown): Promise<Snapshot> {
  return (await findAll(manager, call, [text as string]))[0] as Snapshot;
}

/** The snapshots of a collection, or all. */
export function inCollection(
  snapshots: readonly Snapshot[],
  { collection }: SnapshotFilter,
): readonly Snapshot[] {
  return snapshots.filter((one) => collection === undefined || one.collection === collection);
}
