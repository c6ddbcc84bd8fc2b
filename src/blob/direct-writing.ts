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
  readonly #leastBytes: number;
  readonly #memory = new BlockMemory();
  #isToBeHad: boolean;

  /** @param leastBytes files of which fewer are written at first are left to the page cache. */
  constructor(fs: FsOperations, leastBytes: number) {
    this.#fs = fs;
    this.#leastBytes = leastBytes;
    this.#isToBeHad = fs.openDirect !== undefined;
  }

  /**
   * Writes a file that is new and open, whose bytes are not durable by that. A part is not needed any longer once the next is asked for.
   * @throws what `parts` throws, and what the system says. Nothing is being written any more then.
   */
  async write(
    path: string,
    descriptor: number,
    parts: Iterable<Uint8Array> | AsyncIterable<Uint8Array>,
  ): Promise<void> {
    const aligned = this.#memory.take();
    const file = new BlockFile(this.#fs, descriptor, async (bytes) =>
      aligned !== undefined && bytes >= this.#leastBytes ? this.#open(path) : undefined,
    );
    const writer = new BlockWriter(file.write, aligned ?? new Uint8Array(BLOCK_MEMORY_BYTES), 0);
    let end: { readonly rest: Uint8Array; readonly position: number };
    try {
      for await (const part of parts) await writer.add(part);
      end = await writer.finish();
    } catch (error) {
      await writer.settle();
      await file.close().catch(() => {}); // What failed first is what the caller needs to know.
      throw error;
    } finally {
      if (aligned !== undefined) this.#memory.giveBack(aligned);
    }
    await file.close();
    await this.#writeRest(descriptor, end.rest, end.position);
  }

  /** Undefined where the system does not let us. */
  async #open(path: string): Promise<number | undefined> {
    if (!this.#isToBeHad) return undefined;
    const direct = await this.#fs.openDirect?.(path).catch(insteadOfDirect(() => undefined));
    this.#isToBeHad = direct !== undefined;
    return direct;
  }

  /** Writes what is left behind whole blocks, through the page cache. */
  async #writeRest(descriptor: number, rest: Uint8Array, position: number): Promise<void> {
    for (let done = 0; done < rest.length;) {
      const count = await this.#fs.writeAt(descriptor, rest.subarray(done), position + done);
      if (count === 0) throw new Error('a write wrote nothing');
      done += count;
    }
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
    const through = () => this.#fs.writeAt(this.#descriptor, bytes, position);
    return direct === undefined
      ? through()
      : this.#fs.writeAt(direct, bytes, position).catch(insteadOfDirect(through));
  };

  async close(): Promise<void> {
    const direct = await this.#direct;
    if (direct !== undefined) await this.#fs.close(direct);
  }
}
