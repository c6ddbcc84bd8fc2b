/**
 * Chunks of which several packs have a copy that is a delta.
 *
 * Sweeps leave deltas that nobody needs, and take away what they copy from. When such a chunk comes again it is written again, and
 * then one of its copies can be put together and another cannot. The index tells one place for each chunk: it must be that of a
 * copy that can (docs/ordering.md, W6).
 */
import { type Address, toHex } from '../core/index.js';
import type { BlobStat } from '../blob/port.js';
import type { ChunkStore } from './chunk-store.js';
import { CODECS } from './codec.js';
import type { ChunkIndex, Location } from './index-port.js';
import type { PackEntry } from './pack.js';
import { Wholeness } from './wholeness.js';

/** A copy of a chunk, by the pack that it stands in. */
interface Copy {
  readonly pack: BlobStat;
  readonly entry: PackEntry;
}

type CopiesStore = Pick<ChunkStore, 'basesOf' | 'isSound' | 'packs'>;

/** See the head of this file. */
export class Copies {
  readonly #store: CopiesStore;
  readonly #index: ChunkIndex;
  /** By address in hexadecimal: the copies of chunks that have several. */
  readonly #copies = new Map<string, Map<string, Copy>>();

  /** @param index that is told of packs, and perhaps not yet that of the store. */
  constructor(store: CopiesStore, index: ChunkIndex) {
    this.#store = store;
    this.#index = index;
  }

  /** Notes what a pack has that the index has found elsewhere. To be called before the index learns of the pack. */
  async note(pack: BlobStat, entries: readonly PackEntry[]): Promise<void> {
    const deltas = entries.filter(({ codec }) => codec === CODECS.delta);
    if (deltas.length === 0) return;
    const found = await this.#index.find(deltas.map(({ address }) => address));
    for (const [i, entry] of deltas.entries()) {
      const other = found[i];
      if (other === undefined || other.codec !== CODECS.delta || other.pack === pack.name) continue;
      const size = this.#store.packs.get(other.pack);
      if (size === undefined) continue;
      const { address } = entry;
      const copies = this.#copies.get(toHex(address)) ?? new Map<string, Copy>();
      copies.set(other.pack, { pack: { name: other.pack, size }, entry: { address, ...other } });
      this.#copies.set(toHex(address), copies.set(pack.name, { pack, entry }));
    }
  }

  /** Tells the index of copies that can be put together where it has one that cannot. What one chunk gains may help another. */
  async settle(): Promise<void> {
    for (let before = -1; before !== this.#copies.size;) {
      before = this.#copies.size;
      for (const [key, copies] of this.#copies) if (await this.#settleOne(copies)) this.#copies.delete(key);
    }
  }

  async #settleOne(copies: ReadonlyMap<string, Copy>): Promise<boolean> {
    const [first] = copies.values();
    const { address } = (first as Copy).entry;
    if (await this.#isWhole(address)) return true;
    for (const { pack, entry } of copies.values()) {
      await this.#index.addPack(pack, [entry]);
      if (await this.#isWhole(address)) return true;
    }
    return false;
  }

  async #isWhole(address: Address): Promise<boolean> {
    const store = {
      locate: (addresses: readonly Address[]) => this.#index.find(addresses),
      basesOf: (locations: readonly Location[]) => this.#store.basesOf(locations),
      isSound: (pack: string) => this.#store.isSound(pack),
    };
    const [standing] = await new Wholeness(store).check([address]);
    return standing === 'whole';
  }
}
