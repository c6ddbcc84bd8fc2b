/** Trees: what goes in comes out, the root follows from the entries alone, and an edit costs little. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Address, compareBytes, type LocalMinimumOptions, toHex, utf8, viewOf } from 'vecsnap/core';
import {
  decodeNode,
  encodeManifest,
  encodeNode,
  type Entry,
  fileToEntry,
  type Node,
  type NodesReader,
  reachable,
  type Reached,
  rowGroupToEntry,
  sumOf,
  TreeReader,
} from 'vecsnap/manifest';
import { anyAddress, runs } from './support/arbitraries.js';
import { collect } from './support/collect.js';
import { golden } from './support/golden.js';
import {
  anyEntries,
  anyHashedEntries,
  anyKeyedEntries,
  anyNodeCuts,
  anyStreamEntries,
  buildTree,
  MemoryChunks,
  sha256,
  type TestTree,
} from './support/trees.js';

function text({ key, count, value }: Entry): string {
  return [
    key instanceof Uint8Array ? toHex(key) : key,
    count,
    value instanceof Uint8Array ? toHex(value) : value,
  ].join('|');
}

describe('a tree', () => {
  it('gives the entries that it was built from, and their totals', async () => {
    await fc.assert(
      fc.asyncProperty(anyEntries, anyNodeCuts, async (entries, options) => {
        const chunks = new MemoryChunks();
        const { root, count, bytes } = buildTree(chunks, entries, options);
        expect({ count, bytes }).toEqual(sumOf(entries));
        expect(await collect(new TreeReader(chunks).entries(root))).toEqual(entries);
      }),
    );
  });

  it('is one node when all entries fit, and has one root of two children or more otherwise', () => {
    fc.assert(
      fc.property(anyEntries, anyNodeCuts, (entries, options) => {
        const { root, nodes, height } = buildTree(new MemoryChunks(), entries, options);
        const top = nodes.get(toHex(root));
        expect(Math.max(...[...nodes.values()].map(({ level }) => level))).toBe(height);
        if (height > 0) expect(top?.entries).toBeGreaterThan(1);
        else expect(nodes.size).toBe(1);
        for (const node of nodes.values()) expect(node.entries).toBeLessThanOrEqual(options.max);
      }),
    );
  });

  it('gets deep with small windows, and stays flat with large ones', () => {
    const entries = keyed(2000);
    expect(buildTree(new MemoryChunks(), entries, { window: 1, max: 4 }).height).toBeGreaterThanOrEqual(5);
    expect(buildTree(new MemoryChunks(), entries, { window: 32, max: 1024 }).height).toBe(1);
  });

  it('of nothing is one empty node', async () => {
    const chunks = new MemoryChunks();
    const tree = buildTree(chunks, [], { window: 2, max: 9 });
    expect(tree).toMatchObject({ count: 0, bytes: 0, height: 0 });
    expect(tree.root).toEqual(sha256(Uint8Array.of(0x92, 0x00, 0x90)));
    const reader = new TreeReader(chunks);
    expect(await collect(reader.entries(tree.root))).toEqual([]);
    expect(await reader.entryAt(tree.root, 0)).toBeUndefined();
    expect(await reader.diff(tree.root, tree.root)).toEqual({ removed: [], added: [] });
  });

  it('of many equal entries has bounded nodes', async () => {
    const chunks = new MemoryChunks();
    const entry: Entry = { key: null, count: 1, bytes: 5, value: sha256(utf8('zeros')) };
    const entries = Array<Entry>(10_000).fill(entry);
    const tree = buildTree(chunks, entries, { window: 3, max: 28 });
    expect(tree.count).toBe(10_000);
    expect(tree.nodes.size).toBeLessThan(30); // Equal nodes are one.
    expect(await collect(new TreeReader(chunks).entries(tree.root))).toEqual(entries);
  });
});

describe('golden roots', () => {
  interface GoldenRoot extends LocalMinimumOptions {
    readonly kind: 'keys' | 'hashes' | 'none';
    readonly count: number;
    readonly root: string;
    readonly level: number;
  }

  function entryOf(kind: GoldenRoot['kind'], i: number): Entry {
    const value = sha256(utf8(`value ${i}`));
    if (kind === 'none') return { key: null, count: 1, bytes: 10, value };
    const key = kind === 'keys' ? utf8(String(i).padStart(6, '0')) : viewOf(value).getUint32(4, true);
    return { key, count: 3, bytes: 10, value };
  }

  it.each((golden('trees') as { roots: GoldenRoot[] }).roots)(
    'of $count entries with $kind and a window of $window',
    ({ kind, count, window, max, root, level }) => {
      const entries = Array.from({ length: count }, (_, i) => entryOf(kind, i));
      const tree = buildTree(new MemoryChunks(), entries, { window, max });
      expect(tree.height).toBe(level);
      expect(toHex(tree.root)).toBe(root);
    },
  );
});

function keyed(count: number): Entry[] {
  return Array.from({ length: count }, (_, i) => ({
    key: utf8(String(i).padStart(6, '0')),
    count: 3,
    bytes: 10,
    value: i,
  }));
}

describe('an edit', () => {
  // Without forced ends, which random keys do not need.
  const anyWindow = fc.integer({ min: 1, max: 4 }).map((window) => ({ window, max: Infinity }));
  const kinds = [
    ['keys', anyKeyedEntries],
    ['hashes as keys', anyHashedEntries.filter((entries) => entries.every(({ key }) => key !== 7))],
    ['no keys', anyStreamEntries.filter((entries) => new Set(entries.map(text)).size === entries.length)],
  ] as const;

  it.each(kinds)('of one entry with %s replaces at most 4 nodes of a level by at most 4', (_, anySome) => {
    fc.assert(
      fc.property(anySome, anyWindow, fc.nat(), anyAddress, (entries, options, place, value) => {
        fc.pre(entries.length > 0);
        const at = place % entries.length;
        const whole = buildTree(new MemoryChunks(), entries, options);
        const others = [entries.toSpliced(at, 1), entries.with(at, { ...(entries[at] as Entry), value })];
        for (const other of others.map((some) => buildTree(new MemoryChunks(), some, options))) {
          // Above the lower of the two roots there are only nodes that one of them has.
          for (let level = 0; level <= Math.min(whole.height, other.height); level++) {
            expect(onlyIn(whole, other, level)).toBeLessThanOrEqual(4);
            expect(onlyIn(other, whole, level)).toBeLessThanOrEqual(4);
          }
          expect(Math.abs(whole.height - other.height)).toBeLessThanOrEqual(1);
        }
      }),
    );
  });

  it('of what stands under a key replaces one node of each level', () => {
    fc.assert(
      fc.property(anyKeyedEntries, anyWindow, fc.nat(), (entries, options, place) => {
        fc.pre(entries.length > 0);
        const at = place % entries.length;
        const changed = entries.with(at, { ...(entries[at] as Entry), value: 'changed' });
        const [a, b] = [entries, changed].map((some) => buildTree(new MemoryChunks(), some, options)) as [
          TestTree,
          TestTree,
        ];
        expect(b.height).toBe(a.height);
        for (let level = 0; level <= a.height; level++) {
          expect(onlyIn(a, b, level)).toBe(1);
          expect(onlyIn(b, a, level)).toBe(1);
        }
      }),
    );
  });

  function onlyIn(tree: TestTree, other: TestTree, level: number): number {
    return [...tree.nodes].filter(([address, node]) => node.level === level && !other.nodes.has(address))
      .length;
  }
});

describe('a position', () => {
  it('is found in every tree, and none is found beyond the end', async () => {
    await fc.assert(
      fc.asyncProperty(anyEntries, anyNodeCuts, async (entries, options) => {
        const chunks = new MemoryChunks();
        const { root, count, height } = buildTree(chunks, entries, options);
        const reader = new TreeReader(chunks);
        let before = 0;
        for (const entry of entries.slice(0, 20)) {
          for (const position of new Set([before, before + entry.count - 1])) {
            chunks.reads.length = 0;
            expect(await reader.entryAt(root, position)).toEqual({ entry, before });
            expect(chunks.reads.length).toBe(height + 1);
          }
          before += entry.count;
        }
        expect(await reader.entryAt(root, count)).toBeUndefined();
        expect(await reader.entryAt(root, count + 1)).toBeUndefined();
        if (count > 0) expect((await reader.entryAt(root, count - 1))?.entry).toEqual(entries.at(-1));
      }),
      { numRuns: runs(40) },
    );
  });

  it.each([-1, 0.5, Number.NaN, Infinity])('is not %d', async (position) => {
    const chunks = new MemoryChunks();
    const { root } = buildTree(chunks, keyed(3), { window: 1, max: 9 });
    await expect(new TreeReader(chunks).entryAt(root, position)).rejects.toThrow(RangeError);
  });
});

describe('a range of positions', () => {
  it('gives the entries that hold its items, and reads no more than these need', async () => {
    const anyPosition = fc.option(fc.nat({ max: 400 }), { nil: undefined });
    await fc.assert(
      fc.asyncProperty(
        anyKeyedEntries,
        anyNodeCuts,
        anyPosition,
        anyPosition,
        async (entries, options, from, to) => {
          const chunks = new MemoryChunks();
          const { root, height } = buildTree(chunks, entries, options);
          chunks.reads.length = 0;
          const found = await collect(new TreeReader(chunks).entriesBetween(root, { from, to }));
          let before = 0;
          const placed = entries.map((entry) => ({ entry, before: (before += entry.count) - entry.count }));
          const expected = placed.filter(
            (one) =>
              (from ?? 0) < (to ?? Infinity) &&
              one.before + one.entry.count > (from ?? 0) &&
              one.before < (to ?? Infinity),
          );
          expect(found).toEqual(expected);
          expect(chunks.reads.length).toBeLessThanOrEqual(expected.length * (height + 1) + 1);
        },
      ),
    );
  });
});

describe('a range', () => {
  it('gives the entries whose groups may hold its keys, and reads no more than these need', async () => {
    const anyKey = fc.option(fc.uint8Array({ maxLength: 6 }), { nil: undefined });
    await fc.assert(
      fc.asyncProperty(anyKeyedEntries, anyNodeCuts, anyKey, anyKey, async (entries, options, from, to) => {
        const chunks = new MemoryChunks();
        const { root, height } = buildTree(chunks, entries, options);
        chunks.reads.length = 0;
        const found = await collect(new TreeReader(chunks).entries(root, { from, to }));
        const expected = entries.filter(({ key }, i) => {
          const previous = entries[i - 1]?.key as Uint8Array | undefined;
          const reachesIn = from === undefined || compareBytes(key as Uint8Array, from) >= 0;
          return reachesIn && (to === undefined || previous === undefined || compareBytes(previous, to) < 0);
        });
        expect(found).toEqual(expected);
        // Leaves without an entry of the range are not read, nor are nodes without such leaves.
        expect(chunks.reads.length).toBeLessThanOrEqual((expected.length + 1) * (height + 1));
      }),
    );
  });
});

describe('a walk', () => {
  const anyStream = anyStreamEntries.filter(({ length }) => length > 0);

  /** A manifest of one file with this content, and the nodes above it. */
  function manifestOver(
    chunks: MemoryChunks,
    { root, bytes }: TestTree,
  ): { manifest: Address; above: string[] } {
    const content = { kind: 'stream', address: root } as const;
    const file = fileToEntry({ path: 'file', type: 'file', mode: 0, size: bytes, content });
    const files = buildTree(chunks, [file], { window: 1, max: 2 });
    const manifest = chunks.put(
      encodeManifest({ format: { name: 'files' }, schema: undefined, records: undefined, files }),
    );
    return { manifest, above: [manifest, files.root].map(toHex) };
  }

  /** Reads up to so many at a time; none for a reader that reads them one by one. */
  const readerOf = (chunks: MemoryChunks, most: number): NodesReader =>
    most === 0
      ? chunks
      : {
          get: (address) => chunks.get(address),
          getSome: (addresses) => Promise.all(addresses.slice(0, most).map((one) => chunks.get(one))),
        };

  it('visits each node once, parents first, and leaves out what stands below those it is told to', async () => {
    await fc.assert(
      fc.asyncProperty(
        anyStream,
        anyNodeCuts,
        fc.nat(),
        fc.nat(5),
        async (entries, options, skipped, most) => {
          const chunks = new MemoryChunks();
          const reader = readerOf(chunks, most);
          const tree = buildTree(chunks, entries, options);
          const { manifest, above } = manifestOver(chunks, tree);
          const visited = new Set<string>();
          const enter = (address: Address): boolean => {
            if (visited.has(toHex(address))) return false;
            visited.add(toHex(address));
            return true;
          };
          const walked = await collect(reachable(reader, manifest, enter));
          expect(visited).toEqual(new Set([...above, ...tree.nodes.keys()]));
          expect(walked.map(({ address }) => toHex(address)).toSorted()).toEqual([...visited].toSorted());
          expect(chunks.reads.length).toBe(visited.size);
          expect(toHex((walked[above.length] as Reached).address)).toBe(toHex(tree.root));
          const data = walked.flatMap((one) => one.data).map(toHex);
          expect(new Set(data)).toEqual(new Set(entries.map(({ value }) => toHex(value as Address))));

          const out = [...tree.nodes.keys()][skipped % tree.nodes.size] as string;
          chunks.reads.length = 0;
          await collect(reachable(reader, manifest, (address) => toHex(address) !== out));
          expect(chunks.reads).not.toContain(out);
        },
      ),
    );
  });

  it('tells of every node that cannot be read, and goes on with the others', async () => {
    await fc.assert(
      fc.asyncProperty(
        anyStream,
        anyNodeCuts,
        fc.nat(5),
        fc.array(fc.nat()),
        async (entries, options, most, picks) => {
          const chunks = new MemoryChunks();
          const reader = readerOf(chunks, most);
          const tree = buildTree(chunks, entries, options);
          const { manifest } = manifestOver(chunks, tree);
          const nodes = [...tree.nodes.keys()];
          const gone = new Set(picks.map((pick) => nodes[pick % nodes.length] as string));
          for (const node of gone) chunks.chunks.delete(node);
          const told: string[] = [];
          const tell = (error: unknown, node: Address): void => {
            expect(error).toMatchObject({ code: 'CHUNK_MISSING' });
            told.push(toHex(node));
          };
          const seen = new Set<string>();
          const enter = (address: Address): boolean =>
            !seen.has(toHex(address)) && seen.add(toHex(address)).size > 0;
          const walked = await collect(reachable(reader, manifest, enter, tell));
          expect(told.toSorted()).toEqual([...gone].filter((node) => seen.has(node)).toSorted());
          expect(new Set(walked.map(({ address }) => toHex(address)))).toEqual(seen);
          if (gone.size > 0 && told.length > 0)
            await expect(collect(reachable(reader, manifest, () => true))).rejects.toThrow(
              'A chunk is not there.',
            );
        },
      ),
    );
  });
});

