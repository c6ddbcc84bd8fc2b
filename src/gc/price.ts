/**
 * What a planned sweep will give back, to the byte: the packs that it will write are counted as the writer fills them. Deltas that it
 * will write anew are encoded, because nothing else tells what they will take; of very many, as many as it takes to be sure enough.
 */
import type { Address } from '../core/index.js';
import {
  type ChunkStore,
  type Location,
  PACK_HEADER_BYTES,
  PACK_OVERHEAD,
  packEntryBytes,
  standAlone,
} from '../cas/index.js';
import { estimateForms, type ExpectedDelta, type Priced } from './estimate.js';
import type { PreparedSweep } from './plan.js';
import { neededIn } from './sweep.js';

/** As many plaintext bytes of deltas are encoded; of more, so many first, and then more as long as it takes. */
const ENCODED_BYTES = 64 * 1024 * 1024;
/** Deltas that are encoded together. */
const TOGETHER = 8;
/**
 * Bytes of packs that a sweep will give back: less than none when it writes more than it deletes.
 * @param encodedBytes when the deltas that it writes anew have no more plaintext bytes than this, the price is exact.
 */
export async function priceSweep(
  store: ChunkStore,
  prepared: PreparedSweep,
  encodedBytes = ENCODED_BYTES,
): Promise<number> {
  const { deletedPacks, rewrittenPacks } = prepared.plan;
  const counter = new PackCounter(store.options.packBytes);
  for await (const chunk of flattenedForms(store, prepared, encodedBytes)) counter.add(chunk);
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

/** The forms of deltas that are to stand alone, in order. Of those that are not encoded, the length that the others suggest. */
async function* flattenedForms(
  store: ChunkStore,
  { plan, flattened, flattenedBytes }: PreparedSweep,
  encodedBytes: number,
): AsyncGenerator<Priced> {
  const locations = (await store.locate(flattened)) as Location[];
  const deltas = flattened.map((address, i): ExpectedDelta => {
    const { length } = locations[i] as Location;
    return { address, length, expected: flattenedBytes[i] as number };
  });
  const total = deltas.reduce((sum, { length }) => sum + length, 0);
  if (total <= encodedBytes) return yield* encodedForms(store, flattened);
  const expected = deltas.reduce((sum, delta) => sum + delta.expected, 0);
  yield* await estimateForms(
    deltas,
    (some) => collect(encodedForms(store, some)),
    (written) => plan.reclaimedBytes + expected - written,
    encodedBytes / total,
  );
}

async function* encodedForms(store: ChunkStore, deltas: readonly Address[]): AsyncGenerator<Priced> {
  for (let start = 0; start < deltas.length; start += TOGETHER)
    for (const { codec, length, bytes } of await standAlone(store, deltas.slice(start, start + TOGETHER)))
      yield { codec, length, storedLength: bytes.length, baseCount: undefined };
}

async function collect(forms: AsyncIterable<Priced>): Promise<Priced[]> {
  const all: Priced[] = [];
  for await (const form of forms) all.push(form);
  return all;
}
