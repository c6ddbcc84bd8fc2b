/**
 * Which deltas are to be written anew as chunks that stand alone, so that what only they copy from can go.
 *
 * A chunk that no snapshot reaches is held as long as a delta copies from it. Held chunks that are linked by copying, and the
 * deltas with which snapshots reach into them, form a cluster. Flattening those deltas costs what they take alone, and frees the
 * whole cluster. The clusters that give back most for what they cost are flattened, until what the others would give back is little
 * enough. A chunk that changed once is thus left as it is: writing it anew would free hardly more than it takes.
 */
import { type ChunkStore, CODECS, DeltasByPack, packEntryBytes } from '../cas/index.js';
import type { LiveChunks } from './live.js';

/** What is to be flattened. */
export interface Flattening {
  /** Numbers of deltas in the table of live chunks. */
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

/**
 * @param store whose index knows every live chunk.
 * @param maxHeld the part of the bytes of live chunks that flattening could give back and that may stay all the same, from 0 to 1.
 */
export async function chooseFlattened(
  store: ChunkStore,
  live: LiveChunks,
  maxHeld: number,
): Promise<Flattening> {
  if (live.table.size === live.reached) return NOTHING;
  const { clusters, totalBytes } = await findClusters(store, live);
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

/** What is known of live chunks, by their numbers. */
interface KnownChunks {
  /** Bytes in packs, directory entries included. */
  readonly sizes: Float64Array;
  /** Plaintext bytes. */
  readonly lengths: Float64Array;
  readonly standsAlone: Uint8Array;
  readonly deltas: DeltasByPack;
}

async function findClusters(
  store: ChunkStore,
  live: LiveChunks,
): Promise<{ clusters: Cluster[]; totalBytes: number }> {
  const known = await lookAtAll(store, live);
  const { links, reaches } = await linkHeld(store, live, known.deltas);
  const clusters = gather(live, known, links, reaches);
  return { clusters, totalBytes: known.sizes.reduce((sum, size) => sum + size, 0) };
}

async function lookAtAll(store: ChunkStore, { table }: LiveChunks): Promise<KnownChunks> {
  const sizes = new Float64Array(table.size);
  const lengths = new Float64Array(table.size);
  const standsAlone = new Uint8Array(table.size);
  const deltas = new DeltasByPack();
  for await (const entry of store.parts.index.entries()) {
    const number = table.find(entry.address);
    if (number < 0) continue;
    sizes[number] = packEntryBytes(entry);
    lengths[number] = entry.length;
    standsAlone[number] = entry.codec === CODECS.delta ? 0 : 1;
    deltas.add(number, entry);
  }
  return { sizes, lengths, standsAlone, deltas };
}

/** Links held chunks by copying, and says which of them each delta that snapshots reach copies from: one, as all are linked. */
async function linkHeld(
  store: ChunkStore,
  { table, reached }: LiveChunks,
  deltas: DeltasByPack,
): Promise<{ links: Links; reaches: ReadonlyMap<number, number> }> {
  const links = new Links(table.size);
  const reaches = new Map<number, number>();
  for await (const { number, bases } of deltas.read(store)) {
    const held = bases.map((base) => table.find(base)).filter((base) => base >= reached);
    const [first] = held;
    if (first === undefined) continue;
    for (const other of held) links.join(first, other);
    if (number >= reached) links.join(first, number);
    else reaches.set(number, first);
  }
  return { links, reaches };
}

function gather(
  { table, reached }: LiveChunks,
  { sizes, lengths, standsAlone }: KnownChunks,
  links: Links,
  reaches: ReadonlyMap<number, number>,
): Cluster[] {
  const clusters = new Map<number, Cluster>();
  const clusterOf = (member: number): Cluster => {
    const root = links.rootOf(member);
    const cluster = clusters.get(root) ?? emptyCluster();
    clusters.set(root, cluster);
    return cluster;
  };
  for (let number = reached; number < table.size; number++) {
    const cluster = clusterOf(number);
    cluster.held.push(number);
    cluster.freedBytes += sizes[number] as number;
    if (standsAlone[number] === 0) continue;
    cluster.aloneBytes += sizes[number] as number;
    cluster.aloneLength += lengths[number] as number;
  }
  for (const [number, base] of reaches) {
    const cluster = clusterOf(base);
    cluster.deltas.push(number);
    cluster.freedBytes += sizes[number] as number;
    cluster.deltaLength += lengths[number] as number;
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
