/** Stores row groups, each column as a chunk or several, and gives their entries for the tree. */
import {
  type Address,
  DTYPE_BYTES,
  MAX_GROUP_BYTES,
  type Schema,
  totalLength,
  vectorBytes,
  VecsnapError,
} from '../core/index.js';
import { cutBytes, fixedCutter, gearCutter, type RowGroup, type StreamCutter } from '../chunker/index.js';
import type { ChunkWriter, NewChunk, PlaneWidth } from '../cas/index.js';
import { type ChunkReference, type Entry, type RowGroupEntry, rowGroupToEntry } from '../manifest/index.js';
import type { RepositoryConfig } from './config.js';

/** A column that is longer than this is cut as a stream is, so that no chunk grows without bound. */
const COLUMN_CHUNK_BYTES = 1024 * 1024;
/** The most chunks that a new one is compared with. */
const MOST_BASES = 4;

/** A row group and what stands at its place in the snapshot before. */
export interface AlignedGroup {
  readonly group: RowGroup;
  readonly similar: readonly RowGroupEntry[];
}

/** A row group with some columns that are those of another, which is stored. */
export interface PatchedGroup {
  /** The group of before, with the same ids, and the bytes of its columns. */
  readonly old: RowGroupEntry;
  readonly before: readonly Uint8Array[];
  /** The bytes of those columns that are others. */
  readonly columns: ReadonlyMap<number, Uint8Array>;
}

/** See the head of this file. */
export class RowGroupStore {
  readonly #shapes: readonly ColumnShape[];
  readonly #gear: StreamCutter;
  readonly #pages: StreamCutter;

  constructor(schema: Schema, { gear, fixed }: Pick<RepositoryConfig, 'gear' | 'fixed'>) {
    this.#shapes = columnShapes(schema);
    this.#gear = gearCutter(gear);
    this.#pages = fixedCutter(fixed);
  }

  /** Their bytes are not needed any longer once this resolves. */
  async put(writer: ChunkWriter, groups: readonly AlignedGroup[]): Promise<Entry[]> {
    for (const aligned of groups) checkGroupBytes(groupBytes(aligned));
    const columns = groups.map((aligned) => this.#columnChunks(aligned));
    const addressOf = addressesInTurn(await writer.put(columns.flat(2)));
    return groups.map(({ group }, i) => entryOf(group, columns[i] as NewChunk[][], addressOf));
  }

  async putPatched(writer: ChunkWriter, groups: readonly PatchedGroup[]): Promise<Entry[]> {
    const columns = groups.map(({ old, before, columns: changed }) =>
      old.columns.map((references, i) => {
        const bytes = changed.get(i);
        if (bytes === undefined) return references;
        const plain = references.length === 1 ? [before[i] as Uint8Array] : undefined;
        return this.#cut(
          bytes,
          i,
          references.map(({ address }) => address),
          plain,
        );
      }),
    );
    const addressOf = addressesInTurn(await writer.put(columns.flat(2).filter(isNew)));
    return groups.map(({ old: { key, count } }, i) => {
      const chunks = (columns[i] ?? []).map((column) =>
        column.map((chunk) =>
          isNew(chunk) ? { address: addressOf(chunk), length: chunk.bytes.length } : chunk,
        ),
      );
      return rowGroupToEntry({ key, count, columns: chunks });
    });
  }

  /** The entry that a group would have, without storing anything. */
  entryOf(group: RowGroup, sha256: (bytes: Uint8Array) => Address): Entry {
    return entryOf(group, this.#columnChunks({ group, similar: [] }), ({ bytes }) => sha256(bytes));
  }

  #columnChunks({ group, similar }: AlignedGroup): NewChunk[][] {
    return group.columns.map((bytes, i) => {
      const addresses = similar.flatMap(({ columns }) => (columns[i] ?? []).map(({ address }) => address));
      return this.#cut(bytes, i, addresses);
    });
  }

  /** The chunks of the n-th column. @param similar chunks of before that may have much in common with them. */
  #cut(
    bytes: Uint8Array,
    column: number,
    similar: readonly Address[],
    plain?: readonly Uint8Array[],
  ): NewChunk[] {
    const { width, unit } = this.#shapes[column] as ColumnShape;
    const kin = similar.length === 0 ? undefined : { unit, addresses: similar.slice(-MOST_BASES), plain };
    return this.#cutColumn(bytes, width).map((piece) => ({
      bytes: piece,
      width,
      kind: 'data',
      similar: kin,
    }));
  }

  #cutColumn(bytes: Uint8Array, width: 0 | PlaneWidth): Uint8Array[] {
    if (bytes.length === 0) return [];
    if (bytes.length <= COLUMN_CHUNK_BYTES) return [bytes];
    return [...cutBytes(bytes, width === 0 ? this.#gear : this.#pages)];
  }
}

function isNew(chunk: NewChunk | ChunkReference): chunk is NewChunk {
  return 'bytes' in chunk;
}

function addressesInTurn(addresses: readonly Address[]): (chunk: NewChunk) => Address {
  let next = 0;
  return () => addresses[next++] as Address;
}

function entryOf(
  { key, count }: RowGroup,
  columns: readonly NewChunk[][],
  addressOf: (chunk: NewChunk) => Address,
): Entry {
  const references = columns.map((chunks) =>
    chunks.map((chunk): ChunkReference => ({ address: addressOf(chunk), length: chunk.bytes.length })),
  );
  return rowGroupToEntry({ key, count, columns: references });
}

/** What the bytes of a column are made of. */
interface ColumnShape {
  /** Bytes of its numbers; 0 when they are not numbers. */
  readonly width: 0 | PlaneWidth;
  /** Bytes that are equal or different as a whole. */
  readonly unit: number;
}

/** The columns of a group: ids, vectors, payloads, as far as the schema has them. */
function columnShapes({ id, vectors, payload }: Schema): ColumnShape[] {
  const bytewise: ColumnShape = { width: 0, unit: 1 };
  const ids: ColumnShape[] = id === 'none' ? [] : [id === 'u64' ? { width: 8, unit: 8 } : bytewise];
  const columns = vectors.map((column): ColumnShape => {
    const width = Math.max(1, DTYPE_BYTES[column.dtype]) as PlaneWidth;
    return { width, unit: vectorBytes(column) };
  });
  return [...ids, ...columns, ...(payload === 'none' ? [] : [bytewise])];
}

/** Whether the columns of two schemas hold the same kind of bytes. */
export function sameLayout(a: Schema, b: Schema): boolean {
  return a.id === b.id && JSON.stringify(columnShapes(a)) === JSON.stringify(columnShapes(b));
}

/** Whether the records of two schemas are made of the same things, so that a group of the one is one of the other. */
export function sameColumns(a: Schema, b: Schema): boolean {
  const made = ({ vectors }: Schema) => vectors.map(({ dtype, dimension }) => `${dtype} ${dimension}`).join();
  return a.id !== 'none' && a.id === b.id && a.payload === b.payload && made(a) === made(b);
}

/** Plaintext bytes of a group. */
export function groupBytes({ group: { columns } }: Pick<AlignedGroup, 'group'>): number {
  return totalLength(columns);
}

/** @throws VecsnapError SOURCE_INVALID for a group that nobody could read again. */
function checkGroupBytes(bytes: number): void {
  if (bytes <= MAX_GROUP_BYTES) return;
  throw new VecsnapError('SOURCE_INVALID', `Records that are kept together have ${bytes} bytes.`, {
    remedy: `No more than ${MAX_GROUP_BYTES} are read at once. Make payloads shorter, or a repository with fewer records in a group.`,
  });
}
