/** A clock that stands still until a test moves it. */
import { setImmediate as macrotask } from 'node:timers/promises';
import type { SchedulerClock } from 'vecsnap/schedule';

/** See the head of this file. */
export class VirtualClock implements SchedulerClock {
  #now: number;
  readonly #timers = new Map<object, { readonly at: number; readonly wake: () => void }>();

  constructor(start: string) {
    this.#now = Date.parse(start);
  }

  now(): number {
    return this.#now;
  }

  setTimer(ms: number, wake: () => void): () => void {
    const key = {};
    this.#timers.set(key, { at: this.#now + ms, wake });
    return () => void this.#timers.delete(key);
  }

  /** Sets the time, as somebody who sets the clock of a machine or lets it sleep: timers come later than they should. */
  jump(time: string): void {
    const by = Date.parse(time) - this.#now;
    this.#now += by;
    for (const [key, { at, wake }] of this.#timers) this.#timers.set(key, { at: at + by, wake });
  }

  /** Lets time pass up to `time`. What a timer sets off has settled before the next one. @param settled whether all is still. */
  async advanceTo(time: string, settled: () => boolean = () => true): Promise<void> {
    const end = Date.parse(time);
    await still(settled);
    for (;;) {
      const [next] = [...this.#timers].toSorted(([, a], [, b]) => a.at - b.at);
      if (next === undefined || next[1].at > end) break;
      this.#now = Math.max(this.#now, next[1].at);
      this.#timers.delete(next[0]);
      next[1].wake();
      await still(settled);
    }
    this.#now = end;
  }
}

/** Waits until `settled` holds. */
export async function still(settled: () => boolean): Promise<void> {
  do for (let i = 0; i < 3; i++) await macrotask();
  while (!settled());
}
