/**
 * How inputs for decoders are made: valid encodings that are changed here and there, and bytes of chance.
 *
 * A change is a value, so that fast-check can make and shrink it and the campaign can leave out those that a finding does not need.
 */

/** One change of some bytes. `at` is a place as a fraction of the length, in 65,536ths; what `value` means depends on the kind. */
export interface Edit {
  readonly kind: (typeof EDITS)[number];
  readonly at: number;
  readonly value: number;
}

/**
 * A bit is flipped; a byte is put in the place of another; an interesting number is written, little- or big-endian or as a varint; the
 * end is cut off; some bytes are left out, repeated, or overwritten by others of the same input; bytes of another input follow.
 */
export const EDITS = [
  'flip',
  'byte',
  'number',
  'bigNumber',
  'varint',
  'cut',
  'remove',
  'repeat',
  'copy',
  'splice',
] as const;

/** Numbers that decoders tend to stumble over. */
const INTERESTING: readonly number[] = [
  0,
  1,
  2,
  3,
  7,
  8,
  15,
  16,
  31,
  32,
  40,
  41,
  48,
  63,
  64,
  65,
  127,
  128,
  255,
  256,
  1024,
  4096,
  65535,
  65536,
  2 ** 20,
  2 ** 24,
  2 ** 26,
  2 ** 30,
  2 ** 31 - 1,
  2 ** 31,
  2 ** 32 - 1,
  2 ** 32,
  2 ** 40,
  2 ** 53 - 1,
];

/** Longer inputs are not made. */
const MOST_BYTES = 1 << 16;

/** A copy of `base` with the edits made one after the other. @param other what a splice takes from. */
export function applyEdits(base: Uint8Array, edits: readonly Edit[], other: Uint8Array): Uint8Array {
  let bytes: Uint8Array = base.slice();
  for (const edit of edits) bytes = applyEdit(bytes, edit, other);
  return bytes.length > MOST_BYTES ? bytes.slice(0, MOST_BYTES) : bytes;
}

function applyEdit(bytes: Uint8Array, { kind, at, value }: Edit, other: Uint8Array): Uint8Array {
  const place = Math.floor((at / 65536) * bytes.length);
  const length = 1 + (value % 64);
  const number = INTERESTING[value % INTERESTING.length] as number;
  if (kind === 'flip') return overwritten(bytes, place, [(bytes[place] ?? 0) ^ (1 << (value & 7))]);
  if (kind === 'byte') return overwritten(bytes, place, [value & 0xff]);
  if (kind === 'number') return overwritten(bytes, place, littleEndian(number, 1 << (value % 4)));
  if (kind === 'bigNumber')
    return overwritten(bytes, place, littleEndian(number, 1 << (value % 4)).toReversed());
  if (kind === 'varint') return spliced(bytes, place, place + 1 + (value % 3), varint(number));
  if (kind === 'cut') return bytes.slice(0, place);
  if (kind === 'remove') return spliced(bytes, place, place + length, []);
  if (kind === 'repeat') return repeated(bytes, place, length, 1 + (value % 16));
  if (kind === 'copy')
    return overwritten(bytes, place, bytes.subarray(value % (bytes.length + 1)).subarray(0, length));
  return spliced(bytes, place, bytes.length, other.subarray(value % (other.length + 1)));
}

function overwritten(bytes: Uint8Array, place: number, by: ArrayLike<number>): Uint8Array {
  for (let i = 0; i < by.length && place + i < bytes.length; i++) bytes[place + i] = by[i] as number;
  return bytes;
}

function spliced(bytes: Uint8Array, from: number, to: number, by: ArrayLike<number>): Uint8Array {
  const tail = bytes.subarray(Math.min(to, bytes.length));
  const out = new Uint8Array(from + by.length + tail.length);
  out.set(bytes.subarray(0, from));
  out.set(by, from);
  out.set(tail, from + by.length);
  return out;
}

function repeated(bytes: Uint8Array, place: number, length: number, times: number): Uint8Array {
  const part = bytes.slice(place, place + length);
  const copies = new Uint8Array(part.length * times);
  for (let i = 0; i < times; i++) copies.set(part, i * part.length);
  return spliced(bytes, place, place, copies);
}

function littleEndian(number: number, width: number): number[] {
  let rest = number;
  return Array.from({ length: width }, () => {
    const byte = rest % 256;
    rest = Math.floor(rest / 256);
    return byte;
  });
}

function varint(number: number): number[] {
  const out: number[] = [];
  let rest = number;
  for (; rest >= 0x80; rest = Math.floor(rest / 0x80)) out.push((rest % 0x80) + 0x80);
  return [...out, rest];
}

/** Numbers from 0 up to 2^32, the same for the same seed (xorshift32). */
export function seededNumbers(seed: number): () => number {
  let state = Math.imul(seed, 0x9e3779b1) ^ 0x85ebca6b || 1;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return state >>> 0;
  };
}

/** Bytes of chance: of all values, or of few. */
export function randomBytes(random: () => number, most: number): Uint8Array {
  const bytes = new Uint8Array(random() % (most + 1));
  const mask = random() % 3 === 0 ? 0x87 : 0xff;
  for (let i = 0; i < bytes.length; i++) bytes[i] = random() & mask;
  return bytes;
}

/** An edit of chance. */
export function randomEdit(random: () => number): Edit {
  return {
    kind: EDITS[random() % EDITS.length] as Edit['kind'],
    at: random() & 0xffff,
    value: random() & 0xffff,
  };
}
