/** Chunks that were looked up, with all that they copy from: where each stands, and what it copies from. */
import {
  type Address,
  ADDRESS_LENGTH,
  type ChunkKind,
  DigestTable,
  formatAddress,
  VecsnapError,
} from '../core/index.js';
import { type ChunkGraph, FIELD_COUNT, FIELDS, IN_MEMORY, READ_GAP } from './chunk-graph.js';
import { CODECS, isKnownCodec, MAX_CHAIN } from './codec.js';
import type { Location } from './index-port.js';

/** Where a chunk stands, and how it is kept there. */
export type StoredForm = Omit<Location, 'baseCount'>;

/** The stored bytes of chunks: in memory by their numbers, or in open files by the packs they stand in. */
export type StoredBytes =
  { readonly memory: readonly Uint8Array[] } | { readonly descriptors: ReadonlyMap<string, number> };

/** Chunks of a pack that are read in one go. */
export interface Run {
  readonly pack: string;
  readonly offset: number;
  readonly length: number;
  readonly numbers: readonly number[];
}

/** Chunks that were asked for, among all that were found for that. */
export interface WantedChunks {
  readonly found: FoundChunks;
  /** Their numbers, in the order in which they were asked for. */
  readonly roots: readonly number[];
}

/** Bytes that are read in one go, at most, unless one chunk has more. */
const READ_BYTES = 2 * 1024 * 1024;
const NO_BASES: readonly number[] = [];
const NOBODY = -1;
/** In place of the length of a chain. */
const UNSEEN = -1;

/**
 * See the head of this file. Each chunk has a number, in the order in which it was first mentioned; the caller then says where it
 * stands. A read may come to thousands of small chunks, which is why there is no object for each.
 */
export class FoundChunks {
  readonly addresses: Address[] = [];
  /** By the numbers of the chunks. Of one that is at hand, that of its plaintext, which stands in no pack. */
  readonly forms: StoredForm[] = [];
  /** The plaintexts of those that need not be read, by their numbers. */
  readonly atHand = new Map<number, Uint8Array>();
  readonly #bases: (readonly number[])[] = [];
  /** The first chunk that copies from each. */
  readonly #dependants: number[] = [];
  readonly #table = new DigestTable();
  /** The numbers of chunks by their numbers in the table. */
  readonly #numbers: number[] = [];
  /** The numbers of chunks by their keys, and the keys by the numbers: see {@link setKey}. */
  readonly #byKey = new Map<number, number>();
  readonly #keys: (number | undefined)[] = [];

