/** Taking a snapshot: what a source may rely on, and what it is refused for. */
import { setTimeout as sleep } from 'node:timers/promises';
import { beforeEach, describe, expect, it } from 'vitest';
import { concatBytes, type RecordBatch, type Schema, utf8, VecsnapError } from 'vecsnap/core';
import { SnapshotManager } from 'vecsnap/snapshot';
import type { FileEntry, OpenSource, Source } from 'vecsnap/source';
import { seededBytes } from './support/files.js';
import { memoryEnvironment, memorySource } from './support/memory-environment.js';
import { type TestRecord, toBatch } from './support/records.js';

const SCHEMA: Schema = { id: 'u64', payload: 'none', vectors: [{ name: 'v', dtype: 'u8', dimension: 4 }] };
const PARAMETERS = { fixed: { size: 100 }, gear: { min: 64, avg: 256, max: 1024 } };

function record(n: number): TestRecord {
  return { id: BigInt(n), vectors: [seededBytes(4, n)], payload: new Uint8Array(0) };
}

/** A source of any content, also such as no source should give. */
function sourceOf(content: Partial<OpenSource>): Source {
  return {
    place: 'memory:test',
    collection: 'test',
    open: async () => ({
      format: { name: 'test' },
      schema: undefined,
      records: undefined,
      files: undefined,
      expected: {},
      notes: [],
      confirmUnchanged: async () => {},
      close: async () => {},
      ...content,
    }),
  };
}

function ofBatches(schema: Schema, batches: readonly RecordBatch[]): Source {
  return sourceOf({
    schema,
    records: async function* () {
      yield* batches;
    },
  });
}

function ofFiles(files: readonly FileEntry[]): Source {
  return sourceOf({
    files: async function* () {
      yield* files;
    },
  });
}

function directory(path: string, mode = 0o755): FileEntry {
  return { type: 'directory', path, mode };
}

let manager: SnapshotManager;
beforeEach(async () => {
  manager = await SnapshotManager.init({ environment: memoryEnvironment() }, PARAMETERS);
});

it('gives every batch back, once', async () => {
  const released = [0, 0, 0, 0];
  const batches = [12, 0, 1, 300].map((count, b) =>
    toBatch(
      SCHEMA,
      Array.from({ length: count }, (_, i) => record(b * 1000 + i)),
      () => (released[b] = (released[b] ?? 0) + 1),
    ),
  );
  expect((await manager.createSnapshot(ofBatches(SCHEMA, batches), 'any')).vectorCount).toBe(313);
  expect(released).toEqual([1, 1, 1, 1]);
});

describe('numbers that are not finite', () => {
  const DTYPES = {
    f64: {
      bytes: 8,
      finite: (n: number) => new Uint8Array(Float64Array.of(n).buffer),
      odd: [0x7ff0, 0xfff8],
    },
    f32: {
      bytes: 4,
      finite: (n: number) => new Uint8Array(Float32Array.of(n).buffer),
      odd: [0x7f80, 0xffc0],
    },
    bf16: {
      bytes: 2,
      finite: (n: number) => new Uint8Array(Float32Array.of(n).buffer).slice(2),
      odd: [0x7f80, 0xff81],
    },
    f16: { bytes: 2, finite: (n: number) => halfOf(n), odd: [0x7c00, 0xfe00] },
  } as const;
  const DIMENSION = 24;

  /** A number between 2^-14 and 1, as f16. */
  function halfOf(n: number): Uint8Array {
    const exponent = Math.floor(Math.log2(n));
    const bits = ((exponent + 15) << 10) | Math.floor((n / 2 ** exponent - 1) * 1024);
    return Uint8Array.of(bits & 0xff, bits >>> 8);
  }

  /** A vector of numbers that depend on `seed`, some of them NaN or infinite. */
  function vector(dtype: keyof typeof DTYPES, seed: number, odd: number): Uint8Array {
    const { bytes, finite, odd: heads } = DTYPES[dtype];
    const random = seededBytes(DIMENSION, seed);
    const numbers = Array.from(random, (byte) => finite((byte + 1) / 300));
    for (let i = 0; i < odd; i++) {
      const head = heads[i % 2] as number;
      numbers[(seed + 7 * i) % DIMENSION] = concatBytes([
        new Uint8Array(bytes - 2),
        Uint8Array.of(head & 0xff, head >>> 8),
      ]);
    }
    return concatBytes(numbers);
  }

  it.each(Object.keys(DTYPES) as (keyof typeof DTYPES)[])(
    'are counted, in chunks of every form: %s',
    async (dtype) => {
      const schema: Schema = {
        id: 'u64',
        payload: 'none',
        vectors: [{ name: 'v', dtype, dimension: DIMENSION }],
      };
      const take = async (odd: readonly number[], version: number, baseId?: string) => {
        const records = odd.map((count, n): TestRecord => {
          const seed = n * 31 + (n % 9 === 0 ? version : 0);
          return { id: BigInt(n), vectors: [vector(dtype, seed, count)], payload: new Uint8Array(0) };
        });
        const source = ofBatches(schema, [toBatch(schema, records)]);
        const taken = baseId
          ? await manager.createIncrementalSnapshot(source, 'any', baseId)
          : await manager.createSnapshot(source, 'any');
        expect(taken.nonFiniteCount).toBe(odd.reduce((sum, count) => sum + count, 0));
        return taken.id;
      };
      const none = Array.from({ length: 900 }, () => 0);
      const some = none.map((_, n) => (n % 9 === 0 ? n % 5 : 0)); // In records that change.
      const many = none.map((_, n) => (n % 90 < 9 ? n % 4 : 0));
      const first = await take(none, 0);
      const second = await take(none, 1, first);
      const third = await take(some, 2, second);
      await take(some, 3, third);
      await take(many, 4, third);
      await take(none, 5, third);
      const kept = none.map((_, n) => (n % 18 === 4 ? 3 : 0)); // In records that do not change, and are copied.
      await take(kept, 7, await take(kept, 6));
    },
  );
});

