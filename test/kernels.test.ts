/** The codec `planes` in WebAssembly does what it does in TypeScript: the same bytes, the same refusals. */
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { countMasked, decodePlanes, encodePlanes, type PlaneWidth } from 'vecsnap/cas';
import { toHex, VecsnapError } from 'vecsnap/core';
import { nodeDeflate, nodeSha256 } from 'vecsnap/platform';
import { outcome, runs } from './support/arbitraries.js';
import { seededBytes } from './support/files.js';

const TYPESCRIPT = { kernels: false };
const KERNELS = { kernels: true };

const anyWidth = fc.constantFrom<PlaneWidth>(1, 2, 4, 8);

/** Numbers whose bytes are more or less uneven: from a few values to all, from planes that are raw to codes that are cut. */
const anyNumbers = fc
  .record({
    count: fc.oneof(fc.nat({ max: 80 }), fc.nat({ max: 5000 }), fc.integer({ min: 4000, max: 20_000 })),
    width: anyWidth,
    seed: fc.nat(),
    /** How uneven: byte i of a number is a power of what is random, times the values that there are. */
    powers: fc.array(fc.constantFrom(0.5, 1, 2, 4, 8, 16), { minLength: 8, maxLength: 8 }),
    values: fc.constantFrom(1, 2, 3, 16, 40, 200, 256),
    shift: fc.nat({ max: 9 }),
    isShared: fc.boolean(),
  })
  .map(({ count, width, seed, powers, values, shift, isShared }) => {
    const length = count * width;
    const memory = isShared ? new SharedArrayBuffer(length + 9) : new ArrayBuffer(length + 9);
    const bytes = new Uint8Array(memory, shift, length);
    const random = seededBytes(length, seed);
    for (let i = 0; i < length; i++) {
      const fraction = ((random[i] as number) + (random[(i * 7) % length] as number) / 256) / 256;
      bytes[i] = values * fraction ** (powers[i % width] as number);
    }
    return { bytes, width };
  });

function encode(bytes: Uint8Array, width: PlaneWidth, options: object): Uint8Array {
  return encodePlanes(bytes, width, 6, nodeDeflate, options);
}

/** The plaintext, or the error: a trap would be another error than the reference has. */
function decoded(encoded: Uint8Array, length: number, options: object): string {
  const result = outcome(() => decodePlanes(encoded, length, nodeDeflate, options));
  if ('value' in result) return toHex(nodeSha256(result.value)) + result.value.length;
  const { error } = result;
  return error instanceof VecsnapError ? `${error.code} ${error.place} ${error.message}` : String(error);
}

