/** A store around any other that fails, reads short and lists late when it is told to, and records what it was asked. */
import { VecsnapError } from 'vecsnap/core';
import type { BlobStat, BlobStore } from 'vecsnap/blob';

export type BlobMethod = 'put' | 'get' | 'read' | 'stat' | 'list' | 'delete' | 'close';

/** One call: `name` is the prefix of a list, '' for close; `bytes` what was put, or asked for by a read. */
export interface BlobCall {
  readonly method: BlobMethod;
  readonly name: string;
  readonly bytes: number;
}

/** One call that goes wrong. */
export interface Failure {
  /** Which of the matching calls, counted from 1 from when the faults were set. */
  readonly nth: number;
  /** Default: every method. */
  readonly method?: BlobMethod;
  /** Default: every name. */
  readonly name?: RegExp;
  /** Whether all matching calls after the n-th fail too, as on a full disk. */
  readonly onwards?: boolean;
  readonly code?: 'STORE_FAILED' | 'STORE_FULL';
  /**
   * `before`: nothing was done. `torn`: what can be done in part was, and then it failed: a put or delete is done but not
   * confirmed, a read has filled half of the array, a list has given half of the blobs. No half blob ever shows.
   */
  readonly when?: 'before' | 'torn';
}

export interface Faults {
  readonly failures?: readonly Failure[];
  /** Every n-th read of two bytes or more gives only half, which the port forbids. */
  readonly shortReads?: number;
  /** How many lists miss a blob after its put, and still show it after its delete, which the port forbids. */
  readonly listsLate?: number;
  /** Only the n-th list misses what was put last of all that it should show. Not together with `listsLate`. */
  readonly lateList?: number;
  /** Milliseconds that calls take longer, one after the other, again and again. */
  readonly delays?: readonly number[];
}

export interface FaultyBlobStore extends BlobStore {
  /** Every call so far, failed ones included. */
  readonly calls: readonly BlobCall[];
  /** Puts other faults in place of those before, and counts from 1 again. */
  setFaults(faults: Faults): void;
}

export function faultyBlobStore(inner: BlobStore, faults: Faults = {}): FaultyBlobStore {
  return new Faulty(inner, faults);
}

class Faulty implements FaultyBlobStore {
  readonly calls: BlobCall[] = [];
  readonly #inner: BlobStore;
  #faults: Faults;
  #pending: { failure: Failure; seen: number }[] = [];
  #reads = 0;
  #lists = 0;
  #calls = 0;
  readonly #put: string[] = [];
  #late: LateNames;

  constructor(inner: BlobStore, faults: Faults) {
    this.#inner = inner;
    this.#faults = faults;
    this.#late = new LateNames(0);
    this.setFaults(faults);
  }

  get place(): string {
    return this.#inner.place;
  }

  setFaults(faults: Faults): void {
    this.#faults = faults;
    this.#pending = (faults.failures ?? []).map((failure) => ({ failure, seen: 0 }));
    this.#reads = 0;
    this.#lists = 0;
    this.#calls = 0;
    this.#late = new LateNames(faults.listsLate ?? 0);
  }

