/**
 * What a snapshot adds to the repository, counted as every byte of its folder: an incremental costs what changed and little else.
 *
 * The steps are those of the benchmark, at a smaller size, so the fixed cost of a snapshot weighs more here.
 */
import { readdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { cutBytes, DEFAULT_GEAR, gearCutter } from 'vecsnap/chunker';
import { compareText, type Schema, type VectorColumn } from 'vecsnap/core';
import { directoryEnvironment } from 'vecsnap/platform';
import { resolveSource, type Source } from 'vecsnap/source';
import { SnapshotManager } from 'vecsnap/snapshot';
import { freshDirectory, joined, seededBytes, u32 } from './support/files.js';
import { recordSource } from './support/memory-source.js';
import { uniform } from './support/uniform.js';

/** Bytes of files in `folder`. */
function bytesIn(folder: string): number {
  return readdirSync(folder, { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile())
    .reduce((sum, { parentPath, name }) => sum + statSync(join(parentPath, name)).size, 0);
}

/** A vector of unit length whose direction is random. */
function unitVector(dimension: number, random: () => number): Float32Array {
  const vector = Float32Array.from(
    { length: dimension },
    () => Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random()),
  );
  const norm = Math.hypot(...vector);
  return vector.map((number) => number / norm);
}

type Dtype = VectorColumn['dtype'];

function encodeVector(vector: Float32Array, dtype: Dtype): Uint8Array {
  if (dtype === 'f32') return new Uint8Array(vector.buffer);
  if (dtype === 'i8')
    return new Uint8Array(Int8Array.from(vector, (number) => Math.round(number * 127 * 4)).buffer);
  return new Uint8Array(Uint16Array.from(vector, halfOf).buffer);
}

const FLOAT = new Float32Array(1);
const FLOAT_BITS = new Uint32Array(FLOAT.buffer);

/** The bits of a number as f16, cut off and not rounded; numbers too small become zero. */
function halfOf(number: number): number {
  FLOAT[0] = number;
  const bits = FLOAT_BITS[0] as number;
  const exponent = ((bits >>> 23) & 0xff) - 112;
  return exponent <= 0 ? 0 : ((bits >>> 16) & 0x8000) | (exponent << 10) | ((bits >>> 13) & 0x3ff);
}

interface Row {
  readonly id: string;
  readonly vector: Uint8Array;
  readonly payload: string;
}

/** A collection that changes. */
class Collection {
  rows: Row[] = [];
  readonly #random: () => number;
  readonly #dimension: number;
  readonly #dtype: Dtype;
  readonly #ids: boolean;

  constructor(rows: number, dimension: number, dtype: Dtype, ids: boolean) {
    this.#random = uniform(rows + dimension);
    this.#dimension = dimension;
    this.#dtype = dtype;
    this.#ids = ids;
    this.append(rows);
  }

  get size(): number {
    return this.rows.length;
  }

  /** Bytes of a row, as far as they are new when it is. */
  get rowBytes(): number {
    return (this.rows[0] as Row).vector.length + (this.#ids ? 36 : 0);
  }

  update(count: number): void {
    for (let i = 0; i < count; i++) {
      const at = this.#pick();
      this.rows[at] = { ...(this.rows[at] as Row), vector: this.#vector() };
    }
  }

  /** At the end; with ids, wherever those stand. */
  append(count: number): void {
    for (let i = 0; i < count; i++)
      this.rows.push({ id: this.#uuid(), vector: this.#vector(), payload: '{"lang":"en"}' });
    if (this.#ids) this.rows.sort((a, b) => compareText(a.id, b.id));
  }

  remove(count: number): void {
    for (let i = 0; i < count; i++) this.rows.splice(this.#pick(), 1);
  }

  retag(count: number): void {
    for (let i = 0; i < count; i++) {
      const at = this.#pick();
      this.rows[at] = { ...(this.rows[at] as Row), payload: `{"lang":"de","seen":${i}}` };
    }
  }

  source(payload: 'json' | 'none' = 'none') {
    const schema: Schema = {
      id: this.#ids ? 'string' : 'none',
      vectors: [{ name: 'vector', dtype: this.#dtype, dimension: this.#dimension }],
      payload,
    };
    return recordSource('collection', {
      schema,
      count: this.size,
      ...(this.#ids && { ids: this.rows.map(({ id }) => id) }),
      vectors: [joined(...this.rows.map(({ vector }) => vector))],
      ...(payload === 'json' && { payloads: this.rows.map((row) => new TextEncoder().encode(row.payload)) }),
    });
  }

  #pick(): number {
    return Math.floor(this.#random() * this.size);
  }

  #vector(): Uint8Array {
    return encodeVector(unitVector(this.#dimension, this.#random), this.#dtype);
  }

  #uuid(): string {
    const hex = Array.from({ length: 32 }, () => Math.floor(this.#random() * 16).toString(16)).join('');
    return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-');
  }
}

/** Takes a snapshot that continues the newest. */
async function take(manager: SnapshotManager, source: Source): Promise<void> {
  const [newest] = await manager.listSnapshots();
  if (newest === undefined) await manager.createSnapshot(source, 'any');
  else await manager.createIncrementalSnapshot(source, 'any', newest.id);
}

describe('what a snapshot adds', () => {
  const at = freshDirectory();

  /** Takes a snapshot as a process of its own would, and gives by how much the folder grew. */
  async function growth(collection: Collection, payload: 'json' | 'none' = 'none'): Promise<number> {
    const before = bytesIn(at('repo'));
    const manager = await SnapshotManager.open({
      environment: directoryEnvironment(at('repo'), { workers: 1 }),
    });
    await take(manager, collection.source(payload));
    await manager.close();
    return bytesIn(at('repo')) - before;
  }

  async function init(): Promise<void> {
    const manager = await SnapshotManager.init({
      environment: directoryEnvironment(at('repo'), { workers: 1 }),
    });
    await manager.close();
  }

  /** The most bytes that each step may add, as parts of the raw bytes that changed; for the first, of all. */
  const limits = (first: number, updated: number, appended: number, deleted: number, fewUpdated: number) => ({
    first,
    updated,
    appended,
    deleted,
    fewUpdated,
  });

  it.each([
    ['384 × f32', 20_000, 384, 'f32', false, limits(0.845, 1, 0.88, 0.135, 1.07)],
    ['100 × f32', 30_000, 100, 'f32', false, limits(0.845, 1.1, 1, 0.35, 1.5)],
    ['768 × f32', 8000, 768, 'f32', false, limits(0.845, 0.92, 0.96, 0.085, 1)],
    ['1536 × f32', 4000, 1536, 'f32', false, limits(0.845, 0.9, 0.86, 0.06, 0.95)],
    ['384 × f16', 20_000, 384, 'f16', false, limits(0.85, 1.08, 0.9, 0.22, 1.3)],
    ['384 × i8', 20_000, 384, 'i8', false, limits(0.86, 1.22, 0.92, 0.7, 1.6)],
    ['384 × f32 with random ids', 20_000, 384, 'f32', true, limits(0.845, 0.94, 1.07, 0.23, 1.05)],
  ] as const)('is little more than what changed: %s', async (_, rows, dimension, dtype, ids, most) => {
    await init();
    const collection = new Collection(rows, dimension, dtype, ids);
    const { rowBytes } = collection;
    const expectGrowth = async (count: number, part: number): Promise<void> =>
      expect((await growth(collection)) / (count * rowBytes)).toBeLessThanOrEqual(part);
    await expectGrowth(rows, most.first);
    collection.update(rows / 100);
    await expectGrowth(rows / 100, most.updated);
    collection.append(rows / 100);
    await expectGrowth(rows / 100, most.appended);
    collection.remove(rows / 200);
    await expectGrowth(rows / 200, most.deleted);
    collection.update(rows / 1000);
    await expectGrowth(rows / 1000, most.fewUpdated);
    expect(await growth(collection)).toBeLessThan(2000);
  });

  it('holds no vectors when only metadata changed', async () => {
    await init();
    const collection = new Collection(5000, 384, 'f32', true);
    await growth(collection, 'json');
    collection.retag(50);
    expect(await growth(collection, 'json')).toBeLessThan(50 * 240);
  });
});

describe('what a snapshot of a stream adds', () => {
  const at = freshDirectory();

  /** Takes the bytes as a file, as a process of its own would, and gives by how much the folder grew. */
  async function growth(content: Uint8Array): Promise<number> {
    const file = at('stream.bin');
    writeFileSync(file, content);
    const before = bytesIn(at('repo'));
    const manager = await SnapshotManager.open({
      environment: directoryEnvironment(at('repo'), { workers: 1 }),
    });
    await take(manager, await resolveSource(file));
    await manager.close();
    return bytesIn(at('repo')) - before;
  }

  beforeEach(async () => {
    const environment = directoryEnvironment(at('repo'), { workers: 1 });
    await (await SnapshotManager.init({ environment })).close();
  });

  it('is little more than the bytes that changed', async () => {
    const bytes = seededBytes(4_000_000, 1);
    const edit = (n: number): void => bytes.set(seededBytes(16, 100 + n), (n * 104_729) % 3_999_000);
    expect(await growth(bytes)).toBeLessThan(4_022_000);
    for (let n = 0; n < 300; n++) edit(n);
    expect(await growth(bytes)).toBeLessThan(300 * 16 + 300 * 8 + 61 * 220);
    expect(await growth(joined(seededBytes(1000, 2), bytes))).toBeLessThan(1000 + 4000);
  });

  /** Where the default chunks of these bytes end. */
  function endsOf(bytes: Uint8Array): number[] {
    let end = 0;
    return Array.from(cutBytes(bytes, gearCutter(DEFAULT_GEAR)), ({ length }) => (end += length));
  }

  it.each([
    ['one', [3, 30]],
    ['a few', [9, 10, 15, 16, 17, 18]],
    ['more than are held back', Array.from({ length: 26 }, (_, i) => 20 + i)],
  ])('is little where the ends of chunks move, %s in a row, behind what was inserted', async (_, moved) => {
    const bytes = seededBytes(4_000_000, 1);
    expect(await growth(bytes)).toBeLessThan(4_022_000);
    const ends = endsOf(bytes);
    for (const [i, chunk] of moved.entries()) bytes.set(seededBytes(4, 100 + i), (ends[chunk] as number) - 4);
    expect(await growth(joined(seededBytes(100_000, 2), bytes))).toBeLessThan(
      100_000 + 2 * moved.length * 250 + 6000,
    );
  });

  it('is what came where much was inserted, and little where much is gone, whatever changed behind it', async () => {
    const bytes = seededBytes(6_000_000, 1);
    const come = seededBytes(3_000_000, 2); // Far more than is held back until the streams meet again.
    expect(await growth(joined(bytes.subarray(0, 3_000_000), bytes.subarray(3_500_000)))).toBeLessThan(
      5_530_000,
    );
    bytes[5_900_000] = 1;
    expect(await growth(bytes)).toBeLessThan(500_000 + 18_000);
    bytes.set([2, 2], 3_000_000); // Between two insertions: neither end of the stream tells what it was.
    const twice = joined(bytes.subarray(0, 1_000_000), come, bytes.subarray(1_000_000, 5_000_000));
    expect(await growth(joined(twice, come.subarray(7, 200_007), bytes.subarray(5_000_000)))).toBeLessThan(
      3_200_000 + 30_000,
    );
    bytes[5_900_000] = 3;
    expect(await growth(bytes.subarray(200_000))).toBeLessThan(6000);
  });

  it('of which one byte changed is hardly more than the entries of a few chunks', async () => {
    const bytes = seededBytes(12_000_000, 1);
    await growth(bytes);
    bytes.set([1], 100);
    expect(await growth(bytes)).toBeLessThan(3200); // Most of it is what LevelDB writes whenever it is opened.
  });

  it('is what came to the index of a graph, and less than as much again for the lists of all its neighbours', async () => {
    const graph = new Graph(8000);
    await growth(graph.bytes);
    for (let n = 0; n < 80; n++) graph.insert();
    expect(await growth(graph.bytes)).toBeLessThan(1.75 * 80 * 652);
  });
});

/**
 * An index like those of hnswlib: for each item the number of its neighbours, room for 32 of them, its vector and its label; then the
 * neighbours of few of them on the levels above.
 */
class Graph {
  readonly #random = uniform(7);
  readonly #lists: number[][] = [];
  readonly #vectors: Uint8Array[] = [];
  readonly #above: number[][] = [];

  constructor(items: number) {
    for (let i = 0; i < items; i++) this.insert();
  }

  /** Connects a new item with 16 others. Where a list is full, some of it is chosen anew, in another order. */
  insert(): void {
    const added = this.#lists.length;
    const others = Array.from({ length: Math.min(16, added) }, () => Math.floor(this.#random() * added));
    for (const other of others) {
      const list = this.#lists[other] as number[];
      if (list.length < 32) list.push(added);
      else this.#lists[other] = this.#chosen([added, ...list]);
    }
    this.#lists.push(others);
    this.#vectors.push(encodeVector(unitVector(128, this.#random), 'f32'));
    this.#above.push(added % 16 === 0 ? others : []);
  }

  get bytes(): Uint8Array {
    const items = this.#lists.map((list, i) => {
      const links = Array.from({ length: 32 }, (_, j) => list[j] ?? 0);
      return joined(u32(list.length, ...links), this.#vectors[i] as Uint8Array, u32(i, 0));
    });
    const above = this.#above.map((list) =>
      list.length === 0
        ? u32(0)
        : u32(68, list.length, ...Array.from({ length: 16 }, (_, j) => list[j] ?? 0)),
    );
    return joined(u32(1, this.#lists.length), ...items, ...above);
  }

  /** Most of them in the order they had; some go, and some of the others change places. */
  #chosen(list: readonly number[]): number[] {
    const chosen = list.filter((_, i) => i === 0 || this.#random() < 0.8);
    for (let n = 0; n < 6; n++) {
      const [from, to] = [0, 0].map(() => Math.floor(this.#random() * chosen.length)) as [number, number];
      chosen.splice(to, 0, ...chosen.splice(from, 1));
    }
    return chosen;
  }
}

describe('thirty days of changes', () => {
  const at = freshDirectory();

  it('grow by what changed, and shrink to what a fresh repository of the last seven would take', async () => {
    const manager = await SnapshotManager.init({
      environment: directoryEnvironment(at('repo'), { workers: 1 }),
    });
    const fresh = await SnapshotManager.init({
      environment: directoryEnvironment(at('fresh'), { workers: 1 }),
    });
    const collection = new Collection(4000, 384, 'f32', true);
    const size = () => bytesIn(at('repo'));
    let firstSize = 0;
    let changed = 0;
    for (let day = 0; day < 30; day++) {
      if (day > 0) {
        collection.update(40);
        collection.append(8);
        collection.remove(4);
        changed += 48 * collection.rowBytes;
      }
      await take(manager, collection.source());
      if (day === 0) firstSize = size();
      if (day < 23) continue;
      await take(fresh, collection.source());
    }
    expect((size() - firstSize) / changed).toBeLessThanOrEqual(1.1);
    await manager.cleanupOldSnapshots(7);
    const planned = await manager.collectGarbage({ dryRun: true });
    const { reclaimedBytes } = await manager.collectGarbage();
    expect(Math.abs(planned.reclaimedBytes / reclaimedBytes - 1)).toBeLessThan(0.02);
    expect(await manager.verifyRepository()).toMatchObject({ ok: true });
    await Promise.all([manager.close(), fresh.close()]);
    expect(size() / bytesIn(at('fresh'))).toBeLessThanOrEqual(1.1);
  });
});
