/** Files and directory trees: their contract, what a tree keeps, and paths that would lead out of it. */
import { execFileSync } from 'node:child_process';
import {
  chmod,
  lstat,
  mkdir,
  readdir,
  readFile,
  readlink,
  rename,
  rm,
  stat,
  symlink,
  truncate,
  writeFile,
} from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import {
  type Content,
  directorySource,
  directoryTarget,
  type FileEntry,
  fileSource,
  fileTarget,
  type Source,
} from 'vecsnap/source';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { expectCode, fingerprint, sourceContract, summarise, withOpen } from './contract/source.js';
import { freshDirectory, invertLastByte, seededBytes } from './support/files.js';

sourceContract({
  name: 'file',
  holds: 'files',
  exact: 'bytes',
  source: fileSource,
  target: fileTarget,
  make: async (path, count) => {
    await writeFile(path, seededBytes(count, count + 1));
    await chmod(path, count % 2 === 0 ? 0o640 : 0o4751);
  },
  change: invertLastByte,
  counts: { small: 1000, large: 3_000_001 },
});

/** The same source where nobody else waits for the calling thread. */
function ownThreadSource(root: string): Source {
  const source = directorySource(root);
  return { ...source, open: (options) => source.open({ ...options, ownsThread: true }) };
}

const WAYS = [
  ['dir', directorySource],
  ['dir, looked at in the calling thread', ownThreadSource],
] as const;

for (const [name, source] of WAYS) {
  sourceContract({
    name,
    holds: 'files',
    exact: 'bytes',
    source,
    target: directoryTarget,
    make: makeTree,
    change: async (root) => writeFile(join(root, 'new'), 'new'),
    counts: { small: 20, large: 200 },
  });
}

async function makeTree(root: string, count: number): Promise<void> {
  await mkdir(root, { mode: 0o750 });
  for (let i = 0; i < count; i++) {
    const directory = join(root, `d${i % 5}`, i % 3 === 0 ? 'ä b' : '.hidden');
    await mkdir(directory, { recursive: true });
    await writeFile(join(directory, `file ${i}`), seededBytes(i * 997, i), {
      mode: i % 2 === 0 ? 0o600 : 0o755,
    });
  }
}

const path = freshDirectory();

afterEach(() => {
  vi.restoreAllMocks();
});

describe.each(WAYS)('what a directory tree keeps (%s)', (_, sourceOf) => {
  const restoreTree = (from: string, to: string) =>
    withOpen(sourceOf(from), (content) => directoryTarget(to).write(content, {}));

  it('empty directories, links that lead anywhere, modes and odd names', async () => {
    const root = path('tree');
    await mkdir(join(root, 'empty', 'deeper'), { recursive: true });
    for (const name of [
      'a-b',
      'a.b',
      'a',
      '…',
      '\u{ff5e}',
      '\u{1f600}',
      'new\nline',
      'back\\slash',
      '-x',
      ' ',
    ]) {
      await mkdir(join(root, name));
      await writeFile(join(root, name, 'file'), name);
    }
    await writeFile(join(root, 'empty file'), '');
    await symlink('/etc/passwd', join(root, 'absolute'));
    await symlink('../../nowhere', join(root, 'dangling'));
    await symlink('a', join(root, 'to a directory'));
    await chmod(join(root, 'a'), 0o1777);
    await chmod(join(root, 'empty'), 0o555);
    await chmod(root, 0o700);
    await restoreTree(root, path('out'));
    expect(await fingerprint(path('out'))).toEqual(await fingerprint(root));
    expect(await readlink(path('out', 'absolute'))).toBe('/etc/passwd');
  });

  it('the same content whatever the times and the order of making', async () => {
    await makeTree(path('one'), 7);
    await makeTree(path('two'), 7);
    const [one, two] = [sourceOf(path('one')), sourceOf(path('two'))];
    expect(await withOpen(one, summarise)).toEqual(await withOpen(two, summarise));
  });

  it('leaves sockets and fifos out, and says so', async () => {
    await mkdir(path('tree'));
    await writeFile(path('tree', 'file'), 'x');
    execFileSync('mkfifo', [path('tree', 'fifo')]);
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(path('tree', 'socket'), resolve));
    try {
      await withOpen(sourceOf(path('tree')), async (content) => {
        expect(content.notes).toEqual([expect.stringMatching(/\(2\): fifo, socket/)]);
        expect((await summarise(content)).files).toHaveLength(1);
        await content.confirmUnchanged();
      });
      await expectCode('SOURCE_INVALID', () => withOpen(fileSource(path('tree', 'fifo')), summarise));
      await expectCode('SOURCE_INVALID', () => withOpen(fileSource(path('tree', 'socket')), summarise));
    } finally {
      server.close();
    }
  });
});

