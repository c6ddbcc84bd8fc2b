/** Nodes, entries and manifests: golden bytes, both ways, and hostile bytes. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Canonical, encodeCanonical, isVecsnapError, type Schema, toHex, utf8 } from 'vecsnap/core';
import {
  columnCount,
  decodeManifest,
  decodeNode,
  encodeManifest,
  encodeNode,
  type Entry,
  entryToFile,
  entryToRowGroup,
  entryToStreamChunk,
  type FileNodeEntry,
  fileToEntry,
  isInnerPath,
  type Manifest,
  type Node,
  reachable,
  rowGroupToEntry,
  streamChunkToEntry,
} from 'vecsnap/manifest';
import { anyAddress, anyText, outcome, runs } from './support/arbitraries.js';
import { collect } from './support/collect.js';
import { fromHex, golden } from './support/golden.js';
import { anySchema } from './support/records.js';
import { anyEntries, buildTree, MemoryChunks, sha256 } from './support/trees.js';

const A = new Uint8Array(32).fill(0xaa) as Parameters<typeof streamChunkToEntry>[0]['address'];

const NODES: Readonly<Record<string, Node>> = {
  'an empty node': { level: 0, entries: [] },
  'row groups with ids': {
    level: 0,
    entries: [
      rowGroupToEntry({
        key: utf8('id9'),
        count: 3,
        columns: [
          [{ address: A, length: 21 }],
          [
            { address: A, length: 300 },
            { address: A, length: 1 },
          ],
        ],
      }),
    ],
  },
  'row groups without ids': {
    level: 0,
    entries: [rowGroupToEntry({ key: 0xdeadbeef, count: 70000, columns: [[]] })],
  },
  'chunks of a stream': { level: 0, entries: [streamChunkToEntry({ address: A, length: 65536 })] },
  files: {
    level: 0,
    entries: [
      fileToEntry({ path: 'a', type: 'directory', mode: 0o755 }),
      fileToEntry({
        path: 'a/b',
        type: 'file',
        mode: 0o644,
        size: 5,
        content: { kind: 'stream', address: A },
      }),
      fileToEntry({ path: 'a/c', type: 'file', mode: 0o600, size: 0, content: null }),
      fileToEntry({ path: 'é', type: 'link', mode: 0o777, target: '../x' }),
    ],
  },
  'a file of one chunk': {
    level: 0,
    entries: [
      fileToEntry({
        path: 'a/b',
        type: 'file',
        mode: 0o644,
        size: 5,
        content: { kind: 'chunk', address: A },
      }),
    ],
  },
  children: {
    level: 1,
    entries: [
      { key: utf8('m'), count: 10, bytes: 200, value: A },
      { key: utf8('z'), count: 1, bytes: 2, value: A },
    ],
  },
};

const SCHEMA: Schema = {
  id: 'string',
  payload: 'json',
  vectors: [
    { name: 'dense', dtype: 'f32', dimension: 384, metric: 'cosine' },
    { name: 'code', dtype: 'bits', dimension: 64 },
  ],
  model: { name: 'all-MiniLM-L6-v2' },
};

const MANIFESTS: Readonly<Record<string, Manifest>> = {
  'of nothing': {
    version: 1,
    format: { name: 'files' },
    schema: undefined,
    records: undefined,
    files: undefined,
  },
  'of records': {
    version: 1,
    format: { name: 'jsonl' },
    schema: SCHEMA,
    records: { root: A, count: 778, bytes: 1_200_000 },
    files: undefined,
  },
  'of a matrix and files': {
    version: 1,
    format: { name: 'npy', header: Uint8Array.of(1, 2), rows: 2 },
    schema: { id: 'none', payload: 'none', vectors: [{ name: 'vectors', dtype: 'f16', dimension: 3 }] },
    records: { root: A, count: 2, bytes: 12 },
    files: { root: A, count: 0, bytes: 0 },
  },
  'of files': {
    version: 2,
    format: { name: 'file' },
    schema: undefined,
    records: undefined,
    files: { root: A, count: 1, bytes: 5 },
  },
};

const vectors = golden('manifest') as { nodes: Record<string, string>; manifests: Record<string, string> };

describe('golden bytes', () => {
  it.each(Object.entries(NODES))('of %s', (name, node) => {
    expect(toHex(encodeNode(node))).toBe(toHex(fromHex(vectors.nodes[name] ?? '')));
    expect(decodeNode(fromHex(vectors.nodes[name] ?? ''))).toEqual(node);
  });

  it.each(Object.entries(MANIFESTS))('of the manifest %s', (name, manifest) => {
    expect(toHex(encodeManifest(manifest))).toBe(toHex(fromHex(vectors.manifests[name] ?? '')));
    expect(decodeManifest(fromHex(vectors.manifests[name] ?? ''))).toEqual(manifest);
  });
});

const anyReference = fc.option(fc.record({ root: anyAddress, count: fc.nat(), bytes: fc.maxSafeNat() }), {
  nil: undefined,
});
const anyManifest: fc.Arbitrary<Manifest> = fc
  .record({
    version: fc.constantFrom(1, 2),
    format: fc.record({ name: anyText, detail: fc.oneof(fc.integer(), anyText, fc.uint8Array()) }),
    schema: fc.option(
      fc
        .tuple(
          anySchema,
          fc.option(fc.dictionary(anyText, anyText, { noNullPrototype: true }), { nil: undefined }),
        )
        .map(([schema, model]) => (model === undefined ? schema : { ...schema, model })),
      { nil: undefined },
    ),
    records: anyReference.filter((reference) => reference !== undefined),
    files: anyReference,
  })
  .map((manifest) => ({ ...manifest, records: manifest.schema && manifest.records }));

describe('a manifest', () => {
  it('comes back', () => {
    fc.assert(
      fc.property(anyManifest, (manifest) => {
        expect(decodeManifest(encodeManifest(manifest))).toEqual(manifest);
      }),
    );
  });

  it('of a later version is newer, and one without a version is damaged', () => {
    const decode = (version: Canonical) => () => decodeManifest(encodeCanonical({ ...good, version }));
    expect(decode(3)).toThrow(expect.objectContaining({ code: 'REPOSITORY_NEWER' }));
    for (const none of [0, -1, '2', null])
      expect(decode(none)).toThrow(expect.objectContaining({ code: 'MANIFEST_DAMAGED' }));
  });

  it('without files has the version that it always had', () => {
    const { version: _, ...rest } = MANIFESTS['of records'] as Manifest;
    expect(decodeManifest(encodeManifest(rest)).version).toBe(1);
    expect(decodeManifest(encodeManifest({ ...rest, files: rest.records })).version).toBe(2);
  });

  const good = {
    version: 1,
    format: { name: 'jsonl' },
    schema: { id: 'string', payload: 'json', vectors: [['v', 'f32', 3, null]] as Canonical, model: null },
    records: [A, 1, 2] as Canonical,
    files: null,
  };
  it('is this', () => {
    expect(decodeManifest(encodeCanonical(good))).toMatchObject({ records: { root: A, count: 1, bytes: 2 } });
  });

  it.each<[string, Canonical]>([
    ['is a list', [1]],
    ['is bytes', A],
    ['has no version', { ...good, version: 'one' }],
    ['has no format', { ...good, format: null }],
    ['has a format without a name', { ...good, format: {} }],
    ['has a schema without records', { ...good, records: null }],
    ['has records without a schema', { ...good, schema: null }],
    ['has a schema that is none', { ...good, schema: 'string' }],
    ['has an unknown kind of ids', { ...good, schema: { ...good.schema, id: 'uuid' } }],
    ['has an unknown kind of payloads', { ...good, schema: { ...good.schema, payload: null } }],
    ['has no vector columns', { ...good, schema: { ...good.schema, vectors: null } }],
    ['has an unknown dtype', { ...good, schema: { ...good.schema, vectors: [['v', 'f31', 3, null]] } }],
    [
      'has a dtype that every object has',
      { ...good, schema: { ...good.schema, vectors: [['v', 'toString', 3, null]] } },
    ],
    ['has a dimension of 0', { ...good, schema: { ...good.schema, vectors: [['v', 'f32', 0, null]] } }],
    [
      'has a dimension that is huge',
      { ...good, schema: { ...good.schema, vectors: [['v', 'f32', 2 ** 40, null]] } },
    ],
    ['has a column without a name', { ...good, schema: { ...good.schema, vectors: [[1, 'f32', 3, null]] } }],
    ['has a metric that is no text', { ...good, schema: { ...good.schema, vectors: [['v', 'f32', 3, 1]] } }],
    ['has a column of three parts', { ...good, schema: { ...good.schema, vectors: [['v', 'f32', 3]] } }],
    [
      'has two columns of one name',
      {
        ...good,
        schema: {
          ...good.schema,
          vectors: [
            ['v', 'f32', 3, null],
            ['v', 'u8', 3, null],
          ],
        },
      },
    ],
    ['has a model that is no text', { ...good, schema: { ...good.schema, model: { name: 1 } } }],
    ['has a root of 31 bytes', { ...good, records: [A.subarray(1), 1, 2] }],
    ['has a negative count', { ...good, records: [A, -1, 2] }],
    ['has a count that is no number', { ...good, records: [A, null, 2] }],
    ['has totals of four parts', { ...good, files: [A, 1, 2, 3] }],
  ])('that %s is damaged', (_, value) => {
    expect(() => decodeManifest(encodeCanonical(value))).toThrow(
      expect.objectContaining({ code: 'MANIFEST_DAMAGED' }),
    );
  });
});

describe('a node', () => {
  it('comes back', () => {
    fc.assert(
      fc.property(anyEntries, fc.nat({ max: 40 }), (entries, level) => {
        fc.pre(entries.length > 0 || level === 0);
        const node = {
          level,
          entries: level === 0 ? entries : entries.map((entry) => ({ ...entry, value: A })),
        };
        expect(decodeNode(encodeNode(node))).toEqual(node);
      }),
    );
  });

  const entry: Canonical = [A, 1, 2, null];
  it.each<[string, Canonical]>([
    ['is a map', {}],
    ['is no pair', [0]],
    ['has three parts', [0, [], 0]],
    ['has a negative level', [-1, [entry]]],
    ['has a level that is no number', ['0', [entry]]],
    ['has a level that is too high', [41, [entry]]],
    ['has no entries', [0, null]],
    ['has no children', [1, []]],
    ['has a child without an address', [1, [[A, 1, 2, null]]]],
    ['has a child with an address of 31 bytes', [1, [[A, 1, 2, A.subarray(1)]]]],
    ['has an entry of three parts', [0, [[A, 1, 2]]]],
    ['has an entry that is none', [0, [7]]],
    ['has a key that is text', [0, [['a', 1, 2, null]]]],
    ['has a key that is no hash', [0, [[2 ** 32, 1, 2, null]]]],
    ['has a key below zero', [0, [[-1, 1, 2, null]]]],
    ['has a key that is a fraction', [0, [[0.5, 1, 2, null]]]],
    ['has a negative count', [0, [[A, -1, 2, null]]]],
    ['has a count that is a fraction', [0, [[A, 0.5, 2, null]]]],
    ['has a count beyond the safe integers', [0, [[A, 2n ** 53n, 2, null]]]],
    ['has bytes that are none', [0, [[A, 1, null, null]]]],
    [
      'has keys out of order',
      [
        0,
        [
          [utf8('b'), 1, 2, null],
          [utf8('a'), 1, 2, null],
        ],
      ],
    ],
    ['has one key twice', [0, [entry, entry]]],
    ['has keys of two kinds', [0, [entry, [5, 1, 2, null]]]],
    ['has a key and none', [0, [[null, 1, 2, null], entry]]],
  ])('that %s is damaged', (_, value) => {
    expect(() => decodeNode(encodeCanonical(value))).toThrow(
      expect.objectContaining({ code: 'MANIFEST_DAMAGED' }),
    );
  });
});

describe('any bytes', () => {
  const good = [...Object.values(NODES).map(encodeNode), ...Object.values(MANIFESTS).map(encodeManifest)];
  const anyBytes = fc.oneof(
    fc.uint8Array({ maxLength: 80 }),
    fc
      .tuple(fc.constantFrom(...good), fc.nat(), fc.nat({ max: 255 }))
      .map(([bytes, at, byte]) => bytes.with(at % bytes.length, byte)),
    fc.tuple(fc.constantFrom(...good), fc.nat()).map(([bytes, at]) => bytes.slice(0, at % bytes.length)),
  );

  it('are a node or manifest, or damaged', () => {
    fc.assert(
      fc.property(anyBytes, (bytes) => {
        for (const decode of [decodeNode, decodeManifest]) {
          const result = outcome(() => decode(bytes));
          if ('value' in result) continue;
          expect(
            isVecsnapError(result.error, 'MANIFEST_DAMAGED', 'REPOSITORY_NEWER'),
            String(result.error),
          ).toBe(true);
        }
      }),
      { numRuns: runs(2000) },
    );
  });

  it('that are a node are those that are written for it', () => {
    fc.assert(
      fc.property(anyBytes, (bytes) => {
        const result = outcome(() => decodeNode(bytes));
        if ('value' in result) expect(toHex(encodeNode(result.value))).toBe(toHex(bytes));
      }),
      { numRuns: runs(500) },
    );
  });

  it('that are entries are row groups, chunks of streams or files, or damaged', () => {
    const anyValue = fc.oneof(
      fc.constantFrom<Canonical>(
        null,
        0,
        A,
        ['file', 0o644, A],
        ['link', 0, 'x'],
        ['directory', 0],
        [[1, A]],
        [[1, A, 2, A]],
        [[]],
        [],
      ),
      fc.array(fc.oneof(fc.integer(), fc.constantFrom<Canonical>('file', 'link', 'directory', A, null))),
    );
    const anyKey = fc.oneof(
      fc.constant(null),
      fc.nat(),
      fc.uint8Array({ maxLength: 5 }),
      fc.constant(utf8('a/b')),
    );
    const anyEntry = fc.record({
      key: anyKey,
      count: fc.nat({ max: 2 }),
      bytes: fc.nat({ max: 2 }),
      value: anyValue,
    });
    fc.assert(
      fc.property(anyEntry, fc.nat({ max: 2 }), (entry, columns) => {
        for (const decode of [(e: Entry) => entryToRowGroup(e, columns), entryToStreamChunk, entryToFile]) {
          const result = outcome(() => decode(entry));
          if ('error' in result)
            expect(isVecsnapError(result.error, 'MANIFEST_DAMAGED'), String(result.error)).toBe(true);
        }
      }),
      { numRuns: runs(1000) },
    );
  });
});

describe('an entry', () => {
  const reference = { address: A, length: 5 };
  const row = rowGroupToEntry({ key: utf8('k'), count: 2, columns: [[reference], [reference, reference]] });

  it('of a row group comes back with its bytes', () => {
    expect(row.bytes).toBe(15);
    expect(entryToRowGroup(row, 2)).toEqual({
      key: utf8('k'),
      count: 2,
      columns: [[reference], [reference, reference]],
    });
  });

  it.each<[string, Entry, number]>([
    ['more columns', row, 3],
    ['no key', { ...row, key: null }, 2],
    ['no records', { ...row, count: 0 }, 2],
    ['other bytes', { ...row, bytes: 14 }, 2],
    ['a chunk of no bytes', { ...row, bytes: 0, value: [[0, A], []] }, 2],
    ['a chunk without an address', { ...row, bytes: 5, value: [[5], []] }, 2],
    ['an address of 33 bytes', { ...row, bytes: 5, value: [[5, new Uint8Array(33)], []] }, 2],
    ['a column that is none', { ...row, bytes: 0, value: [null, []] }, 2],
  ])('of a row group with %s is damaged', (_, entry, columns) => {
    expect(() => entryToRowGroup(entry, columns)).toThrow(
      expect.objectContaining({ code: 'MANIFEST_DAMAGED' }),
    );
  });

  const files: FileNodeEntry[] = [
    { path: 'a/b c', type: 'file', mode: 0o7777, size: 3, content: { kind: 'stream', address: A } },
    { path: 'one chunk', type: 'file', mode: 0o644, size: 3, content: { kind: 'chunk', address: A } },
    { path: '...', type: 'file', mode: 0, size: 0, content: null },
    { path: 'é', type: 'directory', mode: 0o755 },
    { path: 'link', type: 'link', mode: 0o777, target: '/anywhere' },
  ];
  it.each(files)('of $path comes back', (file) => {
    expect(entryToFile(fileToEntry(file))).toEqual(file);
  });

  it.each([
    '',
    '/',
    '/etc/passwd',
    'a/',
    'a//b',
    '..',
    '../a',
    'a/../b',
    'a/..',
    './a',
    'a/.',
    '.',
    'a\0b',
    '\0',
  ])('of the path %j is damaged', (path) => {
    expect(isInnerPath(path)).toBe(false);
    expect(() => entryToFile(fileToEntry({ path, type: 'directory', mode: 0 }))).toThrow(
      expect.objectContaining({ code: 'MANIFEST_DAMAGED' }),
    );
  });

  it.each<[string, Partial<Entry>]>([
    ['no path', { key: 5 }],
    ['a path that is not UTF-8', { key: Uint8Array.of(0xff) }],
    ['two of it', { count: 2 }],
    ['no mode', { value: ['file', null, A] }],
    ['a mode above 0o7777', { value: ['file', 0o10000, A] }],
    ['a mode below 0', { value: ['file', -1, A] }],
    ['content but no bytes', { bytes: 0 }],
    ['bytes but no content', { value: ['file', 0, null] }],
    ['a part too many', { value: ['file', 0, A, 1] }],
    ['a list of no chunk', { value: ['file', 0, []] }],
    ['a list of two chunks', { value: ['file', 0, [A, A]] }],
    ['a chunk without an address', { value: ['file', 0, [null]] }],
    ['a chunk but no bytes', { bytes: 0, value: ['file', 0, [A]] }],
    ['an unknown type', { value: ['socket', 0] }],
    ['a link without a target', { value: ['link', 0] }],
    ['a link to bytes', { value: ['link', 0, A] }],
    ['a directory with content', { value: ['directory', 0, A] }],
  ])('of a file with %s is damaged', (_, harm) => {
    const content = { kind: 'stream', address: A } as const;
    const entry = { ...fileToEntry({ path: 'a', type: 'file', mode: 0, size: 3, content }), ...harm };
    expect(() => entryToFile(entry)).toThrow(expect.objectContaining({ code: 'MANIFEST_DAMAGED' }));
  });

  it('of a chunk of a stream comes back, and nothing else is one', () => {
    const entry = streamChunkToEntry(reference);
    expect(entryToStreamChunk(entry)).toEqual(reference);
    for (const harm of [
      { key: 1 },
      { count: 2 },
      { bytes: 0 },
      { value: null },
      { value: new Uint8Array(31) },
    ])
      expect(() => entryToStreamChunk({ ...entry, ...harm })).toThrow(
        expect.objectContaining({ code: 'MANIFEST_DAMAGED' }),
      );
  });
});

describe('what a manifest reaches', () => {
  it('is itself, the nodes of its trees and of the streams of its files, and all chunks; shared nodes once', async () => {
    const chunks = new MemoryChunks();
    const put = (name: string) => ({ address: chunks.put(utf8(name)), length: name.length });
    const cuts = { window: 1, max: 4 };
    const keys = Array.from({ length: 40 }, (_, i) => utf8(String(i).padStart(3, '0')));
    const groups = keys.map((key, i) =>
      rowGroupToEntry({ key, count: 1, columns: [[put(`id ${i}`)], [put(`a ${i}`), put(`b ${i}`)]] }),
    );
    const stream = buildTree(
      chunks,
      Array.from({ length: 20 }, (_, i) => streamChunkToEntry(put(`stream ${i}`))),
      cuts,
    );
    const content = { kind: 'stream', address: stream.root } as const;
    const files = ['x', 'y', 'z'].map((path) =>
      fileToEntry({ path, type: 'file', mode: 0, size: stream.bytes, content }),
    );
    const { address: chunk, length: size } = put('all of a file');
    files.push(
      fileToEntry({ path: 'z1', type: 'file', mode: 0, size, content: { kind: 'chunk', address: chunk } }),
    );
    const records = buildTree(chunks, groups, cuts);
    const tree = buildTree(
      chunks,
      [...files, fileToEntry({ path: 'zz', type: 'link', mode: 0, target: 'x' })],
      cuts,
    );
    const schema: Schema = {
      id: 'string',
      payload: 'none',
      vectors: [{ name: 'v', dtype: 'u8', dimension: 3 }],
    };
    const address = chunks.put(encodeManifest({ format: { name: 'test' }, schema, records, files: tree }));

    const entered = new Set<string>();
    const reached = await collect(
      reachable(chunks, address, (node) => !entered.has(toHex(node)) && entered.add(toHex(node)).size > 0),
    );
    const all = reached.flatMap(({ address: node, data }) => [node, ...data]).map(toHex);
    expect(new Set(all)).toEqual(new Set(chunks.chunks.keys()));
    const nodes = reached.map((one) => toHex(one.address));
    expect(new Set(nodes)).toEqual(
      new Set([toHex(address), ...records.nodes.keys(), ...tree.nodes.keys(), ...stream.nodes.keys()]),
    );
    expect(chunks.reads.length).toBe(new Set(chunks.reads).size);
    expect(columnCount(schema)).toBe(2);
  });

  it('is nothing below what is not to be entered', async () => {
    const chunks = new MemoryChunks();
    const address = chunks.put(encodeManifest(MANIFESTS['of records'] as Manifest));
    expect(await collect(reachable(chunks, address, () => false))).toEqual([]);
    expect(address).toEqual(sha256(fromHex(vectors.manifests['of records'] ?? '')));
  });
});