function isKeyed({ key }: Entry): boolean {
  return key instanceof Uint8Array;
}

describe('a difference', () => {
  it('is the naive one', async () => {
    const anyTwo = fc.oneof(
      ...[anyKeyedEntries, anyHashedEntries, anyStreamEntries].map((some) =>
        fc.tuple(some, some, fc.array(fc.nat())),
      ),
    );
    await fc.assert(
      fc.asyncProperty(anyTwo, anyNodeCuts, async ([left, extra, dropped], options) => {
        const chunks = new MemoryChunks();
        const gone = new Set(dropped.map((i) => i % Math.max(1, left.length)));
        const some = left.filter((_, i) => !gone.has(i));
        const areKeyed = [...left, ...extra].some(isKeyed);
        const right = areKeyed ? inOrder(some, extra.slice(0, 5)) : [...some, ...extra.slice(0, 5)];
        const [a, b] = [left, right].map((entries) => buildTree(chunks, entries, options)) as [
          TestTree,
          TestTree,
        ];
        const { removed, added } = await new TreeReader(chunks).diff(a.root, b.root);
        // Of equal entries it does not matter which one is said to be gone, so only keys have an order.
        const texts = (some: readonly Entry[]) => (areKeyed ? some.map(text) : some.map(text).toSorted());
        expect(texts(removed)).toEqual(texts(without(left, right)));
        expect(texts(added)).toEqual(texts(without(right, left)));
        expect(added.every((entry) => right.some((other) => text(other) === text(entry)))).toBe(true);
      }),
    );
  });

  it('reads in proportion to what changed', async () => {
    const entries = keyed(20_000);
    const options: LocalMinimumOptions = { window: 4, max: 36 };
    for (const at of [0, 7, 10_000, 19_999]) {
      const chunks = new MemoryChunks();
      const whole = buildTree(chunks, entries, options);
      const edits = [
        entries.with(at, { ...(entries[at] as Entry), value: 'changed' }),
        entries.toSpliced(at, 1),
        entries.toSpliced(at, 3),
      ];
      for (const edit of edits.map((some) => buildTree(chunks, some, options))) {
        chunks.reads.length = 0;
        const { removed, added } = await new TreeReader(chunks).diff(whole.root, edit.root);
        expect(removed.length + added.length).toBeLessThanOrEqual(3);
        expect(chunks.reads.length).toBeLessThanOrEqual(2 * 4 * (Math.max(whole.height, edit.height) + 1));
      }
    }
  });

  it('of trees of other heights is whole, and reads nothing twice', async () => {
    const chunks = new MemoryChunks();
    const [few, many] = [keyed(4), keyed(500)].map((some) =>
      buildTree(chunks, some, { window: 1, max: 4 }),
    ) as [TestTree, TestTree];
    expect(many.height).toBeGreaterThan(few.height + 2);
    const reader = new TreeReader(chunks);
    expect((await reader.diff(few.root, many.root)).added).toHaveLength(496);
    expect((await reader.diff(many.root, few.root)).removed).toHaveLength(496);
    expect((await reader.diff(many.root, few.root)).added).toEqual([]);
  });

  /** `all` without the entries of `others`, each as often as it is there: the naive difference. */
  function without(all: readonly Entry[], others: readonly Entry[]): Entry[] {
    const left = new Map<string, number>();
    for (const entry of others) left.set(text(entry), (left.get(text(entry)) ?? 0) + 1);
    return all.filter((entry) => {
      const there = left.get(text(entry)) ?? 0;
      left.set(text(entry), there - 1);
      return there <= 0;
    });
  }

  /** Both, by their keys; of two with one key the second. */
  function inOrder(some: readonly Entry[], others: readonly Entry[]): Entry[] {
    const byKey = new Map([...some, ...others].map((entry) => [toHex(entry.key as Uint8Array), entry]));
    return [...byKey.values()].toSorted((a, b) => compareBytes(a.key as Uint8Array, b.key as Uint8Array));
  }
});

