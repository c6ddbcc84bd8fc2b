/**
 * The one error class of vecsnap and its codes.
 *
 * A code is stable: programs may compare it. docs/errors.md lists every code with what to do next and is
 * tested against this table. Mistakes of the programmer (a wrong type, a wrong value) stay `TypeError` and
 * `RangeError`.
 */
export const ERROR_CODES = {
  REPOSITORY_MISSING: 'There is nothing at the place where the repository should be.',
  REPOSITORY_EXISTS: 'A repository, or something else, already stands where a new one should be made.',
  NOT_A_REPOSITORY: 'The place exists but holds no vecsnap repository.',
  REPOSITORY_NEWER: 'The repository was written in a newer format than this version of vecsnap reads.',
  REPOSITORY_DAMAGED: 'The config of the repository is gone, fails its checksum or cannot be decoded.',
  REPOSITORY_LOCKED: 'Another writer is at work in the repository.',
  LEASE_LOST: 'The lock was taken away while the work went on.',
  SNAPSHOT_UNKNOWN: 'No snapshot has that id, ending or name.',
  SNAPSHOT_FORGOTTEN: 'The snapshot was forgotten and swept while it was read.',
  SNAPSHOT_AMBIGUOUS: 'Several snapshots match the ending that was given.',
  SNAPSHOT_DAMAGED: 'The blob of a snapshot fails its checksum or cannot be decoded.',
  SNAPSHOT_PINNED: 'The snapshot is pinned, so it is not forgotten.',
  MARKS_DAMAGED: 'The blob of the tags and the pin of a snapshot fails its checksum or cannot be decoded.',
  POLICY_DAMAGED: 'The blob of the stored policies fails its checksum or cannot be decoded.',
  NOTE_DAMAGED: 'The note of a repair fails its checksum or cannot be decoded.',
  MANIFEST_DAMAGED: 'A node of a manifest does not follow the format.',
  CHUNK_MISSING: 'A chunk that is referred to stands in no pack.',
  CHUNK_DAMAGED: 'The bytes of a chunk do not hash to its address, or cannot be decoded.',
  PACK_MISSING: 'A pack that the index names is gone.',
  PACK_DAMAGED: 'A pack is cut short, or its directory fails its checksum.',
  INDEX_DAMAGED: 'The index is not as it was written, disagrees with the packs, or cannot be decoded.',
  BLOB_MISSING: 'The store has no blob of that name.',
  BLOB_EXISTS: 'The store already has a blob of that name, and blobs are never overwritten.',
  BLOB_NAME_INVALID: 'The name of a blob has a form that a store does not take.',
  STORE_FAILED: 'The store could not carry out a read or a write.',
  STORE_FULL: 'There is no space left in the store.',
  ENCODING_INVALID: 'The bytes are not canonical msgpack, or the value cannot be written as such.',
  ADDRESS_INVALID: 'The text is not the address of a chunk.',
  SOURCE_MISSING: 'There is nothing at the place where the source should be.',
  SOURCE_UNRECOGNISED: 'The scheme of a source or a target is unknown, or nothing tells its format.',
  SOURCE_TRUNCATED: 'The source ends before its header says it should.',
  SOURCE_INVALID: 'The source does not follow its own format.',
  SOURCE_DUPLICATE_ID: 'Two records of the source have the same id.',
  SOURCE_UNORDERED:
    'The source gave records that are not in the order of their ids, or files not in that of their paths.',
  SOURCE_DIMENSION: 'A vector of the source has a dimension other than the schema says.',
  SOURCE_CHANGED: 'The source changed while it was read.',
  SOURCE_FAILED: 'The source could not be read.',
  TARGET_EXISTS: 'Something already stands where the restore should go.',
  TARGET_IN_REPOSITORY: 'The target is the repository, lies in it or contains it.',
  TARGET_UNSUITABLE: 'The target cannot hold what the snapshot has.',
  TARGET_FAILED: 'The target could not be written.',
  IMPORT_DAMAGED: 'An exported folder is incomplete, fails its checksum or is of a newer version.',
  JOURNAL_FAILED: 'The journal of changes could not be written, so the database was not written either.',
  PEER_MISSING: 'An optional package that this source or target needs is not installed.',
  OPTION_INVALID: 'An option has a value that it does not take.',
  SWEEP_REFUSED: 'Something that a snapshot needs is missing or cannot be read, so nothing is deleted.',
  PLAN_SPENT: 'The plan of a sweep was carried out already.',
  SCHEDULE_RUNNING: 'Another scheduler works with the same state file.',
  FINGERPRINTS_WRONG: 'The fingerprints of stored records are not those of their bytes.',
  WORKER_FAILED: 'A worker thread ended before its work was done.',
  ABORTED: 'The work was interrupted.',
} as const;

/** The stable code of a {@link VecsnapError}. */
export type ErrorCode = keyof typeof ERROR_CODES;

/** Where an error happened, what to do about it and what caused it. */
export interface ErrorDetails {
  /** The address, file, offset, line or option that the error is about. */
  readonly place?: string | undefined;
  /** What to do next. */
  readonly remedy?: string | undefined;
  readonly cause?: unknown;
}

/** Every error that vecsnap raises for its caller's data, repository or options. */
export class VecsnapError extends Error {
  override readonly name = 'VecsnapError';
  readonly code: ErrorCode;
  readonly place: string | undefined;
  readonly remedy: string | undefined;

  constructor(code: ErrorCode, message: string, details: ErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.code = code;
    this.place = details.place;
    this.remedy = details.remedy;
  }
}

/** Whether `error` is a {@link VecsnapError}, of one of `codes` when any are given. */
export function isVecsnapError(error: unknown, ...codes: readonly ErrorCode[]): error is VecsnapError {
  return error instanceof VecsnapError && (codes.length === 0 || codes.includes(error.code));
}

/** Raises ABORTED when the signal is aborted. */
export function throwIfAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted) {
    throw new VecsnapError('ABORTED', 'The work was interrupted.', {
      remedy: 'Nothing was changed. Run the command again.',
      cause: signal.reason,
    });
  }
}

/** Whether this is why a chunk cannot be read: it, something that it copies from, or their pack is missing or damaged. */
export function isUnreadable(error: unknown): error is VecsnapError {
  return isVecsnapError(error, 'CHUNK_MISSING', 'CHUNK_DAMAGED', 'PACK_MISSING', 'PACK_DAMAGED');
}

/** Whether this is why a node of a tree cannot be read: its chunk, or what stands in it. */
export function isDamage(error: unknown): error is VecsnapError {
  return isUnreadable(error) || isVecsnapError(error, 'MANIFEST_DAMAGED');
}

/** Undefined where something that is read is missing or damaged. */
export async function unlessDamaged<T>(work: () => Promise<T>): Promise<T | undefined> {
  try {
    return await work();
  } catch (error) {
    if (isDamage(error)) return undefined;
    throw error;
  }
}
