/**
 * The loops of the codec `planes` in WebAssembly with SIMD (kernels/): a {@link PlaneEngine}, and what counts numbers that are
 * not finite. Chains of deltas (chain-kernels.ts) and the table of an index (kernel-table.ts) have theirs from here.
 *
 * Each thread has an instance with memory of its own, which is made with the first chunk and grows with the largest. A chunk
 * is copied in once; planes and codes are views of the memory until the result is copied out. All lengths are checked here,
 * because the functions of the module check none. A machine without WebAssembly or SIMD gets `undefined`, and so does a chunk that
 * is too large: then the loops in TypeScript do the work.
 */
import { copyParts, totalLength } from '../core/bytes.js';
import { growMemory, instancesOf, once, type WasmMemory } from '../core/wasm.js';
import { decodeHuffman, maxEncodedLength } from './huffman.js';
import { KERNEL_MODULE } from './kernel-module.js';
import { countWeights, PLACES, type PlaneEngine, type PlaneWidth } from './plane-engine.js';

/** The functions of the module for a table of chunks, which keeps an instance for itself. Places and lengths are in bytes. */
export interface TableKernels {
  readonly memory: WasmMemory;
  readonly heapStart: () => number;
  readonly placeTable: (
    slotsAt: number,
    slotCount: number,
    addressesAt: number,
    rowsAt: number,
    basesAt: number,
  ) => void;
  readonly tableSize: () => number;
  readonly tableBases: () => number;
  readonly findAddress: (at: number) => number;
  readonly addAddress: (at: number) => number;
  readonly takeBases: (count: number) => number;
  readonly inspectDirectory: (from: number, length: number) => number;
  readonly inspectedEnd: () => number;
  readonly inspectedBases: () => number;
  readonly inspectedRivals: () => number;
  readonly addDirectory: (from: number, length: number, pack: number) => void;
}

/** The functions of the module for chunks. Places and lengths are in bytes. */
interface KernelFunctions {
  readonly memory: WasmMemory;
  readonly heapStart: () => number;
  readonly split: (from: number, to: number, count: number, width: number) => void;
  readonly join: (places: number, to: number, count: number, width: number) => void;
  readonly countBytes: (from: number, length: number) => number;
  readonly countCollisions: (from: number, length: number, stride: number) => number;
  readonly isConstant: (from: number, length: number) => number;
  readonly weightsAt: () => number;
  readonly sumPlaces: (from: number, length: number, stride: number) => number;
  readonly countRepeats: (from: number, length: number, step: number) => number;
  readonly encode: (from: number, length: number, counts: number, to: number) => number;
  readonly decode: (from: number, size: number, to: number, length: number) => number;
  readonly unpack: (from: number, size: number, work: number, to: number, length: number) => number;
  readonly resolve: (table: number, count: number, pieces: number, piecesEnd: number) => void;
  readonly build: (number: number, to: number, work: number, workEnd: number) => number;
  readonly fingerprint: (from: number, unit: number, count: number, key: number, to: number) => void;
  readonly matchInPlace: (
    target: number,
    length: number,
    bases: number,
    start: number,
    baseLength: number,
    to: number,
  ) => number;
  readonly matchAnywhere: (
    target: number,
    length: number,
    base: number,
    baseLength: number,
    to: number,
  ) => number;
  readonly countMasked16: (from: number, length: number, mask: number) => number;
  readonly countMasked32: (from: number, length: number, mask: number) => number;
  readonly countMasked64: (from: number, length: number, mask: number) => number;
}

/** Bytes of a fingerprint: see fingerprints.ts. */
export const FINGERPRINT_BYTES = 12;

/** How the records of a column are fingerprinted. */
export interface Fingerprinting {
  /** Bytes of a record. */
  readonly unit: number;
  /** For records of that length. */
  readonly key: Uint8Array;
}

/** Chunks above this are coded in TypeScript: memory that grew never shrinks. */
const MOST_BYTES = 16 * 1024 * 1024;
/** What is held for several chunks at a time has at most so many bytes. */
const MOST_HELD_BYTES = 32 * 1024 * 1024;
/** Loops may read and write up to this many bytes after the end of what they are given. */
const SPARE_BYTES = 64;
/** A number has at most so many. */
const PLANES = 8;
/** Room for heads of codes and for spare bytes, of as many as eight planes. */
const ROOM_BYTES = 16 * 1024;
/** What is counted at a time, so that it stays in the cache of the processor. */
const COUNTED_BYTES = 65_536;

/** See the head of this file. */
export class KernelEngine implements PlaneEngine {
  readonly functions: KernelFunctions;
  /** Where memory begins that nobody holds. */
  #start: number;
  #memory: Uint8Array;
  #free = 0;
  #hasWeights = false;
  /** What was split last, until another chunk is coded. */
  #split: Uint8Array | undefined;

