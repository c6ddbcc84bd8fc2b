// Takes a snapshot of a source that stops half way until a line comes on standard input.
import { createInterface } from 'node:readline/promises';
import { SnapshotManager } from 'vecsnap';

const [, , snapshotDir] = process.argv;
const ROWS = 4000;
const DIMENSION = 64;

function batch(seed) {
  const numbers = Float32Array.from({ length: (ROWS / 2) * DIMENSION }, (_, i) => Math.sin(seed + i * 0.7));
  return { count: ROWS / 2, ids: undefined, vectors: [new Uint8Array(numbers.buffer)], payloads: undefined };
}

const source = {
  place: 'slow:',
  collection: 'slow',
  open: async () => ({
    format: { name: 'slow' },
    schema: {
      id: 'none',
      vectors: [{ name: 'vector', dtype: 'f32', dimension: DIMENSION }],
      payload: 'none',
    },
    records: async function* () {
      yield batch(1);
      console.log('half');
      await createInterface({ input: process.stdin }).question('');
      yield batch(2);
    },
    files: undefined,
    expected: { records: ROWS },
    notes: [],
    confirmUnchanged: async () => {},
    close: async () => {},
  }),
};

const manager = await SnapshotManager.open({ snapshotDir });
const snapshot = await manager.createSnapshot(source, 'slow');
await manager.close();
console.log(snapshot.id);
process.exit(0);
