/** Collecting garbage: what is forgotten becomes final, and then the space of chunks that no snapshot needs is given back. */
import type { BlobStat } from '../blob/port.js';
import type { ChunkStore, WholeTree } from '../cas/index.js';
import { type Address, DigestTable, isUnreadable, isVecsnapError, VecsnapError } from '../core/index.js';
import {
  DEFAULT_SWEEP,
  mark,
  planSweep,
  type PreparedSweep,
  priceSweep,
  sweep,
  type SweepPlan,
  type SweepReport,
} from '../gc/index.js';
import type { FoundNotes } from './damage-note.js';
import { FORGOTTEN_PREFIX, forgottenBlobs } from './forgotten.js';
import { staleMarks } from './marks.js';
import type { WorkOptions } from './progress.js';
import type { Repository, Session, SnapshotListing } from './repository.js';
import { invalidOption } from './settings.js';
import type { Snapshot } from './snapshot.js';
import { manifestAddress } from './snapshot-blob.js';

/** How the store is swept. */
export interface CollectOptions extends WorkOptions {
  /** Only say what would be done. Default: false. */
  readonly dryRun?: boolean | undefined;
  /** The part of the bytes of all packs that may stay unused, from 0 to 1. Default: 0.05. */
  readonly maxUnused?: number | undefined;
}

/** What a sweep did, or would do. `reclaimedBytes` counts all blobs. */
export interface CollectReport extends SweepPlan, Partial<Omit<SweepReport, keyof SweepPlan>> {
  /** Ids of forgotten snapshots that cannot be had back after this. */
  readonly forgottenSnapshots: readonly string[];
}

/**
 * Sweeps. The caller holds the lock (docs/ordering.md, G2). When something seems to be missing, it may be the index that is wrong: then
 * another one is built from the packs, and it is tried again; if that goes well, the first index is thrown away (docs/ordering.md, R7 and
 * G9).
 * @throws VecsnapError SWEEP_REFUSED, OPTION_INVALID.
 */
export async function collectGarbage(
  repository: Repository,
  options: CollectOptions,
): Promise<CollectReport> {
  const { maxUnused = DEFAULT_SWEEP.maxUnused } = options;
  if (!(maxUnused >= 0 && maxUnused <= 1))
    throw invalidOption('maxUnused', maxUnused, 'a number from 0 to 1');
  const attempt = (session: Session): Promise<CollectReport> => collect(session, { ...options, maxUnused });
  try {
    return await repository.read(attempt, 'persistent');
  } catch (error) {
    if (!isVecsnapError(error, 'SWEEP_REFUSED') && !isUnreadable(error)) throw error;
    const report = await repository.read(attempt);
    await repository.environment.discardIndex();
    return report;
  }
}

/**
 * What was forgotten is deleted, durably, before any pack goes (docs/ordering.md, G6): else it could be had back without its chunks. It
 * stays when the store is too full for any pack to go.
 */
async function collect(
  { repository, store, notes }: Session,
  { maxUnused, dryRun = false, signal }: CollectOptions & { readonly maxUnused: number },
): Promise<CollectReport> {
  const snapshots = await allSnapshots(repository);
  const prepared = await prepareSweep(store, snapshots, notes, { maxUnused, signal });
  const trees = await store.wholeTrees();
  const standing = new Set(snapshots.map(({ id }) => id));
  const small = await goingBlobs(repository, standing);
  let gone = small;
  const report = <P extends SweepPlan>(plan: P, packBytes: number): P & CollectReport => ({
    ...plan,
    reclaimedBytes: packBytes + gone.reduce((sum, { size }) => sum + size, 0),
    forgottenSnapshots: gone.flatMap(({ name }) => idOfForgotten(name, standing)),
  });
  if (dryRun) return report(prepared.plan, await priceOf(store, prepared));
  const { blobs, reserve } = repository.environment;
  gone = [];
  const swept = await sweep(store, prepared, {
    confirmLock: () => repository.confirmLock(),
    beforeDeleting: async () => {
      await repository.confirmLock();
      for (const { name } of small) await blobs.delete(name);
      gone = small;
    },
    onFull: async () => void (await reserve?.giveUp()),
  });
  if (swept.damagedPacks.length === 0) await noteAgain(store, trees, snapshots);
  await store.parts.index.keepFileNotes?.(prepared.isLive);
  return report(swept, swept.reclaimedBytes);
}

