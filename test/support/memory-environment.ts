/** A repository that is all in memory, with a source and a target that are too. */
import { MemoryLevel } from 'memory-level';
import { type BlobStore, levelBlobStore, memoryBlobStore } from 'vecsnap/blob';
import {
  type ChunkCoder,
  type ChunkIndex,
  type IndexDatabase,
  inlineCoder,
  levelIndex,
  memoryIndex,
} from 'vecsnap/cas';
import type { Clock, RandomBytes, RecordBatch, Schema, Sha256 } from 'vecsnap/core';
import { portableDeflate, portableSha256 } from 'vecsnap/platform';
import type { Environment } from 'vecsnap/snapshot';
import type { Content, FileEntry, Source, Target } from 'vecsnap/source';
import { collect } from './collect.js';
import { fromBatch, inRunsOf, type TestRecord, toBatch } from './records.js';
import { seededRandom } from './stores.js';

/** What may be other than the default: everything portable, blobs and an index in memory, a clock that ticks when it is read. */
export interface MemoryEnvironmentOptions {
  readonly blobs?: BlobStore;
  readonly index?: () => Promise<ChunkIndex>;
  readonly sha256?: Sha256;
  readonly coder?: ChunkCoder;
  readonly clock?: Clock;
  readonly random?: RandomBytes;
}

/** See {@link MemoryEnvironmentOptions}. Its lock is as good as one process needs: whoever comes second is refused. */
export function memoryEnvironment(options: MemoryEnvironmentOptions = {}): Environment {
  const sha256 = options.sha256 ?? portableSha256;
  let isLocked = false;
  return {
    blobs: options.blobs ?? memoryBlobStore(),
    coder: options.coder ?? inlineCoder({ sha256, deflate: portableDeflate }),
    sha256,
    clock: options.clock ?? tickingClock(),
    random: options.random ?? seededRandom(42),
    openIndex: (prefer) =>
      prefer !== 'memory' && options.index ? options.index() : Promise.resolve(memoryIndex()),
    discardIndex: async () => (await options.index?.())?.clear(),
    async lock() {
      if (isLocked) throw new Error('a second writer came while a first was at work');
      isLocked = true;
      return { release: async () => void (isLocked = false) };
    },
    indexBytes: async () => 0,
    close: async () => {},
  };
}

/** An environment whose blobs and index stand in databases in memory. */
export function levelEnvironment(options: MemoryEnvironmentOptions = {}): Environment {
  return memoryEnvironment({
    blobs: levelBlobStore(new MemoryLevel(), { pieceBytes: 1000 }),
    index: persistentIndex().open,
    ...options,
  });
}

/** An index in memory that is the same each time it is opened, after whoever had it last has closed it, and its database. */
export function persistentIndex() {
  const db = new MemoryLevel<Uint8Array, Uint8Array>({
    keyEncoding: 'view',
    valueEncoding: 'view',
    storeEncoding: 'view',
  });
  const open = async (): Promise<ChunkIndex> => {
    await db.open();
    return levelIndex(db as unknown as IndexDatabase);
  };
  return { db, open };
}

/** A second passes whenever the time is asked for. */
export function tickingClock(): Clock {
  let now = Date.UTC(2024, 0, 1);
  return { now: () => (now += 1000) };
}

/** A file of a source in memory. */
export interface TestFile {
  readonly path: string;
  readonly mode: number;
  readonly bytes: Uint8Array;
}

/** What a source in memory holds. */
export interface TestContent {
  readonly schema?: Schema;
  readonly records?: readonly TestRecord[];
  readonly files?: readonly TestFile[];
  /** Records in each batch, and bytes in each piece of a file, again and again. */
  readonly sizes?: readonly number[];
  /** Called before each batch, to fail or to abort. */
  readonly onBatch?: (batch: number) => void;
}

/** A source of these records and files. Its batches are filled with other bytes as soon as they are released. */
export function memorySource(
  { schema, records, files, sizes = [7, 1, 30], onBatch }: TestContent,
  collection = 'test',
): Source {
  const batches = async function* (of: Schema): AsyncGenerator<RecordBatch> {
    for (const [i, run] of inRunsOf(records ?? [], sizes).entries()) {
      onBatch?.(i);
      const batch = toBatch(of, run, () => batch.vectors.forEach((column) => column.fill(0xee)));
      yield batch;
    }
  };
  const content: Content = {
    format: { name: 'test' },
    schema,
    records: schema && (() => batches(schema)),
    files: files && (() => fileEntries(files, sizes)),
    expected: {},
  };
  return {
    place: `memory:${collection}`,
    collection,
    open: async () => ({ ...content, notes: [], confirmUnchanged: async () => {}, close: async () => {} }),
  };
}

async function* fileEntries(files: readonly TestFile[], sizes: readonly number[]): AsyncGenerator<FileEntry> {
  for (const { path, mode, bytes } of files) {
    const read = async function* (): AsyncGenerator<Uint8Array> {
      for (let start = 0, i = 0; start < bytes.length; i++) {
        const size = Math.max(1, Math.round((sizes[i % sizes.length] ?? bytes.length) * 10));
        yield bytes.slice(start, start + size);
        start += size;
      }
    };
    yield { type: 'file', path, mode, size: bytes.length, read };
  }
}

/** A target that keeps what it is given. */
export class MemoryTarget implements Target {
  readonly place = 'memory:target';
  schema: Schema | undefined;
  records: TestRecord[] = [];
  files: TestFile[] = [];

  async prepare(): Promise<void> {}

  async write({ schema, records, files }: Content) {
    this.schema = schema;
    const batches = schema && records ? await collect(records()) : [];
    this.records = batches.flatMap((batch) => fromBatch(schema as Schema, batch));
    this.files = [];
    for await (const file of files?.() ?? []) {
      if (file.type !== 'file') continue;
      const bytes = new Uint8Array(Buffer.concat(await collect(file.read())));
      this.files.push({ path: file.path, mode: file.mode, bytes });
    }
    return { records: this.records.length, files: this.files.length, bytes: 0 };
  }
}
