/** What snapshots are taken of while the disk is watched: small collections, of which one version differs a little from the next. */
import { concatBytes, type Schema, toHex, utf8, vectorBytes } from 'vecsnap/core';
import type { Content, Source, Target, WriteReport } from 'vecsnap/source';
import { fileTreeSource, recordSource, regularFile } from '../support/memory-source.js';
import { Chance } from './chance.js';

/** A collection, and the same as text that is equal for equal content and for no other. */
export interface Matter {
  readonly text: string;
  sourceOf(collection: string): Source;
}

/** Just enough for fingerprints. */
const VECTOR_BYTES = 1024;
const SCHEMA: Schema = {
  id: 'string',
  payload: 'json',
  vectors: [{ name: 'v', dtype: 'u8', dimension: VECTOR_BYTES }],
};
const RECORDS = 30;
const FILE_BYTES = 2500;

/** Records of a version: some change from one version to the next, some come, some go. */
export function versionOf(version: number, seed = 0): Matter {
  const numbers = Array.from({ length: RECORDS + version }, (_, i) => i);
  const lastChange = (i: number): number => (i % 13 === 4 ? version : Math.max(0, version - (i % 13)));
  const ids = numbers.map((i) => `id ${String(i + (i > 20 ? version : 0)).padStart(4, '0')}`);
  const vectors = numbers.map((i) =>
    new Chance(seed * 7919 + i * 101 + (i % 3 === 0 ? lastChange(i) : 0)).bytes(VECTOR_BYTES),
  );
  const payloads = numbers.map((i) => utf8(i % 5 === 0 ? `{"n":${i},"v":${lastChange(i)}}` : `{"n":${i}}`));
  const records = { schema: SCHEMA, count: ids.length, ids, vectors: [concatBytes(vectors)], payloads };
  return {
    text: ids.map((id, i) => recordText(id, vectors[i] as Uint8Array, payloads[i] as Uint8Array)).join('\n'),
    sourceOf: (collection) => recordSource(collection, records, { perBatch: 25 }),
  };
}

/** One file of a version. */
export function fileOf(version: number, seed = 0): Matter {
  const bytes = new Chance(seed + 1).bytes(FILE_BYTES);
  for (let i = 0; i < version; i++)
    bytes[(i * 611) % FILE_BYTES] = 255 - (bytes[(i * 611) % FILE_BYTES] as number);
  return {
    text: fileText('links.bin', bytes),
    sourceOf: (collection) =>
      fileTreeSource(collection, { name: 'test' }, [regularFile('links.bin', 0o644, bytes)]),
  };
}

/** A target that keeps the text of what it is given. */
export class Collecting implements Target {
  readonly place = 'memory:target';
  text = '';

  async prepare(): Promise<void> {}

  async write({ schema, records, files }: Content): Promise<WriteReport> {
    const lines: string[] = [];
    for await (const { count, ids, vectors, payloads } of records?.() ?? []) {
      const width = vectorBytes((schema as Schema).vectors[0] as Schema['vectors'][number]);
      for (let i = 0; i < count; i++) {
        const vector = (vectors[0] as Uint8Array).subarray(i * width, (i + 1) * width);
        lines.push(recordText(String(ids?.[i]), vector, payloads?.[i] as Uint8Array));
      }
    }
    for await (const file of files?.() ?? []) {
      if (file.type !== 'file') continue;
      const parts: Uint8Array[] = [];
      for await (const part of file.read()) parts.push(part.slice());
      lines.push(fileText(file.path, concatBytes(parts)));
    }
    this.text = lines.join('\n');
    return { records: 0, files: 0, bytes: 0 };
  }
}

function recordText(id: string, vector: Uint8Array, payload: Uint8Array): string {
  return `${id} ${toHex(vector)} ${toHex(payload)}`;
}

function fileText(path: string, bytes: Uint8Array): string {
  return `${path} ${toHex(bytes)}`;
}
