/** What the trees of records, streams and files hold at level 0. */
import {
  type Address,
  ADDRESS_LENGTH,
  type Canonical,
  fromUtf8,
  type Schema,
  toAddress,
  utf8,
} from '../core/index.js';
import { damaged, type Entry, type Key } from './node.js';

/** A chunk that a manifest refers to. */
export interface ChunkReference {
  readonly address: Address;
  /** Plaintext bytes. */
  readonly length: number;
}

/** Chunks, of which there may be very many: their addresses, and for each the length that is said of it. */
export interface ChunkList {
  readonly addresses: Address[];
  readonly lengths: number[];
}

/** A row group as a tree of records holds it: for each column, the chunks that make up its bytes. */
export interface RowGroupEntry {
  readonly key: Uint8Array | number;
  readonly count: number;
  readonly columns: readonly (readonly ChunkReference[])[];
}

/** Where the bytes of a file are: one chunk that has all of them, or the tree of a stream, by its root. */
export interface FileContent {
  readonly kind: 'chunk' | 'stream';
  readonly address: Address;
}

/** A file as a tree of files holds it. */
export type FileNodeEntry =
  | {
      readonly path: string;
      readonly type: 'file';
      readonly mode: number;
      readonly size: number;
      readonly content: FileContent | null;
    }
  | { readonly path: string; readonly type: 'directory'; readonly mode: number }
  | { readonly path: string; readonly type: 'link'; readonly mode: number; readonly target: string };

/** `value`: for each column `[length, address, length, address, …]`. */
export function rowGroupToEntry({ key, count, columns }: RowGroupEntry): Entry {
  let bytes = 0;
  const value = columns.map((chunks) => {
    const parts: Canonical[] = [];
    for (let i = 0; i < chunks.length; i++) {
      const { length, address } = chunks[i] as ChunkReference;
      bytes += length;
      parts.push(length, address);
    }
    return parts;
  });
  return { key, count, bytes, value };
}

/** @throws VecsnapError MANIFEST_DAMAGED unless the entry is a row group of `columnCount` columns. */
export function entryToRowGroup(entry: Entry, columnCount: number): RowGroupEntry {
  const columns: ChunkReference[][] = [];
  for (let i = 0; i < columnCount; i++) columns.push([]);
  const key = readRowGroup(entry, columnCount, (column, length, address) =>
    (columns[column] as ChunkReference[]).push({ length, address }),
  );
  return { key, count: entry.count, columns };
}

/** The chunks of all columns of a row group, for whoever only counts them. @throws VecsnapError as {@link entryToRowGroup}. */
export function chunksOfRowGroup(entry: Entry, columnCount: number): ChunkList {
  const chunks: ChunkList = { addresses: [], lengths: [] };
  readRowGroup(entry, columnCount, (_column, length, address) => {
    chunks.addresses.push(address);
    chunks.lengths.push(length);
  });
  return chunks;
}

/** Calls `onChunk` for each chunk, column by column. Gives the key. */
function readRowGroup(
  { key, count, bytes, value }: Entry,
  columnCount: number,
  onChunk: (column: number, length: number, address: Address) => void,
): Uint8Array | number {
  if (key === null || count === 0) throw damaged('a row group has no key or no records');
  if (!Array.isArray(value) || value.length !== columnCount)
    throw damaged('a row group has other columns than the schema');
  let sum = 0;
  for (let column = 0; column < columnCount; column++) {
    const parts = (value as readonly Canonical[])[column];
    if (!Array.isArray(parts) || parts.length % 2 !== 0) throw damaged('a column is no list of chunks');
    for (let i = 0; i < parts.length; i += 2) {
      const length = decodeLength((parts as readonly Canonical[])[i]);
      onChunk(column, length, decodeAddress((parts as readonly Canonical[])[i + 1]));
      sum += length;
    }
  }
  if (sum !== bytes) throw damaged('a row group has other bytes than its chunks');
  return key;
}

function decodeLength(length: Canonical | undefined): number {
  if (!Number.isSafeInteger(length) || (length as number) < 1) throw damaged('a chunk has no length');
  return length as number;
}

function decodeAddress(value: Canonical | undefined): Address {
  if (!(value instanceof Uint8Array) || value.length !== ADDRESS_LENGTH)
    throw damaged('an address does not have 32 bytes');
  return toAddress(value);
}

