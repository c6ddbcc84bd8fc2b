/**
 * docs/format.md is complete and true: a reader that knows nothing but that page reads what vecsnap wrote, and works out
 * the same cuts and addresses.
 */
import { mkdirSync, readdirSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import fc from 'fast-check';
import { Level } from 'level';
import { MemoryLevel } from 'memory-level';
import { acquireLease, levelBlobStore, memoryBlobStore } from 'vecsnap/blob';
import { inlineCoder, memoryIndex } from 'vecsnap/cas';
import { cutBytes, gearCutter } from 'vecsnap/chunker';
import {
  type Canonical,
  decodeCanonical,
  encodeCanonical,
  formatAddress,
  hashBytes,
  hashRecords,
  LocalMinimumCutter,
  parseAddress,
  toAddress,
  toHex,
} from 'vecsnap/core';
import { nodeDeflate, nodeSha256, systemClock, systemRandom } from 'vecsnap/platform';
import { resolveSource } from 'vecsnap/source';
import { type Environment, type RepositoryConfig, SnapshotManager } from 'vecsnap/snapshot';
import { describe, expect, it } from 'vitest';
import { freshDirectory, joined, seededBytes, u32 } from './support/files.js';
import { readExportedFolder } from './support/independent-folder-reader.js';
import {
  decodeMsgpack,
  encodeMsgpack,
  formatCid,
  gearSizes,
  type IndependentContent,
  IndependentRepository,
  localMinimumSizes,
  murmur3,
  recordHash,
  sha256,
  type Value,
} from './support/independent-reader.js';
import { fileTreeSource, recordSource, type Records, regularFile } from './support/memory-source.js';

const text = (value: string) => new TextEncoder().encode(value);

describe('canonical msgpack', () => {
  const value = fc.letrec<{ value: Canonical }>((tie) => ({
    value: fc.oneof(
      { depthSize: 'small' },
      fc.constantFrom(null, true, false),
      fc.integer(),
      fc.maxSafeInteger(),
      fc.double(),
      fc.bigInt({ min: -(2n ** 63n), max: 2n ** 64n - 1n }),
      fc.string({ unit: 'grapheme', maxLength: 300 }),
      fc.uint8Array({ maxLength: 300 }),
      fc.array(tie('value'), { maxLength: 20 }),
      fc.dictionary(fc.string({ unit: 'grapheme', maxLength: 40 }), tie('value'), { maxKeys: 20 }),
    ),
  })).value;
  /** As the independent encoder takes values: bytes as buffers. */
  const asBuffers = (some: Canonical): Value => {
    if (some instanceof Uint8Array) return Buffer.from(some);
    if (Array.isArray(some)) return (some as readonly Canonical[]).map(asBuffers);
    if (typeof some !== 'object' || some === null) return some;
    return Object.fromEntries(Object.entries(some).map(([key, item]) => [key, asBuffers(item)]));
  };

  it('is what the page says', () => {
    fc.assert(
      fc.property(value, (some) => {
        const bytes = Buffer.from(encodeCanonical(some));
        expect(encodeMsgpack(asBuffers(some))).toEqual(bytes);
        expect(encodeMsgpack(decodeMsgpack(bytes))).toEqual(bytes);
      }),
      { numRuns: 500 },
    );
  });

  it.each([
    [0, '00'],
    [-0, '00'],
    [127, '7f'],
    [128, 'cc80'],
    [256, 'cd0100'],
    [65536, 'ce00010000'],
    [2 ** 32 - 1, 'ceffffffff'],
    [2 ** 32, 'cb41f0000000000000'],
    [2 ** 53 - 1, 'cb433fffffffffffff'],
    [2n ** 53n, 'd30020000000000000'],
    [2n ** 63n, 'cf8000000000000000'],
    [-1, 'ff'],
    [-33, 'd0df'],
    [-129, 'd1ff7f'],
    [-32769, 'd2ffff7fff'],
    [-(2 ** 31) - 1, 'cbc1e0000000200000'],
    [1.5, 'cb3ff8000000000000'],
    [NaN, 'cb7ff8000000000000'],
    ['é', 'a2c3a9'],
    ['a'.repeat(32), `d920${'61'.repeat(32)}`],
    ['a'.repeat(256), `da0100${'61'.repeat(256)}`],
    ['a'.repeat(65536), `db00010000${'61'.repeat(65536)}`],
    [new Uint8Array(0), 'c400'],
    [new Uint8Array(256), `c50100${'00'.repeat(256)}`],
    [new Uint8Array(65536), `c600010000${'00'.repeat(65536)}`],
    [[], '90'],
    [Array.from({ length: 16 }, () => 0), `dc0010${'00'.repeat(16)}`],
    [Array.from({ length: 65536 }, () => 0), `dd00010000${'00'.repeat(65536)}`],
    [{ b: 1, a: 2 }, '82a16102a16201'],
    [{ '\uffff': 1, '😀': 2 }, '82a3efbfbf01a4f09f988002'],
    [null, 'c0'],
    [true, 'c3'],
    [false, 'c2'],
  ] as [Canonical, string][])('has the bytes of the page (%#)', (some, hex) => {
    expect(Buffer.from(encodeCanonical(some)).toString('hex')).toBe(hex);
  });

  it.each([
    'cb3ff0000000000000',
    'cc01',
    'd90161',
    'ca3f800000',
    'cf0000000000000001',
    '82a16201a16101',
    'c1',
  ])('refuses %s, which it would not write', (hex) => {
    expect(() => decodeCanonical(Buffer.from(hex, 'hex'))).toThrow(
      expect.objectContaining({ code: 'ENCODING_INVALID' }),
    );
  });
});

describe('hashes and cuts', () => {
  it('MurmurHash3 of bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array(), (some) => {
        expect(murmur3(Buffer.from(some))).toBe(hashBytes(some));
      }),
    );
  });

  it('the hash of a record without an id', () => {
    const records = fc.uint8Array({ minLength: 1, maxLength: 3000 });
    fc.assert(
      fc.property(records, (some) => {
        const hashes = new Uint32Array(1);
        hashRecords(some, some.length, hashes);
        expect(recordHash(Buffer.from(some))).toBe(hashes[0]);
      }),
    );
  });

  it('local minima, also among equal hashes', () => {
    const hashes = fc.oneof(fc.array(fc.nat(3), { maxLength: 200 }), fc.array(fc.nat(), { maxLength: 200 }));
    fc.assert(
      fc.property(
        hashes,
        fc.integer({ min: 1, max: 12 }),
        fc.integer({ min: 1, max: 40 }),
        (some, window, more) => {
          const options = { window, max: window + more };
          const cutter = new LocalMinimumCutter(options);
          const sizes = [
            ...some.map((hash) => cutter.push(hash)).filter((size) => size > 0),
            ...cutter.finish(),
          ];
          expect(sizes).toEqual(localMinimumSizes(some, window, options.max));
        },
      ),
      { numRuns: 2000 },
    );
  });

  it('gear', () => {
    const options = { min: 256, avg: 1024, max: 4096 };
    for (let seed = 0; seed < 8; seed++) {
      const bytes = joined(seededBytes(30_000 + seed, seed), new Uint8Array(seed * 3000));
      const sizes = [...cutBytes(bytes, gearCutter(options))].map(({ length }) => length);
      expect(gearSizes(Buffer.from(bytes), options)).toEqual(sizes);
    }
  });

  it('addresses as text', () => {
    const address = toAddress(seededBytes(32, 5));
    expect(formatCid(address, 'data')).toBe(formatAddress(address, 'data'));
    expect(formatCid(address, 'node')).toBe(formatAddress(address, 'node'));
  });
});

