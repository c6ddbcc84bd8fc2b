/** Reads trees: all entries, a range, the n-th, every node in order, and what differs between two of them. */
import {
  type Address,
  type Canonical,
  compareBytes,
  equalBytes,
  encodeCanonical,
  toHex,
  type VecsnapError,
} from '../core/index.js';
import {
  checkChild,
  checkTotals,
  childAddress,
  damaged,
  decodeNode,
  type Entry,
  type Key,
  type Node,
} from './node.js';

/** All that reading a tree needs of a store: the plaintext of chunks. */
export interface ChunkReader {
  get(address: Address): Promise<Uint8Array>;
  /** Several at once, in their order, where that is quicker. */
  getMany?(addresses: readonly Address[]): Promise<Uint8Array[]>;
}

/** A part of a tree whose keys are bytes: keys from `from` on and before `to`. */
export interface KeyRange {
  readonly from?: Uint8Array | undefined;
  readonly to?: Uint8Array | undefined;
}

/** A part of a tree by the positions of its items, counted from 0: those from `from` on and before `to`. */
export interface PositionRange {
  readonly from?: number | undefined;
  readonly to?: number | undefined;
}

/** A tree and what it holds, as somebody says who refers to it. */
export interface ToldTree {
  readonly root: Address;
  /** Records, chunks or files. */
  readonly count?: number;
  /** Plaintext bytes. */
  readonly bytes: number;
}

/** An entry, and how many items of the tree come before it. */
export interface PlacedEntry {
  readonly entry: Entry;
  readonly before: number;
}

/** Entries that only one of two trees has. */
export interface EntryDifference {
  /** In the first tree only, in its order. */
  readonly removed: readonly Entry[];
  /** In the second tree only, in its order. */
  readonly added: readonly Entry[];
}

/** A node that a walk comes to. */
export interface Step extends Node {
  readonly address: Address;
}

/** Is told the error of a node that cannot be read, and throws it or lets the walk go on without that node. */
export type DamageHandler = (error: unknown) => void;

/** Reads the trees of one store. */
export class TreeReader {
  readonly #chunks: ChunkReader;

  constructor(chunks: ChunkReader) {
    this.#chunks = chunks;
  }

  /** @throws VecsnapError MANIFEST_DAMAGED, or what the store throws. */
  async node(address: Address): Promise<Node> {
    return decodeNode(await this.#chunks.get(address));
  }

  /** Several nodes, read together where the store can. @throws VecsnapError as {@link node}. */
  async nodes(addresses: readonly Address[]): Promise<Node[]> {
    const chunks = this.#chunks;
    const bytes = chunks.getMany?.(addresses) ?? Promise.all(addresses.map((address) => chunks.get(address)));
    return (await bytes).map(decodeNode);
  }

  /**
   * The root of a tree.
   * @throws VecsnapError MANIFEST_DAMAGED when it holds more or less than is said, or what the store throws.
   */
  async root(tree: Address | ToldTree): Promise<Node> {
    if (tree instanceof Uint8Array) return this.node(tree);
    const node = await this.node(tree.root);
    checkTotals(node, tree, 'what refers to it');
    return node;
  }

  /**
   * The entries of level 0 in order. With a range, those whose group may hold keys of the range: an entry's key is the last
   * of its group, so the first group that is given may begin before `from`.
   */
  async *entries(tree: Address | ToldTree, range: KeyRange = {}): AsyncGenerator<Entry> {
    for await (const leaf of this.leaves(tree, range)) yield* leaf;
  }

  /** The same, those of one node at a time, which takes a fraction of the time. */
  async *leaves(tree: Address | ToldTree, range: KeyRange = {}): AsyncGenerator<readonly Entry[]> {
    yield* this.#leavesBelow(await this.root(tree), range, null);
  }

  /** The entries of level 0 that hold items of the range, in order. Nodes without any are not read, but for the root. */
  async *entriesBetween(tree: Address | ToldTree, range: PositionRange): AsyncGenerator<PlacedEntry> {
    const { from = 0, to = Infinity } = range;
    if (from < to) yield* this.#placedBelow(await this.root(tree), range, null, 0);
  }

  /**
   * The entry of level 0 that holds the item at `position`, counted from 0, and how many items come before it.
   * @returns undefined when the tree has fewer items.
   * @throws RangeError for a position that is not a whole number from 0 on.
   */
  async entryAt(root: Address, position: number): Promise<PlacedEntry | undefined> {
    if (!Number.isSafeInteger(position) || position < 0) throw new RangeError(`no position: ${position}`);
    let node = await this.node(root);
    let before = 0;
    for (;;) {
      const found = findPosition(node.entries, position - before);
      if (found === undefined) return undefined;
      before += found.before;
      if (node.level === 0) return { entry: found.entry, before };
      node = await this.#child(found.entry, node.level, null);
    }
  }

  /**
   * Every node, before what stands below it, in order. A node that cannot be read is told to `onDamage`; unless that throws, it is left
   * out with what stands below it.
   */
  async *steps(root: Address, onDamage: DamageHandler = rethrow): AsyncGenerator<Step> {
    const node = await this.node(root).catch(onDamage);
    if (node) yield* this.#stepsBelow(root, node, null, onDamage);
  }

  /** What differs between two trees. Equal subtrees are not read. */
  async diff(a: Address, b: Address): Promise<EntryDifference> {
    if (equalBytes(a, b)) return { removed: [], added: [] };
    let left = await this.node(a);
    let right = await this.node(b);
    while (left.level > 0 || right.level > 0) {
      const level = Math.max(left.level, right.level);
      if (left.level === right.level) [left, right] = withoutShared(left, right);
      const expandLeft = left.level === level;
      const expandRight = right.level === level;
      if (expandLeft) left = await this.#expand(left);
      if (expandRight) right = await this.#expand(right);
    }
    const [removed, added] = withoutShared(left, right);
    return { removed: removed.entries, added: added.entries };
  }

  /** @param after the key before the first entry. */
  async *#stepsBelow(
    address: Address,
    node: Node,
    after: Key,
    onDamage: DamageHandler,
  ): AsyncGenerator<Step> {
    yield { address, ...node };
    if (node.level === 0) return;
    let previous = after;
    for (const entry of node.entries) {
      const child = await this.#child(entry, node.level, previous).catch(onDamage);
      if (child) yield* this.#stepsBelow(childAddress(entry), child, previous, onDamage);
      previous = entry.key;
    }
  }

