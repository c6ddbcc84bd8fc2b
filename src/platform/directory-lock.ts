/** The write lock of a repository in a directory: a lease, and then the end of what a crashed writer left half done. */
import type { FsBlobStore } from '../blob/fs.js';
import { acquireLease, type Lease, type LeaseJudge, type LeaseOptions } from '../blob/lease.js';
import { canSeeProcess, isProcessAlive, processIdentity } from '../blob/process-identity.js';
import type { LockRequest } from '../snapshot/environment.js';
import { systemClock, systemRandom } from './node.js';

/** Who asks for the lock, and how others are looked at. */
export type LockParts = LeaseJudge & Pick<LeaseOptions, 'identity' | 'random'>;

/** Who of the holders of leases is alive, as this machine sees it. */
export const leaseJudge: LeaseJudge = {
  kind: 'writer',
  isAlive: isProcessAlive,
  isSeen: canSeeProcess,
  clock: systemClock,
};

/**
 * Takes the lock, and finishes what a crashed writer left half done before its holder builds on it (docs/ordering.md, B3 and B4).
 * @param parts by default this process and this machine.
 * @throws VecsnapError REPOSITORY_LOCKED, ABORTED, STORE_FAILED, STORE_FULL.
 */
export async function lockDirectory(
  blobs: FsBlobStore,
  { operation, timeoutMs, signal }: LockRequest,
  parts: LockParts = thisProcess(operation),
): Promise<Lease> {
  const lease = await acquireLease(blobs, { ...parts, timeoutMs, signal });
  try {
    await blobs.removeTemporary();
    await blobs.syncNames();
    return lease;
  } catch (error) {
    await Promise.allSettled([lease.release()]); // What failed first is what the caller needs to know.
    throw error;
  }
}

function thisProcess(operation: string): LockParts {
  return { ...leaseJudge, identity: processIdentity(operation, systemClock), random: systemRandom };
}
