/** Arbitrary values for property tests. */
import fc from 'fast-check';
import { type Address, toAddress } from 'vecsnap/core';

/** Any 32 bytes. */
export const anyAddress: fc.Arbitrary<Address> = fc
  .uint8Array({ minLength: 32, maxLength: 32 })
  .map(toAddress);

/** Characters of one to four bytes in UTF-8. The units of fast-check have a table of all, which takes a second to make. */
const anyCharacter: fc.Arbitrary<string> = fc
  .oneof(
    fc.integer({ min: 0, max: 0x7f }),
    fc.integer({ min: 0x80, max: 0x7ff }),
    fc.oneof(fc.integer({ min: 0x800, max: 0xd7ff }), fc.integer({ min: 0xe000, max: 0xffff })), // None is half a pair.
    fc.integer({ min: 0x1_0000, max: 0x10_ffff }),
  )
  .map((code) => String.fromCodePoint(code));

/** Text with characters of one to four bytes in UTF-8, and nothing that has no UTF-8. */
export const anyText: fc.Arbitrary<string> = fc.string({ unit: anyCharacter, maxLength: 12 });

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
