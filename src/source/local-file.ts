/** Local files as sources read them: whole, and checked for change. */
import { type BigIntStats, constants, readSync } from 'node:fs';
import { type FileHandle, lstat, open, readFile, stat, statfs } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { VecsnapError } from '../core/index.js';
import { ROOM_SLACK_BYTES, roomToRead } from './read-memory.js';

/** What a file is read by once it is open. */
export interface ReadHandle {
  readonly fd: number;
  stat(options: { readonly bigint: true }): Promise<BigIntStats>;
  read(
    into: Uint8Array,
    offset: number,
    length: number,
    position: number,
  ): Promise<{ readonly bytesRead: number }>;
  sync(): Promise<void>;
  close(): Promise<void>;
}

/** Opens a file. @throws the error of the system. */
export type OpenHandle = (path: string, flags: number) => Promise<ReadHandle>;

/** Where less is read, the copy takes little, and the system gives memory wherever it has some. */
const LARGE_BYTES = 1 << 16;

/** Files whose size is not told are read by so many bytes: most are empty. */
const UNTOLD_PIECE_BYTES = 1 << 12;

/** A regular file that is open for reading, and that knows whether it changed since. */
export class LocalFile {
  readonly path: string;
  readonly size: number;
  readonly mode: number;
  /** What {@link identityOf} gave when the file was opened. */
  readonly identity: string;
  readonly #handle: ReadHandle;
  readonly #stats: BigIntStats;
  /** What {@link tellingBoot} gave, once the file is settled. */
  #tellingBoot: string | undefined;

  private constructor(path: string, handle: ReadHandle, stats: BigIntStats) {
    this.path = path;
    this.size = Number(stats.size);
    this.mode = Number(stats.mode & 0o7777n);
    this.#handle = handle;
    this.identity = identityOf(stats);
    this.#stats = stats;
  }

  /**
   * @param openHandle how, if not as Node.js does.
   * @throws VecsnapError SOURCE_MISSING, SOURCE_INVALID (no regular file), SOURCE_FAILED.
   */
  static async open(path: string, openHandle: OpenHandle = open): Promise<LocalFile> {
    const handle = await openForReading(path, openHandle);
    const stats = await handle.stat({ bigint: true });
    if (stats.isFile()) return new LocalFile(path, handle, stats);
    await handle.close();
    throw notRegular(path);
  }

  /**
   * Has writes that come after this show in the times of the file. One through a mapping, as numpy does it, shows only where nothing of the
   * page waits to be written, so all that waits is written now.
   */
  async settle(): Promise<void> {
    await passTick();
    this.#tellingBoot = (await this.settleOneOfMany()) ? await tellingBoot(this.path) : undefined;
  }

