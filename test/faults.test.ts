/**
 * A store that fails: whatever single call goes wrong, an operation completes or fails with an error that says what to do, and the
 * repository is sound afterwards.
 *
 * All calls with FAULTS=all, as `npm run campaign:faults` sets it; otherwise some of each operation.
 */
import { cp, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type BlobStore, fsBlobStore, memoryBlobStore } from 'vecsnap/blob';
import { isVecsnapError } from 'vecsnap/core';
import { SnapshotManager } from 'vecsnap/snapshot';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { faultyBlobStore, type Faults } from './fault/faulty-blob-store.js';
import { failingFsOperations } from './fault/fs-operations.js';
import { lockingEnvironment } from './support/fault-environment.js';
import { flawsOf, makeRepository, type Named, OPERATIONS } from './support/worked-repository.js';

const isCampaign = process.env['FAULTS'] === 'all';
/** Of so many calls one fails in a short run. */
const EVERY = isCampaign ? 1 : 17;
const LONG = 3_600_000;
const tally = { tried: 0, failed: 0, unsound: 0 };

afterAll(() => {
  const { tried, failed, unsound } = tally;
  console.log(
    `faults tried: ${tried}; operations that failed: ${failed}; repositories not sound afterwards: ${unsound}`,
  );
});

/** A copy of every blob in memory. */
async function copyOf(blobs: BlobStore): Promise<BlobStore> {
  const copy = memoryBlobStore();
  for await (const { name } of blobs.list('')) await copy.put(name, await blobs.get(name));
  return copy;
}

/** Those that must be there afterwards: what an operation was to remove may be there or not. */
function kept(operation: string): string[] {
  return ['first', 'second', 'files'].filter((name) => operation !== 'forget' || name !== 'first');
}

/** What is wrong with how an operation ended. */
function flawIn(error: unknown): string[] {
  if (error === undefined) return [];
  tally.failed++;
  if (!isVecsnapError(error)) return [`no error of ours: ${String(error)} ${(error as Error).stack}`];
  return error.remedy === undefined ? [`no remedy: ${error.message}`] : [];
}

function record(flaws: readonly string[], what: string): void {
  tally.tried++;
  if (flaws.length > 0) tally.unsound++;
  expect(flaws, what).toEqual([]);
}

async function errorOf(work: Promise<unknown>): Promise<unknown> {
  return work.then(
    () => undefined,
    (error: unknown) => error,
  );
}

describe('through the port of blobs', () => {
  let base: BlobStore;
  let snapshots: Named;

  beforeAll(async () => {
    base = memoryBlobStore();
    snapshots = await makeRepository(lockingEnvironment(base));
  });

  /** Runs an operation under faults. Gives whether it came so far that the fault showed. */
  async function run(
    operation: string,
    faults: Faults,
    isReached: (calls: number) => boolean,
  ): Promise<boolean> {
    const inner = await copyOf(base);
    const blobs = faultyBlobStore(inner);
    const manager = await SnapshotManager.open({ environment: lockingEnvironment(blobs), lockTimeoutMs: 0 });
    const before = blobs.calls.length;
    blobs.setFaults(faults);
    const error = await errorOf(OPERATIONS[operation]?.(manager, snapshots) ?? Promise.resolve());
    const reached = isReached(blobs.calls.length - before);
    blobs.setFaults({});
    await manager.close();
    await releaseLocks(inner);
    const made = operation.startsWith('create') && error === undefined ? ['next'] : [];
    const flaws = await flawsOf(lockingEnvironment(inner), [...kept(operation), ...made]);
    record([...flawIn(error), ...flaws], `${operation}: ${JSON.stringify(faults)}: ${String(error)}`);
    return reached;
  }

  const cases = Object.keys(OPERATIONS).flatMap((name) =>
    (['before', 'torn'] as const).flatMap((when) =>
      (['STORE_FAILED', 'STORE_FULL'] as const).map((code) => [name, when, code] as const),
    ),
  );

  it.each(cases)(
    '%s, when a call fails (%s, %s)',
    async (operation, when, code) => {
      let nth = 1;
      while (await run(operation, { failures: [{ nth, when, code }] }, (calls) => calls >= nth)) nth += EVERY;
      expect(nth).toBeGreaterThan(2);
    },
    LONG,
  );

  it.each(Object.keys(OPERATIONS))(
    '%s, when all calls from one on fail',
    async (operation) => {
      let nth = 2;
      const failures = () => [{ nth, onwards: true }];
      while (await run(operation, { failures: failures() }, (calls) => calls >= nth)) nth += 2 * EVERY;
    },
    LONG,
  );

  it.each(Object.keys(OPERATIONS))(
    '%s, when reads are short',
    async (operation) => {
      for (const shortReads of [1, 2, 3, 5, 8]) await run(operation, { shortReads }, () => true);
    },
    LONG,
  );

  it.each(Object.keys(OPERATIONS))(
    '%s, when a list does not show yet what was put last',
    async (operation) => {
      for (let lateList = 1; lateList <= 9; lateList++) await run(operation, { lateList }, () => true);
    },
    LONG,
  );

  it.each(Object.keys(OPERATIONS))(
    '%s, when calls are slow',
    async (operation) => {
      const delays = [0, 3, 1, 0, 0, 5, 2];
      await run(operation, { delays }, () => true);
    },
    LONG,
  );

  it('a sweep whose list does not show the newest snapshot keeps it', async () => {
    for (let lateList = 1; lateList <= 6; lateList++) {
      const inner = await copyOf(base);
      const blobs = faultyBlobStore(inner);
      const manager = await SnapshotManager.open({ environment: lockingEnvironment(blobs) });
      await OPERATIONS['create full']?.(manager, snapshots);
      blobs.setFaults({ lateList });
      const error = await errorOf(manager.collectGarbage({ maxUnused: 0 }));
      await manager.close();
      const flaws = await flawsOf(lockingEnvironment(inner), ['first', 'second', 'files', 'next']);
      record([...flawIn(error), ...flaws], `late list ${lateList}`);
    }
  });
});

