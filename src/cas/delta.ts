/**
 * The codec `delta`: a chunk told as copies from base chunks, and literals for what none of them has.
 *
 * Layout, all numbers varints: the unit in bytes; the width of the numbers that the chunk is made of, 0 for none; the number
 * of steps; for each step how many literal units come, then how
 * many units are copied and from where. Where is told as the distance from where copying would go on if the literals had
 * replaced as many units of the base, zigzag-coded, so that a record that changed in place costs three bytes beside its own.
 * Positions count units over all bases, one after the other. Then the literals, joined: a byte for their form (0 raw, 1 raw
 * deflate, 2 planes) and their bytes.
 *
 * Columns of numbers are compared record by record (the unit is the record), all else byte by byte. A base may be kept as a
 * delta itself; resolving follows the copies down to the bytes and copies each of them once, however long the chain.
 */
import { concatBytes } from '../core/bytes.js';
import { VecsnapError } from '../core/errors.js';
import type { CompareRanges, Deflate } from '../core/platform.js';
import { ByteReader, ByteWriter } from '../core/binary.js';
import { type ByteSource, type Fresh, Pieces } from './pieces.js';
import { decodePlanes, encodePlanes, type PlaneWidth } from './planes.js';
import { FINGERPRINT_BYTES } from './fingerprints.js';
import { likelyNumbers } from './byte-forms.js';
import { compareInLoops, type Copy, findCopies, trimToNumbers } from './match.js';

/** How a chunk is compared with its bases. */
export interface DeltaShape {
  /** Bytes that are copied or literal as a whole: those of a record, or 1. */
  readonly unit: number;
  /** Bytes of the numbers that literals are made of; 0 when they are not numbers. */
  readonly width: 0 | PlaneWidth;
}

const RAW = 0;
const DEFLATED = 1;
const PLANES = 2;

/** Fewer bytes than this are deflated, whatever they are: the heads of planes would take what is saved. */
const LEAST_AS_NUMBERS = 512;

/** What telling a chunk by bases needs of the machine. */
export interface DeltaPrimitives {
  readonly deflate: Deflate;
  readonly compareRanges?: CompareRanges | undefined;
}

/** A chunk told by bases. */
export interface Delta {
  readonly bytes: Uint8Array;
  /** Positions of the bases that it copies from, among those that were given. */
  readonly used: readonly number[];
}

/**
 * Tells `target` by `bases`. Those that nothing is copied from are left out.
 * @returns undefined when the lengths are no multiples of the unit, or nothing at all is shared.
 */
export function encodeDelta(
  target: Uint8Array,
  bases: readonly Uint8Array[],
  shape: DeltaShape,
  level: number,
  { deflate, compareRanges = compareInLoops }: DeltaPrimitives,
): Delta | undefined {
  const found = copiesOfUsed(target, bases, shape.unit, compareRanges);
  if (found === undefined) return undefined;
  const bytes =
    writeAsNumbers(target, found.copies, shape, level, deflate) ??
    writeDelta(target, found.copies, shape, level, deflate);
  return { bytes, used: found.used };
}

/**
 * A delta of bytes of which nothing is known, where they are likely numbers: copies end somewhat earlier and begin somewhat later, so that
 * whole numbers are literal, which planes are made of.
 * @returns undefined when they are no numbers, or nothing is saved by that.
 */
function writeAsNumbers(
  target: Uint8Array,
  copies: readonly Copy[],
  shape: DeltaShape,
  level: number,
  deflate: Deflate,
): Uint8Array | undefined {
  if (shape.unit > 1 || shape.width > 0) return undefined;
  const literal = copies.reduce((left, { count }) => left - count, target.length);
  const width = literal < LEAST_AS_NUMBERS ? 0 : likelyNumbers(target);
  if (width <= 1) return undefined;
  const delta = writeDelta(target, trimToNumbers(copies, width, target.length), shape, level, deflate, width);
  return delta.length < literal ? delta : undefined;
}

