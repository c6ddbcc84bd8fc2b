/**
 * The target that writes JSON Lines: one record on each line, in the order of the ids.
 *
 * Numbers are written so that they read back to the same bits: a number of f32 as the shortest decimal of the double that
 * equals it, so that a reader sees that it is one of f32. NaN and infinities are written as Python writes them, `NaN`,
 * `Infinity` and `-Infinity` (of a NaN nothing but that it is one).
 */
import {
  NUMBER_READERS,
  type NumberReader,
  fromUtf8,
  quoteId,
  type RecordBatch,
  type RecordId,
  throwIfAborted,
  utf8,
  type VectorColumn,
  VecsnapError,
  viewOf,
} from '../core/index.js';
import { canonicalJson } from './canonical-json.js';
import { FileWriter } from './file-writer.js';
import { ONE_VECTOR, VECTOR_KEYS } from './jsonl-line.js';
import type { Content, Target, WriteOptions, WriteReport } from './port.js';
import { checkTargetFree, replaceAtomically } from './replace.js';

/** Characters of text that are encoded and written together. */
const PIECE_LENGTH = 1 << 18;

/**
 * A target that writes the JSON Lines file at `path`. It takes records with ids, any vectors but those of bits, and JSON
 * payloads. Records that came from JSON Lines get the keys they had; others `id`, `vector` (`vectors` when there are
 * several, or one of another name) and `metadata`.
 */
export function jsonlTarget(path: string): Target {
  return {
    place: `jsonl:${path}`,
    prepare: (writeOptions) => checkTargetFree(path, writeOptions),
    async write(content, writeOptions) {
      const layout = layoutOf(path, content);
      return replaceAtomically(path, writeOptions, (temporary) =>
        writeLines(temporary, layout, content, writeOptions),
      );
    },
  };
}

/** How a record becomes a line. */
interface LineLayout {
  readonly path: string;
  readonly columns: readonly VectorColumn[];
  readonly read: readonly NumberReader[];
  /** The key of the vector, or of all vectors. */
  readonly vectorKey: string;
  readonly isOneVector: boolean;
  /** Whether the fields of the payload stand beside the id, or the payload stands under `metadata`. */
  readonly isFlat: boolean;
}

function layoutOf(path: string, { schema, format, files }: Content): LineLayout {
  if (schema === undefined || files !== undefined)
    throw unsuitable(path, 'it holds files', 'Restore to dir: or file:.');
  if (schema.id === 'none') throw unsuitable(path, 'its records have no ids', 'Restore to fbin: or npy:.');
  if (schema.payload === 'bytes')
    throw unsuitable(path, 'its payloads are not JSON', 'Restore to the format it came from.');
  const read = schema.vectors.map(({ dtype }) => (dtype === 'bits' ? undefined : NUMBER_READERS[dtype]));
  if (!read.every((reader) => reader !== undefined)) {
    throw unsuitable(path, 'it has vectors of bits', 'Restore to the format it came from.');
  }
  const noted = format.name === 'jsonl' ? VECTOR_KEYS.find((key) => key === format['vector']) : undefined;
  const isOneVector =
    noted !== 'vectors' && schema.vectors.length === 1 && schema.vectors[0]?.name === ONE_VECTOR;
  return {
    path,
    columns: schema.vectors,
    read,
    vectorKey: isOneVector ? (noted ?? 'vector') : 'vectors',
    isOneVector,
    isFlat: format.name === 'jsonl' && format['payload'] === 'rest',
  };
}

function unsuitable(path: string, what: string, remedy: string): VecsnapError {
  return new VecsnapError('TARGET_UNSUITABLE', `JSON Lines cannot hold this snapshot: ${what}.`, {
    place: path,
    remedy,
  });
}

async function writeLines(
  path: string,
  layout: LineLayout,
  content: Content,
  { signal }: WriteOptions,
): Promise<WriteReport> {
  let [records, bytes] = [0, 0];
  await FileWriter.run(path, {}, async (writer) => {
    for await (const batch of content.records?.() ?? []) {
      throwIfAborted(signal);
      for (const piece of piecesOf(batch, layout)) await writer.write(piece);
      records += batch.count;
      for (const part of [...batch.vectors, ...(batch.payloads ?? [])]) bytes += part.length;
      batch.release?.();
    }
    throwIfAborted(signal);
  });
  return { records, files: 0, bytes };
}

function* piecesOf(batch: RecordBatch, layout: LineLayout): Generator<Uint8Array> {
  const views = batch.vectors.map(viewOf);
  let text = '';
  for (let row = 0; row < batch.count; row++) {
    text += lineOf(batch, row, views, layout);
    if (text.length < PIECE_LENGTH) continue;
    yield utf8(text);
    text = '';
  }
  if (text !== '') yield utf8(text);
}

function lineOf(batch: RecordBatch, row: number, views: readonly DataView[], layout: LineLayout): string {
  const id = batch.ids?.[row] as RecordId;
  const head = `{"id":${typeof id === 'bigint' ? id : JSON.stringify(id)}${vectorsOf(row, views, layout)}`;
  const payload = payloadOf(batch.payloads?.[row]);
  if (payload === '') return `${head}}\n`;
  if (!layout.isFlat) return `${head},"metadata":${payload}}\n`;
  if (!payload.startsWith('{')) throw notFlat(layout.path, id);
  return payload === '{}' ? `${head}}\n` : `${head},${payload.slice(1)}\n`;
}

function vectorsOf(
  row: number,
  views: readonly DataView[],
  { columns, read, vectorKey, isOneVector }: LineLayout,
): string {
  if (columns.length === 0) return '';
  const lists = columns.map(({ dimension }, i) =>
    listOf(views[i] as DataView, read[i] as NumberReader, row, dimension),
  );
  if (isOneVector) return `,"${vectorKey}":${lists[0]}`;
  return `,"${vectorKey}":{${columns.map(({ name }, i) => `${JSON.stringify(name)}:${lists[i]}`).join(',')}}`;
}

function listOf(view: DataView, read: NumberReader, row: number, dimension: number): string {
  let text = '';
  for (let index = row * dimension, end = index + dimension; index < end; index++) {
    const number = read(view, index);
    text += number === 0 && Object.is(number, -0) ? ',-0' : `,${number}`;
  }
  return `[${text.slice(1)}]`;
}

/** A payload on one line. Canonical JSON has no line breaks; other JSON may. */
function payloadOf(payload: Uint8Array | undefined): string {
  if (payload === undefined || payload.length === 0) return '';
  const text = fromUtf8(payload);
  return /[\r\n]/.test(text) ? canonicalJson(text) : text;
}

function notFlat(path: string, id: RecordId): VecsnapError {
  return new VecsnapError('TARGET_UNSUITABLE', `The payload of ${quoteId(id)} is no JSON object.`, {
    place: `${path}, id ${quoteId(id)}`,
    remedy: 'Check the snapshot with verify: its payloads should be objects.',
  });
}
