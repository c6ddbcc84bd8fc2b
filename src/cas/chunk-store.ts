/** Chunks by their address: found through the index, read from packs, decoded, and checked against the address. */
import {
  type Address,
  formatAddress,
  isVecsnapError,
  mapConcurrent,
  type RandomBytes,
  Semaphore,
  type Sha256,
  VecsnapError,
} from '../core/index.js';
import type { BlobStat, BlobStore } from '../blob/port.js';
import { type CompressionOptions, isKnownCodec } from './codec.js';
import type { ChunkCoder } from './coder.js';
import type { ChunkIndex, Location } from './index-port.js';
import { PACK_PREFIX, readPackDirectory, readRange } from './pack.js';

/** What a chunk store works with. */
export interface ChunkStoreParts {
  readonly blobs: BlobStore;
  readonly index: ChunkIndex;
  readonly coder: ChunkCoder;
  readonly sha256: Sha256;
  readonly random: RandomBytes;
}

/** How a chunk store works. */
export interface ChunkStoreOptions extends CompressionOptions {
  /** A pack is written when its chunks reach this many bytes. */
  readonly packBytes: number;
  /** Reads and writes that are under way at the same time. */
  readonly maxConcurrentIo: number;
  /** Whether every chunk that is read is hashed and compared with its address. */
  readonly verifyChecksum: boolean;
}

/** A pack that cannot be used as it should. */
export interface PackProblem {
  readonly blob: string;
  readonly error: VecsnapError;
}

/** Chunks closer together than this are read in one go. */
const READ_GAP = 16 * 1024;
const READ_BYTES = 2 * 1024 * 1024;

/** Reads chunks. */
export class ChunkStore {
  readonly parts: ChunkStoreParts;
  readonly options: ChunkStoreOptions;
  readonly #problems = new Map<string, VecsnapError>();
  readonly #io: Semaphore;
  #packs: ReadonlyMap<string, number> = new Map();

  constructor(parts: ChunkStoreParts, options: ChunkStoreOptions) {
    this.parts = parts;
    this.options = options;
    this.#io = new Semaphore(options.maxConcurrentIo);
  }

  /** A store whose index knows every pack there is. */
  static async open(parts: ChunkStoreParts, options: ChunkStoreOptions): Promise<ChunkStore> {
    const store = new ChunkStore(parts, options);
    await store.refresh();
    return store;
  }