/** A chunk told by bases, and so its fingerprints by theirs. */
export interface FingerprintedDelta extends Delta {
  readonly fingerprints: Uint8Array;
}

/**
 * The same when only the fingerprints of all records are there (fingerprints.ts).
 * @param fingerprints those of `target`.
 * @param bases those of the bases.
 */
export function encodeDeltaByFingerprints(
  target: Uint8Array,
  fingerprints: Uint8Array,
  bases: readonly Uint8Array[],
  shape: DeltaShape,
  level: number,
  deflate: Deflate,
): FingerprintedDelta | undefined {
  const found = copiesOfUsed(fingerprints, bases, FINGERPRINT_BYTES, compareInLoops);
  if (found === undefined) return undefined;
  const { copies, used } = found;
  return {
    bytes: writeDelta(target, copies, shape, level, deflate),
    used,
    fingerprints: writeFingerprints(literalsOf(fingerprints, copies, FINGERPRINT_BYTES), copies),
  };
}

/** What is copied from one base of the same length, when it is known which units are others. @param changed their positions, ascending. */
export function copiesBetween(changed: readonly number[], count: number): Copy[] {
  const copies: Copy[] = [];
  let at = 0;
  for (const next of [...changed, count]) {
    if (next > at) copies.push({ from: at, to: at, count: next - at });
    at = next + 1;
  }
  return copies;
}

/** What is copied from those bases of which anything is; undefined when lengths are no multiples of the unit, or nothing is shared. */
function copiesOfUsed(
  target: Uint8Array,
  bases: readonly Uint8Array[],
  unit: number,
  compareRanges: CompareRanges,
): { readonly copies: readonly Copy[]; readonly used: readonly number[] } | undefined {
  if ([target, ...bases].some(({ length }) => length % unit !== 0)) return undefined;
  const copies = findCopies(target, bases, unit, compareRanges);
  const used = usedBases(copies, bases, unit);
  if (used.length === 0) return undefined;
  if (used.length === bases.length) return { copies, used };
  const kept = used.map((i) => bases[i] as Uint8Array);
  return { copies: findCopies(target, kept, unit, compareRanges), used };
}

function usedBases(copies: readonly Copy[], bases: readonly Uint8Array[], unit: number): number[] {
  let start = 0;
  return bases.flatMap(({ length }, i) => {
    const [from, to] = [start / unit, (start + length) / unit];
    start += length;
    return copies.some((copy) => copy.from < to && copy.from + copy.count > from) ? [i] : [];
  });
}

/** Tells `target` by copies, and by itself where there are none. @param width of the numbers that its literals may be kept as. */
export function writeDelta(
  target: Uint8Array,
  copies: readonly Copy[],
  shape: DeltaShape,
  level: number,
  deflate: Deflate,
  width = shape.width,
): Uint8Array {
  const literals = concatBytes(literalsOf(target, copies, shape.unit));
  const { form, bytes } = packLiterals(literals, width, level, deflate);
  const writer = new ByteWriter();
  writer.varint(shape.unit);
  writer.varint(shape.width);
  writeSteps(writer, copies);
  writer.byte(form);
  writer.bytes(bytes);
  return writer.toBytes();
}

/**
 * The same for fingerprints, of which nothing is worth packing: the number of steps, the steps, and what is not copied.
 * @param literals the fingerprints of records that are not copied, in order.
 */
export function writeFingerprints(literals: readonly Uint8Array[], copies: readonly Copy[]): Uint8Array {
  const writer = new ByteWriter();
  writeSteps(writer, copies);
  for (const some of literals) writer.bytes(some);
  return writer.toBytes();
}

/**
 * Puts fingerprints together.
 * @param told what {@link writeFingerprints} gave.
 * @param base those of all bases, joined.
 * @param length bytes of those that are wanted.
 * @throws VecsnapError CHUNK_DAMAGED, ENCODING_INVALID.
 */