describe.each(WAYS)('trees that are not as they should be (%s)', (_, sourceOf) => {
  const treeFails = (code: Parameters<typeof expectCode>[0], root: string) =>
    expectCode(code, () => withOpen(sourceOf(root), summarise));

  it('have names or links that are not UTF-8', async () => {
    await mkdir(path('names'));
    await writeFile(Buffer.concat([Buffer.from(path('names', 'caf')), Buffer.of(0xe9)]), '');
    expect((await treeFails('SOURCE_INVALID', path('names'))).message).toContain('café');
    await mkdir(path('links'));
    await symlink(Buffer.of(0xff), path('links', 'link'));
    await treeFails('SOURCE_INVALID', path('links'));
  });

  it('are files, or are not there', async () => {
    await writeFile(path('file'), 'x');
    await treeFails('SOURCE_INVALID', path('file'));
    await treeFails('SOURCE_MISSING', path('file', 'below'));
    await expectCode('SOURCE_INVALID', () => withOpen(fileSource(path()), summarise));
    await expectCode('SOURCE_MISSING', () => withOpen(fileSource(path('file', 'below')), summarise));
  });

  const changes: [string, (root: string) => Promise<unknown>][] = [
    ['a byte', (root) => invertLastByte(join(root, 'd1', '.hidden', 'file 1'))],
    ['a new file', (root) => writeFile(join(root, 'd1', 'new'), '')],
    ['a new directory', (root) => mkdir(join(root, 'new'))],
    ['a new fifo', async (root) => execFileSync('mkfifo', [join(root, 'fifo')])],
    ['a file that is gone', (root) => rm(join(root, 'd1', '.hidden', 'file 1'))],
    ['a file with another name', (root) => rename(join(root, 'd1'), join(root, 'd9'))],
    ['other permissions', (root) => chmod(join(root, 'd1'), 0o700)],
    ['other permissions of the root', (root) => chmod(root, 0o700)],
    [
      'a link that leads elsewhere',
      async (root) => {
        await rm(join(root, 'link'));
        await symlink('elsewhere', join(root, 'link'));
      },
    ],
  ];

  it.each(changes)('change while they are read: %s', async (_, change) => {
    await makeTree(path('tree'), 5);
    await symlink('somewhere', path('tree', 'link'));
    await expectCode('SOURCE_CHANGED', () =>
      withOpen(sourceOf(path('tree')), async (content) => {
        await summarise(content);
        await content.confirmUnchanged();
        await change(path('tree'));
        await content.confirmUnchanged();
      }),
    );
  });

  const earlier: [string, (file: string) => Promise<unknown>][] = [
    ['is gone', (file) => rm(file)],
    ['is shorter', (file) => truncate(file, 3)],
    [
      'is a link',
      async (file) => {
        await rm(file);
        await symlink('/etc/passwd', file);
      },
    ],
  ];

  it.each(earlier)('change between the listing and the reading: a file %s', async (_, change) => {
    await makeTree(path('tree'), 5);
    await expectCode('SOURCE_CHANGED', () =>
      withOpen(sourceOf(path('tree')), async (content) => {
        await change(path('tree', 'd1', '.hidden', 'file 1'));
        await summarise(content);
      }),
    );
  });

  it('shrink while a file is read', async () => {
    await writeFile(path('file'), seededBytes(3_000_000, 1));
    await expectCode('SOURCE_CHANGED', () =>
      withOpen(fileSource(path('file')), async (content) => {
        await truncate(path('file'), 1_500_000);
        await summarise(content);
      }),
    );
  });
});

