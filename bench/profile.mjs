// Where the time of a first create goes: every stage alone, in one thread, on the same data, by the functions that vecsnap uses.
//
//   node bench/profile.mjs FILE [--json]
//
// The command line shares hashing and encoding among threads and overlaps reading and writing with them, so the stages add up
// to more than its wall time; the sum is what one thread would need.
import { mkdtempSync, rmSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { Level } from 'level';
import { resolveSource, SnapshotManager } from 'vecsnap';
import { fsBlobStore } from 'vecsnap/blob';
import { encodeChunk, entriesWritten, levelIndex, PACK_HEADER, PackBuilder } from 'vecsnap/cas';
import { DEFAULT_ROW_GROUPS, RowGrouper } from 'vecsnap/chunker';
import { nodeDeflate, nodeSha256 } from 'vecsnap/platform';
import { DEFAULT_CONFIG } from 'vecsnap/snapshot';

/**
 * @typedef {object} Stage
 * @property {string} name
 * @property {number} seconds
 * @property {number} bytes that it worked on
 */

/**
 * @typedef {object} Profile
 * @property {number} bytes of vectors
 * @property {Stage[]} stages
 * @property {number} wholeSeconds a whole create through the library in one thread, without the start of the process
 */

const PRIMITIVES = { sha256: nodeSha256, deflate: nodeDeflate };
/** The size at which a pack is written. */
const PACK_BYTES = 16 * 1024 * 1024;

/**
 * Profiles a first create of `file`.
 * @param {string} file
 * @param {string} directory where may be written
 * @returns {Promise<Profile>}
 */
export async function profile(file, directory) {
  await mkdir(directory, { recursive: true });
  const place = mkdtempSync(join(directory, 'profile-'));
  try {
    const wholeSeconds = await createInOneThread(file, join(place, 'repository'));
    const stages = new Stages(join(place, 'packs'));
    await stages.run(file);
    return { bytes: stages.bytes, stages: stages.list(), wholeSeconds };
  } finally {
    rmSync(place, { recursive: true, force: true });
  }
}

/** @param {string} file @param {string} repository */
async function createInOneThread(file, repository) {
  const manager = await SnapshotManager.init({ snapshotDir: repository, workers: 1 });
  try {
    const started = performance.now();
    await manager.createSnapshot(await resolveSource(file), 'profile');
    return (performance.now() - started) / 1000;
  } finally {
    await manager.close();
  }
}

class Stages {
  bytes = 0;
  #directory;
  #blobs;
  /** @type {Map<string, Stage>} */
  #stages = new Map();
  #builder = new PackBuilder();
  /** @type {Uint8Array[]} */
  #encoded = [];
  /** @type {{ name: string, size: number, entries: import('vecsnap/cas').PackEntry[] }[]} */
  #packs = [];

  /** @param {string} directory */
  constructor(directory) {
    this.#directory = directory;
    this.#blobs = fsBlobStore(directory);
  }

  /** The stages in the order in which a chunk meets them. */
  list() {
    return [...this.#stages.values()];
  }

  /** @param {string} file */
  async run(file) {
    await mkdir(this.#directory, { recursive: true });
    const source = await (await resolveSource(file)).open();
    const { schema, records } = source;
    if (schema === undefined || records === undefined) throw new Error(`${file} holds no records`);
    const grouper = new RowGrouper(schema, DEFAULT_ROW_GROUPS);
    const batches = records()[Symbol.asyncIterator]();
    for (;;) {
      const { value: batch } = await this.#timeAsync('read', () => batches.next(), batchBytes);
      if (batch === undefined) break;
      await this.#take(this.#time('cut', batchBytes({ value: batch }), () => grouper.push(batch)));
    }
    await this.#take(this.#time('cut', 0, () => grouper.finish()));
    await this.#writePack();
    await this.#index();
    await source.close();
  }

  /** @param {readonly import('vecsnap/chunker').RowGroup[]} groups */
  async #take(groups) {
    for (const group of groups) {
      for (const column of group.columns) this.#chunk(column);
      group.release();
    }
    if (this.#builder.size >= PACK_BYTES) await this.#writePack();
  }

  /** @param {Uint8Array} bytes of a column of four-byte numbers */
  #chunk(bytes) {
    const { length } = bytes;
    this.bytes += length;
    const address = this.#time('hash', length, () => nodeSha256(bytes));
    const encoded = this.#time('encode', length, () =>
      encodeChunk({ bytes, width: 4 }, DEFAULT_CONFIG, PRIMITIVES),
    );
    const kept = encoded.bytes.buffer === bytes.buffer ? encoded.bytes.slice() : encoded.bytes;
    this.#builder.add({ address, kind: 'data', codec: encoded.codec, length, bytes: kept });
    this.#encoded.push(kept);
  }

  async #writePack() {
    const { end, directory, size } = this.#builder.finish(nodeSha256);
    const parts = [PACK_HEADER, ...this.#encoded, ...end];
    const name = `pack-${this.#packs.length}`;
    await this.#timeAsync(
      'write',
      () => this.#blobs.put(name, parts),
      () => size,
    );
    this.#packs.push({ name, size, entries: entriesWritten({ name, size }, directory) });
    this.#builder = new PackBuilder();
    this.#encoded = [];
  }

  async #index() {
    const db = new Level(join(this.#directory, 'index'), { keyEncoding: 'view', valueEncoding: 'view' });
    const fill = async () => {
      const index = await levelIndex(/** @type {any} */ (db));
      for (const pack of this.#packs) await index.addPack(pack, pack.entries);
      await index.close();
    };
    await this.#timeAsync('index', fill, () => this.bytes);
  }

  /**
   * @template T
   * @param {string} name
   * @param {number} bytes
   * @param {() => T} work
   * @returns {T}
   */
  #time(name, bytes, work) {
    const started = performance.now();
    const result = work();
    this.#add(name, (performance.now() - started) / 1000, bytes);
    return result;
  }

  /**
   * @template T
   * @param {string} name
   * @param {() => Promise<T>} work
   * @param {(result: T) => number} bytesOf
   * @returns {Promise<T>}
   */
  async #timeAsync(name, work, bytesOf) {
    const started = performance.now();
    const result = await work();
    this.#add(name, (performance.now() - started) / 1000, bytesOf(result));
    return result;
  }

  /** @param {string} name @param {number} seconds @param {number} bytes */
  #add(name, seconds, bytes) {
    const stage = this.#stages.get(name) ?? { name, seconds: 0, bytes: 0 };
    stage.seconds += seconds;
    stage.bytes += bytes;
    this.#stages.set(name, stage);
  }
}

/** @param {{ value?: { vectors: readonly Uint8Array[] } }} result */
function batchBytes({ value }) {
  return value === undefined ? 0 : value.vectors.reduce((sum, { length }) => sum + length, 0);
}

/** @param {Profile} result */
function print({ bytes, stages, wholeSeconds }) {
  const line = (/** @type {string} */ name, /** @type {number} */ seconds) =>
    console.log(
      `${name.padEnd(16)} ${seconds.toFixed(3).padStart(8)} s ${(bytes / 1e6 / seconds).toFixed(0).padStart(8)} MB/s`,
    );
  for (const { name, seconds } of stages) line(name, seconds);
  line(
    'all stages',
    stages.reduce((sum, { seconds }) => sum + seconds, 0),
  );
  line('a whole create', wholeSeconds);
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  const file = process.argv[2];
  if (file === undefined) throw new Error('Give the file: node bench/profile.mjs FILE [--json]');
  const result = await profile(file, dirname(file));
  if (process.argv.includes('--json')) console.log(JSON.stringify(result));
  else print(result);
}
