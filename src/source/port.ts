/**
 * The ports between vecsnap and everything that holds vectors.
 *
 * A {@link Source} is opened to give one {@link Content}; a {@link Target} takes one. A restore hands a target the same
 * shape that a source gave, so any source restores into any target that can hold what it has.
 */
import type { Canonical, IdColumn, RecordBatch, Schema } from '../core/index.js';

/**
 * Which format the content came from, and what that format needs to be written again as it was beyond records and files,
 * for example the header of a `.npy` file. It becomes part of the manifest, so it holds nothing that differs between two
 * readings of the same content (no times, no paths).
 */
export type FormatNote = { readonly name: string } & { readonly [detail: string]: Canonical };

/** One entry of a directory tree, or a single file. */
export type FileEntry = RegularFile | Directory | SymbolicLink;

interface FileBase {
  /** Relative, with `/` between the parts; never absolute, never with `.`, `..` or empty parts. */
  readonly path: string;
  /** Permission bits, 0 to 0o7777. */
  readonly mode: number;
}

export interface RegularFile extends FileBase {
  readonly type: 'file';
  /** Bytes in the file. */
  readonly size: number;
  /**
   * Equal for two openings of the source only if nothing was written to the file between them. It is asked before the file is read, and again
   * when it was; writes that come after the first reading must show in it. Undefined where that cannot be told.
   */
  state?(): string | undefined;
  /**
   * The bytes, in pieces of any size. The receiver owns the bytes of each piece, but not its `buffer`, in which others may lie: it may write
   * to them, and must not transfer it.
   */
  read(): AsyncIterable<Uint8Array>;
}

export interface Directory extends FileBase {
  readonly type: 'directory';
}

export interface SymbolicLink extends FileBase {
  readonly type: 'link';
  /** Where the link points, as it is written in the link. */
  readonly target: string;
}

/** What one snapshot holds: records, or files, or both. */
export interface Content {
  readonly format: FormatNote;
  /** What the records are made of; undefined when there are none. */
  readonly schema: Schema | undefined;
  /** The records in ascending order of their ids (in their own order when they have none). Present when `schema` is. */
  readonly records: (() => AsyncIterable<RecordBatch>) | undefined;
  /** Files in ascending order of their paths' UTF-8 bytes. */
  readonly files: (() => AsyncIterable<FileEntry>) | undefined;
  /** How much is to come, as far as it is known before; for progress only. */
  readonly expected: { readonly records?: number | undefined; readonly bytes?: number | undefined };
}

/** Ids in ascending order, none twice. */
export type SortedIds = NonNullable<IdColumn>;

/** Finds records by their ids, as of the moment at which the source was opened. */
export interface RecordLookup {
  /** The records of those ids that there are, in ascending order. */
  get(ids: SortedIds): AsyncIterable<RecordBatch>;
  /** Records in the source, when that is known without counting. */
  readonly count?: number | undefined;
  /** Writes that the source has had, when it counts them. */
  readonly writes?: WriteCount | undefined;
}

/** How often something was written, so that writes of which a journal does not know show. */
export interface WriteCount {
  /** Commits so far. A call that writes makes one at most. */
  readonly commits: number;
  /** The most commits that opening the database makes. */
  readonly perOpening: number;
  /** Which database this is: another text when a copy or an older state stands at its place. */
  readonly identity: string;
}

/**
 * Tells what changed since a snapshot. A source that has it, and {@link OpenSource.lookUp} too, is not read whole for an
 * incremental snapshot. What it tells is audited.
 */
export interface ChangeHints {
  /**
   * The ids of all records that may have been inserted, updated or deleted since the snapshot was taken; too many do no harm,
   * one too few makes the snapshot wrong. Or why that is not known.
   */
  since(snapshot: string): Promise<{ readonly ids: SortedIds } | { readonly unknown: string }>;
  /** Called when a snapshot of this content counts: from the moment at which the source was opened, changes are to be told since it. */
  follow(snapshot: string): Promise<void>;
}

/** A source that is open: its content as of one moment. */
export interface OpenSource extends Content {
  readonly lookUp?: RecordLookup | undefined;
  readonly changes?: ChangeHints | undefined;
  /**
   * Equal for two openings only if nothing was written between them, and the way of reading is the same: then the content is the same, and
   * need not be read again. It is asked before the content is read, and again when it was; writes that come after the first reading must show in
   * it. Undefined where that cannot be told.
   */
  state?(): string | undefined;
  /** What the person who takes the snapshot should know, for example why a file is kept as a byte stream. */
  readonly notes: readonly string[];
  /**
   * Called after everything was read and before the snapshot is written.
   * @throws VecsnapError SOURCE_CHANGED when what was read is not the content of one moment.
   */
  confirmUnchanged(): Promise<void>;
  close(): Promise<void>;
}

/** How a source is opened. */
export interface OpenOptions {
  /** The directory of the repository that the snapshot goes into, where it is in one: a tree that contains it is taken without it. */
  readonly repository?: string | undefined;
  /** Whether nobody else waits for the calling thread: then what is soon done on a local disk may be done in it. */
  readonly ownsThread?: boolean | undefined;
}

/** Something that snapshots are taken of. */
export interface Source {
  /** `scheme:location`. */
  readonly place: string;
  /** The collection that its snapshots belong to when the caller names none. */
  readonly collection: string;
  /**
   * About how many bytes there are to be read, as far as a quick look tells; undefined where it does not. Only whether threads are
   * started early depends on it.
   */
  roughBytes?(): Promise<number | undefined>;
  /**
   * What {@link OpenSource.state} would be, for a source that is gone through to be opened: it is not opened where that is not needed.
   * @throws VecsnapError as {@link open}.
   */
  state?(): Promise<string | undefined>;
  /** @throws VecsnapError SOURCE_MISSING, SOURCE_TRUNCATED, SOURCE_INVALID, SOURCE_DUPLICATE_ID, PEER_MISSING, … */
  open(options?: OpenOptions): Promise<OpenSource>;
}

/** How a target is written. */
export interface WriteOptions {
  /** Replace what stands at the place. Without it, that is an error. The old content goes only when the new is complete. */
  readonly overwrite?: boolean | undefined;
  /**
   * The directory of the repository that the content is read from, where it is in one. A place that is it, lies in it or contains it must
   * be refused, whatever `overwrite` says.
   */
  readonly repository?: string | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** What a target wrote. */
export interface WriteReport {
  readonly records: number;
  /** Entries of the tree of files: files, folders and links, as `fileCount` of the snapshot counts them. */
  readonly files: number;
  /** Bytes of vectors, payloads and files handed to the target. */
  readonly bytes: number;
  /** What a person should know of it, for example what could not be removed of that which stood there before. */
  readonly notes?: readonly string[] | undefined;
}

/** Something that snapshots are restored into. */
export interface Target {
  /** `scheme:location`. */
  readonly place: string;
  /**
   * Checks, before anything is read, that the place is free.
   * @throws VecsnapError TARGET_EXISTS, TARGET_IN_REPOSITORY, PEER_MISSING.
   */
  prepare(options: WriteOptions): Promise<void>;
  /**
   * Writes all of `content`, or nothing: a failure leaves the place as it was, or says that all of it stands there and may not outlast a crash.
   * @throws VecsnapError TARGET_EXISTS, TARGET_IN_REPOSITORY, TARGET_UNSUITABLE, TARGET_FAILED, STORE_FULL, ABORTED, PEER_MISSING.
   */
  write(content: Content, options: WriteOptions): Promise<WriteReport>;
}
