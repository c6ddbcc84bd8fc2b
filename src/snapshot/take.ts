/** Takes the content of a source into the store and gives its manifest. */
import {
  type Address,
  equalBytes,
  mapAhead,
  OrderCheck,
  type RecordBatch,
  regroup,
  type Schema,
  type Sha256,
  checkSchema,
  throwIfAborted,
  totalLength,
} from '../core/index.js';
import { type RowGroup, RowGrouper } from '../chunker/row-groups.js';
import type { ChunkStore, ChunkWriter, WholeNote } from '../cas/index.js';
import { chunksOfRowGroup, columnCount, entryToRowGroup } from '../manifest/entries.js';
import type { Entry } from '../manifest/index.js';
import { encodeManifest, type Manifest, type TreeReference } from '../manifest/manifest.js';
import type { Content, FileEntry } from '../source/port.js';
import { alignmentWith } from './alignment.js';
import type { FileStates } from './file-states.js';
import { HintsRefused, type TakeHints } from './hints.js';
import { NonFiniteCounter } from './non-finite.js';
import { ProgressCounter, type WorkOptions } from './progress.js';
import type { RepositoryConfig } from './config.js';
import { groupBytes, RowGroupStore, sameColumns, sameLayout, type SimilarGroups } from './row-group-store.js';
import { newTree } from './stored-tree.js';

/** What was taken. */
export interface Taken {
  /** The address of the manifest. */
  readonly manifest: Address;
  readonly vectorCount: number;
  readonly fileCount: number;
  readonly logicalBytes: number;
  readonly nonFiniteCount: number;
}

/** Row groups are hashed and stored by about this many bytes at a time. */
const BATCH_BYTES = 1024 * 1024;
/** Batches that are being hashed, encoded and written at the same time. */
const BATCHES_AHEAD = 8;

/** Stores the chunks of `content` through `writer`; the caller commits or abandons it. */
export async function takeContent(content: Content, parts: TakeParts, options: WorkOptions): Promise<Taken> {
  return new Taking(parts, options, content).run(content);
}

/** The snapshot that a new one is told by. */
export interface BaseSnapshot {
  readonly taken: Taken;
  readonly manifest: Manifest;
  readonly chunks: ChunkStore;
  /** Whether something that it needs may be lost: then nothing of it is relied on without reading the source. */
  readonly mayLack: boolean;
  /** What is noted with it where all of it is known to be stored, without looking it up. */
  readonly wholeNote: WholeNote | undefined;
}

/** What taking works with. */
export interface TakeParts {
  readonly writer: ChunkWriter;
  readonly config: RepositoryConfig;
  readonly sha256: Sha256;
  /** The snapshot before, which new chunks are told by. */
  readonly base: BaseSnapshot | undefined;
  /** What has changed since then, where the source can tell. */
  readonly hints?: TakeHints | undefined;
  /** The version of a manifest with files, where that is an earlier one than {@link FILES_VERSION}. */
  readonly filesVersion?: number | undefined;
  /** Tells which files need not be read. */
  readonly fileStates?: FileStates | undefined;
}

class Taking {
  readonly #parts: TakeParts;
  readonly #signal: AbortSignal | undefined;
  readonly #progress: ProgressCounter;
  #nonFinite = 0;

  constructor(parts: TakeParts, { signal, onProgress }: WorkOptions, { expected }: Content) {
    this.#parts = parts;
    this.#signal = signal;
    this.#progress = new ProgressCounter('take', onProgress, expected);
  }

  async run({ format, schema, records, files }: Content): Promise<Taken> {
    if (schema !== undefined) checkSchema(schema);
    const recordTree = schema && records ? await this.#takeRecords(schema, records) : undefined;
    const fileTree = files ? await this.#takeFiles(files()) : undefined;
    const version = fileTree === undefined ? undefined : this.#parts.filesVersion;
    const bytes = encodeManifest({ version, format, schema, records: recordTree, files: fileTree });
    const { base, writer } = this.#parts;
    const similar = base && { unit: 1, addresses: [base.taken.manifest] };
    const [manifest] = await writer.put([{ bytes, width: 0, kind: 'node', similar }]);
    return {
      manifest: manifest as Address,
      vectorCount: recordTree?.count ?? 0,
      fileCount: fileTree?.count ?? 0,
      logicalBytes: (recordTree?.bytes ?? 0) + (fileTree?.bytes ?? 0),
      nonFiniteCount: this.#nonFinite,
    };
  }

