/**
 * What somebody could think of who makes a repository, or a file to take a snapshot of, for others to read: each attack by its name. All
 * checksums fit. A reader may fail, with an error that says so; it never takes memory or time without bound, and never writes outside of
 * its target. Decoders are fuzzed in fuzz.test.ts; docs/SECURITY and decision 11 say what is promised.
 */
import { readFile, stat, writeFile } from 'node:fs/promises';
import { SnapshotManager } from 'vecsnap';
import { memoryBlobStore } from 'vecsnap/blob';
import { checkFixedOptions, checkGearOptions } from 'vecsnap/chunker';
import {
  type Address,
  decodeCanonical,
  encodeCanonical,
  type ErrorCode,
  MAX_DATA_BYTES,
  MAX_NODE_BYTES,
  MAX_VALUES,
  toAddress,
  utf8,
} from 'vecsnap/core';
import {
  decodeNode,
  encodeNode,
  type Entry,
  rowGroupToEntry,
  streamChunkToEntry,
  type TreeReference,
} from 'vecsnap/manifest';
import { nodeDeflate, nodeSha256, portableDeflate } from 'vecsnap/platform';
import { decodeConfig, encodeConfig, newConfig } from 'vecsnap/snapshot';
import { canonicalJson, directoryTarget, folderSource, jsonlSource, jsonlTarget } from 'vecsnap/source';
import { describe, expect, it } from 'vitest';
import { collect } from './support/collect.js';
import { freshDirectory } from './support/files.js';
import { HostileRepository, IDS_ONLY } from './support/hostile-repository.js';
import { memorySource, MemoryTarget } from './support/memory-environment.js';
import { codeOf, memoryOf } from './support/outcomes.js';
import { chunk, OPTIONS, putAll, reopen } from './support/stores.js';

const at = freshDirectory();

/** Restores the only snapshot into a directory that does not exist yet. */
async function restore(repository: HostileRepository, id: string): Promise<void> {
  const manager = await repository.open();
  try {
    await manager.restoreSnapshot(id, directoryTarget(at('out')));
  } finally {
    await manager.close();
  }
}

async function verify(repository: HostileRepository): Promise<readonly string[]> {
  const manager = await repository.open();
  const { problems } = await manager.verifyRepository();
  await manager.close();
  return problems.map(({ code }) => code);
}

/** One group of records with text ids. */
function idsEntry(ids: readonly string[], address: Address, length: number): Entry {
  return rowGroupToEntry({
    key: utf8(ids.at(-1) ?? ''),
    count: ids.length,
    columns: [[{ address, length }]],
  });
}

function idColumn(ids: readonly string[]): Uint8Array {
  const lengths = Uint8Array.from(ids.flatMap((id) => [utf8(id).length, 0, 0, 0]));
  return Buffer.concat([lengths, ...ids.map(utf8)]);
}

