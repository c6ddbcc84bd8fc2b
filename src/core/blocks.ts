/**
 * Bytes gathered into blocks that may be written past the page cache of the operating system, which takes whole blocks from memory that is
 * aligned to blocks (O_DIRECT of open(2)).
 *
 * What is written so is not copied into pages of the system, takes none from the programs beside it, and need not be written
 * back when the file is synced.
 */
import type { WebAssemblyRuntime } from './wasm.js';

/** All known file systems and disks take writes of this many bytes, and places in files and memory that are multiples of it. */
export const BLOCK_BYTES = 4096;

/** Bytes that are written at once, and by which memory for blocks is given. */
const WRITTEN_BYTES = 1024 * 1024;

const PAGE_BYTES = 65_536;

/** Bytes of memory that a {@link BlockWriter} works with. */
export const BLOCK_MEMORY_BYTES = 2 * WRITTEN_BYTES;

/** Memory for one {@link BlockWriter} after the other. */
export class BlockMemory {
  readonly #spare: Uint8Array[] = [];

  /** Memory that nobody else has until it is given back. Undefined where none is to be had that is aligned. */
  take(): Uint8Array | undefined {
    return this.#spare.pop() ?? alignedMemory();
  }

  giveBack(memory: Uint8Array): void {
    this.#spare.push(memory);
  }
}

function alignedMemory(): Uint8Array | undefined {
  const runtime = (globalThis as { WebAssembly?: WebAssemblyRuntime }).WebAssembly;
  if (runtime === undefined) return undefined;
  const pages = BLOCK_MEMORY_BYTES / PAGE_BYTES;
  try {
    return new Uint8Array(new runtime.Memory({ initial: pages, maximum: pages }).buffer);
  } catch {
    return undefined; // The machine gives no more, or forbids it.
  }
}

/** What a file system says that has no writing past its cache, or none in blocks of this size. */
const NO_DIRECT_WRITES: ReadonlySet<unknown> = new Set(['EINVAL', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS']);

/** What to do in place of something that failed because the file system has no writing past its cache. Throws other failures. */
export function insteadOfDirect<T>(action: () => T): (error: unknown) => T {
  return (error) => {
    if (error instanceof Error && 'code' in error && NO_DIRECT_WRITES.has(error.code)) return action();
    throw error;
  };
}

/** Writes some bytes at a place of a file. Returns how many were written, which may be fewer. */
export type WriteAt = (bytes: Uint8Array, position: number) => Promise<number>;

/** Gathers bytes and writes them in whole blocks, one write at a time, while the next are gathered. */
export class BlockWriter {
  readonly #write: WriteAt;
  readonly #halves: [Uint8Array, Uint8Array];
  #filled = 0;
  #position: number;
  #underWay: Promise<void> = Promise.resolve();

  /**
   * @param memory of a {@link BlockMemory}, which is not given back before all calls have settled.
   * @param position where the first block goes, a multiple of {@link BLOCK_BYTES}.
   */
  constructor(write: WriteAt, memory: Uint8Array, position: number) {
    this.#write = write;
    this.#halves = [memory.subarray(0, WRITTEN_BYTES), memory.subarray(WRITTEN_BYTES)];
    this.#position = position;
  }

  /** Adds parts. They may change once this resolves, because they are copied. */
  async add(parts: readonly Uint8Array[]): Promise<void> {
    for (const bytes of parts) {
      let rest = bytes;
      while (this.#filled + rest.length >= WRITTEN_BYTES) {
        const taken = WRITTEN_BYTES - this.#filled;
        this.#gather(rest.subarray(0, taken));
        rest = rest.subarray(taken);
        await this.#flush();
      }
      this.#gather(rest);
    }
  }

  #gather(bytes: Uint8Array): void {
    this.#halves[0].set(bytes, this.#filled);
    this.#filled += bytes.length;
  }

  /** Writes what is left of whole blocks. @returns what is left behind them, less than a block, and where it goes. */
  async finish(): Promise<{ readonly rest: Uint8Array; readonly position: number }> {
    const whole = this.#filled - (this.#filled % BLOCK_BYTES);
    const left = this.#halves[0].slice(whole, this.#filled);
    this.#filled = whole;
    await this.#flush();
    await this.#underWay;
    return { rest: left, position: this.#position };
  }

  /** Waits for the write under way, however it ends: for who gives up, and closes the file. */
  async settle(): Promise<void> {
    await Promise.allSettled([this.#underWay]);
  }

  async #flush(): Promise<void> {
    await this.#underWay;
    const [bytes, position] = [this.#halves[0].subarray(0, this.#filled), this.#position];
    this.#halves.reverse();
    this.#underWay = writeBlocks(this.#write, bytes, position);
    this.#underWay.catch(() => {}); // It is thrown to who waits for it next.
    this.#position += bytes.length;
    this.#filled = 0;
  }
}

/** A write may take less than it was given, for example on a disk that is nearly full: it is taken up at the block that it ended in. */
async function writeBlocks(write: WriteAt, bytes: Uint8Array, position: number): Promise<void> {
  for (let done = 0; done < bytes.length;) {
    const count = await write(bytes.subarray(done), position + done);
    const blocks = count - (count % BLOCK_BYTES);
    if (blocks === 0) throw new Error('a write wrote less than a block');
    done += blocks;
  }
}
