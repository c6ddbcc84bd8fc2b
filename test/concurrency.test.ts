/** Doing several things at once: limits, order, failures and early ends, without a clock. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { runs } from './support/arbitraries.js';
import { collect } from './support/collect.js';
import { Channel, inBatches, mapAhead, mapConcurrent, prefetch, regroup, Semaphore } from 'vecsnap/core';

/** Work that ends when it is told to, and counts how much of it is under way. */
class Gates {
  readonly started: number[] = [];
  running = 0;
  most = 0;
  readonly #gates = new Map<number, { resolve: () => void; reject: (error: Error) => void }>();

  readonly work = async (item: number): Promise<string> => {
    this.started.push(item);
    this.most = Math.max(this.most, ++this.running);
    try {
      await new Promise<void>((resolve, reject) => this.#gates.set(item, { resolve, reject }));
    } finally {
      this.running--;
    }
    return `done ${item}`;
  };

  open(item: number): void {
    this.#gates.get(item)?.resolve();
  }

  fail(item: number): void {
    this.#gates.get(item)?.reject(new Error(`failed ${item}`));
  }
}

/** Lets everything run that can run now. */
async function settle(): Promise<void> {
  await new Promise((resolve) => setImmediate(resolve));
}

/** Ends work under way, in an order that `choose` gives, until nothing is under way. */
async function openAll(gates: Gates, choose: (count: number) => number): Promise<void> {
  const opened = new Set<number>();
  for (;;) {
    await settle();
    const waiting = gates.started.filter((item) => !opened.has(item));
    if (waiting.length === 0) return;
    const item = waiting[choose(waiting.length)] as number;
    opened.add(item);
    gates.open(item);
  }
}

const items = (count: number): number[] => Array.from({ length: count }, (_, i) => i);
const done = (count: number): string[] => items(count).map((item) => `done ${item}`);
const anyOrder = fc.infiniteStream(fc.nat({ max: 99 }));

async function* asyncItems(count: number, onEnd: () => void = () => {}): AsyncGenerator<number> {
  try {
    yield* items(count);
  } finally {
    onEnd();
  }
}

describe('mapConcurrent', () => {
  it('gives results in order and keeps to its limit, whatever ends first', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.nat({ max: 12 }),
        fc.integer({ min: 1, max: 5 }),
        anyOrder,
        async (count, limit, order) => {
          const gates = new Gates();
          const results = mapConcurrent(items(count), limit, gates.work);
          await openAll(gates, (waiting) => order.next().value % waiting);
          expect(await results).toEqual(done(count));
          expect(gates.most).toBe(Math.min(count, limit));
        },
      ),
      { numRuns: runs(30) },
    );
  });

  it('begins nothing more after a failure, waits for what is under way, and throws the first failure', async () => {
    const gates = new Gates();
    let settled = false;
    const results = mapConcurrent(items(10), 3, gates.work).finally(() => (settled = true));
    results.catch(() => {});
    gates.fail(2);
    await settle();
    gates.open(1);
    await settle();
    expect(settled).toBe(false);
    gates.fail(0);
    await expect(results).rejects.toThrow('failed 2');
    expect(gates.started).toEqual([0, 1, 2]);
  });

  it('treats work that throws at once like work that fails', async () => {
    const work = (item: number): Promise<number> => {
      if (item === 1) throw new Error('at once');
      return Promise.resolve(item);
    };
    await expect(mapConcurrent(items(5), 2, work)).rejects.toThrow('at once');
  });

  it.each([0, -1, Number.NaN])('takes no limit of %d', async (limit) => {
    await expect(mapConcurrent([1], limit, async () => 1)).rejects.toThrow(RangeError);
  });
});

