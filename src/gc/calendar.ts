/** Hours, days, weeks, months and years in a time zone, daylight saving included. Times are milliseconds since 1970. */
import { quoteValue, VecsnapError } from '../core/index.js';
import type { Duration } from './duration.js';

/** Names the periods in which a time falls: equal names, same period. */
export interface Calendar {
  /** The hour of the clock, with its distance from UTC, because one hour of each year comes twice: `2024-10-27 02:00+01:00`. */
  hour(time: number): string;
  /** `2024-10-27`. It may have 23 or 25 hours. */
  day(time: number): string;
  /** The week of ISO 8601, from Monday on: `2024-W43`. */
  week(time: number): string;
  /** `2024-10`. */
  month(time: number): string;
  year(time: number): string;
  /**
   * The time so long before. Years and months come first, and a day that the month does not have becomes its last; then weeks and days,
   * to the same time on the clock; then hours. Where the clock shows that time twice or never, the earlier one is meant.
   */
  before(time: number, duration: Duration): number;
}

const HOUR = 3_600_000;
const DAY = 24 * HOUR;
/** The first and the last moment that a `Date` has. */
const FIRST = -8.64e15;
const LAST = 8.64e15;

/** @param timeZone of the IANA data base, such as `Europe/Berlin`. @throws VecsnapError OPTION_INVALID. */
export function calendarOf(timeZone: string): Calendar {
  const offsetAt = offsetsOf(timeZone);
  const local = (time: number): Date => localAt(time, offsetAt);
  return {
    hour: (time) => `${dayText(local(time))} ${hourText(local(time))}${offsetText(offsetAt(time))}`,
    day: (time) => dayText(local(time)),
    week: (time) => weekText(local(time)),
    month: (time) => dayText(local(time)).slice(0, -'-DD'.length),
    year: (time) => dayText(local(time)).slice(0, -'-MM-DD'.length),
    before: (time, duration) => timeBefore(time, duration, offsetAt),
  };
}

/** Milliseconds that the clocks of a time zone are ahead of UTC. */
type OffsetAt = (time: number) => number;

function offsetsOf(timeZone: string): OffsetAt {
  const format = formatOf(timeZone); // Making one takes as long as using it a hundred times.
  if (timeZone === 'UTC') return () => 0;
  return (time) => {
    const second = Math.floor(time / 1000) * 1000;
    return clockTime(format.formatToParts(second)) - second;
  };
}

function formatOf(timeZone: string): Intl.DateTimeFormat {
  const numeric = { year: 'numeric', month: 'numeric', day: 'numeric', hour: 'numeric' } as const;
  const options = {
    ...numeric,
    minute: 'numeric',
    second: 'numeric',
    era: 'short',
    hourCycle: 'h23',
  } as const;
  try {
    if (typeof timeZone !== 'string' || !/^[A-Za-z]/.test(timeZone)) throw new RangeError('not a name');
    return new Intl.DateTimeFormat('en-US-u-ca-gregory-nu-latn', { ...options, timeZone });
  } catch (cause) {
    throw new VecsnapError('OPTION_INVALID', `There is no time zone ${quoteValue(timeZone)}.`, {
      place: 'timeZone',
      remedy: 'Give the IANA name of one, such as UTC or Europe/Berlin.',
      cause,
    });
  }
}

/** What the clock shows, as if it were UTC. */
function clockTime(parts: readonly Intl.DateTimeFormatPart[]): number {
  const found = new Map(parts.map(({ type, value }) => [type, value]));
  const number = (type: Intl.DateTimeFormatPartTypes): number => Number(found.get(type));
  const year = found.get('era')?.startsWith('B') ? 1 - number('year') : number('year');
  const midnight = utc(year, number('month') - 1, number('day'));
  return midnight + (number('hour') * 60 + number('minute')) * 60_000 + number('second') * 1000;
}

/** `Date.UTC` takes years below 100 for others. */
function utc(year: number, month: number, day: number): number {
  return new Date(0).setUTCFullYear(year, month, day);
}

/** What the clock shows at a time, in the fields for UTC. */
function localAt(time: number, offsetAt: OffsetAt): Date {
  return new Date(Math.min(LAST, Math.max(FIRST, time + offsetAt(time))));
}

function dayText(local: Date): string {
  return local.toISOString().split('T', 1)[0] as string;
}

function hourText(local: Date): string {
  return `${String(local.getUTCHours()).padStart(2, '0')}:00`;
}

function offsetText(offset: number): string {
  const minutes = Math.round(Math.abs(offset) / 60_000);
  const text = [Math.floor(minutes / 60), minutes % 60].map((n) => String(n).padStart(2, '0')).join(':');
  return `${offset < 0 ? '-' : '+'}${text}`;
}

/** A week belongs to the year that has its Thursday. */
function weekText(local: Date): string {
  const midnight = Math.floor(local.getTime() / DAY) * DAY;
  const weekday = (local.getUTCDay() + 6) % 7; // Monday is 0.
  const thursday = new Date(Math.max(FIRST, midnight + (3 - weekday) * DAY));
  const year = thursday.getUTCFullYear();
  const week = 1 + Math.floor((thursday.getTime() - utc(year, 0, 1)) / (7 * DAY));
  return `${year}-W${String(week).padStart(2, '0')}`;
}

function timeBefore(time: number, duration: Duration, offsetAt: OffsetAt): number {
  const local = localAt(time, offsetAt);
  const months = local.getUTCFullYear() * 12 + local.getUTCMonth() - duration.years * 12 - duration.months;
  const [year, month] = [Math.floor(months / 12), ((months % 12) + 12) % 12];
  const lastDay = new Date(utc(year, month + 1, 0)).getUTCDate();
  const day = Math.min(local.getUTCDate(), lastDay) - duration.weeks * 7 - duration.days;
  const clock = utc(year, month, day) + (((local.getTime() % DAY) + DAY) % DAY);
  const then = timeOf(clock, offsetAt) - duration.hours * HOUR;
  return then >= FIRST ? then : -Infinity; // Also where there is no such date.
}

/** The moment at which the clock shows that. */
function timeOf(clock: number, offsetAt: OffsetAt): number {
  if (!(clock - DAY >= FIRST)) return NaN;
  const candidates = [clock - offsetAt(clock - DAY), clock - offsetAt(clock + DAY)];
  const shown = candidates.filter((time) => time + offsetAt(time) === clock);
  return Math.min(...(shown.length > 0 ? shown : candidates));
}
