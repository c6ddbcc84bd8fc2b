/** The times of a cron expression in a time zone, forwards and backwards. */
import { Cron } from 'croner';

/** When something is due. Times are in milliseconds since 1970 and fall on whole seconds. */
export interface CronTimes {
  /** The first time after `time`; undefined when there is none. */
  next(time: number): number | undefined;
  /** The last time that is not after `time`; undefined when there is none. */
  newest(time: number): number | undefined;
}

const LONGEST = 200;
const NICKNAME = /^@(?:yearly|annually|monthly|weekly|daily|midnight|hourly)$/i;

/**
 * Reads a cron expression of five fields, or six with seconds first, or a nickname such as `@daily`.
 *
 * Where clocks are set forward, a fixed time that does not exist comes at the first moment after the gap. Where they are set back, a
 * fixed time that comes twice counts once; what recurs by the hour or the minute goes on in even steps.
 * @throws Error that says what is wrong with the expression.
 */
export function cronTimes(expression: string, timeZone: string): CronTimes {
  const text = expression.trim();
  const fields = text.split(/\s+/).length;
  const isExpression = NICKNAME.test(text) || fields === 5 || fields === 6;
  if (text.length > LONGEST || !isExpression) throw new Error('it has neither five nor six fields');
  const cron = new Cron(text, { timezone: timeZone, paused: true });
  return {
    next: (time) => cron.nextRun(new Date(time))?.getTime(),
    newest(time) {
      const justAfter = new Date((Math.floor(time / 1000) + 1) * 1000); // What is sought is before this.
      return cron.previousRuns(1, justAfter)[0]?.getTime();
    },
  };
}

/** The most times that are counted one by one. */
const COUNTED = 1000;

/** How many times lie after `from`, up to `to`; {@link COUNTED} for that many and more. */
export function countTimes(times: CronTimes, from: number, to: number): number {
  let count = 0;
  for (let time = times.next(from); time !== undefined && time <= to && count < COUNTED; count++)
    time = times.next(time);
  return count;
}
