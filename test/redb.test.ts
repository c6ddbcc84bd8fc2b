/** The reader of redb files, on files of real databases: whole, damaged and hostile. */
import { spawnSync } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { isVecsnapError } from 'vecsnap/core';
import { hasXxh3Kernel, RedbFile, ruvectorSource, xxh3 } from 'vecsnap/source';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { expectCode } from './contract/source.js';
import { itemAt } from './support/item-at.js';
import { flip, reseal } from './support/redb-reseal.js';
import { ruvector } from './support/ruvector.js';

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex');

/** What `xxhsum -H2` 0.8.1 says of the first bytes of {@link xxhInput}, by their number. */
const XXH3_128: readonly (readonly [length: number, hash: string])[] = [
  [9, '0d39db6431d37a74895c8a562da51412'],
  [13, '239aa0187ab5a4a4050630ab48f75512'],
  [16, '29be75b0bbbb5284aafffcec5df2cb27'],
  [17, 'db7e8f77961e47fd878751509ecfdb8b'],
  [32, '3e97336e6cbb6ee0de94574d7a589440'],
  [33, '3411cfe692c2e51ee2928442749dbe83'],
  [65, 'b6dfa5aac5c63dc2f5b4ade8de9a76a3'],
  [97, 'dd6ad8d4fb1433a98ea932450271fde4'],
  [128, 'ba44fd018231af4cbbe087d879edcc78'],
  [129, '522c922743fd67f1b8075934107218e5'],
  [160, 'b5514c067fd629180e08f445e497507a'],
  [191, 'd0dbcc2422b44f19480841c9774e7cb1'],
  [240, '4f49ccc8526aa7ad407883ea5ef95b9a'],
  [241, '50b62ee1ee6455a7bc424a2c480dd281'],
  [1024, '53bd178b75ab292e1fd15e7d36f5e1bc'],
  [1025, 'd1ad5f4a3cce4374fe08e5a874d23fd2'],
  [1089, '76f7b4fc407270d6b246626fdf150fcb'],
  [2049, '3b45eb7c64d498329156a1fd2d1a8c37'],
  [4096, '0c263f435125451084d9e7ce664c8217'],
  [8999, 'fa0485e27212d650a024e6554673c2ec'],
];

const xxhInput = new Uint8Array(9000).map((_, i) => (Math.imul(i, 2654435761) >>> 13) & 255);

describe('xxh3', () => {
  it.each(XXH3_128)('is that of xxhsum for %i bytes', (length, hash) => {
    for (const shift of [0, 1]) {
      const bytes = new Uint8Array(length + shift).subarray(shift);
      bytes.set(xxhInput.subarray(0, length));
      expect(hex(xxh3(bytes).toReversed())).toBe(hash);
    }
  });
});

/** What a program prints that hashes inputs of these lengths, where there is no WebAssembly. */
function hashedWithoutWebAssembly(lengths: readonly number[]): string[] {
  const program = `
    if (typeof WebAssembly !== 'undefined') throw new Error('there is WebAssembly');
    const { xxh3 } = await import('vecsnap/source');
    for (const length of ${JSON.stringify(lengths)}) console.log(Buffer.from(xxh3(${patterned.toString()}(length))).toString('hex'));`;
  const { stdout, stderr } = spawnSync(
    process.execPath,
    ['--no-expose-wasm', '--input-type=module', '-e', program],
    { encoding: 'utf8', cwd: import.meta.dirname },
  );
  expect(stderr).toBe('');
  return stdout.trim().split('\n');
}

function patterned(length: number): Uint8Array {
  return new Uint8Array(length).map((_, i) => (Math.imul(i + length, 2654435761) >>> 13) & 255);
}

it('xxh3 is the same with and without WebAssembly', () => {
  expect(hasXxh3Kernel()).toBe(true); // Else this shows nothing.
  const random = Array.from({ length: 200 }, (_, i) => 241 + ((Math.imul(i, 2654435761) >>> 8) % 20_000));
  const mebi = 1024 * 1024;
  const lengths = [
    9,
    16,
    17,
    128,
    129,
    240,
    241,
    1023,
    1024,
    1025,
    1088,
    mebi - 1,
    mebi,
    mebi + 1,
    ...random,
  ];
  expect(lengths.map((length) => hex(xxh3(patterned(length))))).toEqual(hashedWithoutWebAssembly(lengths));
});

