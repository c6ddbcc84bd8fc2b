/**
 * How a chunk is physically kept. The address is of the plaintext, so the choice of a codec never shows outside.
 *
 * Codec numbers stand in pack directories and are never given a second meaning.
 */
// Straight from their files and not from core's index: a worker that starts with these loads nothing else.
import type { Address } from '../core/address.js';
import { equalBytes } from '../core/bytes.js';
import { VecsnapError } from '../core/errors.js';
import type { CompareRanges, Deflate, Sha256, Sha256OfTwo } from '../core/platform.js';
import { decodePlanesAndRest, encodeBytes } from './byte-forms.js';
import { type Delta, encodeDelta, encodeDeltaByFingerprints, resolveDelta } from './delta.js';
import { type Fresh, Pieces } from './pieces.js';
import type { PlaneEngine } from './plane-engine.js';
import { decodePlanes, encodePlanesWithin, type PlaneWidth } from './planes.js';
import {
  type Fingerprinting,
  fingerprintingOf,
  type StoredFingerprints,
  fingerprintRecords,
} from './fingerprints.js';

/** The codecs and their numbers. */
export const CODECS = { raw: 0, deflate: 1, planes: 2, delta: 3, planesAndRest: 4 } as const;

/** The name of a codec. */
export type CodecName = keyof typeof CODECS;

/** The number of a codec. */
export type CodecNumber = (typeof CODECS)[CodecName];

/** A chunk as it was read from a pack. */
export interface StoredChunk {
  readonly address: Address;
  readonly codec: number;
  readonly bytes: Uint8Array;
  /** Bytes of the plaintext. */
  readonly length: number;
  /** What a delta copies from; none for the other codecs. */
  readonly bases?: readonly StoredChunk[] | undefined;
}

/** A chunk of the store whose plaintext somebody has read and checked already. */
export interface PlainBase {
  readonly address: Address;
  readonly plain: Uint8Array;
  /** How many deltas it is away from a chunk that stands alone. */
  readonly chain: number;
}

/** A chunk of the store of whose records only the fingerprints are there. */
export interface FingerprintedBase {
  readonly address: Address;
  readonly fingerprints: Uint8Array;
  /** How many deltas it is away from a chunk that stands alone. */
  readonly chain: number;
}

/** Chunks that are in the store and may have much in common with a new one. */
export interface Kin<C = StoredChunk> {
  /** Bytes that are equal or different as a whole: those of a record, or 1. */
  readonly unit: number;
  readonly chunks: readonly (C | PlainBase)[];
  /** The same chunks by their fingerprints. When `chunks` are there too, it is found out whether both tell the same. */
  readonly fingerprinted?: readonly FingerprintedBase[] | undefined;
}

/** Whether this version can decode what is kept under `codec`. */
export function isKnownCodec(codec: number): codec is CodecNumber {
  return (Object.values(CODECS) as number[]).includes(codec);
}

/** A chunk to be encoded. */
export interface PlainChunk<C = StoredChunk> {
  readonly bytes: Uint8Array;
  /** Bytes of the numbers that the chunk is made of; 0 when it is not made of numbers. */
  readonly width: 0 | PlaneWidth;
  /** Bytes of a record, when its records may have fingerprints. */
  readonly unit?: number | undefined;
  /** What it may be told by. */
  readonly kin?: Kin<C> | undefined;
}

/** How much to spend on compression. */
export interface CompressionOptions {
  /** `auto`: each chunk in its smallest form; `none`: as it is. */
  readonly compression: 'auto' | 'none';
  /** The deflate level for what is not made of numbers, 1 (fast) to 9 (small). */
  readonly compressionLevel: number;
}

/** How chunks are encoded. */
export interface EncodeOptions extends CompressionOptions {
  /** Tells the key of fingerprints; without it, none are made. */
  readonly fingerprintSeed?: string | undefined;
}

