/**
 * Chunks with all that they copy from, as a few arrays: so thousands of small pieces are sent to another thread in the time of one.
 *
 * The stored bytes may still stand in files that are open. Whoever decodes the chunks reads them, so that in a pool of threads
 * neither the reading nor the bytes go through the one that everything else goes through.
 */
// Straight from their files and not from core's index: a worker that starts with these loads nothing else.
import { type Address, ADDRESS_LENGTH } from '../core/address.js';
import type { StoredChunk } from './codec.js';
import type { Fresh } from './pieces.js';

/** See the head of this file. Each chunk has a number; it is larger than those of the chunks it copies from. */
export interface ChunkGraph {
  /** The numbers of the chunks that are wanted. */
  readonly roots: Uint32Array;
  /** Six numbers for each chunk, see {@link FIELDS}. */
  readonly fields: Float64Array;
  /** Joined, in the order of the chunks. */
  readonly addresses: Uint8Array;
  /** The numbers of what the first chunk copies from, the second, and so on. */
  readonly bases: Uint32Array;
  /** The stored bytes of those chunks that are in memory, by their numbers. */
  readonly memory: readonly Uint8Array[];
}

/** The place of a number among those of a chunk. */
export const FIELDS = {
  codec: 0,
  /** Bytes of the plaintext. */
  length: 1,
  /** Of an open file of this process, or {@link IN_MEMORY}. */
  descriptor: 2,
  offset: 3,
  storedLength: 4,
  baseCount: 5,
} as const;

/** Numbers for each chunk. */
export const FIELD_COUNT = 6;
/** In place of a descriptor. */
export const IN_MEMORY = -1;

/** Reads from a file at an offset. Gives the bytes read, which are fewer than fit only when the file ends before. */
export type ReadFile = (descriptor: number, into: Uint8Array, offset: number) => number;

/** Chunks closer together than this are read in one go. */
export const READ_GAP = 16 * 1024;

/** Bytes of the plaintexts of the wanted chunks: a delta of a few bytes may stand for many. */
export function plainBytes({ roots, fields }: ChunkGraph): number {
  let sum = 0;
  for (let i = 0; i < roots.length; i++)
    sum += fields[(roots[i] as number) * FIELD_COUNT + FIELDS.length] as number;
  return sum;
}

/** The address of the n-th wanted chunk. */
export function addressOfRoot({ roots, addresses }: ChunkGraph, n: number): Address {
  const at = (roots[n] as number) * ADDRESS_LENGTH;
  return addresses.slice(at, at + ADDRESS_LENGTH) as Address;
}

/** Chunks that stand alone, in memory, as a graph. */
export function graphInMemory(chunks: readonly Omit<StoredChunk, 'bases'>[]): ChunkGraph {
  const addresses = new Uint8Array(chunks.length * ADDRESS_LENGTH);
  for (const [i, { address }] of chunks.entries()) addresses.set(address, i * ADDRESS_LENGTH);
  return {
    roots: Uint32Array.from(chunks.keys()),
    fields: Float64Array.from(
      chunks.flatMap(({ codec, length, bytes }) => [codec, length, IN_MEMORY, 0, bytes.length, 0]),
    ),
    addresses,
    bases: new Uint32Array(0),
    memory: chunks.map(({ bytes }) => bytes),
  };
}

/** The one wanted chunk of a graph, which stands last in it, in several other forms. Its bytes and those of all that it copies from are in memory. */
export function inOtherForms(
  { fields, addresses, bases, memory }: ChunkGraph,
  forms: readonly Uint8Array[],
): ChunkGraph {
  const last = fields.length / FIELD_COUNT - 1;
  const own = fields.subarray(last * FIELD_COUNT);
  const ownBases = bases.subarray(bases.length - (own[FIELDS.baseCount] as number));
  const more = forms.length - 1;
  const all: ChunkGraph = {
    roots: Uint32Array.from(forms, (_, i) => last + i),
    fields: new Float64Array(fields.length + more * own.length),
    addresses: new Uint8Array(addresses.length + more * ADDRESS_LENGTH),
    bases: new Uint32Array(bases.length + more * ownBases.length),
    memory: [...memory.slice(0, last), ...forms],
  };
  all.fields.set(fields);
  all.addresses.set(addresses);
  all.bases.set(bases);
  for (const [i, { length }] of forms.entries()) {
    all.fields.set(own, (last + i) * FIELD_COUNT);
    all.fields[(last + i) * FIELD_COUNT + FIELDS.storedLength] = length;
    all.addresses.set(addresses.subarray(last * ADDRESS_LENGTH), (last + i) * ADDRESS_LENGTH);
    all.bases.set(ownBases, bases.length + (i - 1) * ownBases.length);
  }
  return all;
}

/**
 * The stored bytes of the chunks of a graph. Those that stand in files are read into memory that the caller gives, near ones together. Where a
 * file ends before a chunk does, the chunk has fewer bytes than it should, and cannot be decoded.
 */
export class StoredGraph {
  readonly graph: ChunkGraph;
  /** All chunks, also those that are in memory. */
  readonly count: number;
  /** What is read takes so many bytes. */
  readonly byteLength: number;
  /** Where each chunk that is read begins in the memory for that, and for every chunk its stored bytes that are there. */
  readonly #places: Float64Array;
  readonly #sizes: Float64Array;
  /** For each reading the descriptor, the offset and the length. */
  readonly #readings: number[] = [];
  #memory: Uint8Array = new Uint8Array(0);