function contentOf(...entries: FileEntry[]): Content {
  return {
    format: { name: 'directory' },
    schema: undefined,
    records: undefined,
    files: async function* () {
      yield* entries;
    },
    expected: {},
  };
}

function fileEntry(name: string, text = 'content'): FileEntry {
  const bytes = Buffer.from(text);
  const read = async function* () {
    yield new Uint8Array(bytes);
  };
  return { type: 'file', path: name, mode: 0o644, size: bytes.length, read };
}

const directory = (name: string, mode = 0o755): FileEntry => ({ type: 'directory', path: name, mode });
const link = (name: string, target: string): FileEntry => ({ type: 'link', path: name, mode: 0o777, target });

it('a tree is the same where looks take so long that other threads make them', async () => {
  await makeTree(path('tree'), 300);
  const expected = await withOpen(directorySource(path('tree')), summarise);
  let now = 0;
  const clock = vi.spyOn(performance, 'now').mockImplementation(() => (now += 1000));
  expect(await withOpen(ownThreadSource(path('tree')), summarise)).toEqual(expected);
  expect(clock).toHaveBeenCalled();
});

it('a large tree that is looked at in the calling thread leaves other work its turn', async () => {
  await makeTree(path('tree'), 1500);
  let turns = 0;
  let isOver = false;
  const turn = (): void => {
    turns++;
    if (!isOver) setImmediate(turn);
  };
  turn();
  const seen: number[] = []; // Before and after some places are looked at.
  vi.spyOn(performance, 'now').mockImplementation(() => seen.push(turns));
  await withOpen(ownThreadSource(path('tree')), async () => undefined);
  isOver = true;
  expect(seen.length).toBeGreaterThan(20);
  for (let i = 2; i < seen.length; i += 2) expect(seen[i]).toBeGreaterThan(seen[i - 1] as number);
});

