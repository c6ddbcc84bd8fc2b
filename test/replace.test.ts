/** How a target comes to stand at its place, and what is said when the last steps fail. */
import { spawnSync } from 'node:child_process';
import { chmod, chown, mkdir, readdir, readFile, rename, writeFile } from 'node:fs/promises';
import { SnapshotManager } from 'vecsnap';
import { directorySource, directoryTarget, fileSource, fileTarget } from 'vecsnap/source';
import { beforeEach, describe, expect, it } from 'vitest';
import { MAIN } from './support/cli.js';
import { freshDirectory } from './support/files.js';
import { fileTreeSource, regularFile } from './support/memory-source.js';

const at = freshDirectory();
const NEW = Buffer.from('the new content');

/** What happens at a call besides: statements in which `from` or `path` is its first argument. */
interface AtCall {
  readonly rename?: string;
  readonly rm?: string;
  readonly sync?: string;
}

/**
 * A module that goes before the command line: it notes renames, removals and syncs of directories.
 * What Node.js exports by name is only changed by saying so.
 */
function watching({ rename = '', rm = '', sync = '' }: AtCall = {}): string {
  const program = `
    import fs from 'node:fs';
    import { syncBuiltinESMExports } from 'node:module';
    const note = (line) => fs.appendFileSync(process.env.NOTES, line + '\\n');
    const short = (path) => String(path).replace(/^.*\\//, '').replace(/\\.[0-9a-f]{12}\\./, '.ID.');
    const { rename, rm, open } = fs.promises;
    fs.promises.rename = async (from, to) => {
      note('rename ' + short(from) + ' ' + short(to));
      ${rename}
      return rename(from, to);
    };
    fs.promises.rm = async (path, options) => {
      note('rm ' + short(path));
      ${rm}
      return rm(path, options);
    };
    fs.promises.open = async (path, ...how) => {
      const handle = await open(path, ...how);
      const sync = handle.sync.bind(handle);
      if (String(path) === process.env.PLACE)
        handle.sync = async () => { note('sync'); ${sync}; return sync(); };
      return handle;
    };
    syncBuiltinESMExports();`;
  return `data:text/javascript,${encodeURIComponent(program)}`;
}

/** Restores the newest snapshot into a directory that stands there, or into nothing. */
function restore(target: string, module: string) {
  const args = ['--import', module, MAIN, 'restore', at('repo'), 'latest', target, '--overwrite'];
  const env = { ...process.env, NOTES: at('notes'), PLACE: at() };
  return spawnSync(process.execPath, args, { env, encoding: 'utf8' });
}

/** What stands in the directory of a test, with random names told as ID. */
async function names(): Promise<string[]> {
  const all = await readdir(at());
  return all.map((name) => name.replace(/\.[0-9a-f]{12}\./, '.ID.')).toSorted();
}

beforeEach(async () => {
  const manager = await SnapshotManager.init({ snapshotDir: at('repo') });
  const format = { name: 'directory', mode: 0o755 };
  await manager.createSnapshot(fileTreeSource('tree', format, [regularFile('a', 0o644, NEW)]), 'tree');
  await manager.close();
  await mkdir(at('out', 'old'), { recursive: true });
  await writeFile(at('out', 'old', 'b'), 'old');
});

describe('a directory in the place of another', () => {
  it('is durable before the other is removed', async () => {
    expect(restore(at('out'), watching())).toMatchObject({ status: 0, stderr: '' });
    expect((await readFile(at('notes'), 'utf8')).trim().split('\n')).toEqual([
      'rename out out.ID.partial.old',
      'rename out.ID.partial out',
      'sync',
      'rm out.ID.partial.old',
    ]);
    expect(await names()).toEqual(['notes', 'out', 'repo']);
  });

  it('stands beside the other when it may not be durable, which is said', async () => {
    const { status, stderr } = restore(at('out'), watching({ sync: `throw new Error('the disk is gone')` }));
    expect(status).toBe(1);
    expect(stderr).toMatch(/stands at its place, whole, but may not outlast a crash: the disk is gone\./);
    expect(stderr).toMatch(/before is \S+\.partial\.old\./);
    expect(await names()).toEqual(['notes', 'out', 'out.ID.partial.old', 'repo']);
    expect(await readFile(at('out', 'a'))).toEqual(NEW);
    const displaced = (await readdir(at())).find((name) => name.endsWith('.old')) as string;
    expect(await readFile(at(displaced, 'old', 'b'), 'utf8')).toBe('old');
  });

  it('lets the other come back when it cannot be moved there', async () => {
    const rename = `if (from.endsWith('.partial')) throw new Error('no room');`;
    const { status, stderr } = restore(at('out'), watching({ rename }));
    expect(status).toBe(1);
    expect(stderr).toMatch(/could not be written: no room\./);
    expect(await names()).toEqual(['notes', 'out', 'repo']);
    expect(await readFile(at('out', 'old', 'b'), 'utf8')).toBe('old');
  });
});

