/** Where the lines of a file stand and which ids they have, in flat memory, and the order of the ids. */
import { utf8 } from '../core/index.js';

/** What is known of every line: about 25 bytes and the id. */
export class LineTable {
  #idBytes = new Uint8Array(1 << 12);
  #idEnds = new Float64Array(256);
  #offsets = new Float64Array(256);
  #lengths = new Uint32Array(256);
  #numbers = new Uint32Array(256);
  #size = 0;
  #isAscending = true;

  /** Lines in the table. */
  get size(): number {
    return this.#size;
  }

  /**
   * Adds a line.
   * @param offset the line's first byte in the file, and `length` its bytes.
   * @param number the line's number, from 1.
   */
  add(id: string | bigint, offset: number, length: number, number: number): void {
    if (this.#size === this.#offsets.length) this.#grow();
    const index = this.#size++;
    this.#addId(index, typeof id === 'bigint' ? bigEndian(id) : utf8(id));
    this.#offsets[index] = offset;
    this.#lengths[index] = length;
    this.#numbers[index] = number;
    if (index > 0 && this.#compare(index - 1, index) >= 0) this.#isAscending = false;
  }

  offset(index: number): number {
    return this.#offsets[index] as number;
  }

  length(index: number): number {
    return this.#lengths[index] as number;
  }

  number(index: number): number {
    return this.#numbers[index] as number;
  }

  /** The indexes of the lines in ascending order of their ids: text by its UTF-8 bytes, numbers by value. */
  order(): Uint32Array {
    const order = Uint32Array.from({ length: this.#size }, (_, index) => index);
    return this.#isAscending ? order : order.sort((a, b) => this.#compare(a, b) || a - b);
  }

  /** The first two lines with the same id, in this order, or undefined. */
  duplicate(order: Uint32Array): readonly [first: number, second: number] | undefined {
    if (this.#isAscending) return undefined;
    for (let i = 1; i < order.length; i++) {
      const [a, b] = [order[i - 1] as number, order[i] as number];
      if (this.#compare(a, b) === 0) return [a, b];
    }
    return undefined;
  }

  #addId(index: number, id: Uint8Array): void {
    const start = this.#start(index);
    const end = start + id.length;
    if (end > this.#idBytes.length)
      this.#idBytes = grown(this.#idBytes, Math.max(end, this.#idBytes.length * 2));
    this.#idBytes.set(id, start);
    this.#idEnds[index] = end;
  }

  #start(index: number): number {
    return index === 0 ? 0 : (this.#idEnds[index - 1] as number);
  }

  #compare(a: number, b: number): number {
    const bytes = this.#idBytes;
    const startA = this.#start(a);
    const startB = this.#start(b);
    const lengthA = (this.#idEnds[a] as number) - startA;
    const lengthB = (this.#idEnds[b] as number) - startB;
    const shared = Math.min(lengthA, lengthB);
    for (let i = 0; i < shared; i++) {
      const difference = (bytes[startA + i] as number) - (bytes[startB + i] as number);
      if (difference !== 0) return difference;
    }
    return lengthA - lengthB;
  }

  #grow(): void {
    const length = this.#size * 2;
    this.#idEnds = grown(this.#idEnds, length);
    this.#offsets = grown(this.#offsets, length);
    this.#lengths = grown(this.#lengths, length);
    this.#numbers = grown(this.#numbers, length);
  }
}

function grown<T extends Uint8Array | Uint32Array | Float64Array>(array: T, length: number): T {
  const larger = new (array.constructor as new (length: number) => T)(length);
  larger.set(array);
  return larger;
}

/** Eight bytes whose order is the order of the numbers. */
function bigEndian(id: bigint): Uint8Array {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setBigUint64(0, id);
  return bytes;
}
