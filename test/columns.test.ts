/** The bytes of columns: golden layout, both ways, and hostile bytes. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  decodeIdColumn,
  decodePayloadColumn,
  encodeIdColumn,
  encodePayloadColumn,
  patchPayloadColumn,
} from 'vecsnap/chunker';
import { isVecsnapError, toHex } from 'vecsnap/core';
import { anyText, outcome, runs } from './support/arbitraries.js';
import { fromHex } from './support/golden.js';

const anyU64 = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n });

describe('the layout', () => {
  it('of numbers is eight bytes each, the lowest first', () => {
    const column = encodeIdColumn([
      BigUint64Array.of(1n, 0x0102030405060708n),
      BigUint64Array.of(2n ** 64n - 1n),
    ]);
    expect(toHex(column)).toBe('01000000000000000807060504030201ffffffffffffffff');
  });

  it('of texts and payloads is a table of lengths, then the values', () => {
    expect(toHex(encodeIdColumn([['a', 'é'], ['']]))).toBe('01000000020000000000000061c3a9');
    expect(toHex(encodePayloadColumn([new Uint8Array(0), Uint8Array.of(9)]))).toBe('000000000100000009');
    expect(toHex(encodePayloadColumn([]))).toBe('');
  });
});

describe('a column', () => {
  it('of texts comes back, in however many parts it was given', () => {
    fc.assert(
      fc.property(fc.array(fc.array(anyText), { minLength: 1 }), (parts) => {
        const ids = parts.flat();
        expect(decodeIdColumn('string', encodeIdColumn(parts), ids.length)).toEqual(ids);
        expect(encodeIdColumn(parts)).toEqual(encodeIdColumn([ids]));
      }),
    );
  });

  it('of numbers comes back, wherever its bytes stand', () => {
    fc.assert(
      fc.property(fc.array(fc.array(anyU64), { minLength: 1 }), fc.nat({ max: 7 }), (parts, shift) => {
        const bytes = encodeIdColumn(parts.map((part) => BigUint64Array.from(part)));
        const shifted = new Uint8Array([...new Uint8Array(shift), ...bytes]).subarray(shift);
        expect(decodeIdColumn('u64', shifted, parts.flat().length)).toEqual(
          BigUint64Array.from(parts.flat()),
        );
      }),
    );
  });

  it('of payloads comes back', () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array()), (payloads) => {
        expect(decodePayloadColumn(encodePayloadColumn(payloads), payloads.length)).toEqual(payloads);
      }),
    );
  });

  it('of payloads with others in the place of some is that of all of them, or the same', () => {
    fc.assert(
      fc.property(
        fc.array(fc.uint8Array({ maxLength: 4 }), { minLength: 1, maxLength: 20 }),
        fc.array(fc.tuple(fc.nat(), fc.uint8Array({ maxLength: 4 })), { maxLength: 4 }),
        (payloads, some) => {
          const changes = new Map(some.map(([row, payload]) => [row % payloads.length, payload]));
          const after = payloads.map((payload, row) => changes.get(row) ?? payload);
          const before = encodePayloadColumn(payloads);
          const isSame = Buffer.compare(encodePayloadColumn(after), before) === 0;
          const patched = patchPayloadColumn(before, payloads.length, changes);
          expect(patched).toEqual(isSame ? undefined : encodePayloadColumn(after));
        },
      ),
    );
  });

  it('can stand in shared memory', () => {
    const bytes = encodeIdColumn([['a', 'b']]);
    const shared = new Uint8Array(new SharedArrayBuffer(bytes.length));
    shared.set(bytes);
    expect(decodeIdColumn('string', shared, 2)).toEqual(['a', 'b']);
  });
});

describe('hostile bytes', () => {
  const decoders = {
    text: (bytes: Uint8Array, count: number) => decodeIdColumn('string', bytes, count),
    numbers: (bytes: Uint8Array, count: number) => decodeIdColumn('u64', bytes, count),
    payloads: (bytes: Uint8Array, count: number) => decodePayloadColumn(bytes, count),
    patched: (bytes: Uint8Array, count: number) => {
      patchPayloadColumn(bytes, count, new Map());
      return { length: count };
    },
  };

  it.each(Object.entries(decoders))('of %s are decoded or refused', (_, decode) => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 40 }), fc.nat({ max: 6 }), (bytes, count) => {
        const result = outcome(() => decode(bytes, count));
        if ('error' in result) expect(isVecsnapError(result.error, 'MANIFEST_DAMAGED')).toBe(true);
        else expect(result.value).toHaveLength(count);
      }),
      { numRuns: runs(1000) },
    );
  });

  it.each([
    ['numbers cut short', decoders.numbers, '00000000000000', 1],
    ['a number too many', decoders.numbers, '00*16', 1],
    ['more numbers than memory', decoders.numbers, '00*16', 2 ** 50],
    ['a table cut short', decoders.payloads, '000000', 1],
    ['more values than memory', decoders.payloads, '00*16', 2 ** 50],
    ['a value past the end', decoders.payloads, '02000000 61', 1],
    ['a value of 4 GB', decoders.payloads, 'ffffffff 61', 1],
    ['a byte left over', decoders.payloads, '00000000 61', 1],
    ['a text that is not UTF-8', decoders.text, '01000000 ff', 1],
    ['a letter cut in two', decoders.text, '01000000 01000000 c3a9', 2],
    ['a surrogate', decoders.text, '03000000 eda080', 1],
  ])('are %s', (_, decode, hex, count) => {
    expect(() => decode(fromHex(hex), count)).toThrow(expect.objectContaining({ code: 'MANIFEST_DAMAGED' }));
  });
});
