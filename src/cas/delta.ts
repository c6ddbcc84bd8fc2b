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
import { concatBytes, copyBytes, totalLength, viewOf } from '../core/bytes.js';
import { VecsnapError } from '../core/errors.js';
import type { CompareRanges, Deflate } from '../core/platform.js';
import { ByteReader, ByteWriter } from '../core/binary.js';
import { type ByteSource, type Fresh, Pieces } from './pieces.js';
import { decodePlanes, encodePlanes, type PlaneWidth } from './planes.js';
import { FINGERPRINT_BYTES } from './fingerprints.js';
import { kernelsWithRoom } from './kernels.js';

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

/** A run that is copied must be worth the bytes that tell of it. */
const LEAST_MATCH_BYTES = 12;

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
  return found && { bytes: writeDelta(target, found.copies, shape, level, deflate), used: found.used };
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

function findCopies(
  target: Uint8Array,
  bases: readonly Uint8Array[],
  unit: number,
  compareRanges: CompareRanges,
): Copy[] {
  if (unit > 1) return matchRecords(target, bases, unit, compareRanges);
  return (
    matchBytesByKernels(target, bases) ??
    matchBytes(target, bases.length === 1 ? (bases[0] as Uint8Array) : concatBytes(bases))
  );
}

function usedBases(copies: readonly Copy[], bases: readonly Uint8Array[], unit: number): number[] {
  let start = 0;
  return bases.flatMap(({ length }, i) => {
    const [from, to] = [start / unit, (start + length) / unit];
    start += length;
    return copies.some((copy) => copy.from < to && copy.from + copy.count > from) ? [i] : [];
  });
}

