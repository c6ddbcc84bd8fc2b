/** Reads an exported folder by docs/format.md alone: no import from vecsnap. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { decodeMsgpack, sha256, type Value } from './independent-reader.js';

interface Column {
  readonly dtype: string;
  readonly dimension: number;
}

export interface ExportedFile {
  readonly type: number;
  readonly mode: number;
  readonly path: string;
  readonly target?: string;
  readonly content?: Buffer;
}

export interface ExportedFolder {
  readonly description: { readonly [key: string]: unknown };
  readonly format: Value;
  readonly ids: readonly (string | bigint)[];
  /** For each vector column its vectors one after the other. */
  readonly vectors: readonly Buffer[];
  readonly payloads: readonly Buffer[];
  readonly files: readonly ExportedFile[];
}

/** Takes bytes one after the other. */
class Bytes {
  #at = 0;
  readonly #bytes: Buffer;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  get atEnd(): boolean {
    return this.#at === this.#bytes.length;
  }

  take(length: number): Buffer {
    if (this.#at + length > this.#bytes.length)
      throw new Error('against docs/format.md: a file ends too early');
    this.#at += length;
    return this.#bytes.subarray(this.#at - length, this.#at);
  }

  u32(): number {
    return this.take(4).readUInt32LE();
  }

  u64(): bigint {
    return this.take(8).readBigUInt64LE();
  }

  value(): Buffer {
    return this.take(this.u32());
  }
}

export function readExportedFolder(folder: string): ExportedFolder {
  checkDigests(folder);
  const description = JSON.parse(readFileSync(join(folder, 'metadata.json'), 'utf8')) as {
    records: number;
    format: string;
    schema: { id: string; payload: string; vectors: readonly Column[] } | null;
  };
  const unzipped = (name: string) => new Bytes(gunzipSync(readFileSync(join(folder, name))));
  const { records, schema } = description;
  const values = unzipped('metadata.bin.gz');
  const ids: (string | bigint)[] = [];
  const payloads: Buffer[] = [];
  for (let i = 0; i < records; i++) {
    if (schema?.id === 'string') ids.push(values.value().toString('utf8'));
    if (schema?.id === 'u64') ids.push(values.u64());
    if (schema !== null && schema.payload !== 'none') payloads.push(values.value());
  }
  if (!values.atEnd) throw new Error('against docs/format.md: metadata.bin.gz has more');
  return {
    description: { ...description },
    format: decodeMsgpack(Buffer.from(description.format, 'base64')),
    ids,
    payloads,
    vectors: readVectors(unzipped('vectors.bin.gz'), records, schema?.vectors ?? []),
    files: readFiles(unzipped('index.bin.gz')),
  };
}

function checkDigests(folder: string): void {
  const lines = readFileSync(join(folder, 'checksum.sha256'), 'utf8').trimEnd().split('\n');
  const names = lines.map((line) => {
    const [digest, name] = line.split('  ') as [string, string];
    if (sha256(readFileSync(join(folder, name))).toString('hex') !== digest)
      throw new Error(`against docs/format.md: the digest of ${name}`);
    return name;
  });
  if (names.join() !== 'metadata.json,index.bin.gz,metadata.bin.gz,vectors.bin.gz')
    throw new Error(`against docs/format.md: digests of ${names.join()}`);
}

const WIDTHS: Readonly<Record<string, number>> = {
  f32: 4,
  f64: 8,
  f16: 2,
  bf16: 2,
  i8: 1,
  u8: 1,
  bits: 1 / 8,
};

function readVectors(bytes: Bytes, records: number, columns: readonly Column[]): Buffer[] {
  const parts: Buffer[][] = columns.map(() => []);
  for (let i = 0; i < records; i++) {
    for (const [c, { dtype, dimension }] of columns.entries())
      parts[c]?.push(bytes.take(Math.ceil(dimension * (WIDTHS[dtype] as number))));
  }
  if (!bytes.atEnd) throw new Error('against docs/format.md: vectors.bin.gz has more');
  return parts.map((column) => Buffer.concat(column));
}

function readFiles(bytes: Bytes): ExportedFile[] {
  const files: ExportedFile[] = [];
  while (!bytes.atEnd) {
    const common = {
      type: bytes.take(1).readUInt8(),
      mode: bytes.u32(),
      path: bytes.value().toString('utf8'),
    };
    if (common.type === 0) files.push({ ...common, content: bytes.take(Number(bytes.u64())) });
    else files.push(common.type === 2 ? { ...common, target: bytes.value().toString('utf8') } : common);
  }
  return files;
}
