/**
 * The source that reads a database file of `@ruvector/core`: ids, vectors, metadata and configuration.
 *
 * ruvector has no call that lists ids, and its search leaves some out, so its file is read (redb.ts). No lock is taken and
 * nothing is written. The file may be open in this or another process meanwhile; what is read is the last commit. Writes
 * that are still awaited are not in it: await them before the snapshot.
 */
import {
  compareBytes,
  fromUtf8,
  quoteId,
  type RecordBatch,
  type Schema,
  utf8,
  VecsnapError,
  viewOf,
} from '../core/index.js';
import { canonicalJson } from './canonical-json.js';
import { collectionName } from './collection-name.js';
import type { OpenSource, Source } from './port.js';
import { RedbFile } from './redb.js';
import type { RedbLeaf, RedbTable } from './redb-pages.js';
import {
  CONFIG_KEY,
  CONFIG_TABLE,
  METADATA_TABLE,
  parseStoredConfig,
  ruvectorNote,
  type StoredConfig,
  VECTORS_TABLE,
} from './ruvector-config.js';
import { SlabRing } from './read-memory.js';

/** Bytes of vectors in a batch, as far as whole vectors fill them; and of metadata, when those are more. */
const BATCH_VECTOR_BYTES = 2 << 20;
const BATCH_PAYLOAD_BYTES = 4 << 20;

const MAX_DIMENSION = 2 ** 20;

/** Commits that ruvector makes when it opens a database. Each call that writes makes one at most. */
const COMMITS_PER_OPENING = 4;

/**
 * A source that reads the ruvector database at `path`.
 *
 * Records are ordered by the UTF-8 bytes of their ids; metadata is canonical JSON, and a record without metadata has an
 * empty payload. A database that the same program has open can be read too, once its writes have been awaited.
 */
export function ruvectorSource(path: string): Source {
  return {
    place: `ruvector:${path}`,
    collection: collectionName(path, ['.db', '.ruvector', '.redb'], 'ruvector'),
    open: () => openRuvector(path),
  };
}

async function openRuvector(path: string): Promise<OpenSource> {
  const file = await RedbFile.open(path);
  try {
    return opened(file, await RuvectorFile.read(file));
  } catch (error) {
    await file.close();
    throw error;
  }
}

function opened(file: RedbFile, database: RuvectorFile): OpenSource {
  const { config, schema, vectors } = database;
  return {
    format: ruvectorNote(config),
    schema,
    records: () => database.records(),
    files: undefined,
    expected: { records: vectors.entries, bytes: vectors.entries * config.dimensions * 4 },
    notes: database.notes,
    lookUp: {
      get: (ids) => database.get(ids as readonly string[]),
      count: vectors.entries,
      writes: { commits: Number(file.transaction), perOpening: COMMITS_PER_OPENING, identity: file.identity },
    },
    state: () => `ruvector:${file.state}`,
    confirmUnchanged: () => file.confirmUnchanged(),
    close: () => file.close(),
  };
}

/** A redb file that has the tables of a ruvector database. */
export class RuvectorFile {
  readonly config: StoredConfig;
  readonly schema: Schema;
  readonly vectors: RedbTable;
  readonly notes: readonly string[];
  readonly #metadata: RedbTable;
  readonly #file: RedbFile;

  private constructor(file: RedbFile, config: StoredConfig) {
    this.#file = file;
    this.config = config;
    this.vectors = tableOf(file, VECTORS_TABLE);
    this.#metadata = tableOf(file, METADATA_TABLE);
    this.notes = notesOn(file);
    const { dimensions: dimension, distanceMetric: metric } = config;
    this.schema = {
      id: 'string',
      vectors: [{ name: 'vector', dtype: 'f32', dimension, metric }],
      payload: 'json',
    };
  }

  /** @throws VecsnapError SOURCE_INVALID when the file holds no ruvector database. */
  static async read(file: RedbFile): Promise<RuvectorFile> {
    const stored = await readConfigText(file);
    const config = parseStoredConfig(stored);
    if (config !== undefined && config.dimensions >= 1 && config.dimensions <= MAX_DIMENSION) {
      return new RuvectorFile(file, config);
    }
    throw new VecsnapError(
      'SOURCE_INVALID',
      `The configuration of the database cannot be used: ${stored.slice(0, 200)}`,
      {
        place: `${file.path}, table ${CONFIG_TABLE}`,
        remedy: `It needs a distance metric and 1 to ${MAX_DIMENSION} dimensions. The file can be taken as file:${file.path}.`,
      },
    );
  }

