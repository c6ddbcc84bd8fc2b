/** Writes one new file from many pieces: without copying them, with one write under way, and durably. */
import { type FileHandle, open } from 'node:fs/promises';
import { totalLength } from '../core/index.js';

/** Bytes and pieces that are gathered for one write. */
const GATHERED_BYTES = 1 << 20;
const GATHERED_PIECES = 256;

/** The disk is told to begin after so many bytes, so that it writes while more is produced, and little is left at the end. */
const SYNCED_BYTES = 32 << 20;

/** How something that nobody waits for yet went. */
interface Outcome {
  readonly failure?: unknown;
}

/** A new file that is being written from its start on. */
export class FileWriter {
  readonly #handle: FileHandle;
  readonly #mode: number | undefined;
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

  private constructor(handle: FileHandle, mode: number | undefined, start: number) {
    this.#handle = handle;
    this.#mode = mode;
    this.#position = start;
  }

  /**
   * Makes the file at `path`, where nothing stands, runs `produce` and makes the file durable; it is closed in any case.
   * @param options `mode`: permission bits of the finished file, else what the user's umask gives; `start`: where the first
   * piece goes, when bytes before it are written later by {@link writeAt}.
   */
  static async run(
    path: string,
    options: { mode?: number; start?: number },
    produce: (writer: FileWriter) => Promise<void>,
  ): Promise<void> {
    const handle = await open(path, 'wx', options.mode === undefined ? 0o666 : 0o600);
    const writer = new FileWriter(handle, options.mode, options.start ?? 0);
    try {
      await produce(writer);
      await writer.#finish();
    } finally {
      await writer.#syncing;
      await handle.close(); // Waits for the write under way.
    }
  }

  /** Adds a piece. It must not change before `release` is called, which is when it was written. */
  async write(piece: Uint8Array, release?: () => void): Promise<void> {
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
    await this.#flush();
    await this.#settle();
    throwFailure(await this.#syncing);
    if (this.#mode !== undefined) await this.#handle.chmod(this.#mode);
    await this.#handle.sync();
  }

  async #flush(): Promise<void> {
    await this.#settle();
    if (this.#unsynced >= SYNCED_BYTES && !this.#isSyncing) await this.#beginSync();
    const [pieces, releases, position] = [this.#pieces, this.#releases, this.#position];
    this.#position += this.#gathered;
    this.#unsynced += this.#gathered;
    [this.#pieces, this.#releases, this.#gathered] = [[], [], 0];
    const written = writeAll(this.#handle, pieces, position);
    this.#underWay = outcomeOf(written.then(() => releases.forEach((release) => release())));
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
