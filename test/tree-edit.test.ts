/** A tree that is made from the one before it is the tree that is built from all entries, and most of it is not read. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { compareBytes, toHex, utf8 } from 'vecsnap/core';
import {
  type BuiltTree,
  editTree,
  encodeNode,
  type Entry,
  type EntryChange,
  TreePlaces,
  TreeReader,
} from 'vecsnap/manifest';
import { runs } from './support/arbitraries.js';
import { anyKeyedEntries, anyNodeCuts, buildTree, MemoryChunks, sha256 } from './support/trees.js';

/** What the changes make of the entries. */
function applied(entries: readonly Entry[], changes: readonly EntryChange[]): Entry[] {
  const byKey = new Map(entries.map((entry) => [toHex(entry.key as Uint8Array), entry]));
  for (const { key, value } of changes) {
    if (value === undefined) byKey.delete(toHex(key));
    else byKey.set(toHex(key), value);
  }
  return [...byKey.values()].toSorted((a, b) => compareBytes(a.key as Uint8Array, b.key as Uint8Array));
}

async function edited(
  chunks: MemoryChunks,
  root: BuiltTree['root'],
  changes: readonly EntryChange[],
  cuts: { window: number; max: number },
): Promise<BuiltTree> {
  const nodes = editTree(new TreePlaces(new TreeReader(chunks), root), changes, sha256, cuts);
  const built: Uint8Array[] = []; // Stored only at the end: they may not be read before.
  for (let step = await nodes.next(); ; step = await nodes.next()) {
    if (!step.done) built.push(step.value.bytes);
    if (!step.done) expect(step.value.address).toEqual(sha256(step.value.bytes));
    if (!step.done) continue;
    for (const bytes of built) chunks.put(bytes);
    return step.value;
  }
}

/** Entries, and changes of some of them: most values, some that go, some that come. */
const anyEdit = fc
  .tuple(
    anyKeyedEntries.filter(({ length }) => length > 0),
    fc.array(
      fc.record({
        at: fc.nat(),
        kind: fc.constantFrom('change', 'go', 'come', 'append'),
        suffix: fc.uint8Array({ minLength: 1, maxLength: 3 }),
        value: fc.nat(),
      }),
      { maxLength: 40 },
    ),
  )
  .map(([entries, edits]) => {
    const changes = new Map<string, EntryChange>();
    for (const { at, kind, suffix, value } of edits) {
      const entry = entries[at % entries.length] as Entry;
      const start = kind === 'append' ? [0xff, 0xff] : [...(entry.key as Uint8Array)];
      const key = Uint8Array.from(kind === 'come' || kind === 'append' ? [...start, ...suffix] : start);
      const isThere = entries.some((one) => compareBytes(one.key as Uint8Array, key) === 0);
      if (kind === 'go' && !isThere) continue;
      const changed = { key, count: 1 + (value % 5), bytes: value, value };
      changes.set(toHex(key), { key, value: kind === 'go' ? undefined : changed });
    }
    return { entries, changes: [...changes.values()].toSorted((a, b) => compareBytes(a.key, b.key)) };
  });

