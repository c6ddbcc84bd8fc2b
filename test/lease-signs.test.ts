/** Leases whose holders cannot be seen from here: signs of life, what becomes of them, and taking a lock away by hand. */
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { readdir } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { describe, expect, it, onTestFinished } from 'vitest';
import { SnapshotManager } from 'vecsnap';
import {
  acquireLease,
  type BlobStore,
  canSeeProcess,
  fsBlobStore,
  isProcessAlive,
  LEASE_TTL_MS,
  type LeaseOptions,
  listLeases,
  memoryBlobStore,
  type ProcessIdentity,
  processIdentity,
  removeLeases,
} from 'vecsnap/blob';
import { encodeCanonical, VecsnapError } from 'vecsnap/core';
import { freshDirectory, seededBytes } from './support/files.js';
import { memoryEnvironment, memorySource } from './support/memory-environment.js';

const NOON = Date.UTC(2026, 0, 2, 12);
const ELSEWHERE: ProcessIdentity = {
  operation: 'create',
  pid: 4711,
  host: 'elsewhere',
  bootId: 'boot',
  pidNamespace: 'pid:[1]',
  processStart: '99',
  startedAt: NOON,
};

/** Whoever asks cannot see the others. */
function unseen(now: () => number, more: Partial<LeaseOptions> = {}): LeaseOptions {
  return {
    kind: 'writer',
    identity: ELSEWHERE,
    isAlive: () => true,
    isSeen: () => false,
    clock: { now },
    random: (length) => new Uint8Array(randomBytes(length)),
    timeoutMs: 0,
    pollMs: 1,
    ...more,
  };
}

async function names(store: Pick<BlobStore, 'list'>): Promise<string[]> {
  const found: string[] = [];
  for await (const { name } of store.list('')) found.push(name);
  return found;
}

async function until(holds: () => Promise<boolean>): Promise<void> {
  while (!(await holds())) await new Promise((resolve) => setTimeout(resolve, 2));
}

describe('a holder that cannot be seen', () => {
  it('counts as dead when it gave no sign of life for half an hour', async () => {
    const store = memoryBlobStore();
    const lease = await acquireLease(
      store,
      unseen(() => NOON),
    );
    const refused = { code: 'REPOSITORY_LOCKED', message: expect.stringContaining('elsewhere') as string };
    await expect(
      acquireLease(
        store,
        unseen(() => NOON + LEASE_TTL_MS - 1),
      ),
    ).rejects.toMatchObject(refused);
    const next = await acquireLease(
      store,
      unseen(() => NOON + LEASE_TTL_MS),
    );
    expect(await names(store)).toEqual([next.name]);
    await expect(lease.confirm()).rejects.toMatchObject({ code: 'LEASE_LOST' });
    await next.confirm();
    await lease.release();
    expect(await names(store), 'nobody deletes the lease of another').toEqual([next.name]);
  });

  it('keeps its lease by signs, of which one is there at a time', async () => {
    const store = memoryBlobStore();
    let now = NOON;
    const lease = await acquireLease(
      store,
      unseen(() => now, { beatMs: 2 }),
    );
    now += LEASE_TTL_MS;
    const sign = `locks/beat-${lease.name.slice(-32)}-${now}`;
    await until(async () => (await names(store)).includes(sign));
    await expect(
      acquireLease(
        store,
        unseen(() => now + LEASE_TTL_MS - 1),
      ),
    ).rejects.toMatchObject({
      code: 'REPOSITORY_LOCKED',
    });
    now += 1;
    await until(async () => !(await names(store)).includes(sign));
    expect((await names(store)).length).toBeLessThanOrEqual(3);
    await lease.release();
    expect(await names(store)).toEqual([]);
  });

  it('leaves signs when it dies, which go with its lease, or with the next holder', async () => {
    const store = memoryBlobStore();
    const random = () => new Uint8Array(16).fill(7);
    await acquireLease(
      store,
      unseen(() => NOON, { random }),
    );
    await store.put(`locks/beat-${'07'.repeat(16)}-${NOON + 60_000}`, new Uint8Array(0));
    await store.put(`locks/beat-${'08'.repeat(16)}-${NOON}`, new Uint8Array(0));
    await expect(
      acquireLease(
        store,
        unseen(() => NOON + LEASE_TTL_MS),
      ),
    ).rejects.toMatchObject({
      code: 'REPOSITORY_LOCKED',
    });
    const next = await acquireLease(
      store,
      unseen(() => NOON + 60_000 + LEASE_TTL_MS),
    );
    expect(await names(store)).toEqual([next.name]);
  });

  it('is one of another host or container, and of none else', () => {
    const me = processIdentity('test', { now: () => NOON });
    expect(canSeeProcess(me)).toBe(true);
    expect(canSeeProcess({ ...me, host: 'elsewhere' })).toBe(false);
    expect(canSeeProcess({ ...me, bootId: 'the boot before' })).toBe(true);
    if (process.platform === 'linux') expect(canSeeProcess({ ...me, pidNamespace: 'pid:[7]' })).toBe(false);
  });
});

