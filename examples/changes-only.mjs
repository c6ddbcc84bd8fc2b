// Incremental snapshots that read only what changed: a wrapper notes what is written, and the source tells it.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { SnapshotManager } from 'vecsnap';
import { followChanges, trackChanges } from 'vecsnap/source';

const DIMENSION = 64;

/** A database of our own; it could be any. */
class Store {
  rows = new Map();

  async put(id, vector) {
    this.rows.set(id, vector);
  }

  async remove(id) {
    this.rows.delete(id);
  }
}

/** The records of these ids as one batch. */
function batchOf(rows, ids) {
  const vectors = new Float32Array(ids.length * DIMENSION);
  ids.forEach((id, i) => vectors.set(rows.get(id), i * DIMENSION));
  return { count: ids.length, ids, vectors: [new Uint8Array(vectors.buffer)], payloads: undefined };
}

let scans = 0;

/**
 * The store as a source. Beside its records in order it finds those of given ids, which is what hints need.
 * @returns {import('vecsnap/source').Source}
 */
function storeSource(store) {
  return {
    place: 'store:articles',
    collection: 'articles',
    async open() {
      const rows = new Map(store.rows); // As of this moment.
      return {
        format: { name: 'store' },
        schema: {
          id: 'string',
          vectors: [{ name: 'vector', dtype: 'f32', dimension: DIMENSION }],
          payload: 'none',
        },
        records: async function* () {
          scans++;
          yield batchOf(
            rows,
            [...rows.keys()].toSorted((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b))),
          );
        },
        lookUp: {
          count: rows.size,
          get: async function* (ids) {
            yield batchOf(
              rows,
              ids.filter((id) => rows.has(id)),
            );
          },
        },
        files: undefined,
        expected: { records: rows.size },
        notes: [],
        confirmUnchanged: async () => {},
        close: async () => {},
      };
    },
  };
}

const folder = await mkdtemp(join(tmpdir(), 'vecsnap-example-'));
const journal = join(folder, 'store.changes');
const store = new Store();
const methods = { put: (id) => ({ ids: [id] }), remove: (id) => ({ ids: [id] }) };
const tracked = trackChanges(store, { journal, methods });
const vector = (i) => Float32Array.from({ length: DIMENSION }, (_, k) => Math.sin(i * DIMENSION + k));
for (let i = 0; i < 5000; i++) store.rows.set(`article-${i}`, vector(i)); // Before anybody follows.
await tracked.put('article-0', vector(0));

const manager = await SnapshotManager.init({ snapshotDir: join(folder, 'repo') });
const source = followChanges(storeSource(store), { journal });
const first = await manager.createSnapshot(source, 'first');
console.log(`first: ${first.vectorCount} records, read whole`);

await tracked.put('article-42', vector(-1));
await tracked.put('one more', vector(-2));
await tracked.remove('article-7');
const second = await manager.createIncrementalSnapshot(source, 'second', first.id);
const { records } = await manager.diffSnapshots(first.id, second.id);
console.log(
  `second: ${records.added} added, ${records.removed} removed, ${records.changed} changed; scans so far: ${scans}`,
);

// Past the wrapper: the journal does not tell, and the audit finds out. It reads everything here; the default is a small part.
await store.put('article-99', vector(-3));
const third = await manager.createIncrementalSnapshot(source, 'third', second.id, { auditRate: 1 });
console.log(`third: ${third.notes[0]}`);

if (scans !== 2 || second.notes.length > 0 || records.changed !== 1) process.exitCode = 1;
await tracked[Symbol.asyncDispose]();
await manager.close();
await rm(folder, { recursive: true, force: true });