/** A chunk as it is kept. */
export interface EncodedChunk {
  readonly codec: CodecNumber;
  readonly bytes: Uint8Array;
  /** What a delta copies from, in order. */
  readonly bases?: readonly Address[] | undefined;
  /** The fingerprints of its records, where it has some. */
  readonly fingerprints?: StoredFingerprints | undefined;
  /** Whether the fingerprints of what it may be told by are not those of its bytes. */
  readonly hasFalseFingerprints?: boolean | undefined;
}

/** What coding needs of the machine. */
export interface CoderPrimitives {
  readonly sha256: Sha256;
  readonly deflate: Deflate;
  /** Where the machine can go on from one hash to two. */
  readonly sha256OfTwo?: Sha256OfTwo | undefined;
  /** Where the machine has something better for it than a loop. */
  readonly compareRanges?: CompareRanges | undefined;
  /** Gives memory for a result, of any content; without it, each result is in memory of its own. */
  readonly fresh?: Fresh | undefined;
  /** Gives memory of any content for what others copy from, which is read until all chunks of a call are done. The same without it. */
  readonly scratch?: Fresh | undefined;
}

/** An encoded form is taken when it saves at least this part of the plaintext. */
const LEAST_SAVING = 1 / 64;
/** A delta of at most this part of the plaintext is taken without trying anything else. */
const SMALL_DELTA = 1 / 8;
/** A larger delta is taken when it has at most this part of what the chunk takes alone: it makes reading slower. */
const WORTHWHILE_DELTA = 3 / 4;
/** A chunk is never told by one that is itself this many deltas away from one that stands alone. */
export const MAX_CHAIN = 48;
/** A chunk that compresses so well that its fingerprints would take more than this part of it has none. */
const MOST_FINGERPRINTS = 1 / 32;
/** Fingerprints of so many deltas in a row are told by others; then come some that stand alone, so that they are found quickly. */
const FINGERPRINTS_IN_A_ROW = 8;

/** The smallest form of a chunk. */
export function encodeChunk(
  chunk: PlainChunk,
  options: EncodeOptions,
  primitives: CoderPrimitives,
): EncodedChunk {
  const { kin } = chunk;
  const fingerprinting = fingerprintingFor(chunk, options, primitives);
  const toDelta = (): EncodedChunk | undefined =>
    kin && encodeByKin(chunk, kin, fingerprinting, options, primitives);
  return encodeWith(chunk, toDelta, fingerprinting, options, primitives);
}

/** How the records of a chunk are fingerprinted; undefined when they are not. */
export function fingerprintingFor(
  { bytes, unit }: Pick<PlainChunk, 'bytes' | 'unit'>,
  { compression, fingerprintSeed }: EncodeOptions,
  { sha256 }: CoderPrimitives,
): Fingerprinting | undefined {
  return compression === 'none' ? undefined : fingerprintingOf(bytes.length, unit, fingerprintSeed, sha256);
}

/** The smallest form of a chunk. @param toDelta tells it by others, where that is possible. */
export function encodeWith(
  chunk: PlainChunk,
  toDelta: () => EncodedChunk | undefined,
  fingerprinting: Fingerprinting | undefined,
  options: EncodeOptions,
  primitives: CoderPrimitives,
): EncodedChunk {
  const { bytes } = chunk;
  if (options.compression === 'none' || bytes.length < 64) return { codec: CODECS.raw, bytes };
  const delta = toDelta();
  if (delta?.hasFalseFingerprints === true) return delta;
  if (delta !== undefined && delta.bytes.length <= bytes.length * SMALL_DELTA) return delta;
  const alone = encodeAlone(chunk, fingerprinting, options, primitives);
  return delta !== undefined && delta.bytes.length <= alone.bytes.length * WORTHWHILE_DELTA ? delta : alone;
}

/**
 * The plaintext of a stored chunk.
 * @param verify whether it is compared with its address.
 * @throws VecsnapError CHUNK_DAMAGED.
 */
