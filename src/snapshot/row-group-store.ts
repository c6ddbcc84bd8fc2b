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
import type { RowGroup } from '../chunker/row-groups.js';
import { cutBytes, fixedCutter, gearCutter, type StreamCutter } from '../chunker/stream.js';
import type {
  ChunkPatch,
  ChunkWriter,
  EncodedChunk,
  NewChunk,
  Patched,
  PlaneWidth,
  Similar,
} from '../cas/index.js';
import { type ChunkReference, type RowGroupEntry, rowGroupToEntry } from '../manifest/entries.js';
import type { Entry } from '../manifest/index.js';
import type { RepositoryConfig } from './config.js';
import type { GroupPatch } from './patch.js';

/** A column that is longer than this is cut as a stream is, so that no chunk grows without bound. */
const COLUMN_CHUNK_BYTES = 1024 * 1024;
/** The most chunks that a new one is compared with. */
const MOST_BASES = 4;

/** What stands at the place of a row group in the snapshot before. */
export type SimilarGroups = readonly RowGroupEntry[];

/** How row groups are put. */
export interface GroupOptions {
  /** For each group; it may be found out while they are hashed. */
  readonly similar?: readonly SimilarGroups[] | Promise<readonly SimilarGroups[]> | undefined;
  /** Is called for the columns that are one chunk each which was not stored before. The bytes of the form may change afterwards. */
  readonly onColumn?: ((group: number, column: number, form: EncodedChunk) => void) | undefined;
}

/** A row group that a patch has made of another. */
export interface PatchedGroup {
  /** Undefined when nothing is another. */
  readonly entry: Entry | undefined;
  /** For each vector column what stood in the rows of its patch before, joined; undefined where nothing is another. */
  readonly replaced: readonly (Uint8Array | undefined)[];
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
  async put(
    writer: ChunkWriter,
    groups: readonly RowGroup[],
    { similar, onColumn }: GroupOptions = {},
  ): Promise<Entry[]> {
    for (const group of groups) checkGroupBytes(groupBytes(group));
    const columns = groups.map((group) => this.#columnChunks(group));
    const addresses = await writer.put(columns.flat(2), {
      similar: similar && this.#kinOf(columns, similar),
      onEncoded: onColumn && forColumns(columns, onColumn),
    });
    const addressOf = addressesInTurn(addresses);
    return groups.map((group, i) => entryOf(group, columns[i] as NewChunk[][], addressOf));
  }

  /** What each chunk of some groups may be told by. */
  async #kinOf(
    columns: readonly NewChunk[][][],
    similar: readonly SimilarGroups[] | Promise<readonly SimilarGroups[]>,
  ): Promise<(Similar | undefined)[]> {
    const known = await similar;
    const kin: (Similar | undefined)[] = [];
    for (const [i, own] of columns.entries()) {
      for (let column = 0; column < own.length; column++) {
        const one = this.#similar(column, chunksIn(known[i] as SimilarGroups, column));
        for (let left = own[column]?.length ?? 0; left > 0; left--) kin.push(one);
      }
    }
    return kin;
  }

  /**
   * Stores groups of which some records are others.
   * @returns undefined for those that must be put whole.
   */
  async patch(writer: ChunkWriter, groups: readonly GroupPatch[]): Promise<(PatchedGroup | undefined)[]> {
    const vectors = groups.map((group) => this.#vectorPatches(group));
    const payloads = groups.map((group) => this.#newPayloads(group));
    const [patched, addresses] = await Promise.all([
      writer.patch(vectors.flatMap((own) => own ?? [])),
      writer.put(payloads.flatMap((own) => own ?? [])),
    ]);
    const addressOf = addressesInTurn(addresses);
    let next = 0;
    return groups.map(({ old }, i) => {
      const coming = payloads[i]?.map((chunk) => ({ address: addressOf(chunk), length: chunk.bytes.length }));
      const own = vectors[i];
      return own && patchedGroup(old, patched.slice(next, (next += own.length)), coming);
    });
  }

  /** Undefined when a column is cut into several chunks. */
  #vectorPatches({ old, vectors }: GroupPatch): ChunkPatch[] | undefined {
    const patches = vectors.flatMap(({ rows, bytes }, i): ChunkPatch[] => {
      const [reference, ...more] = old.columns[i + 1] ?? [];
      if (reference === undefined || more.length > 0) return [];
      const { address: of, length } = reference;
      return [{ of, length, places: rows, bytes, ...(this.#shapes[i + 1] as ColumnShape) }];
    });
    return patches.length === vectors.length ? patches : undefined;
  }

  #newPayloads({ old, payloads }: GroupPatch): NewChunk[] | undefined {
    const before = old.columns.at(-1) ?? [];
    const plain = payloads && before.length === 1 ? [payloads.before] : undefined;
    const column = old.columns.length - 1;
    return payloads && this.#cut(payloads.after, column, this.#similar(column, before, plain));
  }

  /** The entry that a group would have, without storing anything. */
  entryOf(group: RowGroup, sha256: (bytes: Uint8Array) => Address): Entry {
    return entryOf(group, this.#columnChunks(group), ({ bytes }) => sha256(bytes));
  }

  #columnChunks({ columns }: RowGroup): NewChunk[][] {
    return columns.map((bytes, i) => this.#cut(bytes, i));
  }

  /** The chunks of the n-th column. */
  #cut(bytes: Uint8Array, column: number, similar?: Similar): NewChunk[] {
    const { width, unit } = this.#shapes[column] as ColumnShape;
    return this.#cutColumn(bytes, width).map((piece) => ({
      bytes: piece,
      width,
      unit,
      kind: 'data',
      similar,
    }));
  }

