/** Cuts a byte stream that comes in pieces of any size. */
import { concatBytes } from '../core/bytes.js';
import { fixedEnds } from './fixed.js';
import { gearEnds } from './gear.js';
import type { FixedOptions, GearOptions } from './parameters.js';

/** Finds where the chunks of one stream end. */
export interface EndFinder {
  /**
   * Ends within the next bytes of the stream: the places behind the last bytes of chunks, ascending, counted from where these bytes begin.
   * The last chunk of a stream ends with it, and that is not told.
   */
  push(bytes: Uint8Array): readonly number[];
}

/** Cuts streams. */
export interface StreamCutter {
  /** Begins a stream. */
  begin(): EndFinder;
}

/** Cuts where the content says; see gear.ts. @param kernels whether WebAssembly is used where the machine has it. */
export function gearCutter(options: GearOptions, kernels = true): StreamCutter {
  return { begin: () => gearEnds(options, kernels) };
}

/** Cuts at fixed distances; see fixed.ts. */
export function fixedCutter(options: FixedOptions): StreamCutter {
  return { begin: () => fixedEnds(options) };
}

/** The chunks of a stream, one after the other: the same whatever the pieces. A chunk that lies in one piece is a view of it. */
export async function* cutStream(
  pieces: AsyncIterable<Uint8Array>,
  cutter: StreamCutter,
): AsyncGenerator<Uint8Array> {
  const finder = cutter.begin();
  let held: Uint8Array[] = [];
  for await (const piece of pieces) {
    let start = 0;
    for (const end of finder.push(piece)) {
      yield join([...held, piece.subarray(start, end)]);
      held = [];
      start = end;
    }
    if (start < piece.length) held.push(piece.subarray(start));
  }
  if (held.length > 0) yield join(held);
}

/** The chunks of bytes that are all there, as views. */
export function* cutBytes(bytes: Uint8Array, cutter: StreamCutter): Generator<Uint8Array> {
  let start = 0;
  for (const end of cutter.begin().push(bytes)) {
    yield bytes.subarray(start, end);
    start = end;
  }
  if (start < bytes.length) yield bytes.subarray(start);
}

function join(parts: readonly Uint8Array[]): Uint8Array {
  return parts.length === 1 ? (parts[0] as Uint8Array) : concatBytes(parts);
}
