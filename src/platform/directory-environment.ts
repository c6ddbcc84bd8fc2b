/** Everything around a repository in a local directory: files for the blobs, LevelDB for the index, worker threads. */
import { constants } from 'node:fs';
import {
  type FileHandle,
  lstat,
  open,
  readdir,
  readFile,
  rename,
  rm,
  stat,
  writeFile,
} from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fsBlobStore } from '../blob/fs.js';
import { blockingFsOperations, type FsOperations, nodeFsOperations } from '../blob/fs-operations.js';
import { storeFailed } from '../blob/name.js';
import type { ChunkCoder } from '../cas/index.js';
import { toHex } from '../core/bytes.js';
import { VecsnapError } from '../core/errors.js';
import type { DerivedBytes, Environment } from '../snapshot/environment.js';
import { nodeReadFile, nodeSha256, systemClock, systemRandom } from './node.js';
import type { PoolOptions } from './pool.js';

/** What can be set about an {@link Environment} in a directory. */
export interface DirectoryOptions {
  /** Threads that share hashing, encoding and decoding; by default as many as the machine runs at once. */
  readonly workers?: number | undefined;
  /**
   * Whether nobody else waits for the calling thread: it then does small reads itself, and is one of the threads that hash, encode
   * and decode. Default: false.
   */
  readonly ownsThread?: boolean | undefined;
  /** Bytes on disk that are held back. Default: 262,144. */
  readonly reserveBytes?: number | undefined;
  /** The calls by which blobs are read and written. Default: those of Node.js. */
  readonly operations?: FsOperations | undefined;
}

/** An environment around the repository in `directory`, which need not be there yet. */
export function directoryEnvironment(
  directory: string,
  { workers, ownsThread = false, ...options }: DirectoryOptions = {},
): Environment {
  const operations = options.operations ?? (ownsThread ? blockingFsOperations : nodeFsOperations);
  const loadReserve = async () => {
    const { fileReserve } = await import('./file-reserve.js');
    return fileReserve(join(directory, 'reserve'), operations, options.reserveBytes);
  };
  const blobs = fsBlobStore(directory, { operations });
  const coder = coderOnDemand({ threads: workers, helps: ownsThread });
  const indexPath = join(directory, 'index');
  return {
    directory,
    ownsThread,
    blobs,
    coder,
    sha256: nodeSha256,
    clock: systemClock,
    random: systemRandom,
    openIndex: async (prefer) =>
      prefer === 'memory'
        ? (await import('../cas/memory-index.js')).memoryIndex()
        : (await loadIndex()).openDirectoryIndex(indexPath, prefer, { ownsThread }),
    discardIndex: async () => (await loadIndex()).discardDirectoryIndex(indexPath),
    indexFlaw: async () => (await loadIndex()).directoryIndexFlaw(indexPath),
    async lock(request) {
      const { lockDirectory } = await import('./directory-lock.js');
      return lockDirectory(blobs, request);
    },
    async unlock(force) {
      const [{ removeLeases }, { leaseJudge }] = await Promise.all([
        import('../blob/index.js'),
        import('./directory-lock.js'),
      ]);
      return removeLeases(blobs, leaseJudge, force);
    },
    cache: cacheFile(join(indexPath, 'snapshots.cache')),
    reserve: {
      giveUp: async () => (await loadReserve()).giveUp(),
      restore: async () => (await loadReserve()).restore(),
    },
    indexBytes: async () => (await bytesBelow(indexPath)) + (await (await loadReserve()).bytes()),
    async close() {
      await coder.close();
      await blobs.close();
    },
  };
}

const loadIndex = () => import('./directory-index.js');

/** A million snapshots take less. */
const MOST_CACHE_BYTES = 2 ** 29;

const { O_WRONLY, O_APPEND, O_NOFOLLOW, O_NONBLOCK } = constants;
/** Windows lacks the last two, and `|` takes what is not there for 0. */
const APPENDING = O_WRONLY | O_APPEND | O_NOFOLLOW | O_NONBLOCK;

/** A file beside those of the index, which goes when they do. Without a directory for it there is none. */
function cacheFile(path: string): DerivedBytes {
  return {
    async load() {
      try {
        const found = await stat(path); // A FIFO would keep its reader waiting.
        return found.isFile() && found.size <= MOST_CACHE_BYTES ? await readFile(path) : undefined;
      } catch {
        return undefined; // As DerivedBytes says.
      }
    },
    async save(bytes) {
      const temporary = `${path}-${toHex(systemRandom(8))}`;
      try {
        if (!(await lstat(dirname(path))).isDirectory()) return; // Nothing is written through a link.
        await writeFile(temporary, bytes);
        await rename(temporary, path);
      } catch {
        await rm(temporary, { force: true }).catch(() => undefined); // A disk that is full or read-only.
      }
    },
    async append(bytes) {
      let file: FileHandle | undefined;
      try {
        if (!(await lstat(dirname(path))).isDirectory()) return;
        file = await open(path, APPENDING); // Fails where there is none, for a link, and for a FIFO that nobody reads.
        const found = await file.stat();
        if (found.isFile() && found.size + bytes.length <= MOST_CACHE_BYTES) await file.write(bytes);
      } catch {
        // As DerivedBytes says.
      } finally {
        await file?.close().catch(() => undefined);
      }
    },
  };
}

