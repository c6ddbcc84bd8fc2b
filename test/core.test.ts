/** Addresses, hashes, varints, the table of addresses and the order of ids. */
import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  type Address,
  ByteReader,
  ByteWriter,
  compareBytes,
  compareIds,
  concatBytes,
  DigestTable,
  formatAddress,
  hashAtLevel,
  hashBytes,
  hashTexts,
  joinUtf8,
  splitUtf8,
  hashRecords,
  isVecsnapError,
  NumberColumn,
  OrderCheck,
  parseAddress,
  toAddress,
  toHex,
  utf8,
  viewOf,
} from 'vecsnap/core';
import { anyAddress, anyText, outcome, runs } from './support/arbitraries.js';
import { fromHex, golden } from './support/golden.js';

const { addresses } = golden('addresses') as {
  addresses: { text: string; sha256: string; data: string; node: string }[];
};
const [EMPTY] = addresses as [(typeof addresses)[number]];

function varintOf(value: number): Uint8Array {
  const writer = new ByteWriter();
  writer.varint(value);
  return writer.toBytes();
}

describe('an address', () => {
  it.each(addresses)('of "$text" is the CID that others compute', ({ text, sha256, data, node }) => {
    const address = toAddress(new Uint8Array(createHash('sha256').update(text).digest()));
    expect(toHex(address)).toBe(sha256);
    expect(formatAddress(address, 'data')).toBe(data);
    expect(formatAddress(address, 'node')).toBe(node);
    expect(parseAddress(data)).toEqual({ address, kind: 'data' });
    expect(parseAddress(node)).toEqual({ address, kind: 'node' });
  });

  it('comes back from its text', () => {
    fc.assert(
      fc.property(anyAddress, fc.constantFrom('data' as const, 'node' as const), (address, kind) => {
        expect(parseAddress(formatAddress(address, kind))).toEqual({ address, kind });
      }),
    );
  });

  it('has one text: any other that is taken is its own', () => {
    fc.assert(
      fc.property(
        fc.constantFrom(...addresses.flatMap(({ data, node }) => [data, node])),
        fc.nat(),
        fc.constantFrom(...'abcxyz234567ABCZ0189=-_ \n'),
        (text, at, letter) => {
          const i = at % text.length;
          const others = [
            text.slice(0, i) + letter + text.slice(i + 1),
            text.slice(0, i),
            text.slice(0, i) + letter + text.slice(i),
            text + letter,
          ];
          for (const other of others) expectItsOwnText(other);
        },
      ),
      { numRuns: runs(500) },
    );
  });

  it.each([
    ['nothing', ''],
    ['no CID', 'hello'],
    ['version 0', 'QmdfTbBqBPQ7VNxZEYEj14VmRuZBkqFbiwReogJgS1zR1n'],
    ['another codec, dag-pb', 'bafybeihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku'],
    ['another hash, of 64 bytes', 'bafkrgqg7rhqx4dm2f5xq'],
    ['upper case', EMPTY.data.toUpperCase()],
    ['another base', 'zb2rhmy65F3REf8SZp7De11gxtECBGgUKaLdiDj7MCGCHxbDW'],
    ['base 32 with padding', `${EMPTY.data}=`],
    ['base 64', 'mAVUSIOOwxEKY/BwUmvv0yJlvuSQnrkHkZJuTTKSVmRt4UrhV'],
    ['a space before', ` ${EMPTY.data}`],
    ['a space after', `${EMPTY.data} `],
    ['a letter after', `${EMPTY.data}a`],
    ['bytes that are not zero past the end', `${EMPTY.data.slice(0, -1)}v`],
  ])('is not %s', (_, text) => {
    expect(() => parseAddress(text)).toThrow(
      expect.objectContaining({ code: 'ADDRESS_INVALID', place: text }),
    );
  });

  it.each([0, 31, 33, 64])('does not have %i bytes', (length) => {
    expect(() => toAddress(new Uint8Array(length))).toThrow(
      expect.objectContaining({ code: 'ADDRESS_INVALID' }),
    );
  });
});

