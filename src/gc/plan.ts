/** Plan: which packs go and which are rewritten. A value; the dry run shows it, the sweep carries it out. */
import type { Address } from '../core/index.js';
import { type Catalogue, type ChunkStore, PACK_OVERHEAD } from '../cas/index.js';
import { bytesAlone, chooseFlattened, type Cluster } from './flatten.js';
import type { IsNeeded, LiveChunks } from './live.js';

/** What a sweep would do. */
export interface SweepPlan {
  /** Packs that hold nothing that is needed. */
  readonly deletedPacks: readonly string[];
  /** Packs whose needed chunks, if any, are written to new packs, after which the old ones go. */
  readonly rewrittenPacks: readonly string[];
  /** Packs that are damaged so that nothing is known of them; they are left alone (docs/ordering.md, G4). */
  readonly keptPacks: readonly string[];
  /** Deltas that are written anew as chunks that stand alone, so that what they copied from can go. */
  readonly flattenedChunks: number;
  /** Bytes of blobs that become free. */
  readonly reclaimedBytes: number;
}

/** When chunks and packs are worth rewriting. */
export interface SweepOptions {
  /** The part of the bytes of all packs that may be of no use after a sweep, from 0 to 1. Less means more rewriting. */
  readonly maxUnused: number;
  /** Packs without a readable directory that nobody needs any more, because a repair has written all of them to others. */
  readonly emptied?: readonly string[] | undefined;
}

/** A plan with what it takes to carry it out. */
export interface PreparedSweep {
  readonly plan: SweepPlan;
  /** The deltas that are to stand alone. */
  readonly flattened: readonly Address[];
  /** About how many bytes each of these then takes, without its entry. */
  readonly flattenedBytes: readonly number[];
  /** Whether a chunk must still be where it is after the flattening. */
  readonly isNeeded: IsNeeded;
  /** The same before the flattening. */
  readonly isLive: IsNeeded;
}

/** As much may be of no use by default. */
export const DEFAULT_SWEEP: SweepOptions = { maxUnused: 0.05 };
/** As large a part of that may be held by deltas. */
const HELD_SHARE = 0.5;

interface PackUse {
  readonly name: string;
  readonly size: number;
  /** Chunks that must not go before what is flattened is written. */
  liveChunks: number;
  /** Bytes that are needed afterwards too, directory entries included. */
  neededBytes: number;
}

/**
 * Plans a sweep.
 * @param live of the same store, as {@link mark} gives it. Copies of a chunk in other packs than the one where it is found count as dead.
 */
export function planSweep(
  store: ChunkStore,
  live: LiveChunks,
  { maxUnused, emptied = [] }: SweepOptions,
): PreparedSweep {
  const known = store.parts.index.packs();
  const isToldOf = ({ name }: PackUse): boolean => known.has(name) || emptied.includes(name);
  const { clusters, uses, rewritten } = choose(store, live, maxUnused, isToldOf);
  const { deltas, freed } = numbersIn(clusters);
  const dead = uses.filter((use) => isToldOf(use) && use.liveChunks === 0);
  const flattened = [...deltas];
  const flattenedBytes = clusters.reduce((total, { costBytes }) => total + costBytes, 0);
  const written = bytesWhenRewritten(rewritten, flattenedBytes, store.options.packBytes);
  const plan: SweepPlan = {
    deletedPacks: dead.map(nameOf),
    rewrittenPacks: rewritten.map(nameOf),
    keptPacks: uses.filter((use) => !isToldOf(use)).map(nameOf),
    flattenedChunks: flattened.length,
    reclaimedBytes: sum(dead, sizeOf) + sum(rewritten, sizeOf) - written,
  };
  return {
    plan,
    flattened: flattened.map((number) => live.catalogue.addressOf(number)),
    flattenedBytes: flattened.map((number) => bytesAlone(live.catalogue, number)),
    isNeeded: live.test(freed, deltas),
    isLive: live.test(),
  };
}

