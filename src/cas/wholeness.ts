/**
 * Tells whether chunks that the index knows can be put together: all that a delta copies from, directly or not, must stand in sound
 * packs. A sweep leaves deltas that nobody needs beside chunks that somebody does, and takes away what they copy from; a lost
 * pack does the same to deltas that are needed. Neither may be taken for a chunk that is stored (docs/ordering.md, W6).
 */
import { type Address, DigestTable, isVecsnapError } from '../core/index.js';
import type { ChunkStore } from './chunk-store.js';
import { CODECS, MAX_CHAIN } from './codec.js';
import type { Location } from './index-port.js';

/** What is known of a chunk. */
export type Standing = 'whole' | 'broken' | 'absent';

/** A delta of which it is not known yet. */
interface Doubt {
  readonly address: Address;
  readonly bases: readonly Address[];
}

/** A chunk and where it stands; undefined when it is in no pack. */
interface Located {
  readonly address: Address;
  readonly location: Location | undefined;
}

/** A chunk that stands somewhere. */
interface Found extends Located {
  readonly location: Location;
}

/** What is needed of a store. */
export type LocatedChunks = Pick<ChunkStore, 'locate' | 'basesOf' | 'isSound'>;

/** Remembers what it found out, for as long as no pack goes. */
export class Wholeness {
  readonly #store: LocatedChunks;
  readonly #whole = new DigestTable();
  /** Of deltas among those, by their numbers, how many deltas each is away from a chunk that stands alone. */
  readonly #chains = new Map<number, number>();

  constructor(store: LocatedChunks) {
    this.#store = store;
  }

  /** Says for each chunk whether it can be put together, cannot, or is not there at all. */
  async check(addresses: readonly Address[]): Promise<Standing[]> {
    const standing = addresses.map((address): Standing => (this.#whole.has(address) ? 'whole' : 'absent'));
    const unknown = addresses.filter((_, i) => standing[i] === 'absent');
    const locations = await this.#store.locate(unknown);
    const found = unknown.flatMap((address, i) => {
      const location = locations[i];
      return location === undefined ? [] : [{ address, location }];
    });
    if (found.length === 0) return standing;
    const broken = await this.#findBroken(found);
    let next = 0;
    return standing.map((one, i) => {
      if (one === 'whole' || locations[next++] === undefined) return one;
      return broken.has(addresses[i] as Address) ? 'broken' : 'whole';
    });
  }

  /** Follows what deltas copy from, and notes what is whole. */
  async #findBroken(chunks: readonly Located[]): Promise<DigestTable> {
    const doubts: Doubt[] = [];
    const seen = new DigestTable();
    const broken = new DigestTable();
    let next = chunks;
    while (next.length > 0) {
      const deltas = this.#deltasAmong(next, broken).filter(({ address }) => seen.addNew(address));
      const told = await this.#basesOf(deltas, broken);
      doubts.push(...told);
      const wanted = told.flatMap(({ bases }) => bases).filter((base) => !this.#whole.has(base));
      const found = await this.#store.locate(wanted);
      next = wanted.map((address, i) => ({ address, location: found[i] }));
    }
    if (broken.size > 0) spread(doubts, broken);
    for (const address of seen) if (!broken.has(address)) this.#whole.add(address);
    this.#noteChains(doubts.filter(({ address }) => !broken.has(address)));
    return broken;
  }

  /** Again until no chain grows: most deltas stand before what they copy from, and so one time is enough. */
  #noteChains(deltas: readonly Doubt[]): void {
    for (let hasGrown = deltas.length > 0; hasGrown;) {
      hasGrown = false;
      for (const { address, bases } of deltas.toReversed()) {
        const chain = Math.min(MAX_CHAIN, 1 + Math.max(0, ...bases.map((base) => this.chainOf(base))));
        if (chain === this.chainOf(address)) continue;
        this.#chains.set(this.#whole.find(address), chain);
        hasGrown = true;
      }
    }
  }

  /** How many deltas a chunk that was found to be whole is away from one that stands alone, the longest way; {@link MAX_CHAIN} also for more. */
  chainOf(address: Address): number {
    return this.#chains.get(this.#whole.find(address)) ?? 0;
  }

  /** The deltas among chunks; the others are noted as whole, or broken when they are not there. */
  #deltasAmong(chunks: readonly Located[], broken: DigestTable): Found[] {
    const deltas: Found[] = [];
    for (const { address, location } of chunks) {
      if (location === undefined || !this.#store.isSound(location.pack)) broken.add(address);
      else if (location.codec === CODECS.delta) deltas.push({ address, location });
      else this.#whole.add(address);
    }
    return deltas;
  }

  /** What deltas copy from; those of which that cannot be told are noted as broken. Each pack is asked once. */
  async #basesOf(deltas: readonly Found[], broken: DigestTable): Promise<Doubt[]> {
    const told = await Promise.all(
      byPack(deltas).map(async (own) => {
        const bases = await this.#basesIn(own.map(({ location }) => location));
        if (bases === undefined) for (const { address } of own) broken.add(address);
        return bases?.map((some, i) => ({ address: (own[i] as Found).address, bases: some })) ?? [];
      }),
    );
    return told.flat();
  }

  /** What chunks of one pack copy from; undefined when its directory cannot be read. */
  async #basesIn(locations: readonly Location[]): Promise<Address[][] | undefined> {
    try {
      return await this.#store.basesOf(locations);
    } catch (error) {
      if (isVecsnapError(error, 'PACK_MISSING', 'PACK_DAMAGED')) return undefined;
      throw error;
    }
  }
}

function byPack(chunks: readonly Found[]): Found[][] {
  const packs = new Map<string, Found[]>();
  for (const chunk of chunks) {
    const own = packs.get(chunk.location.pack);
    if (own === undefined) packs.set(chunk.location.pack, [chunk]);
    else own.push(chunk);
  }
  return [...packs.values()];
}

/** What copies from something broken is broken. Deltas stand before what they copy from. */
function spread(doubts: readonly Doubt[], broken: DigestTable): void {
  for (let known = -1; known < broken.size;) {
    known = broken.size;
    for (const { address, bases } of doubts.toReversed())
      if (bases.some((base) => broken.has(base))) broken.add(address);
  }
}
