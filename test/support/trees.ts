/** Trees in memory: built, and read through a reader that notes what it is asked for. */
import { createHash } from 'node:crypto';
import fc from 'fast-check';
import {
  type Address,
  compareBytes,
  type LocalMinimumOptions,
  toAddress,
  toHex,
  VecsnapError,
} from 'vecsnap/core';
import { type BuiltTree, type ChunkReader, decodeNode, type Entry, TreeBuilder } from 'vecsnap/manifest';
import { anyAddress } from './arbitraries.js';

export function sha256(bytes: Uint8Array): Address {
  return toAddress(new Uint8Array(createHash('sha256').update(bytes).digest()));
}

/** Chunks in a map. */
export class MemoryChunks implements ChunkReader {
  readonly chunks = new Map<string, Uint8Array>();
  /** The addresses that were read, in order. */
  readonly reads: string[] = [];
  /** How many were read together, in order. */
  readonly readTogether: number[] = [];

  async getMany(addresses: readonly Address[]): Promise<Uint8Array[]> {
    this.readTogether.push(addresses.length);
    return Promise.all(addresses.map((address) => this.get(address)));
  }

  async get(address: Address): Promise<Uint8Array> {
    this.reads.push(toHex(address));
    const bytes = this.chunks.get(toHex(address));
    if (bytes === undefined) throw new VecsnapError('CHUNK_MISSING', 'A chunk is not there.');
    return bytes;
  }

  put(bytes: Uint8Array): Address {
    const address = sha256(bytes);
    this.chunks.set(toHex(address), bytes);
    return address;
  }
}

/** A tree with its nodes, each as the hexadecimal digits of its address. */
export interface TestTree extends BuiltTree {
  readonly nodes: ReadonlyMap<string, { readonly level: number; readonly entries: number }>;
  /** The level of the root. */
  readonly height: number;
}

/** Builds a tree and puts its nodes into `chunks`. */
export function buildTree(
  chunks: MemoryChunks,
  entries: readonly Entry[],
  options: LocalMinimumOptions,
): TestTree {
  const builder = new TreeBuilder(sha256, options);
  const nodes = new Map<string, { level: number; entries: number }>();
  const keep = ({ address, bytes }: { address: Address; bytes: Uint8Array }): void => {
    const node = decodeNode(bytes);
    chunks.put(bytes);
    nodes.set(toHex(address), { level: node.level, entries: node.entries.length });
  };
  for (let start = 0, count = 0; start < entries.length; start += count) {
    count = 1 + (start % 5);
    builder.append(entries.slice(start, start + count)).forEach(keep);
  }
  const { nodes: last, tree } = builder.finish();
  last.forEach(keep);
  return { ...tree, nodes, height: nodes.get(toHex(tree.root))?.level ?? -1 };
}

/** Windows that make trees deep. */
export const anyNodeCuts: fc.Arbitrary<LocalMinimumOptions> = fc
  .record({ window: fc.integer({ min: 1, max: 4 }), more: fc.integer({ min: 1, max: 40 }) })
  .map(({ window, more }) => ({ window, max: window + more }));

const anyCounts = { count: fc.integer({ min: 1, max: 9 }), bytes: fc.nat({ max: 1000 }) };

/** Entries with keys of bytes that ascend, as those of records with ids. */
export const anyKeyedEntries: fc.Arbitrary<Entry[]> = fc
  .uniqueArray(fc.record({ key: fc.uint8Array({ maxLength: 6 }), ...anyCounts, value: fc.nat() }), {
    selector: ({ key }) => toHex(key),
    maxLength: 150,
    size: 'max',
  })
  .map((entries) => entries.toSorted((a, b) => compareBytes(a.key, b.key)));

/** Entries with hashes as keys, as those of records without ids. */
export const anyHashedEntries: fc.Arbitrary<Entry[]> = fc.array(
  fc.record({ key: fc.oneof(fc.nat({ max: 0xffffffff }), fc.constant(7)), ...anyCounts, value: anyAddress }),
  { maxLength: 150, size: 'max' },
);

/** Entries without keys, as those of streams; some of them the same. */
export const anyStreamEntries: fc.Arbitrary<Entry[]> = fc.array(
  fc
    .record({
      address: fc.oneof(anyAddress, fc.constant(sha256(new Uint8Array(0)))),
      bytes: fc.integer({ min: 1, max: 99 }),
    })
    .map(({ address, bytes }) => ({ key: null, count: 1, bytes, value: address })),
  { maxLength: 150, size: 'max' },
);

export const anyEntries: fc.Arbitrary<Entry[]> = fc.oneof(
  anyKeyedEntries,
  anyHashedEntries,
  anyStreamEntries,
);
