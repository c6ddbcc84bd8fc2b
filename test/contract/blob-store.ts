/** The contract of src/blob/port.ts: what every store and every adapter around one must do. */
import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { BlobStore } from 'vecsnap/blob';
import { bytesOf, expectBytes, listed, pattern, readAt, sharedCopy } from '../support/blobs.js';
import { itemAt } from '../support/item-at.js';
import { inOneBuffer, testPutParts } from './blob-store-parts.js';

/** A place where a store lives. */
export interface BlobStorePlace {
  /** Opens the store there. Called again, when `persistent`, after the one before was closed: it must find the same blobs. */
  open(): Promise<BlobStore>;
  /** Closes what `open` had to open besides the store itself. */
  shut?(): Promise<void>;
  /** Removes the place. */
  remove(): Promise<void>;
}

export interface BlobStoreContract {
  readonly name: string;
  /** Whether blobs outlive the store. */
  readonly persistent: boolean;
  /** Whether it takes blobs part by part. Default: no. */
  readonly takesParts?: boolean;
  makePlace(): Promise<BlobStorePlace>;
}

const VALID_NAMES = [
  'config',
  'a',
  '0',
  '-',
  '_',
  'a.b',
  'a..b',
  'a.',
  'packs/00ff',
  'locks/writer-1.2_3',
  'a/b/c/d/e/f/g',
  'tmp-1',
  'x/tmp',
  'x/index/y',
  'n'.repeat(200),
  `${'d'.repeat(99)}/${'f'.repeat(100)}`,
];

const INVALID_NAMES = [
  '',
  '/',
  '.',
  '..',
  '/a',
  'a/',
  'a//b',
  '../a',
  'a/..',
  'a/../b',
  'a/./b',
  './a',
  '.hidden',
  'a/.hidden',
  'A',
  'a b',
  'ä',
  'a\\b',
  'a\u0000',
  'a\n',
  'a:b',
  'C:',
  '~',
  'tmp',
  'tmp/x',
  'index',
  'index/000001.log',
  'n'.repeat(201),
];

