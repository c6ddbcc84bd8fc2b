/** Runs tasks of one key one after the other, and tasks of different keys side by side. */

/** @see Serial.run */
export class Serial {
  readonly #last = new Map<string, Promise<unknown>>();

  /** Runs `task` when all earlier tasks of `key` have settled, however they did. */
  async run<T>(key: string, task: () => Promise<T>): Promise<T> {
    const earlier = this.#last.get(key);
    const mine = earlier === undefined ? task() : earlier.then(task, task);
    this.#last.set(key, mine);
    try {
      return await mine;
    } finally {
      if (this.#last.get(key) === mine) this.#last.delete(key);
    }
  }
}
