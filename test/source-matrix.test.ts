/** The matrix formats: their contract, exact bytes, and files that are not as they should be. */
import fc from 'fast-check';
import { readdir, readFile, truncate, writeFile } from 'node:fs/promises';
import { isVecsnapError, type RecordBatch, type Schema, type VectorColumn } from 'vecsnap/core';
import {
  bvecs,
  type Content,
  fbin,
  fileTarget,
  fvecs,
  i8bin,
  type MatrixFormat,
  matrixSource,
  matrixTarget,
  npy,
  u8bin,
} from 'vecsnap/source';
import { describe, expect, it } from 'vitest';
import { itemAt } from './support/item-at.js';
import { expectCode, sourceContract, summarise, withOpen } from './contract/source.js';
import { freshDirectory, invertLastByte, joined, seededBytes, u32 } from './support/files.js';
import { binBytes, npyBytes, npyHead, npyText, vecsBytes, writeMatrix } from './support/matrices.js';

const FORMATS = [fbin, u8bin, i8bin, npy, fvecs, bvecs];

/** Rows are wide enough that `large` fills several slabs of 4 MiB. */
function widthOf(format: MatrixFormat): number {
  return format.dtypes.includes('f32') ? 96 : 384;
}

for (const format of FORMATS) {
  const hasHeader = format !== fvecs && format !== bvecs;
  sourceContract({
    name: format.scheme,
    holds: 'records',
    exact: 'bytes',
    source: (path) => matrixSource(format, path),
    target: (path) => matrixTarget(format, path),
    make: (path, count) => writeMatrix(format, path, count, widthOf(format)),
    change: invertLastByte,
    counts: { small: 50, large: 60_000, ...(hasHeader ? {} : { empty: false }) },
    ending: `.${format.scheme}`,
  });
}

const path = freshDirectory();

async function notesOf(format: MatrixFormat, file: string): Promise<readonly string[]> {
  return withOpen(matrixSource(format, file), async (content) => content.notes);
}

const openingFails = (code: Parameters<typeof expectCode>[0], format: MatrixFormat, file: string) =>
  expectCode(code, () => withOpen(matrixSource(format, file), async () => {}));

describe('files that disagree with their own header', () => {
  const whole: [MatrixFormat, Uint8Array][] = [
    [fbin, binBytes(10, 3, 4)],
    [u8bin, binBytes(10, 3, 1)],
    [i8bin, binBytes(10, 3, 1)],
    [npy, npyBytes(npyText('<f4', 10, 3), 120)],
    [fvecs, vecsBytes(10, 3, 4)],
    [bvecs, vecsBytes(10, 3, 1)],
  ];

  it.each(whole)('$0.scheme: cut short anywhere', async (format, bytes) => {
    const ends =
      format === fvecs || format === bvecs ? [1, 3, 5, bytes.length - 1] : [0, 5, 9, bytes.length - 1];
    for (const end of ends) {
      await writeFile(path('cut'), bytes.subarray(0, end));
      const error = await openingFails('SOURCE_TRUNCATED', format, path('cut'));
      expect(error.place).toContain(`byte ${end}`);
    }
  });

  it.each(whole.slice(0, 4))('$0.scheme: too long', async (format, bytes) => {
    await writeFile(path('long'), joined(bytes, Uint8Array.of(0)));
    const error = await openingFails('SOURCE_INVALID', format, path('long'));
    expect(error.place).toContain(`byte ${bytes.length}`);
    expect(error.remedy).toContain('file:');
  });

  it.each([fbin, u8bin, i8bin])('$scheme: absurd counts and dimensions', async (format) => {
    for (const [rows, dimension, code] of [
      [0xffffffff, 0xffffffff, 'SOURCE_INVALID'],
      [1, 0xffffffff, 'SOURCE_INVALID'],
      [5, 0, 'SOURCE_INVALID'],
      [0xffffffff, 1 << 20, 'SOURCE_TRUNCATED'],
    ] as const) {
      await writeFile(path('absurd'), joined(u32(rows, dimension), new Uint8Array(64)));
      await openingFails(code, format, path('absurd'));
    }
  });

  it.each([fvecs, bvecs])('$scheme: absurd dimensions, also in the middle', async (format) => {
    const width = format === fvecs ? 4 : 1;
    for (const dimension of [0, 0xffffffff, 0x7fffffff, (1 << 20) + 1]) {
      for (const before of [new Uint8Array(), vecsBytes(9, 5, width)]) {
        await writeFile(path('absurd'), joined(before, u32(dimension), new Uint8Array(64)));
        const error = await openingFails('SOURCE_INVALID', format, path('absurd'));
        expect(error.place).toContain(`byte ${before.length}`);
      }
    }
  });

  it('npy: an absurd shape, and a header that goes past the end', async () => {
    await writeFile(path('shape'), npyBytes(npyText('<f4', 9_000_000_000_000, 1 << 20), 64));
    await openingFails('SOURCE_TRUNCATED', npy, path('shape'));
    for (const length of [0xffff, 0xffffffff]) {
      const version = length > 0xffff ? 2 : 1;
      const head = npyHead(npyText('<f4', 1, 1), version);
      head.set(u32(length).subarray(0, version === 1 ? 2 : 4), 8);
      await writeFile(path('header'), joined(head, new Uint8Array(40_000)));
      await openingFails('SOURCE_TRUNCATED', npy, path('header'));
    }
  });

  it('npy: no magic', async () => {
    await writeFile(path('other'), Buffer.from('PK\x03\x04 and so on'));
    await openingFails('SOURCE_INVALID', npy, path('other'));
  });

  it('is no file', async () => {
    for (const format of FORMATS) await openingFails('SOURCE_INVALID', format, path());
  });

  it('shrinks while it is read', async () => {
    for (const format of FORMATS) {
      const file = path(`a.${format.scheme}`);
      await writeMatrix(format, file, 60_000, widthOf(format));
      await expectCode('SOURCE_CHANGED', () =>
        withOpen(matrixSource(format, file), async (content) => {
          await truncate(file, 5_000_000);
          await summarise(content);
        }),
      );
    }
  });

  it('has other rows than when it was opened', async () => {
    const file = path('a.fvecs');
    await writeFile(file, vecsBytes(10, 3, 4));
    await expectCode('SOURCE_CHANGED', () =>
      withOpen(matrixSource(fvecs, file), async (content) => {
        await writeFile(file, vecsBytes(4, 9, 4));
        await summarise(content);
      }),
    );
  });
});

