/**
 * Lengths of time on the clock: `90s`, `15min`, `1h30min`, `7d`. A bare `m` is refused: in a retention policy it means months.
 */
const UNITS = { ms: 1, s: 1000, min: 60_000, h: 3_600_000, d: 86_400_000, w: 604_800_000 } as const;
const PART = /(\d{1,9})(ms|min|s|h|d|w)/g;
const WHOLE = /^(?:\d{1,9}(?:ms|min|s|h|d|w))+$/;

/** What a length of time looks like. */
export const LENGTH_REMEDY = 'Give a length of time in s, min, h, d or w, such as 90s, 15min or 7d.';

/** The milliseconds of a length of time; undefined for what is none. */
export function parseLength(text: unknown): number | undefined {
  if (typeof text !== 'string' || text.length > 100 || !WHOLE.test(text)) return undefined;
  let sum = 0;
  for (const [, count, unit] of text.matchAll(PART)) sum += Number(count) * UNITS[unit as keyof typeof UNITS];
  return sum;
}
