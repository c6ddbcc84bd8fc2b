/** What is known to be damaged, as a repair has noted it: copies of chunks that must not count as stored. */
import type { Address } from '../core/index.js';

/** See the head of this file. */
export interface KnownDamage {
  /** Tells these copies from others: an index that knows another tag was built with other copies left out. No pack has such a name. */
  readonly tag: string;
  /** Whether the copy of a chunk that begins there is damaged. */
  isBad(pack: string, offset: number): boolean;
  /** Whether a copy of the chunk is damaged, wherever it stands. */
  concerns(address: Address): boolean;
}

/** Where notes of damage stand among the blobs; tags begin with it too. */
export const DAMAGE_PREFIX = 'damage/';
