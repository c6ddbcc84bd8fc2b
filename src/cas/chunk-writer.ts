/**
 * Adds chunks to a store: those that are not there yet are encoded and collected into packs.
 *
 * Nothing is visible until {@link ChunkWriter.commit}: packs become durable first, then the index learns of them
 * (docs/ordering.md, W1 and W2). {@link ChunkWriter.abandon} removes what was written.
 */
import {
  type Address,
  type ChunkKind,
  copyBytes,
  DigestTable,
  isVecsnapError,
  toHex,
} from '../core/index.js';
import type { BlobStat } from '../blob/port.js';
import { inRuns, readChecked } from './check.js';
import type { ChunkStore } from './chunk-store.js';
import type { EncodedChunk, Kin, PlainBase, PlainChunk, StoredChunk } from './codec.js';
import { PACK_PREFIX, PackBuilder, type PackEntry } from './pack.js';

/** A chunk to be stored. */
export interface NewChunk extends Omit<PlainChunk, 'kin'> {
  readonly kind: ChunkKind;
  /** Chunks in the store that may have much in common with it, at most four. */
  readonly similar?: Similar | undefined;
}

/** See {@link NewChunk}. */
export interface Similar {
  /** Bytes that are equal or different as a whole: those of a record, or 1. */
  readonly unit: number;
  readonly addresses: readonly Address[];
  /** The plaintext of each, where the caller has read them from the store, so that they need not be read again. */
  readonly plain?: readonly Uint8Array[] | undefined;
}

/** What a writer has added. */
export interface WriterTotals {
  /** Chunks that were not in the store before. */
  readonly chunks: number;
  /** Bytes of the packs that were written. */
  readonly bytes: number;
}

interface WrittenPack extends BlobStat {
  readonly entries: readonly PackEntry[];
}

/** Packs that are being written at the same time; each is held in memory until it is durable. */
const PACKS_UNDER_WAY = 2;
/** Nodes are kept back and stand together at the end of a pack, where walking a tree reads many at once. */
const NODE_BYTES_KEPT_BACK = 4 * 1024 * 1024;

type EncodedNew = Omit<PackEntry, 'offset' | 'storedLength'> & { readonly bytes: Uint8Array };

/** See the head of this file. Calls of `put` may overlap; chunks stand in packs in the order of the calls. */
export class ChunkWriter {
  readonly #store: ChunkStore;
  readonly #seen = new DigestTable();
  readonly #written: WrittenPack[] = [];
  readonly #names = new Set<string>();
  readonly #writing = new Set<Promise<void>>();
  #failure: { error: unknown } | undefined;
  #pack = new PackBuilder();
  #nodes: EncodedNew[] = [];
  #nodeBytes = 0;
  #chunks = 0;
  #hasCopies = false;
  #committed = false;
  #turn: Promise<void> = Promise.resolve();

  constructor(store: ChunkStore) {
    this.#store = store;
  }

  /** Stores chunks and gives their addresses. They need not be kept any longer once this resolves. */
  async put(chunks: readonly NewChunk[]): Promise<Address[]> {
    const before = this.#turn;
    let passOn = (): void => {};
    this.#turn = new Promise((resolve) => (passOn = resolve));
    try {
      const addresses = await this.#store.parts.coder.address(chunks.map(({ bytes }) => bytes));
      const fresh = await this.#notStored(addresses);
      const encoded = await this.#encode(fresh.map((i) => chunks[i] as NewChunk));
      await before;
      for (const [j, i] of fresh.entries()) {
        await this.#append(chunks[i] as NewChunk, addresses[i] as Address, encoded[j] as EncodedChunk);
      }
      return addresses;
    } finally {
      void before.then(() => passOn()); // A call that failed early passes its turn on, but not before its turn.
    }
  }