describe('a decompression bomb', () => {
  const TEN_MEGABYTES = new Uint8Array(10 * 1024 * 1024);

  it('of a chunk that says it is short', async () => {
    const repository = new HostileRepository();
    const address = repository.deflated(TEN_MEGABYTES, { length: 100 });
    const stream = repository.node(0, [{ key: null, count: 1, bytes: 100, value: address }]);
    const { id } = await repository.snapshot({ files: repository.file('x', stream) });
    expect(
      await memoryOf(async () => expect(await codeOf(restore(repository, id))).toBe('CHUNK_DAMAGED')),
    ).toBeLessThan(TEN_MEGABYTES.length);
  });

  it('of a chunk that says it is long', async () => {
    const repository = new HostileRepository();
    const address = repository.deflated(new Uint8Array(50), { length: MAX_DATA_BYTES });
    const stream = repository.node(0, [{ key: null, count: 1, bytes: MAX_DATA_BYTES, value: address }]);
    const { id } = await repository.snapshot({ files: repository.file('x', stream) });
    expect(await codeOf(restore(repository, id))).toBe('CHUNK_DAMAGED');
    expect(() => portableDeflate.inflate(nodeDeflate.deflate(new Uint8Array(50), 9), 2 ** 40)).toThrow(
      RangeError,
    );
  });

  it.each([
    ['data', MAX_DATA_BYTES],
    ['node', MAX_NODE_BYTES],
  ] as const)('of %s that is longer than any', async (kind, most) => {
    const repository = new HostileRepository();
    repository.chunk(Uint8Array.of(1, 2, 0), { kind, codec: 'planes', length: most + 1 });
    expect(await verify(repository)).toContain('PACK_DAMAGED');
    const whole = new HostileRepository();
    whole.chunk(Uint8Array.of(1, 2, 0), { kind, codec: 'planes', length: most });
    expect(await verify(whole)).toEqual(['CHUNK_DAMAGED']); // It says another address, and the pack is read.
  });

  it('of chunks that are longer than the manifest says', async () => {
    const repository = new HostileRepository();
    const entries = Array.from({ length: 200 }, (_, i) => ({
      key: null,
      count: 1,
      bytes: 16,
      value: repository.constant(i, 2 ** 20),
    }));
    const { id } = await repository.snapshot({ files: repository.file('x', repository.node(0, entries)) });
    const manager = await repository.open();
    const restoring = async () =>
      expect(await codeOf(manager.restoreSnapshot(id, new MemoryTarget()))).toBe('MANIFEST_DAMAGED');
    expect(await memoryOf(restoring)).toBeLessThan(20 * 2 ** 20);
  });

  it('of a node that is all small values', async () => {
    const repository = new HostileRepository();
    const plain = new Uint8Array(3 * MAX_VALUES).map((_, i) => [0x81, 0xa0, 0xc0][i % 3] as number); // {"": null}
    plain.set([0x92, 0x00, 0xdd, 0x00, 0x1f, 0xff, 0xf0]);
    const root = repository.deflated(plain, { kind: 'node' });
    const { id } = await repository.snapshot({ files: { root, count: 1, bytes: 0 } });
    expect(await codeOf(restore(repository, id))).toBe('MANIFEST_DAMAGED');
    expect(() => decodeCanonical(plain)).toThrow(/more than/);
  });

  it('of a row group that repeats one chunk', async () => {
    const repository = new HostileRepository();
    const reference = { address: repository.constant(7, MAX_DATA_BYTES), length: MAX_DATA_BYTES };
    const columns = [new Array<typeof reference>(1000).fill(reference)];
    const records = repository.node(0, [rowGroupToEntry({ key: utf8('a'), count: 1, columns })]);
    const { id } = await repository.snapshot({ schema: IDS_ONLY, records });
    const manager = await repository.open();
    expect(await codeOf(manager.restoreSnapshot(id, new MemoryTarget()))).toBe('MANIFEST_DAMAGED');
  });

  it('of an exported folder whose payloads are long and compress well', async () => {
    const { folderTarget } = await import('vecsnap/source');
    const payload = new Uint8Array(1024 * 1024).fill(0x20);
    const records = Array.from({ length: 40 }, (_, i) => ({
      id: String(i).padStart(2, '0'),
      vectors: [],
      payload,
    }));
    const schema = { id: 'string', vectors: [], payload: 'bytes' } as const;
    const open = await memorySource({ schema, records, sizes: [1] }).open();
    await folderTarget(at('folder'), {}).write(open, {});
    expect((await stat(at('folder', 'metadata.bin.gz'))).size).toBeLessThan(300_000);
    const source = await (await folderSource(at('folder'))).open();
    const batches = await collect(source.records?.() ?? []);
    expect(Math.max(...batches.map(({ count }) => count))).toBeLessThan(10);
    expect(batches.reduce((sum, { count }) => sum + count, 0)).toBe(40);
  });
});

