/**
 * One thread of the campaign: changes what it has, runs the decoder, and keeps what got it somewhere new.
 *
 * "New" is a block of code of vecsnap that no input has reached before (V8's precise coverage, taken after each batch and, when it grew,
 * after each input of that batch), or an outcome that no input has had before. The input is put into shared memory before it is tried, so
 * that the main thread can tell which it was when this one hangs or runs out of memory.
 */
import { Session } from 'node:inspector';
import { setImmediate as aTurn } from 'node:timers/promises';
import { getHeapStatistics } from 'node:v8';
import { parentPort, workerData } from 'node:worker_threads';
import { applyEdits, type Edit, randomBytes, randomEdit, seededNumbers } from './mutation.js';
import { type FuzzTarget, type Outcome, tryNow } from './target.js';
import { fuzzTargets } from './targets.js';
import { withoutPauses } from './without-pauses.js';

/** What the main thread says. */
export interface Order {
  readonly target: string;
  readonly inputs: number;
  readonly seed: number;
  readonly directory: string;
  /** Milliseconds that an input may take. */
  readonly mostMilliseconds: number;
  /** u32: inputs tried, length of the one that is being tried; then its bytes. */
  readonly shared: SharedArrayBuffer;
}

/** An input that a decoder does not do what it should with. */
export interface Finding {
  readonly what: string;
  readonly input: Uint8Array;
}

/** What this thread says when it is done. */
export interface Report {
  readonly findings: readonly Finding[];
  readonly kept: number;
  readonly outcomes: number;
  readonly accepted: number;
  readonly blocks: number;
  readonly longestMilliseconds: number;
  readonly largestShare: number;
}

const BATCH = 64;
const MOST_FINDINGS = 20;
const MOST_KEPT = 2000;
/** How often an input must take too much to be a finding. */
const LOOKS = 3;
/** Some messages repeat what was wrong: of so many, the next tells nothing. */
const MOST_OUTCOMES = 300;
/** Coverage is looked at after each of the first batches, then after every so many: it grows seldom by then. */
const ALWAYS_COVERED = 500;
const COVERED_EVERY = 16;
/** After so many batches it is not looked at any more: code that is not counted runs faster, so more is tried. */
const COVERED_BATCHES = 4000;

interface BlockCounts {
  readonly result: readonly {
    readonly url: string;
    readonly functions: readonly {
      readonly ranges: readonly {
        readonly startOffset: number;
        readonly endOffset: number;
        readonly count: number;
      }[];
    }[];
  }[];
}

/** Which blocks of vecsnap have been run. */
class Coverage {
  readonly #session = new Session();
  readonly #seen = new Set<string>();

  constructor() {
    this.#session.connect();
    this.#post('Profiler.enable');
    this.#post('Profiler.startPreciseCoverage', { callCount: true, detailed: true });
  }

  get size(): number {
    return this.#seen.size;
  }

  stop(): void {
    this.#post('Profiler.stopPreciseCoverage');
  }

  /** The blocks that were run since this was asked last. */
  take(): string[] {
    const { result } = this.#post('Profiler.takePreciseCoverage') as BlockCounts;
    return result
      .filter(({ url }) => url.includes('/dist/'))
      .flatMap(({ url, functions }) =>
        functions.flatMap(({ ranges }) =>
          ranges
            .filter(({ count }) => count > 0)
            .map(({ startOffset, endOffset }) => `${url}:${startOffset}-${endOffset}`),
        ),
      );
  }

  /** Those of them that were not run before. */
  takeNew(): Set<string> {
    const fresh = new Set(this.take().filter((block) => !this.#seen.has(block)));
    for (const block of fresh) this.#seen.add(block);
    return fresh;
  }

  #post(method: string, parameters: object = {}): unknown {
    let answer: unknown;
    this.#session.post(method, parameters, (error, result) => {
      if (error !== null) throw error;
      answer = result;
    });
    return answer;
  }
}

class Campaign {
  readonly #order: Order;
  readonly #target: FuzzTarget;
  readonly #random: () => number;
  readonly #coverage = new Coverage();
  readonly #corpus: Uint8Array[];
  readonly #outcomes = new Set<Outcome>();
  readonly #findings = new Map<string, Finding>();
  readonly #progress: Uint32Array;
  readonly #current: Uint8Array;
  #accepted = 0;
  #longest = 0;
  #largestShare = 0;

  constructor(order: Order, target: FuzzTarget) {
    this.#order = order;
    this.#target = target;
    this.#random = seededNumbers(order.seed);
    this.#corpus = [...target.seeds];
    this.#progress = new Uint32Array(order.shared, 0, 2);
    this.#current = new Uint8Array(order.shared, 8);
  }

