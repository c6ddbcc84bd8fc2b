/** The package as npm delivers it: installed from its tarball in an empty project, as a library and as a command. */
import { execFile } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { environmentWithCertificates } from './support/certificates.js';

const run = promisify(execFile);
const MINUTES = 60_000;

describe('the package', () => {
  let project: string;

  beforeAll(async () => {
    project = await mkdtemp(join(tmpdir(), 'vecsnap-package-'));
    await run('npm', ['pack', '--ignore-scripts', '--pack-destination', project], { cwd: resolve('.') });
    const tarball = (await readdir(project)).find((name) => name.endsWith('.tgz'));
    await writeFile(join(project, 'package.json'), JSON.stringify({ private: true, type: 'module' }));
    // Install scripts may be off on a user's machine, so they are off here.
    await run('npm', ['install', '--ignore-scripts', '--no-audit', '--no-fund', `./${tarball}`], {
      cwd: project,
      env: environmentWithCertificates(),
    });
    const matrix = Buffer.concat([
      Buffer.from(Uint32Array.of(100, 16).buffer),
      Buffer.from(Float32Array.from({ length: 1600 }, (_, i) => Math.sin(i)).buffer),
    ]);
    await writeFile(join(project, 'vectors.fbin'), matrix);
  }, 3 * MINUTES);

  afterAll(() => rm(project, { recursive: true, force: true }));

  it('works as a library', { timeout: MINUTES }, async () => {
    await writeFile(
      join(project, 'use.mjs'),
      `import { resolveSource, resolveTarget, SnapshotManager } from 'vecsnap';
       import { gearCutter } from 'vecsnap/chunker';
       import { memoryBlobStore } from 'vecsnap/blob';
       const manager = await SnapshotManager.init({ snapshotDir: 'library' });
       const snapshot = await manager.createSnapshot(await resolveSource('vectors.fbin'), 'first');
       await manager.restoreSnapshot(snapshot.id, await resolveTarget('library.fbin'));
       await manager.close();
       console.log(snapshot.vectorCount, typeof gearCutter, typeof memoryBlobStore);`,
    );
    const { stdout } = await run('node', ['use.mjs'], { cwd: project });
    expect(stdout.trim()).toBe('100 function function');
    expect(await readFile(join(project, 'library.fbin'))).toEqual(
      await readFile(join(project, 'vectors.fbin')),
    );
  });

  it('works as a command', { timeout: MINUTES }, async () => {
    const vecsnap = (...words: string[]) =>
      run('npx', ['--no-install', 'vecsnap', ...words], { cwd: project });
    await vecsnap('init', 'repo');
    await vecsnap('create', 'repo', 'vectors.fbin');
    await vecsnap('restore', 'repo', 'latest', 'command.fbin');
    expect(await readFile(join(project, 'command.fbin'))).toEqual(
      await readFile(join(project, 'vectors.fbin')),
    );
  });

  it(
    'says which package to install for a database whose package is not there',
    { timeout: MINUTES },
    async () => {
      await writeFile(
        join(project, 'records.jsonl'),
        '{"id":"a","vector":[1,0.5],"metadata":{"title":"one"}}\n{"id":"b","vector":[0.25,2]}\n',
      );
      const vecsnap = (...words: string[]) =>
        run('npx', ['--no-install', 'vecsnap', ...words], { cwd: project });
      await vecsnap('init', 'records');
      await vecsnap('create', 'records', 'records.jsonl');
      await expect(vecsnap('restore', 'records', 'latest', 'ruvector:out.db')).rejects.toMatchObject({
        code: 1,
        stderr: expect.stringContaining('npm install @ruvector/core') as string,
      });
    },
  );

  it('has no tests, sources or build state in it', async () => {
    const installed = await readdir(join(project, 'node_modules/vecsnap'));
    expect(installed.toSorted()).toEqual([
      'CHANGELOG.md',
      'LICENSE',
      'README.md',
      'SECURITY.md',
      'dist',
      'docs',
      'package.json',
    ]);
    const dist = await readdir(join(project, 'node_modules/vecsnap/dist'));
    expect(dist).not.toContain('.tsbuildinfo');
  });
});