/** Starting worker threads takes as long as decoding so many bytes here does; less than that is decoded here. */
const DECODED_BEFORE_WORKERS = 1024 * 1024;

/** The pool of coders, whose code and threads are loaded with the first chunk. */
function coderOnDemand(options: PoolOptions): ChunkCoder {
  let loaded: ReturnType<typeof loadCoders> | undefined;
  let decodedHere = 0; // Bytes of plaintext.
  const load = () => (loaded ??= loadCoders(options));
  return {
    readsFiles: true,
    address: async (chunks) => (await load()).pool.address(chunks),
    encode: async (...job) => (await load()).pool.encode(...job),
    addressAndEncode: async (...job) => (await load()).pool.addressAndEncode(...job),
    patch: async (...job) => (await load()).pool.patch(...job),
    async decode(graph, verify) {
      const { pool, inline, plainBytes } = await load();
      if (decodedHere <= DECODED_BEFORE_WORKERS) decodedHere += plainBytes(graph);
      return (decodedHere <= DECODED_BEFORE_WORKERS ? inline : pool).decode(graph, verify);
    },
    decodeHere: async (graph, verify) => (await load()).inline.decode(graph, verify),
    check: async (graph) => (await load()).pool.check(graph),
    release(encoded) {
      void loaded?.then(({ pool }) => pool.release?.(encoded));
    },
    prepare() {
      // What goes wrong here goes wrong again, and is told, when there is work.
      load().then(
        ({ pool }) => pool.prepare?.(),
        () => undefined,
      );
    },
    close: async () => (await loaded)?.pool.close(),
  };
}

async function loadCoders(options: PoolOptions) {
  const [{ pooledCoder }, { inlineCoder }, { plainBytes }, { nodeDeflate }] = await Promise.all([
    import('./pool.js'),
    import('../cas/coder.js'),
    import('../cas/chunk-graph.js'),
    import('./node-deflate.js'),
  ]);
  const primitives = { sha256: nodeSha256, deflate: nodeDeflate, readFile: nodeReadFile };
  return { pool: pooledCoder(options), inline: inlineCoder(primitives), plainBytes };
}

function codeOf(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error ? String(error.code) : undefined;
}

/** Bytes of the files below a directory. */
async function bytesBelow(path: string): Promise<number> {
  const names = await readdir(path).catch(() => [] as string[]); // There may be no index yet.
  const sizes = await Promise.all(
    names.map((name) =>
      stat(join(path, name)).then(
        ({ size }) => size,
        () => 0,
      ),
    ),
  );
  return sizes.reduce((sum, size) => sum + size, 0);
}

/**
 * Checks that a repository can be opened at a path.
 * @throws VecsnapError REPOSITORY_MISSING.
 */
export async function checkDirectory(directory: string): Promise<void> {
  try {
    if ((await stat(directory)).isDirectory()) return;
  } catch (cause) {
    if (codeOf(cause) !== 'ENOENT' && codeOf(cause) !== 'ENOTDIR')
      throw storeFailed(directory, 'look up the repository', cause);
    throw new VecsnapError('REPOSITORY_MISSING', 'There is no repository at this path.', {
      place: directory,
      remedy: `Check the path, or make a new repository: vecsnap init ${directory}`,
      cause,
    });
  }
  throw new VecsnapError('NOT_A_REPOSITORY', 'The path is a file, so it is no vecsnap repository.', {
    place: directory,
    remedy: 'Give the directory of a repository.',
  });
}

/** Whether a directory holds nothing, or what is left of an init that crashed before there was a config. */
async function isUnmade(directory: string): Promise<boolean> {
  const entries = await readdir(directory, { withFileTypes: true });
  return entries.every((entry) => entry.name === 'tmp' && entry.isDirectory());
}

/**
 * Checks that a repository can be made at a path: nothing stands there, or an empty directory, or what an init left that crashed.
 * @throws VecsnapError REPOSITORY_EXISTS.
 */
export async function checkDirectoryFree(directory: string): Promise<void> {
  const found = await lstat(directory).catch(() => undefined); // Nothing there: as it should be.
  if (found === undefined) return;
  if (found.isDirectory() && (await isUnmade(directory))) return;
  throw new VecsnapError('REPOSITORY_EXISTS', 'Something already stands at this path.', {
    place: directory,
    remedy: 'Make the repository in a new or empty directory.',
  });
}
