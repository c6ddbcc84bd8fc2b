/**
 * The contract of every source and the target that belongs to it: what one gives, the other writes, exactly.
 *
 * A format runs it with `sourceContract({ … })` from a test file of its own.
 */
import { createHash, type Hash } from 'node:crypto';
import { lstat, mkdtemp, readdir, readFile, readlink, rename, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  checkSchema,
  decodeCanonical,
  encodeCanonical,
  OrderCheck,
  type RecordBatch,
  type Schema,
  VecsnapError,
  vectorBytes,
} from 'vecsnap/core';
import type { Content, FileEntry, OpenSource, Source, Target, WriteReport } from 'vecsnap/source';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

/** A source and its target under test, and how to make and change what they read. */
export interface SourceFixture {
  /** The scheme, for the names of the tests. */
  readonly name: string;
  readonly holds: 'records' | 'files';
  /** `bytes`: a restored file or tree equals the first byte for byte. `content`: reading both gives the same. */
  readonly exact: 'bytes' | 'content';
  source(path: string): Source | Promise<Source>;
  target(path: string): Target | Promise<Target>;
  /** Makes something new at `path` that holds `count` records or files, the same for the same count. */
  make(path: string, count: number): Promise<void>;
  /** Writes to what stands at `path`, as another program does meanwhile, so that its content is another one. */
  change(path: string): Promise<void>;
  /** Counts to test with. `large` should give several batches. Without `empty: false`, 0 is tested too. */
  readonly counts: { readonly small: number; readonly large: number; readonly empty?: false };
  /** The ending that paths are given, with its dot; none when it is left out. */
  readonly ending?: string;
}

