/** Sweep: carries a plan out. What is needed is durable elsewhere before anything is deleted (docs/ordering.md, G1 to G9). */
import {
  type Address,
  DigestTable,
  equalBytes,
  formatAddress,
  isUnreadable,
  isVecsnapError,
  VecsnapError,
} from '../core/index.js';
import {
  type ChunkStore,
  ChunkWriter,
  type DirectoryEntry,
  PACK_OVERHEAD,
  PACK_PREFIX,
  packEntryBytes,
  FINGERPRINTS_PREFIX,
  fingerprintsOfPack,
} from '../cas/index.js';
import type { IsNeeded } from './live.js';
import type { PreparedSweep, SweepPlan } from './plan.js';

/** What a sweep did. */
export interface SweepReport extends SweepPlan {
  /** Bytes of packs that were written for chunks that are needed. */
  readonly writtenBytes: number;
  /** Packs that were to be rewritten and were not, because a chunk in them that is needed is damaged (docs/ordering.md, G7). */
  readonly damagedPacks: readonly string[];
  /** Packs that were to be rewritten and were not, because the store is full (docs/ordering.md, G8). */
  readonly postponedPacks: readonly string[];
  /** Bytes of room that the next of these takes; 0 when there is none. */
  readonly roomNeeded: number;
}

/** What others do in the middle of a sweep. */
export interface SweepSteps {
  /**
   * Is called once, when nothing stands against the plan any more, before the first pack is deleted; also when none has to be, but not
   * when none can be, because the store is full.
   */
  readonly beforeDeleting?: () => Promise<void>;
  /** Is called when the store is full, before it is tried whether less fits: there may be space that is held back. */
  readonly onFull?: () => Promise<void>;
  /** Looks whether the lock is still held (docs/ordering.md, L6). @throws VecsnapError LEASE_LOST. */
  readonly confirmLock?: () => Promise<void>;
}

const spent = new WeakSet<SweepPlan>();

/**
 * Deletes and rewrites packs as `prepared` says. The caller holds the write lock and has kept it since the plan was made.
 * @throws VecsnapError PLAN_SPENT when the plan was carried out before; SWEEP_REFUSED when a pack holds more than the index said;
 * STORE_FAILED; LEASE_LOST.
 */
export async function sweep(
  store: ChunkStore,
  prepared: PreparedSweep,
  { beforeDeleting, onFull, confirmLock = async () => {} }: SweepSteps = {},
): Promise<SweepReport> {
  const { plan } = prepared;
  if (spent.has(plan)) throw planSpent();
  spent.add(plan);
  const before = await packBytesIn(store);
  await confirm(store, prepared);
  const deletion = new Deletion(store, beforeDeleting);
  await deletion.remove(plan.deletedPacks); // First, so that a full disk has room for what is rewritten.
  const done = await rewriteAsFarAsFits(store, prepared, { deletion, onFull, confirmLock });
  if (done.postponedPacks.length === 0) await deletion.begin();
  await store.refresh();
  await removeStrayFingerprints(store);
  const kept = new Set([...done.damagedPacks, ...done.postponedPacks]);
  return {
    ...plan,
    ...done,
    rewrittenPacks: plan.rewrittenPacks.filter((pack) => !kept.has(pack)),
    keptPacks: [...plan.keptPacks, ...done.damagedPacks],
    reclaimedBytes: before - (await packBytesIn(store)),
  };
}

type Done = Pick<SweepReport, 'writtenBytes' | 'damagedPacks' | 'postponedPacks' | 'roomNeeded'>;

/** What a rewriting does beside writing. */
interface RewriteSteps {
  readonly deletion: Deletion;
  readonly onFull: SweepSteps['onFull'];
  readonly confirmLock: () => Promise<void>;
}

/** Deletes packs, and before the first of them what {@link SweepSteps.beforeDeleting} does. */
class Deletion {
  readonly #store: ChunkStore;
  #before: (() => Promise<void>) | undefined;

  constructor(store: ChunkStore, before: (() => Promise<void>) | undefined) {
    this.#store = store;
    this.#before = before;
  }

  async begin(): Promise<void> {
    await this.#before?.();
    this.#before = undefined;
  }