describe('a tree that would be written elsewhere', () => {
  const hostile: [string, () => FileEntry[], RegExp][] = [
    ['..', () => [fileEntry('../escaped')], /leads out/],
    ['.. below', () => [directory('a'), fileEntry('a/../../escaped')], /leads out/],
    ['.', () => [fileEntry('./a')], /leads out/],
    ['an absolute path', () => [fileEntry(path('escaped'))], /leads out/],
    ['an absolute directory', () => [directory(path('escaped'))], /leads out/],
    ['an absolute link', () => [link(path('escaped'), 'x')], /leads out/],
    ['an empty path', () => [fileEntry('')], /leads out/],
    ['an empty part', () => [fileEntry('a//b')], /leads out/],
    ['a slash at the end', () => [directory('a/')], /leads out/],
    ['a zero byte', () => [fileEntry('a\0b')], /is no path/],
    [
      'a file through a link',
      () => [link('a', path('outside')), fileEntry('a/escaped')],
      /of something else/,
    ],
    [
      'a directory through a link',
      () => [link('a', path('outside')), directory('a/escaped')],
      /of something else/,
    ],
    [
      'a file over a link',
      () => [link('a', path('outside', 'escaped')), fileEntry('a')],
      /does not come after/,
    ],
    ['a file below a file', () => [fileEntry('a'), fileEntry('a/b')], /of something else/],
    ['one path twice', () => [fileEntry('a'), fileEntry('a')], /does not come after/],
    ['paths out of order', () => [fileEntry('b'), fileEntry('a')], /does not come after/],
  ];

  it.each(hostile)('%s', async (_, entries, why) => {
    await mkdir(path('outside'));
    const error = await expectCode('TARGET_UNSUITABLE', () =>
      directoryTarget(path('out')).write(contentOf(...entries()), {}),
    );
    expect(error.place).toContain('dir:');
    expect(error.message).toMatch(why);
    expect(await readdir(path())).toEqual(['outside']);
    expect(await readdir(path('outside'))).toEqual([]);
  });

  it('a file below a file that is not written yet', async () => {
    let giveBytes = (): void => undefined;
    const isGiven = new Promise<void>((resolve) => (giveBytes = resolve));
    const large = (name: string): FileEntry => ({
      type: 'file',
      path: name,
      mode: 0o644,
      size: 2 ** 21, // Such are written one at a time: the second waits, and its place is free.
      read: async function* () {
        await isGiven;
        yield new Uint8Array(2 ** 21);
      },
    });
    const files = async function* () {
      yield* [large('A'), large('a'), fileEntry('a/b')];
      giveBytes();
    };
    const error = await expectCode('TARGET_UNSUITABLE', () =>
      directoryTarget(path('out')).write({ ...contentOf(), files }, {}),
    );
    expect(error.message).toMatch(/of something else/);
    expect(await readdir(path())).toEqual([]);
  });

  it('makes parents that the content leaves out', async () => {
    await directoryTarget(path('out')).write(contentOf(fileEntry('a/b/c'), fileEntry('a/d')), {});
    expect(await readFile(path('out', 'a', 'b', 'c'), 'utf8')).toBe('content');
    expect((await stat(path('out', 'a', 'b'))).mode & 0o777).toBe(0o755);
  });

  it('keeps an unfinished tree to its owner', async () => {
    let seen = 0;
    const looking = contentOf(fileEntry('a'));
    await directoryTarget(path('out')).write(
      {
        ...looking,
        files: async function* () {
          const [partial] = await readdir(path());
          seen = (await lstat(path(partial ?? ''))).mode & 0o777;
          yield* looking.files?.() ?? [];
        },
      },
      {},
    );
    expect(seen).toBe(0o700);
  });

  it('takes a path with a slash at its end', async () => {
    await directoryTarget(`${path('out')}/`).write(contentOf(fileEntry('a')), {});
    expect(await readdir(path())).toEqual(['out']);
  });
});

describe('a file: target', () => {
  it.each([
    ['two files', [fileEntry('a'), fileEntry('b')]],
    ['a directory', [directory('a')]],
    ['a link', [link('a', '/etc/passwd')]],
    ['nothing', []],
  ])('does not take %s', async (_, entries) => {
    await expectCode('TARGET_UNSUITABLE', () => fileTarget(path('out')).write(contentOf(...entries), {}));
    expect(await readdir(path())).toEqual([]);
  });

  it('replaces a link, not what the link leads to', async () => {
    await writeFile(path('precious'), 'precious');
    await symlink(path('precious'), path('out'));
    await expectCode('TARGET_EXISTS', () => fileTarget(path('out')).prepare({}));
    await fileTarget(path('out')).write(contentOf(fileEntry('a')), { overwrite: true });
    expect(await readFile(path('precious'), 'utf8')).toBe('precious');
    expect((await lstat(path('out'))).isFile()).toBe(true);
  });

  it('does not replace what came to stand there meanwhile', async () => {
    const content = contentOf(fileEntry('a'));
    const late: Content = {
      ...content,
      files: async function* () {
        await writeFile(path('out'), 'late');
        yield* content.files?.() ?? [];
      },
    };
    await expectCode('TARGET_EXISTS', () => fileTarget(path('out')).write(late, {}));
    await rm(path('out'));
    await expectCode('TARGET_EXISTS', () => directoryTarget(path('out')).write(late, {}));
    expect(await readFile(path('out'), 'utf8')).toBe('late');
    expect(await readdir(path())).toEqual(['out']);
  });
});
