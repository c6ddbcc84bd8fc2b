/** What must stay. */
import type { Address, DigestTable } from '../core/index.js';

/**
 * The chunks that a sweep keeps: those that snapshots reach, and after them in the table those that are held only because deltas
 * copy from them, directly or not.
 */
export interface LiveChunks {
  readonly table: DigestTable;
  /** How many of the first in the table snapshots reach. The rest is held. */
  readonly reached: number;
}

/** Tells whether a chunk is in a set. */
export type IsNeeded = (address: Address) => boolean;
