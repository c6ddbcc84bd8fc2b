/**
 * Blobs as files below a directory; the name of a blob is its path.
 *
 * A put writes `tmp/<random>`, makes it durable, gives it its name by link(2), which never overwrites, and makes the
 * name durable; a delete makes the removal durable (docs/ordering.md, B1 to B3 and B5). So a crash leaves at most files in `tmp/`, which {@link FsBlobStore.removeTemporary} deletes.
 *
 * The directory may be reached through a symbolic link; below it links are not followed and are no blobs.
 */
import { randomBytes } from 'node:crypto';
import { dirname, join } from 'node:path';
import { toHex, totalLength } from '../core/bytes.js';
import { isVecsnapError, VecsnapError } from '../core/errors.js';
import type { RandomBytes } from '../core/platform.js';
import { DirectWriting } from './direct-writing.js';
import { closing, codeOf, type FsEntry, type FsOperations, nodeFsOperations } from './fs-operations.js';
import { HandleCache } from './handle-cache.js';
import {
  blobExists,
  blobMissing,
  checkBlobName,
  checkRead,
  isBlobName,
  partsOf,
  storeFailed,
  storeFull,
} from './name.js';
import type { BlobStat, BlobStore } from './port.js';

/** How a {@link fsBlobStore} is set up. */
export interface FsBlobStoreOptions {
  /** Default: those of `node:fs`. */
  readonly operations?: FsOperations;
  /** Handles kept open for reading. Default 32. */
  readonly openHandles?: number;
  /** Makes the names in `tmp/`. Default: from the operating system. */
  readonly random?: RandomBytes;
  /**
   * Blobs of at least so many bytes are written past the page cache, where the system lets them; those that come in parts when the
   * first MiB has so many, which tells nothing above that. Default: 1 MiB.
   */
  readonly directBytes?: number;
}

/** A store in a directory. */
export interface FsBlobStore extends BlobStore {
  putParts(name: string, parts: AsyncIterable<readonly Uint8Array[]>): Promise<void>;

  /**
   * Deletes what crashed writers left in `tmp/`; what this store is writing stays. To be called by who holds the write
   * lock: another process that is in the middle of a put begins that put again, or fails when its parts came one by one.
   * @returns the number of files deleted.
   */
  removeTemporary(): Promise<number>;

  /**
   * Makes every name durable that can be seen, and every removal. A writer that crashed may have put or deleted a blob without
   * having come so far; whoever relies on that would be wrong after a power cut (docs/ordering.md, B4). To be called by who holds
   * the write lock, before anything is read. Looks at folders of the first level, which is all that a repository has.
   */
  syncNames(): Promise<void>;
}

/** A store of files below `directory`, which is made by the first put when it is not there. */
export function fsBlobStore(directory: string, options: FsBlobStoreOptions = {}): FsBlobStore {
  return new DirectoryBlobStore(directory, options);
}

const DEFAULT_OPEN_HANDLES = 128;
const DEFAULT_DIRECT_BYTES = 1024 * 1024;
/** How often a put begins again when its temporary file or its folder vanishes. */
const PUT_ATTEMPTS = 4;
/** Entries of a directory that are looked at together. */
const LIST_BATCH = 64;

/** What a new blob is to hold. */
interface Content {
  /** Writes it to a file that is new and open. */
  readonly write: (path: string, descriptor: number) => Promise<void>;
  /** Whether that can be done again. */
  readonly isRepeatable: boolean;
}

interface OpenBlob {
  readonly descriptor: number;
  readonly size: number;
}

class DirectoryBlobStore implements FsBlobStore {
  readonly place: string;
  readonly #directory: string;
  /** What stands before the name of a blob in its path. Names are as plain as paths can be, and joining a thousand took a tenth of a list. */
  readonly #below: string;
  readonly useFiles?: NonNullable<BlobStore['useFiles']>;
  readonly #fs: FsOperations;
  readonly #random: RandomBytes;
  readonly #handles: HandleCache<OpenBlob>;
  readonly #directBytes: number;
  readonly #direct: DirectWriting;
  /** Directories known to exist and to survive a power cut. */
  readonly #durableFolders = new Set<string>();
  /** Names in `tmp/` that puts of this store are using. */
  readonly #temporaryInUse = new Set<string>();

