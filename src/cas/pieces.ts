/**
 * A chunk as pieces of other bytes: of literals, of chunks that stand alone. Deltas are put together this way, so that each byte is copied once,
 * however long a chain is, and nothing is decoded of which nothing is left.
 */
import { VecsnapError } from '../core/errors.js';

/** Bytes that may be made only when they are asked for. */
export interface ByteSource {
  readonly bytes: Uint8Array;
}

/** Gives memory of any content. */
export type Fresh = (length: number) => Uint8Array;

/** More pieces than this are joined, so that what is made of small ones does not take many times its size. */
const MOST_PIECES = 4096;

/** See the head of this file. Arrays of numbers, because a reading comes to hundreds of thousands of pieces. */
export class Pieces {
  /** Bytes of all pieces, once they were added. */
  readonly length: number;
  #sources: ByteSource[] = [];
  /** Where each piece begins in its source. */
  #starts: number[] = [];
  /** Where each piece ends in the chunk. */
  #ends: number[] = [];
  /** The end of the last piece. */
  #filled = 0;
  #joined: Uint8Array | undefined;

  constructor(length: number) {
    this.length = length;
  }

  /** All that a source has. */
  static of(source: ByteSource, length: number): Pieces {
    const pieces = new Pieces(length);
    pieces.add(source, 0, length);
    return pieces;
  }

  /** Several chunks, one after the other. */
  static concat(chunks: readonly Pieces[]): Pieces {
    const [only] = chunks;
    if (only !== undefined && chunks.length === 1) return only;
    const all = new Pieces(chunks.reduce((sum, { length }) => sum + length, 0));
    for (const chunk of chunks) chunk.copyTo(all, 0, chunk.length);
    return all;
  }

  /** Adds `length` bytes of a source from `start` on. */
  add(source: ByteSource, start: number, length: number): void {
    this.#filled += length;
    if (this.#joined !== undefined)
      return copyInto(this.#joined, this.#filled - length, source, start, length);
    this.#sources.push(source);
    this.#starts.push(start);
    this.#ends.push(this.#filled);
    if (this.#sources.length > MOST_PIECES) this.#join();
  }

  /** Adds `length` bytes of these from `start` on to others. @throws VecsnapError CHUNK_DAMAGED when there are not so many. */
  copyTo(others: Pieces, start: number, length: number): void {
    const end = start + length;
    if (end > this.#filled) throw damaged('a copy lies outside of its bases');
    for (let i = this.#find(start), at = start; at < end; i++) {
      const pieceEnd = this.#ends[i] as number;
      const until = pieceEnd < end ? pieceEnd : end;
      const pieceStart = i === 0 ? 0 : (this.#ends[i - 1] as number);
      others.add(this.#sources[i] as ByteSource, (this.#starts[i] as number) + at - pieceStart, until - at);
      at = until;
    }
  }

  /** The bytes, copied unless they are all that one source has. @throws what sources throw when they are made. */
  join(fresh: Fresh): Uint8Array {
    const [first] = this.#sources;
    if (first !== undefined && this.#sources.length === 1 && first.bytes.length === this.length)
      return first.bytes;
    const joined = fresh(this.length);
    this.#copyAll(joined);
    return joined;
  }

  /** From now on all is one piece, to which bytes are added at once. */
  #join(): void {
    const joined = new Uint8Array(this.length);
    this.#copyAll(joined);
    this.#joined = joined;
    this.#sources = [{ bytes: joined }];
    this.#starts = [0];
    this.#ends = [this.length];
  }

  #copyAll(into: Uint8Array): void {
    for (let i = 0, at = 0; i < this.#sources.length; i++) {
      const end = this.#ends[i] as number;
      copyInto(into, at, this.#sources[i] as ByteSource, this.#starts[i] as number, end - at);
      at = end;
    }
  }

  /** The piece that holds the byte at `position`. */
  #find(position: number): number {
    let low = 0;
    let high = this.#ends.length - 1;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#ends[middle] as number) <= position) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

function copyInto(into: Uint8Array, at: number, { bytes }: ByteSource, start: number, length: number): void {
  into.set(start === 0 && length === bytes.length ? bytes : bytes.subarray(start, start + length), at);
}

function damaged(what: string): VecsnapError {
  return new VecsnapError('CHUNK_DAMAGED', `A delta cannot be resolved: ${what}.`);
}
