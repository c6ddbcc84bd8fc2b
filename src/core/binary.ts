/**
 * Bytes that are written and read one after the other, and among them varints: unsigned LEB128 numbers, as in
 * multiformats/unsigned-varint, up to 2^53 − 1.
 */
import { VecsnapError } from './errors.js';

/** Gathers bytes and numbers, and makes nothing for each: there may be thousands. */
export class ByteWriter {
  #bytes: Uint8Array<ArrayBuffer>;
  #length = 0;

  /** @param expected bytes that are likely to come. */
  constructor(expected = 64) {
    this.#bytes = new Uint8Array(expected);
  }

  /** Bytes so far. */
  get length(): number {
    return this.#length;
  }

  byte(value: number): void {
    if (this.#length === this.#bytes.length) this.#grow(1);
    this.#bytes[this.#length++] = value;
  }

  /** Seven bits a byte, least significant first. @throws RangeError for what is no whole number from 0 to 2^53 − 1. */
  varint(value: number): void {
    if (!Number.isSafeInteger(value) || value < 0) throw new RangeError(`not an unsigned integer: ${value}`);
    let rest = value;
    while (rest >= 0x80) {
      this.byte((rest % 0x80) + 0x80);
      rest = Math.floor(rest / 0x80);
    }
    this.byte(rest);
  }

  bytes(bytes: Uint8Array): void {
    if (this.#length + bytes.length > this.#bytes.length) this.#grow(bytes.length);
    this.#bytes.set(bytes, this.#length);
    this.#length += bytes.length;
  }

  /** All that was gathered, in memory of its own. */
  toBytes(): Uint8Array<ArrayBuffer> {
    return this.#bytes.slice(0, this.#length);
  }

  /** Begins again. */
  clear(): void {
    this.#length = 0;
  }

  #grow(least: number): void {
    const larger = new Uint8Array(Math.max(2 * this.#bytes.length, this.#length + least));
    larger.set(this.#bytes);
    this.#bytes = larger;
  }
}

/** Bytes of a varint. */
export function varintLength(value: number): number {
  let length = 1;
  for (let rest = value; rest >= 0x80; rest = Math.floor(rest / 0x80)) length++;
  return length;
}

/** Up to so many bytes are copied one by one. */
const SHORT_BYTES = 64;

/** Reads numbers and bytes one after the other and never past the end. */
export class ByteReader {
  readonly #bytes: Uint8Array;
  offset = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  get remaining(): number {
    return this.#bytes.length - this.offset;
  }

  byte(): number {
    const value = this.#bytes[this.offset];
    if (value === undefined) throw truncated(this.offset);
    this.offset++;
    return value;
  }

  /** @throws VecsnapError ENCODING_INVALID for a number over 2^53 − 1 or with needless trailing zeros. */
  varint(): number {
    let value = 0;
    for (let scale = 1; ; scale *= 0x80) {
      const byte = this.byte();
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) {
        if (byte === 0 && scale > 1) throw invalid('a number has needless trailing zeros', this.offset);
        if (!Number.isSafeInteger(value)) throw invalid('a number is over 2^53 − 1', this.offset);
        return value;
      }
      if (scale > 2 ** 49) throw invalid('a number is over 2^53 − 1', this.offset);
    }
  }

  /** The next `length` bytes, not copied. */
  take(length: number): Uint8Array {
    const start = this.skip(length);
    return this.#bytes.subarray(start, this.offset);
  }

  /** The next `length` bytes, copied. A view of so few as an address has takes longer to make than to fill. */
  copy(length: number): Uint8Array {
    const start = this.skip(length);
    if (length > SHORT_BYTES) return new Uint8Array(this.#bytes.subarray(start, this.offset));
    const bytes = new Uint8Array(length);
    for (let i = 0; i < length; i++) bytes[i] = this.#bytes[start + i] as number;
    return bytes;
  }

  /** Passes over `length` bytes. Gives where they begin. */
  skip(length: number): number {
    if (length > this.remaining) throw truncated(this.offset);
    const start = this.offset;
    this.offset += length;
    return start;
  }
}

function truncated(offset: number): VecsnapError {
  return invalid('the bytes end too early', offset);
}

function invalid(what: string, offset: number): VecsnapError {
  return new VecsnapError('ENCODING_INVALID', `Cannot decode: ${what}.`, { place: `byte ${offset}` });
}
