/** Decoders of what stands in a repository and is no chunk of data: msgpack, nodes, trees, manifests, config, snapshots, leases. */
import { acquireLease, type BlobStore, memoryBlobStore } from 'vecsnap/blob';
import { inlineCoder, memoryIndex } from 'vecsnap/cas';
import { decodeIdColumn, decodePayloadColumn, findInIdColumn } from 'vecsnap/chunker';
import {
  type Address,
  decodeCanonical,
  encodeCanonical,
  formatAddress,
  isVecsnapError,
  parseAddress,
  toAddress,
  utf8,
  viewOf,
} from 'vecsnap/core';
import {
  type ChunkReader,
  decodeManifest,
  decodeNode,
  encodeManifest,
  encodeNode,
  type Entry,
  entryToFile,
  entryToRowGroup,
  entryToStreamChunk,
  fileToEntry,
  reachable,
  rowGroupToEntry,
  TreeReader,
} from 'vecsnap/manifest';
import { nodeDeflate, nodeSha256 } from 'vecsnap/platform';
import {
  decodeConfig,
  decodeSnapshot,
  encodeConfig,
  encodeSnapshot,
  type Environment,
  newConfig,
  Repository,
  type Snapshot,
  SnapshotManager,
} from 'vecsnap/snapshot';
import { bytesOfLength, joinParts, splitParts } from './parts.js';
import { expectSame, type FuzzTarget, Wrong } from './target.js';

const A = (seed: number): Address => toAddress(bytesOfLength(32, seed));

const VALUES: readonly Parameters<typeof encodeCanonical>[0][] = [
  null,
  [1, -1, 127, 128, -33, 65536, 2 ** 40, 0.5, Number.NaN, -(2n ** 60n), 2n ** 63n],
  { a: 'text', ['__proto__']: { x: 1 }, constructor: [true, false], ü: new Uint8Array(40) },
  ['x'.repeat(40), 'ü'.repeat(200), [[[[[]]]]], {}],
  Array.from({ length: 20 }, (_, i) => ({ [`key ${i}`]: i })),
];

const GROUP: Entry = rowGroupToEntry({
  key: utf8('id 7'),
  count: 3,
  columns: [
    [{ address: A(1), length: 24 }],
    [
      { address: A(2), length: 100 },
      { address: A(3), length: 44 },
    ],
  ],
});
const FILES: readonly Entry[] = [
  fileToEntry({ path: 'a', type: 'directory', mode: 0o755 }),
  fileToEntry({
    path: 'a/b.bin',
    type: 'file',
    mode: 0o644,
    size: 318,
    content: { kind: 'stream', address: A(4) },
  }),
  fileToEntry({
    path: 'a/c.bin',
    type: 'file',
    mode: 0o644,
    size: 3,
    content: { kind: 'chunk', address: A(4) },
  }),
  fileToEntry({ path: 'a/empty', type: 'file', mode: 0o644, size: 0, content: null }),
  fileToEntry({ path: 'link', type: 'link', mode: 0o777, target: '../a' }),
];
const STREAM: readonly Entry[] = [5, 6, 7].map((i) => ({ key: null, count: 1, bytes: 100 + i, value: A(i) }));

const NODES: readonly Uint8Array[] = [
  encodeNode({ level: 0, entries: [] }),
  encodeNode({ level: 0, entries: [GROUP] }),
  encodeNode({ level: 0, entries: FILES }),
  encodeNode({ level: 0, entries: STREAM }),
  encodeNode({ level: 0, entries: [{ ...GROUP, key: 77 }] }),
  encodeNode({ level: 1, entries: STREAM.map((entry) => ({ ...entry, count: 9 })) }),
];

const SCHEMA = {
  id: 'string',
  payload: 'json',
  vectors: [
    { name: 'vector', dtype: 'f32', dimension: 12, metric: 'cosine' },
    { name: 'bits', dtype: 'bits', dimension: 9 },
  ],
  model: { name: 'all-MiniLM-L6-v2' },
} as const;

