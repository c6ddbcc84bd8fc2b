/** Canonical msgpack: golden vectors, and that the decoder takes nothing but what the encoder writes. */
import fc from 'fast-check';
import { FLOAT32_OPTIONS, Packr } from 'msgpackr';
import { describe, expect, it } from 'vitest';
import { type Canonical, decodeCanonical, encodeCanonical, isVecsnapError, toHex } from 'vecsnap/core';
import { anyText, outcome, runs } from './support/arbitraries.js';
import { fromHex, golden } from './support/golden.js';

interface Vector {
  readonly name: string;
  readonly hex: string;
}

const { valid, invalid } = golden('canonical') as {
  valid: (Vector & { value: unknown })[];
  invalid: Vector[];
};

/** A value as a golden vector tells it. */
function revive(value: unknown): Canonical {
  if (Array.isArray(value)) return value.map(revive);
  if (typeof value !== 'object' || value === null) return value as Canonical;
  const [[key, detail] = ['', null], ...others] = Object.entries(value);
  if (others.length === 0 && key === '$bigint') return BigInt(detail as string);
  if (others.length === 0 && key === '$float') return Number(detail);
  if (others.length === 0 && key === '$bytes') return fromHex(detail as string);
  if (others.length === 0 && key === '$proto')
    return JSON.parse(`{"__proto__":${String(detail)}}`) as Canonical;
  if (key === '$repeat') return (detail as [string, number])[0].repeat((detail as [string, number])[1]);
  if (key === '$items')
    return Array<Canonical>((detail as [number, number])[1]).fill((detail as [number, number])[0]);
  return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, revive(item)]));
}

const anyCanonical: fc.Arbitrary<Canonical> = fc.letrec<{ value: Canonical }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 5, withCrossShrink: true },
    fc.constant(null),
    fc.boolean(),
    fc.integer(),
    fc.maxSafeInteger(),
    fc.double().map((number) => (Object.is(number, -0) ? 0 : number)),
    fc.bigInt({ min: 2n ** 53n, max: 2n ** 64n - 1n }),
    fc.bigInt({ min: -(2n ** 63n), max: -(2n ** 53n) }),
    anyText,
    fc.uint8Array({ maxLength: 40 }),
    fc.array(tie('value'), { maxLength: 20 }),
    fc.dictionary(anyText, tie('value'), { maxKeys: 20, noNullPrototype: false }),
  ),
})).value;

describe('golden vectors', () => {
  it.each(valid)('$name', ({ value, hex }) => {
    const revived = revive(value);
    const bytes = fromHex(hex);
    expect(toHex(encodeCanonical(revived))).toBe(toHex(bytes));
    expect(decodeCanonical(bytes)).toEqual(revived);
  });

  it.each(invalid)('refuse $name', ({ hex }) => {
    expect(() => decodeCanonical(fromHex(hex))).toThrow(
      expect.objectContaining({ code: 'ENCODING_INVALID' }),
    );
  });

  it('are read in the same way by msgpackr', () => {
    const packr = new Packr({ useRecords: false, mapsAsObjects: true });
    for (const { value, hex, name } of valid) {
      if (!name.includes('__proto__')) expect(packr.unpack(fromHex(hex)), name).toEqual(revive(value));
    }
  });
});

describe('any value', () => {
  it('comes back', () => {
    fc.assert(
      fc.property(anyCanonical, (value) => {
        expect(decodeCanonical(encodeCanonical(value))).toEqual(value);
      }),
    );
  });

  it('has one encoding whatever the order of its keys', () => {
    fc.assert(
      fc.property(anyCanonical, fc.boolean(), (value, byName) => {
        expect(toHex(encodeCanonical(reordered(value, byName)))).toBe(toHex(encodeCanonical(value)));
      }),
    );
  });

  it('is of equal numbers where a bigint is safe, and where zero has a sign', () => {
    fc.assert(
      fc.property(fc.maxSafeInteger(), (number) => {
        expect(encodeCanonical(BigInt(number))).toEqual(encodeCanonical(number));
      }),
    );
    expect(toHex(encodeCanonical([-0]))).toBe('9100');
  });

  it('has no other encoding: one byte more, less or changed is another value or none', () => {
    fc.assert(
      fc.property(anyCanonical, fc.nat(), fc.integer({ min: 1, max: 255 }), (value, at, change) => {
        const bytes = encodeCanonical(value);
        const changed = bytes.slice();
        changed[at % bytes.length] = (changed[at % bytes.length] as number) ^ change;
        for (const other of [
          changed,
          bytes.subarray(0, at % bytes.length),
          new Uint8Array([...bytes, at & 0xff]),
        ])
          expectNoSecondEncoding(other);
      }),
      { numRuns: runs(300) },
    );
  });

  it('has no other encoding: those of other writers are refused', () => {
    const others = [
      new Packr({ useRecords: true }),
      new Packr({ useRecords: false, variableMapSize: false }),
      new Packr({
        useRecords: false,
        useFloat32: FLOAT32_OPTIONS.DECIMAL_FIT,
        int64AsType: 'number',
        largeBigIntToFloat: true,
      }),
    ];
    fc.assert(
      fc.property(anyCanonical, (value) => {
        for (const other of others) expectNoSecondEncoding(new Uint8Array(other.pack(value)));
      }),
      { numRuns: runs(200) },
    );
  });

  it('is a copy: it does not change with the bytes it was read from', () => {
    const bytes = encodeCanonical([Uint8Array.of(1, 2, 3)]);
    const value = decodeCanonical(bytes);
    bytes.fill(0);
    expect(value).toEqual([Uint8Array.of(1, 2, 3)]);
  });
});