export function decodeChunk(chunk: StoredChunk, verify: boolean, primitives: CoderPrimitives): Uint8Array {
  let plain: Uint8Array;
  try {
    plain = plaintextOf(chunk, primitives);
  } catch (cause) {
    throw new VecsnapError('CHUNK_DAMAGED', 'A chunk cannot be decoded.', { cause });
  }
  if (verify && !equalBytes(primitives.sha256(plain), chunk.address)) {
    throw new VecsnapError('CHUNK_DAMAGED', 'The bytes of a chunk do not fit its address.');
  }
  return plain;
}

/**
 * The plaintext of a chunk, or undefined when it is damaged; with `verify` it is what its address says (docs/ordering.md, R6). No error is
 * made for that: thousands of forms of a chunk are tried to mend it.
 */
export function decodeStored(
  chunk: StoredChunk,
  verify: boolean,
  primitives: CoderPrimitives,
): Uint8Array | undefined {
  let plain: Uint8Array;
  try {
    plain = plaintextOf(chunk, primitives);
  } catch {
    return undefined; // Whatever decoding stumbles over: the chunk cannot be decoded.
  }
  return !verify || equalBytes(primitives.sha256(plain), chunk.address) ? plain : undefined;
}

/** @throws whatever decoding stumbles over. */
function plaintextOf(
  chunk: StoredChunk,
  { deflate, fresh = newBytes, scratch }: CoderPrimitives,
): Uint8Array {
  return chunk.codec === CODECS.delta
    ? piecesOf(chunk, deflate, new Map(), scratch).join(fresh)
    : decodeAlone(chunk, deflate, fresh);
}

/**
 * The addresses of those that do not decode to what their address says, or have bits that mean nothing and are not as they were written,
 * among the chunks and all that they copy from. What `fresh` gives is used again for each chunk that no other copies from.
 */
export function damagedAmong(
  chunks: readonly StoredChunk[],
  { sha256, deflate: lenient, fresh, scratch }: CoderPrimitives,
): Address[] {
  const deflate = { ...lenient, inflate: lenient.inflateStrictly ?? lenient.inflate };
  const bases = new Set<StoredChunk>();
  for (const chunk of chunks) addBases(chunk, bases);
  const known = new Map<StoredChunk, Pieces>();
  const damaged: Address[] = [];
  const plainOf = (chunk: StoredChunk): Uint8Array => {
    const isLast = !bases.has(chunk);
    if (isLast && chunk.codec !== CODECS.delta) return decodeAlone(chunk, deflate, fresh);
    return piecesOf(chunk, deflate, known, scratch).join(fresh ?? newBytes);
  };
  for (const chunk of new Set([...bases, ...chunks])) {
    try {
      if (!equalBytes(sha256(plainOf(chunk)), chunk.address)) damaged.push(chunk.address);
    } catch {
      damaged.push(chunk.address); // Whatever decoding stumbles over: the chunk cannot be decoded.
    }
  }
  return damaged;
}

function addBases({ bases = [] }: StoredChunk, known: Set<StoredChunk>): void {
  for (const base of bases) {
    if (known.has(base)) continue;
    addBases(base, known);
    known.add(base);
  }
}

function encodeAlone(
  { bytes, width }: PlainChunk,
  fingerprinting: Fingerprinting | undefined,
  { compressionLevel }: EncodeOptions,
  { deflate, fresh }: CoderPrimitives,
): EncodedChunk {
  const most = Math.floor(bytes.length * (1 - LEAST_SAVING));
  if (width !== 0 && bytes.length % width === 0) {
    let fingerprints: Uint8Array | undefined;
    const onSplit = (engine: PlaneEngine): void => {
      fingerprints = fingerprinting && engine.fingerprintSplit?.(fingerprinting);
    };
    const encoded = encodePlanesWithin(most, bytes, width, compressionLevel, deflate, { fresh, onSplit });
    return encoded === undefined
      ? { codec: CODECS.raw, bytes, fingerprints: worthwhile(fingerprints, bytes) }
      : { codec: CODECS.planes, bytes: encoded, fingerprints: worthwhile(fingerprints, encoded) };
  }
  const form = encodeBytes(most, bytes, { level: compressionLevel, deflate, fresh });
  return form === undefined ? { codec: CODECS.raw, bytes } : { codec: CODECS[form.kind], bytes: form.bytes };
}

