/** Writes a snapshot as a folder of plain files; see folder-layout.ts. */
import { createHash } from 'node:crypto';
import { mkdir, open, rmdir, type FileHandle } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { createGzip, type Gzip } from 'node:zlib';
import {
  concatBytes,
  encodeCanonical,
  type RecordBatch,
  type Schema,
  throwIfAborted,
  utf8,
  vectorBytes,
  VecsnapError,
  viewOf,
} from '../core/index.js';
import { FILE_TYPES, FOLDER_FILES, FOLDER_VERSION, formatChecksums } from './folder-layout.js';
import { systemCode } from './local-file.js';
import type { Content, FileEntry, Target, WriteOptions, WriteReport } from './port.js';
import { checkTargetFree, replaceAtomically, syncDirectory, writeFailure } from './replace.js';

/**
 * A target that makes the folder `path`, and those above it that are missing.
 * @param snapshot what `metadata.json` says about the snapshot; a value that JSON can hold.
 */
export function folderTarget(path: string, snapshot: unknown): Target {
  return {
    place: path,
    prepare: (options) => checkTargetFree(path, options),
    async write(content, options) {
      await checkTargetFree(path, options); // Before anything is made.
      return inFolder(dirname(resolve(path)), () =>
        replaceAtomically(path, options, async (temporary) => {
          await mkdir(temporary);
          return writeFolder(temporary, content, snapshot, options);
        }),
      );
    },
  };
}

/** Runs `write` in a folder that need not be there yet. When it fails, what was made for it goes again. */
async function inFolder<T>(folder: string, write: () => Promise<T>): Promise<T> {
  const first = await mkdir(folder, { recursive: true }).catch((cause: unknown) => {
    if (systemCode(cause) !== 'EEXIST' && systemCode(cause) !== 'ENOTDIR') throw writeFailure(folder, cause);
    throw new VecsnapError('TARGET_FAILED', 'The folder for the export is no directory.', {
      place: folder,
      remedy: 'Give the path of a directory that exists, or of one that can be made.',
      cause,
    });
  });
  try {
    return await write();
  } catch (error) {
    if (first !== undefined) await removeEmpty(folder, resolve(first)).catch(() => undefined); // Somebody uses it by now.
    throw error;
  }
}

async function removeEmpty(folder: string, first: string): Promise<void> {
  await rmdir(folder);
  if (folder !== first) await removeEmpty(dirname(folder), first);
}

async function writeFolder(
  folder: string,
  content: Content,
  snapshot: unknown,
  { signal }: WriteOptions,
): Promise<WriteReport> {
  const digests = new Map<string, string>();
  const report = { records: 0, files: 0, bytes: 0 };
  const vectors = await CompressedFile.open(join(folder, FOLDER_FILES.vectors));
  const payloads = await CompressedFile.open(join(folder, FOLDER_FILES.payloads));
  const files = await CompressedFile.open(join(folder, FOLDER_FILES.files));
  try {
    for await (const batch of content.records?.() ?? []) {
      throwIfAborted(signal);
      const schema = content.schema as Schema;
      for (const part of vectorRows(schema, batch)) report.bytes += await vectors.write(part);
      report.bytes += await payloads.write(idsAndPayloads(batch));
      report.records += batch.count;
      batch.release?.();
    }
    for await (const file of content.files?.() ?? []) {
      throwIfAborted(signal);
      report.bytes += await writeFile(files, file);
      report.files++;
    }
    digests.set(FOLDER_FILES.vectors, await vectors.finish());
    digests.set(FOLDER_FILES.payloads, await payloads.finish());
    digests.set(FOLDER_FILES.files, await files.finish());
  } finally {
    await Promise.all([vectors.close(), payloads.close(), files.close()]);
  }
  const description = utf8(`${JSON.stringify(describe(content, snapshot, report), undefined, 2)}\n`);
  digests.set(FOLDER_FILES.description, createHash('sha256').update(description).digest('hex'));
  await writeDurably(join(folder, FOLDER_FILES.description), description);
  await writeDurably(join(folder, FOLDER_FILES.checksums), utf8(formatChecksums(digests)));
  await syncDirectory(folder);
  return report;
}

