/** One writer at a time: the lease, in one process and between real ones, and who counts as alive. */
import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it, onTestFinished } from 'vitest';
import {
  acquireLease,
  type BlobStore,
  fsBlobStore,
  isProcessAlive,
  type LeaseOptions,
  memoryBlobStore,
  type ProcessIdentity,
  processIdentity,
  UNREADABLE_LEASE_MS,
} from 'vecsnap/blob';
import { encodeCanonical } from 'vecsnap/core';
import { type BlobMethod, faultyBlobStore } from './fault/faulty-blob-store.js';

const NOON = Date.UTC(2026, 0, 2, 12);

/** A clock that moves on by `step` whenever it is looked at. */
function steppingClock(step: number) {
  let time = NOON - step;
  return { now: () => (time += step) };
}

function identityOf(operation: string): ProcessIdentity {
  return {
    operation,
    pid: 4711,
    host: 'alpha',
    bootId: 'boot',
    pidNamespace: 'pid:[1]',
    processStart: '99',
    startedAt: NOON,
  };
}

function optionsOf(more: Partial<LeaseOptions> = {}): LeaseOptions {
  return {
    kind: 'writer',
    identity: identityOf('create'),
    isAlive: () => true,
    clock: steppingClock(0),
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

describe('a lease', () => {
  it('is a blob until it is released', async () => {
    const store = memoryBlobStore();
    const lease = await acquireLease(store, optionsOf());
    expect(lease.name).toMatch(new RegExp(`^locks/writer-${NOON}-[0-9a-f]{32}$`));
    expect(await names(store)).toEqual([lease.name]);
    await lease.release();
    expect(await names(store)).toEqual([]);
    await lease.release();
  });

  it('is released without an error when its blob is gone', async () => {
    const store = memoryBlobStore();
    const lease = await acquireLease(store, optionsOf());
    await store.delete(lease.name);
    await lease.release();
  });

  it('keeps the next one out, and names who holds it', async () => {
    const store = memoryBlobStore();
    const lease = await acquireLease(store, optionsOf({ identity: identityOf('sweep') }));
    const asked: ProcessIdentity[] = [];
    const isAlive = (holder: ProcessIdentity) => asked.push(holder) > 0;
    await expect(acquireLease(store, optionsOf({ isAlive }))).rejects.toMatchObject({
      code: 'REPOSITORY_LOCKED',
      message: 'The repository is in use by "sweep", process 4711 on alpha, since 2026-01-02T12:00:00.000Z.',
      place: `memory, ${lease.name}`,
      remedy: expect.stringContaining(lease.name),
    });
    expect(asked).toEqual([identityOf('sweep')]);
    expect(await names(store)).toEqual([lease.name]);
    await lease.release();
    await (await acquireLease(store, optionsOf())).release();
  });

  it('is looked for until the timeout and no longer', async () => {
    const store = faultyBlobStore(memoryBlobStore());
    await acquireLease(store, optionsOf());
    store.setFaults({});
    const before = store.calls.length;
    // Looks at the clock once for the deadline and once after every look at the leases.
    const waiting = acquireLease(store, optionsOf({ clock: steppingClock(300), timeoutMs: 1000 }));
    await expect(waiting).rejects.toMatchObject({
      code: 'REPOSITORY_LOCKED',
      remedy: expect.stringContaining('1000 ms'),
    });
    const methods = store.calls.slice(before).map(({ method }) => method);
    expect(methods.filter((method) => method === 'list')).toHaveLength(4);
    expect(methods, 'waiting writes nothing').not.toContain('put');
  });

  it('is got by who waits when it is released', async () => {
    const store = memoryBlobStore();
    const first = await acquireLease(store, optionsOf());
    const second = acquireLease(store, optionsOf({ timeoutMs: 1 }));
    await first.release();
    const { name } = await second;
    expect(await names(store)).toEqual([name]);
  });

  it('of a dead holder is deleted', async () => {
    const store = memoryBlobStore();
    await acquireLease(store, optionsOf({ identity: identityOf('dead') }));
    const isAlive = async (holder: ProcessIdentity) => holder.operation !== 'dead';
    const lease = await acquireLease(store, optionsOf({ isAlive }));
    expect(await names(store)).toEqual([lease.name]);
  });

  it('does not see other blobs', async () => {
    const store = memoryBlobStore();
    await store.put('locks/reader-1-00', new Uint8Array(1));
    await store.put('packs/a', new Uint8Array(1));
    await acquireLease(store, optionsOf());
  });
});

describe('a lease that cannot be decoded', () => {
  const holder = { ...identityOf('create') };
  const NEWER = encodeCanonical({ version: 2, kind: 'writer', holder });
  const UNREADABLE = [
    new Uint8Array(0),
    Uint8Array.of(0xc1),
    encodeCanonical(null),
    encodeCanonical([1]),
    encodeCanonical(new Uint8Array(3)),
    NEWER,
    NEWER.slice(0, -1),
    encodeCanonical({ version: 1, kind: 'writer', holder: 7 }),
    ...Object.keys(holder).map((key) =>
      encodeCanonical({ version: 1, kind: 'writer', holder: { ...holder, [key]: [] } }),
    ),
    encodeCanonical({ version: 1, kind: 'writer', holder: { ...holder, pid: -1 } }),
    encodeCanonical({ version: 1, kind: 'writer', holder: { ...holder, startedAt: 9e15 } }),
  ];

  it.each(UNREADABLE.map((bytes, index) => [index, bytes] as const))(
    'holds others off for a day (%i)',
    async (_, bytes) => {
      const store = memoryBlobStore();
      const recent = `locks/writer-${NOON - UNREADABLE_LEASE_MS + 1}-00`;
      await store.put(recent, bytes);
      await expect(acquireLease(store, optionsOf({ isAlive: () => false }))).rejects.toMatchObject({
        code: 'REPOSITORY_LOCKED',
        message: expect.stringContaining('cannot be decoded'),
        remedy: expect.stringContaining(recent),
      });
      await store.delete(recent);
      await store.put(`locks/writer-${NOON - UNREADABLE_LEASE_MS}-00`, bytes);
      const lease = await acquireLease(store, optionsOf());
      expect(await names(store)).toEqual([lease.name]);
    },
  );

  it.each(['locks/writer-x', 'locks/writer-12', 'locks/writer-1-zz'])(
    'holds others off for ever as %s',
    async (name) => {
      const store = memoryBlobStore();
      await store.put(name, new Uint8Array(0));
      await expect(acquireLease(store, optionsOf())).rejects.toMatchObject({ code: 'REPOSITORY_LOCKED' });
      expect(await names(store)).toEqual([name]);
    },
  );
});

describe('an abort', () => {
  it('before the start touches nothing', async () => {
    const store = faultyBlobStore(memoryBlobStore());
    await expect(acquireLease(store, optionsOf({ signal: AbortSignal.abort() }))).rejects.toMatchObject({
      code: 'ABORTED',
    });
    expect(store.calls).toEqual([]);
  });

  it('ends the waiting at once and leaves nothing behind', async () => {
    const store = memoryBlobStore();
    const { name } = await acquireLease(store, optionsOf());
    const controller = new AbortController();
    const waiting = acquireLease(
      store,
      optionsOf({ timeoutMs: 1, pollMs: 2 ** 30, signal: controller.signal }),
    );
    setTimeout(() => controller.abort(new Error('enough')), 5);
    await expect(waiting).rejects.toMatchObject({ code: 'ABORTED', cause: { message: 'enough' } });
    expect(await names(store)).toEqual([name]);
  });

  it('between the put and the second look leaves nothing behind', async () => {
    const controller = new AbortController();
    const store = memoryBlobStore();
    const aborting = {
      ...bound(store),
      put: (name: string, bytes: Uint8Array) => (controller.abort(), store.put(name, bytes)),
    };
    const taking = acquireLease(aborting, optionsOf({ signal: controller.signal }));
    await expect(taking).rejects.toMatchObject({ code: 'ABORTED' });
    expect(await names(store)).toEqual([]);
  });
});

describe('a store that fails', () => {
  it.each<[BlobMethod, number, 'before' | 'torn']>([
    ['list', 1, 'before'],
    ['list', 2, 'before'],
    ['list', 2, 'torn'],
    ['put', 1, 'before'],
    ['put', 1, 'torn'],
  ])('in %s number %i (%s) is told, and no lease stays', async (method, nth, when) => {
    const inner = memoryBlobStore();
    const store = faultyBlobStore(inner, { failures: [{ nth, method, when }] });
    await expect(acquireLease(store, optionsOf())).rejects.toMatchObject({ code: 'STORE_FAILED' });
    expect(await names(inner)).toEqual([]);
  });

  it('in reading the lease of another is not taken for its absence', async () => {
    const store = faultyBlobStore(memoryBlobStore());
    await acquireLease(store, optionsOf());
    store.setFaults({ failures: [{ nth: 1, method: 'get' }] });
    await expect(acquireLease(store, optionsOf({ isAlive: () => false }))).rejects.toMatchObject({
      code: 'STORE_FAILED',
    });
    expect(await names(store)).toHaveLength(1);
  });

  it('when a lease is released is told', async () => {
    const store = faultyBlobStore(memoryBlobStore());
    const lease = await acquireLease(store, optionsOf());
    store.setFaults({ failures: [{ nth: 1, method: 'delete', onwards: true }] });
    await expect(lease.release()).rejects.toMatchObject({ code: 'STORE_FAILED' });
    store.setFaults({ failures: [{ nth: 1, method: 'delete' }] }); // Once is tried again.
    await lease.release();
    expect(await names(store)).toEqual([]);
  });
});

it('has never two holders, in whatever order the calls of three contenders take effect', async () => {
  await fc.assert(
    fc.asyncProperty(fc.scheduler(), async (scheduler) => {
      const store = scheduled(memoryBlobStore(), scheduler);
      let inside = 0;
      const contender = async (): Promise<void> => {
        const lease = await acquireLease(store, optionsOf({ timeoutMs: 1, pollMs: 0 }));
        expect(++inside).toBe(1);
        await scheduler.schedule(Promise.resolve(), 'inside');
        inside--;
        await lease.release();
      };
      await scheduler.waitFor(Promise.all([contender(), contender(), contender()]));
      expect(inside).toBe(0);
    }),
    { numRuns: 60 },
  );
});

describe('between processes', () => {
  let directory: string;

  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'vecsnap-lease-'));
  });

  afterEach(async () => {
    await rm(directory, { recursive: true });
  });

  function realOptions(more: Partial<LeaseOptions> = {}): LeaseOptions {
    const clock = { now: () => Date.now() };
    return optionsOf({ identity: processIdentity('test', clock), isAlive: isProcessAlive, clock, ...more });
  }

  it('there is never more than one inside', async () => {
    const evidence = join(directory, 'evidence');
    const rounds = 40;
    const children = [1, 2].map(() =>
      spawnChild(['race', join(directory, 'repo'), evidence, String(rounds)]),
    );
    await Promise.all(children.map((child) => printed(child, 'ready')));
    const ends = children.map((child) => once(child, 'exit'));
    for (const child of children) child.stdin?.write('go\n');
    for (const end of ends) expect(await end).toEqual([0, null]);

    const lines = (await readFile(evidence, 'utf8')).trimEnd().split('\n');
    expect(lines).toHaveLength(2 * 2 * rounds);
    for (let i = 0; i < lines.length; i += 2) expect(lines[i + 1]).toBe(lines[i]?.replace('+', '-'));
    expect(await names(fsBlobStore(join(directory, 'repo')))).toEqual([]);
  });

  it('a holder is named, and forgotten at once when it is killed', async () => {
    const child = spawnChild(['hold', directory]);
    await printed(child, 'held');
    const store = fsBlobStore(directory);
    await expect(acquireLease(store, realOptions({ timeoutMs: 20 }))).rejects.toMatchObject({
      code: 'REPOSITORY_LOCKED',
      message: expect.stringContaining(`"child that holds", process ${child.pid} on ${hostname()}, since 20`),
    });
    child.kill('SIGKILL');
    await once(child, 'exit');
    const lease = await acquireLease(store, realOptions({ timeoutMs: 0 }));
    expect(await names(store)).toEqual([lease.name]);
    await lease.release();
  });
});