export function testBlobStore(contract: BlobStoreContract): void {
  describe(`blob store: ${contract.name}`, () => {
    let place: BlobStorePlace;
    let store: BlobStore;

    beforeEach(async () => {
      place = await contract.makePlace();
      store = await place.open();
    });

    afterEach(async () => {
      await store.close();
      await place.shut?.();
      await place.remove();
    });

    async function reopen(): Promise<void> {
      await store.close();
      await place.shut?.();
      store = await place.open();
    }

    it('says where it is', () => {
      expect(store.place).not.toBe('');
    });

    describe('names', () => {
      it.each(VALID_NAMES)('takes %j', async (name) => {
        await store.put(name, bytesOf(name));
        expect(await store.get(name)).toEqual(bytesOf(name));
        expect(await listed(store, '')).toEqual([{ name, size: bytesOf(name).length }]);
        await store.delete(name);
        expect(await store.stat(name)).toBeUndefined();
      });

      it.each(INVALID_NAMES)('refuses %j in every method', async (name) => {
        const refused = { code: 'BLOB_NAME_INVALID', place: expect.any(String), remedy: expect.any(String) };
        await expect(store.put(name, bytesOf('x'))).rejects.toMatchObject(refused);
        if (store.putParts !== undefined)
          await expect(store.putParts(name, inOneBuffer(bytesOf('x'), 1))).rejects.toMatchObject(refused);
        await expect(store.get(name)).rejects.toMatchObject(refused);
        await expect(store.read(name, 0, new Uint8Array(1))).rejects.toMatchObject(refused);
        await expect(store.stat(name)).rejects.toMatchObject(refused);
        await expect(store.delete(name)).rejects.toMatchObject(refused);
        expect(await listed(store, '')).toEqual([]);
      });
    });

    describe('put', () => {
      it.each([0, 1, 65_536, 262_143, 262_144, 262_145, 3_000_001])('keeps %i bytes', async (length) => {
        const bytes = pattern(length);
        await store.put('packs/one', bytes);
        expectBytes(await store.get('packs/one'), bytes);
        expect(await store.stat('packs/one')).toEqual({ name: 'packs/one', size: length });
      });

      it('joins several byte strings, empty ones among them', async () => {
        await store.put('joined', [bytesOf('ab'), bytesOf(''), bytesOf('c'), bytesOf('')]);
        await store.put('nothing', []);
        await store.put('also-nothing', [bytesOf(''), bytesOf('')]);
        expect(await store.get('joined')).toEqual(bytesOf('abc'));
        expect(await store.get('nothing')).toEqual(bytesOf(''));
        expect(await store.get('also-nothing')).toEqual(bytesOf(''));
      });

      it('joins thousands of byte strings of different lengths', async () => {
        const whole = pattern(600_000);
        const parts: Uint8Array[] = [];
        for (let start = 0, length = 0; start < whole.length; start += length, length = (length + 7) % 400) {
          parts.push(whole.subarray(start, start + length));
        }
        expect(parts.length).toBeGreaterThan(2 * 1024);
        await store.put('parts', parts);
        expectBytes(await store.get('parts'), whole);
      });

      it('takes parts of larger arrays, and shared memory', async () => {
        const shared = new Uint8Array(new SharedArrayBuffer(10));
        shared.set(bytesOf('0123456789'));
        await store.put('shared', [shared, shared.subarray(3, 5)]);
        await store.put('large-shared', sharedCopy(pattern(700_000)));
        expect(await store.get('shared')).toEqual(bytesOf('012345678934'));
        expectBytes(await store.get('large-shared'), pattern(700_000));
      });

      it('is not touched by what the caller does to the bytes afterwards', async () => {
        const bytes = pattern(300_000);
        const shared = sharedCopy(bytes);
        await store.put('one', bytes);
        await store.put('two', [shared]);
        bytes.fill(0);
        shared.fill(0);
        expectBytes(await store.get('one'), pattern(300_000));
        expectBytes(await store.get('two'), pattern(300_000));
      });

      it('never overwrites', async () => {
        await store.put('a/b', bytesOf('first'));
        const exists = {
          code: 'BLOB_EXISTS',
          place: expect.stringContaining('a/b'),
          remedy: expect.any(String),
        };
        await expect(store.put('a/b', bytesOf('second'))).rejects.toMatchObject(exists);
        await expect(store.put('a/b', bytesOf('first'))).rejects.toMatchObject(exists);
        await expect(store.put('a/b', [])).rejects.toMatchObject(exists);
        expect(await store.get('a/b')).toEqual(bytesOf('first'));
      });

      it('has exactly one winner among eight that race for a name', async () => {
        for (let round = 0; round < 10; round++) {
          const name = `race/${round}`;
          const rivals = Array.from({ length: 8 }, (_, rival) => pattern(rival * 40_000 + 1, rival));
          const outcomes = await Promise.allSettled(rivals.map((bytes) => store.put(name, bytes)));
          const winners = rivals.filter((_, rival) => outcomes[rival]?.status === 'fulfilled');
          expect(winners).toHaveLength(1);
          for (const outcome of outcomes.filter(({ status }) => status === 'rejected')) {
            expect(outcome).toMatchObject({ reason: { code: 'BLOB_EXISTS' } });
          }
          expectBytes(await store.get(name), itemAt(winners, 0));
          expect(await listed(store, name)).toEqual([{ name, size: winners[0]?.length }]);
        }
      });

      it('runs many of different names at once', async () => {
        const names = Array.from({ length: 60 }, (_, i) => `many/${i % 7}/${i}`);
        await Promise.all(names.map((name) => store.put(name, bytesOf(name))));
        const found = await listed(store, '');
        expect(found.map(({ name }) => name)).toEqual(names.toSorted());
        await Promise.all(names.map(async (name) => expect(await store.get(name)).toEqual(bytesOf(name))));
      });

      it('takes a name again after it was deleted', async () => {
        await store.put('again', pattern(300_000));
        await store.read('again', 0, new Uint8Array(10));
        await store.delete('again');
        await store.put('again', bytesOf('new'));
        expect(await store.get('again')).toEqual(bytesOf('new'));
        expect(await readAt(store, 'again', 1, 10)).toEqual(bytesOf('ew'));
      });
    });

    it('has putParts or not, as it says', () => {
      expect(store.putParts !== undefined).toBe(contract.takesParts === true);
    });

    if (contract.takesParts === true) testPutParts(() => store, contract.persistent ? reopen : undefined);

    describe('get', () => {
      it('says when there is no blob of that name', async () => {
        const missing = {
          code: 'BLOB_MISSING',
          place: expect.stringContaining('a/b'),
          remedy: expect.any(String),
        };
        await expect(store.get('a/b')).rejects.toMatchObject(missing);
        await store.put('a/b/c', bytesOf('x'));
        await expect(store.get('a/b')).rejects.toMatchObject(missing);
        await expect(store.get('a/b/c/d')).rejects.toMatchObject({ code: 'BLOB_MISSING' });
      });

      it('gives bytes that the caller owns', async () => {
        await store.put('mine', pattern(300_000));
        (await store.get('mine')).fill(0);
        expectBytes(await store.get('mine'), pattern(300_000));
      });
    });

    describe('read', () => {
      it.each([
        [0, 0],
        [0, 1],
        [0, 700_000],
        [0, 700_001],
        [1, 65_536],
        [262_143, 1],
        [262_143, 2],
        [262_144, 262_144],
        [262_100, 300_000],
        [524_287, 500_000],
        [699_999, 1],
        [699_999, 2],
        [700_000, 0],
        [700_000, 1],
        [700_001, 10],
        [5_000_000_000, 10],
        [Number.MAX_SAFE_INTEGER, 3],
      ])('gives the bytes from %i on, %i at most', async (offset, length) => {
        await store.put('packs/p', pattern(700_000));
        const expected = pattern(700_000).subarray(offset, offset + length);
        expectBytes(await readAt(store, 'packs/p', offset, length), expected);
      });

      it('leaves alone what is beyond the bytes read', async () => {
        await store.put('short', bytesOf('abc'));
        const into = new Uint8Array(8).fill(0xff);
        expect(await store.read('short', 1, into.subarray(2, 6))).toBe(2);
        expect([...into]).toEqual([0xff, 0xff, 0x62, 0x63, 0xff, 0xff, 0xff, 0xff]);
      });

      it('reads into shared memory', async () => {
        await store.put('p', pattern(700_000));
        const into = new Uint8Array(new SharedArrayBuffer(400_000));
        expect(await store.read('p', 200_000, into)).toBe(400_000);
        expectBytes(into, pattern(700_000).subarray(200_000, 600_000));
      });

      it('gives bytes that the caller owns', async () => {
        await store.put('p', pattern(300_000));
        const into = new Uint8Array(300_000);
        await store.read('p', 0, into);
        into.fill(0);
        expectBytes(await readAt(store, 'p', 0, 300_000), pattern(300_000));
      });

      it('reads an empty blob', async () => {
        await store.put('empty', []);
        expect(await readAt(store, 'empty', 0, 10)).toEqual(bytesOf(''));
        expect(await readAt(store, 'empty', 3, 10)).toEqual(bytesOf(''));
      });

      it('says when there is no blob of that name, also for no bytes', async () => {
        await expect(store.read('gone', 0, new Uint8Array(1))).rejects.toMatchObject({
          code: 'BLOB_MISSING',
        });
        await expect(store.read('gone', 0, new Uint8Array(0))).rejects.toMatchObject({
          code: 'BLOB_MISSING',
        });
        await expect(store.read('gone', 9, new Uint8Array(1))).rejects.toMatchObject({
          code: 'BLOB_MISSING',
        });
      });

      it.each([-1, 0.5, Number.NaN, 2 ** 53, Number.POSITIVE_INFINITY])(
        'refuses the offset %d',
        async (offset) => {
          await store.put('p', bytesOf('abc'));
          await expect(store.read('p', offset, new Uint8Array(1))).rejects.toThrow(RangeError);
        },
      );

      it('reads many blobs at many places at once', async () => {
        const names = Array.from({ length: 50 }, (_, i) => `many/${i}`);
        await Promise.all(names.map((name, i) => store.put(name, pattern(20_000, i))));
        const reads = names.flatMap((name, i) =>
          [0, 1, 9_999, 15_000].map(async (offset) => {
            const expected = pattern(20_000, i).subarray(offset, offset + 8_000);
            expectBytes(await readAt(store, name, offset, 8_000), expected);
          }),
        );
        await Promise.all(reads);
      });

      it('goes with a delete of the same blob: whole or missing', async () => {
        for (let round = 0; round < 20; round++) {
          await store.put('p', pattern(600_000));
          const work = [readAt(store, 'p', 0, 600_000), store.get('p'), store.delete('p'), store.get('p')];
          for (const outcome of await Promise.allSettled(work)) {
            if (outcome.status === 'rejected') expect(outcome.reason).toMatchObject({ code: 'BLOB_MISSING' });
            else if (outcome.value) expectBytes(outcome.value, pattern(600_000));
          }
        }
      });
    });

    describe('useFiles', () => {
      it('gives files that hold the blobs, also while they are deleted, where blobs are files', async () => {
        if (store.useFiles === undefined) return; // Then nobody can use it.
        const names = ['packs/a', 'packs/b'];
        await store.put('packs/a', bytesOf('first'));
        await store.put('packs/b', bytesOf('second'));
        const texts = await store.useFiles(names, async (descriptors) => {
          await store.delete('packs/b');
          return descriptors.map((descriptor) => readFileSync(descriptor, 'utf8'));
        });
        expect(texts).toEqual(['first', 'second']);
        await expect(store.useFiles(names, async () => 'called')).rejects.toThrow(
          expect.objectContaining({ code: 'BLOB_MISSING' }),
        );
        await expect(
          store.useFiles(['packs/a'], () => Promise.reject(new Error('of the caller'))),
        ).rejects.toThrow('of the caller');
      });
    });

    describe('stat', () => {
      it('is undefined when there is no blob of that name', async () => {
        expect(await store.stat('a')).toBeUndefined();
        await store.put('a/b', bytesOf('x'));
        expect(await store.stat('a')).toBeUndefined();
        expect(await store.stat('a/b/c')).toBeUndefined();
      });
    });

    describe('list', () => {
      const NAMES = [
        'a',
        'a-b',
        'a.b',
        'a0',
        'ab',
        'b-c',
        'b.c/d',
        'b/a',
        'b/a-b',
        'b/b/c',
        'b/b0',
        'b0',
        'z/y/x',
      ];

      it('is empty for an empty store', async () => {
        expect(await listed(store, '')).toEqual([]);
        expect(await listed(store, 'packs/')).toEqual([]);
      });

      it.each([
        '',
        'a',
        'a-',
        'b',
        'b/',
        'b/b',
        'b/b/',
        'b/b/c',
        'b/b/c/',
        'b.',
        'z/y',
        'z/y/',
        'q',
        '/',
        '../',
        './a',
      ])('gives what begins with %j, in order', async (prefix) => {
        for (const name of NAMES.toReversed()) await store.put(name, bytesOf(name));
        const expected = NAMES.toSorted().filter((name) => name.startsWith(prefix));
        expect(await listed(store, prefix)).toEqual(expected.map((name) => ({ name, size: name.length })));
      });

      it.each(['ä', '\ud800', 'A', 'tmp', 'index/', '\u007f', '\u0000'])(
        'gives nothing for %j',
        async (prefix) => {
          await store.put('a', bytesOf('x'));
          await store.put('zz', bytesOf('x'));
          expect(await listed(store, prefix)).toEqual([]);
        },
      );

      it('can be left early and read again', async () => {
        for (const name of NAMES) await store.put(name, []);
        for await (const { name } of store.list('')) {
          expect(name).toBe('a');
          break;
        }
        expect(await listed(store, '')).toHaveLength(NAMES.length);
      });

      it('gives every blob once while others come and go', async () => {
        const names = Array.from({ length: 150 }, (_, i) => `k/${String(i).padStart(4, '0')}`);
        await Promise.all(names.map((name) => store.put(name, [])));
        const seen: string[] = [];
        for await (const { name } of store.list('k/')) {
          seen.push(name);
          if (seen.length === 1) await store.delete('k/0149');
          if (seen.length % 10 === 0) await store.put(`k/0000-${seen.length}`, []);
        }
        const steady = new Set(names.slice(0, -1));
        expect(seen.filter((name) => steady.has(name))).toEqual([...steady]);
        expect(seen).toEqual([...new Set(seen)].toSorted());
      });
    });

    describe('delete', () => {
      it('removes a blob and no other', async () => {
        await store.put('a/b', pattern(600_000));
        await store.put('a/bc', pattern(600_000, 1));
        await store.delete('a/b');
        await expect(store.get('a/b')).rejects.toMatchObject({ code: 'BLOB_MISSING' });
        await expect(store.read('a/b', 0, new Uint8Array(1))).rejects.toMatchObject({ code: 'BLOB_MISSING' });
        expect(await store.stat('a/b')).toBeUndefined();
        expect(await listed(store, '')).toEqual([{ name: 'a/bc', size: 600_000 }]);
        expectBytes(await store.get('a/bc'), pattern(600_000, 1));
      });

      it('does nothing when there is no blob of that name', async () => {
        await store.put('a/b/c', bytesOf('x'));
        for (const name of ['gone', 'gone/too', 'a', 'a/b', 'a/b/c/d', 'a/b/d']) await store.delete(name);
        expect(await listed(store, '')).toEqual([{ name: 'a/b/c', size: 1 }]);
        await Promise.all([store.delete('a/b/c'), store.delete('a/b/c'), store.delete('a/b/c')]);
        expect(await listed(store, '')).toEqual([]);
      });
    });

    describe('close', () => {
      it('may be called again, and waits for nobody who reads', async () => {
        await store.put('p', pattern(600_000));
        await readAt(store, 'p', 0, 10);
        const reading = store.get('p');
        await store.close();
        expectBytes(await reading, pattern(600_000));
        await store.close();
      });

      it('does not keep the store from being used again', async () => {
        await store.put('p', bytesOf('abc'));
        await store.close();
        expect(await store.get('p')).toEqual(bytesOf('abc'));
        await store.put('q', bytesOf('d'));
        expect(await listed(store, '')).toHaveLength(2);
      });
    });

    it.runIf(contract.persistent)('has the same blobs when it is opened again', async () => {
      await store.put('packs/a', pattern(600_000));
      await store.put('packs/b', bytesOf('b'));
      await store.put('config', bytesOf('c'));
      await store.delete('packs/b');
      await reopen();
      expect(await listed(store, '')).toEqual([
        { name: 'config', size: 1 },
        { name: 'packs/a', size: 600_000 },
      ]);
      expectBytes(await store.get('packs/a'), pattern(600_000));
      await expect(store.put('config', bytesOf('d'))).rejects.toMatchObject({ code: 'BLOB_EXISTS' });
      await store.put('packs/b', bytesOf('new'));
      expect(await store.get('packs/b')).toEqual(bytesOf('new'));
    });

    it('does what a map would do', async () => {
      await fc.assert(
        fc.asyncProperty(commands(), async (cmds) => {
          const fresh = await contract.makePlace();
          const real = await fresh.open();
          try {
            await fc.asyncModelRun(() => ({ model: new Map(), real }), cmds);
          } finally {
            await real.close();
            await fresh.shut?.();
            await fresh.remove();
          }
        }),
        { numRuns: 40 },
      );
    });
  });
}

