/** A disk without any space left: what reads goes on, and what gives space back does. */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { fsBlobStore } from 'vecsnap/blob';
import { directoryEnvironment } from 'vecsnap/platform';
import { SnapshotManager } from 'vecsnap/snapshot';
import { describe, expect, it } from 'vitest';
import { quotaFsOperations } from './fault/fs-operations.js';
import { MAIN } from './support/cli.js';
import { freshDirectory, joined, seededBytes, u32 } from './support/files.js';
import { recordSource, type Records } from './support/memory-source.js';
import { MemoryTarget } from './support/memory-environment.js';
import { canMount } from './support/mounts.js';

const at = freshDirectory();
const ROWS = 4000;
const DIMENSION = 64;

/** A matrix of a megabyte, of which some rows are others than in the first. */
function matrix(name: string, seed: number, changed: number): void {
  const bytes = seededBytes(ROWS * DIMENSION * 4, 1);
  bytes.set(seededBytes(changed * DIMENSION * 4, seed));
  for (let i = 3; i < bytes.length; i += 4) bytes[i] = 0x3e; // Numbers, and no NaN.
  writeFileSync(at(name), joined(u32(ROWS, DIMENSION), bytes));
}

const STEPS = `
  set -u
  vecsnap() { "$NODE" "$MAIN" "$@"; }
  fail() { echo "$1" > "$PLACE/failed"; exit 1; }
  mount -t tmpfs -o size=8m none "$PLACE/disk" && cd "$PLACE/disk" || exit 99
  vecsnap init repo && vecsnap create repo ../first.fbin --name first || fail create-first
  vecsnap create repo ../second.fbin --name second || fail create-second
  vecsnap create repo ../other.fbin --name other || fail create-other
  dd if=/dev/zero of=filler bs=1k 2> /dev/null
  echo x > one-more 2> /dev/null && [ -s one-more ] && fail "the disk is not full"
  vecsnap list repo --json > ../list || fail list
  vecsnap verify repo > ../verify || fail verify
  vecsnap restore repo other ../restored.fbin || fail restore
  vecsnap create repo ../last.fbin --json > ../created 2>&1 && fail "create had room"
  vecsnap verify repo || fail verify-after-create
  vecsnap forget repo first || fail forget
  vecsnap gc repo --json > ../gc; echo $? > ../gc-code
  vecsnap verify repo || fail verify-after-gc
  vecsnap forget repo other || fail forget-other
  vecsnap gc repo --json > ../gc2 || fail gc2
  vecsnap verify repo || fail verify-after-gc2
  vecsnap restore repo second ../second-restored.fbin || fail restore-second
  ls repo > ../left
  rm filler
  vecsnap create repo ../last.fbin --name last || fail create-last
  vecsnap verify repo || fail verify-at-end
`;

describe('a disk that is full', () => {
  const mayMount = canMount();
  if (!mayMount) console.warn('Not tested with a full disk: this system does not let the user mount one.');

  it.runIf(mayMount)('lets list, verify, restore, forget and gc work, in a small file system', () => {
    matrix('first.fbin', 2, 0);
    matrix('second.fbin', 3, 3400); // A part of the first pack is needed for it, small enough for the reserve.
    matrix('other.fbin', 4, 4000);
    matrix('last.fbin', 5, 4000);
    mkdirSync(at('disk'));
    try {
      execFileSync('unshare', ['--mount', '--map-root-user', 'sh', '-c', STEPS], {
        env: { ...process.env, PLACE: at(), MAIN, NODE: process.execPath },
        stdio: ['ignore', 'ignore', 'pipe'],
      });
    } catch (error) {
      const step = existsSync(at('failed')) ? readFileSync(at('failed'), 'utf8') : 'before any step';
      throw new Error(`${step}: ${String((error as { stderr?: Buffer }).stderr)}`, { cause: error });
    }
    const json = (name: string): Record<string, unknown> =>
      JSON.parse(readFileSync(at(name), 'utf8')) as Record<string, unknown>;
    expect(json('created')).toMatchObject({ error: { code: 'STORE_FULL' } });
    expect(readFileSync(at('restored.fbin')).equals(readFileSync(at('other.fbin')))).toBe(true);
    expect(readFileSync(at('second-restored.fbin')).equals(readFileSync(at('second.fbin')))).toBe(true);
    expect(readFileSync(at('gc-code'), 'utf8')).toBe('0\n');
    expect(json('gc')).toMatchObject({ postponedPacks: [], rewrittenPacks: [expect.any(String)] });
    expect(json('gc')['reclaimedBytes']).toBeGreaterThan(500_000);
    expect(json('gc2')['reclaimedBytes']).toBeGreaterThan(500_000);
    expect(readFileSync(at('left'), 'utf8')).toContain('reserve'); // It is held back again.
  });
});

