/**
 * Very many numbers below 2^32 in flat memory. It grows page by page, so that nothing is copied and no more than a page is there in vain.
 */

const PAGE_BITS = 15;
const PAGE = 1 << PAGE_BITS;

/** Numbers by their positions, 0 where none was set. */
export class NumberColumn {
  readonly #pages: Uint32Array[] = [];

  get(position: number): number {
    return this.#pages[position >>> PAGE_BITS]?.[position & (PAGE - 1)] ?? 0;
  }

  set(position: number, value: number): void {
    const page = position >>> PAGE_BITS;
    while (page >= this.#pages.length) this.#pages.push(new Uint32Array(PAGE));
    (this.#pages[page] as Uint32Array)[position & (PAGE - 1)] = value;
  }
}
