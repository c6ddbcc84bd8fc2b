/**
 * Which deltas are to be written anew as chunks that stand alone, so that what only they copy from can go.
 *
 * A chunk that no snapshot reaches is held as long as a delta copies from it. Held chunks that are linked by copying, and the
 * deltas with which snapshots reach into them, form a cluster. Flattening those deltas costs what they take alone, and frees the
 * whole cluster. The clusters that give back most for what they cost are flattened, until what the others would give back is little
 * enough. A chunk that changed once is thus left as it is: writing it anew would free hardly more than it takes.
 */
import type { LiveChunks } from './live.js';

/** What is to be flattened. */
export interface Flattening {
  /** Numbers of deltas in the catalogue. */
  readonly deltas: ReadonlySet<number>;
  /** Numbers of chunks that nothing copies from any more. */
  readonly freed: ReadonlySet<number>;
  /** About so many bytes will be written for the deltas. */
  readonly writtenBytes: number;
}

/** Held chunks that are linked, and the deltas that reach into them. */
interface Cluster {
  readonly held: number[];
  readonly deltas: number[];
  /** Bytes of the held chunks and of the deltas: what flattening frees. */
  freedBytes: number;
  /** Bytes and plaintext bytes of the held chunks that stand alone. */
  aloneBytes: number;
  aloneLength: number;
  /** Plaintext bytes of the deltas. */
  deltaLength: number;
}

const NOTHING: Flattening = { deltas: new Set(), freed: new Set(), writtenBytes: 0 };

/** @param maxHeld the part of the bytes of live chunks that flattening could give back and that may stay all the same, from 0 to 1. */
export function chooseFlattened(live: LiveChunks, maxHeld: number): Flattening {
  if (live.heldCount === 0) return NOTHING;
  const { clusters, totalBytes } = findClusters(live);
  let total = totalBytes;
  let excess = clusters.reduce((sum, cluster) => sum + Math.max(0, gainOf(cluster)), 0);
  const deltas = new Set<number>();
  const freed = new Set<number>();
  let writtenBytes = 0;
  for (const cluster of clusters.toSorted((a, b) => worthOf(b) - worthOf(a))) {
    if (excess <= maxHeld * total || gainOf(cluster) <= 0) break;
    excess -= gainOf(cluster);
    total -= gainOf(cluster);
    writtenBytes += costOf(cluster);
    for (const number of cluster.held) freed.add(number);
    for (const number of cluster.deltas) deltas.add(number);
  }
  return { deltas, freed, writtenBytes };
}

/** Bytes that would be written: as much of the plaintext as the held chunks that stand alone take of theirs. */
function costOf({ aloneBytes, aloneLength, deltaLength }: Cluster): number {
  return aloneLength === 0 ? deltaLength : (deltaLength * aloneBytes) / aloneLength;
}

function gainOf(cluster: Cluster): number {
  return cluster.freedBytes - costOf(cluster);
}

function worthOf(cluster: Cluster): number {
  return gainOf(cluster) / costOf(cluster);
}

function findClusters(live: LiveChunks): { clusters: Cluster[]; totalBytes: number } {
  const { catalogue } = live;
  const { links, reaches } = linkHeld(live);
  let totalBytes = 0;
  for (let number = 0; number < catalogue.size; number++)
    if (live.isLive(number)) totalBytes += catalogue.sizeOf(number);
  return { clusters: gather(live, links, reaches), totalBytes };
}

/** Links held chunks by copying, and says which of them each delta that snapshots reach copies from: one, as all are linked. */
function linkHeld(live: LiveChunks): { links: Links; reaches: ReadonlyMap<number, number> } {
  const { catalogue } = live;
  const links = new Links(catalogue.size);
  const reaches = new Map<number, number>();
  for (let number = 0; number < catalogue.size; number++) {
    if (!live.isLive(number)) continue;
    const isHeld = live.isHeld(number);
    catalogue.forEachBase(number, (base) => {
      if (!live.isHeld(base)) return;
      if (isHeld) links.join(base, number);
      else {
        links.join(base, reaches.get(number) ?? base);
        reaches.set(number, base);
      }
    });
  }
  return { links, reaches };
}

function gather(live: LiveChunks, links: Links, reaches: ReadonlyMap<number, number>): Cluster[] {
  const { catalogue } = live;
  const clusters = new Map<number, Cluster>();
  const clusterOf = (member: number): Cluster => {
    const root = links.rootOf(member);
    const cluster = clusters.get(root) ?? emptyCluster();
    clusters.set(root, cluster);
    return cluster;
  };
  for (let number = 0; number < catalogue.size; number++) {
    if (!live.isHeld(number)) continue;
    const cluster = clusterOf(number);
    cluster.held.push(number);
    cluster.freedBytes += catalogue.sizeOf(number);
    if (catalogue.isDelta(number)) continue;
    cluster.aloneBytes += catalogue.sizeOf(number);
    cluster.aloneLength += catalogue.lengthOf(number);
  }
  for (const [number, base] of reaches) {
    const cluster = clusterOf(base);
    cluster.deltas.push(number);
    cluster.freedBytes += catalogue.sizeOf(number);
    cluster.deltaLength += catalogue.lengthOf(number);
  }
  return [...clusters.values()];
}

function emptyCluster(): Cluster {
  return { held: [], deltas: [], freedBytes: 0, aloneBytes: 0, aloneLength: 0, deltaLength: 0 };
}

/** Disjoint sets of numbers: union by number, with path halving. */
class Links {
  readonly #parents: Uint32Array;

  constructor(size: number) {
    this.#parents = Uint32Array.from({ length: size }, (_, i) => i);
  }

  rootOf(number: number): number {
    let at = number;
    for (let parent = this.#parent(at); parent !== at; parent = this.#parent(at)) {
      this.#parents[at] = this.#parent(parent);
      at = this.#parent(at);
    }
    return at;
  }

  join(a: number, b: number): void {
    const [rootA, rootB] = [this.rootOf(a), this.rootOf(b)];
    this.#parents[Math.max(rootA, rootB)] = Math.min(rootA, rootB);
  }

  #parent(number: number): number {
    return this.#parents[number] as number;
  }
}
