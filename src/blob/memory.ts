/** Blobs in memory, for tests and for repositories that live as long as the program. Nothing in it is durable. */
import { concatBytes } from '../core/index.js';
import { blobExists, blobMissing, checkBlobName, checkRead, partsOf } from './name.js';
import type { BlobStat, BlobStore } from './port.js';

/** A store that keeps its blobs in memory. */
export function memoryBlobStore(): BlobStore {
  return new MemoryBlobStore();
}

class MemoryBlobStore implements BlobStore {
  readonly place = 'memory';
  readonly #blobs = new Map<string, Uint8Array>();

  async put(name: string, bytes: Uint8Array | readonly Uint8Array[]): Promise<void> {
    checkBlobName(name);
    if (this.#blobs.has(name)) throw blobExists(this.place, name);
    this.#blobs.set(name, concatBytes(partsOf(bytes)));
  }

  async get(name: string): Promise<Uint8Array> {
    checkBlobName(name);
    return this.#blob(name).slice();
  }

  async read(name: string, offset: number, into: Uint8Array): Promise<number> {
    checkRead(name, offset);
    const bytes = this.#blob(name).subarray(offset, offset + into.length);
    into.set(bytes);
    return bytes.length;
  }

  async stat(name: string): Promise<BlobStat | undefined> {
    checkBlobName(name);
    const blob = this.#blobs.get(name);
    return blob && { name, size: blob.length };
  }

  async *list(prefix: string): AsyncIterable<BlobStat> {
    const names = [...this.#blobs.keys()].filter((name) => name.startsWith(prefix)).toSorted();
    for (const name of names) {
      const blob = this.#blobs.get(name);
      if (blob) yield { name, size: blob.length };
    }
  }

  async delete(name: string): Promise<void> {
    checkBlobName(name);
    this.#blobs.delete(name);
  }

  async close(): Promise<void> {
    // There are no handles.
  }

  #blob(name: string): Uint8Array {
    const blob = this.#blobs.get(name);
    if (blob === undefined) throw blobMissing(this.place, name);
    return blob;
  }
}
