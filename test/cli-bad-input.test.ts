/** Bad input, as the command line tells it: a code, a place, a remedy, nothing lost, and no stack. */
import { appendFile, mkdir, readdir, readFile, rm, symlink, truncate, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join, resolve } from 'node:path';
import { once } from 'node:events';
import type { Snapshot, VerifyReport } from 'vecsnap';
import { encodeConfig, newConfig } from 'vecsnap/snapshot';
import { nodeSha256, systemRandom } from 'vecsnap/platform';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  cli,
  contentOf,
  create,
  failure,
  json,
  type PrintedError,
  type Started,
  start,
  startCli,
  text,
} from './support/cli.js';
import { freshDirectory, u32 } from './support/files.js';
import { finiteFbin } from './support/matrices.js';

const path = freshDirectory();
let repo: string;

beforeEach(async () => {
  repo = path('repo');
  await text('init', repo);
  await writeFile(path('docs.fbin'), finiteFbin(100, 8));
});

describe('an error', () => {
  it('is told to people without a stack, with its place, remedy and code', async () => {
    const { code, stdout, stderr } = await cli('list', path('none'));
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
    const lines = stderr.trimEnd().split('\n');
    expect(lines[0]).toBe('vecsnap: There is no repository at this path.');
    expect(lines[1]).toBe(`  place:  ${path('none')}`);
    expect(lines[2]).toMatch(/^ {2}remedy: .*vecsnap init/);
    expect(lines.slice(3)).toEqual(['  code:   REPOSITORY_MISSING']);
  });

  it('cannot disturb the terminal', async () => {
    const { stderr } = await cli('show', repo, 'a\u001b[31m\nb\u202e');
    expect(stderr).toContain('a\\u{1b}[31m\\nb\\u{202e}');
    // eslint-disable-next-line no-control-regex
    expect(stderr).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u202e]/);
  });
});

describe('a repository', () => {
  it.each([
    ['list', ['list', 'REPO']],
    ['show', ['show', 'REPO', 'x']],
    ['restore', ['restore', 'REPO', 'x', 'y']],
    ['verify', ['verify', 'REPO']],
    ['diff', ['diff', 'REPO', 'x', 'y']],
    ['forget', ['forget', 'REPO', 'x']],
    ['gc', ['gc', 'REPO']],
    ['stats', ['stats', 'REPO']],
    ['export', ['export', 'REPO', 'x', 'y']],
    ['import', ['import', 'REPO', 'x']],
    ['unlock', ['unlock', 'REPO']],
    ['repair', ['repair', 'REPO']],
  ])('that is missing is told by %s', async (_, args) => {
    const given = args.map((arg) => (arg === 'REPO' ? path('none') : arg));
    expect(await failure(1, ...given)).toMatchObject({ code: 'REPOSITORY_MISSING', place: path('none') });
    expect(await readdir(path())).not.toContain('none');
  });

  it('is not just any directory or file', async () => {
    await mkdir(path('empty'));
    for (const place of [path('empty'), path(), path('docs.fbin')])
      expect(await failure(1, 'list', place)).toMatchObject({ code: 'NOT_A_REPOSITORY' });
    await writeFile(join(repo, 'config'), 'something else');
    expect(await failure(1, 'list', repo)).toMatchObject({ code: 'NOT_A_REPOSITORY' });
    expect(await failure(1, 'list', 'x'.repeat(5000))).toMatchObject({ code: 'STORE_FAILED' });
  });

  it('is not the working directory when the path is empty, as with a variable that is not set', async () => {
    const empty = path('empty');
    await mkdir(empty);
    for (const command of ['init', 'list', 'gc']) {
      const { code, stderr } = await startCli([command, '', '--json'], empty).finished;
      expect({ code, stderr }).toEqual({ code: 2, stderr: expect.stringContaining('OPTION_INVALID') });
    }
    expect(await readdir(empty)).toEqual([]);
  });

  it('whose config is damaged or gone is damaged', async () => {
    await create(repo, path('docs.fbin'));
    const config = await readFile(join(repo, 'config'));
    config[20] = (config[20] as number) ^ 1;
    await writeFile(join(repo, 'config'), config);
    expect(await failure(3, 'list', repo)).toMatchObject({ code: 'REPOSITORY_DAMAGED' });
    await rm(join(repo, 'config'));
    expect(await failure(3, 'create', repo, path('docs.fbin'))).toMatchObject({ code: 'REPOSITORY_DAMAGED' });
  });

  it('of a newer format asks for a newer vecsnap', async () => {
    const { gear, ...config } = newConfig(systemRandom);
    const newer = { ...config, gear: { ...gear, algorithm: 'of tomorrow' } };
    await writeFile(join(repo, 'config'), encodeConfig(newer, nodeSha256));
    const error = await failure(1, 'list', repo);
    expect(error).toMatchObject({ code: 'REPOSITORY_NEWER' });
    expect(error.remedy).toMatch(/newer version/);
  });
});

