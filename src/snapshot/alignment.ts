/**
 * Finds, while a tree is built, what stands at the same place in the tree of the snapshot before it.
 *
 * Both are walked once, side by side. Keys tell what belongs together: ids and paths have an order, so whatever lies between
 * two keys of the one tree belongs to what lies between them in the other. Groups of records without ids have the hash of their
 * last record for a key, which is looked for among the next few. Chunks of a stream have no keys: stream-alignment.ts.
 */
import { type Address, compareBytes, isDamage, toHex } from '../core/index.js';
import type { Entry, Key } from '../manifest/index.js';
import { sameKey } from '../manifest/node.js';
import { TreeReader } from '../manifest/tree-reader.js';
import type { TakeParts } from './take.js';

/** The most places of the other tree that one place is compared with. */
const MOST_SIMILAR = 4;
/** How far ahead a key without an order is looked for. */
const LOOKED_AHEAD = 256;
/** Entries that are read together. */
const READ_TOGETHER = 64;
/** Nodes of each level that are remembered. */
const NODES_KEPT = 64;

/** A node, and the plaintext bytes before it in its tree. */
interface PlacedNode {
  readonly address: Address;
  readonly start: number;
}

/** Walks the tree of the snapshot before. Ask for places in the order of the tree that is built. */
export class Alignment {
  readonly #steps: ReturnType<TreeReader['steps']>;
  readonly #nodes = new Map<number, Map<string, PlacedNode>>();
  readonly #onEntries: ((entries: readonly Entry[]) => Promise<void>) | undefined;
  #ahead: Entry[] = [];
  /** The node of level 0 that the walk has come to, and how many of its entries were read. */
  #leaf: readonly Entry[] = [];
  #readOfLeaf = 0;
  /** Plaintext bytes of the entries that were read. */
  #bytes = 0;
  #ended = false;
  /** The last of the calls that may overlap. */
  #asked: Promise<unknown> = Promise.resolve();

  /** @param onEntries is told of entries that may soon be asked for, many at a time. */
  constructor(trees: TreeReader, root: Address, onEntries?: (entries: readonly Entry[]) => Promise<void>) {
    this.#steps = trees.steps(root, unlessDamage);
    this.#onEntries = onEntries;
  }

  /**
   * For each key the entries that stand where one of this key stands, at most four. Calls need not wait for each other: they are answered in
   * their order.
   */
  similarToEach(keys: readonly Key[]): Promise<(readonly Entry[])[]> {
    const found = this.#asked.then(async () => {
      const similar: (readonly Entry[])[] = [];
      for (const key of keys) similar.push(this.#atOnce(key) ?? (await this.#lookFor(key)));
      return similar;
    });
    this.#asked = found;
    found.catch(() => {}); // It is thrown to who asked.
    return found;
  }

  /** The next entries, whatever their keys; fewer than `count` only at the end. */
  async next(count: number): Promise<readonly Entry[]> {
    await this.#read(count - this.#ahead.length);
    return this.#ahead.splice(0, count);
  }

  /** The node that stands where one of this level and key stands. @param start plaintext bytes before it in its tree. */
  nodeLike(level: number, key: Key, start: number): Address | undefined {
    const nodes = this.#nodes.get(level);
    if (key !== null)
      return (nodes?.get(keyText(key, start)) ?? [...(nodes?.values() ?? [])].at(-1))?.address;
    const distance = (node: PlacedNode): number => Math.abs(node.start - start);
    const [first, ...others] = nodes?.values() ?? [];
    return first && others.reduce((a, b) => (distance(b) < distance(a) ? b : a), first).address;
  }

  async close(): Promise<void> {
    await this.#steps.return(undefined);
  }

  /** The next entry, where it was read and has this key. Most have, and a promise for each takes longer than the rest. */
  #atOnce(key: Key): readonly Entry[] | undefined {
    const [next] = this.#ahead;
    if (next === undefined || !sameKey(next.key, key)) return undefined;
    this.#ahead.shift();
    return [next];
  }

  async #lookFor(key: Key): Promise<readonly Entry[]> {
    return key instanceof Uint8Array ? this.#between(key) : this.#nextLike(key);
  }

  async #between(key: Uint8Array): Promise<readonly Entry[]> {
    const passed: Entry[] = [];
    for (;;) {
      if (this.#ahead.length === 0) await this.#read(READ_TOGETHER);
      const [next] = this.#ahead;
      if (next === undefined) break;
      const order = compareBytes(next.key as Uint8Array, key);
      passed.push(next);
      if (order > 0) break;
      this.#ahead.shift();
      if (order === 0) break;
    }
    return passed.slice(-MOST_SIMILAR);
  }

  async #nextLike(key: Key): Promise<readonly Entry[]> {
    const isLike = (entry: Entry): boolean => entry.key === key;
    if (this.#ahead.length === 0) await this.#read(READ_TOGETHER);
    let at = this.#ahead.findIndex(isLike);
    if (at < 0) {
      await this.#read(LOOKED_AHEAD - this.#ahead.length);
      at = this.#ahead.findIndex(isLike);
    }
    if (at < 0) return this.#ahead.slice(0, 2);
    return this.#ahead.splice(0, at + 1).slice(-MOST_SIMILAR);
  }

  async #read(count: number): Promise<void> {
    const known = this.#ahead.length;
    for (let missing = count; missing > 0; missing--) {
      while (this.#readOfLeaf === this.#leaf.length && !this.#ended) await this.#nextNode();
      const entry = this.#leaf[this.#readOfLeaf];
      if (entry === undefined) break;
      this.#readOfLeaf++;
      this.#ahead.push(entry);
      this.#bytes += entry.bytes;
    }
    if (this.#ahead.length > known) await this.#onEntries?.(this.#ahead.slice(known));
  }

  async #nextNode(): Promise<void> {
    const { value, done } = await this.#steps.next();
    this.#ended = done === true;
    if (done) return;
    this.#remember(value.level, value.entries.at(-1)?.key ?? null, value.address);
    this.#leaf = value.level === 0 ? value.entries : [];
    this.#readOfLeaf = 0;
  }

  #remember(level: number, key: Key, address: Address): void {
    const nodes = this.#nodes.get(level) ?? new Map<string, PlacedNode>();
    this.#nodes.set(level, nodes);
    const text = keyText(key, this.#bytes);
    nodes.delete(text);
    nodes.set(text, { address, start: this.#bytes });
    const [oldest] = nodes.keys();
    if (nodes.size > NODES_KEPT && oldest !== undefined) nodes.delete(oldest);
  }
}

/** What cannot be read of the snapshot before is of no help, and no harm: new chunks then stand alone. */
function unlessDamage(error: unknown): void {
  if (!isDamage(error)) throw error;
}

/** Nodes without keys are known by where they begin. */
function keyText(key: Key, start: number): string {
  return key instanceof Uint8Array ? toHex(key) : String(key ?? start);
}

/**
 * Aligns with a tree of the snapshot before, where there is one.
 * @param dataOf the chunks that an entry refers to: they are looked up ahead, unless all that the snapshot before has is known to be whole.
 */
export function alignmentWith(
  { base, writer }: Pick<TakeParts, 'base' | 'writer'>,
  root: Address | undefined,
  dataOf: (entry: Entry) => readonly Address[],
): Alignment | undefined {
  if (base === undefined || root === undefined) return undefined;
  const onEntries = (entries: readonly Entry[]): Promise<void> => writer.expect(entries.flatMap(dataOf));
  return new Alignment(
    new TreeReader(base.chunks),
    root,
    base.wholeNote === undefined ? onEntries : undefined,
  );
}
