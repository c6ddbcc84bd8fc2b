/**
 * Chunks that are told by others (the codec `delta`), put together from the bytes that are stored. src/cas/delta.ts describes the layout and does the same
 * for a machine without kernels, in src/cas/pieces.ts. What is not as it is written stays unresolved, and so does what would be more than a few
 * thousand pieces: over there it is put together in another way, or found what is wrong with it.
 *
 * A chunk is resolved to pieces of sources, before anything is decoded. A source is the plaintext of a chunk that stands alone, or the literals of a
 * delta; it has the number of that chunk.
 */
import { behindNumber, readNumber } from './numbers';
import { unpack } from './planes';

const RAW: u32 = 0;
const PLANES: u32 = 2;
const DELTA: u32 = 3;
const PLANES_AND_REST: u32 = 4;
/** The form of literals: raw, deflated, planes. */
const RAW_LITERALS: u32 = 0;
const PLANE_LITERALS: u32 = 2;

/** More pieces than this are not worth keeping apart. */
const MOST_PIECES: u32 = 4096;
/** What `unpack` needs beside the length of what it decodes, and what loops may write after the end. */
const UNPACK_BYTES: usize = 256;

/** A row of the table: what is known of a chunk from where it is stored. */
@unmanaged
class Row {
  codec: u32;
  /** Bytes of the plaintext. */
  length: u32;
  /** Where its stored bytes are, and how many. */
  from: usize;
  size: u32;
  /** Where the numbers of what it copies from stand, and how many they are. */
  bases: usize;
  baseCount: u32;
  /** What follows is filled in here: whether it was resolved to pieces, where those are, and how many. */
  isResolved: u32;
  pieces: usize;
  pieceCount: u32;
  /** Of a source, in which form it is stored, where, and its length when it is decoded; and where it is decoded, or 0. */
  form: u32;
  packed: usize;
  packedSize: u32;
  plainLength: u32;
  plain: usize;
}

/** Bytes of a source, up to `end` in the chunk. */
@unmanaged
class Piece {
  source: u32;
  start: u32;
  end: u32;
}

const ROW_BYTES: usize = offsetof<Row>();
const PIECE_BYTES: usize = offsetof<Piece>();

let rows: usize = 0;
/** Where the next piece is put, and the end of the memory for pieces. */
let free: usize = 0;
let freeEnd: usize = 0;
/** What is read of a delta. */
let next: usize = 0;
let isSound: bool = true;

function rowOf(number: u32): Row {
  return changetype<Row>(rows + number * ROW_BYTES);
}

/**
 * Resolves the chunks of a table, of which each stands behind all that it copies from.
 * @param pieces is memory for pieces, up to `piecesEnd`.
 */
export function resolve(table: usize, count: u32, pieces: usize, piecesEnd: usize): void {
  rows = table;
  free = pieces;
  freeEnd = piecesEnd;
  for (let number: u32 = 0; number < count; number++) {
    const row = rowOf(number);
    row.pieces = free;
    row.pieceCount = 0;
    row.plain = 0;
    const isResolved = row.codec == DELTA ? resolveDelta(row, number) : resolveAlone(row, number);
    row.isResolved = u32(isResolved);
    if (!isResolved) free = row.pieces;
  }
}

function resolveAlone(row: Row, number: u32): bool {
  row.form = row.codec;
  row.packed = row.from;
  row.packedSize = row.size;
  row.plainLength = row.length;
  if (row.codec == RAW) {
    if (row.size != row.length) return false;
    row.plain = row.from;
  }
  return addPiece(row, number, 0, row.length);
}

function resolveDelta(row: Row, number: u32): bool {
  const end = row.from + row.size;
  next = row.from;
  isSound = true;
  const unit = nextNumber(end);
  const width = nextNumber(end);
  const steps = nextNumber(end);
  if (!isSound || unit == 0 || width > 8 || (width & (width - 1)) != 0) return false;
  const units = row.length / unit;
  if (units * unit != row.length || steps > end - next) return false;
  let at: u32 = 0;
  let expected: u32 = 0;
  let literal: u32 = 0;
  for (let step: u32 = 0; step < steps; step++) {
    const literals = nextNumber(end);
    const copied = nextNumber(end);
    const shift = nextNumber(end);
    const distance = shift & 1 ? -(<i32>(shift >>> 1)) - 1 : <i32>(shift >>> 1);
    const from = <i32>(expected + literals) + distance;
    if (!isSound || copied == 0 || from < 0 || literals > units - at || copied > units - at - literals)
      return false;
    if (literals > 0 && !addPiece(row, number, literal, literals * unit)) return false;
    literal += literals * unit;
    if (!addCopy(row, <u64>from * unit, <u64>copied * unit)) return false;
    at += literals + copied;
    expected = <u32>from + copied;
  }
  const rest = row.length - at * unit;
  if (rest > 0 && !addPiece(row, number, literal, rest)) return false;
  if (next >= end) return false;
  row.form = load<u8>(next);
  row.packed = next + 1;
  row.packedSize = <u32>(end - next - 1);
  row.plainLength = literal + rest;
  if (row.form == RAW_LITERALS) row.plain = row.packed;
  else if (row.plainLength == 0) return false;
  return row.form != RAW_LITERALS || row.packedSize == row.plainLength;
}

