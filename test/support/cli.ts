/** Runs the built command line as a process of its own. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import type { Snapshot } from 'vecsnap';
import { expect } from 'vitest';

/** The file behind the `vecsnap` command. */
export const MAIN = resolve('dist/cli/main.js');

/** What a process left behind. */
export interface Finished {
  readonly code: number | null;
  readonly signal: string | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** A process that was started. */
export interface Started {
  readonly child: ChildProcess;
  readonly finished: Promise<Finished>;
}

/** An error as `--json` prints it. */
export interface PrintedError {
  readonly code: string;
  readonly message: string;
  readonly place: string | null;
  readonly remedy: string | null;
}

/** Starts a program and gathers what it prints. */
export function start(file: string, args: readonly string[], cwd?: string): Started {
  const child = spawn(file, args, { cwd, stdio: ['ignore', 'pipe', 'pipe'] });
  const stdout = gather(child.stdout);
  const stderr = gather(child.stderr);
  const finished = once(child, 'close').then(([code, signal]): Finished => {
    return {
      code: code as number | null,
      signal: signal as string | null,
      stdout: stdout(),
      stderr: stderr(),
    };
  });
  return { child, finished };
}

function gather(stream: NodeJS.ReadableStream): () => string {
  const pieces: Buffer[] = [];
  stream.on('data', (piece: Buffer) => pieces.push(piece));
  return () => Buffer.concat(pieces).toString('utf8');
}

/** Starts `vecsnap`. */
export function startCli(args: readonly string[], cwd?: string): Started {
  return start(process.execPath, [MAIN, ...args], cwd);
}

/** Runs `vecsnap` to its end. */
export function cli(...args: readonly string[]): Promise<Finished> {
  return startCli(args).finished;
}

/** What `vecsnap` prints when all is well. */
export async function text(...args: readonly string[]): Promise<string> {
  const { code, stdout, stderr } = await cli(...args);
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  return stdout;
}

/** What `vecsnap … --json` prints when all is well. */
export async function json<T>(...args: readonly string[]): Promise<T> {
  return JSON.parse(await text(...args, '--json')) as T;
}

/** The error of a `vecsnap … --json` that fails with this exit code, and prints nothing else. */
export async function failure(exitCode: number, ...args: readonly string[]): Promise<PrintedError> {
  const { code, stdout, stderr } = await cli(...args, '--json');
  expect({ code, stdout, stderr: stderr.trim().split('\n').length }).toEqual({
    code: exitCode,
    stdout: '',
    stderr: 1,
  });
  return (JSON.parse(stderr) as { error: PrintedError }).error;
}

/** Takes a snapshot. */
export function create(repo: string, source: string, ...options: readonly string[]): Promise<Snapshot> {
  return json<Snapshot>('create', repo, source, ...options);
}

/** What stands in a repository: every pack and snapshot with the digest of its bytes, and whatever lies in `tmp`. */
export async function contentOf(repo: string): Promise<Record<string, string>> {
  const listing: Record<string, string> = {};
  for (const folder of ['packs', 'snapshots', 'tmp', 'locks']) {
    const names = await readdir(join(repo, folder)).catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return [];
      throw error;
    });
    for (const name of names) {
      const bytes = await readFile(join(repo, folder, name));
      listing[`${folder}/${name}`] = createHash('sha256').update(bytes).digest('hex');
    }
  }
  return listing;
}
