/** Decoders of files that other programs wrote: matrices, JSON Lines, redb, ruvector, exported folders, journals. */
import { createHash } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { deflateRawSync, gzipSync } from 'node:zlib';
import { concatBytes, encodeCanonical, recordVectorBytes, utf8, viewOf } from 'vecsnap/core';
import {
  bvecs,
  canonicalJson,
  fbin,
  folderSource,
  followChanges,
  fvecs,
  i8bin,
  jsonlSource,
  type MatrixFormat,
  matrixSource,
  npy,
  type OpenSource,
  RedbFile,
  ruvectorSource,
  type Source,
  u8bin,
} from 'vecsnap/source';
import { bytesOfLength, joinParts, splitParts } from './parts.js';
import { makeRedb, resealRedb } from './redb-seed.js';
import { expectSame, type FuzzTarget, Wrong } from './target.js';

/** Reads all that a source gives. */
async function readSource(source: Source): Promise<Awaited<ReturnType<typeof readOpen>>> {
  const open = await source.open();
  try {
    return await readOpen(open);
  } finally {
    await open.close();
  }
}

async function readOpen(
  open: OpenSource,
): Promise<{ records: number; vectorBytes: number; fileBytes: number }> {
  let [records, vectorBytes, fileBytes] = [0, 0, 0];
  for await (const batch of open.records?.() ?? []) {
    const { count, ids, vectors, payloads, release } = batch;
    records += count;
    vectorBytes += vectors.reduce((sum, { length }) => sum + length, 0);
    if (ids !== undefined && ids.length !== count) throw new Wrong('a batch has fewer ids than records');
    if (payloads !== undefined && payloads.length !== count)
      throw new Wrong('a batch has fewer payloads than records');
    release?.();
  }
  if (open.schema !== undefined && vectorBytes !== records * recordVectorBytes(open.schema))
    throw new Wrong(`${vectorBytes} bytes of vectors for ${records} records`);
  for await (const file of open.files?.() ?? []) {
    if (file.type !== 'file') continue;
    for await (const piece of file.read()) fileBytes += piece.length;
  }
  return { records, vectorBytes, fileBytes };
}

function u32(...values: readonly number[]): Uint8Array {
  const bytes = new Uint8Array(values.length * 4);
  for (const [i, value] of values.entries()) viewOf(bytes).setUint32(4 * i, value, true);
  return bytes;
}

function npyFile(version: 1 | 2, header: string, data: Uint8Array): Uint8Array {
  const text = utf8(`${header.padEnd(100)}\n`);
  const length = version === 1 ? Uint8Array.of(text.length, 0) : u32(text.length);
  return concatBytes([Uint8Array.of(0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59, version, 0), length, text, data]);
}

const HEADER = "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }";
const LINES = utf8(
  [
    '{"id": "a", "vector": [1, 2.5], "metadata": {"__proto__": {"x": 1}, "n": 12345678901234567890}}',
    '{"id": "ü", "vector": [NaN, -0], "metadata": null}',
    '{"vector": [1e3, -Infinity], "id": "\\u0041\\n", "extra": [[], {}, "\\"\\\\"]}',
    '',
  ].join('\n'),
);
const NUMBERED = utf8(
  '{"id": 7, "vectors": {"a": [1], "b": [2, 3]}}\r\n{"vectors": {"b": [0.1, 3], "a": [5]}, "id": 18446744073709551615}',
);

const JSONS = [
  '{"b":[1,2.50,1e3,-0,12345678901234567890],"a":{"__proto__":1,"constructor":null}}',
  '"\\ud83d\\ude00 \\n"',
  '[0.1e-7, 100000000000000000000000.0, {"a":1,"a":2}]',
].map(utf8);

