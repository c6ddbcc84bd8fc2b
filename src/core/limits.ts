/**
 * What no repository of ours exceeds, so that one that somebody else made cannot make a reader take more memory than a machine has.
 * Writers keep to these limits and readers refuse what lies beyond (docs/decisions/0011-limits-of-what-is-read.md).
 */

/** The most bytes of a chunk of data. Columns and streams are cut long before. */
export const MAX_DATA_BYTES: number = 2 ** 24;

/** The most bytes of a node or a manifest. */
export const MAX_NODE_BYTES: number = 2 ** 25;

/** The most values in one piece of canonical msgpack: as objects they take up to two hundred bytes each. */
export const MAX_VALUES: number = 2 ** 21;

/** The most bytes of all columns of one row group, which is read whole. */
export const MAX_GROUP_BYTES: number = 2 ** 31;

/** The most bytes of a config, a snapshot or a lease. */
export const MAX_BLOB_BYTES: number = 2 ** 25;

/** The most bytes that a chunk of this kind may have. */
export function maxChunkBytes(kind: 'data' | 'node'): number {
  return kind === 'node' ? MAX_NODE_BYTES : MAX_DATA_BYTES;
}
