/**
 * XXH3-128 with seed 0 (https://github.com/Cyan4973/xxHash, doc/xxhash_spec.md): the checksum that redb keeps of every page.
 *
 * It tells a page that is whole from one that is torn, reused or damaged. It is no cryptographic hash and never an address.
 */
import { viewOf } from '../core/index.js';
import { xxh3InKernel } from './xxh3-kernel.js';

const U64 = (1n << 64n) - 1n;
const PRIME32_1 = 0x9e3779b1;
const PRIME32_2 = 0x85ebca77n;
const PRIME64_1 = 0x9e3779b185ebca87n;
const PRIME64_2 = 0xc2b2ae3d27d4eb4fn;
const PRIME64_4 = 0x85ebca77c2b2ae63n;

const SECRET = fromHex(
  'b8fe6c3923a44bbe7c01812cf721ad1cded46de9839097db7240a4a4b7b3671fcb79e64eccc0e578825ad07dccff7221' +
    'b8084674f743248ee03590e6813a264c3c2852bb91c300cb88d0658b1b532ea371644897a20df94e3819ef46a9deacd8' +
    'a8fa763fe39c343ff9dcbbc7c70b4f1d8a51e04bcdb45931c89f7ec9d9787364eac5ac8334d3ebc3c581a0fffa1363eb' +
    '170ddd51b7f0da49d316552629d4689e2b16be587d47a1fc8ff8b8d17ad031ce45cb3a8f95160428afd7fbcabb4b407e',
);
const SECRET_VIEW = viewOf(SECRET);
const SECRET_WORDS = new Uint32Array(SECRET.buffer);

/** Where a secret's part for the merge of the two halves begins, and for the last stripe. */
const MERGE_LOW = 11;
const MERGE_HIGH = 192 - 64 - 11;
const LAST_STRIPE = 192 - 64 - 7;

const STRIPE_WORDS = 16;
const STRIPES_IN_BLOCK = 16;
const BLOCK_BYTES = 64 * STRIPES_IN_BLOCK;

/**
 * XXH3-128 of at least 9 bytes.
 * @returns 16 bytes: the low half, then the high half, each little-endian.
 * @throws RangeError for fewer bytes: nothing so short is ever checked.
 */
export function xxh3(bytes: Uint8Array): Uint8Array {
  if (bytes.length < 9) throw new RangeError('xxh3 takes 9 bytes or more');
  const view = viewOf(bytes);
  if (bytes.length <= 16) return hashTo16(view);
  if (bytes.length <= 128) return hashTo128(view);
  if (bytes.length <= 240) return hashTo240(view);
  return xxh3InKernel(bytes)?.slice() ?? hashLong(bytes);
}

function hashTo16(data: DataView): Uint8Array {
  const length = data.byteLength;
  const first = data.getBigUint64(0, true);
  const last = data.getBigUint64(length - 8, true);
  const high = last ^ secretAt(48) ^ secretAt(56);
  const product = (first ^ last ^ secretAt(32) ^ secretAt(40)) * PRIME64_1;
  const low = (product + (BigInt(length - 1) << 54n)) & U64;
  const mixed = ((product >> 64n) + high + (high & 0xffffffffn) * (PRIME32_2 - 1n)) & U64;
  const second = (low ^ swapBytes(mixed)) * PRIME64_2;
  return halves(avalanche(second & U64), avalanche(((second >> 64n) + mixed * PRIME64_2) & U64));
}

/** The two running halves of the hash of a short input. */
type State = readonly [low: bigint, high: bigint];

function hashTo128(data: DataView): Uint8Array {
  const length = data.byteLength;
  let state = startOf(length);
  for (let i = (length - 1) >> 5; i >= 0; i--) {
    state = mix32(state, data, 16 * i, length - 16 * (i + 1), 32 * i);
  }
  return finishShort(state, length);
}

function hashTo240(data: DataView): Uint8Array {
  const length = data.byteLength;
  let state = startOf(length);
  for (let i = 0; i < 4; i++) state = mix32(state, data, 32 * i, 32 * i + 16, 32 * i);
  state = [avalanche(state[0]), avalanche(state[1])];
  for (let i = 4; i < length >> 5; i++) state = mix32(state, data, 32 * i, 32 * i + 16, 3 + 32 * (i - 4));
  return finishShort(mix32(state, data, length - 16, length - 32, 103), length);
}

