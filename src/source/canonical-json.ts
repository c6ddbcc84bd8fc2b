/**
 * Canonical JSON: one value has one text.
 *
 * As in RFC 8785, keys stand in the order of their UTF-16 code units, without white space, and numbers as JavaScript writes
 * them. Unlike there, a number that a double cannot hold, for example an integer of 64 bits, keeps its digits as they
 * came, and `-0` keeps its sign: metadata comes back from a snapshot with every digit it had.
 */
import { isLosslessNumber, LosslessNumber, parse as parseLossless } from 'lossless-json';

/** Deeper nesting than any metadata has; a guard against stack overflow by hostile text. */
const MAX_DEPTH = 500;

/**
 * The canonical form of a JSON text. Of two equal keys in one object, the last one counts.
 * @throws SyntaxError when `text` is no JSON, or is nested deeper than 500.
 */
export function canonicalJson(text: string): string {
  const value: unknown = JSON.parse(text);
  const exact = mayChangeNumbers(text) ? parseExactly(text, value) : value;
  return write(exact, 0);
}

/** Whether `text` may hold a number that `JSON.parse` changes: many digits, an exponent, or a negative zero. */
function mayChangeNumbers(text: string): boolean {
  if (!SUSPECT.test(text)) return false;
  const numbers = text.match(STRINGS_AND_NUMBERS) ?? [];
  return numbers.some((token) => !token.startsWith('"') && changesNumber(token));
}

const SUSPECT = /\d[\d.]{15}|\d[eE]|-0/;
const STRINGS_AND_NUMBERS = /"[^"\\]*(?:\\.[^"\\]*)*"|-?\d[\d.eE+-]*/g;

function parseExactly(text: string, value: unknown): unknown {
  checkDepth(value, 0); // The other parser descends by recursion.
  return parseLossless(text, undefined, {
    parseNumber: (token) => (changesNumber(token) ? new LosslessNumber(token) : Number(token)),
    onDuplicateKey: ({ newValue }) => newValue,
  });
}

/** Whether the shortest decimal of the double nearest to `token` is another number than `token`. */
function changesNumber(token: string): boolean {
  const shortest = writeNumber(Number(token));
  return shortest !== token && decimalOf(shortest) !== decimalOf(token);
}

/** The value of a decimal in a normal form: sign, digits without zeros at the ends, exponent. */
function decimalOf(token: string): string {
  const [, sign = '', whole = '', fraction = '', exponent = '0'] = DECIMAL.exec(token) ?? [token, token];
  const digits = (whole + fraction).replace(/^0+/, '');
  const significant = withoutEndingZeros(digits);
  if (significant === '') return `${sign}0`;
  if (exponent.length > LONGEST_EXPONENT) return token; // No double has such a one; and a number of so many digits takes long.
  const scale = BigInt(exponent) - BigInt(fraction.length) + BigInt(digits.length - significant.length);
  return `${sign}${significant}e${scale}`;
}

const LONGEST_EXPONENT = 1000;

/** Not by `/0+$/`, which looks at each zero as often as there are zeros before it. */
function withoutEndingZeros(digits: string): string {
  let end = digits.length;
  while (digits[end - 1] === '0') end--;
  return digits.slice(0, end);
}

const DECIMAL = /^(-?)(\d+)(?:\.(\d+))?(?:[eE]([+-]?\d+))?$/;

function write(value: unknown, depth: number): string {
  if (typeof value === 'number') return writeNumber(value);
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  if (isLosslessNumber(value)) return value.value;
  if (depth >= MAX_DEPTH) throw tooDeep();
  if (Array.isArray(value)) return `[${value.map((item) => write(item, depth + 1)).join(',')}]`;
  const fields = value as Record<string, unknown>;
  const keys = Object.keys(fields).toSorted();
  return `{${keys.map((key) => `${JSON.stringify(key)}:${write(fields[key], depth + 1)}`).join(',')}}`;
}

/** A number as JSON text; unlike in `JSON.stringify`, zero keeps its sign. */
function writeNumber(value: number): string {
  return Object.is(value, -0) ? '-0' : String(value);
}

function checkDepth(value: unknown, depth: number): void {
  if (typeof value !== 'object' || value === null) return;
  if (depth >= MAX_DEPTH) throw tooDeep();
  for (const item of Object.values(value)) checkDepth(item, depth + 1);
}

function tooDeep(): SyntaxError {
  return new SyntaxError(`The JSON is nested deeper than ${MAX_DEPTH}.`);
}