/** Cuts so small that little content has deep trees and many packs. */
const SMALL: Partial<Omit<RepositoryConfig, 'id'>> = {
  rowGroups: { targetBytes: 512, minRecords: 3, maxRecords: 64 },
  gear: { min: 256, avg: 1024, max: 4096 },
  fixed: { size: 512 },
  nodes: { window: 2, max: 9 },
  packBytes: 64 * 1024,
};

/** Records with every kind of column: text ids, vectors of several dtypes, payloads. */
function richRecords(count: number, changed = -1): Records {
  const ids = Array.from({ length: count }, (_, i) => `record ${String(i).padStart(5, '0')} é😀`);
  const f32 = Buffer.alloc(count * 16);
  for (let i = 0; i < count * 4; i++) f32.writeFloatLE(Math.sin(i) + (i === changed ? 1 : 0), i * 4);
  return {
    count,
    ids,
    schema: {
      id: 'string',
      vectors: [
        { name: 'title', dtype: 'f32', dimension: 4, metric: 'cosine' },
        { name: 'sign', dtype: 'bits', dimension: 11 },
        { name: 'image', dtype: 'f16', dimension: 3 },
      ],
      payload: 'json',
      model: { name: 'a-model', revision: '2' },
    },
    vectors: [new Uint8Array(f32), seededBytes(count * 2, 3), seededBytes(count * 6, 4)],
    payloads: ids.map((id, i) => (i % 7 === 0 ? new Uint8Array(0) : text(JSON.stringify({ id, n: i })))),
  };
}