  constructor(functions: KernelFunctions) {
    this.functions = functions;
    this.#start = functions.heapStart();
    this.#memory = new Uint8Array(functions.memory.buffer);
  }

  /** All memory there is; another one after it grew, and then views of this one are of no use. */
  get memory(): Uint8Array {
    return this.#memory;
  }

  /** Where memory begins that nobody holds. */
  get start(): number {
    return this.#start;
  }

  /** Keeps the first `length` bytes of what is free, also while other chunks are coded. Gives their place; to be called after `begin`. */
  hold(length: number): number {
    const place = this.#start;
    this.#start = (place + length + SPARE_BYTES + 15) & ~15;
    return place;
  }

  /** The fingerprints of the records of a chunk: see fingerprints.ts. */
  fingerprint(bytes: Uint8Array, fingerprinting: Fingerprinting): Uint8Array {
    return this.#fingerprint(this.load(bytes), fingerprinting);
  }

  fingerprintSplit(fingerprinting: Fingerprinting): Uint8Array | undefined {
    return this.#split && this.#fingerprint(this.#split, fingerprinting);
  }

  /** Takes no memory from what comes next, so that it may come in the middle of coding a chunk. */
  #fingerprint({ byteOffset, length }: Uint8Array, { unit, key }: Fingerprinting): Uint8Array {
    const free = this.#free;
    const count = length / unit;
    const fingerprints = this.#take(count * FINGERPRINT_BYTES);
    this.functions.fingerprint(byteOffset, unit, count, this.load(key).byteOffset, fingerprints.byteOffset);
    this.#free = free;
    return fingerprints.slice();
  }

  /** Nothing is held any more. */
  letGo(): void {
    this.#start = this.functions.heapStart();
  }

  /** Makes room for `length` bytes; false when the machine gives no more memory. What was given before is no longer valid. */
  begin(length: number): boolean {
    this.#free = this.#start;
    this.#split = undefined;
    const missing = this.#start + length - this.#memory.length;
    if (missing <= 0) return true;
    if (!growMemory(this.functions.memory, missing)) return false;
    this.#memory = new Uint8Array(this.functions.memory.buffer);
    return true;
  }

  split(bytes: Uint8Array, width: PlaneWidth): Uint8Array[] {
    const source = this.load(bytes);
    this.#split = source;
    if (width === 1) return [source];
    const count = bytes.length / width;
    const planes = this.#take(bytes.length);
    this.functions.split(source.byteOffset, planes.byteOffset, count, width);
    return Array.from({ length: width }, (_, i) => planes.subarray(i * count, (i + 1) * count));
  }

  countCollisions({ byteOffset, length }: Uint8Array, stride: number): number {
    return this.functions.countCollisions(byteOffset, length, stride);
  }

  isConstant({ byteOffset, length }: Uint8Array): boolean {
    return this.functions.isConstant(byteOffset, length) !== 0;
  }

  countRepeats({ byteOffset, length }: Uint8Array, step: number): number {
    return this.functions.countRepeats(byteOffset, length, step);
  }

  sumPlaces({ byteOffset, length }: Uint8Array, stride: number): Uint32Array {
    const { sumPlaces, weightsAt } = this.functions;
    if (!this.#hasWeights) {
      const weights = countWeights();
      new Uint32Array(this.#memory.buffer, weightsAt(), weights.length).set(weights);
      this.#hasWeights = true;
    }
    return new Uint32Array(this.#memory.buffer, sumPlaces(byteOffset, length, stride), 2 * PLACES);
  }

  encode({ byteOffset, length }: Uint8Array): Uint8Array {
    const { countBytes, encode } = this.functions;
    const out = this.#take(maxEncodedLength(length));
    const end = encode(byteOffset, length, countBytes(byteOffset, length), out.byteOffset);
    return out.subarray(0, end - out.byteOffset);
  }

  /** What is copied from shared memory is copied by words only when both sides stand alike to them. */
  load(bytes: Uint8Array): Uint8Array {
    const shift = bytes.byteOffset % 8;
    const own = this.#take(shift + bytes.length).subarray(shift);
    own.set(bytes);
    return own;
  }

  /**
   * Runs of 12 equal bytes and more of a target and of bases that are joined: for each, three words, of where it stands in the bases, where in
   * the target, and how long it is; valid until another chunk is coded.
   */
  matchBytes(target: Uint8Array, bases: readonly Uint8Array[]): Uint32Array {
    const { byteOffset } = this.load(target);
    const base = copyParts(bases, this.#take(totalLength(bases)));
    const runs = this.#take(target.length + 12).byteOffset;
    const { matchInPlace, matchAnywhere } = this.functions;
    let count = -1;
    let start = 0;
    for (const { length } of bases) {
      if (count < 0) count = matchInPlace(byteOffset, target.length, base.byteOffset, start, length, runs);
      start += length;
    }
    if (count < 0) count = matchAnywhere(byteOffset, target.length, base.byteOffset, base.length, runs);
    return new Uint32Array(this.#memory.buffer, runs, 3 * count);
  }

  fill(value: number, length: number): Uint8Array {
    return this.#take(length).fill(value);
  }

  decode(codes: Uint8Array, length: number): Uint8Array {
    const out = this.#take(length);
    const { byteOffset } = codes;
    if (this.functions.decode(byteOffset, codes.length, out.byteOffset, length) !== 0) return out;
    return decodeHuffman(codes, length); // Throws, and says why.
  }

  unpack(encoded: Uint8Array, length: number): Uint8Array | undefined {
    const { byteOffset } = this.load(encoded);
    const work = this.#take(length + PLANES * SPARE_BYTES);
    const out = this.#take(length);
    const isDone = this.functions.unpack(byteOffset, encoded.length, work.byteOffset, out.byteOffset, length);
    return isDone === 0 ? undefined : out;
  }

  join(planes: readonly Uint8Array[], width: PlaneWidth, out: Uint8Array): void {
    if (width === 1) return out.set(planes[0] as Uint8Array);
    const places = this.#take(planes.length * 4);
    const view = new DataView(places.buffer, places.byteOffset);
    for (const [i, plane] of planes.entries()) view.setUint32(i * 4, this.#own(plane).byteOffset, true);
    const joined = this.#take(out.length);
    this.functions.join(places.byteOffset, joined.byteOffset, out.length / width, width);
    out.set(joined);
  }

  /** How many numbers of `width` bytes have all bits of `mask` set in their upper half word (2) or word (4, 8). */
  countMasked(bytes: Uint8Array, width: 2 | 4 | 8, mask: number): number {
    const { countMasked16, countMasked32, countMasked64 } = this.functions;
    const count = width === 2 ? countMasked16 : width === 4 ? countMasked32 : countMasked64;
    let sum = 0;
    for (let at = 0; at < bytes.length; at += COUNTED_BYTES) {
      this.#free = this.#start;
      const { byteOffset, length } = this.load(bytes.subarray(at, at + COUNTED_BYTES));
      sum += count(byteOffset, length, mask);
    }
    return sum;
  }

  /** The plane in this memory, where it is copied to when it is not. */
  #own(plane: Uint8Array): Uint8Array {
    return plane.buffer === this.#memory.buffer ? plane : this.load(plane);
  }

  /** Memory of any content; the next begins after some bytes to spare. */
  #take(length: number): Uint8Array {
    const start = this.#free;
    this.#free = start + ((length + SPARE_BYTES + 15) & ~15);
    if (this.#free > this.#memory.length) throw new RangeError('the kernels have too little room');
    return this.#memory.subarray(start, start + length);
  }
}

const instantiate = instancesOf(KERNEL_MODULE);

/** The engine of this thread; undefined when the machine cannot run it. */
const instantiated = once((): KernelEngine | undefined => {
  const functions = instantiate() as KernelFunctions | undefined;
  return functions && new KernelEngine(functions);
});

/** Functions with memory of their own; undefined when the machine cannot run them. */
export function newKernels(): TableKernels | undefined {
  return instantiate() as TableKernels | undefined;
}

/** Whether this machine runs the kernels. */
export function hasKernels(): boolean {
  return instantiated() !== undefined;
}

/**
 * An engine with room for a chunk, whose planes are then coded one chunk at a time.
 * @param length of the plaintext.
 * @param encodedLength of what is decoded; 0 for a chunk that is encoded.
 * @returns undefined when the machine has none, or not that much room.
 */
export function kernelEngine(length: number, encodedLength = 0): PlaneEngine | undefined {
  if (length > MOST_BYTES || encodedLength > MOST_BYTES) return undefined;
  const kernels = instantiated();
  // The plaintext, its planes and their codes, which are at most 11/8 as long; or what is encoded, the planes and the plaintext.
  return kernels?.begin(encodedLength + 4 * length + ROOM_BYTES) === true ? kernels : undefined;
}

/** The engine with room for `length` bytes; undefined when the machine has none, or not that much room. */
export function kernelsWithRoom(length: number): KernelEngine | undefined {
  if (length > MOST_HELD_BYTES) return undefined;
  const kernels = instantiated();
  return kernels?.begin(length) === true ? kernels : undefined;
}

/**
 * How many numbers of `width` bytes, little-endian, have all bits of `mask` set in their upper 16 (a width of 2) or 32 bits.
 * @returns undefined when the machine has no kernels.
 */
export function countMasked(bytes: Uint8Array, width: 2 | 4 | 8, mask: number): number | undefined {
  const kernels = instantiated();
  return kernels?.begin(COUNTED_BYTES + ROOM_BYTES) === true
    ? kernels.countMasked(bytes, width, mask)
    : undefined;
}
