/**
 * Checks packs: that the directory agrees with the index, and that every chunk decodes to what its address says.
 *
 * A delta is checked together with all that it copies from, which is then not decoded again on its own. So chunks that deltas copy
 * from wait until all other chunks were checked, and only those that are left are checked by themselves.
 */
import {
  type Address,
  DigestTable,
  formatAddress,
  isUnreadable,
  isVecsnapError,
  mapAhead,
  VecsnapError,
} from '../core/index.js';
import { chunkDamaged, type ChunkStore } from './chunk-store.js';
import type { StoredChunk } from './codec.js';
import type { Location } from './index-port.js';
import { checkPackHeader, type DirectoryEntry, readPackDirectory, readRange } from './pack.js';

/** Something wrong with a pack or with a chunk in it. */
export interface PackFinding {
  readonly error: VecsnapError;
  readonly blob: string;
  /** The chunk, when the damage is to one. */
  readonly address?: Address;
  /** Whether something is missing that only this chunk copies from: no damage when nobody needs it (docs/ordering.md, G5). */
  readonly lacksBase?: boolean;
}

const READ_BYTES = 4 * 1024 * 1024;
/** Plaintext bytes that are checked together. */
const PLAIN_BYTES = 2 * 1024 * 1024;
/** Runs of chunks that are read and checked at the same time. */
const RUNS_AHEAD = 3;

/**
 * Reads every pack from its first byte to its last and tells everything that is wrong with them.
 * @param onChecked is called with the number of bytes of each pack that was gone through.
 */
export async function* checkPacks(
  store: ChunkStore,
  onChecked: (bytes: number) => void,
): AsyncGenerator<PackFinding> {
  const check = new PackCheck(store);
  for (const [name, size] of store.packs) yield* check.checkDirectory(name, size);
  for (const [name, size] of store.packs) {
    yield* check.checkChunks(name);
    onChecked(size);
  }
  for (const name of store.packs.keys()) yield* check.checkRest(name);
}

class PackCheck {
  readonly #store: ChunkStore;
  /** Chunks that deltas copy from. */
  readonly #copied = new DigestTable();
  /** Those of them that were checked. */
  readonly #checked = new DigestTable();
  readonly #buffers = new RunBuffers();
  /** Packs whose directories cannot be read. */
  readonly #unreadable = new Set<string>();

  constructor(store: ChunkStore) {
    this.#store = store;
  }

  /** Checks what a pack says of itself. */
  async *checkDirectory(name: string, size: number): AsyncGenerator<PackFinding> {
    const { blobs, sha256 } = this.#store.parts;
    try {
      checkPackHeader(name, await readRange(blobs, name, 0, Math.min(8, size)));
      this.#noteBases(await readPackDirectory(blobs, { name, size }, sha256));
    } catch (error) {
      if (!isVecsnapError(error, 'PACK_MISSING', 'PACK_DAMAGED', 'REPOSITORY_NEWER')) throw error;
      this.#unreadable.add(name);
      yield { error, blob: name };
    }
  }

  /** Checks the chunks of a pack that no delta copies from, and all that they copy from. */
  async *checkChunks(name: string): AsyncGenerator<PackFinding> {
    const entries = await this.#entries(name);
    const located = await this.#store.locate(entries.map(({ address }) => address));
    for (const [i, entry] of entries.entries()) {
      if (!agrees(entry, name, located[i]))
        yield { error: indexDisagrees(entry, name), blob: name, address: entry.address };
    }
    const first = entries.filter(
      (entry, i) => !this.#copied.has(entry.address) || !isAt(located[i], name, entry),
    );
    yield* this.#checkEntries(name, first);
  }

  /** Checks what is left. */
  async *checkRest(name: string): AsyncGenerator<PackFinding> {
    if (this.#checked.size === this.#copied.size) return;
    const isLeft = ({ address }: DirectoryEntry): boolean =>
      this.#copied.has(address) && !this.#checked.has(address);
    yield* this.#checkEntries(name, (await this.#entries(name)).filter(isLeft));
  }

  #noteBases(entries: readonly DirectoryEntry[]): void {
    for (const { bases = [] } of entries) for (const base of bases) this.#copied.add(base);
  }