function describe({ format, schema }: Content, snapshot: unknown, { records, files }: WriteReport): unknown {
  return {
    version: FOLDER_VERSION,
    snapshot,
    schema: schema ?? null,
    formatName: format.name,
    format: Buffer.from(encodeCanonical(format)).toString('base64'),
    records,
    files,
    hasFiles: files > 0 || schema === undefined,
  };
}

/** The vectors of a batch record by record. With one column that is how they stand already. */
function vectorRows({ vectors: columns }: Schema, { count, vectors }: RecordBatch): readonly Uint8Array[] {
  if (columns.length === 1) return vectors;
  const widths = columns.map(vectorBytes);
  const rows = new Uint8Array(count * widths.reduce((sum, width) => sum + width, 0));
  let offset = 0;
  for (let i = 0; i < count; i++) {
    for (const [c, width] of widths.entries()) {
      rows.set((vectors[c] as Uint8Array).subarray(i * width, (i + 1) * width), offset);
      offset += width;
    }
  }
  return [rows];
}

/** For each record: the id (u32 length and UTF-8, or u64), then the payload (u32 length and bytes), as far as there are any. */
function idsAndPayloads({ count, ids, payloads }: RecordBatch): Uint8Array {
  const parts: Uint8Array[] = [];
  for (let i = 0; i < count; i++) {
    const id = ids?.[i];
    if (typeof id === 'string') parts.push(...withLength(utf8(id)));
    else if (id !== undefined) parts.push(u64(id));
    if (payloads !== undefined) parts.push(...withLength(payloads[i] as Uint8Array));
  }
  return concatBytes(parts);
}

/** u8 type, u32 mode, path; then for a file u64 size and the bytes, for a link its target. Texts are u32 length and UTF-8. */
async function writeFile(out: CompressedFile, file: FileEntry): Promise<number> {
  const head = [Uint8Array.of(FILE_TYPES[file.type]), u32(file.mode), ...withLength(utf8(file.path))];
  if (file.type === 'link') head.push(...withLength(utf8(file.target)));
  if (file.type === 'file') head.push(u64(BigInt(file.size)));
  let bytes = await out.write(concatBytes(head));
  if (file.type === 'file') for await (const piece of file.read()) bytes += await out.write(piece);
  return bytes;
}

function withLength(bytes: Uint8Array): [Uint8Array, Uint8Array] {
  return [u32(bytes.length), bytes];
}

function u32(value: number): Uint8Array {
  const bytes = new Uint8Array(4);
  viewOf(bytes).setUint32(0, value, true);
  return bytes;
}

function u64(value: bigint): Uint8Array {
  const bytes = new Uint8Array(8);
  viewOf(bytes).setBigUint64(0, value, true);
  return bytes;
}

async function writeDurably(path: string, bytes: Uint8Array): Promise<void> {
  const handle = await open(path, 'wx');
  try {
    await handle.writeFile(bytes);
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** Vectors hardly compress, so the fastest level is used. */
const GZIP_LEVEL = 1;

/** A file that is written through gzip, with the digest of what stands in it. */
class CompressedFile {
  readonly #handle: FileHandle;
  readonly #gzip: Gzip = createGzip({ level: GZIP_LEVEL });
  readonly #hash = createHash('sha256');
  readonly #drained: Promise<void>;

  private constructor(handle: FileHandle) {
    this.#handle = handle;
    this.#drained = this.#drain();
    this.#drained.catch(() => {}); // finish() throws it.
  }

  static async open(path: string): Promise<CompressedFile> {
    return new CompressedFile(await open(path, 'wx'));
  }

  /** @returns the bytes taken. */
  async write(bytes: Uint8Array): Promise<number> {
    if (!this.#gzip.write(bytes)) {
      await Promise.race([new Promise((resolve) => this.#gzip.once('drain', resolve)), this.#drained]);
    }
    return bytes.length;
  }

  /** Makes the file durable. @returns its SHA-256 in hexadecimal. */
  async finish(): Promise<string> {
    this.#gzip.end();
    await this.#drained;
    await this.#handle.sync();
    return this.#hash.digest('hex');
  }

  async close(): Promise<void> {
    this.#gzip.destroy();
    await this.#handle.close();
  }

  async #drain(): Promise<void> {
    for await (const piece of this.#gzip as AsyncIterable<Uint8Array>) {
      this.#hash.update(piece);
      await this.#handle.appendFile(piece);
    }
  }
}
