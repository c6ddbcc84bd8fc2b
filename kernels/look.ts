/** A look at bytes of which nothing is known, as the `PlaneEngine` of src/cas/plane-engine.ts promises it. */

const SLOTS: u32 = 4096;
/** For each hash of six bytes, one more than the place where they were seen last, or 0. */
const table: usize = memory.data(4096 * 4, 16);

/** How many of the six bytes at places in eight windows of a 128th of `length` bytes at `from` are among those at every `step`th place. */
export function countRepeats(from: usize, length: u32, step: u32): u32 {
  memory.fill(table, 0, SLOTS * 4);
  for (let at: u32 = 0; at + 6 <= length; at += step) store<u32>(slotOf(from + at), at + 1);
  const window = length >>> 7;
  let found: u32 = 0;
  for (let i: u32 = 0; i < 8; i++) {
    const start = i * (length >>> 3);
    for (let at = start; at < start + window; at++) {
      const seen = load<u32>(slotOf(from + at));
      if (seen != 0 && seen != at + 1) found += u32(areEqual(from + seen - 1, from + at));
    }
  }
  return found;
}

function slotOf(at: usize): usize {
  const mixed = (load<u32>(at) ^ (<u32>load<u16>(at, 4) * 0x9e3779b1)) * 0x85ebca6b;
  return table + ((<usize>(mixed >>> 20)) << 2);
}

function areEqual(a: usize, b: usize): bool {
  return load<u32>(a) == load<u32>(b) && load<u16>(a, 4) == load<u16>(b, 4);
}

/** Eight tables of 256 words. */
const counts: usize = memory.data(8 * 256 * 4, 16);
/** For each count the number that says what so many add to a sum; written by src/cas/kernels.ts. */
const weights: usize = memory.data(8192 * 4, 16);
/** Of 8, 4, 2 planes and one: how many values come in each, and the sum of the weights of their counts. */
const sums: usize = memory.data(15 * 8, 16);

export function weightsAt(): usize {
  return weights;
}

/**
 * Counts bytes as the first to the eighth of eight, of which every `stride`th of those in `length` bytes at `from` counts; then as the first to the
 * fourth of four, and so on. Gives the address of pairs of words for each of the fifteen: how many values come, and the sum of the weights of their counts.
 */
export function sumPlaces(from: usize, length: usize, stride: usize): usize {
  memory.fill(counts, 0, 8 * 256 * 4);
  const end = from + length;
  for (; from + 8 <= end; from += stride << 3) {
    for (let i: usize = 0; i < 8; i++) {
      const at = counts + (i << 10) + ((<usize>load<u8>(from + i)) << 2);
      store<u32>(at, load<u32>(at) + 1);
    }
  }
  let to = sums;
  for (let planes: usize = 8; planes >= 1; planes >>>= 1) {
    for (let plane: usize = 0; plane < planes; plane++, to += 8) sumPlane(counts + (plane << 10), to);
    // A number of half the width has, as its first byte, the first of both halves.
    const half = planes << 9;
    for (let at = counts; at < counts + half; at += 16)
      v128.store(at, i32x4.add(v128.load(at), v128.load(at + half)));
  }
  return sums;
}

function sumPlane(table: usize, to: usize): void {
  let values: u32 = 0;
  let sum: u32 = 0;
  for (let at = table; at < table + 1024; at += 4) {
    const count = load<u32>(at);
    values += u32(count != 0);
    sum += load<u32>(weights + ((<usize>count) << 2));
  }
  store<u32>(to, values);
  store<u32>(to, sum, 4);
}
