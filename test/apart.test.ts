/** What is restored or exported never touches the repository that it comes from, by whatever way the target leads there. */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { lstat, mkdir, readdir, readFile, realpath, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Snapshot, SnapshotManager } from 'vecsnap';
import {
  directorySource,
  directoryTarget,
  fbin,
  fileSource,
  fileTarget,
  jsonlSource,
  jsonlTarget,
  matrixSource,
  matrixTarget,
  ruvectorTarget,
  type Target,
} from 'vecsnap/source';
import { beforeEach, describe, expect, it } from 'vitest';
import { expectCode } from './contract/source.js';
import { cli, failure, MAIN, startCli, text } from './support/cli.js';
import { freshDirectory, seededBytes } from './support/files.js';
import { finiteFbin } from './support/matrices.js';
import { canMount } from './support/mounts.js';

const path = freshDirectory();
const base = (...parts: readonly string[]): string => path('base', ...parts);
const repo = (...parts: readonly string[]): string => base('repo', ...parts);

beforeEach(async () => {
  await mkdir(base('data'), { recursive: true });
  await writeFile(base('data', 'f'), 'hello\n');
  await writeFile(base('one.txt'), 'one\n');
  await writeFile(base('docs.fbin'), finiteFbin(10, 8));
  await writeFile(base('docs.jsonl'), '{"id":"a","vector":[1,2]}\n');
  const manager = await SnapshotManager.init({ snapshotDir: repo() });
  await manager.createSnapshot(directorySource(base('data')), 'tree');
  await manager.createSnapshot(fileSource(base('one.txt')), 'one');
  await manager.createSnapshot(matrixSource(fbin, base('docs.fbin')), 'matrix');
  await manager.createSnapshot(jsonlSource(base('docs.jsonl')), 'lines');
  await manager.close();
});

/** Every path below the directory of the test, with what stands there; the index changes when it is opened. */
async function everything(): Promise<string[]> {
  const found = await readdir(path(), { recursive: true, withFileTypes: true });
  const lines = found.map(async (entry) => {
    const place = join(entry.parentPath, entry.name);
    const { ino } = await lstat(place);
    const bytes = entry.isFile() ? await readFile(place) : '';
    return `${place} ${ino} ${createHash('sha256').update(bytes).digest('hex')}`;
  });
  return (await Promise.all(lines)).filter((line) => !line.startsWith(repo('index'))).toSorted();
}

