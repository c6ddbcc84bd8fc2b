/** Reads a snapshot from a folder of plain files; see folder-layout.ts. Every digest is checked before anything is taken. */
import { createHash } from 'node:crypto';
import { readdir } from 'node:fs/promises';
import { basename, join } from 'node:path';
import type { Readable } from 'node:stream';
import { createGunzip, type Gunzip } from 'node:zlib';
import {
  asMap,
  checkSchema,
  concatBytes,
  decodeCanonical,
  fromUtf8,
  isVecsnapError,
  type RecordBatch,
  recordVectorBytes,
  type Schema,
  vectorBytes,
  VecsnapError,
  viewOf,
} from '../core/index.js';
import {
  CHECKED_FILES,
  FILE_TYPES,
  FOLDER_FILES,
  FOLDER_VERSION,
  importDamaged,
  parseChecksums,
} from './folder-layout.js';
import { openRegular, readRegular, sourceChanged, systemCode } from './local-file.js';
import type { FileEntry, FormatNote, OpenSource, Source } from './port.js';

/** A source that is an exported folder, with what its `metadata.json` says about the snapshot. */
export interface FolderSource extends Source {
  readonly snapshot: { readonly [key: string]: unknown };
}

interface Description {
  readonly snapshot: { readonly [key: string]: unknown };
  readonly schema: Schema | undefined;
  readonly format: FormatNote;
  readonly records: number;
  readonly hasFiles: boolean;
}

/** Records are given by about this many bytes of vectors at a time. */
const BATCH_BYTES = 1024 * 1024;
/** And by about this many of ids and payloads. */
const BATCH_VALUE_BYTES = 4 * 1024 * 1024;
/** What is read of a file at once. */
const PIECE_BYTES = 1024 * 1024;
/** Files up to this size are read whole. */
const SMALL_FILE_BYTES = 4 * 1024 * 1024;
/** No id, payload, path or link target is longer than this; a longer one is damage. */
const MAX_VALUE_BYTES = 1024 * 1024 * 1024;

/**
 * Opens an exported folder: `path` itself, or the one folder `snapshot-…` in it.
 * @throws VecsnapError SOURCE_MISSING, IMPORT_DAMAGED.
 */
export async function folderSource(path: string): Promise<FolderSource> {
  const folder = await findFolder(path);
  const digests = await checkDigests(folder);
  const description = await readDescription(folder);
  return {
    place: path,
    collection: basename(folder),
    snapshot: description.snapshot,
    open: async () => openFolder(folder, description, digests),
  };
}

function openFolder(
  folder: string,
  { schema, format, records, hasFiles }: Description,
  digests: string,
): OpenSource {
  return {
    format,
    schema,
    records: schema && (() => readRecords(folder, schema, records)),
    files: hasFiles ? () => readFiles(folder) : undefined,
    expected: { records },
    notes: [],
    async confirmUnchanged() {
      if ((await checkDigests(folder)) !== digests) throw sourceChanged(folder);
    },
    close: async () => {},
  };
}

async function findFolder(path: string): Promise<string> {
  const names = await readdir(path).catch((cause: unknown) => {
    throw new VecsnapError('SOURCE_MISSING', 'There is no exported folder at this path.', {
      place: path,
      remedy: 'Give the folder that export made: snapshot-… with metadata.json in it.',
      cause,
    });
  });
  if (names.includes(FOLDER_FILES.description) || names.includes(FOLDER_FILES.checksums)) return path;
  const folders = names.filter((name) => name.startsWith('snapshot-'));
  if (folders.length === 1) return join(path, folders[0] as string);
  throw importDamaged(`it has no ${FOLDER_FILES.description}`, path);
}

/** @returns the checksums, which tell one export from another. */
async function checkDigests(folder: string): Promise<string> {
  const text = await readText(folder, FOLDER_FILES.checksums);
  const digests = parseChecksums(text, folder);
  for (const name of CHECKED_FILES) {
    if ((await digestOf(folder, name)) !== digests.get(name)) {
      throw importDamaged(`${name} fails its checksum`, join(folder, name));
    }
  }
  return text;
}

async function digestOf(folder: string, name: string): Promise<string> {
  const hash = createHash('sha256');
  try {
    for await (const piece of await openPieces(join(folder, name))) hash.update(piece as Uint8Array);
  } catch (cause) {
    throw unreadable(folder, name, cause);
  }
  return hash.digest('hex');
}

/** The bytes of a file. Memory is taken for each piece before it is read, so for a short file no more than it needs. */
async function openPieces(path: string): Promise<Readable> {
  const handle = await openRegular(path);
  const { size } = await handle.stat();
  return handle.createReadStream({ highWaterMark: Math.min(size + 1, PIECE_BYTES) });
}