function numberedRecords(count: number): Records {
  return {
    count,
    ids: BigUint64Array.from({ length: count }, (_, i) => BigInt(i) ** 3n + 2n ** 40n),
    schema: {
      id: 'u64',
      vectors: [{ name: 'v', dtype: 'f64', dimension: 2 }],
      payload: 'bytes',
    },
    vectors: [seededBytes(count * 16, 6)],
    payloads: Array.from({ length: count }, (_, i) => seededBytes(i % 40, i + 1)),
  };
}

function expectRecords(read: IndependentContent, { schema, ids, vectors, payloads = [] }: Records): void {
  expect(read.schema?.['id']).toBe(schema.id);
  expect(read.schema?.['payload']).toBe(schema.payload);
  expect(read.schema?.['vectors']).toEqual(
    schema.vectors.map(({ name, dtype, dimension, metric }) => [name, dtype, dimension, metric ?? null]),
  );
  expect({ ...(read.schema?.['model'] as object | null) }).toEqual({ ...schema.model });
  expect(read.ids).toEqual([...(ids ?? [])]);
  expect(read.vectors.map((column) => column.toString('hex'))).toEqual(
    vectors.map((column) => Buffer.from(column).toString('hex')),
  );
  expect(read.payloads.map((one) => one.toString('hex'))).toEqual(
    payloads.map((one) => Buffer.from(one).toString('hex')),
  );
}

function fbin(rows: number, dimension: number, value: (i: number) => number): Uint8Array {
  const numbers = Buffer.alloc(rows * dimension * 4);
  for (let i = 0; i < rows * dimension; i++) numbers.writeFloatLE(value(i), i * 4);
  return joined(u32(rows, dimension), numbers);
}