function expectItsOwnText(text: string): void {
  const result = outcome(() => parseAddress(text));
  if ('error' in result)
    expect(isVecsnapError(result.error, 'ADDRESS_INVALID'), String(result.error)).toBe(true);
  else expect(formatAddress(result.value.address, result.value.kind)).toBe(text);
}

describe('the hash of bytes', () => {
  // Published vectors of MurmurHash3 for x86 and 32 bits with seed 0.
  it.each([
    ['', 0],
    ['test', 0xba6bd213],
    ['Hello, world!', 0xc0363e43],
    ['The quick brown fox jumps over the lazy dog', 0x2e4ff723],
    ['a', 0x3c2569b2],
    ['abc', 0xb3dd93fa],
    ['abcd', 0x43ed676a],
  ])('of "%s" is that of MurmurHash3', (text, hash) => {
    expect(hashBytes(utf8(text))).toBe(hash);
  });

  it.each([
    ['ffffffff', 0x76293b50],
    ['21436587', 0xf55b516b],
    ['214365', 0x7e4a8634],
    ['2143', 0xa0f7b07a],
    ['21', 0x72661cf4],
    ['00000000', 0x2362f9de],
    ['000000', 0x85f0b427],
    ['0000', 0x30f4c306],
    ['00', 0x514e28b7],
  ])('of the bytes %s is that of MurmurHash3', (hex, hash) => {
    expect(hashBytes(fromHex(hex))).toBe(hash);
  });

  it('is the same wherever the bytes stand', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 100 }), fc.nat({ max: 7 }), (bytes, shift) => {
        expect(hashBytes(concatBytes([new Uint8Array(shift), bytes]).subarray(shift))).toBe(hashBytes(bytes));
      }),
    );
  });
});

describe('texts that are joined', () => {
  const anyTexts = fc.array(
    fc.oneof(
      fc.string(),
      fc.string({ unit: 'grapheme' }),
      fc.string({ unit: fc.constantFrom('a', 'ß', '€', '🙂') }),
    ),
    { maxLength: 20 },
  );

  it('stand one after the other, and are had back', () => {
    fc.assert(
      fc.property(anyTexts, fc.nat(3), (texts, before) => {
        const { bytes, ends } = joinUtf8(texts);
        expect(bytes).toEqual(concatBytes(texts.map(utf8)));
        expect([...ends]).toEqual(texts.map((_, i) => utf8(texts.slice(0, i + 1).join('')).length));
        const elsewhere = concatBytes([new Uint8Array(before).fill(0xff), bytes]).subarray(before);
        expect(splitUtf8(elsewhere, ends)).toEqual(texts);
      }),
    );
  });

  it('are encoded each by itself where joining would make another text', () => {
    const halves = ['\ud83d', '\ude42']; // One smile, if they were joined.
    expect(joinUtf8(halves).bytes).toEqual(concatBytes(halves.map(utf8)));
  });

  it('are refused where one ends within a character, and where they are no UTF-8', () => {
    const smile = utf8('🙂');
    expect(() => splitUtf8(smile, Uint32Array.of(2, 4))).toThrow(TypeError);
    expect(() => splitUtf8(Uint8Array.of(0x61, 0xff), Uint32Array.of(1, 2))).toThrow(TypeError);
    expect(splitUtf8(concatBytes([utf8('a'), smile]), Uint32Array.of(1, 5))).toEqual(['a', '🙂']);
  });

  it('may be longer than a text can be', () => {
    const long = 'a'.repeat(2 ** 24);
    const { bytes, ends } = joinUtf8([long, 'b', long]);
    expect([...ends]).toEqual([2 ** 24, 2 ** 24 + 1, 2 ** 25 + 1]);
    expect(bytes[2 ** 24]).toBe(0x62);
    expect(splitUtf8(bytes, ends).map(({ length }) => length)).toEqual([2 ** 24, 1, 2 ** 24]);
  });

  it('have the hashes of their bytes', () => {
    fc.assert(
      fc.property(anyTexts, (texts) => {
        const hashes = new Uint32Array(texts.length);
        hashTexts(texts, hashes);
        expect([...hashes]).toEqual(texts.map((text) => hashBytes(utf8(text))));
      }),
    );
  });
});

