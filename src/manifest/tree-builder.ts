/**
 * Builds a tree from its entries in order.
 *
 * Where a node ends is decided by a hash of its last entry's key on that level (see core/local-minimum.ts), so the nodes, and
 * with them the root, follow from the entries alone: whatever the history, the same content has the same root. A change of what
 * stands under a key replaces one node of each level. An entry that is inserted or deleted, or whose key changes, replaces at
 * most 3 nodes of level 0, and so at most 4 neighbouring entries and 4 nodes of each level above (as long as no end is forced).
 */
import { type Address, type Sha256, viewOf } from '../core/index.js';
import { hashAtLevel, hashBytes } from '../core/index.js';
import { LocalMinimumCutter, type LocalMinimumOptions } from '../core/index.js';
import { encodeNode, type Entry, type Key, sumOf } from './node.js';

/** A node that is complete: to be stored under its address. */
export interface BuiltNode {
  readonly address: Address;
  readonly bytes: Uint8Array;
  readonly level: number;
  /** The key of its last entry; null for a node without entries. */
  readonly key: Key;
  /** Plaintext bytes below. */
  readonly covered: number;
}

/** A tree that is complete. */
export interface BuiltTree {
  readonly root: Address;
  /** Records, chunks or files in the tree. */
  readonly count: number;
  /** Plaintext bytes in the tree. */
  readonly bytes: number;
}

/** Takes the entries of level 0 and gives nodes as they are complete, children before parents. */
export class TreeBuilder {
  readonly #sha256: Sha256;
  readonly #options: LocalMinimumOptions;
  readonly #levels: Level[] = [];

  constructor(sha256: Sha256, options: LocalMinimumOptions) {
    this.#sha256 = sha256;
    this.#options = options;
  }

  /** Takes the next entries. Gives the nodes that they complete. */
  append(entries: readonly Entry[]): BuiltNode[] {
    const complete: BuiltNode[] = [];
    for (const entry of entries) this.#appendAt(0, entry, complete);
    return complete;
  }

  /** Completes the tree. Gives its remaining nodes; the last of them is the root. */
  finish(): { readonly nodes: BuiltNode[]; readonly tree: BuiltTree } {
    const nodes: BuiltNode[] = [];
    for (let level = 0; ; level++) {
      const { pending, closed, cutter } = this.#levelAt(level);
      const isTop = level === this.#levels.length - 1;
      const sizes = cutter.finish();
      if (isTop && closed === 0 && sizes.length <= 1) {
        const node = this.#build({ level, entries: pending });
        nodes.push(node);
        return { nodes, tree: { root: node.address, ...sumOf(pending) } };
      }
      for (const size of sizes) this.#close(level, size, nodes);
    }
  }

  #appendAt(level: number, entry: Entry, complete: BuiltNode[]): void {
    const { pending, cutter } = this.#levelAt(level);
    pending.push(entry);
    const size = cutter.push(hashAtLevel(entryHash(entry), level));
    if (size > 0) this.#close(level, size, complete);
  }

  #close(level: number, size: number, complete: BuiltNode[]): void {
    const state = this.#levelAt(level);
    const entries = state.pending.splice(0, size);
    state.closed++;
    const node = this.#build({ level, entries });
    complete.push(node);
    const key = entries.at(-1)?.key ?? null;
    this.#appendAt(level + 1, { key, ...sumOf(entries), value: node.address }, complete);
  }

  #build(node: { level: number; entries: readonly Entry[] }): BuiltNode {
    const bytes = encodeNode(node);
    const { level, entries } = node;
    const key = entries.at(-1)?.key ?? null;
    return { address: this.#sha256(bytes), bytes, level, key, covered: sumOf(entries).bytes };
  }

  #levelAt(level: number): Level {
    return (this.#levels[level] ??= {
      pending: [],
      closed: 0,
      cutter: new LocalMinimumCutter(this.#options),
    });
  }
}

interface Level {
  /** Entries that belong to no node yet. */
  readonly pending: Entry[];
  /** Nodes that were closed on this level. */
  closed: number;
  readonly cutter: LocalMinimumCutter;
}

/** The hash that decides about ends: of the key, or of the address below where there is no key. */
export function entryHash({ key, value }: Entry): number {
  if (key instanceof Uint8Array) return hashBytes(key);
  if (typeof key === 'number') return key;
  return value instanceof Uint8Array && value.length >= 4 ? viewOf(value).getUint32(0, true) : 0;
}
