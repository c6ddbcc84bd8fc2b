/** Jobs: what they are made of, their defaults, and what is wrong with those that make no sense. */
import { isVecsnapError, quoteValue } from '../core/index.js';
import { checkPolicy, type RetentionPolicy } from '../gc/index.js';
import { checkName, type SnapshotManager } from '../snapshot/index.js';
import { SCHEMES, type Source } from '../source/index.js';
import { type CronTimes, cronTimes } from './cron.js';
import { LENGTH_REMEDY, parseLength } from './lengths.js';

/** How often a failed run is tried again. */
export interface RetryOptions {
  /** Tries in all, from 1 on. Default: 4. */
  readonly attempts?: number | undefined;
  /** How long to wait after the first; after each further one twice as long. Default: `1min`. */
  readonly delay?: string | undefined;
  /** The longest wait. Default: `1h`. */
  readonly maxDelay?: string | undefined;
}

/** Something that is to be done again and again. Lengths of time are texts such as `90s`, `15min`, `2h`, `7d`. */
export interface ScheduledJob {
  /** What it is called, in events and in its snapshots; no other job has that name. */
  readonly name: string;
  /** A place such as `npy:vectors.npy`, or a source, or what makes one for each run. */
  readonly source: string | Source | (() => Source | Promise<Source>);
  /** The journal of changes to follow; only for a source that is a place. */
  readonly changes?: string | undefined;
  /** The directory of the repository; or an open one, which stays open. */
  readonly repository: string | SnapshotManager;
  /** Default: the source's own name. */
  readonly collection?: string | undefined;
  /** Five fields, six with seconds first, or `@hourly`, `@daily`, … */
  readonly cron: string;
  /** An IANA name. Default: UTC. */
  readonly timeZone?: string | undefined;
  /** What to keep, or `stored` for what the repository says. Default: all is kept. */
  readonly policy?: RetentionPolicy | 'stored' | undefined;
  /** Whether to sweep after something was forgotten. Default: false. */
  readonly gc?: boolean | undefined;
  /** How often to verify the whole repository: a length of time or a cron expression. Default: never. */
  readonly verify?: string | undefined;
  /** Default: `incremental`. */
  readonly mode?: 'full' | 'incremental' | undefined;
  /** Runs start up to so much later, always by the same amount for the same name. Default: `0s`. */
  readonly jitter?: string | undefined;
  readonly retry?: RetryOptions | undefined;
  /** Whether a run that was missed is made up for. Default: true. */
  readonly catchUp?: boolean | undefined;
  readonly tags?: readonly string[] | undefined;
  /** How long to wait for another writer. Default: `10s`. */
  readonly lockTimeout?: string | undefined;
}

/** The defaults of {@link ScheduledJob}. */
export const JOB_DEFAULTS = {
  timeZone: 'UTC',
  gc: false,
  mode: 'incremental',
  jitter: '0s',
  catchUp: true,
  lockTimeout: '10s',
  retry: { attempts: 4, delay: '1min', maxDelay: '1h' },
} as const;

/** A job that was checked. Lengths are in milliseconds. */
export interface JobPlan {
  readonly job: ScheduledJob;
  readonly name: string;
  readonly times: CronTimes;
  /** How much later than its times it starts. */
  readonly offsetMs: number;
  readonly verify: { readonly everyMs: number } | { readonly times: CronTimes } | undefined;
  readonly retry: { readonly attempts: number; readonly delayMs: number; readonly maxDelayMs: number };
  readonly catchUp: boolean;
  readonly lockTimeoutMs: number;
}

/** Something wrong in a configuration. */
export interface ConfigProblem {
  /** Keys and positions from the top to the value. */
  readonly path: readonly (string | number)[];
  /** Whether the key is wrong, and not its value. */
  readonly isKey?: boolean;
  readonly message: string;
  readonly remedy: string;
}

type Report = (key: string | readonly (string | number)[], message: string, remedy: string) => void;
type Plain = Readonly<Record<string, unknown>>;

