/** What differs between two snapshots: records and files that were added, removed and changed. */
import {
  type Address,
  compareIds,
  encodeCanonical,
  equalBytes,
  NUMBER_READERS,
  type RecordBatch,
  type RecordId,
  type Schema,
  toHex,
  unlessDamaged,
  vectorBytes,
  viewOf,
} from '../core/index.js';
import type { ChunkStore } from '../cas/index.js';
import {
  columnCount,
  encodeManifest,
  type Entry,
  entryToFile,
  entryToRowGroup,
  entryToStreamChunk,
  type FileNodeEntry,
  type Manifest,
  onlyChunk,
  TreeReader,
  type TreeReference,
} from '../manifest/index.js';
import { contentOf, readRowGroups } from './content.js';
import { readManifest } from './read-manifest.js';
import type { Snapshot } from './snapshot.js';

/** A record that both snapshots have, with another vector or payload. */
export interface ChangedRecord {
  readonly id: RecordId;
  /** The Euclidean distance between its vectors, over all columns; 0 when only the payload differs. NaN when it has none. */
  readonly distance: number;
  readonly payloadChanged: boolean;
}

/** What differs between the records of two snapshots. */
export interface RecordDifference {
  /** Records that only the second has, and only the first. Without ids a changed record counts as removed and added. */
  readonly added: number;
  readonly removed: number;
  readonly changed: number;
  /** Of the changed records: those with another vector, and those with another payload. */
  readonly vectorsChanged: number;
  readonly payloadsChanged: number;
  /** Over records with another vector: the mean and the largest Euclidean distance. */
  readonly meanDistance: number;
  readonly maxDistance: number;
  /** The ids themselves, in order; empty for collections without ids. */
  readonly addedIds: readonly RecordId[];
  readonly removedIds: readonly RecordId[];
  readonly changedRecords: readonly ChangedRecord[];
  /** Whether the two have different schemas; every record then counts as removed and added. */
  readonly schemaChanged: boolean;
}

/** What differs between the files of two snapshots. */
export interface FileDifference {
  readonly added: readonly string[];
  readonly removed: readonly string[];
  readonly changed: readonly string[];
}

/** See the head of this file. */
export interface SnapshotDifference {
  readonly a: string;
  readonly b: string;
  readonly identical: boolean;
  /** Whether the formats differ, or what belongs to them, for example the permissions of the directory that holds the files. */
  readonly formatChanged: boolean;
  readonly records: RecordDifference;
  readonly files: FileDifference;
}

/** Compares two snapshots. What both have in common is not read. */
export async function diffSnapshots(
  store: ChunkStore,
  a: Snapshot,
  b: Snapshot,
): Promise<SnapshotDifference> {
  const left = await readManifest(store, a);
  const right = await readManifest(store, b);
  const formatChanged = !equalBytes(encodeCanonical(left.format), encodeCanonical(right.format));
  const [records, files] = [await diffRecords(store, left, right), await diffFiles(store, left, right)];
  // Manifests of two versions may say the same in other bytes.
  const isSame = left.version !== right.version && isEmpty(files) && areSameButForFiles(left, right);
  return { a: a.id, b: b.id, identical: isSame || a.checksum === b.checksum, formatChanged, records, files };
}

function areSameButForFiles(left: Manifest, right: Manifest): boolean {
  const withoutFiles = (manifest: Manifest) =>
    encodeManifest({ ...manifest, version: undefined, files: undefined });
  return equalBytes(withoutFiles(left), withoutFiles(right));
}

function isEmpty({ added, removed, changed }: FileDifference): boolean {
  return added.length + removed.length + changed.length === 0;
}

async function diffRecords(store: ChunkStore, left: Manifest, right: Manifest): Promise<RecordDifference> {
  const tally = new Tally();
  if (left.schema && right.schema && sameLayout(left.schema, right.schema)) {
    const { removed, added } = await new TreeReader(store).diff(
      (left.records as TreeReference).root,
      (right.records as TreeReference).root,
    );
    const before = rowsOf(store, left.schema, removed);
    const after = rowsOf(store, right.schema, added);
    if (left.schema.id === 'none') await tally.compareUnordered(before, after);
    else await tally.compareOrdered(before, after, right.schema);
    return tally.result(false);
  }
  for await (const row of allRows(store, left)) tally.removed(row.id);
  for await (const row of allRows(store, right)) tally.added(row.id);
  return tally.result(left.schema !== undefined && right.schema !== undefined);
}