/** Declares the tests of one source and target. */
export function sourceContract(fixture: SourceFixture): void {
  describe(`the contract of a source: ${fixture.name}`, () => {
    let directory = '';
    const at = (name: string) => join(directory, `${name}${fixture.ending ?? ''}`);
    beforeEach(async () => {
      directory = await mkdtemp(join(tmpdir(), 'vecsnap-source-'));
    });
    afterEach(async () => {
      await rm(directory, { recursive: true, force: true });
    });
    const made = async (name: string, count: number): Promise<string> => {
      await fixture.make(at(name), count);
      return at(name);
    };
    const restore = async (
      from: string,
      to: string,
      change: Change = same,
      overwrite = false,
      signal?: AbortSignal,
    ) =>
      withOpen(await fixture.source(from), async (content) => {
        const target = await fixture.target(to);
        await target.prepare({ overwrite });
        return target.write(change(content), { overwrite, signal });
      });
    const summaryOf = async (path: string) => withOpen(await fixture.source(path), summarise);
    const expectEqual = async (path: string, other: string): Promise<void> => {
      expect(await summaryOf(path)).toEqual(await summaryOf(other));
      if (fixture.exact === 'bytes') expect(await fingerprint(path)).toEqual(await fingerprint(other));
    };

    const { small, large } = fixture.counts;
    const counts = fixture.counts.empty === false ? [1, small, large] : [0, 1, small, large];

    describe('what a source gives', () => {
      it.each(counts)('keeps to its schema and its order (%i)', async (count) => {
        await withOpen(await fixture.source(await made('a', count)), async (content) => {
          expect(content.schema === undefined).toBe(content.records === undefined);
          expect(decodeCanonical(encodeCanonical(content.format))).toEqual({ ...content.format });
          const summary = await summarise(content);
          if (fixture.holds === 'records') expect(summary.count).toBe(count);
          if (content.expected.records !== undefined) expect(content.expected.records).toBe(summary.count);
          if (content.expected.bytes !== undefined && content.schema === undefined) {
            expect(content.expected.bytes).toBe(summary.fileBytes);
          }
          await content.confirmUnchanged();
        });
      });

      it('is the same each time it is read', async () => {
        const path = await made('a', large);
        const first = await summaryOf(path);
        expect(await summaryOf(path)).toEqual(first);
        await withOpen(await fixture.source(path), async (content) => {
          expect(await summarise(content)).toEqual(first);
          expect(await summarise(content)).toEqual(first);
        });
      });

      it('stays as it was while several batches are held', async () => {
        await withOpen(await fixture.source(await made('a', large)), async (content) => {
          const held: { batch: RecordBatch; digest: string }[] = [];
          const letAllGo = () => {
            for (const { batch, digest } of held) expect(digestOf(batch)).toBe(digest);
            for (const { batch } of held.splice(0)) {
              batch.release?.();
              batch.release?.();
            }
          };
          for await (const batch of content.records?.() ?? []) {
            held.push({ batch, digest: digestOf(batch) });
            if (held.length === 3) letAllGo();
          }
          letAllGo();
        });
      });

      it('is in one state until it is written, and in another then, where it can tell', async () => {
        const path = await made('a', large);
        const stateOf = async () =>
          withOpen(await fixture.source(path), async (content) => content.state?.());
        const first = await stateOf();
        expect(await stateOf()).toBe(first);
        await fixture.change(path);
        const second = await stateOf();
        expect(second === undefined).toBe(first === undefined);
        if (first !== undefined) expect(second).not.toBe(first);
      });

      it('can be left in the middle', async () => {
        await withOpen(await fixture.source(await made('a', large)), async (content) => {
          for await (const batch of content.records?.() ?? []) {
            batch.release?.();
            break;
          }
          for await (const entry of content.files?.() ?? []) {
            if (entry.type === 'file') for await (const _ of entry.read()) break;
            break;
          }
        });
      });

      it('has a place and a collection to be known by', async () => {
        const source = await fixture.source(await made('some name', small));
        expect(source.place).toContain('some name');
        expect(source.collection).not.toBe('');
        expect((await fixture.target(at('other'))).place).toContain('other');
      });
    });

    describe('a source that is not as it should be', () => {
      it('says when there is nothing', async () => {
        await expectCode('SOURCE_MISSING', async () =>
          withOpen(await fixture.source(at('nothing')), summarise),
        );
      });

      it('notices a write while it is read', async () => {
        const path = await made('a', small);
        await expectCode('SOURCE_CHANGED', async () =>
          withOpen(await fixture.source(path), async (content) => {
            await summarise(content);
            await fixture.change(path);
            await content.confirmUnchanged();
          }),
        );
      });

      it('notices that another one took its place', async () => {
        const path = await made('a', small);
        const other = await made('b', small);
        await expectCode('SOURCE_CHANGED', async () =>
          withOpen(await fixture.source(path), async (content) => {
            await summarise(content);
            await rm(path, { recursive: true });
            await rename(other, path);
            await content.confirmUnchanged();
          }),
        );
      });
    });

    describe('what a target writes', () => {
      it.each(counts)('equals what was read (%i)', async (count) => {
        const path = await made('a', count);
        const report = await restore(path, at('b'));
        await expectEqual(at('b'), path);
        expectReport(report, await summaryOf(path));
        expect((await readdir(directory)).toSorted()).toEqual(
          [path, at('b')].map((p) => p.slice(directory.length + 1)),
        );
      });

      it('equals what was read when the batches come small, empty, and gone as soon as they are released', async () => {
        const path = await made('a', small);
        const released = { given: 0, back: 0 };
        await restore(path, at('b'), (content) => poisoned(content, released));
        await expectEqual(at('b'), path);
        expect(released.back).toBe(released.given);
      });

      it('never takes the place of something unless it is told to', async () => {
        const path = await made('a', small);
        const taken = await made('b', 1);
        const before = await fingerprint(taken);
        const target = await fixture.target(taken);
        await expectCode('TARGET_EXISTS', () => target.prepare({}));
        await expectCode('TARGET_EXISTS', async () =>
          withOpen(await fixture.source(path), (content) => target.write(content, {})),
        );
        expect(await fingerprint(taken)).toEqual(before);
        await restore(path, taken, same, true);
        await expectEqual(taken, path);
        expect(await readdir(directory)).toHaveLength(2);
      });

      it('is nothing when the content fails in the middle', async () => {
        const path = await made('a', large);
        await expectCode('CHUNK_DAMAGED', () =>
          restore(path, at('b'), (content) => interrupted(content, fail)),
        );
        expect(await readdir(directory)).toHaveLength(1);
      });

      it('is what stood there before when the content fails in the middle of an overwrite', async () => {
        const path = await made('a', large);
        const taken = await made('b', 1);
        const before = await fingerprint(taken);
        await expectCode('CHUNK_DAMAGED', () =>
          restore(path, taken, (content) => interrupted(content, fail), true),
        );
        expect(await fingerprint(taken)).toEqual(before);
        expect(await readdir(directory)).toHaveLength(2);
      });

      it('is nothing when the work is interrupted', async () => {
        const path = await made('a', large);
        for (const late of [false, true]) {
          const stop = new AbortController();
          if (!late) stop.abort();
          const stopping: Change = (content) => interrupted(content, () => stop.abort());
          await expectCode('ABORTED', () => restore(path, at('b'), stopping, false, stop.signal));
          expect(await readdir(directory)).toHaveLength(1);
        }
      });

      it('is nothing when the directory is not there', async () => {
        const path = await made('a', small);
        await expectCode('TARGET_FAILED', () => restore(path, join(directory, 'nowhere', 'b')));
        expect(await readdir(directory)).toHaveLength(1);
      });

      it('is nothing when the content is of another kind', async () => {
        const path = await made('a', small);
        const other = fixture.holds === 'records' ? fileContent : recordContent;
        for (const content of [other, nothing]) {
          await expectCode('TARGET_UNSUITABLE', () => restore(path, at('b'), () => content));
        }
        expect(await readdir(directory)).toHaveLength(1);
      });
    });
  });
}

