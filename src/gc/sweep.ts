/** Sweep: carries a plan out. What is needed is durable elsewhere before anything is deleted (docs/ordering.md, G1 to G4). */
import { type DigestTable, VecsnapError } from '../core/index.js';
import { type ChunkStore, ChunkWriter, type PackEntry } from '../cas/index.js';
import type { SweepPlan } from './plan.js';

/** What a sweep did. */
export interface SweepReport extends SweepPlan {
  /** Packs that were written for the chunks that are needed. */
  readonly writtenBytes: number;
}

const spent = new WeakSet<SweepPlan>();

/**
 * Deletes and rewrites packs as `plan` says. The caller holds the write lock and has kept it since the plan was made.
 * @throws VecsnapError PLAN_SPENT when the plan was carried out before; CHUNK_DAMAGED when a chunk that is to be rewritten is
 * damaged, in which case its pack stays.
 */
export async function sweep(store: ChunkStore, plan: SweepPlan, live: DigestTable): Promise<SweepReport> {
  if (spent.has(plan)) throw planSpent();
  spent.add(plan);
  const before = await packBytesIn(store);
  await remove(store, plan.deletedPacks); // First, so that a full disk has room for what is rewritten.
  const writtenBytes = await rewrite(store, new Set(plan.rewrittenPacks), live);
  await remove(store, plan.rewrittenPacks);
  await store.refresh();
  return { ...plan, writtenBytes, reclaimedBytes: before - (await packBytesIn(store)) };
}

async function rewrite(store: ChunkStore, packs: ReadonlySet<string>, live: DigestTable): Promise<number> {
  if (packs.size === 0) return 0;
  const byPack = new Map<string, PackEntry[]>();
  for await (const { pack, ...entry } of store.parts.index.entries()) {
    if (!packs.has(pack) || !live.has(entry.address)) continue;
    const entries = byPack.get(pack);
    if (entries === undefined) byPack.set(pack, [entry]);
    else entries.push(entry);
  }
  const writer = new ChunkWriter(store);
  try {
    for (const [pack, entries] of byPack)
      await writer.copy(
        pack,
        entries.toSorted((a, b) => a.offset - b.offset),
      );
    return (await writer.commit()).bytes;
  } catch (error) {
    await writer.abandon();
    throw error;
  }
}

async function remove(store: ChunkStore, packs: readonly string[]): Promise<void> {
  for (const pack of packs) await store.parts.blobs.delete(pack);
  if (packs.length > 0) await store.parts.index.removePacks(new Set(packs));
}

async function packBytesIn(store: ChunkStore): Promise<number> {
  let bytes = 0;
  for await (const { size } of store.parts.blobs.list('packs/')) bytes += size;
  return bytes;
}

function planSpent(): VecsnapError {
  return new VecsnapError('PLAN_SPENT', 'This plan was carried out before.', { remedy: 'Make a new plan.' });
}
