/**
 * Leases: how one process tells all others that share a store that it is at work.
 *
 * A lease is a blob `locks/<kind>-<milliseconds since 1970>-<random>` that names its holder. Whoever wants to hold it:
 *
 *   1. looks for leases of others, and waits while one of a live holder is there;
 *   2. puts a lease of its own under a name that nobody else uses;
 *   3. looks again. If there is another one of a live holder, it deletes its own, waits a random time and begins anew.
 *
 * Everybody puts before the second look, and a put is visible to all when it resolves, so of two at least one sees the
 * other: there are never two holders. Both may see each other; the random time then tells them apart.
 *
 * The lease of a dead holder is deleted by whoever comes next. Names are never used twice, so that deletes nothing else.
 * A crash therefore leaves no lock behind for longer than it takes to notice that the holder is dead: at once on the same machine,
 * half an hour after its last sign of life on another (docs/ordering.md, L1 to L6).
 */
import {
  asMap,
  type Canonical,
  type Clock,
  decodeCanonical,
  encodeCanonical,
  isVecsnapError,
  type RandomBytes,
  throwIfAborted,
  toHex,
  VecsnapError,
} from '../core/index.js';
import { Heartbeat, lastSign, LEASE_TTL_MS, removeSigns, removeStraySigns, takenAt } from './lease-signs.js';
import type { BlobStat, BlobStore } from './port.js';

/** What a lease is for. Leases of different kinds do not see each other. */
export type LeaseKind = 'writer';

/** Who holds a lease. Texts are empty where the system does not tell. */
export interface ProcessIdentity {
  /** What it does, for messages, for example `create`. */
  readonly operation: string;
  readonly pid: number;
  readonly host: string;
  /** Differs after every start of the system. */
  readonly bootId: string;
  /** Processes of different namespaces (containers) cannot see each other. */
  readonly pidNamespace: string;
  /** When the process was started, in the system's own terms, to tell it from a later one of the same pid. */
  readonly processStart: string;
  /** When the operation was started, in milliseconds since 1970. */
  readonly startedAt: number;
}

/** How a lease is taken. */
export interface LeaseOptions {
  readonly kind: LeaseKind;
  /** Who asks for it. */
  readonly identity: ProcessIdentity;
  /** Whether the holder is, or may be, alive. */
  isAlive(holder: ProcessIdentity): boolean | Promise<boolean>;
  /** Whether that can be told from here. Of holders that cannot be seen, signs of life decide. Default: it can. */
  isSeen?(holder: ProcessIdentity): boolean;
  readonly clock: Clock;
  readonly random: RandomBytes;
  /** Milliseconds to wait while somebody else holds it. 0 looks once. */
  readonly timeoutMs: number;
  readonly signal?: AbortSignal | undefined;
  /** Milliseconds between looks; each time a random share from a half to one and a half of it. Default 100. */
  readonly pollMs?: number;
  /** Milliseconds between signs of life. Default: a minute. */
  readonly beatMs?: number;
}

/** What is needed to tell how a lease stands. */
export type LeaseJudge = Pick<LeaseOptions, 'kind' | 'isAlive' | 'isSeen' | 'clock'>;

/** `live` is known to run, `unseen` is on another machine and gave a sign of life lately, `unreadable` cannot be decoded. */
export type LeaseState = 'live' | 'unseen' | 'unreadable' | 'dead';

/** A lease as somebody else sees it. */
export interface LeaseSeen {
  /** The name of its blob. */
  readonly name: string;
  readonly state: LeaseState;
  /** Undefined when it cannot be decoded. */
  readonly holder: ProcessIdentity | undefined;
}

/** A lease that is held. */
export interface Lease {
  /** The name of its blob. */
  readonly name: string;
  /** Gives it back. Does nothing when that was done before, or when the blob is gone. @throws VecsnapError STORE_FAILED. */
  release(): Promise<void>;
  /**
   * Looks whether it is still held; for before what cannot be undone.
   * @throws VecsnapError LEASE_LOST when somebody has taken its holder for dead, or removed it by hand.
   */
  confirm(): Promise<void>;
}

/** What a lease needs of a store. */
export type LeaseStore = Pick<BlobStore, 'put' | 'get' | 'list' | 'delete' | 'place'>;

const FORMAT_VERSION = 1;
/** A lease is far shorter. One that is longer is not read, and counts as one that cannot be decoded. */
const MOST_BYTES = 64 * 1024;
const NO_BYTES = new Uint8Array(0);
const DEFAULT_POLL_MS = 100;

/**
 * How long after the time in its name a lease that cannot be decoded holds others off. Leases are written whole, so such
 * a one is damaged or of another format, and its holder may be at work. No operation is expected to take longer.
 */
export const UNREADABLE_LEASE_MS = 24 * 60 * 60 * 1000;

