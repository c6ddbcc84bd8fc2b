/**
 * Huffman coding of planes, byte for byte as src/cas/huffman.ts has it, where the layout is described. A code that is not one
 * that is written gives 0: the reason is found by decoding again over there.
 */

/** The longest code. Four of them and the bits that wait for their byte fit a 64-bit word: 4 · 11 + 7 < 64. */
const MAX_CODE_BITS: u32 = 11;
const DECODING_ENTRIES: u32 = 1 << 11;
const CODE_MASK: u64 = 2047;
/** Codes of eleven bits that one look at eight bytes shows: 5 · 11 + 7 < 64. */
const CODES_AT_ONCE: usize = 5;
const SYMBOLS: u32 = 256;
const FEW_BYTES: usize = 4096;
const DIRECTORY_BYTES: usize = 12;

/** In an entry of a table, the length of a code stands below its bits, or below the symbol that it means. */
const LENGTH_BITS: u32 = 8;
const LENGTH_MASK: u32 = 255;

/** A pair table is made when it has no more entries than the plane has bytes divided by this: making it takes time. */
const BYTES_A_PAIR: usize = 8;

const symbols: usize = memory.data(256, 16);
const order: usize = memory.data(256, 16);
const lengths: usize = memory.data(256, 16);
const depths: usize = memory.data(512, 16);
const weights: usize = memory.data(512 * 4, 16);
const parents: usize = memory.data(512 * 2, 16);
/** For each symbol its code. */
const codes: usize = memory.data(256 * 4, 16);
/** For each two symbols, the first in the low byte, their codes; only those of symbols that come are ever looked up. */
const pairs: usize = memory.data(65536 * 4, 16);
/** For every bits that may come next, as many as the longest code has, the symbol and the length of its code. */
const decoding: usize = memory.data(2048 * 2, 16);
/** The bits that tell the place in that table. */
let codeMask: u64 = CODE_MASK;
/** For each length, how many symbols have it; then the next code that is free. */
const byLength: usize = memory.data(16 * 4, 16);
const triples: usize = memory.data(2048 * 4, 16);

/** Encodes `length` bytes at `from`, of which `counts` tells how often each comes; gives where the encoded form ends. */
export function encode(from: usize, length: usize, counts: usize, to: usize): usize {
  const n = findSymbols(counts);
  findLengths(n, counts);
  makeCodes(n);
  const directory = writeHead(n, to);
  const usePairs = <usize>(n * n) * BYTES_A_PAIR <= length;
  if (usePairs) makePairs(n);
  if (length < FEW_BYTES) return encodeStream(from, length, directory, usePairs);
  const quarter = length >>> 2;
  let at = directory + DIRECTORY_BYTES;
  for (let stream: usize = 0; stream < 4; stream++) {
    const size = stream < 3 ? quarter : length - 3 * quarter;
    const end = encodeStream(from + stream * quarter, size, at, usePairs);
    if (stream < 3) store<u32>(directory + stream * 4, <u32>(end - at));
    at = end;
  }
  return at;
}

