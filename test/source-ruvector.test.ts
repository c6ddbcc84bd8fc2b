/** The ruvector source and target on real databases of @ruvector/core. */
import { createRequire } from 'node:module';
import { spawnSync } from 'node:child_process';
import {
  copyFile,
  cp,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  rm,
  stat,
  symlink,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { RecordBatch } from 'vecsnap/core';
import { type Content, resolveSource, resolveTarget, ruvectorSource, ruvectorTarget } from 'vecsnap/source';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { expectCode, sourceContract, withOpen } from './contract/source.js';
import { ruvector, type RuvectorRecord } from './support/ruvector.js';
import { itemAt } from './support/item-at.js';
import { flip } from './support/redb-reseal.js';

const DIMENSIONS = 256;
const OPTIONS = { dimensions: DIMENSIONS, distanceMetric: 'Euclidean', quantization: { type: 'scalar' } };

/** Ids in another order than their bytes have, and metadata on two of three records. */
function recordsOf(count: number, dimensions = DIMENSIONS): RuvectorRecord[] {
  return Array.from({ length: count }, (_, i) => {
    const vector = Array.from({ length: dimensions }, (_, k) => Math.fround(Math.sin(i * 31 + k)));
    const record = { id: `${i % 5 === 0 ? 'ü' : 'r'}-${count - i}`, vector };
    return i % 3 === 0 ? record : { ...record, metadata: JSON.stringify({ title: `Record ${i}`, page: i }) };
  });
}

function make(path: string, count: number): void {
  ruvector(path, { options: OPTIONS, batches: count === 0 ? [] : [recordsOf(count)] });
}

sourceContract({
  name: 'ruvector',
  holds: 'records',
  exact: 'content',
  ending: '.db',
  source: (path) => ruvectorSource(path),
  target: (path) => ruvectorTarget(path),
  make: async (path, count) => make(path, count),
  change: async (path) => {
    ruvector(path, {
      options: OPTIONS,
      batches: [[{ id: 'one more', vector: itemAt(recordsOf(1), 0).vector }]],
    });
  },
  counts: { small: 40, large: 3000 },
});

interface Row {
  readonly id: string;
  readonly vector: Float32Array;
  readonly payload: string;
}

async function rowsOf(path: string): Promise<Row[]> {
  return withOpen(ruvectorSource(path), async (content) => {
    const rows = await rowsIn(content);
    await content.confirmUnchanged();
    return rows;
  });
}

async function rowsIn({ records }: Content): Promise<Row[]> {
  const rows: Row[] = [];
  for await (const batch of records?.() ?? []) {
    for (let i = 0; i < batch.count; i++) rows.push(rowAt(batch, i));
    batch.release?.();
  }
  return rows;
}

function rowAt(batch: RecordBatch, index: number): Row {
  const column = itemAt(batch.vectors, 0);
  const width = column.length / batch.count;
  const bytes = column.slice(index * width, (index + 1) * width);
  const payload = new TextDecoder().decode(batch.payloads?.[index]?.slice());
  return { id: String(batch.ids?.[index]), vector: new Float32Array(Uint8Array.from(bytes).buffer), payload };
}

describe('a ruvector database', () => {
  let directory = '';
  const at = (name: string) => join(directory, name);
  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'vecsnap-ruvector-'));
  });
  afterEach(async () => {
    await rm(directory, { recursive: true, force: true });
  });
  const restore = (from: string, to: string, options = {}, overwrite = false) =>
    withOpen(ruvectorSource(from), (content) => ruvectorTarget(to, options).write(content, { overwrite }));

  describe('as a source', () => {
    it('gives every record as the database itself does', async () => {
      make(at('a.db'), 700);
      const rows = await rowsOf(at('a.db'));
      const { length, entries } = ruvector(at('a.db'), { options: OPTIONS, gets: rows.map(({ id }) => id) });
      expect(rows).toHaveLength(length);
      for (const [i, { vector, payload }] of rows.entries()) {
        expect(entries[i]?.vector).toEqual([...vector]);
        expect(payload === '' ? undefined : JSON.parse(payload)).toEqual(
          entries[i]?.metadata === undefined ? undefined : JSON.parse(entries[i].metadata),
        );
      }
    });

    it('keeps what differs between two numbers only in their bits', async () => {
      const vector = [-0, 0, Number.NaN, Infinity, -Infinity, 1e-45, 3.4028234663852886e38];
      const text = vector.map((x) => (Object.is(x, -0) ? '-0' : String(x)));
      // JSON cannot carry these, so the numbers are made where the database is written.
      const bits = Float32Array.from(vector);
      const { VectorDb } = createRequire(import.meta.url)('@ruvector/core') as RuvectorModule;
      const db = new VectorDb({ dimensions: bits.length, storagePath: at('bits.db') });
      await db.insertBatch([{ id: 'bits', vector: bits }]);
      const [row] = await rowsOf(at('bits.db'));
      expect([...(row?.vector ?? [])].map((x) => (Object.is(x, -0) ? '-0' : String(x)))).toEqual([
        ...text.slice(0, 5),
        String(Math.fround(1e-45)),
        String(3.4028234663852886e38),
      ]);
    });

    it('gives metadata in canonical form, with every digit', async () => {
      const metadata = '{"b":12345678901234567890,"a":[1.0,-0,1e5],"__proto__":{"x":1},"é":"\\u0000😀"}';
      ruvector(at('a.db'), {
        options: { dimensions: 1 },
        batches: [
          [
            { id: 'x', vector: [1], metadata },
            { id: '', vector: [2], metadata: '{}' },
            { id: 'y', vector: [3] },
          ],
        ],
      });
      expect((await rowsOf(at('a.db'))).map(({ id, payload }) => [id, payload])).toEqual([
        ['', '{}'],
        ['x', '{"__proto__":{"x":1},"a":[1,-0,100000],"b":12345678901234567890,"é":"\\u0000😀"}'],
        ['y', ''],
      ]);
    });

    it('says the same of two databases with the same content', async () => {
      const records = recordsOf(30);
      ruvector(at('a.db'), { options: OPTIONS, batches: [records] });
      ruvector(at('b.db'), { options: OPTIONS, batches: records.toReversed().map((record) => [record]) });
      const about = (path: string) =>
        withOpen(ruvectorSource(path), async ({ format, schema }) => ({
          format,
          schema,
          rows: await rowsOf(path),
        }));
      expect(await about(at('a.db'))).toEqual(await about(at('b.db')));
      expect((await about(at('a.db'))).format).toEqual({
        name: 'ruvector',
        config: '{"dimensions":256,"distance_metric":"Euclidean","hnsw_config":null,"quantization":"Scalar"}',
      });
    });

    it('follows updates and deletes', async () => {
      make(at('a.db'), 300);
      const [first, second, ...rest] = recordsOf(300) as [
        RuvectorRecord,
        RuvectorRecord,
        ...RuvectorRecord[],
      ];
      const update = { id: second.id, vector: first.vector };
      ruvector(at('a.db'), { options: OPTIONS, batches: [[update]], deletes: [first.id] });
      const rows = await rowsOf(at('a.db'));
      expect(rows).toHaveLength(rest.length + 1);
      expect([...(rows.find(({ id }) => id === second.id)?.vector ?? [])]).toEqual(first.vector);
    });

    it('reads vectors of every size of page and of length prefix', async () => {
      for (const dimensions of [1, 250, 251, 5000, 70_000]) {
        const path = at(`${dimensions}.db`);
        const records = recordsOf(3, dimensions);
        ruvector(path, { options: { dimensions }, batches: [records] });
        const rows = await rowsOf(path);
        expect(rows.map(({ id }) => id)).toEqual(records.map(({ id }) => id).toSorted());
        for (const { id, vector } of rows) {
          expect([...vector]).toEqual(records.find((record) => record.id === id)?.vector);
        }
      }
    });

    it('reads a database that is open in this process, and what was written to it last', async () => {
      const { VectorDb } = createRequire(import.meta.url)('@ruvector/core') as RuvectorModule;
      const db = new VectorDb({ dimensions: 2, storagePath: at('open.db') });
      for (let i = 0; i < 5; i++) {
        await db.insertBatch([{ id: `r${i}`, vector: Float32Array.of(i, 1) }]);
        expect(await rowsOf(at('open.db'))).toHaveLength(i + 1);
      }
    });

    it('does not mind that somebody only opened the database', async () => {
      make(at('a.db'), 40);
      await withOpen(ruvectorSource(at('a.db')), async (content) => {
        await rowsIn(content);
        ruvector(at('a.db'), { options: OPTIONS });
        await content.confirmUnchanged();
      });
    });

    it('gives one moment or an error while another program writes', async () => {
      const { VectorDb } = createRequire(import.meta.url)('@ruvector/core') as RuvectorModule;
      const db = new VectorDb({ dimensions: 64, storagePath: at('busy.db') });
      const version = (value: number) =>
        Array.from({ length: 500 }, (_, i) => ({ id: `r${i}`, vector: new Float32Array(64).fill(value) }));
      await db.insertBatch(version(0));
      const state = { writing: true };
      const writer = (async () => {
        for (let value = 1; value <= 40; value++) await db.insertBatch(version(value));
        state.writing = false;
      })();
      const outcomes: string[] = [];
      while (state.writing) {
        const outcome = await rowsOf(at('busy.db')).then(
          (rows) => new Set(rows.flatMap(({ vector }) => [...vector])).size.toString(),
          (error: { code: string }) => error.code,
        );
        outcomes.push(outcome);
      }
      await writer;
      expect(
        [...new Set(outcomes)].filter((outcome) => outcome !== '1' && outcome !== 'SOURCE_CHANGED'),
      ).toEqual([]);
      expect(new Set((await rowsOf(at('busy.db'))).flatMap(({ vector }) => [...vector]))).toEqual(
        new Set([40]),
      );
    });

    it('tells a redb file of another program from a database, and a text from both', async () => {
      make(at('a.db'), 40);
      const bytes = await readFile(at('a.db'));
      await writeFile(at('text.db'), 'no database, but long enough to be one: '.repeat(20));
      await writeFile(at('short.db'), bytes.subarray(0, 100));
      await writeFile(at('cut.db'), bytes.subarray(0, 8192));
      await expectCode('SOURCE_INVALID', () => rowsOf(at('text.db')));
      await expectCode('SOURCE_TRUNCATED', () => rowsOf(at('short.db')));
      await expectCode('SOURCE_TRUNCATED', () => rowsOf(at('cut.db')));
      await expectCode('SOURCE_INVALID', () => rowsOf(directory));
    });

    it('is recognised by its first bytes; a file that only has the ending is not', async () => {
      make(at('vectors.db'), 3);
      await copyFile(at('vectors.db'), at('unnamed'));
      await writeFile(at('other.db'), 'of another program');
      const placeOf = async (name: string) => (await resolveSource(at(name))).place;
      expect(await placeOf('vectors.db')).toBe(`ruvector:${at('vectors.db')}`);
      expect(await placeOf('unnamed')).toBe(`ruvector:${at('unnamed')}`);
      expect(await placeOf('other.db')).toBe(`file:${at('other.db')}`);
      expect((await resolveSource(`ruvector:${at('vectors.db')}`)).collection).toBe('vectors');
      expect((await resolveTarget(at('new.db'))).place).toBe(`ruvector:${at('new.db')}`);
      expect((await resolveTarget(at('new'), { name: 'ruvector' })).place).toBe(`ruvector:${at('new')}`);
    });

    it('names the page that is damaged', async () => {
      make(at('a.db'), 40);
      const bytes = await readFile(at('a.db'));
      const vector = Buffer.from(Float32Array.from(itemAt(recordsOf(1), 0).vector).buffer);
      for (let place = bytes.indexOf(vector); place >= 0; place = bytes.indexOf(vector, place + 1))
        flip(bytes, place, 1);
      await writeFile(at('b.db'), bytes);
      const error = await expectCode('SOURCE_INVALID', () => rowsOf(at('b.db')));
      expect(error.place).toMatch(/b\.db, page at byte \d+$/);
    });
  });

  describe('as a target', () => {
    it('makes a database that ruvector opens, with the same configuration and the same answers', async () => {
      const options = {
        dimensions: DIMENSIONS,
        distanceMetric: 'Cosine',
        hnswConfig: { m: 8, efConstruction: 40, efSearch: 200, maxElements: 5000 },
        quantization: { type: 'product', subspaces: 4, k: 16 },
      };
      const records = recordsOf(200);
      ruvector(at('a.db'), { options, batches: [records] });
      await restore(at('a.db'), at('b.db'));
      const noteOf = (path: string) => withOpen(ruvectorSource(path), async ({ format }) => format);
      expect(await noteOf(at('b.db'))).toEqual(await noteOf(at('a.db')));
      const search = { vector: itemAt(records, 7).vector, k: 5 };
      const answer = ruvector(at('b.db'), { options: { dimensions: 1 }, search });
      expect(answer.length).toBe(200);
      expect(answer.found[0]).toMatchObject({ id: itemAt(records, 7).id });
    });

    it('can be opened in this process right after', async () => {
      make(at('a.db'), 40);
      await restore(at('a.db'), at('b.db'));
      const { VectorDb } = createRequire(import.meta.url)('@ruvector/core') as RuvectorModule;
      const db = new VectorDb({ dimensions: DIMENSIONS, storagePath: at('b.db') });
      expect(await db.len()).toBe(40);
    });

    it.runIf(process.platform === 'linux')('refuses to replace a database that is open', async () => {
      make(at('a.db'), 40);
      const { VectorDb } = createRequire(import.meta.url)('@ruvector/core') as RuvectorModule;
      const db = new VectorDb({ dimensions: 3, storagePath: at('open.db') });
      const error = await expectCode('TARGET_FAILED', () => restore(at('a.db'), at('open.db'), {}, true));
      expect(error.message).toContain('this process');
      expect(await db.len()).toBe(0);
    });

    it('writes numbers as ids as text, in any order', async () => {
      const ids = BigUint64Array.of(2n, 10n, 2n ** 64n - 1n);
      await ruvectorTarget(at('a.db')).write(contentOf({ ids, metric: 'l2' }), {});
      expect((await rowsOf(at('a.db'))).map(({ id, vector }) => [id, ...vector])).toEqual([
        ['10', 1],
        ['18446744073709551615', 2],
        ['2', 0],
      ]);
      expect(
        await withOpen(ruvectorSource(at('a.db')), async ({ schema }) => schema?.vectors[0]?.metric),
      ).toBe('Euclidean');
    });

    it.each([
      ['no object', '[1]'],
      ['null', 'null'],
      ['a number too large', '{"a":1e400}'],
      ['more digits than a double has', '{"a":3.141592653589793238}'],
      ['a lone surrogate', '{"a":"\\ud800"}'],
      ['deep nesting', `{"a":${'['.repeat(200)}${']'.repeat(200)}}`],
    ])('does not lose metadata that ruvector would leave out or round: %s', async (_, payload) => {
      const content = contentOf({ ids: ['a', 'b', 'c'], payloads: ['{"a":1}', payload, ''] });
      const error = await expectCode('TARGET_UNSUITABLE', () =>
        ruvectorTarget(at('a.db')).write(content, {}),
      );
      expect(error.place).toContain('id "b"');
      expect(await readdir(directory)).toEqual([]);
    });

    it('takes metadata that is not in canonical form', async () => {
      const content = contentOf({ ids: ['a'], payloads: ['{ "b": 1.0, "a": 12345678901234567890 }'] });
      await ruvectorTarget(at('a.db')).write(content, {});
      expect((await rowsOf(at('a.db')))[0]?.payload).toBe('{"a":12345678901234567890,"b":1}');
    });

    it('does not make a database that ends the process that opens it', async () => {
      const content = contentOf({ ids: ['a', 'b', 'c'], vector: [1, Number.NaN, Infinity] });
      for (const distanceMetric of ['Euclidean', 'Manhattan'] as const) {
        const target = ruvectorTarget(at('a.db'), { distanceMetric, hnswConfig: {} });
        const error = await expectCode('TARGET_UNSUITABLE', () => target.write(content, {}));
        expect(error.place).toContain('id "b"');
      }
      await ruvectorTarget(at('a.db'), { distanceMetric: 'Cosine', hnswConfig: {} }).write(content, {});
      expect((await rowsOf(at('a.db'))).map(({ vector }) => vector[0])).toEqual([1, Number.NaN, Infinity]);
      expect(ruvector(at('a.db'), { options: { dimensions: 1 } }).length).toBe(3);
    });

    it('says what suits content that it cannot take', async () => {
      const column = { name: 'vector', dtype: 'f32', dimension: 1 } as const;
      const base = contentOf({ ids: ['a'] });
      const schemas = [
        { id: 'string', vectors: [], payload: 'json' },
        { id: 'string', vectors: [column, { ...column, name: 'other' }], payload: 'json' },
        { id: 'string', vectors: [{ ...column, dtype: 'f64' }], payload: 'json' },
        { id: 'string', vectors: [column], payload: 'bytes' },
        { id: 'string', vectors: [{ ...column, metric: 'hamming' }], payload: 'json' },
        { id: 'none', vectors: [column], payload: 'json' },
      ] as const;
      for (const schema of schemas) {
        await expectCode('TARGET_UNSUITABLE', () =>
          ruvectorTarget(at('a.db')).write({ ...base, schema }, {}),
        );
      }
      const format = { name: 'ruvector', config: '{"dimensions":1,"distance_metric":"Chebyshev"}' };
      await expectCode('TARGET_UNSUITABLE', () => ruvectorTarget(at('a.db')).write({ ...base, format }, {}));
      expect(await readdir(directory)).toEqual([]);
    });

    it('says what to install when the package is not there', async () => {
      const root = join(import.meta.dirname, '..');
      await cp(join(root, 'dist'), at('package/dist'), { recursive: true });
      await copyFile(join(root, 'package.json'), at('package/package.json'));
      await mkdir(at('package/node_modules'));
      for (const name of [
        'lossless-json',
        'msgpackr',
        'multiformats',
        '@noble',
        'fflate',
        'level',
        'abstract-level',
      ]) {
        await symlink(join(root, 'node_modules', name), at(`package/node_modules/${name}`));
      }
      const program = `
        import { ruvectorTarget } from 'vecsnap/source';
        const target = ruvectorTarget('new.db');
        for (const act of [target.prepare({}), target.write(JSON.parse(process.argv[1]), {})]) {
          const { code, remedy } = await act.catch((error) => error);
          console.log(code, remedy);
        }`;
      const { schema, format } = contentOf({ ids: ['a'] });
      const args = ['--input-type=module', '-e', program, JSON.stringify({ schema, format })];
      const { stdout } = spawnSync(process.execPath, args, { cwd: at('package'), encoding: 'utf8' });
      expect(stdout).toBe('PEER_MISSING npm install @ruvector/core\n'.repeat(2));
    });

    it('ends at once when it is interrupted while ruvector works', async () => {
      const count = 4000;
      const records = recordsOf(count, 64);
      ruvector(at('a.db'), { options: { dimensions: 64 }, batches: [records] });
      const stop = new AbortController();
      const hnswConfig = { m: 64, efConstruction: 2000 };
      await expectCode('ABORTED', () =>
        withOpen(ruvectorSource(at('a.db')), (content) => {
          const late = { ...content, records: () => thenAbort(content, stop) };
          return ruvectorTarget(at('b.db'), { hnswConfig }).write(late, { signal: stop.signal });
        }),
      );
      expect(await readdir(directory)).toEqual(['a.db']);
    });

    it('gives a database the usual permissions', async () => {
      make(at('a.db'), 3);
      await restore(at('a.db'), at('b.db'));
      await copyFile(at('b.db'), at('c.db'));
      expect((await stat(at('b.db'))).mode & 0o777).toBe((await stat(at('a.db'))).mode & 0o777);
      expect(await rowsOf(at('c.db'))).toEqual(await rowsOf(at('a.db')));
    });
  });
});

