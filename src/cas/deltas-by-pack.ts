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

/** See the head of this file. Takes some 16 bytes a delta. */
export class DeltasByPack {
  readonly #packs = new Map<string, { readonly numbers: number[]; readonly offsets: number[] }>();

  /** Notes a chunk under a number of the caller's; one that is no delta is passed over. */
  add(number: number, { codec, pack, offset }: PlaceOfChunk): void {
    if (codec !== CODECS.delta) return;
    const noted = this.#packs.get(pack);
    if (noted === undefined) this.#packs.set(pack, { numbers: [number], offsets: [offset] });
    else {
      noted.numbers.push(number);
      noted.offsets.push(offset);
    }
  }

  /** All that were noted, pack by pack. @throws VecsnapError PACK_MISSING, PACK_DAMAGED. */
  async *read(store: Pick<ChunkStore, 'basesOf'>): AsyncGenerator<NumberedDelta> {
    for (const [pack, { numbers, offsets }] of this.#packs) {
      const bases = await store.basesOf(offsets.map((offset) => ({ codec: CODECS.delta, pack, offset })));
      for (const [i, number] of numbers.entries()) yield { number, bases: bases[i] ?? [] };
    }
  }
}
