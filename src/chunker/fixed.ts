/** Fixed pages, for byte streams whose format itself has pages: databases write whole pages in place. */

/** Sizes in bytes; kept by name in the config of a repository. */
export interface FixedOptions {
  readonly size: number;
}

/** The defaults of new repositories: four pages of most databases. */
export const DEFAULT_FIXED: FixedOptions = { size: 16_384 };

/** @throws RangeError unless the size is from 64 bytes to 1 GiB. */
export function checkFixedOptions({ size }: FixedOptions): void {
  if (!(Number.isSafeInteger(size) && size >= 64 && size <= 2 ** 30)) {
    throw new RangeError(`size must be from 64 to 2^30: ${size}`);
  }
}

/** The length of the chunk that begins at `start`. */
export function fixedCut(bytes: Uint8Array, start: number, { size }: FixedOptions): number {
  return Math.min(size, bytes.length - start);
}