type Change = (content: Content) => Content;

const same: Change = (content) => content;

/** Opens a source, and closes it whatever happens. */
export async function withOpen<T>(source: Source, use: (content: OpenSource) => Promise<T>): Promise<T> {
  const content = await source.open();
  try {
    return await use(content);
  } finally {
    await content.close();
  }
}

/** Expects a VecsnapError of this code that says where, and what to do. */
export async function expectCode(
  code: VecsnapError['code'],
  run: () => Promise<unknown>,
): Promise<VecsnapError> {
  const error: unknown = await run().then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  expect(error).toBeInstanceOf(VecsnapError);
  expect(error).toMatchObject({ code });
  if (code !== 'CHUNK_DAMAGED') expect((error as VecsnapError).remedy).toBeTruthy();
  if (code !== 'CHUNK_DAMAGED' && code !== 'ABORTED') expect((error as VecsnapError).place).toBeTruthy();
  return error as VecsnapError;
}

/** What a content holds, small enough to compare and to print. */
export interface ContentSummary {
  readonly format: Content['format'];
  readonly schema: Schema | undefined;
  readonly count: number;
  readonly ids: string;
  readonly vectors: readonly string[];
  readonly payloads: string;
  readonly files: readonly object[];
  readonly fileBytes: number;
  readonly bytes: number;
}

/** Reads all of a content, checks it against its schema and gives back digests of it. */
export async function summarise(content: Content): Promise<ContentSummary> {
  const records = await summariseRecords(content);
  const files: FileSummary[] = [];
  for await (const entry of content.files?.() ?? []) files.push(await summariseFile(entry));
  const paths = files.map((file) => Buffer.from(file.path));
  expect(paths).toEqual(paths.toSorted((a, b) => Buffer.compare(a, b)));
  const fileBytes = files.reduce((sum, file) => sum + (file.size ?? 0), 0);
  const { format, schema } = content;
  return { format, schema, ...records, files, fileBytes, bytes: records.bytes + fileBytes };
}

async function summariseRecords({ schema, records }: Content) {
  const ids = createHash('sha256');
  const payloads = createHash('sha256');
  const vectors = schema?.vectors.map(() => createHash('sha256')) ?? [];
  const order = new OrderCheck();
  let count = 0;
  let bytes = 0;
  if (schema !== undefined) checkSchema(schema);
  for await (const batch of records?.() ?? []) {
    if (schema !== undefined) expectToKeep(schema, batch);
    order.check(batch.ids);
    hashIds(ids, batch);
    hashPayloads(payloads, batch);
    batch.vectors.forEach((column, index) => vectors[index]?.update(column));
    count += batch.count;
    bytes += [...batch.vectors, ...(batch.payloads ?? [])].reduce((sum, part) => sum + part.length, 0);
    batch.release?.();
  }
  const digests = vectors.map((hash) => hash.digest('hex'));
  return { count, ids: ids.digest('hex'), vectors: digests, payloads: payloads.digest('hex'), bytes };
}

function expectToKeep(schema: Schema, batch: RecordBatch): void {
  expect(batch.vectors.map((column) => column.length)).toEqual(
    schema.vectors.map((column) => batch.count * vectorBytes(column)),
  );
  expect(batch.ids?.length).toBe(schema.id === 'none' ? undefined : batch.count);
  if (batch.count > 0 && schema.id === 'u64') expect(batch.ids).toBeInstanceOf(BigUint64Array);
  expect(batch.payloads?.length).toBe(schema.payload === 'none' ? undefined : batch.count);
}

function hashIds(hash: Hash, batch: RecordBatch): void {
  for (const id of batch.ids ?? []) hash.update(`${typeof id} ${JSON.stringify(String(id))}\n`);
}

function hashPayloads(hash: Hash, batch: RecordBatch): void {
  for (const payload of batch.payloads ?? []) hash.update(`${payload.length}:`).update(payload);
}

function digestOf(batch: RecordBatch): string {
  const hash = createHash('sha256');
  hashIds(hash, batch);
  hashPayloads(hash, batch);
  for (const column of batch.vectors) hash.update(column);
  return hash.digest('hex');
}

interface FileSummary {
  readonly path: string;
  readonly type: FileEntry['type'];
  readonly mode: number;
  readonly size?: number;
  readonly detail?: string;
}

