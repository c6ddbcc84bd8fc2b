// What the machine itself allows: the same bytes hashed, read and written by nothing but the machine's own means.
import { createHash, hash } from 'node:crypto';
import { closeSync, openSync, readSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { measure } from './command.mjs';

/**
 * One measurement of each limit, in seconds.
 * @typedef {object} Limits
 * @property {number} sha256 SHA-256 of the first file by one thread, 64 KiB at a time, already in memory
 * @property {number} read the first file read from the page cache by `dd`
 * @property {number} writeAndSync as many bytes as vecsnap stores for the first file, written by `dd` and synced
 * @property {number} nodeStart `node -e 0`
 */

const PIECE_BYTES = 64 * 1024;
const SLAB_BYTES = 16 * 1024 * 1024;

/** The command that starts Node.js and does nothing. */
export const NODE_START = { argv: [process.execPath, '-e', '0'] };

/**
 * @param {string} file
 * @param {number} storedBytes
 * @param {string} directory where may be written
 * @returns {Limits}
 */
export function measureLimits(file, storedBytes, directory) {
  const written = join(directory, 'limit.tmp');
  const count = `count=${Math.min(storedBytes, statSync(file).size)}`;
  const read = ['dd', `if=${file}`, 'of=/dev/null', 'bs=1M'];
  const write = ['dd', `if=${file}`, `of=${written}`, 'bs=1M', 'iflag=count_bytes', count, 'conv=fsync'];
  const limits = {
    sha256: hashFile(file),
    read: measure([{ argv: read }]).seconds,
    writeAndSync: measure([{ argv: write }]).seconds,
    nodeStart: measure([NODE_START]).seconds,
  };
  rmSync(written);
  return limits;
}

/** Seconds of hashing alone. @param {string} file */
function hashFile(file) {
  const slab = Buffer.allocUnsafe(SLAB_BYTES);
  const input = openSync(file, 'r');
  let milliseconds = 0;
  for (let filled = readSync(input, slab); filled > 0; filled = readSync(input, slab)) {
    const started = performance.now();
    for (let at = 0; at < filled; at += PIECE_BYTES)
      digest(slab.subarray(at, Math.min(filled, at + PIECE_BYTES)));
    milliseconds += performance.now() - started;
  }
  closeSync(input);
  return milliseconds / 1000;
}

/** @param {Uint8Array} bytes */
function digest(bytes) {
  return typeof hash === 'function'
    ? hash('sha256', bytes, 'buffer')
    : createHash('sha256').update(bytes).digest();
}
