/**
 * Space that a repository in a directory holds back: the file `reserve`, of bytes that no file system can compress. On a full disk it
 * is deleted, so that there is room for the lock and for small packs of what a sweep rewrites (docs/decisions/0012-a-full-disk.md).
 */
import type { FsOperations } from '../blob/fs-operations.js';
import type { Reserve } from '../snapshot/environment.js';
import type { RandomBytes } from '../core/index.js';
import { systemRandom } from './node.js';

/** See {@link fileReserve}. */
export interface FileReserve extends Reserve {
  /** Bytes that are held back at the moment. */
  bytes(): Promise<number>;
}

/** Room for a lock, a note, some folders, and the little that is needed of the first packs to be rewritten. */
const RESERVE_BYTES = 256 * 1024;
/** So much is written at a time. */
const PIECE_BYTES = 1024 * 1024;

/** The reserve at `path`, of so many bytes. Nothing depends on it, so whatever cannot be done to it is left undone. */
export function fileReserve(
  path: string,
  fs: FsOperations,
  reserveBytes = RESERVE_BYTES,
  random = systemRandom,
): FileReserve {
  const bytes = (): Promise<number> =>
    fs.lstat(path).then(
      ({ kind, size }) => (kind === 'file' ? size : 0),
      () => 0, // There is none.
    );
  const remove = (): Promise<boolean> =>
    fs.unlink(path).then(
      () => true,
      () => false,
    );
  return {
    bytes,
    giveUp: async () => (await bytes()) > 0 && remove(),
    async restore() {
      if ((await bytes()) >= reserveBytes) return;
      await remove(); // One that a crash has left unfinished, or a smaller one.
      if (!(await write(path, reserveBytes, fs, random))) await remove();
    },
  };
}

/** Says whether all of it could be written. */
async function write(path: string, length: number, fs: FsOperations, random: RandomBytes): Promise<boolean> {
  const descriptor = await fs.openNew(path).catch(() => undefined); // A disk that is full or read-only.
  if (descriptor === undefined) return false;
  try {
    for (let left = length; left > 0;)
      left -= await fs.writev(descriptor, [random(Math.min(left, PIECE_BYTES))]);
    await fs.fsync(descriptor);
    return true;
  } catch {
    return false; // Likewise.
  } finally {
    await fs.close(descriptor).catch(() => undefined);
  }
}
