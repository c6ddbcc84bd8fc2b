/**
 * Chunks that are told by others, put together in WebAssembly (kernels/chains.ts): the stored bytes of a whole graph are read into the memory of the
 * kernels, which go from delta to delta there. In TypeScript that costs more by far, most of it before the code is warm: a chain of twenty deltas
 * is twenty of everything.
 */
import type { Deflate } from '../core/platform.js';
import { FIELD_COUNT, FIELDS, type ReadFile, type StoredGraph } from './chunk-graph.js';
import { CODECS, decodeAlone, type StoredChunk } from './codec.js';
import { unpackLiterals } from './delta.js';
import { type KernelEngine, kernelsWithRoom } from './kernels.js';
import type { Fresh } from './pieces.js';

/** The place of a number in a row of the table, as kernels/chains.ts has it. */
const ROW = {
  codec: 0,
  length: 1,
  from: 2,
  size: 3,
  bases: 4,
  baseCount: 5,
  isResolved: 6,
  form: 9,
  packed: 10,
  packedSize: 11,
  plainLength: 12,
  plain: 13,
} as const;
const ROW_LENGTH = 14;

/** Memory for pieces; chunks for which there is none are put together in TypeScript. */
const PIECES_BYTES = 1024 * 1024;
/** So many bytes are held at most, with stored bytes and with what was decoded elsewhere. */
const MOST_HELD_BYTES = 16 * 1024 * 1024;
/** A chunk with all that it copies from is decoded in at most so many. */
const MOST_WORK_BYTES = 64 * 1024 * 1024;
/** What a part of the memory may take beside its length. */
const SPARE_BYTES = 128;

/** What `build` gives: a place, or this, or the number of a source less than the next. */
const MORE_MEMORY = -1;
const FIRST_SOURCE = -2;

/** See the head of this file. To be closed before another one is opened. */
export class ChainKernels {
  readonly #kernels: KernelEngine;
  readonly #deflate: Deflate;
  readonly #stored: StoredGraph;
  readonly #table: number;
  readonly #read: number;
  /** Room for what a chunk is decoded in: more than most need. */
  #workBytes = 256 * 1024;

  /**
   * Reads the stored bytes of a graph, and resolves its chunks.
   * @returns undefined when the machine has no kernels, or the graph is too large for them; then nothing was read.
   */
  static open(stored: StoredGraph, readFile: ReadFile, deflate: Deflate): ChainKernels | undefined {
    const { memory, bases } = stored.graph;
    const ofMemory = memory.reduce((sum, { length }) => sum + length + SPARE_BYTES, 0);
    const ofTable = 4 * (stored.count * ROW_LENGTH + bases.length) + PIECES_BYTES;
    const length = stored.byteLength + ofMemory + ofTable + 4 * SPARE_BYTES;
    const kernels = length > MOST_HELD_BYTES ? undefined : kernelsWithRoom(length);
    if (kernels === undefined) return undefined;
    try {
      return new ChainKernels(kernels, stored, readFile, deflate);
    } catch (error) {
      kernels.letGo();
      throw error;
    }
  }