async function summariseFile(entry: FileEntry): Promise<FileSummary> {
  const { type, mode } = entry;
  // A single file has the name that stands on the disk, which is another one after a restore to another name.
  const path = entry.path.includes('/') ? entry.path : entry.path.replace(/^[ab](?=\.|$)/, '');
  if (type === 'link') return { path, type, mode, detail: entry.target };
  if (type === 'directory') return { path, type, mode };
  const hash = createHash('sha256');
  let size = 0;
  for await (const piece of entry.read()) {
    hash.update(piece);
    size += piece.length;
  }
  expect(size).toBe(entry.size);
  return { path, type, mode, size, detail: hash.digest('hex') };
}

function expectReport(report: WriteReport, summary: ContentSummary): void {
  const files = summary.files.length; // Files, folders and links, as a snapshot counts them.
  expect(report).toEqual({ records: summary.count, files, bytes: summary.bytes });
}

/** Every name, mode, link and byte below `path`. */
export async function fingerprint(path: string): Promise<string[]> {
  const stats = await lstat(path);
  if (stats.isSymbolicLink()) return [`link ${await readlink(path)}`];
  const mode = (stats.mode & 0o7777).toString(8);
  if (!stats.isDirectory())
    return [
      `file ${mode} ${createHash('sha256')
        .update(await readFile(path))
        .digest('hex')}`,
    ];
  const names = (await readdir(path)).toSorted();
  const below = await Promise.all(
    names.map(async (name) => (await fingerprint(join(path, name))).map((line) => `${name}/ ${line}`)),
  );
  return [`directory ${mode}`, ...below.flat()];
}

/** The same content in batches of at most seven records, with empty ones between, whose bytes are spoilt on release. */
function poisoned(content: Content, released: { given: number; back: number }): Content {
  const { records } = content;
  if (records === undefined) return content;
  async function* cut(): AsyncGenerator<RecordBatch> {
    for await (const batch of records?.() ?? []) {
      for (let start = 0; start < batch.count; start += 7) {
        yield spoilable(sliceOf(batch, start, Math.min(start + 7, batch.count)), released);
        yield spoilable(sliceOf(batch, start, start), released);
      }
      batch.release?.();
    }
  }
  return { ...content, records: cut };
}

function sliceOf(batch: RecordBatch, start: number, end: number): RecordBatch {
  const cut = (bytes: Uint8Array) => {
    const width = bytes.length / batch.count;
    return new Uint8Array(bytes.subarray(start * width, end * width));
  };
  return {
    count: end - start,
    ids: batch.ids?.slice(start, end),
    vectors: batch.vectors.map(cut),
    payloads: batch.payloads?.slice(start, end).map((payload) => new Uint8Array(payload)),
  };
}

function spoilable(batch: RecordBatch, released: { given: number; back: number }): RecordBatch {
  released.given++;
  let back = false;
  const release = () => {
    if (!back) released.back++;
    back = true;
    for (const bytes of [...batch.vectors, ...(batch.payloads ?? [])]) bytes.fill(0xaa);
  };
  return { ...batch, release };
}

function fail(): never {
  throw new VecsnapError('CHUNK_DAMAGED', 'A chunk is damaged, says the test.');
}

/** The same content, but `act` runs after the first batch and in the middle of the last file. */
function interrupted(content: Content, act: () => void): Content {
  const { records, files } = content;
  async function* cutRecords(): AsyncGenerator<RecordBatch> {
    for await (const batch of records?.() ?? []) {
      yield batch;
      act();
    }
  }
  async function* cutFiles(): AsyncGenerator<FileEntry> {
    for await (const entry of files?.() ?? []) {
      yield entry.type === 'file' ? { ...entry, read: () => cutFile(entry) } : entry;
    }
  }
  async function* cutFile(entry: FileEntry & { type: 'file' }): AsyncGenerator<Uint8Array> {
    for await (const piece of entry.read()) {
      yield piece.subarray(0, piece.length >> 1);
      act();
      yield piece.subarray(piece.length >> 1);
    }
  }
  return { ...content, records: records && cutRecords, files: files && cutFiles };
}

const nothing: Content = {
  format: { name: 'file' },
  schema: undefined,
  records: undefined,
  files: undefined,
  expected: {},
};

const fileContent: Content = {
  ...nothing,
  files: async function* () {
    yield { type: 'directory', path: 'folder', mode: 0o755 };
  },
};

const recordContent: Content = {
  ...nothing,
  format: { name: 'fbin' },
  schema: { id: 'none', vectors: [{ name: 'vector', dtype: 'f32', dimension: 1 }], payload: 'none' },
  records: async function* () {
    yield { count: 1, ids: undefined, vectors: [new Uint8Array(4)], payloads: undefined };
  },
};
