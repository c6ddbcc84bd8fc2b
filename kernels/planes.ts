/**
 * Chunks in the codec `planes`, as src/cas/planes.ts writes them, where the layout is described. What is not written that way gives 0, and so
 * does a chunk with a deflated plane: it is decoded over there, which also finds the reason.
 */
import { decode } from './huffman';
import { behindNumber, readNumber } from './numbers';
import { join } from './split';

const RAW: u32 = 0;
const CONSTANT: u32 = 2;
const HUFFMAN: u32 = 3;
/** Loops may read up to this many bytes after the end of a plane. */
const SPARE_BYTES: usize = 16;

/** For each plane its method, then its encoded length or its byte, and where it begins. */
const methods: usize = memory.data(8 * 4, 16);
const lengths: usize = memory.data(8 * 4, 16);
const places: usize = memory.data(8 * 4, 16);

/** Where the head of the chunk that is decoded is read next. */
let next: usize = 0;

/**
 * Decodes `size` bytes at `from` into `length` bytes at `to`.
 * @param work is room for planes: `length` bytes, and for each plane as many more as may be read after its end.
 * @returns whether it did.
 */
export function unpack(from: usize, size: usize, work: usize, to: usize, length: usize): bool {
  const end = from + size;
  if (size == 0) return false;
  const width = <u32>load<u8>(from);
  if ((width != 1 && width != 2 && width != 4 && width != 8) || length & (width - 1)) return false;
  next = from + 1;
  for (let plane: u32 = 0; plane < width; plane++) if (!readMethod(plane, end)) return false;
  const count = length / width;
  for (let plane: u32 = 0; plane < width; plane++) {
    if (!unpackPlane(plane, end, work, count)) return false;
    work += count + SPARE_BYTES;
  }
  if (next != end) return false;
  if (width == 1) memory.copy(to, load<u32>(places), length);
  else join(places, to, count, width);
  return true;
}

function readMethod(plane: u32, end: usize): bool {
  if (next >= end) return false;
  const method = <u32>load<u8>(next++);
  store<u32>(methods + (plane << 2), method);
  if (method == RAW) return true;
  if (method == HUFFMAN) return readLength(plane, end);
  if (method != CONSTANT || next >= end) return false;
  store<u32>(lengths + (plane << 2), load<u8>(next++));
  return true;
}

function readLength(plane: u32, end: usize): bool {
  store<u32>(lengths + (plane << 2), readNumber(next, end));
  if (behindNumber == 0) return false;
  next = behindNumber;
  return true;
}

function unpackPlane(plane: u32, end: usize, work: usize, count: usize): bool {
  const method = load<u32>(methods + (plane << 2));
  const length = <usize>load<u32>(lengths + (plane << 2));
  store<u32>(places + (plane << 2), method == RAW ? next : work);
  if (method == CONSTANT) {
    memory.fill(work, <u8>length, count);
    return true;
  }
  const size = method == RAW ? count : length;
  if (size > end - next) return false;
  const from = next;
  next += size;
  return method == RAW || decode(from, size, work, count);
}
