/**
 * What a planned sweep will give back, to the byte: the packs that it will write are counted as the writer fills them. Deltas that it
 * will write anew are encoded, because nothing else tells what they will take; of very many, some.
 */
import type { Address } from '../core/index.js';
import {
  type ChunkStore,
  type Location,
  PACK_HEADER_BYTES,
  PACK_OVERHEAD,
  type PackEntry,
  packEntryBytes,
  standAlone,
} from '../cas/index.js';
import type { PreparedSweep } from './plan.js';
import { neededIn } from './sweep.js';

/** As many plaintext bytes of deltas are encoded; of more, so many that are spread evenly. */
const ENCODED_BYTES = 64 * 1024 * 1024;
/** Deltas that are encoded together, as the writer does. */
const TOGETHER = 8;

/** How large a chunk will be in a pack. */
type Priced = Pick<PackEntry, 'storedLength' | 'length' | 'codec' | 'baseCount'>;

/** Bytes of packs that a sweep will give back: less than none when it writes more than it deletes. */
export async function priceSweep(store: ChunkStore, prepared: PreparedSweep): Promise<number> {
  const { deletedPacks, rewrittenPacks } = prepared.plan;
  const counter = new PackCounter(store.options.packBytes);
  for await (const chunk of flattenedForms(store, prepared.flattened)) counter.add(chunk);
  for (const pack of rewrittenPacks)
    for (const entry of await neededIn(store, pack, prepared.isNeeded)) counter.add(entry);
  const gone = [...deletedPacks, ...rewrittenPacks];
  return gone.reduce((sum, name) => sum + (store.packs.get(name) ?? 0), 0) - counter.bytes;
}

/** Counts the bytes of packs as a writer fills them. */
class PackCounter {
  readonly #packBytes: number;
  /** Bytes of the pack that is being filled, without its directory; 0 before its first chunk. */
  #filled = 0;
  bytes = 0;

  constructor(packBytes: number) {
    this.#packBytes = packBytes;
  }

  add(chunk: Priced): void {
    if (this.#filled === 0) {
      this.#filled = PACK_HEADER_BYTES;
      this.bytes += PACK_OVERHEAD;
    }
    this.#filled += chunk.storedLength;
    this.bytes += packEntryBytes(chunk);
    if (this.#filled >= this.#packBytes) this.#filled = 0;
  }
}

/** The forms of deltas that are to stand alone. Of those that are not encoded, the length that the others suggest. */
async function* flattenedForms(store: ChunkStore, deltas: readonly Address[]): AsyncGenerator<Priced> {
  const locations = (await store.locate(deltas)) as Location[];
  const total = locations.reduce((sum, { length }) => sum + length, 0);
  const every = Math.max(1, Math.ceil(total / ENCODED_BYTES));
  const read = { plain: 0, stored: 0 };
  for (let start = 0; start < deltas.length; start += TOGETHER) {
    const end = Math.min(start + TOGETHER, deltas.length);
    if ((start / TOGETHER) % every === 0) {
      for (const { codec, length, bytes } of await standAlone(store, deltas.slice(start, end))) {
        read.plain += length;
        read.stored += bytes.length;
        yield { codec, length, storedLength: bytes.length, baseCount: undefined };
      }
      continue;
    }
    for (const { length } of locations.slice(start, end))
      yield {
        codec: 0,
        length,
        storedLength: Math.round((length * read.stored) / Math.max(1, read.plain)),
        baseCount: undefined,
      };
  }
}