function startOf(length: number): State {
  return [(BigInt(length) * PRIME64_1) & U64, 0n];
}

function mix32([low, high]: State, data: DataView, a: number, b: number, secret: number): State {
  return [
    ((low + mix16(data, a, secret)) & U64) ^ sumOf(data, b),
    ((high + mix16(data, b, secret + 16)) & U64) ^ sumOf(data, a),
  ];
}

function mix16(data: DataView, at: number, secret: number): bigint {
  return foldedProduct(
    data.getBigUint64(at, true) ^ secretAt(secret),
    data.getBigUint64(at + 8, true) ^ secretAt(secret + 8),
  );
}

function sumOf(data: DataView, at: number): bigint {
  return (data.getBigUint64(at, true) + data.getBigUint64(at + 8, true)) & U64;
}

function finishShort([low, high]: State, length: number): Uint8Array {
  const mixed = low * PRIME64_1 + high * PRIME64_4 + BigInt(length) * PRIME64_2;
  return halves(avalanche((low + high) & U64), -avalanche(mixed & U64) & U64);
}

/*
 * Long inputs go through eight 64-bit lanes. A lane's sums of one block are kept apart in four doubles, each of which
 * stays an exact integer below 2^53, so the inner loop carries nothing: the halves of the data, and the products of 32 by
 * 16 bits that make up the product of 32 by 32 bits.
 */
interface Lanes {
  readonly low: Uint32Array;
  readonly high: Uint32Array;
  readonly dataLow: Float64Array;
  readonly dataHigh: Float64Array;
  readonly products: Float64Array;
  readonly productsHigh: Float64Array;
}

function newLanes(): Lanes {
  return {
    low: Uint32Array.of(
      0xc2b2ae3d,
      0x85ebca87,
      0x27d4eb4f,
      0x9e3779f9,
      0xc2b2ae63,
      0x85ebca77,
      0x165667c5,
      0x9e3779b1,
    ),
    high: Uint32Array.of(0, 0x9e3779b1, 0xc2b2ae3d, 0x165667b1, 0x85ebca77, 0, 0x27d4eb2f, 0),
    dataLow: new Float64Array(8),
    dataHigh: new Float64Array(8),
    products: new Float64Array(8),
    productsHigh: new Float64Array(8),
  };
}

function hashLong(bytes: Uint8Array): Uint8Array {
  const words = wordsOf(bytes);
  const lanes = newLanes();
  const blocks = Math.floor((bytes.length - 1) / BLOCK_BYTES);
  for (let block = 0; block < blocks; block++) {
    const start = (block * BLOCK_BYTES) / 4;
    for (let i = 0; i < STRIPES_IN_BLOCK; i++)
      addStripe(lanes, words, start + i * STRIPE_WORDS, SECRET_WORDS, 2 * i);
    foldSums(lanes);
    scramble(lanes);
  }
  const rest = Math.floor((bytes.length - 1 - blocks * BLOCK_BYTES) / 64);
  for (let i = 0; i < rest; i++) {
    addStripe(lanes, words, (blocks * BLOCK_BYTES) / 4 + i * STRIPE_WORDS, SECRET_WORDS, 2 * i);
  }
  addStripe(lanes, wordsOf(bytes.subarray(-64)), 0, LAST_SECRET, 0);
  foldSums(lanes);
  return finishLong(lanes, BigInt(bytes.length));
}

/** The whole 32-bit words of `bytes`; copied only where they are not aligned. */
function wordsOf(bytes: Uint8Array): Uint32Array {
  const aligned = bytes.byteOffset % 4 === 0 ? bytes : new Uint8Array(bytes);
  return new Uint32Array(aligned.buffer, aligned.byteOffset, aligned.length >> 2);
}

function addStripe(
  lanes: Lanes,
  words: Uint32Array,
  at: number,
  secret: Uint32Array,
  secretAt: number,
): void {
  const { dataLow, dataHigh, products, productsHigh } = lanes;
  for (let lane = 0; lane < 8; lane++) {
    const low = words[at + 2 * lane] as number;
    const high = words[at + 2 * lane + 1] as number;
    const keyLow = (low ^ (secret[secretAt + 2 * lane] as number)) >>> 0;
    const keyHigh = high ^ (secret[secretAt + 2 * lane + 1] as number);
    dataLow[lane ^ 1] = (dataLow[lane ^ 1] as number) + low;
    dataHigh[lane ^ 1] = (dataHigh[lane ^ 1] as number) + high;
    products[lane] = (products[lane] as number) + keyLow * (keyHigh & 0xffff);
    productsHigh[lane] = (productsHigh[lane] as number) + keyLow * (keyHigh >>> 16);
  }
}

