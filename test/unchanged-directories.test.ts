/** Files of a directory to which nothing was written since the snapshot before are not read, and all others are (docs/ordering.md, R13 and R14). */
import { execFileSync } from 'node:child_process';
import { type Dirent, existsSync } from 'node:fs';
import {
  chmod,
  lstat,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  readlink,
  rename,
  rm,
  stat,
  symlink,
  unlink,
  utimes,
  writeFile,
} from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { ChunkIndex } from 'vecsnap/cas';
import { toHex } from 'vecsnap/core';
import { directoryEnvironment } from 'vecsnap/platform';
import { type CreateOptions, type Snapshot, SnapshotManager } from 'vecsnap/snapshot';
import { directorySource, directoryTarget, type FileEntry, type Source } from 'vecsnap/source';
import { create } from './support/cli.js';
import { memoryEnvironment, persistentIndex } from './support/memory-environment.js';
import {
  agedFiles,
  ageFiles,
  doShow,
  hasPython,
  secretly,
  startWriter,
  withAgedFiles,
} from './support/file-times.js';
import { freshDirectory, invertLastByte, seededBytes } from './support/files.js';
import { sha256 } from './support/trees.js';

/** A directory as a source, and the paths of the files that were read from it. */
function watched(path: string): { source: Source; read: string[] } {
  const read: string[] = [];
  const source = directorySource(path);
  const watch = (entry: FileEntry): FileEntry => {
    if (entry.type !== 'file') return entry;
    const readAll = entry.read.bind(entry);
    return Object.assign(entry, { read: () => (read.push(entry.path), readAll()) });
  };
  const open: Source['open'] = async (options) => {
    const opened = await source.open(options);
    async function* files(): AsyncGenerator<FileEntry> {
      for await (const entry of opened.files?.() ?? []) yield watch(entry);
    }
    return { ...opened, files };
  };
  return { source: { ...source, open }, read };
}

/** What stands in a directory and can be kept, in the order of the paths. */
async function contentsOf(root: string): Promise<string[]> {
  const found = await readdir(root, { recursive: true, withFileTypes: true });
  const lines = found.map(async (entry) => {
    const path = join(entry.parentPath, entry.name);
    return `${path.slice(root.length)} ${(await lstat(path)).mode} ${await contentOf(path, entry)}`;
  });
  const own = (await lstat(root)).mode;
  return [`${own}`, ...(await Promise.all(lines)).filter((line) => !line.endsWith(NOTHING)).toSorted()];
}

const NOTHING = ' nothing';

async function contentOf(path: string, entry: Dirent): Promise<string> {
  if (entry.isFile()) return toHex(sha256(await readFile(path)));
  if (entry.isSymbolicLink()) return `leads to ${await readlink(path)}`;
  return entry.isDirectory() ? 'a directory' : NOTHING;
}

async function largestFile(folder: string): Promise<string> {
  const paths = (await readdir(folder)).map((name) => join(folder, name));
  const sized = await Promise.all(paths.map(async (path) => ({ path, size: (await stat(path)).size })));
  return sized.reduce((a, b) => (b.size > a.size ? b : a)).path;
}

const NOTHING_READ = ['Nothing was read: the source is as it was when the snapshot before was taken.'];
const unreadNote = (count: number) => [
  `Files that were not read, being as they were when the snapshot before was taken: ${count}.`,
];