function encodeStream(from: usize, length: usize, to: usize, usePairs: bool): usize {
  const end = from + length;
  const fours = from + (length & ~3);
  let waiting: u64 = 0;
  let bits: u32 = 0;
  if (usePairs) {
    for (; from < fours; from += 4) {
      const a = load<u32>(pairs + ((<usize>load<u16>(from)) << 2));
      const b = load<u32>(pairs + ((<usize>load<u16>(from, 2)) << 2));
      const aBits = a & LENGTH_MASK;
      waiting |= ((<u64>(a >>> LENGTH_BITS)) | ((<u64>(b >>> LENGTH_BITS)) << aBits)) << bits;
      bits += aBits + (b & LENGTH_MASK);
      store<u64>(to, waiting);
      to += bits >>> 3;
      waiting >>= bits & 56;
      bits &= 7;
    }
  } else {
    for (; from < fours; from += 4) {
      const a = codeOf(load<u8>(from));
      const b = codeOf(load<u8>(from, 1));
      const c = codeOf(load<u8>(from, 2));
      const d = codeOf(load<u8>(from, 3));
      const aBits = a & LENGTH_MASK;
      const cBits = c & LENGTH_MASK;
      const abBits = aBits + (b & LENGTH_MASK);
      const ab = (a >>> LENGTH_BITS) | ((b >>> LENGTH_BITS) << aBits);
      const cd = (c >>> LENGTH_BITS) | ((d >>> LENGTH_BITS) << cBits);
      waiting |= ((<u64>ab) | ((<u64>cd) << abBits)) << bits;
      bits += abBits + cBits + (d & LENGTH_MASK);
      store<u64>(to, waiting);
      to += bits >>> 3;
      waiting >>= bits & 56;
      bits &= 7;
    }
  }
  for (; from < end; from++) {
    const code = codeOf(load<u8>(from));
    waiting |= (<u64>(code >>> LENGTH_BITS)) << bits;
    bits += code & LENGTH_MASK;
  }
  store<u64>(to, waiting);
  return to + ((bits + 7) >>> 3);
}

function codeOf(symbol: u32): u32 {
  return load<u32>(codes + (symbol << 2));
}

function symbolAt(i: u32): u32 {
  return load<u8>(symbols + i);
}

function lengthOf(symbol: u32): u32 {
  return load<u8>(lengths + symbol);
}

/** Writes the symbols that come to `symbols`, ascending, and gives their number. */
function findSymbols(counts: usize): u32 {
  let n: u32 = 0;
  for (let symbol: u32 = 0; symbol < SYMBOLS; symbol++) {
    store<u8>(symbols + n, symbol);
    n += u32(load<u32>(counts + (symbol << 2)) > 0);
    if (n == SYMBOLS) break;
  }
  return n;
}

/** The length of each symbol's code goes to `lengths`. */
function findLengths(n: u32, counts: usize): void {
  sortSymbols(n, counts);
  for (let i: u32 = 0; i < n; i++)
    store<u32>(weights + (i << 2), load<u32>(counts + ((<u32>load<u8>(order + i)) << 2)));
  const root: u32 = (n << 1) - 2;
  let leaf: u32 = 0;
  let inner: u32 = n;
  for (let next = n; next <= root; next++) {
    let weight: u32 = 0;
    for (let child = 0; child < 2; child++) {
      const takesLeaf = leaf < n && (inner == next || weightOf(leaf) <= weightOf(inner));
      const taken = takesLeaf ? leaf++ : inner++;
      store<u16>(parents + (taken << 1), next);
      weight += weightOf(taken);
    }
    store<u32>(weights + (next << 2), weight);
  }
  store<u8>(depths + root, 0);
  for (let node = root; node-- > 0;) {
    const above = <u32>load<u8>(depths + <usize>load<u16>(parents + (node << 1)));
    store<u8>(depths + node, above < 255 ? above + 1 : 255);
  }
  limitDepths(n);
  for (let i: u32 = 0; i < n; i++) store<u8>(lengths + <usize>load<u8>(order + i), load<u8>(depths + i));
}

function weightOf(node: u32): u32 {
  return load<u32>(weights + (node << 2));
}

/** The symbols by how often they come, then by value, go to `order`: by insertion, for they are few. */
function sortSymbols(n: u32, counts: usize): void {
  for (let i: u32 = 0; i < n; i++) {
    const symbol = symbolAt(i);
    const count = load<u32>(counts + (symbol << 2));
    let at = i;
    for (; at > 0; at--) {
      const before = <u32>load<u8>(order + at - 1);
      if (load<u32>(counts + (before << 2)) <= count) break;
      store<u8>(order + at, before);
    }
    store<u8>(order + at, symbol);
  }
}

function roomOf(length: u32): i32 {
  return 1 << (MAX_CODE_BITS - length);
}

