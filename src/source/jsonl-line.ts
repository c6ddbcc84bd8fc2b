/**
 * One line of JSON Lines: which record it holds.
 *
 * The line is first cut at its top-level keys, so that an id keeps all its digits, vectors are parsed by themselves and
 * metadata keeps the text it came with.
 */
import { canonicalJson } from './canonical-json.js';

/** The keys that people keep a vector under: one list of numbers, or (`vectors`) one list for each name. */
export const VECTOR_KEYS = ['vector', 'vectors', 'embedding', 'values'] as const;

export type VectorKey = (typeof VECTOR_KEYS)[number];

/** One key of a line, and its value as it stands there. */
export type Field = readonly [key: string, value: string];

/** Something is wrong with a line; the reader of the file says which line. */
export class LineFault extends Error {
  override readonly name = 'LineFault';
  readonly remedy: string;

  constructor(message: string, remedy: string, cause?: unknown) {
    super(message, { cause });
    this.remedy = remedy;
  }
}

const ONE_OBJECT = 'Every line must be one JSON object. An array of objects becomes lines with: jq -c ".[]"';

/**
 * The top-level keys of a line in the order they stand there; of two that are equal, the last.
 * @throws LineFault when the line is no JSON object.
 */
export function fieldsOf(text: string): Field[] {
  const fields = new Map<string, string>();
  let at = skipSpace(text, 0);
  if (text[at] !== '{') throw noObject(text);
  at = skipSpace(text, at + 1);
  while (text[at] !== '}') {
    const keyEnd = text[at] === '"' ? endOfString(text, at) : -1;
    const colon = keyEnd < 0 ? -1 : skipSpace(text, keyEnd);
    if (colon < 0 || text[colon] !== ':') throw noObject(text);
    const start = skipSpace(text, colon + 1);
    const end = endOfValue(text, start);
    if (end <= start) throw noObject(text);
    const key = parsed(text.slice(at, keyEnd)) as string;
    fields.delete(key); // Of two that are equal, the last counts, and stands where it stands.
    fields.set(key, text.slice(start, end));
    at = skipSpace(text, end);
    if (text[at] === ',') {
      at = skipSpace(text, at + 1);
      if (text[at] !== '"') throw noObject(text);
    } else if (text[at] !== '}') throw noObject(text);
  }
  if (skipSpace(text, at + 1) !== text.length) throw noObject(text);
  return [...fields];
}

function skipSpace(text: string, at: number): number {
  for (let i = at; ; i++) {
    const unit = text.charCodeAt(i);
    if (unit !== 0x20 && unit !== 0x09 && unit !== 0x0d && unit !== 0x0a) return i;
  }
}

/** The end of the string that begins at `at`, or -1. */
function endOfString(text: string, at: number): number {
  for (let end = text.indexOf('"', at + 1); end >= 0; end = text.indexOf('"', end + 1)) {
    let backslashes = 0;
    while (text[end - 1 - backslashes] === '\\') backslashes++;
    if (backslashes % 2 === 0) return end + 1;
  }
  return -1;
}

/** The end of the value that begins at `at`, or -1. What stands between is parsed later. */
function endOfValue(text: string, at: number): number {
  const first = text[at];
  if (first === '"') return endOfString(text, at);
  if (first === '[') return endOfList(text, at);
  if (first === '{') return endOfNested(text, at);
  SCALAR_END.lastIndex = at;
  return SCALAR_END.exec(text)?.index ?? -1;
}

