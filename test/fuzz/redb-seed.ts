/**
 * A redb file of a few small pages, as ruvector would write it: real ones have a megabyte and more, which is too slow to mutate a million
 * times. And its checksums made anew after something was changed. That real files are read is tested elsewhere (redb.test.ts).
 */
import { concatBytes, utf8, viewOf } from 'vecsnap/core';
import { xxh3 } from 'vecsnap/source';

const PAGE = 512;
const SLOTS = [64, 192] as const;
const DATA_PAGES = 64;

type Entries = readonly (readonly [key: Uint8Array, value: Uint8Array])[];

function leaf(entries: Entries): Uint8Array {
  const page = new Uint8Array(PAGE);
  const view = viewOf(page);
  page[0] = 1;
  view.setUint16(2, entries.length, true);
  let end = 4 + 8 * entries.length;
  for (const [i, part] of [...entries.map(([key]) => key), ...entries.map(([, value]) => value)].entries()) {
    page.set(part, end);
    end += part.length;
    view.setUint32(4 + 4 * i, end, true);
  }
  return page;
}

/** A branch with the pages of these numbers as children, the first keys up to `keys`. */
function branch(children: readonly number[], keys: readonly Uint8Array[]): Uint8Array {
  const page = new Uint8Array(PAGE);
  const view = viewOf(page);
  page[0] = 2;
  view.setUint16(2, keys.length, true);
  for (const [i, child] of children.entries()) view.setUint32(8 + 16 * children.length + 8 * i, child, true);
  const ends = 8 + 24 * children.length;
  let end = ends + 4 * keys.length;
  for (const [i, key] of keys.entries()) {
    page.set(key, end);
    end += key.length;
    view.setUint32(ends + 4 * i, end, true);
  }
  return page;
}

function rootBytes(page: number, entries: number): Uint8Array {
  const bytes = new Uint8Array(32);
  viewOf(bytes).setUint32(0, page, true);
  viewOf(bytes).setUint32(24, entries, true);
  return bytes;
}

function definition(page: number, entries: number, keyType: string, valueType: string): Uint8Array {
  const head = new Uint8Array(64);
  head[0] = 3;
  viewOf(head).setUint32(1, entries, true);
  head[9] = 1;
  head.set(rootBytes(page, entries), 10);
  viewOf(head).setUint32(60, 1 + keyType.length, true);
  return concatBytes([head, Uint8Array.of(1), utf8(keyType), Uint8Array.of(1), utf8(valueType)]);
}

const CONFIG = utf8(
  JSON.stringify({
    dimensions: 3,
    distance_metric: 'Cosine',
    storage_path: 'a.db',
    hnsw_config: null,
    quantization: null,
  }),
);

function vector(seed: number): Uint8Array {
  const numbers = new Uint8Array(Float32Array.of(seed, -seed, 0.5).buffer);
  return concatBytes([Uint8Array.of(3), numbers]);
}

/** The file. */
export function makeRedb(): Uint8Array {
  const first: Entries = ['a', 'b', 'c'].map((id, i) => [utf8(id), vector(i)]);
  const second: Entries = ['d', 'ü'].map((id, i) => [utf8(id), vector(i + 5)]);
  const pages = [
    leaf([
      [utf8('config'), definition(1, 1, '&str', '&str')],
      [utf8('metadata'), definition(2, 2, '&str', '&str')],
      [utf8('vectors'), definition(5, 5, '&str', '&[u8]')],
    ]),
    leaf([[utf8('__ruvector_db_config__'), CONFIG]]),
    leaf([
      [utf8('b'), utf8('{"n":1}')],
      [utf8('ü'), utf8('{"__proto__":{"x":12345678901234567890}}')],
    ]),
    leaf(first),
    leaf(second),
    branch([3, 4], [utf8('c')]),
  ];
  const file = concatBytes([new Uint8Array(PAGE), ...pages]);
  const view = viewOf(file);
  file.set([0x72, 0x65, 0x64, 0x62, 0x1a, 0x0a, 0xa9, 0x0d, 0x0a]);
  view.setUint32(12, PAGE, true);
  view.setUint32(20, DATA_PAGES, true);
  for (const [i, slot] of SLOTS.entries()) {
    file[slot] = 3;
    file[slot + 1] = 1;
    file.set(rootBytes(0, 3), slot + 8);
    view.setUint32(slot + 104, 7 - i, true);
  }
  return resealRedb(file);
}

/** A copy whose checksums fit, of all pages that can be found. */
export function resealRedb(bytes: Uint8Array): Uint8Array {
  const file = bytes.slice();
  if (file.length < 320) return file;
  for (const slot of SLOTS) {
    sealTree(file, slot + 8, true, 0);
    file.set(xxh3(file.subarray(slot, slot + 112)), slot + 112);
  }
  return file;
}

/** Seals what stands below the page whose number stands at `root`, and writes the checksum behind the number. */
function sealTree(
  file: Uint8Array,
  root: number,
  holdsTables: boolean,
  depth: number,
  checksum = root + 8,
): void {
  const view = viewOf(file);
  if (root + 24 > file.length || depth > 5) return;
  const order = view.getUint32(root + 4, true) >>> 27;
  const index = view.getUint32(root, true) & (0xfffff >>> order);
  const start = pageStart(view) + index * PAGE * 2 ** order;
  if (order > 4 || start + 12 > file.length) return;
  const page = file.subarray(start, start + PAGE * 2 ** order);
  const end =
    page[0] === 2
      ? sealBranch(file, start, page, holdsTables, depth)
      : sealLeaf(file, start, page, holdsTables, depth);
  if (end >= 9 && end <= page.length) file.set(xxh3(page.subarray(0, end)), checksum);
}

function pageStart(view: DataView): number {
  return PAGE * (1 + Math.min(1000, view.getUint32(16, true)));
}

function sealBranch(
  file: Uint8Array,
  start: number,
  page: Uint8Array,
  holdsTables: boolean,
  depth: number,
): number {
  const keys = viewOf(page).getUint16(2, true);
  const last = 8 + 24 * (keys + 1) + 4 * keys - 4;
  if (keys === 0 || keys > 20 || last + 4 > page.length) return 0;
  for (let i = 0; i <= keys; i++)
    sealTree(file, start + 8 + 16 * (keys + 1) + 8 * i, holdsTables, depth + 1, start + 8 + 16 * i);
  return viewOf(page).getUint32(last, true);
}

function sealLeaf(
  file: Uint8Array,
  start: number,
  page: Uint8Array,
  holdsTables: boolean,
  depth: number,
): number {
  const view = viewOf(page);
  const count = view.getUint16(2, true);
  if (count === 0 || count > 40 || 4 + 8 * count > page.length) return 0;
  for (let i = 0; i < (holdsTables ? count : 0); i++)
    sealTree(file, start + view.getUint32(4 + 4 * (count + i - 1), true) + 10, false, depth + 1);
  return view.getUint32(8 * count, true);
}
