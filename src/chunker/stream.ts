/** Cuts a byte stream that comes in pieces of any size. */
import { concatBytes } from '../core/index.js';
import { type FixedOptions, fixedCut } from './fixed.js';
import { type GearOptions, gearCut } from './gear.js';

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

/** The chunks of a stream, one after the other. Chunks may be views into the pieces. */
export async function* cutStream(
  pieces: AsyncIterable<Uint8Array>,
  cutter: StreamCutter,
): AsyncGenerator<Uint8Array> {
  let rest: Uint8Array = new Uint8Array(0);
  for await (const piece of pieces) {
    const bytes = rest.length === 0 ? piece : concatBytes([rest, piece]);
    let start = 0;
    while (bytes.length - start >= cutter.lookahead) {
      const length = cutter.cut(bytes, start);
      yield bytes.subarray(start, start + length);
      start += length;
    }
    rest = bytes.subarray(start);
  }
  yield* cutBytes(rest, cutter);
}

/** The chunks of bytes that are all there, as views. */
export function* cutBytes(bytes: Uint8Array, cutter: StreamCutter): Generator<Uint8Array> {
  for (let start = 0; start < bytes.length;) {
    const length = cutter.cut(bytes, start);
    yield bytes.subarray(start, start + length);
    start += length;
  }
}