export function copyFingerprints(told: Uint8Array, base: Uint8Array, length: number): Uint8Array {
  const reader = new ByteReader(told);
  const steps = readSteps(reader, length / FINGERPRINT_BYTES);
  const bytes = reader.take(reader.remaining);
  if (bytes.length !== length - steps.copied * FINGERPRINT_BYTES)
    throw damaged('its literals have another length');
  const literals = { bytes, length: bytes.length };
  const source = Pieces.of({ bytes: base }, base.length);
  return takeSteps(steps, FINGERPRINT_BYTES, literals, source).join((size) => new Uint8Array(size));
}

function writeSteps(writer: ByteWriter, copies: readonly Copy[]): void {
  writer.varint(copies.length);
  let at = 0;
  let expected = 0;
  for (const { from, to, count } of copies) {
    writer.varint(to - at);
    writer.varint(count);
    writer.varint(zigzag(from - (expected + to - at)));
    at = to + count;
    expected = from + count;
  }
}

/** The units that are not copied, in order. */
export function literalsOf(target: Uint8Array, copies: readonly Copy[], unit: number): Uint8Array[] {
  const literals: Uint8Array[] = [];
  let at = 0;
  for (const { to, count } of copies) {
    if (to > at) literals.push(target.subarray(at * unit, to * unit));
    at = to + count;
  }
  if (at * unit < target.length) literals.push(target.subarray(at * unit));
  return literals;
}

/** What a delta says of the chunk it tells. @throws VecsnapError CHUNK_DAMAGED, ENCODING_INVALID. */
export function deltaShape(encoded: Uint8Array): DeltaShape {
  return readShape(new ByteReader(encoded));
}

function readShape(reader: ByteReader): DeltaShape {
  const unit = reader.varint();
  const width = reader.varint();
  if (unit < 1 || ![0, 1, 2, 4, 8].includes(width)) throw damaged('its head is not one that is written');
  return { unit, width: width as DeltaShape['width'] };
}

/**
 * What an encoded delta stands for, as pieces of its literals and of what its bases are made of.
 * @param encoded what {@link encodeDelta} gave.
 * @param bases the pieces of each base, in order.
 * @param length the length of the plaintext.
 * @param fresh gives memory for literals, of any content.
 * @throws VecsnapError CHUNK_DAMAGED, ENCODING_INVALID. Literals that cannot be decoded are found when somebody asks for them.
 */
export function resolveDelta(
  encoded: Uint8Array,
  bases: readonly Pieces[],
  length: number,
  deflate: Deflate,
  fresh?: Fresh,
): Pieces {
  const reader = new ByteReader(encoded);
  const { unit } = readShape(reader);
  if (length % unit !== 0) throw damaged('its head does not fit the chunk');
  const steps = readSteps(reader, length / unit);
  const literals = new Literals(reader, length - steps.copied * unit, deflate, fresh);
  return takeSteps(steps, unit, literals, Pieces.concat(bases));
}

/** Takes literals and copies in turns, and at the end the literals that are left. */
function takeSteps(
  { numbers, copied }: Steps,
  unit: number,
  literals: ByteSource & { readonly length: number },
  source: Pieces,
): Pieces {
  const result = new Pieces(literals.length + copied * unit);
  let literal = 0;
  for (let i = 0; i < numbers.length; i += 3) {
    const skipped = (numbers[i] as number) * unit;
    if (skipped > 0) result.add(literals, literal, skipped);
    literal += skipped;
    source.copyTo(result, (numbers[i + 1] as number) * unit, (numbers[i + 2] as number) * unit);
  }
  if (literal < literals.length) result.add(literals, literal, literals.length - literal);
  return result;
}

