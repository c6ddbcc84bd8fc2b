/** Batches of records, column by column, and the order of ids. */
import { VecsnapError } from './errors.js';

/** The ids of a batch: text, unsigned 64-bit numbers, or none. */
export type IdColumn = readonly string[] | BigUint64Array | undefined;

/** The id of one record. */
export type RecordId = string | bigint;

/**
 * Some consecutive records of a collection, column by column.
 *
 * The bytes belong to the receiver until it calls `release`, where there is one.
 */
export interface RecordBatch {
  /** Records in the batch. */
  readonly count: number;
  /** One id for each record, ascending, or undefined when the schema has no ids. */
  readonly ids: IdColumn;
  /** For each vector column of the schema, `count` vectors one after the other: bare little-endian numbers, row-major. */
  readonly vectors: readonly Uint8Array[];
  /** One payload for each record (no bytes: none), or undefined when the schema has none. JSON payloads are UTF-8 with sorted keys. */
  readonly payloads: readonly Uint8Array[] | undefined;
  /** Tells the giver that the bytes will not be read any more, so that it can use the memory again. */
  readonly release?: () => void;
}

/**
 * The order of records: text by its UTF-8 bytes, numbers by value.
 * @returns negative, zero or positive.
 */
export function compareIds(a: RecordId, b: RecordId): number {
  if (typeof a === 'string' && typeof b === 'string') return compareText(a, b);
  return a < b ? -1 : a > b ? 1 : 0;
}

/** Order by UTF-8 bytes, which is order by code point, of two well-formed texts. */
export function compareText(a: string, b: string): number {
  const shared = Math.min(a.length, b.length);
  for (let i = 0; i < shared; i++) {
    const x = a.charCodeAt(i);
    const y = b.charCodeAt(i);
    if (x !== y) return codePointRank(x) - codePointRank(y);
  }
  return a.length - b.length;
}

/** Surrogates stand for code points above every other UTF-16 unit, so they are ranked above U+FFFF. */
function codePointRank(unit: number): number {
  return unit >= 0xd800 && unit <= 0xdfff ? unit + 0x10000 : unit;
}

/**
 * Passes batches on, and checks that ids ascend, that none comes twice and that all are well-formed text.
 * @throws VecsnapError SOURCE_DUPLICATE_ID, SOURCE_UNORDERED, SOURCE_INVALID.
 */
export class OrderCheck {
  #last: RecordId | undefined;

  check(ids: IdColumn): void {
    if (ids === undefined) return;
    for (const id of ids) {
      if (typeof id === 'string' && !id.isWellFormed()) throw malformedId(id);
      if (this.#last !== undefined && compareIds(this.#last, id) >= 0) throw orderError(this.#last, id);
      this.#last = id;
    }
  }
}

function orderError(last: RecordId, id: RecordId): VecsnapError {
  if (last === id) {
    return new VecsnapError('SOURCE_DUPLICATE_ID', `Two records have the id ${quoteId(id)}.`, {
      place: `id ${quoteId(id)}`,
      remedy: 'Give every record an id of its own, or remove one of the two.',
    });
  }
  return new VecsnapError('SOURCE_UNORDERED', `The id ${quoteId(id)} came after ${quoteId(last)}.`, {
    place: `id ${quoteId(id)}`,
    remedy: 'A source must give its records in ascending order of their ids (text by its UTF-8 bytes).',
  });
}

function malformedId(id: string): VecsnapError {
  return new VecsnapError('SOURCE_INVALID', 'An id has a lone surrogate, so it has no UTF-8 form.', {
    place: `id ${quoteId(id)}`,
    remedy: 'Give the record an id that is well-formed text.',
  });
}

/** An id as an error message shows it: quoted and cut to 80 characters. */
export function quoteId(id: RecordId): string {
  if (typeof id === 'bigint') return id.toString();
  return JSON.stringify(id.length > 80 ? `${id.slice(0, 80)}…` : id);
}