it('numbers that are finite as others are counted when the same bytes are taken for them', async () => {
  const ofDtype = (dtype: 'f16' | 'bf16'): Source => {
    const schema: Schema = { id: 'u64', payload: 'none', vectors: [{ name: 'v', dtype, dimension: 40 }] };
    const numbers = Uint8Array.from({ length: 80 }, (_, i) => (i % 2 === 1 ? 0x7c : 0));
    const records = Array.from({ length: 50 }, (_, n) => ({ ...record(n), vectors: [numbers] }));
    return ofBatches(schema, [toBatch(schema, records)]);
  };
  const first = await manager.createSnapshot(ofDtype('bf16'), 'any');
  expect(first.nonFiniteCount).toBe(0);
  const second = await manager.createIncrementalSnapshot(ofDtype('f16'), 'any', first.id);
  expect(second.nonFiniteCount).toBe(50 * 40);
});

describe('a source is refused', () => {
  async function refused(source: Source, code: string): Promise<void> {
    const before = await manager.totalSize();
    await expect(manager.createSnapshot(source, 'any')).rejects.toThrow(
      expect.objectContaining({ code, place: expect.any(String), remedy: expect.any(String) }),
    );
    expect(await manager.totalSize()).toBe(before);
    expect(await manager.listSnapshots()).toEqual([]);
  }

  it.each<[string, readonly TestRecord[], string]>([
    ['for two records of one id', [record(1), record(2), record(2)], 'SOURCE_DUPLICATE_ID'],
    ['for records out of order', [record(2), record(1)], 'SOURCE_UNORDERED'],
  ])('%s', async (_, records, code) => {
    await refused(ofBatches(SCHEMA, [toBatch(SCHEMA, records)]), code);
    await refused(
      ofBatches(
        SCHEMA,
        records.map((one) => toBatch(SCHEMA, [one])),
      ),
      code,
    );
  });

  it('for a batch that contradicts its schema', async () => {
    const batch = toBatch(SCHEMA, [record(1), record(2)]);
    await refused(ofBatches(SCHEMA, [{ ...batch, vectors: [new Uint8Array(7)] }]), 'SOURCE_INVALID');
  });

  it.each(['', '/etc', '../a', 'a/../b', 'a//b', 'a\0', 'a\ud800'])('for the path %j', async (path) => {
    await refused(ofFiles([directory(path)]), 'SOURCE_INVALID');
  });

  it.each([-1, 0o10000, 0.5])('for the mode %d', async (mode) => {
    await refused(ofFiles([directory('a', mode)]), 'SOURCE_INVALID');
  });

  it.each([
    ['a', 'a'],
    ['b', 'a'],
    ['\u{10000}', '\uffff'],
  ])('for the path %j before %j', async (first, second) => {
    await refused(ofFiles([directory(first), directory(second)]), 'SOURCE_UNORDERED');
  });
});