const SCALAR_END = /[,}\s]/g;
const NESTING = /["{}[\]]/g;

/** Lists of numbers are long, so they are looked at first. */
function endOfList(text: string, at: number): number {
  const end = text.indexOf(']', at + 1);
  if (end < 0) return -1;
  const isNested = /["[{]/.test(text.slice(at + 1, end));
  return isNested ? endOfNested(text, at) : end + 1;
}

function endOfNested(text: string, at: number): number {
  let depth = 0;
  NESTING.lastIndex = at;
  for (let found = NESTING.exec(text); found !== null; found = NESTING.exec(text)) {
    if (found[0] === '"') {
      const end = endOfString(text, found.index);
      if (end < 0) return -1;
      NESTING.lastIndex = end;
    } else {
      depth += found[0] === '{' || found[0] === '[' ? 1 : -1;
      if (depth === 0) return found.index + 1;
    }
  }
  return -1;
}

function noObject(text: string): LineFault {
  try {
    JSON.parse(text);
    return new LineFault('The line is not a JSON object', ONE_OBJECT);
  } catch (cause) {
    const reason =
      cause instanceof Error
        ? cause.message.replace(/ in JSON at position \d+.*| is not valid JSON/s, '')
        : '';
    return new LineFault(`The line is not a JSON object: ${reason.slice(0, 200)}`, ONE_OBJECT, cause);
  }
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch (cause) {
    throw new LineFault(`The line is not JSON: ${text.slice(0, 80)}`, ONE_OBJECT, cause);
  }
}

/**
 * The id: text, or an unsigned integer of 64 bits.
 * @throws LineFault for anything else.
 */
export function parseId(value: string | undefined): string | bigint {
  const remedy = 'Give every line an id: a string, or a whole number from 0 to 18446744073709551615.';
  if (value === undefined) throw new LineFault('The line has no id', remedy);
  if (value.startsWith('"')) return wellFormed(parsed(value) as string, remedy);
  const number = /^(0|[1-9]\d{0,19})$/.test(value) ? BigInt(value) : -1n;
  if (number >= 0n && number < 2n ** 64n) return number;
  throw new LineFault(`The id ${value.slice(0, 80)} is neither text nor a whole number of 64 bits`, remedy);
}

function wellFormed(id: string, remedy: string): string {
  if (id.isWellFormed()) return id;
  throw new LineFault('The id has a lone surrogate, so it has no UTF-8 form', remedy);
}

/** The vectors of a line, by the names of their columns. */
export type NamedVectors = readonly (readonly [name: string, numbers: readonly number[]])[];

/** The name of the column of a line that has one vector. */
export const ONE_VECTOR = 'vector';

/** @throws LineFault when a vector is no list of numbers. */
export function parseVectors(key: VectorKey, value: string): NamedVectors {
  if (key !== 'vectors') return [[ONE_VECTOR, parseVector(key, value)]];
  if (!value.startsWith('{'))
    throw new LineFault('"vectors" holds no names with a vector each', NUMBERS_ONLY);
  return fieldsOf(value)
    .map(([name, list]) => [name, parseVector(`vectors.${name}`, list)] as const)
    .toSorted(([a], [b]) => (a < b ? -1 : 1));
}

const NUMBERS_ONLY = 'A vector is a list of numbers, also NaN, Infinity and -Infinity.';

function parseVector(name: string, value: string): readonly number[] {
  const numbers = value.startsWith('[') ? (strictNumbers(value) ?? looseNumbers(value)) : undefined;
  if (numbers !== undefined && numbers.length > 0) return numbers;
  const what = numbers === undefined ? 'is no list of numbers' : 'is empty';
  throw new LineFault(`"${name.slice(0, 80)}" ${what}: ${value.slice(0, 60)}`, NUMBERS_ONLY);
}

function strictNumbers(value: string): readonly number[] | undefined {
  try {
    const numbers: unknown = JSON.parse(value);
    return Array.isArray(numbers) && numbers.every(Number.isFinite) ? (numbers as number[]) : undefined;
  } catch {
    return undefined; // Tried again with the names of numbers that JSON has none of.
  }
}

/** Python writes numbers that are not finite by these names. A number too large for a double is none of them. */
function looseNumbers(value: string): readonly number[] | undefined {
  const tokens = value.slice(1, -1).split(',');
  const numbers = tokens.map((token) => looseNumber(token.trim()));
  return numbers.every((number) => number !== undefined) ? numbers : undefined;
}

function looseNumber(token: string): number | undefined {
  if (token === 'NaN') return Number.NaN;
  if (token === 'Infinity') return Infinity;
  if (token === '-Infinity') return -Infinity;
  const number = JSON_NUMBER.test(token) ? Number(token) : Infinity;
  return Number.isFinite(number) ? number : undefined;
}

const JSON_NUMBER = /^-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?$/;

/**
 * One value in canonical form.
 * @throws LineFault when it is no JSON.
 */
export function canonicalValue(key: string, value: string): string {
  try {
    return canonicalJson(value);
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message.slice(0, 200) : '';
    throw new LineFault(`The value of "${key.slice(0, 80)}" is not JSON: ${reason}`, ONE_OBJECT, cause);
  }
}

/** Fields as one canonical JSON object; nothing when there are none. */
export function canonicalObject(fields: readonly Field[]): string {
  if (fields.length === 0) return '';
  const sorted = fields.toSorted(([a], [b]) => (a < b ? -1 : 1));
  return `{${sorted.map(([key, value]) => `${JSON.stringify(key)}:${canonicalValue(key, value)}`).join(',')}}`;
}
