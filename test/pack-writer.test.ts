/** Packs that are written while their chunks still come: what stands in the store, what waits in memory, and how it ends early. */
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type BlobStore, type FsBlobStore, fsBlobStore, nodeFsOperations } from 'vecsnap/blob';
import { ChunkStore, ChunkWriter, inlineCoder, type NewChunk } from 'vecsnap/cas';
import { nodeDeflate, nodeReadFile, nodeSha256 } from 'vecsnap/platform';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { systemError } from './fault/fs-operations.js';
import { seededBytes } from './support/files.js';
import { chunk, methodsWithoutParts, OPTIONS, seededRandom, storeParts } from './support/stores.js';

const MEBI = 1024 * 1024;

let directory: string;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'vecsnap-pack-writer-'));
});

afterEach(async () => {
  await rm(directory, { recursive: true });
});

async function writerOn(
  blobs: BlobStore,
  packBytes: number,
  coder = storeParts().coder,
): Promise<ChunkWriter> {
  const parts = storeParts({ blobs, coder, random: seededRandom(7) });
  return new ChunkWriter(await ChunkStore.open(parts, { ...OPTIONS, packBytes }));
}

async function blobsOf(store: BlobStore): Promise<Map<string, string>> {
  const found = new Map<string, string>();
  for await (const { name } of store.list(''))
    found.set(name, Buffer.from(nodeSha256(await store.get(name))).toString('hex'));
  return found;
}

/** Whether something comes to an end while nothing else has to be done. */
async function ends(work: Promise<unknown>): Promise<boolean> {
  const late = new Promise<false>((resolve) => setTimeout(resolve, 50, false));
  return Promise.race([work.then(() => true), late]);
}

/** A store that takes the parts of a blob only when it is told to. */
function holding(inner: FsBlobStore) {
  let open = (): void => {};
  const opened = new Promise<void>((resolve) => (open = resolve));
  const held = async function* <T>(parts: AsyncIterable<T>): AsyncGenerator<T> {
    await opened;
    yield* parts;
  };
  const blobs: BlobStore = {
    ...methodsWithoutParts(inner),
    putParts: (name, parts) => inner.putParts(name, held(parts)),
  };
  return { blobs, open };
}

const many = (count: number, length: number): NewChunk[] =>
  Array.from({ length: count }, (_, i) => chunk(i, length));