/** Parts: a byte whose bits say which files are taken as they are and not compressed; metadata.json; then the three others. */
const FOLDER = joinParts([
  Uint8Array.of(0),
  utf8(
    JSON.stringify({
      version: 1,
      snapshot: { name: 'n', collection: 'c', createdAt: '2024-01-01T00:00:00.000Z', tags: [], metadata: {} },
      schema: { id: 'string', vectors: [{ name: 'v', dtype: 'f32', dimension: 2 }], payload: 'json' },
      formatName: 'test',
      format: Buffer.from(encodeCanonical({ name: 'test' })).toString('base64'),
      records: 2,
      files: 2,
      hasFiles: true,
    }),
  ),
  bytesOfLength(16, 1),
  concatBytes([u32(1), utf8('a'), u32(2), utf8('{}'), u32(1), utf8('b'), u32(0)]),
  concatBytes([
    Uint8Array.of(1),
    u32(0o755, 1),
    utf8('d'),
    Uint8Array.of(0),
    u32(0o644, 3),
    utf8('d/f'),
    u32(5, 0),
    utf8('hello'),
    Uint8Array.of(2),
    u32(0o777, 1),
    utf8('l'),
    u32(1),
    utf8('d'),
  ]),
]);
const FOLDER_FILES = ['metadata.json', 'vectors.bin.gz', 'metadata.bin.gz', 'index.bin.gz'];

async function importFolder(folder: string, input: Uint8Array): Promise<void> {
  const [flags = new Uint8Array(1), ...parts] = splitParts(input);
  const lines = FOLDER_FILES.map((name, i) => {
    const part = parts[i] ?? new Uint8Array(0);
    const isPlain = i === 0 || ((flags[0] ?? 0) & (1 << i)) !== 0;
    const bytes = isPlain ? part : gzipSync(part, { level: 1 });
    writeFileSync(join(folder, name), bytes);
    return `${createHash('sha256').update(bytes).digest('hex')}  ${name}\n`;
  });
  writeFileSync(join(folder, 'checksum.sha256'), lines.join(''));
  await readSource(await folderSource(folder));
}

function checked(bytes: Uint8Array): Uint8Array {
  return createHash('sha256').update(bytes).digest().subarray(0, 8);
}

function frame(body: Uint8Array): Uint8Array {
  return concatBytes([utf8('vsnf'), u32(body.length), checked(body), body]);
}

function header(start: number): Uint8Array {
  const head = concatBytes([utf8('vsnchng1'), bytesOfLength(16, 5), u32(start, 0)]);
  return concatBytes([head, checked(head)]);
}

const JOURNAL_ID = Buffer.from(bytesOfLength(16, 5)).toString('hex');
const MARKS = encodeCanonical([
  ['snap', JOURNAL_ID, 40, 3, 'dev:1'],
  ['other', JOURNAL_ID, 0, null, null],
]);
const JOURNAL = joinParts([
  concatBytes([
    header(40),
    frame(encodeCanonical([0, null, null])),
    frame(encodeCanonical([1, ['a', 'b'], 60])),
    frame(encodeCanonical([2, null, null])),
  ]),
  concatBytes([checked(MARKS), MARKS]),
]);

/** Header, frames and marks with checks that fit. */
function resealJournal(input: Uint8Array): Uint8Array {
  const [journal = new Uint8Array(0), marks = new Uint8Array(0)] = splitParts(input);
  if (journal.length >= 40) journal.set(checked(journal.subarray(0, 32)), 32);
  for (let at = 40; at + 16 <= journal.length;) {
    const end = at + 16 + viewOf(journal).getUint32(at + 4, true);
    if (end > journal.length) break;
    journal.set(checked(journal.subarray(at + 16, end)), at + 8);
    at = end;
  }
  if (marks.length >= 8) marks.set(checked(marks.subarray(8)));
  return joinParts([journal, marks]);
}

async function readJournal(path: string, input: Uint8Array): Promise<void> {
  const [journal = new Uint8Array(0), marks = new Uint8Array(0)] = splitParts(input);
  writeFileSync(path, journal);
  writeFileSync(`${path}.snapshots`, marks);
  const schema = { id: 'string', vectors: [], payload: 'none' } as const;
  const source: Source = {
    place: 'test',
    collection: 'test',
    open: async () => ({
      format: { name: 'test' },
      schema,
      records: undefined,
      files: undefined,
      expected: {},
      notes: [],
      confirmUnchanged: async () => {},
      close: async () => {},
    }),
  };
  const { changes } = await followChanges(source, { journal: path }).open();
  const told = await changes?.since('snap');
  if (told !== undefined && 'ids' in told && [...told.ids].some((id) => typeof id !== 'string'))
    throw new Wrong('a journal gave an id that is no text');
  // Remembering a snapshot writes and syncs a file, which takes long; a share of the inputs is enough.
  if (input.length % 64 === 0) await changes?.follow('next');
}