/** Fingerprints of a chunk that stands alone; undefined when they would take more than a small part of what it takes itself. */
function worthwhile(
  fingerprints: Uint8Array | undefined,
  encoded: Uint8Array,
): StoredFingerprints | undefined {
  const share = (fingerprints?.length ?? 0) / encoded.length;
  return share <= MOST_FINGERPRINTS ? wholeFingerprints(fingerprints) : undefined;
}

/** Fingerprints that stand alone. */
export function wholeFingerprints(fingerprints: Uint8Array | undefined): StoredFingerprints | undefined {
  return fingerprints && { isDelta: false, bytes: fingerprints };
}

/** Whether the fingerprints of a delta stand alone. @param chain how many deltas what it is told by is away from a chunk that stands alone. */
export function fingerprintsStandAlone(chain: number): boolean {
  return (chain + 1) % FINGERPRINTS_IN_A_ROW === 0;
}

function encodeByKin(
  chunk: PlainChunk,
  kin: Kin,
  fingerprinting: Fingerprinting | undefined,
  options: EncodeOptions,
  primitives: CoderPrimitives,
): EncodedChunk | undefined {
  const fingerprints = fingerprinting && fingerprintRecords(chunk.bytes, fingerprinting);
  const told =
    fingerprints && kin.fingerprinted && encodeByFingerprints(chunk, kin, fingerprints, options, primitives);
  if (kin.chunks.length === 0) return told;
  const sound = kin.chunks.flatMap((base) => {
    const plain = basePlain(base, primitives);
    return plain === undefined ? [] : [{ address: base.address, plain }];
  });
  const form = encodeByPlain(chunk, kin.unit, sound, options, primitives);
  const areBothThere = fingerprints !== undefined && kin.fingerprinted !== undefined;
  const isComparable = areBothThere && sound.length === kin.chunks.length;
  if (isComparable && !isSameForm(told, form))
    return { codec: CODECS.raw, bytes: chunk.bytes, hasFalseFingerprints: true };
  const known = isComparable ? told?.fingerprints : undefined; // Else they are told by other bases.
  return form && { ...form, fingerprints: known ?? wholeFingerprints(fingerprints) };
}

function encodeByPlain(
  { bytes, width }: PlainChunk,
  unit: number,
  sound: readonly { readonly address: Address; readonly plain: Uint8Array }[],
  { compressionLevel }: EncodeOptions,
  primitives: CoderPrimitives,
): EncodedChunk | undefined {
  if (sound.length === 0) return undefined;
  const plains = sound.map(({ plain }) => plain);
  const delta: Delta | undefined = encodeDelta(bytes, plains, { unit, width }, compressionLevel, primitives);
  if (delta === undefined) return undefined;
  const bases = delta.used.map((i) => (sound[i] as (typeof sound)[number]).address);
  return { codec: CODECS.delta, bytes: delta.bytes, bases };
}

function encodeByFingerprints(
  { bytes, width }: PlainChunk,
  { unit, fingerprinted = [] }: Kin,
  fingerprints: Uint8Array,
  { compressionLevel }: EncodeOptions,
  { deflate }: CoderPrimitives,
): EncodedChunk | undefined {
  const shape = { unit, width };
  const told = fingerprinted.map((base) => base.fingerprints);
  const delta = encodeDeltaByFingerprints(bytes, fingerprints, told, shape, compressionLevel, deflate);
  if (delta === undefined) return undefined;
  const used = delta.used.map((i) => fingerprinted[i] as FingerprintedBase);
  const chain = Math.max(...used.map((base) => base.chain));
  return {
    codec: CODECS.delta,
    bytes: delta.bytes,
    bases: used.map(({ address }) => address),
    fingerprints: fingerprintsStandAlone(chain)
      ? wholeFingerprints(fingerprints)
      : { isDelta: true, bytes: delta.fingerprints },
  };
}

