/** What is particular to blobs in files: the order of system calls, their failures, left-overs, handles, links. */
import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, open, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { Readable } from 'node:stream';
import { setImmediate } from 'node:timers/promises';
import { promisify } from 'node:util';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  type BlobStore,
  type FsBlobStore,
  fsBlobStore,
  type FsOperations,
  nodeFsOperations,
} from 'vecsnap/blob';
import { type FsCall, observedFsOperations, systemError } from './fault/fs-operations.js';
import { runs } from './support/arbitraries.js';
import { seededBytes } from './support/files.js';

let directory: string;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'vecsnap-blob-fs-'));
});

afterEach(async () => {
  await rm(directory, { recursive: true });
});

const BYTES = new TextEncoder().encode('some bytes');

describe('the system calls of a put', () => {
  it('stand in the order that makes a blob durable before it has its name', async () => {
    const calls: string[] = [];
    const store = fsBlobStore(join(directory, 'repo'), {
      operations: observedFsOperations((call) => calls.push(describeCall(call))),
    });
    await store.put('packs/a', BYTES);
    expect(calls).toEqual([
      'lstat repo/packs/a',
      'mkdir repo',
      'syncDirectory ',
      'mkdir repo/tmp',
      'syncDirectory repo',
      'openNew repo/tmp/*',
      'writev',
      'fsync',
      'close',
      'mkdir repo/packs',
      'syncDirectory repo',
      'link repo/tmp/* repo/packs/a',
      'unlink repo/tmp/*',
      'syncDirectory repo/packs',
    ]);
    calls.length = 0;
    await store.put('packs/b', BYTES);
    expect(calls).toEqual([
      'lstat repo/packs/b',
      'openNew repo/tmp/*',
      'writev',
      'fsync',
      'close',
      'link repo/tmp/* repo/packs/b',
      'unlink repo/tmp/*',
      'syncDirectory repo/packs',
    ]);
    calls.length = 0;
    await expect(store.put('packs/b', BYTES)).rejects.toMatchObject({ code: 'BLOB_EXISTS' });
    expect(calls, 'the blob that exists is made durable before it is reported').toEqual([
      'lstat repo/packs/b',
      'lstat repo/packs/b',
      'syncDirectory repo/packs',
    ]);
    calls.length = 0;
    await store.delete('packs/b');
    expect(calls).toEqual([
      'lstat repo/packs/b',
      'lstat repo/packs',
      'unlink repo/packs/b',
      'syncDirectory repo/packs',
    ]);
  });

  it('are the same when its parts come one by one, and those are gathered', async () => {
    const calls: string[] = [];
    const operations = observedFsOperations((call) => calls.push(describeCall(call)));
    const store = fsBlobStore(join(directory, 'repo'), { operations });
    await store.put('packs/a', BYTES);
    calls.length = 0;
    await store.putParts('packs/b', Readable.from(Array.from({ length: 25 }, () => [BYTES, BYTES])));
    expect(calls).toEqual([
      'lstat repo/packs/b',
      'openNew repo/tmp/*',
      'writeAt',
      'fsync',
      'close',
      'link repo/tmp/* repo/packs/b',
      'unlink repo/tmp/*',
      'syncDirectory repo/packs',
    ]);
  });

  it('write many parts in few calls', async () => {
    const calls: string[] = [];
    const operations = observedFsOperations((call) => calls.push(call[0]));
    const parts = Array.from({ length: 2500 }, () => BYTES);
    await fsBlobStore(directory, { operations }).put('a', parts);
    expect(calls.filter((method) => method === 'writev')).toHaveLength(3);
  });
});