/**
 * Waits until nobody else holds a lease of this kind, and takes it. Not fair: who waits longest is not served first.
 * @throws VecsnapError REPOSITORY_LOCKED, naming the holder, when that takes longer than `timeoutMs`; ABORTED;
 *   STORE_FAILED; STORE_FULL.
 */
export async function acquireLease(store: LeaseStore, options: LeaseOptions): Promise<Lease> {
  const deadline = options.clock.now() + options.timeoutMs;
  for (;;) {
    throwIfAborted(options.signal);
    const holder = (await findHolder(store, options)) ?? (await claim(store, options));
    if (holder instanceof HeldLease) return holder;
    if (options.clock.now() >= deadline) throw locked(store.place, holder, options.timeoutMs);
    await pause(options);
  }
}

/** Every lease of a kind. Nothing is changed. */
export async function listLeases(store: LeaseStore, judge: LeaseJudge): Promise<readonly LeaseSeen[]> {
  const leases: LeaseSeen[] = [];
  for await (const blob of store.list(prefixOf(judge.kind))) {
    const lease = await look(store, blob, judge);
    if (lease !== undefined) leases.push(lease);
  }
  return leases;
}

/**
 * Deletes the leases of dead holders, and those that are named whoever holds them.
 * @param force names of blobs.
 * @returns what was deleted and what stands.
 */
export async function removeLeases(
  store: LeaseStore,
  judge: LeaseJudge,
  force: readonly string[] = [],
): Promise<{ readonly removed: readonly LeaseSeen[]; readonly standing: readonly LeaseSeen[] }> {
  const [removed, standing]: [LeaseSeen[], LeaseSeen[]] = [[], []];
  for (const lease of await listLeases(store, judge)) {
    const isGoing = lease.state === 'dead' || force.includes(lease.name);
    if (isGoing) await removeLease(store, lease.name);
    (isGoing ? removed : standing).push(lease);
  }
  return { removed, standing };
}

/** A lease of somebody else that stands in the way. */
type Holder = LeaseSeen;

class HeldLease implements Lease {
  readonly name: string;
  readonly #store: LeaseStore;
  readonly #heartbeat: Heartbeat;

  constructor(store: LeaseStore, name: string, { clock, beatMs }: LeaseOptions) {
    this.#store = store;
    this.name = name;
    this.#heartbeat = new Heartbeat(store, name, clock, beatMs);
  }