describe('a repository', () => {
  const at = freshDirectory();
  const open = (parameters: typeof SMALL | undefined) =>
    SnapshotManager.init({ snapshotDir: at('repo'), workers: 1 }, parameters);
  const take = async (manager: SnapshotManager, name: string) =>
    manager.createSnapshot(await resolveSource(at(name)), name);

  describe.each([
    ['with the defaults', undefined],
    ['with small cuts', SMALL],
  ])('%s', (_, parameters) => {
    it('of a matrix', async () => {
      const bytes = fbin(3000, 24, Math.sin);
      writeFileSync(at('a.fbin'), bytes);
      const equal = fbin(900, 24, () => 0.5);
      writeFileSync(at('equal.fbin'), equal);
      const manager = await open(parameters);
      const snapshots = [await take(manager, 'a.fbin'), await take(manager, 'equal.fbin')];
      await manager.close();
      const repository = new IndependentRepository(at('repo'));
      for (const [i, file] of [bytes, equal].entries()) {
        const read = repository.read(snapshots[i]?.id as string);
        expect(read.checksum).toBe(snapshots[i]?.checksum);
        expect(read.format).toEqual({ name: 'fbin' });
        expect(read.vectors[0]?.equals(file.subarray(8))).toBe(true);
        if (parameters !== undefined) expect(read.levels).toBeGreaterThan(i === 0 ? 2 : 0);
        if (parameters !== undefined) expect(read.groups).toBeGreaterThan(30);
      }
      expect(repository.codecsSeen).toContain(2);
      expect(repository.methodsSeen).toEqual(new Set([0, 2, 3]));
    });

    it('of several snapshots of records with ids and payloads', async () => {
      const manager = await open(parameters);
      const before = richRecords(2000);
      const after = richRecords(2100, 3000);
      const numbered = numberedRecords(700);
      const first = await manager.createSnapshot(recordSource('rich', before), 'first');
      const second = await manager.createIncrementalSnapshot(
        recordSource('rich', after),
        'second',
        first.id,
        { tags: ['a tag'], metadata: { by: 'test', n: [1, 2.5, null] } },
      );
      const third = await manager.createSnapshot(recordSource('numbered', numbered), 'third');
      const none = await manager.createSnapshot(recordSource('none', richRecords(0)), 'none');
      await manager.close();

      const repository = new IndependentRepository(at('repo'));
      expect([...repository.snapshots.keys()]).toEqual([first.id, second.id, third.id, none.id]);
      expectRecords(repository.read(first.id), before);
      expectRecords(repository.read(second.id), after);
      expectRecords(repository.read(third.id), numbered);
      expectRecords(repository.read(none.id), richRecords(0));
      expect({ ...repository.snapshots.get(second.id) }).toMatchObject({
        name: 'second',
        collection: 'rich',
        createdAt: Date.parse(second.createdAt),
        snapshotType: 'incremental',
        baseId: first.id,
        vectorCount: 2100,
        fileCount: 0,
        logicalBytes: second.logicalBytes,
        addedBytes: second.addedBytes,
        nonFiniteCount: second.nonFiniteCount,
        tags: ['a tag'],
        notes: [],
      });
      expect([...repository.codecsSeen]).toEqual(expect.arrayContaining([0, 1, 2, 3]));
    });

    it('of columns that are longer than a chunk may be', async () => {
      const count = 6;
      const wide: Records = {
        count,
        ids: Array.from({ length: count }, (_, i) => `${i}`.padEnd(400_000, 'x')),
        schema: { id: 'string', vectors: [{ name: 'v', dtype: 'u8', dimension: 400_000 }], payload: 'bytes' },
        vectors: [seededBytes(count * 400_000, 1)],
        payloads: Array.from({ length: count }, (_, i) => seededBytes(300_000, i)),
      };
      const manager = await open(parameters);
      const { id } = await manager.createSnapshot(recordSource('wide', wide), 'wide');
      await manager.close();
      expectRecords(new IndependentRepository(at('repo')).read(id), wide);
    });

    it('of columns that are just as long as a chunk may be, and a little longer', async () => {
      const dimensions = [349_525, 349_526]; // Three vectors take one byte less than 2^20, and two more.
      const wide: Records = {
        count: 3,
        ids: BigUint64Array.of(1n, 2n, 3n),
        schema: {
          id: 'u64',
          vectors: dimensions.map((dimension) => ({ name: String(dimension), dtype: 'u8', dimension })),
          payload: 'none',
        },
        vectors: dimensions.map((dimension) => seededBytes(3 * dimension, dimension)),
      };
      const manager = await open(parameters);
      const { id } = await manager.createSnapshot(recordSource('wide', wide), 'wide');
      await manager.close();
      expectRecords(new IndependentRepository(at('repo')).read(id), wide);
    });

    it('of a directory tree', async () => {
      const large = joined(seededBytes(700_000, 8), new Uint8Array(300_000));
      const numbers = seededBytes(90_001, 3).map((byte, i) => (i % 4 === 3 ? byte & 7 : byte));
      mkdirSync(at('tree/empty folder'), { recursive: true });
      mkdirSync(at('tree/sub'));
      writeFileSync(at('tree/large.bin'), large);
      writeFileSync(at('tree/numbers'), numbers);
      writeFileSync(at('tree/sub/empty'), '');
      writeFileSync(at('tree/sub/é.txt'), 'text '.repeat(100));
      writeFileSync(at('tree/sub/pages.sqlite'), joined(text('SQLite format 3\0'), seededBytes(50_000, 1)));
      symlinkSync('../large.bin', at('tree/sub/link'));
      const manager = await open(parameters);
      const snapshot = await take(manager, 'tree');
      await manager.close();
      const repository = new IndependentRepository(at('repo'));
      const read = repository.read(snapshot.id);
      expect(repository.codecsSeen).toContain(4);
      expect(read.format['name']).toBe('directory');
      expect(read.files.map(({ path, type }) => `${type} ${path}`)).toEqual([
        'directory empty folder',
        'file large.bin',
        'file numbers',
        'directory sub',
        'file sub/empty',
        'link sub/link',
        'file sub/pages.sqlite',
        'file sub/é.txt',
      ]);
      const contentOf = (path: string) => read.files.find((file) => file.path === path)?.content;
      expect(contentOf('large.bin')?.equals(large)).toBe(true);
      expect(contentOf('numbers')?.equals(numbers)).toBe(true);
      expect(contentOf('sub/empty')).toHaveLength(0);
      expect(contentOf('sub/é.txt')?.toString()).toBe('text '.repeat(100));
      expect(contentOf('sub/pages.sqlite')?.equals(readFileSync(at('tree/sub/pages.sqlite')))).toBe(true);
      expect(read.files.find(({ type }) => type === 'link')?.target).toBe('../large.bin');
    });
  });

  it('has chunks in the index where the directories of packs have them', async () => {
    const manager = await open(SMALL);
    const { checksum } = await manager.createSnapshot(recordSource('rich', richRecords(2000)), 'first');
    await manager.close();
    const { chunks } = new IndependentRepository(at('repo'));
    const places = Array.from(chunks, ([address, { pack, offset, stored, length, codec, kind }]) => {
      return [
        address,
        [`packs/${pack}`, offset, stored.length, length, codec * 2 + (kind === 'node' ? 1 : 0)],
      ];
    });
    const index = await readIndex(at('repo', 'index'));
    expect(index.places).toEqual(new Map(places as [string, unknown[]][]));
    const packs = readdirSync(at('repo', 'packs'));
    const sizes = packs.map((name) => [`packs/${name}`, statSync(at('repo', 'packs', name)).size] as const);
    expect(index.sizes).toEqual(new Map(sizes));
    expect(index.wholeTrees).toEqual([toHex(parseAddress(checksum).address)]);
  });

  it('stands in an abstract-level database as the page says', async () => {
    const db = new MemoryLevel<string, Uint8Array>({ keyEncoding: 'utf8', valueEncoding: 'view' });
    const blobs = levelBlobStore(db, { pieceBytes: 1000 });
    const manager = await SnapshotManager.init({ environment: environmentOn(blobs) }, SMALL);
    const records = richRecords(500);
    const { id } = await manager.createSnapshot(recordSource('rich', records), 'first');
    for (const [name, bytes] of await readLevelBlobs(db)) {
      mkdirSync(dirname(at('copy', name)), { recursive: true });
      writeFileSync(at('copy', name), bytes);
    }
    expectRecords(new IndependentRepository(at('copy')).read(id), records);
  });

  it('is exported to a folder as the page says', async () => {
    const manager = await open(SMALL);
    const records = richRecords(300);
    const rich = await manager.createSnapshot(recordSource('rich', records), 'rich');
    const numbered = numberedRecords(300);
    const numbers = await manager.createSnapshot(recordSource('numbered', numbered), 'numbered');
    const large = seededBytes(100_000, 2);
    const tree = await manager.createSnapshot(
      fileTreeSource('tree', { name: 'directory', mode: 0o750 }, [
        { type: 'directory', path: 'a', mode: 0o700 },
        regularFile('a/é', 0o640, large),
        { type: 'link', path: 'b', mode: 0o777, target: 'a/é' },
        regularFile('c', 0o600, new Uint8Array(0)),
      ]),
      'tree',
    );
    const folders: string[] = [];
    mkdirSync(at('out'));
    for (const { id } of [rich, numbers, tree])
      folders.push((await manager.exportSnapshot(id, at('out'))).path);
    await manager.close();

    const [richFolder, numbersFolder, treeFolder] = folders.map(readExportedFolder);
    expect(folders[0]).toBe(at('out', `snapshot-${rich.id}`));
    expect(richFolder?.description).toMatchObject({ version: 1, records: 300, files: 0, hasFiles: false });
    expect(richFolder?.description['snapshot']).toEqual(JSON.parse(JSON.stringify(rich)));
    for (const [read, made] of [
      [richFolder, records],
      [numbersFolder, numbered],
    ] as const) {
      expect(read?.description['schema']).toEqual(made.schema);
      expect(read?.ids).toEqual([...(made.ids ?? [])]);
      expect(read?.vectors.map((one) => one.toString('hex'))).toEqual(
        made.vectors.map((one) => Buffer.from(one).toString('hex')),
      );
      expect(read?.payloads).toEqual(made.payloads?.map((one) => Buffer.from(one)));
    }
    expect(treeFolder?.description).toMatchObject({ formatName: 'directory', files: 4, hasFiles: true });
    expect({ ...(treeFolder?.format as object) }).toEqual({ name: 'directory', mode: 0o750 });
    expect(treeFolder?.files).toEqual([
      { type: 1, mode: 0o700, path: 'a' },
      { type: 0, mode: 0o640, path: 'a/é', content: Buffer.from(large) },
      { type: 2, mode: 0o777, path: 'b', target: 'a/é' },
      { type: 0, mode: 0o600, path: 'c', content: Buffer.alloc(0) },
    ]);
  });
});