describe.each([
  ['EIO', 'STORE_FAILED'],
  ['EROFS', 'STORE_FAILED'],
  ['EMFILE', 'STORE_FAILED'],
  ['ENOSPC', 'STORE_FULL'],
  ['EDQUOT', 'STORE_FULL'],
])('a system call that fails with %s', (systemCode, code) => {
  it('fails the put, shows no part of the blob, and leaves nothing behind', async () => {
    const total = await countCalls((store) => store.put('packs/a', BYTES));
    for (let failing = 0; failing < total; failing++) {
      const root = join(directory, String(failing));
      const store = fsBlobStore(root, { operations: failingCall(failing, systemCode) });
      await expect(store.put('packs/a', BYTES)).rejects.toMatchObject({
        code,
        place: join(root, 'packs/a'),
        remedy: expect.any(String),
        cause: { code: systemCode },
      });
      const stat = await store.stat('packs/a');
      if (stat) expect(await store.get('packs/a')).toEqual(BYTES);
      await store.removeTemporary();
      const again = store.put('packs/a', BYTES);
      if (stat) await expect(again).rejects.toMatchObject({ code: 'BLOB_EXISTS' });
      else await again;
      expect(await readdir(join(root, 'tmp'))).toEqual([]);
      await store.close();
    }
  });

  it('fails a put whose parts come one by one in the same way', async () => {
    const bytes = seededBytes(2_500_000, 1);
    const parts = (): AsyncIterable<Uint8Array[]> =>
      Readable.from([[bytes.subarray(0, 1_100_000)], [bytes.subarray(1_100_000)]]);
    const put = (store: FsBlobStore): Promise<void> => store.putParts('packs/a', parts());
    const total = await countCalls(put);
    for (let failing = 0; failing < total; failing++) {
      const root = join(directory, String(failing));
      const store = fsBlobStore(root, { operations: failingCall(failing, systemCode) });
      const told = { code, place: join(root, 'packs/a'), cause: { code: systemCode } };
      await expect(put(store)).rejects.toMatchObject(told);
      const stat = await store.stat('packs/a');
      if (stat) expect(Buffer.compare(await store.get('packs/a'), bytes)).toBe(0);
      await store.removeTemporary();
      if (stat) await expect(put(store)).rejects.toMatchObject({ code: 'BLOB_EXISTS' });
      else await put(store);
      expect(await readdir(join(root, 'tmp'))).toEqual([]);
      await store.close();
    }
  });

  it('is told by every other method', async () => {
    const methods: ((store: BlobStore) => Promise<unknown>)[] = [
      (store) => store.get('packs/a'),
      (store) => store.read('packs/a', 0, new Uint8Array(3)),
      (store) => store.stat('packs/a'),
      (store) => collect(store.list('')),
      (store) => store.delete('packs/a'),
    ];
    await fsBlobStore(directory).put('packs/a', BYTES);
    for (const method of methods) {
      const operations = observedFsOperations(() => {
        throw systemError(systemCode);
      });
      const store = fsBlobStore(directory, { operations });
      await expect(method(store)).rejects.toMatchObject({
        code: 'STORE_FAILED',
        place: expect.stringContaining(directory),
        cause: { code: systemCode },
      });
    }
    expect(await fsBlobStore(directory).stat('packs/a')).toBeDefined();
  });
});

