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

/** How far ahead of its consumer work may be. */
export interface AheadOptions<T> {
  /** The bytes of an item. */
  readonly bytesOf: (item: T) => number;
  /** Items of so many bytes together may be ahead; one always may. */
  readonly limit: number;
}

/**
 * Runs `work` ahead of the consumer, also while the consumer does other things. Results come in the order of the items. An item
 * is ahead from when its work begins until the consumer asks for the next one, so memory is bounded however slow that is.
 * When the consumer stops early, no work is begun any more, and what is under way is waited for and dropped.
 */
export async function* prefetch<T, R>(
  items: AsyncIterable<T>,
  { bytesOf, limit }: AheadOptions<T>,
  work: (item: T) => Promise<R>,
): AsyncGenerator<R> {
  const begun: { readonly result: Promise<R>; readonly bytes: number }[] = [];
  const changed = new Signal(); // Something was begun, the last one was, the consumer came back, or it left.
  let ahead = 0;
  let [hasEnded, isWanted] = [false, true];
  let failure: { error: unknown } | undefined;
  const isRoomFor = (bytes: number): boolean => ahead === 0 || ahead + bytes <= limit;

  const begin = async (): Promise<void> => {
    for await (const item of items) {
      const bytes = bytesOf(item);
      while (isWanted && !isRoomFor(bytes)) await changed.wait();
      if (!isWanted) return;
      const result = work(item);
      result.catch(() => {}); // It is thrown below, when its turn comes.
      ahead += bytes;
      begun.push({ result, bytes });
      changed.tell();
    }
  };
  const beginning = begin()
    .catch((error: unknown) => void (failure = { error }))
    .finally(() => {
      hasEnded = true;
      changed.tell();
    });

  try {
    for (;;) {
      while (begun.length === 0 && !hasEnded) await changed.wait();
      const first = begun[0];
      if (first === undefined) break;
      yield await first.result;
      begun.shift();
      ahead -= first.bytes;
      changed.tell();
    }
    if (failure !== undefined) throw failure.error;
  } finally {
    isWanted = false;
    changed.tell();
    await beginning;
    await Promise.allSettled(begun.map(({ result }) => result));
  }
}

/** Tells those who wait that something changed; they look themselves what it was. */
class Signal {
  #waiting: (() => void)[] = [];

  wait(): Promise<void> {
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  tell(): void {
    for (const resolve of this.#waiting.splice(0)) resolve();
  }
}

/**
 * Collects items until they have `limit` bytes or more. The last batch may have fewer.
 * @param limit the same for all batches, or that of the n-th, counted from 0.
 */
export async function* inBatches<T>(
  items: AsyncIterable<T>,
  bytesOf: (item: T) => number,
  limit: number | ((batch: number) => number),
): AsyncGenerator<T[]> {
  const limitOf = typeof limit === 'number' ? () => limit : limit;
  let batch: T[] = [];
  let bytes = 0;
  let given = 0;
  for await (const item of items) {
    batch.push(item);
    bytes += bytesOf(item);
    if (bytes < limitOf(given)) continue;
    yield batch;
    given++;
    batch = [];
    bytes = 0;
  }
  if (batch.length > 0) yield batch;
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
    if (this.#free === 0) await new Promise<void>((resolve) => this.#waiting.push(resolve));
    else this.#free--;
    try {
      return await work();
    } finally {
      const next = this.#waiting.shift();
      if (next === undefined) this.#free++;
      else next();
    }
  }
}

/** With a limit below 1 nothing would ever run. */
function checkLimit(limit: number): void {
  if (!(limit >= 1)) throw new RangeError(`a limit must be at least 1: ${limit}`);
}
