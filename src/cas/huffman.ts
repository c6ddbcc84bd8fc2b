/**
 * Huffman coding of bytes: for planes whose values are uneven but do not repeat in any order, such as exponents.
 *
 * It does what zlib's Huffman-only mode does, and more than twice as fast in plain JavaScript: there is no state to set up
 * for each plane, and two symbols go into each store.
 *
 * Layout: the head, then the streams. The head tells the code: the number of runs of neighbouring values that come at all,
 * less one; for each run its first value and its length less one; the lengths of their codes in nibbles, the first in the low
 * half, padded with a zero nibble. From 4,096 bytes on there are four streams, and the lengths in bytes of the first three
 * follow, u32 little-endian; below there is one. Each of four streams has the codes of a quarter of the bytes (the last also of
 * those that do not make a quarter), the first bit of a code in the lowest free bit of a byte, padded with zero bits. With four
 * streams, four codes are looked up at a time: reading is twice as fast as with one. Codes are canonical: shorter ones first,
 * ascending values within a length (RFC 1951, section 3.2.2), their bits in reverse, as deflate has them.
 */
import { VecsnapError } from '../core/errors.js';

/** The longest code. Two of them and the bits that wait for their byte fit a 32-bit word: 2 · 11 + 7 < 32. */
const MAX_CODE_BITS = 11;
const LENGTH_BITS = 4;
const LENGTH_MASK = (1 << LENGTH_BITS) - 1;
const CODE_MASK = (1 << MAX_CODE_BITS) - 1;
const SYMBOLS = 256;
const STREAMS = 4;
/** Fewer bytes than this go into one stream, because the lengths of four would cost more than they give. */
const FEW_BYTES = 4096;
const DIRECTORY_BYTES = 12;

/** How often each byte comes in `bytes`. Four tables take turns, so that equal neighbours do not wait for each other. */
export function countBytes(bytes: Uint8Array): Uint32Array {
  const counts = new Uint32Array(4 * SYMBOLS);
  const whole = bytes.length & ~3;
  for (let i = 0; i < whole; i += 4) {
    const a = bytes[i] as number;
    const b = SYMBOLS + (bytes[i + 1] as number);
    const c = 2 * SYMBOLS + (bytes[i + 2] as number);
    const d = 3 * SYMBOLS + (bytes[i + 3] as number);
    counts[a] = (counts[a] as number) + 1;
    counts[b] = (counts[b] as number) + 1;
    counts[c] = (counts[c] as number) + 1;
    counts[d] = (counts[d] as number) + 1;
  }
  for (let i = whole; i < bytes.length; i++)
    counts[bytes[i] as number] = (counts[bytes[i] as number] as number) + 1;
  for (let i = 0; i < SYMBOLS; i++) {
    const others =
      (counts[SYMBOLS + i] as number) +
      (counts[2 * SYMBOLS + i] as number) +
      (counts[3 * SYMBOLS + i] as number);
    counts[i] = (counts[i] as number) + others;
  }
  return counts.subarray(0, SYMBOLS);
}

/**
 * Encodes `bytes`, which hold at least two distinct values.
 * @param counts how often each comes; see {@link countBytes}.
 * @param out where the encoded form goes, from `start` on; at least {@link maxEncodedLength} bytes must be free there.
 * @returns where the encoded form ends.
 */
export function encodeHuffman(
  bytes: Uint8Array,
  counts: Uint32Array,
  out: Uint8Array,
  start: number,
): number {
  const symbols = symbolsIn(counts);
  const lengths = codeLengths(symbols, counts);
  const table = encodingTable(symbols, lengths);
  const view = new DataView(out.buffer, out.byteOffset, out.byteLength);
  const directory = writeHead(symbols, lengths, out, start);
  if (bytes.length < FEW_BYTES) return encodeStream(bytes, 0, bytes.length, table, view, directory);
  const quarter = bytes.length >>> 2;
  let at = directory + DIRECTORY_BYTES;
  for (let stream = 0; stream < STREAMS; stream++) {
    const from = at;
    at = encodeStream(
      bytes,
      stream * quarter,
      stream < 3 ? (stream + 1) * quarter : bytes.length,
      table,
      view,
      at,
    );
    if (stream < 3) view.setUint32(directory + stream * 4, at - from, true);
  }
  return at;
}