describe('a length or a count that lies', () => {
  it.each([
    ['an array of 2^32 − 1 items', [0xdd, 0xff, 0xff, 0xff, 0xff, 0xc0]],
    ['a map of 2^32 − 1 pairs', [0xdf, 0xff, 0xff, 0xff, 0xff, 0xa0, 0xc0]],
    ['bytes of 2^32 − 1', [0xc6, 0xff, 0xff, 0xff, 0xff, 0x00]],
    ['text of 2^32 − 1 bytes', [0xdb, 0xff, 0xff, 0xff, 0xff, 0x61]],
    ['nesting of 65 levels', [...new Array<number>(65).fill(0x91), 0xc0]],
  ])('is found before there is memory for it: %s', async (_, bytes) => {
    const took = await memoryOf(async () =>
      expect(() => decodeCanonical(Uint8Array.from(bytes))).toThrow(/msgpack|decode/),
    );
    expect(took).toBeLessThan(2 ** 20);
  });

  it('of more values than anything has', () => {
    const many = new Array<null>(MAX_VALUES - 1).fill(null);
    expect(decodeCanonical(encodeCanonical(many))).toHaveLength(many.length);
    expect(() => encodeCanonical([...many, null])).toThrow(/more than/);
  });

  it('of the bytes of a chunk, that a writer finds too', async () => {
    const store = await reopen(memoryBlobStore(), undefined, OPTIONS);
    const long = chunk(1, MAX_DATA_BYTES + 1);
    expect(await codeOf(putAll(store, [long]))).toBe('ENCODING_INVALID');
    await store.close();
  });

  it('of a snapshot, about what its manifest has', async () => {
    const repository = new HostileRepository();
    const files = repository.file('x', repository.stream(utf8('hello')));
    const { id } = await repository.snapshot(
      { files },
      { vectorCount: Number.MAX_SAFE_INTEGER, fileCount: 10 ** 15 },
    );
    expect(await codeOf(restore(repository, id))).toBe('MANIFEST_DAMAGED');
    const other = new HostileRepository();
    await other.snapshot({ files: other.file('x', other.stream(utf8('hello'))) }, { logicalBytes: 4 });
    expect(await verify(other)).toEqual(['MANIFEST_DAMAGED']);
  });

  it.each(['count', 'bytes'] as const)('of a manifest, about the %s of a tree', async (total) => {
    const make = async (): Promise<{ repository: HostileRepository; id: string }> => {
      const repository = new HostileRepository();
      const files = repository.file('x', repository.stream(utf8('hello')));
      const { id } = await repository.snapshot({ files: { ...files, [total]: 10 ** 15 } });
      return { repository, id };
    };
    const { repository, id } = await make();
    expect(await codeOf(restore(repository, id))).toBe('MANIFEST_DAMAGED');
    expect(await verify((await make()).repository)).toEqual(['MANIFEST_DAMAGED']);
  });

  it('of a file, about its stream', async () => {
    const repository = new HostileRepository();
    const stream = { ...repository.stream(utf8('hello')), bytes: 6 };
    const { id } = await repository.snapshot({ files: repository.file('x', stream) });
    expect(await codeOf(restore(repository, id))).toBe('MANIFEST_DAMAGED');
    await expect(stat(at('out'))).rejects.toThrow('ENOENT');
  });

  it.each([4, 6, 10 ** 15])('of a file, about its only chunk: %d in place of 5', async (length) => {
    const make = async (): Promise<{ repository: HostileRepository; id: string }> => {
      const repository = new HostileRepository();
      const chunk = { address: repository.chunk(utf8('hello')), length };
      const { id } = await repository.snapshot({ files: repository.fileOfChunk('x', chunk) });
      return { repository, id };
    };
    const { repository, id } = await make();
    expect(await codeOf(restore(repository, id))).toBe('MANIFEST_DAMAGED');
    await expect(stat(at('out'))).rejects.toThrow('ENOENT');
    const manager = await (await make()).repository.open();
    const { lost } = await manager.restoreSnapshot(id, new MemoryTarget(), { allowDamaged: true });
    expect(lost?.files).toEqual([{ count: 1, path: 'x' }]);
    await manager.close();
    expect(await verify((await make()).repository)).toEqual(['MANIFEST_DAMAGED']);
  });

  it('of a chunk of which somebody said the truth before', async () => {
    const repository = new HostileRepository();
    const address = repository.chunk(utf8('hello'));
    const { id } = await repository.snapshot({ files: repository.fileOfChunk('x', { address, length: 6 }) });
    await repository.snapshot({ files: repository.fileOfChunk('x', { address, length: 5 }) }); // Verified first.
    const manager = await repository.open();
    const { problems } = await manager.verifyRepository();
    expect(problems.map(({ code, snapshots }) => [code, snapshots])).toEqual([['MANIFEST_DAMAGED', [id]]]);
    await manager.close();
  });

  it('of chunks, is found by verify, and who says the truth of them is not accused', async () => {
    const repository = new HostileRepository();
    const address = repository.chunk(utf8('hello'));
    const streamOf = (bytes: number) => repository.node(0, [streamChunkToEntry({ address, length: bytes })]);
    const column = idColumn(['a', 'b']);
    const ids = repository.chunk(column);
    const groupOf = (length: number) => repository.node(0, [idsEntry(['a', 'b'], ids, length)]);
    const lies: string[] = [];
    for (const [length, lists] of [
      [5, false],
      [6, false],
      [5, true],
      [7, true],
    ] as const) {
      const files = lists
        ? repository.fileOfChunk('x', { address, length })
        : repository.file('x', streamOf(length));
      const { id } = await repository.snapshot({ files });
      if (length !== 5) lies.push(id);
    }
    await repository.snapshot({ schema: IDS_ONLY, records: groupOf(column.length) });
    lies.push((await repository.snapshot({ schema: IDS_ONLY, records: groupOf(column.length + 1) })).id);
    const manager = await repository.open();
    const all = await manager.verifyRepository();
    expect(all.problems.map(({ code, snapshots }) => [code, snapshots])).toEqual(
      lies.toReversed().map((id) => ['MANIFEST_DAMAGED', [id]]), // The newest first, as snapshots are listed.
    );
    for (const { id } of await manager.listSnapshots())
      expect((await manager.verifySnapshot(id)).ok, id).toBe(!lies.includes(id));
    await manager.close();
  });
});

