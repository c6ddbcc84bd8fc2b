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
import { setTimeout as delay } from 'node:timers/promises';
import { equalBytes, fromUtf8, isVecsnapError, toHex, VecsnapError, viewOf } from '../core/index.js';
import { LocalFile, readFailure, sourceChanged, systemCode } from './local-file.js';
import {
  damaged,
  type Layout,
  type PageRef,
  pageRef,
  PAUSE_MILLISECONDS,
  readTable,
  type RedbLeaf,
  type RedbTable,
  TRIES,
} from './redb-pages.js';
import { type FoundEntry, KeySearch } from './redb-search.js';
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

const NORMAL_TABLE = 3;

/** The root of a tree, and how many entries the tree has. */
interface Root {
  readonly page: PageRef;
  readonly entries: number;
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
