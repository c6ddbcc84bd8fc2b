/** Memory that is read into, given away and used again, so that a long read costs no fresh memory. */

/** Slabs that a ring keeps for the next read; more are made when more are held, and dropped when they come back. */
const KEPT_SLABS = 8;

/** Equal slabs of shared memory, which workers can read without a copy. */
export class SlabRing {
  readonly #slabBytes: number;
  readonly #free: Uint8Array[] = [];

  constructor(slabBytes: number) {
    this.#slabBytes = slabBytes;
  }

  /** A slab, and the function that gives it back; calling that again does nothing. */
  take(): { slab: Uint8Array; release: () => void } {
    const slab = this.#free.pop() ?? new Uint8Array(new SharedArrayBuffer(this.#slabBytes));
    let held = true;
    const release = () => {
      if (held && this.#free.length < KEPT_SLABS) this.#free.push(slab);
      held = false;
    };
    return { slab, release };
  }
}
