/** A small repository with everything in it: records and files, full and incremental snapshots, deltas, garbage. For tests of faults and damage. */
import { type Schema, toHex, utf8 } from 'vecsnap/core';
import { nodeSha256 } from 'vecsnap/platform';
import { type Environment, type Snapshot, SnapshotManager } from 'vecsnap/snapshot';
import { seededBytes } from './files.js';
import { memorySource, MemoryTarget, type TestContent } from './memory-environment.js';
import { recordText, type TestRecord } from './records.js';

const SCHEMA: Schema = {
  id: 'string',
  payload: 'json',
  vectors: [{ name: 'v', dtype: 'f32', dimension: 128 }],
};

/** Small groups, chunks, nodes and packs, so that there are many of each, and so that what is damaged is mended soon: that takes their square. */
export const PARAMETERS = {
  rowGroups: { targetBytes: 4000, minRecords: 3, maxRecords: 64 },
  gear: { min: 256, avg: 1024, max: 4096 },
  fixed: { size: 1024 },
  nodes: { window: 2, max: 12 },
  packBytes: 10_000,
};

function vectorOf(seed: number): Uint8Array {
  const bytes = seededBytes(128, seed);
  return new Uint8Array(Float32Array.from(bytes, (byte) => (byte - 128) / 500).buffer);
}

function recordsOf(count: number, change: (i: number) => number): TestRecord[] {
  return Array.from({ length: count }, (_, i) => ({
    id: `record ${String(i).padStart(4, '0')}`,
    vectors: [vectorOf(i + 1 + change(i))],
    payload: utf8(`{"n":${i},"text":"the text of record ${i + change(i)}, which is none of the shortest"}`),
  }));
}

const files = (seed: number) => [
  { path: 'a/empty', mode: 0o600, bytes: new Uint8Array(0) },
  { path: 'b/links.bin', mode: 0o644, bytes: seededBytes(5000, seed) },
  { path: 'c.txt', mode: 0o644, bytes: utf8('some text, again and again. '.repeat(120)) },
];

/** What the snapshots hold, by their names. */
export const CONTENT: Readonly<Record<string, TestContent>> = {
  old: { schema: SCHEMA, records: recordsOf(70, (i) => (i % 9 === 0 ? 7000 : 0)) },
  first: { schema: SCHEMA, records: recordsOf(80, () => 0) },
  second: { schema: SCHEMA, records: recordsOf(82, (i) => (i % 17 === 3 ? 500 : 0)) },
  files: { files: files(3) },
  next: { schema: SCHEMA, records: recordsOf(85, (i) => (i % 23 === 5 ? 900 : 0)) },
};

/** The snapshots of the repository, by their names. */
export type Named = Readonly<Record<string, Snapshot>>;

export function content(name: string): TestContent {
  const found = CONTENT[name];
  if (found === undefined) throw new Error(`there is no content ${name}`);
  return found;
}

function snapshot(snapshots: Named, name: string): Snapshot {
  const found = snapshots[name];
  if (found === undefined) throw new Error(`there is no snapshot ${name}`);
  return found;
}

/** Makes the repository: `first`, `second` told by `first`, and `files`; `old` was forgotten and not swept. */
export async function makeRepository(environment: Environment): Promise<Named> {
  const manager = await SnapshotManager.init({ environment }, PARAMETERS);
  const old = await manager.createSnapshot(memorySource(content('old')), 'old');
  const first = await manager.createSnapshot(memorySource(content('first')), 'first');
  const second = await manager.createIncrementalSnapshot(memorySource(content('second')), 'second', first.id);
  const withFiles = await manager.createSnapshot(memorySource(content('files'), 'files'), 'files');
  await manager.deleteSnapshot(old.id);
  await manager.close();
  return { first, second, files: withFiles };
}

/** What people do with it. */
export const OPERATIONS: Readonly<
  Record<string, (manager: SnapshotManager, snapshots: Named) => Promise<unknown>>
> = {
  'create full': (manager) => manager.createSnapshot(memorySource(content('next')), 'next'),
  'create incremental': (manager, snapshots) =>
    manager.createIncrementalSnapshot(
      memorySource(content('next')),
      'next',
      snapshot(snapshots, 'second').id,
    ),
  forget: (manager, snapshots) => manager.deleteSnapshot(snapshot(snapshots, 'first').id),
  gc: (manager) => manager.collectGarbage({ maxUnused: 0 }),
  verify: (manager) => manager.verifyRepository(),
  restore: (manager, snapshots) =>
    manager.restoreSnapshot(snapshot(snapshots, 'second').id, new MemoryTarget()),
  list: (manager) => manager.listSnapshots(),
  diff: (manager, snapshots) =>
    manager.diffSnapshots(snapshot(snapshots, 'first').id, snapshot(snapshots, 'second').id),
  stats: (manager) => manager.stats(),
  repair: (manager) => manager.repair(),
};

/** The content of a snapshot as text that is equal for equal content and for no other. */
export function textOf({ records = [], files: all = [] }: Pick<TestContent, 'records' | 'files'>): string {
  const lines = all.map(({ path, mode, bytes }) => `${path} ${mode} ${toHex(nodeSha256(bytes))}`);
  return [...records.map(recordText), ...lines].join('\n');
}

/** What a snapshot restores to, as {@link textOf} says it. */
export async function restoredText(manager: SnapshotManager, id: string): Promise<string> {
  const target = new MemoryTarget();
  await manager.restoreSnapshot(id, target);
  return textOf(target);
}

/** What is wrong with a repository that should be sound: it opens, verifies, restores exactly, and goes on. */
export async function flawsOf(environment: Environment, expected: readonly string[]): Promise<string[]> {
  const flaws: string[] = [];
  const manager = await SnapshotManager.open({ environment });
  const { snapshots, problems } = await manager.listAll();
  flaws.push(...problems.map(({ blob, error }) => `${blob}: ${error.message}`));
  for (const name of expected) if (!snapshots.some((one) => one.name === name)) flaws.push(`${name} is gone`);
  const report = await manager.verifyRepository();
  flaws.push(...report.problems.map(({ code, message, blob }) => `${code} ${message} ${blob ?? ''}`));
  for (const { id, name } of snapshots)
    if ((await restoredText(manager, id)) !== textOf(content(name)))
      flaws.push(`${name} is restored as something else`);
  const { id } = await manager.createSnapshot(memorySource(content('next')), 'next');
  if ((await restoredText(manager, id)) !== textOf(content('next'))) flaws.push('what comes next is wrong');
  await manager.collectGarbage({ maxUnused: 0 });
  if ((await restoredText(manager, id)) !== textOf(content('next')))
    flaws.push('what comes next is wrong after a sweep');
  const { unreferencedBytes } = await manager.stats();
  if (unreferencedBytes !== 0) flaws.push(`${unreferencedBytes} bytes are left over after a sweep`);
  await manager.close();
  return flaws;
}
