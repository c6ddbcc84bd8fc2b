/** What a chunk has in common with its bases: runs of equal records, or of equal bytes. */
import { concatBytes, copyBytes, totalLength, viewOf } from '../core/bytes.js';
import type { CompareRanges } from '../core/platform.js';
import { kernelsWithRoom } from './kernels.js';

/** Units `from` on of the base stand at `to` on in the target. */
export interface Copy {
  readonly from: number;
  readonly to: number;
  readonly count: number;
}

/** A run that is copied must be worth the bytes that tell of it. */
const LEAST_MATCH_BYTES = 12;
/** Of what is compared at the same places, this part may be untold; what stands there is not looked for elsewhere. */
const UNTOLD_IN_PLACE = 1 / 16;
const HASH_BITS = 15;
const HASHED_BYTES = 8;
/** What is left free between the parts of the memory of the kernels. */
const ROOM_BYTES = 1024;

/** What is copied from bases, in which units are counted as if they were joined. */
export function findCopies(
  target: Uint8Array,
  bases: readonly Uint8Array[],
  unit: number,
  compareRanges: CompareRanges,
): Copy[] {
  return unit > 1 ? matchRecords(target, bases, unit, compareRanges) : matchBytes(target, bases);
}

/**
 * Copies of bytes without the parts of numbers at their ends, so that what they leave are whole numbers of the target.
 * @param width of the numbers, in bytes; a copy that has none of them whole stays as it is.
 * @param length of the target.
 */
export function trimToNumbers(copies: readonly Copy[], width: number, length: number): Copy[] {
  return copies.map((copy) => {
    const { from, to, count } = copy;
    const start = Math.ceil(to / width) * width;
    const end = to + count === length ? length : Math.floor((to + count) / width) * width;
    return end > start ? { from: from + start - to, to: start, count: end - start } : copy;
  });
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
export const compareInLoops: CompareRanges = (bytes, other) => {
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

/**
 * Runs of equal bytes; in WebAssembly (kernels/match.ts) where the machine has it, which gives the same.
 *
 * Most chunks of something that was written here and there equal a base at the same places, which is soon compared. Only where that leaves
 * more than a small part untold is it looked for anywhere, which takes several times as long.
 */
function matchBytes(target: Uint8Array, bases: readonly Uint8Array[]): Copy[] {
  return matchByKernels(target, bases) ?? matchHere(target, bases);
}

function matchByKernels(target: Uint8Array, bases: readonly Uint8Array[]): Copy[] | undefined {
  const room = 2 * target.length + totalLength(bases) + ROOM_BYTES;
  const runs = kernelsWithRoom(room)?.matchBytes(target, bases);
  if (runs === undefined) return undefined;
  const copies: Copy[] = [];
  for (let i = 0; i < runs.length; i += 3)
    copies.push({ from: runs[i] as number, to: runs[i + 1] as number, count: runs[i + 2] as number });
  return copies;
}

function matchHere(target: Uint8Array, bases: readonly Uint8Array[]): Copy[] {
  let start = 0;
  for (const base of bases) {
    const copies = matchInPlace(target, base, start);
    if (copies !== undefined) return copies;
    start += base.length;
  }
  return matchAnywhere(target, bases.length === 1 ? (bases[0] as Uint8Array) : concatBytes(bases));
}

/** Runs that stand at the same places; undefined when they leave too much untold. @param start where the base begins among all. */
function matchInPlace(target: Uint8Array, base: Uint8Array, start: number): Copy[] | undefined {
  const most = target.length * UNTOLD_IN_PLACE;
  const copies: Copy[] = [];
  let untold = 0;
  for (let at = 0; at < target.length;) {
    const length = matchLength(target, at, base, at);
    if (length >= LEAST_MATCH_BYTES) {
      copies.push({ from: start + at, to: at, count: length });
      at += length;
      continue;
    }
    const passed = Math.min(length + 1, target.length - at); // The byte behind a run is another one.
    untold += passed;
    at += passed;
    if (untold > most) return undefined;
  }
  return copies;
}

/**
 * Runs of equal bytes. Where a run ended, the bytes that follow at the same distance are tried first, which finds what was
 * changed in place; then the last place in the base whose eight bytes hash alike.
 */
function matchAnywhere(target: Uint8Array, base: Uint8Array): Copy[] {
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
