/** Arbitrary values for property tests. */
import fc from 'fast-check';
import { type Address, toAddress } from 'vecsnap/core';

/** Any 32 bytes. */
export const anyAddress: fc.Arbitrary<Address> = fc
  .uint8Array({ minLength: 32, maxLength: 32 })
  .map(toAddress);

/** Text with characters of one to four bytes in UTF-8, and nothing that has no UTF-8. */
export const anyText: fc.Arbitrary<string> = fc.string({ unit: 'binary', maxLength: 12 });

/** What came of a call, for calls that must answer with a value or with an error of their own. */
export function outcome<T>(work: () => T): { readonly value: T } | { readonly error: unknown } {
  try {
    return { value: work() };
  } catch (error) {
    return { error };
  }
}

/** How often a property is tried that is dearer or cheaper than others: `usual` times, and more in a campaign (support/seed.ts). */
export function runs(usual: number): number {
  return Math.ceil((usual * Number(process.env['PROPERTY_RUNS'] ?? 100)) / 100);
}