/** Cuts the lengths in `depths`, which descend, to the longest that is allowed, and makes the code complete again. */
function limitDepths(n: u32): void {
  let room: i32 = 1 << MAX_CODE_BITS;
  for (let i: u32 = 0; i < n; i++) {
    if (<u32>load<u8>(depths + i) > MAX_CODE_BITS) store<u8>(depths + i, MAX_CODE_BITS);
    room -= roomOf(load<u8>(depths + i));
  }
  for (let i: u32 = 0; room < 0; i = i + 1 < n ? i + 1 : 0) {
    while (room < 0 && <u32>load<u8>(depths + i) < MAX_CODE_BITS) {
      const length = <u32>load<u8>(depths + i) + 1;
      store<u8>(depths + i, length);
      room += roomOf(length);
    }
  }
  for (let i = n; i-- > 0 && room > 0;) {
    while (room > 0 && <u32>load<u8>(depths + i) > 1 && roomOf(load<u8>(depths + i)) <= room) {
      room -= roomOf(load<u8>(depths + i));
      store<u8>(depths + i, <u32>load<u8>(depths + i) - 1);
    }
  }
}

/** Codes ascend by their lengths, and those of one length by the symbols. Gives the length of the longest. */
function makeCodes(n: u32): u32 {
  memory.fill(byLength, 0, 64);
  for (let i: u32 = 0; i < n; i++) {
    const at = byLength + (lengthOf(symbolAt(i)) << 2);
    store<u32>(at, load<u32>(at) + 1);
  }
  let code: u32 = 0;
  let longest: u32 = 0;
  for (let length: u32 = 1; length <= MAX_CODE_BITS; length++) {
    const at = byLength + (length << 2);
    const count = load<u32>(at);
    if (count > 0) longest = length;
    store<u32>(at, code);
    code = (code + count) << 1;
  }
  for (let i: u32 = 0; i < n; i++) {
    const symbol = symbolAt(i);
    const length = lengthOf(symbol);
    const at = byLength + (length << 2);
    const next = load<u32>(at);
    store<u32>(at, next + 1);
    store<u32>(codes + (symbol << 2), (reverseBits(next, length) << LENGTH_BITS) | length);
  }
  return longest;
}

function makePairs(n: u32): void {
  for (let j: u32 = 0; j < n; j++) {
    const second = symbolAt(j);
    const high = codeOf(second);
    const row = pairs + ((<usize>second) << 10);
    for (let i: u32 = 0; i < n; i++) {
      const first = symbolAt(i);
      const low = codeOf(first);
      const lowBits = low & LENGTH_MASK;
      const code = (low >>> LENGTH_BITS) | ((high >>> LENGTH_BITS) << lowBits);
      store<u32>(row + (first << 2), (code << LENGTH_BITS) | (lowBits + (high & LENGTH_MASK)));
    }
  }
}

function reverseBits(code: u32, length: u32): u32 {
  let reversed: u32 = 0;
  for (let i: u32 = 0; i < length; i++) reversed |= ((code >>> i) & 1) << (length - 1 - i);
  return reversed;
}

function writeHead(n: u32, to: usize): usize {
  let at = to;
  for (let i: u32 = 0; i < n;) {
    const first = i++;
    while (i < n && symbolAt(i) == symbolAt(i - 1) + 1) i++;
    store<u8>(at, symbolAt(first), 1);
    store<u8>(at, i - first - 1, 2);
    at += 2;
  }
  store<u8>(to, ((at - to) >>> 1) - 1);
  at++;
  for (let i: u32 = 0; i < n; i += 2) {
    const high = i + 1 < n ? lengthOf(symbolAt(i + 1)) : 0;
    store<u8>(at++, lengthOf(symbolAt(i)) | (high << 4));
  }
  return at;
}

/**
 * Decodes `size` bytes at `from` into `length` bytes at `to`. Up to 16 bytes after what is encoded are read and do not count.
 * @returns whether they are a code that is written.
 */
