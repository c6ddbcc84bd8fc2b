/** Row groups of the snapshot before, as far as they are read, and records with the places where they stand. */
import {
  concatBytes,
  type IdColumn,
  OrderCheck,
  type Place,
  quoteId,
  type RecordBatch,
  type RecordId,
  type Schema,
  VecsnapError,
} from '../core/index.js';
import { checkBatch, decodeIdColumn, decodePayloadColumn } from '../chunker/index.js';
import type { ChunkStore } from '../cas/index.js';
import {
  type ChunkReference,
  columnCount,
  damaged,
  type Entry,
  entryToRowGroup,
  type RowGroupEntry,
} from '../manifest/index.js';
import type { RecordLookup, SortedIds } from '../source/port.js';

/** A row group of the snapshot before. */
export interface OldGroup {
  readonly entry: Entry;
  readonly group: RowGroupEntry;
  /** The bytes of its columns, of those that are read. */
  readonly columns: (Uint8Array | undefined)[];
  /** The same as records, once somebody asked for them. */
  batch: RecordBatch | undefined;
  /** When the source says no more than that some of its records are others: these, and where they stand. */
  patch: readonly PatchedRow[] | undefined;
}

/** A record in the place of another with the same id. */
export interface PatchedRow {
  readonly row: number;
  readonly by: Row;
}

/** A record and where it stands: in a group of before, or among those that the source gave. */
export interface Row {
  readonly id: RecordId;
  readonly from: { readonly batch: RecordBatch | undefined };
  readonly row: number;
}

/** Reads groups of the snapshot before. */
export class OldGroups {
  readonly #store: ChunkStore;
  readonly #schema: Schema;

  constructor(store: ChunkStore, schema: Schema) {
    this.#store = store;
    this.#schema = schema;
  }

  /** The same place, with a group that can be read. */
  at(place: Place<Entry>): Place<OldGroup> {
    const entry = place.group;
    const or = (other: Place<Entry> | undefined) => other && this.at(other);
    const group = entryToRowGroup(entry, columnCount(this.#schema));
    const columns = group.columns.map(() => undefined);
    return {
      key: place.key,
      group: { entry, group, columns, batch: undefined, patch: undefined },
      next: async () => or(await place.next()),
      previous: async () => or(await place.previous()),
    };
  }

  /** Reads those columns of groups that are not read yet. */
  async load(groups: readonly OldGroup[]): Promise<void> {
    await this.#load(groups, () => true);
  }

  /** The same, but for the columns of vectors. */
  async loadBesideVectors(groups: readonly OldGroup[]): Promise<void> {
    const { length } = this.#schema.vectors;
    await this.#load(groups, (column) => column < 1 || column > length);
  }

  async #load(groups: readonly OldGroup[], isWanted: (column: number) => boolean): Promise<void> {
    const missing = [...new Set(groups)].flatMap((group) =>
      group.group.columns.flatMap((references, i) =>
        group.columns[i] === undefined && isWanted(i) ? [{ group, i, references }] : [],
      ),
    );
    const columns = await this.#read(missing.map(({ references }) => references));
    for (const [n, { group, i }] of missing.entries()) group.columns[i] = columns[n];
  }

  /** The records of a group that is read. */
  batchOf(group: OldGroup): RecordBatch {
    return (group.batch ??= this.#decode(group));
  }

  /** Reads nothing but the ids of groups. */
  async ids(groups: readonly OldGroup[]): Promise<SortedIds[]> {
    const columns = await this.#read(groups.map(({ group }) => group.columns[0] ?? []));
    return groups.map(({ group }, i) => this.#decodeIds(columns[i], group.count));
  }

  /** The ids of a group whose ids are read. */
  idsOf({ group, columns, batch }: OldGroup): SortedIds {
    return batch?.ids ?? this.#decodeIds(columns[0], group.count);
  }

  /** The bytes of several columns, read together. */
  async #read(columns: readonly (readonly ChunkReference[])[]): Promise<Uint8Array[]> {
    const chunks = await this.#store.getMany(columns.flat().map(({ address }) => address));
    let next = 0;
    return columns.map((references) => {
      const parts = references.map(({ length }) => {
        const chunk = chunks[next++] as Uint8Array;
        if (chunk.length !== length) throw damaged('a chunk has another length than its row group says');
        return chunk;
      });
      return parts.length === 1 ? (parts[0] as Uint8Array) : concatBytes(parts);
    });
  }

  #decode({ group: { count }, columns }: OldGroup): RecordBatch {
    const { vectors, payload } = this.#schema;
    return {
      count,
      ids: this.#decodeIds(columns[0], count),
      vectors: columns.slice(1, 1 + vectors.length) as Uint8Array[],
      payloads: payload === 'none' ? undefined : decodePayloadColumn(columns.at(-1) as Uint8Array, count),
    };
  }

  #decodeIds(bytes: Uint8Array | undefined, count: number): SortedIds {
    return decodeIdColumn(this.#schema.id as 'string' | 'u64', bytes ?? new Uint8Array(0), count);
  }
}

/** Every record of a group or a batch. */
export function rowsOf(from: Row['from'], ids: SortedIds): Row[] {
  return Array.from(ids as Iterable<RecordId>, (id, row) => ({ id, from, row }));
}

/** The ids as a column of the schema. */
export function toColumn(schema: Schema, ids: readonly RecordId[]): SortedIds {
  return schema.id === 'u64' ? BigUint64Array.from(ids as readonly bigint[]) : (ids as readonly string[]);
}

/**
 * The records that the source has of these ids.
 * @throws VecsnapError SOURCE_INVALID, SOURCE_UNORDERED, SOURCE_DUPLICATE_ID when it gives others, or not as its schema says.
 */
export async function findRows(
  lookUp: RecordLookup,
  schema: Schema,
  ids: readonly RecordId[],
): Promise<Map<RecordId, Row>> {
  const found = new Map<RecordId, Row>();
  const order = new OrderCheck();
  let next = 0;
  for await (const batch of lookUp.get(toColumn(schema, ids))) {
    checkBatch(batch, schema);
    order.check(batch.ids);
    for (const row of rowsOf({ batch }, batch.ids as NonNullable<IdColumn>)) {
      while (next < ids.length && ids[next] !== row.id) next++; // Both ascend.
      if (next === ids.length) throw notAsked(row.id);
      found.set(row.id, row);
    }
  }
  return found;
}

function notAsked(id: RecordId): VecsnapError {
  return new VecsnapError(
    'SOURCE_INVALID',
    `The source gave the record ${quoteId(id)} when it was asked for others.`,
    {
      place: `id ${quoteId(id)}`,
      remedy: 'Report this to the author of the source.',
    },
  );
}
