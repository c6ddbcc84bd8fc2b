/** The time that a scheduler goes by. The port is here so that tests need not wait. */
import type { Clock } from '../core/index.js';
import { systemClock } from '../platform/index.js';

/** A clock that can wake somebody. */
export interface SchedulerClock extends Clock {
  /**
   * Calls `wake` once, when so many milliseconds have passed or somewhat later.
   * @returns what takes it back.
   */
  setTimer(ms: number, wake: () => void): () => void;
}

/** Timers of Node.js take no more. */
const LONGEST_TIMER = 2 ** 31 - 1;

/** The clock of the machine. */
export const systemSchedulerClock: SchedulerClock = {
  now: () => systemClock.now(),
  setTimer(ms, wake) {
    const timer = setTimeout(wake, Math.min(Math.max(0, ms), LONGEST_TIMER));
    return () => clearTimeout(timer);
  },
};

/** Whether `work` ends within so many milliseconds. It must not fail. */
export async function endsWithin(
  work: Promise<unknown>,
  ms: number,
  clock: SchedulerClock,
): Promise<boolean> {
  let cancel: () => void = () => undefined;
  const late = new Promise<boolean>((resolve) => {
    cancel = clock.setTimer(ms, () => resolve(false));
  });
  const hasEnded = await Promise.race([work.then(() => true), late]);
  cancel();
  return hasEnded;
}
