/** Chunks that were looked up, with all that they copy from: where each stands, and what it copies from. */
import { type Address, ADDRESS_LENGTH, DigestTable } from '../core/index.js';
import { type ChunkGraph, FIELD_COUNT, FIELDS, IN_MEMORY } from './chunk-graph.js';
import { CODECS, MAX_CHAIN } from './codec.js';
import type { Location } from './index-port.js';

/** Where a chunk stands, and how it is kept there. */
export type StoredForm = Omit<Location, 'baseCount'>;

/** The stored bytes of chunks: in memory by their numbers, or in open files by the packs they stand in. */
export type StoredBytes =
  { readonly memory: readonly Uint8Array[] } | { readonly descriptors: ReadonlyMap<string, number> };

const NO_BASES: readonly number[] = [];
const NOBODY = -1;
/** In place of the length of a chain. */
const UNSEEN = -1;

/**
 * See the head of this file. Each chunk has a number, in the order in which it was first mentioned; the caller then says where it
 * stands. A read may come to thousands of small chunks, which is why there is no object for each.
 */
export class FoundChunks {
  readonly addresses: Address[] = [];
  /** By the numbers of the chunks. Of one that is at hand, that of its plaintext, which stands in no pack. */
  readonly forms: StoredForm[] = [];
  /** The plaintexts of those that need not be read, by their numbers. */
  readonly atHand = new Map<number, Uint8Array>();
  readonly #bases: (readonly number[])[] = [];
  /** The first chunk that copies from each. */
  readonly #dependants: number[] = [];
  readonly #table = new DigestTable();
  /** The numbers of chunks by their numbers in the table. */
  readonly #numbers: number[] = [];
  /** The numbers of chunks by their keys, and the keys by the numbers: see {@link setKey}. */
  readonly #byKey = new Map<number, number>();
  readonly #keys: (number | undefined)[] = [];

