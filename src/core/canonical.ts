/**
 * Canonical msgpack: one value has one encoding.
 *
 * `msgpackr` with fixed options writes arrays, strings, binary, integers, floats, booleans and null in their
 * shortest form. Maps are written with sorted keys. The decoder accepts only the bytes that the encoder would
 * write, so that equal values always have equal addresses. Bytes are laid out in docs/format.md.
 */
// Not from 'msgpackr', which also loads streams and looks for a native addon: three times as long at start-up.
import { Packr } from 'msgpackr/pack';
import { equalBytes } from './bytes.js';
import { VecsnapError } from './errors.js';

/** What canonical msgpack can hold. Numbers outside the safe integers must be `bigint` or fractions. */
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
  const value = restore(unpack(bytes), 0);
  if (!equalBytes(encodeCanonical(value), bytes)) throw invalid('the encoding is not the canonical one');
  return value;
}

function unpack(bytes: Uint8Array): unknown {
  try {
    return packr.unpack(bytes);
  } catch (cause) {
    throw invalid('the bytes are not msgpack', cause);
  }
}

/** Deeper nesting than any format of ours has; a guard against stack overflow by hostile bytes. */
const MAX_DEPTH = 64;

function prepare(value: Canonical, depth: number): unknown {
  if (depth > MAX_DEPTH) throw invalid(`the value is nested deeper than ${MAX_DEPTH}`);
  if (value === null || typeof value === 'boolean') return value;
  if (typeof value === 'number') return value;
  if (typeof value === 'bigint') return prepareBigint(value);
  if (typeof value === 'string') return prepareText(value);
  if (value instanceof Uint8Array) return value;
  if (Array.isArray(value)) return value.map((item: Canonical) => prepare(item, depth + 1));
  if (typeof value === 'object' && isPlainObject(value)) return prepareMap(value as CanonicalMap, depth);
  throw invalid(`a value of type ${typeof value} cannot be written`);
}

type CanonicalMap = Readonly<Record<string, Canonical>>;

function prepareMap(value: CanonicalMap, depth: number): Map<string, unknown> {
  const keys = Object.keys(value).toSorted();
  return new Map(keys.map((key) => [prepareText(key), prepare(value[key] as Canonical, depth + 1)]));
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

function restore(value: unknown, depth: number): Canonical {
  if (depth > MAX_DEPTH) throw invalid(`the value is nested deeper than ${MAX_DEPTH}`);
  if (value === null) return value;
  if (typeof value === 'boolean' || typeof value === 'number' || typeof value === 'string') return value;
  if (typeof value === 'bigint') return prepareBigint(value);
  if (value instanceof Uint8Array) return new Uint8Array(value);
  if (Array.isArray(value)) return value.map((item: unknown) => restore(item, depth + 1));
  if (value instanceof Map) return restoreMap(value, depth);
  throw invalid('the bytes hold a type that is never written');
}

function restoreMap(value: Map<unknown, unknown>, depth: number): Canonical {
  // Without a prototype, a key named __proto__ is a key like any other.
  const result = Object.create(null) as Record<string, Canonical>;
  for (const [key, item] of value) {
    if (typeof key !== 'string') throw invalid('a map has a key that is not text');
    result[key] = restore(item, depth + 1);
  }
  return result;
}

function invalid(what: string, cause?: unknown): VecsnapError {
  return new VecsnapError('ENCODING_INVALID', `Not canonical msgpack: ${what}.`, { cause });
}
