/** The content of a snapshot that lacks chunks, as far as it is whole, and what is missing of it. */
import {
  type Address,
  concatBytes,
  type IdColumn,
  mapAhead,
  type RecordBatch,
  type Schema,
  throwIfAborted,
  unlessDamaged,
} from '../core/index.js';
import { decodeIdColumn } from '../chunker/index.js';
import type { ChunkStore } from '../cas/index.js';
import {
  checkChild,
  type ChunkReference,
  childAddress,
  columnCount,
  type Entry,
  entryToFile,
  entryToRowGroup,
  entryToStreamChunk,
  type FileContent,
  type FileNodeEntry,
  type Key,
  type Manifest,
  type Node,
  onlyChunk,
  type RowGroupEntry,
  TreeReader,
  type TreeReference,
} from '../manifest/index.js';
import type { Content, FileEntry } from '../source/port.js';
import { readRowGroups } from './content.js';
import { ProgressCounter, type WorkOptions } from './progress.js';

/** Records that are lost: some that follow each other. */
export interface LostRecords {
  readonly count: number;
  /** Their ids, where those can still be read. */
  readonly ids?: NonNullable<IdColumn> | undefined;
  /** Otherwise they come after this id, where there is one and records have ids; … */
  readonly after?: string | bigint | undefined;
  /** … and end with this one. */
  readonly to?: string | bigint | undefined;
  /** Their rows, for records without ids: the first, counted from 0 in the whole snapshot. */
  readonly firstRow?: number | undefined;
}

/** Files that are lost: one by its path, or as many as stood between two paths. */
export interface LostFiles {
  readonly count: number;
  readonly path?: string | undefined;
  readonly after?: string | undefined;
  readonly to?: string | undefined;
}

/** What a restore could not give. */
export interface Losses {
  readonly records: LostRecords[];
  readonly files: LostFiles[];
}

/** Row groups that are read at the same time. */
const GROUPS_AHEAD = 8;
/** Chunks of a file that are read together. */
const CHUNKS_TOGETHER = 16;

/**
 * The content that can still be read; what cannot is added to `losses` while it is read. A row group is given when all of its columns
 * are whole, and a file when all of its bytes are, which are therefore read twice.
 */
export function salvagedContent(
  store: ChunkStore,
  manifest: Manifest,
  losses: Losses,
  options: WorkOptions,
): Content {
  const { format, schema, records, files } = manifest;
  const salvage = new Salvage(store, losses, options);
  return {
    format,
    schema,
    records: schema && records && (() => salvage.records(schema, records)),
    files: files && (() => salvage.files(files)),
    expected: {},
  };
}

/** An entry of level 0, or of a node that cannot be read. */
interface Placed {
  readonly entry: Entry;
  readonly after: Key;
  /** Items that come before it. */
  readonly before: number;
  readonly isLost: boolean;
}

class Salvage {
  readonly #store: ChunkStore;
  readonly #trees: TreeReader;
  readonly #losses: Losses;
  readonly #signal: AbortSignal | undefined;
  readonly #progress: ProgressCounter;

  constructor(store: ChunkStore, losses: Losses, { signal, onProgress }: WorkOptions) {
    this.#store = store;
    this.#trees = new TreeReader(store);
    this.#losses = losses;
    this.#signal = signal;
    this.#progress = new ProgressCounter('restore', onProgress);
  }

