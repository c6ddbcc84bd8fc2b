/** Retention policies: what they are made of, and what they may not be. */
import { valueText, VecsnapError } from '../core/index.js';
import { type Calendar, calendarOf } from './calendar.js';
import { type Duration, parseDuration } from './duration.js';

/**
 * Which snapshots of a collection stay: those that any of the rules keeps. At least one rule must be given. Counts are whole numbers
 * from 1 on. docs/retention.md explains them.
 */
export interface RetentionPolicy {
  /** The newest so many. */
  readonly keepLast?: number | undefined;
  /** The newest of each of the last so many hours that have snapshots; likewise the others. */
  readonly keepHourly?: number | undefined;
  readonly keepDaily?: number | undefined;
  /** Weeks of ISO 8601, from Monday on. */
  readonly keepWeekly?: number | undefined;
  readonly keepMonthly?: number | undefined;
  readonly keepYearly?: number | undefined;
  /** All that are not older than the newest by more than this: `14d`, `1y2m3d4h`; `m` are months. */
  readonly keepWithin?: string | undefined;
  /** All that have one of these tags. */
  readonly keepTags?: readonly string[] | undefined;
  /** Whose hours, days, weeks, months and years are meant: an IANA name. Default: UTC. No rule by itself. */
  readonly timeZone?: string | undefined;
}

/** A rule that keeps the newest snapshot of each of the last so many periods. */
export interface PeriodRule {
  readonly name: string;
  readonly count: number;
  readonly periodOf: (time: number) => string;
}

/** A policy that was checked. */
export interface Rules {
  readonly last: number;
  readonly periods: readonly PeriodRule[];
  readonly within: { readonly text: string; readonly duration: Duration } | undefined;
  readonly tags: ReadonlySet<string>;
  readonly calendar: Calendar;
}

const PERIODS = [
  ['keepHourly', 'hourly', 'hour'],
  ['keepDaily', 'daily', 'day'],
  ['keepWeekly', 'weekly', 'week'],
  ['keepMonthly', 'monthly', 'month'],
  ['keepYearly', 'yearly', 'year'],
] as const;

/** The options of a policy, in the order in which they are shown. */
export const POLICY_OPTIONS = [
  'keepLast',
  ...PERIODS.map(([option]) => option),
  'keepWithin',
  'keepTags',
  'timeZone',
] as const;

/**
 * Checks a policy, whoever it comes from.
 * @throws VecsnapError OPTION_INVALID for an option that there is not, a value that it does not take, and a policy without a rule.
 */
export function rulesOf(policy: RetentionPolicy): Rules {
  if (typeof policy !== 'object' || policy === null || Array.isArray(policy)) throw noRule();
  const given = Object.entries(policy).filter(([, value]) => value !== undefined);
  for (const [option] of given) if (!isOption(option)) throw unknownOption(option);
  const { keepLast, keepWithin, keepTags = [], timeZone = 'UTC' } = policy;
  const calendar = calendarOf(timeZone);
  const tags = checkTags(keepTags);
  const periods = PERIODS.flatMap(([option, name, period]): PeriodRule[] => {
    const count = policy[option];
    return count === undefined
      ? []
      : [{ name, count: checkCount(count, option), periodOf: calendar[period] }];
  });
  const last = keepLast === undefined ? 0 : checkCount(keepLast, 'keepLast');
  const within =
    keepWithin === undefined
      ? undefined
      : { text: keepWithin, duration: parseDuration(keepWithin, 'keepWithin') };
  if (last === 0 && periods.length === 0 && within === undefined && tags.size === 0) throw noRule();
  return { last, periods, within, tags, calendar };
}

/** A policy without what is not given. @throws VecsnapError OPTION_INVALID as {@link rulesOf}. */
export function checkPolicy(policy: RetentionPolicy): RetentionPolicy {
  rulesOf(policy);
  return Object.fromEntries(Object.entries(policy).filter(([, value]) => value !== undefined));
}

function isOption(option: string): boolean {
  return (POLICY_OPTIONS as readonly string[]).includes(option);
}

function checkCount(count: number, option: string): number {
  if (Number.isSafeInteger(count) && count >= 1) return count;
  throw invalid(option, count, 'Give a whole number from 1 on, or leave the rule out.');
}

function checkTags(tags: readonly string[]): ReadonlySet<string> {
  if (!Array.isArray(tags)) throw invalid('keepTags', tags, 'Give a list of tags.');
  const wrong = tags.findIndex((tag) => typeof tag !== 'string' || tag === '');
  if (wrong >= 0) throw invalid('keepTags', tags[wrong], 'Give words that snapshots have as tags.');
  return new Set(tags);
}

function invalid(option: string, value: unknown, remedy: string): VecsnapError {
  return new VecsnapError('OPTION_INVALID', `${option} does not take ${valueText(value).slice(0, 80)}.`, {
    place: option,
    remedy,
  });
}

function unknownOption(option: string): VecsnapError {
  const place = option.slice(0, 80);
  return new VecsnapError('OPTION_INVALID', `A policy has no option ${place}.`, {
    place,
    remedy: `Give some of ${POLICY_OPTIONS.join(', ')}.`,
  });
}

function noRule(): VecsnapError {
  return new VecsnapError('OPTION_INVALID', 'The policy has no rule, so it would keep nothing.', {
    place: 'policy',
    remedy: 'Give at least one rule, such as keepLast. To drop all snapshots, forget them by their ids.',
  });
}