const MANIFESTS: readonly Uint8Array[] = [
  encodeManifest({
    format: { name: 'jsonl', vector: 'vector', payload: 'rest' },
    schema: SCHEMA,
    records: { root: A(1), count: 100, bytes: 5000 },
    files: undefined,
  }),
  encodeManifest({
    format: { name: 'directory', mode: 0o755 },
    schema: undefined,
    records: undefined,
    files: { root: A(2), count: 3, bytes: 70 },
  }),
];

export const SNAPSHOT: Snapshot = {
  id: '01hf7yatz8h63zh7xdw4tpw39x',
  name: 'first',
  collection: 'docs',
  createdAt: '2023-11-14T22:13:21.000Z',
  snapshotType: 'incremental',
  baseId: '01hf7yatz8h63zh7xdw4tpw39w',
  afterId: '01hf7yatz8h63zh7xdw4tpw39w',
  vectorCount: 100,
  fileCount: 0,
  checksum: formatAddress(A(1), 'node'),
  sizeBytes: 5000,
  logicalBytes: 5000,
  addedBytes: 800,
  nonFiniteCount: 1,
  tags: ['a', 'b'],
  metadata: { build: 7, nested: { deep: [null, true] } },
  notes: ['a note'],
  pinned: false,
};
const SNAPSHOT_BLOB = `snapshots/${SNAPSHOT.id}`;

/** The blob with a checksum that fits. */
function resealed(bytes: Uint8Array): Uint8Array {
  if (bytes.length < 32) return bytes;
  const body = bytes.subarray(0, bytes.length - 32);
  return Uint8Array.from([...body, ...nodeSha256(body)]);
}

const LEASE = encodeCanonical({
  version: 1,
  kind: 'writer',
  holder: {
    operation: 'create',
    pid: 8,
    host: 'host',
    bootId: 'boot',
    pidNamespace: 'pid:[1]',
    processStart: '123',
    startedAt: 1_700_000_000_000,
  },
});

/** Chunks by their addresses, where a chunk need not be what its address says: as for a reader that was told to trust. */
class Chunks implements ChunkReader {
  readonly #chunks: ReadonlyMap<string, Uint8Array>;
  reads = 0;

  constructor(addresses: readonly Address[], chunks: readonly Uint8Array[]) {
    this.#chunks = new Map(addresses.map((address, i) => [address.join(), chunks[i] ?? new Uint8Array(0)]));
  }

  async get(address: Address): Promise<Uint8Array> {
    if (++this.reads > 10_000) throw new Wrong('a tree of a few nodes was read for ever');
    return this.#chunks.get(address.join()) ?? (this.#chunks.values().next().value as Uint8Array);
  }
}

const LEAVES = [0, 1, 2].map((i) =>
  encodeNode({
    level: 0,
    entries: [0, 1].map((j) => ({
      ...rowGroupToEntry({ key: utf8(`${i}${j}`), count: 2, columns: [[{ address: A(9), length: 4 }]] }),
    })),
  }),
);
const BRANCH = encodeNode({
  level: 1,
  entries: LEAVES.map((_, i) => ({ key: utf8(`${i}1`), count: 4, bytes: 8, value: A(20 + i) })),
});
const TREE_ADDRESSES = [A(10), A(20), A(21), A(22)];

async function readTree(input: Uint8Array): Promise<void> {
  const chunks = new Chunks(TREE_ADDRESSES, splitParts(input));
  const trees = new TreeReader(chunks);
  const root = TREE_ADDRESSES[0] as Address;
  let count = 0;
  for await (const entry of trees.entries(root)) count += entryToRowGroup(entry, 1).count;
  const last = count === 0 ? undefined : await trees.entryAt(root, count - 1);
  if (count > 0 && last === undefined) throw new Wrong(`a tree of ${count} items has no last one`);
  for await (const step of trees.steps(root)) void step;
  await trees.diff(root, TREE_ADDRESSES[1] as Address);
}

