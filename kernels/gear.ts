/** Where gear chunks end, as src/chunker/gear.ts finds it in TypeScript. */

/** Bytes that the hash is of. */
const WINDOW: u32 = 32;
/** A number for each byte, which src/chunker/gear.ts writes here. */
const table: usize = memory.data(256 * 4, 16);

/** What is known of the chunk that has not ended, after a call of `scan`: its bytes so far, and the hash of the last of them. */
let openLength: u32 = 0;
let openHash: u32 = 0;

export function tableAt(): usize {
  return table;
}

/** Where memory is free, to its end. */
export function heapStart(): usize {
  return __heap_base;
}

export function lengthOfOpen(): u32 {
  return openLength;
}

export function hashOfOpen(): u32 {
  return openHash;
}

/**
 * Finds ends of chunks in `count` bytes at `from`, and writes them to `to` as words, counted from `from`.
 * @param length bytes of a chunk that has begun before, and `hash` the hash of the last of them.
 * @param strict the bits that are zero at an end before `avg` bytes, and `loose` after them.
 * @returns how many ends there are.
 */
export function scan(
  from: usize,
  count: u32,
  to: usize,
  length: u32,
  hash: u32,
  min: u32,
  avg: u32,
  max: u32,
  strict: u32,
  loose: u32,
): u32 {
  const first = to;
  const end = from + count;
  let at = from;
  while (at < end) {
    if (length < min - WINDOW) {
      const stop = stopAt(at, end, min - WINDOW - length);
      length += <u32>(stop - at);
      at = stop;
    }
    if (length < min) {
      const stop = stopAt(at, end, min - length);
      length += <u32>(stop - at);
      while (at < stop) hash = roll(hash, at++);
    }
    let isEnd = false;
    while (at < end && !isEnd && length < max) {
      const isEarly = length < avg;
      const mask = isEarly ? strict : loose;
      const start = at;
      const stop = stopAt(at, end, (isEarly ? avg : max) - length);
      while (at < stop && !isEnd) {
        hash = roll(hash, at++);
        isEnd = (hash & mask) == 0;
      }
      length += <u32>(at - start);
    }
    if (isEnd || length == max) {
      store<u32>(to, <u32>(at - from));
      to += 4;
      length = 0;
      hash = 0;
    }
  }
  openLength = length;
  openHash = hash;
  return <u32>((to - first) >>> 2);
}

function stopAt(at: usize, end: usize, most: u32): usize {
  return most < <u32>(end - at) ? at + most : end;
}

function roll(hash: u32, at: usize): u32 {
  return (hash << 1) + load<u32>(table + ((<usize>load<u8>(at)) << 2));
}
