/**
 * Small blobs that are read whole: which there are, and what they are made of: a magic number that says what they are, canonical msgpack,
 * and the SHA-256 of both.
 *
 * A blob that is cut short or has a bit flipped is told apart from one that was never ours.
 */
import { equalBytes, fromUtf8, utf8 } from '../core/bytes.js';
import { type Canonical, decodeCanonical } from '../core/canonical.js';
import { isVecsnapError, VecsnapError } from '../core/errors.js';
import { MAX_BLOB_BYTES } from '../core/limits.js';
import type { Sha256 } from '../core/platform.js';
import type { BlobStat, BlobStore } from '../blob/port.js';

const CHECKSUM_BYTES = 32;
/** Each kind of blob has a magic number of this many ASCII letters. */
export const MAGIC_BYTES = 8;
const FAMILY = 'vsn';

/** What became of an attempt to open a sealed blob. */
export type Unsealed = { readonly value: Canonical } | { readonly flaw: 'foreign' | 'damaged' };

/**
 * The bytes of a sealed blob. Of one that is far too long to be any, only the start: that shows as well that it is damaged.
 * @throws VecsnapError BLOB_MISSING, STORE_FAILED.
 */
export async function getSealed(
  blobs: Pick<BlobStore, 'stat' | 'get' | 'read'>,
  name: string,
): Promise<Uint8Array> {
  const stat = await blobs.stat(name);
  if (stat === undefined || stat.size <= MAX_BLOB_BYTES) return blobs.get(name);
  const start = new Uint8Array(START_BYTES);
  return start.subarray(0, await blobs.read(name, 0, start));
}

/**
 * The blobs whose names begin with `prefix`, which has a folder in it.
 * @throws VecsnapError STORE_FAILED when a blob has the name of that folder: what it hides must not look as if it were gone.
 */
export async function blobsIn(
  blobs: Pick<BlobStore, 'list' | 'stat'>,
  prefix: string,
): Promise<readonly BlobStat[]> {
  const found: BlobStat[] = [];
  for await (const blob of blobs.list(prefix)) found.push(blob);
  const folder = prefix.slice(0, prefix.indexOf('/'));
  if (found.length > 0 || (await blobs.stat(folder)) === undefined) return found;
  throw new VecsnapError('STORE_FAILED', 'A file stands where a folder of blobs should be.', {
    place: folder,
    remedy: 'Put back what belongs there, or move it out of the repository.',
  });
}

/** Enough to see what something is not. */
export const START_BYTES = 64;

/** The value of a sealed blob, or why there is none: another magic number, or a checksum that does not fit. */
export function unseal(magic: string, bytes: Uint8Array, sha256: Sha256): Unsealed {
  const body = bytes.subarray(0, Math.max(0, bytes.length - CHECKSUM_BYTES));
  if (!isSealed(bytes, sha256)) return { flaw: beginsWith(bytes, magic) ? 'damaged' : 'foreign' };
  if (!beginsWith(bytes, magic)) return { flaw: 'foreign' };
  return decode(body.subarray(MAGIC_BYTES));
}

/** Whether the checksum of a sealed blob fits. */
export function isSealed(bytes: Uint8Array, sha256: Sha256): boolean {
  const body = bytes.subarray(0, Math.max(0, bytes.length - CHECKSUM_BYTES));
  return body.length > MAGIC_BYTES && equalBytes(sha256(body), bytes.subarray(body.length));
}

/** Whether bytes begin as all blobs of this program do, sealed ones and packs. */
export function isOfFamily(bytes: Uint8Array): boolean {
  return equalBytes(bytes.subarray(0, FAMILY.length), utf8(FAMILY));
}

/** A checksum that fits bytes which are never written is the work of another program, or of somebody who means harm. */
function decode(bytes: Uint8Array): Unsealed {
  try {
    return { value: decodeCanonical(bytes) };
  } catch (error) {
    if (isVecsnapError(error, 'ENCODING_INVALID')) return { flaw: 'damaged' };
    throw error;
  }
}

function beginsWith(bytes: Uint8Array, magic: string): boolean {
  const start = bytes.subarray(0, MAGIC_BYTES);
  return start.every((byte) => byte < 0x80) && fromUtf8(start) === magic.padEnd(MAGIC_BYTES);
}
