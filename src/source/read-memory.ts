/** Memory that files are read into: where in it, and, for long reads, slabs that are given away and used again, so that they cost no fresh memory. */

/** The smallest page of memory. */
const PAGE_BYTES = 4096;
/** Memory for {@link roomToRead} must be so much longer than what is read. */
export const ROOM_SLACK_BYTES = PAGE_BYTES;

/**
 * The part of `memory` to read `length` bytes into that stand at `position` in a file: half a page away from where they stand in theirs.
 *
 * Processors of AMD (Zen 3 and later) copy at a fifth of their speed to an address that lies up to 31 bytes further in its page than
 * the source does in its own. That is where reads from the page cache go, unless one takes care: files are mostly read from the start of
 * a page, and large memory begins 16 bytes behind one (docs/decisions/0022-where-reads-go.md).
 */
export function roomToRead<T extends Uint8Array>(memory: T, position: number, length: number): T {
  const away = (position + PAGE_BYTES / 2 - memory.byteOffset) % PAGE_BYTES;
  const from = ((away + PAGE_BYTES) % PAGE_BYTES) & ~63; // Numbers of all kinds are as aligned as they would be at the start.
  return memory.subarray(from, from + length) as T;
}

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