describe('a temporary file', () => {
  it.each(['writev', 'fsync', 'link', 'mkdir'])('is removed when %s fails', async (method) => {
    let armed = false;
    const operations = observedFsOperations((call) => {
      if (call[0] === method && armed) throw systemError('EIO');
      if (call[0] === 'openNew') armed = true;
    });
    await expect(fsBlobStore(directory, { operations }).put('packs/a', BYTES)).rejects.toMatchObject({
      code: 'STORE_FAILED',
    });
    expect(await readdir(join(directory, 'tmp'))).toEqual([]);
  });

  it('of a crashed writer is no blob and is deleted by removeTemporary', async () => {
    const store = fsBlobStore(directory);
    expect(await store.removeTemporary(), 'of a store without tmp').toBe(0);
    await store.put('packs/a', BYTES);
    await writeFile(join(directory, 'tmp', 'left'), BYTES);
    await writeFile(join(directory, 'tmp', 'packs+b.claim'), '');
    expect(await collect(store.list(''))).toEqual(['packs/a']);
    expect(await store.removeTemporary()).toBe(2);
    expect(await readdir(join(directory, 'tmp'))).toEqual([]);
    expect(await store.get('packs/a')).toEqual(BYTES);
  });

  it('that is being written by the same store is spared', async () => {
    const removed: number[] = [];
    const fsync = async (descriptor: number): Promise<void> => {
      removed.push(await store.removeTemporary());
      await nodeFsOperations.fsync(descriptor);
    };
    const operations = { ...nodeFsOperations, fsync };
    const store = fsBlobStore(directory, { operations });
    await store.put('a', BYTES);
    expect(removed).toEqual([0]);
    expect(await store.get('a')).toEqual(BYTES);
  });

  it('that is being written by another process may vanish: that put begins again', async () => {
    let times = 0;
    const fsync = async (descriptor: number): Promise<void> => {
      await nodeFsOperations.fsync(descriptor);
      if (times++ < 2) await rm(join(directory, 'tmp'), { recursive: true });
    };
    const operations = { ...nodeFsOperations, fsync };
    await fsBlobStore(directory, { operations }).put('packs/a', BYTES);
    expect(times).toBe(3);
    expect(await readFile(join(directory, 'packs/a'))).toEqual(Buffer.from(BYTES));
    expect(await readdir(join(directory, 'tmp'))).toEqual([]);
  });

  it('that vanishes cannot be had again when its parts came one by one: that put fails', async () => {
    let times = 0;
    const fsync = async (descriptor: number): Promise<void> => {
      await nodeFsOperations.fsync(descriptor);
      if (times++ === 0) await rm(join(directory, 'tmp'), { recursive: true });
    };
    const store = fsBlobStore(directory, { operations: { ...nodeFsOperations, fsync } });
    const parts = async function* (): AsyncGenerator<Uint8Array[]> {
      yield [BYTES];
    };
    await expect(store.putParts('packs/a', parts())).rejects.toMatchObject({
      code: 'STORE_FAILED',
      cause: { code: 'ENOENT' },
    });
    expect(await store.stat('packs/a')).toBeUndefined();
  });

  it('gets its name though the folder for it vanishes just before, also when its parts came one by one', async () => {
    let times = 0;
    const link = async (from: string, to: string): Promise<void> => {
      if (times++ === 0) await rm(join(directory, 'packs'), { recursive: true });
      await nodeFsOperations.link(from, to);
    };
    const store = fsBlobStore(directory, { operations: { ...nodeFsOperations, link } });
    await store.putParts('packs/a', Readable.from([[BYTES]]));
    expect(times).toBe(2);
    expect(await store.get('packs/a')).toEqual(BYTES);
  });

  it('is removed when its parts fail, and no file stays open', async () => {
    const open = new Set<number>();
    const operations: FsOperations = {
      ...nodeFsOperations,
      openNew: async (file) => noted(open, await nodeFsOperations.openNew(file)),
      ...(nodeFsOperations.openDirect && {
        openDirect: async (file: string) =>
          noted(open, (await nodeFsOperations.openDirect?.(file)) as number),
      }),
      async close(descriptor) {
        open.delete(descriptor);
        await nodeFsOperations.close(descriptor);
      },
    };
    const parts = async function* (): AsyncGenerator<Uint8Array[]> {
      for (let i = 0; i < 3; i++) yield [seededBytes(900_000, i)];
      throw new Error('broken');
    };
    await expect(fsBlobStore(directory, { operations }).putParts('packs/a', parts())).rejects.toMatchObject({
      code: 'STORE_FAILED',
    });
    expect(open.size).toBe(0);
    expect(await readdir(join(directory, 'tmp'))).toEqual([]);
  });
});

describe('what is no blob', () => {
  it('is not listed, and not got through', async () => {
    const store = fsBlobStore(directory);
    await store.put('packs/a', BYTES);
    await mkdir(join(directory, 'index'));
    await mkdir(join(directory, 'empty'));
    await mkdir(join(directory, '.git'));
    await mkdir(join(directory, 'Upper'));
    for (const path of [
      'index/000001.log',
      '.git/config',
      'Upper/a',
      'README.md',
      'packs/.DS_Store',
      'packs/a b',
    ]) {
      await writeFile(join(directory, path), 'x');
    }
    await symlink(join(directory, 'packs/a'), join(directory, 'packs/link'));
    await symlink(join(directory, 'packs'), join(directory, 'folder-link'));
    await symlink('nowhere', join(directory, 'dangling'));
    await promisify(execFile)('mkfifo', [join(directory, 'pipe')]);
    expect(await collect(store.list(''))).toEqual(['packs/a']);
    for (const name of ['packs/link', 'dangling', 'pipe', 'empty', 'packs']) {
      expect(await store.stat(name)).toBeUndefined();
      await expect(store.get(name)).rejects.toMatchObject({ code: 'BLOB_MISSING' });
      await expect(store.put(name, BYTES)).rejects.toMatchObject({ code: 'STORE_FAILED' });
    }
    await expect(store.put('packs/a/b', BYTES)).rejects.toMatchObject({ code: 'STORE_FAILED' });
    expect(await readdir(join(directory, 'tmp'))).toEqual([]);
  });
});

