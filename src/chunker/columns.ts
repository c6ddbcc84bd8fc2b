/**
 * The bytes of the columns of a row group.
 *
 * Vectors are bare numbers. Numeric ids are unsigned 64-bit little-endian. Text ids and payloads are a table of lengths,
 * u32 little-endian, followed by the values one after the other; so the lengths, which compress well, stand together.
 */
import {
  compareBytes,
  concatBytes,
  equalBytes,
  type IdColumn,
  type IdKind,
  joinUtf8,
  splitUtf8,
  utf8,
  VecsnapError,
  viewOf,
} from '../core/index.js';

/** The bytes that an id is ordered and hashed by: UTF-8, or eight bytes with the highest first. */
export function idKey(id: string | bigint): Uint8Array {
  if (typeof id === 'string') return utf8(id);
  const key = new Uint8Array(8);
  viewOf(key).setBigUint64(0, id);
  return key;
}

/** The bytes of an id column that comes in one or more parts. */
export function encodeIdColumn(parts: readonly NonNullable<IdColumn>[]): Uint8Array {
  if (parts[0] instanceof BigUint64Array) return encodeNumbers(parts as readonly BigUint64Array[]);
  return encodeTexts((parts as readonly (readonly string[])[]).flat());
}

/** The bytes of a payload column. */
export function encodePayloadColumn(payloads: readonly Uint8Array[]): Uint8Array {
  return encodeValues(payloads);
}

/**
 * Reads an id column of `count` records.
 * @throws VecsnapError MANIFEST_DAMAGED when the bytes do not hold that.
 */
export function decodeIdColumn(
  kind: Exclude<IdKind, 'none'>,
  bytes: Uint8Array,
  count: number,
): NonNullable<IdColumn> {
  if (kind === 'u64') return decodeNumbers(bytes, count);
  try {
    return splitUtf8(bytes.subarray(count * 4), endsIn(bytes, count));
  } catch (cause) {
    throw cause instanceof VecsnapError ? cause : damaged('an id is not UTF-8', cause);
  }
}

/** Where each of these keys stands in an id column of `count` records, or −1; without decoding the other ids. Both ascend. */
export function findInIdColumn(
  kind: Exclude<IdKind, 'none'>,
  bytes: Uint8Array,
  count: number,
  keys: readonly Uint8Array[],
): number[] {
  const keyAt = kind === 'u64' ? numberKeys(bytes, count) : textKeys(bytes, count);
  let from = 0;
  return keys.map((key) => {
    let [low, high] = [from, count];
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (compareBytes(keyAt(middle), key) < 0) low = middle + 1;
      else high = middle;
    }
    from = low;
    return low < count && compareBytes(keyAt(low), key) === 0 ? low : -1;
  });
}

/** The n-th number, with its highest byte first: as keys are. */
function numberKeys(bytes: Uint8Array, count: number): (index: number) => Uint8Array {
  if (bytes.length !== count * 8) throw damaged(`${bytes.length} bytes of ids for ${count} records`);
  return (index) => bytes.subarray(8 * index, 8 * index + 8).toReversed();
}

function textKeys(bytes: Uint8Array, count: number): (index: number) => Uint8Array {
  return valuesIn(bytes, count);
}

/**
 * Reads a payload column of `count` records; the payloads are views into `bytes`.
 * @throws VecsnapError MANIFEST_DAMAGED when the bytes do not hold that.
 */
export function decodePayloadColumn(bytes: Uint8Array, count: number): Uint8Array[] {
  return decodeValues(bytes, count);
}

/**
 * A payload column of `count` records with others in the place of some.
 * @returns undefined when those are the same.
 * @throws VecsnapError MANIFEST_DAMAGED when the bytes do not hold that.
 */
export function patchPayloadColumn(
  bytes: Uint8Array,
  count: number,
  changes: ReadonlyMap<number, Uint8Array>,
): Uint8Array | undefined {
  const payloadAt = valuesIn(bytes, count);
  const isSame = [...changes].every(([row, payload]) => equalBytes(payload, payloadAt(row)));
  if (isSame) return undefined;
  return encodeValues(Array.from({ length: count }, (_, row) => changes.get(row) ?? payloadAt(row)));
}

function encodeNumbers(parts: readonly BigUint64Array[]): Uint8Array {
  const count = parts.reduce((sum, part) => sum + part.length, 0);
  const bytes = new Uint8Array(count * 8);
  const view = viewOf(bytes);
  let offset = 0;
  for (const part of parts) {
    for (const id of part) {
      view.setBigUint64(offset, id, true);
      offset += 8;
    }
  }
  return bytes;
}

function decodeNumbers(bytes: Uint8Array, count: number): BigUint64Array {
  if (bytes.length !== count * 8) throw damaged(`${bytes.length} bytes of ids for ${count} records`);
  const view = viewOf(bytes);
  return BigUint64Array.from({ length: count }, (_, i) => view.getBigUint64(i * 8, true));
}

function encodeTexts(texts: readonly string[]): Uint8Array {
  const { bytes, ends } = joinUtf8(texts);
  const column = new Uint8Array(texts.length * 4 + bytes.length);
  const view = viewOf(column);
  for (let i = 0, start = 0; i < ends.length; i++) {
    const end = ends[i] as number;
    view.setUint32(i * 4, end - start, true);
    start = end;
  }
  column.set(bytes, texts.length * 4);
  return column;
}

function encodeValues(values: readonly Uint8Array[]): Uint8Array {
  const lengths = new Uint8Array(values.length * 4);
  const view = viewOf(lengths);
  for (const [i, value] of values.entries()) view.setUint32(i * 4, value.length, true);
  return concatBytes([lengths, ...values]);
}

function decodeValues(bytes: Uint8Array, count: number): Uint8Array[] {
  const valueAt = valuesIn(bytes, count);
  return Array.from({ length: count }, (_, i) => valueAt(i));
}

/** The values of a column by their numbers; what nobody asks for is not looked at but for its length. */
function valuesIn(bytes: Uint8Array, count: number): (index: number) => Uint8Array {
  const ends = endsIn(bytes, count);
  const values = bytes.subarray(count * 4);
  return (index) => values.subarray(ends[index - 1] ?? 0, ends[index]);
}

/** Where each value ends, behind the lengths. */
function endsIn(bytes: Uint8Array, count: number): Float64Array {
  const space = bytes.length - count * 4;
  if (space < 0) throw damaged(`${bytes.length} bytes for the lengths of ${count} values`);
  const view = viewOf(bytes);
  const ends = new Float64Array(count);
  let end = 0;
  for (let i = 0; i < count; i++) ends[i] = end += view.getUint32(i * 4, true);
  if (end > space) throw damaged('a value ends after its column');
  if (end < space) throw damaged(`${space - end} bytes are left over`);
  return ends;
}

function damaged(what: string, cause?: unknown): VecsnapError {
  return new VecsnapError('MANIFEST_DAMAGED', `A column of a row group is wrong: ${what}.`, {
    remedy: 'Run verify to find what else is damaged.',
    cause,
  });
}