describe('a process is alive', () => {
  const me = processIdentity('test', { now: () => NOON });

  it('when it runs', () => {
    expect(me).toMatchObject({ operation: 'test', pid: process.pid, host: hostname(), startedAt: NOON });
    expect(isProcessAlive(me)).toBe(true);
    expect(isProcessAlive({ ...processIdentity('', { now: () => 0 }), pid: 1, processStart: '' })).toBe(true);
  });

  it('perhaps, when it cannot be seen from here', () => {
    const gone = { ...me, pid: 2 ** 30, processStart: '1' };
    expect(isProcessAlive(gone)).toBe(false);
    expect(isProcessAlive({ ...gone, host: 'elsewhere', bootId: 'other' })).toBe(true);
    if (process.platform === 'linux') expect(isProcessAlive({ ...gone, pidNamespace: 'pid:[7]' })).toBe(true);
  });

  it('not when it has ended', async () => {
    const child = spawn(process.execPath, ['-e', '']);
    await once(child, 'exit');
    expect(isProcessAlive({ ...me, pid: child.pid as number, processStart: '' })).toBe(false);
  });

  describe.runIf(process.platform === 'linux')('on Linux', () => {
    it('not when its pid was given to another, or the system was started again', () => {
      expect(me.processStart).toMatch(/^[0-9]+$/);
      expect(me.bootId).not.toBe('');
      expect(isProcessAlive({ ...me, processStart: String(Number(me.processStart) - 1) })).toBe(false);
      expect(isProcessAlive({ ...me, bootId: 'the boot before' })).toBe(false);
      expect(isProcessAlive({ ...me, bootId: '', processStart: '', pidNamespace: '' })).toBe(true);
    });

    it('not when it has ended and nobody has waited for it', async () => {
      // The shell becomes a sleep, which never waits for what the shell had started.
      const parent = spawn('sh', ['-c', 'sleep 0.05 & echo $!; exec sleep 60']);
      onTestFinished(() => void parent.kill('SIGKILL'));
      const [line] = (await once(parent.stdout, 'data')) as [Buffer];
      const pid = Number(String(line));
      await untilState(pid, 'Z');
      process.kill(pid, 0);
      expect(isProcessAlive({ ...me, pid, processStart: '' })).toBe(false);
    });

    it('whatever its name is', async () => {
      const child = spawn('sh', ['-c', 'printf ") Z 1 2" > /proc/self/comm; echo named; read line']);
      onTestFinished(() => void child.kill('SIGKILL'));
      await printed(child, 'named');
      expect(isProcessAlive({ ...me, pid: child.pid as number, processStart: '' })).toBe(true);
    });
  });
});

