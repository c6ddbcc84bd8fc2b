/** Plan: which packs go and which are rewritten. A value; the dry run shows it, the sweep carries it out. */
import type { DigestTable } from '../core/index.js';
import { type ChunkIndex, PACK_OVERHEAD, packEntryBytes } from '../cas/index.js';

/** What a sweep would do. */
export interface SweepPlan {
  /** Packs that hold nothing that is needed. */
  readonly deletedPacks: readonly string[];
  /** Packs whose needed chunks are written to new packs, after which the old ones go. */
  readonly rewrittenPacks: readonly string[];
  /** Packs that are damaged so that nothing is known of them; they are left alone (docs/ordering.md, G4). */
  readonly keptPacks: readonly string[];
  /** Bytes of blobs that become free. */
  readonly reclaimedBytes: number;
}

/** When a pack is worth rewriting. */
export interface SweepOptions {
  /** The part of the bytes of all packs that may be dead after a sweep, from 0 to 1. Less means more rewriting. */
  readonly maxUnused: number;
}

/** As much may stay dead by default. */
export const DEFAULT_SWEEP: SweepOptions = { maxUnused: 0.05 };

interface PackUse {
  readonly name: string;
  readonly size: number;
  liveChunks: number;
  /** Bytes that live chunks take, their directory entries included. */
  liveBytes: number;
}

/**
 * Plans a sweep.
 * @param packs every pack that stands in the store, with its size in bytes.
 * @param index what is known of them. Copies of a chunk in other packs than the one where it is found count as dead.
 * @param live the chunks that are needed.
 */
export async function planSweep(
  packs: ReadonlyMap<string, number>,
  index: Pick<ChunkIndex, 'entries' | 'packs'>,
  live: DigestTable,
  { maxUnused }: SweepOptions,
  packBytes: number,
): Promise<SweepPlan> {
  const uses = new Map(
    [...packs].map(([name, size]): [string, PackUse] => [name, { name, size, liveChunks: 0, liveBytes: 0 }]),
  );
  const known = index.packs();
  for await (const entry of index.entries()) {
    const use = uses.get(entry.pack);
    if (use === undefined || !live.has(entry.address)) continue;
    use.liveChunks++;
    use.liveBytes += packEntryBytes(entry);
  }
  const readable = [...uses.values()].filter(({ name }) => known.has(name));
  const dead = readable.filter(({ liveChunks }) => liveChunks === 0);
  const rewritten = chooseRewritten(
    readable.filter(({ liveChunks }) => liveChunks > 0),
    maxUnused,
  );
  return {
    deletedPacks: dead.map(nameOf),
    rewrittenPacks: rewritten.map(nameOf),
    keptPacks: [...uses.keys()].filter((name) => !known.has(name)),
    reclaimedBytes: sum(dead, sizeOf) + sum(rewritten, sizeOf) - bytesWhenRewritten(rewritten, packBytes),
  };
}

/** The packs with the largest dead part, until what remains dead in the others is little enough. */
function chooseRewritten(packs: readonly PackUse[], maxUnused: number): PackUse[] {
  let total = sum(packs, sizeOf);
  let unused = sum(packs, unusedBytes);
  const chosen: PackUse[] = [];
  for (const pack of packs.toSorted((a, b) => unusedBytes(b) / b.size - unusedBytes(a) / a.size)) {
    if (unused <= maxUnused * total || unusedBytes(pack) === 0) break;
    chosen.push(pack);
    unused -= unusedBytes(pack);
    total -= unusedBytes(pack);
  }
  return chosen;
}

function bytesWhenRewritten(packs: readonly PackUse[], packBytes: number): number {
  const live = sum(packs, ({ liveBytes }) => liveBytes);
  return live === 0 ? 0 : live + PACK_OVERHEAD * Math.ceil(live / packBytes);
}

function unusedBytes({ size, liveBytes }: PackUse): number {
  return Math.max(0, size - PACK_OVERHEAD - liveBytes);
}

function nameOf({ name }: PackUse): string {
  return name;
}

function sizeOf({ size }: PackUse): number {
  return size;
}

function sum(packs: readonly PackUse[], of: (pack: PackUse) => number): number {
  return packs.reduce((total, pack) => total + of(pack), 0);
}
