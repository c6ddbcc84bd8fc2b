/**
 * Repositories that were written once and must be readable for ever: test/golden.
 *
 * `VECSNAP_MAKE_GOLDEN=1 npx vitest run test/golden.test.ts` writes those that are missing. One that is there is never
 * written again: a new format gets a new folder beside the old one.
 */
import { cpSync, existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { inlineCoder, memoryIndex } from 'vecsnap/cas';
import type { RecordBatch, Schema } from 'vecsnap/core';
import {
  directoryEnvironment,
  nodeDeflate,
  nodeSha256,
  portableDeflate,
  portableSha256,
} from 'vecsnap/platform';
import {
  type FormatNote,
  directoryTarget,
  fbin,
  fileTarget,
  matrixTarget,
  type Source,
} from 'vecsnap/source';
import { type Environment, type RepositoryConfig, type Snapshot, SnapshotManager } from 'vecsnap/snapshot';
import { beforeAll, describe, expect, it } from 'vitest';
import { freshDirectory, seededBytes } from './support/files.js';
import { IndependentRepository } from './support/independent-reader.js';
import { fileTreeSource, recordSource, type Records, regularFile } from './support/memory-source.js';

const GOLDEN = join(import.meta.dirname, 'golden');
const PAGE = join(import.meta.dirname, '../docs/format.md');

const text = (value: string) => new TextEncoder().encode(value);

/** An environment in which nothing is left to chance or to time. */
function fixedEnvironment(directory: string): Environment {
  let [time, seed] = [1_700_000_000_000, 0];
  return {
    ...directoryEnvironment(directory, { workers: 1 }),
    clock: { now: () => (time += 1000) },
    random: (length) => seededBytes(length, ++seed),
    openIndex: async () => memoryIndex(),
    lock: async () => ({ release: async () => {} }),
  };
}

// ── What is in repository-v1 ─────────────────────────────────────────────────────────────────────────────────────────

const PARAMETERS: Partial<Omit<RepositoryConfig, 'id'>> = {
  rowGroups: { targetBytes: 1024, minRecords: 3, maxRecords: 16 },
  gear: { min: 64, avg: 256, max: 1024 },
  fixed: { size: 256 },
  nodes: { window: 1, max: 4 },
  packBytes: 4096,
};

/** The matrix of the collection `matrix`, as a `.fbin` file. */
const MATRIX = sines(180, 8);

function sines(rows: number, dimension: number): Uint8Array {
  const bytes = Buffer.alloc(8 + rows * dimension * 4);
  bytes.writeUInt32LE(rows);
  bytes.writeUInt32LE(dimension, 4);
  for (let i = 0; i < rows * dimension; i++) bytes.writeFloatLE(Math.fround(Math.sin(i)), 8 + i * 4);
  return new Uint8Array(bytes);
}

const NOTE_SCHEMA: Schema = {
  id: 'string',
  vectors: [
    { name: 'text', dtype: 'f32', dimension: 4, metric: 'cosine' },
    { name: 'sign', dtype: 'bits', dimension: 9 },
  ],
  payload: 'json',
  model: { name: 'a-model' },
};

/** Records of the collection `notes`: `count` of them, the vector of number `changed` differing. */
function notes(count: number, changed: number): Records {
  const numbers = Buffer.alloc(count * 16);
  for (let i = 0; i < count * 4; i++) numbers.writeFloatLE(i >> 2 === changed ? -i : i / 8, i * 4);
  const ids = Array.from({ length: count }, (_, i) => `note/${String(i).padStart(3, '0')} é`);
  return {
    count,
    ids,
    schema: NOTE_SCHEMA,
    vectors: [new Uint8Array(numbers), seededBytes(count * 2, 3)],
    payloads: ids.map((id, i) => (i === 2 ? new Uint8Array(0) : text(`{"n":${i},"title":"${id}"}`))),
  };
}

const NUMBERED: Records = {
  count: 9,
  ids: BigUint64Array.from({ length: 9 }, (_, i) => 2n ** 60n + BigInt(i)),
  schema: { id: 'u64', vectors: [{ name: 'v', dtype: 'i8', dimension: 5 }], payload: 'bytes' },
  vectors: [seededBytes(45, 4)],
  payloads: Array.from({ length: 9 }, (_, i) => seededBytes(i * 3, i)),
};

const NOTE: FormatNote = { name: 'directory', mode: 0o755 };
const STREAM = new Uint8Array(
  Buffer.concat([seededBytes(900, 5), Buffer.alloc(300), Buffer.from('abc'.repeat(99))]),
);
const TREE = [
  { type: 'directory', path: 'empty', mode: 0o700 },
  { type: 'directory', path: 'folder', mode: 0o755 },
  regularFile('folder/nothing', 0o600, new Uint8Array(0)),
  regularFile('folder/stream ü', 0o644, STREAM),
  { type: 'link', path: 'link', mode: 0o777, target: 'folder/stream ü' },
] as const;

function matrixSource(bytes: Uint8Array, rows: number, dimension: number): Source {
  const schema: Schema = {
    id: 'none',
    vectors: [{ name: 'vector', dtype: 'f32', dimension }],
    payload: 'none',
  };
  const records = { schema, count: rows, vectors: [bytes.subarray(8)] };
  return recordSource('matrix', records, { format: { name: 'fbin' } });
}

/** One file has several chunks, one has a single one, and one has none. */
const FILES = [...TREE, regularFile('one chunk', 0o640, text('short'))];

/** Takes everything that files-v2 holds; and files-v1, when manifests still had version 1, in which each file refers to a tree. */
async function makeFiles(environment: Environment): Promise<Snapshot[]> {
  const manager = await SnapshotManager.init({ environment }, PARAMETERS);
  const files = await manager.createSnapshot(fileTreeSource('tree', NOTE, FILES), 'tree');
  const single = await manager.createSnapshot(
    fileTreeSource('single', { name: 'file' }, [regularFile('file', 0o600, text('alone'))]),
    'single',
  );
  await manager.close();
  return [files, single];
}

/** Takes everything that repository-v1 holds. */
async function makeRepository(environment: Environment): Promise<Snapshot[]> {
  const manager = await SnapshotManager.init({ environment }, PARAMETERS);
  const matrix = await manager.createSnapshot(matrixSource(MATRIX, 180, 8), 'matrix');
  const first = await manager.createSnapshot(recordSource('notes', notes(30, -1)), 'first');
  const second = await manager.createIncrementalSnapshot(
    recordSource('notes', notes(33, 7)),
    'second',
    first.id,
    {
      tags: ['nightly'],
      metadata: { by: 'golden', list: [1, 2.5, null, true] },
    },
  );
  // Told by the second, which is told by the first.
  const third = await manager.createIncrementalSnapshot(
    recordSource('notes', notes(33, 9)),
    'third',
    second.id,
  );
  const numbered = await manager.createSnapshot(recordSource('numbered', NUMBERED), 'numbered');
  const tree = await manager.createSnapshot(fileTreeSource('tree', NOTE, TREE), 'tree');
  await manager.close();
  return [matrix, first, second, third, numbered, tree];
}

/** The example that docs/format.md takes apart: two vectors of two numbers, not compressed, so that it can be read by eye. */
async function makeExample(environment: Environment): Promise<Snapshot[]> {
  const manager = await SnapshotManager.init({ environment, compression: 'none' });
  const file = new Uint8Array(Buffer.from('02000000020000000000803f0000004000004040000080c0', 'hex'));
  const snapshot = await manager.createSnapshot(matrixSource(file, 2, 2), 'first');
  await manager.close();
  return [snapshot];
}

const MADE = {
  'repository-v1': makeRepository,
  'files-v2': makeFiles,
  'worked-example': makeExample,
};

/** What SHA-256 and deflate may come from. */
const PLATFORMS = [
  ['Node.js', nodeSha256, nodeDeflate],
  ['JavaScript alone', portableSha256, portableDeflate],
] as const;

beforeAll(async () => {
  if (process.env['VECSNAP_MAKE_GOLDEN'] === undefined) return;
  for (const [name, make] of Object.entries(MADE)) {
    const directory = join(GOLDEN, name);
    if (existsSync(directory)) continue;
    await make(fixedEnvironment(directory));
    for (const name of ['tmp', 'reserve']) rmSync(join(directory, name), { recursive: true, force: true });
  }
});

describe('the repository of version 1', () => {
  const at = freshDirectory();
  const golden = (): string => {
    cpSync(join(GOLDEN, 'repository-v1'), at('repo'), { recursive: true });
    return at('repo');
  };
  const named = async (manager: SnapshotManager, name: string) => (await manager.findSnapshot(name)).id;

  it('lists its snapshots', async () => {
    const manager = await SnapshotManager.open({ snapshotDir: golden(), workers: 1 });
    const snapshots = await manager.listSnapshots();
    await manager.close();
    expect(
      snapshots.map(({ name, collection, vectorCount, fileCount }) => [
        name,
        collection,
        vectorCount,
        fileCount,
      ]),
    ).toEqual([
      ['tree', 'tree', 0, 5],
      ['numbered', 'numbered', 9, 0],
      ['third', 'notes', 33, 0],
      ['second', 'notes', 33, 0],
      ['first', 'notes', 30, 0],
      ['matrix', 'matrix', 180, 0],
    ]);
    expect(snapshots[3]).toMatchObject({
      snapshotType: 'incremental',
      baseId: snapshots[4]?.id,
      tags: ['nightly'],
      metadata: { by: 'golden', list: [1, 2.5, null, true] },
      createdAt: expect.stringMatching(/^2023-11-14T22:13:/) as string,
    });
  });

  it('is whole', async () => {
    const manager = await SnapshotManager.open({ snapshotDir: golden(), workers: 1 });
    expect(await manager.verifyRepository()).toMatchObject({ ok: true, checked: { snapshots: 6 } });
    await manager.close();
  });

  it('restores exactly', async () => {
    const manager = await SnapshotManager.open({ snapshotDir: golden(), workers: 1 });
    await manager.restoreSnapshot(await named(manager, 'matrix'), matrixTarget(fbin, at('out.fbin')));
    expect(readFileSync(at('out.fbin')).equals(MATRIX)).toBe(true);
    for (const [name, expected] of [
      ['first', notes(30, -1)],
      ['second', notes(33, 7)],
      ['third', notes(33, 9)],
      ['numbered', NUMBERED],
    ] as const) {
      expect(await readAll(manager, await named(manager, name))).toEqual(await contentOf(expected));
    }
    await manager.restoreSnapshot(await named(manager, 'tree'), directoryTarget(at('tree')));
    expect(readFileSync(at('tree', 'folder', 'stream ü')).equals(STREAM)).toBe(true);
    expect(readFileSync(at('tree', 'link')).equals(STREAM)).toBe(true);
    expect(readFileSync(at('tree', 'folder', 'nothing'))).toHaveLength(0);
    expect(readdirSync(at('tree', 'empty'))).toEqual([]);
    await manager.close();
  });

  it('is continued, swept and verified', async () => {
    const manager = await SnapshotManager.open({ snapshotDir: golden(), workers: 1 });
    const before = (await manager.listSnapshots()).map(({ id }) => id);
    const again = await manager.createSnapshot(recordSource('notes', notes(33, 7)), 'again');
    expect(again.addedBytes).toBe(0);
    await manager.deleteSnapshots(before);
    expect((await manager.collectGarbage({ maxUnused: 0 })).reclaimedBytes).toBeGreaterThan(0);
    expect(await manager.verifyRepository()).toMatchObject({ ok: true });
    expect(await readAll(manager, again.id)).toEqual(await contentOf(notes(33, 7)));
    await manager.close();
  });

  it('is read by the independent reader', () => {
    const repository = new IndependentRepository(golden());
    expect(repository.snapshots.size).toBe(6);
    for (const id of repository.snapshots.keys()) expect(repository.read(id).checksum).toMatch(/^bagaqiera/);
    expect(repository.codecsSeen).toEqual(new Set([0, 1, 2, 3]));
    expect(repository.methodsSeen).toEqual(new Set([0, 1, 2, 3]));
  });

  it.each(PLATFORMS)(
    'has the addresses that the same records have today, with %s',
    async (_, sha256, deflate) => {
      const environment = { ...fixedEnvironment(at('now')), sha256, coder: inlineCoder({ sha256, deflate }) };
      const snapshots = (await makeRepository(environment)).filter(({ name }) => name !== 'tree'); // files-v2
      const repository = new IndependentRepository(golden());
      expect(snapshots.map(({ id, checksum }) => [id, checksum])).toEqual(
        [...repository.snapshots.keys()]
          .map((id) => repository.read(id))
          .filter(({ files }) => files.length === 0)
          .map(({ snapshot, checksum }) => [snapshot['id'], checksum]),
      );
      expect(
        readFileSync(at('now', 'config')).equals(readFileSync(join(GOLDEN, 'repository-v1/config'))),
      ).toBe(true);
    },
  );
});

describe.each(['files-v1', 'files-v2'])('the repository %s', (name) => {
  const at = freshDirectory();

  async function opened(): Promise<{ manager: SnapshotManager; tree: Snapshot; single: Snapshot }> {
    cpSync(join(GOLDEN, name), at('repo'), { recursive: true });
    const manager = await SnapshotManager.open({ snapshotDir: at('repo'), workers: 1 });
    const [tree, single] = [await manager.findSnapshot('tree'), await manager.findSnapshot('single')];
    return { manager, tree, single };
  }

  it('is whole, and restores exactly', async () => {
    const { manager, tree, single } = await opened();
    expect(await manager.verifyRepository()).toMatchObject({ ok: true, checked: { snapshots: 2 } });
    await manager.restoreSnapshot(tree.id, directoryTarget(at('tree')));
    expect(readFileSync(at('tree', 'folder', 'stream ü')).equals(STREAM)).toBe(true);
    expect(readFileSync(at('tree', 'folder', 'nothing'))).toHaveLength(0);
    expect(readFileSync(at('tree', 'one chunk'), 'utf8')).toBe('short');
    await manager.restoreSnapshot(single.id, fileTarget(at('file')));
    expect(readFileSync(at('file'), 'utf8')).toBe('alone');
    await manager.close();
  });

  it.each(['full', 'incremental'])('has what a %s snapshot of the same files has today', async (kind) => {
    const { manager, tree } = await opened();
    const source = fileTreeSource('tree', NOTE, FILES);
    const today =
      kind === 'full'
        ? await manager.createSnapshot(source, 'today')
        : await manager.createIncrementalSnapshot(source, 'today', tree.id);
    const difference = (a: Snapshot, b: Snapshot) => manager.diffSnapshots(a.id, b.id);
    const none = { added: [], removed: [], changed: [] };
    expect(await difference(tree, today)).toMatchObject({ identical: true, files: none });
    expect(await difference(today, tree)).toMatchObject({ identical: true, files: none });
    expect(today.checksum === tree.checksum).toBe(name === 'files-v2');
    await manager.close();
  });

  it('differs from files that differ', async () => {
    const { manager, tree } = await opened();
    const isFile = ({ type }: { readonly type: string }) => type === 'file';
    for (const [mode, bytes] of [
      [0o640, text('other')],
      [0o600, text('short')],
      [0o640, STREAM],
      [0o640, new Uint8Array(0)],
    ] as const) {
      const entries = FILES.map((file) => (isFile(file) ? regularFile(file.path, mode, bytes) : file));
      const other = await manager.createSnapshot(fileTreeSource('tree', NOTE, entries), 'other');
      const { identical, files } = await manager.diffSnapshots(tree.id, other.id);
      expect(identical).toBe(false);
      expect(files.changed).toEqual(FILES.filter(isFile).map(({ path }) => path));
    }
    await manager.close();
  });

  it('comes back whole with a new snapshot of the same files, after a node was damaged', async () => {
    cpSync(join(GOLDEN, name), at('repo'), { recursive: true });
    damageNode(at('repo'));
    const manager = await SnapshotManager.open({ snapshotDir: at('repo'), workers: 1 });
    const { id } = await manager.findSnapshot('tree');
    expect((await manager.repair()).damagedSnapshots.map((one) => one.id)).toEqual([id]);
    const source = fileTreeSource('tree', NOTE, FILES);
    const single = fileTreeSource('single', { name: 'file' }, [regularFile('file', 0o600, text('alone'))]);
    const taken = [
      await manager.createSnapshot(single, 'of another collection'),
      await manager.createIncrementalSnapshot(source, 'healing', id),
    ];
    expect(await manager.verifyRepository()).toMatchObject({ ok: true });
    expect((await manager.collectGarbage({ maxUnused: 0 })).reclaimedBytes).toBeGreaterThan(0);
    taken.push(await manager.createIncrementalSnapshot(source, 'later', taken[1]?.id as string));
    await manager.close();
    const [inVersion2, repository] = [join(GOLDEN, 'files-v2'), at('repo')].map(
      (path) => new IndependentRepository(path),
    ) as [IndependentRepository, IndependentRepository];
    const today = new Map(
      [...inVersion2.snapshots].map(([known, { name: of }]) => [of, inVersion2.read(known)]),
    );
    const [other, healing, later] = taken.map((one) => repository.read(one.id));
    expect(other?.checksum).toBe(today.get('single')?.checksum);
    expect(later?.checksum).toBe(today.get('tree')?.checksum);
    expect(healing?.files).toEqual(today.get('tree')?.files);
  });
});

/** Damages what tells the chunk of a file: the tree of that file in version 1, the tree of all files since. */
function damageNode(repo: string): void {
  const address = nodeSha256(text('short'));
  for (const { name, parentPath } of readdirSync(join(repo, 'packs'), { withFileTypes: true })) {
    const bytes = readFileSync(join(parentPath, name));
    const position = bytes.indexOf(address); // Nodes stand before the directory of the pack.
    if (position < 0) continue;
    expect(bytes.subarray(position - 2, position).toString('hex')).toBe('c420');
    for (let i = 0; i < 4; i++) bytes[position + i] = ~(bytes[position + i] as number); // More than is mended.
    writeFileSync(join(parentPath, name), bytes);
    return;
  }
  throw new Error('no pack tells the chunk');
}

describe('the repository files-v1', () => {
  const at = freshDirectory();

  it('has a file whose tree cannot be read, which counts as changed', async () => {
    cpSync(join(GOLDEN, 'files-v1'), at('repo'), { recursive: true });
    damageNode(at('repo'));
    const manager = await SnapshotManager.open({ snapshotDir: at('repo'), workers: 1 });
    const { id } = await manager.findSnapshot('tree');
    const today = await manager.createSnapshot(fileTreeSource('tree', NOTE, FILES), 'today');
    const { identical, files } = await manager.diffSnapshots(id, today.id);
    expect({ identical, changed: files.changed }).toEqual({ identical: false, changed: ['one chunk'] });
    await manager.close();
  });
});

describe('the repository files-v2', () => {
  const at = freshDirectory();

  it.each(PLATFORMS)(
    'has the addresses that the same files have today, with %s',
    async (_, sha256, deflate) => {
      const environment = { ...fixedEnvironment(at('now')), sha256, coder: inlineCoder({ sha256, deflate }) };
      const snapshots = await makeFiles(environment);
      const repository = new IndependentRepository(join(GOLDEN, 'files-v2'));
      expect(snapshots.map(({ id, checksum }) => [id, checksum])).toEqual(
        [...repository.snapshots.keys()].map((id) => [id, repository.read(id).checksum]),
      );
    },
  );

  it('is read by the independent reader as the one of version 1', () => {
    const contents = ['files-v1', 'files-v2'].map((name) => {
      const repository = new IndependentRepository(join(GOLDEN, name));
      return [...repository.snapshots.keys()].map((id) => repository.read(id).files);
    });
    expect(contents[1]).toEqual(contents[0]);
  });
});

describe('the worked example', () => {
  const at = freshDirectory();

  it('has the bytes that docs/format.md shows', () => {
    const shown = hexBlocks(readFileSync(PAGE, 'utf8'));
    const blobs = filesBelow(join(GOLDEN, 'worked-example'));
    expect([...shown.keys()].toSorted()).toEqual([...blobs.keys()].toSorted());
    for (const [name, bytes] of blobs) expect(shown.get(name)).toBe(bytes.toString('hex'));
  });

  it('is what vecsnap writes today', async () => {
    await makeExample(fixedEnvironment(at('repo')));
    for (const name of ['tmp', 'reserve']) rmSync(at('repo', name), { recursive: true });
    expect(filesBelow(at('repo'))).toEqual(filesBelow(join(GOLDEN, 'worked-example')));
  });

  it('holds two vectors', () => {
    const repository = new IndependentRepository(join(GOLDEN, 'worked-example'));
    const [id] = repository.snapshots.keys();
    const { vectors } = repository.read(id as string);
    expect(vectors[0]?.toString('hex')).toBe('0000803f0000004000004040000080c0');
  });
});

/** The blocks of bytes on the page: each begins with a line `blob <name>`; what comes after two spaces explains. */
function hexBlocks(page: string): Map<string, string> {
  const blocks = new Map<string, string>();
  for (const [, name, body] of page.matchAll(/```text\nblob (\S+)\n([\s\S]*?)```/g)) {
    const lines = (body as string).split('\n').map((line) => line.split(/ {2,}/)[0] as string);
    blocks.set(name as string, lines.join('').replaceAll(' ', ''));
  }
  return blocks;
}

function filesBelow(directory: string): Map<string, Buffer> {
  const entries = readdirSync(directory, { recursive: true, withFileTypes: true });
  const files = entries
    .filter((entry) => entry.isFile())
    .map(({ parentPath, name }) => join(parentPath, name));
  return new Map(files.toSorted().map((path) => [path.slice(directory.length + 1), readFileSync(path)]));
}

type Columns = Pick<RecordBatch, 'count' | 'ids' | 'vectors' | 'payloads'>;
type Flat = readonly { id: string | bigint; vectors: readonly string[]; payload: string | undefined }[];

async function readAll(manager: SnapshotManager, id: string): Promise<Flat> {
  const rows: Flat[number][] = [];
  for await (const batch of manager.readSnapshot(id)) rows.push(...flatten(batch));
  return rows;
}

async function contentOf(records: Records): Promise<Flat> {
  const open = await recordSource('any', records).open();
  const rows: Flat[number][] = [];
  for await (const batch of open.records?.() ?? []) rows.push(...flatten(batch));
  return rows;
}

function flatten({ count, ids, vectors, payloads }: Columns): Flat {
  return Array.from({ length: count }, (_, i) => ({
    id: ids?.[i] as string | bigint,
    vectors: vectors.map((column) => {
      const width = column.length / count;
      return Buffer.from(column.subarray(i * width, (i + 1) * width)).toString('hex');
    }),
    payload: payloads && Buffer.from(payloads[i] as Uint8Array).toString('hex'),
  }));
}
