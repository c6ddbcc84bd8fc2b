/** Codecs: what is encoded comes back, on any machine; what is damaged is told; what is hostile gets no more than it says. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  type CoderPrimitives,
  CODECS,
  decodeChunk,
  decodePlanes,
  decodeStored,
  encodeChunk,
  encodePlanes,
  graphInMemory,
  inlineCoder,
  joinPlanes,
  mayHold,
  type PlainChunk,
  type PlaneWidth,
  splitPlanes,
} from 'vecsnap/cas';
import { type Deflate, isVecsnapError, toAddress, toHex } from 'vecsnap/core';
import { nodeDeflate, nodeSha256, portableDeflate, portableSha256 } from 'vecsnap/platform';
import { outcome, runs } from './support/arbitraries.js';
import { seededBytes } from './support/files.js';
import { fromHex } from './support/golden.js';

const machines: Readonly<Record<string, Deflate>> = { node: nodeDeflate, portable: portableDeflate };
/** What coding needs, with this deflate. */
function withDeflate(deflate: Deflate): CoderPrimitives {
  return { sha256: nodeSha256, deflate };
}

/** Decodes a chunk that is no delta, whatever its address. */
function decodeAlone(codec: number, bytes: Uint8Array, length: number, deflate: Deflate): Uint8Array {
  const address = toAddress(new Uint8Array(32));
  return decodeChunk({ address, codec, bytes, length }, false, withDeflate(deflate));
}

const anyMachine = fc.constantFrom(...Object.keys(machines));
const anyWidth = fc.constantFrom<PlaneWidth>(1, 2, 4, 8);

/** Bytes of every kind that planes tell apart: constant, few values, uneven values, random, floats, and mixtures of them. */
const anyBytes = fc
  .record({
    length: fc.oneof(fc.nat({ max: 300 }), fc.nat({ max: 20_000 })),
    seed: fc.nat(),
    kind: fc.constantFrom('constant', 'few', 'uneven', 'random', 'floats', 'halves', 'sparse'),
  })
  .map(({ length, seed, kind }) => makeBytes(length, seed, kind));

function makeBytes(length: number, seed: number, kind: string): Uint8Array {
  const random = seededBytes(length, seed);
  if (kind === 'constant') return random.fill(seed & 0xff);
  if (kind === 'few') return random.map((byte) => byte & 3);
  if (kind === 'uneven') return random.map((byte) => Math.clz32(byte | (seed & 1)));
  if (kind === 'halves') return random.fill(7, 0, length >> 1);
  if (kind === 'sparse') return random.map((byte) => (byte < 3 ? byte : 0));
  if (kind === 'random') return random;
  const floats = Float32Array.from({ length: length >> 2 }, (_, i) => Math.sin(i * 12.9 + seed) / 20);
  return new Uint8Array(floats.buffer);
}

/** The bytes at another place in memory: shifted, shared, or in a Buffer. */
function placed(bytes: Uint8Array, shift: number, place: 'own' | 'shared' | 'buffer'): Uint8Array {
  const memory =
    place === 'shared' ? new SharedArrayBuffer(bytes.length + 9) : new ArrayBuffer(bytes.length + 9);
  const view =
    place === 'buffer'
      ? Buffer.from(memory as ArrayBuffer, shift, bytes.length)
      : new Uint8Array(memory, shift, bytes.length);
  view.set(bytes);
  return view;
}

const anyPlace = fc.constantFrom<'own' | 'shared' | 'buffer'>('own', 'shared', 'buffer');

