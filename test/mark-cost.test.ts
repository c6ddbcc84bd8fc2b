/** What marking costs: many snapshots whose nodes are deltas of each other are read, and undone, about once each. */
import { beforeAll, describe, expect, it } from 'vitest';
import { OwnershipTable } from 'vecsnap/audit';
import { type BlobStore, memoryBlobStore } from 'vecsnap/blob';
import {
  Catalogue,
  type ChunkCoder,
  type ChunkGraph,
  ChunkStore,
  CODECS,
  inlineCoder,
  memoryIndex,
  NodeReader,
  Wholeness,
} from 'vecsnap/cas';
import { type Address, type Schema, toHex, utf8 } from 'vecsnap/core';
import { mark } from 'vecsnap/gc';
import { nodeDeflate, nodeSha256 } from 'vecsnap/platform';
import { manifestAddress, type Snapshot, SnapshotManager } from 'vecsnap/snapshot';
import { faultyBlobStore } from './fault/faulty-blob-store.js';
import { collectAll } from './support/collect.js';
import { seededBytes } from './support/files.js';
import { memoryEnvironment, memorySource } from './support/memory-environment.js';
import { OPTIONS, storeParts } from './support/stores.js';

const SNAPSHOTS = 60;
const SCHEMA: Schema = { id: 'u64', payload: 'none', vectors: [{ name: 'v', dtype: 'u8', dimension: 16 }] };
const PARAMETERS = {
  rowGroups: { targetBytes: 1, minRecords: 5, maxRecords: 5 },
  nodes: { window: 2, max: 24 },
};

const coder = inlineCoder({ sha256: nodeSha256, deflate: nodeDeflate });

let blobs: BlobStore;
/** Oldest first. */
let snapshots: readonly Snapshot[];

beforeAll(async () => {
  blobs = memoryBlobStore();
  const environment = memoryEnvironment({ blobs, sha256: nodeSha256, coder });
  const manager = await SnapshotManager.init({ environment }, PARAMETERS);
  const records = Array.from({ length: 600 }, (_, i) => ({
    id: BigInt(i),
    vectors: [seededBytes(16, i)],
    payload: utf8('{}'),
  }));
  let last: Snapshot | undefined;
  for (let n = 0; n < SNAPSHOTS; n++) {
    for (let i = n % 20; i < records.length; i += 20)
      (records[i] as (typeof records)[number]).vectors = [seededBytes(16, i + n * 1000)];
    const source = memorySource({ schema: SCHEMA, records });
    last =
      last === undefined
        ? await manager.createSnapshot(source, 'first')
        : await manager.createIncrementalSnapshot(source, `n${n}`, last.id);
  }
  snapshots = (await manager.listSnapshots()).toReversed();
}, 60_000);

/** A store that counts the reads of its blobs, and the chunks, and deltas among them, that are decoded. */
async function countingStore() {
  const counts = { deltas: 0, chunks: 0, reads: 0 };
  const decode = (graph: ChunkGraph, verify: boolean): ReturnType<ChunkCoder['decode']> => {
    counts.chunks += graph.fields.length / 6;
    for (let at = 0; at < graph.fields.length; at += 6)
      if (graph.fields[at] === CODECS.delta) counts.deltas++;
    return coder.decode(graph, verify);
  };
  const faulty = faultyBlobStore(blobs);
  const parts = storeParts({ blobs: faulty, coder: { ...coder, decode }, index: memoryIndex() });
  const store = await ChunkStore.open(parts, OPTIONS);
  const before = faulty.calls.length;
  return { store, counts, readsSince: () => faulty.calls.length - before };
}

/** How many nodes there are, and how many of them are deltas. */
async function nodesOf(store: ChunkStore): Promise<{ nodes: number; deltas: number; longest: number }> {
  const nodes = (await collectAll(store.parts.index.entries())).filter(({ kind }) => kind === 'node');
  const whole = new Wholeness(store);
  await whole.check(nodes.map(({ address }) => address));
  return {
    nodes: nodes.length,
    deltas: nodes.filter(({ codec }) => codec === CODECS.delta).length,
    longest: Math.max(...nodes.map(({ address }) => whole.chainOf(address))),
  };
}