  /** Packs that are missing their end or whose directory is damaged. */
  get problems(): readonly PackProblem[] {
    return [...this.#problems].map(([blob, error]) => ({ blob, error }));
  }

  /** The packs that stand in the store, with their sizes in bytes. */
  get packs(): ReadonlyMap<string, number> {
    return this.#packs;
  }

  /**
   * Brings the index up to the packs that stand in the store: reads the directories of those it has not seen. When packs are
   * gone that it has seen, it reads them all, because chunks that were found in those may stand in others too (docs/ordering.md,
   * R4).
   */
  async refresh(): Promise<void> {
    const { blobs, index } = this.parts;
    const present = new Map<string, number>();
    for await (const { name, size } of blobs.list(PACK_PREFIX)) present.set(name, size);
    this.#packs = present;
    this.#problems.clear();
    const gone = new Set([...index.packs().keys()].filter((name) => !present.has(name)));
    if (gone.size > 0) await index.removePacks(gone);
    const known = index.packs();
    for (const [name, size] of present) {
      if (known.has(name) && known.get(name) !== size)
        this.#problems.set(name, sizeChanged(name, size, known.get(name)));
    }
    const unseen = [...present]
      .filter(([name]) => !known.has(name) || (gone.size > 0 && !this.#problems.has(name)))
      .map(([name, size]) => ({ name, size }));
    const directories = await mapConcurrent(unseen, this.options.maxConcurrentIo, (pack) =>
      this.#readDirectory(pack),
    );
    for (const [i, entries] of directories.entries()) {
      if (entries !== undefined) await index.addPack(unseen[i] as BlobStat, entries);
    }
  }

  /** Whether chunks in this pack can be relied on: nothing about the pack itself is wrong as far as is known. */
  isSound(pack: string): boolean {
    return !this.#problems.has(pack);
  }

  /** Where each chunk stands; undefined for those that are in no pack. */
  async locate(addresses: readonly Address[]): Promise<(Location | undefined)[]> {
    return this.parts.index.find(addresses);
  }

  /**
   * The plaintext of a chunk.
   * @throws VecsnapError CHUNK_MISSING, CHUNK_DAMAGED, PACK_MISSING, PACK_DAMAGED.
   */
  async get(address: Address): Promise<Uint8Array> {
    const [bytes] = await this.getMany([address]);
    return bytes as Uint8Array;
  }

  /**
   * The plaintexts of several chunks, in the order of the addresses. Neighbours in a pack are read together.
   * @throws VecsnapError as {@link get}.
   */
  async getMany(addresses: readonly Address[]): Promise<Uint8Array[]> {
    const locations = await this.parts.index.find(addresses);
    const wanted = locations.map((location, i) => {
      if (location === undefined) throw chunkMissing(addresses[i] as Address);
      return { address: addresses[i] as Address, location, order: i };
    });
    const results = new Array<Uint8Array>(addresses.length);
    await Promise.all(
      coalesce(wanted).map(async (run) => {
        const plain = await this.#readRun(run);
        for (const [i, { order }] of run.entries()) results[order] = plain[i] as Uint8Array;
      }),
    );
    return results;
  }

  async close(): Promise<void> {
    await this.parts.index.close();
  }

  async #readDirectory(pack: BlobStat) {
    try {
      return await readPackDirectory(this.parts.blobs, pack, this.parts.sha256);
    } catch (error) {
      if (!isVecsnapError(error, 'PACK_DAMAGED', 'PACK_MISSING')) throw error;
      this.#problems.set(pack.name, error);
      return undefined;
    }
  }

  async #readRun(run: readonly Wanted[]): Promise<Uint8Array[]> {
    const first = (run[0] as Wanted).location;
    const length = Math.max(...run.map(({ location }) => endOf(location))) - first.offset;
    const bytes = await this.#io.run(() => readRange(this.parts.blobs, first.pack, first.offset, length));
    const stored = run.map(({ address, location: { codec, length, offset, storedLength } }) => {
      const start = offset - first.offset;
      return { address, codec, length, bytes: bytes.subarray(start, start + storedLength) };
    });
    const plain = await this.parts.coder.decode(stored, this.options.verifyChecksum);
    return plain.map((chunk, i) => chunk ?? failDamaged(run[i] as Wanted));
  }
}

interface Wanted {
  readonly address: Address;
  readonly location: Location;
  readonly order: number;
}

/** Runs of chunks that stand near each other in one pack. */
function coalesce(wanted: readonly Wanted[]): Wanted[][] {
  const sorted = wanted.toSorted((a, b) =>
    a.location.pack === b.location.pack
      ? a.location.offset - b.location.offset
      : a.location.pack < b.location.pack
        ? -1
        : 1,
  );
  const runs: Wanted[][] = [];
  for (const chunk of sorted) {
    const run = runs.at(-1);
    if (run !== undefined && joins(run, chunk)) run.push(chunk);
    else runs.push([chunk]);
  }
  return runs;
}

function joins(run: readonly Wanted[], { location }: Wanted): boolean {
  const first = (run[0] as Wanted).location;
  const last = (run.at(-1) as Wanted).location;
  return (
    location.pack === first.pack &&
    location.offset - endOf(last) <= READ_GAP &&
    endOf(location) - first.offset <= READ_BYTES
  );
}

function endOf({ offset, storedLength }: Location): number {
  return offset + storedLength;
}

/** A chunk that no pack holds. */
export function chunkMissing(address: Address): VecsnapError {
  return new VecsnapError('CHUNK_MISSING', 'A chunk stands in no pack.', {
    place: formatAddress(address, 'data'),
    remedy:
      'Run verify to see which snapshots this concerns. A new snapshot of the same source writes the chunk again.',
  });
}

function failDamaged({ address, location }: Wanted): never {
  throw chunkDamaged(address, location);
}

/** A chunk whose bytes are not what its address says, or that is kept in a codec of a later version. */
export function chunkDamaged(
  address: Address,
  { pack, kind, codec }: Pick<Location, 'pack' | 'kind' | 'codec'>,
): VecsnapError {
  const place = `${formatAddress(address, kind)} in ${pack}`;
  if (!isKnownCodec(codec)) {
    return new VecsnapError(
      'REPOSITORY_NEWER',
      `A chunk is kept in codec ${codec}, which this vecsnap does not know.`,
      {
        place,
        remedy: 'Install a newer version of vecsnap.',
      },
    );
  }
  return new VecsnapError('CHUNK_DAMAGED', 'The bytes of a chunk do not fit its address.', {
    place,
    remedy:
      'Run verify to see which snapshots this concerns; put the pack back from another copy if there is one.',
  });
}

function sizeChanged(name: string, size: number, indexed: number | undefined): VecsnapError {
  return new VecsnapError('PACK_DAMAGED', `A pack has ${size} bytes; it was written with ${indexed}.`, {
    place: name,
    remedy:
      'Run verify to see which snapshots this concerns; put the pack back from another copy if there is one.',
  });
}