describe('planes', () => {
  it('are split and joined wherever the bytes stand', () => {
    fc.assert(
      fc.property(
        fc.nat({ max: 200 }),
        anyWidth,
        fc.nat(),
        fc.nat({ max: 8 }),
        anyPlace,
        (count, width, seed, shift, place) => {
          const bytes = seededBytes(count * width, seed);
          const planes = splitPlanes(placed(bytes, shift, place), width);
          expect(planes).toHaveLength(width);
          for (const [p, plane] of planes.entries())
            expect([...plane]).toEqual([...bytes].filter((_, i) => i % width === p));
          const moved = planes.map((plane, p) => placed(plane, (shift + p) % 9, place));
          expect(Buffer.compare(joinPlanes(moved, width), bytes)).toBe(0);
        },
      ),
      { numRuns: runs(300) },
    );
  });

  it('come back on any machine from what any machine wrote', () => {
    fc.assert(
      fc.property(
        anyBytes,
        anyWidth,
        fc.integer({ min: 1, max: 9 }),
        anyMachine,
        anyMachine,
        (some, width, level, writer, reader) => {
          const bytes = some.subarray(0, some.length - (some.length % width));
          const encoded = encodePlanes(bytes, width, level, machines[writer] as Deflate);
          expect(
            Buffer.compare(decodePlanes(encoded, bytes.length, machines[reader] as Deflate), bytes),
          ).toBe(0);
          // A byte for the width, and one for the method of each plane.
          expect(encoded.length).toBeLessThanOrEqual(bytes.length + 1 + 2 * width);
        },
      ),
      { numRuns: runs(300) },
    );
  });

  it('are kept raw, deflated, constant or Huffman-coded as fits them', () => {
    const method = (plane: Uint8Array) => encodePlanes(plane, 1, 6, nodeDeflate)[1];
    expect(method(makeBytes(5000, 3, 'random'))).toBe(0);
    expect(method(makeBytes(5000, 3, 'sparse'))).toBe(1);
    expect(method(makeBytes(5000, 3, 'constant'))).toBe(2);
    expect(method(makeBytes(5000, 3, 'few'))).toBe(3);
    expect(method(new Uint8Array(5000).fill(1, 4999))).toBe(1); // Constant in all but one byte, which no sample sees.
  });

  it.each([
    ['of two bytes raw and constant', '02 00 0207 0102', '01070207'],
    ['of no numbers', '01 00', ''],
    ['of eight constants', '08 0200 0201 0202 0203 0204 0205 0206 0207', '0001020304050607'],
    ['Huffman-coded', '01 03 05 00 0001 11 aa', '0001000100010001'],
    ['of two runs of values', '01 03 07 01 0000 0700 11 aa', '0007000700070007'],
  ])('have this layout: %s', (_, hex, plain) => {
    expect(toHex(decodePlanes(fromHex(hex), plain.length / 2, nodeDeflate))).toBe(plain);
  });
});

describe('hostile planes', () => {
  it.each([
    ['of no width', '', 4],
    ['of three bytes', '03 00 00 00 010203', 3],
    ['of a width that does not fit', '04 00 00 00 00', 3],
    ['of an unknown method', '01 04', 1],
    ['without methods', '02 00', 2],
    ['cut short', '01 00 0102', 3],
    ['with a byte left over', '01 00 01020304', 3],
    ['with a length past the end', '01 01 ff7f 00', 3],
    ['with Huffman codes that end too early', '01 03 04 00 0001 11', 8],
    ['with bytes after the Huffman codes', '01 03 06 00 0001 11 aa 00', 8],
    ['with a head that is cut short', '01 03 02 00 00', 8],
    ['with Huffman codes of one symbol', '01 03 04 00 0000 01', 8],
    ['with an incomplete Huffman code', '01 03 05 00 0001 21 aa', 8],
    ['with runs of symbols out of order', '01 03 07 01 0100 0000 11 aa', 8],
    ['with runs of symbols that touch', '01 03 07 01 0000 0100 11 aa', 8],
    ['with a run of symbols past the last', '01 03 05 00 ff01 11 aa', 8],
    ['with streams past the end', '01 03 14 00 0001 11 01000000 01000000 ff000000 02 02 02 02', 4096],
    ['with too few streams', '01 03 08 00 0001 11 01000000', 4096],
  ])('%s are damaged', (_, hex, length) => {
    expect(() => decodeAlone(CODECS.planes, fromHex(hex), length, nodeDeflate)).toThrow(
      expect.objectContaining({ code: 'CHUNK_DAMAGED' }),
    );
  });
});

