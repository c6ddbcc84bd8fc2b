/**
 * Numbers into byte planes and back, sixteen numbers at a time. Planes stand one after the other, `count` bytes each, when they
 * are split; when they are joined, each may stand anywhere.
 *
 * An unpacking of two vectors takes equal parts of both in turns: 8, 16, 32 or 64 bits of their lower or higher halves.
 */

/** Byte 0 of the four words, then byte 1 of each, and so on. */
function byPlane4(words: v128): v128 {
  return i8x16.swizzle(words, i8x16(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15));
}

function low8(a: v128, b: v128): v128 {
  return i8x16.shuffle(a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
}

function high8(a: v128, b: v128): v128 {
  return i8x16.shuffle(a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
}

function low16(a: v128, b: v128): v128 {
  return i16x8.shuffle(a, b, 0, 8, 1, 9, 2, 10, 3, 11);
}

function high16(a: v128, b: v128): v128 {
  return i16x8.shuffle(a, b, 4, 12, 5, 13, 6, 14, 7, 15);
}

function low32(a: v128, b: v128): v128 {
  return i32x4.shuffle(a, b, 0, 4, 1, 5);
}

function high32(a: v128, b: v128): v128 {
  return i32x4.shuffle(a, b, 2, 6, 3, 7);
}

function low64(a: v128, b: v128): v128 {
  return i64x2.shuffle(a, b, 0, 2);
}

function high64(a: v128, b: v128): v128 {
  return i64x2.shuffle(a, b, 1, 3);
}

/** Splits `count` numbers of `width` bytes, which is 2, 4 or 8, at `from` into planes at `to`. */
export function split(from: usize, to: usize, count: usize, width: usize): void {
  const whole = count & ~15;
  if (width == 2) split2(from, to, count, whole);
  else if (width == 4) split4(from, to, count, whole);
  else split8(from, to, count, whole);
  for (let i = whole; i < count; i++) {
    for (let plane: usize = 0; plane < width; plane++)
      store<u8>(to + plane * count + i, load<u8>(from + i * width + plane));
  }
}

function split2(from: usize, to: usize, count: usize, whole: usize): void {
  const order = i8x16(0, 2, 4, 6, 8, 10, 12, 14, 1, 3, 5, 7, 9, 11, 13, 15);
  for (let i: usize = 0; i < whole; i += 16) {
    const a = i8x16.swizzle(v128.load(from), order);
    const b = i8x16.swizzle(v128.load(from, 16), order);
    from += 32;
    v128.store(to + i, low64(a, b));
    v128.store(to + count + i, high64(a, b));
  }
}

function split4(from: usize, to: usize, count: usize, whole: usize): void {
  const end = to + whole;
  const to1 = count;
  const to2 = count << 1;
  const to3 = count + to2;
  while (to < end) {
    const a = byPlane4(v128.load(from));
    const b = byPlane4(v128.load(from, 16));
    const c = byPlane4(v128.load(from, 32));
    const d = byPlane4(v128.load(from, 48));
    from += 64;
    const ab01 = low32(a, b);
    const ab23 = high32(a, b);
    const cd01 = low32(c, d);
    const cd23 = high32(c, d);
    v128.store(to, low64(ab01, cd01));
    v128.store(to + to1, high64(ab01, cd01));
    v128.store(to + to2, low64(ab23, cd23));
    v128.store(to + to3, high64(ab23, cd23));
    to += 16;
  }
}

function split8(from: usize, to: usize, count: usize, whole: usize): void {
  const order = i8x16(0, 8, 1, 9, 2, 10, 3, 11, 4, 12, 5, 13, 6, 14, 7, 15);
  const end = to + whole;
  while (to < end) {
    const a = i8x16.swizzle(v128.load(from), order);
    const b = i8x16.swizzle(v128.load(from, 16), order);
    const c = i8x16.swizzle(v128.load(from, 32), order);
    const d = i8x16.swizzle(v128.load(from, 48), order);
    const e = i8x16.swizzle(v128.load(from, 64), order);
    const f = i8x16.swizzle(v128.load(from, 80), order);
    const g = i8x16.swizzle(v128.load(from, 96), order);
    const h = i8x16.swizzle(v128.load(from, 112), order);
    from += 128;
    const abLow = low16(a, b);
    const abHigh = high16(a, b);
    const cdLow = low16(c, d);
    const cdHigh = high16(c, d);
    const efLow = low16(e, f);
    const efHigh = high16(e, f);
    const ghLow = low16(g, h);
    const ghHigh = high16(g, h);
    storePair(to, count, low32(abLow, cdLow), low32(efLow, ghLow));
    storePair(to + 2 * count, count, high32(abLow, cdLow), high32(efLow, ghLow));
    storePair(to + 4 * count, count, low32(abHigh, cdHigh), low32(efHigh, ghHigh));
    storePair(to + 6 * count, count, high32(abHigh, cdHigh), high32(efHigh, ghHigh));
    to += 16;
  }
}

function storePair(to: usize, count: usize, a: v128, b: v128): void {
  v128.store(to, low64(a, b));
  v128.store(to + count, high64(a, b));
}

/** Joins planes of `count` bytes, as many as a number has bytes (2, 4 or 8); where each begins stands in words at `places`. */
export function join(places: usize, to: usize, count: usize, width: usize): void {
  const whole = count & ~15;
  if (width == 2) join2(placeOf(places, 0), placeOf(places, 1), to, whole);
  else if (width == 4) join4(places, to, whole);
  else join8(places, to, whole);
  for (let i = whole; i < count; i++) {
    for (let plane: usize = 0; plane < width; plane++)
      store<u8>(to + i * width + plane, load<u8>(placeOf(places, plane) + i));
  }
}

function placeOf(places: usize, plane: usize): usize {
  return load<u32>(places + (plane << 2));
}

function join2(p0: usize, p1: usize, to: usize, whole: usize): void {
  for (let i: usize = 0; i < whole; i += 16) {
    const a = v128.load(p0 + i);
    const b = v128.load(p1 + i);
    v128.store(to + 2 * i, low8(a, b));
    v128.store(to + 2 * i, high8(a, b), 16);
  }
}

function join4(places: usize, to: usize, whole: usize): void {
  const p0 = placeOf(places, 0);
  const p1 = placeOf(places, 1);
  const p2 = placeOf(places, 2);
  const p3 = placeOf(places, 3);
  for (let i: usize = 0; i < whole; i += 16) {
    const a = v128.load(p0 + i);
    const b = v128.load(p1 + i);
    const c = v128.load(p2 + i);
    const d = v128.load(p3 + i);
    const abLow = low8(a, b);
    const abHigh = high8(a, b);
    const cdLow = low8(c, d);
    const cdHigh = high8(c, d);
    const at = to + 4 * i;
    v128.store(at, low16(abLow, cdLow));
    v128.store(at, high16(abLow, cdLow), 16);
    v128.store(at, low16(abHigh, cdHigh), 32);
    v128.store(at, high16(abHigh, cdHigh), 48);
  }
}

function join8(places: usize, to: usize, whole: usize): void {
  const p0 = placeOf(places, 0);
  const p1 = placeOf(places, 1);
  const p2 = placeOf(places, 2);
  const p3 = placeOf(places, 3);
  const p4 = placeOf(places, 4);
  const p5 = placeOf(places, 5);
  const p6 = placeOf(places, 6);
  const p7 = placeOf(places, 7);
  for (let i: usize = 0; i < whole; i += 16) {
    const a = v128.load(p0 + i);
    const b = v128.load(p1 + i);
    const c = v128.load(p2 + i);
    const d = v128.load(p3 + i);
    const e = v128.load(p4 + i);
    const f = v128.load(p5 + i);
    const g = v128.load(p6 + i);
    const h = v128.load(p7 + i);
    const at = to + 8 * i;
    joinHalf(at, low8(a, b), low8(c, d), low8(e, f), low8(g, h));
    joinHalf(at + 64, high8(a, b), high8(c, d), high8(e, f), high8(g, h));
  }
}

function joinHalf(at: usize, ab: v128, cd: v128, ef: v128, gh: v128): void {
  const abcdLow = low16(ab, cd);
  const abcdHigh = high16(ab, cd);
  const efghLow = low16(ef, gh);
  const efghHigh = high16(ef, gh);
  v128.store(at, low32(abcdLow, efghLow));
  v128.store(at, high32(abcdLow, efghLow), 16);
  v128.store(at, low32(abcdHigh, efghHigh), 32);
  v128.store(at, high32(abcdHigh, efghHigh), 48);
}