/** One record, its vectors as one view for each column. */
interface Row {
  readonly id: RecordId | undefined;
  readonly vectors: readonly Uint8Array[];
  readonly payload: Uint8Array | undefined;
}

async function* rowsOf(store: ChunkStore, schema: Schema, entries: readonly Entry[]): AsyncGenerator<Row> {
  const columns = columnCount(schema);
  for (const entry of entries) {
    const [batch] = await readRowGroups(store, schema, [entryToRowGroup(entry, columns)]);
    yield* rowsIn(schema, batch as RecordBatch);
  }
}

async function* allRows(store: ChunkStore, manifest: Manifest): AsyncGenerator<Row> {
  const { schema, records } = contentOf(store, manifest);
  if (schema === undefined || records === undefined) return;
  for await (const batch of records()) yield* rowsIn(schema, batch);
}

function* rowsIn(schema: Schema, { count, ids, vectors, payloads }: RecordBatch): Generator<Row> {
  const widths = schema.vectors.map(vectorBytes);
  for (let i = 0; i < count; i++) {
    yield {
      id: ids?.[i],
      vectors: vectors.map((column, c) =>
        column.subarray(i * (widths[c] as number), (i + 1) * (widths[c] as number)),
      ),
      payload: payloads?.[i],
    };
  }
}

class Tally {
  #added = 0;
  #removed = 0;
  readonly #addedIds: RecordId[] = [];
  readonly #removedIds: RecordId[] = [];
  readonly #changed: ChangedRecord[] = [];
  #vectorsChanged = 0;
  #distanceSum = 0;
  #maxDistance = 0;

  added(id: RecordId | undefined): void {
    this.#added++;
    if (id !== undefined) this.#addedIds.push(id);
  }

  removed(id: RecordId | undefined): void {
    this.#removed++;
    if (id !== undefined) this.#removedIds.push(id);
  }

  /** Merges two ascending sequences of records. */
  async compareOrdered(before: AsyncIterator<Row>, after: AsyncIterator<Row>, schema: Schema): Promise<void> {
    let left = await before.next();
    let right = await after.next();
    while (!left.done || !right.done) {
      const order = left.done
        ? 1
        : right.done
          ? -1
          : compareIds(left.value.id as RecordId, right.value.id as RecordId);
      if (order === 0) this.#compare(left.value as Row, right.value as Row, schema);
      else if (order < 0) this.removed((left.value as Row).id);
      else this.added((right.value as Row).id);
      if (order <= 0) left = await before.next();
      if (order >= 0) right = await after.next();
    }
  }

  /** Compares records without ids by their bytes, however often each comes. */
  async compareUnordered(before: AsyncIterable<Row>, after: AsyncIterable<Row>): Promise<void> {
    const counts = new Map<string, number>();
    for await (const row of before) counts.set(bytesKey(row), (counts.get(bytesKey(row)) ?? 0) + 1);
    for await (const row of after) {
      const left = counts.get(bytesKey(row)) ?? 0;
      if (left > 0) counts.set(bytesKey(row), left - 1);
      else this.added(undefined);
    }
    for (const left of counts.values()) this.#removed += left;
  }

  result(schemaChanged: boolean): RecordDifference {
    return {
      added: this.#added,
      removed: this.#removed,
      changed: this.#changed.length,
      vectorsChanged: this.#vectorsChanged,
      payloadsChanged: this.#changed.filter(({ payloadChanged }) => payloadChanged).length,
      meanDistance: this.#vectorsChanged === 0 ? 0 : this.#distanceSum / this.#vectorsChanged,
      maxDistance: this.#maxDistance,
      addedIds: this.#addedIds,
      removedIds: this.#removedIds,
      changedRecords: this.#changed,
      schemaChanged,
    };
  }