describe('a tree', () => {
  const A = toAddress(new Uint8Array(32).fill(1));

  it('of more than 40 levels', () => {
    const entry = { key: null, count: 1, bytes: 1, value: A };
    expect(decodeNode(encodeNode({ level: 40, entries: [entry] })).level).toBe(40);
    expect(() => decodeNode(encodeNode({ level: 41, entries: [entry] }))).toThrow(/level/);
  });

  it('whose children are not of the level below', async () => {
    const repository = new HostileRepository();
    const leaf = repository.stream(utf8('x'));
    const root = repository.node(2, [{ key: null, count: 1, bytes: 1, value: leaf.root }]);
    const { id } = await repository.snapshot({ files: repository.file('x', root) });
    expect(await codeOf(restore(repository, id))).toBe('MANIFEST_DAMAGED');
  });

  it('with the same child again and again, where keys ascend', async () => {
    const repository = new HostileRepository();
    const column = idColumn(['a']);
    const leaf = repository.node(0, [idsEntry(['a'], repository.chunk(column), column.length)]);
    const child = { key: utf8('a'), count: 1, bytes: column.length, value: leaf.root };
    expect(() => decodeNode(encodeNode({ level: 1, entries: [child, child] }))).toThrow(/ascend/);
    const liar = repository.node(1, [child, { ...child, key: utf8('b') }]);
    const { id } = await repository.snapshot({ schema: IDS_ONLY, records: liar });
    const manager = await repository.open();
    expect(await codeOf(manager.restoreSnapshot(id, new MemoryTarget()))).toBe('MANIFEST_DAMAGED');
  });

  /** A million times a million times … nothing: it would be walked for ever. */
  it('of billions of children that hold nothing', async () => {
    const repository = new HostileRepository();
    const empty = repository.node(0, []);
    const nothing = { key: null, count: 0, bytes: 0, value: empty.root };
    expect(() => decodeNode(encodeNode({ level: 1, entries: [nothing] }))).toThrow(/count/);
    const root = repository.node(1, [{ key: null, count: 1, bytes: 0, value: empty.root }]);
    const { id } = await repository.snapshot({ files: repository.file('x', { ...root, bytes: 0 }) });
    expect(await codeOf(restore(repository, id))).toBe('MANIFEST_DAMAGED');
  });

  /** Equal content may well stand in a stream a billion times, so it is no damage; but only what is asked for is read. */
  async function laughs(repository: HostileRepository, seed: string): Promise<TreeReference> {
    let tree = repository.stream(utf8(seed));
    for (let level = 1; level <= 4; level++) {
      const { root, count, bytes } = tree;
      tree = repository.node(level, new Array<Entry>(1024).fill({ key: null, count, bytes, value: root }));
    }
    return tree;
  }

  it('of a billion equal chunks is verified in no time, and read no further than is asked', async () => {
    const repository = new HostileRepository();
    const tree = await laughs(repository, 'ha');
    expect(tree.bytes).toBe(2 * 1024 ** 4);
    const { id } = await repository.snapshot({ files: repository.file('x', tree) });
    const manager = await repository.open();
    expect((await manager.verifyRepository()).ok).toBe(true);
    await manager.collectGarbage({ dryRun: true });
    const first: Uint8Array[] = [];
    const reading = manager.restoreSnapshot(id, {
      place: 'test',
      prepare: async () => {},
      async write({ files }) {
        for await (const file of files?.() ?? []) {
          if (file.type !== 'file') continue;
          for await (const piece of file.read()) if (first.push(piece) > 100) throw new Error('enough');
        }
        return { records: 0, files: 0, bytes: 0 };
      },
    });
    await expect(reading).rejects.toThrow('enough');
    await manager.close();
  });

  it('of a billion equal groups is not compared with another', async () => {
    const repository = new HostileRepository();
    const schema = {
      id: 'none',
      vectors: [{ name: 'v', dtype: 'u8', dimension: 2 }],
      payload: 'none',
    } as const;
    const ids: string[] = [];
    for (const seed of ['ha', 'ho']) {
      const reference = { address: repository.chunk(utf8(seed)), length: 2 };
      let tree = repository.node(0, [rowGroupToEntry({ key: 1, count: 1, columns: [[reference]] })]);
      for (let level = 1; level <= 4; level++) {
        const { root, count, bytes } = tree;
        tree = repository.node(level, new Array<Entry>(1100).fill({ key: 1, count, bytes, value: root }));
      }
      ids.push((await repository.snapshot({ schema, records: tree })).id);
    }
    const manager = await repository.open();
    expect(await codeOf(manager.diffSnapshots(ids[0] as string, ids[1] as string))).toBe('MANIFEST_DAMAGED');
    await manager.close();
  });
});

