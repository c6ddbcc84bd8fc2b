/**
 * Finds entries of a tree by their keys and goes from one to its neighbours, on any level. Nodes are read when they are come to,
 * and the last few are remembered. Only for trees whose keys are bytes.
 */
import { type Address, compareBytes, type Place, toHex } from '../core/index.js';
import { checkChild, childAddress, damaged, type Entry, type Node, sumOf } from './node.js';
import type { TreeReader } from './tree-reader.js';

/** Nodes that are remembered. */
const NODES_KEPT = 512;
/** Nodes of one level that are read together: so few that those of all levels stay remembered. */
const NODES_TOGETHER = 128;

/** One node on the way down, and which of its entries the way takes. */
interface Turn {
  readonly node: Node;
  readonly index: number;
}

/** See the head of this file. */
export class TreePlaces {
  readonly root: Address;
  readonly #reader: TreeReader;
  readonly #nodes = new Map<string, Promise<Node>>();

  constructor(reader: TreeReader, root: Address) {
    this.#reader = reader;
    this.root = root;
  }

  /** @throws VecsnapError MANIFEST_DAMAGED, or what the store throws. */
  node(address: Address): Promise<Node> {
    const name = toHex(address);
    return this.#remember(name, this.#nodes.get(name) ?? this.#reader.node(address));
  }

  #remember(name: string, node: Promise<Node>): Promise<Node> {
    this.#nodes.delete(name);
    this.#nodes.set(name, node);
    const [oldest] = this.#nodes.keys();
    if (this.#nodes.size > NODES_KEPT && oldest !== undefined) this.#nodes.delete(oldest);
    return node;
  }

  /** The key of the last item, and of the last entry on every level. */
  async lastKey(): Promise<Uint8Array> {
    return keyOf((await this.node(this.root)).entries.at(-1));
  }

  /**
   * Reads the nodes on the way to keys, which ascend, down to those of `level`. Each level is read at once: node by node takes
   * many times as long.
   * @returns the number of keys, one at least, to which all nodes on the way were read.
   * @throws VecsnapError as {@link node}.
   */
  async prepare(level: number, keys: readonly Uint8Array[]): Promise<number> {
    let nodes = [await this.node(this.root)];
    let count = keys.length;
    while ((nodes[0] as Node).level > level) {
      const turns = nodes.flatMap((node) => node.entries.map((_, index): Turn => ({ node, index })));
      const { taken, covered } = turnsTo(keys.slice(0, count), turns);
      this.#readTogether(taken.map(({ node, index }) => childAddress(node.entries[index] as Entry)));
      nodes = await Promise.all(taken.map((turn) => this.#below([turn])));
      count = covered;
    }
    return count;
  }

  #readTogether(addresses: readonly Address[]): void {
    const unread = addresses.filter((address) => !this.#nodes.has(toHex(address)));
    if (unread.length === 0) return;
    const reading = this.#reader.nodes(unread);
    for (const [i, address] of unread.entries()) {
      const node = reading.then((nodes) => nodes[i] as Node);
      node.catch(() => {}); // Whoever comes to it is told.
      void this.#remember(toHex(address), node);
    }
  }

  /** The node that stands under an entry above level 0. */
  async child(entry: Entry): Promise<Node> {
    return this.node(childAddress(entry));
  }

  /**
   * The first entry whose key is not before `key`, or the last one, among those that stand in nodes of `level`. One level above
   * the root there is one entry: the root. The tree must not be empty.
   */
  async find(level: number, key: Uint8Array): Promise<Place<Entry>> {
    const root = await this.node(this.root);
    if (level > root.level) return new RootPlace(this.root, root);
    let node = root;
    const way: Turn[] = [];
    for (;;) {
      const found = node.entries.findIndex((entry) => compareBytes(keyOf(entry), key) >= 0);
      way.push({ node, index: found < 0 ? node.entries.length - 1 : found });
      if (node.level === level) return new EntryPlace(this, way);
      node = await this.#below(way);
    }
  }

  /** The entry of level 0 that holds the item at `position`, counted from 0, and the position after its last item. */
  async at(position: number): Promise<{ place: Place<Entry>; end: number }> {
    let node = await this.node(this.root);
    const way: Turn[] = [];
    for (let end = 0; ;) {
      const index = node.entries.findIndex(({ count }) => (end += count) > position);
      if (index < 0) throw damaged('a tree has fewer items than is said');
      way.push({ node, index });
      if (node.level === 0) return { place: new EntryPlace(this, way), end };
      end -= (node.entries[index] as Entry).count;
      node = await this.#below(way);
    }
  }

  /** The next entry on the level on which `way` ends, or the one before. */
  async neighbour(way: readonly Turn[], step: 1 | -1): Promise<Place<Entry> | undefined> {
    const level = way.at(-1)?.node.level;
    let depth = way.length - 1;
    while (depth >= 0 && (way[depth] as Turn).node.entries[(way[depth] as Turn).index + step] === undefined)
      depth--;
    if (depth < 0) return undefined;
    const { node, index } = way[depth] as Turn;
    const other: Turn[] = [...way.slice(0, depth), { node, index: index + step }];
    while (other.at(-1)?.node.level !== level) {
      const below = await this.#below(other);
      other.push({ node: below, index: step > 0 ? 0 : below.entries.length - 1 });
    }
    return new EntryPlace(this, other);
  }

  /** The node that the way leads to, compared with what its parent says of it. */
  async #below(way: readonly Turn[]): Promise<Node> {
    const { node, index } = way.at(-1) as Turn;
    const entry = node.entries[index] as Entry;
    const child = await this.child(entry);
    checkChild(child, entry, node.level, node.entries[index - 1]?.key ?? null);
    return child;
  }
}

class EntryPlace implements Place<Entry> {
  readonly group: Entry;
  readonly key: Uint8Array;
  readonly #places: TreePlaces;
  readonly #way: readonly Turn[];