  /** What the chunks of the n-th column may be told by. @param before chunks that may have much in common with them. */
  #similar(
    column: number,
    before: readonly ChunkReference[],
    plain?: readonly Uint8Array[],
  ): Similar | undefined {
    if (before.length === 0) return undefined;
    const { unit } = this.#shapes[column] as ColumnShape;
    return { unit, addresses: before.slice(-MOST_BASES).map(({ address }) => address), plain };
  }

  #cutColumn(bytes: Uint8Array, width: 0 | PlaneWidth): Uint8Array[] {
    if (bytes.length === 0) return [];
    if (bytes.length <= COLUMN_CHUNK_BYTES) return [bytes];
    return [...cutBytes(bytes, width === 0 ? this.#gear : this.#pages)];
  }
}

/** What stands in the n-th column of some groups, of which there is one in most cases. */
function chunksIn(groups: SimilarGroups, column: number): readonly ChunkReference[] {
  if (groups.length === 1) return groups[0]?.columns[column] ?? [];
  return groups.flatMap(({ columns }) => columns[column] ?? []);
}

/** @param payloads undefined when that column is the same. */
function patchedGroup(
  { key, count, columns }: RowGroupEntry,
  vectors: readonly (Patched | undefined)[],
  payloads: readonly ChunkReference[] | undefined,
): PatchedGroup | undefined {
  const patched = vectors.filter((one) => one !== undefined);
  if (patched.length < vectors.length) return undefined;
  const replaced = patched.map((one) => one.replaced);
  if (payloads === undefined && replaced.every((one) => one === undefined))
    return { entry: undefined, replaced };
  const changed = columns.map((column, i) => {
    const one = patched[i - 1];
    return one === undefined ? column : column.map(({ length }) => ({ address: one.address, length }));
  });
  if (payloads !== undefined) changed[columns.length - 1] = payloads;
  return { entry: rowGroupToEntry({ key, count, columns: changed }), replaced };
}

/** Tells of the forms of chunks by the columns that they are. */
function forColumns(
  columns: readonly NewChunk[][][],
  onColumn: NonNullable<GroupOptions['onColumn']>,
): (position: number, form: EncodedChunk) => void {
  const places = columns.flatMap((own, group) =>
    own.flatMap((chunks, column) => chunks.map(() => ({ group, column, isOne: chunks.length === 1 }))),
  );
  return (position, form) => {
    const { group, column, isOne } = places[position] as (typeof places)[number];
    if (isOne) onColumn(group, column, form);
  };
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
export function groupBytes({ columns }: Pick<RowGroup, 'columns'>): number {
  return totalLength(columns);
}

/** @throws VecsnapError SOURCE_INVALID for a group that nobody could read again. */
function checkGroupBytes(bytes: number): void {
  if (bytes <= MAX_GROUP_BYTES) return;
  throw new VecsnapError('SOURCE_INVALID', `Records that are kept together have ${bytes} bytes.`, {
    remedy: `No more than ${MAX_GROUP_BYTES} are read at once. Make payloads shorter, or a repository with fewer records in a group.`,
  });
}