describe('a file of a directory', () => {
  agedFiles();
  const at = freshDirectory();
  let manager: SnapshotManager;
  let last: Snapshot | undefined;

  beforeEach(async () => {
    const environment = directoryEnvironment(at('repo'), { workers: 1 });
    manager = await SnapshotManager.init({ environment }, { packBytes: 2000 }); // One for each file.
    last = undefined;
    await mkdir(at('tree', 'inner'), { recursive: true });
    for (const name of ['a', 'b', 'inner/c'])
      await writeFile(at('tree', name), seededBytes(5000, name.length));
    await writeFile(at('tree', 'empty'), '');
  });

  afterEach(() => manager.close());

  /** Takes the next snapshot, compares what it holds with what is there, and tells which files were read for it. */
  async function take(
    path = at('tree'),
    options: CreateOptions = {},
  ): Promise<Snapshot & { read: readonly string[] }> {
    const { source, read } = watched(path);
    last =
      last === undefined
        ? await manager.createSnapshot(source, 'snapshot', options)
        : await manager.createIncrementalSnapshot(source, 'snapshot', last.id, options);
    await rm(at('out'), { recursive: true, force: true });
    await manager.restoreSnapshot(last.id, directoryTarget(at('out')));
    expect(await contentsOf(at('out'))).toEqual(await contentsOf(path));
    return { ...last, read: read.toSorted() };
  }

  const itShows = it.runIf(doShow);

  itShows('is read again only when it was written, and that is noted', async () => {
    const first = await take();
    expect([first.read, first.notes]).toEqual([['a', 'b', 'empty', 'inner/c'], []]);
    const second = await take();
    expect([second.read, second.notes]).toEqual([[], NOTHING_READ]);
    const { checksum, logicalBytes, fileCount } = second;
    expect({ checksum, logicalBytes, fileCount }).toEqual({
      checksum: first.checksum,
      logicalBytes: first.logicalBytes,
      fileCount: 5,
    });
    await secretly(at('tree', 'b'), () => invertLastByte(at('tree', 'b')));
    const third = await take();
    expect([third.read, third.notes]).toEqual([['b', 'empty'], unreadNote(2)]);
    expect(third.checksum).not.toBe(first.checksum);
    expect((await take()).notes).toEqual(NOTHING_READ);
    expect((await manager.verifyRepository()).problems).toEqual([]);
  });

  itShows('is read again when another took its place, its name or its permissions', async () => {
    await take();
    await secretly(at('tree', 'a'), async () => {
      await writeFile(at('other'), seededBytes(5000, 77));
      await rename(at('other'), at('tree', 'a'));
    });
    expect((await take()).read).toEqual(['a', 'empty']);
    await rename(at('tree', 'a'), at('tree', 'x'));
    await rename(at('tree', 'b'), at('tree', 'a'));
    await rename(at('tree', 'x'), at('tree', 'b'));
    expect((await take()).read).toEqual(['a', 'b', 'empty']);
    const before = last?.checksum;
    await chmod(at('tree', 'a'), 0o600);
    const other = await take();
    expect(other.read).toEqual(['a', 'empty']);
    expect(other.checksum).not.toBe(before);
  });

  itShows('is read again when it had left, whatever it was before', async () => {
    await take();
    await rename(at('tree', 'a'), at('kept'));
    await mkdir(at('tree', 'a'));
    const other = await take();
    expect(other.read).toEqual(['empty']);
    await rm(at('tree', 'a'), { recursive: true });
    await rename(at('kept'), at('tree', 'a'));
    expect((await take()).read).toEqual(['a', 'empty']);
    await unlink(at('tree', 'a'));
    expect((await take()).fileCount).toBe(4);
  });

  itShows('is told from one of the same path in another collection', async () => {
    await mkdir(at('two', 'inner'), { recursive: true });
    const times = new Date(Date.now() - 86_400_000);
    for (const name of ['a', 'b', 'inner/c', 'empty']) {
      await writeFile(at('two', name), name === 'empty' ? '' : seededBytes(5000, 50 + name.length));
      for (const tree of ['tree', 'two']) await utimes(at(tree, name), times, times);
    }
    await take();
    const two = watched(at('two'));
    const first = await manager.createSnapshot(two.source, 'two', { collection: 'two' });
    for (const tree of ['tree', 'two']) await writeFile(at(tree, 'new'), tree);
    const next = await manager.createIncrementalSnapshot(two.source, 'two', first.id, { collection: 'two' });
    expect(next.notes).toEqual(unreadNote(3));
    expect((await take()).notes).toEqual(unreadNote(3));
    await unlink(at('two', 'new'));
    expect((await take(at('two'))).read).toEqual(['a', 'b', 'empty', 'inner/c']);
  });

  itShows('is read when that is asked for, and when there is no base', async () => {
    const { checksum } = await take();
    const again = await take(at('tree'), { rescan: true });
    expect([again.read, again.notes, again.checksum]).toEqual([['a', 'b', 'empty', 'inner/c'], [], checksum]);
    const { source, read } = watched(at('tree'));
    expect((await manager.createSnapshot(source, 'full')).checksum).toBe(checksum);
    expect(read.length).toBe(4);
    expect((await take()).read).toEqual([]);
  });

  itShows('is read by the command when that is asked for', async () => {
    await manager.close();
    await withAgedFiles(async () => {
      const { checksum } = await create(at('repo'), at('tree'));
      expect(await create(at('repo'), at('tree'))).toMatchObject({ notes: NOTHING_READ, checksum });
      await mkdir(at('tree', 'new'));
      expect(await create(at('repo'), at('tree'))).toMatchObject({ notes: unreadNote(3) });
      await rm(at('tree', 'new'), { recursive: true });
      expect(await create(at('repo'), at('tree'), '--rescan')).toMatchObject({ notes: [], checksum });
      expect(await create(at('repo'), at('tree'), '--full')).toMatchObject({ notes: [], checksum });
    });
  });

  itShows('is not read after a sweep of what others needed', async () => {
    await take();
    const first = last as Snapshot;
    await secretly(at('tree', 'b'), () => invertLastByte(at('tree', 'b')));
    await take();
    await manager.deleteSnapshot(first.id);
    const { deletedPacks, rewrittenPacks } = await manager.collectGarbage({ maxUnused: 0 });
    expect(deletedPacks.length + rewrittenPacks.length).toBeGreaterThan(0);
    expect((await take()).notes).toEqual(NOTHING_READ);
    await mkdir(at('tree', 'new'));
    expect((await take()).read).toEqual(['empty']);
    expect((await manager.verifyRepository()).problems).toEqual([]);
  });

  itShows('is read when a pack has gone since, and so is healed', async () => {
    await take();
    await manager.close();
    await rm(await largestFile(at('repo', 'packs')));
    manager = await SnapshotManager.open({ environment: directoryEnvironment(at('repo'), { workers: 1 }) });
    expect((await take()).read).toEqual(['a', 'b', 'empty', 'inner/c']);
    expect((await manager.verifyRepository()).problems).toEqual([]);
  });

  it.runIf(existsSync('/dev/shm'))('is always read where not every write shows', async () => {
    const folder = await mkdtemp('/dev/shm/vecsnap-test-');
    try {
      await writeFile(join(folder, 'a'), 'some bytes');
      await take(folder);
      expect((await take(folder)).read).toEqual(['a']);
    } finally {
      await rm(folder, { recursive: true });
    }
  });

  itShows('is read until it was not written for a while: a write may be under way', async () => {
    vi.restoreAllMocks();
    await take();
    expect((await take()).read).toEqual(['a', 'b', 'empty', 'inner/c']);
    ageFiles();
    expect((await take()).read).toEqual(['a', 'b', 'empty', 'inner/c']);
    expect((await take()).notes).toEqual(NOTHING_READ);
  });

  itShows('is read until it was not written for a while, and no other is', async () => {
    await sleep(200);
    await writeFile(at('tree', 'young'), 'young');
    const { ctimeMs } = await stat(at('tree', 'young'));
    vi.restoreAllMocks();
    vi.spyOn(Date, 'now').mockReturnValue(ctimeMs + 29_900); // Whatever was written before is older than half a minute then.
    expect((await take()).read).toEqual(['a', 'b', 'empty', 'inner/c', 'young']);
    expect((await take()).read).toEqual(['empty', 'young']);
    vi.restoreAllMocks();
    ageFiles();
    expect((await take()).read).toEqual(['empty', 'young']);
    expect((await take()).notes).toEqual(NOTHING_READ);
  });

  it.runIf(doShow && hasPython)('is read again after writes through a mapping', async () => {
    const writer = startWriter(at('tree', 'inner', 'c'));
    try {
      const checksums = new Set<string>();
      for (let value = 1; value <= 5; value++) {
        await writer.write(value);
        const snapshot = await take();
        expect(snapshot.read).toContain('inner/c');
        checksums.add(snapshot.checksum);
      }
      expect(checksums.size).toBe(5);
      expect((await take()).notes).toEqual(NOTHING_READ);
    } finally {
      writer.end();
    }
  });

  describe('and all others, where nothing was written,', () => {
    /** Whether nothing was read for the next snapshot. Its content is compared. */
    const isUnread = async () => isDeepStrictEqual((await take()).notes, NOTHING_READ);

    const changes: Record<string, () => Promise<unknown>> = {
      'a file is there': () => writeFile(at('tree', 'inner', 'new'), ''),
      'a file is gone': () => unlink(at('tree', 'empty')),
      'a file has another name': () => rename(at('tree', 'inner', 'c'), at('tree', 'inner', 'd')),
      'two files have changed names': async () => {
        await rename(at('tree', 'a'), at('tree', 'x'));
        await rename(at('tree', 'b'), at('tree', 'a'));
        await rename(at('tree', 'x'), at('tree', 'b'));
      },
      'a file has other permissions': () => chmod(at('tree', 'b'), 0o600),
      'a file was written': () => secretly(at('tree', 'a'), () => invertLastByte(at('tree', 'a'))),
      'a directory is there': () => mkdir(at('tree', 'inner', 'folder')),
      'a directory is gone': () => rm(at('tree', 'hollow'), { recursive: true }),
      'a directory has other permissions': () => chmod(at('tree', 'inner'), 0o700),
      'the directory has other permissions': () => chmod(at('tree'), 0o700),
      'a link is there': () => symlink('a', at('tree', 'link to a')),
      'a link leads elsewhere': async () => {
        await unlink(at('tree', 'link'));
        await symlink('b', at('tree', 'link'));
      },
    };

    beforeEach(async () => {
      await mkdir(at('tree', 'hollow'));
      await symlink('a', at('tree', 'link'));
      await take();
    });

    itShows('are not looked up, but as soon as anything has changed', async () => {
      expect(await isUnread()).toBe(true);
      for (const [what, change] of Object.entries(changes)) {
        await change();
        expect([what, await isUnread(), await isUnread()]).toEqual([what, false, true]);
      }
    });

    itShows('are not looked up either when something was left out, which is said each time', async () => {
      execFileSync('mkfifo', [at('tree', 'fifo')]);
      for (let i = 0; i < 2; i++)
        expect((await take()).notes).toEqual([
          expect.stringMatching(/^Left out.*: fifo\.$/),
          ...NOTHING_READ,
        ]);
    });

    itShows('tell in which run of the system they did so', async () => {
      const opened = await directorySource(at('tree')).open();
      const boot = await readFile('/proc/sys/kernel/random/boot_id', 'utf8');
      expect(opened.state?.()).toContain(boot.trim());
    });
  });
});

