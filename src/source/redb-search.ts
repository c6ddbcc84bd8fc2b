/** Looks for keys in the tables of a redb database file, and reads no more pages than lead to them. */
import { setImmediate as nextTurn } from 'node:timers/promises';
import { compareBytes, equalBytes, viewOf } from '../core/index.js';
import type { LocalFile } from './local-file.js';
import {
  BRANCH,
  branchKeysAt,
  childOf,
  damaged,
  groupsOf,
  isWhole,
  type Layout,
  leafOf,
  MAX_DEPTH,
  type PageRef,
  type Progress,
  readGroup,
  type RedbLeaf,
  type RedbTable,
  truncated,
  wholePage,
} from './redb-pages.js';

/** An entry that was looked for. */
export interface FoundEntry {
  /** The position of its key among those that were asked for. */
  readonly index: number;
  readonly value: Uint8Array;
}

/** Pages of up to this size are read at once in the calling thread, where they are looked for one by one. */
const READ_NOW_BYTES = 1 << 14;

/** So many pages are read and checked before others have a turn in this thread. */
const PAGES_IN_TURN = 64;

/** Branches of a file that are remembered. */
const BRANCHES_KEPT = 512;

/** A page and the keys to be found below it: those from `from` on and before `to`. */
interface SearchedPage extends PageRef {
  readonly from: number;
  readonly to: number;
}

/** Looks for keys, which ascend. Gives what it finds by the pages that hold it. */
export class KeySearch {
  readonly #file: LocalFile;
  readonly #layout: Layout;
  readonly #keys: readonly Uint8Array[];
  readonly #branches: Map<number, Uint8Array>;
  readonly #progress: Progress;
  #untilTurn = PAGES_IN_TURN;

  constructor(
    file: LocalFile,
    layout: Layout,
    table: RedbTable,
    keys: readonly Uint8Array[],
    branches: Map<number, Uint8Array>,
  ) {
    this.#file = file;
    this.#layout = layout;
    this.#keys = keys;
    this.#branches = branches;
    this.#progress = { table, entries: 0, fileBytes: file.size, lastKey: undefined };
  }

  async *run(): AsyncGenerator<readonly FoundEntry[]> {
    const { name, plain, root } = this.#progress.table;
    if (!plain) throw new TypeError(`the table ${name} has no plain entries`);
    const { length } = this.#keys;
    if (root !== undefined && length > 0) yield* this.#below([{ ...root, from: 0, to: length }], 0);
  }

