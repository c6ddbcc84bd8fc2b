/** Sources whose content the test itself holds. */
import type { FormatNote, OpenSource, Source, FileEntry } from 'vecsnap/source';
import type { IdColumn, RecordBatch, Schema } from 'vecsnap/core';

/** Records as a test writes them down: whole columns. */
export interface Records {
  readonly schema: Schema;
  readonly count: number;
  readonly ids?: IdColumn;
  readonly vectors: readonly Uint8Array[];
  readonly payloads?: readonly Uint8Array[];
}

/** A source of records, given in batches of `perBatch`. */
export function recordSource(
  collection: string,
  { schema, count, ids, vectors, payloads }: Records,
  { perBatch = 100, format = { name: 'test' } }: { perBatch?: number; format?: FormatNote } = {},
): Source {
  const widths = vectors.map((column) => column.length / Math.max(1, count));
  async function* records(): AsyncGenerator<RecordBatch> {
    for (let from = 0; from < count; from += perBatch) {
      const to = Math.min(count, from + perBatch);
      yield {
        count: to - from,
        ids: ids?.slice(from, to),
        vectors: vectors.map((column, i) =>
          column.subarray(from * (widths[i] as number), to * (widths[i] as number)),
        ),
        payloads: payloads?.slice(from, to),
      };
    }
  }
  return sourceOf(collection, { format, schema, records, files: undefined });
}

/** A source of files. */
export function fileTreeSource(
  collection: string,
  format: FormatNote,
  entries: readonly FileEntry[],
): Source {
  async function* files(): AsyncGenerator<FileEntry> {
    yield* entries;
  }
  return sourceOf(collection, { format, schema: undefined, records: undefined, files });
}

/** A regular file that gives its bytes in one piece. */
export function regularFile(path: string, mode: number, bytes: Uint8Array): FileEntry {
  return {
    type: 'file',
    path,
    mode,
    size: bytes.length,
    async *read() {
      if (bytes.length > 0) yield bytes.slice();
    },
  };
}

function sourceOf(
  collection: string,
  content: Pick<OpenSource, 'format' | 'schema' | 'records' | 'files'>,
): Source {
  return {
    place: `memory:${collection}`,
    collection,
    open: async () => ({
      ...content,
      expected: {},
      notes: [],
      confirmUnchanged: async () => {},
      close: async () => {},
    }),
  };
}
