/**
 * How bytes are kept of which nothing is known: pieces of files, nodes of trees, texts.
 *
 * Many files are made of numbers all the same: indexes, segments, tensors. So it is looked what the bytes would take as numbers of 1, 2, 4
 * and 8 bytes in planes, and how much of them comes again, which is what deflate lives on. A look at some of the bytes takes a hundredth of the
 * time of trying; what it leaves open is tried.
 *
 * The codec `planesAndRest` is for bytes that do not end with a whole number: as many as do are kept as in the codec `planes`, and behind
 * them come the others as they are.
 */
import type { Deflate } from '../core/platform.js';
import { kernelEngine } from './kernels.js';
import { type PlaneEngine, type PlaneWidth, referenceEngine, WEIGHT_UNITS } from './plane-engine.js';
import { decodePlanes, encodePlanesWithin, HOPELESS_BITS } from './planes.js';

/** Where less of the bytes than this comes again, deflate saves no more than planes. */
const REPETITIVE_SHARE = 1 / 64;
/** Of fewer bytes, a look tells little of what comes again, and trying is soon done. */
const LEAST_LOOKED_AT = 8192;
/** Deflate that is expected to leave less than this part of what planes leave is tried on all, else on a piece first. */
const CLEARLY_LESS = 0.8;
const SAMPLE_BYTES = 4096;
/** All of the bytes are deflated a little better than a piece is. */
const LESS_IN_ALL = 1.05;
/** Narrower numbers are taken when wider ones would not save this much more. */
const WIDER_SAVES = 1 / 100;
const WIDTHS: readonly PlaneWidth[] = [8, 4, 2, 1];
/** No more eights of bytes than this are counted. */
const MOST_EIGHTS = 1023;

/** One of the forms that bytes can be kept in. */
export interface ByteForm {
  readonly kind: 'deflate' | 'planes' | 'planesAndRest';
  readonly bytes: Uint8Array;
}

interface ByteOptions {
  /** The deflate level. */
  readonly level: number;
  readonly deflate: Deflate;
  /** Gives memory for the result, of any content; without it, the result is in memory of its own. */
  readonly fresh?: ((length: number) => Uint8Array) | undefined;
}

/** The smallest form of bytes, as far as a look can tell; undefined when it has more than `most` bytes. */
export function encodeBytes(most: number, bytes: Uint8Array, options: ByteOptions): ByteForm | undefined {
  const { level, deflate } = options;
  const look = lookAt(bytes);
  const deflated = mayDeflateSave(bytes, look, options) ? deflate.deflate(bytes, level) : undefined;
  const leastOf = deflated === undefined ? most : Math.min(most, deflated.length - 1);
  const planes =
    look.share * bytes.length <= leastOf ? encodeAsNumbers(leastOf, bytes, look.width, options) : undefined;
  if (planes !== undefined) return planes;
  return deflated !== undefined && deflated.length <= most ? { kind: 'deflate', bytes: deflated } : undefined;
}

/** Bytes of the numbers that these bytes are likely made of, when little of them comes again; 0 when they may be anything. */
export function likelyNumbers(bytes: Uint8Array): PlaneWidth | 0 {
  const { repeated, width } = lookAt(bytes);
  return repeated < REPETITIVE_SHARE ? width : 0;
}

interface Look {
  /** Which part of the bytes comes again. */
  readonly repeated: number;
  /** The width of numbers for which least is expected to be left in planes, and which part of the bytes that is; the same for a width of 1. */
  readonly width: PlaneWidth;
  readonly share: number;
  readonly ofBytes: number;
}

function lookAt(bytes: Uint8Array): Look {
  const engine = kernelEngine(bytes.length) ?? referenceEngine;
  const loaded = engine.load(bytes);
  return { repeated: repeatedShare(loaded, engine), ...likelyWidth(loaded, engine) };
}

/** Whether deflate is likely to leave less than planes. Where a look leaves that open, a piece of the bytes is deflated. */
function mayDeflateSave(
  bytes: Uint8Array,
  { repeated, share, ofBytes }: Look,
  { level, deflate }: ByteOptions,
): boolean {
  if (repeated < REPETITIVE_SHARE) return false;
  // Of what does not come again, as much as codes for single bytes leave.
  if ((1 - repeated) * ofBytes <= share * CLEARLY_LESS) return true;
  const start = (bytes.length - SAMPLE_BYTES) >>> 1;
  const sample = deflate.deflate(bytes.subarray(start, start + SAMPLE_BYTES), level);
  return sample.length <= share * SAMPLE_BYTES * LESS_IN_ALL;
}