describe('bytes of no known kind', () => {
  const AUTO = { compression: 'auto', compressionLevel: 6 } as const;
  const encode = (bytes: Uint8Array, deflate: Deflate = nodeDeflate) =>
    encodeChunk({ bytes, width: 0 }, AUTO, withDeflate(deflate));
  /** Numbers of so many bytes, of which the highest are uneven. */
  const numbers = (width: number, length: number) =>
    seededBytes(length, width).map((byte, i) => (i % width === width - 1 ? Math.clz32(byte) : byte));
  const unused: Deflate = {
    ...nodeDeflate,
    deflate: () => {
      throw new Error('deflate was tried');
    },
  };

  it.each([2, 4, 8] as const)('are kept as numbers of %i bytes where they are some', (width) => {
    const bytes = numbers(width, 65_536);
    const { codec, bytes: encoded } = encode(bytes, unused);
    expect(codec).toBe(CODECS.planes);
    expect(encoded[0]).toBe(width);
    const ragged = bytes.subarray(1); // Begins within a number.
    const form = encode(ragged, unused);
    expect(form.codec).toBe(CODECS.planesAndRest);
    expect(form.bytes[0]).toBe(width);
    expect(Buffer.compare(decodeAlone(form.codec, form.bytes, ragged.length, nodeDeflate), ragged)).toBe(0);
    expect(form.bytes.length).toBeLessThan(encoded.length + 2 * width);
  });

  it('are kept in codes of single bytes where they are uneven and nothing comes again', () => {
    const { codec, bytes } = encode(
      seededBytes(50_001, 5).map((byte) => byte & 63),
      unused,
    );
    expect(codec).toBe(CODECS.planes);
    expect(bytes[0]).toBe(1);
  });

  it('are kept as they are where nothing can be saved, and deflate is not tried', () => {
    expect(encode(seededBytes(60_000, 8), unused).codec).toBe(CODECS.raw);
  });

  it('are deflated where much comes again', () => {
    const text = Uint8Array.from(
      Buffer.from(JSON.stringify(Array.from({ length: 3000 }, (_, i) => ({ id: i * i, name: `name ${i}` })))),
    );
    const random = seededBytes(3000, 1);
    const again = Uint8Array.from({ length: 60_000 }, (_, i) => random[i % 3000] as number);
    for (const bytes of [text, again]) {
      const { codec, bytes: encoded } = encode(bytes);
      expect(codec).toBe(CODECS.deflate);
      expect(encoded.length).toBe(nodeDeflate.deflate(bytes, 6).length);
    }
  });

  it('are nothing but their value where they are the same throughout', () => {
    expect(encode(new Uint8Array(60_000)).bytes.length).toBeLessThan(8);
  });

  it.each([
    ['without a width', '', 5],
    ['of width 0', '00 00 0102', 3],
    ['of three bytes', '03 00 00 00 01020304', 4],
    ['that end with a whole number', '02 00 00 01020304', 4],
    ['with a rest that is missing', '04 0200 0200 0200 0200', 5],
    ['that are a rest alone', '08 01020304050607', 7],
    ['with a byte left over', '02 00 00 010203 04', 3],
  ])('%s are damaged when they are kept as numbers and a rest', (_, hex, length) => {
    expect(() => decodeAlone(CODECS.planesAndRest, fromHex(hex), length, nodeDeflate)).toThrow(
      expect.objectContaining({ code: 'CHUNK_DAMAGED' }),
    );
  });

  it('have this layout when they are kept as numbers and a rest', () => {
    const plain = decodeAlone(CODECS.planesAndRest, fromHex('02 00 0207 0102 09'), 5, nodeDeflate);
    expect(toHex(plain)).toBe('0107020709');
  });
});

