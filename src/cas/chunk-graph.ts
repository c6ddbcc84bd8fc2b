/**
 * Chunks with all that they copy from, as a few arrays: so thousands of small pieces are sent to another thread in the time of one.
 *
 * The stored bytes may still stand in files that are open. Whoever decodes the chunks reads them, so that in a pool of threads
 * neither the reading nor the bytes go through the one that everything else goes through.
 */
// Straight from their files and not from core's index: a worker that starts with these loads nothing else.
import { type Address, ADDRESS_LENGTH } from '../core/address.js';
import type { StoredChunk } from './codec.js';

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

/** Gives memory of any content. */
export type Room = (length: number) => Uint8Array;

/** Chunks closer together than this are read in one go. */
const READ_GAP = 16 * 1024;

/** Bytes of the plaintexts of the wanted chunks: a delta of a few bytes may stand for many. */
export function plainBytes({ roots, fields }: ChunkGraph): number {
  let sum = 0;
  for (const root of roots) sum += fields[root * FIELD_COUNT + FIELDS.length] as number;
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
  const times = <T>(part: Iterable<T>): T[] => forms.flatMap(() => [...part]);
  const allFields = Float64Array.from([...fields.subarray(0, last * FIELD_COUNT), ...times(own)]);
  for (const [i, { length }] of forms.entries())
    allFields[(last + i) * FIELD_COUNT + FIELDS.storedLength] = length;
  return {
    roots: Uint32Array.from(forms, (_, i) => last + i),
    fields: allFields,
    addresses: Uint8Array.from([
      ...addresses.subarray(0, last * ADDRESS_LENGTH),
      ...times(addresses.subarray(last * ADDRESS_LENGTH)),
    ]),
    bases: Uint32Array.from([...bases.subarray(0, bases.length - ownBases.length), ...times(ownBases)]),
    memory: [...memory.slice(0, last), ...forms],
  };
}

/**
 * The wanted chunks with their bytes. Where a file ends before a chunk does, the chunk has fewer bytes than it should, and cannot be
 * decoded.
 * @param room for the bytes that are read.
 */
export function readGraph(graph: ChunkGraph, readFile: ReadFile, room: Room): StoredChunk[] {
  const { fields, addresses, bases, memory, roots } = graph;
  const read = readRanges(fields, readFile, room);
  const chunks: StoredChunk[] = [];
  let nextBase = 0;
  for (let at = 0, number = 0; at < fields.length; at += FIELD_COUNT, number++) {
    const own: StoredChunk[] = [];
    for (let left = fields[at + FIELDS.baseCount] as number; left > 0; left--)
      own.push(chunks[bases[nextBase++] as number] as StoredChunk);
    chunks.push({
      address: addresses.subarray(number * ADDRESS_LENGTH, (number + 1) * ADDRESS_LENGTH) as Address,
      codec: fields[at + FIELDS.codec] as number,
      length: fields[at + FIELDS.length] as number,
      bytes: (memory[number] ?? read[number]) as Uint8Array,
      bases: own,
    });
  }
  return Array.from(roots, (root) => chunks[root] as StoredChunk);
}

/** The bytes of each chunk that stands in a file, by its number. Those near each other are read together. */
function readRanges(fields: Float64Array, readFile: ReadFile, room: Room): Uint8Array[] {
  const field = (number: number, which: number): number => fields[number * FIELD_COUNT + which] as number;
  const numbers: number[] = [];
  for (let number = 0; number * FIELD_COUNT < fields.length; number++)
    if (field(number, FIELDS.descriptor) !== IN_MEMORY) numbers.push(number);
  numbers.sort(
    (a, b) =>
      field(a, FIELDS.descriptor) - field(b, FIELDS.descriptor) ||
      field(a, FIELDS.offset) - field(b, FIELDS.offset),
  );
  const results: Uint8Array[] = [];
  for (let start = 0; start < numbers.length;) {
    const descriptor = field(numbers[start] as number, FIELDS.descriptor);
    const first = field(numbers[start] as number, FIELDS.offset);
    let until = first;
    let end = start;
    for (; end < numbers.length; end++) {
      const next = numbers[end] as number;
      const offset = field(next, FIELDS.offset);
      if (field(next, FIELDS.descriptor) !== descriptor || offset - until > READ_GAP) break;
      until = Math.max(until, offset + field(next, FIELDS.storedLength));
    }
    const bytes = room(until - first);
    const filled = bytes.subarray(0, readFile(descriptor, bytes, first));
    for (; start < end; start++) {
      const number = numbers[start] as number;
      const from = field(number, FIELDS.offset) - first;
      results[number] = filled.subarray(from, from + field(number, FIELDS.storedLength));
    }
  }
  return results;
}
