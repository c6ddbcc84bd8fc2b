/** Durations as people write them: `14d`, `1y2m3d4h`. */
import { valueText, VecsnapError } from '../core/index.js';

/** A length of time on the calendar. Hours are of the clock, all else is of the calendar. */
export interface Duration {
  readonly years: number;
  readonly months: number;
  readonly weeks: number;
  readonly days: number;
  readonly hours: number;
}

const UNITS = { y: 'years', m: 'months', w: 'weeks', d: 'days', h: 'hours' } as const;
const PART = /(\d{1,6})([ymwdh])/g;
const WHOLE = /^(?:\d{1,6}[ymwdh])+$/;

/**
 * Reads years, months (`m`), weeks, days and hours, each at most once, in any order.
 * @throws VecsnapError OPTION_INVALID for anything else, and for no time at all.
 */
export function parseDuration(text: string, option: string): Duration {
  if (typeof text !== 'string' || !WHOLE.test(text)) throw notADuration(text, option);
  const duration = { years: 0, months: 0, weeks: 0, days: 0, hours: 0 };
  const seen = new Set<string>();
  for (const [, count, letter] of text.matchAll(PART)) {
    const unit = UNITS[letter as keyof typeof UNITS];
    if (seen.has(unit)) throw notADuration(text, option);
    seen.add(unit);
    duration[unit] = Number(count);
  }
  if (Object.values(duration).every((count) => count === 0)) throw notADuration(text, option);
  return duration;
}

function notADuration(text: unknown, option: string): VecsnapError {
  return new VecsnapError('OPTION_INVALID', `${option} does not take ${valueText(text).slice(0, 80)}.`, {
    place: option,
    remedy: 'Give a duration of years, months, weeks, days and hours, such as 14d or 1y2m3d4h.',
  });
}
