/** How files are taken and read together: so many that what is done for a batch is done for about as many bytes, whatever their sizes. */

/** What the way to the bytes of a file takes, in bytes that could be handled meanwhile. */
const BYTES_PER_FILE = 8 * 1024;

/** For how many bytes an entry of a directory tree counts in a batch. */
export function bytesInBatch(entry: { readonly type: string; readonly size?: number }): number {
  return BYTES_PER_FILE + (entry.size ?? 0);
}