describe('a repository that another process writes to', () => {
  let holder: Started;

  beforeEach(async () => {
    await create(repo, path('docs.fbin'));
    holder = start(process.execPath, [resolve('test/support/lease-child.mjs'), 'hold', repo]);
    await once(holder.child.stdout as NodeJS.ReadableStream, 'data');
  });

  afterEach(async () => {
    holder.child.kill('SIGKILL');
    await holder.finished;
  });

  it.each([
    ['create', ['create', 'REPO', 'SOURCE']],
    ['forget', ['forget', 'REPO', 'latest']],
    ['gc', ['gc', 'REPO']],
    ['repair', ['repair', 'REPO']],
  ])('refuses %s and names the holder', async (_, args) => {
    const given = args.map((arg) => (arg === 'REPO' ? repo : arg === 'SOURCE' ? path('docs.fbin') : arg));
    const before = await contentOf(repo);
    const error = await failure(1, ...given, '--lock-timeout', '0.3');
    expect(error.code).toBe('REPOSITORY_LOCKED');
    expect(error.message).toContain(`process ${holder.child.pid} on ${hostname()}`);
    expect(error.remedy).toContain('Waited 300 ms');
    expect(await contentOf(repo)).toEqual(before);
  });

  it('still lists, shows, restores, verifies, compares and audits', async () => {
    await text('list', repo);
    await text('show', repo, 'latest');
    await text('restore', repo, 'latest', path('out.fbin'));
    await text('verify', repo);
    await text('diff', repo, 'latest', 'latest');
    await text('stats', repo);
  });

  it('is waited for', async () => {
    const waiting = create(repo, path('docs.fbin'), '--name', 'second', '--lock-timeout', '60');
    holder.child.kill('SIGKILL');
    expect(await waiting).toMatchObject({ name: 'second' });
  });
});

