/** How the process ends. */
import type { ErrorCode } from '../index.js';

export const EXIT = { done: 0, failed: 1, usage: 2, damage: 3 } as const;

/** Errors that say that something in the repository, or in an export of it, is damaged or gone. */
const DAMAGE: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  'REPOSITORY_DAMAGED',
  'SNAPSHOT_DAMAGED',
  'MARKS_DAMAGED',
  'POLICY_DAMAGED',
  'NOTE_DAMAGED',
  'MANIFEST_DAMAGED',
  'CHUNK_MISSING',
  'CHUNK_DAMAGED',
  'PACK_MISSING',
  'PACK_DAMAGED',
  'INDEX_DAMAGED',
  'IMPORT_DAMAGED',
  'SWEEP_REFUSED',
]);

/** The exit code for an error of this code. */
export function exitCodeOf(code: ErrorCode): number {
  if (code === 'OPTION_INVALID') return EXIT.usage;
  return DAMAGE.has(code) ? EXIT.damage : EXIT.failed;
}
