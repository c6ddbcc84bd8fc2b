/** What must stay, and what it takes where it stands. */
import type { Location } from '../cas/index.js';
import { CODECS, packEntryBytes } from '../cas/index.js';
import type { Address, DigestTable } from '../core/index.js';

/** Tells whether a chunk is in a set. */
export type IsNeeded = (address: Address) => boolean;

/** A held chunk and one that copies from it, by their numbers. */
export interface Holding {
  readonly delta: number;
  readonly base: number;
}

const INITIAL_CAPACITY = 64;
const NOWHERE = 0;

/**
 * The chunks that a sweep keeps: those that snapshots reach, and after them in the table those that are held only because deltas
 * copy from them, directly or not. There may be millions, so what is known of each stands in columns, by its number in the table: 13 bytes
 * beside the 38 of its address.
 */
export class LiveChunks {
  readonly table: DigestTable;
  /** How many of the first in the table snapshots reach. The rest is held. */
  readonly reached: number;
  readonly #packs: string[] = [];
  readonly #numbersOfPacks = new Map<string, number>();
  /** One more than the number of the pack, or {@link NOWHERE}. */
  #places: Uint32Array;
  #sizes: Uint32Array;
  #lengths: Uint32Array;
  #standsAlone: Uint8Array;
  /** Pairs of numbers, see {@link Holding}. */
  #holdings = new Uint32Array(INITIAL_CAPACITY);
  #holdingCount = 0;

  /** @param table what snapshots reach. */
  constructor(table: DigestTable) {
    this.table = table;
    this.reached = table.size;
    const capacity = Math.max(INITIAL_CAPACITY, table.size);
    this.#places = new Uint32Array(capacity);
    this.#sizes = new Uint32Array(capacity);
    this.#lengths = new Uint32Array(capacity);
    this.#standsAlone = new Uint8Array(capacity);
  }

  /** The packs in which live chunks are found. */
  get packs(): readonly string[] {
    return this.#packs;
  }

  /** Notes where a chunk is found. */
  place(number: number, location: Location): void {
    if (number >= this.#places.length) this.#grow();
    this.#places[number] = this.#numberOf(location.pack) + 1;
    this.#sizes[number] = packEntryBytes(location);
    this.#lengths[number] = location.length;
    this.#standsAlone[number] = location.codec === CODECS.delta ? 0 : 1;
  }

  /** Notes that a delta copies from a held chunk. */
  addHolding({ delta, base }: Holding): void {
    const at = this.#holdingCount++ * 2;
    if (at === this.#holdings.length) this.#holdings = grown(this.#holdings, at * 2);
    this.#holdings[at] = delta;
    this.#holdings[at + 1] = base;
  }

  /** Those of one delta stand together. */
  *holdings(): Generator<Holding> {
    for (let at = 0; at < this.#holdingCount * 2; at += 2)
      yield { delta: this.#holdings[at] as number, base: this.#holdings[at + 1] as number };
  }

  /** Whether it was found anywhere. */
  isPlaced(number: number): boolean {
    return (this.#places[number] ?? NOWHERE) !== NOWHERE;
  }

  /** The number of its pack in {@link packs}; below 0 when it was not found. */
  packOf(number: number): number {
    return (this.#places[number] ?? NOWHERE) - 1;
  }

  /** Bytes in its pack, directory entry included; 0 when it was not found. */
  sizeOf(number: number): number {
    return this.#sizes[number] ?? 0;
  }

  /** Plaintext bytes; 0 when it was not found. */
  lengthOf(number: number): number {
    return this.#lengths[number] ?? 0;
  }

  /** Whether it was found and is no delta. */
  standsAlone(number: number): boolean {
    return this.#standsAlone[number] === 1;
  }

  #numberOf(pack: string): number {
    const known = this.#numbersOfPacks.get(pack);
    if (known !== undefined) return known;
    const number = this.#packs.push(pack) - 1;
    this.#numbersOfPacks.set(pack, number);
    return number;
  }

  #grow(): void {
    const capacity = this.#places.length * 2;
    this.#places = grown(this.#places, capacity);
    this.#sizes = grown(this.#sizes, capacity);
    this.#lengths = grown(this.#lengths, capacity);
    const standsAlone = new Uint8Array(capacity);
    standsAlone.set(this.#standsAlone);
    this.#standsAlone = standsAlone;
  }
}

function grown(numbers: Uint32Array, length: number): Uint32Array<ArrayBuffer> {
  const all = new Uint32Array(length);
  all.set(numbers);
  return all;
}