describe('a chunk', () => {
  const anyChunk: fc.Arbitrary<PlainChunk> = fc.record({
    bytes: anyBytes,
    width: fc.constantFrom<PlainChunk['width']>(0, 1, 2, 4, 8),
  });
  const anyOptions = fc.record({
    compression: fc.constantFrom<'auto' | 'none'>('auto', 'none'),
    compressionLevel: fc.integer({ min: 1, max: 9 }),
  });

  it('comes back whatever it is made of, on any machine, and is never longer than it was', () => {
    fc.assert(
      fc.property(anyChunk, anyOptions, anyMachine, anyMachine, (plain, options, writer, reader) => {
        const { codec, bytes } = encodeChunk(plain, options, withDeflate(machines[writer] as Deflate));
        expect(bytes.length).toBeLessThanOrEqual(plain.bytes.length);
        if (options.compression === 'none') expect(codec).toBe(CODECS.raw);
        const back = decodeAlone(codec, bytes, plain.bytes.length, machines[reader] as Deflate);
        expect(Buffer.compare(back, plain.bytes)).toBe(0);
      }),
      { numRuns: runs(400) },
    );
  });

  it('is encoded the same wherever it stands', () => {
    fc.assert(
      fc.property(anyChunk, fc.nat({ max: 8 }), anyPlace, ({ bytes, width }, shift, place) => {
        const options = { compression: 'auto', compressionLevel: 6 } as const;
        const encoded = encodeChunk(
          { bytes: placed(bytes, shift, place), width },
          options,
          withDeflate(nodeDeflate),
        );
        const expected = encodeChunk({ bytes, width }, options, withDeflate(nodeDeflate));
        expect(encoded.codec).toBe(expected.codec);
        expect(Buffer.compare(encoded.bytes, expected.bytes)).toBe(0);
        const back = decodeAlone(
          encoded.codec,
          placed(encoded.bytes, shift, place),
          bytes.length,
          nodeDeflate,
        );
        expect(Buffer.compare(back, bytes)).toBe(0);
      }),
      { numRuns: runs(200) },
    );
  });

  it.each(Object.entries(machines))(
    'that is damaged is told on %s, and never read as other bytes',
    (_, deflate) => {
      const sha256 = nodeSha256;
      fc.assert(
        fc.property(
          anyChunk,
          fc.nat(),
          fc.integer({ min: 1, max: 255 }),
          fc.boolean(),
          (plain, at, change, cut) => {
            const { codec, bytes } = encodeChunk(
              plain,
              { compression: 'auto', compressionLevel: 6 },
              withDeflate(nodeDeflate),
            );
            fc.pre(bytes.length > 0);
            const i = at % bytes.length;
            const damaged = cut
              ? bytes.slice(0, i)
              : new Uint8Array(bytes).with(i, (bytes[i] as number) ^ change);
            const length = plain.bytes.length;
            const result = outcome(() => decodeAlone(codec, damaged, length, deflate));
            if ('error' in result) expect(isVecsnapError(result.error, 'CHUNK_DAMAGED')).toBe(true);
            else expect(result.value).toHaveLength(length);
            const address = sha256(plain.bytes);
            const stored = decodeStored({ address, codec, bytes: damaged, length }, true, {
              sha256,
              deflate,
            });
            // A bit in the padding of a deflate stream may change without harm.
            if (stored !== undefined) expect(Buffer.compare(stored, plain.bytes)).toBe(0);
          },
        ),
        { numRuns: runs(300) },
      );
    },
  );

  it.each(Object.entries(machines))('of any bytes is decoded on %s or refused', (_, deflate) => {
    fc.assert(
      fc.property(
        fc.uint8Array({ maxLength: 60 }),
        fc.nat({ max: 4 }),
        fc.nat({ max: 100 }),
        (bytes, codec, length) => {
          const result = outcome(() => decodeAlone(codec, bytes, length, deflate));
          if ('error' in result) expect(isVecsnapError(result.error, 'CHUNK_DAMAGED')).toBe(true);
          else expect(result.value).toHaveLength(length);
        },
      ),
      { numRuns: runs(2000) },
    );
  });

  it.each(Object.entries(machines))('that inflates to more than it says gets no more on %s', (_, deflate) => {
    const bomb = nodeDeflate.deflate(new Uint8Array(16e6), 9);
    const before = process.memoryUsage().arrayBuffers;
    for (const length of [0, 1, 1000]) {
      expect(() => decodeAlone(CODECS.deflate, bomb, length, deflate)).toThrow(
        expect.objectContaining({ code: 'CHUNK_DAMAGED' }),
      );
    }
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(8e6);
  });

  it.each(Object.entries(machines))('that inflates to less than it says is damaged on %s', (_, deflate) => {
    const short = nodeDeflate.deflate(new Uint8Array(100), 6);
    for (const length of [101, 100_000])
      expect(() => decodeAlone(CODECS.deflate, short, length, deflate)).toThrow(
        expect.objectContaining({ code: 'CHUNK_DAMAGED' }),
      );
  });
});

describe('the form of numbers', () => {
  const numbers = fc.constantFrom<PlaneWidth>(2, 4, 8);
  const some = fc.array(fc.nat({ max: 255 }), { maxLength: 8 });
  const anyDelta = fc.record({ bytes: anyBytes, base: anyBytes, width: numbers, count: fc.nat({ max: 40 }) });

  function holds(bytes: Uint8Array, width: number, plane: number, values: readonly number[]): boolean {
    return bytes.some((byte, i) => i % width === plane && values.includes(byte));
  }

  it('never denies a byte that they have, and tells of most planes that lack one', () => {
    let [denied, asked] = [0, 0];
    fc.assert(
      fc.property(anyBytes, numbers, some, fc.nat({ max: 7 }), (all, width, values, n) => {
        const bytes = all.subarray(0, all.length - (all.length % width));
        const plane = n % width;
        const form = encodeChunk(
          { bytes, width },
          { compression: 'auto', compressionLevel: 6 },
          withDeflate(nodeDeflate),
        );
        const has = holds(bytes, width, plane, values);
        const may = mayHold(form, plane, values);
        if (has) expect(may).toBe(true);
        if (!has && bytes.length > 64) [denied, asked] = [denied + (may ? 0 : 1), asked + 1];
      }),
      { numRuns: runs(400), seed: 7 },
    );
    expect(denied).toBeGreaterThan(asked / 8);
  });

  it('tells of a chunk that is told by another what those numbers have that are not copied', () => {
    const options = { compression: 'auto', compressionLevel: 6 } as const;
    let denied = 0;
    fc.assert(
      fc.property(anyDelta, some, ({ bytes, base, width, count }, values) => {
        const unit = 8 * width;
        const before = base.subarray(0, base.length - (base.length % unit));
        const literals = bytes.subarray(0, Math.min(count * unit, bytes.length - (bytes.length % unit)));
        const after = Buffer.concat([before, literals]);
        const kin = { unit, chunks: [{ address: toAddress(nodeSha256(before)), plain: before, chain: 0 }] };
        const form = encodeChunk({ bytes: after, width, kin }, options, withDeflate(nodeDeflate));
        if (form.codec !== CODECS.delta) return;
        const plane = width - 1;
        const may = mayHold(form, plane, values);
        // What of the literals stands in the base too is copied; the rest must be told.
        const fresh = unitsOf(literals, unit).filter(
          (one) => !unitsOf(before, unit).some((other) => Buffer.compare(one, other) === 0),
        );
        if (fresh.some((one) => holds(one, width, plane, values))) expect(may).toBe(true);
        if (!may) denied++;
      }),
      { numRuns: runs(400), seed: 7 },
    );
    expect(denied).toBeGreaterThan(10);
  });
});

