// One process of the campaign: works on the repository until it is killed, and prints a line of JSON for each thing it does.
//   node worker.mjs ROLE REPO SCRATCH SEED
import { rm } from 'node:fs/promises';
import { writeSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { resolveTarget, SnapshotManager } from 'vecsnap';
import { digestOf, expectedDigest, sourceOf } from './content.mjs';

const [role, snapshotDir, scratch, seedText] = process.argv.slice(2);
let state = Number(seedText) >>> 0;

function random(n) {
  state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
  return Math.floor((state / 2 ** 32) * n);
}
const pick = (list) => list[random(list.length)];
const say = (line) => writeSync(1, `${JSON.stringify(line)}\n`);

/** What may come of a snapshot that somebody else forgets meanwhile. */
const FORGOTTEN = new Set(['SNAPSHOT_FORGOTTEN', 'SNAPSHOT_UNKNOWN']);

const NOTHING_YET = 'no snapshot was taken yet';

let manager = await open();
function open() {
  return SnapshotManager.open({ snapshotDir, lockTimeoutMs: 120_000, workers: 1 });
}

const seedOf = (collection) => Number(collection.slice(1));
const versionOf = async (id) => versionIn(await manager.getSnapshot(id));
/** @returns {number | undefined} */
const versionIn = (snapshot) => snapshot?.metadata.version;

async function compare(id, batches, { collection, metadata }) {
  const [found, wanted] = [
    await digestOf(batches),
    await expectedDigest(seedOf(collection), metadata.version),
  ];
  if (found !== wanted)
    throw new Error(`snapshot ${id} is not what was taken: ${found} instead of ${wanted}`);
}

const COLLECTIONS = ['c1', 'c2'];

async function create(kind) {
  const collection = pick(COLLECTIONS);
  const standing = await manager.listSnapshots({ collection });
  const newest = Math.max(0, ...standing.map(versionIn));
  const version = random(4) === 0 ? random(newest + 1) : newest + 1;
  const pause = () => sleep(random(3) === 0 ? random(20) : 0);
  const hinted = kind === 'hinted' ? { versionOf } : {};
  const source = sourceOf(seedOf(collection), version, { collection, pause, ...hinted });
  const base = kind === 'full' ? undefined : pick(standing);
  const options = { metadata: { version } };
  const made =
    base === undefined
      ? await manager.createSnapshot(source, `${kind} ${version}`, options)
      : await manager.createIncrementalSnapshot(source, `${kind} ${version}`, base.id, options);
  say({ acknowledged: made.id });
}

async function* slowly(batches) {
  for await (const batch of batches) {
    yield batch;
    await sleep(random(60));
  }
}

async function one() {
  const found = pick(await manager.listSnapshots());
  return found ?? Promise.reject(new Error(NOTHING_YET));
}

async function sound(report) {
  if (!report.ok) throw new Error(`damage where none is: ${JSON.stringify(report.problems.slice(0, 3))}`);
}

let restored = 0;
const OPERATIONS = {
  writer: {
    full: () => create('full'),
    incremental: () => create('incremental'),
    hinted: () => create('hinted'),
  },
  reader: {
    async read() {
      const snapshot = await one();
      await compare(snapshot.id, manager.readSnapshot(snapshot.id), snapshot);
    },
    async 'read slowly'() {
      const snapshot = await one();
      const batches = manager.readSnapshot(snapshot.id, { readAheadBytes: 1 << 16 });
      await compare(snapshot.id, slowly(batches), snapshot);
    },
    async restore() {
      const snapshot = await one();
      const place = `${scratch}/${process.pid}-${restored++}.jsonl`;
      try {
        const { records } = await manager.restoreSnapshot(snapshot.id, await resolveTarget(`jsonl:${place}`));
        if (records !== snapshot.vectorCount)
          throw new Error(`${records} of ${snapshot.vectorCount} restored`);
      } finally {
        await rm(place, { force: true });
      }
    },
    list: async () => void (await manager.listSnapshots()),
    verify: async () => sound(await manager.verifySnapshot((await one()).id)),
    'verify all': async () => sound(await manager.verifyRepository()),
    diff: async () => void (await manager.diffSnapshots((await one()).id, (await one()).id)),
    stats: async () => void (await manager.stats()),
    async 'price forgetting'() {
      const { id } = await one();
      const report = await manager.forget({ ids: [id], dryRun: true });
      if (report.reclaimableBytes === null) throw new Error('damage where none is, in a dry run of forget');
    },
  },
  sweeper: {
    async forget() {
      const standing = await manager.listSnapshots();
      const ids = standing.filter((_, i) => i >= 3 && random(3) === 0).map(({ id }) => id);
      if (ids.length === 0) return;
      say({ mayForget: ids });
      await manager.deleteSnapshots(ids);
    },
    gc: async () => void (await manager.collectGarbage({ maxUnused: random(2) === 0 ? 0 : 0.2 })),
  },
};

const mine = OPERATIONS[role];
for (;;) {
  const operation = pick(Object.keys(mine));
  try {
    await mine[operation]();
    say({ done: operation });
  } catch (error) {
    if (error.message === NOTHING_YET) await sleep(100);
    else if (FORGOTTEN.has(error.code)) say({ forgotten: `${operation}: ${error.code}` });
    else
      say({
        failed: operation,
        code: error.code,
        message: String(error.message),
        place: error.place,
        stack: error.stack,
      });
  }
  if (random(8) === 0) {
    await manager.close();
    manager = await open();
  }
}