  async #takeRecords(schema: Schema, records: NonNullable<Content['records']>): Promise<TreeReference> {
    const { hints } = this.#parts;
    return hints === undefined ? this.#scan(schema, records()) : this.#takeChanged(schema, hints);
  }

  /** @throws HintsRefused. */
  async #takeChanged(schema: Schema, hints: TakeHints): Promise<TreeReference> {
    const { base } = this.#parts;
    const before = base?.manifest;
    if (base === undefined || before?.schema === undefined || !before.records?.count)
      throw new HintsRefused('the snapshot before has no records');
    if (!sameColumns(before.schema, schema))
      throw new HintsRefused('the records have other columns than before');
    const old = { store: base.chunks, records: before.records, nonFiniteCount: base.taken.nonFiniteCount };
    const parts = { ...this.#parts, progress: this.#progress, signal: this.#signal };
    const { takeHinted } = await import('./hinted.js'); // Most sources do not tell what changed.
    const { tree, nonFiniteCount } = await takeHinted(schema, hints, old, parts);
    this.#nonFinite += nonFiniteCount;
    return tree;
  }

  /** Reads all records. */
  async #scan(schema: Schema, batches: AsyncIterable<RecordBatch>): Promise<TreeReference> {
    const { base, config } = this.#parts;
    const columns = columnCount(schema);
    const isAlike = base?.manifest.schema !== undefined && sameLayout(base.manifest.schema, schema);
    const before = isAlike ? base.manifest.records?.root : undefined;
    const dataOf = (entry: Entry) => chunksOfRowGroup(entry, columns).addresses;
    const alignment = alignmentWith(this.#parts, before, dataOf);
    const tree = newTree(this.#parts, alignment);
    const store = new RowGroupStore(schema, config);
    const similarTo = async (some: readonly RowGroup[]): Promise<SimilarGroups[]> => {
      const similar = (await alignment?.similarToEach(some.map(({ key }) => key))) ?? [];
      return similar.map((entries) => entries.map((entry) => entryToRowGroup(entry, columns)));
    };
    const groups = regroup(this.#groups(schema, batches), groupBytes, BATCH_BYTES);
    const stored = mapAhead(groups, BATCHES_AHEAD, (some) =>
      this.#storeGroups(store, schema, some, alignment && similarTo(some)),
    );
    for await (const entries of stored) await tree.append(entries);
    return tree.finish();
  }

  async *#groups(schema: Schema, batches: AsyncIterable<RecordBatch>): AsyncGenerator<RowGroup[]> {
    const grouper = new RowGrouper(schema, this.#parts.config.rowGroups);
    const order = new OrderCheck();
    for await (const batch of batches) {
      throwIfAborted(this.#signal);
      order.check(batch.ids);
      yield grouper.push(batch);
    }
    yield grouper.finish();
  }

  /** @param similar for each group what stands at its place in the base, if there is one. */
  async #storeGroups(
    store: RowGroupStore,
    schema: Schema,
    groups: readonly RowGroup[],
    similar: Promise<readonly SimilarGroups[]> | undefined,
  ): Promise<Entry[]> {
    similar?.catch(() => {}); // It is thrown below.
    const isBaseFinite = this.#isBaseFinite(schema);
    const counter = new NonFiniteCounter(schema, isBaseFinite);
    const onColumn = (...column: Parameters<typeof counter.note>): void => counter.note(...column);
    const entries = await store.put(this.#parts.writer, groups, { similar, onColumn });
    const known = await similar;
    for (let i = 0; i < groups.length; i++) {
      const group = groups[i] as RowGroup;
      this.#progress.add(group.count, totalLength(group.columns));
      // Most groups stand in the base, and in most bases all numbers are finite.
      const isKnown = isBaseFinite && isAmong(entries[i] as Entry, known?.[i] ?? []);
      if (!isKnown) this.#nonFinite += counter.countIn(i, group.columns);
      group.release();
    }
    return entries;
  }

  async #takeFiles(files: AsyncIterable<FileEntry>): Promise<TreeReference> {
    const { FileTaking } = await import('./take-files.js'); // Most sources have records alone.
    const parts = { ...this.#parts, progress: this.#progress, signal: this.#signal };
    return new FileTaking(parts).run(files);
  }

  /** Whether there is a snapshot before all of whose numbers are finite, and would be if they were taken for those of this schema. */
  #isBaseFinite({ vectors }: Schema): boolean {
    const { base } = this.#parts;
    const before = base?.manifest.schema?.vectors ?? [];
    return base?.taken.nonFiniteCount === 0 && vectors.every(({ dtype }, i) => dtype === before[i]?.dtype);
  }
}

/** Whether a row group has the chunks of one of these, and no others. */
function isAmong({ value }: Entry, groups: SimilarGroups): boolean {
  const columns = value as readonly (readonly (number | Uint8Array)[])[]; // As rowGroupToEntry makes it.
  return groups.some(({ columns: others }) =>
    columns.every((column, i) => {
      const chunks = others[i] ?? [];
      return (
        column.length === 2 * chunks.length &&
        chunks.every(({ address }, j) => equalBytes(address, column[2 * j + 1] as Uint8Array))
      );
    }),
  );
}
