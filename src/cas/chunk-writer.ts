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
  equalBytes,
  isUnreadable,
  maxChunkBytes,
  mapAhead,
  toHex,
  VecsnapError,
} from '../core/index.js';
import type { ChunkStore } from './chunk-store.js';
import {
  type EncodedChunk,
  MAX_CHAIN,
  type PlainBase,
  type PlainChunk,
  type FingerprintedBase,
} from './codec.js';
import type { ChunkToEncode } from './coder.js';
import { type DirectoryEntry, entriesWritten, type PackedChunk, FINGERPRINTS_PREFIX } from './pack.js';
import { PackWriter } from './pack-writer.js';
import type { PatchedChunk, UnitPatch } from './patch.js';
import { canFingerprint, hasFingerprints, type StoredFingerprints } from './fingerprints.js';
import { type Standing, Wholeness } from './wholeness.js';

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

/** How chunks are put. */
export interface PutOptions {
  /** What each may be told by, where that is found out while they are hashed. */
  readonly similar?: Promise<readonly (Similar | undefined)[]> | undefined;
  /** Is called for those that were not stored before, by their positions. The bytes of the form may change afterwards. */
  readonly onEncoded?: ((position: number, form: EncodedChunk) => void) | undefined;
}

/** How a writer works. */
export interface WriterOptions {
  /** Whether all that new chunks may be told by is known to be stored, with what it copies from (docs/ordering.md, R12). Default: false. */
  readonly areKinWhole?: boolean | undefined;
}

/** Some units of a data chunk that is stored, which are others now. */
export interface ChunkPatch extends UnitPatch {
  readonly of: Address;
}

/** What became of a chunk by a patch. */
export interface Patched {
  readonly address: Address;
  /** What stood in the places of the patch before, joined; undefined when it is the same. */
  readonly replaced: Uint8Array | undefined;
}

/** What a writer has added. */
export interface WriterTotals {
  /** Chunks that were not in the store before. */
  readonly chunks: number;
  /** Bytes of the packs that were written. */
  readonly bytes: number;
}

/**
 * A chunk that is not stored, or not whole. What stands there already in a form that cannot be read is written so that it stands
 * alone, because a delta might be taken for that.
 */
interface Fresh {
  readonly address: Address;
  readonly chunk: NewChunk;
  /** Among the chunks that were put together. */
  readonly position: number;
}

/** Plaintext bytes that one thread patches at a time. */
const PATCHED_TOGETHER = 1024 * 1024;
/** Chunks that are flattened together, and how often at the same time. */
const FLATTENED_TOGETHER = 8;
const BATCHES_AHEAD = 10;
/** Of so many chunks that are told by fingerprints, one is told by bytes too, to see that both are the same. */
const AUDITED_FINGERPRINTS = 64;
/** Nodes are kept back and stand together at the end of a pack, where walking a tree reads many at once. */
const NODE_BYTES_KEPT_BACK = 4 * 1024 * 1024;

/** See the head of this file. Calls of `put` may overlap; chunks stand in packs in the order of the calls. */
export class ChunkWriter {
  readonly #store: ChunkStore;
  readonly #areKinWhole: boolean;
  readonly #whole: Wholeness;
  readonly #seen = new DigestTable();
  readonly #packs: PackWriter;
  #nodes: PackedChunk[] = [];
  #nodeBytes = 0;
  #chunks = 0;
  #hasCopies = false;
  #committed = false;
  /** Whether the chunks that come next are likely to be new, as those before were. */
  #expectsNew: boolean;
  #turn: Promise<void> = Promise.resolve();
  /** Chunks that are told by fingerprints before the next of which the bytes are read too. */
  #untilAudit: number | undefined;

  constructor(store: ChunkStore, { areKinWhole = false }: WriterOptions = {}) {
    this.#store = store;
    this.#areKinWhole = areKinWhole;
    this.#whole = new Wholeness(store);
    this.#packs = new PackWriter(store.parts, store.options);
    this.#expectsNew = store.parts.index.packs().size === 0;
  }

