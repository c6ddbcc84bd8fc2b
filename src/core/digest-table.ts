/**
 * A set of addresses in flat memory: 32 bytes each and about 6 more for the hash slots.
 *
 * A `Map` with text keys takes over 200 bytes an address. Every address gets a number, in the order of
 * insertion, by which callers keep columns of their own beside it.
 */
import { ADDRESS_LENGTH, type Address } from './address.js';

const EMPTY = 0;
const INITIAL_CAPACITY = 64;
/** The slots of a table that nothing was added to: many are made, and asked, that stay so. */
const NO_SLOTS = new Uint32Array(1);
/** Addresses in a page. Only the first page is ever copied, while the table is small. */
const PAGE_BITS = 15;
const PAGE = 1 << PAGE_BITS;

/** Numbers addresses from 0 in the order they come. */
export class DigestTable {
  readonly #pages: Uint8Array[] = [];
  /** One more than the number of the address in each slot; linear probing, at most two thirds full. */
  #slots = NO_SLOTS;
  #size = 0;

  get size(): number {
    return this.#size;
  }

  /** The number of `address`, or -1. */
  find(address: Address): number {
    return (this.#slots[this.#probe(address, 0)] as number) - 1;
  }

  has(address: Address): boolean {
    return this.find(address) >= 0;
  }

  /** The number of `address`, which is added when it is new. */
  add(address: Address): number {
    return this.addAt(address, 0);
  }

  /** The same for the address that begins at a position of `bytes`, for which a view would take longer to make than this does. */
  addAt(bytes: Uint8Array, position: number): number {
    if (this.#slots === NO_SLOTS) this.reserve(INITIAL_CAPACITY);
    const slot = this.#probe(bytes, position);
    const found = this.#slots[slot] as number;
    if (found !== EMPTY) return found - 1;
    return this.#insert(slot, bytes, position);
  }

  /** Adds `address`. Gives whether it is new. */
  addNew(address: Address): boolean {
    const known = this.#size;
    this.add(address);
    return this.#size > known;
  }

  /** Makes room for `size` addresses in all, which is quicker than to grow with each. */
  reserve(size: number): void {
    this.#growFirstPage(size);
    if (size * 3 > this.#slots.length * 2) this.#growSlots(size);
  }

  /** The address of number `index`, as a view that stays valid until the next `add`. */
  at(index: number): Address {
    if (!(index >= 0 && index < this.#size)) throw new RangeError(`no address has the number ${index}`);
    const start = startOf(index);
    return this.#pageOf(index).subarray(start, start + ADDRESS_LENGTH) as Address;
  }

  *[Symbol.iterator](): IterableIterator<Address> {
    for (let index = 0; index < this.#size; index++) yield this.at(index);
  }

  #insert(slot: number, bytes: Uint8Array, position: number): number {
    const index = this.#size++;
    if (index < PAGE) this.#growFirstPage(this.#size);
    else if (index >>> PAGE_BITS === this.#pages.length)
      this.#pages.push(new Uint8Array(PAGE * ADDRESS_LENGTH));
    const page = this.#pageOf(index);
    const start = startOf(index);
    for (let i = 0; i < ADDRESS_LENGTH; i++) page[start + i] = bytes[position + i] as number;
    this.#slots[slot] = index + 1;
    if (this.#size * 3 > this.#slots.length * 2) this.#growSlots(this.#size);
    return index;
  }

  #growFirstPage(size: number): void {
    const first = this.#pages[0];
    const room = first?.length ?? 0;
    const wanted = Math.min(size, PAGE) * ADDRESS_LENGTH;
    if (wanted <= room) return;
    const grown = new Uint8Array(Math.min(Math.max(room * 2, wanted), PAGE * ADDRESS_LENGTH));
    if (first !== undefined) grown.set(first);
    this.#pages[0] = grown;
  }

  #growSlots(size: number): void {
    let slots = this.#slots.length * 2;
    while (size * 3 > slots * 2) slots *= 2;
    this.#slots = new Uint32Array(slots);
    for (let index = 0; index < this.#size; index++)
      this.#slots[this.#probe(this.#pageOf(index), startOf(index))] = index + 1;
  }

  /** The slot where an address stands, or the empty one where it would. A digest is its own hash. */
  #probe(bytes: Uint8Array, position: number): number {
    const mask = this.#slots.length - 1;
    let slot = firstWord(bytes, position) & mask;
    for (;;) {
      const found = this.#slots[slot] as number;
      if (found === EMPTY || this.#equals(found - 1, bytes, position)) return slot;
      slot = (slot + 1) & mask;
    }
  }

  #equals(index: number, bytes: Uint8Array, position: number): boolean {
    const page = this.#pageOf(index);
    const start = startOf(index);
    for (let i = 0; i < ADDRESS_LENGTH; i++) {
      if (page[start + i] !== bytes[position + i]) return false;
    }
    return true;
  }

  #pageOf(index: number): Uint8Array {
    return this.#pages[index >>> PAGE_BITS] as Uint8Array;
  }
}

/** Where an address begins in its page. */
function startOf(index: number): number {
  return (index & (PAGE - 1)) * ADDRESS_LENGTH;
}

function firstWord(bytes: Uint8Array, position: number): number {
  return (
    ((bytes[position] as number) |
      ((bytes[position + 1] as number) << 8) |
      ((bytes[position + 2] as number) << 16) |
      ((bytes[position + 3] as number) << 24)) >>>
    0
  );
}
