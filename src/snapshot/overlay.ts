/** A store on top of another that keeps what is put and deleted to itself: what a dry run would do can be done for real there. */
import type { BlobStat, BlobStore } from '../blob/port.js';
import { compareText, concatBytes, VecsnapError } from '../core/index.js';

/** See the head of this file. What is put is held in memory. */
export function overlayOn(below: BlobStore): BlobStore {
  const added = new Map<string, Uint8Array>();
  /** Names below that do not show any more. */
  const hidden = new Set<string>();
  const isBelow = (name: string): boolean => !hidden.has(name);
  return {
    place: below.place,
    async put(name, bytes) {
      if (added.has(name) || (isBelow(name) && (await below.stat(name)) !== undefined)) throw taken(name);
      hidden.add(name);
      added.set(name, bytes instanceof Uint8Array ? bytes.slice() : concatBytes(bytes));
    },
    async get(name) {
      const bytes = added.get(name);
      if (bytes === undefined && !isBelow(name)) throw missing(name);
      return bytes?.slice() ?? below.get(name);
    },
    async read(name, offset, into) {
      const bytes = added.get(name);
      if (bytes === undefined && !isBelow(name)) throw missing(name);
      if (bytes === undefined) return below.read(name, offset, into);
      const some = bytes.subarray(offset, offset + into.length);
      into.set(some);
      return some.length;
    },
    async stat(name) {
      const bytes = added.get(name);
      if (bytes !== undefined) return { name, size: bytes.length };
      return isBelow(name) ? below.stat(name) : undefined;
    },
    async *list(prefix) {
      const all: BlobStat[] = [];
      for await (const stat of below.list(prefix)) if (isBelow(stat.name)) all.push(stat);
      for (const [name, { length }] of added) if (name.startsWith(prefix)) all.push({ name, size: length });
      yield* all.toSorted((a, b) => compareText(a.name, b.name));
    },
    async delete(name) {
      added.delete(name);
      hidden.add(name);
    },
    async close() {},
  };
}

function taken(name: string): VecsnapError {
  return new VecsnapError('BLOB_EXISTS', 'The store has a blob of this name already.', {
    place: name,
    remedy: 'Use another name: blobs are never overwritten.',
  });
}

function missing(name: string): VecsnapError {
  return new VecsnapError('BLOB_MISSING', 'The store has no blob of this name.', {
    place: name,
    remedy: 'Verify the repository to learn what else is missing.',
  });
}