/** What headers are made of. */
const NPY_CHARACTERS = `{}[]()'":,<>|fui1248 \\TrueFalsdcnoshp_0`.split('');

describe('any bytes at all', () => {
  it.each(FORMATS)('$scheme: open, or fail with an error of ours', async (format) => {
    const start = format === npy ? npyHead(npyText('<f4', 2, 3)) : u32(2, 3);
    const arbitrary = fc.oneof(
      fc.uint8Array({ maxLength: 200 }),
      fc
        .tuple(fc.uint8Array({ maxLength: 80 }), fc.nat(start.length))
        .map(([tail, cut]) => joined(start.subarray(0, cut), tail)),
      fc.string({ maxLength: 120, unit: fc.constantFrom(...NPY_CHARACTERS) }).map((text) => npyHead(text)),
    );
    await fc.assert(
      fc.asyncProperty(arbitrary, async (bytes) => {
        await writeFile(path('any'), bytes);
        await withOpen(matrixSource(format, path('any')), summarise).catch((error: unknown) => {
          if (!isVecsnapError(error, 'SOURCE_INVALID', 'SOURCE_TRUNCATED')) throw error;
        });
      }),
      { numRuns: 150 },
    );
  });

  it('npy: a header that is nested very deeply', async () => {
    await writeFile(path('deep'), npyBytes('['.repeat(60_000), 0));
    expect(await notesOf(npy, path('deep'))).toHaveLength(1);
  });
});

