/** Sweep: carries a plan out. What is needed is durable elsewhere before anything is deleted (docs/ordering.md, G1 to G4). */
import { VecsnapError } from '../core/index.js';
import { type ChunkStore, ChunkWriter, type DirectoryEntry, PACK_PREFIX } from '../cas/index.js';
import type { IsNeeded } from './live.js';
import type { PreparedSweep, SweepPlan } from './plan.js';

/** What a sweep did. */
export interface SweepReport extends SweepPlan {
  /** Bytes of packs that were written for chunks that are needed. */
  readonly writtenBytes: number;
}

const spent = new WeakSet<SweepPlan>();

/**
 * Deletes and rewrites packs as `prepared` says. The caller holds the write lock and has kept it since the plan was made.
 * @throws VecsnapError PLAN_SPENT when the plan was carried out before; CHUNK_DAMAGED when a chunk that is to be rewritten is
 * damaged, in which case its pack stays; LEASE_LOST.
 * @param confirmLock looks whether the lock is still held (docs/ordering.md, L6).
 */
export async function sweep(
  store: ChunkStore,
  prepared: PreparedSweep,
  confirmLock: () => Promise<void> = async () => {},
): Promise<SweepReport> {
  const { plan } = prepared;
  if (spent.has(plan)) throw planSpent();
  spent.add(plan);
  const before = await packBytesIn(store);
  await remove(store, plan.deletedPacks); // First, so that a full disk has room for what is rewritten.
  const writtenBytes = await rewrite(store, prepared, confirmLock);
  await confirmLock(); // Writing took long.
  await remove(store, plan.rewrittenPacks);
  await store.refresh();
  return { ...plan, writtenBytes, reclaimedBytes: before - (await packBytesIn(store)) };
}

async function rewrite(
  store: ChunkStore,
  { plan, flattened, isNeeded }: PreparedSweep,
  confirmLock: () => Promise<void>,
): Promise<number> {
  const writer = new ChunkWriter(store);
  try {
    await writer.flatten(flattened);
    for (const pack of plan.rewrittenPacks) await writer.copy(pack, await neededIn(store, pack, isNeeded));
    return (await writer.commit()).bytes;
  } catch (error) {
    await confirmLock(); // Else somebody may rely on the copies by now.
    await writer.abandon();
    throw error;
  }
}

/** The needed chunks of a pack, as far as they are found in it and not in another. */
export async function neededIn(
  store: ChunkStore,
  pack: string,
  isNeeded: IsNeeded,
): Promise<DirectoryEntry[]> {
  const needed = (await store.directory(pack)).filter(({ address }) => isNeeded(address));
  const locations = await store.locate(needed.map(({ address }) => address));
  return needed.filter(({ offset }, i) => locations[i]?.pack === pack && locations[i].offset === offset);
}

async function remove(store: ChunkStore, packs: readonly string[]): Promise<void> {
  for (const pack of packs) await store.parts.blobs.delete(pack);
  if (packs.length > 0) await store.removePacks(new Set(packs));
}

async function packBytesIn(store: ChunkStore): Promise<number> {
  let bytes = 0;
  for await (const { size } of store.parts.blobs.list(PACK_PREFIX)) bytes += size;
  return bytes;
}

function planSpent(): VecsnapError {
  return new VecsnapError('PLAN_SPENT', 'This plan was carried out before.', { remedy: 'Make a new plan.' });
}
