/** Seals blobs (sealed-blob.ts). In a file of its own, because many commands only read. */
import { concatBytes, utf8 } from '../core/bytes.js';
import type { Canonical } from '../core/canonical.js';
import { encodeCanonical } from '../core/canonical-encoding.js';
import type { Sha256 } from '../core/platform.js';
import { MAGIC_BYTES } from './sealed-blob.js';

/** The bytes of a sealed blob. @param magic eight ASCII letters. */
export function seal(magic: string, value: Canonical, sha256: Sha256): Uint8Array {
  const body = concatBytes([utf8(magic.padEnd(MAGIC_BYTES)), encodeCanonical(value)]);
  return concatBytes([body, sha256(body)]);
}