type Model = Map<string, Uint8Array>;
type Command = fc.AsyncCommand<Model, BlobStore>;

/** Few enough names that they meet, none the folder of another. */
const MODEL_NAMES = ['config', 'packs/a', 'packs/a-b', 'packs/b', 'x/y/z', 'x/y.z'];

function commands() {
  const name = fc.constantFrom(...MODEL_NAMES);
  const parts = fc.array(fc.uint8Array({ maxLength: 20 }), { maxLength: 4 });
  const prefix = fc.oneof(fc.constantFrom('', 'p', 'packs/', 'packs/a', 'x/', 'q'), name);
  return fc.commands(
    [
      fc
        .tuple(name, parts)
        .map(([n, p]) => command(`put ${n} ${p.join('|')}`, (model, real) => doPut(model, real, n, p))),
      name.map((n) => command(`get ${n}`, (model, real) => doGet(model, real, n))),
      fc
        .tuple(name, fc.nat(100), fc.nat(100))
        .map(([n, o, l]) => command(`read ${n} ${o} ${l}`, (model, real) => doRead(model, real, n, o, l))),
      name.map((n) => command(`stat ${n}`, (model, real) => doStat(model, real, n))),
      name.map((n) => command(`delete ${n}`, (model, real) => doDelete(model, real, n))),
      prefix.map((p) => command(`list ${p}`, (model, real) => doList(model, real, p))),
      fc.constant(command('close', (_, real) => real.close())),
    ],
    { maxCommands: 40 },
  );
}

