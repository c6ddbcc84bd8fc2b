/** The scheduler by a clock of the test's own: times, daylight saving, missed runs, overlap, jitter, back-off, stopping. */
import { readFile, writeFile } from 'node:fs/promises';
import * as fc from 'fast-check';
import { VecsnapError } from 'vecsnap/core';
import {
  cronTimes,
  readScheduleStatus,
  type ScheduledJob,
  type ScheduleEvent,
  type SchedulerOptions,
  SnapshotScheduler,
} from 'vecsnap/schedule';
import { SnapshotManager } from 'vecsnap/snapshot';
import type { Source } from 'vecsnap/source';
import { afterEach, describe, expect, it } from 'vitest';
import { freshDirectory } from './support/files.js';
import { memoryEnvironment, memorySource } from './support/memory-environment.js';
import { still, VirtualClock } from './support/virtual-clock.js';

const path = freshDirectory();
const CONTENT = { files: [{ path: 'a', mode: 0o644, bytes: Uint8Array.of(1, 2, 3) }] };

/** A repository in memory, jobs in it, and everything that happened. */
class Bench {
  readonly clock: VirtualClock;
  readonly events: ScheduleEvent[] = [];
  readonly managers: SnapshotManager[] = [];
  #schedulers: SnapshotScheduler[] = [];
  /** What a source waits for before it gives anything. */
  gate: Promise<void> = Promise.resolve();
  /** What the next openings of sources fail with. */
  failures: Error[] = [];
  opened = 0;
  most = 0;
  #open = 0;

  constructor(start: string) {
    this.clock = new VirtualClock(start);
  }

  async repository(): Promise<SnapshotManager> {
    const manager = await SnapshotManager.init({ environment: memoryEnvironment({ clock: this.clock }) });
    this.managers.push(manager);
    return manager;
  }

  source(collection = 'docs'): Source {
    const source = memorySource(CONTENT, collection);
    return {
      ...source,
      open: async () => {
        this.opened++;
        this.most = Math.max(this.most, ++this.#open);
        await this.gate;
        this.#open--;
        const failure = this.failures.shift();
        if (failure !== undefined) throw failure;
        return source.open();
      },
    };
  }

  scheduler(jobs: readonly ScheduledJob[], options: Partial<SchedulerOptions> = {}): SnapshotScheduler {
    const scheduler = new SnapshotScheduler({
      jobs,
      clock: this.clock,
      onEvent: (event) => this.events.push(event),
      ...options,
    });
    this.#schedulers.push(scheduler);
    return scheduler;
  }

  /** Whether no job is at work. */
  readonly idle = (): boolean =>
    this.#schedulers.every((one) =>
      one.status().every(({ phase }) => phase === 'idle' || phase === 'retrying'),
    );

  advanceTo(time: string): Promise<void> {
    return this.clock.advanceTo(time, this.idle);
  }

  /** The times of the events of a kind. */
  times(event: ScheduleEvent['event'], job?: string): string[] {
    return this.events
      .filter((one) => one.event === event && (job === undefined || ('job' in one && one.job === job)))
      .map(({ time }) => time);
  }

  of<K extends ScheduleEvent['event']>(event: K): Extract<ScheduleEvent, { event: K }>[] {
    return this.events.filter((one) => one.event === event) as Extract<ScheduleEvent, { event: K }>[];
  }