/** Records of 64 bytes, of which those from `from` to `to` are others. */
function records(seed: number, from: number, to: number): Records {
  const bytes = seededBytes(2000 * 64, 1);
  bytes.set(seededBytes((to - from) * 64, seed), from * 64);
  return {
    count: 2000,
    ids: Array.from({ length: 2000 }, (_, i) => `id ${String(i).padStart(5, '0')}`),
    schema: { id: 'string', vectors: [{ name: 'v', dtype: 'u8', dimension: 64 }], payload: 'none' },
    vectors: [bytes],
  };
}

const SMALL_PACKS = { packBytes: 20_000, rowGroups: { targetBytes: 2000, minRecords: 5, maxRecords: 64 } };

describe('a quota', () => {
  /** A repository with three snapshots, of which the second shares half with the first. */
  async function make(reserveBytes: number) {
    const quota = { free: 50_000_000 };
    const options = { operations: quotaFsOperations(quota), workers: 1, reserveBytes };
    const open = () => directoryEnvironment(at('repo'), options);
    const manager = await SnapshotManager.init({ environment: open() }, SMALL_PACKS);
    const first = await manager.createSnapshot(recordSource('c', records(2, 0, 0)), 'first');
    const second = await manager.createSnapshot(recordSource('c', records(3, 0, 1500)), 'second');
    await manager.createSnapshot(recordSource('d', records(4, 0, 2000)), 'other');
    await manager.deleteSnapshot(first.id);
    await manager.close();
    return { quota, first, second, open };
  }

  it('of nothing lets all go on but create', async () => {
    const { quota, first, second, open } = await make(64 * 1024);
    quota.free = 0;
    const manager = await SnapshotManager.open({ environment: open() });
    await expect(
      manager.createSnapshot(recordSource('e', records(9, 0, 2000)), 'more'),
    ).rejects.toMatchObject({
      code: 'STORE_FULL',
    });
    expect(await manager.listSnapshots()).toHaveLength(2);
    expect((await manager.verifyRepository()).problems).toEqual([]);
    await manager.restoreSnapshot(second.id, new MemoryTarget());
    await manager.unforget([first.id]);
    expect(await manager.listSnapshots()).toHaveLength(3);
    await manager.deleteSnapshot(first.id);
    const plan = await manager.collectGarbage({ maxUnused: 0 });
    expect(plan).toMatchObject({ postponedPacks: [], roomNeeded: 0 });
    expect(plan.reclaimedBytes).toBeGreaterThan(0);
    const [other] = await manager.listSnapshots({ collection: 'd' });
    quota.free = 0;
    await manager.deleteSnapshot(other?.id ?? '');
    expect((await manager.collectGarbage({ maxUnused: 0 })).reclaimedBytes).toBeGreaterThan(0);
    expect((await manager.verifyRepository()).problems).toEqual([]);
    expect(await manager.listSnapshots()).toHaveLength(1);
    await manager.restoreSnapshot(second.id, new MemoryTarget());
    expect((await manager.stats()).unreferencedBytes).toBe(0);
    await manager.close();
  });

  it('of little gives back what can be, and says what it takes to give back the rest', async () => {
    const { quota, first, second, open } = await make(14 * 1024);
    // Nothing is wholly dead, and there is room for the lock but not for what the first pack to be rewritten needs.
    quota.free = 0;
    const manager = await SnapshotManager.open({ environment: open() });
    const before = await blobsIn();
    const report = await manager.collectGarbage({ maxUnused: 0 });
    expect(report.postponedPacks?.length ?? 0).toBeGreaterThan(0);
    expect(report.roomNeeded ?? 0).toBeGreaterThan(0);
    expect(report.rewrittenPacks).toEqual([]);
    expect(report).toMatchObject({ deletedPacks: [], reclaimedBytes: 0, forgottenSnapshots: [] });
    expect((await manager.listForgotten()).snapshots.map(({ id }) => id)).toEqual([first.id]); // It can be had back, for nothing was given.
    expect((await manager.verifyRepository()).problems).toEqual([]);
    await manager.restoreSnapshot(second.id, new MemoryTarget());
    expect((await blobsIn()).length).toBeLessThanOrEqual(before.length);
    quota.free = 1_000_000;
    await manager.unforget([first.id]);
    await manager.restoreSnapshot(first.id, new MemoryTarget());
    await manager.deleteSnapshot(first.id);
    expect((await manager.collectGarbage({ maxUnused: 0 })).forgottenSnapshots).toEqual([first.id]);
    expect((await manager.stats()).unreferencedBytes).toBe(0);
    await manager.close();
  });

  async function blobsIn(): Promise<string[]> {
    const names: string[] = [];
    for await (const { name } of fsBlobStore(at('repo')).list('packs/')) names.push(name);
    return names;
  }
});