  /** @throws VecsnapError SOURCE_DIMENSION, SOURCE_INVALID, and what {@link RedbFile.leaves} throws. */
  async *records(): AsyncGenerator<RecordBatch> {
    const rowBytes = this.config.dimensions * 4;
    const rows = Math.min(this.vectors.entries, Math.max(1, Math.floor(BATCH_VECTOR_BYTES / rowBytes)));
    const ring = new SlabRing(rows * rowBytes);
    const metadata = new MetadataCursor(this.#file, this.#metadata);
    try {
      let batch = new BatchBuilder(ring, rowBytes, this.#file.path);
      for await (const leaf of this.#file.leaves(this.vectors)) {
        for (let i = 0; i < leaf.count; i++) {
          const key = leaf.key(i);
          if (metadata.atEndOfPage) await metadata.turnPage();
          batch.add(textOf(this.#file.path, key), leaf.value(i), metadata.take(key));
          if (!batch.isFull) continue;
          yield batch.build();
          batch = new BatchBuilder(ring, rowBytes, this.#file.path);
        }
      }
      if (batch.count > 0) yield batch.build();
      await metadata.expectEnd();
    } finally {
      await metadata.close();
    }
  }

  /**
   * The records of those ids that there are. The ids ascend, and so do the records.
   * @throws VecsnapError as {@link records}.
   */
  async *get(ids: readonly string[]): AsyncGenerator<RecordBatch> {
    const rowBytes = this.config.dimensions * 4;
    const rows = Math.max(1, Math.min(ids.length, Math.floor(BATCH_VECTOR_BYTES / rowBytes)));
    for (let start = 0; start < ids.length; start += rows) {
      const asked = ids.slice(start, start + rows);
      const keys = asked.map(utf8);
      const metadata = new Map<number, Uint8Array>();
      for await (const some of this.#file.find(this.#metadata, keys))
        for (const { index, value } of some) metadata.set(index, value);
      const batch = new BatchBuilder(new SlabRing(keys.length * rowBytes), rowBytes, this.#file.path);
      for await (const some of this.#file.find(this.vectors, keys))
        for (const { index, value } of some) batch.add(asked[index] as string, value, metadata.get(index));
      if (batch.count > 0) yield batch.build();
    }
  }
}

async function readConfigText(file: RedbFile): Promise<string> {
  for await (const leaf of file.leaves(tableOf(file, CONFIG_TABLE))) {
    for (let i = 0; i < leaf.count; i++) {
      if (textOf(file.path, leaf.key(i)) === CONFIG_KEY) return textOf(file.path, leaf.value(i));
    }
  }
  throw notRuvector(file.path, 'it holds no configuration');
}

const TABLE_TYPES: Readonly<Record<string, string>> = {
  [VECTORS_TABLE]: '&str, &[u8]',
  [METADATA_TABLE]: '&str, &str',
  [CONFIG_TABLE]: '&str, &str',
};

function tableOf(file: RedbFile, name: string): RedbTable {
  const table = file.tables.get(name);
  if (table === undefined) throw notRuvector(file.path, `it has no table ${name}`);
  const types = `${table.keyType}, ${table.valueType}`;
  if (!table.plain || types !== TABLE_TYPES[name])
    throw notRuvector(file.path, `its table ${name} holds ${types}`);
  return table;
}

function notesOn(file: RedbFile): string[] {
  const others = [...file.tables.keys()].filter((name) => !Object.hasOwn(TABLE_TYPES, name));
  const notes = others.map((name) => `${file.path}: the table ${name} is not part of the snapshot.`);
  const settings = file.tables.get(CONFIG_TABLE)?.entries ?? 1;
  if (settings > 1)
    notes.push(`${file.path}: ${settings - 1} unknown settings are not part of the snapshot.`);
  return notes;
}

/** Goes through the metadata beside the vectors: both ascend by id. */
class MetadataCursor {
  readonly #path: string;
  readonly #leaves: AsyncGenerator<RedbLeaf>;
  #leaf: RedbLeaf | undefined;
  #index = 0;
  #ended = false;

  constructor(file: RedbFile, table: RedbTable) {
    this.#path = file.path;
    this.#leaves = file.leaves(table);
  }

  /** Whether {@link turnPage} is needed before the next {@link take}. */
  get atEndOfPage(): boolean {
    return !this.#ended && this.#index >= (this.#leaf?.count ?? 0);
  }

  async turnPage(): Promise<void> {
    const { done, value } = await this.#leaves.next();
    this.#index = 0;
    this.#leaf = done ? undefined : value;
    this.#ended = done === true;
  }

  /** The metadata of `id`, which comes after the id of the call before. */
  take(id: Uint8Array): Uint8Array | undefined {
    if (this.#leaf === undefined) return undefined;
    const order = compareBytes(this.#leaf.key(this.#index), id);
    if (order > 0) return undefined;
    if (order < 0) throw orphan(this.#path, this.#leaf.key(this.#index));
    return this.#leaf.value(this.#index++);
  }

  /** @throws VecsnapError SOURCE_INVALID when there is metadata that no vector has. */
  async expectEnd(): Promise<void> {
    if (this.atEndOfPage) await this.turnPage();
    if (this.#leaf !== undefined) throw orphan(this.#path, this.#leaf.key(this.#index));
  }

  async close(): Promise<void> {
    await this.#leaves.return(undefined);
  }
}

/** Gathers records until a batch is full. */
class BatchBuilder {
  readonly #path: string;
  readonly #rowBytes: number;
  readonly #slab: Uint8Array;
  readonly #release: () => void;
  readonly #ids: string[] = [];
  readonly #payloads: Uint8Array[] = [];
  #payloadBytes = 0;

  constructor(ring: SlabRing, rowBytes: number, path: string) {
    const { slab, release } = ring.take();
    this.#slab = slab;
    this.#release = release;
    this.#rowBytes = rowBytes;
    this.#path = path;
  }

  get count(): number {
    return this.#ids.length;
  }

  get isFull(): boolean {
    return (this.count + 1) * this.#rowBytes > this.#slab.length || this.#payloadBytes >= BATCH_PAYLOAD_BYTES;
  }

  add(id: string, value: Uint8Array, metadata: Uint8Array | undefined): void {
    this.#slab.set(this.#numbersOf(id, value), this.count * this.#rowBytes);
    const payload = metadata === undefined ? NO_PAYLOAD : this.#payloadOf(id, metadata);
    this.#ids.push(id);
    this.#payloads.push(payload);
    this.#payloadBytes += payload.length;
  }

  build(): RecordBatch {
    const vectors = [this.#slab.subarray(0, this.count * this.#rowBytes)];
    return { count: this.count, ids: this.#ids, vectors, payloads: this.#payloads, release: this.#release };
  }

  /** The bare numbers of a stored vector: bincode puts how many there are before them. */
  #numbersOf(id: string, value: Uint8Array): Uint8Array {
    const { length, start } = readLength(value);
    if (length * 4 !== value.length - start) {
      throw new VecsnapError(
        'SOURCE_INVALID',
        `The vector of ${quoteId(id)} is not stored as ruvector does.`,
        {
          place: `${this.#path}, id ${quoteId(id)}`,
          remedy: 'Write the record again with ruvector.',
        },
      );
    }
    if (value.length - start === this.#rowBytes) return value.subarray(start);
    throw new VecsnapError('SOURCE_DIMENSION', `The vector of ${quoteId(id)} has ${length} dimensions.`, {
      place: `${this.#path}, id ${quoteId(id)}`,
      remedy: `The database has ${this.#rowBytes / 4}. Delete the record, or write it with as many.`,
    });
  }

  #payloadOf(id: string, metadata: Uint8Array): Uint8Array {
    try {
      return utf8(canonicalJson(fromUtf8(metadata)));
    } catch (cause) {
      throw new VecsnapError('SOURCE_INVALID', `The metadata of ${quoteId(id)} is not JSON.`, {
        place: `${this.#path}, id ${quoteId(id)}`,
        remedy: 'Write the record again with ruvector.',
        cause,
      });
    }
  }
}

const NO_PAYLOAD = new Uint8Array(0);

/** A number as bincode writes it: up to 250 in one byte, else 251, 252 or 253 and two, four or eight bytes. */
function readLength(bytes: Uint8Array): { length: number; start: number } {
  const first = bytes[0] ?? 255;
  if (first < 251) return { length: first, start: 1 };
  const size = first === 251 ? 2 : first === 252 ? 4 : 8;
  if (bytes.length < 1 + size || first > 253) return { length: -1, start: 0 };
  const view = viewOf(bytes);
  if (size === 2) return { length: view.getUint16(1, true), start: 3 };
  if (size === 4) return { length: view.getUint32(1, true), start: 5 };
  return { length: Number(view.getBigUint64(1, true)), start: 9 };
}

function textOf(path: string, bytes: Uint8Array): string {
  try {
    return fromUtf8(bytes);
  } catch (cause) {
    throw new VecsnapError('SOURCE_INVALID', 'The database has a text that is not UTF-8.', {
      place: path,
      remedy: `Check the database with ruvector, or take it as file:${path}.`,
      cause,
    });
  }
}

function notRuvector(path: string, what: string): VecsnapError {
  return new VecsnapError(
    'SOURCE_INVALID',
    `The file is a redb database, but not one of ruvector: ${what}.`,
    {
      place: path,
      remedy: `Open it once with @ruvector/core if it is one, or take it as file:${path}.`,
    },
  );
}

function orphan(path: string, key: Uint8Array): VecsnapError {
  const id = quoteId(textOf(path, key));
  return new VecsnapError('SOURCE_INVALID', `There is metadata for ${id}, but no vector.`, {
    place: `${path}, id ${id}`,
    remedy: 'Delete this id with ruvector, which removes the metadata.',
  });
}
