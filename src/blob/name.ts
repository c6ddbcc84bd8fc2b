/** What a blob may be called, and the checks of arguments that every store makes. */
import { VecsnapError } from '../core/errors.js';

const MAX_NAME_LENGTH = 200;
const NAME = /^[a-z0-9_-][a-z0-9._-]*(?:\/[a-z0-9_-][a-z0-9._-]*)*$/;

/** First parts of names that stores keep for themselves: unfinished writes, the index beside the blobs, and space held back. */
export const RESERVED_FOLDERS: readonly string[] = ['tmp', 'index', 'reserve'];

/** Whether `name` is one that a store takes. */
export function isBlobName(name: string): boolean {
  if (name.length > MAX_NAME_LENGTH || !NAME.test(name)) return false;
  return !RESERVED_FOLDERS.includes(name.split('/', 1)[0] as string);
}

/** @throws VecsnapError BLOB_NAME_INVALID for a name that a store does not take. */
export function checkBlobName(name: string): void {
  if (isBlobName(name)) return;
  throw new VecsnapError('BLOB_NAME_INVALID', 'This is not the name of a blob.', {
    place: JSON.stringify(name.length > MAX_NAME_LENGTH ? `${name.slice(0, MAX_NAME_LENGTH)}…` : name),
    remedy:
      `Use parts of a-z, 0-9, "-", "_" and "." joined by "/", none of them starting with a dot, the first none of ` +
      `${RESERVED_FOLDERS.join(', ')}, at most ${MAX_NAME_LENGTH} characters in all.`,
  });
}

/** Checks what `read` is given. @throws VecsnapError BLOB_NAME_INVALID. @throws RangeError for a wrong offset. */
export function checkRead(name: string, offset: number): void {
  checkBlobName(name);
  if (!Number.isSafeInteger(offset) || offset < 0) {
    throw new RangeError(`an offset is an unsigned safe integer, not ${offset}`);
  }
}

/** The byte strings of a put as a list. */
export function partsOf(bytes: Uint8Array | readonly Uint8Array[]): readonly Uint8Array[] {
  return bytes instanceof Uint8Array ? [bytes] : bytes;
}

/** The error of a blob that is not there. */
export function blobMissing(place: string, name: string, cause?: unknown): VecsnapError {
  return new VecsnapError('BLOB_MISSING', 'The store has no blob of this name.', {
    place: `${place}, ${name}`,
    remedy: 'Verify the repository to learn what else is missing.',
    cause,
  });
}

/** The error of a put under a name that is taken. */
export function blobExists(place: string, name: string, cause?: unknown): VecsnapError {
  return new VecsnapError('BLOB_EXISTS', 'The store has a blob of this name already.', {
    place: `${place}, ${name}`,
    remedy: 'Use another name: blobs are never overwritten.',
    cause,
  });
}

/** The error of a store that could not do its work. */
export function storeFailed(place: string, doing: string, cause: unknown): VecsnapError {
  return new VecsnapError('STORE_FAILED', `The store could not ${doing}: ${messageOf(cause)}.`, {
    place,
    remedy: 'Check that the store can be reached, read and written by this user, and try again.',
    cause,
  });
}

/** The error of a store without space. */
export function storeFull(place: string, cause: unknown): VecsnapError {
  return new VecsnapError('STORE_FULL', `There is no space left in the store: ${messageOf(cause)}.`, {
    place,
    remedy: 'Free some space and try again. What the store had before is as it was.',
    cause,
  });
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
