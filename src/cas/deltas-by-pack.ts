/**
 * What very many deltas copy from. Only the directories of packs tell it, and the index gives its entries in the order of their addresses,
 * which is none: asked one by one, the same directories would be read again and again. So deltas are noted first, and then read pack by pack.
 */
import type { Address } from '../core/index.js';
import type { PlaceOfChunk } from './bases.js';
import type { ChunkStore } from './chunk-store.js';
import { CODECS } from './codec.js';

/** A delta by the number that it was noted with. */
export interface NumberedDelta {
  readonly number: number;
  readonly bases: readonly Address[];
}

const INITIAL_CAPACITY = 64;

/** See the head of this file. Takes some 20 bytes a delta. */
export class DeltasByPack {
  /** The packs, by their numbers, and how many deltas each has. */
  readonly #packs: string[] = [];
  readonly #counts: number[] = [];
  readonly #numbersOfPacks = new Map<string, number>();
  /** Of each delta: the number that it was noted with, that of its pack, and its offset there. */
  #numbers = new Uint32Array(INITIAL_CAPACITY);
  #places = new Uint32Array(INITIAL_CAPACITY);
  #offsets = new Float64Array(INITIAL_CAPACITY);
  #size = 0;

  /** Notes a chunk under a number of the caller's; one that is no delta is passed over. */
  add(number: number, { codec, pack, offset }: PlaceOfChunk): void {
    if (codec !== CODECS.delta) return;
    if (this.#size === this.#numbers.length) this.#grow();
    const place = this.#numberOf(pack);
    this.#counts[place] = (this.#counts[place] as number) + 1;
    this.#numbers[this.#size] = number;
    this.#places[this.#size] = place;
    this.#offsets[this.#size] = offset;
    this.#size++;
  }

  /** All that were noted, pack by pack. @throws VecsnapError PACK_MISSING, PACK_DAMAGED. */
  async *read(store: Pick<ChunkStore, 'basesOf'>): AsyncGenerator<NumberedDelta[]> {
    const sorted = this.#sorted();
    let start = 0;
    for (const [place, pack] of this.#packs.entries()) {
      const some = sorted.subarray(start, (start += this.#counts[place] as number));
      const places = Array.from(some, (i) => ({
        codec: CODECS.delta,
        pack,
        offset: this.#offsets[i] as number,
      }));
      const bases = await store.basesOf(places);
      yield Array.from(some, (i, j) => ({ number: this.#numbers[i] as number, bases: bases[j] ?? [] }));
    }
  }

  /** The deltas by their packs. */
  #sorted(): Uint32Array {
    const next: number[] = [];
    let start = 0;
    for (const count of this.#counts) {
      next.push(start);
      start += count;
    }
    const sorted = new Uint32Array(this.#size);
    for (let i = 0; i < this.#size; i++) {
      const place = this.#places[i] as number;
      sorted[next[place] as number] = i;
      next[place] = (next[place] as number) + 1;
    }
    return sorted;
  }

  #numberOf(pack: string): number {
    const known = this.#numbersOfPacks.get(pack);
    if (known !== undefined) return known;
    const number = this.#packs.push(pack) - 1;
    this.#counts.push(0);
    this.#numbersOfPacks.set(pack, number);
    return number;
  }

  #grow(): void {
    const capacity = this.#size * 2;
    const [numbers, places, offsets] = [this.#numbers, this.#places, this.#offsets];
    this.#numbers = new Uint32Array(capacity);
    this.#places = new Uint32Array(capacity);
    this.#offsets = new Float64Array(capacity);
    this.#numbers.set(numbers);
    this.#places.set(places);
    this.#offsets.set(offsets);
  }
}