describe('the directory', () => {
  it('may be a symbolic link, relative, or end with a slash', async () => {
    await mkdir(join(directory, 'real'));
    await symlink('real', join(directory, 'link'));
    const names = ['link', 'real/', relative(process.cwd(), join(directory, 'real'))];
    for (const [i, name] of names.entries()) {
      const store = fsBlobStore(i === 2 ? name : `${directory}/${name}`);
      await store.put(`packs/${i}`, BYTES);
      expect(await collect(store.list(''))).toHaveLength(i + 1);
      await store.close();
    }
  });

  it('that does not exist is an empty store', async () => {
    const store = fsBlobStore(join(directory, 'none'));
    expect(await collect(store.list(''))).toEqual([]);
    expect(await store.stat('a')).toBeUndefined();
    await expect(store.get('a')).rejects.toMatchObject({ code: 'BLOB_MISSING' });
    await store.delete('a');
    expect(await readdir(directory)).toEqual([]);
  });
});

describe('handles', () => {
  it('stay open for the next read, at most so many, and none after close', async () => {
    const open = new Map<number, string>();
    let opened = 0;
    const openToRead = async (path: string): Promise<number> => {
      opened++;
      const descriptor = await nodeFsOperations.openToRead(path);
      open.set(descriptor, path);
      return descriptor;
    };
    const close = async (descriptor: number): Promise<void> => {
      open.delete(descriptor);
      await nodeFsOperations.close(descriptor);
    };
    const operations = { ...nodeFsOperations, openToRead, close };
    const store = fsBlobStore(directory, { operations, openHandles: 4 });
    const names = Array.from({ length: 12 }, (_, i) => `a${i}`);
    for (const name of names) await store.put(name, BYTES);

    for (let i = 0; i < 10; i++) await store.read('a0', i, new Uint8Array(1));
    expect(opened).toBe(1);
    await Promise.all(Array.from({ length: 10 }, () => store.read('a1', 0, new Uint8Array(1))));
    expect(opened, 'reads at once open once').toBe(2);

    await Promise.all(names.flatMap((name) => [store.get(name), store.get(name)]));
    expect(open.size).toBe(4);
    for (const name of ['a0', 'a1', 'a2', 'a3', 'a0', 'a4']) await store.get(name);
    const kept = new Set(Array.from(open.values(), (path) => relative(directory, path)));
    expect(kept, 'the last used are kept').toEqual(new Set(['a0', 'a2', 'a3', 'a4']));

    await store.delete('a3');
    expect([...open.values()]).not.toContain(join(directory, 'a3'));
    await store.close();
    expect(open.size).toBe(0);
  });

  it('are closed once and read while they are open, whatever is read, lent and deleted at once', async () => {
    const anyWork = fc.record({
      what: fc.constantFrom('read', 'lend', 'lend', 'delete'),
      names: fc.uniqueArray(fc.nat({ max: 7 }), { minLength: 1, maxLength: 8 }),
    });
    await fc.assert(
      fc.asyncProperty(
        fc.nat({ max: 5 }),
        fc.array(fc.array(anyWork, { maxLength: 5 }), { maxLength: 6 }),
        async (openHandles, rounds) => {
          const { operations, open, wrong } = watchedOperations();
          const store = fsBlobStore(directory, { operations, openHandles });
          const put = (i: number) => store.put(`b${i}`, BYTES).catch(() => {}); // It is there already.
          for (let i = 0; i < 8; i++) await put(i);
          const run = async ({ what, names: numbers }: { what: string; names: readonly number[] }) => {
            const names = numbers.map((i) => `b${i}`);
            if (what === 'delete') await store.delete(names[0] as string);
            else if (what === 'read') await store.get(names[0] as string);
            else
              await store.useFiles?.(names, async (descriptors) => {
                await setImmediate();
                for (const descriptor of descriptors)
                  if (!open.has(descriptor)) wrong.push('lent, but closed');
              });
          };
          for (const round of rounds) await Promise.allSettled(round.map(run));
          await store.close();
          expect({ wrong, open: open.size }).toEqual({ wrong: [], open: 0 });
        },
      ),
      { numRuns: runs(200) },
    );
  });

  it('are not kept when opening fails', async () => {
    let failing = true;
    const operations = observedFsOperations(([method]) => {
      if (failing && method === 'openToRead') throw systemError('EIO');
    });
    const store = fsBlobStore(directory, { operations });
    await store.put('a', BYTES);
    const both = await Promise.allSettled([
      store.get('a'),
      store.read('a', 0, new Uint8Array(1)),
      store.close(),
    ]);
    expect(both.map(({ status }) => status)).toEqual(['rejected', 'rejected', 'fulfilled']);
    failing = false;
    expect(await store.get('a')).toEqual(BYTES);
    await store.close();
  });
});