describe('a lease', () => {
  it('is what the page says', async () => {
    const blobs = memoryBlobStore();
    const holder = {
      operation: 'create',
      pid: 4711,
      host: 'here',
      bootId: 'boot',
      pidNamespace: 'pid:[1]',
      processStart: '99',
      startedAt: 1_700_000_000_000,
    };
    const { name } = await acquireLease(blobs, {
      kind: 'writer',
      identity: holder,
      isAlive: () => true,
      clock: { now: () => 1_700_000_000_123 },
      random: (length) => new Uint8Array(length).fill(7),
      timeoutMs: 0,
    });
    expect(name).toBe(`locks/writer-1700000000123-${'07'.repeat(16)}`);
    const bytes = Buffer.from(await blobs.get(name));
    const value = decodeMsgpack(bytes) as { holder: object };
    expect({ ...value, holder: { ...value.holder } }).toEqual({ version: 1, kind: 'writer', holder });
    expect(encodeMsgpack(value as unknown as Value)).toEqual(bytes);
  });
});

function environmentOn(blobs: Environment['blobs']): Environment {
  return {
    blobs,
    coder: inlineCoder({ sha256: nodeSha256, deflate: nodeDeflate }),
    sha256: nodeSha256,
    clock: systemClock,
    random: systemRandom,
    openIndex: async () => memoryIndex(),
    discardIndex: async () => {},
    lock: async () => ({ release: async () => {} }),
    indexBytes: async () => 0,
    close: async () => {},
  };
}

