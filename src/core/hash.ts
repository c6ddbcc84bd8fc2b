/**
 * The 32-bit hashes that decide where row groups and tree nodes end.
 *
 * They spread boundaries evenly and say nothing about integrity, which SHA-256 does. The steps are those of MurmurHash3
 * (x86, 32-bit, seed 0; Austin Appleby, public domain), so that any language can follow them; golden vectors stand in
 * test/golden.
 */
import { joinUtf8, viewOf } from './bytes.js';

// As signed numbers: V8 keeps those of 32 bits in place, and allocates memory for larger ones until it has optimised the code.
const C1 = 0xcc9e2d51 | 0;
const C2 = 0x1b873593;
const ADDED = 0xe6546b64 | 0;

/** MurmurHash3 of `bytes`, as an unsigned 32-bit number. */
export function hashBytes(bytes: Uint8Array): number {
  return hashPart(viewOf(bytes), 0, bytes.length);
}

/** The hashes of the UTF-8 bytes of each text. */
export function hashTexts(texts: readonly string[], hashes: Uint32Array): void {
  const { bytes, ends } = joinUtf8(texts);
  const view = viewOf(bytes);
  for (let i = 0, start = 0; i < hashes.length; i++) {
    const end = ends[i] as number;
    hashes[i] = hashPart(view, start, end);
    start = end;
  }
}

function hashPart(view: DataView, start: number, end: number): number {
  const whole = end - ((end - start) & 3);
  let hash = 0;
  for (let i = start; i < whole; i += 4) hash = addWord(hash, view.getUint32(i, true));
  if (whole < end) hash ^= scramble(tailWord(view, whole, end));
  return finish(hash, end - start);
}

/** At most this many words of a record without an id take part in its hash. */
const SAMPLED_WORDS = 16;

/** Whether the processor has the lowest byte of a number first, as the hash has. */
const HAS_LOW_BYTES_FIRST = new Uint8Array(Uint32Array.of(1).buffer)[0] === 1;

/**
 * Hashes records without ids, of `width` bytes each: MurmurHash3 of up to sixteen 32-bit words, evenly spread over the record. Records
 * of up to 64 bytes count whole.
 *
 * A boundary needs to be found again after an edit elsewhere, not to notice every edit: 16 words are as good as all and
 * cost the same for any width.
 */
export function hashRecords(records: Uint8Array, width: number, hashes: Uint32Array): void {
  if (width <= SAMPLED_WORDS * 4) {
    for (let i = 0; i < hashes.length; i++)
      hashes[i] = hashBytes(records.subarray(i * width, (i + 1) * width));
    return;
  }
  const stride = (width - 4) / (SAMPLED_WORDS - 1);
  const places = Int32Array.from({ length: SAMPLED_WORDS }, (_, i) => Math.floor(i * stride) & ~3);
  if (HAS_LOW_BYTES_FIRST && width % 4 === 0 && records.byteOffset % 4 === 0)
    hashAligned(records, width, places, hashes);
  else hashUnaligned(records, width, places, hashes);
}

/** In one piece, because it is done for every record: a call for each word took several times as long until it was optimised. */
function hashAligned(records: Uint8Array, width: number, places: Int32Array, hashes: Uint32Array): void {
  const words = new Int32Array(records.buffer, records.byteOffset, records.length >>> 2);
  const steps = places.map((place) => place >>> 2);
  for (let i = 0, start = 0; i < hashes.length; i++, start += width >>> 2) {
    let hash = 0;
    for (let j = 0; j < SAMPLED_WORDS; j++) {
      const scaled = Math.imul(words[start + (steps[j] as number)] as number, C1);
      hash ^= Math.imul((scaled << 15) | (scaled >>> 17), C2);
      hash = (Math.imul((hash << 13) | (hash >>> 19), 5) + ADDED) | 0;
    }
    hashes[i] = finish(hash, width);
  }
}

function hashUnaligned(records: Uint8Array, width: number, places: Int32Array, hashes: Uint32Array): void {
  const view = viewOf(records);
  for (let i = 0; i < hashes.length; i++) {
    let hash = 0;
    for (const place of places) hash = addWord(hash, view.getUint32(i * width + place, true));
    hashes[i] = finish(hash, width);
  }
}

/** Another hash of the same thing for each level of a tree, so that ends on one level tell nothing about the next. */
export function hashAtLevel(hash: number, level: number): number {
  return finish(hash ^ Math.imul(level + 1, 0x9e3779b9), 4);
}

function addWord(hash: number, word: number): number {
  const mixed = hash ^ scramble(word);
  return (Math.imul((mixed << 13) | (mixed >>> 19), 5) + ADDED) | 0;
}

function scramble(word: number): number {
  const scaled = Math.imul(word, C1);
  return Math.imul((scaled << 15) | (scaled >>> 17), C2);
}

function tailWord(view: DataView, start: number, end: number): number {
  let word = 0;
  for (let i = end - 1; i >= start; i--) word = (word << 8) | view.getUint8(i);
  return word;
}

function finish(hash: number, length: number): number {
  let mixed = hash ^ length;
  mixed = Math.imul(mixed ^ (mixed >>> 16), 0x85ebca6b);
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35);
  return (mixed ^ (mixed >>> 16)) >>> 0;
}