describe('a source', () => {
  async function refuses(source: string, code: string): Promise<PrintedError> {
    const before = await contentOf(repo);
    const error = await failure(1, 'create', repo, source);
    expect(error).toMatchObject({
      code,
      place: expect.any(String) as string,
      remedy: expect.any(String) as string,
    });
    expect(await contentOf(repo)).toEqual(before);
    return error;
  }

  it('that is missing', async () => {
    await refuses(path('none.fbin'), 'SOURCE_MISSING');
    await refuses(`npy:${path('none')}`, 'SOURCE_MISSING');
    await symlink('nowhere', path('link.fbin'));
    await refuses(path('link.fbin'), 'SOURCE_MISSING');
  });

  it('that is cut short', async () => {
    await truncate(path('docs.fbin'), 1000);
    await refuses(path('docs.fbin'), 'SOURCE_TRUNCATED');
  });

  it('whose header disagrees with its size', async () => {
    await appendFile(path('docs.fbin'), 'more');
    await refuses(path('docs.fbin'), 'SOURCE_INVALID');
    await writeFile(path('zero.fbin'), u32(5, 0));
    await refuses(path('zero.fbin'), 'SOURCE_INVALID');
  });

  it('with two records of one id', async () => {
    await writeFile(
      path('a.jsonl'),
      '{"id":"x","vector":[1]}\n{"id":"y","vector":[1]}\n{"id":"x","vector":[2]}\n',
    );
    expect((await refuses(path('a.jsonl'), 'SOURCE_DUPLICATE_ID')).message).toContain('x');
  });

  it('with vectors of several dimensions', async () => {
    await writeFile(path('a.jsonl'), '{"id":"x","vector":[1]}\n{"id":"y","vector":[1,2]}\n');
    await refuses(path('a.jsonl'), 'SOURCE_DIMENSION');
  });

  it('of an unknown scheme', async () => {
    expect((await refuses('nosuch:place', 'SOURCE_UNRECOGNISED')).remedy).toContain('fbin:');
  });

  it('with NaN and infinity is taken bit for bit, and they are counted', async () => {
    const bytes = finiteFbin(100, 8);
    const view = new DataView(bytes.buffer);
    view.setUint32(8 + 4 * 50, 0x7fc01234, true);
    view.setFloat32(8 + 4 * 60, -Infinity, true);
    await writeFile(path('odd.fbin'), bytes);
    expect(await create(repo, path('odd.fbin'))).toMatchObject({ nonFiniteCount: 2 });
    await text('restore', repo, 'odd', path('out.fbin'));
    expect(new Uint8Array(await readFile(path('out.fbin')))).toEqual(bytes);
  });

  it('without records is a snapshot too', async () => {
    await writeFile(path('empty.fbin'), u32(0, 8));
    expect(await create(repo, path('empty.fbin'))).toMatchObject({ vectorCount: 0 });
    await text('restore', repo, 'empty', path('out.fbin'));
    expect(new Uint8Array(await readFile(path('out.fbin')))).toEqual(u32(0, 8));
  });
});

describe('a snapshot', () => {
  it('that nobody knows', async () => {
    expect((await failure(1, 'show', repo, 'latest')).remedy).toContain('create');
    await create(repo, path('docs.fbin'));
    for (const name of ['nobody', 'x', '', 'a'.repeat(10_000)])
      expect(await failure(1, 'show', repo, name)).toMatchObject({ code: 'SNAPSHOT_UNKNOWN' });
  });

  it('that is one of several', async () => {
    const { id } = await create(repo, path('docs.fbin'));
    // An id of another time with the same end, which chance would not give.
    const twin = `0${id.slice(1, 9)}${id[9] === '0' ? '1' : '0'}${id.slice(10)}`;
    await text('export', repo, 'latest', path('out'));
    const { decodeSnapshot, encodeSnapshot } = await import('vecsnap/snapshot');
    const blob = decodeSnapshot(await readFile(join(repo, 'snapshots', id)), `snapshots/${id}`, nodeSha256);
    await writeFile(join(repo, 'snapshots', twin), encodeSnapshot({ ...blob, id: twin }, nodeSha256));
    const error = await failure(1, 'restore', repo, id.slice(-8), path('out.fbin'));
    expect(error).toMatchObject({ code: 'SNAPSHOT_AMBIGUOUS', place: id.slice(-8) });
    for (const one of [id, twin]) expect(error.remedy).toContain(one);
    expect(await json<Snapshot>('show', repo, twin)).toMatchObject({ id: twin });
  });

  it('whose blob is cut short is told apart from one that nobody knows, and leaves the others alone', async () => {
    const first = await create(repo, path('docs.fbin'));
    const second = await create(repo, path('docs.fbin'));
    await truncate(join(repo, 'snapshots', second.id), 100);
    const listed = await cli('list', repo, '--json');
    expect(listed.code).toBe(3);
    expect(JSON.parse(listed.stdout)).toEqual([first]);
    expect(JSON.parse(listed.stderr)).toEqual({ warning: '1 snapshot cannot be read; verify tells more' });
    const shown = await cli('show', repo, second.id, '--json');
    expect(shown.code).toBe(3);
    expect(shown.stderr).toContain('SNAPSHOT_DAMAGED');
    const report = JSON.parse((await cli('verify', repo, '--json')).stdout) as VerifyReport;
    expect(report.problems).toEqual([
      expect.objectContaining({ code: 'SNAPSHOT_DAMAGED', blob: `snapshots/${second.id}` }),
    ]);
    expect(await failure(3, 'gc', repo)).toMatchObject({ code: 'SWEEP_REFUSED' });
    const restored = await cli('restore', repo, first.id, path('out.fbin'));
    expect(restored).toMatchObject({
      code: 0,
      stderr: 'vecsnap: 1 snapshot cannot be read; verify tells more\n',
    });
  });

  it('whose pack is gone is damaged', async () => {
    await create(repo, path('docs.fbin'));
    await rm(join(repo, 'packs'), { recursive: true });
    const report = await cli('verify', repo, '--json');
    expect(report.code).toBe(3);
    expect(JSON.parse(report.stdout)).toMatchObject({ ok: false });
    expect(['CHUNK_MISSING', 'PACK_MISSING']).toContain(
      (await failure(3, 'restore', repo, 'docs', path('o.fbin'))).code,
    );
    expect(await failure(3, 'gc', repo)).toMatchObject({ code: 'SWEEP_REFUSED' });
  });
});