/** The blobs in a database, by the key layout of the page. */
async function readLevelBlobs(db: MemoryLevel<string, Uint8Array>): Promise<Map<string, Buffer>> {
  const blobs = new Map<string, Buffer>();
  const pieces = new Map<string, Buffer>();
  for await (const [key, value] of db.iterator()) pieces.set(key, Buffer.from(value));
  for (const [key, value] of pieces) {
    if (!key.startsWith('h/')) continue;
    const name = key.slice(2);
    const [size, pieceBytes] = decodeMsgpack(value) as [number, number];
    const numbers = Array.from({ length: Math.ceil(size / pieceBytes) }, (_, i) => i);
    const parts = numbers.map((i) => pieces.get(`p/${name}!${i.toString(16).padStart(8, '0')}`) as Buffer);
    expect(parts.slice(0, -1).every(({ length }) => length === pieceBytes)).toBe(true);
    blobs.set(name, Buffer.concat(parts));
    expect(blobs.get(name)).toHaveLength(size);
  }
  return blobs;
}

/** What the LevelDB index holds, by the keys and values of the page. */
async function readIndex(path: string) {
  const db = new Level<Uint8Array, Uint8Array>(path, { keyEncoding: 'view', valueEncoding: 'view' });
  const rows: [Buffer, Buffer][] = [];
  for await (const [key, value] of db.iterator()) rows.push([Buffer.from(key), Buffer.from(value)]);
  await db.close();
  const packs = rows
    .filter(([key]) => key[0] === 0x70)
    .map(([key, value]) => {
      const [number, size] = decodeVarints(value);
      return { name: key.subarray(1).toString(), number, size };
    });
  const names = new Map(packs.map(({ name, number }) => [number, name]));
  const chunks = rows
    .filter(([key]) => key[0] === 0x63)
    .map(([key, value]) => {
      const [number, ...place] = decodeVarints(value);
      return [key.subarray(1).toString('hex'), [names.get(number), ...place]] as const;
    });
  const wholeTrees = rows.filter(([key]) => key[0] === 0x77);
  expect(rows.filter(([key]) => key[0] === 0x76)).toEqual([[Buffer.from('v'), Buffer.of(2)]]);
  expect(rows).toHaveLength(packs.length + chunks.length + wholeTrees.length + 1);
  for (const [, value] of wholeTrees) expect(value).toHaveLength(0);
  return {
    places: new Map(chunks),
    sizes: new Map(packs.map(({ name, size }) => [name, size])),
    wholeTrees: wholeTrees.map(([key]) => key.subarray(1).toString('hex')),
  };
}

