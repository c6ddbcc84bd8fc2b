/** What tests of files that are not read again need: where their times tell, and ways to write that leave few traces. */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, vi } from 'vitest';
import { resolveSource } from 'vecsnap/source';

/** Longer than files are read again after a write, because it may still be under way. */
const AGED_MS = 40_000;

/** Has files that are written now count as written a while ago, until mocks are restored. */
export function ageFiles(): void {
  const now = Date.now;
  vi.spyOn(Date, 'now').mockImplementation(() => now() + AGED_MS);
}

/** The same for each test of the surrounding `describe`. */
export function agedFiles(): void {
  beforeEach(ageFiles);
  afterEach(() => {
    vi.restoreAllMocks();
  });
}

/** The same for commands that are run by `work`. */
export async function withAgedFiles<T>(work: () => Promise<T>): Promise<T> {
  const script = `const now=Date.now;Date.now=()=>now()+${AGED_MS}`;
  vi.stubEnv('NODE_OPTIONS', `--import=data:text/javascript,${encodeURIComponent(script)}`);
  try {
    return await work();
  } finally {
    vi.unstubAllEnvs();
  }
}

/** Whether writes to files in this directory are known to show in their times. */
async function doWritesShow(directory: string): Promise<boolean> {
  const now = Date.now();
  const clock = vi.spyOn(Date, 'now').mockImplementation(() => now + AGED_MS);
  const folder = await mkdtemp(join(directory, 'vecsnap-times-'));
  try {
    await writeFile(join(folder, 'file'), 'some bytes');
    const opened = await (await resolveSource(`file:${join(folder, 'file')}`)).open();
    await opened.close();
    return opened.state?.() !== undefined;
  } finally {
    clock.mockRestore();
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
