// npm run bench:sweep: what a sweep costs when many snapshots share most of their chunks.
//
// Makes one repository of 1,000,000 records and takes 1,000 snapshots of it, each with 3,600 records changed all over: about
// 950,000 chunks in the end. At 10, 100 and 1,000 snapshots it measures the command, in a process of its own: a dry run, which marks
// and plans, and then forgetting the oldest tenth and sweeping. `-- --quick` does a hundredth of it.
//
// Its section of docs/benchmarks.md is written anew. A process that was killed leaves its files in
// .work/sweep/.
import { mkdirSync, rmSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { SnapshotManager } from 'vecsnap';
import { fsBlobStore } from 'vecsnap/blob';
import { readPackDirectory } from 'vecsnap/cas';
import { nodeSha256 } from 'vecsnap/platform';
import { canMeasureMemory, measure, run } from './command.mjs';
import { describeMachine } from './machine.mjs';
import { readOptions, writeSection } from './section.mjs';

/** @typedef {import('./command.mjs').Cost} Cost */

const ROOT = resolve(import.meta.dirname, '..');
const WORK = join(ROOT, '.work', 'sweep');
const REPOSITORY = join(WORK, 'repository');
const CLI = [process.execPath, join(ROOT, 'dist', 'cli', 'main.js')];

const { quick: isQuick } = readOptions(`npm run bench:sweep -- [options]

  --quick   a hundredth of the work, printed and not written
`);
const RECORDS = isQuick ? 10_000 : 1_000_000;
const CHANGED = isQuick ? 50 : 3600;
const POINTS = isQuick ? [10, 100] : [10, 100, 1000];
const DIMENSION = 16;
const ROW_BYTES = DIMENSION * 4;

const vectors = new Uint8Array(RECORDS * ROW_BYTES);
let state = 1;
const random = () => (state = (Math.imul(state, 1664525) + 1013904223) >>> 0) / 2 ** 32;

async function main() {
  if (!canMeasureMemory)
    throw new Error('bench: there is no /usr/bin/time here, so peak memory cannot be measured');
  rmSync(WORK, { recursive: true, force: true });
  mkdirSync(WORK, { recursive: true });
  change(Array.from({ length: RECORDS }, (_, i) => i));
  const empty = await measureEmpty();
  const rows = [];
  let taken = 0;
  for (const point of POINTS) {
    await take(point - taken, taken === 0);
    taken = point;
    rows.push({ snapshots: taken, ...(await measurePoint(Math.floor(taken / 10))) });
    console.error(`bench: ${JSON.stringify(rows.at(-1))}`);
    taken -= Math.floor(taken / 10);
  }
  rmSync(WORK, { recursive: true, force: true });
  if (!isQuick) await writeSection('sweep', section(rows, empty));
  console.log(section(rows, empty));
}

/** What a dry run costs where there is nothing: the process starts, and that is all. */
async function measureEmpty() {
  const place = join(WORK, 'empty');
  await (await SnapshotManager.init({ snapshotDir: place })).close();
  return measure([{ argv: [...CLI, 'gc', place, '--dry-run'] }]);
}

/** @param {number} oldest how many of the oldest snapshots are forgotten */
async function measurePoint(oldest) {
  const counts = await countChunks();
  const mark = measure([{ argv: [...CLI, 'gc', REPOSITORY, '--dry-run'] }]);
  const listed = JSON.parse(run({ argv: [...CLI, 'list', REPOSITORY, '--json'] }));
  const ids = (listed.snapshots ?? listed).slice(-oldest).map((/** @type {{ id: string }} */ { id }) => id);
  const forget = measure([{ argv: [...CLI, 'forget', REPOSITORY, ...ids] }]);
  const gc = measure([{ argv: [...CLI, 'gc', REPOSITORY] }]);
  const left = await countChunks();
  return { ...counts, mark, forgotten: oldest, forget, gc, dead: counts.chunks - left.chunks };
}

/** Distinct chunks in the packs, and how many of them are nodes of trees. */
async function countChunks() {
  const blobs = fsBlobStore(REPOSITORY);
  let [chunks, nodes] = [0, 0];
  for await (const pack of blobs.list('packs/')) {
    const entries = await readPackDirectory(blobs, pack, nodeSha256);
    chunks += entries.length;
    nodes += entries.filter(({ kind }) => kind === 'node').length;
  }
  await blobs.close();
  return { chunks, nodes };
}

/** @param {readonly number[]} places numbers of records */
function change(places) {
  for (const place of places)
    for (let i = 0; i < ROW_BYTES; i++) vectors[place * ROW_BYTES + i] = Math.floor(random() * 256);
}

const idOf = (/** @type {number} */ place) => `record-${String(place).padStart(8, '0')}`;

/** @type {readonly string[]} */
let changedIds = [];

/** A collection in memory that tells what changed since the snapshot before. */
/** @type {import('vecsnap/source').Source} */
const source = {
  place: 'in memory',
  collection: 'records',
  open: async () => ({
    format: { name: 'memory' },
    schema: { id: 'string', vectors: [{ name: '', dtype: 'f32', dimension: DIMENSION }], payload: 'none' },
    files: undefined,
    notes: [],
    expected: { records: RECORDS },
    async *records() {
      for (let start = 0; start < RECORDS; start += 4000) yield batch(start, Math.min(4000, RECORDS - start));
    },
    lookUp: {
      async *get(/** @type {readonly string[]} */ ids) {
        for (const id of ids) yield batch(Number(id.slice('record-'.length)), 1);
      },
    },
    changes: {
      since: async () => ({ ids: changedIds }),
      follow: async () => {},
    },
    confirmUnchanged: async () => {},
    close: async () => {},
  }),
};

/** @param {number} start @param {number} count */
function batch(start, count) {
  return {
    count,
    ids: Array.from({ length: count }, (_, i) => idOf(start + i)),
    vectors: [vectors.slice(start * ROW_BYTES, (start + count) * ROW_BYTES)],
    payloads: undefined,
    release() {},
  };
}

/** @param {number} count @param {boolean} isFirst */
async function take(count, isFirst) {
  const config = { snapshotDir: REPOSITORY };
  const manager = await (isFirst ? SnapshotManager.init(config) : SnapshotManager.open(config));
  for (let i = 0; i < count; i++) {
    const [last] = await manager.listSnapshots();
    if (last === undefined) await manager.createSnapshot(source, 'first');
    else {
      const places = [...new Set(Array.from({ length: CHANGED }, () => Math.floor(random() * RECORDS)))];
      change(places);
      changedIds = places.map(idOf).toSorted();
      const taken = await manager.createIncrementalSnapshot(source, `n${i}`, last.id);
      if (taken.notes.length > 0) throw new Error(`bench: ${taken.notes[0]}`);
    }
    if (i % 50 === 49) console.error(`bench: ${i + 1} snapshots`);
  }
  await manager.close();
}

/**
 * @param {readonly { snapshots: number, chunks: number, nodes: number, mark: Cost, forgotten: number, forget: Cost, gc: Cost, dead: number }[]} rows
 * @param {Cost} empty a dry run in an empty repository
 */
function section(rows, empty) {
  const { cpu, cores } = describeMachine(ROOT);
  const cost = (/** @type {Cost} */ { seconds, cpuSeconds = 0, peakBytes = 0 }) =>
    `${seconds.toFixed(2)} s (${cpuSeconds.toFixed(2)} s), ${(peakBytes / 2 ** 20).toFixed(0)} MiB`;
  const perNode = (/** @type {Cost} */ { cpuSeconds = 0 }, /** @type {number} */ nodes) =>
    (((cpuSeconds - (empty.cpuSeconds ?? 0)) / nodes) * 1e6).toFixed(0);
  const lines = rows.map(
    ({ snapshots, chunks, nodes, mark, forgotten, forget, gc, dead }) =>
      `| ${snapshots} | ${chunks.toLocaleString('en')} | ${nodes.toLocaleString('en')} | ${cost(mark)} | ${perNode(mark, nodes)} | ${forgotten}: ${cost(forget)} | ${cost(gc)} | ${dead.toLocaleString('en')} |`,
  );
  return [
    `One run each, whole process, on ${cpu} (${cores} threads), Node.js ${process.version}; ${RECORDS.toLocaleString('en')} records of ${DIMENSION} × f32, ${CHANGED} of them changed before each snapshot. In brackets the processor time, on which other work on the machine has less influence. That of a dry run in an empty repository is ${(empty.cpuSeconds ?? 0).toFixed(2)} s, and is taken away from that of a node.`,
    '',
    '| snapshots | chunks | of them nodes | mark and plan (`gc --dry-run`) | µs a node, processor | forget the oldest tenth | sweep | chunks that went |',
    '| --- | --- | --- | --- | --- | --- | --- | --- |',
    ...lines,
    '',
    'Nodes are kept as deltas of those before, up to 48 deep. Marking goes from the oldest snapshot to the newest and has the nodes that were read last at hand, so each is put together from one delta. Where chunks stand and what they copy from is read from the directories of the packs, once; that takes about 60 bytes a chunk, and is what grows with the repository.',
  ].join('\n');
}

await main();