  constructor(places: TreePlaces, way: readonly Turn[]) {
    const { node, index } = way.at(-1) as Turn;
    this.group = node.entries[index] as Entry;
    this.key = keyOf(this.group);
    this.#places = places;
    this.#way = way;
  }

  next(): Promise<Place<Entry> | undefined> {
    return this.#places.neighbour(this.#way, 1);
  }

  previous(): Promise<Place<Entry> | undefined> {
    return this.#places.neighbour(this.#way, -1);
  }
}

/** The root, as an entry of a level above it would name it. */
class RootPlace implements Place<Entry> {
  readonly group: Entry;
  readonly key: Uint8Array;

  constructor(address: Address, { entries }: Node) {
    this.key = keyOf(entries.at(-1));
    this.group = { key: this.key, ...sumOf(entries), value: address };
  }

  async next(): Promise<undefined> {}

  async previous(): Promise<undefined> {}
}

/** The turns, at most {@link NODES_TOGETHER}, that lead to the first of these keys, and how many keys that are. All ascend. */
function turnsTo(
  keys: readonly Uint8Array[],
  turns: readonly Turn[],
): { taken: readonly Turn[]; covered: number } {
  const taken: Turn[] = [];
  let covered = 0;
  for (const [i, turn] of turns.entries()) {
    if (covered === keys.length || taken.length === NODES_TOGETHER) break;
    const end = keyOf(turn.node.entries[turn.index]);
    const before = covered;
    while (covered < keys.length && compareBytes(keys[covered] as Uint8Array, end) <= 0) covered++;
    if (i === turns.length - 1) covered = keys.length; // What comes after the last key belongs to the last entry.
    if (covered > before) taken.push(turn);
  }
  return { taken, covered };
}

function keyOf(entry: Entry | undefined): Uint8Array {
  if (entry?.key instanceof Uint8Array) return entry.key;
  throw damaged('an entry has no key of bytes');
}
