/**
 * The codec `planes`: fixed-width numbers split into byte planes, each kept in its smallest form.
 *
 * The bytes of floating-point vectors differ in kind: those of the exponent repeat, those of the mantissa look random. Byte
 * i of every number goes to plane i, so that the planes that compress are not diluted by those that do not.
 *
 * Layout: the width in bytes, then for each plane one byte for its method: 0 raw; 1 raw deflate, followed by the length as
 * a varint; 2 the same byte throughout, followed by that byte; 3 Huffman codes (huffman.ts), followed by the length as a
 * varint. Then the bytes of the planes with methods 0, 1 and 3, in order.
 */
import { concatBytes } from '../core/bytes.js';
import { VecsnapError } from '../core/errors.js';
import type { Deflate } from '../core/platform.js';
import { ByteReader, writeVarint } from '../core/varint.js';
import { countBytes, decodeHuffman, encodeHuffman, maxEncodedLength } from './huffman.js';

/** Widths of numbers in bytes that can be split. */
export type PlaneWidth = 1 | 2 | 4 | 8;

const RAW = 0;
const DEFLATED = 1;
const CONSTANT = 2;
const HUFFMAN = 3;

/** Estimated bits a byte above which coding a plane would save less than it costs in time. */
const HOPELESS_BITS = 7.3;
/** Estimated bits a byte below which repetitions are likely enough that a search for matches pays. */
const REPETITIVE_BITS = 1.5;
const SAMPLES = 1024;

/**
 * The encoded form of `bytes`, whose length is a multiple of `width`.
 * @param level the deflate level for planes that are worth a search for matches.
 */
export function encodePlanes(
  bytes: Uint8Array,
  width: PlaneWidth,
  level: number,
  deflate: Deflate,
): Uint8Array {
  const header: number[] = [width];
  const parts: Uint8Array[] = [];
  workspace.begin(bytes.length);
  for (const plane of splitPlanes(bytes, width, workspace)) {
    const { method, packed } = packPlane(plane, level, deflate);
    header.push(method);
    if (method === CONSTANT) header.push(plane[0] as number);
    else if (method !== RAW) writeVarint(header, packed.length);
    if (method !== CONSTANT) parts.push(packed);
  }
  return concatBytes([Uint8Array.from(header), ...parts]);
}

/**
 * Decodes what {@link encodePlanes} wrote.
 * @param length the length of the plaintext.
 * @throws VecsnapError CHUNK_DAMAGED, ENCODING_INVALID; or what inflate throws.
 */
export function decodePlanes(encoded: Uint8Array, length: number, deflate: Deflate): Uint8Array {
  const reader = new ByteReader(encoded);
  const width = reader.byte();
  if (![1, 2, 4, 8].includes(width) || length % width !== 0) throw damaged(`numbers of ${width} bytes`);
  const planeLength = length / width;
  const methods = Array.from({ length: width }, () => readMethod(reader));
  const planes = methods.map((method) => unpackPlane(reader, method, planeLength, deflate));
  if (reader.remaining !== 0) throw damaged(`${reader.remaining} bytes are left over`);
  return joinPlanes(planes, width as PlaneWidth);
}

/** The smallest form of a plane, as far as a look at some of its bytes can tell which that is. */
function packPlane(
  plane: Uint8Array,
  level: number,
  { deflate }: Deflate,
): { method: number; packed: Uint8Array } {
  const raw = { method: RAW, packed: plane };
  const bits = estimateBits(plane);
  if (bits > HOPELESS_BITS) return raw;
  if (bits < REPETITIVE_BITS) {
    if (isConstant(plane)) return { method: CONSTANT, packed: plane };
    const packed = deflate(plane, level);
    return packed.length < plane.length ? { method: DEFLATED, packed } : raw;
  }
  const counts = countBytes(plane);
  const out = workspace.take(maxEncodedLength(plane.length));
  const packed = out.subarray(0, encodeHuffman(plane, counts, out, 0));
  return packed.length < plane.length ? { method: HUFFMAN, packed } : raw;
}

interface PlaneMethod {
  readonly method: number;
  /** The encoded length, or the constant. */
  readonly argument: number;
}

function readMethod(reader: ByteReader): PlaneMethod {
  const method = reader.byte();
  if (method === DEFLATED || method === HUFFMAN) return { method, argument: reader.varint() };
  if (method === CONSTANT) return { method, argument: reader.byte() };
  if (method === RAW) return { method, argument: 0 };
  throw damaged(`unknown method ${method}`);
}

function unpackPlane(
  reader: ByteReader,
  { method, argument }: PlaneMethod,
  length: number,
  { inflate }: Deflate,
): Uint8Array {
  if (method === CONSTANT) return new Uint8Array(length).fill(argument);
  if (method === RAW) return reader.take(length);
  if (method === HUFFMAN) return decodeHuffman(reader.take(argument), length);
  return inflate(reader.take(argument), length);
}

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
  if (width === 1) return planes[0] as Uint8Array;
  if (width === 4) return joinFour(planes);
  const length = (planes[0] as Uint8Array).length;
  const out = new Uint8Array(length * width);
  for (const [offset, plane] of planes.entries()) {
    for (let i = 0, j = offset; i < length; i++, j += width) out[j] = plane[i] as number;
  }
  return out;
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

function joinFour(planes: readonly Uint8Array[]): Uint8Array {
  const length = (planes[0] as Uint8Array).length;
  const quads = LITTLE_ENDIAN ? length >>> 2 : 0;
  const out = new Uint8Array(length * 4);
  const words = new Uint32Array(out.buffer, 0, quads * 4);
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
  return out;
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

/**
 * Bits a byte of evenly spread samples: the collision entropy, which is never above Shannon's and needs one logarithm
 * where that takes 256.
 */
function estimateBits(plane: Uint8Array): number {
  const stride = Math.max(1, Math.floor(plane.length / SAMPLES)) | 1;
  const counts = new Uint16Array(256);
  let samples = 0;
  let collisions = 0;
  for (let i = 0; i < plane.length; i += stride, samples++) {
    const seen = counts[plane[i] as number] as number;
    collisions += seen;
    counts[plane[i] as number] = seen + 1;
  }
  return collisions === 0 ? 8 : Math.log2((samples * (samples - 1)) / 2 / collisions);
}

function isConstant(plane: Uint8Array): boolean {
  return plane.every((byte) => byte === plane[0]);
}

function damaged(what: string): VecsnapError {
  return new VecsnapError('CHUNK_DAMAGED', `The planes of a chunk cannot be decoded: ${what}.`);
}
