/**
 * XXH3-128 with seed 0 of more than 240 bytes, as src/source/xxh3.ts describes it. A module of its own: it gives these functions to
 * src/source/xxh3-kernel.ts, which writes the input from `inputStart` on. No function checks what it is told.
 */

const PRIME32_1: u64 = 0x9e3779b1;
const PRIME32_2: u64 = 0x85ebca77;
const PRIME32_3: u64 = 0xc2b2ae3d;
const PRIME64_1: u64 = 0x9e3779b185ebca87;
const PRIME64_2: u64 = 0xc2b2ae3d27d4eb4f;
const PRIME64_3: u64 = 0x165667b19e3779f9;
const PRIME64_4: u64 = 0x85ebca77c2b2ae63;
const PRIME64_5: u64 = 0x27d4eb2f165667c5;

const STRIPE_BYTES: usize = 64;
const BLOCK_BYTES: usize = 1024;

// prettier-ignore
const secret: usize = memory.data<u8>([
  0xb8, 0xfe, 0x6c, 0x39, 0x23, 0xa4, 0x4b, 0xbe, 0x7c, 0x01, 0x81, 0x2c, 0xf7, 0x21, 0xad, 0x1c,
  0xde, 0xd4, 0x6d, 0xe9, 0x83, 0x90, 0x97, 0xdb, 0x72, 0x40, 0xa4, 0xa4, 0xb7, 0xb3, 0x67, 0x1f,
  0xcb, 0x79, 0xe6, 0x4e, 0xcc, 0xc0, 0xe5, 0x78, 0x82, 0x5a, 0xd0, 0x7d, 0xcc, 0xff, 0x72, 0x21,
  0xb8, 0x08, 0x46, 0x74, 0xf7, 0x43, 0x24, 0x8e, 0xe0, 0x35, 0x90, 0xe6, 0x81, 0x3a, 0x26, 0x4c,
  0x3c, 0x28, 0x52, 0xbb, 0x91, 0xc3, 0x00, 0xcb, 0x88, 0xd0, 0x65, 0x8b, 0x1b, 0x53, 0x2e, 0xa3,
  0x71, 0x64, 0x48, 0x97, 0xa2, 0x0d, 0xf9, 0x4e, 0x38, 0x19, 0xef, 0x46, 0xa9, 0xde, 0xac, 0xd8,
  0xa8, 0xfa, 0x76, 0x3f, 0xe3, 0x9c, 0x34, 0x3f, 0xf9, 0xdc, 0xbb, 0xc7, 0xc7, 0x0b, 0x4f, 0x1d,
  0x8a, 0x51, 0xe0, 0x4b, 0xcd, 0xb4, 0x59, 0x31, 0xc8, 0x9f, 0x7e, 0xc9, 0xd9, 0x78, 0x73, 0x64,
  0xea, 0xc5, 0xac, 0x83, 0x34, 0xd3, 0xeb, 0xc3, 0xc5, 0x81, 0xa0, 0xff, 0xfa, 0x13, 0x63, 0xeb,
  0x17, 0x0d, 0xdd, 0x51, 0xb7, 0xf0, 0xda, 0x49, 0xd3, 0x16, 0x55, 0x26, 0x29, 0xd4, 0x68, 0x9e,
  0x2b, 0x16, 0xbe, 0x58, 0x7d, 0x47, 0xa1, 0xfc, 0x8f, 0xf8, 0xb8, 0xd1, 0x7a, 0xd0, 0x31, 0xce,
  0x45, 0xcb, 0x3a, 0x8f, 0x95, 0x16, 0x04, 0x28, 0xaf, 0xd7, 0xfb, 0xca, 0xbb, 0x4b, 0x40, 0x7e,
], 16);
const SECRET_BYTES: usize = 192;

/** The eight lanes between one part of the input and the next, two in each. */
let lanes01: v128 = i64x2.splat(0);
let lanes23: v128 = i64x2.splat(0);
let lanes45: v128 = i64x2.splat(0);
let lanes67: v128 = i64x2.splat(0);

/** Where the hash stands: the low half, then the high half. */
const hash: usize = memory.data(16, 16);

export function hashAt(): usize {
  return hash;
}

/** Where the input is to stand. */
export function inputStart(): usize {
  return (__heap_base + 15) & ~15;
}