describe('a pack that is written as its chunks come', () => {
  it('is the same as one that is put as a whole', async () => {
    const [streamed, whole] = [fsBlobStore(join(directory, 'a')), fsBlobStore(join(directory, 'b'))];
    for (const blobs of [streamed, methodsWithoutParts(whole)]) {
      const writer = await writerOn(blobs, 2 * MEBI);
      for (let i = 0; i < 60; i += 10) await writer.put(many(60, 100_000 + i).slice(i, i + 10));
      await writer.put([{ ...chunk(99), kind: 'node' }]);
      expect((await writer.commit()).chunks).toBe(61);
    }
    const found = await blobsOf(streamed);
    expect(found.size).toBeGreaterThan(2);
    expect(await blobsOf(whole)).toEqual(found);
  });

  it('is on its way before it is full, and its memory is given back', async () => {
    const released: number[] = [];
    const inner = inlineCoder({ sha256: nodeSha256, deflate: nodeDeflate, readFile: nodeReadFile });
    const coder = {
      ...inner,
      release: (some: readonly Uint8Array[]) => void released.push(...some.map(lengthOf)),
    };
    const writer = await writerOn(fsBlobStore(directory), 64 * MEBI, coder);
    await writer.put(many(80, 100_000));
    await expect.poll(() => released.length).toBeGreaterThan(70);
    expect(await readdir(join(directory, 'tmp'))).toHaveLength(1);
    await writer.abandon();
  });

  it('keeps who adds waiting while much is in memory', async () => {
    const { blobs, open } = holding(fsBlobStore(directory));
    const writer = await writerOn(blobs, 64 * MEBI);
    expect(await ends(writer.put(many(30, 100_000)))).toBe(true);
    const more = writer.put(many(60, 100_001));
    expect(await ends(more)).toBe(false);
    open();
    await more;
    expect((await writer.commit()).chunks).toBe(90);
  });

  it('is not there when it is given up, and nothing is left of it', async () => {
    const store = fsBlobStore(directory);
    const writer = await writerOn(store, 2 * MEBI);
    for (let i = 0; i < 50; i += 10) await writer.put(many(50, 100_000).slice(i, i + 10));
    expect(await readdir(join(directory, 'packs'))).not.toEqual([]);
    await writer.abandon();
    expect([...(await blobsOf(store)).keys()]).toEqual([]);
    expect(await readdir(join(directory, 'tmp'))).toEqual([]);
  });

  it('is given up with its writer; what was written before stays when it must, and no more is taken', async () => {
    const store = fsBlobStore(directory);
    const writer = await writerOn(store, 2 * MEBI);
    for (let i = 0; i < 50; i += 10) await writer.put(many(50, 100_000).slice(i, i + 10));
    const waiting = writer.put(many(1, 77));
    const lost = new Error('the lock is lost');
    await expect(writer.abandon(() => Promise.reject(lost))).rejects.toBe(lost);
    await waiting;
    const left = await blobsOf(store);
    expect(left.size).toBe(2);
    expect(await readdir(join(directory, 'tmp'))).toEqual([]);
    await expect(writer.put(many(1, 78))).rejects.toThrow('nothing more is written');
    expect(await blobsOf(store)).toEqual(left);
  });

  it('is not begun once its writer was given up', async () => {
    const store = fsBlobStore(directory);
    const writer = await writerOn(store, 2 * MEBI);
    await writer.abandon();
    await expect(writer.put(many(1, 78))).rejects.toThrow('nothing more is written');
    expect(await readdir(directory)).toEqual([]);
  });

  it('is given up when it cannot be ended', async () => {
    const store = fsBlobStore(directory);
    let isBroken = false;
    const sha256: typeof nodeSha256 = (bytes) => {
      if (isBroken) throw new Error('no hash');
      return nodeSha256(bytes);
    };
    const parts = { ...storeParts({ blobs: store, random: seededRandom(7) }), sha256 };
    const writer = new ChunkWriter(await ChunkStore.open(parts, OPTIONS));
    await writer.put(many(1, 1000));
    isBroken = true;
    await expect(writer.commit()).rejects.toThrow('no hash');
    await writer.abandon();
    expect([...(await blobsOf(store)).keys()]).toEqual([]);
    expect(await readdir(join(directory, 'tmp'))).toEqual([]);
  });

  it.each(['openNew', 'writeAt', 'fsync', 'link'] as const)(
    'fails with %s, and lets nobody wait',
    async (method) => {
      const full = async (): Promise<never> => {
        throw systemError('ENOSPC');
      };
      const { openDirect: _, ...plain } = nodeFsOperations;
      const store = fsBlobStore(directory, { operations: { ...plain, [method]: full } });
      const writer = await writerOn(store, 6 * MEBI);
      const putting = (async () => {
        for (let i = 0; i < 200; i += 10) await writer.put(many(200, 100_000).slice(i, i + 10));
        await writer.commit();
      })();
      await expect(putting).rejects.toMatchObject({ code: 'STORE_FULL' });
      await writer.abandon();
      expect([...(await blobsOf(store)).keys()]).toEqual([]);
    },
  );
});

it('writes the chunks that it was given, though their memory is used again', async () => {
  const store = fsBlobStore(directory);
  const memory = new Uint8Array(100_000);
  const parts = storeParts({ blobs: store, random: seededRandom(7) });
  const chunks = await ChunkStore.open(parts, { ...OPTIONS, packBytes: 3 * MEBI });
  const writer = new ChunkWriter(chunks);
  const addresses = [];
  for (let i = 0; i < 70; i++) {
    memory.set(seededBytes(memory.length, i));
    addresses.push(...(await writer.put([{ bytes: memory, width: 0, kind: 'data' }])));
    memory.fill(0);
  }
  await writer.commit();
  for (const [i, bytes] of (await chunks.getMany(addresses)).entries())
    expect(Buffer.compare(bytes, seededBytes(memory.length, i))).toBe(0);
  await chunks.close();
});

function lengthOf({ length }: Uint8Array): number {
  return length;
}