/** Tells `target` by copies, and by itself where there are none. */
export function writeDelta(
  target: Uint8Array,
  copies: readonly Copy[],
  shape: DeltaShape,
  level: number,
  deflate: Deflate,
): Uint8Array {
  const literals = concatBytes(literalsOf(target, copies, shape.unit));
  const { form, bytes } = packLiterals(literals, shape.width, level, deflate);
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

/** Units `from` on of the base stand at `to` on in the target. */
export interface Copy {
  readonly from: number;
  readonly to: number;
  readonly count: number;
}

/**
 * Runs of equal records. A record is looked for where the last run would go on, and then anywhere; but not when the next one is
 * where it should be, because then this one was most likely changed where it stands, and looking everywhere takes ten times as long.
 */
function matchRecords(
  target: Uint8Array,
  bases: readonly Uint8Array[],
  unit: number,
  compareRanges: CompareRanges,
): Copy[] {
  let byHash: ReadonlyMap<number, readonly number[]> | undefined; // Made when a record is first not where it should be.
  const elsewhere = (): ReadonlyMap<number, readonly number[]> => (byHash ??= recordsByHash(bases, unit));
  const areEqual = comparerOfUnits(target, bases, unit, compareRanges);
  const isEqual: UnitComparer = (i, j) => areEqual(i, j, 1);
  const copies: { from: number; to: number; count: number }[] = [];
  const targetCount = target.length / unit;
  const baseCount = totalLength(bases) / unit;
  /** Whether the record after one that is another is where it should be, so that this one was changed in place. */
  const goesOn = (i: number, from: number): boolean => {
    if (i + 1 === targetCount) return from + 1 === baseCount;
    return i + 1 < targetCount && from + 1 < baseCount && isEqual(i + 1, from + 1);
  };
  const copy = (from: number, to: number, count: number): void => {
    const last = copies.at(-1);
    if (last !== undefined && last.to + last.count === to && last.from + last.count === from)
      last.count += count;
    else copies.push({ from, to, count });
  };
  let expected = 0;
  for (let i = 0; i < targetCount; i++, expected++) {
    const run = equalRun(areEqual, i, expected, Math.min(targetCount - i, baseCount - expected));
    if (run > 0) copy(expected, i, run);
    i += run;
    expected += run;
    if (i === targetCount || goesOn(i, expected)) continue;
    const from = findRecord(target, i, unit, isEqual, elsewhere());
    if (from === undefined) continue;
    copy(from, i, 1);
    expected = from;
  }
  return copies;
}

/** Records that are compared at a time: in most chunks few are others, and each comparison has its price. */
const COMPARED_TOGETHER = 16;

/** How many units of the target, from `i` on, equal those of the base from `j` on, of at most `most`. */
function equalRun(areEqual: UnitRangeComparer, i: number, j: number, most: number): number {
  let run = 0;
  while (run + COMPARED_TOGETHER <= most && areEqual(i + run, j + run, COMPARED_TOGETHER))
    run += COMPARED_TOGETHER;
  for (let step = COMPARED_TOGETHER / 2; step >= 1; step /= 2)
    if (run + step <= most && areEqual(i + run, j + run, step)) run += step;
  return run;
}

/** Says whether a record of the target equals one of the bases, counted over all of them. */
type UnitComparer = (targetIndex: number, baseIndex: number) => boolean;
/** Says it of so many, one after the other. */
type UnitRangeComparer = (targetIndex: number, baseIndex: number, count: number) => boolean;

/** Compares with bases as if they were joined, which would take longer than to compare them. */
function comparerOfUnits(
  target: Uint8Array,
  bases: readonly Uint8Array[],
  unit: number,
  compareRanges: CompareRanges,
): UnitRangeComparer {
  let end = 0;
  const parts = bases.map((base) => {
    const start = end;
    end += base.length / unit;
    return { start, end, areEqual: compareRanges(target, base) };
  });
  return (i, j, count) =>
    parts.every(({ start, end, areEqual }) => {
      const [from, to] = [Math.max(j, start), Math.min(j + count, end)];
      return from >= to || areEqual((i + from - j) * unit, (from - start) * unit, (to - from) * unit);
    });
}

function findRecord(
  target: Uint8Array,
  index: number,
  unit: number,
  isEqual: UnitComparer,
  byHash: ReadonlyMap<number, readonly number[]>,
): number | undefined {
  const candidates = byHash.get(hashUnit(target, index * unit, unit)) ?? [];
  return candidates.find((from) => isEqual(index, from));
}

/** Compares word by word where the bytes allow it, which is four times as fast. */
const compareInLoops: CompareRanges = (bytes, other) => {
  const areWords = bytes.length % 4 === 0 && other.length % 4 === 0;
  if (!areWords) return (from, otherFrom, length) => areBytesEqual(bytes, from, other, otherFrom, length);
  const [a, b] = [wordsOf(bytes), wordsOf(other)];
  return (from, otherFrom, length) =>
    from % 4 === 0 && otherFrom % 4 === 0 && length % 4 === 0
      ? areWordsEqual(a, from / 4, b, otherFrom / 4, length / 4)
      : areBytesEqual(bytes, from, other, otherFrom, length);
};

// Two functions, not one: each is compiled for one kind of array.
function areWordsEqual(a: Int32Array, i: number, b: Int32Array, j: number, count: number): boolean {
  for (const end = i + count; i < end; i++, j++) if (a[i] !== b[j]) return false;
  return true;
}

function areBytesEqual(a: Uint8Array, i: number, b: Uint8Array, j: number, count: number): boolean {
  for (const end = i + count; i < end; i++, j++) if (a[i] !== b[j]) return false;
  return true;
}

/** Copied where the memory is not aligned. */
function wordsOf(bytes: Uint8Array): Int32Array {
  const { buffer, byteOffset, length } = bytes.byteOffset % 4 === 0 ? bytes : copyBytes(bytes);
  return new Int32Array(buffer, byteOffset, length / 4);
}

/** The numbers of records, counted over all bases. */
function recordsByHash(bases: readonly Uint8Array[], unit: number): Map<number, number[]> {
  const byHash = new Map<number, number[]>();
  let number = 0;
  for (const base of bases) {
    for (let at = 0; at < base.length; at += unit, number++) {
      const hash = hashUnit(base, at, unit);
      const there = byHash.get(hash);
      if (there === undefined) byHash.set(hash, [number]);
      else there.push(number);
    }
  }
  return byHash;
}

/** FNV-1a over at most 32 bytes that are spread over the unit: enough to find candidates, which are then compared. */
function hashUnit(bytes: Uint8Array, start: number, unit: number): number {
  const stride = Math.max(1, Math.floor(unit / 32)) | 1;
  let hash = 0x811c9dc5;
  for (let i = 0; i < unit; i += stride) hash = Math.imul(hash ^ (bytes[start + i] as number), 0x01000193);
  return hash;
}

const HASH_BITS = 15;
const HASHED_BYTES = 8;
/** What is left free between the parts of the memory of the kernels. */
const ROOM_BYTES = 1024;

/**
 * Runs of equal bytes. Where a run ended, the bytes that follow at the same distance are tried first, which finds what was
 * changed in place; then the last place in the base whose eight bytes hash alike.
 */
function matchBytes(target: Uint8Array, base: Uint8Array): Copy[] {
  const table = new Int32Array(1 << HASH_BITS).fill(-1);
  const baseView = viewOf(base);
  for (let i = base.length - HASHED_BYTES; i >= 0; i--) table[hashAt(baseView, i)] = i;
  const targetView = viewOf(target);
  const copies: Copy[] = [];
  const end = target.length;
  let shift = 0; // From a position in the target to the one in the base.
  let at = 0;
  let literalFrom = 0;
  while (at < end) {
    let from = at + shift;
    let length = matchLength(target, at, base, from);
    if (length < LEAST_MATCH_BYTES && at + HASHED_BYTES <= end) {
      const candidate = table[hashAt(targetView, at)] as number;
      const candidateLength = candidate < 0 ? 0 : matchLength(target, at, base, candidate);
      if (candidateLength > length) {
        from = candidate;
        length = candidateLength;
      }
    }
    if (length < LEAST_MATCH_BYTES) {
      at++;
      continue;
    }
    let back = 0;
    while (at - back > literalFrom && from - back > 0 && target[at - back - 1] === base[from - back - 1])
      back++;
    copies.push({ from: from - back, to: at - back, count: length + back });
    shift = from - at;
    at += length;
    literalFrom = at;
  }
  return copies;
}

/** The same in WebAssembly (kernels/match.ts); undefined when the machine has not that much room. */
function matchBytesByKernels(target: Uint8Array, bases: readonly Uint8Array[]): Copy[] | undefined {
  const room = 2 * target.length + totalLength(bases) + ROOM_BYTES;
  const runs = kernelsWithRoom(room)?.matchBytes(target, bases);
  if (runs === undefined) return undefined;
  const copies: Copy[] = [];
  for (let i = 0; i < runs.length; i += 3)
    copies.push({ from: runs[i] as number, to: runs[i + 1] as number, count: runs[i + 2] as number });
  return copies;
}

function hashAt(view: DataView, at: number): number {
  const low = Math.imul(view.getUint32(at, true), 0x9e3779b1);
  const high = Math.imul(view.getUint32(at + 4, true), 0x85ebca77);
  return (low ^ high) >>> (32 - HASH_BITS);
}

function matchLength(target: Uint8Array, at: number, base: Uint8Array, from: number): number {
  if (from < 0) return 0;
  const most = Math.min(target.length - at, base.length - from);
  let length = 0;
  while (length < most && target[at + length] === base[from + length]) length++;
  return length;
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