  /**
   * Adds chunks of another pack in the form they have there, each checked against its address first.
   * @throws VecsnapError CHUNK_DAMAGED.
   */
  async copy(pack: string, entries: readonly PackEntry[]): Promise<void> {
    for (const run of inRuns(entries)) {
      for (const { entry, bytes } of await readChecked(this.#store, pack, run)) {
        this.#chunks++;
        this.#hasCopies = true;
        await this.#addToPack({ ...entry, bytes });
      }
    }
  }

  /** Makes everything durable and then known to the index. */
  async commit(): Promise<WriterTotals> {
    await this.#turn;
    await this.#flushNodes();
    this.#writePack();
    await Promise.all(this.#writing);
    this.#throwFailure();
    this.#committed = this.#written.length > 0;
    for (const pack of this.#written) await this.#store.parts.index.addPack(pack, pack.entries);
    return { chunks: this.#chunks, bytes: this.#written.reduce((sum, { size }) => sum + size, 0) };
  }

  /**
   * Removes the packs that were written, also when they were committed: nothing refers to them yet (docs/ordering.md, W4). One that
   * cannot be removed stays, and is swept one day. So do copies once the index may have learned of them: it tells one place for each
   * chunk, and would then tell none (docs/ordering.md, G3).
   * @throws VecsnapError STORE_FAILED when a pack could not be removed, after all were tried.
   */
  async abandon(): Promise<void> {
    await this.#turn;
    await Promise.allSettled(this.#writing);
    if (this.#committed && this.#hasCopies) return;
    const { blobs, index } = this.#store.parts;
    let failure: { error: unknown } | undefined;
    for (const name of this.#names)
      await blobs.delete(name).catch((error: unknown) => (failure ??= { error }));
    if (this.#committed) await index.removePacks(this.#names);
    if (failure !== undefined) throw failure.error;
  }

  /** The positions of chunks that are neither in the store nor coming from this writer. */
  async #notStored(addresses: readonly Address[]): Promise<number[]> {
    const unseen = addresses.flatMap((address, i) => (this.#seen.has(address) ? [] : [i]));
    const locations = await this.#store.locate(unseen.map((i) => addresses[i] as Address));
    return unseen.filter((i, j) => {
      const location = locations[j];
      if (location !== undefined && this.#store.isSound(location.pack)) return false;
      const known = this.#seen.size;
      this.#seen.add(addresses[i] as Address); // Another call may have added it meanwhile.
      return this.#seen.size > known;
    });
  }

  async #encode(chunks: readonly NewChunk[]): Promise<EncodedChunk[]> {
    if (chunks.length === 0) return [];
    const kin = await this.#kinOf(chunks);
    const plain = chunks.map(({ bytes, width }, i): PlainChunk => ({ bytes, width, kin: kin[i] }));
    return this.#store.parts.coder.encode(plain, this.#store.options);
  }

  /** The chunks that new ones may be told by, those of packs that are damaged left out. */
  async #kinOf(chunks: readonly NewChunk[]): Promise<(Kin | undefined)[]> {
    const wanted = chunks.flatMap(({ similar }) => similar?.addresses ?? []);
    if (wanted.length === 0 || this.#store.options.compression === 'none') return [];
    const locations = await this.#store.locate(wanted);
    const sound = new DigestTable();
    for (const [i, location] of locations.entries()) {
      if (location !== undefined && this.#store.isSound(location.pack)) sound.add(wanted[i] as Address);
    }
    const known = await this.#plainBases(chunks, sound);
    const unread = [...sound].filter((address) => !known.has(toHex(address)));
    const stored = await this.#storedIfThere(unread.map((address) => copyBytes(address) as Address));
    if (stored === undefined) return [];
    const bases = new Map<string, StoredChunk | PlainBase>(known);
    for (const chunk of stored) bases.set(toHex(chunk.address), chunk);
    return chunks.map(({ similar }) => {
      if (similar === undefined) return undefined;
      return { unit: similar.unit, chunks: similar.addresses.flatMap((address) => bases.get(toHex(address)) ?? []) };
    });
  }

  /** The bases whose plaintext came with the chunks, by their address in hexadecimal. */
  async #plainBases(chunks: readonly NewChunk[], sound: DigestTable): Promise<Map<string, PlainBase>> {
    const given = chunks.flatMap(({ similar }) =>
      (similar?.plain ?? []).map((plain, i) => ({ address: similar?.addresses[i] as Address, plain })),
    );
    const usable = given.filter(({ address }) => sound.has(address));
    const chains = await this.#store.chainLengths(usable.map(({ address }) => address));
    return new Map(usable.map((base, i) => [toHex(base.address), { ...base, chain: chains[i] as number }]));
  }

  /** Undefined when something that they need is missing: then new chunks stand alone, which heals what they hold. */
  async #storedIfThere(addresses: readonly Address[]): Promise<StoredChunk[] | undefined> {
    try {
      return await this.#store.getStored(addresses);
    } catch (error) {
      if (isVecsnapError(error, 'CHUNK_MISSING', 'CHUNK_DAMAGED', 'PACK_MISSING', 'PACK_DAMAGED'))
        return undefined;
      throw error;
    }
  }

  async #append({ kind, bytes }: NewChunk, address: Address, encoded: EncodedChunk): Promise<void> {
    this.#throwFailure();
    this.#chunks++;
    // A raw chunk is a view into memory that its giver will use again.
    const kept = encoded.bytes.buffer === bytes.buffer ? copyBytes(encoded.bytes) : encoded.bytes;
    const { codec, bases } = encoded;
    const chunk = { address, kind, codec, length: bytes.length, bytes: kept, bases };
    if (kind === 'data') return this.#addToPack(chunk);
    this.#nodes.push(chunk);
    this.#nodeBytes += kept.length;
    if (this.#nodeBytes >= NODE_BYTES_KEPT_BACK) await this.#flushNodes();
  }

  async #flushNodes(): Promise<void> {
    const nodes = this.#nodes;
    this.#nodes = [];
    this.#nodeBytes = 0;
    for (const node of nodes) await this.#addToPack(node);
  }

  async #addToPack(chunk: EncodedNew): Promise<void> {
    this.#pack.add(chunk);
    if (this.#pack.size < this.#store.options.packBytes) return;
    this.#writePack();
    while (this.#writing.size >= PACKS_UNDER_WAY) await Promise.race(this.#writing);
  }

  /** The name is random, so it is never used twice (docs/ordering.md, R5). */
  #writePack(): void {
    const { entries } = this.#pack;
    if (entries.length === 0) return;
    const { blobs, random, sha256 } = this.#store.parts;
    const parts = this.#pack.finish(sha256);
    this.#pack = new PackBuilder();
    const name = `${PACK_PREFIX}${toHex(random(16))}`;
    this.#names.add(name);
    const size = parts.reduce((sum, part) => sum + part.length, 0);
    const written = blobs.put(name, parts).then(
      () => void this.#written.push({ name, size, entries }),
      (error: unknown) => {
        this.#failure ??= { error };
        if (isVecsnapError(error, 'BLOB_EXISTS')) this.#names.delete(name); // It is somebody else's.
      },
    );
    this.#writing.add(written);
    void written.then(() => this.#writing.delete(written));
  }

  #throwFailure(): void {
    if (this.#failure !== undefined) throw this.#failure.error;
  }
}