function encodeStream(
  bytes: Uint8Array,
  from: number,
  to: number,
  table: Uint32Array,
  view: DataView,
  start: number,
): number {
  let at = start;
  let waiting = 0;
  let bits = 0;
  const even = from + ((to - from) & ~1);
  for (let i = from; i < even; i += 2) {
    const a = table[bytes[i] as number] as number;
    const b = table[bytes[i + 1] as number] as number;
    const aBits = a & LENGTH_MASK;
    waiting |= ((a >>> LENGTH_BITS) | ((b >>> LENGTH_BITS) << aBits)) << bits;
    bits += aBits + (b & LENGTH_MASK);
    view.setUint32(at, waiting, true);
    at += bits >>> 3;
    waiting >>>= bits & 24;
    bits &= 7;
  }
  if (even < to) {
    const last = table[bytes[even] as number] as number;
    waiting |= (last >>> LENGTH_BITS) << bits;
    bits += last & LENGTH_MASK;
  }
  view.setUint32(at, waiting, true);
  return at + ((bits + 7) >>> 3);
}

/** Room for the encoded form of `length` bytes, whatever they are: the head, the longest codes, and one whole store. */
export function maxEncodedLength(length: number): number {
  return 1 + SYMBOLS + SYMBOLS / 2 + DIRECTORY_BYTES + Math.ceil((length * MAX_CODE_BITS) / 8) + STREAMS + 4;
}

/**
 * Decodes what {@link encodeHuffman} wrote.
 * @param length the number of bytes.
 * @throws VecsnapError CHUNK_DAMAGED when the code is not one that is written, or does not end where `encoded` does.
 */
export function decodeHuffman(encoded: Uint8Array, length: number): Uint8Array {
  const { table, start } = readHead(encoded);
  const out = new Uint8Array(length);
  if (length < FEW_BYTES) {
    const { view, end } = withSpareBytes(encoded, start);
    decodeRest(view, table, out, 0, length, 0, end);
    return out;
  }
  const { view, starts, end } = readDirectory(encoded, start);
  const quarter = length >>> 2;
  const [, last0, last1, last2] = starts;
  let bit0 = starts[0] * 8;
  let bit1 = starts[1] * 8;
  let bit2 = starts[2] * 8;
  let bit3 = starts[3] * 8;
  const even = quarter & ~1;
  // A damaged stream may run on into the next and, at the end, into the spare bytes; it is found out below. Two codes are
  // never longer than 22 bits, so nothing is read further than that.
  const guard = end * 8;
  for (let i = 0; i < even; i += 2) {
    if (bit0 > guard || bit1 > guard || bit2 > guard || bit3 > guard)
      throw damaged('the codes end too early');
    const word0 = view.getUint32(bit0 >>> 3, true) >>> (bit0 & 7);
    const word1 = view.getUint32(bit1 >>> 3, true) >>> (bit1 & 7);
    const word2 = view.getUint32(bit2 >>> 3, true) >>> (bit2 & 7);
    const word3 = view.getUint32(bit3 >>> 3, true) >>> (bit3 & 7);
    const a0 = table[word0 & CODE_MASK] as number;
    const a1 = table[word1 & CODE_MASK] as number;
    const a2 = table[word2 & CODE_MASK] as number;
    const a3 = table[word3 & CODE_MASK] as number;
    const b0 = table[(word0 >>> (a0 & LENGTH_MASK)) & CODE_MASK] as number;
    const b1 = table[(word1 >>> (a1 & LENGTH_MASK)) & CODE_MASK] as number;
    const b2 = table[(word2 >>> (a2 & LENGTH_MASK)) & CODE_MASK] as number;
    const b3 = table[(word3 >>> (a3 & LENGTH_MASK)) & CODE_MASK] as number;
    out[i] = a0 >>> LENGTH_BITS;
    out[i + 1] = b0 >>> LENGTH_BITS;
    out[quarter + i] = a1 >>> LENGTH_BITS;
    out[quarter + i + 1] = b1 >>> LENGTH_BITS;
    out[2 * quarter + i] = a2 >>> LENGTH_BITS;
    out[2 * quarter + i + 1] = b2 >>> LENGTH_BITS;
    out[3 * quarter + i] = a3 >>> LENGTH_BITS;
    out[3 * quarter + i + 1] = b3 >>> LENGTH_BITS;
    bit0 += (a0 & LENGTH_MASK) + (b0 & LENGTH_MASK);
    bit1 += (a1 & LENGTH_MASK) + (b1 & LENGTH_MASK);
    bit2 += (a2 & LENGTH_MASK) + (b2 & LENGTH_MASK);
    bit3 += (a3 & LENGTH_MASK) + (b3 & LENGTH_MASK);
  }
  decodeRest(view, table, out, even, quarter, bit0, last0);
  decodeRest(view, table, out, quarter + even, 2 * quarter, bit1, last1);
  decodeRest(view, table, out, 2 * quarter + even, 3 * quarter, bit2, last2);
  decodeRest(view, table, out, 3 * quarter + even, length, bit3, end);
  return out;
}

