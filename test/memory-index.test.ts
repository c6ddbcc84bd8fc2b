/** The index in memory takes directories whole: in WebAssembly what it takes entry by entry, and in TypeScript where there is none. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  type ChunkIndex,
  decodeDirectory,
  memoryIndex,
  PackBuilder,
  type StoredDirectory,
} from 'vecsnap/cas';
import { type Address, toHex } from 'vecsnap/core';
import { nodeSha256 } from 'vecsnap/platform';
import { testChunkIndex } from './contract/chunk-index.js';
import { runs } from './support/arbitraries.js';
import { collectAll } from './support/collect.js';
import { seededBytes } from './support/files.js';

type PackedChunk = Parameters<PackBuilder['add']>[0];

interface Machine {
  WebAssembly?: { Memory: { prototype: { grow: (pages: number) => number } } } | undefined;
}

const machine = globalThis as Machine;
const DELTA = 3;

/** Does something as on a machine without WebAssembly. */
function withoutKernels<T>(action: () => T): T {
  const { WebAssembly } = machine;
  machine.WebAssembly = undefined;
  try {
    return action();
  } finally {
    machine.WebAssembly = WebAssembly;
  }
}

testChunkIndex({
  name: 'memory without WebAssembly',
  persistent: false,
  makePlace: async () => ({ open: async () => withoutKernels(memoryIndex), remove: async () => {} }),
});

/** Few, so that chunks come again, and some begin alike. */
const addresses = Array.from({ length: 24 }, (_, i) => {
  const address = seededBytes(32, i + 1);
  if (i % 3 === 0) address.set(seededBytes(32, 1).subarray(0, 28));
  return address as Address;
});
const anyOfThem = fc.constantFrom(...addresses);
const anyChunk: fc.Arbitrary<PackedChunk> = fc
  .record({
    address: anyOfThem,
    kind: fc.constantFrom<PackedChunk['kind']>('data', 'node'),
    codec: fc.constantFrom(0, 1, 2, DELTA, DELTA, 127),
    length: fc.oneof(fc.nat({ max: 2 ** 24 }), fc.constantFrom(0, 127, 128, 2 ** 24)),
    bytes: fc.uint8Array({ maxLength: 300 }),
    bases: fc.array(anyOfThem, { minLength: 1, maxLength: 4 }),
  })
  .map(({ bases, ...chunk }) => (chunk.codec === DELTA ? { ...chunk, bases } : chunk));
const anyPacks = fc.array(fc.array(anyChunk, { maxLength: 12 }), { maxLength: 4 });

/** The directory of a pack of these. */
function directoryOf(chunks: readonly PackedChunk[]): StoredDirectory {
  const builder = new PackBuilder();
  for (const chunk of chunks) builder.add(chunk);
  const end = builder.size;
  return { bytes: builder.finish(nodeSha256).directory, count: chunks.length, end };
}

function entriesIn({ bytes, count, end }: StoredDirectory) {
  return decodeDirectory('packs/x', bytes, count, end);
}

/** All that an index says. */
async function told(index: ChunkIndex): Promise<unknown> {
  const entries = (await collectAll(index.entries())).flat();
  return {
    packs: [...index.packs()],
    places: await index.find(addresses),
    entries: entries.map((entry) => ({ ...entry, address: toHex(entry.address) })),
  };
}

describe('a directory', () => {
  it('is taken as its entries are', async () => {
    await fc.assert(
      fc.asyncProperty(anyPacks, async (packs) => {
        const [whole, single, plain] = [memoryIndex(), memoryIndex(), withoutKernels(memoryIndex)];
        for (const [i, chunks] of packs.entries()) {
          const pack = { name: `packs/${i}`, size: i };
          const directory = directoryOf(chunks);
          const entries = entriesIn(directory);
          if (whole.addDirectory?.(pack, directory) !== true) await whole.addPack(pack, entries);
          await single.addPack(pack, entries);
          expect(plain.addDirectory?.(pack, directory)).toBe(false);
          await plain.addPack(pack, entries);
        }
        expect(await told(whole)).toEqual(await told(single));
        expect(await told(plain)).toEqual(await told(single));
      }),
      { numRuns: runs(300) },
    );
  });

  it('is left to who decides among copies when the index has a delta of the same chunk elsewhere', async () => {
    const [address, base] = addresses as [Address, Address];
    const delta: PackedChunk = {
      address,
      kind: 'data',
      codec: DELTA,
      length: 9,
      bytes: new Uint8Array(3),
      bases: [base],
    };
    const alone: PackedChunk = { address, kind: 'data', codec: 0, length: 9, bytes: new Uint8Array(9) };
    const index = memoryIndex();
    const add = (name: string, chunk: PackedChunk) =>
      index.addDirectory?.({ name, size: 1 }, directoryOf([chunk]));
    expect(add('packs/a', delta)).toBe(true);
    expect(add('packs/b', delta)).toBe(false);
    expect([...index.packs().keys()]).toEqual(['packs/a']);
    expect(add('packs/c', alone)).toBe(true);
    expect(add('packs/d', delta)).toBe(true); // One that stands alone stays where it is.
    expect((await index.find([address]))[0]).toMatchObject({ pack: 'packs/c', codec: 0 });
  });

  it('that is harmed is refused, or holds what it says', async () => {
    const harm = fc.array(fc.record({ at: fc.nat(), by: fc.nat({ max: 255 }) }), {
      minLength: 1,
      maxLength: 3,
    });
    await fc.assert(
      fc.asyncProperty(
        fc.array(anyChunk, { minLength: 1, maxLength: 8 }),
        harm,
        fc.nat({ max: 40 }),
        async (chunks, changes, cut) => {
          const { bytes, count, end } = directoryOf(chunks);
          const harmed = bytes.slice(0, bytes.length - cut);
          for (const { at, by } of changes) if (harmed.length > 0) harmed[at % harmed.length] = by;
          const directory = { bytes: harmed, count, end };
          const index = memoryIndex();
          const isTaken = index.addDirectory?.({ name: 'packs/a', size: 1 }, directory) === true;
          if (!isTaken) {
            expect(await told(index)).toEqual(await told(memoryIndex()));
            return;
          }
          const other = memoryIndex();
          await other.addPack({ name: 'packs/a', size: 1 }, entriesIn(directory));
          expect(await told(index)).toEqual(await told(other));
        },
      ),
      { numRuns: runs(1000) },
    );
  });
});

