/** Collecting garbage: what is forgotten becomes final, and then the space of chunks that no snapshot needs is given back. */
import type { BlobStat } from '../blob/port.js';
import { VecsnapError } from '../core/index.js';
import { DEFAULT_SWEEP, mark, planSweep, priceSweep, sweep, type SweepPlan } from '../gc/index.js';
import { FORGOTTEN_PREFIX, forgottenBlobs } from './forgotten.js';
import { staleMarks } from './marks.js';
import type { WorkOptions } from './progress.js';
import type { Repository, Session } from './repository.js';
import { invalidOption } from './settings.js';
import { manifestAddress, type Snapshot } from './snapshot.js';

/** How the store is swept. */
export interface CollectOptions extends WorkOptions {
  /** Only say what would be done. Default: false. */
  readonly dryRun?: boolean | undefined;
  /** The part of the bytes of all packs that may stay unused, from 0 to 1. Default: 0.05. */
  readonly maxUnused?: number | undefined;
}

/** What a sweep did, or would do. `reclaimedBytes` counts all blobs. */
export interface CollectReport extends SweepPlan {
  /** Ids of forgotten snapshots that cannot be had back after this. */
  readonly forgottenSnapshots: readonly string[];
}

/**
 * Sweeps. The caller holds the lock (docs/ordering.md, G2). What was forgotten is deleted, durably, before any pack goes (docs/ordering.md,
 * G6): else it could be had back without its chunks.
 */
export async function collectGarbage(
  repository: Repository,
  { store }: Session,
  { maxUnused = DEFAULT_SWEEP.maxUnused, dryRun = false, signal }: CollectOptions,
): Promise<CollectReport> {
  if (!(maxUnused >= 0 && maxUnused <= 1))
    throw invalidOption('maxUnused', maxUnused, 'a number from 0 to 1');
  const snapshots = await allSnapshots(repository);
  const live = await mark(store, snapshots.map(manifestAddress), signal);
  const prepared = await planSweep(store, live, { maxUnused });
  const standing = new Set(snapshots.map(({ id }) => id));
  const small = await goingBlobs(repository, standing);
  const report = (plan: SweepPlan, packBytes: number): CollectReport => ({
    ...plan,
    reclaimedBytes: packBytes + small.reduce((sum, { size }) => sum + size, 0),
    forgottenSnapshots: small.flatMap(({ name }) => idOfForgotten(name, standing)),
  });
  if (dryRun) return report(prepared.plan, await priceSweep(store, prepared));
  await repository.confirmLock();
  for (const { name } of small) await repository.environment.blobs.delete(name);
  const swept = await sweep(store, prepared, () => repository.confirmLock());
  return report(swept, swept.reclaimedBytes);
}

/** Every snapshot, newest first. @throws VecsnapError SWEEP_REFUSED when one cannot be read: nobody knows what it needs. */
export async function allSnapshots(repository: Repository): Promise<readonly Snapshot[]> {
  const { snapshots, problems } = await repository.listSnapshots({ fresh: true });
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
