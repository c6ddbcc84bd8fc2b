/**
 * The nodes of the trees of a manifest, as canonical msgpack.
 *
 * A node is `[level, entries]`. An entry is `[key, count, bytes, value]`: at level 0 the value says what is stored (which
 * kind of tree it is tells how), above it is the address of a child one level below. A child's last key, its count and its
 * bytes are repeated in the parent's entry, so totals and positions are found without reading the child.
 */
import {
  type Address,
  ADDRESS_LENGTH,
  type Canonical,
  compareBytes,
  decodeCanonical,
  encodeCanonical,
  toAddress,
  VecsnapError,
} from '../core/index.js';

/**
 * What the entries of a tree are ordered by: bytes (ids, paths). Trees over things that have no order of their own hold a
 * 32-bit hash (groups of records without ids) or nothing (chunks of a stream).
 */
export type Key = Uint8Array | number | null;

/** One entry of a node. */
export interface Entry {
  readonly key: Key;
  /** Records, chunks or files below. */
  readonly count: number;
  /** Plaintext bytes below. */
  readonly bytes: number;
  /** At level 0: what is stored. Above: the address of the child. */
  readonly value: Canonical;
}

/** A node: entries that are all of one level. */
export interface Node {
  readonly level: number;
  readonly entries: readonly Entry[];
}

/** More levels than any tree has whose nodes have two entries or more; deeper ones are refused. */
const MAX_LEVEL = 40;

/** The plaintext of a node. */
export function encodeNode({ level, entries }: Node): Uint8Array {
  return encodeCanonical([level, entries.map(({ key, count, bytes, value }) => [key, count, bytes, value])]);
}

/**
 * Reads a node and checks its form.
 * @throws VecsnapError MANIFEST_DAMAGED.
 */
export function decodeNode(bytes: Uint8Array): Node {
  const node = decodeOrFail(bytes);
  if (!Array.isArray(node) || node.length !== 2) throw damaged('it is not a pair');
  const [level, entries] = node as [Canonical, Canonical];
  if (!isCount(level) || level > MAX_LEVEL) throw damaged('its level is no small number');
  if (!Array.isArray(entries)) throw damaged('its entries are no array');
  const decoded = (entries as readonly Canonical[]).map(decodeEntry);
  checkOrder(decoded);
  if (level > 0 && decoded.length === 0) throw damaged('it has no children');
  if (level > 0) decoded.forEach(childAddress);
  return { level, entries: decoded };
}

/** The child that an entry above level 0 points at. */
export function childAddress({ value }: Entry): Address {
  if (!(value instanceof Uint8Array) || value.length !== ADDRESS_LENGTH)
    throw damaged('a child has no address');
  return toAddress(value);
}

/**
 * Checks that a child is what its parent says.
 * @param after the key of the entry before `parent`; null when there is none.
 * @throws VecsnapError MANIFEST_DAMAGED.
 */
export function checkChild(child: Node, parent: Entry, parentLevel: number, after: Key): void {
  if (child.level !== parentLevel - 1)
    throw damaged(`a child of level ${parentLevel} has level ${child.level}`);
  checkTotals(child, parent, 'its parent');
  const last = child.entries.at(-1)?.key ?? null;
  if (!sameKey(last, parent.key)) throw damaged('a child ends with another key than its parent says');
  const [first] = child.entries;
  if (first !== undefined && !ascend(after, first.key))
    throw damaged('a child begins before its neighbour ends');
}

/**
 * Checks that a node holds as much as somebody says who refers to it.
 * @throws VecsnapError MANIFEST_DAMAGED.
 */
export function checkTotals(
  { entries }: Node,
  said: { readonly count?: number; readonly bytes: number },
  by: string,
): void {
  const { count, bytes } = sumOf(entries);
  if ((said.count ?? count) !== count || said.bytes !== bytes)
    throw damaged(`a node has other totals than ${by} says`);
}

/** Records and bytes below all of `entries`. */
export function sumOf(entries: readonly Entry[]): { count: number; bytes: number } {
  let count = 0;
  let bytes = 0;
  for (const entry of entries) {
    count += entry.count;
    bytes += entry.bytes;
  }
  return { count, bytes };
}

/** Whether two keys are the same. */
export function sameKey(a: Key, b: Key): boolean {
  if (a instanceof Uint8Array && b instanceof Uint8Array) return compareBytes(a, b) === 0;
  return a === b;
}

/** A manifest that does not follow the format. */
export function damaged(what: string, cause?: unknown): VecsnapError {
  return new VecsnapError('MANIFEST_DAMAGED', `A node of the manifest is wrong: ${what}.`, {
    remedy: 'Run verify to find which snapshots this concerns.',
    cause,
  });
}

function decodeOrFail(bytes: Uint8Array): Canonical {
  try {
    return decodeCanonical(bytes);
  } catch (cause) {
    throw damaged('it is not canonical msgpack', cause);
  }
}

function decodeEntry(entry: Canonical): Entry {
  if (!Array.isArray(entry) || entry.length !== 4) throw damaged('an entry does not have four parts');
  const parts = entry as readonly Canonical[];
  const key = parts[0];
  const count = parts[1];
  const bytes = parts[2];
  if (!isKey(key)) throw damaged('a key is neither bytes nor a 32-bit number');
  // One that stands for nothing could be repeated for ever.
  if (!isCount(count) || count < 1 || !isCount(bytes)) throw damaged('a count is no number from 1 on');
  return { key, count, bytes, value: parts[3] as Canonical };
}

function isKey(key: Canonical | undefined): key is Key {
  return key === null || key instanceof Uint8Array || (isCount(key) && key < 2 ** 32);
}

/** Whether a value is a whole number from 0 on. */
export function isCount(value: Canonical | undefined): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

function checkOrder(entries: readonly Entry[]): void {
  for (let i = 1; i < entries.length; i++) {
    const { key } = entries[i] as Entry;
    const before = (entries[i - 1] as Entry).key;
    if (kindOfKey(before) !== kindOfKey(key)) throw damaged('its keys are of several kinds');
    if (!ascend(before, key)) throw damaged('its keys do not ascend');
  }
}

/** Whether one key may stand before another. Only keys that are bytes have an order. */
function ascend(before: Key, key: Key): boolean {
  if (!(before instanceof Uint8Array && key instanceof Uint8Array)) return true;
  return compareBytes(before, key) < 0;
}

function kindOfKey(key: Key): string {
  return key instanceof Uint8Array ? 'bytes' : typeof key;
}