/** The hash of one record. */
function hashRecord(bytes: Uint8Array): number {
  const hashes = new Uint32Array(1);
  hashRecords(bytes, bytes.length, hashes);
  return hashes[0] as number;
}

describe('the hash of a record', () => {
  const record = (length: number) => Uint8Array.from({ length }, (_, i) => (i * 37) & 0xff);

  it('is that of all bytes up to 64', () => {
    for (const length of [1, 4, 63, 64]) {
      const bytes = record(length);
      expect(hashRecord(bytes)).toBe(hashBytes(bytes));
    }
  });

  it('is the same wherever the record stands, and whatever records stand beside it', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 300 }),
        fc.nat({ max: 9 }),
        fc.array(fc.nat({ max: 255 }), { minLength: 1, maxLength: 5 }),
        (length, shift, seeds) => {
          const records = seeds.map((seed) => record(length).map((byte) => byte ^ seed));
          const bytes = concatBytes([new Uint8Array(shift).fill(9), ...records, record(5)]);
          const hashes = new Uint32Array(seeds.length);
          hashRecords(bytes.subarray(shift, bytes.length - 5), length, hashes);
          expect([...hashes]).toEqual(records.map(hashRecord));
        },
      ),
    );
  });

  it('is that of sixteen words beyond 64 bytes, the first and the last among them', () => {
    for (const length of [65, 68, 100, 128, 1536, 3072, 4099]) {
      const bytes = record(length);
      const before = hashRecord(bytes);
      const seen = bytes.reduce((count, _, at) => {
        const changed = bytes.slice();
        changed[at] = (changed[at] as number) ^ 1;
        return count + (hashRecord(changed) === before ? 0 : 1);
      }, 0);
      expect(seen, `bytes of ${length} that count`).toBe(64);
    }
  });

  // Computed by a program of its own from the description in src/core/hash.ts.
  it.each((golden('hash') as { records: { length: number; hash: number }[] }).records)(
    'of $length bytes is $hash',
    ({ length, hash }) => {
      expect(hashRecord(record(length))).toBe(hash);
    },
  );
});

describe('the hash at a level', () => {
  it.each((golden('hash') as { levels: { hash: number; level: number; at: number }[] }).levels)(
    'of $hash at $level is $at',
    ({ hash, level, at }) => {
      expect(hashAtLevel(hash, level)).toBe(at);
    },
  );
});

describe('a varint', () => {
  it.each([
    [0, '00'],
    [1, '01'],
    [127, '7f'],
    [128, '8001'],
    [255, 'ff01'],
    [300, 'ac02'],
    [16384, '808001'],
    [2 ** 32, '8080808010'],
    [2 ** 53 - 1, 'ffffffffffffff0f'],
  ])('of %i is %s', (value, hex) => {
    expect(toHex(varintOf(value))).toBe(hex);
    expect(new ByteReader(fromHex(hex)).varint()).toBe(value);
  });

  it('comes back, and nothing is read behind it', () => {
    fc.assert(
      fc.property(fc.array(fc.maxSafeNat()), fc.uint8Array(), (values, rest) => {
        const reader = new ByteReader(concatBytes([...values.map(varintOf), rest]));
        expect(values.map(() => reader.varint())).toEqual(values);
        expect(reader.take(reader.remaining)).toEqual(rest);
      }),
    );
  });

  it.each(['', '80', 'ffff', '8000', 'ff00', 'ffffffffffffff10', 'ffffffffffffffff01', 'ffffffffffffff7f'])(
    'is not %s',
    (hex) => {
      expect(() => new ByteReader(fromHex(hex)).varint()).toThrow(
        expect.objectContaining({ code: 'ENCODING_INVALID', place: expect.stringMatching(/^byte \d+$/) }),
      );
    },
  );

  it('has one form: any bytes are refused or are the ones that are written', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 12 }), (bytes) => {
        const reader = new ByteReader(bytes);
        const result = outcome(() => reader.varint());
        if ('error' in result) return isVecsnapError(result.error, 'ENCODING_INVALID');
        return toHex(varintOf(result.value)) === toHex(bytes.subarray(0, reader.offset));
      }),
      { numRuns: runs(1000) },
    );
  });

  it.each([-1, 0.5, 2 ** 53, Number.NaN, Infinity])('is not of %d', (value) => {
    expect(() => varintOf(value)).toThrow(RangeError);
  });
});

