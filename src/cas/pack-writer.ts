/**
 * Writes encoded chunks into packs, and the fingerprints of their records beside them (fingerprint-blob.ts). Chunks are written as they
 * come, where the store can do so: then no more than a few of them are in memory, and little is left to be done at the end.
 *
 * Names are random, so none is ever used twice (docs/ordering.md, R5). The names of up to four packs in a row begin alike:
 * their fingerprints stand in one blob.
 */
import { Channel, isVecsnapError, type RandomBytes, type Sha256, toHex, totalLength } from '../core/index.js';
import type { BlobStat, BlobStore } from '../blob/port.js';
import type { ChunkStoreOptions } from './chunk-store.js';
import type { ChunkCoder } from './coder.js';
import { encodeFingerprints, type PackFingerprints } from './fingerprint-blob.js';
import {
  fingerprintsOfPack,
  GROUP_DIGITS,
  PACK_HEADER,
  PACK_PREFIX,
  PackBuilder,
  type PackedChunk,
} from './pack.js';

/** A pack that is durable, and that the index does not know yet. There may be thousands, and a million chunks in them. */
export interface WrittenPack extends BlobStat {
  readonly directory: Uint8Array;
}

/** What writing packs needs. */
export interface PackWriterParts {
  readonly blobs: BlobStore;
  readonly coder: ChunkCoder;
  readonly sha256: Sha256;
  readonly random: RandomBytes;
}

/** See {@link ChunkStoreOptions}. */
export type PackWriterOptions = Pick<ChunkStoreOptions, 'packBytes' | 'fingerprintSeed'>;

/** Packs, or fingerprints of packs, that are being written at the same time. */
const BLOBS_UNDER_WAY = 2;
/** Bytes of chunks that wait to be written. */
const WAITING_BYTES = 4 * 1024 * 1024;
/** Packs whose names begin alike. */
const PACKS_TOGETHER = 4;

/** A pack that is being written. */
interface OpenPack {
  readonly name: string;
  readonly builder: PackBuilder;
  readonly parts: Channel<readonly Uint8Array[]>;
  /** What is to be known of it; set before the end of its parts. */
  finished?: WrittenPack;
}

/** See the head of this file. */
export class PackWriter {
  readonly #parts: PackWriterParts;
  readonly #options: PackWriterOptions;
  readonly #written: WrittenPack[] = [];
  readonly #names = new Set<string>();
  readonly #writing = new Set<Promise<void>>();
  #failure: { error: unknown } | undefined;
  #pack: OpenPack | undefined;
  /** How the names of packs begin that are written now, and how many there are. */
  #group = '';
  #alike = PACKS_TOGETHER;
  /** Of packs with such names. */
  #fingerprints: PackFingerprints[] = [];

  constructor(parts: PackWriterParts, options: PackWriterOptions) {
    this.#parts = parts;
    this.#options = options;
  }

  /** The packs that are durable. */
  get written(): readonly WrittenPack[] {
    return this.#written;
  }