/** The next number of a delta. */
function nextNumber(end: usize): u32 {
  const number = readNumber(next, end);
  if (behindNumber == 0) isSound = false;
  else next = behindNumber;
  return number;
}

/** Adds the pieces of `length` bytes from `start` on of what a delta copies from, one after the other. */
function addCopy(row: Row, start: u64, length: u64): bool {
  for (let i: u32 = 0; i < row.baseCount; i++) {
    const base = rowOf(load<u32>(row.bases + (i << 2)));
    if (start >= base.length) {
      start -= base.length;
      continue;
    }
    const here = min(length, base.length - start);
    if (!base.isResolved || !addPiecesOf(row, base, <u32>start, <u32>here)) return false;
    length -= here;
    if (length == 0) return true;
    start = 0;
  }
  return false;
}

function addPiecesOf(row: Row, base: Row, start: u32, length: u32): bool {
  const end = start + length;
  let low: u32 = 0;
  let high = base.pieceCount - 1;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (pieceOf(base, middle).end <= start) low = middle + 1;
    else high = middle;
  }
  let begin: u32 = low > 0 ? pieceOf(base, low - 1).end : 0;
  for (; start < end; low++) {
    const piece = pieceOf(base, low);
    const until = min(piece.end, end);
    if (!addPiece(row, piece.source, piece.start + start - begin, until - start)) return false;
    begin = piece.end;
    start = until;
  }
  return true;
}

function pieceOf(row: Row, i: u32): Piece {
  return changetype<Piece>(row.pieces + i * PIECE_BYTES);
}

function addPiece(row: Row, source: u32, start: u32, length: u32): bool {
  const count = row.pieceCount;
  if (count == MOST_PIECES || free + PIECE_BYTES > freeEnd) return false;
  const before: u32 = count > 0 ? pieceOf(row, count - 1).end : 0;
  const piece = changetype<Piece>(free);
  piece.source = source;
  piece.start = start;
  piece.end = before + length;
  free += PIECE_BYTES;
  row.pieceCount = count + 1;
  return true;
}

/** What `build` gives in place of a place: that it needs more memory, or the number of a source less than the next. */
const MORE_MEMORY: i32 = -1;
const FIRST_SOURCE: i32 = -2;

/**
 * Puts a chunk that was resolved together, at `to` or where it happens to be.
 * @param work is memory up to `workEnd`, where sources are decoded; it may be used for something else afterwards.
 * @returns where it is; or -1 when `work` is too small; or -2 less the number of a source that has to be decoded elsewhere. Then it is tried
 * again.
 */
export function build(number: u32, to: usize, work: usize, workEnd: usize): i32 {
  const row = rowOf(number);
  const failure = decodeSources(row, work, workEnd);
  const place = failure != 0 ? failure : <i32>placePieces(row, to);
  for (let i: u32 = 0; i < row.pieceCount; i++) {
    const source = rowOf(pieceOf(row, i).source);
    if (source.plain >= work) source.plain = 0;
  }
  return place;
}

/** Gives 0, or why it could not. */
function decodeSources(row: Row, work: usize, workEnd: usize): i32 {
  // First what cannot be decoded here, so that little is decoded in vain.
  for (let i: u32 = 0; i < row.pieceCount; i++) {
    const number = pieceOf(row, i).source;
    const source = rowOf(number);
    if (source.plain == 0 && !isInPlanes(source)) return FIRST_SOURCE - <i32>number;
  }
  for (let i: u32 = 0; i < row.pieceCount; i++) {
    const number = pieceOf(row, i).source;
    const source = rowOf(number);
    if (source.plain != 0) continue;
    const length = <usize>source.plainLength;
    const rest = (work + length + 31) & ~15;
    if (rest + length + UNPACK_BYTES > workEnd) return MORE_MEMORY;
    if (!decodeSource(source, rest, work)) return FIRST_SOURCE - <i32>number;
    source.plain = work;
    work = rest;
  }
  return 0;
}

/** Decodes to `to`, where numbers come first and what is no whole number behind them. @param work is room for planes. */
function decodeSource(source: Row, work: usize, to: usize): bool {
  const length = <usize>source.plainLength;
  const packed = source.packed;
  const size = <usize>source.packedSize;
  if (source.codec != PLANES_AND_REST) return unpack(packed, size, work, to, length);
  const width = size > 0 ? <usize>load<u8>(packed) : 0;
  if (width == 0) return false;
  const rest = length % width;
  if (rest == 0 || rest >= size) return false;
  if (!unpack(packed, size - rest, work, to, length - rest)) return false;
  memory.copy(to + length - rest, packed + size - rest, rest);
  return true;
}

function isInPlanes(source: Row): bool {
  if (source.codec == DELTA) return source.form == PLANE_LITERALS;
  return source.form == PLANES || source.form == PLANES_AND_REST;
}

function placePieces(row: Row, to: usize): usize {
  if (row.pieceCount == 1) {
    const piece = pieceOf(row, 0);
    return rowOf(piece.source).plain + piece.start;
  }
  let start: u32 = 0;
  for (let i: u32 = 0; i < row.pieceCount; i++) {
    const piece = pieceOf(row, i);
    memory.copy(to + start, rowOf(piece.source).plain + piece.start, piece.end - start);
    start = piece.end;
  }
  return to;
}