  async *#leavesBelow(node: Node, range: KeyRange, after: Key): AsyncGenerator<readonly Entry[]> {
    const { entries, level } = node;
    const keyBefore = (i: number): Key => (i === 0 ? after : (entries[i - 1] as Entry).key);
    if (level === 0) {
      yield entries.filter((entry, i) => mayHold(entry, keyBefore(i), range));
      return;
    }
    for (const [i, entry] of entries.entries()) {
      const previous = keyBefore(i);
      if (!mayHold(entry, previous, range)) continue;
      yield* this.#leavesBelow(await this.#child(entry, level, previous), range, previous);
    }
  }

  async *#placedBelow(
    node: Node,
    range: PositionRange,
    after: Key,
    before: number,
  ): AsyncGenerator<PlacedEntry> {
    let [previous, position] = [after, before];
    for (const entry of node.entries) {
      const end = position + entry.count;
      if (end > (range.from ?? 0) && position < (range.to ?? Infinity)) {
        if (node.level === 0) yield { entry, before: position };
        else {
          const child = await this.#child(entry, node.level, previous);
          yield* this.#placedBelow(child, range, previous, position);
        }
      }
      [previous, position] = [entry.key, end];
    }
  }

  async #child(entry: Entry, parentLevel: number, after: Key): Promise<Node> {
    const child = await this.node(childAddress(entry));
    checkChild(child, entry, parentLevel, after);
    return child;
  }

  async #expand(node: Node): Promise<Node> {
    const entries: Entry[] = [];
    for (const entry of node.entries) {
      const after = entries.at(-1)?.key ?? null;
      for (const below of (await this.#child(entry, node.level, after)).entries) entries.push(below);
      if (entries.length > MOST_COMPARED) throw tooDifferent();
    }
    return { level: node.level - 1, entries };
  }
}

/** Entries of one tree that are compared at a time: they are held in memory. A few that repeat one child could tell of any number. */
const MOST_COMPARED = 2 ** 20;

function tooDifferent(): VecsnapError {
  return damaged(`two trees differ in more than ${MOST_COMPARED} places, which are too many to compare`);
}

/** Stops at the first node that cannot be read. */
export function rethrow(error: unknown): never {
  throw error;
}

/** Whether the keys of an entry, which come after `previous`, may lie in the range. */
function mayHold({ key }: Entry, previous: Key, { from, to }: KeyRange): boolean {
  if (!(key instanceof Uint8Array)) return true;
  const endsBefore = from !== undefined && compareBytes(key, from) < 0;
  const beginsAfter = to !== undefined && previous instanceof Uint8Array && compareBytes(previous, to) >= 0;
  return !endsBefore && !beginsAfter;
}

function findPosition(entries: readonly Entry[], position: number): PlacedEntry | undefined {
  let before = 0;
  for (const entry of entries) {
    if (position < before + entry.count) return { entry, before };
    before += entry.count;
  }
  return undefined;
}

/** Two nodes of one level without the entries that both have. An entry that stands n times in both goes n times. */
function withoutShared(left: Node, right: Node): [Node, Node] {
  const inLeft = countByIdentity(left.entries);
  const shared = new Map<string, number>();
  const rightOnly = right.entries.filter((entry) => {
    const identity = identityOf(entry);
    const there = inLeft.get(identity) ?? 0;
    if (there === 0) return true;
    inLeft.set(identity, there - 1);
    shared.set(identity, (shared.get(identity) ?? 0) + 1);
    return false;
  });
  const leftOnly = left.entries.filter((entry) => {
    const identity = identityOf(entry);
    const there = shared.get(identity) ?? 0;
    if (there > 0) shared.set(identity, there - 1);
    return there === 0;
  });
  return [
    { level: left.level, entries: leftOnly },
    { level: right.level, entries: rightOnly },
  ];
}

function countByIdentity(entries: readonly Entry[]): Map<string, number> {
  const counts = new Map<string, number>();
  for (const entry of entries) {
    const identity = identityOf(entry);
    counts.set(identity, (counts.get(identity) ?? 0) + 1);
  }
  return counts;
}

/** Equal for equal entries and for no others. */
function identityOf({ key, count, value }: Entry): string {
  return toHex(encodeCanonical([key, count, value] as readonly Canonical[]));
}
