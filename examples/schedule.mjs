// A schedule in a program: an hourly job, run once by hand, with retention and a report of everything that happens.
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { SnapshotManager } from 'vecsnap';
import { SnapshotScheduler } from 'vecsnap/schedule';

const folder = await mkdtemp(join(tmpdir(), 'vecsnap-example-'));
const source = join(folder, 'vectors.fbin');
const repository = join(folder, 'repo');
const numbers = Float32Array.from({ length: 500 * 64 }, (_, i) => Math.sin(i * i));
await writeFile(source, [Buffer.from(Uint32Array.of(500, 64).buffer), Buffer.from(numbers.buffer)]);
await (await SnapshotManager.init({ snapshotDir: repository })).close();

const scheduler = new SnapshotScheduler({
  jobs: [
    {
      name: 'vectors',
      source,
      repository,
      cron: '0 * * * *',
      policy: { keepLast: 2 },
      gc: true,
      verify: '1d',
    },
  ],
  onEvent: ({ event, ...rest }) => console.log(event, 'job' in rest ? rest.job : ''),
});
await scheduler.start(); // The job never ran, so it is due at once.
const outcome = await scheduler.runNow('vectors'); // It is at work already: this waits for it.
const [status] = scheduler.status();
console.log(`next run at ${status?.next}, ${status?.lagMs} ms behind`);
const { clean } = await scheduler.stop({ graceMs: 10_000 });
if (!outcome.ok || !clean) process.exitCode = 1;

await rm(folder, { recursive: true, force: true });
