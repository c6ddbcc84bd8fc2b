/**
 * Reads redb database files (format 2 and 3, https://github.com/cberner/redb, docs/design.md) without redb: the tables of
 * one commit, and their entries in the order of the keys.
 *
 * It takes no lock, so a file can be read while a program has it open. A commit of redb is a Merkle tree of pages, and the
 * pages of the last commit are not written again before the next one; every page is checked against the checksum that its
 * parent has of it. So whatever is read is the content of one commit, or an error. Every length and page number that comes
 * from the file is checked before it is used.
 */
import { stat } from 'node:fs/promises';
import { setImmediate as nextTurn, setTimeout as delay } from 'node:timers/promises';
import {
  compareBytes,
  equalBytes,
  fromUtf8,
  isVecsnapError,
  toHex,
  VecsnapError,
  viewOf,
} from '../core/index.js';
import { LocalFile, readFailure, sourceChanged, systemCode } from './local-file.js';
import { xxh3 } from './xxh3.js';

const MAGIC = Uint8Array.of(0x72, 0x65, 0x64, 0x62, 0x1a, 0x0a, 0xa9, 0x0d, 0x0a);
const HEADER_BYTES = 320;
const SLOT_OFFSETS = [64, 192] as const;
const SLOT_BYTES = 128;
const SLOT_CHECKED_BYTES = 112;
const ROOT_BYTES = 32;

const PRIMARY_SLOT = 1;
const RECOVERY_REQUIRED = 2;
const TWO_PHASE_COMMIT = 4;

const LEAF = 1;
const BRANCH = 2;
const NORMAL_TABLE = 3;

const MAX_PAGE_BYTES = 2 ** 28;
/** Deeper than a tree in the largest file can be: every branch has two children or more. */
const MAX_DEPTH = 40;
/** Pages that are read together. Gaps between them that are smaller than the second number are read along. */
const GROUP_BYTES = 1 << 20;
const GAP_BYTES = 1 << 14;

/** A writer may be half-way through writing a page; then it is whole a moment later. */
const TRIES = 4;
const PAUSE_MILLISECONDS = 15;

/** A page as its parent names it. */
interface PageRef {
  readonly offset: number;
  readonly length: number;
  readonly checksum: Uint8Array;
}

/** The root of a tree, and how many entries the tree has. */
interface Root {
  readonly page: PageRef;
  readonly entries: number;
}

/** One table of a database. */
export interface RedbTable {
  readonly name: string;
  /** Entries in the table. */
  readonly entries: number;
  /** The types of its keys and values in redb's words, for example `&str`. */
  readonly keyType: string;
  readonly valueType: string;
  /** Whether a key has one value of its own, and both are of variable length: what {@link RedbFile.leaves} can read. */
  readonly plain: boolean;
  readonly root: PageRef | undefined;
}

/** Consecutive entries of a table, as views of the bytes of one page. */
export interface RedbLeaf {
  readonly count: number;
  key(index: number): Uint8Array;
  value(index: number): Uint8Array;
}

/** An entry that was looked for. */
export interface FoundEntry {
  /** The position of its key among those that were asked for. */
  readonly index: number;
  readonly value: Uint8Array;
}

/** How pages are laid out in the file. */
interface Layout {
  readonly pageSize: number;
  readonly regionHeaderPages: number;
  readonly regionDataPages: number;
}

/** One of the two places where a database keeps its last two commits. */
interface Slot {
  readonly transaction: bigint;
  /** The bytes that name the tree of tables: page, checksum, length. Equal bytes, equal content. */
  readonly root: Uint8Array | undefined;
}

/** The commit that a file was opened at. */
interface Commit {
  readonly layout: Layout;
  readonly root: Uint8Array | undefined;
  readonly tables: ReadonlyMap<string, RedbTable>;
  /** The number of the newest commit that there was, which is another one when that was not whole. */
  readonly newest: bigint;
  /** What that one names. Another database may have as many commits. */
  readonly newestRoot: Uint8Array | undefined;
}

