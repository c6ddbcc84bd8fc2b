// Makes a repository of many snapshots of a tiny file that changes each time: node bench/many-snapshots.mjs REPO COUNT
import { writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { resolveSource, SnapshotManager } from 'vecsnap';
import { smallMatrix } from './workloads.mjs';

const [repository = '', count = ''] = process.argv.slice(2);
const directory = await mkdtemp(join(tmpdir(), 'vecsnap-bench-'));
const manager = await SnapshotManager.init({ snapshotDir: repository, workers: 1 });
try {
  const file = join(directory, 'tiny.fbin');
  for (let seed = 0; seed < Number(count); seed++) {
    writeFileSync(file, smallMatrix({ rows: 4, dimension: 8, seed }));
    await manager.createSnapshot(await resolveSource(file), `tiny ${seed}`);
  }
} finally {
  await manager.close();
  await rm(directory, { recursive: true, force: true });
}
