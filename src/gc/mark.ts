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
import { type ChunkStore, DeltasByPack, type Location, NodeReader } from '../cas/index.js';
import { reachable } from '../manifest/index.js';
import { LiveChunks } from './live.js';

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
  const reached = new DigestTable();
  const entered = new DigestTable();
  const enter = (node: Address): boolean => entered.addNew(node);
  const nodes = new NodeReader(store);
  try {
    for (const manifest of manifests) {
      throwIfAborted(signal);
      for await (const { address, data } of reachable(nodes, manifest, enter)) {
        reached.add(address);
        for (const chunk of data) reached.add(chunk);
      }
    }
  } catch (cause) {
    throw isVecsnapError(cause) && cause.code !== 'ABORTED' ? refused(cause.place, cause) : cause;
  }
  return withBases(store, reached, signal, lost);
}

/**
 * Finds chunks that snapshots reach, and adds what the deltas among them copy from. Nearly everything in the index is live most often, so
 * it is gone through once from its beginning to its end; chunks looked up one by one would take several times as long.
 * @param reached is added to.
 * @throws VecsnapError SWEEP_REFUSED when one is missing.
 */
export async function withBases(
  store: ChunkStore,
  reached: DigestTable,
  signal?: AbortSignal,
  lost?: LostChunks,
): Promise<LiveChunks> {
  const live = new LiveChunks(reached);
  let deltas = new DeltasByPack();
  for await (const entries of store.parts.index.entries()) {
    throwIfAborted(signal);
    for (const entry of entries) place(store, live, deltas, reached.find(entry.address), entry);
  }
  refuseUnlessPlaced(live, 0, lost);
  for (let start = live.reached; ;) {
    await addBases(store, live, deltas);
    if (start === live.table.size) return live;
    deltas = new DeltasByPack();
    await placeHeld(store, live, deltas, start);
    refuseUnlessPlaced(live, start, lost);
    start = live.table.size;
  }
}

/** Notes where a chunk stands, if it is live, in a pack that is there. */
function place(
  store: ChunkStore,
  live: LiveChunks,
  deltas: DeltasByPack,
  number: number,
  location: Location,
): void {
  if (number < 0 || !store.packs.has(location.pack)) return;
  live.place(number, location);
  deltas.add(number, location);
}

/** Looks up the chunks from number `start` on. */
async function placeHeld(
  store: ChunkStore,
  live: LiveChunks,
  deltas: DeltasByPack,
  start: number,
): Promise<void> {
  for (let next = start; next < live.table.size; next += LOOKED_UP_TOGETHER) {
    const count = Math.min(LOOKED_UP_TOGETHER, live.table.size - next);
    const addresses = Array.from({ length: count }, (_, i) => addressOf(live, next + i));
    const locations = await store.locate(addresses);
    for (const [i, location] of locations.entries())
      if (location !== undefined) place(store, live, deltas, next + i, location);
  }
}

/** Adds what deltas copy from. */
async function addBases(store: ChunkStore, live: LiveChunks, deltas: DeltasByPack): Promise<void> {
  try {
    for await (const some of deltas.read(store)) {
      for (const { number, bases } of some) {
        for (const address of bases) {
          const base = live.table.add(address);
          if (base >= live.reached) live.addHolding({ delta: number, base });
        }
      }
    }
  } catch (cause) {
    throw isVecsnapError(cause) ? refused(cause.place, cause) : cause;
  }
}

/** @throws VecsnapError SWEEP_REFUSED when a chunk from number `start` on was not found and is not given up. */
function refuseUnlessPlaced(live: LiveChunks, start: number, lost?: LostChunks): void {
  for (let number = start; number < live.table.size; number++) {
    if (live.isPlaced(number)) continue;
    const address = addressOf(live, number);
    if (lost?.has(address) !== true) throw refused(formatAddress(address, 'data'));
  }
}

function addressOf({ table }: LiveChunks, number: number): Address {
  return copyBytes(table.at(number)) as Address;
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