  constructor(graph: ChunkGraph) {
    const { fields } = graph;
    this.graph = graph;
    this.count = fields.length / FIELD_COUNT;
    this.#places = new Float64Array(this.count);
    this.#sizes = new Float64Array(this.count);
    for (let number = 0; number < this.count; number++)
      this.#sizes[number] = fields[number * FIELD_COUNT + FIELDS.storedLength] as number;
    this.byteLength = this.#planReadings();
  }

  /** Says what is read from where to where. Gives the bytes that it takes. */
  #planReadings(): number {
    const { fields } = this.graph;
    const readings = this.#readings;
    let total = 0;
    let descriptor = IN_MEMORY;
    let first = 0;
    let until = 0;
    for (const number of inReadingOrder(fields)) {
      const offset = fields[number * FIELD_COUNT + FIELDS.offset] as number;
      const file = fields[number * FIELD_COUNT + FIELDS.descriptor] as number;
      if (file !== descriptor || offset - until > READ_GAP) {
        if (descriptor !== IN_MEMORY) readings.push(descriptor, first, until - first);
        total += until - first;
        descriptor = file;
        first = until = offset;
      }
      this.#places[number] = total + offset - first;
      until = Math.max(until, offset + (this.#sizes[number] as number));
    }
    if (descriptor !== IN_MEMORY) readings.push(descriptor, first, until - first);
    return total + until - first;
  }

  /** Reads what stands in files into `memory`, which has {@link byteLength} bytes. */
  read(readFile: ReadFile, memory: Uint8Array): void {
    this.#memory = memory;
    for (let i = 0, place = 0; i < this.#readings.length; i += 3) {
      const length = this.#readings[i + 2] as number;
      const into = memory.subarray(place, place + length);
      const read = readFile(this.#readings[i] as number, into, this.#readings[i + 1] as number);
      if (read < length) this.#cut(place, read, length);
      place += length;
    }
  }

  /** Of `length` bytes at `place`, only some could be read. */
  #cut(place: number, read: number, length: number): void {
    for (let number = 0; number < this.count; number++) {
      const from = (this.#places[number] as number) - place;
      if (this.isInMemory(number) || from < 0 || from >= length) continue;
      this.#sizes[number] = Math.max(0, Math.min(this.#sizes[number] as number, read - from));
    }
  }

  /** Says that what was read stands in other memory now. */
  moveTo(memory: Uint8Array): void {
    this.#memory = memory;
  }

  /** Whether a chunk need not be read. */
  isInMemory(number: number): boolean {
    return this.graph.fields[number * FIELD_COUNT + FIELDS.descriptor] === IN_MEMORY;
  }

  /** Where a chunk that was read begins in the memory for that. */
  placeOf(number: number): number {
    return this.#places[number] as number;
  }

  /** The stored bytes of a chunk that are there. */
  sizeOf(number: number): number {
    return this.#sizes[number] as number;
  }

  /** The stored bytes of a chunk. */
  bytesOf(number: number): Uint8Array {
    if (this.isInMemory(number)) return this.graph.memory[number] as Uint8Array;
    const place = this.placeOf(number);
    return this.#memory.subarray(place, place + this.sizeOf(number));
  }

  addressOf(number: number): Address {
    const { addresses } = this.graph;
    return addresses.subarray(number * ADDRESS_LENGTH, (number + 1) * ADDRESS_LENGTH) as Address;
  }

  /** The wanted chunks. */
  wanted(): StoredChunk[] {
    const { fields, bases, roots } = this.graph;
    const chunks: StoredChunk[] = [];
    for (let number = 0, nextBase = 0; number < this.count; number++) {
      const own: StoredChunk[] = [];
      for (let left = fields[number * FIELD_COUNT + FIELDS.baseCount] as number; left > 0; left--)
        own.push(chunks[bases[nextBase++] as number] as StoredChunk);
      chunks.push({
        address: this.addressOf(number),
        codec: fields[number * FIELD_COUNT + FIELDS.codec] as number,
        length: fields[number * FIELD_COUNT + FIELDS.length] as number,
        bytes: this.bytesOf(number),
        bases: own,
      });
    }
    return Array.from(roots, (root) => chunks[root] as StoredChunk);
  }
}

/**
 * The wanted chunks with their bytes.
 * @param room for the bytes that are read.
 */
export function readGraph(graph: ChunkGraph, readFile: ReadFile, room: Fresh): StoredChunk[] {
  const stored = new StoredGraph(graph);
  stored.read(readFile, room(stored.byteLength));
  return stored.wanted();
}

/** The numbers of the chunks that stand in files, by file and then by offset. */
function inReadingOrder(fields: Float64Array): number[] {
  const byFile = new Map<number, number[]>();
  for (let at = 0, number = 0; at < fields.length; at += FIELD_COUNT, number++) {
    const descriptor = fields[at + FIELDS.descriptor] as number;
    if (descriptor === IN_MEMORY) continue;
    const numbers = byFile.get(descriptor);
    if (numbers === undefined) byFile.set(descriptor, [number]);
    else numbers.push(number);
  }
  const offsetOf = (number: number): number => fields[number * FIELD_COUNT + FIELDS.offset] as number;
  return [...byFile.values()].flatMap((numbers) => {
    // What was written in one order is mostly read in that order.
    const isInOrder = numbers.every(
      (number, i) => i === 0 || offsetOf(numbers[i - 1] as number) <= offsetOf(number),
    );
    return isInOrder ? numbers : numbers.sort((a, b) => offsetOf(a) - offsetOf(b));
  });
}