/** The width for which the entropy of the planes is least, in samples; `ofBytes`: the same for numbers of one byte. */
function likelyWidth(
  loaded: Uint8Array,
  engine: PlaneEngine,
): { width: PlaneWidth; share: number; ofBytes: number } {
  const eights = loaded.length >>> 3;
  const stride = (Math.floor(eights / MOST_EIGHTS) + 1) | 1; // Odd, so that it does not keep step with records.
  const samples = Math.ceil(eights / stride);
  const sums = engine.sumPlaces(loaded, stride);
  let best: { width: PlaneWidth; share: number } = { width: 8, share: Infinity };
  let share = Infinity;
  let place = 0;
  for (const width of WIDTHS) {
    const own = sums.subarray(2 * place, 2 * (place + width));
    share = expectedShare(own, width, samples * (8 / width));
    if (share <= best.share + WIDER_SAVES) best = { width, share };
    place += width;
  }
  return { ...best, ofBytes: share };
}

/** Which part of the bytes is expected to be left in planes. @param sums of each plane, and `samples` of each. */
function expectedShare(sums: Uint32Array, width: PlaneWidth, samples: number): number {
  let bits = 0;
  for (let plane = 0; plane < width; plane++) {
    const own = entropy(sums[2 * plane] as number, (sums[2 * plane + 1] as number) / WEIGHT_UNITS, samples);
    bits += own > HOPELESS_BITS ? 8 : own;
  }
  return bits / (8 * width);
}

/**
 * Shannon's entropy in bits, from samples, with the correction of Miller and Madow for values that did not come.
 * @param sum of n · log₂ n, for all values and how often each comes.
 */
function entropy(values: number, sum: number, samples: number): number {
  return Math.log2(samples) - sum / samples + (values - 1) / (2 * Math.LN2 * samples);
}

/** Which part of the six bytes at a 16th of all places, in eight windows, is also at every 17th; at fewer places where that were more than 4096. */
function repeatedShare(loaded: Uint8Array, engine: PlaneEngine): number {
  if (loaded.length < LEAST_LOOKED_AT) return 1;
  const step = Math.max(17, (loaded.length >>> 12) | 1);
  return engine.countRepeats(loaded, step) / (8 * (loaded.length >>> 7));
}

function encodeAsNumbers(
  most: number,
  bytes: Uint8Array,
  width: PlaneWidth,
  { level, deflate, fresh }: ByteOptions,
): ByteForm | undefined {
  const rest = bytes.length % width;
  if (rest === 0) {
    const encoded = encodePlanesWithin(most, bytes, width, level, deflate, { fresh });
    return encoded && { kind: 'planes', bytes: encoded };
  }
  const whole = bytes.subarray(0, bytes.length - rest);
  let numbers = 0;
  const withRest = (length: number): Uint8Array => {
    numbers = length;
    return fresh?.(length + rest) ?? new Uint8Array(length + rest);
  };
  const encoded = encodePlanesWithin(most - rest, whole, width, level, deflate, { fresh: withRest });
  encoded?.set(bytes.subarray(bytes.length - rest), numbers);
  return encoded && { kind: 'planesAndRest', bytes: encoded };
}

/**
 * Decodes what is kept in the codec `planesAndRest`.
 * @param length the length of the plaintext.
 * @throws RangeError, VecsnapError CHUNK_DAMAGED, ENCODING_INVALID; or what inflate throws.
 */
export function decodePlanesAndRest(
  encoded: Uint8Array,
  length: number,
  deflate: Deflate,
  fresh: ((length: number) => Uint8Array) | undefined,
): Uint8Array {
  const width = encoded[0] ?? 0;
  const rest = width > 0 ? length % width : 0;
  if (rest === 0 || rest >= encoded.length) throw new RangeError('there is no rest behind the numbers');
  let plain: Uint8Array = new Uint8Array();
  const withRest = (whole: number): Uint8Array => {
    plain = fresh?.(whole + rest) ?? new Uint8Array(whole + rest);
    return plain.subarray(0, whole);
  };
  decodePlanes(encoded.subarray(0, encoded.length - rest), length - rest, deflate, { fresh: withRest });
  plain.set(encoded.subarray(encoded.length - rest), length - rest);
  return plain;
}
