/** The stores of vecsnap under the contract of blob stores. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Level } from 'level';
import { MemoryLevel } from 'memory-level';
import {
  blockingFsOperations,
  fsBlobStore,
  levelBlobStore,
  memoryBlobStore,
  nodeFsOperations,
} from 'vecsnap/blob';
import { testBlobStore } from './contract/blob-store.js';
import { systemError } from './fault/fs-operations.js';
import { faultyBlobStore } from './fault/faulty-blob-store.js';

async function makeDirectory(): Promise<{ directory: string; remove: () => Promise<void> }> {
  const directory = await mkdtemp(join(tmpdir(), 'vecsnap-blob-'));
  return { directory, remove: () => rm(directory, { recursive: true }) };
}

async function nothing(): Promise<void> {}

testBlobStore({
  name: 'files',
  persistent: true,
  takesParts: true,
  async makePlace() {
    const { directory, remove } = await makeDirectory();
    return { open: async () => fsBlobStore(join(directory, 'made', 'by-put')), remove };
  },
});

testBlobStore({
  name: 'files that the calling thread reads itself',
  persistent: true,
  takesParts: true,
  async makePlace() {
    const { directory, remove } = await makeDirectory();
    return { open: async () => fsBlobStore(directory, { operations: blockingFsOperations }), remove };
  },
});

testBlobStore({
  name: 'files where there are no hard links',
  persistent: true,
  takesParts: true,
  async makePlace() {
    const { directory, remove } = await makeDirectory();
    const link = () => Promise.reject(Object.assign(new Error('EPERM'), { code: 'EPERM' }));
    return {
      open: async () => fsBlobStore(directory, { operations: { ...nodeFsOperations, link } }),
      remove,
    };
  },
});

testBlobStore({
  name: 'files that are written past the page cache',
  persistent: true,
  takesParts: true,
  async makePlace() {
    const { directory, remove } = await makeDirectory();
    return { open: async () => fsBlobStore(directory, { directBytes: 0 }), remove };
  },
});

testBlobStore({
  name: 'files on a disk that takes no writes past the page cache',
  persistent: true,
  takesParts: true,
  async makePlace() {
    const { directory, remove } = await makeDirectory();
    const openDirect = () => Promise.reject(systemError('EINVAL'));
    const operations = { ...nodeFsOperations, openDirect };
    return { open: async () => fsBlobStore(directory, { operations, directBytes: 0 }), remove };
  },
});

testBlobStore({
  name: 'files with two open handles and short reads and writes',
  persistent: true,
  takesParts: true,
  async makePlace() {
    const { directory, remove } = await makeDirectory();
    const { openDirect: _, ...throughCache } = nodeFsOperations;
    const operations = {
      ...throughCache,
      read: (fd: number, into: Uint8Array, position: number) =>
        nodeFsOperations.read(fd, into.subarray(0, Math.ceil(into.length / 2)), position),
      writeAt: (fd: number, bytes: Uint8Array, position: number) =>
        nodeFsOperations.writeAt(fd, halfOf(bytes), position),
      writev: (fd: number, parts: readonly Uint8Array[]) => {
        const [first, second] = parts as [Uint8Array, Uint8Array | undefined];
        return nodeFsOperations.writev(fd, second ? [first, second.subarray(0, 1)] : [halfOf(first)]);
      },
    };
    return { open: async () => fsBlobStore(directory, { operations, openHandles: 2 }), remove };
  },
});

testBlobStore({
  name: 'memory',
  persistent: false,
  async makePlace() {
    return { open: async () => memoryBlobStore(), remove: nothing };
  },
});

testBlobStore({
  name: 'level in memory',
  persistent: true,
  async makePlace() {
    const db = new MemoryLevel();
    return { open: async () => levelBlobStore(db), remove: () => db.close() };
  },
});

testBlobStore({
  name: 'a sublevel with other encodings, in small pieces',
  persistent: true,
  async makePlace() {
    const db = new MemoryLevel({ storeEncoding: 'view' });
    const sublevel = db.sublevel('blobs', { valueEncoding: 'json' });
    await db.put('h/outside', 'not a blob');
    return { open: async () => levelBlobStore(sublevel, { pieceBytes: 1000 }), remove: () => db.close() };
  },
});

testBlobStore({
  name: 'level on disk',
  persistent: true,
  async makePlace() {
    const { directory, remove } = await makeDirectory();
    let db: Level | undefined;
    return {
      open: async () => levelBlobStore((db = new Level(directory))),
      shut: async () => db?.close(),
      remove,
    };
  },
});

testBlobStore({
  name: 'the faulty store without faults',
  persistent: false,
  async makePlace() {
    return { open: async () => faultyBlobStore(memoryBlobStore()), remove: nothing };
  },
});

function halfOf(bytes: Uint8Array): Uint8Array {
  return bytes.subarray(0, Math.ceil(bytes.length / 2));
}