export function decode(from: usize, size: usize, to: usize, length: usize): bool {
  const end = from + size;
  const directory = readHead(from, end);
  if (directory == 0) return false;
  if (length < FEW_BYTES) return decodeStream(directory, 0, end, to, length);
  if (end - directory < DIRECTORY_BYTES) return false;
  const start0 = directory + DIRECTORY_BYTES;
  const most = <u64>(end - start0);
  const size0 = <u64>load<u32>(directory);
  const size1 = <u64>load<u32>(directory, 4);
  const size2 = <u64>load<u32>(directory, 8);
  if (size0 + size1 + size2 > most) return false;
  const start1 = start0 + <usize>size0;
  const start2 = start1 + <usize>size1;
  const start3 = start2 + <usize>size2;
  makeTriples();
  const quarter = length >>> 2;
  const end0 = to + quarter;
  const end1 = end0 + quarter;
  const end2 = end1 + quarter;
  const end3 = to + length;
  let to0 = to;
  let to1 = end0;
  let to2 = end1;
  let to3 = end2;
  const guard = (end - start0) << 3;
  let bit0: usize = 0;
  let bit1: usize = (start1 - start0) << 3;
  let bit2: usize = (start2 - start0) << 3;
  let bit3: usize = (start3 - start0) << 3;
  // Five times at most three symbols, and what the last store writes over its three.
  while (to0 + 16 <= end0 && to1 + 16 <= end1 && to2 + 16 <= end2 && to3 + 16 <= end3) {
    // A damaged stream may run on into the next, and a few bytes over the end; it is found out below.
    if (bit0 > guard || bit1 > guard || bit2 > guard || bit3 > guard) return false;
    let word0 = load<u64>(start0 + (bit0 >>> 3)) >> (bit0 & 7);
    let word1 = load<u64>(start0 + (bit1 >>> 3)) >> (bit1 & 7);
    let word2 = load<u64>(start0 + (bit2 >>> 3)) >> (bit2 & 7);
    let word3 = load<u64>(start0 + (bit3 >>> 3)) >> (bit3 & 7);
    for (let k: usize = 0; k < 5; k++) {
      const a = tripleOf(word0);
      const b = tripleOf(word1);
      const c = tripleOf(word2);
      const d = tripleOf(word3);
      store<u32>(to0, a >>> 8);
      store<u32>(to1, b >>> 8);
      store<u32>(to2, c >>> 8);
      store<u32>(to3, d >>> 8);
      word0 >>= a & 15;
      word1 >>= b & 15;
      word2 >>= c & 15;
      word3 >>= d & 15;
      bit0 += a & 15;
      bit1 += b & 15;
      bit2 += c & 15;
      bit3 += d & 15;
      to0 += (a >>> 4) & 15;
      to1 += (b >>> 4) & 15;
      to2 += (c >>> 4) & 15;
      to3 += (d >>> 4) & 15;
    }
  }
  return (
    decodeStream(start0, bit0, start1, to0, end0 - to0) &&
    decodeStream(start0, bit1, start2, to1, end1 - to1) &&
    decodeStream(start0, bit2, start3, to2, end2 - to2) &&
    decodeStream(start0, bit3, end, to3, end3 - to3)
  );
}

function tripleOf(word: u64): u32 {
  return load<u32>(triples + ((<usize>(word & CODE_MASK)) << 2));
}

/** As many symbols as 11 bits hold, at most three: the symbols above their number above the bits that they take. */
function makeTriples(): void {
  const mask = <u32>codeMask;
  for (let index: u32 = 0; index < DECODING_ENTRIES; index++) {
    const a = entryOf(index & mask);
    const aBits = a & LENGTH_MASK;
    const b = entryOf((index >>> aBits) & mask);
    const abBits = aBits + (b & LENGTH_MASK);
    const c = entryOf((index >>> min(abBits, 11)) & mask);
    const abcBits = abBits + (c & LENGTH_MASK);
    const one = (a & 0xff00) | 16 | aBits;
    const two = (a & 0xff00) | ((b & 0xff00) << 8) | 32 | abBits;
    const three = (a & 0xff00) | ((b & 0xff00) << 8) | ((c & 0xff00) << 16) | 48 | abcBits;
    const more = select(three, two, abcBits <= MAX_CODE_BITS);
    store<u32>(triples + (index << 2), select(more, one, abBits <= MAX_CODE_BITS));
  }
}

