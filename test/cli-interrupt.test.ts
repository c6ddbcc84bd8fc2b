/** The command line when something comes between: Ctrl-C, a full disk, a reader that stops reading, a terminal. */
import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Snapshot, VerifyReport } from 'vecsnap';
import { beforeEach, describe, expect, it } from 'vitest';
import { cli, contentOf, create, json, MAIN, start, startCli, type Started, text } from './support/cli.js';
import { freshDirectory, seededBytes, u32 } from './support/files.js';
import { finiteFbin } from './support/matrices.js';
import { canMount } from './support/mounts.js';

const path = freshDirectory();
let repo: string;

beforeEach(async () => {
  repo = path('repo');
  await text('init', repo);
  await writeFile(path('small.fbin'), finiteFbin(100, 8));
  await create(repo, path('small.fbin'));
});

/** A file whose snapshot makes many packs. */
async function largeFile(name: string, megabytes: number): Promise<string> {
  const rows = (megabytes * 2 ** 20) / 1024;
  await writeFile(path(name), [u32(rows, 256), seededBytes(rows * 1024, 7)]);
  return path(name);
}

/** Resolves when the repository has more packs than before: the work is in full swing. */
async function firstPack(before: number): Promise<void> {
  while ((await readdir(join(repo, 'packs'))).length <= before) await sleep(2);
}

describe('a signal in the middle of create', () => {
  let before: Record<string, string>;
  let running: Started;

  beforeEach(async () => {
    const source = await largeFile('large.fbin', 160);
    before = await contentOf(repo);
    running = startCli(['create', repo, source]);
    await firstPack(1);
  });

  it.each([
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ] as const)('%s leaves the repository as it was, and the next create works', async (signal, code) => {
    running.child.kill(signal);
    const finished = await running.finished;
    expect(finished).toMatchObject({ code, stdout: '' });
    expect(finished.stderr).toMatch(
      /^vecsnap: stopping; once more to end at once\nvecsnap: The work was interrupted\.\n/,
    );
    expect(finished.stderr).toContain('code:   ABORTED');
    expect(await contentOf(repo)).toEqual(before);
    expect(await create(repo, path('small.fbin'))).toMatchObject({ addedBytes: 0 });
    expect(await json<VerifyReport>('verify', repo)).toMatchObject({ ok: true });
  });

  it('twice ends the process at once, and the next create works all the same', async () => {
    running.child.kill('SIGINT');
    running.child.kill('SIGTERM');
    const { code, signal } = await running.finished;
    expect(code).toBe(null); // A shell shows 130 or 143.
    expect(['SIGINT', 'SIGTERM']).toContain(signal);
    expect(await create(repo, path('small.fbin'))).toMatchObject({ addedBytes: 0 });
    await text('gc', repo);
    expect(Object.keys(await contentOf(repo)).filter((name) => name.startsWith('packs/'))).toHaveLength(1);
    expect(await json<VerifyReport>('verify', repo)).toMatchObject({ ok: true });
  });
});

describe('Ctrl-C elsewhere', () => {
  it('stops a restore and leaves nothing at the target', async () => {
    await create(repo, await largeFile('large.fbin', 96));
    const running = startCli(['restore', repo, 'large', path('out.fbin')]);
    while (!(await readdir(path())).some((name) => name.startsWith('out.fbin') || name.includes('out.fbin')))
      await sleep(1);
    running.child.kill('SIGINT');
    expect(await running.finished).toMatchObject({ code: 130 });
    expect((await readdir(path())).toSorted()).toEqual(['large.fbin', 'repo', 'small.fbin']);
  });

  it('stops the wait for another writer', async () => {
    const holder = start(process.execPath, ['test/support/lease-child.mjs', 'hold', repo]);
    await new Promise((resolve) => holder.child.stdout?.once('data', resolve));
    const running = startCli(['forget', repo, 'latest', '--lock-timeout', '600']);
    await sleep(1000); // It takes that long to start and to begin to wait; sooner, it ends just the same.
    running.child.kill('SIGINT');
    expect(await running.finished).toMatchObject({ code: 130 });
    holder.child.kill('SIGKILL');
    await holder.finished;
    expect(await json<Snapshot[]>('list', repo)).toHaveLength(1);
  });
});

