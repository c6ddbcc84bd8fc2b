/**
 * What somebody could put into the directory of a repository for others to use: links, pipes, names that are none. Nothing outside of it is
 * touched, and what is hidden in this way does not count as gone.
 */
import { execFileSync } from 'node:child_process';
import { mkdir, readdir, readFile, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { SnapshotManager } from 'vecsnap';
import { fsBlobStore } from 'vecsnap/blob';
import { isVecsnapError, utf8 } from 'vecsnap/core';
import { describe, expect, it } from 'vitest';
import { freshDirectory } from './support/files.js';
import { memorySource } from './support/memory-environment.js';
import { codeOf, memoryOf } from './support/outcomes.js';

const at = freshDirectory();

describe('a repository on a disk', () => {
  const SOURCE = memorySource({ files: [{ path: 'f', mode: 0o644, bytes: utf8('content') }] });

  async function repositoryWith(change: () => Promise<void>): Promise<SnapshotManager> {
    const manager = await SnapshotManager.init({ snapshotDir: at('repo') });
    await manager.close();
    await mkdir(at('victim'));
    await writeFile(at('victim', 'precious'), 'precious');
    await change();
    return SnapshotManager.open({ snapshotDir: at('repo') });
  }

  async function expectVictimUntouched(): Promise<void> {
    expect(await readdir(at('victim'))).toEqual(['precious']);
    expect(await readFile(at('victim', 'precious'), 'utf8')).toBe('precious');
  }

  it.each(['tmp', 'packs', 'snapshots', 'locks'])(
    'whose folder %s is a link writes and deletes nothing there',
    async (folder) => {
      const manager = await repositoryWith(async () => {
        await rm(at('repo', folder), { recursive: true, force: true });
        await symlink(at('victim'), at('repo', folder));
      });
      expect(await codeOf(manager.createSnapshot(SOURCE, 'n'))).toBe('STORE_FAILED');
      await manager.collectGarbage().catch((error: unknown) => expect(isVecsnapError(error)).toBe(true));
      await manager.repair().catch((error: unknown) => expect(isVecsnapError(error)).toBe(true));
      await expectVictimUntouched();
      await manager.close();
    },
  );

  it('whose index is a link, or has links in it, gets another one', async () => {
    const manager = await repositoryWith(() => symlink(at('victim'), at('repo', 'index')));
    await manager.createSnapshot(SOURCE, 'n');
    await expectVictimUntouched();
    await manager.close();
    const names = await readdir(at('repo', 'index'));
    const next = names.flatMap((name) => /^MANIFEST-(\d+)$/.exec(name)?.[1] ?? []).map(Number);
    for (let number = Math.max(...next) + 1; number < Math.max(...next) + 20; number++)
      for (const name of [
        `MANIFEST-${String(number).padStart(6, '0')}`,
        `${String(number).padStart(6, '0')}.log`,
      ])
        await symlink(at('victim', 'precious'), at('repo', 'index', name)).catch(() => undefined); // One is there already.
    const again = await SnapshotManager.open({ snapshotDir: at('repo') });
    await again.createSnapshot(SOURCE, 'n');
    expect((await again.verifyRepository()).ok).toBe(true);
    await again.close();
    await expectVictimUntouched();
  });

  const ID = '01hf7yatz8h63zh7xdw4tpw39x';
  const elsewhere = async (path: string): Promise<void> => {
    const name = path.replace('/', '-');
    await rename(at('repo', path), at('victim', name));
    await symlink(at('victim', name), at('repo', path));
  };
  const inTheWay = {
    'a link in the place of a snapshot': () => symlink(at('victim', 'precious'), at('repo', 'snapshots', ID)),
    'a pipe in the place of one': async () => void execFileSync('mkfifo', [at('repo', 'snapshots', ID)]),
    'a name in capitals': () => writeFile(at('repo', 'snapshots', ID.toUpperCase()), 'x'),
    'a link in the place of the folder': () => elsewhere('snapshots'),
    'a file in the place of the folder': async () => {
      await rename(at('repo', 'snapshots'), at('victim', 'snapshots'));
      await writeFile(at('repo', 'snapshots'), 'x');
    },
    'a folder in capitals': () => rename(at('repo', 'snapshots'), at('repo', 'SNAPSHOTS')),
  };

  it.each(Object.entries(inTheWay))('that has %s tells where, and deletes nothing', async (_, change) => {
    const manager = await repositoryWith(async () => {
      const maker = await SnapshotManager.open({ snapshotDir: at('repo') });
      await maker.createSnapshot(SOURCE, 'n');
      await maker.close();
      await change();
    });
    const packs = await readdir(at('repo', 'packs'));
    expect(packs).not.toEqual([]);
    for (const work of [
      () => manager.listAll(),
      () => manager.collectGarbage(),
      () => manager.collectGarbage({ dryRun: true }),
      () => manager.forget({ policy: { keepLast: 1 } }),
      () => manager.verifyRepository(),
      () => manager.createSnapshot(SOURCE, 'another'),
    ]) {
      const error: unknown = await work().catch((reason: unknown) => reason);
      expect(error).toMatchObject({
        code: 'STORE_FAILED',
        place: expect.stringMatching(/snapshots/i),
        remedy: expect.any(String),
      });
    }
    expect(await readdir(at('repo', 'packs'))).toEqual(packs);
    await manager.close();
  });

  it.each(['marks', 'a mark'])('of which %s is a link keeps what is pinned', async (what) => {
    let id = '';
    const manager = await repositoryWith(async () => {
      const maker = await SnapshotManager.open({ snapshotDir: at('repo') });
      ({ id } = await maker.createSnapshot(SOURCE, 'n'));
      await maker.pinSnapshot(id);
      await maker.createSnapshot(SOURCE, 'n');
      await maker.close();
      const [mark] = await readdir(at('repo', 'marks'));
      await elsewhere(what === 'marks' ? 'marks' : `marks/${mark}`);
    });
    expect(await codeOf(manager.forget({ policy: { keepLast: 1 } }))).toBe('STORE_FAILED');
    expect(await codeOf(manager.deleteSnapshot(id))).toBe('STORE_FAILED');
    await manager.close();
  });

  it.each([
    '../x',
    '/etc/passwd',
    'packs/../../x',
    'PACKS/a',
    'packs\\a',
    'packs/a\0',
    'packs//a',
    '.x',
    'packs/.x',
    'a'.repeat(201),
  ])('has no blob of the name %j', async (name) => {
    const store = fsBlobStore(at('repo'));
    expect(await codeOf(store.get(name))).toBe('BLOB_NAME_INVALID');
    expect(await codeOf(store.put(name, utf8('x')))).toBe('BLOB_NAME_INVALID');
    expect(await codeOf(store.delete(name))).toBe('BLOB_NAME_INVALID');
    await store.close();
  });

  it('with a config, a snapshot or a lease that is gigabytes long is not read whole', async () => {
    const { open } = await import('node:fs/promises');
    const manager = await repositoryWith(async () => {
      await mkdir(at('repo', 'snapshots'), { recursive: true });
      await mkdir(at('repo', 'locks'), { recursive: true });
      for (const name of ['snapshots/01hf7yatz8h63zh7xdw4tpw39x', `locks/writer-1-${'0'.repeat(32)}`]) {
        const handle = await open(at('repo', name), 'w');
        await handle.truncate(8 * 2 ** 30); // Of holes, which take no space.
        await handle.close();
      }
    });
    const took = await memoryOf(async () => {
      expect((await manager.listAll()).problems).toMatchObject([{ error: { code: 'SNAPSHOT_DAMAGED' } }]);
      await manager.createSnapshot(SOURCE, 'n');
    });
    expect(took).toBeLessThan(2 ** 28);
    await manager.close();
    const handle = await open(at('repo', 'config'), 'r+');
    await handle.truncate(8 * 2 ** 30);
    await handle.close();
    expect(await codeOf(SnapshotManager.open({ snapshotDir: at('repo') }))).toBe('REPOSITORY_DAMAGED');
  });
});