describe('nodes that are deltas of nodes', () => {
  it('are undone once each when all snapshots are marked', async () => {
    const { store, counts, readsSince } = await countingStore();
    const { nodes, deltas, longest } = await nodesOf(store);
    expect(deltas).toBeGreaterThan(nodes / 2);
    expect(longest).toBeGreaterThan(40); // Else this shows nothing.
    const before = { ...counts };
    await mark(store, snapshots.map(manifestAddress));
    expect(counts.deltas - before.deltas).toBe(deltas);
    // Each with the one that it copies from, which is at hand.
    expect(counts.chunks - before.chunks).toBeLessThanOrEqual(2 * nodes);
    // Of each snapshot the directory of its pack, its manifest, and one read for each level of its tree, or two.
    expect(readsSince()).toBeLessThanOrEqual(8 * SNAPSHOTS);
  });

  it('are undone from the start of a chain once, where the snapshots before are gone', async () => {
    const { store, counts } = await countingStore();
    const { deltas, longest } = await nodesOf(store);
    const kept = snapshots.slice(-10);
    await mark(store, kept.map(manifestAddress));
    const ofOne = deltas / (SNAPSHOTS - 1);
    expect(counts.deltas).toBeGreaterThan(kept.length * ofOne);
    expect(counts.deltas).toBeLessThanOrEqual((longest + kept.length) * ofOne);
  });

  it('are undone once each when it is asked who needs what', async () => {
    const { store, counts } = await countingStore();
    const { deltas } = await nodesOf(store);
    await OwnershipTable.build(
      await Catalogue.read(store),
      new NodeReader(store),
      snapshots.map((snapshot) => ({ ...snapshot, manifest: manifestAddress(snapshot) })),
    );
    // Those that are shared are read for the first that shares them, too.
    expect(counts.deltas).toBeLessThanOrEqual(deltas);
  });

  it('are the same by a reader that has some at hand as by a store', async () => {
    const { store } = await countingStore();
    const nodes = (await collectAll(store.parts.index.entries())).filter(({ kind }) => kind === 'node');
    const reader = new NodeReader(store);
    const addresses = nodes.map(({ address }) => address);
    const read = new Map<string, Uint8Array>();
    for (let left: readonly Address[] = addresses; left.length > 0;) {
      const some = await reader.getSome(left.slice(0, 7));
      for (const [i, plain] of some.entries()) read.set(toHex(left[i] as Address), plain);
      left = left.slice(some.length);
    }
    for (const [i, address] of addresses.entries()) {
      const plain = read.get(toHex(address)) as Uint8Array;
      expect(toHex(nodeSha256(plain))).toBe(toHex(address));
      expect(Buffer.compare(await reader.get(address), plain)).toBe(0);
      if (i % 20 === 0) expect(Buffer.compare(await store.get(address), plain)).toBe(0);
    }
  });
});

describe('a node that is damaged', () => {
  it('stops the mark, though the one before it is at hand', async () => {
    const { store } = await countingStore();
    const { deltas } = await nodesOf(store);
    expect(deltas).toBeGreaterThan(0);
    const nodes = (await collectAll(store.parts.index.entries())).filter(
      ({ kind, codec }) => kind === 'node' && codec === CODECS.delta,
    );
    const hurt = nodes[nodes.length >> 1] as (typeof nodes)[number];
    const whole = await blobs.get(hurt.pack);
    const at = hurt.offset + hurt.storedLength - 1; // The last byte of its literals.
    await blobs.delete(hurt.pack);
    await blobs.put(hurt.pack, whole.with(at, (whole[at] as number) ^ 1));
    try {
      const damaged = (await countingStore()).store;
      await expect(mark(damaged, snapshots.map(manifestAddress))).rejects.toThrow(
        expect.objectContaining({
          code: 'SWEEP_REFUSED',
          cause: expect.objectContaining({ code: 'CHUNK_DAMAGED' }),
        }),
      );
    } finally {
      await blobs.delete(hurt.pack);
      await blobs.put(hurt.pack, whole);
    }
  });
});