  async put(name: string, bytes: Uint8Array | readonly Uint8Array[]): Promise<void> {
    const parts = bytes instanceof Uint8Array ? [bytes] : bytes;
    const size = parts.reduce((sum, part) => sum + part.length, 0);
    await this.#wholly('put', name, size, async () => {
      await this.#inner.put(name, bytes);
      this.#late.put(name);
      this.#put.push(name);
    });
  }

  async get(name: string): Promise<Uint8Array> {
    return this.#wholly('get', name, 0, () => this.#inner.get(name));
  }

  async read(name: string, offset: number, into: Uint8Array): Promise<number> {
    const failure = this.#record('read', name, into.length);
    await this.#delay();
    if (failure?.when === 'torn') await this.#inner.read(name, offset, halfOf(into));
    if (failure) throw errorOf(failure, 'read', name);
    const short = into.length > 1 && ++this.#reads % (this.#faults.shortReads ?? Infinity) === 0;
    return this.#inner.read(name, offset, short ? halfOf(into) : into);
  }

  async stat(name: string): Promise<BlobStat | undefined> {
    return this.#wholly('stat', name, 0, () => this.#inner.stat(name));
  }

  async *list(prefix: string): AsyncGenerator<BlobStat> {
    const failure = this.#record('list', prefix, 0);
    if (failure && failure.when !== 'torn') throw errorOf(failure, 'list', prefix);
    await this.#delay();
    if (++this.#lists === this.#faults.lateList) {
      const last = this.#put.findLast((name) => name.startsWith(prefix));
      for await (const stat of this.#inner.list(prefix)) if (stat.name !== last) yield stat;
      return;
    }
    if (failure === undefined && this.#faults.listsLate === undefined) return yield* this.#inner.list(prefix);
    const stats = this.#late.list(await collect(this.#inner.list(prefix)), prefix);
    yield* failure ? stats.slice(0, Math.ceil(stats.length / 2)) : stats;
    if (failure) throw errorOf(failure, 'list', prefix);
  }

  async delete(name: string): Promise<void> {
    await this.#wholly('delete', name, 0, async () => {
      const stat = await this.#inner.stat(name);
      await this.#inner.delete(name);
      if (stat) this.#late.delete(stat);
    });
  }

  async close(): Promise<void> {
    await this.#wholly('close', '', 0, () => this.#inner.close());
  }

  /** Does `action` unless this call fails before; when it is to be torn, does it and fails nevertheless. */
  async #wholly<T>(method: BlobMethod, name: string, bytes: number, action: () => Promise<T>): Promise<T> {
    const failure = this.#record(method, name, bytes);
    await this.#delay();
    if (failure && failure.when !== 'torn') throw errorOf(failure, method, name);
    const result = await action();
    if (failure) throw errorOf(failure, method, name);
    return result;
  }

  async #delay(): Promise<void> {
    const { delays = [] } = this.#faults;
    if (delays.length === 0) return;
    const milliseconds = delays[this.#calls++ % delays.length] ?? 0;
    await new Promise((resolve) => setTimeout(resolve, milliseconds));
  }

  #record(method: BlobMethod, name: string, bytes: number): Failure | undefined {
    this.calls.push({ method, name, bytes });
    let due: Failure | undefined;
    for (const entry of this.#pending) {
      const { failure } = entry;
      if ((failure.method ?? method) !== method || !(failure.name?.test(name) ?? true)) continue;
      entry.seen++;
      if (entry.seen === failure.nth || (failure.onwards === true && entry.seen > failure.nth))
        due ??= failure;
    }
    return due;
  }
}

/** What lists do not show yet, and what they still show. */
class LateNames {
  readonly #delay: number;
  readonly #hidden = new Map<string, number>();
  readonly #ghosts = new Map<string, { stat: BlobStat; lists: number }>();

  constructor(delay: number) {
    this.#delay = delay;
  }

  put(name: string): void {
    if (this.#delay > 0) this.#hidden.set(name, this.#delay);
    this.#ghosts.delete(name);
  }

  delete(stat: BlobStat): void {
    const shown = !this.#hidden.delete(stat.name);
    if (this.#delay > 0 && shown) this.#ghosts.set(stat.name, { stat, lists: this.#delay });
  }

  list(stats: readonly BlobStat[], prefix: string): BlobStat[] {
    const ghosts = Array.from(this.#ghosts.values(), ({ stat }) => stat).filter(({ name }) =>
      name.startsWith(prefix),
    );
    const shown = [...stats.filter(({ name }) => !this.#hidden.has(name)), ...ghosts];
    for (const [name, lists] of this.#hidden) countDown(this.#hidden, name, lists - 1, lists - 1);
    for (const [name, { stat, lists }] of this.#ghosts)
      countDown(this.#ghosts, name, { stat, lists: lists - 1 }, lists - 1);
    return shown.toSorted((a, b) => (a.name < b.name ? -1 : 1));
  }
}

function countDown<V>(map: Map<string, V>, name: string, value: V, left: number): void {
  if (left > 0) map.set(name, value);
  else map.delete(name);
}

async function collect(stats: AsyncIterable<BlobStat>): Promise<BlobStat[]> {
  const all: BlobStat[] = [];
  for await (const stat of stats) all.push(stat);
  return all;
}

function halfOf(into: Uint8Array): Uint8Array {
  return into.subarray(0, into.length >> 1);
}

function errorOf({ code = 'STORE_FAILED' }: Failure, method: BlobMethod, name: string): VecsnapError {
  return new VecsnapError(code, `An injected fault of ${method}.`, {
    place: name,
    remedy: 'None: this is a test.',
  });
}