async function readText(folder: string, name: string): Promise<string> {
  const bytes = await readRegular(join(folder, name)).catch((cause: unknown) => {
    throw unreadable(folder, name, cause);
  });
  return bytes.toString('utf8');
}

function unreadable(folder: string, name: string, cause: unknown): VecsnapError {
  const isMissing = systemCode(cause) === 'ENOENT';
  const what = isMissing
    ? `${name} is missing`
    : `${name} cannot be read (${cause instanceof Error ? cause.message : String(cause)})`;
  return importDamaged(what, join(folder, name), cause);
}

async function readDescription(folder: string): Promise<Description> {
  const place = join(folder, FOLDER_FILES.description);
  try {
    const json = JSON.parse(await readText(folder, FOLDER_FILES.description)) as {
      readonly [key: string]: unknown;
    };
    if (json['version'] !== FOLDER_VERSION)
      throw importDamaged(`its version is ${String(json['version'])}`, place);
    const schema = json['schema'] === null ? undefined : (json['schema'] as Schema);
    if (schema !== undefined) checkSchema(schema);
    return {
      snapshot: mapOr(json['snapshot'], {}),
      schema,
      format: decodeFormat(json['format'], place),
      records: countOf(json['records'], place),
      hasFiles: json['hasFiles'] === true,
    };
  } catch (cause) {
    throw isVecsnapError(cause, 'IMPORT_DAMAGED')
      ? cause
      : importDamaged('metadata.json is not what export writes', place, cause);
  }
}

function mapOr<T>(value: unknown, otherwise: T): { readonly [key: string]: unknown } | T {
  const isMap = typeof value === 'object' && value !== null && !Array.isArray(value);
  return isMap ? (value as { readonly [key: string]: unknown }) : otherwise;
}

function countOf(value: unknown, place: string): number {
  if (Number.isSafeInteger(value) && (value as number) >= 0) return value as number;
  throw importDamaged('it does not say how many records there are', place);
}

function decodeFormat(text: unknown, place: string): FormatNote {
  const format = decodeCanonical(new Uint8Array(Buffer.from(String(text), 'base64')));
  if (typeof asMap(format)?.['name'] !== 'string') throw importDamaged('its format has no name', place);
  return format as FormatNote;
}

async function* readRecords(folder: string, schema: Schema, records: number): AsyncGenerator<RecordBatch> {
  const vectors = new GzipReader(join(folder, FOLDER_FILES.vectors));
  const values = new GzipReader(join(folder, FOLDER_FILES.payloads));
  const perBatch = Math.max(1, Math.floor(BATCH_BYTES / Math.max(64, recordVectorBytes(schema))));
  try {
    for (let done = 0; done < records;) {
      const batch = await readBatch(schema, Math.min(perBatch, records - done), vectors, values);
      yield batch;
      done += batch.count;
    }
    await vectors.expectEnd();
    await values.expectEnd();
  } finally {
    vectors.close();
    values.close();
  }
}

/** At most `most` records: fewer when their ids and payloads are long. */
async function readBatch(
  schema: Schema,
  most: number,
  vectors: GzipReader,
  values: GzipReader,
): Promise<RecordBatch> {
  const texts: string[] = [];
  const numbers: bigint[] = [];
  const payloads: Uint8Array[] = [];
  const end = values.position + BATCH_VALUE_BYTES;
  let count = 0;
  for (; count < most && values.position < end; count++) {
    if (schema.id === 'string') texts.push(await values.text());
    if (schema.id === 'u64') numbers.push(viewOf(await values.take(8)).getBigUint64(0, true));
    if (schema.payload !== 'none') payloads.push(await values.value());
  }
  const rows = await vectors.take(count * recordVectorBytes(schema));
  return {
    count,
    ids: schema.id === 'none' ? undefined : schema.id === 'u64' ? BigUint64Array.from(numbers) : texts,
    vectors: splitColumns(schema, count, rows),
    payloads: schema.payload === 'none' ? undefined : payloads,
  };
}

function splitColumns({ vectors }: Schema, count: number, rows: Uint8Array): Uint8Array[] {
  if (vectors.length === 1) return [rows];
  const widths = vectors.map(vectorBytes);
  const rowBytes = widths.reduce((sum, width) => sum + width, 0);
  let before = 0;
  return widths.map((width) => {
    const column = new Uint8Array(count * width);
    for (let i = 0; i < count; i++)
      column.set(rows.subarray(i * rowBytes + before, i * rowBytes + before + width), i * width);
    before += width;
    return column;
  });
}