describe('a redb file', () => {
  let directory = '';
  let base: Uint8Array = new Uint8Array();
  const at = (name: string) => join(directory, name);
  const records = Array.from({ length: 120 }, (_, i) => ({
    id: `record ${(i * 37) % 120}`,
    vector: Array.from({ length: 40 }, (__, k) => Math.fround(Math.cos(i + k))),
    metadata: `{"i":${i}}`,
  }));

  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), 'vecsnap-redb-'));
    ruvector(at('base.db'), {
      options: { dimensions: 40 },
      batches: [records.slice(0, 80), records.slice(80)],
    });
    base = new Uint8Array(await readFile(at('base.db')));
  });
  afterAll(async () => {
    await rm(directory, { recursive: true, force: true });
  });

  const entriesOf = async (path: string): Promise<Map<string, [string, string][]>> => {
    const file = await RedbFile.open(path);
    try {
      const tables = new Map<string, [string, string][]>();
      for (const table of file.tables.values()) {
        const entries: [string, string][] = [];
        for await (const leaf of file.leaves(table)) {
          for (let i = 0; i < leaf.count; i++)
            entries.push([String(Buffer.from(leaf.key(i))), hex(leaf.value(i))]);
        }
        expect(entries).toHaveLength(table.entries);
        tables.set(table.name, entries);
      }
      await file.confirmUnchanged();
      return tables;
    } finally {
      await file.close();
    }
  };

  it('gives its tables and their entries in the order of the keys', async () => {
    const tables = await entriesOf(at('base.db'));
    expect([...tables.keys()]).toEqual(['config', 'metadata', 'vectors']);
    const ids = records.map(({ id }) => id).toSorted();
    for (const name of ['metadata', 'vectors']) expect(tables.get(name)?.map(([key]) => key)).toEqual(ids);
  });

  it('checks pages of every length', async () => {
    for (const dimensions of [1, 2, 3, 7, 15, 25, 40, 55, 60, 200, 300]) {
      const path = at(`${dimensions}.db`);
      ruvector(path, {
        options: { dimensions },
        batches: [
          [
            { id: 'x', vector: Array.from({ length: dimensions }, (_, k) => k) },
            { id: '', vector: Array.from({ length: dimensions }, () => 1), metadata: '{}' },
          ],
        ],
      });
      expect((await entriesOf(path)).get('vectors')).toHaveLength(2);
    }
  });

  it('falls back to the commit before when the last is not whole and the database was not closed', async () => {
    const bytes = base.slice();
    const before = await entriesOf(at('base.db'));
    const primary = bytes[9] === undefined ? 0 : bytes[9] & 1;
    const slot = 64 + 128 * primary;
    flip(bytes, slot + 104, 1); // The number of the last transaction, so that its checksum does not fit.
    await writeFile(at('torn.db'), bytes);
    const after = await entriesOf(at('torn.db'));
    expect(after.get('config')).toEqual(before.get('config'));
    expect(after.get('vectors')?.length).toBeLessThan(120);
    flip(bytes, 9, 2); // As if it had been closed: then there is nothing to fall back to.
    await writeFile(at('closed.db'), bytes);
    await expectCode('SOURCE_INVALID', () => entriesOf(at('closed.db')));
  });

  it('says so when it is cut, wherever it is cut', async () => {
    for (const length of [0, 1, 9, 319, 320, 4096, 500_000]) {
      await writeFile(at('cut.db'), base.subarray(0, length));
      await expectCode('SOURCE_TRUNCATED', () => entriesOf(at('cut.db')));
    }
  });

  it('says so when it is of another version', async () => {
    const bytes = base.slice();
    for (const slot of [64, 192]) {
      bytes[slot] = 9;
      bytes.set(xxh3(bytes.subarray(slot, slot + 112)), slot + 112);
    }
    await writeFile(at('newer.db'), bytes);
    expect((await expectCode('SOURCE_INVALID', () => entriesOf(at('newer.db')))).message).toContain(
      'version 9',
    );
  });

  /** Reads all that a source gives. @returns how it went. */
  const outcomeOf = async (bytes: Uint8Array): Promise<string> => {
    await writeFile(at('fuzz.db'), bytes);
    try {
      const source = await ruvectorSource(at('fuzz.db')).open();
      try {
        let count = 0;
        for await (const batch of source.records?.() ?? []) count += batch.count;
        await source.confirmUnchanged();
        return `${count} records`;
      } finally {
        await source.close();
      }
    } catch (error) {
      if (!isVecsnapError(error)) throw error;
      expect(error.remedy).toBeTruthy();
      expect(error.place).toBeTruthy();
      return error.code;
    }
  };
  const CLEAR = /^(SOURCE_INVALID|SOURCE_TRUNCATED|SOURCE_DIMENSION|(0|80|120) records)$/;

  /** Places in the file where something stands that is read: the commits, and the pages of their trees. */
  const used = (): { pages: number[]; all: number[] } => {
    const copy = base.slice();
    const pages = reseal(copy, 'tree').flatMap(({ start, end }) =>
      Array.from({ length: end - start }, (_, i) => start + i),
    );
    expect(Buffer.compare(copy, base)).toBe(0); // What is resealed is what redb sealed.
    expect(pages.length).toBeGreaterThan(20_000);
    return { pages, all: [...pages, ...Array.from({ length: 311 }, (_, i) => 9 + i)] };
  };

  it('gives the right records or a clear error when bytes of it are damaged', async () => {
    const places = used().all;
    const damage = fc.record({ index: fc.nat(places.length - 1), bit: fc.nat(7) });
    await fc.assert(
      fc.asyncProperty(fc.array(damage, { minLength: 1, maxLength: 3 }), async (all) => {
        const bytes = base.slice();
        for (const { index, bit } of all) flip(bytes, itemAt(places, index), 1 << bit);
        expect(await outcomeOf(bytes)).toMatch(CLEAR);
      }),
      { numRuns: 60 },
    );
  });

  it('gives a clear error when its header is hostile', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 9, max: 319 }),
        fc.uint8Array({ minLength: 1, maxLength: 8 }),
        async (place, noise) => {
          const bytes = base.slice();
          bytes.set(noise.subarray(0, 320 - place), place);
          reseal(bytes, 'slots');
          expect(await outcomeOf(bytes)).toMatch(CLEAR);
        },
      ),
      { numRuns: 60 },
    );
  });

  it('gives some records or a clear error when its pages are hostile and all checksums fit', async () => {
    const places = used().pages;
    const value = fc.oneof(fc.nat(255), fc.constantFrom(0, 1, 2, 255));
    const change = fc.record({
      index: fc.nat(places.length - 1),
      values: fc.array(value, { minLength: 1, maxLength: 8 }),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(change, { minLength: 1, maxLength: 2 }), async (all) => {
        const bytes = base.slice();
        for (const { index, values } of all) bytes.set(values, places[index]);
        reseal(bytes, 'tree');
        expect(await outcomeOf(bytes)).toMatch(
          /^(SOURCE_INVALID|SOURCE_TRUNCATED|SOURCE_DIMENSION|\d+ records)$/,
        );
      }),
      { numRuns: 120 },
    );
  });

  it('reads the newer commit, whichever is marked, when the database was not closed', async () => {
    const bytes = base.slice();
    flip(bytes, 9, 1);
    expect(await outcomeOf(bytes)).toBe('120 records');
  });

  it('notices a table that has fewer entries than it says', async () => {
    const bytes = base.slice();
    for (let place = 4096; place < bytes.length - 9; place++) {
      const isDefinition = bytes[place] === 3 && bytes[place + 1] === 120 && bytes[place + 9] === 1;
      if (isDefinition && bytes.subarray(place + 2, place + 9).every((byte) => byte === 0))
        bytes[place + 1] = 121;
    }
    reseal(bytes, 'tree');
    expect(await outcomeOf(bytes)).toBe('SOURCE_INVALID');
  });

  it('does not follow a branch whose children are all the same page', async () => {
    const bytes = base.slice();
    reseal(bytes, 'tree', (branch, children) => {
      for (let i = 1; i < children; i++)
        branch.copyWithin(8 + 16 * children + 8 * i, 8 + 16 * children, 16 + 16 * children);
    });
    expect(await outcomeOf(bytes)).toBe('SOURCE_INVALID');
  });
});
