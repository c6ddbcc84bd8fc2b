// The directory that the benchmark works on: many small files, and those of them that are written anew. Everything follows from a seed.
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Random } from './random.mjs';

/** Raised when the generator changes, so that files of an older one are not taken for new ones. */
const GENERATOR = 1;

/**
 * What a directory of many files is made from.
 * @typedef {object} TreeParameters
 * @property {number} files
 * @property {number} seed any whole number
 */

const FILES_PER_FOLDER = 50;
/** The part of the files that the second step writes anew. */
const TREE_CHANGES = 0.01;
const WORDS = 20_000;

/**
 * Makes a directory of many small files below `directory`, as the folder of a collection may hold them: metadata as JSON, texts, and some
 * vectors; and beside it those files that a second step writes anew. Or finds both there.
 * @param {string} directory
 * @param {TreeParameters} parameters
 * @returns {{ steps: { path: string }[], bytes: number, changedBytes: number }}
 */
export function makeTreeWorkload(directory, { files, seed }) {
  const place = join(directory, `t${GENERATOR}-${files}-seed${seed}`);
  const list = join(place, 'steps.json');
  const steps = ['first', 'second'].map((name) => ({ path: join(place, name) }));
  if (!existsSync(list)) {
    rmSync(place, { recursive: true, force: true });
    const maker = new FileMaker(seed);
    const [first, second] = steps.map(({ path }) => path);
    let [bytes, changedBytes] = [0, 0];
    for (let i = 0; i < files; i++) bytes += maker.write(first ?? '', i);
    for (const i of maker.random.distinct(Math.ceil(files * TREE_CHANGES), files))
      changedBytes += maker.write(second ?? '', i);
    writeFileSync(`${list}.new`, JSON.stringify({ bytes, changedBytes }));
    renameSync(`${list}.new`, list);
  }
  return { steps, ...JSON.parse(readFileSync(list, 'utf8')) };
}

/** Writes files of all kinds, from 200 bytes to 64 KiB, small ones more often. */
class FileMaker {
  /** @param {number} seed */
  constructor(seed) {
    this.random = new Random(seed);
    this.words = Array.from({ length: WORDS }, () =>
      this.random
        .word()
        .toString(36)
        .slice(0, 2 + this.random.below(8)),
    );
  }

  /**
   * @param {string} root
   * @param {number} number which of the files
   * @returns {number} its bytes
   */
  write(root, number) {
    const folder = join(root, `segment-${Math.floor(number / FILES_PER_FOLDER)}`);
    mkdirSync(folder, { recursive: true });
    const length = Math.round(200 * 320 ** this.random.unit());
    const { name, bytes } = this.#file(number, length);
    writeFileSync(join(folder, name), bytes);
    return bytes.length;
  }

  /** @param {number} number @param {number} length */
  #file(number, length) {
    if (number % 3 === 0) return { name: `${number}.json`, bytes: Buffer.from(this.#json(length)) };
    if (number % 3 === 1) return { name: `${number}.txt`, bytes: Buffer.from(this.#text(length)) };
    return { name: `${number}.vec`, bytes: this.#vectors(length) };
  }

  /** Few words are frequent, as in any text. */
  #word() {
    return this.words[Math.floor(WORDS * this.random.unit() ** 4)] ?? '';
  }

  /** @param {number} length */
  #text(length) {
    let text = '';
    while (text.length < length) text += `${this.#word()} `;
    return text;
  }

  /** @param {number} length */
  #json(length) {
    let text = '';
    while (text.length < length) {
      const fields = {
        id: this.random.word(),
        title: this.#text(20),
        score: this.random.unit(),
        source: this.#word(),
      };
      text += `${JSON.stringify(fields)}\n`;
    }
    return text;
  }

  /** @param {number} length */
  #vectors(length) {
    const values = new Float64Array(2 * Math.ceil(length / 8));
    for (let i = 0; i < values.length; i += 2) this.random.normals(values, i);
    return new Uint8Array(Float32Array.from(values).buffer);
  }
}
