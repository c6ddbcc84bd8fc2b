/**
 * What coding planes asks of the machine: moving, counting and coding bytes. Here in TypeScript, for every machine; in
 * kernels.ts in WebAssembly, many times as fast. Both give the same bytes.
 */
import { viewOf } from '../core/bytes.js';
import type { Fingerprinting } from './kernels.js';
import { countBytes, decodeHuffman, encodeHuffman, maxEncodedLength } from './huffman.js';

/** Widths of numbers in bytes that can be split. */
export type PlaneWidth = 1 | 2 | 4 | 8;

/** Bytes of numbers of 8, 4, 2 bytes and of one, all together. */
export const PLACES = 8 + 4 + 2 + 1;
/** Weights of counts are whole numbers of this part. */
export const WEIGHT_UNITS = 256;

let weights: Uint32Array | undefined;

/** For each count n below 8192, n · log₂ n, of which the sum makes an entropy, in {@link WEIGHT_UNITS}. */
export function countWeights(): Uint32Array {
  weights ??= Uint32Array.from({ length: 8192 }, (_, n) =>
    n === 0 ? 0 : Math.round(WEIGHT_UNITS * n * Math.log2(n)),
  );
  return weights;
}

/** The loops over bytes. What they give, but for `join`, is valid until another chunk is coded. */
export interface PlaneEngine {
  /** Byte i of every number, for each i. */
  split(bytes: Uint8Array, width: PlaneWidth): Uint8Array[];
  /** The fingerprints of the records of what was split just now (fingerprints.ts); undefined where that is not at hand. */
  fingerprintSplit?(fingerprinting: Fingerprinting): Uint8Array | undefined;
  /** Pairs of equal bytes among every `stride`th of the plane. */
  countCollisions(plane: Uint8Array, stride: number): number;
  isConstant(plane: Uint8Array): boolean;
  /**
   * How many of the six bytes at places in eight evenly spread windows, of a 128th of what was loaded each, are also at another place, of
   * those `step` apart; fewer where places fall together in a small table. At least 128 bytes.
   */
  countRepeats(loaded: Uint8Array, step: number): number;
  /**
   * Counts bytes as the first, the second and so on of eight, of which every `stride`th of those that make up what was loaded counts, at most
   * 1024 in all; then as the first of four, and so on, of two, and of one. For each of these {@link PLACES}, two numbers: how many values come, and the
   * sum of the {@link countWeights} of how often they do. They are valid until the next call.
   */
  sumPlaces(loaded: Uint8Array, stride: number): Uint32Array;
  /** The plane in Huffman codes; it holds at least two values. */
  encode(plane: Uint8Array): Uint8Array;
  /** The bytes, where the engine can read them: an encoded chunk whose planes are to be read, or bytes that are to be looked at. */
  load(bytes: Uint8Array): Uint8Array;
  /** A plane of `value` throughout. */
  fill(value: number, length: number): Uint8Array;
  /**
   * The plane that is told by Huffman codes, a part of what was loaded.
   * @throws VecsnapError CHUNK_DAMAGED.
   */
  decode(codes: Uint8Array, length: number): Uint8Array;
  /**
   * A whole encoded chunk at once, which is valid until another chunk is coded; undefined when it has to be decoded plane by plane, be it
   * to find what is wrong with it.
   */
  unpack?(encoded: Uint8Array, length: number): Uint8Array | undefined;
  /** The numbers that planes are made of, written to `out`. */
  join(planes: readonly Uint8Array[], width: PlaneWidth, out: Uint8Array): void;
}

/** The loops in TypeScript. */
export const referenceEngine: PlaneEngine = {
  split(bytes, width) {
    workspace.begin(bytes.length);
    return splitPlanes(bytes, width, workspace);
  },
  countCollisions,
  isConstant: (plane) => plane.every((byte) => byte === plane[0]),
  countRepeats,
  sumPlaces,
  encode(plane) {
    const out = workspace.take(maxEncodedLength(plane.length));
    return out.subarray(0, encodeHuffman(plane, countBytes(plane), out, 0));
  },
  load: (encoded) => encoded,
  fill: (value, length) => new Uint8Array(length).fill(value),
  decode: decodeHuffman,
  join: joinInto,
};

/** Gives memory to work in. */
interface Memory {
  /** `length` bytes of any content, at the beginning of a word. */
  take(length: number): Uint8Array;
}

/** Memory that is new each time. */
const FRESH: Memory = { take: (length) => new Uint8Array(length) };

