/**
 * What a repository holds and who holds it.
 *
 * Every byte of the repository is counted in one row: a chunk counts for the oldest snapshot that needs it, with its entry in
 * the directory of its pack; the rest is unreferenced chunks, the fixed parts of packs, snapshots, config and index.
 */
import { Catalogue, type ChunkStore, NodeReader, PACK_OVERHEAD } from '../cas/index.js';
import { type Audited, OwnershipTable } from './ownership.js';

/** As much of a snapshot as the statistics show. */
export interface AuditedSnapshot extends Audited {
  readonly name: string;
  readonly createdAt: string;
  readonly logicalBytes: number;
  readonly addedBytes: number;
}

/** Bytes on disk, by who needs them. */
export interface Shares {
  /** Bytes that no older snapshot needs. The sum of the next two. */
  readonly newBytes: number;
  /** Of those, bytes that nobody else needs: what a sweep gives back after this is forgotten. */
  readonly exclusiveBytes: number;
  /** Of those, bytes that others need as well. */
  readonly sharedBytes: number;
}

/** The shares of one snapshot. */
export interface SnapshotShares extends Shares {
  readonly id: string;
  readonly name: string;
  readonly createdAt: string;
  readonly logicalBytes: number;
  /** Bytes of packs that were written when it was taken. */
  readonly addedBytes: number;
}

/** The shares of one collection: `exclusiveBytes` and `sharedBytes` are with regard to other collections. */
export interface CollectionShares extends Shares {
  readonly collection: string;
  readonly logicalBytes: number;
  readonly snapshots: readonly SnapshotShares[];
}

/** Chunks whose plaintext has from `fromBytes` to below `toBytes`. */
export interface HistogramBucket {
  readonly fromBytes: number;
  readonly toBytes: number;
  readonly chunks: number;
  readonly bytes: number;
}

/** See the head of this file. */
export interface RepositoryStats {
  readonly snapshots: number;
  /** Plaintext bytes of all snapshots, each counted whole. */
  readonly logicalBytes: number;
  /** Plaintext bytes of all chunks that snapshots need, each counted once; the nodes of manifests included. */
  readonly uniqueBytes: number;
  /** Bytes of those chunks as they are kept, and of what deltas among them copy from. */
  readonly storedBytes: number;
  /** What deduplication saves: logical less unique bytes. Below zero when manifests outweigh what is shared. */
  readonly dedupeSavedBytes: number;
  /** What compression saves: unique less stored bytes. */
  readonly compressionSavedBytes: number;
  readonly collections: readonly CollectionShares[];
  /** Chunks that no snapshot needs, and second copies. A sweep may leave as much of them as its `maxUnused` says, so it need not give back any. */
  readonly unreferencedBytes: number;
  /** Headers and footers of packs. */
  readonly packOverheadBytes: number;
  readonly snapshotBytes: number;
  readonly configBytes: number;
  /** By which an incremental snapshot is taken without reading what is stored. */
  readonly fingerprintBytes: number;
  readonly indexBytes: number;
  /** Everything: the sum of newBytes of the collections and of the six rows above. */
  readonly repositoryBytes: number;
  readonly chunks: {
    readonly count: number;
    readonly nodes: number;
    readonly histogram: readonly HistogramBucket[];
  };
}

/** Bytes of what is no pack. */
export interface OtherBytes {
  readonly snapshotBytes: number;
  readonly configBytes: number;
  readonly fingerprintBytes: number;
  readonly indexBytes: number;
}

