/** Reading ahead of a command that starts: all of it where it can be, and never in anybody's way. */
import { execFileSync } from 'node:child_process';
import { mkdir, readdir, readFile, readlink, writeFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';
import { describe, expect, it, vi } from 'vitest';
import { freshDirectory } from './support/files.js';

const { readAhead } = (await import(pathToFileURL(resolve('dist/cli/read-ahead.js')).href)) as {
  readAhead: (files: readonly { path: string; size: number }[], ended: AbortSignal) => void;
};
/** Of a command that goes on. */
const never = new AbortController().signal;
const MIB = 1024 * 1024;
const path = freshDirectory();

/** Waits until no file of these tests is open any more. */
async function allClosed(): Promise<void> {
  for (;;) {
    const links = await Promise.all(
      (await readdir('/proc/self/fd')).map((fd) => readlink(`/proc/self/fd/${fd}`).catch(() => '')),
    );
    if (!links.some((link) => link.startsWith(path('')))) return;
    await sleep(5);
  }
}

/** Bytes that this process has had read, whatever from. */
async function bytesRead(): Promise<number> {
  const [, count] = /rchar: (\d+)/.exec(await readFile('/proc/self/io', 'utf8')) as RegExpExecArray;
  return Number(count);
}

/** Waits until so many bytes were read. Files that are listed as open may be closed, and others open, once their names are asked for. */
async function read(bytes: number, before: number): Promise<void> {
  await vi.waitFor(async () => expect((await bytesRead()) - before).toBeGreaterThanOrEqual(bytes), 10_000);
}

describe.runIf(process.platform === 'linux')(
  'reading ahead, on Linux, which tells in /proc what was read',
  () => {
    it('reads every byte, of large files too, and closes them', async () => {
      const files = await Promise.all(
        [3, 40, 1, 19].map(async (size, i) => {
          await writeFile(path(`${i}`), new Uint8Array(size * MIB));
          return { path: path(`${i}`), size: size * MIB };
        }),
      );
      const before = await bytesRead();
      readAhead(files, never);
      await read(63 * MIB, before);
      await allClosed();
    });

    it('leaves it at what is under way when nobody needs the rest', async () => {
      await writeFile(path('one'), new Uint8Array(MIB));
      const before = await bytesRead();
      const ended = new AbortController();
      const files = Array.from({ length: 400 }, () => ({ path: path('one'), size: MIB }));
      readAhead(files, ended.signal);
      ended.abort();
      await allClosed();
      expect((await bytesRead()) - before).toBeLessThan(100 * MIB);
    });

    it('passes over what is no file, or none any more, and waits for nobody', async () => {
      execFileSync('mkfifo', [path('pipe')]);
      await mkdir(path('directory'));
      await writeFile(path('last'), new Uint8Array(MIB));
      const files = ['missing', 'pipe', 'directory', 'last'].flatMap((name) =>
        Array.from({ length: 5 }, () => ({ path: path(name), size: MIB })),
      );
      const before = await bytesRead();
      readAhead(files, never);
      await read(5 * MIB, before);
      await allClosed();
    });
  },
);
