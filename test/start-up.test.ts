/** How much code commands load before they do anything: each file takes a quarter of a millisecond, whatever the machine does besides. */
import { spawnSync } from 'node:child_process';
import { mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { SnapshotManager } from 'vecsnap';
import { fbin, matrixSource } from 'vecsnap/source';
import { beforeEach, describe, expect, it } from 'vitest';
import { freshDirectory } from './support/files.js';
import { finiteFbin } from './support/matrices.js';

const ROOT = join(import.meta.dirname, '..');
/** So many new snapshots are worth a cache. */
const MANY = 64;
const WORKER = 'dist/platform/pool-worker.js';

const path = freshDirectory();

beforeEach(async () => {
  await writeFile(path('docs.fbin'), finiteFbin(10, 8));
  await (await SnapshotManager.init({ snapshotDir: path('repo') })).close();
});

/** The files that a command loads in all its threads, as paths in this project: V8 names every script of which it has run anything. */
async function loadedBy(...args: readonly string[]): Promise<{ ours: string[]; others: string[] }> {
  const coverage = path('coverage');
  await mkdir(coverage, { recursive: true });
  const before = new Set(await readdir(coverage));
  const { status, stderr } = spawnSync(process.execPath, [join(ROOT, 'dist/cli/main.js'), ...args], {
    env: { ...process.env, NODE_V8_COVERAGE: coverage },
    encoding: 'utf8',
  });
  expect(stderr).toBe('');
  expect(status).toBe(0);
  const reports = (await readdir(coverage)).filter((name) => !before.has(name));
  const urls = new Set<string>();
  for (const name of reports) {
    const report = JSON.parse(await readFile(join(coverage, name), 'utf8')) as { result: { url: string }[] };
    for (const { url } of report.result) if (url.startsWith('file:')) urls.add(url);
  }
  const files = [...urls].map((url) => fileURLToPath(url).slice(ROOT.length + 1)).toSorted();
  return {
    ours: files.filter((file) => file.startsWith('dist/')),
    others: files.filter((file) => !file.startsWith('dist/')),
  };
}

/** Takes snapshots, and lists them so that they are cached. */
async function takeMany(): Promise<void> {
  const manager = await SnapshotManager.open({ snapshotDir: path('repo') });
  const source = matrixSource(fbin, path('docs.fbin'));
  for (let i = 0; i < MANY; i++) await manager.createSnapshot(source, `night ${i}`);
  await manager.listSnapshots();
  await manager.close();
}

describe('what a command loads', () => {
  it('is the least to tell the version', async () => {
    const { ours, others } = await loadedBy('--version');
    expect(ours.length).toBeLessThanOrEqual(8);
    expect(others.every((file) => /^node_modules\/(commander|pretty-bytes)\//.test(file))).toBe(true);
  });

  it('is little to list snapshots and to show one, and nothing that reads or writes chunks', async () => {
    await takeMany();
    for (const args of [
      ['list', path('repo')],
      ['show', path('repo'), 'latest'],
    ]) {
      const { ours, others } = await loadedBy(...args);
      expect(ours.length).toBeLessThanOrEqual(42);
      expect(ours.filter((file) => file.endsWith('/index.js'))).toEqual([]);
      expect(others.every((file) => /^node_modules\/(commander|pretty-bytes)\//.test(file))).toBe(true);
    }
  });

  it('has a ceiling for a snapshot of a small file, for which no thread is started', async () => {
    const { ours, others } = await loadedBy('create', path('repo'), path('docs.fbin'));
    expect(ours.length).toBeLessThanOrEqual(131);
    expect(others.length).toBeLessThanOrEqual(49);
    expect(ours).not.toContain(WORKER);
  });

  it.skipIf(availableParallelism() < 2)(
    'includes threads for a larger file, where the machine runs two at once',
    async () => {
      await writeFile(path('docs.fbin'), finiteFbin(4000, 8));
      const { ours } = await loadedBy('create', path('repo'), path('docs.fbin'));
      expect(ours).toContain(WORKER);
    },
  );

  it.skipIf(availableParallelism() < 2)(
    'includes one set of threads where they are started before all else, and no error ends worse for it',
    async () => {
      await writeFile(path('docs.fbin'), finiteFbin(300_000, 8)); // Large enough.
      const workers = 'process.on("worker", () => console.error("a worker"));';
      const hook = `data:text/javascript,${encodeURIComponent(workers)}`;
      const run = (...args: readonly string[]) =>
        spawnSync(process.execPath, ['--import', hook, join(ROOT, 'dist/cli/main.js'), ...args], {
          encoding: 'utf8',
        });
      const once = 'a worker\n'.repeat(availableParallelism() - 1);
      expect(run('create', path('repo'), path('docs.fbin'))).toMatchObject({ status: 0, stderr: once });
      expect(run('verify', path('repo'))).toMatchObject({ status: 0, stderr: once });
      expect(run('restore', path('repo'), 'latest', path('out.fbin'))).toMatchObject({
        status: 0,
        stderr: once,
      });
      const { status, stderr } = run('create', path('missing'), path('docs.fbin'));
      expect(status).toBe(1);
      expect(stderr).toContain('REPOSITORY_MISSING');
    },
  );
});

it('every file that is loaded before it is needed is there', async () => {
  const files = [
    ...(await readFile(join(ROOT, 'dist/cli/loading.js'), 'utf8')).matchAll(/'(\.[\w./-]+\.js)'/g),
  ];
  expect(files.length).toBeGreaterThan(8);
  for (const [, file] of files) await stat(join(ROOT, 'dist/cli', file as string));
});

it('commands work where Node.js cannot load modules by require', async () => {
  const options = ['--no-experimental-require-module', join(ROOT, 'dist/cli/main.js')];
  const run = (...args: readonly string[]) =>
    spawnSync(process.execPath, [...options, ...args], { encoding: 'utf8' });
  for (const args of [
    ['create', path('repo'), path('docs.fbin')],
    ['list', path('repo')],
    ['restore', path('repo'), 'latest', path('out.fbin')],
  ])
    expect(run(...args)).toMatchObject({ status: 0, stderr: '' });
  expect(await readFile(path('out.fbin'))).toEqual(await readFile(path('docs.fbin')));
});
