/** Which snapshots share which chunks: the oldest that needs each chunk, and whether others need it too. */
import { type Address, DigestTable } from '../core/index.js';
import { type ChunkStore, DeltasByPack } from '../cas/index.js';
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

/** A chunk that copies from others. */
interface Delta {
  readonly address: Address;
  readonly bases: readonly Address[];
}

const SHARED = 1;
const SHARED_ACROSS = 2;

/** Finds out for every chunk who needs it. Subtrees that bring nothing new are not walked again. */
export class OwnershipTable {
  readonly #table = new DigestTable();
  #owners = new Uint32Array(64);
  #flags = new Uint8Array(64);
  /** Chunks with lower numbers are reached by snapshots; the others are held. */
  #reached = Infinity;

  /** @param snapshots oldest first. */
  static async build(nodes: NodesReader, snapshots: readonly Audited[]): Promise<OwnershipTable> {
    const ownership = new OwnershipTable();
    for (const [position, { manifest }] of snapshots.entries()) {
      const claim = (address: Address): boolean => ownership.#claim(address, position, snapshots);
      for await (const { data } of reachable(nodes, manifest, claim))
        for (const address of data) claim(address);
    }
    return ownership;
  }

  /** Notes that whoever needs a delta needs what it is told by, directly or not. */
  async addBases(store: ChunkStore, snapshots: readonly Audited[]): Promise<void> {
    this.#reached = this.#table.size;
    const addresses = new DigestTable();
    const noted = new DeltasByPack();
    for await (const entries of store.parts.index.entries())
      for (const entry of entries) noted.add(addresses.add(entry.address), entry);
    const deltas: Delta[] = [];
    for await (const some of noted.read(store))
      for (const { number, bases } of some) deltas.push({ address: addresses.at(number), bases });
    for (let news = true; news;) {
      news = false;
      for (const { address, bases } of deltas) {
        const found = this.find(address);
        if (found === undefined) continue;
        for (const base of bases) news = this.#claimLike(base, found, snapshots) || news;
      }
    }
  }

  #claimLike(
    base: Address,
    { owner, shared, sharedAcross }: Ownership,
    snapshots: readonly Audited[],
  ): boolean {
    const isNews = this.#claim(base, owner, snapshots);
    const index = this.#table.find(base);
    const before = this.#flags[index] as number;
    const after = before | (shared ? SHARED : 0) | (sharedAcross ? SHARED_ACROSS : 0);
    this.#flags[index] = after;
    return isNews || after !== before;
  }

  /** Undefined for a chunk that no snapshot needs. */
  find(address: Address): Ownership | undefined {
    const index = this.#table.find(address);
    if (index < 0) return undefined;
    const flags = this.#flags[index] as number;
    return {
      owner: this.#owners[index] as number,
      shared: (flags & SHARED) !== 0,
      sharedAcross: (flags & SHARED_ACROSS) !== 0,
      held: index >= this.#reached,
    };
  }

  /** Notes that a snapshot needs a chunk. Gives whether that was news. */
  #claim(address: Address, position: number, snapshots: readonly Audited[]): boolean {
    const known = this.#table.size;
    const index = this.#table.add(address);
    if (this.#table.size > known) {
      this.#set(index, position);
      return true;
    }
    const owner = this.#owners[index] as number;
    if (owner === position) return false;
    const across = snapshots[owner]?.collection !== snapshots[position]?.collection;
    const before = this.#flags[index] as number;
    const after = before | SHARED | (across ? SHARED_ACROSS : 0);
    this.#flags[index] = after;
    return after !== before;
  }

  #set(index: number, owner: number): void {
    if (index >= this.#owners.length) {
      const owners = new Uint32Array(index * 2);
      owners.set(this.#owners);
      this.#owners = owners;
      const flags = new Uint8Array(index * 2);
      flags.set(this.#flags);
      this.#flags = flags;
    }
    this.#owners[index] = owner;
  }
}
