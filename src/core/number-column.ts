/**
 * Very many numbers in flat memory. It grows page by page, so that nothing is copied and no more than a page is there in vain.
 */

const PAGE_BITS = 15;
const PAGE = 1 << PAGE_BITS;

type Page = Uint8Array | Uint16Array | Uint32Array;

const PAGES = { 1: Uint8Array, 2: Uint16Array, 4: Uint32Array } as const;

/** Numbers by their positions, 0 where none was set. */
export class NumberColumn {
  readonly #pages: Page[] = [];
  readonly #width: keyof typeof PAGES;

  /** @param width the bytes that a number takes. */
  constructor(width: keyof typeof PAGES = 4) {
    this.#width = width;
  }

  get(position: number): number {
    return this.#pages[position >>> PAGE_BITS]?.[position & (PAGE - 1)] ?? 0;
  }

  set(position: number, value: number): void {
    const page = position >>> PAGE_BITS;
    while (page >= this.#pages.length) this.#pages.push(new PAGES[this.#width](PAGE));
    (this.#pages[page] as Page)[position & (PAGE - 1)] = value;
  }
}