/** Adds the sums of a block to the lanes, modulo 2^64, and starts them again at zero. */
function foldSums({ low, high, dataLow, dataHigh, products, productsHigh }: Lanes): void {
  for (let lane = 0; lane < 8; lane++) {
    const product = products[lane] as number;
    const shifted = productsHigh[lane] as number;
    const sumLow =
      (low[lane] as number) + (dataLow[lane] as number) + (product >>> 0) + ((shifted << 16) >>> 0);
    const carry =
      Math.floor(sumLow / 2 ** 32) + Math.floor(product / 2 ** 32) + Math.floor(shifted / 2 ** 16);
    low[lane] = sumLow;
    high[lane] = (high[lane] as number) + (dataHigh[lane] as number) + carry;
  }
  for (const sums of [dataLow, dataHigh, products, productsHigh]) sums.fill(0);
}

function scramble({ low, high }: Lanes): void {
  for (let lane = 0; lane < 8; lane++) {
    const a =
      ((low[lane] as number) ^ ((high[lane] as number) >>> 15) ^ (SECRET_WORDS[32 + 2 * lane] as number)) >>>
      0;
    const b = (high[lane] as number) ^ (SECRET_WORDS[33 + 2 * lane] as number);
    const product = a * (PRIME32_1 & 0xffff);
    const shifted = a * (PRIME32_1 >>> 16);
    const sumLow = (product >>> 0) + ((shifted << 16) >>> 0);
    const carry =
      Math.floor(sumLow / 2 ** 32) + Math.floor(product / 2 ** 32) + Math.floor(shifted / 2 ** 16);
    low[lane] = sumLow;
    high[lane] = (Math.imul(b, PRIME32_1) >>> 0) + carry;
  }
}

function finishLong({ low, high }: Lanes, length: bigint): Uint8Array {
  const lanes = Array.from(
    { length: 8 },
    (_, i) => (BigInt(high[i] as number) << 32n) | BigInt(low[i] as number),
  );
  return halves(
    mergeLanes(lanes, MERGE_LOW, (length * PRIME64_1) & U64),
    mergeLanes(lanes, MERGE_HIGH, ~(length * PRIME64_2) & U64),
  );
}

function mergeLanes(lanes: readonly bigint[], secret: number, start: bigint): bigint {
  let sum = start;
  for (let i = 0; i < 8; i += 2) {
    const a = (lanes[i] as bigint) ^ secretAt(secret + 8 * i);
    const b = (lanes[i + 1] as bigint) ^ secretAt(secret + 8 * i + 8);
    sum += foldedProduct(a, b);
  }
  return avalanche(sum & U64);
}

function foldedProduct(a: bigint, b: bigint): bigint {
  const product = a * b;
  return (product & U64) ^ (product >> 64n);
}

function avalanche(value: bigint): bigint {
  const mixed = ((value ^ (value >> 37n)) * 0x165667919e3779f9n) & U64;
  return mixed ^ (mixed >> 32n);
}

function swapBytes(value: bigint): bigint {
  const view = new DataView(new ArrayBuffer(8));
  view.setBigUint64(0, value, false);
  return view.getBigUint64(0, true);
}

function secretAt(offset: number): bigint {
  return SECRET_VIEW.getBigUint64(offset, true);
}

function halves(low: bigint, high: bigint): Uint8Array {
  const hash = new Uint8Array(16);
  const view = viewOf(hash);
  view.setBigUint64(0, low, true);
  view.setBigUint64(8, high, true);
  return hash;
}

function fromHex(text: string): Uint8Array<ArrayBuffer> {
  return Uint8Array.from({ length: text.length / 2 }, (_, i) =>
    Number.parseInt(text.slice(2 * i, 2 * i + 2), 16),
  );
}

const LAST_SECRET = wordsOf(SECRET.slice(LAST_STRIPE, LAST_STRIPE + 64));