/** What a dead process has left: locks of this one, which is not dead, would hold others off. */
async function releaseLocks(blobs: BlobStore): Promise<void> {
  for await (const { name } of blobs.list('locks/')) await blobs.delete(name);
}

describe('through the calls of the system', () => {
  let base: string;
  let snapshots: Named;

  beforeAll(async () => {
    base = await mkdtemp(join(tmpdir(), 'vecsnap-faults-'));
    snapshots = await makeRepository(lockingEnvironment(fsBlobStore(join(base, 'repo'))));
  });
  afterAll(async () => rm(base, { recursive: true, force: true }));

  async function run(operation: string, nth: number, code: string, onwards: boolean): Promise<boolean> {
    const directory = await mkdtemp(join(base, 'copy-'));
    try {
      await cp(join(base, 'repo'), directory, { recursive: true });
      const { operations, calls } = failingFsOperations(nth, code, { onwards });
      const environment = lockingEnvironment(fsBlobStore(directory, { operations }));
      const error = await errorOf(operate(environment, operation));
      const inner = fsBlobStore(directory);
      await releaseLocks(inner);
      const made = operation.startsWith('create') && error === undefined ? ['next'] : [];
      const flaws = await flawsOf(lockingEnvironment(inner), [...kept(operation), ...made]);
      record(
        [...flawIn(error), ...flaws],
        `${operation}: call ${nth} ${code} onwards ${onwards}: ${String(error)}`,
      );
      return calls() >= nth;
    } finally {
      await rm(directory, { recursive: true, force: true });
    }
  }

  async function operate(
    environment: ReturnType<typeof lockingEnvironment>,
    operation: string,
  ): Promise<void> {
    const manager = await SnapshotManager.open({ environment, lockTimeoutMs: 0 });
    try {
      await OPERATIONS[operation]?.(manager, snapshots);
    } finally {
      await manager.close();
    }
  }

  const cases = Object.keys(OPERATIONS).flatMap((name) =>
    (['EIO', 'ENOSPC', 'EACCES', 'EMFILE'] as const).map((code) => [name, code] as const),
  );

  it.each(cases)(
    '%s, when a call fails with %s',
    async (operation, code) => {
      let nth = 1;
      const step = isCampaign ? 1 : 29;
      while (await run(operation, nth, code, false)) nth += step;
      expect(nth).toBeGreaterThan(1);
    },
    LONG,
  );

  it.each(Object.keys(OPERATIONS))(
    '%s, when the disk is full from one call on',
    async (operation) => {
      let nth = 3;
      while (await run(operation, nth, 'ENOSPC', true)) nth += isCampaign ? 1 : 41;
    },
    LONG,
  );
});