/** Decodes the codes of one stream that are left, and checks that the stream ends where its bytes do. */
function decodeStream(start: usize, firstBit: usize, end: usize, to: usize, length: usize): bool {
  const endBit = (end - start) << 3;
  const mask = codeMask;
  const last = to + length;
  let bit = firstBit;
  while (to + CODES_AT_ONCE <= last) {
    if (bit >= endBit) return false; // Up to eight bytes after the end are read, and found out below.
    let word = load<u64>(start + (bit >>> 3)) >> (bit & 7);
    for (let i: usize = 0; i < CODES_AT_ONCE; i++) {
      const entry = entryOf(word & mask);
      const bits = entry & LENGTH_MASK;
      store<u8>(to + i, entry >>> LENGTH_BITS);
      word >>= bits;
      bit += bits;
    }
    to += CODES_AT_ONCE;
  }
  for (; to < last; to++) {
    if (bit >= endBit) return false;
    const entry = entryOf((load<u64>(start + (bit >>> 3)) >> (bit & 7)) & mask);
    store<u8>(to, entry >>> LENGTH_BITS);
    bit += entry & LENGTH_MASK;
  }
  return (bit + 7) >>> 3 == end - start;
}

function entryOf(index: u64): u32 {
  return load<u16>(decoding + ((<usize>index) << 1));
}

/** Reads the head and makes the table for decoding; gives where the head ends, or 0 when it is not one that is written. */
function readHead(from: usize, end: usize): usize {
  const n = readSymbols(from, end);
  if (n < 2) return 0;
  const nibbles = from + 3 + 2 * <usize>load<u8>(from);
  const start = nibbles + ((n + 1) >>> 1);
  if (start > end) return 0;
  let room: i32 = 1 << MAX_CODE_BITS;
  for (let i: u32 = 0; i < n; i++) {
    const length = ((<u32>load<u8>(nibbles + (i >>> 1))) >>> ((i & 1) << 2)) & 15;
    if (length == 0 || length > MAX_CODE_BITS) return 0;
    store<u8>(lengths + symbolAt(i), length);
    room -= roomOf(length);
  }
  if (room != 0) return 0;
  makeDecoding(n);
  return start;
}

/** Writes the symbols that the head names to `symbols`, and gives their number, or 0. Runs ascend and do not touch. */
function readSymbols(from: usize, end: usize): u32 {
  if (from >= end) return 0;
  const runs = <u32>load<u8>(from) + 1;
  if (from + 1 + 2 * runs > end) return 0;
  let n: u32 = 0;
  let free: u32 = 0;
  for (let run: u32 = 0; run < runs; run++) {
    const first = <u32>load<u8>(from + 2 * run, 1);
    const last = first + <u32>load<u8>(from + 2 * run, 2);
    if (first < free || last >= SYMBOLS) return 0;
    for (let symbol = first; symbol <= last; symbol++) store<u8>(symbols + n++, symbol);
    free = last + 2;
  }
  return n;
}

/** The table is as small as the codes allow: for a few rows, making it takes as long as decoding them. */
function makeDecoding(n: u32): void {
  const entries: u32 = 1 << makeCodes(n);
  codeMask = <u64>entries - 1;
  for (let i: u32 = 0; i < n; i++) {
    const symbol = symbolAt(i);
    const code = codeOf(symbol);
    const entry = (symbol << LENGTH_BITS) | (code & LENGTH_MASK);
    const step = 1 << (code & LENGTH_MASK);
    for (let index = code >>> LENGTH_BITS; index < entries; index += step)
      store<u16>(decoding + (index << 1), entry);
  }
}