  /** The number of a chunk, which is given one if it has none. */
  mention(address: Address, dependant = NOBODY): number {
    const known = this.#table.size;
    const entry = this.#table.add(address);
    if (entry < known) return this.#numbers[entry] as number;
    return (this.#numbers[entry] = this.#number(address, dependant));
  }

  /** Adds a copy of a chunk, which may be mentioned besides. Gives its number. */
  addCopy(address: Address): number {
    return this.#number(address, NOBODY);
  }

  /** Says where a chunk stands and what it copies from, which is thereby mentioned. */
  place(number: number, form: StoredForm, bases: readonly Address[]): void {
    this.forms[number] = form;
    if (bases.length > 0) this.#bases[number] = bases.map((base) => this.mention(base, number));
  }

  /** The number that an index has for a chunk: its key, by which it is known from now on besides its address. */
  setKey(number: number, key: number): void {
    this.#keys[number] = key;
    if (!this.#byKey.has(key)) this.#byKey.set(key, number);
  }

  /** Undefined while it has none. */
  keyOf(number: number): number | undefined {
    return this.#keys[number];
  }

  /**
   * The same as {@link place} by the keys of what a chunk copies from: to go by numbers takes a fraction of the time that addresses
   * take.
   * @param addressOf tells the address of a chunk by its key.
   */
  placeByKeys(
    number: number,
    form: StoredForm,
    bases: Uint32Array,
    addressOf: (key: number) => Address,
  ): void {
    this.forms[number] = form;
    if (bases.length === 0) return;
    const own: number[] = [];
    for (const key of bases) {
      const known = this.#byKey.get(key) ?? this.#number(addressOf(key), number);
      if (this.#keys[known] !== key) this.setKey(known, key);
      own.push(known);
    }
    this.#bases[number] = own;
  }

  /** Gives a chunk that somebody has read before, and compared with its address: whatever it copies from is not needed. */
  placeAtHand(number: number, plain: Uint8Array): void {
    const length = plain.length;
    this.atHand.set(number, plain);
    this.forms[number] = {
      pack: '',
      kind: 'node',
      codec: CODECS.raw,
      offset: 0,
      storedLength: length,
      length,
    };
  }

  /** The packs in which those stand that are to be read. */
  packs(): Set<string> {
    const packs = new Set<string>();
    for (let number = 0; number < this.forms.length; number++)
      if (!this.atHand.has(number)) packs.add((this.forms[number] as StoredForm).pack);
    return packs;
  }

  /** What is to be read, near chunks together. */
  runs(): Run[] {
    const wanted = [...this.forms.keys()].filter((number) => !this.atHand.has(number));
    const runs: (Run & { length: number; readonly numbers: number[] })[] = [];
    for (const number of wanted.toSorted((a, b) => inReadingOrder(this.#form(a), this.#form(b)))) {
      const { pack, offset, storedLength } = this.#form(number);
      const run = runs.at(-1);
      const end = offset + storedLength;
      const isNear = run?.pack === pack && offset - (run.offset + run.length) <= READ_GAP;
      if (run === undefined || !isNear || end - run.offset > READ_BYTES) {
        runs.push({ pack, offset, length: storedLength, numbers: [number] });
      } else {
        run.length = Math.max(run.length, end - run.offset);
        run.numbers.push(number);
      }
    }
    return runs;
  }

  #form(number: number): StoredForm {
    return this.forms[number] as StoredForm;
  }

  basesOf(number: number): readonly number[] {
    return this.#bases[number] as readonly number[];
  }

  /** A chunk that copies from this one, if that is why it was mentioned. */
  dependantOf(number: number): Address | undefined {
    return this.addresses[this.#dependants[number] as number];
  }

  /**
   * Chunks with all that they copy from; all of it must have been placed.
   * @throws VecsnapError CHUNK_DAMAGED for one that copies from itself, or is more than {@link MAX_CHAIN} deltas away from one that
   * stands alone, the longest way.
   */
  graph(roots: readonly number[], bytes: StoredBytes): ChunkGraph {
    const order = this.#inOrder(roots);
    const renumbered = new Uint32Array(this.addresses.length);
    const fields = new Float64Array(order.length * FIELD_COUNT);
    const addresses = new Uint8Array(order.length * ADDRESS_LENGTH);
    const bases: number[] = [];
    const memory: Uint8Array[] = [];
    for (let i = 0, at = 0; i < order.length; i++, at += FIELD_COUNT) {
      const number = order[i] as number;
      const { codec, length, pack, offset, storedLength } = this.forms[number] as StoredForm;
      const ownBases = this.basesOf(number);
      fields[at + FIELDS.codec] = codec;
      fields[at + FIELDS.length] = length;
      fields[at + FIELDS.offset] = offset;
      fields[at + FIELDS.storedLength] = storedLength;
      fields[at + FIELDS.baseCount] = ownBases.length;
      const inMemory = this.#inMemory(number, bytes);
      if (inMemory !== undefined) memory[i] = inMemory;
      fields[at + FIELDS.descriptor] = inMemory ? IN_MEMORY : descriptorOf(pack, bytes);
      addresses.set(this.addresses[number] as Address, i * ADDRESS_LENGTH);
      for (let j = 0; j < ownBases.length; j++) bases.push(renumbered[ownBases[j] as number] as number);
      renumbered[number] = i;
    }
    const wanted = new Uint32Array(roots.length);
    for (let i = 0; i < roots.length; i++) wanted[i] = renumbered[roots[i] as number] as number;
    return { roots: wanted, fields, addresses, bases: Uint32Array.from(bases), memory };
  }

  #inMemory(number: number, bytes: StoredBytes): Uint8Array | undefined {
    return this.atHand.get(number) ?? ('memory' in bytes ? bytes.memory[number] : undefined);
  }

  #number(address: Address, dependant: number): number {
    this.#bases.push(NO_BASES);
    this.#dependants.push(dependant);
    return this.addresses.push(address) - 1;
  }

  /** Chunks and all that they copy from, each after what it copies from. */
  #inOrder(roots: readonly number[]): number[] {
    const order: number[] = [];
    const chains = new Int8Array(this.addresses.length).fill(UNSEEN);
    for (const root of roots) this.#visit(root, 0, chains, order);
    return order;
  }

  /**
   * Puts a chunk behind all that it copies from. The rounds in which chunks were found are those of the shortest way to each; a longer
   * way may have any length, or no end.
   * @param chains for those that were left: how many deltas each is away from a chunk that stands alone, the longest way.
   */
  #visit(number: number, depth: number, chains: Int8Array, order: number[]): number {
    const known = chains[number] as number;
    if (known !== UNSEEN) return known;
    let chain = 0;
    if (depth <= MAX_CHAIN) {
      const bases = this.basesOf(number);
      for (let i = 0; i < bases.length; i++)
        chain = Math.max(chain, 1 + this.#visit(bases[i] as number, depth + 1, chains, order));
    }
    if (depth > MAX_CHAIN || chain > MAX_CHAIN) throw chainTooLong(this.addresses[number] as Address);
    chains[number] = chain;
    order.push(number);
    return chain;
  }
}

function inReadingOrder(a: StoredForm, b: StoredForm): number {
  return a.pack === b.pack ? a.offset - b.offset : a.pack < b.pack ? -1 : 1;
}

function descriptorOf(pack: string, bytes: StoredBytes): number {
  return 'descriptors' in bytes ? (bytes.descriptors.get(pack) as number) : IN_MEMORY;
}

/** So many bytes of plaintext may be needed to tell some chunks, besides so many times their own. */
const MOST_BASE_BYTES = 2 ** 30;
const MOST_BASE_SHARE = 64;

/** Keeps deltas that are a few bytes long from copying from everything there is: what they copy from is held in memory. */
export class BaseLimit {
  #left = MOST_BASE_BYTES;

  add(address: Address, { length }: StoredForm, isBase: boolean): void {
    this.#left += isBase ? -length : MOST_BASE_SHARE * length;
    if (this.#left < 0) throw copiesTooMuch(address);
  }
}

/** Chunks that were found, and their stored bytes, for as long as somebody uses them. */
export class UsedChunks {
  readonly found: FoundChunks;
  /** The numbers of the chunks that are wanted. */
  readonly roots: readonly number[];
  readonly #bytes: StoredBytes;

  constructor({ found, roots }: WantedChunks, bytes: StoredBytes) {
    this.found = found;
    this.roots = roots;
    this.#bytes = bytes;
  }

  /** Some of them with all that they copy from, to be decoded. @throws VecsnapError CHUNK_DAMAGED for one that copies from itself, or by too long a chain. */
  graph(numbers: readonly number[] = this.roots): ChunkGraph {
    return this.found.graph(numbers, this.#bytes);
  }

  /** The stored bytes of a chunk, where they are in memory. */
  bytesInMemory(number: number): Uint8Array {
    if (!('memory' in this.#bytes)) throw new TypeError('the bytes stand in files');
    return this.#bytes.memory[number] as Uint8Array;
  }
}

/** A chunk that no pack holds. @param dependant the delta that copies from it, if that is why it is wanted. */
export function chunkMissing(address: Address, dependant?: Address): VecsnapError {
  return new VecsnapError('CHUNK_MISSING', 'A chunk stands in no pack.', {
    place: `${formatAddress(address, 'data')}${neededBy(dependant, 'data')}`,
    remedy:
      'Run verify to see which snapshots this concerns, and repair, which may find the chunk. A new snapshot of the same source writes it again.',
  });
}

/**
 * A chunk whose bytes are not what its address says, or that is kept in a codec of a later version.
 * @param dependant the delta that copies from it, if that is why it is wanted.
 */
export function chunkDamaged(
  address: Address,
  { pack, kind, codec }: Pick<Location, 'pack' | 'kind' | 'codec'>,
  dependant?: Address,
): VecsnapError {
  const place = `${formatAddress(address, kind)} in ${pack}${neededBy(dependant, kind)}`;
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
      'Put the pack back from another copy if there is one; else run vecsnap repair, which mends or notes it, and take a new snapshot of the source.',
  });
}

function neededBy(dependant: Address | undefined, kind: ChunkKind): string {
  return dependant === undefined ? '' : `, which ${formatAddress(dependant, kind)} copies from`;
}

/** A chunk that copies from itself, or by too many deltas in a row. */
export function chainTooLong(address: Address): VecsnapError {
  return new VecsnapError(
    'CHUNK_DAMAGED',
    'A chunk is told by a longer chain of others than any that is written.',
    {
      place: formatAddress(address, 'data'),
      remedy: 'Run verify to see which snapshots this concerns.',
    },
  );
}

function copiesTooMuch(address: Address): VecsnapError {
  return new VecsnapError(
    'CHUNK_DAMAGED',
    'Chunks are told by far more of others than any that are written.',
    {
      place: formatAddress(address, 'data'),
      remedy: 'Run verify to see which snapshots this concerns.',
    },
  );
}