const CHILD = fileURLToPath(new URL('./support/lease-child.mjs', import.meta.url));

function spawnChild(args: string[]): ChildProcess {
  const child = spawn(process.execPath, [CHILD, ...args], { stdio: ['pipe', 'pipe', 'inherit'] });
  onTestFinished(() => void child.kill('SIGKILL'));
  return child;
}

async function printed(child: ChildProcess, word: string): Promise<void> {
  if (child.stdout === null) throw new Error('the child has no stdout');
  const [data] = (await once(child.stdout, 'data')) as [Buffer];
  expect(String(data).trim()).toBe(word);
}

async function untilState(pid: number, state: string): Promise<void> {
  while (!(await readFile(`/proc/${pid}/stat`, 'utf8')).includes(`) ${state} `)) {
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

function bound(store: BlobStore) {
  return {
    place: store.place,
    put: store.put.bind(store),
    get: store.get.bind(store),
    list: store.list.bind(store),
    delete: store.delete.bind(store),
  };
}

/** Every call takes effect when the scheduler says so. */
function scheduled(store: BlobStore, scheduler: fc.Scheduler) {
  const turn = (label: string) => scheduler.schedule(Promise.resolve(), label);
  return {
    place: store.place,
    put: async (name: string, bytes: Uint8Array | readonly Uint8Array[]) => (
      await turn('put'),
      store.put(name, bytes)
    ),
    get: async (name: string) => (await turn('get'), store.get(name)),
    delete: async (name: string) => (await turn('delete'), store.delete(name)),
    async *list(prefix: string) {
      await turn('list');
      yield* store.list(prefix);
    },
  };
}
