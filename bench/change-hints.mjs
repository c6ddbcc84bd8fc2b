// Incremental snapshots by change hints against scans, on a real database of @ruvector/core.
//
//   node bench/change-hints.mjs [RECORDS] [ROUNDS]
//
// In each round 0.1 % of the records are updated through trackChanges, in a process of its own: first all over the database, then, in
// other rounds, next to each other. Then one snapshot is taken by a scan and one by hints, with the same base; both must be the
// same. Times are those of the whole call of createIncrementalSnapshot.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { SnapshotManager } from 'vecsnap';
import { followChanges, ruvectorSource } from 'vecsnap/source';
import { summarize } from './statistics.mjs';

const DIMENSION = 128;
const records = Number(process.argv[2] ?? 1_000_000);
const rounds = Number(process.argv[3] ?? 5);
const folder = mkdtempSync(join(tmpdir(), 'vecsnap-hints-'));
const path = join(folder, 'live.db');
const journal = `${path}.changes`;

/** Writes through a tracker. @param places a function body that gives the number of the i-th record to be written. */
function write(count, places, seed) {
  const program = `
    import { createRequire } from 'node:module';
    import { trackChanges } from 'vecsnap/source';
    const { VectorDb } = createRequire(import.meta.url)('@ruvector/core');
    const plain = new VectorDb({ dimensions: ${DIMENSION}, storagePath: ${JSON.stringify(path)}, distanceMetric: 'Cosine' });
    const db = trackChanges(plain, { journal: ${JSON.stringify(journal)} });
    let state = ${seed};
    const random = () => (state = (Math.imul(state, 1664525) + 1013904223) >>> 0) / 2 ** 32;
    const place = (i) => { ${places} };
    for (let start = 0; start < ${count}; start += 4000) {
      const numbers = Array.from({ length: Math.min(4000, ${count} - start) }, (_, i) => place(start + i));
      await db.insertBatch(numbers.map((n) => ({
        id: 'record-' + String(n).padStart(8, '0'),
        vector: Float32Array.from({ length: ${DIMENSION} }, () => random() - 0.5),
      })));
    }
    await db[Symbol.asyncDispose]();
    process.exit(0);`;
  const cwd = dirname(fileURLToPath(import.meta.url));
  const { status, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', program], {
    cwd,
    encoding: 'utf8',
  });
  if (status !== 0) throw new Error(stderr);
}

async function timed(work) {
  const started = performance.now();
  const result = await work();
  return { result, seconds: (performance.now() - started) / 1000 };
}

const KINDS = {
  'all over': `return Math.floor(random() * ${records});`,
  'side by side': `return (state0 ??= Math.floor(random() * ${records})) + i < ${records} ? state0 + i : i;`,
};

try {
  write(records, 'return i;', 1);
  const manager = await SnapshotManager.init({ snapshotDir: join(folder, 'repo') });
  const scanned = ruvectorSource(path);
  const hinted = followChanges(scanned, { journal });
  let last = (await timed(() => manager.createSnapshot(hinted, 'first'))).result;
  for (const [kind, places] of Object.entries(KINDS)) {
    const times = [];
    for (let round = 1; round <= rounds; round++) {
      write(Math.ceil(records / 1000), places.replaceAll('state0', 'globalThis.first'), round * 99_991);
      const scan = await timed(() => manager.createIncrementalSnapshot(scanned, 'scan', last.id));
      await manager.deleteSnapshot(scan.result.id);
      await manager.collectGarbage({ maxUnused: 0 });
      const hints = await timed(() => manager.createIncrementalSnapshot(hinted, 'hints', last.id));
      if (hints.result.checksum !== scan.result.checksum) throw new Error('the snapshots differ');
      if (hints.result.notes.length > 0) throw new Error(hints.result.notes[0]);
      times.push({ scan: scan.seconds, hints: hints.seconds });
      last = hints.result;
    }
    const [scan, hints] = ['scan', 'hints'].map((one) => summarize(times.map((time) => time[one])).median);
    console.log(
      `${records} × ${DIMENSION}, 0.1 % updated ${kind}: scan ${scan.toFixed(3)} s, hints ${hints.toFixed(3)} s, 1/${(scan / hints).toFixed(1)}`,
    );
  }
  await manager.close();
} finally {
  rmSync(folder, { recursive: true, force: true });
}