async function* readFiles(folder: string): AsyncGenerator<FileEntry> {
  const reader = new GzipReader(join(folder, FOLDER_FILES.files));
  try {
    while (!(await reader.atEnd())) {
      const type = (await reader.take(1))[0];
      const mode = viewOf(await reader.take(4)).getUint32(0, true);
      const path = await reader.text();
      if (type === FILE_TYPES.directory) yield { type: 'directory', path, mode };
      else if (type === FILE_TYPES.link) yield { type: 'link', path, mode, target: await reader.text() };
      else if (type === FILE_TYPES.file) yield await readFileEntry(reader, path, mode);
      else throw importDamaged(`${FOLDER_FILES.files} has a file of unknown type ${type}`, folder);
    }
  } finally {
    reader.close();
  }
}

/**
 * Files stand one after the other in one stream. A small one is read whole, so that the next can be looked at; a large one is
 * passed over, and read by a second reader when its turn comes.
 */
async function readFileEntry(reader: GzipReader, path: string, mode: number): Promise<FileEntry> {
  const size = Number(viewOf(await reader.take(8)).getBigUint64(0, true));
  const common = { type: 'file', path, mode, size } as const;
  if (size > SMALL_FILE_BYTES) {
    const start = reader.position;
    await reader.skip(size);
    return { ...common, read: () => readAgain(reader.again(), start, size) };
  }
  const bytes = await reader.take(size);
  return {
    ...common,
    async *read() {
      if (size > 0) yield bytes;
    },
  };
}

async function* readAgain(reader: GzipReader, start: number, size: number): AsyncGenerator<Uint8Array> {
  try {
    await reader.skip(start);
    for (let left = size; left > 0; left -= PIECE_BYTES) yield await reader.take(Math.min(left, PIECE_BYTES));
  } finally {
    reader.close();
  }
}

/** Takes bytes from a compressed file one after the other. */
class GzipReader {
  readonly #place: string;
  /** Begun with the first byte that is asked for: a stream that fails while nobody reads it would end the program. */
  #pieces: AsyncIterator<Uint8Array> | undefined;
  #file: Readable | undefined;
  #gunzip: Gunzip | undefined;
  #rest = new Uint8Array(0);
  #offset = 0;
  /** Bytes that were taken or passed over. */
  position = 0;

  constructor(place: string) {
    this.#place = place;
  }

  /** A reader of the same file from its beginning. */
  again(): GzipReader {
    return new GzipReader(this.#place);
  }

  async take(length: number): Promise<Uint8Array> {
    const parts: Uint8Array[] = [];
    for (let missing = length; missing > 0; missing -= parts.at(-1)?.length ?? 0)
      parts.push(await this.#some(missing));
    return concatBytes(parts);
  }

  async skip(length: number): Promise<void> {
    for (let left = length; left > 0;) left -= (await this.#some(left)).length;
  }

  async value(): Promise<Uint8Array> {
    const length = viewOf(await this.take(4)).getUint32(0, true);
    if (length > MAX_VALUE_BYTES) throw importDamaged(`a value of ${length} bytes`, this.#place);
    return this.take(length);
  }

  async text(): Promise<string> {
    const bytes = await this.value();
    try {
      return fromUtf8(bytes);
    } catch (cause) {
      throw importDamaged('a text is not UTF-8', this.#place, cause);
    }
  }

  async atEnd(): Promise<boolean> {
    return this.#offset === this.#rest.length && !(await this.#more());
  }

  async expectEnd(): Promise<void> {
    if (!(await this.atEnd())) throw importDamaged('it has more than metadata.json says', this.#place);
  }

  /** From one to `most` bytes. */
  async #some(most: number): Promise<Uint8Array> {
    if (this.#offset === this.#rest.length && !(await this.#more()))
      throw importDamaged('it ends too early', this.#place);
    const part = this.#rest.subarray(this.#offset, this.#offset + most);
    this.#offset += part.length;
    this.position += part.length;
    return part;
  }

  /** Lets go of the file. */
  close(): void {
    this.#file?.destroy();
    this.#gunzip?.destroy();
  }

  async #begin(): Promise<AsyncIterator<Uint8Array>> {
    const gunzip = createGunzip();
    const file = await openPieces(this.#place);
    file.on('error', (error) => gunzip.destroy(error)); // Which pipe does not do.
    gunzip.on('error', () => undefined); // Who asks for the next piece is told; whoever does not, does not care.
    file.pipe(gunzip);
    [this.#file, this.#gunzip] = [file, gunzip];
    return (gunzip as AsyncIterable<Uint8Array>)[Symbol.asyncIterator]();
  }

  async #more(): Promise<boolean> {
    try {
      this.#pieces ??= await this.#begin();
      const { value, done } = await this.#pieces.next();
      this.#rest = done ? new Uint8Array(0) : new Uint8Array(value);
      this.#offset = 0;
      return !done;
    } catch (cause) {
      throw importDamaged('it is not whole', this.#place, cause);
    }
  }
}