  /** The number of a chunk, which is given one if it has none. */
  mention(address: Address, dependant = NOBODY): number {
    const known = this.#table.size;
    const entry = this.#table.add(address);
    if (entry < known) return this.#numbers[entry] as number;
    return (this.#numbers[entry] = this.#number(address, dependant));
  }

  /** Adds a copy of a chunk, which may be mentioned besides. Gives its number. */
  addCopy(address: Address): number {
    return this.#number(address, NOBODY);
  }

  /** Says where a chunk stands and what it copies from, which is thereby mentioned. */
  place(number: number, form: StoredForm, bases: readonly Address[]): void {
    this.forms[number] = form;
    if (bases.length > 0) this.#bases[number] = bases.map((base) => this.mention(base, number));
  }

  /** The number that an index has for a chunk: its key, by which it is known from now on besides its address. */
  setKey(number: number, key: number): void {
    this.#keys[number] = key;
    if (!this.#byKey.has(key)) this.#byKey.set(key, number);
  }

  /** Undefined while it has none. */
  keyOf(number: number): number | undefined {
    return this.#keys[number];
  }

  /**
   * The same as {@link place} by the keys of what a chunk copies from: to go by numbers takes a fraction of the time that addresses
   * take.
   * @param addressOf tells the address of a chunk by its key.
   */
  placeByKeys(
    number: number,
    form: StoredForm,
    bases: Uint32Array,
    addressOf: (key: number) => Address,
  ): void {
    this.forms[number] = form;
    if (bases.length === 0) return;
    const own: number[] = [];
    for (const key of bases) {
      const known = this.#byKey.get(key) ?? this.#number(addressOf(key), number);
      if (this.#keys[known] !== key) this.setKey(known, key);
      own.push(known);
    }
    this.#bases[number] = own;
  }

  /** Gives a chunk that somebody has read before, and compared with its address: whatever it copies from is not needed. */
  placeAtHand(number: number, plain: Uint8Array): void {
    const length = plain.length;
    this.atHand.set(number, plain);
    this.forms[number] = {
      pack: '',
      kind: 'node',
      codec: CODECS.raw,
      offset: 0,
      storedLength: length,
      length,
    };
  }

  /** The packs in which those stand that are to be read. */
  packs(): Set<string> {
    const packs = new Set<string>();
    for (let number = 0; number < this.forms.length; number++)
      if (!this.atHand.has(number)) packs.add((this.forms[number] as StoredForm).pack);
    return packs;
  }

  basesOf(number: number): readonly number[] {
    return this.#bases[number] as readonly number[];
  }

  /** A chunk that copies from this one, if that is why it was mentioned. */
  dependantOf(number: number): Address | undefined {
    return this.addresses[this.#dependants[number] as number];
  }

  /**
   * Chunks with all that they copy from; all of it must have been placed.
   * @param onTooLong is called with the address of a chunk that copies from itself, or that is more than {@link MAX_CHAIN} deltas away from
   * one that stands alone, the longest way.
   */
  graph(roots: readonly number[], bytes: StoredBytes, onTooLong: (address: Address) => never): ChunkGraph {
    const order = this.#inOrder(roots, onTooLong);
    const renumbered = new Uint32Array(this.addresses.length);
    const fields = new Float64Array(order.length * FIELD_COUNT);
    const addresses = new Uint8Array(order.length * ADDRESS_LENGTH);
    const bases: number[] = [];
    const memory: Uint8Array[] = [];
    for (let i = 0, at = 0; i < order.length; i++, at += FIELD_COUNT) {
      const number = order[i] as number;
      const { codec, length, pack, offset, storedLength } = this.forms[number] as StoredForm;
      const ownBases = this.basesOf(number);
      fields[at + FIELDS.codec] = codec;
      fields[at + FIELDS.length] = length;
      fields[at + FIELDS.offset] = offset;
      fields[at + FIELDS.storedLength] = storedLength;
      fields[at + FIELDS.baseCount] = ownBases.length;
      const inMemory = this.#inMemory(number, bytes);
      if (inMemory !== undefined) memory[i] = inMemory;
      fields[at + FIELDS.descriptor] = inMemory ? IN_MEMORY : descriptorOf(pack, bytes);
      addresses.set(this.addresses[number] as Address, i * ADDRESS_LENGTH);
      for (let j = 0; j < ownBases.length; j++) bases.push(renumbered[ownBases[j] as number] as number);
      renumbered[number] = i;
    }
    const wanted = new Uint32Array(roots.length);
    for (let i = 0; i < roots.length; i++) wanted[i] = renumbered[roots[i] as number] as number;
    return { roots: wanted, fields, addresses, bases: Uint32Array.from(bases), memory };
  }

  #inMemory(number: number, bytes: StoredBytes): Uint8Array | undefined {
    return this.atHand.get(number) ?? ('memory' in bytes ? bytes.memory[number] : undefined);
  }

  #number(address: Address, dependant: number): number {
    this.#bases.push(NO_BASES);
    this.#dependants.push(dependant);
    return this.addresses.push(address) - 1;
  }

  /** Chunks and all that they copy from, each after what it copies from. */
  #inOrder(roots: readonly number[], onTooLong: (address: Address) => never): number[] {
    const order: number[] = [];
    const chains = new Int8Array(this.addresses.length).fill(UNSEEN);
    for (const root of roots) this.#visit(root, 0, chains, order, onTooLong);
    return order;
  }

  /**
   * Puts a chunk behind all that it copies from. The rounds in which chunks were found are those of the shortest way to each; a longer
   * way may have any length, or no end.
   * @param chains for those that were left: how many deltas each is away from a chunk that stands alone, the longest way.
   */
  #visit(
    number: number,
    depth: number,
    chains: Int8Array,
    order: number[],
    onTooLong: (address: Address) => never,
  ): number {
    const known = chains[number] as number;
    if (known !== UNSEEN) return known;
    let chain = 0;
    if (depth <= MAX_CHAIN) {
      const bases = this.basesOf(number);
      for (let i = 0; i < bases.length; i++)
        chain = Math.max(chain, 1 + this.#visit(bases[i] as number, depth + 1, chains, order, onTooLong));
    }
    if (depth > MAX_CHAIN || chain > MAX_CHAIN) onTooLong(this.addresses[number] as Address);
    chains[number] = chain;
    order.push(number);
    return chain;
  }
}

function descriptorOf(pack: string, bytes: StoredBytes): number {
  return 'descriptors' in bytes ? (bytes.descriptors.get(pack) as number) : IN_MEMORY;
}