describe('hostile nodes', () => {
  /** Of these, every entry is a row group of ids. */
  const groups = keyed(6).map(({ key, count, bytes }) =>
    rowGroupToEntry({
      key: key as Uint8Array,
      count,
      columns: [[{ length: bytes, address: sha256(key as Uint8Array) }]],
    }),
  );
  const leaf: Node = { level: 0, entries: groups.slice(0, 3) };
  const other: Node = { level: 0, entries: groups.slice(3) };

  /** A manifest whose records stand in a tree, of which it says what is true. */
  function recordsOver(chunks: MemoryChunks, root: Address): Address {
    const { entries } = decodeOrNothing(chunks.chunks.get(toHex(root)) as Uint8Array);
    return chunks.put(
      encodeManifest({
        format: { name: 'test' },
        schema: { id: 'string', vectors: [], payload: 'none' },
        records: { root, ...sumOf(entries) },
        files: undefined,
      }),
    );
  }

  function decodeOrNothing(bytes: Uint8Array): Node {
    try {
      return decodeNode(bytes);
    } catch {
      return { level: 0, entries: [] };
    }
  }

  /** A tree of a root over nodes; `harm` changes what the root says of the second. */
  function overTwo(
    children: readonly [Node, Node],
    harm: Partial<Entry> = {},
    level = 1,
  ): { chunks: MemoryChunks; root: Address } {
    const chunks = new MemoryChunks();
    const entries = children.map((child, i): Entry => ({
      key: child.entries.at(-1)?.key ?? null,
      ...sumOf(child.entries),
      value: chunks.put(encodeNode(child)),
      ...(i === 1 ? harm : {}),
    }));
    return { chunks, root: chunks.put(encodeNode({ level, entries })) };
  }

  it('are none of these', async () => {
    const { chunks, root } = overTwo([leaf, other]);
    expect(await collect(new TreeReader(chunks).entries(root))).toHaveLength(6);
    const walked = await collect(reachable(chunks, recordsOver(chunks, root), () => true));
    expect(walked.flatMap(({ data }) => data)).toHaveLength(6);
  });

  it.each<[string, readonly [Node, Node], Partial<Entry>, number]>([
    [
      'a child of the same level',
      [leaf, { level: 1, entries: [{ ...(leaf.entries[2] as Entry), value: sha256(utf8('')) }] }],
      {},
      1,
    ],
    ['a child two levels below', [leaf, other], {}, 2],
    ['another count', [leaf, other], { count: 8 }, 1],
    ['other bytes', [leaf, other], { bytes: 31 }, 1],
    ['another last key', [leaf, other], { key: utf8('000009') }, 1],
    ['a child that begins before its neighbour ends', [leaf, { level: 0, entries: groups.slice(1) }], {}, 1],
    ['no address', [leaf, other], { value: 5 }, 1],
    ['an address of 31 bytes', [leaf, other], { value: new Uint8Array(31) }, 1],
  ])('with %s are refused', async (_, children, harm, level) => {
    const { chunks, root } = overTwo(children, harm, level);
    const reader = new TreeReader(chunks);
    const damaged = expect.objectContaining({ code: 'MANIFEST_DAMAGED' });
    await expect(collect(reader.entries(root))).rejects.toThrow(damaged);
    const manifest = recordsOver(chunks, root);
    await expect(collect(reachable(chunks, manifest, () => true))).rejects.toThrow(damaged);
    await expect(reader.diff(root, buildTree(chunks, [], { window: 1, max: 2 }).root)).rejects.toThrow(
      damaged,
    );
  });

  it('that begin before the neighbour of their parent ends are refused', async () => {
    const chunks = new MemoryChunks();
    const parent = (nodes: readonly Node[], level: number): Node => ({
      level,
      entries: nodes.map((node) => ({
        key: node.entries.at(-1)?.key ?? null,
        ...sumOf(node.entries),
        value: chunks.put(encodeNode(node)),
      })),
    });
    const inner = [leaf, { level: 0, entries: keyed(9).slice(2, 5) }].map((node) => parent([node], 1));
    const root = chunks.put(encodeNode(parent(inner, 2)));
    await expect(collect(new TreeReader(chunks).entries(root))).rejects.toThrow(
      expect.objectContaining({ code: 'MANIFEST_DAMAGED' }),
    );
  });

  it('that are deeper than any tree are refused before they are read', async () => {
    const chunks = new MemoryChunks();
    let node: Node = { level: 0, entries: keyed(1) };
    for (let level = 1; level <= 41; level++) {
      const value = chunks.put(encodeNode(node));
      node = { level, entries: [{ ...(node.entries[0] as Entry), value }] };
    }
    const root = chunks.put(encodeNode(node));
    await expect(collect(new TreeReader(chunks).entries(root))).rejects.toThrow(
      expect.objectContaining({ code: 'MANIFEST_DAMAGED' }),
    );
    expect(chunks.reads).toHaveLength(1);
  });

  it('that are not there are what the store says', async () => {
    const { chunks, root } = overTwo([leaf, other]);
    chunks.chunks.delete(toHex(sha256(encodeNode(other))));
    await expect(collect(new TreeReader(chunks).entries(root))).rejects.toThrow(
      expect.objectContaining({ code: 'CHUNK_MISSING' }),
    );
  });
});
