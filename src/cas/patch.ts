/**
 * Makes a chunk from one that is stored, of which a few units are others: read, compared with its address, changed, addressed and
 * encoded in one go, so that a pool of threads hands neither the old nor the new bytes to and fro.
 */
// Straight from their files and not from core's index: a worker that starts with these loads nothing else.
import type { Address } from '../core/address.js';
import { concatBytes, equalBytes } from '../core/bytes.js';
import {
  wholeFingerprints,
  chainLength,
  CODECS,
  type CoderPrimitives,
  type EncodeOptions,
  decodeIfWhole,
  encodeWith,
  type EncodedChunk,
  mayBeBase,
  fingerprintingFor,
  fingerprintsStandAlone,
  type StoredChunk,
} from './codec.js';
import { copiesBetween, literalsOf, writeDelta, writeFingerprints } from './delta.js';
import type { Copy } from './match.js';
import type { PlaneWidth } from './planes.js';
import { type Fingerprinting, type StoredFingerprints, fingerprintRecords } from './fingerprints.js';

/** Units of a chunk that may be others now. */
export interface UnitPatch {
  /** Bytes of the chunk. */
  readonly length: number;
  /** Bytes of a unit: those of a record. */
  readonly unit: number;
  /** Bytes of the numbers that the chunk is made of; 0 when it is not made of numbers. */
  readonly width: 0 | PlaneWidth;
  /** The positions of the units, ascending. */
  readonly places: readonly number[];
  /** What stands there now, joined, in memory of its own: all of that memory is sent to another thread. */
  readonly bytes: Uint8Array;
}

/** A chunk that a patch has made of another. */
export interface PatchedChunk extends EncodedChunk {
  readonly address: Address;
  /** The units that stood in the places of the patch before, joined. */
  readonly replaced: Uint8Array;
}

/**
 * What a patch makes of a stored chunk.
 * @returns `damaged` when the stored chunk is not what its address says, or the patch is not one of it; `same` when nothing is another.
 */
export function patchChunk(
  chunk: StoredChunk,
  patch: UnitPatch,
  options: EncodeOptions,
  primitives: CoderPrimitives,
): PatchedChunk | 'same' | 'damaged' {
  const before = decodeIfWhole(chunk, false, primitives); // Compared with its address below.
  if (before?.length !== patch.length || !isWithin(patch)) return 'damaged';
  const { unit, width, places, bytes } = patch;
  const at = (place: number) => before.subarray(place * unit, (place + 1) * unit);
  const now = (i: number) => bytes.subarray(i * unit, (i + 1) * unit);
  const changed = places.filter((place, i) => !equalBytes(at(place), now(i)));
  const [first] = changed;
  if (first === undefined) return equalBytes(primitives.sha256(before), chunk.address) ? 'same' : 'damaged';
  const replaced = new Uint8Array(bytes.length);
  for (const [i, place] of places.entries()) replaced.set(at(place), i * unit);
  const after = copyInto(before, primitives.scratch); // Others may copy from the old one, which may be shared with other threads.
  for (const [i, place] of places.entries()) after.set(now(i), place * unit);
  const [addressBefore, address] = hashTwo(before, after, first * unit, primitives);
  if (!equalBytes(addressBefore, chunk.address)) return 'damaged';
  const plain = { bytes: after, width, unit };
  const fingerprinting = fingerprintingFor(plain, options, primitives);
  const toDelta = (): EncodedChunk | undefined => {
    if (!mayBeBase(chunk)) return undefined;
    const copies = copiesBetween(changed, after.length / unit);
    if (copies.length === 0) return undefined;
    const delta = writeDelta(after, copies, { unit, width }, options.compressionLevel, primitives.deflate);
    const fingerprints = fingerprinting && fingerprintsOfPatched(chunk, after, copies, fingerprinting);
    return { codec: CODECS.delta, bytes: delta, bases: [chunk.address], fingerprints };
  };
  return { ...encodeWith(plain, toDelta, fingerprinting, options, primitives), address, replaced };
}

function fingerprintsOfPatched(
  chunk: StoredChunk,
  after: Uint8Array,
  copies: readonly Copy[],
  fingerprinting: Fingerprinting,
): StoredFingerprints | undefined {
  if (fingerprintsStandAlone(chainLength(chunk)))
    return wholeFingerprints(fingerprintRecords(after, fingerprinting));
  const fingerprints = fingerprintRecords(
    concatBytes(literalsOf(after, copies, fingerprinting.unit)),
    fingerprinting,
  );
  return fingerprints && { isDelta: true, bytes: writeFingerprints([fingerprints], copies) };
}

function hashTwo(
  a: Uint8Array,
  b: Uint8Array,
  shared: number,
  { sha256, sha256OfTwo }: CoderPrimitives,
): readonly [Address, Address] {
  return sha256OfTwo?.(a, b, shared) ?? [sha256(a), sha256(b)];
}

/** Whether all places are units of the chunk, and there is as much for each. */
function isWithin({ length, unit, places, bytes }: UnitPatch): boolean {
  const ascend = places.every((place, i) => place > (places[i - 1] ?? -1) && (place + 1) * unit <= length);
  return ascend && length % unit === 0 && bytes.length === places.length * unit;
}

function copyInto(bytes: Uint8Array, room: CoderPrimitives['scratch']): Uint8Array {
  const copy = room?.(bytes.length) ?? new Uint8Array(bytes.length);
  copy.set(bytes);
  return copy;
}
