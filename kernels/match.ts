/** Runs of equal bytes, as src/cas/match.ts finds them in TypeScript. */

const HASH_BITS: u32 = 15;
const HASHED_BYTES: i32 = 8;
const LEAST_MATCH: i32 = 12;
/** For each hash the first place in the base whose bytes have it, or -1. */
const TABLE_BYTES: usize = 4 << HASH_BITS;
const table: usize = memory.data(4 << 15, 16);

/** Of what is compared at the same places, one byte of so many may be untold. */
const UNTOLD_IN_PLACE: i32 = 16;

/**
 * Runs of the bytes at `target` that stand at the same places of a base.
 * @param start where the base begins among all of them.
 * @param out what {@link matchAnywhere} takes.
 * @returns how many runs there are, or -1 when they leave too much untold.
 */
export function matchInPlace(
  target: usize,
  end: i32,
  bases: usize,
  start: i32,
  baseEnd: i32,
  out: usize,
): i32 {
  const base = bases + start;
  let runs: i32 = 0;
  let untold: i32 = 0;
  for (let at: i32 = 0; at < end;) {
    const length = matchLength(target, at, end, base, at, baseEnd);
    if (length >= LEAST_MATCH) {
      const place = out + 12 * runs++;
      store<i32>(place, start + at);
      store<i32>(place, at, 4);
      store<i32>(place, length, 8);
      at += length;
      continue;
    }
    const passed = length < end - at ? length + 1 : length; // The byte behind a run is another one.
    untold += passed;
    at += passed;
    if (untold * UNTOLD_IN_PLACE > end) return -1;
  }
  return runs;
}

/**
 * Tells the bytes at `target` by those at `base`. For each run three words are written to `out`: where it stands in the base, where in the
 * target, and its length. No two runs in the target overlap, and each has 12 bytes or more.
 * @returns how many runs there are.
 */
export function matchAnywhere(target: usize, end: i32, base: usize, baseEnd: i32, out: usize): u32 {
  memory.fill(table, 0xff, TABLE_BYTES);
  for (let i = baseEnd - HASHED_BYTES; i >= 0; i--) store<i32>(slotOf(base + i), i);
  const first = out;
  let shift: i32 = 0; // From a position in the target to the one in the base.
  let at: i32 = 0;
  let literalFrom: i32 = 0;
  while (at < end) {
    let from = at + shift;
    let length = matchLength(target, at, end, base, from, baseEnd);
    if (length < LEAST_MATCH && at + HASHED_BYTES <= end) {
      const candidate = load<i32>(slotOf(target + at));
      const other = matchLength(target, at, end, base, candidate, baseEnd);
      if (other > length) {
        from = candidate;
        length = other;
      }
    }
    if (length < LEAST_MATCH) {
      at++;
      continue;
    }
    let back: i32 = 0;
    while (
      at - back > literalFrom &&
      from - back > 0 &&
      load<u8>(target + at - back - 1) == load<u8>(base + from - back - 1)
    )
      back++;
    store<i32>(out, from - back);
    store<i32>(out, at - back, 4);
    store<i32>(out, length + back, 8);
    out += 12;
    shift = from - at;
    at += length;
    literalFrom = at;
  }
  return <u32>((out - first) / 12);
}

function slotOf(at: usize): usize {
  const low = load<u32>(at) * 0x9e3779b1;
  const high = load<u32>(at, 4) * 0x85ebca77;
  return table + ((<usize>((low ^ high) >>> (32 - HASH_BITS))) << 2);
}

function matchLength(target: usize, at: i32, end: i32, base: usize, from: i32, baseEnd: i32): i32 {
  if (from < 0) return 0;
  const left = end - at;
  const most = baseEnd - from < left ? baseEnd - from : left;
  const a = target + at;
  const b = base + from;
  let length: i32 = 0;
  for (; length + 8 <= most; length += 8) {
    const difference = load<u64>(a + length) ^ load<u64>(b + length);
    if (difference != 0) return length + <i32>(ctz(difference) >>> 3);
  }
  while (length < most && load<u8>(a + length) == load<u8>(b + length)) length++;
  return length;
}
