/**
 * Finds, while a stream is cut, what the stream of the snapshot before had at the places of its chunks.
 *
 * Chunks of a stream have no keys, but where nothing changed, ends fall where they fell. So the two streams are followed from one
 * place where they meet to the next: a chunk that begins and ends where one did, counted from where they last met; or two in a
 * row that have the lengths of two in a row. What lies between two such places in the new stream came from what lies between
 * them in the old, and its place there is told by its distance from either: from the one before as long as what changed kept its
 * length, from the one behind where something came or went. For the latter, new chunks are held back until the streams meet.
 */
import type { Entry } from '../manifest/index.js';

/** The most chunks of the old stream that one is compared with. */
const MOST_SIMILAR = 4;
/** Fewer bytes than this at the same place are not worth comparing. */
const LEAST_COMMON = 128;
/** Entries that are read together. */
const READ_TOGETHER = 64;
/** How many chunks of the old stream are looked at, before and after the place where the new one should be. */
const LOOKED_BACK = 4096;
const LOOKED_AHEAD = 256;
/** Chunks that are held back, and their bytes. */
const MOST_HELD = 16;
const MOST_HELD_BYTES = 4 * 1024 * 1024;

/** A chunk of the new stream, and entries of the old one that may have much in common with it. */
export interface AlignedChunk {
  readonly bytes: Uint8Array;
  readonly similar: readonly Entry[];
}

/** Gives the next entries of the old stream; fewer than `count` only at its end. */
export type ReadEntries = (count: number) => readonly Entry[] | Promise<readonly Entry[]>;

/** See the head of this file. All chunks come back, in order. */
export async function* alignStream(
  chunks: AsyncIterable<Uint8Array>,
  read: ReadEntries,
): AsyncGenerator<AlignedChunk> {
  const stretch = new Stretch(read);
  for await (const bytes of chunks) yield* await stretch.push(bytes);
  yield* await stretch.finish();
}

/** Where a chunk stands in its stream. */
interface Placed {
  readonly start: number;
  readonly length: number;
}

interface NewPlace extends Placed {
  readonly bytes: Uint8Array;
}

interface OldPlace extends Placed {
  readonly entry: Entry;
}

/** What follows the place where the streams last met. */
class Stretch {
  readonly #read: ReadEntries;
  #old: OldPlace[] = [];
  #oldEnd = 0;
  #hasEnded = false;
  #held: NewPlace[] = [];
  #newEnd = 0;
  /** From where the new stream was when they last met to where the old one was. */
  #shift = 0;

  constructor(read: ReadEntries) {
    this.#read = read;
  }

  async push(bytes: Uint8Array): Promise<AlignedChunk[]> {
    const next = { start: this.#newEnd, length: bytes.length, bytes };
    await this.#readUpTo(next);
    const given = this.#meet(next);
    this.#newEnd += next.length;
    if (given !== undefined) return given;
    this.#held.push(next);
    return this.#giveUp();
  }

  async finish(): Promise<AlignedChunk[]> {
    await this.#readUpTo({ start: this.#newEnd, length: 0 });
    const shift = this.#hasEnded ? this.#oldEnd - this.#newEnd : this.#shift;
    return this.#held.map((held) => this.#aligned(held, this.#old, shift));
  }

  /** Looks for where the streams meet with `next`. What was held is given then, and the search goes on behind it. */
  #meet(next: NewPlace): AlignedChunk[] | undefined {
    const inPlace = this.#old.findIndex(
      ({ start, length }) => start === next.start + this.#shift && length === next.length,
    );
    if (inPlace >= 0) return this.#given([next], inPlace);
    const last = this.#held.at(-1);
    if (last === undefined) return undefined;
    const pair = this.#old.findIndex(
      ({ length }, i) => length === last.length && this.#old[i + 1]?.length === next.length,
    );
    if (pair < 0) return undefined;
    this.#held.pop();
    return this.#given([last, next], pair);
  }

  /** All that is held, and then those that meet the old stream there. */
  #given(met: readonly NewPlace[], index: number): AlignedChunk[] {
    const passed = this.#old.slice(0, index);
    const there = this.#old.slice(index, index + met.length);
    const shift = (there[0] as OldPlace).start - (met[0] as NewPlace).start;
    const between = this.#held.map((held) => this.#aligned(held, passed, shift));
    this.#old.splice(0, index + met.length);
    this.#held = [];
    this.#shift = shift;
    return [...between, ...met.map(({ bytes }, i) => ({ bytes, similar: [(there[i] as OldPlace).entry] }))];
  }

  /** What is held too long is given, and what was passed too long ago is forgotten. */
  #giveUp(): AlignedChunk[] {
    const given: AlignedChunk[] = [];
    while (this.#holdsTooMuch())
      given.push(this.#aligned(this.#held.shift() as NewPlace, this.#old, this.#shift));
    const passed = this.#old.length - this.#countAfter((this.#held[0] as NewPlace).start);
    if (passed > LOOKED_BACK) this.#old.splice(0, passed - LOOKED_BACK);
    return given;
  }

  #holdsTooMuch(): boolean {
    if (this.#held.length <= 1) return false;
    return (
      this.#held.length > MOST_HELD || this.#newEnd - (this.#held[0] as NewPlace).start > MOST_HELD_BYTES
    );
  }

  /** @param shift from places in the new stream to those in the old one, counted from where they meet next. */
  #aligned({ bytes, start, length }: NewPlace, old: readonly OldPlace[], shift: number): AlignedChunk {
    const common = old.map((one) => {
      const [fromBefore, fromBehind] = [this.#shift, shift].map((by) =>
        overlap(one, { start: start + by, length }),
      );
      return { one, bytes: Math.max(fromBefore as number, fromBehind as number) };
    });
    const most = common
      .filter((one) => one.bytes >= LEAST_COMMON)
      .toSorted((a, b) => b.bytes - a.bytes)
      .slice(0, MOST_SIMILAR)
      .toSorted((a, b) => a.one.start - b.one.start);
    return { bytes, similar: most.map(({ one }) => one.entry) };
  }

  /** Chunks of the old stream that end after the place of this one in the new. */
  #countAfter(start: number): number {
    const first = this.#old.findIndex((old) => old.start + old.length > start + this.#shift);
    return first < 0 ? 0 : this.#old.length - first;
  }

  async #readUpTo({ start }: Placed): Promise<void> {
    if (this.#hasEnded || (this.#held.length === 0 && this.#old.length > 0)) return;
    const wanted = this.#held.length === 0 ? READ_TOGETHER : LOOKED_AHEAD;
    const missing = (): number => wanted - this.#countAfter(start);
    for (let count = missing(); count > 0 && !this.#hasEnded; count = missing()) {
      const entries = await this.#read(count);
      this.#hasEnded = entries.length < count;
      for (const entry of entries) {
        this.#old.push({ entry, start: this.#oldEnd, length: entry.bytes });
        this.#oldEnd += entry.bytes;
      }
    }
  }
}

function overlap(a: Placed, b: Placed): number {
  return Math.min(a.start + a.length, b.start + b.length) - Math.max(a.start, b.start);
}
