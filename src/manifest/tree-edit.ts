/**
 * Builds a tree from the one before it and from the entries that differ, without reading what stays: the nodes that change, a
 * neighbour of some of them, and what leads there. The result is the tree that {@link TreeBuilder} builds from all entries.
 */
import {
  type Address,
  compareBytes,
  hashAtLevel,
  LocalMinimumCutter,
  type LocalMinimumOptions,
  mergeChanges,
  recut,
  type Replacement,
  type Sequence,
  type Sha256,
  toHex,
  type TouchedGroup,
} from '../core/index.js';
import { childAddress, encodeNode, type Entry, sumOf } from './node.js';
import { type BuiltTree, entryHash } from './tree-builder.js';
import type { TreePlaces } from './tree-places.js';

/** Keys to which the nodes on the way may be read together. */
const KEYS_PREPARED = 4096;

/** What stands under a key now: an entry, or nothing any more. */
export interface EntryChange {
  readonly key: Uint8Array;
  readonly value: Entry | undefined;
}

/** A new node, to be stored under its address. */
export interface EditedNode {
  readonly address: Address;
  readonly bytes: Uint8Array;
  /** The nodes that stood where it stands. */
  readonly near: readonly Address[];
}

/** The entries of a node that is to be built, and the nodes that stood there. */
interface Plan {
  readonly entries: readonly Entry[];
  readonly near: readonly Address[];
}

/**
 * Applies changes, in ascending order of their keys, to the tree of `places`, which must not be empty. Gives new nodes, children
 * before parents. Nodes with a single entry may be given that the tree turns out not to need.
 */
export async function* editTree(
  places: TreePlaces,
  changes: readonly EntryChange[],
  sha256: Sha256,
  cuts: LocalMinimumOptions,
): AsyncGenerator<EditedNode, BuiltTree> {
  return yield* new TreeEdit(places, sha256, cuts).run(changes);
}

class TreeEdit {
  readonly #places: TreePlaces;
  readonly #sha256: Sha256;
  readonly #cuts: LocalMinimumOptions;
  /** The only entry of new nodes; undefined for those with several. They may not be stored yet when they are looked at again. */
  readonly #built = new Map<string, Entry | undefined>();

  constructor(places: TreePlaces, sha256: Sha256, cuts: LocalMinimumOptions) {
    this.#places = places;
    this.#sha256 = sha256;
    this.#cuts = cuts;
  }

  async *run(changes: readonly EntryChange[]): AsyncGenerator<EditedNode, BuiltTree> {
    const root = await this.#places.node(this.#places.root);
    let above = changes;
    for (let level = 0; level < root.level && above.length > 0; level++)
      above = yield* this.#edit(level, above);
    const plans: Plan[] = [];
    let isSame = true;
    for await (const { items, near } of this.#replacements(root.level, above)) {
      isSame = false;
      if (items !== undefined) plans.push({ entries: items(), near: near.map(childAddress) });
    }
    if (isSame) return { root: this.#places.root, ...sumOf(root.entries) };
    return yield* this.#top(root.level, plans);
  }

  /** New nodes of one level. @returns what changes on the level above. */
  async *#edit(
    level: number,
    changes: readonly EntryChange[],
  ): AsyncGenerator<EditedNode, readonly EntryChange[]> {
    const above: EntryChange[] = [];
    for await (const { key, items, near } of this.#replacements(level, changes)) {
      if (items === undefined) {
        above.push({ key, value: undefined });
        continue;
      }
      const entries = items();
      const node = this.#build(level, { entries, near: near.map(childAddress) });
      yield node;
      above.push({ key, value: parentEntry(node.address, entries) });
    }
    return above;
  }

  /** All nodes of a level are known: levels are added until one has a single node, which is the root. */
  async *#top(topLevel: number, topPlans: readonly Plan[]): AsyncGenerator<EditedNode, BuiltTree> {
    let plans = topPlans;
    for (let level = topLevel; ; level++) {
      const [only, ...others] = plans;
      if (others.length === 0) return yield* this.#root(level, only ?? { entries: [], near: [] });
      const parents: Entry[] = [];
      for (const plan of plans) {
        const node = this.#build(level, plan);
        yield node;
        parents.push(parentEntry(node.address, plan.entries));
      }
      plans = cutAll(parents, level + 1, this.#cuts);
    }
  }