/** All notes went before the first pack did. What snapshots need is still there (docs/ordering.md, R12). */
async function noteAgain(
  store: ChunkStore,
  trees: readonly WholeTree[],
  snapshots: readonly Snapshot[],
): Promise<void> {
  const standing = new DigestTable();
  for (const snapshot of snapshots) standing.add(manifestAddress(snapshot));
  for (const { root, note } of trees) if (standing.has(root)) await store.noteWhole(root, note, undefined);
}

/**
 * Marks what snapshots need, and plans. What marking has found out is let go of at the end: a sweep needs memory for other things.
 * @throws VecsnapError SWEEP_REFUSED.
 */
export async function prepareSweep(
  store: ChunkStore,
  snapshots: readonly Snapshot[],
  notes: FoundNotes,
  { maxUnused, signal }: { readonly maxUnused: number; readonly signal?: AbortSignal | undefined },
): Promise<PreparedSweep> {
  const live = await mark(store, manifestsOf(snapshots), signal, notes.note?.lost);
  return planSweep(store, live, { maxUnused, emptied: emptiedPacks(notes, snapshots) });
}

/** The manifests of snapshots, the oldest first: each then brings what stands together in packs, and is told by what was just read. */
export function manifestsOf(snapshots: readonly Snapshot[]): readonly Address[] {
  return snapshots.toSorted((a, b) => (a.id < b.id ? -1 : 1)).map(manifestAddress);
}

/** To the byte, unless damage hides how long some chunks are. */
async function priceOf(store: ChunkStore, prepared: PreparedSweep): Promise<number> {
  try {
    return await priceSweep(store, prepared);
  } catch (error) {
    if (isUnreadable(error)) return prepared.plan.reclaimedBytes;
    throw error;
  }
}

/** Packs that a repair has emptied may go when no snapshot lacks anything that could still be found in them. */
export function emptiedPacks({ note }: FoundNotes, snapshots: readonly Snapshot[]): readonly string[] {
  return snapshots.some(({ damage }) => damage !== undefined) ? [] : (note?.emptied ?? []);
}

/**
 * Every snapshot. They are listed twice, and what one list has counts: nowhere else would a list that is late do harm for good
 * (docs/ordering.md, G1).
 * @throws VecsnapError SWEEP_REFUSED when one cannot be read: nobody knows what it needs.
 */
export async function allSnapshots(repository: Repository): Promise<readonly Snapshot[]> {
  const first = readable(await repository.listSnapshots({ fresh: true }));
  const known = new Set(first.map(({ id }) => id));
  const others = (await repository.snapshotIds()).filter((id) => !known.has(id));
  if (others.length === 0) return first;
  const second = readable(await repository.listSnapshots({ fresh: true }));
  return [...first, ...second.filter(({ id }) => !known.has(id))];
}

function readable({ snapshots, problems }: SnapshotListing): readonly Snapshot[] {
  const [problem] = problems;
  if (problem === undefined) return snapshots;
  throw new VecsnapError(
    'SWEEP_REFUSED',
    'A snapshot cannot be read, so nobody knows what it needs. Nothing is deleted.',
    {
      place: problem.blob,
      remedy: problem.error.remedy,
      cause: problem.error,
    },
  );
}

/** The small blobs that a sweep deletes: forgotten snapshots, and marks that count no longer. @param standing ids of those that stay. */
export async function goingBlobs(
  repository: Repository,
  standing: ReadonlySet<string>,
): Promise<readonly BlobStat[]> {
  return [...(await forgottenBlobs(repository)), ...(await staleMarks(repository.environment, standing))];
}

function idOfForgotten(name: string, standing: ReadonlySet<string>): string[] {
  const id = name.slice(FORGOTTEN_PREFIX.length);
  return name.startsWith(FORGOTTEN_PREFIX) && !standing.has(id) ? [id] : [];
}