describe('any bytes', () => {
  it('are refused or are the encoding of what they give', () => {
    fc.assert(fc.property(fc.uint8Array({ maxLength: 64 }), expectNoSecondEncoding), { numRuns: runs(3000) });
  });

  it('leave nothing behind that changes how others are read', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => {
        outcome(() => decodeCanonical(bytes));
        expect(decodeCanonical(fromHex('93 40 81a16101 c40103'))).toEqual([64, { a: 1 }, Uint8Array.of(3)]);
      }),
    );
  });

  it('are refused when they nest without end', () => {
    for (const tag of ['91', '81a161', 'dd00010000', 'df00010000a161']) {
      expect(() => decodeCanonical(fromHex(`${tag}*200000 00`))).toThrow(/nested deeper/);
    }
  });

  it('get no memory for items that are not there', () => {
    // Thousands of arrays in arrays, each of which says that it has as many items as there are bytes left.
    const bytes = fromHex('dd00007000*60 c0*28000');
    const before = process.memoryUsage().heapUsed;
    for (let i = 0; i < 200; i++) outcome(() => decodeCanonical(bytes));
    expect(process.memoryUsage().heapUsed - before).toBeLessThan(200e6);
  });
});

describe('what has no encoding', () => {
  const cycle: unknown[] = [];
  cycle.push(cycle);
  it.each([
    ['undefined', undefined],
    ['undefined in a map', { a: undefined }],
    ['a hole in an array', Array(2)],
    ['a function', () => 1],
    ['a symbol', Symbol('a')],
    ['a date', new Date(0)],
    ['a map', new Map([['a', 1]])],
    ['a set', new Set([1])],
    ['numbers in an array of their own', new Float32Array(2)],
    ['bytes that are clamped', new Uint8ClampedArray(2)],
    ['an instance of a class', new URL('file:///')],
    ['a cycle', cycle],
    ['half a letter', '\ud800'],
    ['half a letter in a key', { '\udc00': 1 }],
    ['an integer above 64 bits', 2n ** 64n],
    ['an integer below 64 bits', -(2n ** 63n) - 1n],
    ['65 arrays in each other', Array.from({ length: 65 }).reduce((inner: unknown) => [inner], [])],
  ])('%s', (_, value) => {
    const error = outcome(() => encodeCanonical(value as Canonical));
    expect(error).toMatchObject({ error: { code: 'ENCODING_INVALID' } });
  });

  it('more values than are read, before room is made for them', () => {
    const value: Canonical[] = [];
    value.length = 2 ** 25 - 1;
    const before = process.memoryUsage().heapUsed;
    const error = outcome(() => encodeCanonical(value));
    expect(error).toMatchObject({
      error: { code: 'ENCODING_INVALID', message: expect.stringContaining('more than 2097152 values') },
    });
    expect(process.memoryUsage().heapUsed - before).toBeLessThan(100e6);
  });

  it('begins where the decoder ends: 64 arrays in each other are written and read', () => {
    const nested = Array.from({ length: 64 }).reduce((inner: unknown) => [inner], []) as Canonical;
    expect(decodeCanonical(encodeCanonical(nested))).toEqual(nested);
  });
});

function expectNoSecondEncoding(bytes: Uint8Array): void {
  const result = outcome(() => decodeCanonical(bytes));
  if ('error' in result)
    expect(isVecsnapError(result.error, 'ENCODING_INVALID'), String(result.error)).toBe(true);
  else expect(toHex(encodeCanonical(result.value))).toBe(toHex(bytes));
}

/** The same value with the keys of its maps in another order. */
function reordered(value: Canonical, byName: boolean): Canonical {
  if (Array.isArray(value)) return value.map((item: Canonical) => reordered(item, byName));
  if (typeof value !== 'object' || value === null || value instanceof Uint8Array) return value;
  const entries = Object.entries(value).map(([key, item]): [string, Canonical] => [
    key,
    reordered(item, byName),
  ]);
  return Object.fromEntries(byName ? entries.toSorted(([a], [b]) => (a < b ? 1 : -1)) : entries.toReversed());
}
