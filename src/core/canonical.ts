/**
 * Canonical msgpack: one value has one encoding.
 *
 * `msgpackr` with fixed options writes arrays, strings, binary, integers, floats, booleans and null in their shortest form.
 * Integers beyond 32 bits that a `number` holds are written as floats, and 64-bit integers are those beyond the safe ones.
 * Maps are written with their keys in the order of their UTF-8 bytes. The decoder accepts only the bytes that the encoder
 * would write, so that equal values always have equal addresses. Bytes are laid out in docs/format.md.
 */
import { fromUtf8, viewOf } from './bytes.js';
import { VecsnapError } from './errors.js';
import { MAX_VALUES } from './limits.js';
import { compareText } from './records.js';
import { ByteReader } from './binary.js';

/** What canonical msgpack can hold. A `bigint` has up to 64 bits; one that is a safe integer is the same as that number, as −0 is the same as 0. */
export type Canonical =
  | null
  | boolean
  | number
  | bigint
  | string
  | Uint8Array
  | readonly Canonical[]
  | { readonly [key: string]: Canonical };

/**
 * Decodes exactly the bytes that {@link encodeCanonical} writes. Byte strings in the result are copies.
 * @throws VecsnapError ENCODING_INVALID for anything else.
 */
export function decodeCanonical(bytes: Uint8Array): Canonical {
  try {
    const reader = new ByteReader(bytes);
    const value = readValue(reader, 0, { left: MAX_VALUES });
    if (reader.remaining > 0) throw invalid(`${reader.remaining} bytes are left over`);
    return value;
  } catch (cause) {
    throw cause instanceof TypeError ? invalid('a text is not UTF-8', cause) : cause;
  }
}

/** Deeper nesting than any format of ours has; a guard against stack overflow by hostile bytes. */
export const MAX_DEPTH = 64;

/** How many more values may come. */
export interface Budget {
  left: number;
}

export function spend(budget: Budget): void {
  checkLeft(budget, 1);
  budget.left--;
}

/** @throws VecsnapError ENCODING_INVALID when so many more would be too many. */
export function checkLeft({ left }: Budget, values: number): void {
  if (values > left) throw invalid(`there are more than ${MAX_VALUES} values`);
}

// The reader knows only the types that are written, and refuses what is longer than need be or out of order where it
// stands. One for all of msgpack would take extensions, make room for as many items as hostile bytes say there are, and need a
// second encoding to compare with, which took four fifths of the time.

function readValue(reader: ByteReader, depth: number, budget: Budget): Canonical {
  if (depth > MAX_DEPTH) throw invalid(`the value is nested deeper than ${MAX_DEPTH}`);
  spend(budget);
  const tag = reader.byte();
  if (tag < 0x80) return tag;
  if (tag < 0x90) return readMap(reader, tag & 0x0f, depth, budget);
  if (tag < 0xa0) return readArray(reader, tag & 0x0f, depth, budget);
  if (tag < 0xc0) return readText(reader, tag & 0x1f);
  if (tag >= 0xe0) return tag - 0x100;
  return readTagged(reader, tag, depth, budget);
}

/** A value whose first byte says no more than its type and the width of its length. */
function readTagged(reader: ByteReader, tag: number, depth: number, budget: Budget): Canonical {
  if (tag === 0xc0) return null;
  if (tag === 0xc2 || tag === 0xc3) return tag === 0xc3;
  if (tag >= 0xc4 && tag <= 0xc6) return reader.copy(readUnsigned(reader, tag - 0xc4, 0, 0));
  if (tag === 0xcb) return readFloat(reader);
  if (tag >= 0xcc && tag <= 0xce) return readUnsigned(reader, tag - 0xcc, 0, 0x80);
  if (tag === 0xcf) return atLeast(2n ** 63n, viewOf(reader.take(8)).getBigUint64(0));
  if (tag >= 0xd0 && tag <= 0xd2) return readNegative(reader, tag);
  if (tag === 0xd3) return readLong(reader);
  if (tag >= 0xd9 && tag <= 0xdb) return readText(reader, readUnsigned(reader, tag - 0xd9, 0, 0x20));
  if (tag === 0xdc || tag === 0xdd)
    return readArray(reader, readUnsigned(reader, tag - 0xdb, 1, 0x10), depth, budget);
  if (tag === 0xde || tag === 0xdf)
    return readMap(reader, readUnsigned(reader, tag - 0xdd, 1, 0x10), depth, budget);
  throw invalid(`it holds a type that is never written: 0x${tag.toString(16)}`);
}