  private constructor(kernels: KernelEngine, stored: StoredGraph, readFile: ReadFile, deflate: Deflate) {
    this.#kernels = kernels;
    this.#stored = stored;
    this.#deflate = deflate;
    this.#read = kernels.hold(stored.byteLength);
    stored.read(readFile, this.#readBytes());
    this.#table = kernels.hold(4 * stored.count * ROW_LENGTH);
    this.#fillTable();
    const pieces = kernels.hold(PIECES_BYTES);
    kernels.functions.resolve(this.#table, stored.count, pieces, pieces + PIECES_BYTES);
  }

  /** The wanted chunks, with their stored bytes outside of the memory of the kernels. */
  chunksOutside(): StoredChunk[] {
    this.#stored.moveTo(this.#readBytes().slice());
    return this.#stored.wanted();
  }

  /** Lets go of the memory. */
  close(): void {
    this.#kernels.letGo();
  }

  /** The stored bytes that were read, where they are now; valid until something else is decoded. */
  #readBytes(): Uint8Array {
    return this.#kernels.memory.subarray(this.#read, this.#read + this.#stored.byteLength);
  }

  #fillTable(): void {
    const { count, graph } = this.#stored;
    const { fields, bases } = graph;
    const kernels = this.#kernels;
    const numbers = kernels.hold(4 * bases.length);
    const { buffer } = kernels.memory;
    new Uint32Array(buffer, numbers, bases.length).set(bases);
    const table = new Uint32Array(buffer, this.#table, count * ROW_LENGTH).fill(0);
    for (let number = 0, nextBase = 0; number < count; number++) {
      const [row, field] = [number * ROW_LENGTH, number * FIELD_COUNT];
      const baseCount = fields[field + FIELDS.baseCount] as number;
      table[row + ROW.codec] = fields[field + FIELDS.codec] as number;
      table[row + ROW.length] = fields[field + FIELDS.length] as number;
      table[row + ROW.from] = this.#placeOf(number);
      table[row + ROW.size] = this.#stored.sizeOf(number);
      table[row + ROW.bases] = numbers + 4 * nextBase;
      table[row + ROW.baseCount] = baseCount;
      nextBase += baseCount;
    }
  }

  /** Where the stored bytes of a chunk are; those in memory elsewhere are copied. */
  #placeOf(number: number): number {
    const stored = this.#stored;
    if (!stored.isInMemory(number)) return this.#read + stored.placeOf(number);
    const place = this.#kernels.hold(stored.sizeOf(number));
    this.#kernels.memory.set(stored.bytesOf(number), place);
    return place;
  }

  /**
   * The plaintext of a chunk.
   * @returns undefined when the kernels do not get on with it: it may still be sound.
   * @throws what decoding in TypeScript throws, where that is needed.
   */
  decode(number: number, fresh: Fresh): Uint8Array | undefined {
    const { [ROW.isResolved]: isResolved, [ROW.length]: length = 0 } = this.#row(number);
    if (isResolved === 0) return undefined;
    for (;;) {
      if (length + this.#workBytes > MOST_WORK_BYTES || !this.#kernels.begin(length + this.#workBytes))
        return undefined;
      const place = this.#build(number, length);
      if (place >= 0) {
        const plain = fresh(length);
        plain.set(this.#kernels.memory.subarray(place, place + length));
        return plain;
      }
      if (place === MORE_MEMORY) this.#workBytes *= 2;
      else if (!this.#decodeSource(FIRST_SOURCE - place)) return undefined;
    }
  }

  #build(number: number, length: number): number {
    const { start, memory, functions } = this.#kernels;
    return functions.build(number, start, (start + length + SPARE_BYTES) & ~15, memory.length);
  }

  /** Decodes a source that the kernels cannot, and leaves it in their memory. Gives whether there was room. */
  #decodeSource(number: number): boolean {
    const kernels = this.#kernels;
    const row = this.#row(number);
    const [form, packed, size, length] = row.subarray(ROW.form, ROW.plain) as unknown as Four;
    if (kernels.start + length > MOST_HELD_BYTES) return false;
    const bytes = kernels.memory.slice(packed, packed + size); // Because decoding may move the memory.
    const plain =
      row[ROW.codec] === CODECS.delta
        ? unpackLiterals(form, bytes, length, this.#deflate)
        : decodeAlone({ codec: form, bytes, length }, this.#deflate);
    if (!kernels.begin(length)) return false;
    const place = kernels.hold(length);
    kernels.memory.set(plain, place);
    this.#row(number)[ROW.plain] = place;
    return true;
  }

  #row(number: number): Uint32Array {
    return new Uint32Array(this.#kernels.memory.buffer, this.#table + 4 * number * ROW_LENGTH, ROW_LENGTH);
  }
}

type Four = [number, number, number, number];