  async run(): Promise<Report> {
    for (const seed of this.#target.seeds) await this.#try(seed);
    this.#coverage.takeNew();
    const wanted = this.#order.inputs;
    for (let done = 0, batches = 0; done < wanted; done += BATCH, batches++) {
      const inputs = Array.from({ length: Math.min(BATCH, wanted - done) }, () => this.#make());
      for (const input of inputs) await this.#try(input);
      await aTurn(); // What fails in zlib is let go of in the next turn of the event loop, which would never come.
      if (batches === COVERED_BATCHES) this.#coverage.stop();
      const isLookedAt = batches < ALWAYS_COVERED || batches % COVERED_EVERY === 0;
      if (batches < COVERED_BATCHES && isLookedAt)
        await this.#keepThoseThatCover(inputs, this.#coverage.takeNew());
      if (this.#findings.size >= MOST_FINDINGS) break;
    }
    return {
      findings: [...this.#findings.values()],
      kept: this.#corpus.length - this.#target.seeds.length,
      outcomes: this.#outcomes.size,
      accepted: this.#accepted,
      blocks: this.#coverage.size,
      longestMilliseconds: this.#longest,
      largestShare: this.#largestShare,
    };
  }

  /** The batch reached something new; which of its inputs did is found by trying them again one by one. */
  async #keepThoseThatCover(inputs: readonly Uint8Array[], fresh: Set<string>): Promise<void> {
    for (const input of inputs) {
      if (fresh.size === 0) return;
      await this.#try(input);
      const reached = this.#coverage.take().filter((block) => fresh.delete(block));
      if (reached.length > 0) this.#keep(input);
    }
  }

  #keep(input: Uint8Array): void {
    if (this.#corpus.length < MOST_KEPT) this.#corpus.push(input);
    else
      this.#corpus[this.#target.seeds.length + (this.#random() % (MOST_KEPT - this.#target.seeds.length))] =
        input;
  }

  #make(): Uint8Array {
    const random = this.#random;
    if (random() % 16 === 0) return randomBytes(random, 300);
    const edits: Edit[] = Array.from({ length: 1 + (random() % 5) }, () => randomEdit(random));
    const changed = applyEdits(this.#pick(), edits, this.#pick());
    const { reseal } = this.#target;
    return reseal !== undefined && random() % 8 !== 0 ? reseal(changed) : changed;
  }

  #pick(): Uint8Array {
    return this.#corpus[this.#random() % this.#corpus.length] as Uint8Array;
  }

  async #try(input: Uint8Array, looks = 1): Promise<void> {
    this.#current.set(input);
    this.#progress[1] = input.length;
    Atomics.add(this.#progress, 0, 1);
    const begun = memoryNow();
    const started = performance.now();
    try {
      const pending = tryNow(this.#target, input);
      const outcome = typeof pending === 'string' ? pending : await pending;
      await this.#measure(input, started, begun, looks);
      if (outcome === 'accepted') this.#accepted++;
      if (this.#outcomes.has(outcome) || this.#outcomes.size >= MOST_OUTCOMES) return;
      this.#outcomes.add(outcome);
      this.#keep(input);
    } catch (error) {
      this.#find(input, textOf(error));
    }
  }

  async #measure(input: Uint8Array, started: number, begun: number, looks: number): Promise<void> {
    const took = performance.now() - started;
    const { multiple, constant } = this.#target.budget;
    // What was collected meanwhile makes the difference smaller, which a second look would show: it seldom is.
    const bytes = Math.max(0, memoryNow() - begun);
    const share = bytes / (multiple * input.length + constant);
    this.#largestShare = Math.max(this.#largestShare, share);
    this.#longest = Math.max(this.#longest, took);
    const isTooMuch = share > 1 || took > this.#order.mostMilliseconds;
    // Other programs, the compiler and the collector take time and memory too, but not each time.
    if (isTooMuch && looks < LOOKS) return this.#try(input, looks + 1);
    if (share > 1) this.#find(input, `took ${bytes} bytes of memory for ${input.length}`, 'memory');
    if (took > this.#order.mostMilliseconds)
      this.#find(input, `took ${took.toFixed(0)} ms for ${input.length} bytes`, 'time');
  }

  #find(input: Uint8Array, what: string, kind = what): void {
    if (!this.#findings.has(kind)) this.#findings.set(kind, { what, input: input.slice() });
  }
}

/** Bytes of objects and of array buffers, those that nobody needs any more included until they are collected. */
function memoryNow(): number {
  const { used_heap_size: objects, external_memory: buffers } = getHeapStatistics();
  return objects + buffers;
}

function textOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const frame = /at .*dist\/.*/.exec(error.stack ?? '')?.[0] ?? /at .*/.exec(error.stack ?? '')?.[0];
  return `${error.name}: ${error.message.slice(0, 160).replace(/\d+/g, '0')} ${frame ?? ''}`;
}

const order = workerData as Order;
withoutPauses();
const target = (await fuzzTargets(order.directory)).find(({ name }) => name === order.target);
if (target === undefined) throw new Error(`no target ${order.target}`);
// What is thrown outside of every call would end a program: a finding like any other.
const campaign = new Campaign(order, target);
parentPort?.postMessage(await campaign.run());