  async confirm(): Promise<void> {
    if ((await getIfThere(this.#store, this.name)) === undefined)
      throw leaseLost(this.#store.place, this.name);
  }

  /** A second try, because a lease that stays holds others off for as long as this process lives. */
  async release(): Promise<void> {
    await this.#heartbeat.stop();
    await this.#store.delete(this.name).catch(() => this.#store.delete(this.name));
  }
}

/** Puts an own lease and returns it, or whoever came before. Whatever goes wrong, the own lease is deleted. */
async function claim(store: LeaseStore, options: LeaseOptions): Promise<HeldLease | Holder> {
  const { kind, identity, clock, random, signal } = options;
  const name = `${prefixOf(kind)}${clock.now()}-${toHex(random(16))}`;
  let holder: Holder | undefined;
  try {
    await store.put(name, encodeLease(kind, identity));
    holder = await findHolder(store, options, name);
    throwIfAborted(signal);
  } catch (cause) {
    // What failed first is what the caller needs to know; a lease that stays here dies with this process.
    await Promise.allSettled([store.delete(name)]);
    throw cause;
  }
  if (holder === undefined) return hold(store, name, options);
  await store.delete(name);
  return holder;
}

async function hold(store: LeaseStore, name: string, options: LeaseOptions): Promise<HeldLease> {
  const lease = new HeldLease(store, name, options);
  try {
    await removeStraySigns(store, name);
    return lease;
  } catch (cause) {
    await Promise.allSettled([lease.release()]); // As in claim.
    throw cause;
  }
}

/** A live holder of a lease other than `own`. Leases of dead holders are deleted on the way. */
async function findHolder(
  store: LeaseStore,
  options: LeaseOptions,
  own?: string,
): Promise<Holder | undefined> {
  for await (const { name, size } of store.list(prefixOf(options.kind))) {
    if (name === own) continue;
    const lease = await look(store, { name, size }, options);
    if (lease === undefined) continue;
    if (lease.state !== 'dead') return lease;
    await removeLease(store, name);
  }
  return undefined;
}

/** How a lease stands; undefined when it was released since it was listed. */
async function look(
  store: LeaseStore,
  { name, size }: BlobStat,
  judge: LeaseJudge,
): Promise<LeaseSeen | undefined> {
  const bytes = size > MOST_BYTES ? NO_BYTES : await getIfThere(store, name);
  if (bytes === undefined) return undefined;
  const holder = decodeLease(bytes);
  return { name, holder, state: await stateOf(store, name, holder, judge) };
}

async function stateOf(
  store: LeaseStore,
  name: string,
  holder: ProcessIdentity | undefined,
  judge: LeaseJudge,
): Promise<LeaseState> {
  if (holder === undefined) return isRecent(name, judge.clock) ? 'unreadable' : 'dead';
  if (!(await judge.isAlive(holder))) return 'dead';
  if (judge.isSeen?.(holder) !== false) return 'live';
  const sign = await lastSign(store, name);
  return sign !== undefined && judge.clock.now() - sign >= LEASE_TTL_MS ? 'dead' : 'unseen';
}

/** The lease goes last, so that its signs do not stay without it. */
async function removeLease(store: LeaseStore, name: string): Promise<void> {
  await removeSigns(store, name);
  await store.delete(name);
}

async function getIfThere(store: LeaseStore, name: string): Promise<Uint8Array | undefined> {
  try {
    return await store.get(name);
  } catch (cause) {
    if (isVecsnapError(cause, 'BLOB_MISSING')) return undefined; // Released since it was listed.
    throw cause;
  }
}

function prefixOf(kind: LeaseKind): string {
  return `locks/${kind}-`;
}

/** A name without a time counts as recent for ever: nobody of ours wrote it, so nobody of ours deletes it. */
function isRecent(name: string, clock: Clock): boolean {
  const written = takenAt(name);
  return written === undefined || clock.now() - written < UNREADABLE_LEASE_MS;
}

function encodeLease(kind: LeaseKind, identity: ProcessIdentity): Uint8Array {
  const { operation, pid, host, bootId, pidNamespace, processStart, startedAt } = identity;
  return encodeCanonical({
    version: FORMAT_VERSION,
    kind,
    holder: { operation, pid, host, bootId, pidNamespace, processStart, startedAt },
  });
}

/** The holder, or undefined when the bytes are damaged or of another format. */
function decodeLease(bytes: Uint8Array): ProcessIdentity | undefined {
  const lease = asMap(decodeOrNull(bytes));
  const holder = asMap(lease?.['holder']);
  if (lease?.['version'] !== FORMAT_VERSION || holder === undefined) return undefined;
  const identity = {
    operation: holder['operation'],
    pid: holder['pid'],
    host: holder['host'],
    bootId: holder['bootId'],
    pidNamespace: holder['pidNamespace'],
    processStart: holder['processStart'],
    startedAt: holder['startedAt'],
  };
  return isIdentity(identity) ? identity : undefined;
}

function decodeOrNull(bytes: Uint8Array): Canonical {
  try {
    return decodeCanonical(bytes);
  } catch (cause) {
    // Not the caller's data: what is done about a lease that cannot be decoded is said at UNREADABLE_LEASE_MS.
    if (isVecsnapError(cause, 'ENCODING_INVALID')) return null;
    throw cause;
  }
}

function isIdentity(value: Record<keyof ProcessIdentity, unknown>): value is ProcessIdentity & typeof value {
  const texts = [value.operation, value.host, value.bootId, value.pidNamespace, value.processStart];
  const isPid = Number.isSafeInteger(value.pid) && (value.pid as number) > 0;
  // A date that no calendar has could not be told to anybody.
  const isTime = typeof value.startedAt === 'number' && Math.abs(value.startedAt) <= 8.64e15;
  return texts.every((text) => typeof text === 'string') && isPid && isTime;
}

function locked(place: string, { name, holder }: Holder, timeoutMs: number): VecsnapError {
  return new VecsnapError('REPOSITORY_LOCKED', `The repository is in use by ${describe(holder)}.`, {
    place: `${place}, ${name}`,
    remedy:
      `Waited ${timeoutMs} ms. Try again when it is done, or wait longer (--lock-timeout). ` +
      `If no such process is at work any more: vecsnap unlock REPO --force ${name}`,
  });
}

function leaseLost(place: string, name: string): VecsnapError {
  return new VecsnapError('LEASE_LOST', 'The lock was taken away while the work went on.', {
    place: `${place}, ${name}`,
    remedy:
      'Run it again. It happens when this machine slept, its clock is far from those of others, or somebody ran vecsnap unlock --force.',
  });
}

function describe(identity: ProcessIdentity | undefined): string {
  if (identity === undefined) return 'a writer whose lease cannot be decoded';
  const { operation, pid, host, startedAt } = identity;
  return `"${operation}", process ${pid} on ${host}, since ${new Date(startedAt).toISOString()}`;
}

/** Resolves after a random time around `pollMs`. @throws VecsnapError ABORTED as soon as the signal is aborted. */
async function pause({ pollMs = DEFAULT_POLL_MS, random, signal }: LeaseOptions): Promise<void> {
  throwIfAborted(signal);
  const share = 0.5 + (random(1)[0] as number) / 255;
  await new Promise<void>((resolve) => {
    const done = (): void => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', done);
      resolve();
    };
    const timer = setTimeout(done, pollMs * share);
    signal?.addEventListener('abort', done);
  });
  throwIfAborted(signal);
}
