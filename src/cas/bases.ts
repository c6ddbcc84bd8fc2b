/**
 * What deltas copy from, by where they stand. The directories of packs tell it; the index does not, because most of its entries
 * would be twice as long. Directories that were read are kept, those used last, up to a number of bytes.
 */
import { type Address, ADDRESS_LENGTH, toAddress } from '../core/index.js';
import { CODECS } from './codec.js';
import type { Location } from './index-port.js';
import { LoadingCache } from './loading-cache.js';
import type { DirectoryEntry } from './pack.js';

/** Where a chunk stands, as far as its bases are concerned. */
export type PlaceOfChunk = Pick<Location, 'codec' | 'pack' | 'offset'>;

const NO_BASES: Address[] = [];

/** Bytes of directories that are kept. */
const KEPT_BYTES = 16 * 1024 * 1024;

/** The deltas of one pack. */
class PackBases {
  /** Where each delta stands, ascending. */
  readonly #offsets: Float64Array;
  /** The number of the first base of each delta, and after the last. */
  readonly #starts: Uint32Array;
  readonly #addresses: Uint8Array;

  constructor(entries: readonly DirectoryEntry[]) {
    const deltas = entries.filter(({ codec }) => codec === CODECS.delta);
    this.#offsets = Float64Array.from(deltas, ({ offset }) => offset);
    this.#starts = new Uint32Array(deltas.length + 1);
    for (const [i, { bases = [] }] of deltas.entries())
      this.#starts[i + 1] = (this.#starts[i] as number) + bases.length;
    this.#addresses = new Uint8Array((this.#starts[deltas.length] as number) * ADDRESS_LENGTH);
    for (const [i, base] of deltas.flatMap(({ bases = [] }) => bases).entries())
      this.#addresses.set(base, i * ADDRESS_LENGTH);
  }

  get byteLength(): number {
    return this.#offsets.byteLength + this.#starts.byteLength + this.#addresses.byteLength;
  }

  /** The bases of the delta that begins at `offset`; none when there is none. */
  at(offset: number): Address[] {
    const i = this.#find(offset);
    if (this.#offsets[i] !== offset) return [];
    const [start, end] = [this.#starts[i] as number, this.#starts[i + 1] as number];
    return Array.from({ length: end - start }, (_, j) => {
      const from = (start + j) * ADDRESS_LENGTH;
      return toAddress(this.#addresses.subarray(from, from + ADDRESS_LENGTH));
    });
  }

  #find(offset: number): number {
    let low = 0;
    let high = this.#offsets.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#offsets[middle] as number) < offset) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

/** See the head of this file. */
export class BaseFinder {
  readonly #packs: LoadingCache<PackBases>;

  /** @param read gives the directory of a pack; what it throws is passed on. */
  constructor(read: (pack: string) => Promise<readonly DirectoryEntry[]>) {
    const load = async (pack: string): Promise<PackBases> => new PackBases(await read(pack));
    this.#packs = new LoadingCache(load, ({ byteLength }) => byteLength, KEPT_BYTES);
  }

  /** What the chunk at each place copies from, in order; nothing for those that are no deltas. */
  async basesOf(locations: readonly PlaceOfChunk[]): Promise<Address[][]> {
    const packs = new Set<string>();
    for (const { codec, pack } of locations) if (codec === CODECS.delta) packs.add(pack);
    const loaded = new Map<string, PackBases>();
    await Promise.all(Array.from(packs, async (pack) => loaded.set(pack, await this.#packs.get(pack))));
    return locations.map(({ codec, pack, offset }) =>
      codec === CODECS.delta ? (loaded.get(pack) as PackBases).at(offset) : NO_BASES,
    );
  }
}
