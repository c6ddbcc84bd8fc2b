/** What a repository needs around it. src/platform makes one for a local directory; tests and other places make their own. */
import type { LeaseSeen } from '../blob/lease.js';
import type { BlobStore } from '../blob/port.js';
import type { ChunkCoder, ChunkIndex } from '../cas/index.js';
import type { Clock, RandomBytes, Sha256, VecsnapError } from '../core/index.js';

/** Somebody who holds or wants the write lock, as others see it. */
export interface LockRequest {
  /** What the holder does, for example `create`. */
  readonly operation: string;
  /** How long to wait for another holder, in milliseconds. */
  readonly timeoutMs: number;
  readonly signal?: AbortSignal | undefined;
}

/** A lock that is held. */
export interface HeldLock {
  release(): Promise<void>;
  /** @throws VecsnapError LEASE_LOST when it is not held any more. */
  confirm?(): Promise<void>;
}

/** Leases that were removed, and those that stand. */
export interface UnlockReport {
  readonly removed: readonly LeaseSeen[];
  readonly standing: readonly LeaseSeen[];
}

/** Bytes that may be lost at any time. No method fails: what cannot be read is not there, what cannot be written is not kept. */
export interface DerivedBytes {
  load(): Promise<Uint8Array | undefined>;
  /** Puts these in the place of those that are there. */
  save(bytes: Uint8Array): Promise<void>;
  /** Puts these behind those that are there, if there are any; the last of those may have been written in part. */
  append(bytes: Uint8Array): Promise<void>;
}

/** Space that is held back, so that a full disk has room for what gives space back. Neither method fails. */
export interface Reserve {
  /** Gives the space up. Says whether there was any. */
  giveUp(): Promise<boolean>;
  /** Holds it back again, if there is room. */
  restore(): Promise<void>;
}

/** See the head of this file. */
export interface Environment {
  /** The directory of the repository, where it is in one: targets and sources are kept apart from it. */
  readonly directory?: string | undefined;
  /** Whether nobody else waits for the calling thread. */
  readonly ownsThread?: boolean | undefined;
  readonly blobs: BlobStore;
  readonly coder: ChunkCoder;
  readonly sha256: Sha256;
  readonly clock: Clock;
  readonly random: RandomBytes;
  /**
   * Opens the index: the one that persists, where there is one and no other process has it open; else an empty one in
   * memory. Whatever it opens may be empty, behind or ahead.
   * @param prefer `persistent` for who holds the lock: one that is damaged is made anew. `existing` for all others.
   */
  openIndex(prefer: 'persistent' | 'existing' | 'memory'): Promise<ChunkIndex>;
  /** Removes the index that persists, so that the next one opened is empty. */
  discardIndex(): Promise<void>;
  /** What is wrong with the index that persists, where that can be told. Of one that is in use, or that a crash left open, nothing is. */
  indexFlaw?(): Promise<VecsnapError | undefined>;
  /** @throws VecsnapError REPOSITORY_LOCKED, which names the holder. */
  lock(request: LockRequest): Promise<HeldLock>;
  /** Removes the leases of holders that are dead, and those that are named. Where there are leases. */
  unlock?(force: readonly string[]): Promise<UnlockReport>;
  /** A place for bytes that can be made again, where there is one. */
  readonly cache?: DerivedBytes;
  /** Where the store has a limit. */
  readonly reserve?: Reserve;
  /** Bytes that the index takes on disk, the cache, and the reserve. */
  indexBytes(): Promise<number>;
  close(): Promise<void>;
}