  async *records(schema: Schema, tree: TreeReference): AsyncGenerator<RecordBatch> {
    this.#losses.records.length = 0; // Whoever reads a second time finds the same again.
    const read = mapAhead(this.#entries(tree), GROUPS_AHEAD, (placed) => this.#readGroup(schema, placed));
    for await (const { batch, lost } of read) {
      throwIfAborted(this.#signal);
      if (lost !== undefined) this.#losses.records.push(lost);
      if (batch === undefined) continue;
      yield batch;
      this.#progress.add(batch.count, 0);
    }
  }

  async *files(tree: TreeReference): AsyncGenerator<FileEntry> {
    this.#losses.files.length = 0;
    for await (const placed of this.#entries(tree)) {
      throwIfAborted(this.#signal);
      const file = placed.isLost ? undefined : await unlessDamaged(async () => entryToFile(placed.entry));
      if (file === undefined) this.#losses.files.push(lostFiles(placed));
      else if (await this.#isWhole(file)) yield this.#toFile(file);
      else this.#losses.files.push({ count: 1, path: file.path });
    }
  }

  async #readGroup(
    schema: Schema,
    placed: Placed,
  ): Promise<{ batch?: RecordBatch | undefined; lost?: LostRecords | undefined }> {
    if (placed.isLost) return { lost: lostRecords(schema, placed) };
    const group = await unlessDamaged(async () => entryToRowGroup(placed.entry, columnCount(schema)));
    const batches = group && (await unlessDamaged(() => readRowGroups(this.#store, schema, [group])));
    if (batches !== undefined) return { batch: batches[0] };
    const ids = group && (await this.#idsOf(schema, group));
    return { lost: ids === undefined ? lostRecords(schema, placed) : { count: placed.entry.count, ids } };
  }

  async #idsOf(
    schema: Schema,
    { count, columns }: RowGroupEntry,
  ): Promise<NonNullable<IdColumn> | undefined> {
    if (schema.id === 'none') return undefined;
    const kind = schema.id;
    return unlessDamaged(async () => {
      const chunks = await this.#store.getMany((columns[0] ?? []).map(({ address }) => address));
      return decodeIdColumn(kind, concatBytes(chunks), count);
    });
  }

  async #isWhole(file: FileNodeEntry): Promise<boolean> {
    if (file.type !== 'file' || file.content === null) return true;
    for await (const chunk of this.#chunksOf(file.content, file.size)) {
      const bytes = chunk && (await unlessDamaged(() => this.#store.get(chunk.address)));
      if (bytes === undefined || bytes.length !== chunk?.length) return false;
    }
    return true;
  }

  #toFile(file: FileNodeEntry): FileEntry {
    if (file.type !== 'file') return file;
    const { path, type, mode, size, content } = file;
    return { path, type, mode, size, read: () => this.#stream(content, size) };
  }

  /** The chunks of a file that is whole. */
  async *#stream(content: FileContent | null, size: number): AsyncGenerator<Uint8Array> {
    if (content === null) return;
    const chunks = this.#chunksOf(content, size);
    yield* mapAhead(chunks, CHUNKS_TOGETHER, (chunk) => this.#store.get((chunk as ChunkReference).address));
  }

  /** The chunks of a file, and undefined for a node that cannot be read. */
  async *#chunksOf(content: FileContent, size: number): AsyncGenerator<ChunkReference | undefined> {
    const only = onlyChunk(content, size);
    if (only !== undefined) {
      yield only;
      return;
    }
    for await (const { isLost, entry } of this.#entriesBelow(content.address))
      yield isLost ? undefined : await unlessDamaged(async () => entryToStreamChunk(entry));
  }

  /** Entries of level 0 in order, and those of nodes that cannot be read in place of what stands below. */
  async *#entries({ root, count, bytes }: TreeReference): AsyncGenerator<Placed> {
    const whole: Entry = { key: null, count, bytes, value: root };
    const node = await unlessDamaged(() => this.#trees.node(root));
    if (node === undefined) yield { entry: whole, after: null, before: 0, isLost: true };
    else yield* this.#below(node, null, 0);
  }

  async *#entriesBelow(root: Address): AsyncGenerator<Placed> {
    yield* this.#entries({ root, count: 0, bytes: 0 });
  }

  async *#below(node: Node, after: Key, before: number): AsyncGenerator<Placed> {
    let [previous, position] = [after, before];
    for (const entry of node.entries) {
      const placed = { entry, after: previous, before: position };
      if (node.level === 0) yield { ...placed, isLost: false };
      else {
        const child = await unlessDamaged(() => this.#child(entry, node.level, placed.after));
        if (child === undefined) yield { ...placed, isLost: true };
        else yield* this.#below(child, previous, position);
      }
      [previous, position] = [entry.key, position + entry.count];
    }
  }

  async #child(entry: Entry, parentLevel: number, after: Key): Promise<Node> {
    const child = await this.#trees.node(childAddress(entry));
    checkChild(child, entry, parentLevel, after);
    return child;
  }
}

function lostRecords({ id }: Schema, { entry, after, before }: Placed): LostRecords {
  const { count, key } = entry;
  if (id === 'none') return { count, firstRow: before };
  return { count, after: idOf(id, after), to: idOf(id, key) };
}

function lostFiles({ entry, after }: Placed): LostFiles {
  return { count: entry.count, after: textOf(after), to: textOf(entry.key) };
}

/** The id that a key stands for: its UTF-8 bytes, or eight bytes with the highest first. */
function idOf(kind: 'string' | 'u64', key: Key): string | bigint | undefined {
  if (kind === 'string') return textOf(key);
  return key instanceof Uint8Array && key.length === 8
    ? new DataView(key.buffer, key.byteOffset, 8).getBigUint64(0)
    : undefined;
}

function textOf(key: Key): string | undefined {
  return key instanceof Uint8Array ? new TextDecoder().decode(key) : undefined;
}
