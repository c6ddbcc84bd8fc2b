/** Cuts a byte stream that comes in pieces of any size. */
import { concatBytes } from '../core/index.js';
import { fixedCut } from './fixed.js';
import { gearCut } from './gear.js';
import type { FixedOptions, GearOptions } from './parameters.js';

/** Finds the length of the chunk that begins at `start`, given `lookahead` bytes or all that remain. */
export interface StreamCutter {
  readonly lookahead: number;
  cut(bytes: Uint8Array, start: number): number;
}

/** Cuts where the content says; see gear.ts. */
export function gearCutter(options: GearOptions): StreamCutter {
  return { lookahead: options.max, cut: (bytes, start) => gearCut(bytes, start, options) };
}

/** Cuts at fixed distances; see fixed.ts. */
export function fixedCutter(options: FixedOptions): StreamCutter {
  return { lookahead: options.size, cut: (bytes, start) => fixedCut(bytes, start, options) };
}

/** The chunks of a stream, one after the other: the same whatever the pieces. Chunks may be views into the pieces. */
export async function* cutStream(
  pieces: AsyncIterable<Uint8Array>,
  cutter: StreamCutter,
): AsyncGenerator<Uint8Array> {
  let held: Uint8Array[] = [];
  let length = 0;
  for await (const piece of pieces) {
    held.push(piece);
    length += piece.length;
    // With twice the lookahead, at least half of what is joined is cut, so that no byte is copied again and again.
    if (length < 2 * cutter.lookahead) continue;
    const rest = yield* cutWhile(join(held), cutter, cutter.lookahead);
    held = [rest];
    length = rest.length;
  }
  yield* cutBytes(join(held), cutter);
}

/** The chunks of bytes that are all there, as views. */
export function* cutBytes(bytes: Uint8Array, cutter: StreamCutter): Generator<Uint8Array> {
  yield* cutWhile(bytes, cutter, 1);
}

/** Cuts chunks as long as `least` bytes remain, and gives back the rest. */
function* cutWhile(
  bytes: Uint8Array,
  cutter: StreamCutter,
  least: number,
): Generator<Uint8Array, Uint8Array> {
  let start = 0;
  while (bytes.length - start >= least) {
    const length = cutter.cut(bytes, start);
    yield bytes.subarray(start, start + length);
    start += length;
  }
  return bytes.subarray(start);
}

function join(parts: readonly Uint8Array[]): Uint8Array {
  return parts.length === 1 ? (parts[0] as Uint8Array) : concatBytes(parts);
}
