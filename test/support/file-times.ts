/** What tests of files that are not read again need: where their times tell, and ways to write that leave few traces. */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll } from 'vitest';
import { resolveSource } from 'vecsnap/source';

/** Whether writes to files in this directory are known to show in their times. */
async function doWritesShow(directory: string): Promise<boolean> {
  const folder = await mkdtemp(join(directory, 'vecsnap-times-'));
  try {
    await writeFile(join(folder, 'file'), 'some bytes');
    const opened = await (await resolveSource(`file:${join(folder, 'file')}`)).open();
    await opened.close();
    return opened.state !== undefined;
  } finally {
    await rm(folder, { recursive: true });
  }
}

/** Whether times of files in temporary directories tell enough for them not to be read again. */
export const doShow = await doWritesShow(tmpdir());
if (!doShow)
  console.warn(`Not tested that files are not read again: times in ${tmpdir()} do not tell enough.`);
export const hasPython = spawnSync('python3', ['-c', 'import mmap']).status === 0;
if (!hasPython) console.warn('Not tested with writes through mappings: there is no Python.');

const WRITER = `
import mmap, os, sys
mapping = mmap.mmap(os.open(sys.argv[1], os.O_RDWR), 0)
for line in sys.stdin:
    mapping[-1] = int(line)
    print(flush=True)
`;

/** A program that has a file mapped all the time, and writes its last byte when it is told to. */
export function startWriter(path: string): { write(value: number): Promise<void>; end(): void } {
  const child = spawn('python3', ['-c', WRITER, path], { stdio: ['pipe', 'pipe', 'inherit'] });
  return {
    write: async (value) => {
      child.stdin.write(`${value}\n`);
      await once(child.stdout, 'data');
    },
    end: () => child.stdin.end(),
  };
}

/** Does something to a file, and puts the time of its last write back. */
export async function secretly(path: string, change: () => unknown): Promise<void> {
  const { atime, mtime } = await stat(path);
  await change();
  await utimes(path, atime, mtime);
}

async function mountCoarseDisk(): Promise<string | undefined> {
  const folder = await mkdtemp(join(tmpdir(), 'vecsnap-disk-'));
  const [image, place] = [join(folder, 'image'), join(folder, 'place')];
  await mkdir(place);
  const script = 'truncate -s 8M "$1" && mkfs.ext2 -q -I 128 "$1" && mount -o loop "$1" "$2"';
  const { status } = spawnSync('sh', ['-c', script, 'sh', image, place], { stdio: 'ignore' });
  afterAll(async () => {
    if (status === 0) spawnSync('sh', ['-c', 'umount "$1"', 'sh', place]);
    await rm(folder, { recursive: true });
  });
  return status === 0 ? place : undefined;
}

/** A small disk that notes times in whole seconds; undefined where this user may not mount one. Gone after the tests of the file. */
export const coarseDisk = await mountCoarseDisk();
if (coarseDisk === undefined)
  console.warn('Not tested with times in whole seconds: this user may not mount a disk.');
