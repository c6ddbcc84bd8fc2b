/** Packs: golden bytes, and directories that are damaged or hostile. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { memoryBlobStore } from 'vecsnap/blob';
import {
  checkPackHeader,
  PACK_OVERHEAD,
  type PackedChunk,
  type PackEntry,
  packEntryBytes,
  readPackDirectory,
  readRange,
} from 'vecsnap/cas';
import { concatBytes, isVecsnapError, toHex, viewOf, ByteWriter } from 'vecsnap/core';
import { nodeSha256 } from 'vecsnap/platform';
import { anyAddress, runs } from './support/arbitraries.js';
import { seededBytes } from './support/files.js';
import { fromHex, golden } from './support/golden.js';
import { packOf } from './support/packs.js';

const NAME = 'packs/a';

async function directoryOf(bytes: Uint8Array, size = bytes.length): Promise<PackEntry[]> {
  const blobs = memoryBlobStore();
  await blobs.put(NAME, bytes);
  return readPackDirectory(blobs, { name: NAME, size }, nodeSha256);
}

const anyChunk = fc.record({
  address: anyAddress,
  kind: fc.constantFrom<PackEntry['kind']>('data', 'node'),
  codec: fc.nat({ max: 127 }),
  length: fc.nat({ max: 2 ** 24 }),
  bytes: fc.uint8Array({ maxLength: 300 }),
});

/** A pack around a directory of any bytes, with a footer that fits it. */
function packAround(directory: Uint8Array, payload: number, count: number): Uint8Array {
  const footer = new Uint8Array(44);
  viewOf(footer).setUint32(0, directory.length, true);
  viewOf(footer).setUint32(4, count, true);
  footer.set(nodeSha256(directory), 8);
  footer.set(fromHex('76736e64'), 40);
  return concatBytes([fromHex('76736e7061636b01'), new Uint8Array(payload), directory, footer]);
}

const damaged = expect.objectContaining({ code: 'PACK_DAMAGED', place: NAME, remedy: expect.any(String) });

describe('a pack', () => {
  it('has these bytes', () => {
    const { pack, entries } = golden('pack') as {
      pack: string;
      entries: { address: string; bytes: string }[];
    };
    const [data, node] = entries.map(({ address, bytes }) => ({
      address: fromHex(address),
      bytes: fromHex(bytes),
    }));
    const built = packOf([
      { ...data, kind: 'data', codec: 0, length: 3 } as PackedChunk,
      { ...node, kind: 'node', codec: 1, length: 300 } as PackedChunk,
    ]);
    expect(toHex(built.bytes)).toBe(toHex(fromHex(pack)));
  });

  it('has a directory that says what is in it', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(anyChunk, { maxLength: 30 }), async (chunks) => {
        const { bytes, entries } = packOf(chunks);
        expect(await directoryOf(bytes)).toEqual(entries);
        for (const [i, { offset, storedLength }] of entries.entries())
          expect(bytes.subarray(offset, offset + storedLength)).toEqual(chunks[i]?.bytes);
        const bytesOfEntries = entries.reduce((sum, entry) => sum + packEntryBytes(entry), 0);
        expect(bytes.length).toBe(PACK_OVERHEAD + bytesOfEntries);
        expect(() => checkPackHeader(NAME, bytes)).not.toThrow();
      }),
    );
  });

  it('has a directory that may be longer than what is read at first', async () => {
    const address = (i: number) => nodeSha256(seededBytes(8, i));
    const chunks = Array.from({ length: 3000 }, (_, i) => ({
      address: address(i),
      kind: 'data' as const,
      codec: 0,
      length: 1,
      bytes: Uint8Array.of(i),
    }));
    const { bytes, entries } = packOf(chunks);
    expect(bytes.length).toBeGreaterThan(100_000);
    expect(await directoryOf(bytes)).toEqual(entries);
  });
});