describe('unlocking', () => {
  it('removes what dead holders left, and what is named', async () => {
    const store = memoryBlobStore();
    const judge = unseen(() => NOON + LEASE_TTL_MS);
    const holder = { ...ELSEWHERE };
    const lease = encodeCanonical({ version: 1, kind: 'writer', holder });
    await store.put(`locks/writer-${NOON}-01`, lease);
    await store.put(`locks/writer-${NOON + 1}-02`, lease);
    await store.put(`locks/writer-${NOON + 2}-03`, new Uint8Array(1));
    expect((await listLeases(store, judge)).map(({ state }) => state)).toEqual([
      'dead',
      'unseen',
      'unreadable',
    ]);
    const first = await removeLeases(store, judge);
    expect(first.removed.map(({ holder: of }) => of?.host)).toEqual(['elsewhere']);
    expect(first.standing.map(({ name }) => name.slice(-2))).toEqual(['02', '03']);
    const second = await removeLeases(store, judge, [`locks/writer-${NOON + 1}-02`]);
    expect(second.removed.map(({ state }) => state)).toEqual(['unseen']);
    expect(await names(store)).toEqual([`locks/writer-${NOON + 2}-03`]);
  });
});

const CHILD = fileURLToPath(new URL('./support/lease-child.mjs', import.meta.url));

describe('a process that holds the lock', () => {
  const path = freshDirectory();

  it('is named while it lives, and dead at once when it is killed', async () => {
    const manager = await SnapshotManager.init({ snapshotDir: path('repo'), lockTimeoutMs: 0 });
    const child = spawn(process.execPath, [CHILD, 'hold', path('repo')], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    onTestFinished(() => void child.kill('SIGKILL'));
    await once(child.stdout, 'data');
    const { removed, standing } = await manager.unlock();
    expect(removed).toEqual([]);
    expect(standing).toMatchObject([{ state: 'live', holder: { pid: child.pid } }]);
    await expect(manager.collectGarbage()).rejects.toMatchObject({
      code: 'REPOSITORY_LOCKED',
      message: expect.stringContaining(`process ${child.pid}`) as string,
    });
    child.kill('SIGKILL');
    await once(child, 'exit');
    await manager.collectGarbage();
    expect(await readdir(path('repo', 'locks'))).toEqual([]);
    await manager.close();
  });

  it.runIf(process.platform === 'linux')('is not mistaken for another that has its pid now', async () => {
    const manager = await SnapshotManager.init({ snapshotDir: path('repo'), lockTimeoutMs: 0 });
    const me = processIdentity('create', { now: () => NOON }); // It runs; the one that wrote the lease was started before.
    const holder = { ...me, processStart: String(Number(me.processStart) - 1) };
    const store = fsBlobStore(path('repo'));
    await store.put(`locks/writer-${NOON}-01`, encodeCanonical({ version: 1, kind: 'writer', holder }));
    expect(isProcessAlive(me)).toBe(true);
    expect((await manager.unlock()).removed).toMatchObject([{ state: 'dead', holder: { pid: process.pid } }]);
    await store.put(`locks/writer-${NOON}-02`, encodeCanonical({ version: 1, kind: 'writer', holder }));
    await manager.collectGarbage();
    await manager.close();
  });

  it('writes no snapshot and deletes no pack when its lock was taken away', async () => {
    const manager = await SnapshotManager.init({ snapshotDir: path('repo') });
    const records = [{ id: 1n, vectors: [new Uint8Array(8)], payload: new Uint8Array(0) }];
    const schema = {
      id: 'u64' as const,
      vectors: [{ name: 'v', dtype: 'f32' as const, dimension: 2 }],
      payload: 'none' as const,
    };
    const source = memorySource({ schema, records });
    const robbed = {
      ...source,
      async open() {
        const { standing } = await manager.unlock();
        await manager.unlock({ force: standing.map(({ name }) => name) });
        return source.open();
      },
    };
    await expect(manager.createSnapshot(robbed, 'x')).rejects.toMatchObject({ code: 'LEASE_LOST' });
    expect(await manager.listSnapshots()).toEqual([]);
    expect((await manager.createSnapshot(source, 'y')).vectorCount).toBe(1);
    await manager.close();
  });

  it.each([
    ['says so too when whoever took it has removed what was being written', undefined, 'LEASE_LOST'],
    ['tells what went wrong first, when that is something else', 'SOURCE_INVALID', 'SOURCE_INVALID'],
  ] as const)('%s', async (_, failure, code) => {
    const manager = await SnapshotManager.init({ snapshotDir: path('repo') });
    const column = { name: 'v', dtype: 'u8' as const, dimension: 1000 };
    const schema = { id: 'u64' as const, vectors: [column], payload: 'none' as const };
    const records = Array.from({ length: 4000 }, (__, i) => {
      return { id: BigInt(i), vectors: [seededBytes(1000, i)], payload: new Uint8Array(0) };
    });
    const source = memorySource({ schema, records });
    const other = fsBlobStore(path('repo'));
    const robbed = {
      ...source,
      async open() {
        const open = await source.open();
        return {
          ...open,
          async *records() {
            yield* open.records?.() ?? [];
            // Some of it is on its way to the disk by now.
            await expect.poll(() => readdir(path('repo/tmp'))).not.toEqual([]);
            const { standing } = await manager.unlock();
            await manager.unlock({ force: standing.map(({ name }) => name) });
            await other.removeTemporary();
            if (failure !== undefined) throw new VecsnapError(failure, 'It is wrong.', { remedy: 'None.' });
          },
        };
      },
    };
    await expect(manager.createSnapshot(robbed, 'x')).rejects.toMatchObject({ code });
    expect(await manager.listSnapshots()).toEqual([]);
    await manager.close();
  });

  it('is told of nothing where there are no leases', async () => {
    const manager = await SnapshotManager.init({ environment: memoryEnvironment() });
    expect(await manager.unlock()).toEqual({ removed: [], standing: [] });
  });
});
