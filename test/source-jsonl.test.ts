/** The JSON Lines source and target. */
import { appendFile, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { compareIds, type Dtype, isVecsnapError, type RecordBatch, type RecordId } from 'vecsnap/core';
import {
  canonicalJson,
  type Content,
  jsonlSource,
  type JsonlSourceOptions,
  jsonlTarget,
  resolveSource,
  resolveTarget,
} from 'vecsnap/source';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { expectCode, sourceContract, withOpen } from './contract/source.js';
import { itemAt } from './support/item-at.js';

/** Lines in no order of their ids, with text from outside ASCII. */
function linesOf(count: number): string {
  const lines = Array.from({ length: count }, (_, i) => {
    const vector = Array.from({ length: 64 }, (__, k) => Math.fround(Math.sin(i * 7 + k)));
    const metadata = i % 3 === 0 ? '' : `,"metadata":{"title":"Tïtle ${i}","page":${i}}`;
    return `{"id":"${i % 2 ? 'r' : 'ü'}${(i * 7919) % count}","embedding":[${vector.join(', ')}]${metadata}}\n`;
  });
  return lines.join('');
}

sourceContract({
  name: 'jsonl',
  holds: 'records',
  exact: 'content',
  ending: '.jsonl',
  source: (path) => jsonlSource(path),
  target: (path) => jsonlTarget(path),
  make: (path, count) => writeFile(path, linesOf(count)),
  change: (path) =>
    appendFile(path, `${JSON.stringify({ id: 'one more', embedding: new Array(64).fill(1) })}\n`),
  counts: { small: 40, large: 9973 },
});

interface Row {
  readonly id: RecordId;
  readonly vectors: readonly (readonly number[])[];
  readonly payload: string;
}

interface About {
  readonly format: Content['format'];
  readonly schema: Content['schema'];
  readonly notes: readonly string[];
  readonly rows: readonly Row[];
}

async function about(path: string, options: JsonlSourceOptions = {}): Promise<About> {
  return withOpen(jsonlSource(path, options), async (content) => {
    const rows: Row[] = [];
    for await (const batch of content.records?.() ?? []) {
      for (let i = 0; i < batch.count; i++) rows.push(rowAt(content, batch, i));
      batch.release?.();
    }
    await content.confirmUnchanged();
    return { format: content.format, schema: content.schema, notes: content.notes, rows };
  });
}

function rowAt({ schema }: Content, batch: RecordBatch, index: number): Row {
  const vectors = (schema?.vectors ?? []).map(({ dtype, dimension }, column) => {
    const bytes = itemAt(batch.vectors, column);
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    return Array.from({ length: dimension }, (_, k) =>
      dtype === 'f32'
        ? view.getFloat32(4 * (index * dimension + k), true)
        : view.getFloat64(8 * (index * dimension + k), true),
    );
  });
  const payload = new TextDecoder().decode(batch.payloads?.[index]?.slice());
  return { id: batch.ids?.[index] as RecordId, vectors, payload };
}

describe('a JSON Lines file', () => {
  let directory = '';
  const at = (name: string) => join(directory, name);
  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'vecsnap-jsonl-'));
  });
  afterEach(async () => {
    await rm(directory, { recursive: true, force: true });
  });
  const written = async (text: string | Uint8Array): Promise<string> => {
    await writeFile(at('a.jsonl'), text);
    return at('a.jsonl');
  };
  const read = async (text: string | Uint8Array, options?: JsonlSourceOptions) =>
    about(await written(text), options);
  const payloadsOf = async (text: string) => (await read(text)).rows.map(({ payload }) => payload);
  const restored = async (from: string, options?: JsonlSourceOptions): Promise<string> => {
    await withOpen(jsonlSource(from, options), (content) =>
      jsonlTarget(at('b.jsonl')).write(content, { overwrite: true }),
    );
    return readFile(at('b.jsonl'), 'utf8');
  };
  const expectFault = async (
    text: string | Uint8Array,
    place: string,
    code: 'SOURCE_INVALID' | 'SOURCE_DIMENSION' | 'SOURCE_DUPLICATE_ID' = 'SOURCE_INVALID',
  ) => {
    const path = await written(text);
    const error = await expectCode(code, () => about(path));
    expect(error.place).toBe(`${path}, ${place}`);
    return error;
  };

  describe('as a source', () => {
    it('gives records in the order of their ids, whatever the order of the lines', async () => {
      const { rows, schema } = await read(
        '{"id":"b","vector":[2,0]}\n{"id":"\u{1f600}","vector":[4,0]}\n{"id":"\uffee","vector":[3,0]}\n{"id":"a","vector":[1,0]}\n',
      );
      expect(rows.map(({ id }) => id)).toEqual(['a', 'b', '\uffee', '\u{1f600}']);
      expect(rows.map(({ vectors }) => vectors[0]?.[0])).toEqual([1, 2, 3, 4]);
      expect(schema).toEqual({
        id: 'string',
        vectors: [{ name: 'vector', dtype: 'f32', dimension: 2 }],
        payload: 'json',
      });
    });

    it('keeps whole numbers as ids exactly', async () => {
      const ids = ['18446744073709551615', '9007199254740993', '9007199254740992', '10', '9', '0'];
      const { rows, schema } = await read(ids.map((id) => `{"vector":[1],"id":${id}}`).join('\n'));
      expect(schema?.id).toBe('u64');
      expect(rows.map(({ id }) => String(id))).toEqual(ids.toReversed());
    });

    it.each(['vector', 'embedding', 'values'])(
      'finds the vector under %s, and writes it there again',
      async (key) => {
        const text = `{"id":"a","${key}":[0.5,1]}\n`;
        expect((await read(text)).rows[0]?.vectors).toEqual([[0.5, 1]]);
        expect(await restored(at('a.jsonl'))).toBe(text);
      },
    );

    it('takes several vectors by name, each with numbers of its own', async () => {
      const text = '{"id":1,"vectors":{"text":[0.1,2],"image":[1,2,3]},"metadata":{}}\n';
      const { rows, schema } = await read(text);
      expect(schema?.vectors).toEqual([
        { name: 'image', dtype: 'f32', dimension: 3 },
        { name: 'text', dtype: 'f64', dimension: 2 },
      ]);
      expect(rows[0]?.vectors).toEqual([
        [1, 2, 3],
        [0.1, 2],
      ]);
      expect(await restored(at('a.jsonl'))).toBe(
        '{"id":1,"vectors":{"image":[1,2,3],"text":[0.1,2]},"metadata":{}}\n',
      );
    });

    it('takes records without vectors', async () => {
      const text = '{"id":"a","metadata":{"n":1}}\n{"id":"b"}\n';
      expect((await read(text)).schema?.vectors).toEqual([]);
      expect(await restored(at('a.jsonl'))).toBe(text);
    });

    it('tells no metadata from empty and from null', async () => {
      const lines = ['', ',"metadata":{}', ',"metadata":null', ',"metadata":[]', ',"metadata":"x"'];
      const text = lines.map((line, i) => `{"id":${i},"vector":[1]${line}}\n`).join('');
      expect(await payloadsOf(text)).toEqual(['', '{}', 'null', '[]', '"x"']);
      expect(await restored(at('a.jsonl'))).toBe(text);
    });

    it('keeps every other key, and writes it beside the id again', async () => {
      const text =
        '{"id":"a","values":[1],"metadata":{"x":1},"sparse":{"i":[1]},"text":"é"}\n{"id":"b","values":[2]}\n';
      expect(await payloadsOf(text)).toEqual(['{"metadata":{"x":1},"sparse":{"i":[1]},"text":"é"}', '']);
      expect(await restored(at('a.jsonl'))).toBe(text);
    });

    it('makes metadata canonical without changing a number', async () => {
      const metadata =
        '{"b": 12345678901234567890, "a": [1.0, 1e5, 1e400, -0, -0.0, 3.141592653589793238], "__proto__": {"1": 2, "b": 1, "b": 3}}';
      expect(await payloadsOf(`{"id":1,"vector":[1],"metadata":${metadata}}`)).toEqual([
        '{"__proto__":{"1":2,"b":3},"a":[1,100000,1e400,-0,-0,3.141592653589793238],"b":12345678901234567890}',
      ]);
    });

    it('takes the last of two equal keys', async () => {
      const { rows } = await read(
        '{"id":"x","vector":[1],"id":"a","metadata":1,"\\u0076ector":[2],"metadata":2}',
      );
      expect(rows).toEqual([{ id: 'a', vectors: [[2]], payload: '2' }]);
    });

    it('keeps numbers as f32 exactly when they are', async () => {
      const exact = [0.10000000149011612, -0, 1e-45, 3.4028234663852886e38, 16777216].map(Math.fround);
      const { rows, schema, notes } = await read(
        `{"id":1,"vector":[${exact.map((x) => (Object.is(x, -0) ? '-0' : x)).join()}]}`,
      );
      expect(schema?.vectors[0]?.dtype).toBe('f32');
      expect(rows[0]?.vectors[0]).toEqual(exact);
      expect(Object.is(rows[0]?.vectors[0]?.[1], -0)).toBe(true);
      expect(notes).toEqual([]);
    });

    it('keeps numbers as f64 when one is not of f32, and says where', async () => {
      const { rows, schema, notes } = await read(
        '{"id":1,"vector":[0.5]}\n\n{"id":2,"vector":[0.1]}\n{"id":3,"vector":[0.2]}',
      );
      expect(schema?.vectors[0]?.dtype).toBe('f64');
      expect(rows.map(({ vectors }) => vectors[0])).toEqual([[0.5], [0.1], [0.2]]);
      expect(notes[0]).toContain('line 3');
    });

    it('rounds to f32 when it is told to, but not to infinity', async () => {
      const { rows, schema, notes } = await read('{"id":1,"vector":[0.1]}', { dtype: 'f32' });
      expect([schema?.vectors[0]?.dtype, rows[0]?.vectors[0], notes]).toEqual([
        'f32',
        [Math.fround(0.1)],
        [],
      ]);
      expect((await read('{"id":1,"vector":[1]}', { dtype: 'f64' })).schema?.vectors[0]?.dtype).toBe('f64');
      const path = await written('{"id":1,"vector":[1e39]}');
      await expectCode('SOURCE_INVALID', () => about(path, { dtype: 'f32' }));
    });

    it('reads and writes numbers that are not finite as Python does', async () => {
      const text = '{"id":1,"vector":[NaN,Infinity,-Infinity,-0,1.5]}\n';
      expect((await read(text)).rows[0]?.vectors[0]).toEqual([Number.NaN, Infinity, -Infinity, -0, 1.5]);
      expect(await restored(at('a.jsonl'))).toBe(text);
    });

    it('minds neither blank lines, nor carriage returns, nor a byte order mark, nor space, nor a missing end', async () => {
      const text =
        '\ufeff{"id":"a","vector":[1]}\r\n\r\n  \n\t{ "id" : "b" , "vector" : [ 2 , 3e-1 ] , "metadata" : { } }  ';
      const path = await written(text.replace('[1]', '[1,1]'));
      expect((await about(path)).rows.map(({ id, payload }) => [id, payload])).toEqual([
        ['a', ''],
        ['b', '{}'],
      ]);
    });

    it('reads lines that are longer than any buffer', async () => {
      const long = 'é"\\,{}['.repeat(400_000);
      const lines = [2, 1].map((id) => JSON.stringify({ id, vector: [id], metadata: { long, id } }));
      const { rows } = await read(`${lines[0]}\n{"id":3,"vector":[3]}\n${lines[1]}`);
      expect(rows.map(({ payload }) => payload.length)).toEqual([
        rows[0]?.payload.length,
        rows[0]?.payload.length,
        0,
      ]);
      expect(JSON.parse(rows[1]?.payload ?? '')).toEqual({ long, id: 2 });
    });

    it('is recognised by its ending', async () => {
      for (const name of ['a.jsonl', 'b.NDJSON']) {
        await writeFile(at(name), '');
        expect((await resolveSource(at(name))).place).toBe(`jsonl:${at(name)}`);
      }
      expect((await resolveSource(`jsonl:${at('notes.jsonl')}`)).collection).toBe('notes');
      expect((await resolveTarget(at('new'), { name: 'jsonl' })).place).toBe(`jsonl:${at('new')}`);
    });

    it('is empty when the file is', async () => {
      for (const text of ['', '\n\n', '\ufeff']) expect((await read(text)).rows).toEqual([]);
    });
  });

  describe('as a source that is not as it should be', () => {
    const good = '{"id":"a","vector":[1,2]}\n';

    it.each([
      ['no JSON', 'hello'],
      ['an array', '[{"id":1}]'],
      ['the beginning of an array', '['],
      ['a number', '1'],
      ['a cut line', '{"id":"b","vector":[1,2'],
      ['a cut string', '{"id":"b'],
      ['a comma too many', '{"id":"b","vector":[1,2],}'],
      ['a comma in the vector too many', '{"id":"b","vector":[1,2,]}'],
      ['no comma', '{"id":"b" "vector":[1,2]}'],
      ['two objects', '{"id":"b","vector":[1,2]}{"id":"c","vector":[1,2]}'],
      ['a key without quotes', '{id:"b","vector":[1,2]}'],
      ['no value', '{"id":"b","vector":[1,2],"metadata":}'],
      ['metadata that is no JSON', '{"id":"b","vector":[1,2],"metadata":{"a":undefined}}'],
      ['metadata with NaN', '{"id":"b","vector":[1,2],"metadata":NaN}'],
      [
        'metadata that is too deep',
        `{"id":"b","vector":[1,2],"metadata":${'['.repeat(9999)}${']'.repeat(9999)}}`,
      ],
      ['no id', '{"vector":[1,2]}'],
      ['an id of null', '{"id":null,"vector":[1,2]}'],
      ['an id that is a fraction', '{"id":1.5,"vector":[1,2]}'],
      ['an id with an exponent', '{"id":1e3,"vector":[1,2]}'],
      ['an id below zero', '{"id":-1,"vector":[1,2]}'],
      ['an id that is a number among text', '{"id":1,"vector":[1,2]}'],
      ['an id with a lone surrogate', '{"id":"\\ud800","vector":[1,2]}'],
      ['no vector', '{"id":"b"}'],
      ['a vector under another key', '{"id":"b","values":[1,2]}'],
      ['a vector of text', '{"id":"b","vector":["1","2"]}'],
      ['a vector with null', '{"id":"b","vector":[1,null]}'],
      ['a vector of vectors', '{"id":"b","vector":[[1,2]]}'],
      ['a vector that is an object', '{"id":"b","vector":{"0":1}}'],
      ['an empty vector', '{"id":"b","vector":[]}'],
      ['a number too large for a double', '{"id":"b","vector":[1,1e400]}'],
      ['a number that JSON has none of', '{"id":"b","vector":[1,.5]}'],
      ['a hexadecimal number', '{"id":"b","vector":[1,0x10]}'],
      ['a name that is near', '{"id":"b","vector":[1,-NaN]}'],
    ])('names the line that has %s', async (_, line) => {
      await expectFault(`${good}\n${line}\n${good.replace('a', 'c')}`, 'line 3');
    });

    it.each(['18446744073709551616', '99999999999999999999', '1e3', '-1', '0.5', '01'])(
      'does not take %s for an id of 64 bits',
      async (id) => {
        await expectFault(`{"id":1,"vector":[1]}\n{"id":${id},"vector":[1]}`, 'line 2');
      },
    );

    it('names the line of another dimension, and its id', async () => {
      const error = await expectFault(`${good}{"id":"b","vector":[1,2,3]}`, 'line 2', 'SOURCE_DIMENSION');
      expect(error.message).toContain('"b"');
    });

    it('names both lines of one id', async () => {
      const error = await expectFault(
        `${good}{"id":"b","vector":[1,2]}\n\n{"id":"\\u0061","vector":[3,4]}`,
        'lines 1 and 4',
        'SOURCE_DUPLICATE_ID',
      );
      expect(error.message).toContain('"a"');
      await expectFault(
        '{"id":7,"vector":[1]}\n{"id":7,"vector":[1]}',
        'lines 1 and 2',
        'SOURCE_DUPLICATE_ID',
      );
    });

    it('names a line that is not UTF-8', async () => {
      await expectFault(Buffer.concat([Buffer.from(good), Buffer.from([0x7b, 0xff, 0x7d])]), 'line 2');
      await expectFault(Buffer.from(`\ufeff${good}`, 'utf16le'), 'line 1');
    });

    it('does not take a vector for metadata when the first line has none', async () => {
      await expectFault('{"id":"a","text":"x"}\n{"id":"b","embedding":[1]}', 'line 2');
      await expectFault('{"id":"a","vectors":{"x":[1]}}\n{"id":"b","vectors":{"y":[1]}}', 'line 2');
    });

    it('does not read a line that never ends', async () => {
      const path = await written(good);
      for (let i = 0; i < 66; i++) await appendFile(path, ' '.repeat(1 << 20));
      expect((await expectCode('SOURCE_INVALID', () => about(path))).place).toBe(`${path}, line 2`);
    });

    it.each([
      '{"id":"a","vecto',
      '{"id":"a","vector":[1;2]}\n',
      '{"id":"a","vector":[1,2]}\n{"id":"b","vector":[1]}\n',
    ])('notices a write between the two readings: %s', async (text) => {
      const path = await written(good);
      await expectCode('SOURCE_CHANGED', () =>
        withOpen(jsonlSource(path), async (content) => {
          await writeFile(path, text);
          for await (const batch of content.records?.() ?? []) batch.release?.();
          await content.confirmUnchanged();
        }),
      );
    });
  });

  describe('as a target', () => {
    const contentOf = (dtype: Dtype, bytes: Uint8Array, dimension: number, payload = ''): Content => ({
      format: { name: 'test' },
      schema: { id: 'string', vectors: [{ name: 'vector', dtype, dimension }], payload: 'json' },
      records: async function* () {
        const shifted = new Uint8Array(bytes.length + 1).subarray(1);
        shifted.set(bytes);
        yield { count: 1, ids: ['a'], vectors: [shifted], payloads: [new TextEncoder().encode(payload)] };
      },
      files: undefined,
      expected: {},
    });
    const bytesOf = (numbers: { buffer: ArrayBufferLike }) => new Uint8Array(numbers.buffer);

    it.each([
      ['f32', bytesOf(Float32Array.of(0.1, -0, 1e-45)), 3, '[0.10000000149011612,-0,1.401298464324817e-45]'],
      ['f64', bytesOf(Float64Array.of(0.1, 1e300)), 2, '[0.1,1e+300]'],
      ['i8', bytesOf(Int8Array.of(-128, 127)), 2, '[-128,127]'],
      ['u8', Uint8Array.of(0, 255), 2, '[0,255]'],
      [
        'f16',
        bytesOf(Uint16Array.of(0x3c00, 0xc000, 1, 0x7bff, 0x8000, 0x7c00, 0x7e00)),
        7,
        '[1,-2,5.960464477539063e-8,65504,-0,Infinity,NaN]',
      ],
      ['bf16', bytesOf(Uint16Array.of(0x3f80, 0xc000, 0x7f80, 0x8000)), 4, '[1,-2,Infinity,-0]'],
    ] as const)('writes %s exactly', async (dtype, bytes, dimension, list) => {
      await jsonlTarget(at('b.jsonl')).write(contentOf(dtype, bytes, dimension), {});
      expect(await readFile(at('b.jsonl'), 'utf8')).toBe(`{"id":"a","vector":${list}}\n`);
    });

    it('keeps one record on one line', async () => {
      await jsonlTarget(at('b.jsonl')).write(
        contentOf('u8', Uint8Array.of(1), 1, '{\n"b": 1,\r\n"a": 2}'),
        {},
      );
      expect(await readFile(at('b.jsonl'), 'utf8')).toBe(
        '{"id":"a","vector":[1],"metadata":{"a":2,"b":1}}\n',
      );
    });

    it('says what suits content that it cannot take', async () => {
      const base = contentOf('u8', Uint8Array.of(1), 1);
      const column = { name: 'vector', dtype: 'u8', dimension: 1 } as const;
      const schemas = [
        { id: 'none', vectors: [column], payload: 'none' },
        { id: 'string', vectors: [column], payload: 'bytes' },
        { id: 'string', vectors: [{ ...column, dtype: 'bits' }], payload: 'json' },
      ] as const;
      for (const schema of schemas) {
        await expectCode('TARGET_UNSUITABLE', () =>
          jsonlTarget(at('b.jsonl')).write({ ...base, schema }, {}),
        );
      }
      const flat = {
        ...contentOf('u8', Uint8Array.of(1), 1, '[1]'),
        format: { name: 'jsonl', vector: 'vector', payload: 'rest' },
      };
      await expectCode('TARGET_UNSUITABLE', () => jsonlTarget(at('b.jsonl')).write(flat, {}));
      expect(await readdir(directory)).toEqual([]);
    });
  });

  describe('for any input', () => {
    const number = fc.oneof(fc.double(), fc.float(), fc.integer(), fc.constantFrom(-0, 0.1, NaN, Infinity));
    const id = fc.oneof(
      {
        weight: 1,
        arbitrary: fc.uniqueArray(fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }), { maxLength: 12 }),
      },
      { weight: 2, arbitrary: fc.uniqueArray(fc.string({ unit: 'grapheme' }), { maxLength: 12 }) },
    );
    const record = fc.record({
      vector: fc.array(number, { minLength: 3, maxLength: 3 }),
      metadata: fc.option(fc.jsonValue(), { nil: undefined }),
      extra: fc.option(fc.jsonValue(), { nil: undefined }),
    });
    const textOf = (value: unknown) => JSON.stringify(value);
    const listOf = (numbers: readonly number[]) =>
      `[${numbers.map((x) => (Object.is(x, -0) ? '-0' : String(x))).join()}]`;

    it('gives every record back, and a restore gives the same again', async () => {
      await fc.assert(
        fc.asyncProperty(
          id as fc.Arbitrary<RecordId[]>,
          fc.array(record, { minLength: 12, maxLength: 12 }),
          async (ids, records) => {
            const hasExtra = ids.some((_, i) => records[i]?.extra !== undefined);
            const lines = ids.map((one, i) => {
              const { vector, metadata, extra } = itemAt(records, i);
              const rest = [
                metadata === undefined ? '' : `,"metadata":${textOf(metadata)}`,
                extra === undefined ? '' : `,"extra":${textOf(extra)}`,
              ];
              return `{"id":${typeof one === 'bigint' ? one : textOf(one)},"vector":${listOf(vector)}${rest.join('')}}\n`;
            });
            const first = await read(lines.join(''));
            const order = ids.map((_, i) => i).sort((a, b) => compareIds(itemAt(ids, a), itemAt(ids, b)));
            expect(first.rows.map(({ id: one }) => one)).toEqual(order.map((i) => ids[i]));
            expect(first.rows.map(({ vectors }) => vectors[0])).toEqual(
              order.map((i) => itemAt(records, i).vector),
            );
            const expected = order.map((i) => {
              const { metadata, extra } = itemAt(records, i);
              if (!hasExtra) return metadata === undefined ? '' : canonicalJson(textOf(metadata));
              const fields = textOf({ metadata, extra });
              return fields === '{}' ? '' : canonicalJson(fields);
            });
            expect(first.rows.map(({ payload }) => payload)).toEqual(expected);
            const again = await restored(at('a.jsonl'));
            await writeFile(at('c.jsonl'), again);
            expect(await about(at('c.jsonl'))).toEqual(
              ids.length === 0
                ? await about(at('c.jsonl'))
                : { ...first, notes: (await about(at('c.jsonl'))).notes },
            );
            expect(await restored(at('c.jsonl'))).toBe(again);
          },
        ),
        { numRuns: 150 },
      );
    });

    it('gives records or a clear error, whatever the bytes', async () => {
      const piece = fc.oneof(
        fc.constantFrom(
          '{',
          '}',
          '[',
          ']',
          '"',
          '\\',
          ',',
          ':',
          '\n',
          ' ',
          '{"id":',
          '"id"',
          '"vector":[',
          '"metadata":',
          '{}',
          'null',
          'NaN',
          '-',
          '1e5',
          '0',
          '\\u00',
          '"a"',
          '"b"',
          '{"id":"a","vector":[1]}\n',
        ),
        fc.string(),
      );
      await fc.assert(
        fc.asyncProperty(fc.array(piece, { maxLength: 20 }), async (pieces) => {
          const path = await written(pieces.join(''));
          await about(path).catch((error: unknown) => {
            if (!isVecsnapError(error)) throw error;
            expect(error.place).toContain(path);
            expect(error.remedy).toBeTruthy();
          });
        }),
        { numRuns: 600 },
      );
    });

    it('has a canonical form of any JSON that says the same and stays as it is', () => {
      fc.assert(
        fc.property(fc.json(), (text) => {
          const canonical = canonicalJson(text);
          expect(JSON.parse(canonical)).toEqual(JSON.parse(text));
          expect(canonicalJson(canonical)).toBe(canonical);
          expect(canonicalJson(JSON.stringify(JSON.parse(text), null, 2)).replaceAll('-0', '0')).toBe(
            canonical.replaceAll('-0', '0'),
          );
        }),
      );
    });
  });
});
