/** Trees in which something becomes another thing while they are taken are taken again; what is made up as it is read is read. */
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { lstat, mkdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { SnapshotManager } from 'vecsnap';
import { directorySource, directoryTarget, fileSource, fileTarget, type Source } from 'vecsnap/source';
import { beforeEach, describe, expect, it } from 'vitest';
import { MAIN } from './support/cli.js';
import { freshDirectory } from './support/files.js';

const at = freshDirectory();
let manager: SnapshotManager;

beforeEach(async () => {
  manager = await SnapshotManager.init({ snapshotDir: at('repo') });
  await mkdir(at('tree', 'sub'), { recursive: true });
  for (const name of ['a', 'b', 'sub/c']) await writeFile(at('tree', name), name);
  return () => manager.close();
});

/** The tree as a source in which something changes once it was looked at, the first time, or each. */
function changing(change: () => Promise<void>, times = 1): { source: Source; openings: () => number } {
  let openings = 0;
  const tree = directorySource(at('tree'));
  const source: Source = {
    ...tree,
    async open(options) {
      const opened = await tree.open(options);
      if (openings++ < times) await change();
      return opened;
    },
  };
  return { source, openings: () => openings };
}

const CHANGES: Readonly<Record<string, () => Promise<void>>> = {
  gone: async () => {},
  'a directory': () => mkdir(at('tree', 'b')),
  'a fifo': async () => void execFileSync('mkfifo', [at('tree', 'b')]),
  'a link to a directory': () => symlink('sub', at('tree', 'b')),
  'a link that leads nowhere': () => symlink('nowhere', at('tree', 'b')),
  'a link to itself': () => symlink('b', at('tree', 'b')),
};

describe('a file that is another thing when it is to be read', () => {
  it.each(Object.keys(CHANGES))('is taken as what it is, which is %s', async (kind) => {
    const { source, openings } = changing(async () => {
      await rm(at('tree', 'b'));
      await CHANGES[kind]?.();
    });
    const { id } = await manager.createSnapshot(source, 'changing');
    expect(openings()).toBe(2);
    await manager.restoreSnapshot(id, directoryTarget(at('out')));
    expect(await readFile(at('out', 'sub', 'c'), 'utf8')).toBe('sub/c');
    const [before, after] = await Promise.all(
      ['tree', 'out'].map((root) => lstat(at(root, 'b')).catch(() => undefined)),
    );
    const isLeftOut = before === undefined || before.isFIFO();
    expect(after?.mode).toBe(isLeftOut ? undefined : before.mode);
  });

  it('is told when the tree changes each time', async () => {
    let isFile = true;
    const { source, openings } = changing(async () => {
      await rm(at('tree', 'b'), { recursive: true });
      isFile = !isFile;
      await (isFile ? writeFile(at('tree', 'b'), 'b') : mkdir(at('tree', 'b')));
    }, 3);
    await expect(manager.createSnapshot(source, 'changing')).rejects.toThrow(
      expect.objectContaining({ code: 'SOURCE_CHANGED' }),
    );
    expect(openings()).toBe(3);
    expect(await manager.listSnapshots()).toEqual([]);
  });
});

describe('a tree that changes while it is looked at', () => {
  /** A module that changes the tree once, before a call; it goes before the command line. */
  const before = (call: string, path: string, change: string) =>
    `data:text/javascript,${encodeURIComponent(`
      import fs from 'node:fs';
      import { syncBuiltinESMExports } from 'node:module';
      let isDone = false;
      const tree = process.env.TREE;
      const owner = ${call.endsWith('Sync') ? 'fs' : 'fs.promises'};
      const { ${call} } = owner;
      owner.${call} = (path, ...how) => {
        if (!isDone && String(path) === tree + '${path}') {
          isDone = true;
          ${change}
        }
        return ${call}(path, ...how);
      };
      syncBuiltinESMExports();`)}`;

  it.each([
    [
      'a directory becomes a file',
      'readdirSync',
      '/sub',
      `fs.rmSync(path, { recursive: true }); fs.writeFileSync(path, 'sub');`,
    ],
    ['a directory goes', 'readdirSync', '/sub', `fs.rmSync(path, { recursive: true });`],
    [
      'a directory becomes a link to itself',
      'readdirSync',
      '/sub',
      `fs.rmSync(path, { recursive: true }); fs.symlinkSync('sub', path);`,
    ],
    ['a link becomes a file', 'readlink', '/link', `fs.rmSync(path); fs.writeFileSync(path, 'link');`],
  ])('is looked at again: %s', async (_, call, path, change) => {
    await symlink('a', at('tree', 'link'));
    const args = ['--import', before(call, path, change), MAIN, 'create', at('repo'), `dir:${at('tree')}`];
    const env = { ...process.env, TREE: at('tree') };
    const { status, stderr } = spawnSync(process.execPath, args, { env, encoding: 'utf8' });
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    const id = (await manager.listSnapshots())[0]?.id ?? '';
    await manager.restoreSnapshot(id, directoryTarget(at('out')));
    const listing = (root: string) =>
      execFileSync('ls', ['-lR', '--time-style=+', '.'], { cwd: at(root), encoding: 'utf8' });
    expect(listing('out')).toBe(listing('tree'));
  });
});

const KEYS = '/proc/sys/kernel/keys';
const SYMBOLS = '/proc/kallsyms';
const missing = [KEYS, SYMBOLS].filter((path) => !existsSync(path));
if (missing.length > 0) console.log(`skipped: no files that are made up: ${missing.join()}`);

describe.skipIf(missing.length > 0)('files that say they are empty and are not', () => {
  it('are read', async () => {
    expect((await lstat('/proc/version')).size).toBe(0);
    const { id, logicalBytes } = await manager.createSnapshot(fileSource('/proc/version'), 'made up');
    await manager.restoreSnapshot(id, fileTarget(at('version')));
    const expected = await readFile('/proc/version');
    expect(await readFile(at('version'))).toEqual(expected);
    expect(logicalBytes).toBe(expected.length);
  });

  it('are read in a tree', async () => {
    const { id } = await manager.createSnapshot(directorySource(KEYS), 'made up');
    await manager.restoreSnapshot(id, directoryTarget(at('out')));
    expect(await readFile(at('out', 'maxkeys'))).toEqual(await readFile(`${KEYS}/maxkeys`));
  });

  it('are read to their end when that is long', async () => {
    const expected = await readFile(SYMBOLS);
    expect(expected.length).toBeGreaterThan(1 << 20);
    const { id } = await manager.createSnapshot(fileSource(SYMBOLS), 'long');
    await manager.restoreSnapshot(id, fileTarget(at('symbols')));
    expect((await readFile(at('symbols'))).equals(expected)).toBe(true);
  });
});
