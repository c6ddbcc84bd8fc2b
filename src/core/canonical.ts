/**
 * Canonical msgpack: one value has one encoding.
 *
 * `msgpackr` with fixed options writes arrays, strings, binary, integers, floats, booleans and null in their shortest form.
 * Integers beyond 32 bits that a `number` holds are written as floats, and 64-bit integers are those beyond the safe ones.
 * Maps are written with their keys in the order of their UTF-8 bytes. The decoder accepts only the bytes that the encoder
 * would write, so that equal values always have equal addresses. Bytes are laid out in docs/format.md.
 */
// Not from 'msgpackr', which also loads streams and looks for a native addon: three times as long at start-up.
import { Packr } from 'msgpackr/pack';
import { equalBytes, fromUtf8, viewOf } from './bytes.js';
import { VecsnapError } from './errors.js';
import { compareText } from './records.js';
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

const packr = new Packr({ useRecords: false, variableMapSize: true, mapsAsObjects: false });

/**
 * The canonical encoding of `value`.
 * @throws VecsnapError ENCODING_INVALID for `undefined`, functions, symbols, class instances, cycles and text with lone surrogates.
 */
export function encodeCanonical(value: Canonical): Uint8Array {
  return new Uint8Array(packr.pack(prepare(value, 0)));
}

/**
 * Decodes exactly the bytes that {@link encodeCanonical} writes. Byte strings in the result are copies.
 * @throws VecsnapError ENCODING_INVALID for anything else.
 */
export function decodeCanonical(bytes: Uint8Array): Canonical {
  const value = decode(bytes);
  if (!equalBytes(encodeCanonical(value), bytes)) throw invalid('the encoding is not the canonical one');
  return value;
}

/** Deeper nesting than any format of ours has; a guard against stack overflow by hostile bytes. */
const MAX_DEPTH = 64;

function prepare(value: Canonical, depth: number): unknown {
  if (depth > MAX_DEPTH) throw invalid(`the value is nested deeper than ${MAX_DEPTH}`);
  if (value === null || typeof value === 'boolean') return value;
  if (typeof value === 'number') return Number.isNaN(value) ? NaN : value; // Of the many NaNs, one.
  if (typeof value === 'bigint') return prepareBigint(value);
  if (typeof value === 'string') return prepareText(value);
  if (value instanceof Uint8Array) return value;
  if (Array.isArray(value)) return prepareArray(value as readonly Canonical[], depth);
  if (typeof value === 'object' && isPlainObject(value)) return prepareMap(value as CanonicalMap, depth);
  throw invalid(`a value of type ${typeof value} cannot be written`);
}

function prepareArray(value: readonly Canonical[], depth: number): unknown[] {
  const items: unknown[] = [];
  for (const item of value) items.push(prepare(item, depth + 1)); // Unlike map, this does not skip holes.
  return items;
}

type CanonicalMap = Readonly<Record<string, Canonical>>;

function prepareMap(value: CanonicalMap, depth: number): Map<string, unknown> {
  const keys = Object.keys(value).map(prepareText).toSorted(compareText);
  return new Map(keys.map((key) => [key, prepare(value[key] as Canonical, depth + 1)]));
}

function prepareBigint(value: bigint): number | bigint {
  if (value >= BigInt(Number.MIN_SAFE_INTEGER) && value <= BigInt(Number.MAX_SAFE_INTEGER))
    return Number(value);
  if (value < -(2n ** 63n) || value >= 2n ** 64n) throw invalid('an integer does not fit 64 bits');
  return value;
}

function prepareText(text: string): string {
  if (!text.isWellFormed()) throw invalid('a text has a lone surrogate');
  return text;
}

function isPlainObject(value: object): boolean {
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === null || prototype === Object.prototype;
}

/**
 * Reads only the types that are written. A reader of all of msgpack would take extensions, and make room for as many items as
 * hostile bytes say there are.
 */
function decode(bytes: Uint8Array): Canonical {
  try {
    const reader = new ByteReader(bytes);
    const value = readValue(reader, 0);
    if (reader.remaining > 0) throw invalid(`${reader.remaining} bytes are left over`);
    return value;
  } catch (cause) {
    throw cause instanceof TypeError ? invalid('a text is not UTF-8', cause) : cause;
  }
}

function readValue(reader: ByteReader, depth: number): Canonical {
  if (depth > MAX_DEPTH) throw invalid(`the value is nested deeper than ${MAX_DEPTH}`);
  const tag = reader.byte();
  if (tag < 0x80) return tag;
  if (tag < 0x90) return readMap(reader, tag & 0x0f, depth);
  if (tag < 0xa0) return readArray(reader, tag & 0x0f, depth);
  if (tag < 0xc0) return fromUtf8(reader.take(tag & 0x1f));
  if (tag >= 0xe0) return tag - 0x100;
  return readTagged(reader, tag, depth);
}

/** A value whose first byte says no more than its type and the width of its length. */
function readTagged(reader: ByteReader, tag: number, depth: number): Canonical {
  if (tag === 0xc0) return null;
  if (tag === 0xc2 || tag === 0xc3) return tag === 0xc3;
  if (tag >= 0xc4 && tag <= 0xc6) return new Uint8Array(reader.take(readUnsigned(reader, 1 << (tag - 0xc4))));
  if (tag === 0xcb) return viewOf(reader.take(8)).getFloat64(0);
  if (tag >= 0xcc && tag <= 0xce) return readUnsigned(reader, 1 << (tag - 0xcc));
  if (tag === 0xcf) return prepareBigint(viewOf(reader.take(8)).getBigUint64(0));
  if (tag === 0xd0) return viewOf(reader.take(1)).getInt8(0);
  if (tag === 0xd1) return viewOf(reader.take(2)).getInt16(0);
  if (tag === 0xd2) return viewOf(reader.take(4)).getInt32(0);
  if (tag === 0xd3) return prepareBigint(viewOf(reader.take(8)).getBigInt64(0));
  if (tag >= 0xd9 && tag <= 0xdb) return fromUtf8(reader.take(readUnsigned(reader, 1 << (tag - 0xd9))));
  if (tag === 0xdc || tag === 0xdd) return readArray(reader, readUnsigned(reader, 2 << (tag - 0xdc)), depth);
  if (tag === 0xde || tag === 0xdf) return readMap(reader, readUnsigned(reader, 2 << (tag - 0xde)), depth);
  throw invalid(`it holds a type that is never written: 0x${tag.toString(16)}`);
}

/** A number of 1, 2 or 4 bytes, the highest first. */
function readUnsigned(reader: ByteReader, width: number): number {
  let value = 0;
  for (let i = 0; i < width; i++) value = value * 0x100 + reader.byte();
  return value;
}

function readArray(reader: ByteReader, length: number, depth: number): Canonical {
  const items: Canonical[] = [];
  while (items.length < length) items.push(readValue(reader, depth + 1));
  return items;
}

function readMap(reader: ByteReader, size: number, depth: number): Canonical {
  // Without a prototype, a key named __proto__ is a key like any other.
  const map = Object.create(null) as Record<string, Canonical>;
  for (let i = 0; i < size; i++) {
    const key = readValue(reader, MAX_DEPTH);
    if (typeof key !== 'string') throw invalid('a map has a key that is not text');
    map[key] = readValue(reader, depth + 1);
  }
  return map;
}

function invalid(what: string, cause?: unknown): VecsnapError {
  return new VecsnapError('ENCODING_INVALID', `Not canonical msgpack: ${what}.`, { cause });
}
