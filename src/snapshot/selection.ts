/** Which records of a snapshot are read: as its reader says it, checked, and as ranges of a tree and of the rows of a batch. */
import {
  compareBytes,
  type RecordBatch,
  type RecordId,
  type Schema,
  utf8,
  type VecsnapError,
  vectorBytes,
} from '../core/index.js';
import { idKey } from '../chunker/columns.js';
import type { KeyRange, PositionRange } from '../manifest/index.js';
import { invalidOption } from './settings.js';

/** The id of a record or, where records have no ids, its row, counted from 0. */
export type RecordKey = RecordId | number;

/**
 * Which records are read: those that everything said here holds for; all, when nothing is said. Text ids are `string`, numeric
 * ids `bigint`, rows of records without ids `number`. An id need not be that of a record.
 */
export interface Selection {
  /** Nothing before this id. */
  readonly from?: RecordKey | undefined;
  /** This id and nothing behind it is left out. */
  readonly to?: RecordKey | undefined;
  /** Nothing up to this id, itself included: to go on where another reading ended. */
  readonly after?: RecordKey | undefined;
  /** Only ids that begin with this text. For collections with text ids. */
  readonly prefix?: string | undefined;
}

/** A selection of the records of one schema: all, none, or those of a range of ids or of rows. */
export type Selected =
  | { readonly by: 'all' }
  | { readonly by: 'none' }
  | { readonly by: 'keys'; readonly keys: KeyRange }
  | { readonly by: 'rows'; readonly rows: PositionRange };

/** The options of a selection, in the order in which they are checked. */
const BOUNDS = ['from', 'to', 'after'] as const;

/**
 * What `selection` means for records of `schema`; undefined stands for a snapshot without records.
 * @throws VecsnapError OPTION_INVALID.
 */
export function selected(selection: Selection, schema: Schema | undefined): Selected {
  const given = [...BOUNDS, 'prefix' as const].find((option) => selection[option] !== undefined);
  if (given === undefined) return { by: 'all' };
  if (schema === undefined)
    throw invalidOption(given, selection[given], 'no range: the snapshot has files and no records');
  checkKinds(selection, schema.id);
  if (schema.id === 'none') {
    const rows = rowRange(selection);
    return (rows.from ?? 0) < (rows.to ?? Infinity) ? { by: 'rows', rows } : { by: 'none' };
  }
  const keys = keyRange(selection);
  const isEmpty = keys.from !== undefined && keys.to !== undefined && compareBytes(keys.from, keys.to) >= 0;
  return isEmpty ? { by: 'none' } : { by: 'keys', keys };
}

/** The records of a batch that are selected, without a copy; undefined when none is. @param before records that come before it. */
export function selectFrom(
  batch: RecordBatch,
  schema: Schema,
  selection: Selected,
  before: number,
): RecordBatch | undefined {
  const [start, end] = rowsOf(batch, selection, before);
  if (start === 0 && end === batch.count) return batch;
  return start < end ? slice(batch, schema, start, end) : undefined;
}

function rowsOf({ count, ids }: RecordBatch, selection: Selected, before: number): [number, number] {
  if (selection.by === 'all') return [0, count];
  if (selection.by === 'none') return [0, 0];
  if (selection.by === 'rows') {
    const { from = 0, to = Infinity } = selection.rows;
    return [Math.max(0, from - before), Math.min(count, to - before)];
  }
  const { from, to } = selection.keys;
  const firstFrom = (key: Uint8Array) =>
    firstIndex(count, (i) => compareBytes(idKey(ids?.[i] as RecordId), key) >= 0);
  return [from === undefined ? 0 : firstFrom(from), to === undefined ? count : firstFrom(to)];
}

/** The first index below `count` that the condition holds for, and `count` when there is none; it holds for all behind it too. */
function firstIndex(count: number, holds: (index: number) => boolean): number {
  let [low, high] = [0, count];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (holds(middle)) high = middle;
    else low = middle + 1;
  }
  return low;
}

function slice(batch: RecordBatch, { vectors }: Schema, start: number, end: number): RecordBatch {
  const widths = vectors.map(vectorBytes);
  return {
    ...batch,
    count: end - start,
    ids: batch.ids?.slice(start, end),
    vectors: batch.vectors.map((column, i) =>
      column.subarray(start * (widths[i] as number), end * (widths[i] as number)),
    ),
    payloads: batch.payloads?.slice(start, end),
  };
}

function checkKinds(selection: Selection, kind: Schema['id']): void {
  for (const option of BOUNDS) {
    const value = selection[option];
    if (value !== undefined && !isOfKind(value, kind)) throw invalidOption(option, value, KEY_FORMS[kind]);
  }
  const { from, to, after, prefix } = selection;
  if (prefix !== undefined && kind !== 'string')
    throw invalidOption('prefix', prefix, `no prefix: the ids are ${kind === 'none' ? 'rows' : 'numbers'}`);
  if (prefix !== undefined && !isText(prefix)) throw invalidOption('prefix', prefix, KEY_FORMS.string);
  if (from !== undefined && to !== undefined && isBehind(from, to)) throw behindTo('from', from, to);
  if (after !== undefined && to !== undefined && isBehind(after, to)) throw behindTo('after', after, to);
}

const KEY_FORMS: Readonly<Record<Schema['id'], string>> = {
  string: 'text without lone surrogates: the ids of this snapshot are text',
  u64: 'a bigint from 0n to 2n ** 64n - 1n: the ids of this snapshot are numbers',
  none: 'a row, a whole number from 0 on: the records of this snapshot have no ids',
};

function isOfKind(value: unknown, kind: Schema['id']): boolean {
  if (kind === 'string') return isText(value);
  if (kind === 'u64') return typeof value === 'bigint' && value === BigInt.asUintN(64, value);
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

function isText(value: unknown): boolean {
  return typeof value === 'string' && value.isWellFormed();
}

/** Whether one key stands behind another of the same kind. */
function isBehind(a: RecordKey, b: RecordKey): boolean {
  if (typeof a === 'string' && typeof b === 'string') return compareBytes(utf8(a), utf8(b)) > 0;
  return a > b;
}

function behindTo(option: string, value: RecordKey, to: RecordKey): VecsnapError {
  return invalidOption(option, value, `none that is behind the end, ${String(to).slice(0, 80)}`);
}

function rowRange({ from, to, after }: Selection): PositionRange {
  const afterRow = after === undefined ? 0 : (after as number) + 1;
  return { from: Math.max((from as number | undefined) ?? 0, afterRow), to: to as number | undefined };
}

function keyRange({ from, to, after, prefix }: Selection): KeyRange {
  const lower: Uint8Array[] = [];
  const upper: Uint8Array[] = [];
  if (from !== undefined) lower.push(idKey(from as RecordId));
  if (after !== undefined) lower.push(keyBehind(idKey(after as RecordId)));
  if (to !== undefined) upper.push(idKey(to as RecordId));
  if (prefix) {
    lower.push(utf8(prefix));
    upper.push(behindPrefix(utf8(prefix)));
  }
  return { from: lower.toSorted(compareBytes).at(-1), to: upper.toSorted(compareBytes).at(0) };
}

/** The first key behind another, of any length. */
function keyBehind(key: Uint8Array): Uint8Array {
  const next = new Uint8Array(key.length + 1);
  next.set(key);
  return next;
}

/** The first key behind all that begin with a text. No byte of UTF-8 is 255, so the last one can be counted up. */
function behindPrefix(prefix: Uint8Array): Uint8Array {
  const next = prefix.slice();
  next[next.length - 1] = (next.at(-1) as number) + 1;
  return next;
}