/** The entry of one chunk of a stream: no key, the address as value. */
export function streamChunkToEntry({ address, length }: ChunkReference): Entry {
  return { key: null, count: 1, bytes: length, value: address };
}

/** @throws VecsnapError MANIFEST_DAMAGED unless the entry is a chunk of a stream. */
export function entryToStreamChunk({ key, count, bytes, value }: Entry): ChunkReference {
  if (key !== null || count !== 1 || bytes === 0) throw damaged('an entry is no chunk of a stream');
  return { address: decodeAddress(value), length: bytes };
}

/**
 * `value`: `['file', mode, content]`, `['directory', mode]` or `['link', mode, target]`. `content`: null, `[address of the only chunk]`, or the
 * address of the root of a stream.
 */
export function fileToEntry(file: FileNodeEntry): Entry {
  const key: Key = utf8(file.path);
  const common = { key, count: 1 };
  if (file.type === 'file')
    return { ...common, bytes: file.size, value: ['file', file.mode, encodeContent(file.content)] };
  if (file.type === 'link') return { ...common, bytes: 0, value: ['link', file.mode, file.target] };
  return { ...common, bytes: 0, value: ['directory', file.mode] };
}

/** @throws VecsnapError MANIFEST_DAMAGED unless the entry is a file with a path that stays inside its tree. */
export function entryToFile({ key, count, bytes, value }: Entry): FileNodeEntry {
  if (!(key instanceof Uint8Array) || count !== 1 || !Array.isArray(value))
    throw damaged('an entry is no file');
  const [type, mode, detail] = value as readonly Canonical[];
  const path = decodePath(key);
  if (!Number.isSafeInteger(mode) || (mode as number) < 0 || (mode as number) > 0o7777)
    throw damaged('a file has no mode');
  const common = { path, mode: mode as number };
  if (type === 'file' && value.length === 3)
    return { ...common, type, size: bytes, content: decodeContent(detail, bytes) };
  if (type === 'link' && value.length === 3 && typeof detail === 'string' && isLinkTarget(detail))
    return { ...common, type, target: detail };
  if (type === 'directory' && value.length === 2) return { ...common, type };
  throw damaged('a file is of no known type');
}

/** Of what a link says anything goes that a system can keep. */
function isLinkTarget(target: string): boolean {
  return target !== '' && !target.includes('\0');
}

function encodeContent(content: FileContent | null): Canonical {
  return content?.kind === 'chunk' ? [content.address] : (content?.address ?? null);
}

function decodeContent(content: Canonical | undefined, bytes: number): FileContent | null {
  if ((content === null) !== (bytes === 0)) throw damaged('a file has no content, or an empty one has some');
  if (content === null) return null;
  if (!Array.isArray(content)) return { kind: 'stream', address: decodeAddress(content) };
  if (content.length !== 1) throw damaged('a file refers to more than one chunk');
  return { kind: 'chunk', address: decodeAddress((content as readonly Canonical[])[0]) };
}

function decodePath(key: Uint8Array): string {
  const path = decodeText(key);
  if (!isInnerPath(path)) throw damaged('a path leads out of its tree');
  return path;
}

/** Whether a path is relative and stays inside its tree: parts joined by `/`, none of them empty, `.` or `..`. */
export function isInnerPath(path: string): boolean {
  const isPart = (part: string) => part !== '' && part !== '.' && part !== '..';
  return path.split('/').every(isPart) && !path.includes('\0') && path.isWellFormed();
}

function decodeText(bytes: Uint8Array): string {
  try {
    return fromUtf8(bytes);
  } catch (cause) {
    throw damaged('a path is not UTF-8', cause);
  }
}

/** The chunk that is all of a file with this content and so many bytes; undefined where a tree tells of its chunks. */
export function onlyChunk({ kind, address }: FileContent, bytes: number): ChunkReference | undefined {
  return kind === 'chunk' ? { address, length: bytes } : undefined;
}

/** Columns of a row group: ids, vector columns, payloads, as far as the schema has them. */
export function columnCount({ id, vectors, payload }: Schema): number {
  return (id === 'none' ? 0 : 1) + vectors.length + (payload === 'none' ? 0 : 1);
}
