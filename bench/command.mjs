// Runs a command of another process and measures what it cost: wall time of the whole process, processor time, peak memory.
// Wall time is taken here; the rest comes from GNU time, which asks the kernel (wait4) about the process and its children.
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/**
 * A command of a tool.
 * @typedef {object} Command
 * @property {readonly string[]} argv
 * @property {string} [cwd]
 * @property {Readonly<Record<string, string>>} [env] beside PATH and a few that are the same for all
 */

/**
 * What a command cost.
 * @typedef {object} Cost
 * @property {number} seconds wall time, from before the process is started until it has ended
 * @property {number | undefined} cpuSeconds user and system time of all its threads and child processes
 * @property {number | undefined} peakBytes the largest resident set that it, or one of its child processes, had
 */

const GNU_TIME = '/usr/bin/time';
const hasGnuTime = existsSync(GNU_TIME);
const note = join(tmpdir(), `vecsnap-bench-${process.pid}`);

/** Whether peak memory and processor time can be told. */
export const canMeasureMemory = hasGnuTime;

/**
 * Runs commands one after the other; they count as one.
 * @param {readonly Command[]} commands
 * @returns {Cost}
 * @throws Error when one of them fails, with what it wrote.
 */
export function measure(commands) {
  const costs = commands.map(measureOne);
  return {
    seconds: sum(costs.map(({ seconds }) => seconds)),
    cpuSeconds: hasGnuTime ? sum(costs.map(({ cpuSeconds }) => cpuSeconds ?? 0)) : undefined,
    peakBytes: hasGnuTime ? Math.max(...costs.map(({ peakBytes }) => peakBytes ?? 0)) : undefined,
  };
}

/**
 * Runs a command without measuring it.
 * @param {Command} command
 * @returns {string} what it wrote to its standard output.
 * @throws Error when it fails.
 */
export function run(command) {
  return checked(command, command.argv);
}

/**
 * Seconds until everything below `path`, and on its file system, is on the disk.
 * @param {string} path
 */
export function settle(path) {
  return measureOne({ argv: ['sync', '-f', path] }).seconds;
}

/**
 * A command as one would type it.
 * @param {Command} command
 */
export function asTyped({ argv, cwd }) {
  const typed = argv.map((word) => (/^[\w@%+=:,./-]+$/.test(word) ? word : `'${word}'`)).join(' ');
  return cwd === undefined ? typed : `(cd ${cwd} && ${typed})`;
}

/**
 * @param {Command} command
 * @returns {Cost}
 */
function measureOne(command) {
  const argv = hasGnuTime ? [GNU_TIME, '-f', '%M %U %S', '-o', note, ...command.argv] : command.argv;
  const started = performance.now();
  checked(command, argv);
  const seconds = (performance.now() - started) / 1000;
  return { seconds, ...(hasGnuTime ? readNote() : { cpuSeconds: undefined, peakBytes: undefined }) };
}

function readNote() {
  const line = readFileSync(note, 'utf8').trim().split('\n').at(-1) ?? '';
  rmSync(note);
  const [kibibytes = 0, user = 0, system = 0] = line.split(' ').map(Number);
  return { peakBytes: kibibytes * 1024, cpuSeconds: user + system };
}

/**
 * @param {Command} command
 * @param {readonly string[]} argv
 */
function checked(command, argv) {
  const [program = '', ...args] = argv;
  const { status, signal, error, stdout, stderr } = spawnSync(program, args, {
    cwd: command.cwd,
    env: { PATH: process.env['PATH'] ?? '', LC_ALL: 'C.UTF-8', TZ: 'UTC', ...command.env },
    stdio: ['ignore', 'pipe', 'pipe'],
    encoding: 'utf8',
    maxBuffer: 256 * 1024 * 1024,
  });
  if (error !== undefined) throw new Error(`${asTyped(command)}: ${error.message}`, { cause: error });
  if (status !== 0) {
    const said = `${stdout}${stderr}`.trim().slice(-2000);
    throw new Error(`${asTyped(command)}: ended with ${signal ?? `exit code ${status}`}\n${said}`);
  }
  return stdout;
}

/** @param {readonly number[]} values */
function sum(values) {
  return values.reduce((a, b) => a + b, 0);
}