describe('damage', () => {
  const whole = packOf([
    {
      address: nodeSha256(new Uint8Array(1)),
      kind: 'data',
      codec: 0,
      length: 200,
      bytes: seededBytes(200, 1),
    },
    {
      address: nodeSha256(new Uint8Array(2)),
      kind: 'node',
      codec: 2,
      length: 900,
      bytes: seededBytes(100, 2),
    },
  ]).bytes;
  const directoryStart = 8 + 300;

  it('of one bit in the directory or the footer is found', async () => {
    for (let at = directoryStart; at < whole.length; at++) {
      const flipped = whole.with(at, (whole[at] as number) ^ (1 << (at % 8)));
      await expect(directoryOf(flipped), `byte ${at}`).rejects.toThrow(damaged);
    }
  });

  it('of a pack cut short anywhere is found', async () => {
    for (let length = 0; length < whole.length; length += 1)
      await expect(directoryOf(whole.slice(0, length)), `${length} bytes`).rejects.toThrow(damaged);
  });

  it('of a pack that grew is found', async () => {
    await expect(directoryOf(concatBytes([whole, new Uint8Array(1)]))).rejects.toThrow(damaged);
    await expect(directoryOf(concatBytes([whole, whole.subarray(directoryStart)]))).rejects.toThrow(damaged);
    await expect(directoryOf(concatBytes([whole.subarray(0, 50), whole]))).rejects.toThrow(damaged);
  });

  it('of a pack that is shorter than the list said is found', async () => {
    await expect(directoryOf(whole, whole.length + 5)).rejects.toThrow(damaged);
  });

  it('of the header is found, and another format is newer', () => {
    for (let at = 0; at < 8; at++) expect(() => checkPackHeader(NAME, whole.with(at, 0))).toThrow(damaged);
    expect(() => checkPackHeader(NAME, whole.subarray(0, 7))).toThrow();
    expect(() => checkPackHeader(NAME, whole.with(7, 2))).toThrow(
      expect.objectContaining({ code: 'REPOSITORY_NEWER' }),
    );
  });

  it('by deletion is told apart', async () => {
    const blobs = memoryBlobStore();
    const missing = expect.objectContaining({ code: 'PACK_MISSING', place: NAME });
    await expect(readPackDirectory(blobs, { name: NAME, size: 500 }, nodeSha256)).rejects.toThrow(missing);
    await expect(readRange(blobs, NAME, 0, 10)).rejects.toThrow(missing);
  });
});

describe('a hostile directory', () => {
  it('of any bytes is decoded or damaged', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.uint8Array({ maxLength: 120 }),
        fc.nat({ max: 300 }),
        fc.nat({ max: 4 }),
        async (bytes, payload, count) => {
          try {
            const entries = await directoryOf(packAround(bytes, payload, count));
            expect(entries).toHaveLength(count);
          } catch (error) {
            expect(isVecsnapError(error, 'PACK_DAMAGED'), String(error)).toBe(true);
          }
        },
      ),
      { numRuns: runs(1000) },
    );
  });

  const entry = (storedLength: number, length: number): number[] => {
    const writer = new ByteWriter();
    writer.byte(0);
    writer.varint(storedLength);
    writer.varint(length);
    return [...writer.toBytes(), ...new Uint8Array(32)];
  };
  it.each<[string, number[], number, number]>([
    ['whose chunks are longer than the pack', entry(11, 11), 10, 1],
    ['whose chunks are shorter than the pack', entry(9, 9), 10, 1],
    ['whose chunks would be longer than memory', entry(10, 2 ** 24 + 1), 10, 1],
    ['whose stored lengths overflow', [...entry(2 ** 52, 1), ...entry(2 ** 52, 1)], 10, 2],
    ['with an entry too many', entry(10, 10), 10, 2],
    ['with an entry too few', [...entry(10, 10), ...entry(0, 0)], 10, 1],
    ['cut in an entry', entry(10, 10).slice(0, 20), 10, 1],
    ['with a number that could be shorter', [0, 0x8a, 0x00, 0x0a, ...new Uint8Array(32)], 10, 1],
  ])('%s is damaged', async (_, directory, payload, count) => {
    await expect(directoryOf(packAround(Uint8Array.from(directory), payload, count))).rejects.toThrow(
      damaged,
    );
  });

  it('is this one', async () => {
    expect(await directoryOf(packAround(Uint8Array.from(entry(10, 2 ** 24)), 10, 1))).toHaveLength(1);
  });
});
