/** What must stay. */
import type { Catalogue } from '../cas/index.js';
import { type Address, type DigestTable, NumberColumn } from '../core/index.js';

/** Tells whether a chunk is in a set. */
export type IsNeeded = (address: Address) => boolean;

const DEAD = 0;
const REACHED = 1;
const HELD = 2;

/**
 * The chunks that a sweep keeps, by their numbers in a catalogue: those that snapshots reach, and those that are held only because deltas
 * copy from them, directly or not.
 */
export class LiveChunks {
  readonly catalogue: Catalogue;
  readonly #states = new NumberColumn(1);
  #reachedCount = 0;
  #heldCount = 0;

  constructor(catalogue: Catalogue) {
    this.catalogue = catalogue;
  }

  /** How many chunks snapshots reach. */
  get reachedCount(): number {
    return this.#reachedCount;
  }

  /** How many others are held. */
  get heldCount(): number {
    return this.#heldCount;
  }

  has(address: Address): boolean {
    return this.test()(address);
  }

  /**
   * Tells of addresses whether they are live and their numbers in none of some sets. It needs no more of the catalogue than the table, so
   * that the rest need not be kept for it.
   */
  test(...except: readonly ReadonlySet<number>[]): IsNeeded {
    return testOf(this.catalogue.table, this.#states, except);
  }

  isLive(number: number): boolean {
    return this.#states.get(number) !== DEAD;
  }

  isHeld(number: number): boolean {
    return this.#states.get(number) === HELD;
  }

  /** Notes that a snapshot reaches a chunk. To be done for all before anything is held. */
  reach(number: number): void {
    if (this.isLive(number)) return;
    this.#states.set(number, REACHED);
    this.#reachedCount++;
  }

  /** Notes that a delta copies from a chunk. Gives whether it was not live before. */
  hold(number: number): boolean {
    if (this.isLive(number)) return false;
    this.#states.set(number, HELD);
    this.#heldCount++;
    return true;
  }

  /** The numbers of those that snapshots reach, ascending. */
  *reached(): IterableIterator<number> {
    for (let number = 0; number < this.catalogue.size; number++)
      if (this.#states.get(number) === REACHED) yield number;
  }
}

function testOf(table: DigestTable, states: NumberColumn, except: readonly ReadonlySet<number>[]): IsNeeded {
  return (address) => {
    const number = table.find(address);
    return number >= 0 && states.get(number) !== DEAD && !except.some((numbers) => numbers.has(number));
  };
}
