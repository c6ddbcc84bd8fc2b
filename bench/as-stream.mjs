// The same bytes as a plain file: vecsnap is told nothing of rows and columns, as its peers are not. Its times and bytes stand beside
// theirs of the same run.
import { closeSync, copyFileSync, fsyncSync, openSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { measure, run, settle } from './command.mjs';
import { difference, emptyFolder, folderBytes } from './folder.mjs';

/** What is measured, by the names of the cases that peers are measured in. @type {readonly string[]} */
export const STREAM_CASES = ['first', 'updated-1', 'restore', 'verify'];

/**
 * @typedef {object} StreamSamples
 * @property {number[]} seconds
 * @property {number[]} storedBytes growth of the repository's folder
 */

/**
 * @param {readonly string[]} launch the words that start the command line
 * @param {readonly import('./workloads.mjs').WorkloadStep[]} steps
 * @param {string} directory for the repository, the file, and what is restored
 * @param {Record<string, StreamSamples>} samples what is measured is added to these
 */
export function measureAsStream(launch, steps, directory, samples) {
  emptyFolder(directory);
  const repository = join(directory, 'repository');
  const file = join(directory, 'vectors');
  const output = join(directory, 'output');
  /** @param {string[]} args */
  const command = (...args) => ({ argv: [...launch, ...args] });
  /** @param {string} name @param {string[]} args */
  const timed = (name, ...args) => {
    const before = name === 'first' ? 0 : folderBytes(repository);
    settle(directory);
    const { seconds } = measure([command(...args)]);
    const own = (samples[name] ??= { seconds: [], storedBytes: [] });
    own.seconds.push(seconds);
    own.storedBytes.push(folderBytes(repository) - before);
  };
  run(command('init', repository));
  copyAndSync(steps[0]?.path ?? '', file);
  timed('first', 'create', repository, `file:${file}`);
  copyAndSync(steps[1]?.path ?? '', file);
  timed('updated-1', 'create', repository, `file:${file}`);
  timed('restore', 'restore', repository, 'latest', output);
  const found = difference(file, output);
  if (found !== undefined) throw new Error(`vecsnap restored something else from a stream: ${found}`);
  timed('verify', 'verify', repository);
  rmSync(directory, { recursive: true, force: true });
}

/** @param {string} from @param {string} to */
function copyAndSync(from, to) {
  copyFileSync(from, to);
  const file = openSync(to, 'r+');
  fsyncSync(file);
  closeSync(file);
}