function isSameForm(a: EncodedChunk | undefined, b: EncodedChunk | undefined): boolean {
  if (a === undefined || b === undefined) return a === b;
  const [own, others] = [a.bases ?? [], b.bases ?? []];
  const areBasesEqual =
    own.length === others.length && own.every((base, i) => equalBytes(base, others[i] as Address));
  return areBasesEqual && equalBytes(a.bytes, b.bytes);
}

/** Undefined for a chunk that is no base: one that is damaged, or at the end of the longest chain. */
function basePlain(chunk: StoredChunk | PlainBase, primitives: CoderPrimitives): Uint8Array | undefined {
  if ('plain' in chunk) return chunk.chain < MAX_CHAIN ? chunk.plain : undefined;
  return mayBeBase(chunk) ? decodeIfSound(chunk, primitives) : undefined;
}

/**
 * The plaintext of a chunk that others may be told by, in memory for that; undefined when it is damaged: what was told by it could never
 * be read.
 */
export function decodeIfSound(chunk: StoredChunk, primitives: CoderPrimitives): Uint8Array | undefined {
  return decodeIfWhole(chunk, true, primitives);
}

/** The same; undefined when it cannot be decoded or, when `verify` is set, is not what its address says. */
export function decodeIfWhole(
  chunk: StoredChunk,
  verify: boolean,
  primitives: CoderPrimitives,
): Uint8Array | undefined {
  return decodeStored(chunk, verify, { ...primitives, fresh: primitives.scratch });
}

/** Whether a chunk may be told by this one: it is not at the end of the longest chain. */
export function mayBeBase(chunk: StoredChunk): boolean {
  return chainLength(chunk) < MAX_CHAIN;
}

/** Deltas from a chunk to one that stands alone, the longest way. */
export function chainLength({ bases = [] }: StoredChunk, known = new Map<StoredChunk, number>()): number {
  const lengths = bases.map((base) => known.get(base) ?? chainLength(base, known));
  for (const [i, length] of lengths.entries()) known.set(bases[i] as StoredChunk, length);
  return lengths.length === 0 ? 0 : 1 + Math.max(...lengths);
}

/**
 * The pieces of a chunk. Each base is resolved once, also when several copy from it; what a chunk that stands alone holds is decoded at once.
 * @param fresh gives memory for what is decoded.
 */
function piecesOf(
  chunk: StoredChunk,
  deflate: Deflate,
  known: Map<StoredChunk, Pieces>,
  fresh?: Fresh,
): Pieces {
  const resolved = known.get(chunk);
  if (resolved !== undefined) return resolved;
  const pieces =
    chunk.codec === CODECS.delta
      ? resolveDelta(
          chunk.bytes,
          (chunk.bases ?? []).map((base) => piecesOf(base, deflate, known, fresh)),
          chunk.length,
          deflate,
          fresh,
        )
      : Pieces.of({ bytes: decodeAlone(chunk, deflate, fresh) }, chunk.length);
  known.set(chunk, pieces);
  return pieces;
}

function newBytes(length: number): Uint8Array {
  return new Uint8Array(length);
}

/** The plaintext of a chunk that stands alone. @throws whatever decoding stumbles over. */
export function decodeAlone(
  { codec, bytes, length }: Pick<StoredChunk, 'codec' | 'bytes' | 'length'>,
  deflate: Deflate,
  fresh?: CoderPrimitives['fresh'],
): Uint8Array {
  if (codec === CODECS.deflate) return deflate.inflate(bytes, length);
  if (codec === CODECS.planes) return decodePlanes(bytes, length, deflate, { fresh });
  if (codec === CODECS.planesAndRest) return decodePlanesAndRest(bytes, length, deflate, fresh);
  if (codec === CODECS.raw && bytes.length === length) return bytes;
  throw new RangeError(codec === CODECS.raw ? 'the length is another' : `unknown codec ${codec}`);
}
