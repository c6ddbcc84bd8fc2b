/**
 * Canonical msgpack: one value has one encoding.
 *
 * Arrays, strings, binary, integers, floats, booleans and null are written in their shortest form. Integers beyond 32 bits that
 * a `number` holds are written as floats, and 64-bit integers are those beyond the safe ones. Maps are written with their keys
 * in the order of their UTF-8 bytes. The decoder accepts only the bytes that the encoder would write, so that equal values
 * always have equal addresses. Bytes are laid out in docs/format.md; why no package writes them, in
 * docs/decisions/0017-msgpack-of-our-own.md.
 */
import { compareText, fromUtf8, utf8, viewOf } from './bytes.js';
import { VecsnapError } from './errors.js';
import { MAX_VALUES } from './limits.js';
import { ByteReader } from './varint.js';

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
 * The canonical encoding of `value`.
 * @throws VecsnapError ENCODING_INVALID for `undefined`, functions, symbols, class instances, cycles, text with lone surrogates, and
 * more than 2^21 values.
 */
export function encodeCanonical(value: Canonical): Uint8Array {
  const out = new ByteWriter();
  writeValue(out, value, 0, { left: MAX_VALUES });
  return out.finish();
}

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
const MAX_DEPTH = 64;

/** How many more values may come. */
interface Budget {
  left: number;
}

function spend(budget: Budget): void {
  if (--budget.left < 0) throw invalid(`there are more than ${MAX_VALUES} values`);
}

function writeValue(out: ByteWriter, value: Canonical, depth: number, budget: Budget): void {
  if (depth > MAX_DEPTH) throw invalid(`the value is nested deeper than ${MAX_DEPTH}`);
  spend(budget);
  if (typeof value === 'number') writeNumber(out, value);
  else if (typeof value === 'string') writeText(out, value);
  else if (value instanceof Uint8Array) writeBytes(out, value);
  else if (Array.isArray(value)) writeArray(out, value as readonly Canonical[], depth, budget);
  else if (value === null) out.tag(0xc0);
  else if (typeof value === 'boolean') out.tag(value ? 0xc3 : 0xc2);
  else if (typeof value === 'bigint') writeBigint(out, value);
  else if (typeof value === 'object' && isPlainObject(value))
    writeMap(out, value as CanonicalMap, depth, budget);
  else throw invalid(`a value of type ${typeof value} cannot be written`);
}

function writeNumber(out: ByteWriter, value: number): void {
  if (value >>> 0 === value) {
    if (value < 0x80) out.tag(value);
    else if (value < 0x100) out.tag(0xcc, value, 1);
    else if (value < 0x10000) out.tag(0xcd, value, 2);
    else out.tag(0xce, value, 4);
  } else if (value >> 0 === value) {
    if (value >= -0x20) out.tag(value + 0x100);
    else if (value >= -0x80) out.tag(0xd0, value + 0x100, 1);
    else if (value >= -0x8000) out.tag(0xd1, value + 0x10000, 2);
    else out.tag(0xd2, value + 0x1_0000_0000, 4);
  } else {
    out.tag(0xcb);
    out.float(value);
  }
}

function writeBigint(out: ByteWriter, value: bigint): void {
  if (value >= BigInt(Number.MIN_SAFE_INTEGER) && value <= BigInt(Number.MAX_SAFE_INTEGER))
    return writeNumber(out, Number(value));
  if (value < -(2n ** 63n) || value >= 2n ** 64n) throw invalid('an integer does not fit 64 bits');
  out.tag(value < 2n ** 63n ? 0xd3 : 0xcf);
  out.long(value);
}

function writeText(out: ByteWriter, text: string): void {
  if (text.length < SHORT_TEXT && out.shortAscii(text)) return;
  if (!text.isWellFormed()) throw invalid('a text has a lone surrogate');
  const bytes = utf8(text);
  if (bytes.length < 0x20) out.tag(0xa0 + bytes.length);
  else writeLength(out, 0xd9, bytes.length);
  out.bytes(bytes);
}

function writeBytes(out: ByteWriter, bytes: Uint8Array): void {
  writeLength(out, 0xc4, bytes.length);
  out.bytes(bytes);
}

/** A length in its shortest form. @param tag that of a length of one byte; those of two and of four come after it. */
function writeLength(out: ByteWriter, tag: number, length: number): void {
  if (length < 0x100) out.tag(tag, length, 1);
  else if (length < 0x10000) out.tag(tag + 1, length, 2);
  else out.tag(tag + 2, length, 4);
}