export const JOB_KEYS: readonly string[] = [
  'name',
  'source',
  'changes',
  'repository',
  'collection',
  'cron',
  'timeZone',
  'policy',
  'gc',
  'verify',
  'mode',
  'jitter',
  'retry',
  'catchUp',
  'tags',
  'lockTimeout',
];
const RETRY_KEYS: readonly string[] = ['attempts', 'delay', 'maxDelay'];

const MINUTE = 60_000;
const DAY = 1440 * MINUTE;
const YEAR = 366 * DAY;

/** Checks a list of jobs, whoever it comes from. All problems are found, not only the first. */
export function checkJobs(
  value: unknown,
  path: readonly (string | number)[],
): { readonly plans: readonly JobPlan[]; readonly problems: readonly ConfigProblem[] } {
  if (!Array.isArray(value) || value.length === 0) {
    const remedy = 'Give a list of one job or more, each with name, source, repository and cron.';
    return { plans: [], problems: [{ path, message: 'There are no jobs.', remedy }] };
  }
  const problems: ConfigProblem[] = [];
  const names = new Set<unknown>();
  const plans = value.map((one: unknown, i) => {
    const plan = checkJob(one, [...path, i], problems);
    const name = isPlain(one) ? one['name'] : undefined;
    if (typeof name === 'string' && names.has(name)) {
      const message = `Two jobs have the name ${JSON.stringify(name.slice(0, 80))}.`;
      problems.push({ path: [...path, i, 'name'], message, remedy: 'Give each job a name of its own.' });
    }
    names.add(name);
    return plan;
  });
  return { plans, problems };
}

/** Names the keys that there are not. */
export function unknownKeys(
  value: Plain,
  known: readonly string[],
  path: readonly (string | number)[],
  what: string,
): ConfigProblem[] {
  return Object.keys(value)
    .filter((key) => !known.includes(key))
    .map((key) => ({
      path: [...path, key],
      isKey: true,
      message: `${what} has no key ${JSON.stringify(key.slice(0, 80))}.`,
      remedy: `The keys are ${known.join(', ')}.`,
    }));
}

