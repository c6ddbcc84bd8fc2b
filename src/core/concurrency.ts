/** Doing several things at once, but not too many. */

/**
 * Results of `work` on each item, in order, with at most `limit` at a time. After a failure nothing more is begun, and the first
 * failure is thrown once none is running any more.
 */
export async function mapConcurrent<T, R>(
  items: readonly T[],
  limit: number,
  work: (item: T, index: number) => Promise<R>,
): Promise<R[]> {
  checkLimit(limit);
  const results = new Array<R>(items.length);
  let next = 0;
  let failure: { error: unknown } | undefined;
  const lane = async () => {
    while (next < items.length) {
      const index = next++;
      try {
        results[index] = await work(items[index] as T, index);
      } catch (error) {
        failure ??= { error };
        next = items.length;
      }
    }
  };
  await Promise.all(Array.from({ length: Math.min(limit, items.length) }, lane));
  if (failure !== undefined) throw failure.error;
  return results;
}

/**
 * Runs `work` ahead of the consumer: results come in the order of the items while up to `ahead` of them are under way.
 * When the consumer stops early, what is under way is waited for and dropped.
 */
export async function* mapAhead<T, R>(
  items: AsyncIterable<T> | Iterable<T>,
  ahead: number,
  work: (item: T) => Promise<R>,
): AsyncGenerator<R> {
  checkLimit(ahead);
  const running: Promise<R>[] = [];
  try {
    for await (const item of items) {
      const result = work(item);
      result.catch(() => {}); // It is thrown below, when its turn comes.
      running.push(result);
      if (running.length >= ahead) yield await (running.shift() as Promise<R>);
    }
    while (running.length > 0) yield await (running.shift() as Promise<R>);
  } finally {
    await Promise.allSettled(running);
  }
}

/**
 * Collects items until they have `limit` bytes or more. The last batch may have fewer.
 */
export async function* inBatches<T>(
  items: AsyncIterable<T>,
  bytesOf: (item: T) => number,
  limit: BatchLimit,
): AsyncGenerator<T[]> {
  const collector = new Collector(bytesOf, limit);
  for await (const item of items) {
    const batch = collector.push(item);
    if (batch !== undefined) yield batch;
  }
  yield* collector.rest();
}

/** The same for items that come many at a time: a step of an asynchronous generator takes longer than most of what is done with an item. */
export async function* regroup<T>(
  runs: AsyncIterable<readonly T[]>,
  bytesOf: (item: T) => number,
  limit: BatchLimit,
): AsyncGenerator<T[]> {
  const collector = new Collector(bytesOf, limit);
  for await (const run of runs) {
    for (const item of run) {
      const batch = collector.push(item);
      if (batch !== undefined) yield batch;
    }
  }
  yield* collector.rest();
}

/** Bytes of a batch: the same for all batches, or that of the n-th, counted from 0. */
type BatchLimit = number | ((batch: number) => number);

class Collector<T> {
  readonly #bytesOf: (item: T) => number;
  readonly #limit: BatchLimit;
  #batch: T[] = [];
  #bytes = 0;
  #given = 0;

  constructor(bytesOf: (item: T) => number, limit: BatchLimit) {
    this.#bytesOf = bytesOf;
    this.#limit = limit;
  }

  /** Adds an item. Gives the batch that it completes. */
  push(item: T): T[] | undefined {
    this.#batch.push(item);
    this.#bytes += this.#bytesOf(item);
    const limit = typeof this.#limit === 'number' ? this.#limit : this.#limit(this.#given);
    if (this.#bytes < limit) return undefined;
    const batch = this.#batch;
    this.#given++;
    this.#batch = [];
    this.#bytes = 0;
    return batch;
  }

  /** The last batch, if there is one. */
  rest(): T[][] {
    return this.#batch.length > 0 ? [this.#batch] : [];
  }
}

/** Hands items from one sender to one receiver, in order. The sender waits while much is on its way. */
export class Channel<T extends object> {
  readonly #bytesOf: (item: T) => number;
  readonly #limit: number;
  readonly #onReceived: (item: T) => void;
  readonly #items: T[] = [];
  #bytes = 0;
  #end: { readonly failure?: unknown } | undefined;
  #isReceived = true;
  #wakeSender = (): void => {};
  #wakeReceiver = (): void => {};

  /** @param onReceived is told of items that the receiver is done with. */
  constructor(bytesOf: (item: T) => number, limit: number, onReceived: (item: T) => void = () => {}) {
    this.#bytesOf = bytesOf;
    this.#limit = limit;
    this.#onReceived = onReceived;
  }

  /** Adds an item. Resolves when fewer bytes than the limit are on their way, or nobody receives any longer. */
  async send(item: T): Promise<void> {
    if (!this.#isReceived) return;
    this.#items.push(item);
    this.#bytes += this.#bytesOf(item);
    this.#wakeReceiver();
    while (this.#bytes >= this.#limit && this.#isReceived)
      await new Promise<void>((resolve) => (this.#wakeSender = resolve));
  }

  /** Says that nothing more comes. */
  end(): void {
    this.#end ??= {};
    this.#wakeReceiver();
  }

  /** Has the receiver fail, who gets no more of what is on its way. */
  fail(failure: unknown): void {
    this.#end = { failure };
    this.#wakeReceiver();
  }

  /** What is sent, once. The receiver is done with an item when it asks for the next. */
  async *receive(): AsyncGenerator<T, void> {
    try {
      for (;;) {
        if (this.#end !== undefined && 'failure' in this.#end) throw this.#end.failure;
        const item = this.#items.shift();
        if (item !== undefined) {
          yield item;
          this.#bytes -= this.#bytesOf(item);
          this.#onReceived(item);
          this.#wakeSender();
        } else if (this.#end === undefined) {
          await new Promise<void>((resolve) => (this.#wakeReceiver = resolve));
        } else return;
      }
    } finally {
      this.close();
    }
  }

  /** Says that nobody receives any longer: whoever sends does so in vain, and need not wait. */
  close(): void {
    this.#isReceived = false;
    this.#items.length = 0;
    this.#wakeSender();
  }
}

/** Lets at most `limit` holders in at a time; others wait in order. */
export class Semaphore {
  #free: number;
  readonly #waiting: (() => void)[] = [];

  constructor(limit: number) {
    checkLimit(limit);
    this.#free = limit;
  }

  async run<R>(work: () => Promise<R>): Promise<R> {
    await this.enter();
    try {
      return await work();
    } finally {
      this.leave();
    }
  }

  /** Waits for a turn. Who enters must {@link leave}, for work that is not one function. */
  async enter(): Promise<void> {
    if (this.#free === 0) await new Promise<void>((resolve) => this.#waiting.push(resolve));
    else this.#free--;
  }

  leave(): void {
    const next = this.#waiting.shift();
    if (next === undefined) this.#free++;
    else next();
  }
}

/** With a limit below 1 nothing would ever run. */
function checkLimit(limit: number): void {
  if (!(limit >= 1)) throw new RangeError(`a limit must be at least 1: ${limit}`);
}