function decodeVarints(bytes: Buffer): number[] {
  const values: number[] = [];
  let [value, scale] = [0, 1];
  for (const byte of bytes) {
    value += (byte % 128) * scale;
    scale *= 128;
    if (byte >= 128) continue;
    values.push(value);
    [value, scale] = [0, 1];
  }
  return values;
}

describe('an older reader', () => {
  const at = freshDirectory();
  const repositoryWith = async (): Promise<string> => {
    const manager = await SnapshotManager.init({ snapshotDir: at('repo'), workers: 1, compression: 'none' });
    await manager.createSnapshot(recordSource('c', richRecords(20)), 'first');
    await manager.close();
    rmSync(at('repo', 'index'), { recursive: true });
    return at('repo');
  };
  /** Seals a changed value again. */
  const reseal = (path: string, change: (value: Record<string, Value>) => void): void => {
    const bytes = readFileSync(path);
    const value = { ...(decodeMsgpack(bytes.subarray(8, -32)) as Record<string, Value>) };
    change(value);
    const body = Buffer.concat([bytes.subarray(0, 8), encodeMsgpack(value)]);
    writeFileSync(path, Buffer.concat([body, sha256(body)]));
  };
  const expectNewer = (work: Promise<unknown>) =>
    expect(work).rejects.toThrow(expect.objectContaining({ code: 'REPOSITORY_NEWER' }));

  it.each([
    ['another format', (config: Record<string, Value>) => (config['format'] = 2)],
    [
      'another way to cut',
      (config: Record<string, Value>) =>
        (config['gear'] = { ...(config['gear'] as object), algorithm: 'fastcdc-gear32-2' }),
    ],
  ])('refuses a config of %s', async (_, change) => {
    reseal(`${await repositoryWith()}/config`, change);
    await expectNewer(SnapshotManager.open({ snapshotDir: at('repo') }));
  });

  it('lists the other snapshots, and does not sweep', async () => {
    await repositoryWith();
    const manager = await SnapshotManager.open({ snapshotDir: at('repo'), workers: 1 });
    const second = await manager.createSnapshot(recordSource('c', richRecords(21)), 'second');
    const [first] = readdirSync(at('repo', 'snapshots'));
    reseal(at('repo', 'snapshots', first as string), (value) => (value['version'] = 2));
    expect((await manager.listSnapshots()).map(({ id }) => id)).toEqual([second.id]);
    expect((await manager.verifyRepository()).problems).toMatchObject([{ code: 'REPOSITORY_NEWER' }]);
    await expectNewer(manager.getSnapshot(first as string));
    await expect(manager.collectGarbage()).rejects.toThrow(
      expect.objectContaining({ code: 'SWEEP_REFUSED' }),
    );
    await manager.close();
  });

  it('names a codec that it does not know', async () => {
    await repositoryWith();
    const [name] = readdirSync(at('repo', 'packs'));
    const path = at('repo', 'packs', name as string);
    const bytes = readFileSync(path);
    const end = bytes.length - 44;
    const start = end - bytes.readUInt32LE(end);
    bytes[start] = 0x7f; // The first chunk is data, so this is codec 127.
    sha256(bytes.subarray(start, end)).copy(bytes, end + 8);
    writeFileSync(path, bytes);
    const manager = await SnapshotManager.open({ snapshotDir: at('repo'), workers: 1 });
    const [{ id } = { id: '' }] = await manager.listSnapshots();
    await expectNewer(
      (async () => {
        for await (const batch of manager.readSnapshot(id)) expect(batch.count).toBeGreaterThan(0);
      })(),
    );
    expect((await manager.verifyRepository()).problems).toMatchObject([{ code: 'REPOSITORY_NEWER' }]);
    await manager.close();
  });

  it('names the version of a pack', async () => {
    await repositoryWith();
    const [name] = readdirSync(at('repo', 'packs'));
    const bytes = readFileSync(at('repo', 'packs', name as string));
    bytes[7] = 2;
    writeFileSync(at('repo', 'packs', name as string), bytes);
    const manager = await SnapshotManager.open({ snapshotDir: at('repo'), workers: 1 });
    expect((await manager.verifyRepository()).problems).toMatchObject([{ code: 'REPOSITORY_NEWER' }]);
    await manager.close();
  });

  it('names the version of an exported folder', async () => {
    await repositoryWith();
    const manager = await SnapshotManager.open({ snapshotDir: at('repo'), workers: 1 });
    const [{ id } = { id: '' }] = await manager.listSnapshots();
    const { path } = await manager.exportSnapshot(id, at());
    const text = readFileSync(`${path}/metadata.json`, 'utf8').replace('"version": 1', '"version": 9');
    writeFileSync(`${path}/metadata.json`, text);
    const lines = readFileSync(`${path}/checksum.sha256`, 'utf8').split('\n').slice(1);
    const line = `${sha256(Buffer.from(text)).toString('hex')}  metadata.json`;
    writeFileSync(`${path}/checksum.sha256`, [line, ...lines].join('\n'));
    await expect(manager.importSnapshot(path)).rejects.toThrow(/its version is 9/);
    await manager.close();
  });
});
