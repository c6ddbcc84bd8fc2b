// Snapshots of records that come from anywhere: an object with a schema and batches is a source.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { SnapshotManager } from 'vecsnap';

/**
 * A source over an array of `{ id, vector, metadata }`, sorted by id as sources must be.
 * @returns {import('vecsnap/source').Source}
 */
function arraySource(collection, records) {
  const sorted = records.toSorted((a, b) => Buffer.compare(Buffer.from(a.id), Buffer.from(b.id)));
  const [{ vector }] = sorted;
  const batch = {
    count: sorted.length,
    ids: sorted.map(({ id }) => id),
    vectors: [new Uint8Array(Float32Array.from(sorted.flatMap((record) => [...record.vector])).buffer)],
    payloads: sorted.map(({ metadata }) => new TextEncoder().encode(JSON.stringify(metadata))),
  };
  return {
    place: `array:${collection}`,
    collection,
    open: async () => ({
      format: { name: 'array' },
      schema: {
        id: 'string',
        vectors: [{ name: 'vector', dtype: 'f32', dimension: vector.length, metric: 'cosine' }],
        payload: 'json',
        model: { name: 'all-MiniLM-L6-v2' },
      },
      records: async function* () {
        yield batch;
      },
      files: undefined,
      expected: { records: sorted.length },
      notes: [],
      confirmUnchanged: async () => {},
      close: async () => {},
    }),
  };
}

const folder = await mkdtemp(join(tmpdir(), 'vecsnap-example-'));
const manager = await SnapshotManager.init({ snapshotDir: join(folder, 'repo') });

const records = Array.from({ length: 1000 }, (_, i) => ({
  id: `article-${i}`,
  vector: Float32Array.from({ length: 64 }, (_value, k) => Math.sin(i * 64 + k)),
  metadata: { title: `Article ${i}` },
}));
const first = await manager.createSnapshot(arraySource('articles', records), 'before');

records[500].metadata.title = 'A better title';
const second = await manager.createIncrementalSnapshot(arraySource('articles', records), 'after', first.id);
console.log(`first added ${first.addedBytes} bytes, second ${second.addedBytes}: only a title changed`);

// Reading a snapshot gives its records in batches, in the order of their ids.
for await (const { count, ids, vectors, payloads } of manager.readSnapshot(second.id)) {
  const at = [...ids].indexOf('article-500');
  if (at < 0) continue;
  const width = vectors[0].length / count;
  const vector = new Float32Array(vectors[0].slice(at * width, (at + 1) * width).buffer);
  console.log(`article-500: ${vector.length} numbers, ${new TextDecoder().decode(payloads[at])}`);
}

// Of a range or a prefix only those records are read; a reading that was cut short goes on after the last id that it saw.
let rest = 0;
const reading = manager.readSnapshot(second.id, { prefix: 'article-9', after: 'article-950' });
for await (const { count } of reading) rest += count;
console.log(`${rest} articles that begin with 9 come after article-950`);
if (rest !== 53) process.exitCode = 1;

const { records: difference } = await manager.diffSnapshots(first.id, second.id);
console.log(`${difference.changed} record changed: ${difference.changedRecords[0].id}`);
if (difference.changed !== 1) process.exitCode = 1;

await manager.close();
await rm(folder, { recursive: true, force: true });