describe('mapAhead', () => {
  it('gives results in order and runs no further ahead than it may', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.nat({ max: 12 }),
        fc.integer({ min: 1, max: 5 }),
        anyOrder,
        async (count, ahead, order) => {
          const gates = new Gates();
          const results = collect(mapAhead(asyncItems(count), ahead, gates.work));
          await openAll(gates, (waiting) => order.next().value % waiting);
          expect(await results).toEqual(done(count));
          expect(gates.most).toBe(Math.min(count, ahead));
        },
      ),
      { numRuns: runs(30) },
    );
  });

  it('begins nothing before it is asked', async () => {
    const gates = new Gates();
    mapAhead(items(3), 2, gates.work);
    await settle();
    expect(gates.started).toEqual([]);
  });

  it('waits for what is under way when its consumer stops early, and lets go of its source', async () => {
    const gates = new Gates();
    let ended = false;
    const results = mapAhead(
      asyncItems(9, () => (ended = true)),
      3,
      gates.work,
    );
    const first = results.next();
    await settle();
    gates.open(0);
    expect(await first).toEqual({ done: false, value: 'done 0' });
    let stopped = false;
    const stop = results.return(undefined).then(() => (stopped = true));
    await settle();
    gates.fail(1); // A failure that nobody will see is no unhandled rejection.
    await settle();
    expect(stopped).toBe(false);
    gates.open(2);
    await stop;
    expect(ended).toBe(true);
    expect(gates.started).toEqual([0, 1, 2]);
  });

  it('throws a failure when its turn comes, after the results before it', async () => {
    const gates = new Gates();
    let ended = false;
    const seen: string[] = [];
    const reading = (async () => {
      for await (const result of mapAhead(
        asyncItems(9, () => (ended = true)),
        3,
        gates.work,
      ))
        seen.push(result);
    })();
    reading.catch(() => {});
    await settle();
    gates.fail(1);
    gates.open(2);
    await settle();
    gates.open(0);
    await settle();
    expect(seen).toEqual(['done 0']);
    gates.open(3);
    await expect(reading).rejects.toThrow('failed 1');
    expect(ended).toBe(true);
    expect(gates.running).toBe(0);
  });

  it('throws what its source throws, once nothing is under way', async () => {
    const gates = new Gates();
    async function* failing(): AsyncGenerator<number> {
      yield 0;
      throw new Error('the source failed');
    }
    let settled = false;
    const reading = collect(mapAhead(failing(), 3, gates.work)).finally(() => (settled = true));
    reading.catch(() => {});
    await settle();
    expect(settled).toBe(false);
    gates.open(0);
    await expect(reading).rejects.toThrow('the source failed');
  });

  it.each([0, Number.NaN])('takes no limit of %d', async (ahead) => {
    await expect(mapAhead([1], ahead, async () => 1).next()).rejects.toThrow(RangeError);
  });
});