describe('a source', () => {
  it('is closed as often as it is opened, also when it comes to nothing or is opened again', async () => {
    let [opened, closed] = [0, 0];
    let changes = 0;
    const changed = () => new VecsnapError('SOURCE_CHANGED', 'The source changed.', { remedy: 'Wait.' });
    const source = sourceOf({
      close: async () => void closed++,
      confirmUnchanged: async () => {
        if (changes-- > 0) throw changed();
      },
    });
    const counted: Source = { ...source, open: () => (opened++, source.open()) };
    await manager.createSnapshot(counted, 'first');
    expect([opened, closed]).toEqual([1, 1]);
    const unknown = manager.createIncrementalSnapshot(counted, 'second', '01m8aa2dx6atwcnzgz4wkgxyb6');
    await expect(unknown).rejects.toThrow(expect.objectContaining({ code: 'SNAPSHOT_UNKNOWN' }));
    expect([opened, closed]).toEqual([2, 2]);
    changes = 2;
    await manager.createSnapshot(counted, 'third');
    expect([opened, closed]).toEqual([5, 5]);
  });

  it('that cannot be opened leaves the repository free', async () => {
    const missing = new VecsnapError('SOURCE_MISSING', 'It is gone.', { remedy: 'Look for it.' });
    const source: Source = { ...sourceOf({}), open: () => Promise.reject(missing) };
    await expect(manager.createSnapshot(source, 'any')).rejects.toBe(missing);
    expect((await manager.createSnapshot(ofFiles([]), 'next')).name).toBe('next');
  });
});

describe('a file', () => {
  const database = concatBytes([utf8('SQLite format 3\0'), seededBytes(2000, 1)]);

  it.each([
    ['with pages', database],
    ['without', seededBytes(5000, 2)],
    ['shorter than what tells pages', seededBytes(9, 3)],
  ])('%s has one checksum whatever the pieces it comes in', async (_, bytes) => {
    const checksums = new Set<string>();
    for (const sizes of [[0.1], [0.3, 1], [1], [1000]]) {
      const files = [{ path: 'file', mode: 0o644, bytes }];
      checksums.add((await manager.createSnapshot(memorySource({ files, sizes }), 'any')).checksum);
    }
    expect(checksums.size).toBe(1);
  });

  it('is closed when the take is aborted in the middle of it', async () => {
    const controller = new AbortController();
    let closed = false;
    const read = async function* (): AsyncGenerator<Uint8Array> {
      try {
        for (let i = 0; ; i++) {
          if (i === 100) controller.abort();
          yield seededBytes(50_000, i);
        }
      } finally {
        closed = true;
      }
    };
    const endless = ofFiles([{ type: 'file', path: 'endless', mode: 0o644, size: 0, read }]);
    await expect(manager.createSnapshot(endless, 'any', { signal: controller.signal })).rejects.toThrow(
      expect.objectContaining({ code: 'ABORTED' }),
    );
    expect(closed).toBe(true);
  });
});

describe('files', () => {
  const LARGE = 1_100_000;

  /** Twenty files, every fifth of which is large; what was begun, and how many of each size were read at the same time at most. */
  function watched(failing?: number) {
    const seen = { begun: [] as number[], large: 0, small: 0 };
    const now = { large: 0, small: 0 };
    const fileOf = (i: number): FileEntry => {
      const size = i % 5 === 0 ? LARGE + i : 1000 + i;
      const kind = size > LARGE - 1 ? 'large' : 'small';
      return {
        type: 'file',
        path: `f${String(i).padStart(2, '0')}`,
        mode: 0o644,
        size,
        async *read() {
          seen.begun.push(i);
          seen[kind] = Math.max(seen[kind], ++now[kind]);
          await sleep(1); // So that others could begin.
          now[kind]--;
          if (i === failing) throw new VecsnapError('SOURCE_FAILED', 'no');
          yield seededBytes(size, i);
        },
      };
    };
    const source = ofFiles(Array.from({ length: 20 }, (_, i) => fileOf(i)));
    return { source, seen };
  }

  it('are read many at a time, but of those that take much memory one', async () => {
    const { source, seen } = watched();
    const { fileCount, logicalBytes, id } = await manager.createSnapshot(source, 'files');
    expect([fileCount, seen.begun.length, seen.large]).toEqual([20, 20, 1]);
    expect(logicalBytes).toBeGreaterThan(4 * LARGE);
    expect(seen.small).toBeGreaterThan(3);
    expect((await manager.verifySnapshot(id)).problems).toEqual([]);
  });

  it('are not read once a large one has failed before them', async () => {
    const { source, seen } = watched(5);
    await expect(manager.createSnapshot(source, 'files')).rejects.toMatchObject({ code: 'SOURCE_FAILED' });
    expect(seen.begun.filter((i) => i % 5 === 0)).toEqual([0, 5]);
    expect(await manager.listSnapshots()).toEqual([]);
  });
});
