/** Several byte strings as one input: each after its length, u16 little-endian. */

/** @see splitParts */
export function joinParts(parts: readonly Uint8Array[]): Uint8Array {
  return Uint8Array.from(parts.flatMap((part) => [part.length & 255, part.length >> 8, ...part]));
}

/** The parts of an input, whatever it is: a length that says too much takes what there is. */
export function splitParts(input: Uint8Array): Uint8Array[] {
  const parts: Uint8Array[] = [];
  for (let at = 0; at + 2 <= input.length;) {
    const length = (input[at] as number) | ((input[at + 1] as number) << 8);
    parts.push(input.slice(at + 2, at + 2 + length));
    at += 2 + length;
  }
  return parts;
}

/** Bytes that are the same for the same seed and look random. */
export function bytesOfLength(length: number, seed: number): Uint8Array {
  return Uint8Array.from({ length }, (_, i) => Math.imul(i + 1 + seed * 131, 0x9e3779b1) >>> 24);
}