  #compare(before: Row, after: Row, schema: Schema): void {
    const vectorChanged = before.vectors.some(
      (vector, i) => !equalBytes(vector, after.vectors[i] as Uint8Array),
    );
    const payloadChanged =
      before.payload !== undefined &&
      after.payload !== undefined &&
      !equalBytes(before.payload, after.payload);
    if (!vectorChanged && !payloadChanged) return;
    const distance = vectorChanged ? distanceBetween(before, after, schema) : 0;
    this.#changed.push({ id: after.id as RecordId, distance, payloadChanged });
    if (!vectorChanged) return;
    this.#vectorsChanged++;
    this.#distanceSum += distance;
    this.#maxDistance = Math.max(this.#maxDistance, distance);
  }
}

function distanceBetween(before: Row, after: Row, { vectors }: Schema): number {
  let sum = 0;
  for (const [i, { dtype, dimension }] of vectors.entries()) {
    const read = NUMBER_READERS[dtype];
    const x = viewOf(before.vectors[i] as Uint8Array);
    const y = viewOf(after.vectors[i] as Uint8Array);
    for (let k = 0; k < dimension; k++) sum += (read(x, k) - read(y, k)) ** 2;
  }
  return Math.sqrt(sum);
}

function bytesKey({ vectors, payload }: Row): string {
  return [...vectors, payload ?? new Uint8Array(0)].map(toHex).join('/');
}

function sameLayout(a: Schema, b: Schema): boolean {
  const layout = ({ id, vectors, payload }: Schema) =>
    JSON.stringify([id, payload, vectors.map(({ name, dtype, dimension }) => [name, dtype, dimension])]);
  return layout(a) === layout(b);
}

async function diffFiles(
  store: ChunkStore,
  { files: left, ...a }: Manifest,
  { files: right, ...b }: Manifest,
): Promise<FileDifference> {
  const trees = new TreeReader(store);
  const none = { removed: [] as readonly Entry[], added: [] as readonly Entry[] };
  const difference = left && right ? await trees.diff(left.root, right.root) : none;
  const removed = left && !right ? await collect(trees.entries(left.root)) : difference.removed;
  const added = right && !left ? await collect(trees.entries(right.root)) : difference.added;
  const before = new Map(removed.map(entryToFile).map((file) => [file.path, file]));
  const after = new Map(added.map(entryToFile).map((file) => [file.path, file]));
  // Manifests of two versions may refer to the same content in two ways.
  const isSame = async (path: string): Promise<boolean> =>
    a.version !== b.version && (await areSame(trees, before.get(path), after.get(path)));
  const inBoth = paths(after.values()).filter((path) => before.has(path));
  const changed: string[] = [];
  for (const path of inBoth) if (!(await isSame(path))) changed.push(path);
  return {
    added: paths(after.values()).filter((path) => !before.has(path)),
    removed: paths(before.values()).filter((path) => !after.has(path)),
    changed,
  };
}

/**
 * Whether two entries are known to stand for the same file, also where one of them refers to its only chunk and the other to a tree of it. What
 * cannot be read may be anything.
 */
async function areSame(trees: TreeReader, a?: FileNodeEntry, b?: FileNodeEntry): Promise<boolean> {
  if (a?.type !== 'file' || b?.type !== 'file' || a.mode !== b.mode || a.size !== b.size) return false;
  const [first, second] = [await chunkOf(trees, a), await chunkOf(trees, b)];
  return first !== undefined && second !== undefined && equalBytes(first, second);
}

/** The chunk of a file that has no other, also where a tree tells of it. */
async function chunkOf(
  trees: TreeReader,
  { content, size }: FileNodeEntry & { readonly type: 'file' },
): Promise<Address | undefined> {
  if (content === null) return undefined;
  const only = onlyChunk(content, size);
  if (only !== undefined) return only.address;
  return unlessDamaged(async () => {
    const { level, entries } = await trees.node(content.address);
    const [entry] = entries;
    return level === 0 && entries.length === 1 ? entryToStreamChunk(entry as Entry).address : undefined;
  });
}

async function collect(entries: AsyncIterable<Entry>): Promise<Entry[]> {
  const all: Entry[] = [];
  for await (const entry of entries) all.push(entry);
  return all;
}

function paths(files: Iterable<FileNodeEntry>): string[] {
  return [...files].map(({ path }) => path);
}