/** Decodes the codes of one stream that are left, and checks that the stream ends where its bytes do. */
function decodeRest(
  view: DataView,
  table: Uint16Array,
  out: Uint8Array,
  from: number,
  to: number,
  firstBit: number,
  end: number,
): void {
  let bit = firstBit;
  for (let i = from; i < to; i++) {
    if (bit >= end * 8) throw damaged('the codes end too early');
    const entry = table[(view.getUint32(bit >>> 3, true) >>> (bit & 7)) & CODE_MASK] as number;
    out[i] = entry >>> LENGTH_BITS;
    bit += entry & LENGTH_MASK;
  }
  if ((bit + 7) >>> 3 !== end) throw damaged('a stream ends elsewhere than its bytes');
}

type Four = [number, number, number, number];

/** Where the streams begin and the last one ends, in a copy with a few bytes to spare, so that whole words can be read. */
function readDirectory(
  encoded: Uint8Array,
  directory: number,
): { view: DataView; starts: Four; end: number } {
  const start = directory + DIRECTORY_BYTES;
  if (encoded.length < start) throw damaged('it ends within its head');
  const lengths = new DataView(encoded.buffer, encoded.byteOffset + directory, DIRECTORY_BYTES);
  const starts: Four = [0, 0, 0, 0];
  for (let stream = 1; stream < STREAMS; stream++) {
    starts[stream] = (starts[stream - 1] as number) + lengths.getUint32((stream - 1) * 4, true);
  }
  const { view, end } = withSpareBytes(encoded, start);
  if (starts[3] > end) throw damaged('a stream ends after the chunk');
  return { view, starts, end };
}

/** A copy of the codes with a few bytes to spare, so that whole words can be read, and where the codes end. */
function withSpareBytes(encoded: Uint8Array, start: number): { view: DataView; end: number } {
  const end = encoded.length - start;
  const padded = new Uint8Array(end + 8);
  padded.set(encoded.subarray(start));
  return { view: new DataView(padded.buffer), end };
}

function symbolsIn(counts: Uint32Array): number[] {
  const symbols: number[] = [];
  for (let symbol = 0; symbol < SYMBOLS; symbol++) if ((counts[symbol] as number) > 0) symbols.push(symbol);
  return symbols;
}