describe('the command line refuses', () => {
  it.each([
    ['tree', 'dir:.', 'contains'],
    ['tree', 'repo', 'is'],
    ['tree', 'dir:repo', 'is'],
    ['tree', 'dir:repo/', 'is'],
    ['tree', 'dir:repo/snapshots', 'is'],
    ['tree', 'dir:repo/packs', 'is'],
    ['tree', 'dir:data/../repo/./packs', 'is'],
    ['tree', 'dir:repo/new', 'is'],
    ['tree', 'dir:repo/new/deeper', 'is'],
    ['tree', 'dir:link', 'is'],
    ['tree', 'dir:link/packs', 'is'],
    ['tree', 'dir:link/new/deeper', 'is'],
    ['tree', 'dir:packs-link/new', 'is'],
    ['tree', 'dir:up', 'contains'],
    ['tree', 'dir:../base', 'contains'],
    ['tree', 'dir:/', 'contains'],
    ['one', 'file:repo/config', 'is'],
    ['one', 'file:repo', 'is'],
    ['one', 'file:link/new', 'is'],
  ])('to restore %s to %s', async (name, target, how) => {
    await symlink('repo', base('link'));
    await symlink(repo('packs'), base('packs-link'));
    await symlink('..', base('up'));
    const before = await everything();
    for (const flags of [[], ['--overwrite']]) {
      const { code, stdout, stderr } = await startCli(['restore', 'repo', name, target, ...flags], base())
        .finished;
      expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
      expect(stderr).toContain(
        `The target ${how === 'is' ? 'is the repository, or lies in it' : 'contains'}`,
      );
      expect(stderr).toContain('TARGET_IN_REPOSITORY');
      expect(stderr).toContain(target.replace(/^\w+:/, ''));
      expect(await everything()).toEqual(before);
    }
  });

  it('to restore to a folder above, whose name alone leads to the repository', async () => {
    await mkdir(path('away'));
    await symlink(base(), path('away', 'base'));
    const before = await everything();
    const { code: exitCode } = await cli(
      'restore',
      path('away/base/repo'),
      'tree',
      path('away'),
      '--overwrite',
    );
    expect(exitCode).toBe(1);
    expect(await everything()).toEqual(before);
  });

  it('to export into the repository', async () => {
    const before = await everything();
    for (const target of [repo(), repo('packs'), repo('new')])
      expect(await failure(1, 'export', repo(), 'tree', target)).toMatchObject({
        code: 'TARGET_IN_REPOSITORY',
        place: expect.stringContaining(target) as string,
      });
    expect(await everything()).toEqual(before);
  });

  it('nothing that is apart: beside it, and in names that begin with its name', async () => {
    for (const target of [base('repo2'), base('repo-old', '..', 'repo3'), base('..repo')])
      await text('restore', repo(), 'tree', `dir:${target}`);
    await text('restore', repo(), 'tree', `dir:${base('data')}`, '--overwrite');
    await text('export', repo(), 'tree', base());
    await text('verify', repo());
  });

  const mayMount = canMount();

  it.runIf(mayMount)('what another mount shows of the repository', async () => {
    await mkdir(path('elsewhere'));
    await mkdir(path('folder'));
    const before = await everything();
    const script = `
      mount --bind "$PLACE/base" "$PLACE/elsewhere" && mount --bind "$PLACE/base/repo/packs" "$PLACE/folder" || exit 99
      for target in elsewhere elsewhere/repo elsewhere/repo/packs elsewhere/repo/new folder folder/new; do
        "$NODE" "$MAIN" restore "$PLACE/base/repo" tree "dir:$PLACE/$target" --overwrite > "$PLACE/out" 2>&1
        grep -q TARGET_IN_REPOSITORY "$PLACE/out" || exit 98
      done
      rm "$PLACE/out"
    `;
    execFileSync('unshare', ['--mount', '--map-root-user', 'sh', '-c', script], {
      env: { ...process.env, PLACE: await realpath(path()), MAIN, NODE: process.execPath },
    });
    expect(await everything()).toEqual(before);
  });
});

describe('a program', () => {
  const targets: readonly [string, string, (place: string) => Target][] = [
    ['dir', 'tree', directoryTarget],
    ['file', 'one', fileTarget],
    ['fbin', 'matrix', (place) => matrixTarget(fbin, place)],
    ['jsonl', 'lines', jsonlTarget],
    ['ruvector', 'lines', ruvectorTarget],
  ];

  it.each(targets)('cannot restore to %s in its repository', async (_, name, target) => {
    const manager = await SnapshotManager.open({ snapshotDir: repo() });
    const before = await everything();
    const { id } = await manager.findSnapshot(name);
    for (const place of [repo(), repo('config'), repo('new'), base()]) {
      const made = target(place);
      for (const given of [made, () => made])
        await expectCode('TARGET_IN_REPOSITORY', () =>
          manager.restoreSnapshot(id, given, { overwrite: true }),
        );
    }
    await expectCode('TARGET_IN_REPOSITORY', () =>
      manager.exportSnapshot(id, repo('packs'), { overwrite: true }),
    );
    expect(await everything()).toEqual(before);
    await manager.close();
  });
});

