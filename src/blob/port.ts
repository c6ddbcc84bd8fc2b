/**
 * The port to wherever a repository lives.
 *
 * A store holds immutable, named byte strings. That is all that the rest of vecsnap asks of a disk, a database or a
 * bucket; test/contract/blob-store.ts is the contract that every implementation passes.
 */

/** A blob and its size in bytes. */
export interface BlobStat {
  readonly name: string;
  readonly size: number;
}

/**
 * Named, immutable byte strings.
 *
 * Names are parts of lower-case letters, digits, `-`, `_` and `.` joined by `/`; no part starts with a dot; at most 200
 * characters. The first part is none of `tmp`, `index` and `reserve`: a store keeps things of its own there. No name may be a folder of
 * another (`a` beside `a/b`): a store may refuse the second of them with STORE_FAILED.
 *
 * Every method throws STORE_FAILED when the store cannot do its work, BLOB_NAME_INVALID for other names, and RangeError for
 * an offset that is not an unsigned safe integer. Any number of calls may run at once. Byte arrays may stand on an
 * `ArrayBuffer` or a `SharedArrayBuffer`; the caller leaves them alone until the call has settled, and afterwards neither
 * side sees what the other does to its bytes.
 */
export interface BlobStore {
  /** Where the store is, for messages. */
  readonly place: string;

  /**
   * Writes a new blob. When this resolves the blob is durable: it survives a power cut. Until then it is absent or whole:
   * nobody ever sees a part of it. The same holds when this throws STORE_FULL or STORE_FAILED: the blob is absent, or
   * whole when only its confirmation failed.
   *
   * Of several puts of one name exactly one succeeds, and BLOB_EXISTS says that the other blob is durable.
   * @param bytes one byte string, or several that are joined.
   * @throws VecsnapError BLOB_EXISTS when there is a blob of this name, STORE_FULL.
   */
  put(name: string, bytes: Uint8Array | readonly Uint8Array[]): Promise<void>;

  /**
   * The same as {@link put} for a blob whose parts come one after the other, some at a time. They are not needed any longer once the next
   * are asked for; none are asked for any more when this has settled. Only stores that can write a blob before all of it is there have this.
   * @throws as {@link put}, and when `parts` fails: the blob is then absent. A VecsnapError is thrown as it is, all else as the cause of
   * STORE_FAILED.
   */
  putParts?(name: string, parts: AsyncIterable<readonly Uint8Array[]>): Promise<void>;

  /**
   * The whole blob, in bytes that the caller owns.
   * @throws VecsnapError BLOB_MISSING.
   */
  get(name: string): Promise<Uint8Array>;

  /**
   * Fills `into` with the bytes from `offset` on.
   * @returns the bytes read: fewer than `into` holds only when the blob ends before; 0 from its end on.
   * @throws VecsnapError BLOB_MISSING.
   */
  read(name: string, offset: number, into: Uint8Array): Promise<number>;

  /**
   * Runs `action` with descriptors of open files that hold the blobs and nothing else, in the order of the names; they are open
   * until it has settled. Any thread of this process may read from them. Only stores whose blobs are files have this.
   * @throws VecsnapError BLOB_MISSING, and what `action` throws.
   */
  useFiles?<T>(names: readonly string[], action: (descriptors: readonly number[]) => Promise<T>): Promise<T>;

  /** The blob's size, or undefined when there is none of that name. */
  stat(name: string): Promise<BlobStat | undefined>;

  /**
   * The blobs whose names begin with `prefix`, in ascending order of their names (as `<` compares text). The prefix is any
   * text: `''` lists everything, and one that no name begins with lists nothing. A blob that is put or deleted while the
   * list is read may be in it or not; all others are in it exactly once.
   */
  list(prefix: string): AsyncIterable<BlobStat>;

  /** Removes a blob. Removing one that is not there is no error. When this resolves the removal is durable. */
  delete(name: string): Promise<void>;

  /**
   * Lets go of handles, when the calls under way are done with them. May be called again, and a store that is used
   * afterwards takes new ones.
   */
  close(): Promise<void>;
}
