/**
 * Writes one new file from many pieces: with one write under way, and durably. The beginning goes through the page cache of the system,
 * without a copy; what follows in a large file past it, where the system lets us (core/blocks.ts).
 */
import { constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import {
  BLOCK_BYTES,
  BlockMemory,
  BlockWriter,
  insteadOfDirect,
  throwIfAborted,
  totalLength,
  type WriteAt,
} from '../core/index.js';
import type { RegularFile } from './port.js';

/** Bytes and pieces that are gathered for one write. */
const GATHERED_BYTES = 1 << 20;
const GATHERED_PIECES = 256;

/** The disk is told to begin after so many bytes, so that it writes while more is produced, and little is left at the end. */
const SYNCED_BYTES = 32 << 20;

/** From here on a file is written past the page cache. */
const DIRECT_BYTES = 4 << 20;

/** Linux has it; what it would be elsewhere is something else. */
const DIRECT_FLAGS =
  process.platform === 'linux' && constants.O_DIRECT !== undefined
    ? constants.O_WRONLY | constants.O_DIRECT | constants.O_NOFOLLOW
    : undefined;

/** How a file is written. */
export interface FileOptions {
  /** Permission bits of the finished file, else what the user's umask gives. */
  readonly mode?: number | undefined;
  /** Where the first piece goes, when bytes before it are written later by {@link FileWriter.writeAt}. Default: 0. */
  readonly start?: number | undefined;
  /** For writing past the page cache, where several files are written one after the other. */
  readonly memory?: BlockMemory | undefined;
}

/** A file that is written past the page cache from some place on. */
interface DirectEnd {
  readonly handle: FileHandle;
  readonly memory: Uint8Array;
  readonly blocks: BlockWriter;
}

/** How something that nobody waits for yet went. */
interface Outcome {
  readonly failure?: unknown;
}

/** A new file that is being written from its start on. */
export class FileWriter {
  readonly #handle: FileHandle;
  readonly #path: string;
  readonly #options: FileOptions;
  readonly #memory: BlockMemory;
  #direct: DirectEnd | 'not tried' | 'not to be had' = 'not tried';
  #position: number;
  #pieces: Uint8Array[] = [];
  #gathered = 0;
  #releases: (() => void)[] = [];
  /** The write under way; it resolves to what went wrong, so that a failure waits here until somebody asks. */
  #underWay: Promise<Outcome> = Promise.resolve({});
  /** The sync under way or the last one, in the same way. */
  #syncing: Promise<Outcome> = Promise.resolve({});
  #isSyncing = false;
  #unsynced = 0;

  private constructor(handle: FileHandle, path: string, options: FileOptions) {
    this.#handle = handle;
    this.#path = path;
    this.#options = options;
    this.#memory = options.memory ?? new BlockMemory();
    this.#position = options.start ?? 0;
  }

  /** Makes the file at `path`, where nothing stands, runs `produce` and makes the file durable; it is closed in any case. */
  static async run(
    path: string,
    options: FileOptions,
    produce: (writer: FileWriter) => Promise<void>,
  ): Promise<void> {
    const handle = await open(path, 'wx', options.mode === undefined ? 0o666 : 0o600);
    const writer = new FileWriter(handle, path, options);
    try {
      await produce(writer);
      await writer.#finish();
    } finally {
      await writer.#syncing;
      await writer.#closeDirect();
      await handle.close(); // Waits for the write under way.
    }
  }

  /** Adds a piece. It must not change before `release` is called, which is when it was written. */
  async write(piece: Uint8Array, release?: () => void): Promise<void> {
    if (typeof this.#direct === 'object') {
      await this.#direct.blocks.add([piece]);
      release?.();
      return;
    }
    this.#pieces.push(piece);
    this.#gathered += piece.length;
    if (release !== undefined) this.#releases.push(release);
    if (this.#gathered >= GATHERED_BYTES || this.#pieces.length >= GATHERED_PIECES) await this.#flush();
  }

  /** Writes bytes at a place of their own, for example a header that is known only at the end. */
  async writeAt(bytes: Uint8Array, position: number): Promise<void> {
    await writeAll(this.#handle, [bytes], position);
  }

  async #finish(): Promise<void> {
    if (this.#gathered > 0) await this.#flush();
    if (typeof this.#direct === 'object') await this.#finishDirect(this.#direct);
    await this.#settle();
    throwFailure(await this.#syncing);
    const { mode } = this.#options;
    if (mode !== undefined) await this.#handle.chmod(mode);
    await this.#handle.sync();
  }

  async #flush(): Promise<void> {
    await this.#settle();
    if (this.#position >= DIRECT_BYTES && this.#direct === 'not tried') {
      await this.#beginDirect();
      if (typeof this.#direct === 'object') return;
    }
    if (this.#unsynced >= SYNCED_BYTES && !this.#isSyncing) await this.#beginSync();
    const [pieces, releases, position] = [this.#pieces, this.#releases, this.#position];
    this.#position += this.#gathered;
    this.#unsynced += this.#gathered;
    [this.#pieces, this.#releases, this.#gathered] = [[], [], 0];
    const written = writeAll(this.#handle, pieces, position);
    this.#underWay = outcomeOf(written.then(() => releases.forEach((release) => release())));
  }

  /** Has what comes from now on written past the page cache. What is gathered begins at the next block. */
  async #beginDirect(): Promise<void> {
    const start = Math.ceil(this.#position / BLOCK_BYTES) * BLOCK_BYTES;
    const before = start - this.#position;
    if (this.#gathered < before) return;
    const direct = await this.#openDirect(start);
    this.#direct = direct ?? 'not to be had';
    if (direct === undefined) return;
    const pieces = this.#pieces;
    await writeAll(this.#handle, firstBytes(pieces, before), this.#position);
    await direct.blocks.add(without(pieces, before));
    for (const release of this.#releases) release();
    [this.#pieces, this.#releases, this.#gathered] = [[], [], 0];
  }

  async #openDirect(start: number): Promise<DirectEnd | undefined> {
    const memory = DIRECT_FLAGS === undefined ? undefined : this.#memory.take();
    if (memory === undefined) return undefined;
    try {
      const handle = await open(this.#path, DIRECT_FLAGS);
      const write: WriteAt = async (bytes, position) => {
        const write = (to: FileHandle) => to.write(bytes, 0, bytes.length, position);
        return (await write(handle).catch(insteadOfDirect(() => write(this.#handle)))).bytesWritten;
      };
      return { handle, memory, blocks: new BlockWriter(write, memory, start) };
    } catch {
      this.#memory.giveBack(memory);
      return undefined; // The file system has no such writing, or there are too many open files: it is done in the usual way.
    }
  }

  async #finishDirect({ blocks }: DirectEnd): Promise<void> {
    const { rest, position } = await blocks.finish();
    await writeAll(this.#handle, [rest], position);
  }

  async #closeDirect(): Promise<void> {
    if (typeof this.#direct !== 'object') return;
    const { handle, memory } = this.#direct;
    await handle.close(); // Waits for the write under way.
    this.#memory.giveBack(memory);
  }

  /** Begins to sync what was written. A failure of the sync before is told now: the system tells it only once. */
  async #beginSync(): Promise<void> {
    throwFailure(await this.#syncing);
    [this.#isSyncing, this.#unsynced] = [true, 0];
    this.#syncing = outcomeOf(this.#handle.datasync()).finally(() => (this.#isSyncing = false));
  }

  async #settle(): Promise<void> {
    throwFailure(await this.#underWay);
  }
}

function outcomeOf(work: Promise<unknown>): Promise<Outcome> {
  return work.then(
    () => ({}),
    (failure: unknown) => ({ failure }),
  );
}

function throwFailure({ failure }: Outcome): void {
  if (failure !== undefined) throw failure;
}

/** A write may take less than it was given, for example on a disk that is nearly full. */
async function writeAll(handle: FileHandle, pieces: readonly Uint8Array[], position: number): Promise<void> {
  let rest = pieces.filter((piece) => piece.length > 0);
  let at = position;
  while (rest.length > 0) {
    const { bytesWritten } = await handle.writev(rest, at);
    at += bytesWritten;
    rest = bytesWritten === totalLength(rest) ? [] : without(rest, bytesWritten);
  }
}

/** The first bytes of pieces, which have so many. */
function firstBytes(pieces: readonly Uint8Array[], length: number): Uint8Array[] {
  const first: Uint8Array[] = [];
  for (let left = length, i = 0; left > 0; i++) {
    const piece = (pieces[i] as Uint8Array).subarray(0, left);
    first.push(piece);
    left -= piece.length;
  }
  return first;
}

/** Pieces without their first bytes. */
function without(pieces: readonly Uint8Array[], written: number): Uint8Array[] {
  const rest: Uint8Array[] = [];
  let before = 0;
  for (const piece of pieces) {
    const done = Math.min(Math.max(written - before, 0), piece.length);
    if (done < piece.length) rest.push(piece.subarray(done));
    before += piece.length;
  }
  return rest;
}

/**
 * Writes a new file with the bytes and the permissions of `entry`.
 * @param memory for large files, where several are written one after the other.
 * @returns its bytes.
 */
export async function writeRegularFile(
  path: string,
  entry: RegularFile,
  signal: AbortSignal | undefined,
  memory?: BlockMemory,
): Promise<number> {
  let bytes = 0;
  await FileWriter.run(path, { mode: entry.mode, memory }, async (writer) => {
    for await (const piece of entry.read()) {
      throwIfAborted(signal);
      bytes += piece.length;
      await writer.write(piece);
    }
    throwIfAborted(signal);
  });
  return bytes;
}
