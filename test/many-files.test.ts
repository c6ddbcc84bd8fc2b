/** Small files are taken and read many at a time, large ones one after the other, and nobody sees which is which. */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { chmod, chown, mkdir, readdir, readFile, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { VecsnapError } from 'vecsnap/core';
import { directoryEnvironment } from 'vecsnap/platform';
import { type Snapshot, SnapshotManager } from 'vecsnap/snapshot';
import {
  directorySource,
  directoryTarget,
  type FileEntry,
  type RegularFile,
  type Target,
} from 'vecsnap/source';
import { MAIN } from './support/cli.js';
import { freshDirectory, seededBytes } from './support/files.js';
import { fileTreeSource, regularFile } from './support/memory-source.js';

/** Larger than what is taken and read together with others. */
const LARGE = 3 << 19;

/** What files of a test contain, by their paths. */
type Files = ReadonlyMap<string, Uint8Array>;

/** Files of all kinds: many small ones, some twice, empty ones, large ones among them, and one in pages of a database. */
function allKinds(): Files {
  const files = new Map<string, Uint8Array>();
  for (let i = 0; i < 300; i++) files.set(`many/${i}`, seededBytes(i * 40, 1 + (i % 250)));
  const pages = seededBytes(900_000, 999);
  pages.set(Buffer.from('SQLite format 3\0'));
  files.set('many/100-database', pages);
  for (const i of [1, 2, 3]) files.set(`many/large-${i}`, seededBytes(LARGE + i, 1000 + i));
  files.set('another/deep/place/text', Buffer.from('a line of text\n'.repeat(5000)));
  return files;
}

async function writeFiles(root: string, files: Files): Promise<void> {
  for (const [path, bytes] of files) {
    await mkdir(join(root, path, '..'), { recursive: true });
    await writeFile(join(root, path), bytes);
  }
}

function hashOf(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

/** Paths, permissions and hashes of the bytes of all that stands below a directory. */
async function treeAt(root: string): Promise<string[]> {
  const found = await readdir(root, { recursive: true, withFileTypes: true });
  const lines = found.map(async (entry) => {
    const path = join(entry.parentPath, entry.name);
    const content = entry.isFile() ? hashOf(await readFile(path)) : '';
    return `${path.slice(root.length)} ${((await stat(path)).mode & 0o7777).toString(8)} ${content}`;
  });
  return (await Promise.all(lines)).toSorted();
}

function entriesOf(files: Files): FileEntry[] {
  const paths = [...files.keys()].toSorted((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
  return paths.map((path) => regularFile(path, 0o644, files.get(path) as Uint8Array));
}

/** A target that hands the files of a content to `use`. */
function filesTo(use: (files: readonly RegularFile[]) => Promise<void>): Target {
  return {
    place: 'test:',
    prepare: async () => {},
    async write(content) {
      const files: RegularFile[] = [];
      for await (const entry of content.files?.() ?? []) if (entry.type === 'file') files.push(entry);
      await use(files);
      return { records: 0, files: files.length, bytes: 0 };
    },
  };
}

async function bytesOf(file: RegularFile): Promise<Buffer> {
  const pieces: Uint8Array[] = [];
  for await (const piece of file.read()) pieces.push(piece);
  return Buffer.concat(pieces);
}

describe('a tree of many files', () => {
  const at = freshDirectory();

  it.each([
    { workers: 1, ownsThread: false },
    { workers: 1, ownsThread: true },
    { workers: 2, ownsThread: true },
  ])('is the same when it is restored, with %o', async (options) => {
    const environment = directoryEnvironment(at('repo'), options);
    const manager = await SnapshotManager.init({ environment, ...options });
    await writeFiles(at('tree'), allKinds());
    await symlink('many/1', at('tree', 'link'));
    await chmod(at('tree', 'many', '7'), 0o600);
    await chmod(at('tree', 'another', 'deep', 'place'), 0o500);
    await chmod(at('tree', 'another', 'deep'), 0o700);
    const { id } = await manager.createSnapshot(directorySource(at('tree')), 'all kinds');
    const { files } = await manager.restoreSnapshot(id, directoryTarget(at('restored')));
    expect(await treeAt(at('restored'))).toEqual(await treeAt(at('tree')));
    expect(files).toBe(310);
    await manager.close();
  });
});

describe('more files than a process may open', () => {
  const at = freshDirectory();

  const isLimited = process.platform !== 'win32';
  if (!isLimited) console.log('skipped: this system has no limit of open files that a shell can set');

  it.skipIf(!isLimited)('are taken and restored all the same', async () => {
    const files = new Map(Array.from({ length: 1500 }, (_, i) => [`${i}`, seededBytes(600, i)]));
    await mkdir(at('tree'));
    await writeFiles(at('tree'), files);
    const limited = (...args: readonly string[]) =>
      spawnSync('sh', ['-c', 'ulimit -n 128; exec "$@"', 'sh', process.execPath, MAIN, ...args], {
        encoding: 'utf8',
      });
    expect(limited('init', at('repo'))).toMatchObject({ status: 0, stderr: '' });
    expect(limited('create', at('repo'), `dir:${at('tree')}`)).toMatchObject({ status: 0, stderr: '' });
    expect(limited('restore', at('repo'), 'latest', `dir:${at('out')}`)).toMatchObject({
      status: 0,
      stderr: '',
    });
    expect(await treeAt(at('out'))).toEqual(await treeAt(at('tree')));
  });
});

describe('tens of thousands of tiny chunks in one pack', () => {
  const at = freshDirectory();

  it('are verified with little memory', async () => {
    const manager = await SnapshotManager.init({ snapshotDir: at('repo') });
    const entries = Array.from({ length: 80_000 }, (_, i) =>
      regularFile(String(i).padStart(8, '0'), 0o644, Buffer.from(`file ${i}`)),
    );
    await manager.createSnapshot(fileTreeSource('tiny', { name: 'test' }, entries), 'tiny');
    await manager.close();
    const heap = ['--max-old-space-size=48']; // Entries and places of all chunks as objects take more.
    const result = spawnSync(process.execPath, [...heap, MAIN, 'verify', at('repo')], { encoding: 'utf8' });
    expect(result).toMatchObject({ status: 0, stderr: '' });
    expect(result.stdout).toMatch(/^No damage: 1 snapshot, 81,\d+ chunks/);
  });
});

describe('directories that nobody may go into', () => {
  const at = freshDirectory();
  /** Whom permissions stop, which they do not do with root; undefined where that is who runs the tests. */
  const somebody = process.getuid?.() === 0 ? { uid: 65534, gid: 65534 } : undefined;
  const restore = () => run(MAIN, 'restore', at('repo'), 'latest', `dir:${at('restored')}`);

  function run(...args: readonly string[]) {
    return spawnSync(process.execPath, args, { ...somebody, cwd: '/', encoding: 'utf8' });
  }

  const canUse = (folder: string) => run('-p', `fs.readdirSync(${JSON.stringify(folder)})`).status === 0;
  const isOpenToAll = process.getuid !== undefined && canUse(tmpdir()) && run(MAIN, '--version').status === 0;
  if (!isOpenToAll) console.log('skipped: no other user than root can run the command here');

  it.skipIf(!isOpenToAll)('get these permissions once all in them have theirs', async () => {
    const manager = await SnapshotManager.init({ snapshotDir: at('repo') });
    const entries: FileEntry[] = [
      { type: 'directory', path: 'a', mode: 0 },
      { type: 'directory', path: 'a/b', mode: 0 },
      regularFile('a/b/c', 0o400, seededBytes(10, 1)),
    ];
    await manager.createSnapshot(
      fileTreeSource('tree', { name: 'directory', mode: 0o755 }, entries),
      'closed',
    );
    await manager.close();
    if (somebody !== undefined)
      for (const name of ['', ...(await readdir(at(), { recursive: true }))])
        await chown(at(name), somebody.uid, somebody.gid);
    expect(restore()).toMatchObject({ status: 0, stderr: '' });
    for (const path of ['a', 'a/b']) {
      expect((await stat(at('restored', path))).mode & 0o7777).toBe(0);
      await chmod(at('restored', path), 0o700);
    }
    expect(await readFile(at('restored', 'a', 'b', 'c'))).toEqual(Buffer.from(seededBytes(10, 1)));
  });
});

describe('large files', () => {
  const at = freshDirectory();

  /** Files, and the most of the large ones that were read at the same time. */
  function watchedFiles(): { entries: FileEntry[]; most: () => number } {
    let [reading, most] = [0, 0];
    const watch = (file: FileEntry): FileEntry => {
      if (file.type !== 'file' || file.size < LARGE) return file;
      const read = file.read.bind(file);
      return {
        ...file,
        async *read() {
          most = Math.max(most, ++reading);
          for await (const piece of read()) {
            await new Promise(setImmediate);
            yield piece;
          }
          reading--;
        },
      };
    };
    return { entries: entriesOf(allKinds()).map(watch), most: () => most };
  }

  it('are written one after the other, which are read ahead', async () => {
    const { entries, most } = watchedFiles();
    async function* files(): AsyncGenerator<FileEntry> {
      yield* entries;
    }
    const content = { format: { name: 'test' }, schema: undefined, records: undefined, files, expected: {} };
    await directoryTarget(at('tree')).write(content, {});
    expect(most()).toBe(1);
  });
});

describe('the files of a snapshot', () => {
  const at = freshDirectory();
  const files = allKinds();
  let manager: SnapshotManager;
  let snapshot: Snapshot;

  beforeEach(async () => {
    const environment = directoryEnvironment(at('repo'), { workers: 1 });
    manager = await SnapshotManager.init({ environment });
    snapshot = await manager.createSnapshot(
      fileTreeSource('tree', { name: 'test' }, entriesOf(files)),
      'first',
    );
    return () => manager.close();
  });

  it.each([undefined, 1, 100_000])(
    'may be read in any order, twice, and at the same time, with %s bytes ahead',
    async (readAheadBytes) => {
      const target = filesTo(async (read) => {
        for (const file of read.toReversed())
          expect((await bytesOf(file)).equals(files.get(file.path) as Uint8Array), file.path).toBe(true);
        await Promise.all(
          read
            .flatMap((file) => [file, file])
            .map(async (file) => {
              const bytes = await bytesOf(file);
              expect(bytes.equals(files.get(file.path) as Uint8Array), file.path).toBe(true);
            }),
        );
      });
      await manager.restoreSnapshot(snapshot.id, target, { readAheadBytes });
    },
  );

  it('are in memory of whoever has read them, each time', async () => {
    const target = filesTo(async (read) => {
      const file = read.find(({ path }) => path === 'many/250') as RegularFile;
      for await (const piece of file.read()) piece.fill(0);
      expect((await bytesOf(file)).equals(files.get(file.path) as Uint8Array)).toBe(true);
    });
    await manager.restoreSnapshot(snapshot.id, target);
  });

  it.each([1, 200_000, 8 << 20])(
    'are in memory of their own, also where others have the same bytes, with %s bytes ahead',
    async (readAheadBytes) => {
      const alike = new Map<string, Uint8Array>();
      for (let i = 0; i < 5; i++) alike.set(`alike/${i}`, seededBytes(5000, 77)); // Kept as they are.
      const pages = Buffer.alloc(40 * 4096, seededBytes(4096, 78));
      pages.set(Buffer.from('SQLite format 3\0'));
      alike.set('pages', pages);
      const source = fileTreeSource('alike', { name: 'test' }, entriesOf(alike));
      const { id } = await manager.createSnapshot(source, 'alike');
      const target = filesTo(async (read) => {
        for (const file of read) {
          const hash = createHash('sha256');
          for await (const piece of file.read()) {
            hash.update(piece);
            piece.fill(0xaa);
          }
          expect(hash.digest('hex'), file.path).toBe(hashOf(alike.get(file.path) as Uint8Array));
        }
      });
      await manager.restoreSnapshot(id, target, { readAheadBytes });
    },
  );

  it('are held in memory no longer than so many others are read, though they were never asked for', async () => {
    const target = filesTo(async (read) => {
      const late = read.find(({ path }) => path === 'many/10') as RegularFile; // Which is read with those beside it.
      for (const file of read) if (file !== late) await bytesOf(file);
      for (const name of await readdir(at('repo', 'packs'))) {
        const length = (await stat(at('repo', 'packs', name))).size;
        await writeFile(at('repo', 'packs', name), new Uint8Array(length));
      }
      await expect(bytesOf(late)).rejects.toThrow(VecsnapError);
    });
    await manager.restoreSnapshot(snapshot.id, target, { readAheadBytes: 200_000 });
  });

  it('are read but for the one that is damaged, which says so', async () => {
    const damaged = 'many/250'; // Random bytes, which are kept as they are.
    for (const name of await readdir(at('repo', 'packs'))) {
      const pack = await readFile(at('repo', 'packs', name));
      const place = pack.indexOf(files.get(damaged) as Uint8Array);
      if (place < 0) continue;
      pack[place + 1] = (pack[place + 1] as number) ^ 1;
      await writeFile(at('repo', 'packs', name), pack);
    }
    const outcomes = new Map<string, unknown>();
    const target = filesTo(async (read) => {
      for (const file of read)
        outcomes.set(
          file.path,
          await bytesOf(file).then(
            (bytes) => bytes.equals(files.get(file.path) as Uint8Array),
            (error: unknown) => error,
          ),
        );
    });
    await manager.restoreSnapshot(snapshot.id, target);
    expect(outcomes.get(damaged)).toMatchObject({
      code: 'CHUNK_DAMAGED',
      place: expect.stringMatching(/^"many\/250": bafkrei/) as string,
    });
    outcomes.delete(damaged);
    expect([...outcomes.values()].every((outcome) => outcome === true)).toBe(true);
    await expect(manager.restoreSnapshot(snapshot.id, directoryTarget(at('restored')))).rejects.toThrow(
      expect.objectContaining({
        code: 'CHUNK_DAMAGED',
        place: expect.stringContaining(damaged) as string,
      }),
    );
    expect(await readdir(at())).toEqual(['repo']);
  });

  it('take no chunk when they are empty', async () => {
    const { chunks: before } = await manager.stats();
    const source = fileTreeSource('empty', { name: 'test' }, [
      regularFile('empty', 0o644, new Uint8Array(0)),
    ]);
    await manager.createSnapshot(source, 'second');
    const { chunks } = await manager.stats();
    expect(chunks.nodes).toBe(before.nodes + 2); // The manifest, and the root of the tree of files.
    expect(chunks.count).toBe(before.count + 2);
  });
});

describe('a file that has more than its source said', () => {
  const at = freshDirectory();

  it('is taken whole', async () => {
    const manager = await SnapshotManager.init({ snapshotDir: at('repo') });
    const bytes = seededBytes(3 * LARGE, 5);
    const long = { ...regularFile('long', 0o644, bytes), size: 10 } as FileEntry;
    const entries = [
      regularFile('a', 0o644, seededBytes(10, 1)),
      long,
      regularFile('z', 0o644, seededBytes(20, 1)),
    ];
    const { id } = await manager.createSnapshot(fileTreeSource('tree', { name: 'test' }, entries), 'long');
    await manager.restoreSnapshot(id, directoryTarget(at('restored')));
    expect((await readFile(at('restored', 'long'))).equals(bytes)).toBe(true);
    expect(await readdir(at('restored'))).toEqual(['a', 'long', 'z']);
    await manager.close();
  });
});

describe('a file that cannot be read', () => {
  const at = freshDirectory();

  it.each([100, LARGE])(
    'ends the snapshot with its own error, with %i bytes, before a large one behind it is read to its end',
    async (size) => {
      const environment = directoryEnvironment(at('repo'), { workers: 1 });
      const manager = await SnapshotManager.init({ environment });
      let piecesRead = 0;
      const failing: FileEntry = {
        ...regularFile('b', 0o644, new Uint8Array(0)),
        type: 'file',
        size,
        async *read() {
          yield seededBytes(100, 1);
          throw new VecsnapError('SOURCE_FAILED', 'It broke.', { remedy: 'Mend it.' });
        },
      };
      const long: FileEntry = {
        ...failing,
        path: 'c',
        size: 1000 << 18,
        async *read() {
          for (; piecesRead < 1000; piecesRead++) yield seededBytes(1 << 18, piecesRead);
        },
      };
      const source = fileTreeSource('tree', { name: 'test' }, [
        regularFile('a', 0o644, seededBytes(100, 1)),
        failing,
        long,
      ]);
      await expect(manager.createSnapshot(source, 'broken')).rejects.toThrow(
        expect.objectContaining({ code: 'SOURCE_FAILED' }),
      );
      expect(piecesRead).toBeLessThan(100);
      expect(await manager.listSnapshots()).toEqual([]);
      expect(await manager.stats()).toMatchObject({ unreferencedBytes: 0, packOverheadBytes: 0 });
      await manager.close();
    },
  );
});