describe('a directory that no writer writes is refused', () => {
  const [address] = addresses as [Address];
  const tail = [...address];
  const tooMany = [DELTA, 1, 1, ...tail, 65, ...Array.from({ length: 65 }, () => tail).flat()];

  it.each([
    ['for needless zeros', [0, 0x81, 0x00, 1, ...tail], 9],
    ['for a chunk that is too long', [0, 1, 0x81, 0x80, 0x80, 0x08, ...tail], 9],
    ['for a number that is longer than any', [0, 1, 0x81, 0x80, 0x80, 0x80, 0x01, ...tail], 9],
    ['for a delta with too many bases', tooMany, 9],
    ['because it ends in an address', [0, 1, 1, ...tail.slice(1)], 9],
    ['because it ends in a base', [DELTA, 1, 1, ...tail, 1, ...tail.slice(1)], 9],
    ['because it ends in a number', [0, 1, 0x80], 9],
    ['because its chunks end elsewhere', [0, 1, 1, ...tail], 10],
  ])('%s', (_, bytes, end) => {
    const index = memoryIndex();
    const directory = { bytes: Uint8Array.from(bytes), count: 1, end };
    expect(index.addDirectory?.({ name: 'packs/a', size: 1 }, directory)).toBe(false);
    expect(index.packs().size).toBe(0);
  });

  it('but not one at the limits', () => {
    const directory = { bytes: Uint8Array.from([0, 1, 0x80, 0x80, 0x80, 0x08, ...tail]), count: 1, end: 9 };
    expect(memoryIndex().addDirectory?.({ name: 'packs/a', size: 1 }, directory)).toBe(true);
  });
});

describe('many chunks', () => {
  /** A pack of so many, each of which copies from one that is in no pack. */
  function packOf(count: number, seed: number): StoredDirectory {
    const bytes = seededBytes(64 * count, seed);
    const addressAt = (i: number) => bytes.slice(i * 32, i * 32 + 32) as Address;
    return directoryOf(
      Array.from({ length: count }, (_, i) => ({
        address: addressAt(2 * i),
        kind: 'data',
        codec: DELTA,
        length: i,
        bytes: new Uint8Array(1),
        bases: [addressAt(2 * i + 1)],
      })),
    );
  }

  async function expectAll(index: ChunkIndex, packs: readonly StoredDirectory[]): Promise<void> {
    for (const [n, directory] of packs.entries()) {
      const entries = entriesIn(directory);
      const found = await index.find(entries.map(({ address }) => address));
      expect(found).toEqual(
        entries.map(({ address: _, bases: __, ...place }) => ({ ...place, pack: `packs/${n}` })),
      );
    }
  }

  it('are found whatever has to grow for them', async () => {
    const packs = [3, 5000, 1, 20_000, 700].map(packOf);
    const index = memoryIndex();
    for (const [n, directory] of packs.entries())
      expect(index.addDirectory?.({ name: `packs/${n}`, size: 1 }, directory)).toBe(true);
    await expectAll(index, packs);
  });

  it.each([0, 1, 2, 3, 4, 5, 6, 7, 8])(
    'go on in TypeScript when memory has grown %i times and does no more',
    async (times) => {
      const packs = [500, 9000, 400, 9000].map(packOf);
      const { prototype } = (machine.WebAssembly as NonNullable<Machine['WebAssembly']>).Memory;
      const { grow } = prototype;
      let left = times;
      prototype.grow = function (pages) {
        if (left-- > 0) return grow.call(this, pages);
        throw new RangeError('no more');
      };
      try {
        const index = memoryIndex();
        for (const [n, directory] of packs.entries()) {
          const pack = { name: `packs/${n}`, size: 1 };
          if (index.addDirectory?.(pack, directory) !== true) await index.addPack(pack, entriesIn(directory));
        }
        await expectAll(index, packs);
      } finally {
        prototype.grow = grow;
      }
    },
  );
});
