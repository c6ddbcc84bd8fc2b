/** `vecsnap schedule` as people run it: real processes, repositories and signals. */
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Snapshot, VerifyReport } from 'vecsnap';
import type { ScheduleEvent, ScheduleStatus } from 'vecsnap/schedule';
import { beforeEach, describe, expect, it } from 'vitest';
import { cli, contentOf, failure, type Finished, json, startCli, type Started, text } from './support/cli.js';
import { freshDirectory, seededBytes, u32 } from './support/files.js';
import { finiteFbin } from './support/matrices.js';

const path = freshDirectory();

beforeEach(async () => {
  await text('init', path('repo'));
  await writeFile(path('docs.fbin'), finiteFbin(100, 8));
});

/** Writes a configuration of one job; `lines` are its keys beside name, source and repository. */
async function configure(lines: readonly string[], top: readonly string[] = []): Promise<string> {
  const job = ['name: docs', 'source: docs.fbin', 'repository: repo', ...lines].map(
    (line) => `    ${line}\n`,
  );
  const head = top.map((line) => `${line}\n`).join('');
  await writeFile(path('backup.yaml'), `${head}jobs:\n  - ${job.join('').trimStart()}`);
  return path('backup.yaml');
}

function eventsIn({ stdout }: Pick<Finished, 'stdout'>): ScheduleEvent[] {
  return stdout
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as ScheduleEvent);
}

/** Resolves when a running schedule has printed this. */
function printed({ child }: Started, pattern: RegExp): Promise<void> {
  let seen = '';
  return new Promise((resolve, reject) => {
    child.stdout?.on('data', (piece: Buffer) => {
      seen += piece.toString();
      if (pattern.test(seen)) resolve();
    });
    child.once('close', () => reject(new Error(`ended before ${String(pattern)}: ${seen}`)));
  });
}

/** A source that takes a while. */
async function largeSource(): Promise<void> {
  const rows = 160 * 1024;
  await writeFile(path('docs.fbin'), [u32(rows, 256), seededBytes(rows * 1024, 7)]);
}

/** Resolves when the repository has more packs than so many: the work is in full swing. */
async function packsBeyond(count: number): Promise<void> {
  const packs = (): Promise<string[]> =>
    readdir(path('repo', 'packs')).catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return []; // The first pack makes the folder.
      throw error;
    });
  while ((await packs()).length <= count) await sleep(2);
}

const sound = async (): Promise<void> =>
  expect(await json<VerifyReport>('verify', path('repo'))).toMatchObject({ ok: true, problems: [] });

describe('a schedule', () => {
  it('takes snapshots every second until SIGTERM, forgets and sweeps, and answers meanwhile', async () => {
    const config = await configure([
      "cron: '* * * * * *'",
      'policy: { keepLast: 2 }',
      'gc: true',
      'verify: 1h',
    ]);
    const running = startCli(['schedule', config]);
    await printed(running, /("done".*\n[^]*){4}/);
    const status = await json<ScheduleStatus>('schedule', config, '--status');
    expect(status).toMatchObject({
      scheduler: { pid: running.child.pid },
      jobs: [{ name: 'docs', lastFailure: null, lastVerify: { ok: true } }],
      problems: [],
    });
    expect(await failure(1, 'schedule', config)).toMatchObject({ code: 'SCHEDULE_RUNNING' });
    running.child.kill('SIGTERM');
    const finished = await running.finished;
    expect(finished).toMatchObject({ code: 0, stderr: 'vecsnap: stopping; once more to end at once\n' });
    const events = eventsIn(finished);
    expect(events[0]).toMatchObject({ event: 'ready', jobs: 1 });
    expect(events.at(-1)).toMatchObject({ event: 'stop', abandoned: [], clean: true });
    expect(events.filter(({ event }) => event === 'failure')).toEqual([]);
    const dues = events.flatMap((one) => (one.event === 'start' ? [one.due] : []));
    expect(new Set(dues).size).toBe(dues.length);
    expect((await json<Snapshot[]>('list', path('repo'))).length).toBeLessThanOrEqual(3);
    await sound();
    expect(await text('schedule', config, '--status')).toMatch(
      /^Job .*\ndocs +stopped .*\nNo scheduler is at work\.\n$/,
    );
  });

  it('abandons a snapshot after shutdownGrace, and leaves nothing of it', async () => {
    await largeSource();
    const config = await configure(['cron: "@yearly"'], ['shutdownGrace: 0s']);
    const running = startCli(['schedule', config]);
    await printed(running, /"start"/);
    await packsBeyond(0);
    running.child.kill('SIGTERM');
    const finished = await running.finished;
    expect(finished.code).toBe(0);
    const events = eventsIn(finished);
    expect(events).toContainEqual(
      expect.objectContaining({ event: 'failure', code: 'ABORTED', willRetry: false }),
    );
    expect(events.at(-1)).toMatchObject({ event: 'stop', abandoned: ['docs'], clean: true });
    expect(await json<Snapshot[]>('list', path('repo'))).toEqual([]);
    expect(await contentOf(path('repo'))).toEqual({});
    await sound();
  });

  it('lets a snapshot finish within shutdownGrace', async () => {
    await largeSource();
    const config = await configure(['cron: "@yearly"', 'verify: 1d']);
    const running = startCli(['schedule', config]);
    await printed(running, /"start"/);
    running.child.kill('SIGINT');
    const finished = await running.finished;
    expect(finished.code).toBe(0);
    expect(eventsIn(finished).map(({ event }) => event)).toEqual(['ready', 'start', 'snapshot', 'stop']);
    expect(await json<Snapshot[]>('list', path('repo'))).toHaveLength(1);
  });

  it('ends at once at a second signal', async () => {
    await largeSource();
    const running = startCli(['schedule', await configure(['cron: "@yearly"'])]);
    await printed(running, /"start"/);
    running.child.kill('SIGTERM');
    await sleep(50);
    running.child.kill('SIGTERM');
    expect(await running.finished).toMatchObject({ code: null, signal: 'SIGTERM' }); // 143 in a shell.
    await sound();
  });

  it('catches up once after kill -9 in the middle of a snapshot', async () => {
    const config = await configure(["cron: '* * * * * *'"]);
    await cli('schedule', config, '--once');
    await largeSource();
    const running = startCli(['schedule', config]);
    await printed(running, /"start"/);
    await packsBeyond(1);
    running.child.kill('SIGKILL');
    await running.finished;
    await writeFile(path('docs.fbin'), finiteFbin(100, 8));
    await sleep(2100);
    const events = eventsIn(await cli('schedule', config, '--once'));
    expect(events.map(({ event }) => event)).toEqual([
      'ready',
      'caught-up',
      'start',
      'snapshot',
      'done',
      'stop',
    ]);
    expect(events[1]).toMatchObject({ missed: expect.toSatisfy((missed: number) => missed >= 2) as number });
    expect(await json<Snapshot[]>('list', path('repo'))).toHaveLength(2);
    await sound();
  });
});

