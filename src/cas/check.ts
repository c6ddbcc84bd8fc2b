/** Checks packs: that the directory agrees with the index, and that every chunk decodes to what its address says. */
import { type Address, formatAddress, isVecsnapError, VecsnapError } from '../core/index.js';
import { chunkDamaged, type ChunkStore } from './chunk-store.js';
import type { StoredChunk } from './codec.js';
import { checkPackHeader, type PackEntry, readPackDirectory, readRange } from './pack.js';

/** Something wrong with a pack or with a chunk in it. */
export interface PackFinding {
  readonly error: VecsnapError;
  readonly blob: string;
  /** The chunk, when the damage is to one. */
  readonly address?: Address;
}

const READ_BYTES = 4 * 1024 * 1024;

/** Reads a pack from its first byte to its last and tells everything that is wrong with it. */
export async function* checkPack(store: ChunkStore, name: string, size: number): AsyncGenerator<PackFinding> {
  let entries: readonly PackEntry[];
  try {
    checkPackHeader(name, await readRange(store.parts.blobs, name, 0, Math.min(8, size)));
    entries = await readPackDirectory(store.parts.blobs, { name, size }, store.parts.sha256);
  } catch (error) {
    if (!isVecsnapError(error, 'PACK_MISSING', 'PACK_DAMAGED', 'REPOSITORY_NEWER')) throw error;
    yield { error, blob: name };
    if (error.code === 'PACK_MISSING') return; // Its chunks are missed where somebody needs them.
    entries = await indexedEntries(store, name);
  }
  yield* checkIndexed(store, name, entries);
  for (const run of inRuns(entries)) yield* checkRun(store, name, run);
}

/** What the index knows of a pack whose directory is damaged: its chunks may still be whole. */
async function indexedEntries(store: ChunkStore, name: string): Promise<PackEntry[]> {
  const entries: PackEntry[] = [];
  for await (const entry of store.parts.index.entries()) if (entry.pack === name) entries.push(entry);
  return entries.toSorted((a, b) => a.offset - b.offset);
}

async function* checkIndexed(
  store: ChunkStore,
  name: string,
  entries: readonly PackEntry[],
): AsyncGenerator<PackFinding> {
  const located = await store.locate(entries.map(({ address }) => address));
  for (const [i, entry] of entries.entries()) {
    const found = located[i];
    const agrees =
      found !== undefined &&
      (found.pack !== name ||
        (found.offset === entry.offset &&
          found.storedLength === entry.storedLength &&
          found.length === entry.length &&
          found.kind === entry.kind &&
          found.codec === entry.codec));
    if (!agrees) yield { error: indexDisagrees(entry, name), blob: name, address: entry.address };
  }
}

async function* checkRun(
  store: ChunkStore,
  name: string,
  run: readonly PackEntry[],
): AsyncGenerator<PackFinding> {
  const stored = await readStored(store, name, run);
  const plain = await store.parts.coder.decode(stored, true);
  for (const [i, chunk] of plain.entries()) {
    const { address, kind, codec } = run[i] as PackEntry;
    if (chunk === undefined)
      yield { error: chunkDamaged(address, { pack: name, kind, codec }), blob: name, address };
  }
}

/**
 * The encoded bytes of chunks that stand near each other in a pack.
 * @throws VecsnapError CHUNK_DAMAGED for the first that does not fit its address.
 */
export async function readChecked(
  store: ChunkStore,
  name: string,
  run: readonly PackEntry[],
): Promise<{ entry: PackEntry; bytes: Uint8Array }[]> {
  const stored = await readStored(store, name, run);
  const plain = await store.parts.coder.decode(stored, true);
  return run.map((entry, i) => {
    if (plain[i] === undefined) throw chunkDamaged(entry.address, { ...entry, pack: name });
    return { entry, bytes: (stored[i] as StoredChunk).bytes };
  });
}

async function readStored(
  store: ChunkStore,
  name: string,
  run: readonly PackEntry[],
): Promise<StoredChunk[]> {
  const start = (run[0] as PackEntry).offset;
  const last = run.at(-1) as PackEntry;
  const bytes = new Uint8Array(new SharedArrayBuffer(last.offset + last.storedLength - start));
  await store.parts.blobs.read(name, start, bytes); // What is missing at the end stays zero and fails its hash.
  const bases = await basesOf(store, run);
  return run.map(({ address, codec, length, offset, storedLength }, i) => {
    const from = offset - start;
    return { address, codec, length, bytes: bytes.subarray(from, from + storedLength), bases: bases[i] };
  });
}

/** What the deltas of a run copy from; nothing for those whose bases cannot be had, which makes them damaged. */
async function basesOf(
  store: ChunkStore,
  run: readonly PackEntry[],
): Promise<(readonly StoredChunk[] | undefined)[]> {
  const all = run.flatMap(({ bases }) => bases ?? []);
  if (all.length === 0) return run.map(() => undefined);
  const stored = await getStoredIfThere(store, all);
  if (stored !== undefined) {
    let next = 0;
    return run.map(({ bases }) => bases?.map(() => stored[next++] as StoredChunk));
  }
  return Promise.all(
    run.map(({ bases }) => (bases === undefined ? undefined : getStoredIfThere(store, bases))),
  );
}

async function getStoredIfThere(
  store: ChunkStore,
  addresses: readonly Address[],
): Promise<StoredChunk[] | undefined> {
  try {
    return await store.getStored(addresses);
  } catch (error) {
    if (isVecsnapError(error, 'CHUNK_MISSING', 'CHUNK_DAMAGED', 'PACK_MISSING', 'PACK_DAMAGED'))
      return undefined;
    throw error;
  }
}

/** Consecutive entries of a pack, so many that they are worth one read. */
export function* inRuns(entries: readonly PackEntry[]): Generator<PackEntry[]> {
  let run: PackEntry[] = [];
  for (const entry of entries) {
    const start = run[0]?.offset ?? entry.offset;
    if (run.length > 0 && entry.offset + entry.storedLength - start > READ_BYTES) {
      yield run;
      run = [];
    }
    run.push(entry);
  }
  if (run.length > 0) yield run;
}

function indexDisagrees({ address, kind }: PackEntry, name: string): VecsnapError {
  return new VecsnapError('INDEX_DAMAGED', 'The index has a chunk at another place than its pack.', {
    place: `${formatAddress(address, kind)} in ${name}`,
    remedy: 'Run repair: it rebuilds the index from the packs.',
  });
}