describe('prefetch', () => {
  const bytesOf = (item: number): number => item + 1;

  it('gives results in order, and is never further ahead than its limit or one item', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.nat({ max: 15 }),
        fc.integer({ min: 1, max: 20 }),
        anyOrder,
        async (count, limit, order) => {
          const gates = new Gates();
          const seen: string[] = [];
          const reading = (async () => {
            const results = prefetch(asyncItems(count), { bytesOf, limit }, gates.work);
            for await (const result of results) {
              // What is in hand is still ahead.
              const ahead = gates.started.slice(seen.length).reduce((sum, item) => sum + bytesOf(item), 0);
              expect(ahead <= limit || gates.started.length === seen.length + 1).toBe(true);
              seen.push(result);
            }
          })();
          await openAll(gates, (waiting) => order.next().value % waiting);
          await reading;
          expect(seen).toEqual(done(count));
        },
      ),
      { numRuns: runs(50) },
    );
  });

  it('goes on while its consumer does other things, up to its limit', async () => {
    const gates = new Gates();
    const results = prefetch(asyncItems(9), { bytesOf: () => 10, limit: 35 }, gates.work);
    const first = results.next();
    await settle();
    expect(gates.started).toEqual([0, 1, 2]);
    gates.open(0);
    await first;
    await settle();
    expect(gates.started).toEqual([0, 1, 2]); // The first is in hand.
    const second = results.next();
    await settle();
    expect(gates.started).toEqual([0, 1, 2, 3]); // Without the second being there.
    for (const item of [1, 2, 3]) gates.open(item);
    await second;
    await results.return(undefined);
  });

  it('begins nothing before it is asked', async () => {
    const gates = new Gates();
    prefetch(asyncItems(3), { bytesOf, limit: 9 }, gates.work);
    await settle();
    expect(gates.started).toEqual([]);
  });

  it('waits for what is under way when its consumer stops early, begins nothing more, and lets go of its source', async () => {
    const gates = new Gates();
    let ended = false;
    const source = asyncItems(9, () => (ended = true));
    const results = prefetch(source, { bytesOf: () => 1, limit: 3 }, gates.work);
    const first = results.next();
    await settle();
    gates.open(0);
    await first;
    let stopped = false;
    const stop = results.return(undefined).then(() => (stopped = true));
    await settle();
    gates.fail(1); // A failure that nobody will see is no unhandled rejection.
    await settle();
    expect(stopped).toBe(false);
    gates.open(2);
    await stop;
    expect(ended).toBe(true);
    expect(gates.started).toEqual([0, 1, 2]);
  });

  it('throws a failure when its turn comes, after the results before it', async () => {
    const gates = new Gates();
    const seen: string[] = [];
    const reading = (async () => {
      const results = prefetch(asyncItems(9), { bytesOf: () => 1, limit: 3 }, gates.work);
      for await (const result of results) seen.push(result);
    })();
    reading.catch(() => {});
    await settle();
    gates.fail(1);
    gates.open(2);
    await settle();
    expect(seen).toEqual([]);
    gates.open(0);
    await settle();
    gates.open(3);
    await expect(reading).rejects.toThrow('failed 1');
    expect(seen).toEqual(['done 0']);
    expect(gates.running).toBe(0);
  });

  it('throws what its source throws, after the results before it', async () => {
    async function* failing(): AsyncGenerator<number> {
      yield 0;
      throw new Error('the source failed');
    }
    const seen: number[] = [];
    const reading = (async () => {
      const results = prefetch(failing(), { bytesOf, limit: 9 }, async (item) => item);
      for await (const result of results) seen.push(result);
    })();
    await expect(reading).rejects.toThrow('the source failed');
    expect(seen).toEqual([0]);
  });
});

describe('inBatches', () => {
  it('leaves nothing out, and ends a batch with the item that fills it', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.nat({ max: 50 })), fc.nat({ max: 100 }), async (sizes, limit) => {
        const source = (async function* () {
          yield* sizes;
        })();
        const batches = await collect(inBatches(source, (size) => size, limit));
        const sum = (batch: readonly number[]) => batch.reduce((a, b) => a + b, 0);
        expect(batches.flat()).toEqual(sizes);
        for (const batch of batches) expect(sum(batch.slice(0, -1))).toBeLessThan(Math.max(limit, 1));
        for (const batch of batches.slice(0, -1)) expect(sum(batch)).toBeGreaterThanOrEqual(limit);
        expect(batches.every((batch) => batch.length > 0)).toBe(true);
      }),
    );
  });

  it('is the same for items that come many at a time', async () => {
    const anyRuns = fc.array(fc.array(fc.nat({ max: 50 }), { maxLength: 6 }));
    const anyLimit = fc.oneof(
      fc.nat({ max: 100 }),
      fc.constant((batch: number) => 10 * 2 ** batch),
    );
    await fc.assert(
      fc.asyncProperty(anyRuns, anyLimit, async (given, limit) => {
        const many = (async function* () {
          yield* given;
        })();
        const single = (async function* () {
          yield* given.flat();
        })();
        expect(await collect(regroup(many, (size) => size, limit))).toEqual(
          await collect(inBatches(single, (size) => size, limit)),
        );
      }),
    );
  });
});