describe('a delta', () => {
  const NAMES = 'abcdefghijklmnopqrstuvwxyz';
  const addressOf = (name: string): Address => nodeSha256(utf8(name));
  /** Copies the whole of its first base, of four bytes. */
  const COPY = Uint8Array.of(1, 0, 1, 0, 4, 0, 0);

  async function read(repository: HostileRepository, address: Address, length = 4): Promise<ErrorCode> {
    const stream = repository.node(0, [{ key: null, count: 1, bytes: length, value: address }]);
    const { id } = await repository.snapshot({ files: repository.file('x', stream) });
    return codeOf(restore(repository, id));
  }

  it('that copies from itself, or in a circle', async () => {
    const itself = new HostileRepository();
    itself.chunk(COPY, { codec: 'delta', length: 4, address: addressOf('a'), bases: [addressOf('a')] });
    expect(await read(itself, addressOf('a'))).toBe('CHUNK_DAMAGED');
    const circle = new HostileRepository();
    for (const [i, name] of [...NAMES].entries()) {
      const base = addressOf(NAMES[(i + 1) % NAMES.length] as string);
      circle.chunk(COPY, { codec: 'delta', length: 4, address: addressOf(name), bases: [base] });
    }
    expect(await read(circle, addressOf('a'))).toBe('CHUNK_DAMAGED');
    const needed = circleOf(2);
    const stream = needed.node(0, [{ key: null, count: 1, bytes: 4, value: addressOf('0') }]);
    await needed.snapshot({ files: needed.file('x', stream) });
    expect(await verify(needed)).toContain('CHUNK_DAMAGED');
  });

  function circleOf(size: number): HostileRepository {
    const repository = new HostileRepository();
    for (let i = 0; i < size; i++)
      repository.chunk(COPY, {
        codec: 'delta',
        length: 4,
        address: addressOf(`${i}`),
        bases: [addressOf(`${(i + 1) % size}`)],
      });
    return repository;
  }

  it('at the end of a chain that is too long', async () => {
    for (const [length, code] of [
      [48, undefined],
      [49, 'CHUNK_DAMAGED'],
      [5000, 'CHUNK_DAMAGED'],
    ] as const) {
      const repository = new HostileRepository();
      const plain = utf8('base');
      let base = repository.chunk(plain);
      for (let i = 0; i < length; i++)
        base = repository.chunk(COPY, {
          codec: 'delta',
          length: 4,
          address: nodeSha256(utf8(`${i}`)),
          bases: [base],
        });
      // Their addresses are not those of what they tell, which a reader may be asked to overlook.
      await repository.write();
      const store = await reopen(repository.blobs, undefined, { verifyChecksum: false });
      const reading = store.get(base);
      if (code === undefined) expect(await reading).toEqual(plain);
      else expect(await codeOf(reading)).toBe(code);
      await store.close();
    }
  });

  it('that reaches every link of a long chain at once, so that each is near', async () => {
    const repository = new HostileRepository();
    let last = repository.chunk(utf8('base'));
    const links: Address[] = [];
    for (let i = 0; i < 3000; i++) {
      const bases = i % 60 === 59 ? links.slice(-59) : [last];
      last = repository.chunk(COPY, { codec: 'delta', length: 4, address: nodeSha256(utf8(`${i}`)), bases });
      links.push(last);
    }
    expect(await read(repository, last)).toBe('CHUNK_DAMAGED');
  });

  it('of more chunks than any copies from', async () => {
    const repository = new HostileRepository();
    const bases = Array.from({ length: 65 }, (_, i) => repository.chunk(utf8(`base ${i}`)));
    repository.chunk(COPY, { codec: 'delta', length: 4, address: addressOf('a'), bases });
    expect(await verify(repository)).toContain('PACK_DAMAGED');
  });

  it('of a few bytes that needs gigabytes to be told', async () => {
    const repository = new HostileRepository();
    const bases = Array.from({ length: 65 }, (_, i) =>
      repository.chunk(Uint8Array.of(1, 2, i), {
        codec: 'planes',
        length: MAX_DATA_BYTES,
        address: addressOf(`${i}`),
      }),
    );
    const inner = repository.chunk(COPY, {
      codec: 'delta',
      length: 4,
      address: addressOf('b'),
      bases: bases.slice(0, 33),
    });
    repository.chunk(COPY, {
      codec: 'delta',
      length: 4,
      address: addressOf('a'),
      bases: [inner, ...bases.slice(33)],
    });
    const took = await memoryOf(async () =>
      expect(await read(repository, addressOf('a'))).toBe('CHUNK_DAMAGED'),
    );
    expect(took).toBeLessThan(2 ** 24);
  });

  it.each([
    ['behind the end of its base', [1, 0, 1, 0, 4, 2, 0]],
    ['before the beginning of its base', [1, 0, 1, 0, 4, 1, 0]],
    ['more than the chunk holds', [1, 0, 1, 0, 5, 0, 0]],
    ['with a step that copies nothing', [1, 0, 1, 4, 0, 0, 0]],
    ['with more steps than bytes', [1, 0, 0xff, 0xff, 0xff, 0x7f, 0]],
    ['in units of nothing', [0, 0, 1, 0, 4, 0, 0]],
  ])('that copies %s', async (_, bytes) => {
    const repository = new HostileRepository();
    const base = repository.chunk(utf8('base'));
    repository.chunk(Uint8Array.from(bytes), {
      codec: 'delta',
      length: 4,
      address: addressOf('a'),
      bases: [base],
    });
    expect(await read(repository, addressOf('a'))).toBe('CHUNK_DAMAGED');
  });
});

