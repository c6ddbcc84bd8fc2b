/** Disks and code that are wrong on purpose. Each must make some crash state fail, or the enumeration is blind to it. */
import type { BlobStore, FsBlobStore } from 'vecsnap/blob';
import type { DiskTraits } from './disk.js';
import { methodsWithoutParts } from '../support/stores.js';
import type { CodeFlaws } from './world.js';

/** See the head of this file. */
export interface Mutant {
  readonly traits?: DiskTraits;
  readonly flaws?: CodeFlaws;
}

type Part = Pick<BlobStore, 'put' | 'delete' | 'close'>;

/** The blobs with some methods in the place of their own. What comes in parts is put as a whole. */
function altered(blobs: FsBlobStore, make: (blobs: FsBlobStore) => Partial<Part>): BlobStore {
  const own = { ...methodsWithoutParts(blobs), ...make(blobs) };
  return {
    ...own,
    async putParts(name, parts) {
      const all: Uint8Array[] = [];
      for await (const some of parts) all.push(...some.map((part) => part.slice())); // They may change once the next are asked for.
      await own.put(name, all);
    },
  };
}

const isPack = (name: string): boolean => name.startsWith('packs/');
const isSnapshot = (name: string): boolean => name.startsWith('snapshots/');
const isLock = (name: string): boolean => name.startsWith('locks/');

/** Packs are put when `isDue` says so for a call, or when the store is closed. */
function lazyPacks(
  blobs: FsBlobStore,
  isDue: (method: 'put' | 'delete', name: string) => 'before' | 'after' | 'no',
): BlobStore {
  const waiting: (() => Promise<void>)[] = [];
  const flush = async (): Promise<void> => {
    for (const put of waiting.splice(0)) await put();
  };
  const around = async (method: 'put' | 'delete', name: string, call: () => Promise<void>): Promise<void> => {
    const due = isDue(method, name);
    if (due === 'before') await flush();
    await call();
    if (due === 'after') await flush();
  };
  return altered(blobs, () => ({
    put: async (name, bytes) => {
      if (isPack(name)) waiting.push(() => blobs.put(name, bytes));
      else await around('put', name, () => blobs.put(name, bytes));
    },
    delete: (name) => around('delete', name, () => blobs.delete(name)),
    close: async () => {
      await flush();
      await blobs.close();
    },
  }));
}

export const MUTANTS: Readonly<Record<string, Mutant>> = {
  'a disk that ignores the syncs of files': { traits: { ignoresFileSync: true } },
  'a disk that ignores the syncs of packs/': {
    traits: { ignoresDirectorySync: (path) => path.endsWith('/packs') },
  },
  'a disk that ignores the syncs of snapshots/': {
    traits: { ignoresDirectorySync: (path) => path.endsWith('/snapshots') },
  },
  'a disk that ignores the syncs of the repository itself': {
    traits: { ignoresDirectorySync: (path) => path === '/r' },
  },
  'a lock that leaves temporary files': { flaws: { lockSkips: 'removeTemporary' } },
  'a lock that does not sync what a crash left': { flaws: { lockSkips: 'syncNames' } },
  'a snapshot that comes before its packs': {
    flaws: { blobs: (blobs) => lazyPacks(blobs, (_, name) => (isSnapshot(name) ? 'after' : 'no')) },
  },
  'a sweep that deletes before the copies are there': {
    flaws: {
      blobs: (blobs) =>
        lazyPacks(blobs, (method, name) => (method === 'delete' && isPack(name) ? 'after' : 'before')),
    },
  },
  'a forget that deletes later': {
    flaws: {
      blobs: (blobs) => {
        const waiting: string[] = [];
        return altered(blobs, () => ({
          delete: async (name) => {
            if (isSnapshot(name)) waiting.push(name);
            else await blobs.delete(name);
          },
          close: async () => {
            for (const name of waiting.splice(0)) await blobs.delete(name);
            await blobs.close();
          },
        }));
      },
    },
  },
  'leases that stay': {
    flaws: {
      blobs: (blobs) =>
        altered(
          blobs,
          () => ({ delete: async (name) => isLock(name) || blobs.delete(name) }) as Partial<Part>,
        ),
    },
  },
};
