/** What is counted: bytes of a plane, and numbers that are not finite. */

/** Four tables of 256 words take turns, so that equal neighbours do not wait for each other. The first has the sums. */
const counts: usize = memory.data(4 * 256 * 4, 16);

/** How often each byte comes in `length` bytes at `from`: the address of 256 words. */
export function countBytes(from: usize, length: usize): usize {
  memory.fill(counts, 0, 4096);
  const whole = length & ~7;
  const end = from + length;
  const wholeEnd = from + whole;
  while (from < wholeEnd) {
    const word = load<u64>(from);
    from += 8;
    count(0, <usize>(word & 255));
    count(1024, <usize>((word >> 8) & 255));
    count(2048, <usize>((word >> 16) & 255));
    count(3072, <usize>((word >> 24) & 255));
    count(0, <usize>((word >> 32) & 255));
    count(1024, <usize>((word >> 40) & 255));
    count(2048, <usize>((word >> 48) & 255));
    count(3072, <usize>(word >> 56));
  }
  while (from < end) count(0, load<u8>(from++));
  for (let at = counts; at < counts + 1024; at += 16) {
    const low = i32x4.add(v128.load(at), v128.load(at, 1024));
    const high = i32x4.add(v128.load(at, 2048), v128.load(at, 3072));
    v128.store(at, i32x4.add(low, high));
  }
  return counts;
}

function count(table: usize, byte: usize): void {
  const at = counts + table + (byte << 2);
  store<u32>(at, load<u32>(at) + 1);
}

/** Pairs of equal bytes among every `stride`th of `length` bytes at `from`. */
export function countCollisions(from: usize, length: usize, stride: usize): u32 {
  memory.fill(counts, 0, 1024);
  let collisions: u32 = 0;
  for (const end = from + length; from < end; from += stride) {
    const at = counts + ((<usize>load<u8>(from)) << 2);
    const seen = load<u32>(at);
    collisions += seen;
    store<u32>(at, seen + 1);
  }
  return collisions;
}

/** Whether `length` bytes at `from` are all the same. */
export function isConstant(from: usize, length: usize): bool {
  if (length == 0) return true;
  const end = from + length;
  const first = load<u8>(from);
  const all = i8x16.splat(first);
  for (; from + 16 <= end; from += 16) if (v128.any_true(v128.xor(v128.load(from), all))) return false;
  for (; from < end; from++) if (load<u8>(from) != first) return false;
  return true;
}

/** How many of the words of `length` bytes at `from` have all bits of `mask` set; a word that is not whole is none. */
export function countMasked32(from: usize, length: usize, mask: u32): u32 {
  const masks = i32x4.splat(mask);
  let sums = i32x4.splat(0);
  const end = from + (length & ~3);
  for (; from + 32 <= end; from += 32) {
    const a = i32x4.eq(v128.and(v128.load(from), masks), masks);
    const b = i32x4.eq(v128.and(v128.load(from, 16), masks), masks);
    sums = i32x4.sub(sums, i32x4.add(a, b));
  }
  let sum = sumOf(sums);
  for (; from < end; from += 4) sum += u32((load<u32>(from) & mask) == mask);
  return sum;
}

/** As {@link countMasked32}, of the upper words of pairs. */
export function countMasked64(from: usize, length: usize, mask: u32): u32 {
  const masks = i32x4.splat(mask);
  let sums = i32x4.splat(0);
  const end = from + (length & ~7);
  for (; from + 32 <= end; from += 32) {
    const upper = i32x4.shuffle(v128.load(from), v128.load(from, 16), 1, 3, 5, 7);
    sums = i32x4.sub(sums, i32x4.eq(v128.and(upper, masks), masks));
  }
  let sum = sumOf(sums);
  for (; from < end; from += 8) sum += u32((load<u32>(from, 4) & mask) == mask);
  return sum;
}

/** As {@link countMasked32}, of half words. */
export function countMasked16(from: usize, length: usize, mask: u32): u32 {
  const masks = i16x8.splat(<i16>mask);
  const end = from + (length & ~1);
  let sum: u32 = 0;
  while (from + 16 <= end) {
    const bits = i16x8.bitmask(i16x8.eq(v128.and(v128.load(from), masks), masks));
    sum += popcnt(bits);
    from += 16;
  }
  for (; from < end; from += 2) sum += u32(((<u32>load<u16>(from)) & mask) == mask);
  return sum;
}

function sumOf(sums: v128): u32 {
  return (
    i32x4.extract_lane(sums, 0) +
    i32x4.extract_lane(sums, 1) +
    i32x4.extract_lane(sums, 2) +
    i32x4.extract_lane(sums, 3)
  );
}