function unitsOf(bytes: Uint8Array, unit: number): Uint8Array[] {
  return Array.from({ length: bytes.length / unit }, (_, i) => bytes.subarray(i * unit, (i + 1) * unit));
}

describe('SHA-256 and deflate', () => {
  it('are the same on any machine', () => {
    fc.assert(
      fc.property(anyBytes, fc.nat({ max: 8 }), anyPlace, (bytes, shift, place) => {
        const moved = placed(bytes, shift, place);
        expect(toHex(portableSha256(moved))).toBe(toHex(nodeSha256(bytes)));
        expect(toHex(nodeSha256(moved))).toBe(toHex(nodeSha256(bytes)));
        for (const effort of [1, 9])
          for (const [writer, reader] of [
            [nodeDeflate, portableDeflate],
            [portableDeflate, nodeDeflate],
          ] as const) {
            const packed = writer.deflate(moved, effort);
            expect(Buffer.compare(reader.inflate(packed, bytes.length), bytes)).toBe(0);
          }
      }),
      { numRuns: runs(100) },
    );
  });
});

describe('inflating strictly', () => {
  const strictly = (bytes: Uint8Array, length: number) => nodeDeflate.inflateStrictly?.(bytes, length);
  const plaintext = fc.oneof(
    fc.uint8Array({ maxLength: 100 }),
    fc
      .array(fc.constantFrom('a word', ' and', ' another', '\n'), { maxLength: 400 })
      .map((words) => Buffer.from(words.join(''))),
    fc.nat(300_000).map((length) => seededBytes(length, length).map((byte) => byte & 7)), // More than one piece.
  );

  it('refuses every bit behind the end of a stream, and nothing else', () => {
    let behind = 0;
    fc.assert(
      fc.property(plaintext, fc.integer({ min: 0, max: 9 }), (plain, level) => {
        const stream = nodeDeflate.deflate(plain, level);
        expect(Buffer.compare(strictly(stream, plain.length) as Uint8Array, plain)).toBe(0);
        const last = stream.at(-1) as number;
        for (let bit = 32 - Math.clz32(last); bit < 8; bit++) {
          const turned = Uint8Array.from(stream);
          turned[stream.length - 1] = last | (1 << bit);
          const found = outcome(() => nodeDeflate.inflate(turned, plain.length));
          if (!('value' in found) || Buffer.compare(found.value, plain) !== 0) continue; // It belongs to the stream.
          behind++;
          expect(() => strictly(turned, plain.length), `bit ${bit}`).toThrow(RangeError);
        }
      }),
      { numRuns: runs(200) },
    );
    expect(behind).toBeGreaterThan(runs(200));
  });
});

describe('the coder in this thread', () => {
  it('gives undefined for a damaged chunk, and for one of another address only when it is to verify', async () => {
    const coder = inlineCoder({ sha256: nodeSha256, deflate: nodeDeflate });
    const bytes = seededBytes(100, 1);
    const address = nodeSha256(seededBytes(100, 2));
    const stored = { address, codec: CODECS.raw, bytes, length: 100 };
    expect(await coder.decode(graphInMemory([stored, { ...stored, length: 99 }]), true)).toEqual([
      undefined,
      undefined,
    ]);
    expect(await coder.decode(graphInMemory([stored, { ...stored, length: 99 }]), false)).toEqual([
      bytes,
      undefined,
    ]);
  });
});
