/**
 * Pages of redb database files (https://github.com/cberner/redb, docs/design.md): where they stand, what is in them, and reading the
 * trees that they make. Each is checked against the checksum that its parent has of it.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { compareBytes, equalBytes, VecsnapError, viewOf } from '../core/index.js';
import type { LocalFile } from './local-file.js';
import { xxh3 } from './xxh3.js';

const LEAF = 1;
export const BRANCH = 2;

const MAX_PAGE_BYTES = 2 ** 28;
/** Deeper than a tree in the largest file can be: every branch has two children or more. */
export const MAX_DEPTH = 40;
/** Pages that are read together. Gaps between them that are smaller than the second number are read along. */
const GROUP_BYTES = 1 << 20;
const GAP_BYTES = 1 << 14;

/** A writer may be half-way through writing a page; then it is whole a moment later. */
export const TRIES = 4;
export const PAUSE_MILLISECONDS = 15;

/** A page as its parent names it. */
export interface PageRef {
  readonly offset: number;
  readonly length: number;
  readonly checksum: Uint8Array;
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

/** How pages are laid out in the file. */
export interface Layout {
  readonly pageSize: number;
  readonly regionHeaderPages: number;
  readonly regionDataPages: number;
}

/** A page number: index within the region, region, and how often the page size is doubled. */
export function pageRef(
  path: string,
  layout: Layout,
  view: DataView,
  at: number,
  checksum: Uint8Array,
): PageRef {
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
export interface Progress {
  readonly table: RedbTable;
  entries: number;
  /** The bytes that the file is known to have. */
  fileBytes: number;
  lastKey: Uint8Array | undefined;
}

export async function* readTable(
  file: LocalFile,
  layout: Layout,
  table: RedbTable,
): AsyncGenerator<RedbLeaf> {
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

/** Cuts the pages into groups of at most {@link GROUP_BYTES}, or of one page. */
export function* groupsOf<P extends PageRef>(pages: readonly P[]): Generator<readonly P[]> {
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
export async function readGroup<P extends PageRef>(
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
export async function wholePage(file: LocalFile, page: PageRef, bytes: Uint8Array): Promise<Uint8Array> {
  for (let attempt = 1; ; attempt++) {
    if (isWhole(page, bytes)) return bytes;
    if (attempt === TRIES)
      throw damaged(file.path, `page at byte ${page.offset}`, 'a page that fails its checksum');
    await delay(PAUSE_MILLISECONDS);
    await file.fill(bytes, page.offset);
  }
}

export function isWhole({ checksum }: PageRef, bytes: Uint8Array): boolean {
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
export function branchKeysAt(keys: number): number {
  return 8 + 24 * (keys + 1) + 4 * keys;
}

function childrenOf(path: string, layout: Layout, bytes: Uint8Array): PageRef[] {
  const view = viewOf(bytes);
  const children = view.getUint16(2, true) + 1;
  return Array.from({ length: children }, (_, i) => childOf(path, layout, bytes, view, i));
}

/** The n-th child of a branch: after its head come the checksums of all children, then their page numbers. */
export function childOf(path: string, layout: Layout, bytes: Uint8Array, view: DataView, n: number): PageRef {
  const children = view.getUint16(2, true) + 1;
  return pageRef(path, layout, view, 8 + 16 * children + 8 * n, bytes.subarray(8 + 16 * n, 24 + 16 * n));
}

/** A leaf: ends of its keys, ends of its values, keys, values. */
export function leafOf(path: string, page: PageRef, bytes: Uint8Array): RedbLeaf {
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

export function truncated(path: string, page: PageRef): VecsnapError {
  return new VecsnapError('SOURCE_TRUNCATED', 'The file ends before a page of its tables.', {
    place: `${path}, page at byte ${page.offset}`,
    remedy: `The file was cut short: copy it again, or take it as file:${path}.`,
  });
}

function damagedPage(path: string, page: PageRef): VecsnapError {
  return damaged(path, `page at byte ${page.offset}`, 'a page that does not follow the format');
}

export function damaged(path: string, place: string, what: string, cause?: unknown): VecsnapError {
  return new VecsnapError('SOURCE_INVALID', `The database is damaged: it has ${what}.`, {
    place: `${path}, ${place}`,
    remedy: `Open it once with the program it belongs to, which repairs what a crash left, or take it as file:${path}.`,
    cause,
  });
}
