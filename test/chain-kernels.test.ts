/** Chains of deltas in WebAssembly: what TypeScript makes of them, the kernels make too, or leave to it. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  ChainKernels,
  type ChunkGraph,
  CODECS,
  decodeChunk,
  decodeGraph,
  encodeChunk,
  type StoredChunk,
  StoredGraph,
} from 'vecsnap/cas';
import { nodeDeflate, nodeSha256 } from 'vecsnap/platform';
import { outcome, runs } from './support/arbitraries.js';
import { seededBytes } from './support/files.js';

const NODE = { sha256: nodeSha256, deflate: nodeDeflate };
const AUTO = { compression: 'auto', compressionLevel: 6 } as const;

/** Numbers with uneven high bytes, so that planes compress. */
function rows(count: number, unit: number, seed: number): Uint8Array {
  return seededBytes(count * unit, seed).map((byte, i) => (i % 4 === 3 ? Math.clz32(byte) : byte));
}

const anyChain = fc.record({
  unit: fc.constantFrom(1, 4, 12, 13, 64, 1536, 1537),
  width: fc.constantFrom<0 | 4>(0, 4),
  seed: fc.nat(),
  /** What each link does to the one before: writes over rows, inserts some, deletes some; or begins anew beside it. */
  links: fc.array(
    fc.record({
      edit: fc.constantFrom('update', 'insert', 'delete', 'join'),
      at: fc.nat(),
      count: fc.integer({ min: 1, max: 5 }),
    }),
    { minLength: 1, maxLength: 20 },
  ),
});

type Chain = typeof anyChain extends fc.Arbitrary<infer T> ? T : never;

/** Every chunk of a chain, each behind what it copies from. */
function chainOf({ unit, width, seed, links }: Chain): StoredChunk[] {
  const chunks: StoredChunk[] = [];
  const add = (bytes: Uint8Array, bases: readonly StoredChunk[]): Uint8Array => {
    const kin = bases.length === 0 ? undefined : { unit, chunks: bases };
    const { codec, bytes: stored, bases: used = [] } = encodeChunk({ bytes, width, kin }, AUTO, NODE);
    const own = used.map((address) => chunks.find((chunk) => chunk.address === address) as StoredChunk);
    chunks.push({ address: nodeSha256(bytes), codec, bytes: stored, length: bytes.length, bases: own });
    return bytes;
  };
  let plain = add(rows(60, unit, seed), []);
  for (const [i, { edit, at, count }] of links.entries()) {
    const from = (at % Math.max(1, plain.length / unit)) * unit;
    const fresh = rows(count, unit, seed + i + 1);
    const before = plain.subarray(0, from);
    const last = chunks.at(-1) as StoredChunk;
    if (edit === 'join') {
      const other = add(rows(20, unit, seed + 100 + i), []);
      plain = add(Buffer.concat([plain, other]), [last, chunks.at(-1) as StoredChunk]);
    } else {
      const after = plain.subarray(from + (edit === 'insert' ? 0 : count * unit));
      plain = add(Buffer.concat(edit === 'delete' ? [before, after] : [before, fresh, after]), [last]);
    }
  }
  return chunks;
}

function graphOf(chunks: readonly StoredChunk[]): ChunkGraph {
  const numberOf = (chunk: StoredChunk): number => chunks.indexOf(chunk);
  return {
    roots: Uint32Array.from(chunks.keys()),
    fields: Float64Array.from(
      chunks.flatMap(({ codec, length, bytes, bases = [] }) => [
        codec,
        length,
        -1,
        0,
        bytes.length,
        bases.length,
      ]),
    ),
    addresses: new Uint8Array(Buffer.concat(chunks.map(({ address }) => address))),
    bases: Uint32Array.from(chunks.flatMap(({ bases = [] }) => bases.map(numberOf))),
    memory: chunks.map(({ bytes }) => bytes),
  };
}

const cannotRead = (): never => {
  throw new TypeError('all is in memory');
};

/** What the kernels alone make of each chunk. */
function byKernels(graph: ChunkGraph): (Uint8Array | undefined)[] {
  const kernels = ChainKernels.open(new StoredGraph(graph), cannotRead, nodeDeflate) as ChainKernels;
  try {
    return Array.from(graph.roots, (root) => {
      const result = outcome(() => kernels.decode(root, (length) => new Uint8Array(length)));
      return 'value' in result ? result.value : undefined;
    });
  } finally {
    kernels.close();
  }
}

describe('the kernels for chains', () => {
  it('decode every chunk that is sound', () => {
    fc.assert(
      fc.property(anyChain, (chain) => {
        const chunks = chainOf(chain);
        for (const [i, plain] of byKernels(graphOf(chunks)).entries())
          expect(Buffer.compare(plain as Uint8Array, decodeChunk(chunks[i] as StoredChunk, true, NODE))).toBe(
            0,
          );
      }),
      { numRuns: runs(100) },
    );
  });

  it('of what is damaged give no other bytes than TypeScript gives', () => {
    const anyDamage = fc.record({ chunk: fc.nat(), at: fc.nat({ max: 60 }), to: fc.nat({ max: 255 }) });
    fc.assert(
      fc.property(anyChain, fc.array(anyDamage, { minLength: 1, maxLength: 3 }), (chain, damage) => {
        const chunks = chainOf(chain);
        for (const { chunk, at, to } of damage) {
          const { bytes } = chunks[chunk % chunks.length] as StoredChunk;
          if (bytes.length > 0) bytes[at % bytes.length] = to;
        }
        const graph = graphOf(chunks);
        for (const [i, plain] of byKernels(graph).entries()) {
          if (plain === undefined) continue;
          const expected = outcome(() => decodeChunk(chunks[i] as StoredChunk, false, NODE));
          if ('value' in expected) expect(Buffer.compare(plain, expected.value)).toBe(0);
        }
        decodeGraph(
          graph,
          true,
          { readFile: cannotRead, room: (n) => new Uint8Array(n) },
          NODE,
          (plain, i) => {
            const expected = outcome(() => decodeChunk(chunks[i] as StoredChunk, true, NODE));
            expect(plain !== undefined).toBe('value' in expected);
          },
        );
      }),
      { numRuns: runs(100) },
    );
  });

  it('leave what is more pieces than they have room for to TypeScript', () => {
    const base = rows(5000, 4, 1);
    const reversed = new Uint8Array(base.length);
    for (let i = 0; i < 5000; i++) reversed.set(base.subarray(i * 4, i * 4 + 4), (4999 - i) * 4);
    const alone = {
      address: nodeSha256(base),
      codec: CODECS.raw,
      bytes: base,
      length: base.length,
      bases: [],
    };
    const head = [4, 0, 0x88, 0x27]; // 5000 steps, each of one record.
    const steps = Array.from({ length: 5000 }, (_, i) => (i === 0 ? [0, 1, 0x8e, 0x4e] : [0, 1, 3])).flat();
    const delta = {
      address: nodeSha256(reversed),
      codec: CODECS.delta,
      bytes: Uint8Array.from([...head, ...steps, 0]),
      length: reversed.length,
      bases: [alone],
    };
    const graph = graphOf([alone, delta]);
    expect(byKernels(graph)[1]).toBeUndefined();
    const results: (Uint8Array | undefined)[] = [];
    const reading = { readFile: cannotRead, room: (n: number) => new Uint8Array(n) };
    decodeGraph(graph, true, reading, NODE, (plain) => void results.push(plain));
    expect(Buffer.compare(results[1] as Uint8Array, reversed)).toBe(0);
  });
});