describe('a writer of bytes', () => {
  const pieces = fc.array(fc.oneof(fc.maxSafeNat(), fc.uint8Array({ maxLength: 40 })), { maxLength: 30 });

  it('gives what came, in order and in memory of its own, and begins again', () => {
    fc.assert(
      fc.property(pieces, pieces, fc.nat({ max: 100 }), (before, values, expected) => {
        const writer = new ByteWriter(expected);
        const write = (some: readonly (number | Uint8Array)[]): void =>
          some.forEach((one) => (typeof one === 'number' ? writer.varint(one) : writer.bytes(one)));
        write(before);
        const first = writer.toBytes();
        writer.clear();
        write(values);
        writer.byte(7);
        const joined = (some: readonly (number | Uint8Array)[]): Uint8Array =>
          concatBytes(some.map((one) => (typeof one === 'number' ? varintOf(one) : one)));
        expect(writer.toBytes()).toEqual(concatBytes([joined(values), Uint8Array.of(7)]));
        expect(writer.length).toBe(writer.toBytes().length);
        expect(first).toEqual(joined(before));
      }),
    );
  });
});

describe('a reader of bytes', () => {
  it('never reads past the end', () => {
    const reader = new ByteReader(Uint8Array.of(1, 2, 3));
    expect(reader.take(2)).toEqual(Uint8Array.of(1, 2));
    expect(() => reader.take(2)).toThrow(
      expect.objectContaining({ code: 'ENCODING_INVALID', place: 'byte 2' }),
    );
    expect(reader.byte()).toBe(3);
    expect(() => reader.byte()).toThrow(
      expect.objectContaining({ code: 'ENCODING_INVALID', place: 'byte 3' }),
    );
    expect(() => reader.take(2 ** 52)).toThrow(expect.objectContaining({ code: 'ENCODING_INVALID' }));
    expect(reader.take(0)).toEqual(new Uint8Array(0));
  });
});

describe('a table of addresses', () => {
  /** Addresses that begin with few different words, so that they meet in the same slots. */
  const crowded = fc
    .tuple(fc.constantFrom(0, 1, 0x7fffffff, 0xffffffff), fc.nat({ max: 40 }))
    .map(([word, end]) => {
      const bytes = new Uint8Array(32);
      viewOf(bytes).setUint32(0, word, true);
      bytes[31] = end;
      return toAddress(bytes);
    });

  it('numbers addresses as a map does', () => {
    fc.assert(
      fc.property(
        fc.array(fc.oneof(crowded, anyAddress), { maxLength: 400 }),
        fc.array(crowded),
        (added, asked) => {
          const table = new DigestTable();
          const model = new Map<string, number>();
          for (const address of added) {
            const expected = model.get(toHex(address)) ?? model.size;
            model.set(toHex(address), expected);
            expect(table.add(address)).toBe(expected);
          }
          expect(table.size).toBe(model.size);
          expect([...table].map(toHex)).toEqual([...model.keys()]);
          for (const address of [...added, ...asked]) {
            expect(table.find(address)).toBe(model.get(toHex(address)) ?? -1);
            expect(table.has(address)).toBe(model.has(toHex(address)));
          }
        },
      ),
      { numRuns: runs(50) },
    );
  });

  it('grows', () => {
    const table = new DigestTable();
    const address = (i: number) => toAddress(new Uint8Array(createHash('sha256').update(String(i)).digest()));
    const count = 20_000;
    for (let i = 0; i < count; i++) expect(table.add(address(i))).toBe(i);
    for (let i = 0; i < count; i += 7) expect(table.find(address(i))).toBe(i);
    for (let i = count; i < count + 1000; i++) expect(table.find(address(i))).toBe(-1);
    expect(table.at(count - 1)).toEqual(address(count - 1));
  });

  it('goes on from page to page, with room made before or not', () => {
    for (const reserved of [0, 1, 70_000]) {
      const table = new DigestTable();
      table.reserve(reserved);
      const bytes = new Uint8Array(70_000 + 32);
      let state = 1;
      for (let i = 0; i < bytes.length; i++) {
        state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
        bytes[i] = state >>> 24;
      }
      const numbers = new Map<string, number>();
      for (let at = 0; at < 70_000; at++) {
        const text = toHex(bytes.subarray(at, at + 32));
        if (!numbers.has(text)) numbers.set(text, numbers.size);
        expect(table.addAt(bytes, at)).toBe(numbers.get(text));
      }
      expect(table.size).toBeGreaterThan(65_536);
      for (const number of [0, 32_767, 32_768, table.size - 1])
        expect(table.find(table.at(number))).toBe(number);
    }
  });

  it('copies what it is given', () => {
    const table = new DigestTable();
    const bytes = new Uint8Array(32);
    table.add(toAddress(bytes));
    bytes.fill(7);
    expect(table.has(toAddress(new Uint8Array(32)))).toBe(true);
    expect(table.has(toAddress(bytes))).toBe(false);
  });

  it.each([-1, 1, Number.NaN])('has no address of the number %d', (index) => {
    const table = new DigestTable();
    table.add(new Uint8Array(32) as Address);
    expect(() => table.at(index)).toThrow(RangeError);
  });
});

