// Frequent snapshots of a file, retention, and space that comes back.
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { resolveSource, resolveTarget, SnapshotManager } from 'vecsnap';

const folder = await mkdtemp(join(tmpdir(), 'vecsnap-example-'));
const path = join(folder, 'vectors.fbin');
const rows = 2000;
const dimension = 128;
const numbers = Float32Array.from({ length: rows * dimension }, (_, i) => Math.cos(i * i));

async function writeMatrix() {
  await writeFile(path, [Buffer.from(Uint32Array.of(rows, dimension).buffer), Buffer.from(numbers.buffer)]);
}

const manager = await SnapshotManager.init({ snapshotDir: join(folder, 'repo') });
for (let hour = 0; hour < 6; hour++) {
  numbers.fill(hour, hour * dimension, (hour + 1) * dimension); // One row changes each hour.
  await writeMatrix();
  const snapshot = await manager.createSnapshot(await resolveSource(path), `hour-${hour}`);
  console.log(`${snapshot.name}: ${snapshot.vectorCount} rows, ${snapshot.addedBytes} bytes added`);
}

const dropped = await manager.cleanupOldSnapshots(2);
const plan = await manager.collectGarbage({ dryRun: true });
console.log(`${dropped.length} snapshots dropped; a sweep would give back ${plan.reclaimedBytes} bytes`);
await manager.collectGarbage();

const report = await manager.verifyRepository();
const newest = await manager.findSnapshot('latest');
await manager.restoreSnapshot(newest.id, await resolveTarget(join(folder, 'restored.fbin')));
console.log(`${newest.name} restored; ${report.problems.length} problems in the repository`);
if (!report.ok || dropped.length !== 4) process.exitCode = 1;

await manager.close();
await rm(folder, { recursive: true, force: true });
