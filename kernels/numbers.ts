/** Unsigned numbers in as few bytes as they take, as src/core/varint.ts reads them, but none that is longer than any chunk. */

const MOST_BYTES: u32 = 4;

/** The place behind the number that was read last; 0 when it was not as it is written. */
export let behindNumber: usize = 0;

/** The number at a place before `end`. */
export function readNumber(at: usize, end: usize): u32 {
  let value: u32 = 0;
  behindNumber = 0;
  for (let i: u32 = 0; i < MOST_BYTES && at < end; i++) {
    const byte = <u32>load<u8>(at++);
    value |= (byte & 127) << (7 * i);
    if (byte >= 128) continue;
    if (byte > 0 || i == 0) behindNumber = at;
    return value;
  }
  return 0;
}