/** A text, of which most are short and of ASCII alone. */
function readText(reader: ByteReader, length: number): string {
  const bytes = reader.take(length);
  if (length > SHORT_TEXT) return fromUtf8(bytes);
  let text = '';
  for (const byte of bytes) {
    if (byte >= 0x80) return fromUtf8(bytes);
    text += String.fromCharCode(byte);
  }
  return text;
}

/** Below this many bytes a loop is quicker than the way to the decoder of the system. */
const SHORT_TEXT = 32;

/**
 * A number of 1, 2 or 4 bytes, the highest first.
 * @param narrowest the fewest bytes that such a number is written in, as a power of two like `width`.
 * @param least the least number that is written so; smaller ones have a form of their own.
 */
function readUnsigned(reader: ByteReader, width: number, narrowest: number, least: number): number {
  let value = 0;
  for (let i = 0; i < 1 << width; i++) value = value * 0x100 + reader.byte();
  return atLeast(width === narrowest ? least : width === 1 ? 0x100 : 0x10000, value);
}

/** An integer below −32 of 1, 2 or 4 bytes. */
function readNegative(reader: ByteReader, tag: number): number {
  if (tag === 0xd0) return -atLeast(0x21, -viewOf(reader.take(1)).getInt8(0));
  if (tag === 0xd1) return -atLeast(0x81, -viewOf(reader.take(2)).getInt16(0));
  return -atLeast(0x8001, -viewOf(reader.take(4)).getInt32(0));
}

/** An integer of 64 bits that is no safe one. */
function readLong(reader: ByteReader): bigint {
  const value = viewOf(reader.take(8)).getBigInt64(0);
  return value < 0n ? -atLeast(2n ** 53n, -value) : atLeast(2n ** 53n, value);
}

/** A number that is no integer of 32 bits. Of the many NaNs, one. */
function readFloat(reader: ByteReader): number {
  const view = viewOf(reader.take(8));
  const value = view.getFloat64(0);
  const isInteger = value >>> 0 === value || value >> 0 === value;
  const isOtherNaN = Number.isNaN(value) && (view.getUint32(0) !== 0x7ff80000 || view.getUint32(4) !== 0);
  if (isInteger || isOtherNaN) throw notShortest();
  return value;
}

function atLeast<T extends number | bigint>(least: T, value: T): T {
  if (value < least) throw notShortest();
  return value;
}

function notShortest(): VecsnapError {
  return invalid('a value is not in its one form');
}

function readArray(reader: ByteReader, length: number, depth: number, budget: Budget): Canonical {
  if (length > Math.min(reader.remaining, budget.left))
    throw invalid('an array says that it has more than there is');
  const items = new Array<Canonical>(length); // Not grown item by item, which leaves room for more than it needs.
  for (let i = 0; i < length; i++) items[i] = readValue(reader, depth + 1, budget);
  return items;
}

function readMap(reader: ByteReader, size: number, depth: number, budget: Budget): Canonical {
  // Without a prototype, a key named __proto__ is a key like any other.
  const map = Object.create(null) as Record<string, Canonical>;
  let previous: string | undefined;
  for (let i = 0; i < size; i++) {
    const key = readValue(reader, MAX_DEPTH, budget);
    if (typeof key !== 'string') throw invalid('a map has a key that is not text');
    if (previous !== undefined && compareText(previous, key) >= 0) throw invalid('keys are not in order');
    map[key] = readValue(reader, depth + 1, budget);
    previous = key;
  }
  return map;
}

/** The value as a map; undefined when it is something else. */
export function asMap(value: Canonical | undefined): { readonly [key: string]: Canonical } | undefined {
  if (typeof value !== 'object' || value === null || Array.isArray(value) || value instanceof Uint8Array)
    return undefined;
  return value as { readonly [key: string]: Canonical };
}

/** The value as an error message shows it: a map has no text of its own, and may be large. */
export function quoteValue(value: unknown): string {
  if (typeof value === 'string') return JSON.stringify(value.length > 80 ? `${value.slice(0, 80)}…` : value);
  if (typeof value !== 'object' || value === null) return String(value);
  return Array.isArray(value) ? 'an array' : value instanceof Uint8Array ? 'bytes' : 'a map';
}

/** The same, and text without quotes. */
export function valueText(value: unknown): string {
  return typeof value === 'string' && value !== '' ? value : quoteValue(value);
}

export function invalid(what: string, cause?: unknown): VecsnapError {
  return new VecsnapError('ENCODING_INVALID', `Not canonical msgpack: ${what}.`, {
    remedy:
      'What is written may hold null, booleans, numbers, text, bytes, arrays and plain objects. What was read is damaged: run verify.',
    cause,
  });
}
