/** Change hints on real databases of @ruvector/core: records by their ids, and writes that a journal does not know of. */
import { spawnSync } from 'node:child_process';
import { copyFile, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { fromUtf8, type RecordBatch } from 'vecsnap/core';
import { type Snapshot, SnapshotManager } from 'vecsnap/snapshot';
import { followChanges, ruvectorSource } from 'vecsnap/source';
import { ruvector, type RuvectorRecord } from './support/ruvector.js';
import { collect } from './support/collect.js';
import { memoryEnvironment } from './support/memory-environment.js';

const OPTIONS = { dimensions: 64, distanceMetric: 'Cosine' };

function recordOf(i: number, version = 0): RuvectorRecord {
  const vector = Array.from({ length: 64 }, (_, k) => Math.fround(Math.sin(i * 7 + k + version)));
  const record = { id: `record ${i}`, vector };
  return i % 3 === 0 ? record : { ...record, metadata: JSON.stringify({ title: `Record ${i}`, version }) };
}

let shared: string;
let folder: string;
let path: string;
let journal: string;

beforeAll(async () => {
  shared = await mkdtemp(join(tmpdir(), 'vecsnap-ruvector-'));
  const records = Array.from({ length: 3000 }, (_, i) => recordOf(i));
  ruvector(join(shared, 'made.db'), { options: OPTIONS, batches: [records] });
});

afterAll(() => rm(shared, { recursive: true, force: true }));

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'vecsnap-ruvector-'));
  path = join(folder, 'live.db');
  journal = `${path}.changes`;
  await copyFile(join(shared, 'made.db'), path);
});

afterEach(() => rm(folder, { recursive: true, force: true }));

describe('records of a ruvector database by their ids', () => {
  async function found(ids: readonly string[]): Promise<RecordBatch[]> {
    const open = await ruvectorSource(path).open();
    try {
      return await collect(open.lookUp?.get(ids) ?? []);
    } finally {
      await open.close();
    }
  }

  function textOf(batches: readonly RecordBatch[]): string[] {
    return batches.flatMap(({ count, ids, vectors, payloads }) =>
      Array.from({ length: count }, (_, i) => {
        const vector = Buffer.from((vectors[0] as Uint8Array).slice(i * 256, (i + 1) * 256)).toString('hex');
        return `${ids?.[i]} ${vector} ${fromUtf8(payloads?.[i] as Uint8Array)}`;
      }),
    );
  }

  it('are those that a scan gives, and those that there are not are left out', async () => {
    const open = await ruvectorSource(path).open();
    const all = textOf(await collect(open.records?.() ?? []));
    expect(open.lookUp?.count).toBe(3000);
    await open.close();
    const ids = all.map((text) => text.slice(0, text.indexOf(' ', 7)));
    expect(textOf(await found(ids))).toEqual(all);
    for (const step of [7, 100, 2999]) {
      const some = ids.filter((_, i) => i % step === 0);
      const others = some.flatMap((id) => [id, `${id} not`]);
      expect(textOf(await found(others))).toEqual(all.filter((_, i) => i % step === 0));
    }
    expect(await found([])).toEqual([]);
    expect(await found(['', 'a', 'z', 'ü'])).toEqual([]);
  });
});

describe('a tracked ruvector database', () => {
  let manager: SnapshotManager;

  beforeEach(async () => {
    manager = await SnapshotManager.init({ environment: memoryEnvironment() });
  });

  /** Opens the database in a process of its own, as the program that it belongs to would, and writes through a tracker. */
  function write(code: string): void {
    const program = `
      import { createRequire } from 'node:module';
      import { trackChanges } from 'vecsnap/source';
      const { VectorDb } = createRequire(import.meta.url)('@ruvector/core');
      const plain = new VectorDb({ ...${JSON.stringify(OPTIONS)}, storagePath: ${JSON.stringify(path)} });
      const db = trackChanges(plain, { journal: ${JSON.stringify(journal)} });
      const vector = Float32Array.from({ length: 64 }, (_, k) => Math.cos(k));
      ${code}
      await db[Symbol.asyncDispose]();
      process.exit(0);`;
    const { status, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', program], {
      cwd: import.meta.dirname,
      encoding: 'utf8',
    });
    if (status !== 0) throw new Error(stderr);
  }

  async function take(base?: Snapshot): Promise<Snapshot> {
    const source = followChanges(ruvectorSource(path), { journal });
    const taken =
      base === undefined
        ? await manager.createSnapshot(source, 'snapshot')
        : await manager.createIncrementalSnapshot(source, 'snapshot', base.id);
    const other = await SnapshotManager.init({ environment: memoryEnvironment() });
    expect(taken.checksum).toBe((await other.createSnapshot(ruvectorSource(path), 'scan')).checksum);
    return taken;
  }

  it('is snapshotted by what was written', async () => {
    write('');
    const first = await take();
    write(`
      await db.insert({ id: 'record 17', vector, metadata: '{"b":1,"a":2}' });
      await db.insertBatch([{ id: 'new', vector }, { vector }]);
      await db.delete('record 99');
      await db.delete('there is none');
      await db.insert({ id: 'record 18', vector: vector.subarray(1) }).catch(() => {});
    `);
    const second = await take(first);
    expect(second).toMatchObject({ notes: [], vectorCount: 3001 });
    const { records } = await manager.diffSnapshots(first.id, second.id);
    expect(records).toMatchObject({ added: 2, removed: 1, changed: 1 });
    expect(await take(second)).toMatchObject({ notes: [], checksum: second.checksum });
  });

  it('that was written past the tracker is read whole', async () => {
    write('');
    const first = await take();
    write(`await db.delete('record 1'); await plain.insert({ id: 'record 2', vector });`);
    const second = await take(first);
    expect(second.notes[0]).toMatch(/the database was written 1 times of which the journal does not know/);
    write(`await db.delete('record 3');`);
    expect(await take(second)).toMatchObject({ notes: [] });
  });

  it('in whose place an older state was put is read whole', async () => {
    write('');
    const first = await take();
    write(`await db.delete('record 1');`);
    const second = await take(first);
    await rm(path);
    await copyFile(join(shared, 'made.db'), path);
    const third = await take(second);
    expect(third.notes[0]).toMatch(/the database is another one, or an older state of it/);
  });
});
