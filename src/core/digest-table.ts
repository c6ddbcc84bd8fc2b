/**
 * A set of addresses in flat memory: 32 bytes each and about 6 more for the hash slots.
 *
 * A `Map` with text keys takes over 200 bytes an address. Every address gets a number, in the order of
 * insertion, by which callers keep columns of their own beside it.
 */
import { ADDRESS_LENGTH, type Address } from './address.js';

const EMPTY = 0;
const INITIAL_CAPACITY = 64;

/** Numbers addresses from 0 in the order they come. */
export class DigestTable {
  #digests = new Uint8Array(INITIAL_CAPACITY * ADDRESS_LENGTH);
  /** One more than the number of the address in each slot; linear probing, at most two thirds full. */
  #slots = new Uint32Array(INITIAL_CAPACITY * 2);
  #size = 0;

  get size(): number {
    return this.#size;
  }

  /** The number of `address`, or -1. */
  find(address: Address): number {
    return (this.#slots[this.#probe(address)] as number) - 1;
  }

  has(address: Address): boolean {
    return this.find(address) >= 0;
  }

  /** The number of `address`, which is added when it is new. */
  add(address: Address): number {
    const slot = this.#probe(address);
    const found = this.#slots[slot] as number;
    if (found !== EMPTY) return found - 1;
    return this.#insert(slot, address);
  }

  /** Adds `address`. Gives whether it is new. */
  addNew(address: Address): boolean {
    const known = this.#size;
    this.add(address);
    return this.#size > known;
  }

  /** Makes room for `size` addresses in all, which is quicker than to grow with each. */
  reserve(size: number): void {
    if (size * ADDRESS_LENGTH > this.#digests.length) this.#growDigests(size);
    if (size * 3 > this.#slots.length * 2) this.#growSlots(size);
  }

  /** The address of number `index`, as a view that stays valid until the next `add`. */
  at(index: number): Address {
    if (!(index >= 0 && index < this.#size)) throw new RangeError(`no address has the number ${index}`);
    return this.#digests.subarray(index * ADDRESS_LENGTH, (index + 1) * ADDRESS_LENGTH) as Address;
  }

  *[Symbol.iterator](): IterableIterator<Address> {
    for (let index = 0; index < this.#size; index++) yield this.at(index);
  }

  #insert(slot: number, address: Address): number {
    const index = this.#size++;
    if (this.#size * ADDRESS_LENGTH > this.#digests.length) this.#growDigests(this.#size);
    this.#digests.set(address, index * ADDRESS_LENGTH);
    this.#slots[slot] = index + 1;
    if (this.#size * 3 > this.#slots.length * 2) this.#growSlots(this.#size);
    return index;
  }

  #growDigests(size: number): void {
    const grown = new Uint8Array(Math.max(this.#digests.length * 2, size * ADDRESS_LENGTH));
    grown.set(this.#digests);
    this.#digests = grown;
  }

  #growSlots(size: number): void {
    let slots = this.#slots.length * 2;
    while (size * 3 > slots * 2) slots *= 2;
    this.#slots = new Uint32Array(slots);
    for (let index = 0; index < this.#size; index++) this.#slots[this.#probe(this.at(index))] = index + 1;
  }

  /** The slot where `address` stands, or the empty one where it would. A digest is its own hash. */
  #probe(address: Address): number {
    const mask = this.#slots.length - 1;
    let slot = firstWord(address) & mask;
    for (;;) {
      const found = this.#slots[slot] as number;
      if (found === EMPTY || this.#equals(found - 1, address)) return slot;
      slot = (slot + 1) & mask;
    }
  }

  #equals(index: number, address: Address): boolean {
    const start = index * ADDRESS_LENGTH;
    for (let i = 0; i < ADDRESS_LENGTH; i++) {
      if (this.#digests[start + i] !== address[i]) return false;
    }
    return true;
  }
}

function firstWord(address: Address): number {
  const bytes: Uint8Array = address;
  return (
    ((bytes[0] as number) |
      ((bytes[1] as number) << 8) |
      ((bytes[2] as number) << 16) |
      ((bytes[3] as number) << 24)) >>>
    0
  );
}