  /** Adds chunks, whose bytes are kept until they are written. @throws what a write before has failed with. */
  async add(chunks: readonly PackedChunk[]): Promise<void> {
    for (let next = 0; next < chunks.length;) {
      this.throwFailure();
      const pack = (this.#pack ??= this.#begin());
      const parts: Uint8Array[] = [];
      do {
        const chunk = chunks[next++] as PackedChunk;
        pack.builder.add(chunk);
        parts.push(chunk.bytes);
      } while (next < chunks.length && pack.builder.size < this.#options.packBytes);
      await pack.parts.send(parts);
      if (pack.builder.size < this.#options.packBytes) return;
      this.#end(pack);
      while (this.#writing.size >= BLOBS_UNDER_WAY) await Promise.race(this.#writing);
    }
  }

  /** Writes what is left, and waits until everything is durable. @throws what a write has failed with. */
  async finish(): Promise<void> {
    if (this.#pack !== undefined) this.#end(this.#pack);
    this.#writeFingerprints();
    await Promise.all(this.#writing);
    this.throwFailure();
  }

  /** Gives up the pack that has not ended, takes no more, and waits for what is being written, however it ends. */
  async stop(): Promise<void> {
    const error = new Error('nothing more is written');
    this.#failure ??= { error };
    this.#pack?.parts.fail(error);
    this.#pack = undefined;
    await Promise.all(this.#writing);
  }

  /** Removes all that was written, as far as it can be. */
  async remove(): Promise<void> {
    for (const name of this.#names) await this.#parts.blobs.delete(name).catch(() => undefined);
  }

  throwFailure(): void {
    if (this.#failure !== undefined) throw this.#failure.error;
  }

  #begin(): OpenPack {
    const { blobs, coder } = this.#parts;
    const release = blobs.putParts && ((some: readonly Uint8Array[]) => coder.release?.(some));
    const parts = new Channel<readonly Uint8Array[]>(totalLength, WAITING_BYTES, release);
    const pack: OpenPack = { name: this.#nextName(), builder: new PackBuilder(), parts };
    void parts.send([PACK_HEADER]);
    this.#note(pack.name, this.#write(pack));
    return pack;
  }

  async #write(pack: OpenPack): Promise<void> {
    const parts = pack.parts.receive();
    const { blobs } = this.#parts;
    try {
      await (blobs.putParts === undefined
        ? this.#putTogether(pack.name, parts)
        : blobs.putParts(pack.name, parts));
    } finally {
      pack.parts.close();
    }
    this.#written.push(pack.finished as WrittenPack);
  }

  /** For a store that takes no blob before all of it is there. */
  async #putTogether(name: string, parts: AsyncIterable<readonly Uint8Array[]>): Promise<void> {
    const all: Uint8Array[] = [];
    for await (const some of parts) all.push(...some);
    await this.#parts.blobs.put(name, all);
    this.#parts.coder.release?.(all);
  }

  #end(pack: OpenPack): void {
    const { name, builder, parts } = pack;
    const { end, directory, size, fingerprints } = builder.finish(this.#parts.sha256);
    if (fingerprints.length > 0) this.#fingerprints.push({ pack: name, fingerprints });
    pack.finished = { name, size, directory };
    void parts.send(end);
    parts.end();
    this.#pack = undefined; // Not before: a pack that cannot be ended is given up by who stops.
  }

  /** Names that begin alike are random from there on. One that was given, which 32 bits come to once in a long time, is not given again. */
  #nextName(): string {
    const random = toHex(this.#parts.random(16));
    const alike = `${PACK_PREFIX}${this.#group}${random.slice(GROUP_DIGITS)}`;
    if (this.#alike < PACKS_TOGETHER && !this.#names.has(alike)) {
      this.#alike++;
      return alike;
    }
    this.#writeFingerprints();
    this.#group = random.slice(0, GROUP_DIGITS);
    this.#alike = 1;
    return `${PACK_PREFIX}${random}`;
  }

  #writeFingerprints(): void {
    const fingerprints = this.#fingerprints;
    const [first] = fingerprints;
    if (first === undefined) return;
    this.#fingerprints = [];
    const { fingerprintSeed = '' } = this.#options;
    const encoded = encodeFingerprints(fingerprints, fingerprintSeed, this.#parts.sha256);
    const name = fingerprintsOfPack(first.pack);
    this.#note(name, this.#parts.blobs.put(name, [encoded]).catch(unlessFull));
  }

  /** Notes a blob that is being written, beside others. */
  #note(name: string, put: Promise<void>): void {
    this.#names.add(name);
    const written = put.catch((error: unknown) => {
      this.#failure ??= { error };
      if (isVecsnapError(error, 'BLOB_EXISTS')) this.#names.delete(name); // It is somebody else's.
    });
    this.#writing.add(written);
    void written.then(() => this.#writing.delete(written));
  }
}

/** Where there is no space left, what is needed comes first: without fingerprints, the next snapshot takes longer. */
function unlessFull(error: unknown): void {
  if (!isVecsnapError(error, 'STORE_FULL')) throw error;
}