  async remove(packs: readonly string[]): Promise<void> {
    if (packs.length === 0) return;
    await this.begin();
    const chunks = await chunksIn(this.#store, packs);
    for (const pack of packs) await this.#store.parts.blobs.delete(pack);
    await this.#store.removePacks(new Set(packs), chunks);
  }
}

/** All together, as it was planned; when that does not fit, what does. */
async function rewriteAsFarAsFits(
  store: ChunkStore,
  prepared: PreparedSweep,
  steps: RewriteSteps,
): Promise<Done> {
  const { rewrittenPacks } = prepared.plan;
  try {
    return {
      ...(await rewrite(store, prepared, rewrittenPacks, steps)),
      postponedPacks: [],
      roomNeeded: 0,
    };
  } catch (error) {
    if (!isVecsnapError(error, 'STORE_FULL')) throw error;
    await steps.onFull?.();
    return rewriteOneByOne(store, prepared, steps);
  }
}

/**
 * Rewrites pack by pack, the one first of which least is needed, so that each gives room for the next. Deltas stay, and so does what
 * they copy from: flattening them would take room.
 */
async function rewriteOneByOne(
  store: ChunkStore,
  prepared: PreparedSweep,
  steps: RewriteSteps,
): Promise<Done> {
  const unflattened = { ...prepared, flattened: [], isNeeded: prepared.isLive };
  const packs = await byNeededBytes(store, prepared.plan.rewrittenPacks, prepared.isLive);
  const damaged: string[] = [];
  let written = 0;
  for (const [i, { pack, bytes }] of packs.entries()) {
    try {
      const { writtenBytes, damagedPacks } = await rewrite(store, unflattened, [pack], steps);
      written += writtenBytes;
      damaged.push(...damagedPacks);
    } catch (error) {
      if (!isVecsnapError(error, 'STORE_FULL')) throw error;
      const postponedPacks = packs.slice(i).map((one) => one.pack);
      return { writtenBytes: written, damagedPacks: damaged, postponedPacks, roomNeeded: bytes };
    }
  }
  return { writtenBytes: written, damagedPacks: damaged, postponedPacks: [], roomNeeded: 0 };
}

async function byNeededBytes(
  store: ChunkStore,
  packs: readonly string[],
  isNeeded: IsNeeded,
): Promise<{ pack: string; bytes: number }[]> {
  const sized: { pack: string; bytes: number }[] = [];
  for (const pack of packs) {
    const needed = await neededIn(store, pack, isNeeded);
    sized.push({ pack, bytes: needed.reduce((sum, entry) => sum + packEntryBytes(entry), PACK_OVERHEAD) });
  }
  return sized.toSorted((a, b) => a.bytes - b.bytes);
}

async function rewrite(
  store: ChunkStore,
  { flattened, isNeeded }: Pick<PreparedSweep, 'flattened' | 'isNeeded'>,
  packs: readonly string[],
  { deletion, confirmLock }: RewriteSteps,
): Promise<Pick<Done, 'writtenBytes' | 'damagedPacks'>> {
  const writer = new ChunkWriter(store);
  const damagedPacks: string[] = [];
  try {
    const stillNeeded = await withBases(store, await writer.flatten(flattened));
    const isKept: IsNeeded = (address) => isNeeded(address) || stillNeeded.has(address);
    for (const pack of packs) {
      const damaged = await writer.copy(pack, await neededIn(store, pack, isKept));
      if (damaged.length > 0) damagedPacks.push(pack);
    }
    const { bytes } = await writer.commit();
    await confirmLock(); // Writing took long.
    await deletion.remove(packs.filter((pack) => !damagedPacks.includes(pack)));
    return { writtenBytes: bytes, damagedPacks };
  } catch (error) {
    await writer.abandon(confirmLock);
    throw error;
  }
}

/** Chunks with all that they copy from, as far as it is there. */
async function withBases(store: ChunkStore, addresses: readonly Address[]): Promise<DigestTable> {
  const all = new DigestTable();
  let next = addresses;
  while (next.length > 0) {
    const fresh = next.filter((address) => all.addNew(address));
    const locations = await store.locate(fresh);
    next = (await store.basesOf(locations.filter((location) => location !== undefined))).flat();
  }
  return all;
}

/** The needed chunks of a pack, as far as they are found in it and not in another. */
export async function neededIn(
  store: ChunkStore,
  pack: string,
  isNeeded: IsNeeded,
): Promise<DirectoryEntry[]> {
  const needed = (await store.directory(pack)).filter(({ address }) => isNeeded(address));
  const locations = await store.locate(needed.map(({ address }) => address));
  return needed.filter(({ offset }, i) => locations[i]?.pack === pack && locations[i].offset === offset);
}

/**
 * Asks the packs themselves before any of them goes: a live chunk in one that goes must be found there, and is then copied, or stand in
 * another where the index says, and where the directory of that one says the same. The index alone is not to be believed: it may be
 * garbled (docs/ordering.md, G9).
 * @throws VecsnapError SWEEP_REFUSED.
 */
async function confirm(store: ChunkStore, { plan, isLive }: PreparedSweep): Promise<void> {
  const elsewhere = new Map<string, Map<number, Address>>();
  const isDeleted = new Set(plan.deletedPacks);
  for (const pack of [...plan.deletedPacks, ...plan.rewrittenPacks]) {
    if (!store.parts.index.packs().has(pack)) continue; // It has no directory, and was emptied by a repair.
    const live = (await store.directory(pack)).filter(
      ({ address, offset }) => isLive(address) && store.parts.damage?.isBad(pack, offset) !== true,
    );
    const locations = await store.locate(live.map(({ address }) => address));
    for (const [i, { address, offset }] of live.entries()) {
      const location = locations[i];
      const isHere = location?.pack === pack && location.offset === offset;
      if (location === undefined || (isHere && isDeleted.has(pack))) throw indexWrong(pack, address);
      if (isHere) continue;
      const places = elsewhere.get(location.pack) ?? new Map<number, Address>();
      elsewhere.set(location.pack, places.set(location.offset, address));
    }
  }
  for (const [pack, places] of elsewhere) await confirmPlaces(store, pack, places, isDeleted);
}

async function confirmPlaces(
  store: ChunkStore,
  pack: string,
  places: ReadonlyMap<number, Address>,
  isDeleted: ReadonlySet<string>,
): Promise<void> {
  const [first] = places.values();
  if (isDeleted.has(pack)) throw indexWrong(pack, first as Address);
  const there = new Map((await store.directory(pack)).map(({ offset, address }) => [offset, address]));
  for (const [offset, address] of places) {
    const found = there.get(offset);
    if (found === undefined || !equalBytes(found, address)) throw indexWrong(pack, address);
  }
}

/** What packs hold that the index knows, so that it can forget it without looking at everything else. Undefined when it cannot be told. */
async function chunksIn(store: ChunkStore, packs: readonly string[]): Promise<DigestTable | undefined> {
  const chunks = new DigestTable();
  const known = store.parts.index.packs();
  try {
    for (const pack of packs.filter((name) => known.has(name))) {
      const cursor = await store.openDirectory(pack);
      while (cursor.next()) chunks.addAt(cursor.bytes, cursor.addressAt);
    }
    return chunks;
  } catch (error) {
    if (isUnreadable(error)) return undefined;
    throw error;
  }
}

/** Removes fingerprints of packs that are all gone (docs/ordering.md, G10); also those that a crash has left. */
async function removeStrayFingerprints({ parts: { blobs }, packs }: ChunkStore): Promise<void> {
  const needed = new Set(Array.from(packs.keys(), fingerprintsOfPack));
  const stray: string[] = [];
  for await (const { name } of blobs.list(FINGERPRINTS_PREFIX)) if (!needed.has(name)) stray.push(name);
  for (const name of stray) await blobs.delete(name);
}

async function packBytesIn(store: ChunkStore): Promise<number> {
  let bytes = 0;
  for await (const { size } of store.parts.blobs.list(PACK_PREFIX)) bytes += size;
  return bytes;
}

function indexWrong(pack: string, address: Address): VecsnapError {
  return new VecsnapError(
    'SWEEP_REFUSED',
    'The index disagrees with the directories of packs, so nothing is deleted.',
    {
      place: `${formatAddress(address, 'data')} in ${pack}`,
      remedy: 'Run repair: it builds the index anew from the packs.',
    },
  );
}

function planSpent(): VecsnapError {
  return new VecsnapError('PLAN_SPENT', 'This plan was carried out before.', { remedy: 'Make a new plan.' });
}
