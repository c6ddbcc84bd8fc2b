/** Mark: every chunk that some snapshot needs, and every chunk that those are told by. */
import {
  type Address,
  DigestTable,
  formatAddress,
  isVecsnapError,
  throwIfAborted,
  VecsnapError,
} from '../core/index.js';
import { Catalogue, type ChunkStore, NodeReader } from '../cas/index.js';
import { reachable } from '../manifest/index.js';
import { LiveChunks } from './live.js';

/** Tells which chunks are given up. */
export type LostChunks = Pick<DigestTable, 'has'>;

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
  return orRefused(async () => {
    const live = new LiveChunks(await Catalogue.read(store, signal));
    await reach(store, live, manifests, signal);
    await hold(live, lost);
    return live;
  });
}

/** The same for chunks of which somebody else says that snapshots reach them. @throws VecsnapError SWEEP_REFUSED when one is missing. */
export async function markChunks(
  store: ChunkStore,
  chunks: Iterable<Address>,
  lost?: LostChunks,
): Promise<LiveChunks> {
  return orRefused(async () => {
    const live = new LiveChunks(await Catalogue.read(store));
    for (const chunk of chunks) live.reach(live.catalogue.number(chunk));
    await hold(live, lost);
    return live;
  });
}

/** Walks the manifests. The nodes that are at hand meanwhile are let go of at the end. */
async function reach(
  store: ChunkStore,
  live: LiveChunks,
  manifests: Iterable<Address>,
  signal: AbortSignal | undefined,
): Promise<void> {
  const { catalogue } = live;
  const nodes = new NodeReader(store, catalogue);
  const entered = new DigestTable();
  const enter = (node: Address): boolean => entered.addNew(node);
  for (const manifest of manifests) {
    throwIfAborted(signal);
    for await (const { address, data } of reachable(nodes, manifest, enter)) {
      live.reach(catalogue.number(address));
      for (const chunk of data) live.reach(catalogue.number(chunk));
    }
  }
}

/** Adds what deltas copy from. */
async function hold(live: LiveChunks, lost?: LostChunks): Promise<void> {
  const { catalogue } = live;
  for (let unplaced = spread(live, live.reached()); unplaced.length > 0;) {
    await catalogue.askIndex(unplaced);
    refuseUnlessPlaced(catalogue, unplaced, lost);
    unplaced = spread(
      live,
      unplaced.filter((number) => catalogue.isPlaced(number)),
    );
  }
}

/** Holds what these chunks copy from, and what that copies from. Gives those that stand nowhere, of which it is not known. */
function spread(live: LiveChunks, numbers: Iterable<number>): number[] {
  const unplaced: number[] = [];
  const held: number[] = [];
  const holdBase = (base: number): void => {
    if (live.hold(base)) held.push(base);
  };
  const follow = (number: number): void => {
    if (live.catalogue.isPlaced(number)) live.catalogue.forEachBase(number, holdBase);
    else unplaced.push(number);
  };
  for (const number of numbers) follow(number);
  for (let number = held.pop(); number !== undefined; number = held.pop()) follow(number);
  return unplaced;
}

/** @throws VecsnapError SWEEP_REFUSED when one of these stands nowhere and is not given up. */
function refuseUnlessPlaced(catalogue: Catalogue, numbers: readonly number[], lost?: LostChunks): void {
  for (const number of numbers) {
    if (catalogue.isPlaced(number)) continue;
    const address = catalogue.addressOf(number);
    if (lost?.has(address) !== true) throw refused(formatAddress(address, 'data'));
  }
}

/** Makes a refusal of whatever is wrong with what is needed. */
async function orRefused<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (cause) {
    const isDoubt = isVecsnapError(cause) && cause.code !== 'ABORTED' && cause.code !== 'SWEEP_REFUSED';
    throw isDoubt ? refused(cause.place, cause) : cause;
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