const RECORDS_MANIFEST = encodeManifest({
  format: { name: 'test' },
  schema: { id: 'string', payload: 'none', vectors: [] },
  records: { root: A(20), count: 2, bytes: 8 },
  files: { root: A(21), count: 4, bytes: 318 },
});
const REACHED_ADDRESSES = [A(10), A(20), A(21), A(4)];
const REACHED = joinParts([
  RECORDS_MANIFEST,
  encodeNode({
    level: 0,
    entries: [{ key: utf8('x'), count: 2, bytes: 8, value: [[8, A(1)]] }],
  }),
  encodeNode({ level: 0, entries: FILES }),
  encodeNode({ level: 0, entries: STREAM }),
]);

async function reach(input: Uint8Array): Promise<void> {
  const seen = new Set<string>();
  const enter = (node: Address): boolean => {
    const isNew = !seen.has(node.join());
    seen.add(node.join());
    return isNew;
  };
  const chunks = new Chunks(REACHED_ADDRESSES, splitParts(input));
  for await (const { address } of reachable(chunks, REACHED_ADDRESSES[0] as Address, enter)) void address;
}

function decodeEntries(bytes: Uint8Array): void {
  const node = decodeNode(bytes);
  expectSame('a node', bytes, encodeNode(node));
  const decoders = [
    (entry: Entry) => rowGroupToEntry(entryToRowGroup(entry, 2)),
    (entry: Entry) => fileToEntry(entryToFile(entry)),
    entryToStreamChunk,
  ];
  const failures: unknown[] = [];
  for (const decode of decoders) {
    try {
      for (const entry of node.entries) decode(entry);
      return;
    } catch (error) {
      failures.push(error);
    }
  }
  throw failures[0];
}

async function lookAtLease(bytes: Uint8Array): Promise<void> {
  const store = memoryBlobStore();
  await store.put(`locks/writer-5-${'0'.repeat(32)}`, bytes);
  const lease = await acquireLease(store, {
    kind: 'writer',
    identity: {
      operation: 'gc',
      pid: 8,
      host: 'host',
      bootId: 'boot',
      pidNamespace: '',
      processStart: '',
      startedAt: 10,
    },
    isAlive: ({ pid }) => pid % 2 === 1,
    clock: { now: () => 10 },
    random: (length) => new Uint8Array(length).fill(3),
    timeoutMs: 0,
  });
  await lease.release();
}

const CACHED = utf8(JSON.stringify({ version: 2, entries: [[SNAPSHOT_BLOB, 3, SNAPSHOT]] }));

/** What listing and retention need of a repository: blobs, and nothing that reads chunks. */
function environmentOf(blobs: BlobStore, cache?: Uint8Array): Environment {
  const unused = async (): Promise<never> => Promise.reject(new Error('not needed to list'));
  return {
    blobs,
    coder: {
      address: unused,
      encode: unused,
      addressAndEncode: unused,
      patch: unused,
      decode: unused,
      check: unused,
      close: async () => {},
    },
    sha256: nodeSha256,
    clock: { now: () => 1_700_000_100_000 },
    random: (length) => new Uint8Array(length),
    openIndex: unused,
    discardIndex: async () => {},
    lock: unused,
    ...(cache === undefined ? {} : { cache: { load: async () => cache, save: unused, append: unused } }),
    indexBytes: async () => 0,
    close: async () => {},
  };
}

/** A repository with one snapshot, and with a blob of this name. */
async function retain(name: string, bytes: Uint8Array): Promise<void> {
  const blobs = memoryBlobStore();
  await blobs.put('config', CONFIG);
  await blobs.put(SNAPSHOT_BLOB, encodeSnapshot(SNAPSHOT, nodeSha256));
  await blobs.put(name, bytes);
  const manager = await SnapshotManager.open({ environment: environmentOf(blobs), ownsThread: true });
  const [snapshot] = await manager.listSnapshots();
  if (snapshot === undefined) throw new Wrong('a snapshot is gone');
  encodeSnapshot(snapshot, nodeSha256);
  await manager.decideRetention(name.startsWith('policies/') ? undefined : { keepLast: 1 });
  await manager.close();
}