describe('--once', () => {
  it('does what is due, and nothing when nothing is, also without its state', async () => {
    const config = await configure(['cron: "@yearly"']);
    const first = await cli('schedule', config, '--once');
    expect(first).toMatchObject({ code: 0, stderr: '' });
    expect(eventsIn(first).map(({ event }) => event)).toEqual(['ready', 'start', 'snapshot', 'done', 'stop']);
    expect(eventsIn(await cli('schedule', config, '--once')).map(({ event }) => event)).toEqual([
      'ready',
      'stop',
    ]);
    await writeFile(`${config}.state.json`, '');
    const events = eventsIn(await cli('schedule', config, '--once', '--json'));
    expect(events.map(({ event }) => event)).toEqual(['failure', 'ready', 'stop']);
    expect(await json<Snapshot[]>('list', path('repo'))).toMatchObject([
      { name: 'docs', metadata: { schedule: { job: 'docs' } } },
    ]);
    expect(JSON.parse(await readFile(`${config}.state.json`, 'utf8'))).toMatchObject({
      version: 1,
      scheduler: null,
    });
  });

  it('tries again, reports, and ends with 1 when a job failed, and with 3 for damage', async () => {
    const lines = ['cron: "@yearly"', 'retry: { attempts: 3, delay: 10ms }'];
    const config = await configure(['source: gone.fbin', ...lines]);
    await writeFile(config, (await readFile(config, 'utf8')).replace('    source: docs.fbin\n', ''));
    const failed = await cli('schedule', config, '--once');
    expect(failed.code).toBe(1);
    const failures = eventsIn(failed).filter(({ event }) => event === 'failure');
    expect(failures).toMatchObject(
      [true, true, false].map((willRetry) => ({ code: 'SOURCE_MISSING', step: 'snapshot', willRetry })),
    );
    await text('create', path('repo'), path('docs.fbin'));
    const [pack = ''] = await readdir(path('repo', 'packs'));
    await writeFile(path('repo', 'packs', pack), 'damage');
    const damaged = await cli(
      'schedule',
      await configure(['cron: "@yearly"', 'mode: full', 'verify: 1d']),
      '--once',
    );
    expect(damaged.code).toBe(3);
    expect(eventsIn(damaged)).toContainEqual(expect.objectContaining({ event: 'failure', willRetry: false }));
  });
});

describe('--check and --status', () => {
  it('say what is wrong, and where', async () => {
    const config = await configure(['cron: often', 'gc: maybe']);
    const { code, stdout } = await cli('schedule', config, '--check');
    expect(code).toBe(2);
    expect(stdout.split('\n').map((line) => line.slice(0, `${config}:5:11: cron`.length))).toEqual([
      `${config}:5:11: cron`,
      `${config}:6:9: gc do`,
      '',
    ]);
    expect(await failure(2, 'schedule', config)).toMatchObject({
      place: `${config}:5:11`,
      code: 'OPTION_INVALID',
    });
    await configure(['cron: "@daily"']);
    expect(await text('schedule', config, '--check')).toBe(`${config} is valid: 1 job.\n`);
    expect(await failure(2, 'schedule', config, '--check', '--once')).toMatchObject({ code: 'USAGE' });
  });

  it('tell of a repository that cannot be opened', async () => {
    const config = await configure(['cron: "@daily"']);
    await writeFile(config, (await readFile(config, 'utf8')).replace('repository: repo', 'repository: none'));
    const status = await json<ScheduleStatus>('schedule', config, '--status');
    expect(status).toMatchObject({
      scheduler: null,
      jobs: [{ phase: 'stopped', lastSuccess: null }],
      problems: [{ job: 'docs', code: 'REPOSITORY_MISSING' }],
    });
  });
});