  /** What the pack has, or as much as the index knows of it: its chunks may be whole although its directory is damaged. */
  async #entries(name: string): Promise<DirectoryEntry[]> {
    if (!this.#unreadable.has(name)) return this.#store.directory(name);
    const entries: DirectoryEntry[] = [];
    if ((await this.#store.parts.blobs.stat(name)) === undefined) return entries; // They are missed where somebody needs them.
    for await (const entry of this.#store.parts.index.entries()) if (entry.pack === name) entries.push(entry);
    return entries.toSorted((a, b) => a.offset - b.offset);
  }

  async *#checkEntries(name: string, entries: readonly DirectoryEntry[]): AsyncGenerator<PackFinding> {
    const runs = mapAhead(inRuns(entries), RUNS_AHEAD, async (run) => {
      const bytes = this.#buffers.take(storedBytes(run));
      const chunks = await readChunks(this.#store, name, run, bytes);
      const damaged = await damagedIn(this.#store, chunks);
      this.#buffers.giveBack(bytes);
      return { chunks, damaged };
    });
    for await (const { chunks, damaged } of runs) {
      for (const { entry, stored, error } of chunks) {
        // A sweep that was cut off leaves deltas whose bases are gone, and which nobody reads: others stand in for them.
        if (error !== undefined && !(await this.#isRead(name, entry))) continue;
        const problem =
          error ??
          (damaged.has(entry.address) ? chunkDamaged(entry.address, { ...entry, pack: name }) : undefined);
        if (problem !== undefined)
          yield { error: problem, blob: name, address: entry.address, lacksBase: error !== undefined };
        if (stored?.bases !== undefined) yield* this.#noteBasesOf(stored, damaged);
      }
    }
  }

  /** Whether a chunk is read from this place: it may stand elsewhere too. */
  async #isRead(name: string, entry: DirectoryEntry): Promise<boolean> {
    const [location] = await this.#store.locate([entry.address]);
    return location === undefined || isAt(location, name, entry);
  }

  /** Notes that all that a delta copies from was checked with it. */
  async *#noteBasesOf({ bases = [] }: StoredChunk, damaged: DigestTable): AsyncGenerator<PackFinding> {
    for (const base of bases) {
      if (!this.#checked.addNew(base.address)) continue; // With all that it copies from.
      yield* this.#noteBasesOf(base, damaged);
      if (!damaged.has(base.address)) continue;
      const [location] = await this.#store.locate([base.address]);
      if (location === undefined) continue;
      yield { error: chunkDamaged(base.address, location), blob: location.pack, address: base.address };
    }
  }
}

/**
 * Memory for runs, used again for one after the other: worker threads keep shared memory that they were sent until they collect
 * garbage, which they seldom do.
 */
class RunBuffers {
  readonly #spare: SharedArrayBuffer[] = [];

  take(length: number): Uint8Array {
    const spare = length <= READ_BYTES ? this.#spare.pop() : undefined;
    return new Uint8Array(spare ?? new SharedArrayBuffer(Math.max(length, READ_BYTES)), 0, length);
  }

  giveBack({ buffer }: Uint8Array): void {
    if (buffer.byteLength === READ_BYTES) this.#spare.push(buffer as SharedArrayBuffer);
  }
}

/** Bytes of a pack from the first chunk of a run to the end of the last. */
function storedBytes(run: readonly DirectoryEntry[]): number {
  const last = run.at(-1) as DirectoryEntry;
  return last.offset + last.storedLength - (run[0] as DirectoryEntry).offset;
}

/** A chunk as it stands in a pack, or why it cannot be put together. */
interface ReadChunk {
  readonly entry: DirectoryEntry;
  readonly stored?: StoredChunk;
  readonly error?: VecsnapError;
}

/** The addresses of chunks that are damaged, and of what they copy from. */
async function damagedIn(store: ChunkStore, chunks: readonly ReadChunk[]): Promise<DigestTable> {
  const damaged = new DigestTable();
  const stored = chunks.flatMap((chunk) => chunk.stored ?? []);
  for (const address of await store.parts.coder.check(stored)) damaged.add(address);
  return damaged;
}

/**
 * The encoded bytes of chunks that stand near each other in a pack.
 * @throws VecsnapError CHUNK_DAMAGED for the first that does not fit its address, CHUNK_MISSING when it copies from one that is
 * missing.
 */
export async function readChecked(
  store: ChunkStore,
  name: string,
  run: readonly DirectoryEntry[],
): Promise<{ entry: DirectoryEntry; bytes: Uint8Array }[]> {
  const bytes = new Uint8Array(new SharedArrayBuffer(storedBytes(run)));
  const chunks = await readChunks(store, name, run, bytes);
  const damaged = await damagedIn(store, chunks);
  return chunks.map(({ entry, stored, error }) => {
    if (stored === undefined) throw error as VecsnapError;
    if (damaged.has(entry.address)) throw chunkDamaged(entry.address, { ...entry, pack: name });
    return { entry, bytes: stored.bytes };
  });
}

async function readChunks(
  store: ChunkStore,
  name: string,
  run: readonly DirectoryEntry[],
  bytes: Uint8Array,
): Promise<ReadChunk[]> {
  const start = (run[0] as DirectoryEntry).offset;
  const filled = await store.parts.blobs.read(name, start, bytes);
  bytes.fill(0, filled); // What is missing at the end fails its hash.
  const bases = await basesIn(store, run);
  return run.map((entry, i): ReadChunk => {
    const { address, codec, length, offset, storedLength } = entry;
    const from = offset - start;
    const plain = { address, codec, length, bytes: bytes.subarray(from, from + storedLength) };
    const own = bases[i];
    if (own === undefined) return { entry, stored: plain };
    return isVecsnapError(own) ? { entry, error: own } : { entry, stored: { ...plain, bases: own } };
  });
}

/** What the deltas of a run copy from, or why that cannot be had; undefined for the other chunks. */
async function basesIn(
  store: ChunkStore,
  run: readonly DirectoryEntry[],
): Promise<(readonly StoredChunk[] | VecsnapError | undefined)[]> {
  const all = run.flatMap(({ bases }) => bases ?? []);
  if (all.length === 0) return run.map(() => undefined);
  const stored = await storedOrError(store, all);
  if (isVecsnapError(stored))
    return Promise.all(
      run.map(async ({ bases }) => (bases === undefined ? undefined : storedOrError(store, bases))),
    );
  let next = 0;
  return run.map(({ bases }) => bases?.map(() => stored[next++] as StoredChunk));
}

async function storedOrError(
  store: ChunkStore,
  addresses: readonly Address[],
): Promise<StoredChunk[] | VecsnapError> {
  try {
    return await store.getStored(addresses);
  } catch (error) {
    if (isUnreadable(error)) return error;
    throw error;
  }
}

/** Consecutive entries of a pack, so many that they are worth one read. */
export function* inRuns(entries: readonly DirectoryEntry[]): Generator<DirectoryEntry[]> {
  let run: DirectoryEntry[] = [];
  let plain = 0;
  for (const entry of entries) {
    const start = run[0]?.offset ?? entry.offset;
    const isFull =
      entry.offset + entry.storedLength - start > READ_BYTES || plain + entry.length > PLAIN_BYTES;
    if (run.length > 0 && isFull) {
      yield run;
      run = [];
      plain = 0;
    }
    run.push(entry);
    plain += entry.length;
  }
  if (run.length > 0) yield run;
}

function isAt(location: Location | undefined, name: string, { offset }: DirectoryEntry): boolean {
  return location?.pack === name && location.offset === offset;
}

/** Whether the index has the chunk in another pack, or just where this pack has it. */
function agrees(entry: DirectoryEntry, name: string, location: Location | undefined): boolean {
  if (location === undefined) return false;
  if (location.pack !== name) return true;
  const { offset, storedLength, length, kind, codec } = location;
  return (
    offset === entry.offset &&
    storedLength === entry.storedLength &&
    length === entry.length &&
    kind === entry.kind &&
    codec === entry.codec
  );
}

function indexDisagrees({ address, kind }: DirectoryEntry, name: string): VecsnapError {
  return new VecsnapError('INDEX_DAMAGED', 'The index has a chunk at another place than its pack.', {
    place: `${formatAddress(address, kind)} in ${name}`,
    remedy: 'Run repair: it rebuilds the index from the packs.',
  });
}