function packLiterals(
  literals: Uint8Array,
  width: 0 | PlaneWidth,
  level: number,
  deflate: Deflate,
): { form: number; bytes: Uint8Array } {
  const raw = { form: RAW, bytes: literals };
  if (literals.length < 32) return raw;
  const isNumbers = width !== 0 && literals.length % width === 0;
  const packed = isNumbers ? encodePlanes(literals, width, level, deflate) : deflate.deflate(literals, level);
  return packed.length < literals.length ? { form: isNumbers ? PLANES : DEFLATED, bytes: packed } : raw;
}

/** The literals of a delta. They are decoded when they are first asked for: later deltas may have replaced them all. */
class Literals implements ByteSource {
  readonly length: number;
  readonly #form: number;
  readonly #packed: Uint8Array;
  readonly #deflate: Deflate;
  readonly #fresh: Fresh | undefined;
  #bytes: Uint8Array | undefined;

  constructor(reader: ByteReader, length: number, deflate: Deflate, fresh: Fresh | undefined) {
    if (length < 0) throw damaged('it copies more than the chunk holds');
    this.length = length;
    this.#form = reader.byte();
    this.#packed = reader.take(reader.remaining);
    this.#deflate = deflate;
    this.#fresh = fresh;
    if (length === 0) this.#bytes = this.#unpack(); // Nobody will ask.
  }

  get bytes(): Uint8Array {
    return (this.#bytes ??= this.#unpack());
  }

  #unpack(): Uint8Array {
    return unpackLiterals(this.#form, this.#packed, this.length, this.#deflate, this.#fresh);
  }
}

/** The literals of a delta as they are kept there, and whether as planes. @throws VecsnapError CHUNK_DAMAGED, ENCODING_INVALID. */
export function packedLiterals(encoded: Uint8Array): {
  readonly arePlanes: boolean;
  readonly bytes: Uint8Array;
} {
  const reader = new ByteReader(encoded);
  readShape(reader);
  for (let numbers = 3 * reader.varint(); numbers > 0; numbers--) reader.varint();
  const arePlanes = reader.byte() === PLANES;
  return { arePlanes, bytes: reader.take(reader.remaining) };
}

/** Literals of so many bytes. @throws VecsnapError CHUNK_DAMAGED, ENCODING_INVALID; or what inflate throws. */
export function unpackLiterals(
  form: number,
  packed: Uint8Array,
  length: number,
  deflate: Deflate,
  fresh?: Fresh,
): Uint8Array {
  if (form === PLANES) return decodePlanes(packed, length, deflate, { fresh });
  if (form === DEFLATED) return deflate.inflate(packed, length);
  if (form === RAW && packed.length === length) return packed;
  throw damaged('its literals have another length or form');
}

/** The steps of a delta: for each, how many literal units come, and then from where how many are copied. */
interface Steps {
  readonly numbers: readonly number[];
  /** Units that are copied in all. */
  readonly copied: number;
}

/** @param units of the chunk. */
function readSteps(reader: ByteReader, units: number): Steps {
  const count = reader.varint();
  if (count > reader.remaining) throw damaged('its head does not fit the chunk');
  const numbers: number[] = [];
  let at = 0;
  let expected = 0;
  let copied = 0;
  for (let step = 0; step < count; step++) {
    const literals = reader.varint();
    const run = reader.varint();
    const from = expected + literals + unzigzag(reader.varint());
    at += literals + run;
    if (run < 1 || from < 0 || at > units) throw damaged('a copy lies outside of the chunk');
    numbers.push(literals, from, run);
    expected = from + run;
    copied += run;
  }
  return { numbers, copied };
}

function zigzag(value: number): number {
  return value < 0 ? -2 * value - 1 : 2 * value;
}

function unzigzag(value: number): number {
  return value % 2 === 0 ? value / 2 : -(value + 1) / 2;
}

function damaged(what: string): VecsnapError {
  return new VecsnapError('CHUNK_DAMAGED', `A delta cannot be resolved: ${what}.`);
}