  async *#below(searched: readonly SearchedPage[], depth: number): AsyncGenerator<readonly FoundEntry[]> {
    const { path } = this.#file;
    if (depth > MAX_DEPTH)
      throw damaged(path, `table ${this.#progress.table.name}`, 'a tree that is too deep');
    for (const group of groupsOf(searched)) {
      const pages = await this.#read(group);
      // What stands below branches that follow each other is looked for at once, as long as order is kept.
      let found: FoundEntry[] = [];
      let children: SearchedPage[] = [];
      for (const [i, page] of group.entries()) {
        const bytes = pages[i] as Uint8Array;
        if (bytes[0] === BRANCH) {
          if (found.length > 0) yield found;
          found = [];
          remember(this.#branches, page.offset, bytes);
          addSearchedChildren(path, this.#layout, bytes, this.#keys, page, children);
        } else {
          if (children.length > 0) yield* this.#below(children, depth + 1);
          children = [];
          findInLeaf(leafOf(path, page, bytes), this.#keys, page, found);
        }
      }
      if (found.length > 0) yield found;
      if (children.length > 0) yield* this.#below(children, depth + 1);
    }
  }

  async #read(pages: readonly SearchedPage[]): Promise<Uint8Array[]> {
    const known = pages.map(({ offset }) => this.#branches.get(offset));
    const unread = pages.filter((_, i) => known[i] === undefined);
    const read = unread.some(({ length }) => length > READ_NOW_BYTES)
      ? (await readGroup(this.#file, unread, this.#progress)).map(([, bytes]) => bytes)
      : await this.#readNow(unread);
    let next = 0;
    return known.map((bytes) => bytes ?? (read[next++] as Uint8Array));
  }

  /** In the calling thread, into one piece of memory: pages that stand next to each other in one read, each checked. */
  async #readNow(pages: readonly PageRef[]): Promise<Uint8Array[]> {
    const read: Uint8Array[] = [];
    const room = new Uint8Array(bytesOf(pages));
    let start = 0;
    for (const run of neighbours(pages)) {
      this.#untilTurn -= run.length;
      if (this.#untilTurn < 0) await nextTurn();
      if (this.#untilTurn < 0) this.#untilTurn = PAGES_IN_TURN;
      const bytes = room.subarray(start, start + bytesOf(run));
      if (this.#file.readNow(bytes, (run[0] as PageRef).offset) < bytes.length)
        throw truncated(this.#file.path, run.at(-1) as PageRef);
      for (const page of run) {
        const own = room.subarray(start, (start += page.length));
        read.push(isWhole(page, own) ? own : await wholePage(this.#file, page, own));
      }
    }
    return read;
  }
}

function bytesOf(pages: readonly PageRef[]): number {
  let bytes = 0;
  for (const { length } of pages) bytes += length;
  return bytes;
}

/** Runs of pages of which each stands where the one before it ends. */
function neighbours(pages: readonly PageRef[]): PageRef[][] {
  const runs: PageRef[][] = [];
  let end = -1;
  for (const page of pages) {
    if (page.offset === end && (runs.at(-1) as PageRef[]).length < PAGES_IN_TURN) runs.at(-1)?.push(page);
    else runs.push([page]);
    end = page.offset + page.length;
  }
  return runs;
}

function remember(branches: Map<number, Uint8Array>, offset: number, bytes: Uint8Array): void {
  branches.delete(offset);
  branches.set(offset, bytes);
  const [oldest] = branches.keys();
  if (branches.size > BRANCHES_KEPT && oldest !== undefined) branches.delete(oldest);
}

/** Adds the children of a branch below which keys are looked for. The n-th child holds what is not after the n-th key of the branch. */
function addSearchedChildren(
  path: string,
  layout: Layout,
  bytes: Uint8Array,
  keys: readonly Uint8Array[],
  { from, to }: SearchedPage,
  found: SearchedPage[],
): void {
  const view = viewOf(bytes);
  const last = view.getUint16(2, true); // The number of its keys, and of its last child.
  const keyOf = branchKeys(bytes, view);
  for (let at = from, child = 0; at < to; child++) {
    child = firstNotBefore(keyOf, child, last, keys[at] as Uint8Array);
    const first = at++;
    if (child === last) at = to;
    else for (const end = keyOf(child); at < to && compareBytes(keys[at] as Uint8Array, end) <= 0;) at++;
    const { offset, length, checksum } = childOf(path, layout, bytes, view, child);
    found.push({ offset, length, checksum, from: first, to: at });
  }
}

/** The first number from `low` on, and before `high`, whose key is not before `key`; else `high`. */
function firstNotBefore(
  keyOf: (index: number) => Uint8Array,
  low: number,
  high: number,
  key: Uint8Array,
): number {
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (compareBytes(keyOf(middle), key) < 0) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** The keys of a branch, by their numbers. */
function branchKeys(bytes: Uint8Array, view: DataView): (index: number) => Uint8Array {
  const count = view.getUint16(2, true);
  const ends = 8 + 24 * (count + 1);
  const endOfKey = (index: number) =>
    index < 0 ? branchKeysAt(count) : view.getUint32(ends + 4 * index, true);
  return (index) => bytes.subarray(endOfKey(index - 1), endOfKey(index));
}

/** Adds the entries of a leaf that are looked for. Of keys that stand side by side, one after the other is tried first. */
function findInLeaf(
  leaf: RedbLeaf,
  keys: readonly Uint8Array[],
  { from, to }: SearchedPage,
  found: FoundEntry[],
): void {
  let at = 0;
  for (let index = from; index < to; index++) {
    const key = keys[index] as Uint8Array;
    if (at < leaf.count && compareBytes(leaf.key(at), key) < 0)
      at = firstNotBefore((i) => leaf.key(i), at + 1, leaf.count, key);
    if (at === leaf.count) return;
    if (equalBytes(leaf.key(at), key)) found.push({ index, value: leaf.value(at++) });
  }
}