function command(text: string, run: (model: Model, real: BlobStore) => Promise<void>): Command {
  return { check: () => true, run, toString: () => text };
}

async function doPut(model: Model, real: BlobStore, name: string, parts: Uint8Array[]): Promise<void> {
  const putting = real.put(name, parts);
  if (model.has(name)) return expect(putting).rejects.toMatchObject({ code: 'BLOB_EXISTS' });
  await putting;
  model.set(name, Uint8Array.from(parts.flatMap((part) => [...part])));
}

async function doGet(model: Model, real: BlobStore, name: string): Promise<void> {
  const expected = model.get(name);
  if (expected) expect(await real.get(name)).toEqual(expected);
  else await expect(real.get(name)).rejects.toMatchObject({ code: 'BLOB_MISSING' });
}

async function doRead(
  model: Model,
  real: BlobStore,
  name: string,
  offset: number,
  length: number,
): Promise<void> {
  const expected = model.get(name)?.subarray(offset, offset + length);
  const reading = readAt(real, name, offset, length);
  if (expected) expectBytes(await reading, expected);
  else await expect(reading).rejects.toMatchObject({ code: 'BLOB_MISSING' });
}

async function doStat(model: Model, real: BlobStore, name: string): Promise<void> {
  const size = model.get(name)?.length;
  expect(await real.stat(name)).toEqual(size === undefined ? undefined : { name, size });
}

async function doDelete(model: Model, real: BlobStore, name: string): Promise<void> {
  await real.delete(name);
  model.delete(name);
}

async function doList(model: Model, real: BlobStore, prefix: string): Promise<void> {
  const names = [...model.keys()].filter((name) => name.startsWith(prefix)).toSorted();
  expect(await listed(real, prefix)).toEqual(names.map((name) => ({ name, size: model.get(name)?.length })));
}
