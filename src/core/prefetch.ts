/** Doing work ahead of a consumer, also while it does other things, but bounded in bytes. */

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
  options: AheadOptions<T>,
  work: (item: T) => Promise<R>,
): AsyncGenerator<R> {
  const queue = new Queue<R>(options.limit);
  const ended = beginAll(items, options.bytesOf, work, queue).then(
    () => queue.end(),
    (error: unknown) => queue.end({ error }),
  );
  try {
    for (let first = await queue.first(); first !== undefined; first = await queue.first()) {
      yield await first.result;
      queue.dropFirst();
    }
  } finally {
    queue.abandon();
    await ended;
    await queue.settled();
  }
}

/** Begins the work on items as there is room, until all are begun or nobody wants them any more. */
async function beginAll<T, R>(
  items: AsyncIterable<T>,
  bytesOf: (item: T) => number,
  work: (item: T) => Promise<R>,
  queue: Queue<R>,
): Promise<void> {
  for await (const item of items) {
    const bytes = bytesOf(item);
    if (!(await queue.hasRoom(bytes))) return;
    queue.add(work(item), bytes);
  }
}

/** A result that is ahead, and the bytes of its item. */
interface Begun<R> {
  readonly result: Promise<R>;
  readonly bytes: number;
}

/** Results that are ahead, in order, and who waits for a change of them. */
class Queue<R> {
  readonly #limit: number;
  readonly #begun: Begun<R>[] = [];
  #ahead = 0;
  #isAbandoned = false;
  #end: { readonly failure: { readonly error: unknown } | undefined } | undefined;
  #waiting: (() => void)[] = [];

  constructor(limit: number) {
    this.#limit = limit;
  }

  /** Waits until there is room. @returns false when the consumer has left. */
  async hasRoom(bytes: number): Promise<boolean> {
    while (!this.#isAbandoned && this.#ahead > 0 && this.#ahead + bytes > this.#limit) await this.#change();
    return !this.#isAbandoned;
  }

  add(result: Promise<R>, bytes: number): void {
    result.catch(() => {}); // It is thrown when its turn comes.
    this.#begun.push({ result, bytes });
    this.#ahead += bytes;
    this.#tell();
  }

  /** Says that nothing more comes and, if that is a failure, which. */
  end(failure?: { readonly error: unknown }): void {
    this.#end = { failure };
    this.#tell();
  }

  /** Waits for the first that was not dropped. @returns undefined at the end. @throws the failure that is the end. */
  async first(): Promise<Begun<R> | undefined> {
    while (this.#begun.length === 0 && this.#end === undefined) await this.#change();
    const [first] = this.#begun;
    if (first === undefined && this.#end?.failure !== undefined) throw this.#end.failure.error;
    return first;
  }

  dropFirst(): void {
    this.#ahead -= this.#begun.shift()?.bytes ?? 0;
    this.#tell();
  }

  /** Says that the consumer has left. */
  abandon(): void {
    this.#isAbandoned = true;
    this.#tell();
  }

  /** Waits until no work is under way. */
  async settled(): Promise<void> {
    await Promise.allSettled(this.#begun.map(({ result }) => result));
  }

  #change(): Promise<void> {
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  #tell(): void {
    for (const resolve of this.#waiting.splice(0)) resolve();
  }
}
