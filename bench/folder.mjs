// Folders and files as the benchmark needs them: sizes, equality, a clean place.
import { closeSync, lstatSync, mkdirSync, openSync, readdirSync, readSync, rmSync, statSync } from 'node:fs';
import { join, relative } from 'node:path';

/**
 * The lengths of all files below a folder, together.
 * @param {string} path
 * @returns {number} bytes
 */
export function folderBytes(path) {
  return readdirSync(path, { withFileTypes: true }).reduce((sum, entry) => {
    const inside = join(path, entry.name);
    return sum + (entry.isDirectory() ? folderBytes(inside) : lstatSync(inside).size);
  }, 0);
}

/**
 * Makes an empty folder, whatever was there.
 * @param {string} path
 */
export function emptyFolder(path) {
  rmSync(path, { recursive: true, force: true });
  mkdirSync(path, { recursive: true });
}

/**
 * Where two files begin to differ.
 * @param {string} a
 * @param {string} b
 * @returns {string | undefined} undefined when they are equal, byte for byte.
 */
export function difference(a, b) {
  const [aBytes, bBytes] = [statSync(a).size, statSync(b).size];
  if (aBytes !== bBytes) return `${a} has ${aBytes} bytes, ${b} has ${bBytes}`;
  const files = [openSync(a, 'r'), openSync(b, 'r')];
  try {
    return firstDifferent(/** @type {[number, number]} */ (files), aBytes, `${a} and ${b}`);
  } finally {
    files.forEach(closeSync);
  }
}

/**
 * Where two directories begin to differ, in names or in bytes of files.
 * @param {string} a
 * @param {string} b
 * @returns {string | undefined} undefined when they hold the same.
 */
export function treeDifference(a, b) {
  const [aPaths, bPaths] = [filesBelow(a), filesBelow(b)];
  if (aPaths.join('\n') !== bPaths.join('\n')) return `${a} and ${b} have files of other names`;
  for (const path of aPaths) {
    const found = difference(join(a, path), join(b, path));
    if (found !== undefined) return found;
  }
  return undefined;
}

/** @param {string} root */
function filesBelow(root) {
  return readdirSync(root, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => relative(root, join(entry.parentPath, entry.name)))
    .toSorted();
}

/**
 * @param {[number, number]} files
 * @param {number} bytes
 * @param {string} names
 */
function firstDifferent([a, b], bytes, names) {
  const [left, right] = [Buffer.allocUnsafe(1024 * 1024), Buffer.allocUnsafe(1024 * 1024)];
  for (let at = 0; at < bytes;) {
    const length = readSync(a, left, 0, left.length, at);
    readSync(b, right, 0, length, at);
    if (left.compare(right, 0, length, 0, length) !== 0) {
      return `${names} differ between bytes ${at} and ${at + length}`;
    }
    at += length;
  }
  return undefined;
}