describe('files that cannot be split into records', () => {
  const cases: [string, MatrixFormat, Uint8Array, RegExp][] = [
    ['Fortran order', npy, npyBytes(npyText('<f4', 2, 3).replace('False', 'True'), 24), /Fortran/],
    ['big-endian', npy, npyBytes(npyText('>f4', 2, 3), 24), /dtype is >f4/],
    ['other dtypes', npy, npyBytes(npyText('<i8', 2, 3), 48), /dtype is <i8/],
    [
      'a dtype named like a property',
      npy,
      npyBytes(npyText('constructor', 2, 3), 48),
      /dtype is constructor/,
    ],
    [
      'one dimension',
      npy,
      npyBytes("{'descr': '<f4', 'fortran_order': False, 'shape': (6,), }", 24),
      /1 dimensions/,
    ],
    [
      'three dimensions',
      npy,
      npyBytes("{'descr': '<f4', 'fortran_order': False, 'shape': (1, 2, 3), }", 24),
      /3 dim/,
    ],
    [
      'no dimension',
      npy,
      npyBytes("{'descr': '<f4', 'fortran_order': False, 'shape': (), }", 4),
      /0 dimensions/,
    ],
    [
      'structured',
      npy,
      npyBytes("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1, 2), }", 8),
      /structured/,
    ],
    ['no numbers in a row', npy, npyBytes(npyText('<f4', 5, 0), 0), /no numbers/],
    [
      'too many numbers in a row',
      npy,
      npyBytes(npyText('|u1', 1, 2 ** 20 + 1), 2 ** 20 + 1),
      /more than 1048576/,
    ],
    ['an unknown version', npy, npyHead(npyText('<f4', 0, 3), 4), /version is 4/],
    ['a huge header', npy, npyHead(npyText('<f4', 0, 3).padEnd(70_000), 2), /header has 700/],
    ['not a literal', npy, npyBytes('hello', 24), /not the usual/],
    ['a further key', npy, npyBytes(npyText('<f4', 2, 3).replace('}', "'a': 1}"), 24), /not the usual/],
    ['a missing key', npy, npyBytes("{'descr': '<f4', 'shape': (2, 3)}", 24), /not the usual/],
    [
      'rows of several dimensions',
      fvecs,
      joined(vecsBytes(3, 4, 4), vecsBytes(2, 5, 4)),
      /row 3 has the dimension 5/,
    ],
    [
      'rows of several dimensions',
      bvecs,
      joined(vecsBytes(3, 4, 1), vecsBytes(2, 5, 1)),
      /row 3 has the dimension 5/,
    ],
    ['no rows', fvecs, new Uint8Array(), /no rows/],
    ['no rows', bvecs, new Uint8Array(), /no rows/],
  ];

  it.each(cases)('%s, $1.scheme: are kept whole and say why', async (_, format, bytes, why) => {
    await writeFile(path('in'), bytes);
    await withOpen(matrixSource(format, path('in')), async (content) => {
      expect(content.notes.join()).toMatch(why);
      expect(content.format).toEqual({ name: 'file' });
      expect(content.schema).toBeUndefined();
      await fileTarget(path('out')).write(content, {});
    });
    expect(Buffer.compare(await readFile(path('out')), bytes)).toBe(0);
  });
});

describe('npy, as numpy writes it', () => {
  it.each([
    ['<f4', 'f32', 4],
    ['<f8', 'f64', 8],
    ['<f2', 'f16', 2],
    ['|i1', 'i8', 1],
    ['|u1', 'u8', 1],
  ])('%s', async (descr, dtype, numberBytes) => {
    await writeFile(path('in'), npyBytes(npyText(descr, 7, 3), 21 * numberBytes));
    await withOpen(matrixSource(npy, path('in')), async (content) => {
      expect(content.schema?.vectors).toEqual([{ name: 'vector', dtype, dimension: 3 }]);
      await matrixTarget(npy, path('out')).write(content, {});
    });
    expect(await readFile(path('out'))).toEqual(await readFile(path('in')));
  });

  it.each([
    ['version 2', npyHead(npyText('<f4', 2, 3), 2)],
    ['version 3', npyHead(npyText('<f4', 2, 3), 3)],
    ['no spaces', npyHead("{'descr':'<f4','fortran_order':False,'shape':(2,3)}")],
    ['another order', npyHead(`{"shape": (2, 3), "fortran_order": False, "descr": "<f4"}`)],
    ['not aligned', npyHead(`${npyText('<f4', 2, 3)}${' '.repeat(30)}`).subarray(0, 118)],
  ])('other headers: %s', async (_, head) => {
    const fixed = new Uint8Array(head);
    if (fixed.length === 118) fixed.set(u32(108).subarray(0, 2), 8);
    await writeFile(path('in'), joined(fixed, seededBytes(24, 1)));
    await withOpen(matrixSource(npy, path('in')), async (content) => {
      expect(content.notes).toEqual([]);
      await matrixTarget(npy, path('out')).write(content, {});
    });
    expect(await readFile(path('out'))).toEqual(await readFile(path('in')));
  });

  // What numpy 2.4 writes for np.save of zeros((3, 5)) of each dtype.
  it.each([
    ['f32', "{'descr': '<f4', 'fortran_order': False, 'shape': (3, 5), }", 4],
    ['i8', "{'descr': '|i1', 'fortran_order': False, 'shape': (3, 5), }", 1],
  ] as const)('a fresh header for %s', async (dtype, text, numberBytes) => {
    const data = new Uint8Array(15 * numberBytes);
    await matrixTarget(npy, path('out')).write(contentOf({ dtype, dimension: 5 }, 3, data), {});
    const head = joined(
      Uint8Array.of(0x93),
      Buffer.from(`NUMPY\x01\x00\x76\x00${text.padEnd(117)}\n`, 'latin1'),
    );
    expect(new Uint8Array(await readFile(path('out')))).toEqual(joined(head, data));
  });

  it('a header that no longer tells the truth is not used', async () => {
    const header = npyHead(npyText('<f4', 9, 3));
    const data = seededBytes(24, 5);
    for (const expected of [2, undefined]) {
      const content = contentOf({ dtype: 'f32', dimension: 3 }, 2, data, { name: 'npy', header });
      await matrixTarget(npy, path('out')).write(
        { ...content, expected: { records: expected } },
        { overwrite: true },
      );
      await withOpen(matrixSource(npy, path('out')), async (written) => {
        expect(written.expected.records).toBe(2);
        expect((await summarise(written)).bytes).toBe(24);
      });
    }
  });

  it('a header without room for the rows that come is used no more when that is known, and refused when it is not', async () => {
    const text = Buffer.from("{'descr': '|u1', 'fortran_order': False, 'shape': (1, 1), }\n");
    const header = joined(npyHead('').subarray(0, 8), u32(text.length).subarray(0, 2), text);
    const content = contentOf({ dtype: 'u8', dimension: 1 }, 1000, seededBytes(1000, 1), {
      name: 'npy',
      header,
    });
    await matrixTarget(npy, path('out')).write(content, {});
    expect((await readFile(path('out'))).length).toBe(128 + 1000);
    await expectCode('TARGET_UNSUITABLE', () =>
      matrixTarget(npy, path('other')).write({ ...content, expected: {} }, {}),
    );
    expect(await readdir(path())).toEqual(['out']);
  });
});

