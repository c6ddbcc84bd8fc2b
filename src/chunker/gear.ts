/**
 * Gear chunking of byte streams: FastCDC with normalised chunking.
 *
 * Xia et al., "FastCDC: a Fast and Efficient Content-Defined Chunking Approach for Data Deduplication", USENIX ATC 2016.
 * A rolling hash of the last 32 bytes ends a chunk when its highest bits are zero: two bits more than the mean size asks
 * for before that size is reached, and two bits fewer after it, which draws sizes towards the mean.
 *
 * A chunk follows from where it begins and from the bytes it holds. So an edit leaves all chunks before its own alone, and all
 * those after the first old end that is found again. That end comes soon, but there is no bound: on random bytes an edit
 * replaces 1.2 chunks in the mean, 19 of 20 edits replace 4 or fewer, and 1 of 1000 more than 8.
 */

import { growMemory, instancesOf, once, type WasmMemory } from '../core/wasm.js';
import { GEAR_MODULE } from './gear-module.js';
import type { GearOptions } from './parameters.js';
import type { EndFinder } from './stream.js';

/** Bits by which the condition is harder before the mean size and easier after it. */
const NORMALISATION = 2;

/** One random-looking 32-bit number for each byte: the finaliser of MurmurHash3 over multiples of the golden ratio. */
export const GEAR_TABLE: Uint32Array = Uint32Array.from({ length: 256 }, (_, byte) => {
  let mixed = Math.imul(byte + 1, 0x9e3779b9);
  mixed = Math.imul(mixed ^ (mixed >>> 16), 0x85ebca6b);
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35);
  return mixed ^ (mixed >>> 16);
});

/** Bytes that the hash is of: each is shifted out after so many more. */
const WINDOW = 32;

/**
 * Finds the ends of the chunks of one stream.
 * @param kernels whether the loop runs in WebAssembly where the machine has it; unless said otherwise, it does.
 */
export function gearEnds(options: GearOptions, kernels = true): EndFinder {
  const scanner = kernels && options.min >= LEAST_MIN ? scannerHere() : undefined;
  return scanner === undefined ? new GearEnds(options) : new KernelEnds(options, scanner);
}

/** The bits that are zero at an end: before the mean size, and after it. */
function masksOf({ avg }: GearOptions): { strict: number; loose: number } {
  const bits = Math.log2(avg);
  return { strict: highBits(bits + NORMALISATION), loose: highBits(bits - NORMALISATION) };
}

function highBits(count: number): number {
  return ~(0xffffffff >>> count);
}

/** The loop in TypeScript. */
class GearEnds implements EndFinder {
  readonly #options: GearOptions;
  /** Bytes of the chunk that has not ended, and the hash of the last of them. */
  #length = 0;
  #hash = 0;

  constructor(options: GearOptions) {
    this.#options = options;
  }

  push(bytes: Uint8Array): number[] {
    const { min, avg, max } = this.#options;
    const { strict, loose } = masksOf(this.#options);
    const ends: number[] = [];
    let length = this.#length;
    let hash = this.#hash;
    for (let at = 0; at < bytes.length;) {
      const skipped = Math.min(Math.max(0, min - WINDOW - length), bytes.length - at);
      at += skipped;
      length += skipped;
      let isEnd = false;
      while (at < bytes.length && !isEnd && length < max) {
        hash = (hash << 1) + (GEAR_TABLE[bytes[at++] as number] as number);
        length++;
        isEnd = length > min && (hash & (length <= avg ? strict : loose)) === 0;
      }
      if (!isEnd && length < max) break;
      ends.push(at);
      length = 0;
      hash = 0;
    }
    this.#length = length;
    this.#hash = hash;
    return ends;
  }
}

/** The functions of the module (kernels/gear.ts). Places and lengths are in bytes. */
interface GearKernels {
  readonly memory: WasmMemory;
  readonly tableAt: () => number;
  readonly heapStart: () => number;
  readonly lengthOfOpen: () => number;
  readonly hashOfOpen: () => number;
  readonly scan: (
    from: number,
    count: number,
    to: number,
    length: number,
    hash: number,
    min: number,
    avg: number,
    max: number,
    strict: number,
    loose: number,
  ) => number;
}

/** Bytes that are copied in and scanned at a time: they stay in the cache of the processor. */
const SCANNED_BYTES = 65_536;
/** No chunk but the last has fewer, so there are no more ends than this in what is scanned. */
const LEAST_MIN = 64;
const MOST_ENDS = SCANNED_BYTES / LEAST_MIN + 1;
/** Eight more, so that the copy stands to words as the original does. */
const COPIED_BYTES = SCANNED_BYTES + 8;

/** What scans for all streams of this thread, one call at a time. */
class GearScanner {
  readonly #functions: GearKernels;
  readonly #bytes: Uint8Array;
  readonly #ends: Uint32Array;

  private constructor(functions: GearKernels) {
    const { memory, heapStart, tableAt } = functions;
    this.#functions = functions;
    new Uint32Array(memory.buffer, tableAt(), 256).set(GEAR_TABLE);
    const start = (heapStart() + 15) & ~15;
    this.#bytes = new Uint8Array(memory.buffer, start, COPIED_BYTES);
    this.#ends = new Uint32Array(memory.buffer, start + COPIED_BYTES, MOST_ENDS);
  }

  /** Undefined when the machine gives no memory. */
  static make(functions: GearKernels): GearScanner | undefined {
    const hasRoom = growMemory(functions.memory, COPIED_BYTES + 4 * MOST_ENDS);
    return hasRoom ? new GearScanner(functions) : undefined;
  }

  /** The ends in at most {@link SCANNED_BYTES} bytes. What is copied from shared memory is copied by words only when both sides stand alike to them. */
  scan(
    bytes: Uint8Array,
    open: { length: number; hash: number },
    { min, avg, max }: GearOptions,
  ): Uint32Array {
    const { strict, loose } = masksOf({ min, avg, max });
    const { scan, lengthOfOpen, hashOfOpen } = this.#functions;
    const own = this.#bytes.subarray(bytes.byteOffset % 8);
    own.set(bytes);
    const to = this.#ends.byteOffset;
    const count = scan(
      own.byteOffset,
      bytes.length,
      to,
      open.length,
      open.hash,
      min,
      avg,
      max,
      strict,
      loose,
    );
    open.length = lengthOfOpen();
    open.hash = hashOfOpen();
    return this.#ends.subarray(0, count);
  }
}

/** The loop in WebAssembly. */
class KernelEnds implements EndFinder {
  readonly #options: GearOptions;
  readonly #scanner: GearScanner;
  readonly #open = { length: 0, hash: 0 };

  constructor(options: GearOptions, scanner: GearScanner) {
    this.#options = options;
    this.#scanner = scanner;
  }

  push(bytes: Uint8Array): number[] {
    const ends: number[] = [];
    for (let start = 0; start < bytes.length; start += SCANNED_BYTES) {
      const some = bytes.subarray(start, start + SCANNED_BYTES);
      for (const end of this.#scanner.scan(some, this.#open, this.#options)) ends.push(start + end);
    }
    return ends;
  }
}

const instantiate = instancesOf(GEAR_MODULE);

/** The scanner of this thread; undefined when the machine cannot run it. */
const scannerHere = once((): GearScanner | undefined => {
  const functions = instantiate() as GearKernels | undefined;
  return functions && GearScanner.make(functions);
});
