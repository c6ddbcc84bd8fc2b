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
import { checkBatch, decodeIdColumn } from '../chunker/index.js';
import type { ChunkStore } from '../cas/index.js';
import { columnCount, type Entry, entryToRowGroup, type RowGroupEntry } from '../manifest/index.js';
import type { RecordLookup, SortedIds } from '../source/port.js';
import { readRowGroups } from './content.js';

/** A row group of the snapshot before. */
export interface OldGroup {
  readonly entry: Entry;
  readonly group: RowGroupEntry;
  /** Its records, once they are read. */
  batch: RecordBatch | undefined;
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
    return {
      key: place.key,
      group: { entry, group: entryToRowGroup(entry, columnCount(this.#schema)), batch: undefined },
      next: async () => or(await place.next()),
      previous: async () => or(await place.previous()),
    };
  }

  /** Reads the records of those groups that are not read yet. */
  async load(groups: readonly OldGroup[]): Promise<void> {
    const missing = [...new Set(groups)].filter(({ batch }) => batch === undefined);
    const batches = await readRowGroups(
      this.#store,
      this.#schema,
      missing.map(({ group }) => group),
    );
    for (const [i, batch] of batches.entries()) (missing[i] as OldGroup).batch = batch;
  }

  /** Reads nothing but the ids of groups. */
  async ids(groups: readonly OldGroup[]): Promise<SortedIds[]> {
    const parts = groups.map(({ group }) => group.columns[0] ?? []);
    const chunks = await this.#store.getMany(parts.flat().map(({ address }) => address));
    let next = 0;
    return groups.map(({ group }, i) => {
      const bytes = concatBytes((parts[i] ?? []).map(() => chunks[next++] as Uint8Array));
      return decodeIdColumn(this.#schema.id as 'string' | 'u64', bytes, group.count);
    });
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
  const asked = new Set(ids);
  const found = new Map<RecordId, Row>();
  const order = new OrderCheck();
  for await (const batch of lookUp.get(toColumn(schema, ids))) {
    checkBatch(batch, schema);
    order.check(batch.ids);
    for (const row of rowsOf({ batch }, batch.ids as NonNullable<IdColumn>)) {
      if (!asked.has(row.id)) throw notAsked(row.id);
      found.set(row.id, row);
    }
  }
  return found;
}

function notAsked(id: RecordId): VecsnapError {
  return new VecsnapError('SOURCE_INVALID', `The source gave the record ${quoteId(id)} when it was asked for others.`, {
    place: `id ${quoteId(id)}`,
    remedy: 'Report this to the author of the source.',
  });
}