describe('what can be done when no step back is left', () => {
  it('is told: where the other is that cannot be moved back', async () => {
    const rename = `if (/\\.(partial|old)$/.test(from)) throw new Error('no room');`;
    const { status, stderr } = restore(at('out'), watching({ rename }));
    expect(status).toBe(1);
    expect(stderr).toMatch(
      /could not be written: no room\.\n.*\n.*What stood there is \S+\.old now: move it back\./,
    );
    expect(await names()).toEqual(['notes', 'out.ID.partial.old', 'repo']);
  });

  it('is told before what cannot be cleaned up', async () => {
    const rename = `if (from.endsWith('.partial')) throw new Error('no room');`;
    const { stderr } = restore(at('out'), watching({ rename, rm: `throw new Error('no rights');` }));
    expect(stderr).toMatch(/could not be written: no room\./);
    expect(await names()).toEqual(['notes', 'out', 'out.ID.partial', 'repo']);
  });

  it('is nothing for a file that has its name, and its old one too', async () => {
    const manager = await SnapshotManager.open({ snapshotDir: at('repo') });
    await manager.createSnapshot(fileSource(at('out', 'old', 'b')), 'file');
    await manager.close();
    const args = [
      '--import',
      watching({ rm: `throw new Error('no rights');` }),
      MAIN,
      'restore',
      at('repo'),
      'file',
      at('b'),
    ];
    const env = { ...process.env, NOTES: at('notes'), PLACE: at() };
    expect(spawnSync(process.execPath, args, { env, encoding: 'utf8' })).toMatchObject({
      status: 0,
      stderr: '',
    });
    expect(await readFile(at('b'), 'utf8')).toBe('old');
    expect(await names()).toEqual(['b', 'b.ID.partial', 'notes', 'out', 'repo']);
  });
});

describe('what cannot be removed of that which stood there before', () => {
  const somebody = process.getuid?.() === 0 ? { uid: 65534, gid: 65534 } : undefined;
  const run = (...args: readonly string[]) =>
    spawnSync(process.execPath, args, { ...somebody, cwd: '/', encoding: 'utf8' });
  const canRun = somebody !== undefined && run(MAIN, '--version').status === 0;
  if (!canRun) console.log('skipped: only root can make what an ordinary user cannot remove');

  it.skipIf(!canRun)('is told, and the restore is none that failed', async () => {
    await mkdir(at('out', 'of root'));
    await writeFile(at('out', 'of root', 'kept'), 'kept');
    for (const name of ['', ...(await readdir(at(), { recursive: true }))])
      if (!name.includes('of root')) await chown(at(name), 65534, 65534);
    await chmod(at('out', 'of root'), 0o755);
    const args = [MAIN, 'restore', at('repo'), 'latest', at('out'), '--overwrite'];
    const { status, stdout, stderr } = run(...args);
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    expect(stdout).toMatch(/^Restored .*\n {2}note {5}What stood there before could not all be removed \(E/);
    expect(await readFile(at('out', 'a'))).toEqual(NEW);
    const displaced = (await readdir(at())).find((name) => name.endsWith('.old')) as string;
    expect(stdout).toContain(displaced);
    expect(await readFile(at(displaced, 'of root', 'kept'), 'utf8')).toBe('kept');
    await rename(at(displaced), at('moved'));
    const { notes } = JSON.parse(run(...args, '--json').stdout) as { notes?: string[] };
    expect(notes).toBeUndefined();
  });
});

describe('a long name', () => {
  it.each([
    ['of one byte for each character', 'n'.repeat(255)],
    ['of several bytes for each character', 'ü'.repeat(127)],
    ['that just fits with its ending', 'n'.repeat(230)],
  ])('is no hindrance: %s', async (_, name) => {
    const manager = await SnapshotManager.open({ snapshotDir: at('repo') });
    const id = (await manager.listSnapshots())[0]?.id ?? '';
    for (const overwrite of [false, true])
      await manager.restoreSnapshot(id, directoryTarget(at(name)), { overwrite });
    expect(await readFile(at(name, 'a'))).toEqual(NEW);
    const file = await manager.createSnapshot(directorySource(at(name)), 'again');
    await manager.restoreSnapshot(file.id, fileTarget(at(`m${name.slice(1)}`)));
    await manager.close();
    expect((await names()).filter((one) => one.includes('partial'))).toEqual([]);
  });

  it('is refused before anything is read when it is too long for any file', async () => {
    const place = at('n'.repeat(256));
    const { status, stderr } = restore(place, watching());
    expect(status).toBe(1);
    expect(stderr).toMatch(/^vecsnap: The target could not be written: ENAMETOOLONG/);
    expect(stderr).toMatch(/Give a shorter name\./);
  });
});