/** What is flattened, and which packs are rewritten, those first that have most to give. */
function choose(
  store: ChunkStore,
  live: LiveChunks,
  maxUnused: number,
  isToldOf: (use: PackUse) => boolean,
): { clusters: readonly Cluster[]; uses: readonly PackUse[]; rewritten: readonly PackUse[] } {
  const all = chooseFlattened(live, maxUnused * HELD_SHARE);
  const tentative = usePacks(store, live, numbersIn(all));
  const going = chooseRewritten(
    tentative.filter((use) => isToldOf(use) && use.liveChunks > 0),
    maxUnused,
  );
  const clusters = worthTheirCost(live.catalogue, all, going);
  if (clusters.length === all.length) return { clusters, uses: tentative, rewritten: going };
  const uses = usePacks(store, live, numbersIn(clusters));
  const byName = new Map(uses.map((use) => [use.name, use]));
  const rewritten = going.map(({ name }) => byName.get(name) as PackUse);
  return { clusters, uses, rewritten: rewritten.filter((use) => unusedBytes(use) > 0) };
}

/** The chunks of clusters that are flattened. */
interface Flattening {
  readonly deltas: ReadonlySet<number>;
  /** What nothing copies from any more. */
  readonly freed: ReadonlySet<number>;
}

function numbersIn(clusters: readonly Cluster[]): Flattening {
  const deltas = new Set<number>();
  const freed = new Set<number>();
  for (const cluster of clusters) {
    for (const number of cluster.held) freed.add(number);
    for (const number of cluster.deltas) deltas.add(number);
  }
  return { deltas, freed };
}

/** The clusters whose flattening gives back more than it takes when only these packs go: what is freed in others stays where it is. */
function worthTheirCost(
  catalogue: Catalogue,
  clusters: readonly Cluster[],
  going: readonly PackUse[],
): Cluster[] {
  const names = new Set(going.map(nameOf));
  const isGoing = catalogue.packs.map((name) => names.has(name));
  const goneBytes = (numbers: readonly number[]): number =>
    numbers
      .filter((number) => isGoing[catalogue.packOf(number)] === true)
      .reduce((total, number) => total + catalogue.sizeOf(number), 0);
  return clusters.filter(({ held, deltas, costBytes }) => goneBytes(held) + goneBytes(deltas) > costBytes);
}

/** How much of each pack is live, and how much of that is needed after the flattening. */
function usePacks(store: ChunkStore, live: LiveChunks, { deltas, freed }: Flattening): PackUse[] {
  const { catalogue } = live;
  const uses = new Map(
    [...store.packs].map(([name, size]): [string, PackUse] => [
      name,
      { name, size, liveChunks: 0, neededBytes: 0 },
    ]),
  );
  const byNumber = catalogue.packs.map((name) => uses.get(name));
  for (let number = 0; number < catalogue.size; number++) {
    const use = byNumber[catalogue.packOf(number)];
    if (use === undefined || !live.isLive(number)) continue;
    use.liveChunks++;
    if (!freed.has(number) && !deltas.has(number)) use.neededBytes += catalogue.sizeOf(number);
  }
  return [...uses.values()];
}

/** The packs with the largest dead part, until what remains dead in the others is little enough. */
function chooseRewritten(packs: readonly PackUse[], maxUnused: number): PackUse[] {
  let total = sum(packs, sizeOf);
  let unused = sum(packs, unusedBytes);
  const chosen: PackUse[] = [];
  for (const pack of packs.toSorted((a, b) => unusedBytes(b) / b.size - unusedBytes(a) / a.size)) {
    const isEmptied = pack.neededBytes === 0; // Going costs nothing.
    if (!isEmptied && (unused <= maxUnused * total || unusedBytes(pack) === 0)) break;
    chosen.push(pack);
    unused -= unusedBytes(pack);
    total -= unusedBytes(pack);
  }
  return chosen;
}

function bytesWhenRewritten(packs: readonly PackUse[], flattenedBytes: number, packBytes: number): number {
  const written = flattenedBytes + sum(packs, ({ neededBytes }) => neededBytes);
  return written === 0 ? 0 : Math.round(written + PACK_OVERHEAD * Math.ceil(written / packBytes));
}

function unusedBytes({ size, neededBytes }: PackUse): number {
  return Math.max(0, size - PACK_OVERHEAD - neededBytes);
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