describe('a tree that is edited', () => {
  it('is the tree that is built from all entries', async () => {
    await fc.assert(
      fc.asyncProperty(anyEdit, anyNodeCuts, async ({ entries, changes }, cuts) => {
        const chunks = new MemoryChunks();
        const { root } = buildTree(chunks, entries, cuts);
        const {
          root: expected,
          count,
          bytes,
        } = buildTree(new MemoryChunks(), applied(entries, changes), cuts);
        expect(await edited(chunks, root, changes, cuts)).toEqual({ root: expected, count, bytes });
      }),
      { numRuns: runs(500) },
    );
  });

  it('stays so through many edits, each on top of the one before', async () => {
    const chunks = new MemoryChunks();
    const cuts = { window: 2, max: 9 };
    let entries = numbered(300, 3);
    let { root } = buildTree(chunks, entries, cuts);
    for (let round = 1; round <= 60; round++) {
      const changes = Array.from({ length: round % 17 }, (_, i): EntryChange => {
        const key = utf8(String((round * 7919 + i * 389) % 1200).padStart(6, '0'));
        const isThere = entries.some((entry) => compareBytes(entry.key as Uint8Array, key) === 0);
        const value =
          isThere && (round + i) % 3 !== 0 ? undefined : { key, count: 1, bytes: round, value: i };
        return { key, value };
      }).toSorted((a, b) => compareBytes(a.key, b.key));
      entries = applied(entries, changes);
      ({ root } = await edited(chunks, root, changes, cuts));
      expect(toHex(root)).toBe(toHex(buildTree(new MemoryChunks(), entries, cuts).root));
    }
  });

  it('of which everything goes is the empty tree', async () => {
    const chunks = new MemoryChunks();
    const cuts = { window: 2, max: 9 };
    const entries = numbered(200, 1);
    const { root } = buildTree(chunks, entries, cuts);
    const changes = entries.map(({ key }) => ({ key: key as Uint8Array, value: undefined }));
    expect(await edited(chunks, root, changes, cuts)).toMatchObject({ count: 0, bytes: 0 });
    expect((await edited(chunks, root, changes, cuts)).root).toEqual(
      buildTree(new MemoryChunks(), [], cuts).root,
    );
  });

  it('is read only where it changes', async () => {
    const chunks = new MemoryChunks();
    const cuts = { window: 8, max: 256 };
    const entries = numbered(20_000, 1);
    const { root, height, nodes } = buildTree(chunks, entries, cuts);
    expect(nodes.size).toBeGreaterThan(1000);
    const [key, other] = [entries[777]?.key as Uint8Array, utf8('010101x')];
    chunks.reads.length = 0;
    await edited(chunks, root, [{ key, value: { key, count: 1, bytes: 1, value: 'changed' } }], cuts);
    expect(chunks.reads.length).toBe(height + 1);
    chunks.reads.length = 0;
    await edited(
      chunks,
      root,
      [{ key: other, value: { key: other, count: 1, bytes: 1, value: 'new' } }],
      cuts,
    );
    expect(chunks.reads.length).toBeLessThanOrEqual(3 * (height + 1));
  });
});

describe('nodes on the way to keys', () => {
  const CUTS = { window: 16, max: 256 };

  it('are read level by level, as many at once as are remembered, and no others', async () => {
    const chunks = new MemoryChunks();
    const entries = numbered(20_000, 1);
    const { root, height, nodes } = buildTree(chunks, entries, CUTS);
    const places = new TreePlaces(new TreeReader(chunks), root);
    const keys = entries.filter((_, i) => i % 37 === 0).map(({ key }) => key as Uint8Array);
    let calls = 0;
    for (let covered = 0; covered < keys.length; calls++) {
      const count = await places.prepare(0, keys.slice(covered));
      expect(count).toBeGreaterThan(0);
      const { length } = chunks.reads;
      for (const key of keys.slice(covered, covered + count))
        expect(toHex((await places.find(0, key)).key)).toBe(toHex(key));
      expect(chunks.reads).toHaveLength(length); // All of them were read before.
      covered += count;
    }
    expect(calls).toBeGreaterThan(1);
    expect(chunks.readTogether.length).toBeLessThanOrEqual(calls * height);
    expect(Math.max(...chunks.readTogether)).toBeLessThanOrEqual(128);
    expect(new Set(chunks.reads).size).toBe(chunks.reads.length);
    expect(chunks.reads.length).toBeLessThanOrEqual(nodes.size);
  });

  it('lead for keys after the last to the last entry, and there are none in a tree of one node', async () => {
    const chunks = new MemoryChunks();
    const { root } = buildTree(chunks, numbered(2000, 1), CUTS);
    const places = new TreePlaces(new TreeReader(chunks), root);
    const after = [utf8('8'), utf8('9')];
    expect(await places.prepare(0, after)).toBe(2);
    expect(toHex((await places.find(0, utf8('9'))).key)).toBe(toHex(utf8('001999')));
    const small = new TreePlaces(new TreeReader(chunks), buildTree(chunks, numbered(3, 1), CUTS).root);
    expect(await small.prepare(0, after)).toBe(2);
  });

  it('that are missing, or not what their parents say, are told', async () => {
    const chunks = new MemoryChunks();
    const { root, nodes } = buildTree(chunks, numbered(2000, 1), CUTS);
    const [leaf] = [...nodes].find(([, { level }]) => level === 0) as [string, unknown];
    const prepare = () => new TreePlaces(new TreeReader(chunks), root).prepare(0, [utf8('0')]);
    const key = utf8('000000');
    chunks.chunks.set(leaf, encodeNode({ level: 3, entries: [{ key, count: 1, bytes: 1, value: root }] }));
    await expect(prepare()).rejects.toMatchObject({ code: 'MANIFEST_DAMAGED' });
    chunks.chunks.delete(leaf);
    await expect(prepare()).rejects.toMatchObject({ code: 'CHUNK_MISSING' });
  });
});

function numbered(count: number, step: number): Entry[] {
  return Array.from({ length: count }, (_, i) => ({
    key: utf8(String(i * step).padStart(6, '0')),
    count: 3,
    bytes: 10,
    value: i,
  }));
}
