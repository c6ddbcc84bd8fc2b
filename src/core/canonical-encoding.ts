/** Writes canonical msgpack. In a file of its own, because many commands only read, and the package that writes it takes 3 ms to load. */
// Not from 'msgpackr', which also loads streams and looks for a native addon: three times as long at start-up.
import { Packr } from 'msgpackr/pack';
import { type Budget, type Canonical, checkLeft, invalid, MAX_DEPTH, spend } from './canonical.js';
import { MAX_VALUES } from './limits.js';
import { compareText } from './records.js';

const packr = new Packr({ useRecords: false, variableMapSize: true, mapsAsObjects: false });

/**
 * The canonical encoding of `value`.
 * @throws VecsnapError ENCODING_INVALID for `undefined`, functions, symbols, class instances, cycles, text with lone surrogates, and
 * more than 2^21 values.
 */
export function encodeCanonical(value: Canonical): Uint8Array {
  return new Uint8Array(packr.pack(prepare(value, 0, { left: MAX_VALUES })));
}

function prepare(value: Canonical, depth: number, budget: Budget): unknown {
  if (depth > MAX_DEPTH) throw invalid(`the value is nested deeper than ${MAX_DEPTH}`);
  spend(budget);
  if (value === null || typeof value === 'boolean') return value;
  if (typeof value === 'number') return Number.isNaN(value) ? NaN : value; // Of the many NaNs, one.
  if (typeof value === 'bigint') return prepareBigint(value);
  if (typeof value === 'string') return prepareText(value);
  if (value instanceof Uint8Array) return value;
  if (Array.isArray(value)) return prepareArray(value as readonly Canonical[], depth, budget);
  if (typeof value === 'object' && isPlainObject(value))
    return prepareMap(value as CanonicalMap, depth, budget);
  throw invalid(`a value of type ${typeof value} cannot be written`);
}

function prepareArray(value: readonly Canonical[], depth: number, budget: Budget): unknown[] {
  checkLeft(budget, value.length);
  const items = new Array<unknown>(value.length);
  for (let i = 0; i < items.length; i++) items[i] = prepare(value[i] as Canonical, depth + 1, budget); // Unlike map, this does not skip holes.
  return items;
}

type CanonicalMap = Readonly<Record<string, Canonical>>;

function prepareMap(value: CanonicalMap, depth: number, budget: Budget): Map<string, unknown> {
  const keys = Object.keys(value).map(prepareText).toSorted(compareText);
  budget.left -= keys.length; // They are values too.
  return new Map(keys.map((key) => [key, prepare(value[key] as Canonical, depth + 1, budget)]));
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
