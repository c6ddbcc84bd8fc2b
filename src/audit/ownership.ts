/** Which snapshots share which chunks: the oldest that needs each chunk, and whether others need it too. */
import { type Address, NumberColumn } from '../core/index.js';
import type { Catalogue } from '../cas/index.js';
import { type NodesReader, reachable } from '../manifest/index.js';

/** As much of a snapshot as the audit looks at. */
export interface Audited {
  readonly id: string;
  readonly collection: string;
  readonly manifest: Address;
}

/** What is known of one chunk. */
export interface Ownership {
  /** The position of the oldest snapshot that needs it. */
  readonly owner: number;
  /** Whether another snapshot needs it as well. */
  readonly shared: boolean;
  /** Whether a snapshot of another collection needs it as well. */
  readonly sharedAcross: boolean;
  /** Whether it is needed only because a delta copies from it. */
  readonly held: boolean;
}

const SHARED = 1;
const SHARED_ACROSS = 2;
const REACHED = 4;
const NOBODY = 0;

/** Finds out for every chunk who needs it. Subtrees that bring nothing new are not walked again. */
export class OwnershipTable {
  readonly #catalogue: Catalogue;
  readonly #snapshots: readonly Audited[];
  // Of each chunk, by its number in the catalogue:
  /** One more than the position of the snapshot that owns it, or {@link NOBODY}. */
  readonly #owners = new NumberColumn();
  readonly #flags = new NumberColumn(1);

  private constructor(catalogue: Catalogue, snapshots: readonly Audited[]) {
    this.#catalogue = catalogue;
    this.#snapshots = snapshots;
  }

  /** @param snapshots oldest first. */
  static async build(
    catalogue: Catalogue,
    nodes: NodesReader,
    snapshots: readonly Audited[],
  ): Promise<OwnershipTable> {
    const ownership = new OwnershipTable(catalogue, snapshots);
    for (const [position, { manifest }] of snapshots.entries()) {
      const claim = (address: Address): boolean => ownership.#claim(catalogue.number(address), position);
      for await (const { data } of reachable(nodes, manifest, claim))
        for (const address of data) claim(address);
    }
    for (const number of ownership.#owned()) ownership.#addFlags(number, REACHED);
    return ownership;
  }

  /**
   * Notes that whoever needs a delta needs what it is told by, directly or not.
   * @throws VecsnapError PACK_MISSING, PACK_DAMAGED when it cannot be told what one copies from.
   */
  async addBases(): Promise<void> {
    const isPlaced = (number: number): boolean => this.#catalogue.isPlaced(number);
    for (let numbers = this.#owned(); numbers.length > 0;) {
      await this.#catalogue.askIndex(numbers.filter((number) => !isPlaced(number)));
      numbers = this.#spread(numbers.filter(isPlaced));
    }
  }

  /** Undefined for a chunk that no snapshot needs. */
  find(address: Address): Ownership | undefined {
    const number = this.#catalogue.find(address);
    return number < 0 ? undefined : this.of(number);
  }

  /** The same by its number in the catalogue. */
  of(number: number): Ownership | undefined {
    const owner = this.#owners.get(number);
    const flags = this.#flags.get(number);
    if (owner === NOBODY) return undefined;
    return {
      owner: owner - 1,
      shared: (flags & SHARED) !== 0,
      sharedAcross: (flags & SHARED_ACROSS) !== 0,
      held: (flags & REACHED) === 0,
    };
  }

  #owned(): number[] {
    const numbers: number[] = [];
    for (let number = 0; number < this.#catalogue.size; number++)
      if (this.#owners.get(number) !== NOBODY) numbers.push(number);
    return numbers;
  }

  /** Passes on who needs these chunks to what they copy from. Gives those of which it is not known, because they stand nowhere. */
  #spread(numbers: readonly number[]): number[] {
    const unplaced: number[] = [];
    const left = [...numbers];
    for (let number = left.pop(); number !== undefined; number = left.pop()) {
      const delta = number;
      if (!this.#catalogue.isPlaced(delta)) unplaced.push(delta);
      else
        this.#catalogue.forEachBase(delta, (base) => {
          if (this.#claimLike(base, delta)) left.push(base);
        });
    }
    return unplaced;
  }

  /** Notes that whoever needs a delta needs a chunk. Gives whether that was news. */
  #claimLike(base: number, delta: number): boolean {
    const isNews = this.#claim(base, this.#owners.get(delta) - 1);
    return this.#addFlags(base, this.#flags.get(delta) & (SHARED | SHARED_ACROSS)) || isNews;
  }

  /** Notes that a snapshot needs a chunk. Gives whether that was news. */
  #claim(number: number, position: number): boolean {
    const owner = this.#owners.get(number) - 1;
    if (owner === position) return false;
    if (owner < 0 || position < owner) this.#owners.set(number, position + 1);
    if (owner < 0) return true;
    const across = this.#snapshots[owner]?.collection !== this.#snapshots[position]?.collection;
    return this.#addFlags(number, SHARED | (across ? SHARED_ACROSS : 0)) || position < owner;
  }

  /** Gives whether one of them was not there. */
  #addFlags(number: number, flags: number): boolean {
    const before = this.#flags.get(number);
    this.#flags.set(number, before | flags);
    return (before | flags) !== before;
  }
}
