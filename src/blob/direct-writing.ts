/** Writes files part by part, and large ones past the page cache, where the system lets them: see core/blocks.ts. */
import {
  BLOCK_MEMORY_BYTES,
  BlockMemory,
  BlockWriter,
  insteadOfDirect,
  type WriteAt,
} from '../core/blocks.js';
import type { FsOperations } from './fs-operations.js';

/** See the head of this file. Memory for blocks is kept, and used again. */
export class DirectWriting {
  readonly #fs: FsOperations;
  readonly #memory = new BlockMemory();
  #isToBeHad: boolean;

  constructor(fs: FsOperations) {
    this.#fs = fs;
    this.#isToBeHad = fs.openDirect !== undefined;
  }

  /** Whether the system lets us write past its cache, as far as is known. */
  get isToBeHad(): boolean {
    return this.#isToBeHad;
  }

  /**
   * Writes a file that is new and open, whose bytes are not durable by that. Parts are not needed any longer once the next are asked for.
   * @param leastBytes of the first MiB, or of all when that is less: when fewer come, the file is left to the page cache.
   * @throws what `parts` throws, and what the system says. Nothing is being written any more then.
   */
  async write(
    path: string,
    descriptor: number,
    parts: Iterable<readonly Uint8Array[]> | AsyncIterable<readonly Uint8Array[]>,
    leastBytes: number,
  ): Promise<void> {
    const aligned = this.#isToBeHad ? this.#memory.take() : undefined;
    const file = new BlockFile(this.#fs, descriptor, async (bytes) =>
      aligned !== undefined && bytes >= leastBytes ? this.#open(path) : undefined,
    );
    const writer = new BlockWriter(file.write, aligned ?? new Uint8Array(BLOCK_MEMORY_BYTES), 0);
    let end: { readonly rest: Uint8Array; readonly position: number };
    try {
      for await (const some of parts) await writer.add(some);
      end = await writer.finish();
    } catch (error) {
      await writer.settle();
      await file.close().catch(() => {}); // What failed first is what the caller needs to know.
      throw error;
    } finally {
      if (aligned !== undefined) this.#memory.giveBack(aligned);
    }
    await file.close();
    await writeAll(this.#fs, descriptor, end.rest, end.position); // What is left behind whole blocks.
  }

  /** Undefined where the system does not let us. */
  async #open(path: string): Promise<number | undefined> {
    if (!this.#isToBeHad) return undefined;
    const direct = await this.#fs.openDirect?.(path).catch(insteadOfDirect(() => undefined));
    this.#isToBeHad = direct !== undefined;
    return direct;
  }
}

/** A file of which blocks are written past the page cache, if the first are worth it. */
class BlockFile {
  readonly #fs: FsOperations;
  readonly #descriptor: number;
  readonly #open: (bytes: number) => Promise<number | undefined>;
  #direct: Promise<number | undefined> | undefined;

  /** @param open opens the file for that, given how many bytes come first; or gives undefined. */
  constructor(fs: FsOperations, descriptor: number, open: (bytes: number) => Promise<number | undefined>) {
    this.#fs = fs;
    this.#descriptor = descriptor;
    this.#open = open;
  }

  readonly write: WriteAt = async (bytes, position) => {
    const direct = await (this.#direct ??= this.#open(bytes.length));
    const through = () => writeAll(this.#fs, this.#descriptor, bytes, position);
    return direct === undefined
      ? through()
      : this.#fs.writeAt(direct, bytes, position).catch(insteadOfDirect(through));
  };

  async close(): Promise<void> {
    const direct = await this.#direct;
    if (direct !== undefined) await this.#fs.close(direct);
  }
}

/** Writes through the page cache, which may take any part of what it is given at a time. Returns how many bytes that are. */
async function writeAll(
  fs: FsOperations,
  descriptor: number,
  bytes: Uint8Array,
  position: number,
): Promise<number> {
  for (let done = 0; done < bytes.length;) {
    const count = await fs.writeAt(descriptor, bytes.subarray(done), position + done);
    if (count === 0) throw new Error('a write wrote nothing');
    done += count;
  }
  return bytes.length;
}
