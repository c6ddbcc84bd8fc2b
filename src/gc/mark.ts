/** Mark: every chunk that some snapshot needs, and every chunk that those are told by. */
import {
  type Address,
  copyBytes,
  DigestTable,
  formatAddress,
  isVecsnapError,
  throwIfAborted,
  VecsnapError,
} from '../core/index.js';
import type { ChunkStore, Location } from '../cas/index.js';
import { reachable } from '../manifest/index.js';
import type { LiveChunks } from './live.js';

/** Tells which chunks are given up. */
export type LostChunks = Pick<DigestTable, 'has'>;

/** How many addresses are looked up in the index together. */
const LOOKED_UP_TOGETHER = 512;

/**
 * Every chunk that the manifests need, and then those that deltas among them copy from. A node that several share is walked once.
 * @param lost chunks that a repair has given up: they may be missing, as long as they are no nodes.
 * @throws VecsnapError SWEEP_REFUSED when another one is missing, or a node unreadable: with less than the whole truth, nothing may
 * be deleted (docs/ordering.md, G1).
 */
export async function mark(
  store: ChunkStore,
  manifests: Iterable<Address>,
  signal?: AbortSignal,
  lost?: LostChunks,
): Promise<LiveChunks> {
  const live = new DigestTable();
  const entered = new DigestTable();
  const enter = (node: Address): boolean => entered.addNew(node);
  try {
    for (const manifest of manifests) {
      throwIfAborted(signal);
      for await (const { address } of reachable(store, manifest, enter)) live.add(address);
    }
  } catch (cause) {
    throw isVecsnapError(cause) && cause.code !== 'ABORTED' ? refused(cause.place, cause) : cause;
  }
  const reached = live.size;
  await addBases(store, live, lost);
  return { table: live, reached };
}

/** Checks that all are there, and adds what the deltas among them copy from; the table grows while it is gone through. */
async function addBases(store: ChunkStore, live: DigestTable, lost?: LostChunks): Promise<void> {
  for (let start = 0, end = 0; start < live.size; start = end) {
    end = Math.min(start + LOOKED_UP_TOGETHER, live.size);
    const addresses = Array.from({ length: end - start }, (_, i) => copyBytes(live.at(start + i)) as Address);
    const locations = await store.locate(addresses);
    const found = locations.map((location) =>
      location !== undefined && store.packs.has(location.pack) ? location : undefined,
    );
    const missing = addresses.find((address, i) => found[i] === undefined && lost?.has(address) !== true);
    if (missing !== undefined) throw refused(formatAddress(missing, 'data'));
    for (const bases of await basesOf(
      store,
      found.filter((location) => location !== undefined),
    ))
      for (const base of bases) live.add(base);
  }
}

async function basesOf(store: ChunkStore, locations: readonly Location[]): Promise<Address[][]> {
  try {
    return await store.basesOf(locations);
  } catch (cause) {
    throw isVecsnapError(cause) ? refused(cause.place, cause) : cause;
  }
}

function refused(place: string | undefined, cause?: unknown): VecsnapError {
  return new VecsnapError(
    'SWEEP_REFUSED',
    'A chunk that a snapshot needs is missing or damaged, so nothing is deleted.',
    {
      place,
      remedy:
        'Run verify to see which snapshots are damaged. Heal them with a new snapshot of the same source, or run repair; then sweep again. Where a node is lost for good, forget those snapshots.',
      cause,
    },
  );
}