/**
 * The length of each symbol's code: Huffman's, then shortened to the longest that is allowed.
 *
 * The tree is built by two queues over the symbols in order of their counts (van Leeuwen 1976). A code that is too long is
 * cut, and the room that this takes is found among the longest of the others, which costs next to nothing where it happens at
 * all: such symbols are rare.
 */
function codeLengths(symbols: readonly number[], counts: Uint32Array): Uint8Array {
  const n = symbols.length;
  const order = symbols.toSorted((a, b) => (counts[a] as number) - (counts[b] as number) || a - b);
  const weights = new Float64Array(2 * n - 1);
  const parents = new Uint16Array(2 * n - 1);
  for (let i = 0; i < n; i++) weights[i] = counts[order[i] as number] as number;
  let leaf = 0;
  let inner = n;
  for (let next = n; next < 2 * n - 1; next++) {
    for (let child = 0; child < 2; child++) {
      const takesLeaf =
        leaf < n && (inner === next || (weights[leaf] as number) <= (weights[inner] as number));
      const taken = takesLeaf ? leaf++ : inner++;
      parents[taken] = next;
      weights[next] = (weights[next] as number) + (weights[taken] as number);
    }
  }
  const depths = new Uint8Array(2 * n - 1);
  for (let node = 2 * n - 3; node >= 0; node--)
    depths[node] = Math.min(255, (depths[parents[node] as number] as number) + 1);
  const lengths = limitLengths(depths.subarray(0, n));
  const bySymbol = new Uint8Array(SYMBOLS);
  for (let i = 0; i < n; i++) bySymbol[order[i] as number] = lengths[i] as number;
  return bySymbol;
}

/** Cuts lengths, which descend, to the longest that is allowed, and makes the code complete again. */
function limitLengths(lengths: Uint8Array): Uint8Array {
  let room = 2 ** MAX_CODE_BITS;
  for (let i = 0; i < lengths.length; i++) {
    if ((lengths[i] as number) > MAX_CODE_BITS) lengths[i] = MAX_CODE_BITS;
    room -= 2 ** (MAX_CODE_BITS - (lengths[i] as number));
  }
  // Too much is taken: lengthen the rarest that can be, each of which frees half of its room.
  for (let i = 0; room < 0; i = (i + 1) % lengths.length) {
    while (room < 0 && (lengths[i] as number) < MAX_CODE_BITS) {
      lengths[i] = (lengths[i] as number) + 1;
      room += 2 ** (MAX_CODE_BITS - (lengths[i] as number));
    }
  }
  // Too little is taken: shorten the most frequent that fit what is free.
  for (let i = lengths.length - 1; i >= 0 && room > 0; i--) {
    while (room > 0 && (lengths[i] as number) > 1 && 2 ** (MAX_CODE_BITS - (lengths[i] as number)) <= room) {
      room -= 2 ** (MAX_CODE_BITS - (lengths[i] as number));
      lengths[i] = (lengths[i] as number) - 1;
    }
  }
  return lengths;
}

/** For each symbol its code, bits reversed, above its length. */
function encodingTable(symbols: readonly number[], lengths: Uint8Array): Uint32Array {
  const table = new Uint32Array(SYMBOLS);
  forEachCode(symbols, lengths, (symbol, code, length) => {
    table[symbol] = (reverseBits(code, length) << LENGTH_BITS) | length;
  });
  return table;
}

/** For every 11 bits that may come next: the symbol above the length of its code. */
function decodingTable(symbols: readonly number[], lengths: Uint8Array): Uint16Array {
  const table = new Uint16Array(1 << MAX_CODE_BITS);
  forEachCode(symbols, lengths, (symbol, code, length) => {
    const entry = (symbol << LENGTH_BITS) | length;
    for (let index = reverseBits(code, length); index < table.length; index += 1 << length)
      table[index] = entry;
  });
  return table;
}

function forEachCode(
  symbols: readonly number[],
  lengths: Uint8Array,
  visit: (symbol: number, code: number, length: number) => void,
): void {
  let code = 0;
  for (let length = 1; length <= MAX_CODE_BITS; length++) {
    for (const symbol of symbols) if (lengths[symbol] === length) visit(symbol, code++, length);
    code <<= 1;
  }
}