  async close(): Promise<void> {
    for (const scheduler of this.#schedulers) await scheduler.stop({ graceMs: 0 });
    for (const manager of this.managers) await manager.close();
  }
}

let bench: Bench;
afterEach(() => bench?.close());

/** A bench with one repository and one job, started. `catchUp: false` leaves out the first run at once. */
async function started(start: string, job: Partial<ScheduledJob> = {}): Promise<SnapshotScheduler> {
  bench = new Bench(start);
  const repository = await bench.repository();
  const whole = {
    name: 'docs',
    source: bench.source(),
    repository,
    cron: '0 * * * *',
    catchUp: false,
    ...job,
  };
  const scheduler = bench.scheduler([whole]);
  await scheduler.start();
  await still(bench.idle);
  return scheduler;
}

function gate(): { readonly closed: Promise<void>; readonly open: () => void } {
  let open: () => void = () => undefined;
  const closed = new Promise<void>((resolve) => (open = resolve));
  return { closed, open };
}

describe('times', () => {
  it('come at the minute, in order, and never twice', async () => {
    await started('2026-01-01T00:30:00Z');
    await bench.advanceTo('2026-01-01T03:30:00Z');
    expect(bench.times('start')).toEqual([
      '2026-01-01T01:00:00.000Z',
      '2026-01-01T02:00:00.000Z',
      '2026-01-01T03:00:00.000Z',
    ]);
    expect(bench.times('done')).toHaveLength(3);
    expect(bench.of('snapshot').map(({ type }) => type)).toEqual(['full', 'incremental', 'incremental']);
  });

  it('that daylight saving leaves out come at the end of the gap', async () => {
    await started('2026-03-28T12:00:00Z', { cron: '30 2 * * *', timeZone: 'Europe/Berlin' });
    await bench.advanceTo('2026-03-30T12:00:00Z');
    expect(bench.times('start')).toEqual(['2026-03-29T01:00:00.000Z', '2026-03-30T00:30:00.000Z']);
  });

  it('that daylight saving repeats come once, and hours go on in even steps', async () => {
    await started('2026-10-24T12:00:00Z', { cron: '30 2 * * *', timeZone: 'Europe/Berlin' });
    await bench.advanceTo('2026-10-26T12:00:00Z');
    expect(bench.times('start')).toEqual(['2026-10-25T00:30:00.000Z', '2026-10-26T01:30:00.000Z']);
    const hourly = cronTimes('0 * * * *', 'Europe/Berlin');
    const night = Date.parse('2026-10-24T23:00:00Z');
    expect(hourly.next(night)).toBe(night + 3_600_000);
    expect(hourly.next(night + 3_600_000)).toBe(night + 7_200_000);
  });

  it('are the same forwards and backwards, in zones with and without daylight saving', () => {
    const field = fc.constantFrom('*', '0', '30', '*/7', '1-5', '2,3');
    const cron = fc
      .tuple(
        fc.constantFrom('0', '30', '*/20', '*'),
        field.filter((one) => one !== '30'),
      )
      .map(([minute, hour]) => `${minute} ${hour} * * *`);
    const zone = fc.constantFrom(
      'UTC',
      'Europe/Berlin',
      'America/New_York',
      'Australia/Lord_Howe',
      'Asia/Kolkata',
    );
    const time = fc.integer({ min: Date.parse('2025-01-01'), max: Date.parse('2028-01-01') });
    fc.assert(
      fc.property(cron, zone, time, (text, timeZone, now) => {
        const times = cronTimes(text, timeZone);
        const next = times.next(now) as number;
        expect(next).toBeGreaterThan(now);
        expect(times.newest(next)).toBe(next);
        expect(times.newest(next - 1) as number).toBeLessThanOrEqual(now);
      }),
      { numRuns: 300 },
    );
  });

  it('are later by a jitter that depends on the name alone', async () => {
    await fc.assert(
      fc.asyncProperty(fc.string({ minLength: 1, maxLength: 20, unit: 'grapheme-ascii' }), async (name) => {
        await started('2026-01-01T00:30:00Z', { name, jitter: '10min' });
        await bench.advanceTo('2026-01-01T02:30:00Z');
        const late = bench.times('start').map((time) => Date.parse(time) % 3_600_000);
        await bench.close();
        expect(late).toHaveLength(2);
        expect(late[0]).toBeLessThan(600_000);
        expect(late[1]).toBe(late[0]);
        expect(bench.of('start').map(({ due }) => due)[0]).toBe('2026-01-01T01:00:00.000Z');
      }),
      { numRuns: 15 },
    );
  });
});

describe('missed runs', () => {
  it('are made up for once after the machine slept', async () => {
    await started('2026-01-01T00:30:00Z');
    bench.clock.jump('2026-01-01T09:15:00Z');
    await bench.advanceTo('2026-01-01T10:30:00Z');
    expect(bench.of('caught-up')).toMatchObject([{ due: '2026-01-01T09:00:00.000Z', missed: 9 }]);
    expect(bench.of('start').map(({ due }) => due)).toEqual([
      '2026-01-01T09:00:00.000Z',
      '2026-01-01T10:00:00.000Z',
    ]);
    expect(Date.parse(bench.times('start')[0] as string)).toBeLessThanOrEqual(
      Date.parse('2026-01-01T09:16:00Z'),
    );
  });

  it('are made up for once after the process was down, by what the snapshots say', async () => {
    const first = await started('2026-01-01T00:30:00Z', { catchUp: true });
    await bench.advanceTo('2026-01-01T02:30:00Z');
    await first.stop();
    bench.clock.jump('2026-01-01T07:45:00Z');
    bench.events.length = 0;
    const job = { name: 'docs', source: bench.source(), cron: '0 * * * *' };
    const second = bench.scheduler([{ ...job, repository: bench.managers[0] as SnapshotManager }]);
    await second.start();
    await bench.advanceTo('2026-01-01T08:30:00Z');
    expect(bench.of('caught-up')).toMatchObject([{ due: '2026-01-01T07:00:00.000Z', missed: 5 }]);
    expect(bench.of('start').map(({ due }) => due)).toEqual([
      '2026-01-01T07:00:00.000Z',
      '2026-01-01T08:00:00.000Z',
    ]);
  });

  it('are not made up for when nothing was missed, and not when the job says so', async () => {
    const first = await started('2026-01-01T00:30:00Z', { catchUp: true });
    expect(bench.times('start')).toEqual(['2026-01-01T00:30:00.000Z']); // The first of its life.
    await first.stop();
    const repository = bench.managers[0] as SnapshotManager;
    const job = { name: 'docs', source: bench.source(), repository, cron: '0 * * * *' };
    const again = bench.scheduler([job]);
    await again.start();
    await bench.advanceTo('2026-01-01T00:50:00Z');
    await again.stop();
    bench.clock.jump('2026-01-01T05:20:00Z');
    const calm = bench.scheduler([{ ...job, catchUp: false }]);
    await calm.start();
    await bench.advanceTo('2026-01-01T05:50:00Z');
    expect(bench.times('start')).toHaveLength(1);
  });

  it('do not come again when the clock is set back, and later times do', async () => {
    await started('2026-01-01T10:30:00Z');
    await bench.advanceTo('2026-01-01T12:30:00Z');
    bench.clock.jump('2026-01-01T06:30:00Z');
    await bench.advanceTo('2026-01-01T08:30:00Z');
    expect(bench.of('start').map(({ due }) => due.slice(11, 16))).toEqual([
      '11:00',
      '12:00',
      '07:00',
      '08:00',
    ]);
    expect(bench.of('caught-up')).toEqual([]);
  });
});

describe('work that takes long', () => {
  it('is not begun again: what comes due meanwhile is skipped', async () => {
    await started('2026-01-01T00:30:00Z');
    const { closed, open } = gate();
    bench.gate = closed;
    await bench.clock.advanceTo('2026-01-01T03:30:00Z');
    expect(bench.most).toBe(1);
    expect(bench.of('skipped')).toMatchObject([
      { due: '2026-01-01T02:00:00.000Z', reason: 'running', count: 1 },
      { due: '2026-01-01T03:00:00.000Z', reason: 'running', count: 1 },
    ]);
    open();
    await bench.advanceTo('2026-01-01T04:30:00Z');
    expect(bench.of('done').map(({ due }) => due.slice(11, 16))).toEqual(['01:00', '04:00']);
  });

  it('of one repository goes one after the other, of two at once', async () => {
    bench = new Bench('2026-01-01T00:30:00Z');
    const [one, two] = [await bench.repository(), await bench.repository()];
    const job = { cron: '0 * * * *', catchUp: false };
    const scheduler = bench.scheduler([
      { ...job, name: 'a', source: bench.source('a'), repository: one },
      { ...job, name: 'b', source: bench.source('b'), repository: one },
      { ...job, name: 'c', source: bench.source('c'), repository: two },
    ]);
    await scheduler.start();
    const { closed, open } = gate();
    bench.gate = closed;
    await bench.clock.advanceTo('2026-01-01T01:10:00Z');
    await still(() => bench.opened === 2); // The memory of a repository refuses a second writer, too.
    expect(scheduler.status().map(({ phase }) => phase)).toEqual(['running', 'waiting', 'running']);
    open();
    await still(bench.idle);
    expect(
      bench
        .of('done')
        .map(({ job: name }) => name)
        .toSorted(),
    ).toEqual(['a', 'b', 'c']);
    expect(bench.of('failure')).toEqual([]);
  });
});

describe('a failure', () => {
  const full = (): Error => new VecsnapError('STORE_FULL', 'Full.', { remedy: 'Make room.' });
  const retry = { attempts: 4, delay: '1min', maxDelay: '3min' };

  it('is reported and tried again after waits that double, up to the longest', async () => {
    await started('2026-01-01T00:30:00Z', { retry });
    bench.failures = [full(), full(), full()];
    await bench.advanceTo('2026-01-01T01:30:00Z');
    expect(bench.times('start').map((time) => time.slice(11, 16))).toEqual([
      '01:00',
      '01:01',
      '01:03',
      '01:06',
    ]);
    expect(
      bench.of('failure').map(({ attempt, willRetry, code, remedy }) => [attempt, willRetry, code, remedy]),
    ).toEqual([1, 2, 3].map((attempt) => [attempt, true, 'STORE_FULL', 'Make room.']));
    expect(bench.of('retry').map(({ at }) => at.slice(11, 16))).toEqual(['01:01', '01:03', '01:06']);
    expect(bench.times('done')).toHaveLength(1);
  });

  it('that goes on waits for the next time, and leaves other jobs alone', async () => {
    const scheduler = await started('2026-01-01T00:30:00Z', { retry: { ...retry, attempts: 2 } });
    bench.failures = [full(), full()];
    await bench.advanceTo('2026-01-01T01:30:00Z');
    expect(bench.of('failure').map(({ willRetry }) => willRetry)).toEqual([true, false]);
    expect(scheduler.status()[0]).toMatchObject({
      lastSuccess: null,
      lastFailure: { step: 'snapshot', code: 'STORE_FULL' },
    });
    await bench.advanceTo('2026-01-01T02:30:00Z');
    expect(scheduler.status()[0]).toMatchObject({
      lagMs: 0,
      lastSuccess: { time: '2026-01-01T02:00:00.000Z' },
    });
  });

  it('of every run lets the lag grow, also of a job that never took a snapshot, and over a restart', async () => {
    bench = new Bench('2026-01-01T00:30:00Z');
    bench.failures = Array.from({ length: 9 }, full);
    const job = { name: 'docs', source: bench.source(), cron: '0 * * * *', retry: { attempts: 1 } };
    const jobs = [{ ...job, repository: await bench.repository() }];
    const options = { stateFile: path('lag.json') };
    const first = bench.scheduler(jobs, options);
    await first.start();
    await bench.advanceTo('2026-01-01T03:10:00Z');
    // Due at once when it began, for midnight.
    expect(first.status()).toMatchObject([{ lastSuccess: null, lagMs: 190 * 60_000 }]);
    await first.stop();
    const second = bench.scheduler(jobs, options);
    await second.start();
    await bench.advanceTo('2026-01-01T05:10:00Z');
    expect(second.status()).toMatchObject([{ lastSuccess: null, lagMs: 310 * 60_000 }]);
    expect((await readScheduleStatus({ jobs, ...options }, bench.clock)).jobs).toMatchObject([
      { lagMs: 310 * 60_000 },
    ]);
    await second.runNow('docs').then(() => (bench.failures = []));
    await bench.advanceTo('2026-01-01T06:10:00Z');
    expect(second.status()).toMatchObject([{ lagMs: 0 }]);
  });

  it('is none for the time before a job was known that makes up for nothing', async () => {
    bench = new Bench('2026-01-01T00:30:00Z');
    bench.failures = Array.from({ length: 9 }, full);
    const job = { name: 'docs', source: bench.source(), cron: '0 * * * *', retry: { attempts: 1 } };
    const scheduler = bench.scheduler([{ ...job, catchUp: false, repository: await bench.repository() }]);
    await scheduler.start();
    await bench.advanceTo('2026-01-01T00:50:00Z');
    expect(scheduler.status()).toMatchObject([{ lagMs: 0 }]);
    await bench.advanceTo('2026-01-01T03:10:00Z');
    expect(scheduler.status()).toMatchObject([{ lagMs: 130 * 60_000 }]);
  });

  it('that more tries cannot help is not tried again', async () => {
    await started('2026-01-01T00:30:00Z');
    bench.failures = [new VecsnapError('PEER_MISSING', 'Not there.')];
    await bench.advanceTo('2026-01-01T01:30:00Z');
    expect(bench.of('failure')).toMatchObject([{ willRetry: false, code: 'PEER_MISSING' }]);
  });

  it('of a source that throws anything else is told as it is', async () => {
    await started('2026-01-01T00:30:00Z', { retry: { attempts: 1 } });
    bench.failures = [new Error('out of order')];
    await bench.advanceTo('2026-01-01T01:30:00Z');
    expect(bench.of('failure')).toMatchObject([{ code: 'UNEXPECTED', message: 'out of order' }]);
  });

  it('after the snapshot goes on where it was, and takes no second snapshot', async () => {
    await started('2026-01-01T00:30:00Z', { policy: 'stored', retry, cron: '0 0 * * *' });
    await bench.advanceTo('2026-01-02T00:01:00Z');
    expect(bench.of('failure')).toMatchObject([{ step: 'forget', code: 'OPTION_INVALID', willRetry: false }]);
    await bench.managers[0]?.setPolicy({ keepLast: 1 });
    await bench.advanceTo('2026-01-03T00:30:00Z');
    expect(bench.of('forget')).toMatchObject([{ kept: 1 }]);
    expect(bench.of('snapshot')).toHaveLength(2);
  });
});

describe('retention, sweeps and verifications', () => {
  it('follow the snapshot, a sweep only where something was forgotten', async () => {
    await started('2026-01-01T00:30:00Z', { policy: { keepLast: 2 }, gc: true, verify: '2h' });
    await bench.advanceTo('2026-01-01T04:30:00Z');
    expect(bench.of('forget').map(({ forgotten }) => forgotten.length)).toEqual([0, 0, 1, 1]);
    expect(bench.of('gc')).toHaveLength(2);
    expect(bench.times('verify').map((time) => time.slice(11, 16))).toEqual(['01:00', '03:00']);
    expect(await bench.managers[0]?.listSnapshots()).toHaveLength(2);
  });

  it('verify at times of their own', async () => {
    await started('2026-01-01T00:30:00Z', { verify: '45 * * * *', cron: '0 0,6 * * *', catchUp: true });
    await bench.advanceTo('2026-01-01T02:30:00Z');
    expect(bench.times('verify').map((time) => time.slice(11, 16))).toEqual(['00:30', '00:45', '01:45']);
  });
});

describe('after a run while the clock was a year ahead', () => {
  const minutes = (times: readonly string[]) => times.map((time) => time.slice(5, 16));

  /** A job with an hourly cron that ran at 01:00, 02:00 and, for its clock, a year later; it is 02:30 again. */
  async function wasAhead(
    options: Partial<SchedulerOptions> = {},
  ): Promise<{ scheduler: SnapshotScheduler; job: ScheduledJob; repository: SnapshotManager }> {
    bench = new Bench('2026-01-01T00:30:00Z');
    const repository = await bench.repository();
    const job = { name: 'docs', source: bench.source(), repository, cron: '0 * * * *', verify: '1d' };
    const scheduler = bench.scheduler([job], options);
    await scheduler.start();
    await bench.advanceTo('2026-01-01T02:30:00Z');
    bench.clock.jump('2027-01-01T02:30:00Z');
    await bench.advanceTo('2027-01-01T03:05:00Z');
    expect(minutes(bench.times('verify'))).toEqual(['01-01T00:30', '01-01T02:31']);
    bench.clock.jump('2026-01-01T02:30:00Z');
    bench.events.length = 0;
    return { scheduler, job, repository };
  }

  it('runs and verifications come at their times, and continue what is dated rightly', async () => {
    const { repository } = await wasAhead();
    const [wrong] = await repository.listSnapshots();
    await bench.advanceTo('2026-01-03T04:30:00Z');
    expect(bench.times('start').length).toBeGreaterThanOrEqual(50);
    expect(minutes(bench.of('done').map(({ due }) => due)).slice(0, 3)).toEqual([
      expect.any(String), // The verification that came at once.
      '01-01T03:00',
      '01-01T04:00',
    ]);
    expect(minutes(bench.times('verify'))).toEqual(['01-01T02:32', '01-02T02:32', '01-03T02:32']);
    const taken = await repository.listSnapshots();
    expect(wrong?.createdAt.slice(0, 4)).toBe('2027');
    expect(taken.filter(({ baseId }) => baseId === wrong?.id)).toEqual([]);
  });

  it('the status tells what is known to be true, in the process and beside it', async () => {
    const stateFile = path('ahead.json');
    const { scheduler, job } = await wasAhead({ stateFile });
    await bench.advanceTo('2026-01-01T02:50:00Z');
    const { closed, open } = gate();
    bench.gate = closed; // Nothing more is done.
    await bench.clock.advanceTo('2026-01-01T05:30:00Z');
    const told = {
      lagMs: 2.5 * 3_600_000,
      lastSuccess: { time: expect.stringMatching(/^2026-01-01T02:00/) as string },
      lastVerify: { time: expect.stringMatching(/^2026-01-01T02:3/) as string },
    };
    const own = scheduler.status()[0];
    const beside = async () => (await readScheduleStatus({ jobs: [job], stateFile }, bench.clock)).jobs[0];
    await expect.poll(beside).toMatchObject(told); // The file is written meanwhile.
    open();
    expect(own).toMatchObject(told);
  });

  it('nor does a restart believe what was noted then', async () => {
    const stateFile = path('restarted.json');
    bench = new Bench('2027-01-01T00:30:00Z');
    const repository = await bench.repository();
    const job = { name: 'docs', source: bench.source(), repository, cron: '0 * * * *', verify: '1d' };
    await bench.scheduler([job], { stateFile }).runDue();
    bench.clock.jump('2026-01-01T00:30:00Z');
    bench.events.length = 0;
    const before = (await readScheduleStatus({ jobs: [job], stateFile }, bench.clock)).jobs[0];
    expect(before).toMatchObject({ lastSuccess: null, lastVerify: null });
    expect(before?.lagMs).toBe(30 * 60_000);
    const scheduler = bench.scheduler([job], { stateFile });
    await scheduler.start();
    expect(scheduler.status()[0]).toMatchObject({ lastSuccess: null, lastVerify: null });
    await bench.advanceTo('2026-01-01T02:30:00Z');
    expect(minutes(bench.of('start').map(({ due }) => due))).toEqual(['01-01T01:00', '01-01T02:00']);
    expect(minutes(bench.times('verify'))).toEqual(['01-01T01:00']);
    expect(scheduler.status()[0]?.lagMs).toBe(0);
  });

  it('others are told that it is alive', async () => {
    const stateFile = path('alive.json');
    bench = new Bench('2026-01-01T02:00:00Z');
    const job = {
      name: 'docs',
      source: bench.source(),
      repository: await bench.repository(),
      catchUp: false,
    };
    await bench.scheduler([{ ...job, cron: '0 0 9 9 *' }], { stateFile }).start();
    const seen = async () => (JSON.parse(await readFile(stateFile, 'utf8')) as { seen: string }).seen;
    for (const time of ['2026-05-01T02:00', '2026-01-01T02:00']) {
      bench.clock.jump(`${time}:00Z`);
      await bench.advanceTo(`${time}:59Z`);
      await bench.advanceTo(`${time.slice(0, -1)}2:30Z`);
      await expect.poll(seen).toMatch(time.slice(0, 13));
    }
  });
});

describe('stopping', () => {
  it('lets what is at work finish, and begins nothing more', async () => {
    const scheduler = await started('2026-01-01T00:30:00Z', { policy: { keepLast: 1 } });
    const { closed, open } = gate();
    bench.gate = closed;
    await bench.clock.advanceTo('2026-01-01T01:10:00Z');
    const stopped = scheduler.stop({ graceMs: 60_000 });
    open();
    expect(await stopped).toEqual({ abandoned: [], clean: true });
    expect(bench.of('snapshot')).toHaveLength(1);
    expect(bench.of('forget')).toEqual([]);
    await bench.clock.advanceTo('2026-01-01T05:00:00Z');
    expect(bench.times('start')).toHaveLength(1);
    expect(bench.events.at(-1)).toMatchObject({ event: 'stop', clean: true });
  });

  it('abandons after the time that is stated, and leaves nothing', async () => {
    const scheduler = await started('2026-01-01T00:30:00Z');
    const { closed, open } = gate();
    bench.gate = closed;
    await bench.clock.advanceTo('2026-01-01T01:10:00Z');
    const stopped = scheduler.stop({ graceMs: 30_000 });
    await bench.clock.advanceTo('2026-01-01T01:10:31Z');
    open();
    expect(await stopped).toEqual({ abandoned: ['docs'], clean: true });
    expect(bench.of('failure')).toMatchObject([{ code: 'ABORTED', willRetry: false }]);
    expect(await bench.managers[0]?.listSnapshots()).toEqual([]);
    expect(scheduler.status()[0]?.lastFailure).toBeNull();
  });

  it('says so when work does not end', async () => {
    const scheduler = await started('2026-01-01T00:30:00Z');
    const { closed, open } = gate();
    bench.gate = closed;
    await bench.clock.advanceTo('2026-01-01T01:10:00Z');
    const stopped = scheduler.stop({ graceMs: 0 });
    await bench.clock.advanceTo('2026-01-01T01:12:00Z');
    expect(await stopped).toEqual({ abandoned: ['docs'], clean: false });
    open();
    await still(bench.idle);
  });
});

describe('asking', () => {
  it('runs a job now, alone or beside its times, and joins one that is at work', async () => {
    bench = new Bench('2026-01-01T00:30:00Z');
    const job = {
      name: 'docs',
      source: () => bench.source(),
      repository: await bench.repository(),
      cron: '@daily',
    };
    const scheduler = bench.scheduler([job]);
    const [one, two] = await Promise.all([scheduler.runNow('docs'), scheduler.runNow('docs')]);
    expect(one).toMatchObject({ ok: true, job: 'docs' });
    expect(two).toBe(one);
    expect(bench.opened).toBe(1);
    await expect(scheduler.runNow('dogs')).rejects.toMatchObject({ code: 'OPTION_INVALID' });
  });

  it('runs what is due once, and ends', async () => {
    bench = new Bench('2026-01-01T00:30:00Z');
    const job = { source: bench.source(), repository: await bench.repository(), cron: '0 * * * *' };
    const jobs = [
      { ...job, name: 'a' },
      { ...job, name: 'b' },
    ];
    expect(await bench.scheduler(jobs).runDue()).toMatchObject([{ ok: true }, { ok: true }]);
    expect(await bench.scheduler(jobs).runDue()).toEqual([]);
    bench.clock.jump('2026-01-01T01:01:00Z');
    bench.failures = [new VecsnapError('OPTION_INVALID', 'No.')];
    expect(await bench.scheduler(jobs).runDue()).toMatchObject([{ ok: false }, { ok: true }]);
    expect(await bench.scheduler(jobs).runDue()).toMatchObject([{ job: 'a', ok: true }]);
  });

  it('keeps what it knows in a file, which may be damaged or gone', async () => {
    bench = new Bench('2026-01-01T00:30:00Z');
    const [stateFile, repository] = [path('state.json'), await bench.repository()];
    const jobs = [{ name: 'docs', source: bench.source(), repository, cron: '0 * * * *', verify: '1d' }];
    await bench.scheduler(jobs, { stateFile }).runDue();
    const kept = JSON.parse(await readFile(stateFile, 'utf8')) as { jobs: Record<string, unknown> };
    expect(kept).toMatchObject({ version: 1, scheduler: null, jobs: { docs: { lastVerify: { ok: true } } } });
    await bench.scheduler(jobs, { stateFile }).runDue();
    expect(bench.times('verify')).toHaveLength(1);
    await writeFile(stateFile, '{"version":1,');
    bench.events.length = 0;
    await bench.scheduler(jobs, { stateFile }).runDue();
    expect(bench.of('failure')).toMatchObject([{ job: null, step: 'state', code: 'STORE_FAILED' }]);
    expect(bench.of('snapshot')).toEqual([]);
  });

  it.each([
    [{ cron: '* * *' }, 'jobs.0.cron'],
    [{ name: '' }, 'jobs.0.name'],
    [{ repository: 7 }, 'jobs.0.repository'],
    [{ jitter: '5m' }, 'jobs.0.jitter'],
  ])('refuses %j', async (wrong, place) => {
    bench = new Bench('2026-01-01T00:30:00Z');
    const job = { name: 'docs', source: 'x', repository: 'repo', cron: '@daily', ...wrong } as ScheduledJob;
    expect(() => bench.scheduler([job])).toThrow(expect.objectContaining({ code: 'OPTION_INVALID', place }));
  });
});