describe('the kernels', () => {
  it('run on this machine', () => {
    expect(countMasked(Uint8Array.of(0, 0, 0x80, 0x7f), 4, 0x7f800000)).toBe(1);
  });

  it('encode to the same bytes, and decode them', () => {
    fc.assert(
      fc.property(anyNumbers, ({ bytes, width }) => {
        const expected = encode(bytes, width, TYPESCRIPT);
        expect(Buffer.compare(encode(bytes, width, KERNELS), expected)).toBe(0);
        for (const options of [TYPESCRIPT, KERNELS]) {
          const plain = decodePlanes(expected, bytes.length, nodeDeflate, options);
          expect(Buffer.compare(plain, bytes)).toBe(0);
        }
      }),
      { numRuns: runs(400) },
    );
  });

  it('decode wherever the encoded form stands', () => {
    fc.assert(
      fc.property(anyNumbers, fc.nat({ max: 9 }), fc.boolean(), ({ bytes, width }, shift, isShared) => {
        const encoded = encode(bytes, width, TYPESCRIPT);
        const length = encoded.length + shift;
        const placed = new Uint8Array(
          isShared ? new SharedArrayBuffer(length) : new ArrayBuffer(length),
          shift,
        );
        placed.set(encoded);
        expect(Buffer.compare(decodePlanes(placed, bytes.length, nodeDeflate), bytes)).toBe(0);
      }),
      { numRuns: runs(100) },
    );
  });

  it('refuse what is damaged as TypeScript refuses it, and go on', () => {
    const good = seededBytes(40_000, 1).map((byte) => Math.clz32(byte));
    const goodEncoded = encode(good, 4, TYPESCRIPT);
    const anyDamage = fc.record({
      /** Bytes that are changed, most of them near the beginning, where the heads are. */
      changes: fc.array(
        fc.record({
          at: fc.oneof(fc.nat({ max: 40 }), fc.nat()),
          to: fc.oneof(fc.constantFrom(0, 1, 0xff), fc.nat({ max: 255 })),
        }),
        { maxLength: 4 },
      ),
      cut: fc.oneof({ weight: 3, arbitrary: fc.constant(0) }, fc.nat({ max: 30 })),
      /** Numbers more or less than there are. */
      more: fc.oneof({ weight: 3, arbitrary: fc.constant(0) }, fc.integer({ min: -3, max: 3 })),
    });
    fc.assert(
      fc.property(anyNumbers, anyDamage, ({ bytes, width }, { changes, cut, more }) => {
        const whole = encode(bytes, width, TYPESCRIPT);
        const damaged = whole.slice(0, Math.max(0, whole.length - cut));
        for (const { at, to } of changes) damaged[at % Math.max(1, damaged.length)] = to;
        const length = Math.max(0, bytes.length + more * width);
        expect(decoded(damaged, length, KERNELS)).toBe(decoded(damaged, length, TYPESCRIPT));
        expect(Buffer.compare(decodePlanes(goodEncoded, good.length, nodeDeflate), good)).toBe(0);
      }),
      { numRuns: runs(800) },
    );
  });

  it('refuse streams whose lengths lie', () => {
    const plain = seededBytes(8192, 2).map((byte) => Math.clz32(byte));
    const encoded = encode(plain, 1, TYPESCRIPT);
    expect(encoded[1]).toBe(3);
    // Width, method, a varint of two bytes; then the head of the code: the runs, their lengths, and the lengths of the streams.
    const runsOfSymbols = (encoded[4] as number) + 1;
    const symbols = Array.from({ length: runsOfSymbols }, (_, i) => (encoded[6 + 2 * i] as number) + 1);
    const directory = 5 + 2 * runsOfSymbols + Math.ceil(symbols.reduce((sum, count) => sum + count, 0) / 2);
    fc.assert(
      fc.property(
        fc.tuple(fc.nat({ max: 2 }), fc.oneof(fc.nat({ max: 2 ** 32 - 1 }), fc.nat({ max: 3000 }))),
        ([stream, length]) => {
          const lying = encoded.slice();
          new DataView(lying.buffer).setUint32(directory + 4 * stream, length, true);
          expect(decoded(lying, plain.length, KERNELS)).toBe(decoded(lying, plain.length, TYPESCRIPT));
        },
      ),
      { numRuns: runs(200) },
    );
  });

  it('refuse heads that name values which are none', () => {
    const anyRuns = fc.array(fc.tuple(fc.nat({ max: 255 }), fc.nat({ max: 3 })), {
      minLength: 1,
      maxLength: 4,
    });
    fc.assert(
      fc.property(anyRuns, fc.uint8Array({ minLength: 8, maxLength: 8 }), (symbolRuns, codes) => {
        const count = symbolRuns.reduce((sum, [, more]) => sum + more + 1, 0);
        fc.pre(Number.isInteger(Math.log2(count))); // Codes of equal length are complete.
        const lengths = Array.from({ length: count >> 1 }, () => Math.log2(count) * 0x11);
        const plane = [symbolRuns.length - 1, ...symbolRuns.flat(), ...lengths, ...codes];
        const encoded = Uint8Array.from([1, 3, plane.length, ...plane]);
        const length = Math.floor((8 * codes.length) / Math.log2(count));
        expect(decoded(encoded, length, KERNELS)).toBe(decoded(encoded, length, TYPESCRIPT));
      }),
      { numRuns: runs(500) },
    );
  });

  it('leave chunks that are too large to TypeScript', () => {
    const bytes = new Uint8Array(17 * 1024 * 1024);
    bytes.fill(3, 100);
    const encoded = encode(bytes, 4, KERNELS);
    expect(encoded.length).toBeLessThan(100_000);
    expect(Buffer.compare(decodePlanes(encoded, bytes.length, nodeDeflate), bytes)).toBe(0);
  });

  it('count numbers of which certain bits are set', () => {
    const anyMask = fc.constantFrom([2, 0x7c00], [2, 0x7f80], [4, 0x7f800000], [8, 0x7ff00000]);
    fc.assert(
      fc.property(
        anyMask,
        fc.nat({ max: 40_000 }),
        fc.nat(),
        fc.nat({ max: 9 }),
        (kind, count, seed, shift) => {
          const [width, mask] = kind as [2 | 4 | 8, number];
          const bytes = new Uint8Array(count * width + shift).subarray(shift);
          bytes.set(seededBytes(bytes.length, seed).map((byte) => (byte & 1 ? byte : 0x7f | byte)));
          const view = new DataView(bytes.buffer, shift);
          let expected = 0;
          for (let i = 0; i < bytes.length; i += width) {
            const upper = width === 2 ? view.getUint16(i, true) : view.getUint32(i + width - 4, true);
            if ((upper & mask) === mask) expected++;
          }
          expect(countMasked(bytes, width, mask)).toBe(expected);
        },
      ),
      { numRuns: runs(200) },
    );
  });

  it.each([
    ['that has no WebAssembly', 'delete globalThis.WebAssembly;'],
    [
      'that refuses to compile',
      'WebAssembly.Module = class { constructor() { throw new EvalError("no") } };',
    ],
    ['that gives no memory', 'WebAssembly.Memory.prototype.grow = () => { throw new RangeError("no") };'],
  ])('give way to TypeScript on a machine %s', (_, first) => {
    const program = `
      const { decodePlanes, encodePlanes } = await import('vecsnap/cas');
      const { nodeDeflate } = await import('vecsnap/platform');
      const bytes = Uint8Array.from({ length: 400_000 }, (_, i) => (i % 4) * Math.clz32(i * i));
      const encoded = encodePlanes(bytes, 4, 6, nodeDeflate);
      const plain = decodePlanes(encoded, bytes.length, nodeDeflate);
      const reference = encodePlanes(bytes, 4, 6, nodeDeflate, { kernels: false });
      console.log(Buffer.compare(plain, bytes), Buffer.compare(encoded, reference));`;
    const args = ['--input-type=module', '--eval', first + program];
    const root = join(import.meta.dirname, '..');
    expect(execFileSync(process.execPath, args, { cwd: root, encoding: 'utf8' })).toBe('0 0\n');
  });

  it('look at bytes of no known kind, tell them by others, and find ends of chunks as TypeScript does', () => {
    const program = `
      const { createHash } = await import('node:crypto');
      const { encodeChunk, decodeChunk } = await import('vecsnap/cas');
      const { cutBytes, gearCutter } = await import('vecsnap/chunker');
      const { nodeDeflate, nodeSha256 } = await import('vecsnap/platform');
      let state = 1;
      const random = (below) => ((state = Math.imul(state, 1664525) + 1013904223) >>> 12) % below; // The low bits repeat soon.
      const kinds = [
        () => random(256), (i) => (i % 4 === 3 ? 60 + random(4) : random(256)), (i) => (i % 8 < 5 ? random(256) : 0),
        (i) => 97 + (i % 300) % 23, () => random(9) && 7, (i) => (i % 2 ? 60 + random(9) : random(256)), () => 0,
      ];
      const told = createHash('sha256');
      const deflate = (bytes, level) => (told.update(bytes.length + ' tried,'), nodeDeflate.deflate(bytes, level));
      const primitives = { sha256: nodeSha256, deflate: { ...nodeDeflate, deflate } };
      const codecs = new Set();
      for (let round = 0; round < 140; round++) {
        const length = 64 + random([200, 5000, 70_000][round % 3]);
        const bytes = Uint8Array.from({ length }, (_, i) => kinds[round % kinds.length](i));
        const alone = encodeChunk({ bytes, width: 0 }, { compression: 'auto', compressionLevel: 6 }, primitives);
        const base = { ...alone, address: nodeSha256(bytes), length };
        if (decodeChunk(base, true, primitives).length !== length) throw new Error('another length');
        const at = random(length);
        const edited = Buffer.concat([bytes.subarray(0, at), Buffer.from('something new'), bytes.subarray(at + random(40))]);
        edited[random(edited.length)] ^= 1;
        const other = Uint8Array.from(edited).reverse();
        const chunks = [base, { ...base, codec: 0, bytes: other, address: nodeSha256(other), length: other.length }];
        const kin = { unit: 1, chunks: round % 2 ? chunks : chunks.slice(0, 1) };
        const delta = encodeChunk({ bytes: edited, width: 0, kin }, { compression: 'auto', compressionLevel: 6 }, primitives);
        const inPlace = Buffer.concat([bytes, bytes.subarray(0, round % 3)]);
        for (let edits = random(9); edits > 0; edits--) {
          const start = random(length);
          inPlace.subarray(start, start + random(2 + Math.ceil(length / 90))).fill(random(256));
        }
        const swapped = { unit: 1, chunks: round % 2 ? chunks.toReversed() : chunks };
        const edits = encodeChunk({ bytes: inPlace, width: 0, kin: swapped }, { compression: 'auto', compressionLevel: 6 }, primitives);
        for (const { codec, bytes } of [alone, delta, edits]) told.update(codec + ':').update(bytes), codecs.add(codec);
      }
      const stream = Uint8Array.from({ length: 1_000_000 }, (_, i) => (i % 90_000 < 30_000 ? 0 : random(256)));
      for (const min of [64, 200]) for (const from of [0, 3])
        for (const { length } of cutBytes(stream.subarray(from), gearCutter({ min, avg: 256, max: 2000 }))) told.update(length + ',');
      console.log([...codecs].sort().join(' '), told.digest('hex'));`;
    const run = (first: string): string =>
      execFileSync(process.execPath, ['--input-type=module', '--eval', first + program], {
        cwd: join(import.meta.dirname, '..'),
        encoding: 'utf8',
      });
    const byKernels = run('');
    expect(byKernels).toMatch(/^0 1 2 3 4 /);
    expect(run('delete globalThis.WebAssembly;')).toBe(byKernels);
    const withoutMemory = 'WebAssembly.Memory.prototype.grow = () => { throw new RangeError("no") };';
    expect(run(withoutMemory)).toBe(byKernels);
  });
});
