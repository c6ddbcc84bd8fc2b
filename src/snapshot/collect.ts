/** Collecting garbage: marks, plans, and sweeps unless it is a dry run. */
import { isUnreadable, isVecsnapError, VecsnapError } from '../core/index.js';
import { DEFAULT_SWEEP, mark, planSweep, type SweepPlan, sweep } from '../gc/index.js';
import type { WorkOptions } from './progress.js';
import type { Repository, Session, SnapshotListing } from './repository.js';
import { invalidOption } from './settings.js';
import { manifestAddress, type Snapshot } from './snapshot.js';

/** How the store is swept. */
export interface CollectOptions extends WorkOptions {
  /** Only say what would be done. Default: false. */
  readonly dryRun?: boolean | undefined;
  /** The part of the bytes of all packs that may stay unused, from 0 to 1. Default: 0.05. */
  readonly maxUnused?: number | undefined;
}

/**
 * Sweeps, the write lock being held. When something seems to be missing, it may be the index that is wrong: then another one is built from
 * the packs, and it is tried again; if that goes well, the first index is thrown away (docs/ordering.md, R7 and G8).
 * @throws VecsnapError SWEEP_REFUSED, OPTION_INVALID.
 */
export async function collectGarbage(repository: Repository, options: CollectOptions): Promise<SweepPlan> {
  const { maxUnused = DEFAULT_SWEEP.maxUnused } = options;
  if (!(maxUnused >= 0 && maxUnused <= 1))
    throw invalidOption('maxUnused', maxUnused, 'a number from 0 to 1');
  const attempt = (session: Session): Promise<SweepPlan> => collect(session, { ...options, maxUnused });
  try {
    return await repository.read(attempt, 'persistent');
  } catch (error) {
    if (!isVecsnapError(error, 'SWEEP_REFUSED') && !isUnreadable(error)) throw error;
    const plan = await repository.read(attempt);
    await repository.environment.discardIndex();
    return plan;
  }
}

async function collect(
  { repository, store, notes }: Session,
  { maxUnused, dryRun = false, signal }: CollectOptions & { readonly maxUnused: number },
): Promise<SweepPlan> {
  const snapshots = await everySnapshot(repository);
  const { note } = notes;
  const live = await mark(store, snapshots.map(manifestAddress), signal, note?.lost);
  const emptied = snapshots.some(({ damage }) => damage !== undefined) ? [] : note?.emptied;
  const prepared = await planSweep(store, live, { maxUnused, emptied });
  const onFull = async (): Promise<void> => void (await repository.environment.reserve?.giveUp());
  return dryRun ? prepared.plan : sweep(store, prepared, onFull);
}

/**
 * All snapshots. They are listed twice, and what one list has counts: nowhere else would a list that is late do harm for good
 * (docs/ordering.md, G1).
 */
async function everySnapshot(repository: Repository): Promise<readonly Snapshot[]> {
  const first = readable(await repository.listSnapshots({ fresh: true }));
  const known = new Set(first.map(({ id }) => id));
  const ids = (await repository.snapshotIds()).filter((id) => !known.has(id));
  return ids.length === 0 ? first : [...first, ...readable(await repository.listSnapshots({ fresh: true }))];
}

/** @throws VecsnapError SWEEP_REFUSED when a snapshot cannot be read: nobody knows what it needs. */
function readable({ snapshots, problems }: SnapshotListing): readonly Snapshot[] {
  const [problem] = problems;
  if (problem === undefined) return snapshots;
  throw new VecsnapError(
    'SWEEP_REFUSED',
    'A snapshot cannot be read, so nobody knows what it needs. Nothing is deleted.',
    { place: problem.blob, remedy: problem.error.remedy, cause: problem.error },
  );
}
