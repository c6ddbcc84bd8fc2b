/** What a source tells about changes, as taking uses it, and how it is turned down. */
import type { RandomBytes } from '../core/index.js';
import type { RecordLookup, SortedIds } from '../source/port.js';

/** See the head of this file. */
export interface TakeHints {
  /** The ids of all records that may have changed since the snapshot before. */
  readonly ids: SortedIds;
  readonly lookUp: RecordLookup;
  /** The part of the other row groups that is read from the source all the same, from 0 to 1; one is in any case. */
  readonly auditRate: number;
  readonly random: RandomBytes;
}

/** The default of `auditRate`. */
export const DEFAULT_AUDIT_RATE = 1 / 256;

/** Why hints cannot be used, or that they were wrong: then everything has to be read. It goes no further than the manager. */
export class HintsRefused extends Error {
  override readonly name = 'HintsRefused';
}
