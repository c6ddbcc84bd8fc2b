/** Threads that do jobs: workers, and the calling thread where that may help. */
import { VecsnapError } from '../core/errors.js';
import { JobRunner } from './job-runner.js';
import { type Envelope, type Job, LOADED, type Reply, toSent } from './pool-protocol.js';
import { type StartedWorker, takeWorker } from './workers.js';

/**
 * Jobs that a worker has at the same time: one that it does, and the next ones, so that it hardly waits for this thread. Whoever has no more
 * than so many under way gets no help from the calling thread: with six, `verify` took a fifth longer than with ten.
 */
const JOBS_OF_WORKER = 5;

/** Buffers for chunks of jobs that are kept, and the steps in which they grow, so that most serve most jobs. */
const MOST_SPARE = 8;
const MEMORY_STEP = 1 << 18;

interface Waiting {
  readonly job: Job;
  readonly resolve: (reply: Reply) => void;
  readonly reject: (error: unknown) => void;
}

interface Member extends StartedWorker {
  readonly waiting: Map<number, Waiting>;
}

/** See the head of this file. Workers start with the first job. */
export class ThreadPool {
  readonly #size: number;
  /** Does jobs in the calling thread, one in each turn of its event loop. */
  readonly #helper: JobRunner | undefined;
  readonly #members: Member[] = [];
  readonly #queue: Waiting[] = [];
  /** What came back with answers, for jobs to come: fresh memory takes longer to come by than to fill. */
  readonly #memory: ArrayBuffer[] = [];
  #lastId = 0;
  #isHelpDue = false;

  /**
   * @param size workers.
   * @param helps whether the calling thread does jobs too, when all workers are busy.
   */
  constructor(size: number, helps: boolean) {
    this.#size = size;
    this.#helper = helps ? new JobRunner() : undefined;
  }

  /** Starts the workers, so that they are there when work comes. */
  start(): void {
    while (this.#members.length < this.#size) this.#members.push(this.#newMember());
  }

  /** Does a job. @throws VecsnapError WORKER_FAILED when the worker that had it died. */
  run(job: Job): Promise<Reply> {
    return new Promise((resolve, reject) => {
      this.#queue.push({ job, resolve, reject });
      // Starting a worker takes 8 ms. What this thread has done already, such as the first batch of a snapshot, is given on before.
      if (this.#members.length < this.#size) setImmediate(() => this.#share());
      else this.#share();
    });
  }

  async close(): Promise<void> {
    const closing = this.#members.splice(0).map(endMember);
    for (const { reject } of this.#queue.splice(0)) reject(workerFailed('the pool was closed', undefined));
    await Promise.all(closing);
  }

  /** Gives the jobs that wait to workers that have room, and sees to it that this thread helps with the others. */
  #share(): void {
    while (this.#queue.length > 0) {
      const member = this.#freeMember();
      if (member === undefined) break;
      this.#send(member, this.#queue.shift() as Waiting);
    }
    if (this.#queue.length === 0 || this.#helper === undefined || this.#isHelpDue) return;
    this.#isHelpDue = true;
    setImmediate(() => {
      this.#isHelpDue = false;
      this.#help(this.#helper as JobRunner);
      this.#share();
    });
  }

  #help(helper: JobRunner): void {
    const waiting = this.#queue.shift();
    if (waiting === undefined) return;
    try {
      waiting.resolve(helper.run(waiting.job));
    } catch (error) {
      waiting.reject(workerFailed(messageOf(error), error));
    }
  }

  /** The worker with the fewest jobs, if it has room for one more. */
  #freeMember(): Member | undefined {
    if (this.#members.length < this.#size) {
      const member = this.#newMember();
      this.#members.push(member);
      return member;
    }
    const member = this.#members.reduce((a, b) => (b.waiting.size < a.waiting.size ? b : a));
    return member.waiting.size < JOBS_OF_WORKER ? member : undefined;
  }

  #send({ worker, waiting }: Member, { job, resolve, reject }: Waiting): void {
    const id = ++this.#lastId;
    try {
      const { job: content, memory } = toSent(job, (length) => this.#takeMemory(length));
      const moved = [job.spare, memory].filter((buffer) => buffer !== undefined);
      worker.postMessage({ id, content, memory } satisfies Envelope<Job>, moved);
    } catch (error) {
      reject(error); // For what cannot be sent.
      return;
    }
    waiting.set(id, { job, resolve, reject });
    worker.ref(); // An idle worker keeps no process alive; one that has work does.
  }

  #takeMemory(length: number): ArrayBuffer {
    const at = this.#memory.findIndex(({ byteLength }) => byteLength >= length);
    if (at >= 0) return this.#memory.splice(at, 1)[0] as ArrayBuffer;
    this.#memory.shift(); // Or what is too small would stay for ever.
    return new ArrayBuffer(Math.ceil(length / MEMORY_STEP) * MEMORY_STEP);
  }

  #newMember(): Member {
    const { worker, loaded } = takeWorker();
    const member: Member = { worker, loaded, waiting: new Map() };
    worker.on('message', (message: Envelope<Reply> | typeof LOADED) => {
      if (message === LOADED) return;
      const { id, content, memory } = message;
      if (memory !== undefined && this.#memory.length < MOST_SPARE) this.#memory.push(memory);
      const waiting = member.waiting.get(id);
      member.waiting.delete(id);
      if (member.waiting.size === 0) worker.unref();
      waiting?.resolve(content);
      this.#share();
    });
    const fail = (why: string, cause?: unknown): void => {
      const at = this.#members.indexOf(member);
      if (at >= 0) this.#members.splice(at, 1);
      for (const { reject } of member.waiting.values()) reject(workerFailed(why, cause));
      member.waiting.clear();
      if (at >= 0) this.#share();
    };
    worker.on('error', (cause: unknown) => fail(messageOf(cause), cause));
    worker.on('exit', (code) => fail(`it ended with code ${code}`));
    return member;
  }
}

/** Ends a worker, but not while it loads: the file that it was reading would stay open for as long as the process lives. */
async function endMember({ worker, loaded }: Member): Promise<void> {
  worker.ref();
  await loaded;
  await worker.terminate();
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : 'an error';
}

function workerFailed(why: string, cause: unknown): VecsnapError {
  return new VecsnapError('WORKER_FAILED', `A thread could not do its work: ${why}.`, {
    place: 'a worker thread',
    remedy: 'Try again. When memory is short, fewer threads help: SnapshotManager takes workers: 1.',
    cause,
  });
}