const MARKS = seal('vsnmark', { version: 1, id: SNAPSHOT.id, tags: ['x', 'y'], pinned: true });
const POLICIES = seal('vsnplcy', {
  version: 1,
  policies: [
    { collection: null, policy: { keepLast: 3, keepWithin: '1y2m3d4h', timeZone: 'Europe/Berlin' } },
    { collection: 'docs', policy: { keepHourly: 5, keepWeekly: 2, keepTags: ['a'] } },
  ],
});

const NOTE = seal('vsndmge', {
  version: 1,
  notedAt: 1_700_000_000_000,
  copies: [['packs/00112233445566778899aabbccddeeff', [0, bytesOfLength(32, 5), 777, bytesOfLength(32, 6)]]],
  lost: bytesOfLength(64, 7),
  snapshots: [[SNAPSHOT.id, 2]],
  emptied: ['packs/ffeeddccbbaa99887766554433221100'],
});

/** A repository with one snapshot and a note of damage: whatever that says, the snapshot is listed, and verifying ends. */
async function readNote(bytes: Uint8Array): Promise<void> {
  const blobs = memoryBlobStore();
  await blobs.put('config', CONFIG);
  await blobs.put(SNAPSHOT_BLOB, encodeSnapshot(SNAPSHOT, nodeSha256));
  await blobs.put('damage/001700000000000-0011223344556677', bytes);
  const coder = inlineCoder({ sha256: nodeSha256, deflate: nodeDeflate });
  const environment = { ...environmentOf(blobs), coder, openIndex: async () => memoryIndex() };
  const manager = await SnapshotManager.open({ environment, ownsThread: true });
  if ((await manager.listSnapshots()).length !== 1) throw new Wrong('a snapshot is gone');
  if ((await manager.verifyRepository()).ok) throw new Wrong('a snapshot without its chunks is whole');
  await manager.close();
}

function seal(magic: string, value: Parameters<typeof encodeCanonical>[0]): Uint8Array {
  const body = Uint8Array.from([...utf8(magic.padEnd(8)), ...encodeCanonical(value)]);
  return Uint8Array.from([...body, ...nodeSha256(body)]);
}

const CACHE_HEAD_BYTES = 4 + 32;

/** A part of a listing cache: the length of a text, its SHA-256, and the text. */
function cachePart(text: Uint8Array): Uint8Array {
  const part = new Uint8Array(CACHE_HEAD_BYTES + text.length);
  viewOf(part).setUint32(0, text.length, true);
  part.set(nodeSha256(text), 4);
  part.set(text, CACHE_HEAD_BYTES);
  return part;
}

/** The cache of a repository whose one snapshot is damaged, so that what the cache says of it shows. */
async function listWithCache(bytes: Uint8Array): Promise<void> {
  const blobs = memoryBlobStore();
  await blobs.put('config', CONFIG);
  await blobs.put(SNAPSHOT_BLOB, Uint8Array.of(1, 2, 3));
  const repository = await Repository.open(environmentOf(blobs, bytes), {
    compression: 'auto',
    compressionLevel: 6,
    verifyChecksum: true,
    maxConcurrentIo: 1,
  });
  const { snapshots } = await repository.listSnapshots();
  for (const snapshot of snapshots) encodeSnapshot(snapshot, nodeSha256);
  await repository.close();
}

const CONFIG = encodeConfig(
  newConfig((length) => bytesOfLength(length, 3)),
  nodeSha256,
);

/** A number of records, then the column. */
function column(count: number, bytes: Uint8Array): Uint8Array {
  return Uint8Array.from([count & 255, count >> 8, ...bytes]);
}

function decodeColumns(input: Uint8Array): void {
  if (input.length < 2) return;
  const count = viewOf(input).getUint16(0, true);
  const bytes = input.slice(2);
  const keys = [utf8('a'), utf8('b'), new Uint8Array(8)];
  const decoders = [
    () => decodeIdColumn('string', bytes, count),
    () => decodeIdColumn('u64', bytes, count),
    () => decodePayloadColumn(bytes, count),
    () => findInIdColumn('string', bytes, count, keys),
    () => findInIdColumn('u64', bytes, count, keys),
  ];
  const failures: unknown[] = [];
  for (const decode of decoders) {
    try {
      decode();
    } catch (error) {
      failures.push(error);
    }
  }
  const unexpected = failures.find((error) => !isVecsnapError(error));
  if (unexpected !== undefined) throw unexpected;
  if (failures.length === decoders.length) throw failures[0];
}

