/**
 * Reads the nodes of trees that have much in common. A node is most often a delta of the one that the snapshot before has at its place, which
 * is one itself, and so on; put together from the start, each would take as long as all before it. So those that were read last are at
 * hand for those that copy from them. Whoever goes from old snapshots to new ones then undoes one delta for each.
 */
import { type Address, ADDRESS_LENGTH, copyBytes, DigestTable } from '../core/index.js';
import type { ChunkPlaces, ChunkStore, PlainChunks } from './chunk-store.js';

/** Plaintext bytes that are at hand, at most: two generations of half as many. */
const AT_HAND_BYTES = 12 * 1024 * 1024;
/** Plaintext bytes that are read together, unless a single node has more. */
const TOGETHER_BYTES = 4 * 1024 * 1024;

/** See the head of this file. */
export class NodeReader {
  readonly #store: ChunkStore;
  readonly #places: ChunkPlaces;
  readonly #recent = new RecentChunks();

  /** @param places tells where nodes stand. Default: the store. */
  constructor(store: ChunkStore, places: ChunkPlaces = store) {
    this.#store = store;
    this.#places = places;
  }

  /** The plaintext of a chunk. @throws VecsnapError as {@link ChunkStore.get}. */
  async get(address: Address): Promise<Uint8Array> {
    const plain = await this.#read([address]);
    return plain?.[0] ?? this.#keep(address, await this.#store.get(address));
  }

  /**
   * The plaintexts of the first of these chunks, one at least: as many as can be held together.
   * @throws VecsnapError as {@link ChunkStore.getMany}.
   */
  async getSome(addresses: readonly Address[]): Promise<Uint8Array[]> {
    const some = await this.#first(addresses);
    const plain = await this.#read(some);
    if (plain !== undefined) return plain;
    return (await this.#store.getMany(some)).map((bytes, i) => this.#keep(some[i] as Address, bytes));
  }

  async #first(addresses: readonly Address[]): Promise<readonly Address[]> {
    const locations = await this.#places.locate(addresses);
    let bytes = 0;
    const end = locations.findIndex((location) => (bytes += location?.length ?? 0) > TOGETHER_BYTES);
    return end < 0 ? addresses : addresses.slice(0, Math.max(1, end));
  }

  /** Undefined when one is damaged: the store then says which, and whether it is what it copies from. */
  async #read(addresses: readonly Address[]): Promise<Uint8Array[] | undefined> {
    const store = this.#store;
    const { coder } = store.parts;
    const plain = await store.following(async () => {
      const wanted = await store.find(addresses, { atHand: this.#recent, places: this.#places });
      return store.useFound(wanted, async (used) => {
        const graph = used.graph();
        const { verifyChecksum } = store.options;
        return coder.decodeHere?.(graph, verifyChecksum) ?? coder.decode(graph, verifyChecksum);
      });
    });
    if (plain.includes(undefined)) return undefined;
    return (plain as Uint8Array[]).map((bytes, i) => this.#keep(addresses[i] as Address, bytes));
  }

  /** Notes a plaintext; what is a part of larger memory is copied, which would be kept as well. */
  #keep(address: Address, bytes: Uint8Array): Uint8Array {
    const own = bytes.length === bytes.buffer.byteLength ? bytes : copyBytes(bytes);
    this.#recent.add(address, own);
    return own;
  }
}

interface Generation {
  readonly table: DigestTable;
  readonly plain: Uint8Array[];
  bytes: number;
}

/** Plaintexts that were read last. */
class RecentChunks implements PlainChunks {
  #newer = emptyGeneration();
  #older = emptyGeneration();

  get(address: Address): Uint8Array | undefined {
    return find(this.#newer, address) ?? find(this.#older, address);
  }

  add(address: Address, plain: Uint8Array): void {
    const bytes = plain.length + ADDRESS_LENGTH;
    if (this.#newer.bytes + bytes > AT_HAND_BYTES / 2) {
      this.#older = this.#newer;
      this.#newer = emptyGeneration();
    }
    if (bytes > AT_HAND_BYTES / 2 || !this.#newer.table.addNew(address)) return;
    this.#newer.plain.push(plain);
    this.#newer.bytes += bytes;
  }
}

function find({ table, plain }: Generation, address: Address): Uint8Array | undefined {
  const number = table.find(address);
  return number < 0 ? undefined : plain[number];
}

function emptyGeneration(): Generation {
  return { table: new DigestTable(), plain: [], bytes: 0 };
}
