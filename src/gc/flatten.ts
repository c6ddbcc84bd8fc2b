/**
 * Which deltas are to be written anew as chunks that stand alone, so that what only they copy from can go.
 *
 * A chunk that no snapshot reaches is held as long as a delta copies from it. Held chunks that are linked by copying, and the
 * deltas with which snapshots reach into them, form a cluster. Flattening those deltas costs what they take alone, and frees the
 * whole cluster. The clusters that give back most for what they cost are flattened, until what the others would give back is little
 * enough. A chunk that changed once is thus left as it is: writing it anew would free hardly more than it takes.
 */
import { type Catalogue, CODECS, MAX_CHAIN, packEntryBytes } from '../cas/index.js';
import type { LiveChunks } from './live.js';

/** Held chunks that are linked, and the deltas that reach into them, by their numbers in the catalogue. */
export interface Cluster {
  /** Nothing copies from these any more when the deltas stand alone. */
  readonly held: readonly number[];
  readonly deltas: readonly number[];
  /** Bytes of the held chunks and of the deltas: what flattening frees. */
  readonly freedBytes: number;
  /** About so many bytes will be written for the deltas. */
  readonly costBytes: number;
}

/**
 * Gives the clusters that are worth flattening, those first that are worth most.
 * @param maxHeld the part of the bytes of live chunks that flattening could give back and that may stay all the same, from 0 to 1.
 */
export function chooseFlattened(live: LiveChunks, maxHeld: number): Cluster[] {
  if (live.heldCount === 0) return [];
  const { clusters, totalBytes } = findClusters(live);
  let total = totalBytes;
  let excess = clusters.reduce((sum, cluster) => sum + Math.max(0, gainOf(cluster)), 0);
  const chosen: Cluster[] = [];
  for (const cluster of clusters.toSorted((a, b) => worthOf(b) - worthOf(a))) {
    if (excess <= maxHeld * total || gainOf(cluster) <= 0) break;
    excess -= gainOf(cluster);
    total -= gainOf(cluster);
    chosen.push(cluster);
  }
  return chosen;
}

/**
 * About how many bytes a delta takes when it stands alone, without its entry: as much of its plaintext as the chunk takes with which its
 * chain begins, and no less than as a delta, for else it would not be one.
 */
export function bytesAlone(catalogue: Catalogue, delta: number): number {
  const root = rootOf(catalogue, delta);
  const part = catalogue.lengthOf(root) === 0 ? 1 : catalogue.storedLengthOf(root) / catalogue.lengthOf(root);
  return Math.max(catalogue.storedLengthOf(delta), Math.round(catalogue.lengthOf(delta) * part));
}

/** The chunk with which a chain begins. Of several that a delta copies from, the first is gone by. */
function rootOf(catalogue: Catalogue, delta: number): number {
  let at = delta;
  for (let steps = 0; steps <= MAX_CHAIN && catalogue.isDelta(at); steps++) {
    let first: number | undefined;
    catalogue.forEachBase(at, (base) => (first ??= base));
    at = first ?? at;
  }
  return at;
}

function costOf(catalogue: Catalogue, delta: number): number {
  const storedLength = bytesAlone(catalogue, delta);
  const length = catalogue.lengthOf(delta);
  return packEntryBytes({ storedLength, length, codec: CODECS.raw, baseCount: undefined });
}

function gainOf({ freedBytes, costBytes }: Cluster): number {
  return freedBytes - costBytes;
}

function worthOf(cluster: Cluster): number {
  return gainOf(cluster) / cluster.costBytes;
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
  const clusters = new Map<number, GrowingCluster>();
  const clusterOf = (member: number): GrowingCluster => {
    const root = links.rootOf(member);
    const cluster = clusters.get(root) ?? { held: [], deltas: [], freedBytes: 0, costBytes: 0 };
    clusters.set(root, cluster);
    return cluster;
  };
  for (let number = 0; number < catalogue.size; number++) {
    if (!live.isHeld(number)) continue;
    const cluster = clusterOf(number);
    cluster.held.push(number);
    cluster.freedBytes += catalogue.sizeOf(number);
  }
  for (const [number, base] of reaches) {
    const cluster = clusterOf(base);
    cluster.deltas.push(number);
    cluster.freedBytes += catalogue.sizeOf(number);
    cluster.costBytes += costOf(catalogue, number);
  }
  return [...clusters.values()];
}

interface GrowingCluster extends Cluster {
  readonly held: number[];
  readonly deltas: number[];
  freedBytes: number;
  costBytes: number;
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