export function isPlain(value: unknown): value is Plain {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function checkJob(value: unknown, path: readonly (string | number)[], problems: ConfigProblem[]): JobPlan {
  const report: Report = (key, message, remedy) => {
    problems.push({ path: [...path, ...(typeof key === 'string' ? [key] : key)], message, remedy });
  };
  if (!isPlain(value)) report([], 'The job is no mapping.', 'Give it as keys and values.');
  const job: Plain = isPlain(value) ? value : {};
  if (isPlain(value)) {
    problems.push(...unknownKeys(job, JOB_KEYS, path, 'A job'));
    for (const key of ['name', 'source', 'repository', 'cron'])
      if (job[key] === undefined || job[key] === null)
        problems.push({ path, message: `The job has no ${key}.`, remedy: `Add ${key}: to it.` });
  }
  checkTexts(job, report);
  const timeZone = checkTimeZone(job, report);
  const times = checkCron(job, 'cron', timeZone, report);
  checkPolicyOf(job, report);
  return {
    job: job as unknown as ScheduledJob,
    name: String(job['name']),
    times,
    offsetMs: offsetOf(
      String(job['name']),
      checkLength(job, 'jitter', JOB_DEFAULTS.jitter, [0, DAY], report),
    ),
    verify: checkVerify(job, timeZone, report),
    retry: checkRetry(job, report),
    catchUp: checkFlag(job, 'catchUp', JOB_DEFAULTS.catchUp, report),
    lockTimeoutMs: checkLength(job, 'lockTimeout', JOB_DEFAULTS.lockTimeout, [0, 20 * DAY], report),
  };
}

function checkTexts(job: Plain, report: Report): void {
  const { name, source, repository, changes, collection, tags, mode } = job;
  if (given(name)) checkNameOf(name, 'name', report);
  if (given(collection)) checkNameOf(collection, 'collection', report);
  if (given(tags)) {
    if (Array.isArray(tags)) tags.forEach((tag: unknown, i) => checkNameOf(tag, ['tags', i], report));
    else report('tags', 'tags is no list.', 'Give a list of words.');
  }
  checkSource(source, report);
  if (!isRepository(repository))
    checkText(repository, 'repository', 'Give the directory of a repository.', report);
  checkText(changes, 'changes', 'Give the path of a journal of changes.', report);
  if (given(changes) && typeof source !== 'string')
    report('changes', 'changes needs a source that is a place.', 'Follow the changes in the source itself.');
  if (given(mode) && mode !== 'full' && mode !== 'incremental')
    report('mode', `mode does not take ${show(mode)}.`, 'Give full or incremental.');
  checkFlag(job, 'gc', JOB_DEFAULTS.gc, report);
}

function checkSource(source: unknown, report: Report): void {
  if (typeof source === 'function' || isSource(source)) return;
  checkText(source, 'source', 'Give a path, or a scheme, a colon and a location.', report);
  if (typeof source !== 'string') return;
  const scheme = /^([a-z][a-z0-9]+):/.exec(source)?.[1];
  if (scheme !== undefined && !SCHEMES.includes(scheme))
    report(
      'source',
      `There is no scheme ${scheme}.`,
      `The schemes are ${SCHEMES.join(', ')}. Put ./ before a path that has a colon.`,
    );
}

/** An open repository, as programs give one. */
function isRepository(value: unknown): boolean {
  return typeof value === 'object' && value !== null && 'listSnapshots' in value;
}

function isSource(value: unknown): boolean {
  return isPlain(value) && typeof value['open'] === 'function';
}

function checkText(value: unknown, key: string, remedy: string, report: Report): void {
  if (!given(value)) return;
  if (typeof value !== 'string' || value === '' || value.includes('\0'))
    report(key, `${key} does not take ${show(value)}.`, remedy);
}

function checkNameOf(value: unknown, key: string | readonly (string | number)[], report: Report): void {
  const option = String(typeof key === 'string' ? key : key[0]);
  if (typeof value !== 'string')
    return report(key, `${option} does not take ${show(value)}.`, 'Give a text.');
  try {
    checkName(value, option);
  } catch (error) {
    if (!isVecsnapError(error)) throw error;
    report(key, error.message, error.remedy ?? 'Give a text.');
  }
}

function checkTimeZone(job: Plain, report: Report): string {
  const { timeZone = JOB_DEFAULTS.timeZone } = job;
  try {
    if (typeof timeZone !== 'string') throw new RangeError('no text');
    Intl.DateTimeFormat('en', { timeZone }); // Throws for a zone that there is not.
    return timeZone;
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    report(
      'timeZone',
      `There is no time zone ${show(timeZone)}.`,
      'Give an IANA name, such as Europe/Berlin or UTC.',
    );
    return JOB_DEFAULTS.timeZone;
  }
}

/** Any time: the checks need one to ask for the next. */
const EPOCH = 1_700_000_000_000;
const NEVER: CronTimes = { next: () => undefined, newest: () => undefined };
const CRON_REMEDY =
  'Give minute, hour, day, month and day of the week, such as "30 2 * * *", seconds before them if need be, or @daily.';

function checkCron(job: Plain, key: string, timeZone: string, report: Report): CronTimes {
  const value = job[key];
  if (!given(value)) return NEVER;
  try {
    if (typeof value !== 'string') throw new TypeError('it is no text');
    const times = cronTimes(value, timeZone);
    if (times.next(EPOCH) !== undefined) return times;
    report(key, `${key} ${show(value)} never comes.`, CRON_REMEDY);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    report(key, `${key} does not take ${show(value)}: ${tidy(why)}.`, CRON_REMEDY);
  }
  return NEVER;
}

function tidy(message: string): string {
  const text = message.replace(/^\w+: /, '').replace(/\.$/, '');
  return text.length > 200 ? `${text.slice(0, 200)}…` : text;
}

function checkVerify(job: Plain, timeZone: string, report: Report): JobPlan['verify'] {
  const { verify } = job;
  if (!given(verify)) return undefined;
  const everyMs = parseLength(verify);
  if (everyMs === undefined && typeof verify === 'string' && /[\s@]/.test(verify.trim()))
    return { times: checkCron(job, 'verify', timeZone, report) };
  if (everyMs !== undefined && everyMs >= 1000 && everyMs <= 10 * YEAR) return { everyMs };
  report('verify', `verify does not take ${show(verify)}.`, `${LENGTH_REMEDY} Or give a cron expression.`);
  return undefined;
}

function checkRetry(job: Plain, report: Report): JobPlan['retry'] {
  const { retry: value } = job;
  const inside: Report = (key, message, remedy) => report(['retry', ...[key].flat()], message, remedy);
  if (given(value) && !isPlain(value))
    report('retry', `retry does not take ${show(value)}.`, 'Give attempts, delay and maxDelay below it.');
  const retry: Plain = isPlain(value) ? value : {};
  for (const { path, message, remedy } of unknownKeys(retry, RETRY_KEYS, [], 'retry'))
    inside(path, message, remedy);
  const { attempts = JOB_DEFAULTS.retry.attempts } = retry;
  const isCount = Number.isSafeInteger(attempts) && (attempts as number) >= 1 && (attempts as number) <= 1000;
  if (!isCount)
    inside('attempts', `attempts does not take ${show(attempts)}.`, 'Give a whole number from 1 to 1000.');
  return {
    attempts: attempts as number,
    delayMs: checkLength(retry, 'delay', JOB_DEFAULTS.retry.delay, [0, YEAR], inside),
    maxDelayMs: checkLength(retry, 'maxDelay', JOB_DEFAULTS.retry.maxDelay, [0, YEAR], inside),
  };
}

function checkPolicyOf({ policy }: Plain, report: Report): void {
  if (!given(policy) || policy === 'stored') return;
  try {
    checkPolicy(policy as RetentionPolicy);
  } catch (error) {
    const known = isVecsnapError(error) ? error : undefined;
    const place = known?.place ?? '';
    const isOption = isPlain(policy) && Object.hasOwn(policy, place);
    const message = known?.message ?? `policy does not take ${show(policy)}.`;
    const remedy = known?.remedy ?? 'Give rules such as keepDaily: 7, or stored.';
    report(isOption ? ['policy', place] : 'policy', message, remedy);
  }
}

/** Checks a length of time, for a key of a job or of what holds jobs. */
export function checkLength(
  from: Plain,
  key: string,
  otherwise: string,
  [least, most]: readonly [number, number],
  report: Report,
): number {
  const value = from[key] ?? otherwise;
  const ms = parseLength(value);
  if (ms !== undefined && ms >= least && ms <= most) return ms;
  const isLength = ms !== undefined;
  const remedy = isLength ? `The longest is ${most / 1000}s.` : LENGTH_REMEDY;
  report(key, `${key} does not take ${show(value)}.`, remedy);
  return 0;
}

function checkFlag(job: Plain, key: string, otherwise: boolean, report: Report): boolean {
  const value = job[key] ?? otherwise;
  if (typeof value === 'boolean') return value;
  report(key, `${key} does not take ${show(value)}.`, 'Give true or false.');
  return otherwise;
}

function given(value: unknown): boolean {
  return value !== undefined && value !== null;
}

function show(value: unknown): string {
  if (typeof value === 'function') return 'a function';
  const text = jsonOf(value) ?? quoteValue(value);
  return text.length > 80 ? `${text.slice(0, 80)}…` : text;
}

/** Undefined for what JSON cannot hold, such as a map that an alias puts into itself. */
function jsonOf(value: unknown): string | undefined {
  try {
    return JSON.stringify(value);
  } catch {
    return undefined;
  }
}

/** A part of `jitterMs` that depends on the name alone (FNV-1a), in milliseconds. */
function offsetOf(name: string, jitterMs: number): number {
  if (jitterMs === 0) return 0;
  let hash = 0x811c9dc5;
  for (const byte of new TextEncoder().encode(name)) hash = Math.imul(hash ^ byte, 0x01000193) >>> 0;
  return Math.floor((hash / 2 ** 32) * jitterMs);
}