/**
 * Memory that is used again for each chunk that is encoded: the system clears fresh memory, which for planes takes longer
 * than splitting and coding them. What is taken is valid until the next `begin`; encoding a chunk is one call, which copies
 * its result.
 */
class Workspace implements Memory {
  #bytes = new Uint8Array(0);
  #taken = 0;

  /** Makes room for the planes of `length` bytes and for their codes; what there is no room for is taken fresh. */
  begin(length: number): void {
    const room = 4 * length + 8 * 1024;
    if (this.#bytes.length < room) this.#bytes = new Uint8Array(room);
    this.#taken = 0;
  }

  take(length: number): Uint8Array {
    const start = this.#taken;
    if (start + length > this.#bytes.length) return FRESH.take(length);
    this.#taken = (start + length + 7) & ~7;
    return this.#bytes.subarray(start, start + length);
  }
}

const workspace = new Workspace();

/** Byte i of every number, for each i. Four bytes wide, the common case, is done four numbers at a time. */
export function splitPlanes(bytes: Uint8Array, width: PlaneWidth, memory: Memory = FRESH): Uint8Array[] {
  if (width === 1) return [bytes];
  if (width === 4) return splitFour(bytes, memory);
  const length = bytes.length / width;
  return Array.from({ length: width }, (_, plane) => {
    const out = memory.take(length);
    for (let i = 0, j = plane; i < length; i++, j += width) out[i] = bytes[j] as number;
    return out;
  });
}

/** The inverse of {@link splitPlanes}. */
export function joinPlanes(planes: readonly Uint8Array[], width: PlaneWidth): Uint8Array {
  const out = new Uint8Array((planes[0] as Uint8Array).length * width);
  joinInto(planes, width, out);
  return out;
}

function joinInto(planes: readonly Uint8Array[], width: PlaneWidth, out: Uint8Array): void {
  if (width === 1) return out.set(planes[0] as Uint8Array);
  if (width === 4) return joinFour(planes, out);
  const length = (planes[0] as Uint8Array).length;
  for (const [offset, plane] of planes.entries()) {
    for (let i = 0, j = offset; i < length; i++, j += width) out[j] = plane[i] as number;
  }
}

/** Whether a machine word has its lowest byte first, so that four bytes can be read as one number. */
const LITTLE_ENDIAN = new Uint8Array(Uint32Array.of(1).buffer)[0] === 1;

function splitFour(bytes: Uint8Array, memory: Memory): Uint8Array[] {
  const length = bytes.length / 4;
  const quads = LITTLE_ENDIAN ? length >>> 2 : 0;
  // Where each plane begins: at a whole word, so that four of its bytes can be written as one.
  const stride = (length + 3) & ~3;
  const out = memory.take(4 * stride);
  const packed = new Uint32Array(out.buffer, out.byteOffset, stride);
  const step = stride >>> 2;
  const words = ownWords(bytes, quads * 4, memory);
  for (let q = 0, w = 0; q < quads; q++, w += 4) {
    const a = words[w] as number;
    const b = words[w + 1] as number;
    const c = words[w + 2] as number;
    const d = words[w + 3] as number;
    packed[q] = (a & 0xff) | ((b & 0xff) << 8) | ((c & 0xff) << 16) | (d << 24);
    packed[step + q] = ((a >>> 8) & 0xff) | (b & 0xff00) | ((c & 0xff00) << 8) | ((d & 0xff00) << 16);
    packed[2 * step + q] =
      ((a >>> 16) & 0xff) | ((b >>> 8) & 0xff00) | (c & 0xff0000) | ((d & 0xff0000) << 8);
    packed[3 * step + q] = (a >>> 24) | ((b >>> 16) & 0xff00) | ((c >>> 8) & 0xff0000) | (d & 0xff000000);
  }
  for (let i = quads * 4; i < length; i++) {
    for (let plane = 0; plane < 4; plane++) out[plane * stride + i] = bytes[i * 4 + plane] as number;
  }
  return Array.from({ length: 4 }, (_, plane) => out.subarray(plane * stride, plane * stride + length));
}

function joinFour(planes: readonly Uint8Array[], out: Uint8Array): void {
  const length = (planes[0] as Uint8Array).length;
  const quads = LITTLE_ENDIAN && out.byteOffset % 4 === 0 ? length >>> 2 : 0;
  const words = new Uint32Array(out.buffer, out.byteOffset - (out.byteOffset % 4), quads * 4);
  const [p0, p1, p2, p3] = planes.map((plane) => ownWords(plane, quads, FRESH)) as Four<Uint32Array>;
  for (let q = 0, w = 0; q < quads; q++, w += 4) {
    const a = p0[q] as number;
    const b = p1[q] as number;
    const c = p2[q] as number;
    const d = p3[q] as number;
    words[w] = (a & 0xff) | ((b & 0xff) << 8) | ((c & 0xff) << 16) | (d << 24);
    words[w + 1] = ((a >>> 8) & 0xff) | (b & 0xff00) | ((c & 0xff00) << 8) | ((d & 0xff00) << 16);
    words[w + 2] = ((a >>> 16) & 0xff) | ((b >>> 8) & 0xff00) | (c & 0xff0000) | ((d & 0xff0000) << 8);
    words[w + 3] = (a >>> 24) | ((b >>> 16) & 0xff00) | ((c >>> 8) & 0xff0000) | (d & 0xff000000);
  }
  for (let i = quads * 4; i < length; i++) {
    for (let plane = 0; plane < 4; plane++) out[i * 4 + plane] = (planes[plane] as Uint8Array)[i] as number;
  }
}

type Four<T> = [T, T, T, T];

/**
 * The first `count` words of `bytes`. Bytes that are not aligned are copied; so are shared ones, because loops that see both
 * kinds of memory run at half the speed.
 */
function ownWords(bytes: Uint8Array, count: number, memory: Memory): Uint32Array {
  const isOwn = bytes.byteOffset % 4 === 0 && bytes.buffer instanceof ArrayBuffer;
  if (isOwn) return new Uint32Array(bytes.buffer, bytes.byteOffset, count);
  const own = memory.take(count * 4);
  own.set(bytes.subarray(0, count * 4));
  return new Uint32Array(own.buffer, own.byteOffset, count);
}

/** See {@link PlaneEngine}. */
function countCollisions(plane: Uint8Array, stride: number): number {
  const counts = new Uint16Array(256);
  let collisions = 0;
  for (let i = 0; i < plane.length; i += stride) {
    const seen = counts[plane[i] as number] as number;
    collisions += seen;
    counts[plane[i] as number] = seen + 1;
  }
  return collisions;
}

const REPEAT_SLOTS = 4096;

/** See {@link PlaneEngine}. */
function countRepeats(bytes: Uint8Array, step: number): number {
  const { length } = bytes;
  const view = viewOf(bytes);
  const low = (at: number): number => view.getUint32(at, true);
  const high = (at: number): number => view.getUint16(at + 4, true);
  const slotOf = (at: number): number =>
    Math.imul(low(at) ^ Math.imul(high(at), 0x9e3779b1), 0x85ebca6b) >>> 20;
  const table = new Uint32Array(REPEAT_SLOTS);
  for (let at = 0; at + 6 <= length; at += step) table[slotOf(at)] = at + 1;
  let found = 0;
  for (let i = 0; i < 8; i++) {
    const start = i * (length >>> 3);
    for (let at = start; at < start + (length >>> 7); at++) {
      const seen = (table[slotOf(at)] as number) - 1;
      if (seen >= 0 && seen !== at && low(seen) === low(at) && high(seen) === high(at)) found++;
    }
  }
  return found;
}

/** See {@link PlaneEngine}. */
function sumPlaces(bytes: Uint8Array, stride: number): Uint32Array {
  const counts = new Uint32Array(8 * 256);
  for (let at = 0; at + 8 <= bytes.length; at += 8 * stride) {
    for (let i = 0; i < 8; i++) {
      const place = 256 * i + (bytes[at + i] as number);
      counts[place] = (counts[place] as number) + 1;
    }
  }
  const sums = new Uint32Array(2 * PLACES);
  const ofCount = countWeights();
  for (let planes = 8, to = 0; planes >= 1; planes /= 2) {
    for (let plane = 0; plane < planes; plane++, to += 2) {
      const own = counts.subarray(256 * plane, 256 * (plane + 1));
      sums[to] = own.reduce((values, count) => values + (count === 0 ? 0 : 1), 0);
      sums[to + 1] = own.reduce((sum, count) => sum + (ofCount[count] as number), 0);
    }
    // A number of half the width has, as its first byte, the first of both halves.
    for (let i = 0; i < 128 * planes; i++)
      counts[i] = (counts[i] as number) + (counts[i + 128 * planes] as number);
  }
  return sums;
}
