/**
 * Content-defined ends by local minima: an item is a natural end when its hash is smaller than those of the `window` items
 * before it and not greater than those of the `window` items after it. Before the first item and after the last there is
 * nothing that could be smaller; but none of the first `window` items is an end.
 *
 * The rule is local. Whether an item is a natural end depends on its `window` neighbours on each side and on nothing else, and
 * two natural ends are always more than `window` items apart, so groups have a least size without a rule of their own. (Local
 * maxima: Teodosiu et al., "Optimizing File Replication over Limited Bandwidth Networks using Remote Differential
 * Compression", 2006. There over bytes, here over whole records.) For hashes that are spread evenly the mean size is
 * 2 · window + 1.
 *
 * Hence the bound on what an edit costs. When k neighbouring items are inserted, deleted or changed, only the items up to
 * `window` before and after them may become ends or cease to be: 2 · window + k of them at most, among which there is room for
 * 1 + ⌊(2 · window + k − 1) / (window + 1)⌋ ends. So an edit of one item replaces at most 3 groups by at most 3 others, at the
 * beginning and at the end at most 2; and all other groups are the same.
 *
 * Only where no natural end comes for `max` items, as among many equal items, is an end forced. Forced ends are counted from
 * the natural end before them and never take the place of one, so the bound holds for them too when "group" is read as
 * "everything from one natural end to the next". A group that follows a forced end may have any size up to `max`.
 */

/** How ends are chosen. */
export interface LocalMinimumOptions {
  /** Neighbours on either side that an end must be smaller than. */
  readonly window: number;
  /** The most items in a group. */
  readonly max: number;
}

/** @throws RangeError for a window below 1 or above 2^20, or a max that is not above the window. */
export function checkLocalMinimumOptions({ window, max }: LocalMinimumOptions): void {
  if (!Number.isSafeInteger(window) || window < 1 || window > 2 ** 20)
    throw new RangeError(`window must be from 1 to 2^20: ${window}`);
  if (!(max > window)) throw new RangeError(`max must be above the window ${window}: ${max}`);
}

/** Takes hashes one by one and says where groups end, `window` items later. */
export class LocalMinimumCutter {
  readonly #window: number;
  readonly #max: number;
  readonly #mask: number;
  /** A queue of candidates for the minimum of the last 2 · window + 1 items: ascending hashes, ascending positions. */
  readonly #hashes: Float64Array;
  readonly #positions: Float64Array;
  #head = 0;
  #tail = 0;
  #pushed = 0;
  /** Items before this position belong to groups that have ended. */
  #start = 0;

  /** @throws RangeError as {@link checkLocalMinimumOptions}. */
  constructor({ window, max }: LocalMinimumOptions) {
    checkLocalMinimumOptions({ window, max });
    this.#window = window;
    this.#max = max;
    const capacity = 2 ** Math.ceil(Math.log2(2 * window + 2));
    this.#mask = capacity - 1;
    this.#hashes = new Float64Array(capacity);
    this.#positions = new Float64Array(capacity);
  }

  /**
   * Takes the hash of the next item.
   * @returns the size of the group that is now known to end, or 0.
   */
  push(hash: number): number {
    const position = this.#pushed++;
    this.#enqueue(hash, position);
    const candidate = position - this.#window;
    return candidate < this.#start ? 0 : this.#decide(candidate);
  }

  /** The sizes of the groups that remain. The last may be of any size up to `max`. */
  finish(): number[] {
    const end = this.#pushed;
    const sizes: number[] = [];
    while (this.#pushed < end + this.#window) sizes.push(this.push(Infinity));
    sizes.push(end - this.#start);
    this.#start = end;
    return sizes.filter((size) => size > 0);
  }

  #enqueue(hash: number, position: number): void {
    while (this.#tail > this.#head && (this.#hashes[(this.#tail - 1) & this.#mask] as number) > hash)
      this.#tail--;
    this.#hashes[this.#tail & this.#mask] = hash;
    this.#positions[this.#tail & this.#mask] = position;
    this.#tail++;
    if ((this.#positions[this.#head & this.#mask] as number) < position - 2 * this.#window) this.#head++;
  }

  #decide(candidate: number): number {
    const size = candidate + 1 - this.#start;
    const isMinimum = this.#positions[this.#head & this.#mask] === candidate;
    const ends = (isMinimum && candidate >= this.#window) || size >= this.#max;
    if (!ends) return 0;
    this.#start = candidate + 1;
    return size;
  }
}