/** A redb file as of one commit. */
export class RedbFile {
  readonly path: string;
  /** The tables by their names, in the order of the names' UTF-8 bytes. */
  readonly tables: ReadonlyMap<string, RedbTable>;
  readonly #file: LocalFile;
  readonly #place: string;
  readonly #commit: Commit;
  /** Branches that {@link find} has read and checked. */
  readonly #branches = new Map<number, Uint8Array>();

  private constructor(file: LocalFile, place: string, commit: Commit) {
    this.path = file.path;
    this.tables = commit.tables;
    this.#file = file;
    this.#place = place;
    this.#commit = commit;
  }

  /**
   * Opens the last commit. A database that was not closed is read as redb itself would open it: from the newer of its two
   * commits that is whole.
   * @throws VecsnapError SOURCE_MISSING, SOURCE_INVALID, SOURCE_TRUNCATED, SOURCE_CHANGED, SOURCE_FAILED.
   */
  static async open(path: string): Promise<RedbFile> {
    const file = await LocalFile.open(path);
    try {
      const place = await identityAt(path);
      return new RedbFile(file, place, await openLastCommit(file));
    } catch (error) {
      await file.close();
      throw error;
    }
  }

  /**
   * All entries of a table, a page at a time, in ascending order of their keys.
   * @throws VecsnapError SOURCE_CHANGED when a writer used a page again meanwhile, SOURCE_INVALID when a page is damaged,
   * SOURCE_TRUNCATED, SOURCE_FAILED.
   */
  async *leaves(table: RedbTable): AsyncGenerator<RedbLeaf> {
    try {
      yield* readTable(this.#file, this.#commit.layout, table);
    } catch (error) {
      throw await this.#explained(error);
    }
  }

  /**
   * The entries of those keys that there are, a few at a time. The keys ascend, and so do the entries. Only the pages that lead to
   * them are read.
   * @throws VecsnapError as {@link leaves}.
   */
  async *find(table: RedbTable, keys: readonly Uint8Array[]): AsyncGenerator<readonly FoundEntry[]> {
    try {
      yield* new KeySearch(this.#file, this.#commit.layout, table, keys, this.#branches).run();
    } catch (error) {
      throw await this.#explained(error);
    }
  }

  /** The number of the last commit: each counts one on. */
  get transaction(): bigint {
    return this.#commit.newest;
  }

  /** Which file this is: another text for a copy. */
  get identity(): string {
    return this.#place;
  }

  /** Which content this is: the file, and the checksum of all that its tables hold. */
  get state(): string {
    return `${this.#place}:${toHex(this.#commit.root ?? new Uint8Array(0))}`;
  }

  /**
   * @throws VecsnapError SOURCE_CHANGED when the tables have been written since, or another file stands at the path.
   * A program that only opened the database changes nothing that counts.
   */
  async confirmUnchanged(): Promise<void> {
    const newest = await newestSlot(this.#file);
    const same = this.#isNewest(newest) || isSameRoot(newest.root, this.#commit.root);
    if (!same || (await identityAt(this.path)) !== this.#place) throw sourceChanged(this.path);
  }

  async close(): Promise<void> {
    await this.#file.close();
  }

  /** A page that is not what it should be was used again by a writer, if there was one; else it is damaged. */
  async #explained(error: unknown): Promise<unknown> {
    if (!isVecsnapError(error, 'SOURCE_INVALID', 'SOURCE_TRUNCATED')) return error;
    return this.#isNewest(await newestSlot(this.#file)) ? error : sourceChanged(this.path);
  }

  /** Whether this was the newest commit when the file was opened. */
  #isNewest({ transaction, root }: Slot): boolean {
    return transaction === this.#commit.newest && isSameRoot(root, this.#commit.newestRoot);
  }
}

/** Which file stands at `path`; nothing when there is none. */
async function identityAt(path: string): Promise<string> {
  try {
    const { dev, ino } = await stat(path, { bigint: true });
    return `${dev}:${ino}`;
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return '';
    throw readFailure(path, error);
  }
}

function isSameRoot(a: Uint8Array | undefined, b: Uint8Array | undefined): boolean {
  return a === undefined || b === undefined ? a === b : equalBytes(a, b);
}

interface Header {
  readonly path: string;
  readonly layout: Layout;
  readonly flags: number;
  /** The two commits; undefined where the checksum does not fit. */
  readonly slots: readonly [Slot | undefined, Slot | undefined];
}

async function readHeader(file: LocalFile): Promise<Header> {
  const bytes = await file.readExactly(0, HEADER_BYTES);
  if (!equalBytes(bytes.subarray(0, MAGIC.length), MAGIC)) throw notRedb(file.path);
  const view = viewOf(bytes);
  const layout = {
    pageSize: view.getUint32(12, true),
    regionHeaderPages: view.getUint32(16, true),
    regionDataPages: view.getUint32(20, true),
  };
  checkLayout(file.path, layout);
  const slots = SLOT_OFFSETS.map((offset) =>
    readSlot(file.path, bytes.subarray(offset, offset + SLOT_BYTES)),
  );
  return { path: file.path, layout, flags: bytes[MAGIC.length] as number, slots: [slots[0], slots[1]] };
}

function checkLayout(path: string, { pageSize, regionHeaderPages, regionDataPages }: Layout): void {
  const isPower = (pageSize & (pageSize - 1)) === 0;
  if (pageSize < 512 || pageSize > 65536 || !isPower)
    throw damaged(path, 'byte 12', `a page size of ${pageSize}`);
  if (regionHeaderPages > 2 ** 20) throw damaged(path, 'byte 16', `${regionHeaderPages} header pages`);
  if (regionDataPages > 2 ** 20 || regionDataPages === 0)
    throw damaged(path, 'byte 20', `${regionDataPages} pages`);
}

function readSlot(path: string, bytes: Uint8Array): Slot | undefined {
  if (!equalBytes(xxh3(bytes.subarray(0, SLOT_CHECKED_BYTES)), bytes.subarray(SLOT_CHECKED_BYTES)))
    return undefined;
  const version = bytes[0] as number;
  if (version !== 2 && version !== 3) throw otherVersion(path, version);
  const root = bytes[1] === 0 ? undefined : bytes.slice(8, 8 + ROOT_BYTES);
  return { transaction: viewOf(bytes).getBigUint64(104, true), root };
}

/**
 * The commits to read, the best one first. Which commit counts after a crash, or while a program has the file open, is
 * decided as redb decides when it repairs.
 */
function currentSlots({ path, flags, slots }: Header): readonly Slot[] {
  const first = slots[flags & PRIMARY_SLOT];
  const second = slots[(flags & PRIMARY_SLOT) ^ 1];
  const mayFallBack = (flags & RECOVERY_REQUIRED) !== 0 && (flags & TWO_PHASE_COMMIT) === 0;
  if (!mayFallBack || second === undefined) {
    if (first === undefined) throw damaged(path, 'commit slots', 'no commit that fits its checksum');
    return [first];
  }
  if (first === undefined) return [second];
  return second.transaction > first.transaction ? [second, first] : [first, second];
}

async function newestSlot(file: LocalFile): Promise<Slot> {
  return currentSlots(await readHeader(file))[0] as Slot;
}

/** The last commit; the one before when the last is not whole and the database was not closed. */
async function openLastCommit(file: LocalFile): Promise<Commit> {
  for (let attempt = 1; ; attempt++) {
    const header = await readHeader(file);
    const slots = currentSlots(header);
    const { transaction: newest, root: newestRoot } = slots[0] as Slot;
    const failures: VecsnapError[] = [];
    for (const { root } of slots) {
      try {
        const tables = await readTables(file, header.layout, root);
        return { layout: header.layout, root, tables, newest, newestRoot };
      } catch (error) {
        if (!isVecsnapError(error)) throw error;
        failures.push(error);
      }
    }
    if (attempt === TRIES) throw failures[0];
    await delay(PAUSE_MILLISECONDS);
  }
}

async function readTables(
  file: LocalFile,
  layout: Layout,
  root: Uint8Array | undefined,
): Promise<Map<string, RedbTable>> {
  const tables = new Map<string, RedbTable>();
  if (root === undefined) return tables;
  const { page, entries } = readRoot(file.path, layout, root);
  const list: RedbTable = {
    name: 'the list of tables',
    entries,
    keyType: '',
    valueType: '',
    plain: true,
    root: page,
  };
  for await (const leaf of readTable(file, layout, list)) {
    for (let i = 0; i < leaf.count; i++) {
      const table = readTableDefinition(file.path, layout, leaf.key(i), leaf.value(i));
      tables.set(table.name, table);
    }
  }
  return tables;
}

/** The definition of a table: type, entries, root, widths of fixed-width keys and values, alignments, names of types. */
function readTableDefinition(path: string, layout: Layout, key: Uint8Array, value: Uint8Array): RedbTable {
  const name = textOf(path, key);
  if (value.length < 64) throw damaged(path, `table ${name}`, 'a definition that is cut short');
  const view = viewOf(value);
  const isFixed = value[42] !== 0 || value[47] !== 0;
  const keyTypeEnd = 64 + view.getUint32(60, true);
  if (keyTypeEnd > value.length) throw damaged(path, `table ${name}`, 'a definition that is cut short');
  return {
    name,
    entries: lengthAt(path, view, 1),
    keyType: textOf(path, value.subarray(65, keyTypeEnd)),
    valueType: textOf(path, value.subarray(keyTypeEnd + 1)),
    plain: value[0] === NORMAL_TABLE && !isFixed,
    root: value[9] === 0 ? undefined : readRoot(path, layout, value.subarray(10, 10 + ROOT_BYTES)).page,
  };
}

function readRoot(path: string, layout: Layout, bytes: Uint8Array): Root {
  const view = viewOf(bytes);
  const page = pageRef(path, layout, view, 0, bytes.slice(8, 24));
  return { page, entries: lengthAt(path, view, 24) };
}

/** A page number: index within the region, region, and how often the page size is doubled. */
function pageRef(path: string, layout: Layout, view: DataView, at: number, checksum: Uint8Array): PageRef {
  const low = view.getUint32(at, true);
  const high = view.getUint32(at + 4, true);
  const order = high >>> 27;
  const index = low & (0xfffff >>> order);
  const region = (low >>> 20) | ((high & 0xff) << 12);
  const { pageSize, regionHeaderPages, regionDataPages } = layout;
  const length = pageSize * 2 ** order;
  const regionStart = pageSize * (1 + region * (regionHeaderPages + regionDataPages) + regionHeaderPages);
  const offset = regionStart + index * length;
  if (
    length > MAX_PAGE_BYTES ||
    (index + 1) * 2 ** order > regionDataPages ||
    !Number.isSafeInteger(offset)
  ) {
    throw damaged(path, `page ${region}.${index}/${order}`, 'a page that lies outside of its region');
  }
  return { offset, length, checksum };
}

/** How far a table was read: what a tree that is not damaged never exceeds. */
interface Progress {
  readonly table: RedbTable;
  entries: number;
  /** The bytes that the file is known to have. */
  fileBytes: number;
  lastKey: Uint8Array | undefined;
}

async function* readTable(file: LocalFile, layout: Layout, table: RedbTable): AsyncGenerator<RedbLeaf> {
  if (!table.plain) throw new TypeError(`the table ${table.name} has no plain entries`);
  const progress: Progress = { table, entries: 0, fileBytes: file.size, lastKey: undefined };
  if (table.root !== undefined) yield* readPages(file, layout, [table.root], progress, 0);
  if (progress.entries === table.entries) return;
  throw damaged(file.path, `table ${table.name}`, `${progress.entries} entries in place of ${table.entries}`);
}

async function* readPages(
  file: LocalFile,
  layout: Layout,
  pages: readonly PageRef[],
  progress: Progress,
  depth: number,
): AsyncGenerator<RedbLeaf> {
  if (depth > MAX_DEPTH) throw damaged(file.path, `table ${progress.table.name}`, 'a tree that is too deep');
  for (const group of groupsOf(pages)) {
    for (const [page, bytes] of await readGroup(file, group, progress)) {
      if (bytes[0] === BRANCH) {
        yield* readPages(file, layout, childrenOf(file.path, layout, bytes), progress, depth + 1);
      } else {
        const leaf = leafOf(file.path, page, bytes);
        checkOrder(file.path, page, leaf, progress);
        yield leaf;
      }
    }
  }
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
class KeySearch {
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

/** Cuts the pages into groups of at most {@link GROUP_BYTES}, or of one page. */
function* groupsOf<P extends PageRef>(pages: readonly P[]): Generator<readonly P[]> {
  let start = 0;
  let bytes = 0;
  for (const [index, page] of pages.entries()) {
    if (bytes > 0 && bytes + page.length > GROUP_BYTES) {
      yield pages.slice(start, index);
      [start, bytes] = [index, 0];
    }
    bytes += page.length;
  }
  yield pages.slice(start);
}

/** Reads pages in few reads, and checks each against its checksum. In the order in which they were asked for. */
async function readGroup<P extends PageRef>(
  file: LocalFile,
  pages: readonly P[],
  progress: Progress,
): Promise<(readonly [P, Uint8Array])[]> {
  const sorted = pages.toSorted((a, b) => a.offset - b.offset);
  await checkBounds(file, sorted.at(-1) as PageRef, progress);
  const found = new Map<PageRef, Uint8Array>();
  await Promise.all(runsOf(sorted).map((run) => readRun(file, run, found)));
  return Promise.all(
    pages.map(async (page) => [page, await wholePage(file, page, found.get(page) as Uint8Array)]),
  );
}

/** The file may have grown since it was opened, so its size alone does not tell. Checked before memory is taken. */
async function checkBounds(file: LocalFile, last: PageRef, progress: Progress): Promise<void> {
  const end = last.offset + last.length;
  if (end <= progress.fileBytes) return;
  if ((await file.read(new Uint8Array(1), end - 1)) === 0) throw truncated(file.path, last);
  progress.fileBytes = end;
}

function runsOf(sorted: readonly PageRef[]): PageRef[][] {
  const runs: PageRef[][] = [];
  let end = -Infinity;
  for (const page of sorted) {
    if (page.offset < end || page.offset > end + GAP_BYTES) runs.push([]);
    runs.at(-1)?.push(page);
    end = page.offset + page.length;
  }
  return runs;
}

async function readRun(
  file: LocalFile,
  run: readonly PageRef[],
  found: Map<PageRef, Uint8Array>,
): Promise<void> {
  const start = run[0]?.offset ?? 0;
  const last = run.at(-1) as PageRef;
  const bytes = await file.readExactly(start, last.offset + last.length - start);
  for (const page of run)
    found.set(page, bytes.subarray(page.offset - start, page.offset - start + page.length));
}

/** The page, read again a few times when it is not whole. @throws VecsnapError SOURCE_INVALID. */
async function wholePage(file: LocalFile, page: PageRef, bytes: Uint8Array): Promise<Uint8Array> {
  for (let attempt = 1; ; attempt++) {
    if (isWhole(page, bytes)) return bytes;
    if (attempt === TRIES)
      throw damaged(file.path, `page at byte ${page.offset}`, 'a page that fails its checksum');
    await delay(PAUSE_MILLISECONDS);
    await file.fill(bytes, page.offset);
  }
}

function isWhole({ checksum }: PageRef, bytes: Uint8Array): boolean {
  const end = endOf(bytes);
  return end > 0 && equalBytes(xxh3(bytes.subarray(0, end)), checksum);
}

/** Where the checked part of a page ends, or 0 when it has no form that a page can have. */
function endOf(bytes: Uint8Array): number {
  const count = (bytes[2] as number) | ((bytes[3] as number) << 8);
  const last = bytes[0] === LEAF ? 4 + 8 * count - 4 : bytes[0] === BRANCH ? branchKeysAt(count) - 4 : -1;
  if (count === 0 || last < 0 || last + 4 > bytes.length) return 0;
  const end = viewOf(bytes).getUint32(last, true);
  return end >= last + 4 && end <= bytes.length ? end : 0;
}

/** Where the keys of a branch begin: after the checksums and numbers of its children, and the ends of its keys. */
function branchKeysAt(keys: number): number {
  return 8 + 24 * (keys + 1) + 4 * keys;
}

function childrenOf(path: string, layout: Layout, bytes: Uint8Array): PageRef[] {
  const view = viewOf(bytes);
  const children = view.getUint16(2, true) + 1;
  return Array.from({ length: children }, (_, i) => childOf(path, layout, bytes, view, i));
}

/** The n-th child of a branch: after its head come the checksums of all children, then their page numbers. */
function childOf(path: string, layout: Layout, bytes: Uint8Array, view: DataView, n: number): PageRef {
  const children = view.getUint16(2, true) + 1;
  return pageRef(path, layout, view, 8 + 16 * children + 8 * n, bytes.subarray(8 + 16 * n, 24 + 16 * n));
}

/** A leaf: ends of its keys, ends of its values, keys, values. */
function leafOf(path: string, page: PageRef, bytes: Uint8Array): RedbLeaf {
  const view = viewOf(bytes);
  const count = view.getUint16(2, true);
  const ends = new Uint32Array(2 * count + 1);
  ends[0] = 4 + 8 * count;
  for (let i = 0; i < 2 * count; i++) {
    ends[i + 1] = view.getUint32(4 + 4 * i, true);
    if ((ends[i + 1] as number) < (ends[i] as number)) throw damagedPage(path, page);
  }
  if ((ends[2 * count] as number) > bytes.length) throw damagedPage(path, page);
  const part = (index: number) => bytes.subarray(ends[index], ends[index + 1]);
  return { count, key: part, value: (index) => part(count + index) };
}

/** Keys ascend through the whole table, so no page comes twice and no entry either. */
function checkOrder(path: string, page: PageRef, leaf: RedbLeaf, progress: Progress): void {
  for (let i = 0; i < leaf.count; i++) {
    const key = leaf.key(i);
    if (progress.lastKey !== undefined && compareBytes(progress.lastKey, key) >= 0)
      throw damagedPage(path, page);
    progress.lastKey = key;
  }
  progress.entries += leaf.count;
}

function lengthAt(path: string, view: DataView, at: number): number {
  const length = view.getUint32(at, true) + view.getUint32(at + 4, true) * 2 ** 32;
  if (!Number.isSafeInteger(length)) throw damaged(path, 'root of a tree', 'a length that no file can have');
  return length;
}

function textOf(path: string, bytes: Uint8Array): string {
  try {
    return fromUtf8(bytes);
  } catch (cause) {
    throw damaged(path, 'list of tables', 'a name that is not UTF-8', cause);
  }
}

function notRedb(path: string): VecsnapError {
  return new VecsnapError('SOURCE_INVALID', 'The file is no redb database.', {
    place: `${path}, byte 0`,
    remedy: `Check the path, or take the file as it is with file:${path}.`,
  });
}

function otherVersion(path: string, version: number): VecsnapError {
  return new VecsnapError('SOURCE_INVALID', `The database has version ${version} of the redb format.`, {
    place: path,
    remedy: `Versions 2 and 3 can be read. Open it once with a newer redb, or take it as file:${path}.`,
  });
}

function truncated(path: string, page: PageRef): VecsnapError {
  return new VecsnapError('SOURCE_TRUNCATED', 'The file ends before a page of its tables.', {
    place: `${path}, page at byte ${page.offset}`,
    remedy: `The file was cut short: copy it again, or take it as file:${path}.`,
  });
}

function damagedPage(path: string, page: PageRef): VecsnapError {
  return damaged(path, `page at byte ${page.offset}`, 'a page that does not follow the format');
}

function damaged(path: string, place: string, what: string, cause?: unknown): VecsnapError {
  return new VecsnapError('SOURCE_INVALID', `The database is damaged: it has ${what}.`, {
    place: `${path}, ${place}`,
    remedy: `Open it once with the program it belongs to, which repairs what a crash left, or take it as file:${path}.`,
    cause,
  });
}