/** Adds everything up. @param snapshots oldest first. */
export async function computeStats(
  store: ChunkStore,
  snapshots: readonly AuditedSnapshot[],
  other: OtherBytes,
): Promise<RepositoryStats> {
  const catalogue = await Catalogue.read(store);
  const ownership = await OwnershipTable.build(catalogue, new NodeReader(store, catalogue), snapshots);
  await ownership.addBases();
  const perSnapshot = snapshots.map(() => ({ own: 0, shared: 0, acrossShared: 0 }));
  const histogram = new Histogram();
  let uniqueBytes = 0;
  let storedBytes = 0;
  let referenced = 0;
  let nodes = 0;
  for (let number = 0; number < catalogue.size; number++) {
    const found = ownership.of(number);
    if (found === undefined || !catalogue.isPlaced(number)) continue;
    const bytes = catalogue.sizeOf(number);
    const length = catalogue.lengthOf(number);
    const shares = perSnapshot[found.owner] as (typeof perSnapshot)[number];
    if (found.shared) shares.shared += bytes;
    else shares.own += bytes;
    if (found.sharedAcross) shares.acrossShared += bytes;
    storedBytes += catalogue.storedLengthOf(number);
    referenced += bytes;
    if (found.held) continue; // It is no content of a snapshot; what it takes is a part of how others are kept.
    uniqueBytes += length;
    nodes += catalogue.isNode(number) ? 1 : 0;
    histogram.add(length);
  }
  const packBytes = [...store.packs.values()].reduce((sum, size) => sum + size, 0);
  const packOverheadBytes = Math.min(packBytes - referenced, store.packs.size * PACK_OVERHEAD);
  const logicalBytes = snapshots.reduce((sum, snapshot) => sum + snapshot.logicalBytes, 0);
  return {
    snapshots: snapshots.length,
    logicalBytes,
    uniqueBytes,
    storedBytes,
    dedupeSavedBytes: logicalBytes - uniqueBytes,
    compressionSavedBytes: uniqueBytes - storedBytes,
    collections: byCollection(snapshots, perSnapshot),
    unreferencedBytes: packBytes - referenced - packOverheadBytes,
    packOverheadBytes,
    ...other,
    repositoryBytes:
      packBytes + other.snapshotBytes + other.configBytes + other.fingerprintBytes + other.indexBytes,
    chunks: { count: histogram.count, nodes, histogram: histogram.buckets() },
  };
}

function byCollection(
  snapshots: readonly AuditedSnapshot[],
  perSnapshot: readonly { own: number; shared: number; acrossShared: number }[],
): CollectionShares[] {
  const names = [...new Set(snapshots.map(({ collection }) => collection))];
  return names.map((collection) => {
    const positions = snapshots.flatMap((snapshot, i) => (snapshot.collection === collection ? [i] : []));
    const rows = positions.map((i) =>
      snapshotShares(snapshots[i] as AuditedSnapshot, perSnapshot[i] as { own: number; shared: number }),
    );
    const newBytes = rows.reduce((sum, row) => sum + row.newBytes, 0);
    const sharedBytes = positions.reduce((sum, i) => sum + (perSnapshot[i]?.acrossShared ?? 0), 0);
    const logicalBytes = rows.reduce((sum, row) => sum + row.logicalBytes, 0);
    return {
      collection,
      logicalBytes,
      newBytes,
      exclusiveBytes: newBytes - sharedBytes,
      sharedBytes,
      snapshots: rows,
    };
  });
}

function snapshotShares(
  snapshot: AuditedSnapshot,
  { own, shared }: { own: number; shared: number },
): SnapshotShares {
  const { id, name, createdAt, logicalBytes, addedBytes } = snapshot;
  return {
    id,
    name,
    createdAt,
    logicalBytes,
    addedBytes,
    newBytes: own + shared,
    exclusiveBytes: own,
    sharedBytes: shared,
  };
}

/** Counts chunks by powers of two of their size. */
class Histogram {
  readonly #chunks = new Map<number, { chunks: number; bytes: number }>();
  count = 0;

  add(length: number): void {
    const exponent = length === 0 ? 0 : Math.floor(Math.log2(length));
    const bucket = this.#chunks.get(exponent) ?? { chunks: 0, bytes: 0 };
    bucket.chunks++;
    bucket.bytes += length;
    this.#chunks.set(exponent, bucket);
    this.count++;
  }

  buckets(): HistogramBucket[] {
    return [...this.#chunks]
      .toSorted(([a], [b]) => a - b)
      .map(([exponent, { chunks, bytes }]) => ({
        fromBytes: 2 ** exponent,
        toBytes: 2 ** (exponent + 1),
        chunks,
        bytes,
      }));
  }
}