/** Hashes `length` bytes, of which there are more than 240. */
export function hashLong(length: usize): void {
  const from = inputStart();
  lanes01 = pair(PRIME32_3, PRIME64_1);
  lanes23 = pair(PRIME64_2, PRIME64_3);
  lanes45 = pair(PRIME64_4, PRIME32_2);
  lanes67 = pair(PRIME64_5, PRIME32_1);
  const whole = ((length - 1) / BLOCK_BYTES) * BLOCK_BYTES;
  for (let at: usize = 0; at < whole; at += BLOCK_BYTES) {
    addStripes(from + at, BLOCK_BYTES, secret);
    scramble();
  }
  addStripes(from + whole, ((length - 1 - whole) / STRIPE_BYTES) * STRIPE_BYTES, secret);
  addStripes(from + length - STRIPE_BYTES, STRIPE_BYTES, secret + SECRET_BYTES - STRIPE_BYTES - 7);
  const low = merged(secret + 11, <u64>length * PRIME64_1);
  const high = merged(secret + SECRET_BYTES - STRIPE_BYTES - 11, ~(<u64>length * PRIME64_2));
  store<u64>(hash, low);
  store<u64>(hash, high, 8);
}

function pair(first: u64, second: u64): v128 {
  return i64x2.replace_lane(i64x2.splat(first), 1, second);
}

/** Adds stripes, each with a part of the secret that begins 8 bytes further on. */
function addStripes(from: usize, length: usize, key: usize): void {
  let a = lanes01;
  let b = lanes23;
  let c = lanes45;
  let d = lanes67;
  const end = from + length;
  while (from < end) {
    a = added(a, v128.load(from), v128.load(key));
    b = added(b, v128.load(from, 16), v128.load(key, 16));
    c = added(c, v128.load(from, 32), v128.load(key, 32));
    d = added(d, v128.load(from, 48), v128.load(key, 48));
    from += STRIPE_BYTES;
    key += 8;
  }
  lanes01 = a;
  lanes23 = b;
  lanes45 = c;
  lanes67 = d;
}

/** To each lane the product of the halves of its own keyed data, and the data of its neighbour. */
function added(lanes: v128, data: v128, key: v128): v128 {
  const keyed = v128.xor(data, key);
  const low = v128.shuffle<i32>(keyed, keyed, 0, 2, 0, 2);
  const high = v128.shuffle<i32>(keyed, keyed, 1, 3, 1, 3);
  const swapped = v128.shuffle<i64>(data, data, 1, 0);
  return i64x2.add(i64x2.add(lanes, swapped), i64x2.extmul_low_i32x4_u(low, high));
}

function scramble(): void {
  const key = secret + SECRET_BYTES - STRIPE_BYTES;
  lanes01 = scrambled(lanes01, v128.load(key));
  lanes23 = scrambled(lanes23, v128.load(key, 16));
  lanes45 = scrambled(lanes45, v128.load(key, 32));
  lanes67 = scrambled(lanes67, v128.load(key, 48));
}

function scrambled(lanes: v128, key: v128): v128 {
  const mixed = v128.xor(v128.xor(lanes, i64x2.shr_u(lanes, 47)), key);
  return i64x2.mul(mixed, i64x2.splat(PRIME32_1));
}

function merged(key: usize, start: u64): u64 {
  const sum =
    start +
    foldedPair(lanes01, key) +
    foldedPair(lanes23, key + 16) +
    foldedPair(lanes45, key + 32) +
    foldedPair(lanes67, key + 48);
  const mixed = (sum ^ (sum >> 37)) * 0x165667919e3779f9;
  return mixed ^ (mixed >> 32);
}

function foldedPair(lanes: v128, key: usize): u64 {
  const first = i64x2.extract_lane(lanes, 0) ^ load<u64>(key);
  const second = i64x2.extract_lane(lanes, 1) ^ load<u64>(key, 8);
  return foldedProduct(first, second);
}

/** The two halves of the product of 128 bits, one on the other. */
function foldedProduct(a: u64, b: u64): u64 {
  const lowLow = (a & 0xffffffff) * (b & 0xffffffff);
  const highLow = (a >> 32) * (b & 0xffffffff);
  const lowHigh = (a & 0xffffffff) * (b >> 32);
  const highHigh = (a >> 32) * (b >> 32);
  const cross = (lowLow >> 32) + (highLow & 0xffffffff) + lowHigh;
  const high = (highLow >> 32) + (cross >> 32) + highHigh;
  const low = (cross << 32) | (lowLow & 0xffffffff);
  return high ^ low;
}