describe('keys with a meaning in JavaScript', () => {
  const METADATA = JSON.parse(
    '{"__proto__":{"polluted":true},"constructor":{"prototype":{"polluted":true}},"toString":1}',
  ) as {
    readonly [key: string]: never;
  };
  const isPolluted = (): boolean =>
    'polluted' in {} || 'polluted' in Object || typeof {}.toString !== 'function';

  it('are data in msgpack', () => {
    const decoded = decodeCanonical(encodeCanonical(METADATA)) as object;
    expect(Object.keys(decoded)).toEqual(['__proto__', 'constructor', 'toString']);
    expect(Object.getPrototypeOf(decoded)).toBeNull();
    expect(isPolluted()).toBe(false);
  });

  it('are data in the metadata of a snapshot', async () => {
    const repository = new HostileRepository();
    await repository.snapshot(
      { files: repository.file('x', repository.stream(utf8('x'))) },
      { metadata: METADATA },
    );
    const manager = await repository.open();
    const [snapshot] = await manager.listSnapshots();
    expect(JSON.stringify(snapshot?.metadata)).toBe(JSON.stringify(METADATA));
    expect(isPolluted()).toBe(false);
    await manager.close();
  });

  it('are data in JSON, however long its numbers', () => {
    for (const number of ['1', '12345678901234567890', '1.50e3', '-0']) {
      const text = `{"__proto__":{"x":${number}},"a":[{"__proto__":1}],"constructor":null}`;
      expect(Object.keys(JSON.parse(canonicalJson(text)) as object)).toEqual([
        '__proto__',
        'a',
        'constructor',
      ]);
    }
    expect(isPolluted()).toBe(false);
  });

  it('come back from JSON Lines as they were', async () => {
    const line =
      '{"id":"__proto__","vector":[1],"metadata":{"__proto__":{"polluted":true},"n":12345678901234567890}}\n';
    await writeFile(at('in.jsonl'), line);
    const manager = await SnapshotManager.init({ snapshotDir: at('repo') });
    const { id } = await manager.createSnapshot(jsonlSource(at('in.jsonl')), 'n');
    await manager.restoreSnapshot(id, jsonlTarget(at('out.jsonl')));
    expect(await readFile(at('out.jsonl'), 'utf8')).toBe(line);
    const named = '{"__proto__":1,"constructor":2,"id":7,"vectors":{"__proto__":[1],"toString":[2]}}\n';
    await writeFile(at('named.jsonl'), named);
    const other = await manager.createSnapshot(jsonlSource(at('named.jsonl')), 'n');
    await manager.restoreSnapshot(other.id, jsonlTarget(at('out2.jsonl')));
    expect(JSON.parse(await readFile(at('out2.jsonl'), 'utf8'))).toEqual(JSON.parse(named));
    expect(isPolluted()).toBe(false);
    await manager.close();
  });
});

