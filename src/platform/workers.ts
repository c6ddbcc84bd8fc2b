/**
 * Worker threads. One takes as long to start as hashing a hundred megabytes does, so a program that will need some may start them before it
 * has a pool, or anything else, to use them.
 */
import { availableParallelism } from 'node:os';
import { Worker, type WorkerOptions } from 'node:worker_threads';

/** A worker that was started. */
export interface StartedWorker {
  readonly worker: Worker;
  /** Resolves when its code is loaded, or when it has come to its end. */
  readonly loaded: Promise<void>;
}

/** Those that no pool has taken yet, the first to be taken first. */
const untaken: StartedWorker[] = [];

/**
 * Starts worker threads for the repository that is opened next, before it is opened. To be called once, by a program that will have much
 * to hash or to decode there; without it they start when there is work.
 * @param count how many. Default: as many as the machine runs at once beside the calling thread, which is what a repository with `ownsThread` takes.
 */
export function startWorkers(count: number = availableParallelism() - 1): void {
  for (let i = 0; i < count; i++) {
    const started = newWorker();
    untaken.push(started);
    started.worker.on('error', () => {}); // Whoever needs a thread starts another, and is told if that cannot be.
    started.worker.once('exit', () => forget(started));
  }
}

/** A worker that was started before, or a new one. */
export function takeWorker(): StartedWorker {
  return untaken.shift() ?? newWorker();
}

function newWorker(): StartedWorker {
  const worker = new Worker(new URL('./pool-worker.js', import.meta.url), workerOptions());
  worker.unref();
  const loaded = new Promise<void>((resolve) => {
    worker.once('message', () => resolve());
    worker.once('exit', () => resolve());
  });
  return { worker, loaded };
}

function forget(started: StartedWorker): void {
  const at = untaken.indexOf(started);
  if (at >= 0) untaken.splice(at, 1);
}

/** A program that is given on the command line may have an option that no worker takes, and would hand it on. */
function workerOptions(): WorkerOptions {
  return process.execArgv.some((option) => option.startsWith('--input-type')) ? { execArgv: [] } : {};
}
