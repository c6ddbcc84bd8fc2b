/** `vecsnap schedule`: takes snapshots at set times, until it is told to stop. */
import type { JobStatus, ScheduleEvent, ScheduleStatus } from '../../schedule/index.js';
import type { Call, CliCommand, Outcome } from '../command.js';
import { EXIT, exitCodeOf } from '../exit-codes.js';
import { UsageError } from '../failure.js';
import { type Column, tableText } from '../table.js';
import { plural, printable, printableJson, shortId, timeText } from '../text.js';

interface Flags {
  readonly once?: boolean;
  readonly status?: boolean;
  readonly check?: boolean;
}

/** Loaded only here: nothing else needs cron expressions and YAML. */
const loadSchedule = () => import('../../schedule/index.js');

export const schedule: CliCommand<Flags> = {
  onInterrupt: 'abort',
  configure: (command) =>
    command
      .argument('<CONFIG>', 'a file in YAML or JSON: see docs/schedule.md')
      .option('--once', 'run every job that is due once, and end')
      .option('--status', 'tell how each job stands, also while another process runs the schedule')
      .option('--check', 'only check the file, and tell all that is wrong with it'),
  examples: [
    ['vecsnap schedule backup.yaml', 'runs until SIGTERM or Ctrl-C; prints one line of JSON for each event'],
    ['vecsnap schedule backup.yaml --check', 'says what is wrong, with line and column'],
    [
      'vecsnap schedule backup.yaml --once',
      'for cron, systemd timers and Kubernetes: does what is due, and ends',
    ],
    ['vecsnap schedule backup.yaml --status', 'when each job ran and will run, and how far it is behind'],
  ],
  notes: `A run that was missed is made up for once. After a first signal no work begins, and what is at work has shutdownGrace to finish,
or is undone; exit code 0. A second signal ends the process at once; even that leaves the repository sound. --once ends with 1 when a job
failed, and with 3 when damage was found.`,
  run: async (call, [path], flags) => {
    const { once = false, status = false, check = false } = flags;
    if ([once, status, check].filter(Boolean).length > 1)
      throw new UsageError("options '--once', '--status' and '--check' exclude each other");
    if (check) return checkFile(path as string);
    return status ? showStatus(path as string) : runSchedule(call, path as string, once);
  },
};

async function runSchedule(call: Call, path: string, once: boolean): Promise<Outcome> {
  const { loadScheduleConfig, SnapshotScheduler } = await loadSchedule();
  const { jobs, shutdownGraceMs: graceMs, stateFile } = await loadScheduleConfig(path);
  const scheduler = new SnapshotScheduler({ jobs, stateFile, onEvent: printEvent });
  const stopped = new Promise<boolean>((resolve) => {
    const stop = (): void => resolve(scheduler.stop({ graceMs }).then(({ clean }) => clean));
    if (call.signal.aborted) stop();
    else call.signal.addEventListener('abort', stop, { once: true });
  });
  if (!once) {
    await scheduler.start();
    return ended(await stopped);
  }
  const outcomes = await scheduler.runDue();
  if (call.signal.aborted) return ended(await stopped);
  const { isVecsnapError } = await import('../../index.js');
  const codes = outcomes
    .filter(({ ok }) => !ok)
    .map(({ error }) => (isVecsnapError(error) ? exitCodeOf(error.code) : EXIT.failed));
  return { value: undefined, text: () => '', exitCode: exitOf(codes) };
}

/** Damage is worth more attention than anything else. */
function exitOf(codes: readonly number[]): number {
  if (codes.length === 0) return EXIT.done;
  return codes.includes(EXIT.damage) ? EXIT.damage : EXIT.failed;
}

/** Work that does not end although it was told to is left behind: what it wrote counts for nothing yet. */
function ended(clean: boolean): Outcome {
  if (!clean) setTimeout(() => process.exit(EXIT.failed), LAST_WORDS_MS).unref();
  if (!clean) process.stdout.write('', () => process.exit(EXIT.failed));
  return { value: undefined, text: () => '', exitCode: clean ? EXIT.done : EXIT.failed };
}

/** How long a reader of stdout that does not read is waited for. */
const LAST_WORDS_MS = 1000;

function printEvent(event: ScheduleEvent): void {
  process.stdout.write(`${printableJson(event)}\n`);
}

async function checkFile(path: string): Promise<Outcome> {
  const { readScheduleConfig } = await loadSchedule();
  const read = await readScheduleConfig(path);
  if ('config' in read) {
    const { jobs, stateFile } = read.config;
    return {
      value: { ok: true, jobs: jobs.map(({ name }) => name), stateFile, problems: [] },
      text: () => `${printable(path)} is valid: ${plural(jobs.length, 'job')}.`,
    };
  }
  const { problems } = read;
  return {
    value: { ok: false, jobs: [], problems },
    text: () =>
      problems
        .map(({ line, column, message, remedy }) =>
          printable(`${path}:${line}:${column}: ${message} ${remedy}`),
        )
        .join('\n'),
    exitCode: EXIT.usage,
  };
}

async function showStatus(path: string): Promise<Outcome> {
  const { loadScheduleConfig, readScheduleStatus } = await loadSchedule();
  const status = await readScheduleStatus(await loadScheduleConfig(path));
  return { value: status, text: () => statusText(status) };
}

const COLUMNS: readonly Column[] = [
  { head: 'Job', shrinksTo: 8 },
  { head: 'Now' },
  { head: 'Next (UTC)' },
  { head: 'Last success (UTC)' },
  { head: 'Snapshot' },
  { head: 'Lag', align: 'right' },
  { head: 'Verified (UTC)' },
  { head: 'Last failure (UTC)', shrinksTo: 20 },
];

function statusText({ scheduler, jobs, problems }: ScheduleStatus): string {
  const who =
    scheduler === null
      ? 'No scheduler is at work.'
      : `Process ${scheduler.pid} on ${printable(scheduler.host)} is at work since ${timeText(scheduler.since)}.`;
  const troubles = problems.map(({ job, message }) =>
    printable(job === null ? message : `${job}: ${message}`),
  );
  return [tableText(COLUMNS, jobs.map(rowOf)), who, ...troubles].join('\n');
}

function rowOf(job: JobStatus): string[] {
  const { name, phase, step, retryAt, next, lastSuccess, lastFailure, lastVerify, lagMs } = job;
  const snapshot = lastSuccess?.snapshot;
  return [
    name,
    step ?? (retryAt === null ? phase : `retries ${timeText(retryAt).slice('YYYY-MM-DD '.length)}`),
    next === null ? 'never' : timeText(next),
    lastSuccess === null ? 'never' : timeText(lastSuccess.time),
    snapshot ? shortId(snapshot) : '',
    lagMs === 0 ? 'none' : spanText(lagMs),
    lastVerify === null ? '' : `${timeText(lastVerify.time)}${lastVerify.ok ? '' : ' DAMAGE'}`,
    lastFailure === null ? '' : `${timeText(lastFailure.time)} ${lastFailure.step}: ${lastFailure.code}`,
  ];
}

const SPANS = [
  ['d', 86_400_000],
  ['h', 3_600_000],
  ['min', 60_000],
  ['s', 1000],
] as const;

/** A span of time in its largest unit. */
function spanText(ms: number): string {
  const [unit, size] = SPANS.find(([, one]) => ms >= one) ?? (['s', 1000] as const);
  return `${Math.round(ms / size)} ${unit}`;
}