describe('names', () => {
  const LONG = 'ü'.repeat(5000);

  it.each([
    ['with spaces', ' two  words '],
    ['with slashes', '../../etc/passwd'],
    ['with what is not ASCII', 'Größe 大きさ 👩‍🚀'],
    ['of ten kilobytes', LONG],
    ['with a newline and an escape', 'a\n\u001b[2Jb'],
    ['that looks like an option', '--full'],
  ])('%s are kept and found', async (_, name) => {
    const given = [`--name=${name}`, `--collection=${name}`, `--tag=${name}`, `--metadata=${name}=${name}`];
    const snapshot = await create(repo, path('docs.fbin'), ...given);
    const metadata = { [name.includes('=') ? '' : name]: name };
    expect(snapshot).toMatchObject({ name, collection: name, tags: [name], metadata });
    expect(await json('list', repo, `--collection=${name}`)).toEqual([snapshot]);
    await text('restore', repo, '--', name, path('out.fbin'));
    for (const output of [
      await text('list', repo),
      await text('show', repo, 'latest'),
      await text('stats', repo),
    ]) {
      // eslint-disable-next-line no-control-regex
      expect(output).not.toMatch(/[\u0000-\u0009\u000b-\u001f]/);
    }
    for (const line of (await text('list', repo)).split('\n')) expect(line.length).toBeLessThan(200);
    expect((await text('verify', repo, '--', name)).length).toBeLessThan(200);
  });

  it('of sources and targets may have spaces, and letters of any kind', async () => {
    const odd = path('größe & more');
    await mkdir(odd);
    await writeFile(join(odd, 'a b ü.fbin'), finiteFbin(10, 8));
    expect(await create(repo, join(odd, 'a b ü.fbin'))).toMatchObject({ name: 'a b ü', collection: 'a b ü' });
    await text('restore', repo, 'a b ü', join(odd, 'out 大.fbin'));
    expect(await readFile(join(odd, 'out 大.fbin'))).toEqual(await readFile(join(odd, 'a b ü.fbin')));
  });

  it('beyond all measure are refused', async () => {
    const error = await failure(2, 'create', repo, path('docs.fbin'), '--name', 'x'.repeat(70_000));
    expect(error).toMatchObject({ code: 'OPTION_INVALID', place: 'name' });
  });
});