describe('Semaphore', () => {
  it('lets in no more than its limit, in order, and the next one after a failure', async () => {
    const gates = new Gates();
    const semaphore = new Semaphore(2);
    const runs = items(5).map((item) => semaphore.run(() => gates.work(item)));
    runs.forEach((run) => run.catch(() => {}));
    await settle();
    expect(gates.started).toEqual([0, 1]);
    gates.fail(1);
    await settle();
    expect(gates.started).toEqual([0, 1, 2]);
    gates.open(0);
    gates.open(2);
    await settle();
    gates.open(3);
    gates.open(4);
    const results = await Promise.allSettled(runs);
    expect(results.map(({ status }) => status === 'fulfilled')).toEqual([true, false, true, true, true]);
    expect(gates.started).toEqual([0, 1, 2, 3, 4]);
    expect(gates.most).toBe(2);
    const again = [semaphore.run(() => gates.work(5)), semaphore.run(() => gates.work(6))];
    await settle();
    expect(gates.started.slice(5)).toEqual([5, 6]);
    gates.open(5);
    gates.open(6);
    await Promise.all(again);
  });

  it.each([0, Number.NaN])('takes no limit of %d', (limit) => {
    expect(() => new Semaphore(limit)).toThrow(RangeError);
  });
});

describe('Channel', () => {
  const lengthOf = ({ length }: Uint8Array): number => length;
  const settled = async (promise: Promise<unknown>): Promise<boolean> =>
    Promise.race([promise.then(() => true), new Promise<false>((resolve) => setImmediate(resolve, false))]);

  it('hands on what is sent, in order, whoever is quicker, and says what is done with', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.uint8Array({ maxLength: 5 }), { maxLength: 20 }),
        fc.integer({ min: 1, max: 12 }),
        fc.infiniteStream(fc.nat(2)),
        async (items, limit, pauses) => {
          const pause = async (): Promise<void> => {
            for (let i = pauses.next().value as number; i > 0; i--)
              await new Promise((resolve) => setImmediate(resolve));
          };
          const done: Uint8Array[] = [];
          const channel = new Channel(lengthOf, limit, (item) => done.push(item));
          let onTheirWay = 0;
          const send = async (): Promise<void> => {
            for (const item of items) {
              await pause();
              onTheirWay += item.length;
              await channel.send(item);
              expect(onTheirWay).toBeLessThan(limit);
            }
            channel.end();
          };
          const received: Uint8Array[] = [];
          const receive = async (): Promise<void> => {
            for await (const item of channel.receive()) {
              expect(done).toEqual(received);
              received.push(item);
              await pause();
              onTheirWay -= item.length;
            }
          };
          await Promise.all([send(), receive()]);
          expect(received).toEqual(items);
          expect(done).toEqual(items);
        },
      ),
      { numRuns: runs(100) },
    );
  });

  it('keeps the sender waiting until the receiver asks for what comes after', async () => {
    const channel = new Channel(lengthOf, 4);
    expect(await settled(channel.send(new Uint8Array(3)))).toBe(true);
    const second = channel.send(new Uint8Array(1));
    expect(await settled(second)).toBe(false);
    const receiver = channel.receive();
    await receiver.next();
    expect(await settled(second), 'the first is still looked at').toBe(false);
    await receiver.next();
    expect(await settled(second)).toBe(true);
  });

  it('fails for the receiver at once, and lets the sender go', async () => {
    const channel = new Channel(lengthOf, 1);
    const sending = channel.send(new Uint8Array(1));
    const failure = new Error('broken');
    channel.fail(failure);
    channel.end(); // No end any more.
    await expect(channel.receive().next()).rejects.toBe(failure);
    await sending;
    const waiting = new Channel(lengthOf, 1);
    const next = waiting.receive().next();
    await new Promise((resolve) => setImmediate(resolve));
    waiting.fail(failure);
    await expect(next).rejects.toBe(failure);
  });

  it.each(['leaves', 'is never there'])(
    'does not keep the sender waiting for a receiver who %s',
    async (how) => {
      const channel = new Channel(lengthOf, 1);
      const sending = channel.send(new Uint8Array(5));
      expect(await settled(sending)).toBe(false);
      if (how === 'leaves') for await (const _ of channel.receive()) break;
      else channel.close();
      await sending;
      await channel.send(new Uint8Array(5));
    },
  );
});
