// The main job, end to end: snapshots of a live vector database.
//
// A ruvector database is filled with 778 real sentence embeddings and snapshotted; about 1 % of it is changed, and it is
// snapshotted again. Both snapshots are restored into new databases and compared with what the live one held at the time:
// every id, every bit of every vector, all metadata, and nearest-neighbour answers. Then the first is dropped and swept.
//
// Run it with `npm run quickstart`, or `node examples/quickstart.mjs [DIRECTORY]` to keep what it makes.
import { mkdir, mkdtemp, readFile, rm } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import ruvector from '@ruvector/core';
import prettyBytes from 'pretty-bytes';
import { resolveSource, resolveTarget, SnapshotManager } from 'vecsnap';

const DIMENSION = 384;
const NEIGHBOURS = 10;
const QUERIES = 10;

const kept = process.argv[2];
if (kept !== undefined) await mkdir(kept, { recursive: true });
const folder = kept ?? (await mkdtemp(join(tmpdir(), 'vecsnap-quickstart-')));
let failures = 0;

function step(text) {
  console.log(`\n${text}`);
}

function check(what, ok) {
  if (!ok) failures++;
  console.log(`  ${ok ? '✓' : '✗ DIFFERENT:'} ${what}`);
}

function progress(verb) {
  if (!process.stderr.isTTY) return undefined;
  return ({ records, totalRecords }) => {
    const done = records === totalRecords;
    process.stderr.write(
      `\r  ${verb} ${records} of ${totalRecords ?? '?'} records${done ? '\r\u001b[K' : ''}`,
    );
  };
}

/** The 778 embeddings: all-MiniLM-L6-v2, unit length, with ids, texts, titles and tags. */
async function readEmbeddings() {
  const data = join(
    dirname(createRequire(import.meta.url).resolve('@sap-ux/fiori-docs-embeddings/package.json')),
    'data/embeddings',
  );
  const lines = (await readFile(join(data, 'records.jsonl'), 'utf8')).trim().split('\n');
  const bytes = new Uint8Array(await readFile(join(data, 'embeddings.bin')));
  const numbers = new Float32Array(bytes.buffer);
  return lines.map((line, i) => {
    const { id, ...metadata } = JSON.parse(line);
    return { id, vector: numbers.slice(i * DIMENSION, (i + 1) * DIMENSION), metadata };
  });
}

/** What the database should hold: kept beside it, so that a restore is compared with the truth and not with a copy. */
class LiveCollection {
  records = new Map();

  constructor(path) {
    this.path = path;
    this.db = new ruvector.VectorDb({ dimensions: DIMENSION, storagePath: path, distanceMetric: 'Cosine' });
  }

  async insert(records) {
    await this.db.insertBatch(
      records.map(({ id, vector, metadata }) => ({ id, vector, metadata: JSON.stringify(metadata) })),
    );
    for (const record of records) this.records.set(record.id, record);
  }

  async update(records) {
    for (const { id } of records) await this.delete(id); // An insert over a record without deleting it keeps old metadata.
    await this.insert(records);
  }

  async delete(id) {
    await this.db.delete(id);
    this.records.delete(id);
  }

  /** The collection as it is now. */
  moment() {
    return new Map(this.records);
  }
}

/** Some of the real embeddings turned a little, as a new version of a model or a text would turn them. */
function turned({ id, vector, metadata }, by) {
  const moved = vector.map((x, i) => x + by * Math.sin(i + 1));
  const length = Math.hypot(...moved);
  return { id, vector: moved.map((x) => x / length), metadata: { ...metadata, revised: true } };
}

function sameBits(a, b) {
  return Buffer.from(a.buffer, a.byteOffset, a.byteLength).equals(
    Buffer.from(b.buffer, b.byteOffset, b.byteLength),
  );
}

function sortKeys(value) {
  if (Array.isArray(value)) return value.map(sortKeys);
  if (value === null || typeof value !== 'object') return value;
  return Object.fromEntries(
    Object.keys(value)
      .toSorted()
      .map((key) => [key, sortKeys(value[key])]),
  );
}

function sameJson(a, b) {
  return JSON.stringify(sortKeys(a)) === JSON.stringify(sortKeys(b));
}

/** The ids of the nearest records, computed over all of them. Equally near ones are ordered by id. */
function nearest(records, query) {
  const scored = [...records.values()].map(({ id, vector }) => ({
    id,
    score: vector.reduce((sum, x, i) => sum + x * query[i], 0),
  }));
  scored.sort((a, b) => b.score - a.score || (a.id < b.id ? -1 : 1));
  return scored.slice(0, NEIGHBOURS).map(({ id }) => id);
}