describe('a column of numbers', () => {
  it.each([1, 2, 4] as const)('of %d bytes has what was set last, and 0 elsewhere', (width) => {
    const most = 2 ** (8 * width) - 1;
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.nat({ max: 200_000 }), fc.nat({ max: most }))), (sets) => {
        const column = new NumberColumn(width);
        const model = new Map<number, number>();
        for (const [position, value] of sets) {
          column.set(position, value);
          model.set(position, value);
        }
        for (const [position, value] of model) expect(column.get(position)).toBe(value);
        expect(column.get(200_001)).toBe(0);
        expect(column.get(9)).toBe(model.get(9) ?? 0);
      }),
    );
  });
});

describe('the order of ids', () => {
  it('is that of their UTF-8 bytes', () => {
    fc.assert(
      fc.property(anyText, anyText, anyText, (start, a, b) => {
        const [x, y] = [start + a, start + b];
        expect(Math.sign(compareIds(x, y))).toBe(Math.sign(Buffer.compare(Buffer.from(x), Buffer.from(y))));
        expect(Math.sign(compareBytes(utf8(x), utf8(y)))).toBe(Math.sign(compareIds(x, y)));
      }),
      { numRuns: runs(2000) },
    );
  });

  it('is that of numbers where they are numbers', () => {
    fc.assert(
      fc.property(
        fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
        fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
        (a, b) => {
          expect(compareIds(a, b)).toBe(a < b ? -1 : a > b ? 1 : 0);
        },
      ),
    );
  });

  it('is checked across batches', () => {
    const check = new OrderCheck();
    check.check(['a', 'b\uffff']);
    check.check([]);
    check.check(undefined);
    check.check(['b\u{10000}', 'c']);
    expect(() => check.check(['c'])).toThrow(
      expect.objectContaining({ code: 'SOURCE_DUPLICATE_ID', place: 'id "c"' }),
    );
    expect(() => check.check(['b'])).toThrow(expect.objectContaining({ code: 'SOURCE_UNORDERED' }));
    expect(() => check.check(['d\udc00'])).toThrow(expect.objectContaining({ code: 'SOURCE_INVALID' }));
  });

  it('is checked for numbers', () => {
    const check = new OrderCheck();
    check.check(BigUint64Array.of(0n, 2n ** 63n));
    expect(() => check.check(BigUint64Array.of(2n ** 63n))).toThrow(
      expect.objectContaining({ code: 'SOURCE_DUPLICATE_ID' }),
    );
    expect(() => check.check(BigUint64Array.of(5n))).toThrow(
      expect.objectContaining({ code: 'SOURCE_UNORDERED' }),
    );
  });
});
