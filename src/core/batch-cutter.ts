/** The rule of local-minimum.ts for many hashes at a time: the same ends, found at a fraction of the cost. */
import { checkLocalMinimumOptions, type LocalMinimumOptions } from './local-minimum.js';

/**
 * Takes hashes and says where groups end.
 *
 * An item that is greater than one of its followers is no natural end, and neither is any item between the two; and of the `window` items
 * after one that is not greater than any of them, none is. So most items are looked at once, and passed over.
 */
export class BatchCutter {
  readonly #window: number;
  readonly #max: number;
  /** The hashes of items from position `#base` on, which are needed to decide about the items from `#next` on. */
  #held = new Uint32Array(0);
  #base = 0;
  /** Items before this position are decided about. */
  #next = 0;
  /** Items before this position belong to groups that have ended. */
  #start = 0;

  /** @throws RangeError as {@link checkLocalMinimumOptions}. */
  constructor({ window, max }: LocalMinimumOptions) {
    checkLocalMinimumOptions({ window, max });
    this.#window = window;
    this.#max = max;
  }

  /** Takes the hashes of the next items. @returns the sizes of the groups that are now known to end. */
  push(hashes: Uint32Array): number[] {
    const held = new Uint32Array(this.#held.length + hashes.length);
    held.set(this.#held);
    held.set(hashes, this.#held.length);
    this.#held = held;
    const sizes = this.#endsBefore(this.#base + held.length - this.#window);
    const needed = Math.max(this.#base, this.#next - this.#window);
    this.#held = held.slice(needed - this.#base);
    this.#base = needed;
    return sizes;
  }

  /** The sizes of the groups that remain. The last may be of any size up to `max`. */
  finish(): number[] {
    const end = this.#base + this.#held.length;
    const sizes = this.#endsBefore(end);
    if (this.#start < end) sizes.push(end - this.#start);
    this.#start = end;
    return sizes;
  }

  /** Decides about the items before a position. */
  #endsBefore(end: number): number[] {
    const sizes: number[] = [];
    const [held, window, stop] = [this.#held, this.#window, end - this.#base];
    let at = this.#next - this.#base;
    while (at < stop) {
      const hash = held[at] as number;
      const last = Math.min(at + window, held.length - 1);
      let after = at + 1;
      while (after <= last && (held[after] as number) >= hash) after++;
      if (after <= last) {
        at = after;
        continue;
      }
      const first = Math.max(at - window, 0);
      let before = at - 1;
      while (before >= first && (held[before] as number) > hash) before--;
      const position = this.#base + at;
      if (before < first && position >= window) this.#endAfter(position, sizes);
      at += window + 1;
    }
    this.#next = this.#base + at;
    this.#forceEnds(end, sizes);
    return sizes;
  }

  #endAfter(position: number, sizes: number[]): void {
    this.#forceEnds(position, sizes);
    sizes.push(position + 1 - this.#start);
    this.#start = position + 1;
  }

  /** Ends groups that have as many items as they may, as far as they end before a position. */
  #forceEnds(position: number, sizes: number[]): void {
    for (; this.#start + this.#max <= position; this.#start += this.#max) sizes.push(this.#max);
  }
}
