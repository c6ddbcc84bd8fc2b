/**
 * Fingerprints of records, as src/cas/fingerprints.ts describes them: three sums of products (NH), each with keys that stand one block further on, and
 * each folded to 32 bits.
 */

/** Bytes of which the one half is multiplied with the other. */
const BLOCK_BYTES: usize = 32;
const FINGERPRINT_BYTES: usize = 12;
/** Of the key, what folds the three sums: three factors each. It stands first. */
const FOLD_BYTES: usize = 72;

/** The end of a record that fills no block, and zeros. */
const rest: usize = memory.data(32, 16);

let sum0: v128 = i64x2.splat(0);
let sum1: v128 = i64x2.splat(0);
let sum2: v128 = i64x2.splat(0);

/** Writes the fingerprints of `count` records of `unit` bytes, which stand one after the other from `from` on. */
export function fingerprint(from: usize, unit: usize, count: u32, key: usize, to: usize): void {
  const factors = key;
  const tail = unit & (BLOCK_BYTES - 1);
  const whole = unit - tail;
  const keys = key + FOLD_BYTES;
  for (let i: u32 = 0; i < count; i++) {
    sum0 = i64x2.splat(0);
    sum1 = i64x2.splat(0);
    sum2 = i64x2.splat(0);
    addBlocks(from, from + whole, keys);
    if (tail > 0) {
      memory.fill(rest, 0, BLOCK_BYTES);
      memory.copy(rest, from + whole, tail);
      addBlocks(rest, rest + BLOCK_BYTES, keys + whole);
    }
    store<u32>(to, folded(sum0, factors));
    store<u32>(to, folded(sum1, factors + 24), 4);
    store<u32>(to, folded(sum2, factors + 48), 8);
    from += unit;
    to += FINGERPRINT_BYTES;
  }
}

function addBlocks(from: usize, end: usize, keys: usize): void {
  let s0 = sum0;
  let s1 = sum1;
  let s2 = sum2;
  let k0 = v128.load(keys);
  let k1 = v128.load(keys, 16);
  let k2 = v128.load(keys, 32);
  let k3 = v128.load(keys, 48);
  while (from < end) {
    const a = v128.load(from);
    const b = v128.load(from, 16);
    const k4 = v128.load(keys, 64);
    const k5 = v128.load(keys, 80);
    s0 = i64x2.add(s0, products(a, b, k0, k1));
    s1 = i64x2.add(s1, products(a, b, k2, k3));
    s2 = i64x2.add(s2, products(a, b, k4, k5));
    k0 = k2;
    k1 = k3;
    k2 = k4;
    k3 = k5;
    from += BLOCK_BYTES;
    keys += BLOCK_BYTES;
  }
  sum0 = s0;
  sum1 = s1;
  sum2 = s2;
}

function products(a: v128, b: v128, key: v128, nextKey: v128): v128 {
  const x = i32x4.add(a, key);
  const y = i32x4.add(b, nextKey);
  return i64x2.add(i64x2.extmul_low_i32x4_u(x, y), i64x2.extmul_high_i32x4_u(x, y));
}

function folded(sums: v128, factors: usize): u32 {
  const sum: u64 = i64x2.extract_lane(sums, 0) + i64x2.extract_lane(sums, 1);
  const low = sum & 0xffffffff;
  const high = sum >> 32;
  return <u32>((load<u64>(factors) * low + load<u64>(factors, 8) * high + load<u64>(factors, 16)) >> 32);
}