  /**
   * The same for one of many files, after the tick has passed for all.
   * @returns whether all writes from now on show in the times, on a file system where they do.
   */
  async settleOneOfMany(): Promise<boolean> {
    const now = Date.now();
    return (await this.#sync()) && isQuiet(this.#stats, now);
  }

  /** Has all that waits to be written to the file written. @returns whether the system lets a reader ask for it. */
  async #sync(): Promise<boolean> {
    return this.#handle.sync().then(
      () => true,
      () => false,
    );
  }

  /**
   * What {@link OpenSource.state} is of a source that reads this file, once it is settled.
   * @param reading how it is read: whatever else than the bytes of the file bears on the content.
   */
  stateFor(reading: string): string | undefined {
    return this.#tellingBoot && `${reading}:${this.#tellingBoot}:${this.identity}`;
  }

  /**
   * Fills `into` with the bytes from `position` on.
   * @returns the bytes read: fewer than `into` holds only at the end of the file.
   */
  async read(into: Uint8Array, position: number): Promise<number> {
    let filled = 0;
    while (filled < into.length) {
      const { bytesRead } = await this.#handle
        .read(into, filled, into.length - filled, position + filled)
        .catch((cause: unknown) => {
          throw readFailure(this.path, cause);
        });
      if (bytesRead === 0) break;
      filled += bytesRead;
    }
    return filled;
  }

  /**
   * The same, in the calling thread. A few KiB from the page cache take less than the way to another thread and back, by far;
   * nothing else runs meanwhile.
   */
  readNow(into: Uint8Array, position: number): number {
    try {
      let filled = 0;
      for (let count = 1; count > 0 && filled < into.length; filled += count)
        count = readSync(this.#handle.fd, into, filled, into.length - filled, position + filled);
      return filled;
    } catch (cause) {
      throw readFailure(this.path, cause);
    }
  }

  /**
   * The `length` bytes from `position` on.
   * @throws VecsnapError SOURCE_TRUNCATED when the file ends before.
   */
  async readExactly(position: number, length: number): Promise<Uint8Array> {
    const isLarge = length >= LARGE_BYTES;
    const memory = new Uint8Array(isLarge ? length + ROOM_SLACK_BYTES : length);
    const bytes = isLarge ? roomToRead(memory, position, length) : memory;
    await this.fill(bytes, position);
    return bytes;
  }

  /**
   * Fills `into` whole.
   * @throws VecsnapError SOURCE_TRUNCATED when the file ends before, SOURCE_CHANGED when it did not when it was opened.
   */
  async fill(into: Uint8Array, position: number): Promise<void> {
    const filled = await this.read(into, position);
    if (filled === into.length) return;
    if (position + filled < this.size) throw sourceChanged(this.path);
    throw new VecsnapError('SOURCE_TRUNCATED', `The file ends at byte ${position + filled}.`, {
      place: `${this.path}, byte ${position + filled}`,
      remedy: `It should have at least ${position + into.length} bytes. Write the file again, or take it as file:${this.path}.`,
    });
  }

  /**
   * The bytes from `start` to the end, in pieces that the receiver owns. Not in shared memory, which threads read without a copy: that is
   * collected so late that twelve files of 63 MB left 430 MB resident, in place of 210, for a tenth of the time.
   */
  async *stream(start = 0, pieceBytes = 1 << 18): AsyncGenerator<Uint8Array> {
    if (this.size === 0) yield* this.#streamUntold();
    for (let position = start; position < this.size; position += pieceBytes) {
      const length = Math.min(pieceBytes, this.size - position);
      const memory = new Uint8Array(length + ROOM_SLACK_BYTES);
      const piece = roomToRead(memory, position, length);
      await this.fill(piece, position);
      yield piece;
    }
  }

  /** Files that are made up as they are read, by the kernel or by a program, say that they are empty. */
  async *#streamUntold(): AsyncGenerator<Uint8Array> {
    for (let position = 0; ;) {
      const piece = new Uint8Array(UNTOLD_PIECE_BYTES);
      const filled = await this.read(piece, position);
      if (filled > 0) yield piece.subarray(0, filled);
      if (filled < piece.length) return;
      position += filled;
    }
  }

  /** @throws VecsnapError SOURCE_CHANGED when the file was written, replaced or removed since it was opened. */
  async confirmUnchanged(): Promise<void> {
    const open = identityOf(await this.#handle.stat({ bigint: true }));
    const named = await lstat(this.path, { bigint: true }).then(followed(this.path), () => undefined);
    if (open !== this.identity || named !== this.identity) throw sourceChanged(this.path);
  }

  async close(): Promise<void> {
    await this.#handle.close();
  }
}

/** ext2 to ext4, XFS and btrfs, each of which was tried. On tmpfs, writes through mappings do not show whatever one does. */
const TELLING_SYSTEMS: ReadonlySet<number> = new Set([0xef53, 0x58465342, 0x9123683e]);

/**
 * The id of this run of the system, where the file stands so that every write that begins after a sync is known to show in the times; undefined
 * elsewhere. After a power cut a file may have bytes that were synced, and times from before.
 */
export async function tellingBoot(path: string): Promise<string | undefined> {
  if (process.platform !== 'linux') return undefined;
  try {
    const { type } = await statfs(path);
    return TELLING_SYSTEMS.has(type) ? (await readFile(BOOT_ID_PATH, 'latin1')).trim() : undefined;
  } catch {
    return undefined; // Then the file is read.
  }
}

const BOOT_ID_PATH = '/proc/sys/kernel/random/boot_id';

/**
 * A write may go on for so long after it has set the times, which it does when it begins: 64 MB out of a mapping that was not in memory took 2.3
 * seconds. Some file systems also note whole seconds only.
 */
const QUIET_MS = 30_000;

/** Whether no write is under way to a file that had these times before `now`, and one that comes later gives it others. */
function isQuiet(stats: BigIntStats, now: number): boolean {
  return lastChangeOf(stats) < now - QUIET_MS;
}

/** When the file or its inode was written last, in milliseconds since 1970. */
function lastChangeOf({ mtimeNs, ctimeNs }: BigIntStats): number {
  return Number((mtimeNs > ctimeNs ? mtimeNs : ctimeNs) / 1_000_000n);
}

