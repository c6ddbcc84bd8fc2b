/**
 * Chunks by number, for the index in memory: their addresses, where each stands, and what it copies from. Numbers are given in the order in
 * which chunks come, and a base takes no more than four bytes.
 */
import { type Address, DigestTable } from '../core/index.js';

/** The place of a number in the row of a chunk. kernels/table.ts has the same. */
export const ROW = {
  /** Or {@link NONE}, for a chunk that stands nowhere: others copy from it, or its pack is gone. */
  pack: 0,
  offset: 1,
  storedLength: 2,
  length: 3,
  /** The codec · 2 + (1 for a node). */
  tag: 4,
  /** Or {@link NONE}, for a chunk that is no delta. */
  baseCount: 5,
  /** Where its bases begin among those of all; or {@link NONE}, for a delta that was added without them. */
  firstBase: 6,
} as const;
export const ROW_LENGTH = 7;
export const NONE = 0xffffffff;

/** See the head of this file. */
export interface ChunkTable {
  /** How many chunks there are. */
  readonly size: number;
  /** The rows of all chunks, {@link ROW_LENGTH} numbers each, {@link NONE} at first. Another array after {@link withRoom}. */
  readonly rows: Uint32Array;
  /** The numbers of the bases of all chunks. Another array after {@link withRoom}. */
  readonly bases: Uint32Array;
  /** How many of those are taken. */
  readonly basesTaken: number;
  /** The number of a chunk, or -1. */
  find(address: Address): number;
  /** The number of a chunk, which is given one if it has none. There must be room for it. */
  add(address: Address): number;
  /** The address of a chunk. */
  at(number: number): Address;
  /** Takes places for so many bases. There must be room for them. @returns the first. */
  takeBases(count: number): number;
  /** The same table with room for so many chunks and bases in all, or another one with the same content. */
  withRoom(chunks: number, bases: number): ChunkTable;
  /** Looks into the directory of a pack. @returns undefined when it is not as it is written, or the table cannot tell. */
  inspect?(directory: Uint8Array): InspectedDirectory | undefined;
  /** Adds a directory that was inspected. There must be room for its chunks. @returns false when there is none for its bytes; nothing was added then. */
  addInspected?(directory: Uint8Array, pack: number): boolean;
}

/** What a directory holds. */
export interface InspectedDirectory {
  readonly entries: number;
  /** Where its last chunk ends in the pack. */
  readonly end: number;
  /** The bases of all its deltas. */
  readonly bases: number;
  /** Its deltas of chunks that the table has as deltas already. */
  readonly rivals: number;
}

/** A {@link ChunkTable} for machines without kernels, and for more chunks than these hold. */
export class PlainChunkTable implements ChunkTable {
  readonly #addresses = new DigestTable();
  rows = emptyRows(64);
  bases = new Uint32Array(64);
  basesTaken = 0;

  /** A table with the content of another one. */
  static copyOf(other: ChunkTable): PlainChunkTable {
    const table = new PlainChunkTable().withRoom(other.size, other.basesTaken);
    for (let number = 0; number < other.size; number++) table.add(other.at(number));
    table.rows.set(other.rows.subarray(0, other.size * ROW_LENGTH));
    table.bases.set(other.bases.subarray(0, other.basesTaken));
    table.basesTaken = other.basesTaken;
    return table;
  }

  get size(): number {
    return this.#addresses.size;
  }

  find(address: Address): number {
    return this.#addresses.find(address);
  }

  add(address: Address): number {
    return this.#addresses.add(address);
  }

  at(number: number): Address {
    return this.#addresses.at(number);
  }

  takeBases(count: number): number {
    this.basesTaken += count;
    return this.basesTaken - count;
  }

  withRoom(chunks: number, bases: number): this {
    this.#addresses.reserve(chunks);
    if (chunks * ROW_LENGTH > this.rows.length) {
      const rows = emptyRows(Math.max(chunks, (2 * this.rows.length) / ROW_LENGTH));
      rows.set(this.rows);
      this.rows = rows;
    }
    if (bases > this.bases.length) {
      const grown = new Uint32Array(Math.max(bases, 2 * this.bases.length));
      grown.set(this.bases);
      this.bases = grown;
    }
    return this;
  }
}

function emptyRows(chunks: number): Uint32Array<ArrayBuffer> {
  return new Uint32Array(chunks * ROW_LENGTH).fill(NONE);
}