describe('a file of a source of any kind', () => {
  /** A repository in memory whose index persists, and how many states of files are noted there. @param changes what its index does otherwise. */
  async function repository(changes: Partial<ChunkIndex> = {}) {
    const { db, open } = persistentIndex();
    const index = async () => Object.assign(await open(), changes);
    const manager = await SnapshotManager.init({ environment: memoryEnvironment({ index }) });
    const noted = async (): Promise<number> => {
      await db.open();
      const keys = await db.keys({ gte: Buffer.from('f'), lt: Buffer.from('g') }).all();
      await db.close();
      return keys.length;
    };
    return { manager, noted };
  }

  /** A source of one file that tells one state before it is read, and another after it was. */
  function telling(content: string, before: string | undefined, after: string | undefined, path = 'a') {
    let reads = 0;
    const file: FileEntry = {
      type: 'file',
      path,
      mode: 0o644,
      size: content.length,
      state: () => (reads === 0 ? before : after),
      async *read() {
        reads++;
        yield new TextEncoder().encode(content);
      },
    };
    const source: Source = {
      place: 'test:a',
      collection: 'a',
      open: async () => ({
        format: { name: 'directory' },
        schema: undefined,
        records: undefined,
        files: async function* () {
          yield file;
        },
        expected: {},
        notes: [],
        confirmUnchanged: async () => {},
        close: async () => {},
      }),
    };
    return { source, reads: () => reads };
  }

  it('is no longer noted once no snapshot has its content and that was swept', async () => {
    const { manager, noted } = await repository();
    const take = async (path: string, content: string) =>
      manager.createSnapshot(telling(content, 'state', 'state', path).source, path);
    await take('a', 'one');
    const second = await take('b', 'two');
    await take('c', 'one');
    expect(await noted()).toBe(3);
    await manager.deleteSnapshot(second.id);
    await manager.collectGarbage({ maxUnused: 0 });
    expect(await noted()).toBe(2);
  });

  it('is read when it could not be noted or what was noted cannot be read, and nothing fails for it', async () => {
    const fail = () => Promise.reject(new Error('the disk is full'));
    for (const failing of ['noteFiles', 'fileNotes', 'keepFileNotes', 'wholeTrees'] as const) {
      const { manager, noted } = await repository({ [failing]: fail });
      const first = await manager.createSnapshot(telling('one', 's', 's').source, 'first');
      const next = telling('one', 's', 's');
      const second = await manager.createIncrementalSnapshot(next.source, 'next', first.id);
      expect([second.checksum, next.reads()]).toEqual([
        first.checksum,
        failing === 'noteFiles' || failing === 'fileNotes' ? 1 : 0,
      ]);
      await manager.deleteSnapshot(first.id);
      expect((await manager.collectGarbage({ maxUnused: 0 })).forgottenSnapshots).toEqual([first.id]);
      expect(await noted()).toBe(failing === 'noteFiles' ? 0 : 1);
      expect((await manager.verifyRepository()).problems).toEqual([]);
    }
  });

  it('is noted however many there are', async () => {
    const { manager, noted } = await repository();
    async function* files(): AsyncGenerator<FileEntry> {
      for (let i = 0; i < 2100; i++) {
        const { source } = telling(`file ${i}`, 'state', 'state', `file ${String(i).padStart(4, '0')}`);
        yield* (await source.open()).files?.() ?? [];
      }
    }
    const { source } = telling('', undefined, undefined);
    const all = { ...source, open: async () => ({ ...(await source.open()), files }) };
    const first = await manager.createSnapshot(all, 'first');
    expect(await noted()).toBe(2100);
    const next = await manager.createIncrementalSnapshot(all, 'next', first.id);
    expect(next).toMatchObject({ notes: unreadNote(2100), checksum: first.checksum, fileCount: 2100 });
  });

  it('is not read in a state that it told once it was read, and in no other', async () => {
    const { manager } = await repository();
    const take = async (base: Snapshot | undefined, content: string, before?: string, after?: string) => {
      const { source, reads } = telling(content, before, after);
      const snapshot =
        base === undefined
          ? await manager.createSnapshot(source, 'first')
          : await manager.createIncrementalSnapshot(source, 'next', base.id);
      return { snapshot, reads: reads() };
    };
    const first = await take(undefined, 'one', 'early', 'late');
    expect((await take(first.snapshot, 'one', 'early', undefined)).reads).toBe(1);
    const third = await take(first.snapshot, 'not looked at', 'late', 'late');
    expect([third.reads, third.snapshot.checksum]).toEqual([0, first.snapshot.checksum]);
    expect((await take(third.snapshot, 'one', undefined, 'late')).reads).toBe(1);
    const other = await take(third.snapshot, 'two', 'new', 'new');
    expect(other.reads).toBe(1);
    // The last state that was noted is not that of the base.
    expect((await take(first.snapshot, 'two', 'new', 'new')).reads).toBe(1);
    expect((await take(other.snapshot, 'two', 'new', 'new')).reads).toBe(0);
    expect((await take(other.snapshot, 'one', 'late', 'late')).reads).toBe(1);
  });
});
