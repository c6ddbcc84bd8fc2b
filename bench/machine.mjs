// On what a benchmark ran: a reader must be able to tell.
import { readFileSync } from 'node:fs';
import { availableParallelism, cpus, loadavg, release, totalmem } from 'node:os';
import { run } from './command.mjs';

/**
 * @typedef {object} Machine
 * @property {string} cpu
 * @property {number} cores that run at once
 * @property {number} memoryBytes
 * @property {string} system
 * @property {string} kernel
 * @property {string} fileSystem that holds the repositories
 * @property {number} load of the machine before the benchmark: the mean number of processes that wanted to run, last minute
 */

/** @param {string} directory where the benchmark writes @returns {Machine} */
export function describeMachine(directory) {
  return {
    cpu: cpus()[0]?.model.trim() ?? 'unknown',
    cores: availableParallelism(),
    memoryBytes: totalmem(),
    system: systemName(),
    kernel: release(),
    fileSystem: fileSystemOf(directory),
    load: loadavg()[0] ?? 0,
  };
}

function systemName() {
  try {
    const line = /^PRETTY_NAME="?([^"\n]*)/m.exec(readFileSync('/etc/os-release', 'utf8'));
    return line?.[1] ?? process.platform;
  } catch {
    return process.platform; // Not every system has that file.
  }
}

/** @param {string} directory */
function fileSystemOf(directory) {
  try {
    return (
      run({ argv: ['df', '--output=fstype', directory] })
        .trim()
        .split('\n')
        .at(-1) ?? 'unknown'
    );
  } catch {
    return 'unknown'; // Not every df knows the option.
  }
}