describe('a config that asks for absurd sizes', () => {
  const config = newConfig((length) => new Uint8Array(length));
  it.each([
    ['chunks of a terabyte', { gear: { min: 64, avg: 2 ** 39, max: 2 ** 40 } }],
    ['chunks of 17 MB', { gear: { ...config.gear, max: 2 ** 24 + 1 } }],
    ['pages of a terabyte', { fixed: { size: 2 ** 40 } }],
    ['packs of a terabyte', { packBytes: 2 ** 40 }],
    ['groups of a billion records', { rowGroups: { ...config.rowGroups, maxRecords: 10 ** 9 } }],
    ['nodes of a billion entries', { nodes: { window: 10 ** 9, max: 10 ** 9 + 1 } }],
    ['no sizes at all', { nodes: { window: null, max: {} } }],
  ])('is refused: %s', (_, absurd) => {
    const bytes = encodeConfig({ ...config, ...(absurd as object) }, nodeSha256);
    expect(() => decodeConfig(bytes, 'repo', nodeSha256)).toThrow(
      expect.objectContaining({ code: 'REPOSITORY_DAMAGED' }),
    );
  });

  it('says what it takes', () => {
    expect(() => checkGearOptions({ min: 64, avg: 2 ** 23, max: MAX_DATA_BYTES })).not.toThrow();
    expect(() => checkFixedOptions({ size: MAX_DATA_BYTES + 1 })).toThrow(RangeError);
  });
});
