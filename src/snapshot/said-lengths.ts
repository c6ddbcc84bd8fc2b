/** The chunks that manifests refer to, and what is said of their lengths: of each once, since there may be very many. */
import { type Address, DigestTable } from '../core/index.js';

const NOT_SAID = -1;

/** See the head of this file. */
export class SaidLengths {
  readonly #chunks = new DigestTable();
  readonly #lengths: number[] = [];
  #isDoubtful = false;

  /** Whether something that was said may be wrong. */
  get isDoubtful(): boolean {
    return this.#isDoubtful;
  }

  /** @param length undefined where nothing is said of it. @returns whether nobody has referred to the chunk before. */
  note(address: Address, length: number | undefined): boolean {
    const known = this.#chunks.size;
    const number = this.#chunks.add(address);
    if (this.#chunks.size > known) {
      this.#lengths[number] = length ?? NOT_SAID;
      return true;
    }
    if (length !== undefined && this.#lengths[number] !== length) this.#isDoubtful = true;
    return false;
  }

  /** Compares what was said of a chunk with the length that it has. */
  compare(address: Address, length: number): void {
    const said = this.#lengths[this.#chunks.find(address)];
    if (said !== NOT_SAID && said !== length) this.#isDoubtful = true;
  }
}