async function readRedb(path: string): Promise<void> {
  const file = await RedbFile.open(path);
  try {
    for (const table of file.tables.values()) {
      if (!table.plain) continue;
      for await (const leaf of file.leaves(table))
        for (let i = 0; i < leaf.count; i++)
          if (leaf.key(i).length + leaf.value(i).length > 1 << 20) throw new Wrong('long');
      for await (const some of file.find(table, [utf8('a'), utf8('c'), utf8('ü')]))
        for (const { value } of some) void value;
    }
  } finally {
    await file.close();
  }
}

async function readRuvector(path: string): Promise<void> {
  const open = await ruvectorSource(path).open();
  try {
    await readOpen(open);
    for await (const { count } of open.lookUp?.get(['a', 'd', 'x']) ?? []) void count;
  } finally {
    await open.close();
  }
}

/** Makes the targets; what they read is written below `directory`, again and again. */
export function sourceTargets(directory: string): FuzzTarget[] {
  const inFile = (name: string, read: (path: string) => Promise<unknown>) => async (input: Uint8Array) => {
    const path = join(directory, name);
    writeFileSync(path, input);
    await read(path);
  };
  const matrix = (format: MatrixFormat, seeds: readonly Uint8Array[], widest: number): FuzzTarget => ({
    name: format.scheme,
    seeds,
    decode: inFile(`x.${format.scheme}`, async (path) => readSource(matrixSource(format, path))),
    budget: { multiple: 64 * widest, constant: 2 << 20 },
  });
  mkdirSync(join(directory, 'folder'), { recursive: true });
  return [
    matrix(fbin, [concatBytes([u32(3, 2), bytesOfLength(24, 1)])], 1),
    matrix(u8bin, [concatBytes([u32(3, 4), bytesOfLength(12, 1)])], 1),
    matrix(i8bin, [concatBytes([u32(3, 4), bytesOfLength(12, 1)])], 1),
    matrix(fvecs, [concatBytes([u32(1), bytesOfLength(4, 1), u32(1), bytesOfLength(4, 2)])], 1),
    matrix(bvecs, [concatBytes([u32(5), bytesOfLength(5, 1), u32(5), bytesOfLength(5, 2)])], 1),
    matrix(npy, [npyFile(1, HEADER, bytesOfLength(24, 1)), npyFile(2, HEADER, bytesOfLength(24, 1))], 10),
    {
      name: 'json',
      seeds: JSONS,
      decode(input) {
        let canonical: string;
        try {
          canonical = canonicalJson(Buffer.from(input).toString('utf8'));
        } catch (error) {
          if (error instanceof SyntaxError) return; // As it says; the sources make a VecsnapError of it.
          throw error;
        }
        expectSame('canonical JSON', utf8(canonical), utf8(canonicalJson(canonical)));
      },
      budget: { multiple: 500, constant: 1 << 20 },
    },
    {
      name: 'jsonl',
      seeds: [LINES, NUMBERED],
      decode: inFile('x.jsonl', async (path) => readSource(jsonlSource(path))),
      budget: { multiple: 1000, constant: 16 << 20 },
      isSlow: true,
    },
    {
      name: 'redb',
      seeds: [makeRedb()],
      reseal: resealRedb,
      decode: inFile('x.redb', readRedb),
      budget: { multiple: 1000, constant: 8 << 20 },
    },
    {
      name: 'ruvector',
      seeds: [makeRedb()],
      reseal: resealRedb,
      decode: inFile('x.db', readRuvector),
      budget: { multiple: 1000, constant: 16 << 20 },
      isSlow: true,
    },
    {
      name: 'folder',
      seeds: [
        FOLDER,
        joinParts([
          Uint8Array.of(14),
          ...splitParts(FOLDER).slice(1, 2),
          ...splitParts(FOLDER)
            .slice(2)
            .map((part) => gzipSync(part)),
        ]),
        joinParts([Uint8Array.of(14), deflateRawSync(FOLDER)]),
      ],
      decode: async (input) => importFolder(join(directory, 'folder'), input),
      budget: { multiple: 2000, constant: 32 << 20 },
      isSlow: true,
    },
    {
      name: 'journal',
      seeds: [JOURNAL],
      reseal: resealJournal,
      decode: async (input) => readJournal(join(directory, 'changes'), input),
      budget: { multiple: 1000, constant: 4 << 20 },
      isSlow: true,
    },
  ];
}