/** All records; the interruption comes soon after the last was given away. */
async function* thenAbort({ records }: Content, stop: AbortController): AsyncGenerator<RecordBatch> {
  for await (const batch of records?.() ?? []) yield batch;
  setTimeout(() => stop.abort(), 100);
}

interface RuvectorModule {
  readonly VectorDb: new (options: { dimensions: number; storagePath: string }) => {
    insertBatch(entries: readonly { id: string; vector: Float32Array }[]): Promise<string[]>;
    len(): Promise<number>;
  };
}

/** Records of one number each. */
function contentOf(about: {
  readonly ids: readonly string[] | BigUint64Array;
  readonly vector?: readonly number[];
  readonly payloads?: readonly string[];
  readonly metric?: string;
}): Content {
  const { ids, metric, payloads = [...ids].map(() => '') } = about;
  const count = ids.length;
  const vector = Float32Array.from(about.vector ?? Array.from({ length: count }, (_, i) => i));
  const column = {
    name: 'vector',
    dtype: 'f32',
    dimension: 1,
    ...(metric === undefined ? {} : { metric }),
  } as const;
  return {
    format: { name: 'test' },
    schema: { id: ids instanceof BigUint64Array ? 'u64' : 'string', vectors: [column], payload: 'json' },
    records: async function* () {
      const bytes = payloads.map((payload) => new TextEncoder().encode(payload));
      yield { count, ids, vectors: [new Uint8Array(vector.buffer)], payloads: bytes };
    },
    files: undefined,
    expected: {},
  };
}
