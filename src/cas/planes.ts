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
import { copyParts, totalLength } from '../core/bytes.js';
import { VecsnapError } from '../core/errors.js';
import type { Deflate } from '../core/platform.js';
import { ByteReader, ByteWriter } from '../core/binary.js';
import { kernelEngine } from './kernels.js';
import { type PlaneEngine, type PlaneWidth, referenceEngine } from './plane-engine.js';

export { joinPlanes, type PlaneWidth, splitPlanes } from './plane-engine.js';

const RAW = 0;
const DEFLATED = 1;
const CONSTANT = 2;
const HUFFMAN = 3;

/** Estimated bits a byte above which coding a plane would save less than it costs in time. */
export const HOPELESS_BITS = 7.3;
/** Estimated bits a byte below which repetitions are likely enough that a search for matches pays. */
const REPETITIVE_BITS = 1.5;
const SAMPLES = 1024;

/** How planes are coded, beyond what decides about the encoded form. */
export interface PlaneOptions {
  /** Gives memory for the result, of any content; without it, the result is in memory of its own. */
  readonly fresh?: ((length: number) => Uint8Array) | undefined;
  /** Whether the loops run in WebAssembly where the machine has it; unless said otherwise, they do. */
  readonly kernels?: boolean | undefined;
  /** Is called when the numbers were split and are at hand, before planes are coded. */
  readonly onSplit?: ((engine: PlaneEngine) => void) | undefined;
}

/**
 * The encoded form of `bytes`, whose length is a multiple of `width`.
 * @param level the deflate level for planes that are worth a search for matches.
 */
export function encodePlanes(
  bytes: Uint8Array,
  width: PlaneWidth,
  level: number,
  deflate: Deflate,
  options: PlaneOptions = {},
): Uint8Array {
  return encodePlanesWithin(Infinity, bytes, width, level, deflate, options) as Uint8Array;
}

/** As {@link encodePlanes}; undefined when the encoded form is longer than `most` bytes. */
export function encodePlanesWithin(
  most: number,
  bytes: Uint8Array,
  width: PlaneWidth,
  level: number,
  deflate: Deflate,
  { fresh = newBytes, kernels = true, onSplit }: PlaneOptions,
): Uint8Array | undefined {
  const engine = (kernels ? kernelEngine(bytes.length) : undefined) ?? referenceEngine;
  const header = new ByteWriter();
  header.byte(width);
  const parts: Uint8Array[] = [];
  const planes = engine.split(bytes, width);
  onSplit?.(engine);
  for (const plane of planes) {
    const { method, packed } = packPlane(plane, level, deflate, engine);
    header.byte(method);
    if (method === CONSTANT) header.byte(plane[0] as number);
    else if (method !== RAW) header.varint(packed.length);
    if (method !== CONSTANT) parts.push(packed);
  }
  const length = header.length + totalLength(parts);
  return length > most ? undefined : copyParts([header.toBytes(), ...parts], fresh(length));
}

function newBytes(length: number): Uint8Array {
  return new Uint8Array(length);
}

/**
 * Decodes what {@link encodePlanes} wrote.
 * @param length the length of the plaintext.
 * @throws VecsnapError CHUNK_DAMAGED, ENCODING_INVALID; or what inflate throws.
 */
export function decodePlanes(
  encoded: Uint8Array,
  length: number,
  deflate: Deflate,
  { fresh = newBytes, kernels = true }: PlaneOptions = {},
): Uint8Array {
  const begin = (): PlaneEngine =>
    (kernels ? kernelEngine(length, encoded.length) : undefined) ?? referenceEngine;
  const unpacked = begin().unpack?.(encoded, length);
  if (unpacked === undefined) return decodeByPlanes(encoded, length, deflate, begin(), fresh);
  const out = fresh(length);
  out.set(unpacked);
  return out;
}

function decodeByPlanes(
  encoded: Uint8Array,
  length: number,
  deflate: Deflate,
  engine: PlaneEngine,
  fresh: (length: number) => Uint8Array,
): Uint8Array {
  const reader = new ByteReader(engine.load(encoded));
  const width = reader.byte();
  if (![1, 2, 4, 8].includes(width) || length % width !== 0) throw damaged(`numbers of ${width} bytes`);
  const planeLength = length / width;
  const methods = Array.from({ length: width }, () => readMethod(reader));
  const planes = methods.map((method) => unpackPlane(reader, method, planeLength, deflate, engine));
  if (reader.remaining !== 0) throw damaged(`${reader.remaining} bytes are left over`);
  const out = fresh(length);
  engine.join(planes, width as PlaneWidth, out);
  return out;
}

/** The smallest form of a plane, as far as a look at some of its bytes can tell which that is. */
function packPlane(
  plane: Uint8Array,
  level: number,
  { deflate }: Deflate,
  engine: PlaneEngine,
): { method: number; packed: Uint8Array } {
  const raw = { method: RAW, packed: plane };
  const bits = estimateBits(plane, engine);
  if (bits > HOPELESS_BITS) return raw;
  if (bits < REPETITIVE_BITS) {
    if (engine.isConstant(plane)) return { method: CONSTANT, packed: plane };
    const packed = deflate(plane, level);
    return packed.length < plane.length ? { method: DEFLATED, packed } : raw;
  }
  const packed = engine.encode(plane);
  return packed.length < plane.length ? { method: HUFFMAN, packed } : raw;
}

/**
 * How one plane of an encoded chunk is kept: in Huffman codes, or as the same byte throughout; undefined for other methods.
 * @throws VecsnapError CHUNK_DAMAGED, ENCODING_INVALID.
 */
export function planeForm(
  encoded: Uint8Array,
  plane: number,
): { readonly codes: Uint8Array } | { readonly constant: number } | undefined {
  const reader = new ByteReader(encoded);
  const width = reader.byte();
  for (let i = 0; i < plane; i++) readMethod(reader);
  const { method, argument } = readMethod(reader);
  if (method === CONSTANT) return { constant: argument };
  if (method !== HUFFMAN) return undefined;
  // Raw planes do not say how long they are, so the end is where to count from.
  let end = encoded.length;
  for (let i = plane + 1; i < width; i++) {
    const after = readMethod(reader);
    if (after.method === RAW) return undefined;
    if (after.method !== CONSTANT) end -= after.argument;
  }
  return { codes: encoded.subarray(end - argument, end) };
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
  engine: PlaneEngine,
): Uint8Array {
  if (method === CONSTANT) return engine.fill(argument, length);
  if (method === RAW) return reader.take(length);
  if (method === HUFFMAN) return engine.decode(reader.take(argument), length);
  return inflate(reader.take(argument), length);
}

/**
 * Bits a byte of evenly spread samples: the collision entropy, which is never above Shannon's and needs one logarithm
 * where that takes 256.
 */
function estimateBits(plane: Uint8Array, engine: PlaneEngine): number {
  const stride = Math.max(1, Math.floor(plane.length / SAMPLES)) | 1;
  const samples = Math.ceil(plane.length / stride);
  const collisions = engine.countCollisions(plane, stride);
  return collisions === 0 ? 8 : Math.log2((samples * (samples - 1)) / 2 / collisions);
}

function damaged(what: string): VecsnapError {
  return new VecsnapError('CHUNK_DAMAGED', `The planes of a chunk cannot be decoded: ${what}.`);
}
