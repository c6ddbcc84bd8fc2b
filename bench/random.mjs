// Numbers that follow from a seed, so that two machines measure the same bytes.

/** Numbers that look random and follow from a seed: sfc32. */
export class Random {
  #a;
  #b = 0x9e3779b9;
  #c = 0x243f6a88;
  #counter = 1;

  /** @param {number} seed */
  constructor(seed) {
    this.#a = seed | 0;
    for (let i = 0; i < 15; i++) this.word(); // The first words still show the seed.
  }

  /** The next 32 bits, from 0. */
  word() {
    const sum = (((this.#a + this.#b) | 0) + this.#counter) | 0;
    this.#counter = (this.#counter + 1) | 0;
    this.#a = this.#b ^ (this.#b >>> 9);
    this.#b = (this.#c + (this.#c << 3)) | 0;
    this.#c = (((this.#c << 21) | (this.#c >>> 11)) + sum) | 0;
    return sum >>> 0;
  }

  /** The next number from 0 to below 1. */
  unit() {
    return this.word() / 2 ** 32;
  }

  /** @param {number} limit @returns a whole number below it */
  below(limit) {
    return Math.floor(this.unit() * limit);
  }

  /**
   * Writes two independent normal numbers into `out` (Box and Muller).
   * @param {Float64Array} out
   * @param {number} at
   */
  normals(out, at) {
    const radius = Math.sqrt(-2 * Math.log((this.word() + 1) / 2 ** 32));
    const angle = (2 * Math.PI * this.word()) / 2 ** 32;
    out[at] = radius * Math.cos(angle);
    out[at + 1] = radius * Math.sin(angle);
  }

  /**
   * `count` different numbers below `limit`.
   * @param {number} count
   * @param {number} limit
   * @returns {number[]}
   */
  distinct(count, limit) {
    /** @type {Set<number>} */
    const chosen = new Set();
    while (chosen.size < count) chosen.add(this.below(limit));
    return [...chosen];
  }
}