  /** A root has several entries unless it is of level 0: what remains alone is the root itself. */
  async *#root(level: number, plan: Plan): AsyncGenerator<EditedNode, BuiltTree> {
    const isEmpty = plan.entries.length === 0;
    const [only] = plan.entries;
    if (level === 0 || isEmpty || plan.entries.length > 1) {
      const node = this.#build(isEmpty ? 0 : level, plan);
      yield node;
      return { root: node.address, ...sumOf(plan.entries) };
    }
    let root = childAddress(only as Entry);
    for (let below = level - 1; below > 0; below--) {
      const entry = await this.#onlyEntry(root);
      if (entry === undefined) break;
      root = childAddress(entry);
    }
    return { root, ...sumOf(plan.entries) };
  }

  async #onlyEntry(address: Address): Promise<Entry | undefined> {
    const name = toHex(address);
    if (this.#built.has(name)) return this.#built.get(name);
    const { entries } = await this.#places.node(address);
    return entries.length === 1 ? entries[0] : undefined;
  }

  #build(level: number, { entries, near }: Plan): EditedNode {
    const bytes = encodeNode({ level, entries });
    const address = this.#sha256(bytes);
    this.#built.set(toHex(address), entries.length === 1 ? entries[0] : undefined);
    return { address, bytes, near };
  }

  #replacements(level: number, changes: readonly EntryChange[]): AsyncGenerator<Replacement<Entry, Entry>> {
    const places = this.#places;
    const items = async ({ group }: { group: Entry }) => (await places.child(group)).entries;
    const sequence: Sequence<Entry, Entry> = {
      items,
      size: async (place) => (await items(place)).length,
      hash: (entry) => hashAtLevel(entryHash(entry), level),
      key: (entry) => entry.key as Uint8Array,
    };
    return recut(this.#touched(level, changes), sequence, this.#cuts);
  }

  async *#touched(
    level: number,
    changes: readonly EntryChange[],
  ): AsyncGenerator<TouchedGroup<Entry, Entry>> {
    for await (const { place, changes: own } of byPlace(this.#places, level + 1, changes, level)) {
      const { entries } = await this.#places.child(place.group);
      const merged = mergeChanges(entries, own, (entry, { key }) =>
        compareBytes(entry.key as Uint8Array, key),
      );
      if (merged.isTouched) yield { place, ...merged };
    }
  }
}

/**
 * Changes together with the entry that their keys belong to: the first whose key is not before theirs, else the last.
 * @param level that of the node in which the entry stands.
 * @param read that of the nodes that whoever asks will read; by default the same.
 */
export async function* byPlace<C extends { readonly key: Uint8Array }>(
  places: TreePlaces,
  level: number,
  changes: readonly C[],
  read = level,
) {
  const lastKey = await places.lastKey();
  for (let start = 0, prepared = 0; start < changes.length;) {
    if (start >= prepared) {
      const keys = changes.slice(start, start + KEYS_PREPARED).map(({ key }) => key);
      prepared = start + (await places.prepare(read, keys));
    }
    const place = await places.find(level, (changes[start] as C).key);
    let end = start + 1;
    while (end < changes.length && compareBytes((changes[end] as C).key, place.key) <= 0) end++;
    if (end < changes.length && compareBytes(place.key, lastKey) >= 0) end = changes.length;
    yield { place, changes: changes.slice(start, end) };
    start = end;
  }
}

function parentEntry(address: Address, entries: readonly Entry[]): Entry {
  return { key: entries.at(-1)?.key ?? null, ...sumOf(entries), value: address };
}

/** Cuts all entries of a level that has none of before. */
function cutAll(entries: readonly Entry[], level: number, cuts: LocalMinimumOptions): Plan[] {
  const cutter = new LocalMinimumCutter(cuts);
  const sizes = entries.map((entry) => cutter.push(hashAtLevel(entryHash(entry), level)));
  const plans: Plan[] = [];
  let start = 0;
  for (const size of [...sizes, ...cutter.finish()]) {
    if (size === 0) continue;
    plans.push({ entries: entries.slice(start, start + size), near: [] });
    start += size;
  }
  return plans;
}