function writeArray(out: ByteWriter, items: readonly Canonical[], depth: number, budget: Budget): void {
  if (items.length < 0x10) out.tag(0x90 + items.length);
  else if (items.length < 0x10000) out.tag(0xdc, items.length, 2);
  else out.tag(0xdd, items.length, 4);
  for (const item of items) writeValue(out, item, depth + 1, budget); // Unlike forEach, this does not skip holes.
}

type CanonicalMap = Readonly<Record<string, Canonical>>;

function writeMap(out: ByteWriter, map: CanonicalMap, depth: number, budget: Budget): void {
  const keys = Object.keys(map).toSorted(compareText);
  budget.left -= keys.length; // They are values too.
  if (keys.length < 0x10) out.tag(0x80 + keys.length);
  else if (keys.length < 0x10000) out.tag(0xde, keys.length, 2);
  else out.tag(0xdf, keys.length, 4);
  for (const key of keys) {
    writeText(out, key);
    writeValue(out, map[key] as Canonical, depth + 1, budget);
  }
}

/** Bytes that are written one after the other into memory that grows with them. */
class ByteWriter {
  #bytes = new Uint8Array(FIRST_BYTES);
  #view = viewOf(this.#bytes);
  #length = 0;

  /** A byte that tells a type, and a number of 0, 1, 2 or 4 bytes, the highest first. */
  tag(tag: number, value = 0, width: 0 | 1 | 2 | 4 = 0): void {
    this.#makeRoom(5);
    this.#bytes[this.#length++] = tag;
    if (width === 1) this.#bytes[this.#length] = value;
    else if (width === 2) this.#view.setUint16(this.#length, value);
    else if (width === 4) this.#view.setUint32(this.#length, value);
    this.#length += width;
  }

  float(value: number): void {
    this.#makeRoom(8);
    if (Number.isNaN(value)) this.#view.setBigUint64(this.#length, ONE_NAN);
    else this.#view.setFloat64(this.#length, value);
    this.#length += 8;
  }

  /** A text of fewer than 32 characters and its length, if it is of ASCII alone. Says whether it is; if not, nothing is written. */
  shortAscii(text: string): boolean {
    this.#makeRoom(1 + text.length);
    for (let i = 0; i < text.length; i++) {
      const unit = text.charCodeAt(i);
      if (unit >= 0x80) return false;
      this.#bytes[this.#length + 1 + i] = unit;
    }
    this.#bytes[this.#length] = 0xa0 + text.length;
    this.#length += 1 + text.length;
    return true;
  }

  /** 64 bits, the highest first; of a negative number in two's complement. */
  long(value: bigint): void {
    this.#makeRoom(8);
    this.#view.setBigUint64(this.#length, BigInt.asUintN(64, value));
    this.#length += 8;
  }

  bytes(bytes: Uint8Array): void {
    this.#makeRoom(bytes.length);
    this.#bytes.set(bytes, this.#length);
    this.#length += bytes.length;
  }

  finish(): Uint8Array {
    return this.#bytes.slice(0, this.#length);
  }

  #makeRoom(count: number): void {
    if (this.#length + count <= this.#bytes.length) return;
    const larger = new Uint8Array(Math.max(2 * this.#bytes.length, this.#length + count));
    larger.set(this.#bytes.subarray(0, this.#length));
    this.#bytes = larger;
    this.#view = viewOf(larger);
  }
}

const FIRST_BYTES = 512;
/** Of the many NaNs, the one that is written. */
const ONE_NAN = 0x7ff8_0000_0000_0000n;

function isPlainObject(value: object): boolean {
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === null || prototype === Object.prototype;
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
  if (tag >= 0xc4 && tag <= 0xc6) return new Uint8Array(reader.take(readUnsigned(reader, tag - 0xc4, 0, 0)));
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

/** Below this many bytes, which is also where the length takes no byte of its own, a loop is quicker than the way to the system. */
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
  return typeof value === 'string' ? value : quoteValue(value);
}

function invalid(what: string, cause?: unknown): VecsnapError {
  return new VecsnapError('ENCODING_INVALID', `Not canonical msgpack: ${what}.`, {
    remedy:
      'What is written may hold null, booleans, numbers, text, bytes, arrays and plain objects. What was read is damaged: run verify.',
    cause,
  });
}
