/** A source that tells what changed: a memory source with hints that a test makes up. */
import { compareIds, type RecordId, type Schema } from 'vecsnap/core';
import type { RecordLookup, SortedIds, Source } from 'vecsnap/source';
import { memorySource, type TestContent } from './memory-environment.js';
import { type TestRecord, toBatch } from './records.js';

/** What the source tells. */
export interface TestHints {
  /** By the snapshot since which they changed. */
  readonly since: (snapshot: string) => readonly RecordId[] | string;
  readonly count?: number;
  /** Called with every id that is looked up. */
  readonly onLookUp?: (id: RecordId) => void;
  readonly follow?: (snapshot: string) => Promise<void>;
}

/** How often a source was read whole. */
export interface Scans {
  scans: number;
}

export function hintedSource(content: TestContent, hints: TestHints, seen: Scans = { scans: 0 }): Source {
  const { schema, records = [] } = content;
  const source = memorySource({ ...content, onBatch: (batch) => void (batch === 0 && seen.scans++) });
  return {
    ...source,
    open: async () => ({
      ...(await source.open()),
      lookUp: recordLookup(schema as Schema, records, hints),
      changes: {
        since: async (snapshot) => {
          const told = hints.since(snapshot);
          return typeof told === 'string' ? { unknown: told } : { ids: sortedIds(schema as Schema, told) };
        },
        follow: hints.follow ?? (async () => {}),
      },
    }),
  };
}

export function recordLookup(
  schema: Schema,
  records: readonly TestRecord[],
  { count, onLookUp }: Pick<TestHints, 'count' | 'onLookUp'> = {},
): RecordLookup {
  const byId = new Map(records.map((record) => [record.id, record]));
  return {
    count,
    async *get(ids) {
      const found = [...ids].flatMap((id: RecordId) => {
        onLookUp?.(id);
        const record = byId.get(id);
        return record === undefined ? [] : [record];
      });
      for (let start = 0; start < found.length; start += 5)
        yield toBatch(schema, found.slice(start, start + 5));
    },
  };
}

export function sortedIds(schema: Schema, ids: readonly RecordId[]): SortedIds {
  const sorted = [...new Set(ids)].toSorted(compareIds);
  return schema.id === 'u64' ? BigUint64Array.from(sorted as bigint[]) : (sorted as string[]);
}
