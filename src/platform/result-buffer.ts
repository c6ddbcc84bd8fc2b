/**
 * Memory for the results of a job, one after the other, which is then moved to another thread: written once, and neither
 * cleared by the machine before nor copied after.
 */

/** A buffer that is less full than this is worth copying from: what is moved stays as large as it is. */
const WORTH_MOVING = 1 / 2;
/** Lengths are multiples of this, so that a buffer that comes back is large enough for another job. */
const LENGTH_STEP = 256 * 1024;
/** Buffers that are kept for jobs to come. */
const MOST_SPARE = 4;
/** A job that says it needs more than this may be damaged; its results then have memory of their own until they are joined. */
const MOST_BYTES = 64 * 1024 * 1024;

/** See the head of this file. Used for one job after the other. */
export class ResultBuffer {
  #bytes = new Uint8Array(0);
  #used = 0;
  readonly #spare: Uint8Array<ArrayBuffer>[] = [];

  /** Takes a buffer that was moved and came back: the machine clears fresh memory, which costs more than writing to it. */
  reuse(buffer: ArrayBuffer): void {
    if (this.#spare.length < MOST_SPARE) this.#spare.push(new Uint8Array(buffer));
  }

  /** Begins a job whose results take about `length` bytes. */
  begin(length: number): void {
    this.#used = 0;
    if (this.#bytes.length >= length || length > MOST_BYTES) return;
    const spare = this.#spare.pop();
    const isEnough = spare !== undefined && spare.length >= length;
    this.#bytes = isEnough ? spare : newBytes(Math.ceil(length / LENGTH_STEP) * LENGTH_STEP);
  }

  /** Memory for a result that may come next; it counts once it is added. */
  take(length: number): Uint8Array {
    const end = this.#used + length;
    return end <= this.#bytes.length ? this.#bytes.subarray(this.#used, end) : new Uint8Array(length);
  }

  /** Adds a result, which is copied unless it stands where the next belongs. */
  add(result: Uint8Array): void {
    const end = this.#used + result.length;
    if (end > this.#bytes.length) this.#grow(end);
    const isHere = result.buffer === this.#bytes.buffer && result.byteOffset === this.#used;
    if (!isHere) this.#bytes.set(result, this.#used);
    this.#used = end;
  }

  /** All that was added, in a buffer that may be moved. */
  finish(): Uint8Array<ArrayBuffer> {
    const results = this.#bytes.subarray(0, this.#used);
    if (this.#used < this.#bytes.length * WORTH_MOVING) return copyOf(results);
    this.#bytes = new Uint8Array(0);
    return results;
  }

  #grow(length: number): void {
    const larger = newBytes(Math.max(length, 2 * this.#bytes.length));
    larger.set(this.#bytes.subarray(0, this.#used));
    this.#bytes = larger;
  }
}

function copyOf(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  const copy = newBytes(bytes.length);
  copy.set(bytes);
  return copy;
}

/** Bytes of any content in a buffer of their own. */
function newBytes(length: number): Uint8Array<ArrayBuffer> {
  return new Uint8Array(Buffer.allocUnsafeSlow(length).buffer);
}
