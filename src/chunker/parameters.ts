/**
 * The parameters by which content is cut, their defaults, and what they may be. In a file of their own, because they are all that
 * opening a repository needs of this folder.
 */
import { MAX_DATA_BYTES } from '../core/limits.js';

/** How records are cut; kept by name in the config of a repository. */
export interface RowGroupOptions {
  /** Bytes of vectors in a group of mean size. */
  readonly targetBytes: number;
  /** The least and the most records in a group of mean size. */
  readonly minRecords: number;
  readonly maxRecords: number;
}

/** The defaults of new repositories. */
export const DEFAULT_ROW_GROUPS: RowGroupOptions = { targetBytes: 65_536, minRecords: 5, maxRecords: 1024 };

/** @throws RangeError unless all are whole numbers from 1 on, and minRecords ≤ maxRecords ≤ 2^20. */
export function checkRowGroupOptions({ targetBytes, minRecords, maxRecords }: RowGroupOptions): void {
  if (!(Number.isSafeInteger(targetBytes) && targetBytes >= 1))
    throw new RangeError(`targetBytes must be at least 1: ${targetBytes}`);
  if (!(Number.isSafeInteger(minRecords) && minRecords >= 1))
    throw new RangeError(`minRecords must be at least 1: ${minRecords}`);
  if (!(Number.isSafeInteger(maxRecords) && maxRecords >= minRecords && maxRecords <= 2 ** 20))
    throw new RangeError(`maxRecords must be from minRecords to 2^20: ${maxRecords}`);
}

/** How streams are cut where their content says, in bytes; kept by name in the config of a repository. */
export interface GearOptions {
  readonly min: number;
  /** The mean size aimed at: a power of two. */
  readonly avg: number;
  readonly max: number;
}

/** The defaults of new repositories. */
export const DEFAULT_GEAR: GearOptions = { min: 16_384, avg: 65_536, max: 262_144 };

/** @throws RangeError unless 64 ≤ min < avg < max and avg is a power of two from 256 to 2^23. */
export function checkGearOptions({ min, avg, max }: GearOptions): void {
  const powerOfTwo =
    Number.isSafeInteger(avg) && avg >= 256 && avg < MAX_DATA_BYTES && (avg & (avg - 1)) === 0;
  if (!powerOfTwo) throw new RangeError(`avg must be a power of two from 256 to 2^23: ${avg}`);
  if (!(Number.isSafeInteger(min) && min >= 64 && min < avg))
    throw new RangeError(`min must be from 64 to below avg: ${min}`);
  if (!(Number.isSafeInteger(max) && max > avg && max <= MAX_DATA_BYTES))
    throw new RangeError(`max must be above avg: ${max}`);
}

/** How streams are cut in pages, in bytes; kept by name in the config of a repository. */
export interface FixedOptions {
  readonly size: number;
}

/** The defaults of new repositories: four pages of most databases. */
export const DEFAULT_FIXED: FixedOptions = { size: 16_384 };

/** @throws RangeError unless the size is from 64 bytes to 16 MiB. */
export function checkFixedOptions({ size }: FixedOptions): void {
  if (!(Number.isSafeInteger(size) && size >= 64 && size <= MAX_DATA_BYTES)) {
    throw new RangeError(`size must be from 64 to ${MAX_DATA_BYTES}: ${size}`);
  }
}