/** Restores a snapshot into a new database and compares everything with the moment at which it was taken. */
async function restoreAndCompare(manager, snapshot, moment) {
  const path = join(folder, `restored-${snapshot.name}-${Math.floor(performance.now())}.db`);
  await manager.restoreSnapshot(snapshot.id, await resolveTarget(`ruvector:${path}`), {
    onProgress: progress('restoring'),
  });
  const db = new ruvector.VectorDb({ dimensions: DIMENSION, storagePath: path, distanceMetric: 'Cosine' });
  const restored = new Map();
  for (const id of moment.keys()) {
    // Its own types leave out the metadata that it gives.
    const entry = /** @type {{ vector: number[], metadata: string } | null} */ (await db.get(id));
    if (entry)
      restored.set(id, { id, vector: new Float32Array(entry.vector), metadata: JSON.parse(entry.metadata) });
  }
  const all = [...moment.values()];
  const has = (test) =>
    all.every((record) => restored.has(record.id) && test(record, restored.get(record.id)));
  check(
    `${moment.size} ids, none missing, none more`,
    (await db.len()) === moment.size && restored.size === moment.size,
  );
  check(
    `every bit of ${moment.size} × ${DIMENSION} numbers`,
    has((a, b) => sameBits(a.vector, b.vector)),
  );
  check(
    'all metadata',
    has((a, b) => sameJson(a.metadata, b.metadata)),
  );
  const queries = all.filter((_, i) => i % Math.ceil(all.length / QUERIES) === 0).map(({ vector }) => vector);
  const exact = queries.filter(
    (query) => nearest(moment, query).join() === nearest(restored, query).join(),
  ).length;
  check(
    `${exact} of ${queries.length} exact nearest-neighbour answers (${NEIGHBOURS} neighbours each)`,
    exact === queries.length,
  );
  let agreeing = 0;
  for (const query of queries) {
    const truth = new Set(nearest(moment, query));
    const found = await db.search({ vector: query, k: NEIGHBOURS });
    agreeing += found.filter(({ id }) => truth.has(id)).length;
  }
  const recall = (100 * agreeing) / (queries.length * NEIGHBOURS);
  console.log(
    `  · the restored database's own approximate search finds ${recall.toFixed(0)} % of those neighbours`,
  );
}

function describe({ id, name, snapshotType, vectorCount, logicalBytes, addedBytes }) {
  const sizes = `${prettyBytes(logicalBytes)} of content, ${prettyBytes(addedBytes)} added on disk`;
  return `  ${id.slice(-8)}  ${name.padEnd(8)} ${snapshotType.padEnd(12)} ${vectorCount} records, ${sizes}`;
}

try {
  step('1. A live ruvector database with real sentence embeddings');
  const embeddings = await readEmbeddings();
  const live = new LiveCollection(join(folder, 'articles.db'));
  await live.insert(embeddings.slice(0, -3));
  console.log(`  ${live.records.size} records of ${DIMENSION} dimensions in ${live.path}`);

  step('2. A full snapshot');
  const manager = await SnapshotManager.init({ snapshotDir: join(folder, 'repo') });
  const source = await resolveSource(`ruvector:${live.path}`);
  const monday = await manager.createSnapshot(source, 'monday', { onProgress: progress('reading') });
  const atMonday = live.moment();
  console.log(describe(monday));

  step('3. About 1 % of the records change: 4 updated, 3 inserted, 2 deleted; then an incremental snapshot');
  await live.update([7, 250, 500, 700].map((i) => turned(embeddings[i], 0.05)));
  await live.insert(embeddings.slice(-3));
  for (const i of [100, 400]) await live.delete(embeddings[i].id);
  const tuesday = await manager.createIncrementalSnapshot(source, 'tuesday', monday.id, {
    onProgress: progress('reading'),
  });
  const atTuesday = live.moment();
  console.log(describe(tuesday));

  step('4. What changed between them, and what the repository holds');
  const { records } = await manager.diffSnapshots(monday.id, tuesday.id);
  check(
    `diff: ${records.added} added, ${records.removed} removed, ${records.changed} changed`,
    records.added === 3 && records.removed === 2 && records.changed === 4,
  );
  for (const snapshot of await manager.listSnapshots()) console.log(describe(snapshot));
  console.log(
    `  ${prettyBytes(await manager.totalSize())} on disk in all, for ${prettyBytes(monday.logicalBytes + tuesday.logicalBytes)} of content`,
  );

  step('5. Verify: every byte is hashed again');
  const report = await manager.verifyRepository();
  check(`${report.checked.chunks} chunks, ${report.problems.length} problems`, report.ok);

  step('6. Restore monday into a new database');
  await restoreAndCompare(manager, monday, atMonday);
  step('7. Restore tuesday into a new database');
  await restoreAndCompare(manager, tuesday, atTuesday);

  step('8. Delete monday and sweep');
  const before = await manager.totalSize();
  await manager.deleteSnapshot(monday.id);
  const swept = await manager.collectGarbage({ maxUnused: 0 });
  const after = await manager.totalSize();
  console.log(`  ${swept.deletedPacks.length} packs deleted, ${swept.rewrittenPacks.length} rewritten`);
  console.log(
    `  ${prettyBytes(before)} before, ${prettyBytes(after)} after: ${prettyBytes(before - after)} came back`,
  );
  check('the sweep gave space back', swept.reclaimedBytes > 0);
  check('what is left verifies', (await manager.verifyRepository()).ok);

  step('9. Restore tuesday again: it does not need monday');
  await restoreAndCompare(manager, tuesday, atTuesday);
  await manager.close();

  console.log(failures === 0 ? '\nEverything is as it was.' : `\n${failures} comparisons FAILED.`);
  if (kept !== undefined)
    console.log(`The database, the repository and the restored databases are in ${folder}.`);
} finally {
  if (kept === undefined) await rm(folder, { recursive: true, force: true });
}
process.exitCode = failures === 0 ? 0 : 1;