it('reads beyond 4 GiB', async () => {
  const store = fsBlobStore(directory);
  const end = 5 * 2 ** 30;
  const file = await open(join(directory, 'large'), 'w');
  await file.write(BYTES, 0, BYTES.length, end);
  await file.close();
  expect(await store.stat('large')).toEqual({ name: 'large', size: end + BYTES.length });
  const into = new Uint8Array(20);
  expect(await store.read('large', end - 1, into)).toBe(1 + BYTES.length);
  expect(into.subarray(1, 1 + BYTES.length)).toEqual(BYTES);
  await store.close();
});

/** Knows which descriptors are open, and notes those that are closed twice or read when they are not. */
function watchedOperations() {
  const open = new Set<number>();
  const wrong: string[] = [];
  const check = (what: string, descriptor: number): void => {
    if (!open.has(descriptor)) wrong.push(`${what}, but not open`);
  };
  const openToRead = async (path: string): Promise<number> => {
    const descriptor = await nodeFsOperations.openToRead(path);
    open.add(descriptor);
    return descriptor;
  };
  const read: FsOperations['read'] = async (descriptor, ...where) => {
    check('read', descriptor);
    return nodeFsOperations.read(descriptor, ...where);
  };
  const close = async (descriptor: number): Promise<void> => {
    // Those of new blobs and of directories are opened elsewhere.
    if (open.delete(descriptor)) closed.add(descriptor);
    else if (closed.has(descriptor)) wrong.push('closed twice');
    await nodeFsOperations.close(descriptor).catch(() => wrong.push('closed, but not open'));
  };
  const closed = new Set<number>();
  return { operations: { ...nodeFsOperations, openToRead, read, close }, open, wrong };
}

async function countCalls(action: (store: FsBlobStore) => Promise<void>): Promise<number> {
  let count = 0;
  const store = fsBlobStore(join(directory, 'counted'), { operations: observedFsOperations(() => count++) });
  await action(store);
  return count;
}

/** Fails one call only, so that what comes after it (cleaning up, trying again) is seen to work. */
function failingCall(failing: number, code: string) {
  return observedFsOperations((_, number) => {
    if (number === failing) throw systemError(code);
  });
}

function noted(open: Set<number>, descriptor: number): number {
  open.add(descriptor);
  return descriptor;
}

function describeCall([method, ...args]: FsCall): string {
  const paths = args.filter((arg) => typeof arg === 'string').map((path) => relative(directory, path));
  return [method, ...paths.map((path) => path.replace(/tmp\/[0-9a-f]+$/, 'tmp/*'))].join(' ');
}

async function collect(stats: AsyncIterable<{ name: string }>): Promise<string[]> {
  const names: string[] = [];
  for await (const { name } of stats) names.push(name);
  return names;
}
