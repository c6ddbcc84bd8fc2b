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
 * characters. Every method throws STORE_FAILED when the store cannot do its work, and BLOB_NAME_INVALID for other names.
 */
export interface BlobStore {
  /** Where the store is, for messages. */
  readonly place: string;

  /**
   * Writes a new blob. When this resolves the blob is durable: it survives a power cut. Before that it is absent:
   * nobody ever sees a part of it.
   * @param bytes one byte string, or several that are joined.
   * @throws VecsnapError BLOB_EXISTS when there is a blob of this name, STORE_FULL.
   */
  put(name: string, bytes: Uint8Array | readonly Uint8Array[]): Promise<void>;

  /**
   * The whole blob.
   * @throws VecsnapError BLOB_MISSING.
   */
  get(name: string): Promise<Uint8Array>;

  /**
   * Fills `into` with the bytes from `offset` on.
   * @returns the bytes read: fewer than `into` holds when the blob ends before.
   * @throws VecsnapError BLOB_MISSING.
   */
  read(name: string, offset: number, into: Uint8Array): Promise<number>;

  /** The blob's size, or undefined when there is none of that name. */
  stat(name: string): Promise<BlobStat | undefined>;

  /** The blobs whose names begin with `prefix`, in ascending order of their names. */
  list(prefix: string): AsyncIterable<BlobStat>;

  /** Removes a blob. Removing one that is not there is no error. When this resolves the removal is durable. */
  delete(name: string): Promise<void>;

  /** Lets go of handles. */
  close(): Promise<void>;
}