describe('an export', () => {
  it('that fails takes away the folders that it has made, but for those in which something stands', async () => {
    const manager = await SnapshotManager.open({ snapshotDir: repo() });
    const { id } = await manager.findSnapshot('tree');
    const fail = (directory: string) =>
      expectCode('ABORTED', () => manager.exportSnapshot(id, directory, { signal: AbortSignal.abort() }));
    await fail(path('new/deeper'));
    expect(await readdir(path())).toEqual(['base']);
    await mkdir(path('there'));
    await fail(path('there/deeper'));
    await fail(path('there'));
    expect(await readdir(path('there'))).toEqual([]);
    await manager.exportSnapshot(id, path('new/deeper'));
    expect(await readdir(path('new/deeper'))).toEqual([`snapshot-${id}`]);
    await manager.close();
  });

  const mayMount = canMount();

  it.runIf(mayMount)('onto a full disk leaves nothing behind', async () => {
    await mkdir(path('disk'));
    await writeFile(base('large'), seededBytes(2 ** 20, 3));
    await text('create', repo(), base('large'));
    const script = `
      mount -t tmpfs -o size=256k none "$PLACE/disk" || exit 99
      "$NODE" "$MAIN" export "$PLACE/base/repo" large "$PLACE/disk/new/deeper" > "$PLACE/out" 2>&1 && exit 98
      grep -q STORE_FULL "$PLACE/out" || exit 97
      ls -A "$PLACE/disk" > "$PLACE/left"
    `;
    execFileSync('unshare', ['--mount', '--map-root-user', 'sh', '-c', script], {
      env: { ...process.env, PLACE: path(), MAIN, NODE: process.execPath },
    });
    expect(await readFile(path('left'), 'utf8')).toBe('');
  });
});

describe('create, export and restore of a directory', () => {
  it('say the same of what there is', async () => {
    await mkdir(base('data/sub/empty'), { recursive: true });
    await symlink('f', base('data/link'));
    const what = '4 files and folders, 6 B';
    expect(await text('create', repo(), base('data'), '--full')).toContain(what);
    expect(await text('restore', repo(), 'data', path('out'))).toContain(what);
    expect(await text('export', repo(), 'data', path('exported'))).toContain('4 files and folders, ');
    expect(await text('list', repo())).toContain(' 4 entries ');
    expect(await text('restore', repo(), 'one', path('one.txt'))).toContain(': 1 file, ');
  });
});

describe('a snapshot of a directory that contains the repository', () => {
  it.each(['.', '../base', '../link', '../same/base'])('leaves it out and says so: %s', async (source) => {
    await symlink('base', path('link'));
    await symlink('.', path('same'));
    await mkdir(base('sub'));
    await symlink('../repo', base('sub', 'repo'));
    await cli('init', base('sub', 'other'));
    const run = () => startCli(['create', 'repo', `dir:${source}`, '--json'], base()).finished;
    const { fileCount, notes, id } = JSON.parse((await run()).stdout) as Snapshot;
    expect(notes).toEqual(['Left out, being the repository that the snapshot is in: repo.']);
    await text('restore', repo(), id, path('out'));
    const found = await readdir(path('out'), { recursive: true });
    expect(found).toHaveLength(fileCount);
    expect(found).toEqual(expect.arrayContaining(['data/f', 'sub/repo', 'sub/other/config']));
    expect(found.filter((name) => name.startsWith('repo'))).toEqual([]);
    // Nothing in the tree has changed, although the repository has.
    expect(JSON.parse((await run()).stdout)).toMatchObject({ addedBytes: 0, fileCount });
  });

  it.each(['repo', 'repo/packs', 'link', 'link/snapshots'])('is none where it is it: %s', async (source) => {
    await symlink('repo', base('link'));
    const { code, stderr } = await startCli(['create', 'repo', `dir:${source}`], base()).finished;
    expect(code).toBe(1);
    expect(stderr).toContain('The source is the repository itself, or lies in it.');
    expect(stderr).toContain('SOURCE_INVALID');
  });
});
