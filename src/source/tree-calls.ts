/**
 * The calls by which a tree is looked at and its files are opened. Each call in a thread of Node.js takes the calling one longer than
 * the call itself takes where the kernel knows the answer: 8 for each of 9,000 files took 4.7 s on two processors. So whoever
 * owns the calling thread makes those calls in it, as long as they are quick.
 */
import type { Buffer } from 'node:buffer';
import {
  type BigIntStats,
  closeSync,
  fstatSync,
  fsync,
  lstatSync,
  openSync,
  read,
  readdirSync,
} from 'node:fs';
import { lstat, open, readdir } from 'node:fs/promises';
import { setImmediate as otherWork } from 'node:timers/promises';
import { promisify } from 'node:util';
import type { OpenHandle, ReadHandle } from './local-file.js';

/** See the head of this file. */
export interface TreeCalls {
  /** The names of what is in a directory. @throws the error of the system. */
  list(place: string): Promise<Buffer[]>;
  /** What stands at these places, or the error of the system for each. Not too many at a time. */
  look(places: readonly string[]): Promise<PromiseSettledResult<BigIntStats>[]>;
  readonly open: OpenHandle;
}

/** The calls of a source. @param ownsThread whether nobody else waits for the calling thread. */
export function treeCalls(ownsThread = false): TreeCalls {
  return ownsThread ? new OwnThreadCalls() : threadCalls;
}

const BYTES = { encoding: 'buffer' } as const;
const BIG = { bigint: true } as const;

const threadCalls: TreeCalls = {
  list: (place) => readdir(place, BYTES),
  look: (places) => Promise.allSettled(places.map((place) => lstat(place, BIG))),
  open,
};

/** A look that takes longer than this waits for a disk or a network, and many such waits go side by side in other threads. */
const QUICK_MS = 0.2;

class OwnThreadCalls implements TreeCalls {
  #areQuick = true;

  async list(place: string): Promise<Buffer[]> {
    return this.#areQuick ? readdirSync(place, BYTES) : readdir(place, BYTES);
  }

  async look(places: readonly string[]): Promise<PromiseSettledResult<BigIntStats>[]> {
    const results = this.#areQuick ? this.#lookNow(places) : await this.#lookInThreads(places);
    await otherWork(); // Timers and signals have their turn.
    return results;
  }

  #lookNow(places: readonly string[]): PromiseSettledResult<BigIntStats>[] {
    const started = performance.now();
    const results = places.map(lookNow);
    this.#areQuick = performance.now() - started <= QUICK_MS * places.length + QUICK_MS;
    return results;
  }

  /** The next are tried in this thread again. */
  async #lookInThreads(places: readonly string[]): Promise<PromiseSettledResult<BigIntStats>[]> {
    this.#areQuick = true;
    return threadCalls.look(places);
  }

  readonly open: OpenHandle = async (path, flags) => new OwnThreadHandle(openSync(path, flags));
}

function lookNow(place: string): PromiseSettledResult<BigIntStats> {
  try {
    return { status: 'fulfilled', value: lstatSync(place, BIG) };
  } catch (reason) {
    return { status: 'rejected', reason };
  }
}

const readInThread = promisify(read);
const syncInThread = promisify(fsync);

/** A file that was looked at before: the kernel knows what is asked of it. Reading and syncing may wait for the disk. */
class OwnThreadHandle implements ReadHandle {
  readonly fd: number;

  constructor(fd: number) {
    this.fd = fd;
  }

  async stat(): Promise<BigIntStats> {
    return fstatSync(this.fd, BIG);
  }

  async read(into: Uint8Array, offset: number, length: number, position: number) {
    return readInThread(this.fd, into, offset, length, position);
  }

  async sync(): Promise<void> {
    return syncInThread(this.fd);
  }

  async close(): Promise<void> {
    closeSync(this.fd);
  }
}
