/** Writes large files past the page cache, where the system lets them: see core/blocks.ts. */
import { BlockMemory, BlockWriter, insteadOfDirect, type WriteAt } from '../core/blocks.js';
import { closing, type FsOperations } from './fs-operations.js';

/** See the head of this file. Memory for blocks is kept, and used again. */
export class DirectWriting {
  readonly #fs: FsOperations;
  readonly #leastBytes: number;
  readonly #memory = new BlockMemory();
  #isToBeHad: boolean;

  /** @param leastBytes shorter files are left to the page cache. */
  constructor(fs: FsOperations, leastBytes: number) {
    this.#fs = fs;
    this.#leastBytes = leastBytes;
    this.#isToBeHad = fs.openDirect !== undefined;
  }

  /**
   * Writes a file that is new and open, whose bytes are not durable by that.
   * @returns whether it did: not when the file is short, or the system does not let us.
   */
  async write(path: string, descriptor: number, parts: readonly Uint8Array[]): Promise<boolean> {
    const bytes = parts.reduce((sum, { length }) => sum + length, 0);
    if (!this.#isToBeHad || bytes < this.#leastBytes) return false;
    const memory = this.#memory.take();
    const direct = memory && (await this.#open(path));
    this.#isToBeHad = direct !== undefined;
    if (memory === undefined || direct === undefined) return false;
    const { rest, position } = await closing(this.#fs, direct, () =>
      this.#writeBlocks(direct, descriptor, parts, memory),
    );
    this.#memory.giveBack(memory); // After a failure it may still be read.
    await this.#writeRest(descriptor, rest, position);
    return true;
  }

  async #open(path: string): Promise<number | undefined> {
    return this.#fs.openDirect?.(path).catch(insteadOfDirect(() => undefined));
  }

  async #writeBlocks(
    direct: number,
    descriptor: number,
    parts: readonly Uint8Array[],
    memory: Uint8Array,
  ): Promise<{ readonly rest: Uint8Array; readonly position: number }> {
    const write: WriteAt = (bytes, position) =>
      this.#fs
        .writeAt(direct, bytes, position)
        .catch(insteadOfDirect(() => this.#fs.writeAt(descriptor, bytes, position)));
    const writer = new BlockWriter(write, memory, 0);
    for (const part of parts) await writer.add(part);
    return writer.finish();
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
