/**
 * Fingerprints: 96 bits by which two records of a column are told apart, or told equal, without the bytes of both being there. With those of what
 * stands in the store, a chunk is told by others that are not read again (docs/decisions/0017-fingerprints.md).
 *
 * A fingerprint is three independent words. For each, the record, as words of 32 bits and filled up with zeros to a multiple of 32 bytes,
 * is hashed by NH (Black, Halevi, Krawczyk, Krovetz, Rogaway: UMAC, CRYPTO 1999; RFC 4418) to 64 bits: of every 32 bytes the i-th word of the
 * first half plus its key is multiplied with that of the second half plus its key, and all products are added up. Those 64 bits are folded to 32 by
 * (a · low + b · high + c) >> 32 (Dietzfelbinger 1996). The second and third word take the keys from 32 and 64 bytes further on, by whole pairs (Toeplitz, as in that paper). Two
 * different records of one length have the same fingerprint with a probability of at most 2^-93 over the choice of the key, whatever is in them.
 * That holds for who does not know the key, which is made of the id of the repository: fingerprints are no signatures.
 */
// Straight from their files and not from core's index: a worker that starts with these loads nothing else.
import { concatBytes, utf8 } from '../core/bytes.js';
import type { Sha256 } from '../core/platform.js';
import { hasKernels, kernelsWithRoom, FINGERPRINT_BYTES, type Fingerprinting } from './kernels.js';

export { FINGERPRINT_BYTES, type Fingerprinting } from './kernels.js';

/** Of shorter records, fingerprints would take more than 1.2 % of what they are of. */
const LEAST_UNIT = 1024;
/** For longer ones a key would take long to make. */
const MOST_UNIT = 64 * 1024;
/** Factors that fold three sums. They stand first in a key. */
const FOLD_BYTES = 72;
/** The third sum takes its keys from so many bytes further on. */
const SHIFT_BYTES = 64;
/** What is left free between the parts of the memory of the kernels. */
const ROOM_BYTES = 1024;
/** Records are filled up to a multiple of this. */
const BLOCK_BYTES = 32;

/** Fingerprints of the records of a chunk, as they are kept. */
export interface StoredFingerprints {
  /** Whether they are told as copies from those of the bases of the chunk, as the codec `delta` tells bytes, or stand alone. */
  readonly isDelta: boolean;
  readonly bytes: Uint8Array;
}

/** Whether records of so many bytes have fingerprints. */
export function hasFingerprints(unit: number): boolean {
  return unit >= LEAST_UNIT && unit <= MOST_UNIT;
}

/** Whether this machine makes fingerprints. */
export function canFingerprint(): boolean {
  return hasKernels();
}

/** How chunks of such records are fingerprinted; undefined when they are not. @param seed tells the key. */
export function fingerprintingOf(
  length: number,
  unit: number | undefined,
  seed: string | undefined,
  sha256: Sha256,
): Fingerprinting | undefined {
  if (seed === undefined || unit === undefined || !hasFingerprints(unit)) return undefined;
  return length % unit === 0 && canFingerprint() ? fingerprintingWith(seed, unit, sha256) : undefined;
}

/** The fingerprints of the records of a chunk, joined; undefined when the machine has not that much room. */
export function fingerprintRecords(
  bytes: Uint8Array,
  fingerprinting: Fingerprinting,
): Uint8Array | undefined {
  const room =
    bytes.length +
    fingerprinting.key.length +
    (bytes.length / fingerprinting.unit) * FINGERPRINT_BYTES +
    ROOM_BYTES;
  return kernelsWithRoom(room)?.fingerprint(bytes, fingerprinting);
}

/** Those of the last seed: a process works with one repository, as a rule. */
const known = { seed: '', byUnit: new Map<number, Fingerprinting>() };

function fingerprintingWith(seed: string, unit: number, sha256: Sha256): Fingerprinting {
  if (known.seed !== seed) Object.assign(known, { seed, byUnit: new Map() });
  const found = known.byUnit.get(unit);
  if (found !== undefined) return found;
  const length = FOLD_BYTES + Math.ceil(unit / BLOCK_BYTES) * BLOCK_BYTES + SHIFT_BYTES;
  const fingerprinting = { unit, key: expandKey(seed, length, sha256) };
  known.byUnit.set(unit, fingerprinting);
  return fingerprinting;
}

/** Tells whether fingerprints were made with the key of this seed: 8 bytes. */
export function checkOfSeed(seed: string, sha256: Sha256): Uint8Array {
  return sha256(utf8(`vecsnap fingerprints ${seed}`)).subarray(0, 8);
}

/** The SHA-256 of `vecsnap fingerprints <seed> <n>` for n = 0, 1, 2 and so on, joined, up to so many bytes. */
function expandKey(seed: string, length: number, sha256: Sha256): Uint8Array {
  const parts: Uint8Array[] = [];
  for (let n = 0; n * 32 < length; n++) parts.push(sha256(utf8(`vecsnap fingerprints ${seed} ${n}`)));
  return concatBytes(parts).subarray(0, length);
}
