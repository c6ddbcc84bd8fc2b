/** Memory for what a job reads from files, used again by the next: clearing fresh memory takes as long as reading into it. */

/** Room that is kept; a job that reads more gets fresh memory for the rest. */
const MOST_BYTES = 8 * 1024 * 1024;

/** See the head of this file. */
export class ReadRoom {
  #bytes: Uint8Array = new Uint8Array(0);
  #used = 0;
  /** Bytes that the job has taken in all. */
  #wanted = 0;

  /** Begins a job: what the one before took is used again. */
  begin(): void {
    if (this.#wanted > this.#bytes.length && this.#bytes.length < MOST_BYTES)
      this.#bytes = newBytes(Math.min(MOST_BYTES, 2 * this.#wanted));
    this.#used = 0;
    this.#wanted = 0;
  }

  /** Memory of any content. */
  take(length: number): Uint8Array {
    this.#wanted += length;
    const end = this.#used + length;
    if (end > this.#bytes.length) return newBytes(length);
    const taken = this.#bytes.subarray(this.#used, end);
    this.#used = end;
    return taken;
  }
}

function newBytes(length: number): Uint8Array {
  return new Uint8Array(Buffer.allocUnsafeSlow(length).buffer);
}
