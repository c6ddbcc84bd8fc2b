/**
 * A {@link ChunkTable} in WebAssembly (kernels/table.ts), where a directory of thousands of chunks takes well under a millisecond. In TypeScript,
 * which is not warm yet when the index is made, it takes ten.
 */
import { type Address, ADDRESS_LENGTH } from '../core/index.js';
import { growMemory } from '../core/wasm.js';
import {
  type ChunkTable,
  type InspectedDirectory,
  NONE,
  PlainChunkTable,
  ROW_LENGTH,
} from './chunk-table.js';
import { newKernels, type TableKernels } from './kernels.js';

/** More is kept in TypeScript. As a table doubles when it is full, that is from about eight million chunks on. */
const MOST_BYTES = 2 ** 30;
const FIRST_CHUNKS = 1024;
/** Loops may read up to this many bytes after the end of what they are given. */
const SPARE_BYTES = 64;
/** Room for an address, which there always is. */
const LEAST_SCRATCH_BYTES = ADDRESS_LENGTH + SPARE_BYTES;
const BYTES_OF_NUMBER = 4;

/** Where the parts of a table stand in the memory. */
interface Layout {
  readonly chunks: number;
  readonly bases: number;
  /** A power of two. */
  readonly slots: number;
  readonly slotsAt: number;
  readonly addressesAt: number;
  readonly rowsAt: number;
  readonly basesAt: number;
  /** For what functions are given. */
  readonly scratchAt: number;
}

/** See the head of this file. */
export class KernelChunkTable implements ChunkTable {
  readonly #kernels: TableKernels;
  #memory: Uint8Array;
  #layout: Layout;
  rows: Uint32Array = new Uint32Array(0);
  bases: Uint32Array = new Uint32Array(0);

  /** Undefined when the machine has no kernels. */
  static create(): KernelChunkTable | undefined {
    const kernels = newKernels();
    if (kernels === undefined) return undefined;
    const table = new KernelChunkTable(kernels);
    return table.#moveTo(layoutFor(FIRST_CHUNKS, FIRST_CHUNKS, kernels.heapStart())) ? table : undefined;
  }

  private constructor(kernels: TableKernels) {
    this.#kernels = kernels;
    this.#memory = new Uint8Array(kernels.memory.buffer);
    this.#layout = layoutFor(0, 0, kernels.heapStart());
  }

  get size(): number {
    return this.#kernels.tableSize();
  }

  get basesTaken(): number {
    return this.#kernels.tableBases();
  }

  find(address: Address): number {
    return this.#kernels.findAddress(this.#given(address));
  }

  add(address: Address): number {
    if (this.size >= this.#layout.chunks) throw new RangeError('the table is full');
    return this.#kernels.addAddress(this.#given(address));
  }

  /** A copy, because the memory may be another one later. */
  at(number: number): Address {
    if (!(number >= 0 && number < this.size)) throw new RangeError(`no address has the number ${number}`);
    const start = this.#layout.addressesAt + number * ADDRESS_LENGTH;
    return this.#memory.slice(start, start + ADDRESS_LENGTH) as Address;
  }

  takeBases(count: number): number {
    if (this.basesTaken + count > this.#layout.bases) throw new RangeError('the table is full');
    return this.#kernels.takeBases(count);
  }

  withRoom(chunks: number, bases: number): ChunkTable {
    const now = this.#layout;
    if (chunks <= now.chunks && bases <= now.bases) return this;
    const layout = layoutFor(
      chunks <= now.chunks ? now.chunks : Math.max(chunks, 2 * now.chunks),
      bases <= now.bases ? now.bases : Math.max(bases, 2 * now.bases),
      now.slotsAt,
    );
    return this.#moveTo(layout) ? this : PlainChunkTable.copyOf(this).withRoom(chunks, bases);
  }

  inspect(directory: Uint8Array): InspectedDirectory | undefined {
    const at = this.#given(directory);
    const entries = at < 0 ? -1 : this.#kernels.inspectDirectory(at, directory.length);
    if (entries < 0) return undefined;
    const { inspectedEnd, inspectedBases, inspectedRivals } = this.#kernels;
    return { entries, end: inspectedEnd(), bases: inspectedBases(), rivals: inspectedRivals() };
  }

  addInspected(directory: Uint8Array, pack: number): boolean {
    const at = this.#given(directory);
    if (at >= 0) this.#kernels.addDirectory(at, directory.length, pack);
    return at >= 0;
  }

  /** Puts bytes where functions read them. @returns -1 when there is no room. */
  #given(bytes: Uint8Array): number {
    const { scratchAt } = this.#layout;
    if (!this.#grow(scratchAt + bytes.length + SPARE_BYTES)) return -1;
    this.#memory.set(bytes, scratchAt);
    return scratchAt;
  }

  #moveTo(layout: Layout): boolean {
    if (!this.#grow(layout.scratchAt + LEAST_SCRATCH_BYTES)) return false;
    const old = this.#layout;
    const { size, basesTaken } = this;
    // The last first: all of them move towards the end.
    this.#move(old.basesAt, layout.basesAt, basesTaken * BYTES_OF_NUMBER);
    this.#move(old.rowsAt, layout.rowsAt, size * ROW_LENGTH * BYTES_OF_NUMBER);
    this.#move(old.addressesAt, layout.addressesAt, size * ADDRESS_LENGTH);
    this.#layout = layout;
    this.#lookAt();
    this.rows.fill(NONE, size * ROW_LENGTH);
    const { slotsAt, slots, addressesAt, rowsAt, basesAt } = layout;
    this.#kernels.placeTable(slotsAt, slots, addressesAt, rowsAt, basesAt);
    return true;
  }

  #move(from: number, to: number, length: number): void {
    this.#memory.copyWithin(to, from, from + length);
  }

  /** False when the machine gives no more memory. */
  #grow(bytes: number): boolean {
    if (bytes <= this.#memory.length) return true;
    if (bytes > MOST_BYTES || !growMemory(this.#kernels.memory, bytes - this.#memory.length)) return false;
    this.#memory = new Uint8Array(this.#kernels.memory.buffer);
    this.#lookAt();
    return true;
  }

  #lookAt(): void {
    const { rowsAt, chunks, basesAt, bases } = this.#layout;
    this.rows = new Uint32Array(this.#memory.buffer, rowsAt, chunks * ROW_LENGTH);
    this.bases = new Uint32Array(this.#memory.buffer, basesAt, bases);
  }
}

function layoutFor(chunks: number, bases: number, start: number): Layout {
  const slots = 2 ** Math.ceil(Math.log2(Math.max(1, 2 * chunks)));
  const slotsAt = aligned(start);
  const addressesAt = aligned(slotsAt + slots * BYTES_OF_NUMBER);
  const rowsAt = aligned(addressesAt + chunks * ADDRESS_LENGTH);
  const basesAt = aligned(rowsAt + chunks * ROW_LENGTH * BYTES_OF_NUMBER);
  const scratchAt = aligned(basesAt + bases * BYTES_OF_NUMBER);
  return { chunks, bases, slots, slotsAt, addressesAt, rowsAt, basesAt, scratchAt };
}

function aligned(place: number): number {
  return Math.ceil(place / 16) * 16;
}
