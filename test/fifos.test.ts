/** A FIFO where a file should be is an error, and never keeps the process waiting; and a second signal ends it, whatever waits. */
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { rm, symlink, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';
import { beforeEach, describe, expect, it } from 'vitest';
import { create, type Finished, json, start, startCli, text } from './support/cli.js';
import { freshDirectory } from './support/files.js';
import { finiteFbin } from './support/matrices.js';

const hasFifos = process.platform !== 'win32';
const path = freshDirectory();
let repo: string;

beforeEach(async () => {
  repo = path('repo');
  await text('init', repo);
  await writeFile(path('docs.jsonl'), '{"id":"a","vector":[1,2]}\n');
  await create(repo, path('docs.jsonl'));
});

/** Puts a FIFO at a place. */
async function fifo(place: string): Promise<string> {
  await rm(place, { force: true });
  execFileSync('mkfifo', [place]);
  return place;
}

/** Far longer than any of these commands takes on a busy machine. */
const PATIENCE_MS = 45_000;

/** Runs the command line to its end; one that waits for ever is ended, and has no exit code. */
async function run(...args: readonly string[]): Promise<Finished> {
  const { child, finished } = startCli(args);
  const timer = setTimeout(() => child.kill('SIGKILL'), PATIENCE_MS);
  return finished.finally(() => clearTimeout(timer));
}

describe.runIf(hasFifos)('a FIFO', () => {
  it.each(['metadata.json', 'checksum.sha256', 'vectors.bin.gz', 'metadata.bin.gz', 'index.bin.gz'])(
    'at %s of an exported folder is damage',
    async (name) => {
      const { path: folder } = await json<{ path: string }>('export', repo, 'latest', path('out'));
      await fifo(join(folder, name));
      const { code, stderr } = await run('import', repo, path('out'));
      expect(code).toBe(3);
      expect(stderr).toContain(`${name} cannot be read (it is no regular file)`);
      expect(stderr).toContain('IMPORT_DAMAGED');
    },
  );

  it('is no source, also behind a link', async () => {
    await fifo(path('pipe'));
    await symlink('pipe', path('link'));
    for (const source of [path('pipe'), path('link'), `jsonl:${path('pipe')}`, `fbin:${path('link')}`]) {
      const { code, stderr } = await run('create', repo, source);
      expect(code).toBe(1);
      expect(stderr).toContain('SOURCE_INVALID');
    }
  });

  it('is no journal of changes', async () => {
    const { code, stderr } = await run(
      'create',
      repo,
      path('docs.jsonl'),
      '--changes',
      await fifo(path('pipe')),
    );
    expect(code).toBe(1);
    expect(stderr).toContain('The source could not be read: it is no regular file.');
    expect(stderr).toContain(path('pipe'));
  });

  it('is no configuration of a schedule, and no state of one', async () => {
    const checked = await run('schedule', await fifo(path('pipe')), '--check');
    expect(checked.code).toBe(2);
    expect(checked.stderr).toContain('it is no regular file');
    await writeFile(
      path('schedule.yaml'),
      `stateFile: pipe\njobs: [{ name: docs, source: docs.jsonl, repository: repo, cron: '@daily' }]\n`,
    );
    const status = await run('schedule', path('schedule.yaml'), '--status');
    expect(status.code).toBe(0);
    expect(status.stdout).toContain('it is no regular file');
  });

  it('among the packs keeps nobody waiting, who reads those ahead', async () => {
    await writeFile(path('large.fbin'), finiteFbin(300_000, 8));
    await create(repo, path('large.fbin'));
    await fifo(join(repo, 'packs', '0'.repeat(32)));
    for (const args of [
      ['restore', repo, 'latest', path('out.fbin')],
      ['verify', repo],
    ]) {
      const { code, stderr } = await run(...args);
      expect(code).toBe(1);
      expect(stderr).toContain('Something else stands where a blob');
    }
  });

  it.each(['seal', 'CURRENT', 'LOCK', 'LOG', 'snapshots.cache'])(
    'at index/%s of a repository keeps nobody from working in it',
    async (name) => {
      await fifo(join(repo, 'index', name));
      expect((await run('list', repo)).code).toBe(0);
      expect((await run('restore', repo, 'latest', path('out.jsonl'))).code).toBe(0);
      expect((await run('create', repo, path('docs.jsonl'))).code).toBe(0);
      expect((await run('verify', repo)).code).toBe(0);
    },
  );
});

describe.runIf(hasFifos)('when a thread waits for ever', () => {
  const module = JSON.stringify(pathToFileURL(resolve('dist/cli/interrupt.js')).href);

  it.each([
    ['abort', 'SIGTERM'],
    ['abort', 'SIGINT'],
    ['exit', 'SIGTERM'],
  ] as const)('a second signal ends the process (%s, %s)', async (onInterrupt, signal) => {
    const script = `
      const { open } = await import('node:fs');
      const { watchSignals } = await import(${module});
      watchSignals('${onInterrupt}', (message) => console.log(message));
      open(${JSON.stringify(await fifo(path('pipe')))}, 'r', () => undefined);
      console.log('ready');
    `;
    const { child, finished } = start(process.execPath, ['--input-type=module', '--eval', script]);
    const timer = setTimeout(() => child.kill('SIGKILL'), PATIENCE_MS);
    await once(child.stdout as NodeJS.ReadableStream, 'data');
    await sleep(200); // The thread begins to wait.
    child.kill(signal);
    await (onInterrupt === 'abort' ? once(child.stdout as NodeJS.ReadableStream, 'data') : sleep(1000));
    child.kill(signal);
    expect(await finished).toMatchObject({ code: null, signal });
    clearTimeout(timer);
  });
});