  /**
   * Says that these chunks may be put again, or be similar to some that are. Looking many up at once takes hardly longer than
   * looking up one.
   */
  async expect(addresses: readonly Address[]): Promise<void> {
    await this.#whole.check(addresses);
  }

  /**
   * Stores chunks and gives their addresses. They need not be kept any longer once this resolves.
   * @throws VecsnapError ENCODING_INVALID for a chunk that is longer than any that is read again (core/limits.ts).
   */
  async put(chunks: readonly NewChunk[], { similar, onEncoded }: PutOptions = {}): Promise<Address[]> {
    similar?.catch(() => {}); // It is thrown below, when it is needed.
    if (chunks.length === 0) return []; // Without waiting for a turn.
    for (const { bytes, kind } of chunks) checkLength(bytes.length, kind);
    return this.#inTurn(async (myTurn) => {
      const { addresses, early } = await this.#address(chunks, similar !== undefined);
      const fresh = await this.#notStored(similar ? withKin(chunks, await similar) : chunks, addresses);
      this.#expectsNew = fresh.length === chunks.length;
      const encoded = early ?? (await this.#encode(fresh));
      await myTurn;
      await this.#append(
        fresh.map(({ chunk, address, position }) => {
          const form = encoded[position] as EncodedChunk;
          onEncoded?.(position, form);
          return toPacked(chunk, address, form);
        }),
      );
      return addresses;
    });
  }

  /**
   * Stores what patches make of chunks of the store, without the plaintexts coming to this thread.
   * @returns undefined for those that must be put whole: what they are made of cannot be read or is no chunk that the patch fits, or
   * what comes of it stands in the store in a form that cannot be read.
   */
  async patch(patches: readonly ChunkPatch[]): Promise<(Patched | undefined)[]> {
    if (patches.length === 0) return [];
    return this.#inTurn(async (myTurn) => {
      const made = await this.#makePatched(patches);
      const standing = await this.#standingOf(made);
      await myTurn;
      const fresh: PackedChunk[] = [];
      const results = made.map((patched, i): Patched | undefined => {
        const { of, length } = patches[i] as ChunkPatch;
        if (patched === undefined || standing[i] === 'broken') return undefined;
        if (patched === 'same') return { address: of, replaced: undefined };
        const { address, replaced, codec, bytes, bases, fingerprints } = patched;
        const isNew = standing[i] === 'absent' && this.#seen.addNew(address); // Another call may have added it meanwhile.
        if (isNew) fresh.push({ address, kind: 'data', codec, length, bytes, bases, fingerprints });
        return { address, replaced };
      });
      await this.#append(fresh);
      return results;
    });
  }

  /** Runs `work` with a promise of its turn to add to packs: that the calls before have added theirs. */
  async #inTurn<T>(work: (myTurn: Promise<void>) => Promise<T>): Promise<T> {
    const myTurn = this.#turn;
    let passOn = (): void => {};
    this.#turn = new Promise((resolve) => (passOn = resolve));
    try {
      return await work(myTurn);
    } finally {
      void myTurn.then(() => passOn()); // A call that failed early passes its turn on, but not before its turn.
    }
  }

  /**
   * Adds chunks of another pack in the form they have there, each checked against its address first: all of them, or none.
   * @returns those that are damaged, or copy from what is missing. When there are any, nothing was added.
   */
  async copy(pack: string, entries: readonly DirectoryEntry[]): Promise<DirectoryEntry[]> {
    const sound: { entry: DirectoryEntry; bytes: Uint8Array }[] = [];
    const unreadable: DirectoryEntry[] = [];
    const { checkCopies } = await import('./check.js'); // Only sweeps copy.
    for await (const { entry, state, bytes } of checkCopies(this.#store, pack, entries)) {
      const isSound = state === 'sound' || state === 'odd';
      if (isSound && bytes !== undefined) sound.push({ entry, bytes });
      else unreadable.push(entry);
    }
    if (unreadable.length > 0) return unreadable;
    const fingerprints = await (await this.#store.fingerprints()).blobOf(pack);
    const own = (entry: DirectoryEntry) => ownFingerprints(fingerprints?.at(pack, entry));
    await this.add(sound.map(({ entry, bytes }) => ({ ...entry, bytes, fingerprints: own(entry) })));
    return [];
  }

  /** Adds chunks in encoded forms that the caller has checked. The bytes are kept, not copied. */
  async add(chunks: readonly PackedChunk[]): Promise<void> {
    this.#chunks += chunks.length;
    this.#hasCopies = true;
    await this.#packs.add(chunks);
  }

  /**
   * Adds chunks that are kept as deltas in forms that stand alone, which take their place.
   * @returns those that cannot be read: they were not added.
   */
  async flatten(addresses: readonly Address[]): Promise<Address[]> {
    const unreadable: Address[] = [];
    for await (const flat of mapAhead(slices(addresses, FLATTENED_TOGETHER), BATCHES_AHEAD, (some) =>
      this.#flattened(some),
    )) {
      await this.add(flat.flatMap(({ chunk }) => chunk ?? []));
      for (const { address, chunk } of flat) if (chunk === undefined) unreadable.push(address);
    }
    return unreadable;
  }

  /** Chunks in forms that stand alone; undefined in place of those that cannot be read. */
  async #flattened(addresses: readonly Address[]): Promise<{ address: Address; chunk?: PackedChunk }[]> {
    try {
      const { standAlone } = await import('./stand-alone.js'); // Only sweeps flatten.
      const chunks = await standAlone(this.#store, addresses);
      return chunks.map((chunk) => ({ address: chunk.address, chunk }));
    } catch (error) {
      if (!isUnreadable(error)) throw error;
      const [only] = addresses;
      if (addresses.length === 1) return [{ address: only as Address }];
      return (await Promise.all(addresses.map((address) => this.#flattened([address])))).flat();
    }
  }

  /** Makes everything durable and then known to the index. */
  async commit(): Promise<WriterTotals> {
    await this.#turn;
    await this.#flushNodes();
    await this.#packs.finish();
    const { written } = this.#packs;
    this.#committed = written.length > 0;
    for (const pack of written) await this.#store.addPack(pack, entriesWritten(pack, pack.directory));
    return { chunks: this.#chunks, bytes: written.reduce((sum, { size }) => sum + size, 0) };
  }

  /**
   * Takes and writes no more, and removes the packs that were written, also when they were committed: nothing refers to them yet
   * (docs/ordering.md, W4). One that cannot be removed stays, and is swept one day. So do copies once the index may have learned of them: it
   * tells one place for each chunk, and would then tell none (docs/ordering.md, G3).
   * @param beforeRemoving is called when nothing is being written any more. When it throws, all that was written stays: who no longer holds the
   * lock must not remove what somebody else may rely on by now (docs/ordering.md, L6).
   * @throws what `beforeRemoving` throws.
   */
  async abandon(beforeRemoving?: () => Promise<void>): Promise<void> {
    await this.#turn;
    await this.#packs.stop();
    await beforeRemoving?.();
    if (this.#committed && this.#hasCopies) return;
    await this.#packs.remove();
    if (this.#committed) await this.#store.refresh(); // What was found in them may stand in others too.
  }

  /** The chunks that are neither in the store nor coming from this writer. */
  async #notStored(chunks: readonly NewChunk[], addresses: readonly Address[]): Promise<Fresh[]> {
    const { damage } = this.#store.parts;
    const unseen = addresses.flatMap((address, i) =>
      this.#isKin(chunks[i] as NewChunk, address) || this.#seen.has(address) ? [] : [i],
    );
    const standing = await this.#whole.check(unseen.map((i) => addresses[i] as Address));
    return unseen.flatMap((i, j) => {
      const address = addresses[i] as Address;
      if (standing[j] === 'whole' || !this.#seen.addNew(address)) return []; // Another call may have added it meanwhile.
      const chunk = chunks[i] as NewChunk;
      const mayBeDelta = standing[j] === 'absent' && damage?.concerns(address) !== true;
      return [{ address, chunk: mayBeDelta ? chunk : { ...chunk, similar: undefined }, position: i }];
    });
  }

  /** Whether a chunk is one of those that it may be told by, and they are known to be whole. */
  #isKin({ similar }: NewChunk, address: Address): boolean {
    return this.#areKinWhole && similar?.addresses.some((one) => equalBytes(one, address)) === true;
  }

  /** The addresses; with the encoded forms, when all chunks are likely to be new and there is nothing to tell them by. */
  async #address(
    chunks: readonly NewChunk[],
    haveKin: boolean,
  ): Promise<{ addresses: Address[]; early?: EncodedChunk[] }> {
    const { coder } = this.#store.parts;
    if (!this.#expectsNew || haveKin || chunks.some(({ similar }) => similar !== undefined)) {
      return { addresses: await coder.address(chunks.map(({ bytes }) => bytes)) };
    }
    const early = await coder.addressAndEncode(chunks.map(alone), this.#store.options);
    return { addresses: early.map(({ address }) => address), early };
  }

  /** What patches make of chunks of the store; undefined where those cannot be read, or are no chunks that the patches fit. */
  async #makePatched(patches: readonly ChunkPatch[]): Promise<(PatchedChunk | 'same' | undefined)[]> {
    const standing = this.#areKinWhole
      ? patches.map((): Standing => 'whole')
      : await this.#whole.check(patches.map(({ of }) => of));
    const sound = patches.filter((_, i) => standing[i] === 'whole');
    const made = await this.#patchSound(sound).catch((error: unknown) => {
      if (!isUnreadable(error)) throw error;
      return sound.map(() => 'damaged' as const);
    });
    let next = 0;
    return standing.map((one) => {
      const patched = one === 'whole' ? made[next++] : undefined;
      return patched === 'damaged' ? undefined : patched;
    });
  }

  /** Several threads have a share of it. */
  #patchSound(patches: readonly ChunkPatch[]): Promise<(PatchedChunk | 'same' | 'damaged')[]> {
    const { coder } = this.#store.parts;
    const { options } = this.#store;
    return this.#store.useChunks(
      patches.map(({ of }) => of),
      async (stored) => {
        const jobs = [];
        for (let start = 0; start < patches.length;) {
          let end = start;
          for (let bytes = 0; end < patches.length && bytes < PATCHED_TOGETHER; end++)
            bytes += (patches[end] as ChunkPatch).length;
          const own = patches.slice(start, end).map(toUnitPatch);
          jobs.push(coder.patch(stored.graph(stored.roots.slice(start, end)), own, options));
          start = end;
        }
        return (await Promise.all(jobs)).flat();
      },
    );
  }

  /** How the results of patches stand in the store; `broken` for those that must not be told by others. */
  async #standingOf(made: readonly (PatchedChunk | 'same' | undefined)[]): Promise<(Standing | undefined)[]> {
    const { damage } = this.#store.parts;
    const unseen = made.flatMap((one) =>
      typeof one === 'object' && !this.#seen.has(one.address) ? [one.address] : [],
    );
    const found = new Map<string, Standing>();
    for (const [i, one] of (await this.#whole.check(unseen)).entries()) {
      const address = unseen[i] as Address;
      const mayBeDelta = one !== 'absent' || damage?.concerns(address) !== true;
      found.set(toHex(address), mayBeDelta ? one : 'broken');
    }
    return made.map((one) => (typeof one === 'object' ? found.get(toHex(one.address)) : undefined));
  }

  /** The encoded forms of chunks, by their positions. */
  async #encode(fresh: readonly Fresh[]): Promise<EncodedChunk[]> {
    const encoded: EncodedChunk[] = [];
    if (fresh.length === 0) return encoded;
    const forms = await this.#encodeWithKin(fresh.map(({ chunk }) => chunk));
    for (const [i, { position }] of fresh.entries()) encoded[position] = forms[i] as EncodedChunk;
    return encoded;
  }

  /** The encoded forms of chunks that may be told by others; those that cannot be put together are left out. */
  async #encodeWithKin(chunks: readonly NewChunk[]): Promise<EncodedChunk[]> {
    const { coder } = this.#store.parts;
    const { options } = this.#store;
    const wanted = chunks.flatMap(({ similar }) => similar?.addresses ?? []);
    if (wanted.length === 0 || options.compression === 'none')
      return coder.encode(chunks.map(alone), options);
    const standing = await this.#whole.check(wanted);
    const sound = new DigestTable();
    for (let i = 0; i < wanted.length; i++) if (standing[i] === 'whole') sound.add(wanted[i] as Address);
    const fingerprinted = await this.#fingerprintedKin(chunks, sound);
    const known: KnownBases = { numbers: sound, forms: this.#plainBases(chunks, sound) };
    const unread = new DigestTable();
    for (const [i, { similar }] of chunks.entries()) {
      if (fingerprinted[i]?.isAudited === false) continue;
      for (const address of similar?.addresses ?? []) {
        const number = sound.find(address);
        if (number >= 0 && !known.forms.has(number)) known.forms.set(number, unread.add(address));
      }
    }
    const withBases = chunks.map((chunk, i) => withKnown(chunk, known, fingerprinted[i]));
    if (unread.size === 0) return checkFingerprints(await coder.encode(withBases, options));
    try {
      return await this.#store.useChunks([...unread], async (stored) =>
        checkFingerprints(await coder.encode(withBases, options, stored.graph())),
      );
    } catch (error) {
      if (isUnreadable(error)) return coder.encode(chunks.map(alone), options); // Which heals what they hold.
      throw error;
    }
  }

  /** The fingerprints of what each chunk may be told by; undefined for chunks of which that is not known of all. */
  async #fingerprintedKin(
    chunks: readonly NewChunk[],
    sound: DigestTable,
  ): Promise<readonly (FingerprintedKin | undefined)[]> {
    const bases = chunks.map((chunk) => this.#fingerprintedBases(chunk, sound));
    const wanted = bases.flatMap((own, i) =>
      own.map((address) => ({ address, unit: (chunks[i] as NewChunk).unit as number })),
    );
    if (wanted.length === 0) return [];
    const fingerprints = await (await this.#store.fingerprints()).find(wanted);
    let next = 0;
    return bases.map((own) => {
      const fingerprinted = own.flatMap((address): FingerprintedBase[] => {
        const found = fingerprints[next++];
        return found === undefined ? [] : [{ ...found, chain: this.#whole.chainOf(address) }];
      });
      return fingerprinted.length === 0 || fingerprinted.length < own.length
        ? undefined
        : { bases: fingerprinted, isAudited: this.#isAuditDue() };
    });
  }

  /** Nobody can tell beforehand which chunks it hits. */
  #isAuditDue(): boolean {
    this.#untilAudit ??= (this.#store.parts.random(1)[0] as number) % AUDITED_FINGERPRINTS;
    if (this.#untilAudit-- > 0) return false;
    this.#untilAudit += AUDITED_FINGERPRINTS;
    return true;
  }

  /** What a chunk may be told by, when that may be known by its fingerprints: only what stands whole in packs (docs/ordering.md, W7). */
  #fingerprintedBases({ unit, similar }: NewChunk, sound: DigestTable): readonly Address[] {
    const { fingerprintSeed } = this.#store.options;
    if (unit === undefined || unit !== similar?.unit || !hasFingerprints(unit)) return [];
    if (fingerprintSeed === undefined || !canFingerprint()) return [];
    return similar.addresses.filter(
      (address) => sound.has(address) && this.#whole.chainOf(address) < MAX_CHAIN,
    );
  }

  /** The bases whose plaintext came with the chunks, by their numbers in `sound`. */
  #plainBases(chunks: readonly NewChunk[], sound: DigestTable): KnownBases['forms'] {
    const given = chunks.flatMap(({ similar }) =>
      (similar?.plain ?? []).map((plain, i) => ({ address: similar?.addresses[i] as Address, plain })),
    );
    const usable = given.filter(({ address }) => sound.has(address));
    return new Map(
      usable.map((base) => [sound.find(base.address), { ...base, chain: this.#whole.chainOf(base.address) }]),
    );
  }

  /** Nodes are kept back until there are many. */
  async #append(chunks: readonly PackedChunk[]): Promise<void> {
    this.#chunks += chunks.length;
    const nodes = chunks.filter(({ kind }) => kind === 'node');
    await this.#packs.add(nodes.length === 0 ? chunks : chunks.filter(({ kind }) => kind === 'data'));
    this.#nodes.push(...nodes);
    this.#nodeBytes += nodes.reduce((sum, { bytes }) => sum + bytes.length, 0);
    if (this.#nodeBytes >= NODE_BYTES_KEPT_BACK) await this.#flushNodes();
  }

  async #flushNodes(): Promise<void> {
    const nodes = this.#nodes;
    this.#nodes = [];
    this.#nodeBytes = 0;
    await this.#packs.add(nodes);
  }
}

/** Nothing is spread: there are thousands. */
function toPacked(
  { kind, bytes: plain }: NewChunk,
  address: Address,
  { codec, bases, bytes, fingerprints }: EncodedChunk,
): PackedChunk {
  // A raw chunk is a view into memory that its giver will use again.
  const kept = bytes.buffer === plain.buffer ? copyBytes(bytes) : bytes;
  return { address, kind, codec, length: plain.length, bytes: kept, bases, fingerprints };
}

/** What chunks may be told by: their numbers, and by these their place in a graph, or their plaintext. */
interface KnownBases {
  readonly numbers: DigestTable;
  readonly forms: Map<number, number | PlainBase>;
}

/** What a chunk may be told by, when the fingerprints of all of that are known. */
interface FingerprintedKin {
  readonly bases: readonly FingerprintedBase[];
  /** Whether the bytes are read none the less, to see whether they tell the same. */
  readonly isAudited: boolean;
}

/** @throws VecsnapError FINGERPRINTS_WRONG. */
function checkFingerprints(forms: EncodedChunk[]): EncodedChunk[] {
  if (forms.some(({ hasFalseFingerprints }) => hasFalseFingerprints === true)) throw fingerprintsWrong();
  return forms;
}

function fingerprintsWrong(): VecsnapError {
  return new VecsnapError(
    'FINGERPRINTS_WRONG',
    'The fingerprints of stored records are not those of their bytes.',
    {
      place: FINGERPRINTS_PREFIX,
      remedy:
        'Delete the folder fingerprints/ of the repository: nothing is restored from it. Then run verify, and take the snapshot again.',
    },
  );
}

/** In memory of their own: others are as long as the blob is that they stand in. */
function ownFingerprints(found: StoredFingerprints | undefined): StoredFingerprints | undefined {
  return found && { ...found, bytes: copyBytes(found.bytes) };
}

function alone({ bytes, width, unit }: NewChunk): ChunkToEncode {
  return { bytes, width, unit };
}

/** Chunks with what each may be told by. */
function withKin(chunks: readonly NewChunk[], similar: readonly (Similar | undefined)[]): NewChunk[] {
  return chunks.map((chunk, i) => ({ ...chunk, similar: similar[i] }));
}

/** A chunk with those it may be told by, as far as they are known. */
function withKnown(
  chunk: NewChunk,
  { numbers, forms }: KnownBases,
  fingerprinted: FingerprintedKin | undefined,
): ChunkToEncode {
  const { similar } = chunk;
  if (similar === undefined) return alone(chunk);
  const { unit } = similar;
  if (fingerprinted?.isAudited === false)
    return { ...alone(chunk), kin: { unit, chunks: [], fingerprinted: fingerprinted.bases } };
  const chunks = similar.addresses.flatMap((address) => forms.get(numbers.find(address)) ?? []);
  return { ...alone(chunk), kin: { unit, chunks, fingerprinted: fingerprinted?.bases } };
}

function toUnitPatch({ of: _, ...patch }: ChunkPatch): UnitPatch {
  return patch;
}

function* slices<T>(items: readonly T[], length: number): Generator<readonly T[]> {
  for (let start = 0; start < items.length; start += length) yield items.slice(start, start + length);
}

function checkLength(length: number, kind: ChunkKind): void {
  if (length <= maxChunkBytes(kind)) return;
  throw new VecsnapError(
    'ENCODING_INVALID',
    `A chunk would have ${length} bytes, and no more than ${maxChunkBytes(kind)} are kept together.`,
    { remedy: 'Make a repository whose nodes have fewer entries, or records of which fewer come together.' },
  );
}