describe('a full disk', () => {
  const mayMount = canMount();
  if (!mayMount) console.warn('Not tested with a full disk: this system does not let the user mount one.');

  it.runIf(mayMount)(
    'in the middle of create leaves the repository as it was, and the next create works',
    async () => {
      await largeFile('large.fbin', 64);
      const script = `
      set -u
      vecsnap() { "$NODE" "$MAIN" "$@"; }
      list() { (cd repo && find packs snapshots tmp locks -type f -exec sha256sum {} + | sort -rk2); }
      mount -t tmpfs -o size=40m none "$PLACE/disk" && cd "$PLACE/disk" || exit 99
      vecsnap init repo && vecsnap create repo ../small.fbin || exit 98
      list > ../before
      vecsnap create repo ../large.fbin --json > ../stdout 2> ../stderr
      echo $? > ../code
      list > ../after
      vecsnap create repo ../small.fbin --name next --json > ../next || exit 97
      vecsnap verify repo || exit 96
    `;
      execFileSync('mkdir', [path('disk')]);
      execFileSync('unshare', ['--mount', '--map-root-user', 'sh', '-c', script], {
        env: { ...process.env, PLACE: path(), MAIN, NODE: process.execPath },
      });
      const read = (name: string): Promise<string> => readFile(path(name), 'utf8');
      expect(await read('code')).toBe('1\n');
      expect(await read('stdout')).toBe('');
      expect(JSON.parse(await read('stderr'))).toMatchObject({ error: { code: 'STORE_FULL' } });
      expect(await read('before')).toMatch(/snapshots\/\w+\n.*packs\//);
      expect(await read('after')).toBe(await read('before'));
      expect(JSON.parse(await read('next'))).toMatchObject({ name: 'next', addedBytes: 0 });
    },
  );
});

describe('output', () => {
  it('into a pipe that closes early ends quietly', async () => {
    for (let i = 0; i < 3; i++) await create(repo, path('small.fbin'), '--name', 'x'.repeat(60_000));
    const { stdout, stderr } = await start('sh', [
      '-c',
      `"${process.execPath}" "${MAIN}" list "${repo}" --json | head -n 2`,
    ]).finished;
    expect(stdout).toMatch(/^\[\n/);
    expect(stderr).toBe('');
  });

  it('that cannot be written is an error', async () => {
    const { code, stderr } = await start('sh', [
      '-c',
      `"${process.execPath}" "${MAIN}" list "${repo}" > /dev/full`,
    ]).finished;
    expect(code).toBe(1);
    expect(stderr).toContain('cannot write the output');
  });

  it('shows no progress where there is no terminal', async () => {
    const { stderr } = await cli('create', repo, await largeFile('large.fbin', 48));
    expect(stderr).toBe('');
  });

  const hasScript = existsSync('/usr/bin/script');

  it.runIf(hasScript)('shows progress on a terminal, but not with --json', async () => {
    const source = await largeFile('large.fbin', 96);
    const onTerminal = (...args: readonly string[]) => {
      const command = ['stty', 'cols', '80;', process.execPath, MAIN, ...args].join(' ');
      return start('script', ['-qec', command, '/dev/null']).finished;
    };
    const { stdout, code } = await onTerminal('create', repo, source);
    expect(code).toBe(0);
    expect(stdout).toMatch(/Taking {2}\[=* *\] +\d+ % {2}[\d.]+ \w+ of 101 MB/);
    expect(stdout).toContain('Snapshot ');
    // eslint-disable-next-line no-control-regex
    expect((await onTerminal('verify', repo, '--json')).stdout).not.toMatch(/\u001b|Verifying/);
    await create(repo, path('small.fbin'), '--name', 'long '.repeat(40));
    const { stdout: table } = await onTerminal('list', repo);
    for (const line of table.trim().split('\r\n')) expect(line.length).toBeLessThanOrEqual(80);
    expect(table).toContain('…');
  });
});
