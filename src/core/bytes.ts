/** Small operations on bytes that several folders share. */

const HEX = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, '0'));

/** Lower-case hexadecimal of `bytes`. */
export function toHex(bytes: Uint8Array): string {
  let text = '';
  for (const byte of bytes) text += HEX[byte];
  return text;
}

/** Whether two byte strings are equal. */
export function equalBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && compareBytes(a, b) === 0;
}

/** Lexicographic order of two byte strings: negative, zero or positive. */
export function compareBytes(a: Uint8Array, b: Uint8Array): number {
  const shared = Math.min(a.length, b.length);
  for (let i = 0; i < shared; i++) {
    const difference = (a[i] as number) - (b[i] as number);
    if (difference !== 0) return difference;
  }
  return a.length - b.length;
}

/** The byte strings one after the other, copied. */
export function concatBytes(parts: readonly Uint8Array[]): Uint8Array {
  return copyParts(parts, new Uint8Array(totalLength(parts)));
}

/** Copies byte strings to `out`, one after the other, and gives it back. */
export function copyParts<T extends Uint8Array>(parts: readonly Uint8Array[], out: T): T {
  let offset = 0;
  for (const part of parts) {
    out.set(part, offset);
    offset += part.length;
  }
  return out;
}

/** A copy of the bytes in memory of its own. (The `slice` of a Node.js Buffer is a view and no copy.) */
export function copyBytes(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  return new Uint8Array(bytes);
}

/** The sum of the lengths of `parts`. */
export function totalLength(parts: readonly Uint8Array[]): number {
  return parts.reduce((sum, part) => sum + part.length, 0);
}

const utf8Encoder = new TextEncoder();
const utf8Decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** The UTF-8 bytes of `text`. */
export function utf8(text: string): Uint8Array {
  return utf8Encoder.encode(text);
}

/** Texts of more units than this are encoded one by one: there is a limit to the length of a text. */
const MOST_JOINED = 1 << 24;

/**
 * The UTF-8 bytes of texts, one after the other, and where each ends. A call of the encoder takes as long for a few characters as for
 * hundreds, so all are encoded at once where they are ASCII, of which each character is a byte.
 */
export function joinUtf8(texts: readonly string[]): {
  readonly bytes: Uint8Array;
  readonly ends: Uint32Array;
} {
  const ends = new Uint32Array(texts.length);
  let units = 0;
  for (let i = 0; i < ends.length; i++) ends[i] = units += (texts[i] as string).length;
  if (units <= MOST_JOINED) {
    const bytes = utf8(texts.join(''));
    if (bytes.length === units) return { bytes, ends };
  }
  const parts = texts.map(utf8);
  let end = 0;
  for (const [i, { length }] of parts.entries()) ends[i] = end += length;
  return { bytes: concatBytes(parts), ends };
}

/**
 * The texts of which each ends at one of these places of UTF-8 bytes: the opposite of {@link joinUtf8}. For as long as one of them is
 * kept, all may stay in memory.
 * @throws TypeError when one is not UTF-8.
 */
export function splitUtf8(bytes: Uint8Array, ends: ArrayLike<number>): string[] {
  const all = bytes.length <= MOST_JOINED ? asciiIn(bytes) : undefined;
  const texts: string[] = [];
  for (let i = 0, start = 0; i < ends.length; i++) {
    const end = ends[i] as number;
    texts.push(all === undefined ? fromUtf8(bytes.subarray(start, end)) : all.slice(start, end));
    start = end;
  }
  return texts;
}

/** All of the bytes as a text, if each is a character. */
function asciiIn(bytes: Uint8Array): string | undefined {
  try {
    const text = fromUtf8(bytes);
    return text.length === bytes.length ? text : undefined;
  } catch {
    return undefined; // Then it is looked for where.
  }
}

/**
 * The text that `bytes` hold as UTF-8.
 * @throws TypeError when the bytes are not UTF-8.
 */
export function fromUtf8(bytes: Uint8Array): string {
  return utf8Decoder.decode(bytes);
}

/** A little-endian view of `bytes`. */
export function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