function contentOf(
  column: Omit<VectorColumn, 'name'>,
  count: number,
  data: Uint8Array,
  format: Content['format'] = { name: 'jsonl' },
): Content {
  return {
    format,
    schema: { id: 'none', vectors: [{ name: 'vector', ...column }], payload: 'none' },
    records: async function* () {
      yield { count, ids: undefined, vectors: [data], payloads: undefined };
    },
    files: undefined,
    expected: { records: count },
  };
}

describe('what a matrix file cannot hold', () => {
  const vector: VectorColumn = { name: 'vector', dtype: 'f32', dimension: 2 };
  const image: VectorColumn = { name: 'image', dtype: 'u8', dimension: 3 };
  const batch: RecordBatch = {
    count: 2,
    ids: undefined,
    vectors: [seededBytes(16, 1), seededBytes(6, 2)],
    payloads: undefined,
  };
  const content = (schema: Partial<Schema>): Content => ({
    ...contentOf(vector, 0, new Uint8Array()),
    schema: { id: 'none', vectors: [vector], payload: 'none', ...schema },
    records: async function* () {
      yield batch;
    },
  });

  it.each([
    ['ids', { id: 'string' }, /ids/],
    ['numbers as ids', { id: 'u64' }, /ids/],
    ['payloads', { payload: 'json' }, /payloads/],
    ['several columns', { vectors: [vector, image] }, /one vector column/],
    ['no column', { id: 'none', vectors: [] }, /one vector column/],
    ['another dtype', { vectors: [{ ...vector, dtype: 'bf16' }] }, /not bf16/],
  ] as const)('%s', async (_, schema, why) => {
    for (const format of FORMATS) {
      const error = await expectCode('TARGET_UNSUITABLE', () =>
        matrixTarget(format, path('out')).write(content(schema), {}),
      );
      expect(error.message).toMatch(why);
    }
    expect(await readdir(path())).toEqual([]);
  });

  it('writes the column that is chosen among several', async () => {
    const both = content({ vectors: [vector, image] });
    await matrixTarget(u8bin, path('out'), { column: 'image' }).write(both, {});
    expect(new Uint8Array(await readFile(path('out')))).toEqual(joined(u32(2, 3), itemAt(batch.vectors, 1)));
    await expectCode('TARGET_UNSUITABLE', () =>
      matrixTarget(u8bin, path('x'), { column: 'sound' }).write(both, {}),
    );
  });

  it('writes one format from another', async () => {
    await writeFile(path('in.fvecs'), vecsBytes(20, 3, 4));
    await withOpen(matrixSource(fvecs, path('in.fvecs')), (open) =>
      matrixTarget(fbin, path('mid.fbin')).write(open, {}),
    );
    await withOpen(matrixSource(fbin, path('mid.fbin')), (open) =>
      matrixTarget(npy, path('mid.npy')).write(open, {}),
    );
    await withOpen(matrixSource(npy, path('mid.npy')), (open) =>
      matrixTarget(fvecs, path('out.fvecs')).write(open, {}),
    );
    expect(await readFile(path('out.fvecs'))).toEqual(await readFile(path('in.fvecs')));
  });
});
