/** Fixed pages, for byte streams whose format itself has pages: databases write whole pages in place. */
import { equalBytes, utf8 } from '../core/index.js';
import type { FixedOptions } from './parameters.js';
import type { EndFinder } from './stream.js';

/** The first bytes of formats that write whole pages in place: redb, SQLite. */
const PAGED_FORMATS = [
  Uint8Array.of(0x72, 0x65, 0x64, 0x62, 0x1a, 0x0a, 0xa9, 0x0d, 0x0a),
  utf8('SQLite format 3\0'),
];

/** How many bytes of the start of a stream {@link isPaged} has to see, unless the stream is shorter. */
export const PAGED_START_BYTES = Math.max(...PAGED_FORMATS.map(({ length }) => length));

/** Whether a stream that begins like this is better cut in pages than where its content says. */
export function isPaged(start: Uint8Array): boolean {
  return PAGED_FORMATS.some((magic) => equalBytes(magic, start.subarray(0, magic.length)));
}

/** Finds the ends of the pages of one stream. */
export function fixedEnds({ size }: FixedOptions): EndFinder {
  let open = 0;
  return {
    push({ length }) {
      const ends: number[] = [];
      for (let end = size - open; end <= length; end += size) ends.push(end);
      open = (open + length) % size;
      return ends;
    },
  };
}
