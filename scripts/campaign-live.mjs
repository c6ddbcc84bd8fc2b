// Writers, readers and a sweep at once, as processes, one of which is killed every few seconds; then everything is looked at.
//   npm run campaign:live [-- --seconds 300 --seed 1 --every 2]
// The last line is JSON: what was done and how often, kills, snapshots, failures. Exit code 1 when there are failures.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { SnapshotManager } from 'vecsnap';
import { digestOf, expectedDigest } from './live/content.mjs';

const WORKER = fileURLToPath(new URL('./live/worker.mjs', import.meta.url));
const ROLES = ['writer', 'writer', 'reader', 'reader', 'sweeper'];

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '300' },
    seed: { type: 'string', default: String(Date.now() % 2 ** 31) },
    every: { type: 'string', default: '2' },
  },
});
let state = Number(values.seed) >>> 0;
const random = () => (state = (Math.imul(state, 1664525) + 1013904223) >>> 0) / 2 ** 32;

const directory = await mkdtemp(join(tmpdir(), 'vecsnap-live-'));
const [repo, scratch] = [join(directory, 'repo'), join(directory, 'scratch')];
await mkdir(scratch);
await (await SnapshotManager.init({ snapshotDir: repo }, { packBytes: 1 << 20 })).close();

const counts = {};
const failures = [];
const acknowledged = new Set();
const mayBeForgotten = new Set();
const killed = new Set();
let kills = 0;
let ending = false;

const slots = ROLES.map((role) => start(role));

function start(role) {
  const child = spawn('node', [WORKER, role, repo, scratch, String(Math.floor(random() * 2 ** 32))], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const slot = { role, child };
  createInterface({ input: child.stdout }).on('line', (line) => note(role, line));
  let complaint = '';
  child.stderr.on('data', (bytes) => (complaint += bytes));
  slot.ended = ended(slot, () => complaint);
  return slot;
}

async function ended({ role, child }, complaint) {
  const [code, signal] = await once(child, 'close');
  if (!killed.has(child)) failures.push({ role, died: code ?? signal, complaint: complaint().slice(-2000) });
}

function note(role, text) {
  let line;
  try {
    line = JSON.parse(text);
  } catch {
    return; // Cut off by a kill.
  }
  if (line.acknowledged) acknowledged.add(line.acknowledged);
  for (const id of line.mayForget ?? []) mayBeForgotten.add(id);
  const what = line.done ?? line.forgotten;
  if (what) counts[what] = (counts[what] ?? 0) + 1;
  if (line.failed && !ending) failures.push({ role, ...line });
}

async function kill(slot) {
  killed.add(slot.child);
  slot.child.kill('SIGKILL');
  await slot.ended;
}

const end = process.hrtime.bigint() + BigInt(values.seconds) * 1_000_000_000n;
console.log(`seed ${values.seed}, ${values.seconds} s in ${directory}`);
while (process.hrtime.bigint() < end) {
  await sleep((0.5 + random()) * Number(values.every) * 1000);
  const i = Math.floor(random() * slots.length);
  await kill(slots[i]);
  kills++;
  slots[i] = start(slots[i].role);
}
ending = true;
await Promise.all(slots.map(kill));

function fail(what, more) {
  failures.push({ role: 'afterwards', what, ...more });
}

async function lookAtAll(manager, when) {
  const { snapshots, problems } = await manager.listAll();
  for (const problem of problems) fail(`${when}: unreadable snapshot`, { blob: problem.blob });
  const standing = new Set(snapshots.map(({ id }) => id));
  for (const id of acknowledged)
    if (!standing.has(id) && !mayBeForgotten.has(id))
      fail(`${when}: an acknowledged snapshot is gone`, { id });
  const report = await manager.verifyRepository();
  for (const problem of report.problems.slice(0, 10)) fail(`${when}: verify`, { problem });
  for (const { id, collection, metadata } of snapshots) {
    const wanted = await expectedDigest(Number(collection.slice(1)), metadata.version);
    const found = await digestOf(manager.readSnapshot(id)).catch((error) => String(error));
    if (found !== wanted) fail(`${when}: another content`, { id, found, wanted });
  }
  return snapshots.length;
}

const manager = await SnapshotManager.open({ snapshotDir: repo });
const snapshots = await lookAtAll(manager, 'before the last sweep');
await manager.collectGarbage({ maxUnused: 0 });
await lookAtAll(manager, 'after the last sweep');
const { unreferencedBytes } = await manager.stats();
if (unreferencedBytes !== 0) fail('bytes that nothing reaches', { unreferencedBytes });
await manager.close();
for (const folder of ['locks', 'tmp']) {
  const left = await readdir(join(repo, folder)).catch(() => []);
  if (left.length > 0) fail(`something is left in ${folder}`, { left });
}

for (const failure of failures.slice(0, 20)) console.log(JSON.stringify(failure, null, 2));
if (failures.length === 0) await rm(directory, { recursive: true, force: true });
else console.log(`kept: ${directory}`);
const operations = Object.values(counts).reduce((sum, count) => sum + count, 0);
const summary = { seed: values.seed, seconds: Number(values.seconds), operations, kills };
console.log(
  JSON.stringify({
    ...summary,
    acknowledged: acknowledged.size,
    snapshots,
    counts,
    failures: failures.length,
  }),
);
process.exitCode = failures.length === 0 ? 0 : 1;
