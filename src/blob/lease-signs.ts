/**
 * Signs of life. A process of this machine can be seen; the holder of a lease on another one cannot, so it tells that it is alive:
 * every minute it puts a blob `locks/beat-<random of its lease>-<milliseconds since 1970>` and deletes the one before. When none
 * came for half an hour, by the clock of whoever looks, the lease counts as that of a dead holder (docs/ordering.md, L5).
 *
 * The lease itself is never replaced: whoever listed it before and read it after that would take it for released.
 */
import type { Clock } from '../core/index.js';
import type { BlobStore } from './port.js';

/** Milliseconds between two signs of life. */
export const BEAT_MS = 60 * 1000;
/** Milliseconds without a sign after which the holder on another host counts as dead. Clocks of hosts may differ by less than this and a beat. */
export const LEASE_TTL_MS = 30 * 60 * 1000;

const BEAT_PREFIX = 'locks/beat-';

type SignStore = Pick<BlobStore, 'put' | 'list' | 'delete'>;

/** When a lease was taken, by its name; undefined for names that are not of ours. */
export function takenAt(lease: string): number | undefined {
  const written = /-([0-9]{1,15})-[0-9a-f]+$/.exec(lease)?.[1];
  return written === undefined ? undefined : Number(written);
}

/** When the holder of a lease last gave a sign of life, in milliseconds since 1970 by its own clock. */
export async function lastSign(store: SignStore, lease: string): Promise<number | undefined> {
  const signs = [takenAt(lease)];
  for await (const { name } of store.list(beatPrefix(lease))) signs.push(timeOf(name));
  const known = signs.filter((sign) => sign !== undefined);
  return known.length === 0 ? undefined : Math.max(...known);
}

/** Removes the signs of a lease. */
export async function removeSigns(store: SignStore, lease: string): Promise<void> {
  for await (const { name } of store.list(beatPrefix(lease))) await store.delete(name);
}

/** Removes signs whose lease is not `own`: crashes left them. The caller holds `own`, so that nobody else gives signs. */
export async function removeStraySigns(store: SignStore, own: string): Promise<void> {
  for await (const { name } of store.list(BEAT_PREFIX))
    if (!name.startsWith(beatPrefix(own))) await store.delete(name);
}

/** The signs of one holder, from now until it stops. */
export class Heartbeat {
  readonly #store: SignStore;
  readonly #lease: string;
  readonly #clock: Clock;
  readonly #timer: ReturnType<typeof setInterval>;
  #last: string | undefined;
  #beating: Promise<void> = Promise.resolve();

  constructor(store: SignStore, lease: string, clock: Clock, beatMs = BEAT_MS) {
    this.#store = store;
    this.#lease = lease;
    this.#clock = clock;
    this.#timer = setInterval(() => {
      // One that cannot be put is made good by the next. Without any for too long the lease is lost, and its holder is told.
      this.#beating = this.#beating.then(() => this.#beat()).catch(() => undefined);
    }, beatMs);
    this.#timer.unref();
  }

  async #beat(): Promise<void> {
    const name = `${beatPrefix(this.#lease)}${this.#clock.now()}`;
    if (name === this.#last) return;
    await this.#store.put(name, new Uint8Array(0));
    const before = this.#last;
    this.#last = name;
    if (before !== undefined) await this.#store.delete(before);
  }

  /** Stops, and removes what is left. */
  async stop(): Promise<void> {
    clearInterval(this.#timer);
    await this.#beating;
    if (this.#last !== undefined) await this.#store.delete(this.#last);
    this.#last = undefined;
  }
}

function beatPrefix(lease: string): string {
  return `${BEAT_PREFIX}${lease.slice(lease.lastIndexOf('-') + 1)}-`;
}

function timeOf(beat: string): number | undefined {
  const digits = /-([0-9]{1,15})$/.exec(beat)?.[1];
  return digits === undefined ? undefined : Number(digits);
}