function reverseBits(code: number, length: number): number {
  let reversed = 0;
  for (let i = 0; i < length; i++) reversed |= ((code >>> i) & 1) << (length - 1 - i);
  return reversed;
}

function writeHead(symbols: readonly number[], lengths: Uint8Array, out: Uint8Array, start: number): number {
  const runs = runsOf(symbols);
  let at = start;
  out[at++] = runs.length - 1;
  for (const { first, count } of runs) {
    out[at++] = first;
    out[at++] = count - 1;
  }
  for (let i = 0; i < symbols.length; i += 2) {
    const low = lengths[symbols[i] as number] as number;
    const high = i + 1 < symbols.length ? (lengths[symbols[i + 1] as number] as number) : 0;
    out[at++] = low | (high << 4);
  }
  return at;
}

function runsOf(symbols: readonly number[]): { first: number; count: number }[] {
  const runs: { first: number; count: number }[] = [];
  for (const symbol of symbols) {
    const last = runs.at(-1);
    if (last !== undefined && last.first + last.count === symbol) last.count++;
    else runs.push({ first: symbol, count: 1 });
  }
  return runs;
}

function readHead(encoded: Uint8Array): { table: Uint16Array; start: number } {
  const symbols = readSymbols(encoded);
  const nibbles = 1 + 2 * ((encoded[0] as number) + 1);
  const start = nibbles + ((symbols.length + 1) >>> 1);
  if (encoded.length < start || symbols.length < 2) throw damaged('it ends within its head');
  const lengths = new Uint8Array(SYMBOLS);
  let room = 2 ** MAX_CODE_BITS;
  for (const [i, symbol] of symbols.entries()) {
    const pair = encoded[nibbles + (i >>> 1)] as number;
    const length = i % 2 === 0 ? pair & 15 : pair >>> 4;
    if (length === 0 || length > MAX_CODE_BITS) throw damaged('a code has a length that is never written');
    lengths[symbol] = length;
    room -= 2 ** (MAX_CODE_BITS - length);
  }
  if (room !== 0) throw damaged('its code is not complete');
  return { table: decodingTable(symbols, lengths), start };
}

/** The values that come. @throws VecsnapError CHUNK_DAMAGED. */
function readSymbols(encoded: Uint8Array): number[] {
  const symbols: number[] = [];
  const ends = readRuns(encoded);
  for (let i = 0; i < ends.length; i += 2)
    for (let symbol = ends[i] as number; symbol <= (ends[i + 1] as number); symbol++) symbols.push(symbol);
  return symbols;
}

/** Whether one of these values comes, as the head tells. @throws VecsnapError CHUNK_DAMAGED. */
export function hasSymbol(encoded: Uint8Array, values: readonly number[]): boolean {
  const ends = readRuns(encoded);
  for (let i = 0; i < ends.length; i += 2)
    if (values.some((value) => value >= (ends[i] as number) && value <= (ends[i + 1] as number))) return true;
  return false;
}

/** The first and the last of each run of values that come, as the head names them. Runs ascend and do not touch each other. */
function readRuns(encoded: Uint8Array): number[] {
  const runs = (encoded[0] ?? 0) + 1;
  const ends: number[] = [];
  for (let run = 0, least = 0; run < runs; run++) {
    const first = encoded[1 + 2 * run];
    const count = encoded[2 + 2 * run];
    if (first === undefined || count === undefined) throw damaged('it ends within its head');
    const last = first + count;
    if (first < least || last >= SYMBOLS) throw damaged('its runs do not ascend');
    ends.push(first, last);
    least = last + 2;
  }
  return ends;
}

function damaged(what: string): VecsnapError {
  return new VecsnapError('CHUNK_DAMAGED', `A Huffman-coded plane cannot be decoded: ${what}.`);
}