/** Fine times move in ticks of no more than so many milliseconds. */
const TICK_MS = 10;

/**
 * Waits until a write to a file that was looked at before shows in its times. They move in ticks: without this, a write in the same
 * tick as the look would not be seen.
 */
export async function passTick(): Promise<void> {
  await sleep(TICK_MS);
}

/**
 * Equal for two looks at a file between which it was neither written nor replaced. The time of the last change of its inode tells of
 * writes after which the time of the last write was put back, which any program may do.
 */
export function identityOf(stats: Pick<BigIntStats, 'dev' | 'ino' | 'size' | 'mtimeNs' | 'ctimeNs'>): string {
  return [stats.dev, stats.ino, stats.size, stats.mtimeNs, stats.ctimeNs].join(':');
}

/** The device that an identity tells. */
export function deviceIn(identity: string): string {
  return identity.slice(0, identity.indexOf(':'));
}

function followed(path: string) {
  return async (stats: BigIntStats): Promise<string> => {
    if (!stats.isSymbolicLink()) return identityOf(stats);
    const handle = await open(path, READ_FLAGS);
    try {
      return identityOf(await handle.stat({ bigint: true }));
    } finally {
      await handle.close();
    }
  };
}

/** Opening a FIFO would else wait for a writer, in a thread that nothing can call back. Windows has neither flag. */
const READ_FLAGS = constants.O_RDONLY | (constants.O_NONBLOCK ?? 0);

/**
 * Opens a file that somebody else may have put there, to be read.
 * @throws the error of the system, or one that says that something else than a regular file stands there.
 */
export async function openRegular(path: string): Promise<FileHandle> {
  const handle = await open(path, READ_FLAGS).catch((cause: unknown) => {
    throw systemCode(cause) === 'ENXIO' ? notAFile(cause) : cause; // A socket, or a device without a driver.
  });
  const stats = await handle.stat();
  if (stats.isFile()) return handle;
  await handle.close();
  throw notAFile();
}

function notAFile(cause?: unknown): Error {
  return new Error('it is no regular file', { cause });
}

/** The bytes of a file. @throws as {@link openRegular}. */
export async function readRegular(path: string): Promise<Buffer> {
  const handle = await openRegular(path);
  try {
    return await handle.readFile();
  } finally {
    await handle.close();
  }
}

async function openForReading(path: string, openHandle: OpenHandle): Promise<ReadHandle> {
  try {
    return await openHandle(path, READ_FLAGS);
  } catch (cause) {
    if (systemCode(cause) === 'ENOENT' || systemCode(cause) === 'ENOTDIR') {
      throw new VecsnapError('SOURCE_MISSING', 'There is no file at this path.', {
        place: path,
        remedy: 'Check the path of the source.',
        cause,
      });
    }
    if (systemCode(cause) === 'ENXIO') throw notRegular(path); // A socket, or a device without a driver.
    throw readFailure(path, cause);
  }
}

function notRegular(path: string): VecsnapError {
  return new VecsnapError('SOURCE_INVALID', 'The source is not a regular file.', {
    place: path,
    remedy: 'Give the path of a file, or use dir: for a directory tree.',
  });
}

/** What is said of a file or a tree that is not the content of one moment. */
export function sourceChanged(path: string): VecsnapError {
  return new VecsnapError('SOURCE_CHANGED', 'The source changed while it was read.', {
    place: path,
    remedy: 'Take the snapshot while nothing writes to the source.',
  });
}

/** A failed read of a source as a {@link VecsnapError}. */
export function readFailure(path: string, cause: unknown): VecsnapError {
  return new VecsnapError('SOURCE_FAILED', `The source could not be read: ${messageOf(cause)}.`, {
    place: path,
    remedy: 'Check that the file can be read by this user.',
    cause,
  });
}

/** The code of a system error, for example `ENOENT`. */
export function systemCode(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error ? String(error.code) : undefined;
}

/** What an error says. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** Whether anything stands at `path`, a dangling link included. */
export async function pathExists(path: string): Promise<boolean> {
  return lstat(path).then(
    () => true,
    () => false,
  );
}

/** The bytes of the regular file at `path`; undefined when there is none, or it cannot be looked at: opening it will say why. */
export async function sizeOfFile(path: string): Promise<number | undefined> {
  return stat(path).then(
    (stats) => (stats.isFile() ? stats.size : undefined),
    () => undefined,
  );
}