/** A value of msgpack takes up to so many times the bytes that tell it: an empty map is one byte there and an object here. */
const OBJECTS = { multiple: 200, constant: 1 << 20 };

export const MANIFEST_TARGETS: readonly FuzzTarget[] = [
  {
    name: 'msgpack',
    seeds: VALUES.map(encodeCanonical),
    decode: (bytes) => expectSame('a value', bytes, encodeCanonical(decodeCanonical(bytes))),
    budget: OBJECTS,
  },
  {
    name: 'address',
    seeds: [utf8(formatAddress(A(1), 'data')), utf8(formatAddress(A(2), 'node'))],
    decode(bytes) {
      const { address, kind } = parseAddress(Buffer.from(bytes).toString('latin1'));
      expectSame('an address', bytes, utf8(formatAddress(address, kind)));
    },
    budget: OBJECTS,
  },
  { name: 'node', seeds: NODES, decode: decodeEntries, budget: OBJECTS },
  {
    name: 'tree',
    seeds: [joinParts([BRANCH, ...LEAVES])],
    decode: readTree,
    budget: { multiple: 5000, constant: 1 << 23 },
  },
  { name: 'reachable', seeds: [REACHED], decode: reach, budget: { multiple: 5000, constant: 1 << 23 } },
  {
    name: 'manifest',
    seeds: MANIFESTS,
    decode: (bytes) => expectSame('a manifest', bytes, encodeManifest(decodeManifest(bytes))),
    budget: OBJECTS,
  },
  {
    name: 'columns',
    seeds: [
      column(3, Uint8Array.of(1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0x61, 0x62, 0x63)),
      column(2, bytesOfLength(16, 1)),
    ],
    decode: decodeColumns,
    budget: OBJECTS,
  },
  {
    name: 'config',
    seeds: [CONFIG],
    reseal: resealed,
    decode(bytes) {
      // What a later version may have added to it is not kept, so the bytes themselves are not compared.
      const once = encodeConfig(decodeConfig(bytes, 'repo', nodeSha256), nodeSha256);
      expectSame('a config', once, encodeConfig(decodeConfig(once, 'repo', nodeSha256), nodeSha256));
    },
    budget: OBJECTS,
  },
  {
    name: 'snapshot',
    seeds: [encodeSnapshot(SNAPSHOT, nodeSha256)],
    reseal: resealed,
    decode(bytes) {
      const snapshot = decodeSnapshot(bytes, SNAPSHOT_BLOB, nodeSha256);
      expectSame('a snapshot', bytes, encodeSnapshot(snapshot, nodeSha256));
    },
    budget: OBJECTS,
  },
  { name: 'lease', seeds: [LEASE], decode: lookAtLease, budget: OBJECTS },
  {
    name: 'marks',
    seeds: [MARKS],
    reseal: resealed,
    decode: async (bytes) => retain(`marks/${SNAPSHOT.id}-1`, bytes),
    budget: { multiple: 2000, constant: 1 << 22 },
  },
  {
    name: 'policies',
    seeds: [POLICIES],
    reseal: resealed,
    decode: async (bytes) => retain('policies/all-1', bytes),
    budget: { multiple: 2000, constant: 1 << 22 },
    isSlow: true, // Of each time zone the calendar is looked up.
  },
  {
    name: 'damage-note',
    seeds: [NOTE],
    reseal: resealed,
    decode: readNote,
    budget: { multiple: 2000, constant: 1 << 22 },
    isSlow: true, // A repository is opened and verified for each.
  },
  {
    name: 'listing-cache',
    seeds: [cachePart(CACHED)],
    reseal: (bytes) => cachePart(bytes.subarray(CACHE_HEAD_BYTES)),
    decode: listWithCache,
    budget: OBJECTS,
  },
];
