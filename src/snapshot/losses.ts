/** What snapshots lack: chunks that stand in no pack, or cannot be put together. */
import { type Address, DigestTable, inBatches, isDamage, throwIfAborted } from '../core/index.js';
import { type ChunkStore, NodeReader, Wholeness } from '../cas/index.js';
import { reachable } from '../manifest/index.js';
import type { MarkedSnapshot } from './damage-note.js';
import type { Snapshot } from './snapshot.js';
import { manifestAddress } from './snapshot-blob.js';

/** See the head of this file. */
export interface Losses {
  readonly lost: DigestTable;
  readonly snapshots: readonly MarkedSnapshot[];
}

const LOOKED_UP_TOGETHER = 256;

/**
 * Walks the manifests and looks everything up; data is not read. What stands below a node that cannot be read is not known.
 * @param store which counts no damaged copy as stored.
 */
export async function findLosses(
  store: ChunkStore,
  snapshots: readonly Snapshot[],
  signal?: AbortSignal,
): Promise<Losses> {
  const lost = new DigestTable();
  const search = new LossSearch(store, lost, signal);
  const entered = new DigestTable();
  for (const snapshot of snapshots) await search.addLost(snapshot, entered);
  if (lost.size === 0) return { lost, snapshots: [] };
  const marks: MarkedSnapshot[] = [];
  for (const snapshot of snapshots) {
    const lostChunks = await search.countLost(snapshot);
    if (lostChunks > 0) marks.push({ id: snapshot.id, lostChunks });
  }
  return { lost, snapshots: marks };
}

class LossSearch {
  readonly #nodes: NodeReader;
  readonly #lost: DigestTable;
  readonly #signal: AbortSignal | undefined;
  readonly #whole: Wholeness;

  constructor(store: ChunkStore, lost: DigestTable, signal: AbortSignal | undefined) {
    this.#nodes = new NodeReader(store);
    this.#lost = lost;
    this.#signal = signal;
    this.#whole = new Wholeness(store);
  }

  /** Adds what a snapshot lacks below the nodes that were not entered before. */
  async addLost(snapshot: Snapshot, entered: DigestTable): Promise<void> {
    for await (const some of inBatches(this.#reach(snapshot, entered), () => 1, LOOKED_UP_TOGETHER)) {
      const standing = await this.#whole.check(some);
      for (const [i, address] of some.entries()) if (standing[i] !== 'whole') this.#lost.add(address);
    }
  }

  async countLost(snapshot: Snapshot): Promise<number> {
    const counted = new DigestTable();
    for await (const address of this.#reach(snapshot, new DigestTable()))
      if (this.#lost.has(address)) counted.add(address);
    return counted.size;
  }

  /** A node that cannot be read counts as lost. */
  async *#reach(snapshot: Snapshot, entered: DigestTable): AsyncGenerator<Address> {
    throwIfAborted(this.#signal);
    const enter = (node: Address): boolean => entered.addNew(node);
    const note = (error: unknown, node: Address): void => {
      if (!isDamage(error)) throw error;
      this.#lost.add(node);
    };
    for await (const { address, data } of reachable(this.#nodes, manifestAddress(snapshot), enter, note)) {
      yield address;
      yield* data;
    }
  }
}