  constructor(
    directory: string,
    {
      operations = nodeFsOperations,
      openHandles = DEFAULT_OPEN_HANDLES,
      random = randomBytes,
      directBytes = DEFAULT_DIRECT_BYTES,
    }: FsBlobStoreOptions,
  ) {
    this.place = directory === '' ? '.' : directory;
    this.#directory = join(this.place);
    this.#below = join(this.place, 'a').slice(0, -1);
    this.#fs = operations;
    this.#random = random;
    this.#directBytes = directBytes;
    this.#direct = new DirectWriting(operations);
    const opener = {
      open: (name: string) => this.#reading(name, () => this.#openBlob(name)),
      close: ({ descriptor }: OpenBlob) => this.#attempt('close', '', () => this.#fs.close(descriptor)),
    };
    this.#handles = new HandleCache(opener, openHandles);
    if (operations.lendsDescriptors === true)
      this.useFiles = (names, action) => this.#useFiles(names, action);
  }

  async put(name: string, bytes: Uint8Array | readonly Uint8Array[]): Promise<void> {
    checkBlobName(name);
    const parts = partsOf(bytes);
    await this.#putDurably(name, {
      write: (...file) => this.#writeTogether(...file, parts),
      isRepeatable: true,
    });
  }

  async putParts(name: string, parts: AsyncIterable<readonly Uint8Array[]>): Promise<void> {
    checkBlobName(name);
    const content = {
      isRepeatable: true,
      write: (path: string, descriptor: number) => {
        content.isRepeatable = false; // The parts come only once.
        return this.#direct.write(path, descriptor, parts, this.#directBytes);
      },
    };
    await this.#putDurably(name, content);
  }

  async get(name: string): Promise<Uint8Array> {
    checkBlobName(name);
    return this.#handles.use(name, ({ descriptor, size }) =>
      this.#reading(name, async () => {
        const blob = uninitialised(size);
        if ((await readFully(this.#fs, descriptor, blob, 0)) === size) return blob;
        throw new Error('the file became shorter while it was read');
      }),
    );
  }

  async read(name: string, offset: number, into: Uint8Array): Promise<number> {
    checkRead(name, offset);
    return this.#handles.use(name, ({ descriptor }) =>
      this.#reading(name, () => readFully(this.#fs, descriptor, into, offset)),
    );
  }

  async stat(name: string): Promise<BlobStat | undefined> {
    checkBlobName(name);
    const size = await this.#sizeOf(name);
    return size === undefined ? undefined : { name, size };
  }

  async *list(prefix: string): AsyncIterable<BlobStat> {
    const names = await this.#namesIn('', prefix);
    while (names.length > 0) {
      if (names.at(-1)?.endsWith('/')) {
        const folder = names.pop() as string;
        for (const name of await this.#namesIn(folder, prefix)) names.push(name);
      } else {
        for (const stat of await this.#statsOf(takeFiles(names, LIST_BATCH))) yield stat;
      }
    }
  }

  async delete(name: string): Promise<void> {
    checkBlobName(name);
    await this.#attempt('delete', name, async () => {
      if ((await this.#entryAt(name))?.kind === 'directory') return;
      if (await this.#isBelowBlob(name)) return;
      await unlessMissing(this.#fs.unlink(this.#path(name)));
      await this.#handles.drop(name); // Not before: until it was unlinked a read could have opened it again.
      await unlessMissing(this.#fs.syncDirectory(this.#path(folderOf(name))));
    });
  }

  async close(): Promise<void> {
    await this.#attempt('close', '', () => this.#handles.clear());
  }

  async removeTemporary(): Promise<number> {
    return this.#attempt('clean up', 'tmp', async () => {
      if ((await this.#entryAt('tmp'))?.kind !== 'directory') return 0; // What a link leads to is nobody's to clean up.
      const entries = (await unlessMissing(this.#fs.readdir(this.#path('tmp')))) ?? [];
      const left = entries.filter(({ name, kind }) => kind === 'file' && !this.#temporaryInUse.has(name));
      for (const { name } of left) await unlessMissing(this.#fs.unlink(this.#path(`tmp/${name}`)));
      return left.length;
    });
  }

  async syncNames(): Promise<void> {
    await this.#attempt('sync', '', async () => {
      const entries = (await unlessMissing(this.#fs.readdir(this.#path('')))) ?? [];
      const folders = entries.filter(({ name, kind }) => kind === 'directory' && isBlobName(name));
      const names = ['', ...folders.map(({ name }) => name)];
      // All at once: a file system then writes its journal once, and not for each.
      await Promise.all(names.map((name) => unlessMissing(this.#fs.syncDirectory(this.#path(name)))));
    });
  }

  async #putDurably(name: string, content: Content): Promise<void> {
    try {
      await this.#putVisibly(name, content);
      await this.#fs.syncDirectory(this.#path(folderOf(name)));
    } catch (cause) {
      throw this.#writeFailure(name, cause);
    }
  }

  /** Puts a blob whose bytes survive a power cut; its name does not yet. */
  async #putVisibly(name: string, content: Content): Promise<void> {
    for (let attempt = 1; ; attempt++) {
      // Not needed for the outcome, but saves writing bytes that could not get their name.
      if (await this.#entryAt(name)) throw await this.#refusal(name);
      try {
        return await this.#putOnce(name, content);
      } catch (cause) {
        // ENOENT: somebody removed the temporary file or a folder that was empty.
        if (attempt === PUT_ATTEMPTS || codeOf(cause) !== 'ENOENT' || !content.isRepeatable) throw cause;
        this.#durableFolders.clear();
      }
    }
  }

  async #putOnce(name: string, content: Content): Promise<void> {
    const temporary = toHex(this.#random(12));
    this.#temporaryInUse.add(temporary);
    try {
      await this.#ensureFolder('tmp');
      await this.#writeTemporary(temporary, content);
      await this.#giveNameIn(folderOf(name), temporary, name);
    } catch (cause) {
      // What failed first is what the caller needs to know; a file that stays is left to removeTemporary.
      await Promise.allSettled([this.#fs.unlink(this.#path(`tmp/${temporary}`))]);
      throw cause;
    } finally {
      this.#temporaryInUse.delete(temporary);
    }
  }

  async #writeTemporary(temporary: string, content: Content): Promise<void> {
    const path = this.#path(`tmp/${temporary}`);
    const descriptor = await this.#fs.openNew(path);
    await closing(this.#fs, descriptor, async () => {
      await content.write(path, descriptor);
      await this.#fs.fsync(descriptor);
    });
  }

  /** Through the page cache all parts in one call, and without a copy. */
  async #writeTogether(path: string, descriptor: number, parts: readonly Uint8Array[]): Promise<void> {
    if (this.#direct.isToBeHad && totalLength(parts) >= this.#directBytes)
      return this.#direct.write(path, descriptor, [parts], 0);
    return writeFully(this.#fs, descriptor, parts);
  }

  /** Gives a temporary file its name in a folder that is made when it is not there, once more when it vanishes meanwhile. */
  async #giveNameIn(folder: string, temporary: string, name: string): Promise<void> {
    await this.#ensureFolder(folder);
    try {
      await this.#giveName(temporary, name);
    } catch (cause) {
      if (codeOf(cause) !== 'ENOENT') throw cause;
      this.#durableFolders.clear();
      await this.#ensureFolder(folder);
      await this.#giveName(temporary, name);
    }
  }

  /** Moves a temporary file to its name unless that is taken. */
  async #giveName(temporary: string, name: string): Promise<void> {
    const from = this.#path(`tmp/${temporary}`);
    try {
      await this.#fs.link(from, this.#path(name));
    } catch (cause) {
      const code = codeOf(cause) ?? '';
      if (code === 'EEXIST') throw await this.#refusal(name, cause);
      if (!NO_HARD_LINKS.has(code)) throw cause;
      return this.#giveNameByRename(from, name);
    }
    await unlessMissing(this.#fs.unlink(from));
  }

  /**
   * For file systems without hard links. A rename would replace a blob of this name, so whoever renames first claims
   * the name with a file in `tmp/` that only one can make.
   */
  async #giveNameByRename(from: string, name: string): Promise<void> {
    const claim = `${name.replaceAll('/', '+')}.claim`;
    await this.#claim(claim, name);
    try {
      if (await this.#entryAt(name)) throw await this.#refusal(name);
      await this.#fs.rename(from, this.#path(name));
    } finally {
      this.#temporaryInUse.delete(claim);
      await unlessMissing(this.#fs.unlink(this.#path(`tmp/${claim}`)));
    }
  }

  async #claim(claim: string, name: string): Promise<void> {
    for (let attempt = 0; attempt < CLAIM_ATTEMPTS; attempt++) {
      try {
        await this.#fs.close(await this.#fs.openNew(this.#path(`tmp/${claim}`)));
        this.#temporaryInUse.add(claim);
        return;
      } catch (cause) {
        if (codeOf(cause) !== 'EEXIST') throw cause;
        await new Promise((resolve) => setTimeout(resolve, CLAIM_POLL_MS));
      }
    }
    throw new VecsnapError('STORE_FAILED', 'Another process has been writing a blob of this name for long.', {
      place: this.#path(name),
      remedy: `If no other process is at work, delete ${this.#path(`tmp/${claim}`)}, which a crash left behind.`,
    });
  }

  /** The error of a put whose name is taken. BLOB_EXISTS promises that the other blob is durable, so its name is synced. */
  async #refusal(name: string, cause?: unknown): Promise<VecsnapError> {
    const entry = await this.#entryAt(name);
    if (entry !== undefined && entry.kind !== 'file') return this.#obstructed(name, cause);
    await this.#fs.syncDirectory(this.#path(folderOf(name)));
    return blobExists(this.place, name, cause);
  }

  #obstructed(name: string, cause: unknown): VecsnapError {
    return new VecsnapError(
      'STORE_FAILED',
      'Something else stands where a blob or a folder of blobs should be.',
      {
        place: this.#path(name),
        remedy: 'Put back what belongs there, or move it out of the repository.',
        cause,
      },
    );
  }

  /** Makes a folder below the store's directory and all above it, so that they survive a power cut. */
  async #ensureFolder(folder: string): Promise<void> {
    if (this.#durableFolders.has(folder)) return;
    if (folder === '') {
      await this.#makeRoot(this.place);
    } else {
      await this.#ensureFolder(folderOf(folder));
      await this.#fs.mkdir(this.#path(folder)).catch(async (cause: unknown) => {
        if (codeOf(cause) !== 'EEXIST') throw cause;
        await this.#expectOwnFolders(folder);
      });
      // Also when it was there: who made it may not have synced it yet.
      await this.#fs.syncDirectory(this.#path(folderOf(folder)));
    }
    this.#durableFolders.add(folder);
  }

  /** Nothing is written or deleted through a link: who made the repository may have put it there. */
  async #expectOwnFolders(folder: string): Promise<void> {
    for (let path = folder; path !== ''; path = folderOf(path)) {
      const entry = await this.#entryAt(path);
      if (entry !== undefined && entry.kind !== 'directory') throw this.#obstructed(path, undefined);
    }
  }

  /** Makes the directory of the store. One that is there already is taken to be durable, and its parent is left alone. */
  async #makeRoot(path: string): Promise<void> {
    const parent = dirname(path);
    try {
      await this.#fs.mkdir(path);
    } catch (cause) {
      if (codeOf(cause) === 'EEXIST') return;
      if (codeOf(cause) !== 'ENOENT' || parent === path) throw cause;
      await this.#makeRoot(parent);
      await ignoring('EEXIST', this.#fs.mkdir(path));
    }
    await this.#fs.syncDirectory(parent);
  }

  /**
   * What may have to be listed of a folder, the last first. Names of folders end in a slash, and so they sort as what is in them
   * does.
   */
  async #namesIn(folder: string, prefix: string): Promise<string[]> {
    const place = folder.slice(0, -1);
    const entries = await this.#attempt('list', place, () =>
      unlessMissing(this.#fs.readdir(this.#path(place))),
    );
    const names: string[] = [];
    for (const { name, kind } of entries ?? []) {
      const path = folder + name;
      if (isListed(path, kind, prefix)) names.push(kind === 'directory' ? `${path}/` : path);
      else if (isInTheWay(path, kind, prefix)) throw this.#obstructed(path, undefined);
    }
    return names.toSorted().toReversed();
  }

  /** The files of these names that are there. */
  async #statsOf(names: readonly string[]): Promise<BlobStat[]> {
    const { lstatNow } = this.#fs;
    const sizes =
      lstatNow === undefined
        ? await Promise.all(names.map((name) => this.#sizeOf(name)))
        : names.map((name) => this.#sizeNow(name, lstatNow));
    const stats: BlobStat[] = [];
    for (const [i, size] of sizes.entries())
      if (size !== undefined) stats.push({ name: names[i] as string, size });
    return stats;
  }

  /** The size of a file, or undefined when it is gone or something else by now. */
  async #sizeOf(name: string): Promise<number | undefined> {
    const entry = await this.#attempt('look up', name, () => this.#entryAt(name));
    return entry?.kind === 'file' ? entry.size : undefined;
  }

  #sizeNow(name: string, lstatNow: NonNullable<FsOperations['lstatNow']>): number | undefined {
    try {
      const entry = lstatNow(this.#path(name));
      return entry?.kind === 'file' ? entry.size : undefined;
    } catch (cause) {
      if (MISSING.has(codeOf(cause) ?? '')) return undefined;
      throw failureOf(this.#path(name), 'look up', cause);
    }
  }

  async #useFiles<T>(
    names: readonly string[],
    action: (descriptors: readonly number[]) => Promise<T>,
  ): Promise<T> {
    for (const name of names) checkBlobName(name);
    return this.#handles.useAll(names, (opened) => action(opened.map(({ descriptor }) => descriptor)));
  }

  async #reading<T>(name: string, action: () => Promise<T>): Promise<T> {
    try {
      return await action();
    } catch (cause) {
      if (MISSING.has(codeOf(cause) ?? '')) throw blobMissing(this.place, name, cause);
      throw failureOf(this.#path(name), 'read', cause);
    }
  }

  async #openBlob(name: string): Promise<OpenBlob> {
    const descriptor = await this.#fs.openToRead(this.#path(name));
    try {
      const { kind, size } = await this.#fs.fstat(descriptor);
      if (kind === 'file') return { descriptor, size };
      throw blobMissing(this.place, name);
    } catch (cause) {
      await this.#fs.close(descriptor);
      throw cause;
    }
  }

  /** Whether a blob stands where a folder of the name would, so that there is nothing of that name. */
  async #isBelowBlob(name: string): Promise<boolean> {
    for (let path = folderOf(name); path !== ''; path = folderOf(path)) {
      const kind = (await this.#entryAt(path))?.kind ?? 'directory';
      if (kind === 'file') return true;
      if (kind !== 'directory') throw this.#obstructed(path, undefined);
    }
    return false;
  }

  async #entryAt(name: string): Promise<FsEntry | undefined> {
    return unlessMissing(this.#fs.lstat(this.#path(name)));
  }

  #path(name: string): string {
    return name === '' ? this.#directory : this.#below + name;
  }

  #writeFailure(name: string, cause: unknown): VecsnapError {
    return FULL.has(codeOf(cause) ?? '')
      ? storeFull(this.#path(name), cause)
      : failureOf(this.#path(name), 'write', cause);
  }

  async #attempt<T>(doing: string, name: string, action: () => Promise<T>): Promise<T> {
    try {
      return await action();
    } catch (cause) {
      throw failureOf(this.#path(name), doing, cause);
    }
  }
}

/** What the system says of a path that leads nowhere, also because a part of it is a file or the last one a link. */
const MISSING: ReadonlySet<string> = new Set(['ENOENT', 'ENOTDIR', 'ELOOP']);
const FULL: ReadonlySet<string> = new Set(['ENOSPC', 'EDQUOT']);
/** What link(2) says on FAT, some network and FUSE file systems, Android, and for a file with too many names. */
const NO_HARD_LINKS: ReadonlySet<string> = new Set([
  'EPERM',
  'EACCES',
  'ENOTSUP',
  'EOPNOTSUPP',
  'ENOSYS',
  'EMLINK',
]);
const CLAIM_ATTEMPTS = 500;
const CLAIM_POLL_MS = 10;

function failureOf(place: string, doing: string, cause: unknown): VecsnapError {
  return isVecsnapError(cause) ? cause : storeFailed(place, doing, cause);
}

async function ignoring<T>(code: string, result: Promise<T>): Promise<T | undefined> {
  try {
    return await result;
  } catch (error) {
    if (codeOf(error) !== code) throw error;
    return undefined;
  }
}

async function unlessMissing<T>(result: Promise<T>): Promise<T | undefined> {
  try {
    return await result;
  } catch (error) {
    if (!MISSING.has(codeOf(error) ?? '')) throw error;
    return undefined;
  }
}

/** The most byte strings that one writev takes on Linux and macOS. */
const MAX_WRITEV_PARTS = 1024;
/** Below the 2^31 − 1 bytes that one read or write takes. */
const MAX_IO_BYTES = 2 ** 30;

async function readFully(
  fs: FsOperations,
  descriptor: number,
  into: Uint8Array,
  position: number,
): Promise<number> {
  let filled = 0;
  while (filled < into.length) {
    const space = into.subarray(filled, filled + MAX_IO_BYTES);
    const count = await fs.read(descriptor, space, position + filled);
    if (count === 0) break;
    filled += count;
  }
  return filled;
}

async function writeFully(fs: FsOperations, descriptor: number, parts: readonly Uint8Array[]): Promise<void> {
  const pieces = parts.flatMap(splitForWriting);
  let next = 0;
  let skip = 0; // Bytes of pieces[next] that are written already.
  while (next < pieces.length) {
    let written = await fs.writev(descriptor, batchFrom(pieces, next, skip));
    if (written === 0) throw new Error('a write wrote nothing');
    written += skip;
    for (; next < pieces.length && written >= lengthAt(pieces, next); next++)
      written -= lengthAt(pieces, next);
    skip = written;
  }
}

function splitForWriting(part: Uint8Array): Uint8Array[] {
  if (part.length <= MAX_IO_BYTES) return part.length === 0 ? [] : [part];
  const count = Math.ceil(part.length / MAX_IO_BYTES);
  return Array.from({ length: count }, (_, i) => part.subarray(i * MAX_IO_BYTES, (i + 1) * MAX_IO_BYTES));
}

/** As many pieces from `next` on as one call takes, the first one without its first `skip` bytes. */
function batchFrom(pieces: readonly Uint8Array[], next: number, skip: number): Uint8Array[] {
  const batch: Uint8Array[] = [];
  let bytes = 0;
  for (let i = next; i < pieces.length && batch.length < MAX_WRITEV_PARTS; i++) {
    bytes += lengthAt(pieces, i);
    if (batch.length > 0 && bytes > MAX_IO_BYTES) break;
    batch.push(pieces[i] as Uint8Array);
  }
  if (skip > 0) batch[0] = (batch[0] as Uint8Array).subarray(skip);
  return batch;
}

function lengthAt(pieces: readonly Uint8Array[], index: number): number {
  return (pieces[index] as Uint8Array).length;
}

/** Bytes that are about to be filled whole; zeroing 16 MiB first would take as long as reading them. */
function uninitialised(length: number): Uint8Array {
  const { buffer, byteOffset } = Buffer.allocUnsafeSlow(length);
  return new Uint8Array(buffer, byteOffset, length);
}

/** The part of a name before its last slash; '' is the directory of the store. */
function folderOf(name: string): string {
  return name.slice(0, Math.max(0, name.lastIndexOf('/')));
}

function isListed(name: string, kind: FsEntry['kind'], prefix: string): boolean {
  if (kind === 'file') return name.startsWith(prefix) && isBlobName(name);
  const folder = `${name}/`;
  return kind === 'directory' && isBlobName(name) && (folder.startsWith(prefix) || prefix.startsWith(folder));
}

/**
 * Whether something stands where a blob or a folder of these names would, and is none: a link, a pipe, or what has its name in
 * capitals. What it hides must not look as if it were gone: a sweep would delete what that needs.
 */
function isInTheWay(path: string, kind: FsEntry['kind'], prefix: string): boolean {
  const name = path.toLowerCase();
  if (prefix === '' || !isBlobName(name)) return false; // All of the store: what only tells how much there is.
  const isConcerned = name.startsWith(prefix) || prefix.startsWith(`${name}/`);
  return isConcerned && (kind === 'other' || name !== path);
}

/** Takes up to `most` names from the end of a list, up to a folder, and gives the last first. */
function takeFiles(names: string[], most: number): string[] {
  let start = names.length;
  while (start > 0 && names.length - start < most && !(names[start - 1] as string).endsWith('/')) start--;
  return names.splice(start).toReversed();
}
