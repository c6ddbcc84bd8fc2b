/** The pure parts run anywhere: a whole take, restore and sweep without Node's own crypto, zlib and files, to the same addresses. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { inlineCoder } from 'vecsnap/cas';
import { type Schema, toHex, utf8 } from 'vecsnap/core';
import {
  directoryEnvironment,
  nodeDeflate,
  nodeSha256,
  pooledCoder,
  portableDeflate,
} from 'vecsnap/platform';
import { type Environment, SnapshotManager } from 'vecsnap/snapshot';
import { collect } from './support/collect.js';
import { seededBytes } from './support/files.js';
import {
  levelEnvironment,
  memoryEnvironment,
  memorySource,
  MemoryTarget,
  type TestContent,
} from './support/memory-environment.js';
import { recordText, type TestRecord } from './support/records.js';

const SCHEMA: Schema = {
  id: 'string',
  payload: 'json',
  vectors: [
    { name: 'dense', dtype: 'f32', dimension: 48, metric: 'cosine' },
    { name: 'bits', dtype: 'bits', dimension: 12 },
  ],
  model: { name: 'none' },
};

function unitVector(seed: number): Uint8Array {
  const bytes = seededBytes(48 * 4, seed);
  const floats = Float32Array.from({ length: 48 }, (_, i) => ((bytes[i * 4] as number) - 128) / 900);
  return new Uint8Array(floats.buffer);
}

function recordsOf(count: number): TestRecord[] {
  return Array.from({ length: count }, (_, i) => ({
    id: `record ${String(i).padStart(5, '0')}`,
    vectors: [unitVector(i + 1), seededBytes(2, i + 1)],
    payload: utf8(`{"n":${i},"text":"the text of record ${i}"}`),
  }));
}

const BEFORE: TestContent = {
  schema: SCHEMA,
  records: recordsOf(600),
  files: [
    { path: 'empty', mode: 0o600, bytes: new Uint8Array(0) },
    { path: 'folder/links.bin', mode: 0o644, bytes: seededBytes(40_000, 3) },
    { path: 'zeros', mode: 0o644, bytes: new Uint8Array(30_000) },
  ],
};
const AFTER: TestContent = {
  ...BEFORE,
  records:
    BEFORE.records
      ?.filter((_, i) => i % 97 !== 5)
      .map((record, i) => (i % 50 === 3 ? { ...record, payload: utf8('{}') } : record)) ?? [],
};

/** Small groups, chunks, nodes and packs, so that there are many of each. */
const PARAMETERS = {
  rowGroups: { targetBytes: 2000, minRecords: 5, maxRecords: 1024 },
  gear: { min: 256, avg: 1024, max: 4096 },
  nodes: { window: 2, max: 20 },
  packBytes: 8192,
};

async function expectContent(manager: SnapshotManager, id: string, content: TestContent): Promise<void> {
  const target = new MemoryTarget();
  await manager.restoreSnapshot(id, target);
  expect(target.schema).toEqual(SCHEMA);
  expect(target.records.map(recordText)).toEqual(content.records?.map(recordText));
  expect(target.files.map(({ path, mode, bytes }) => [path, mode, toHex(nodeSha256(bytes))])).toEqual(
    content.files?.map(({ path, mode, bytes }) => [path, mode, toHex(nodeSha256(bytes))]),
  );
  const records = (await collect(manager.readSnapshot(id))).reduce((sum, { count }) => sum + count, 0);
  expect(records).toBe(content.records?.length);
}

/** Two snapshots, a restore of each, the first forgotten, a sweep, and the second restored again. Gives all addresses. */
async function wholeLife(environment: Environment): Promise<string[]> {
  const manager = await SnapshotManager.init({ environment, maxConcurrentIo: 3 }, PARAMETERS);
  try {
    const first = await manager.createSnapshot(memorySource(BEFORE), 'first');
    const second = await manager.createIncrementalSnapshot(memorySource(AFTER), 'second', first.id);
    const again = await manager.createSnapshot(memorySource(AFTER), 'again');
    expect(again.addedBytes).toBe(0);
    expect(second.addedBytes).toBeLessThan(first.addedBytes);
    await expectContent(manager, first.id, BEFORE);
    await expectContent(manager, second.id, AFTER);
    expect(await manager.verifyRepository()).toMatchObject({ ok: true, problems: [] });
    expect(await manager.verifySnapshot(second.id)).toMatchObject({ ok: true, problems: [] });
    await manager.deleteSnapshot(first.id);
    const swept = await manager.collectGarbage({ maxUnused: 0 });
    expect(swept.reclaimedBytes).toBeGreaterThan(0);
    await expectContent(manager, second.id, AFTER);
    expect(await manager.verifyRepository()).toMatchObject({ ok: true, problems: [] });
    return [first.checksum, second.checksum, again.checksum];
  } finally {
    await manager.close();
  }
}

describe('a whole life', () => {
  it('in memory and in databases, portable and with Node.js, comes to the same addresses', async () => {
    const portable = await wholeLife(memoryEnvironment());
    expect(portable[1]).toBe(portable[2]);
    expect(portable[0]).not.toBe(portable[1]);
    expect(await wholeLife(levelEnvironment())).toEqual(portable);
    const coder = pooledCoder({ threads: 2 });
    expect(await wholeLife(memoryEnvironment({ sha256: nodeSha256, coder }))).toEqual(portable);
    await coder.close();
    const mixed = inlineCoder({ sha256: nodeSha256, deflate: portableDeflate });
    expect(await wholeLife(levelEnvironment({ sha256: nodeSha256, coder: mixed }))).toEqual(portable);
  });

  it('in a directory comes to the same addresses', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'vecsnap-house-'));
    try {
      const inDirectory = await wholeLife(directoryEnvironment(join(directory, 'repository')));
      expect(inDirectory).toEqual(await wholeLife(memoryEnvironment()));
    } finally {
      await rm(directory, { recursive: true });
    }
  });

  it('that one machine began, another goes on with', async () => {
    const first = memoryEnvironment();
    const manager = await SnapshotManager.init({ environment: first }, PARAMETERS);
    const { id, checksum } = await manager.createSnapshot(memorySource(BEFORE), 'portable');
    const coder = inlineCoder({ sha256: nodeSha256, deflate: nodeDeflate });
    const other = await SnapshotManager.open({
      environment: memoryEnvironment({ blobs: first.blobs, sha256: nodeSha256, coder }),
    });
    await expectContent(other, id, BEFORE);
    const again = await other.createSnapshot(memorySource(BEFORE), 'node');
    expect(again).toMatchObject({ checksum, addedBytes: 0 });
    expect((await other.verifyRepository()).ok).toBe(true);
  });
});
