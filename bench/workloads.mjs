// The files that the benchmark works on: a matrix of unit-length vectors and what becomes of it in four steps.
// Everything follows from the parameters and one seed, so two machines measure the same bytes (the report prints their SHA-256).
import { createHash } from 'node:crypto';
import {
  closeSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  openSync,
  readFileSync,
  readSync,
  renameSync,
  rmSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { Random } from './random.mjs';

/**
 * What the workload is made from.
 * @typedef {object} WorkloadParameters
 * @property {number} rows rows of the first file
 * @property {number} dimension numbers a row
 * @property {number} seed any whole number
 */

/**
 * One of the files, in the order in which they are taken.
 * @typedef {object} WorkloadStep
 * @property {string} name
 * @property {string} title what changed, in words
 * @property {string} path
 * @property {number} rows
 * @property {number} bytes of the whole file
 * @property {number} changedBytes of the rows that this step wrote anew; for deleted rows, the bytes that are gone
 * @property {string} sha256
 */

const HEAD_BYTES = 8;
const ROWS_AT_ONCE = 4096;
/** Raised when the generator changes, so that files of an older one are not taken for new ones. */
const GENERATOR = 1;

/** The steps after the first file. Parts are of the rows of the first file. */
const CHANGES = [
  { name: 'updated-1', title: '1 % of rows updated, scattered', change: update, part: 0.01 },
  { name: 'appended-1', title: '1 % of rows appended', change: append, part: 0.01 },
  { name: 'deleted-05', title: '0.5 % of rows deleted, compacted', change: remove, part: 0.005 },
  { name: 'updated-01', title: '0.1 % of rows updated, scattered', change: update, part: 0.001 },
];

/**
 * Makes the files in a directory of their own below `directory`, or finds them there from an earlier run.
 * @param {string} directory
 * @param {WorkloadParameters} parameters
 * @returns {WorkloadStep[]}
 */
export function makeWorkload(directory, parameters) {
  const { rows, dimension, seed } = parameters;
  const place = join(directory, `g${GENERATOR}-${rows}x${dimension}-seed${seed}`);
  const list = join(place, 'steps.json');
  if (!existsSync(list)) {
    rmSync(place, { recursive: true, force: true });
    mkdirSync(place, { recursive: true });
    const steps = generate(place, parameters);
    writeFileSync(`${list}.new`, JSON.stringify(steps, null, 2));
    renameSync(`${list}.new`, list); // Only a finished workload has its list.
  }
  /** @type {Omit<WorkloadStep, 'path'>[]} */
  const steps = JSON.parse(readFileSync(list, 'utf8'));
  return steps.map((step) => ({ ...step, path: join(place, `${step.name}.fbin`) }));
}

/**
 * A small matrix as the bytes of a `.fbin` file.
 * @param {WorkloadParameters} parameters
 * @returns {Buffer}
 */
export function smallMatrix({ rows, dimension, seed }) {
  return Buffer.concat([head(rows, dimension), new RowMaker(dimension, seed).rows(rows)]);
}

/**
 * Writes a large matrix: the same rows again and again, their numbers turned by one place more in each tile, which makes other
 * vectors of unit length of them.
 * @param {string} path
 * @param {WorkloadParameters} parameters of one tile
 * @param {number} tiles
 * @param {number} updated the part of the rows of each tile that are other ones, scattered
 * @returns {number} bytes of the file
 */
export function writeTiles(path, { rows, dimension, seed }, tiles, updated) {
  const maker = new RowMaker(dimension, seed);
  const numbers = new Float32Array(maker.rows(rows).buffer);
  const others = new RowMaker(dimension, seed + 1);
  for (const row of others.random.distinct(Math.round(rows * updated), rows))
    numbers.set(new Float32Array(others.rows(1).buffer), row * dimension);
  const tile = new Float32Array(numbers.length);
  withFile(path, 'w', (file) => {
    writeSync(file, head(rows * tiles, dimension));
    for (let turn = 0; turn < tiles; turn++) {
      for (let at = 0; at < numbers.length; at += dimension) {
        tile.set(numbers.subarray(at + turn, at + dimension), at);
        tile.set(numbers.subarray(at, at + turn), at + dimension - turn);
      }
      writeSync(file, new Uint8Array(tile.buffer));
    }
  });
  return HEAD_BYTES + tiles * tile.byteLength;
}

/**
 * @param {string} place
 * @param {WorkloadParameters} parameters
 * @returns {Omit<WorkloadStep, 'path'>[]}
 */
function generate(place, { rows, dimension, seed }) {
  const maker = new RowMaker(dimension, seed);
  const first = join(place, 'first.fbin');
  writeFirst(first, rows, maker);
  const steps = [describe('first', 'the first file', first, rows, maker.rowBytes * rows)];
  let last = { path: first, rows };
  for (const { name, title, change, part } of CHANGES) {
    const path = join(place, `${name}.fbin`);
    const count = Math.round(rows * part);
    last = { path, rows: change(last, path, count, maker) };
    steps.push(describe(name, title, path, last.rows, count * maker.rowBytes));
  }
  return steps;
}

/**
 * @param {string} name
 * @param {string} title
 * @param {string} path
 * @param {number} rows
 * @param {number} changedBytes
 */
function describe(name, title, path, rows, changedBytes) {
  const hash = createHash('sha256');
  let bytes = 0;
  forEachPiece(path, 0, (piece) => {
    hash.update(piece);
    bytes += piece.length;
  });
  return { name, title, rows, bytes, changedBytes, sha256: hash.digest('hex') };
}

/**
 * @param {string} path
 * @param {number} rows
 * @param {RowMaker} maker
 */
function writeFirst(path, rows, maker) {
  withFile(path, 'w', (file) => {
    writeSync(file, head(rows, maker.dimension));
    for (let done = 0; done < rows; done += ROWS_AT_ONCE) {
      writeSync(file, maker.rows(Math.min(ROWS_AT_ONCE, rows - done)));
    }
  });
}

/** @typedef {{ path: string, rows: number }} Matrix */

/**
 * Writes other vectors in place of `count` rows.
 * @param {Matrix} before
 * @param {string} path
 * @param {number} count
 * @param {RowMaker} maker
 */
function update(before, path, count, maker) {
  copyFileSync(before.path, path);
  withFile(path, 'r+', (file) => {
    for (const row of maker.random.distinct(count, before.rows)) {
      writeSync(file, maker.rows(1), 0, maker.rowBytes, HEAD_BYTES + row * maker.rowBytes);
    }
  });
  return before.rows;
}

/**
 * Writes `count` rows behind the last.
 * @param {Matrix} before
 * @param {string} path
 * @param {number} count
 * @param {RowMaker} maker
 */
function append(before, path, count, maker) {
  copyFileSync(before.path, path);
  withFile(path, 'r+', (file) => {
    const added = maker.rows(count);
    writeSync(file, added, 0, added.length, HEAD_BYTES + before.rows * maker.rowBytes);
    writeSync(file, head(before.rows + count, maker.dimension), 0, HEAD_BYTES, 0);
  });
  return before.rows + count;
}

/**
 * Takes out `count` rows and closes the gaps.
 * @param {Matrix} before
 * @param {string} path
 * @param {number} count
 * @param {RowMaker} maker
 */
function remove(before, path, count, maker) {
  const gone = maker.random.distinct(count, before.rows).sort((a, b) => a - b);
  const { rowBytes } = maker;
  withFile(path, 'w', (file) => {
    writeSync(file, head(before.rows - count, maker.dimension));
    withFile(before.path, 'r', (from) => {
      let next = 0;
      for (const row of [...gone, before.rows]) {
        copyRange(from, file, HEAD_BYTES + next * rowBytes, (row - next) * rowBytes);
        next = row + 1;
      }
    });
  });
  return before.rows - count;
}

/** Draws rows of unit length: every direction equally likely. */
class RowMaker {
  /**
   * @param {number} dimension
   * @param {number} seed
   */
  constructor(dimension, seed) {
    this.dimension = dimension;
    this.rowBytes = dimension * 4;
    this.random = new Random(seed);
  }

  /**
   * The next `count` rows, one after the other.
   * @param {number} count
   * @returns {Uint8Array}
   */
  rows(count) {
    const { dimension, random } = this;
    const values = new Float32Array(count * dimension);
    const row = new Float64Array(dimension + 1); // Normals come in pairs.
    for (let at = 0; at < values.length; at += dimension) {
      let squares = 0;
      for (let i = 0; i < dimension; i += 2) random.normals(row, i);
      for (const value of row.subarray(0, dimension)) squares += value ** 2;
      const scale = 1 / Math.sqrt(squares);
      for (const [i, value] of row.subarray(0, dimension).entries()) values[at + i] = value * scale;
    }
    return new Uint8Array(values.buffer);
  }
}

/**
 * The head of a `.fbin` file: rows and dimension.
 * @param {number} rows
 * @param {number} dimension
 */
function head(rows, dimension) {
  return new Uint8Array(Uint32Array.of(rows, dimension).buffer);
}

/**
 * Opens a file for the time of `use`.
 * @param {string} path
 * @param {string} flags
 * @param {(file: number) => void} use
 */
function withFile(path, flags, use) {
  const file = openSync(path, flags);
  try {
    use(file);
  } finally {
    closeSync(file);
  }
}

/**
 * Calls `use` with the bytes of a file from `offset`, a megabyte at a time; the bytes are valid until it returns.
 * @param {string} path
 * @param {number} offset
 * @param {(piece: Uint8Array) => void} use
 */
function forEachPiece(path, offset, use) {
  const buffer = new Uint8Array(1024 * 1024);
  withFile(path, 'r', (file) => {
    for (let at = offset; ;) {
      const filled = readSync(file, buffer, 0, buffer.length, at);
      if (filled === 0) return;
      use(buffer.subarray(0, filled));
      at += filled;
    }
  });
}

/**
 * @param {number} from
 * @param {number} to
 * @param {number} offset
 * @param {number} length
 */
function copyRange(from, to, offset, length) {
  const buffer = new Uint8Array(Math.min(length, 4 * 1024 * 1024));
  for (let done = 0; done < length;) {
    const filled = readSync(from, buffer, 0, Math.min(buffer.length, length - done), offset + done);
    if (filled === 0) throw new Error(`a workload file ends ${length - done} bytes too early`);
    writeSync(to, buffer, 0, filled);
    done += filled;
  }
}
