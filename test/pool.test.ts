/** The pool of coders: the same results as the coder in this thread, whatever overlaps, and after a worker has died. */
import { execFile } from 'node:child_process';
import { readdir, readlink } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import type { Worker } from 'node:worker_threads';
import fc from 'fast-check';
import { afterAll, describe, expect, it } from 'vitest';
import {
  type CompressionOptions,
  graphInMemory,
  inlineCoder,
  type ChunkToEncode,
  type StoredChunk,
} from 'vecsnap/cas';
import { type Address, toHex } from 'vecsnap/core';
import { nodeDeflate, nodeSha256, pooledCoder, startWorkers } from 'vecsnap/platform';
import { runs } from './support/arbitraries.js';
import { seededBytes } from './support/files.js';

const OPTIONS: CompressionOptions = { compression: 'auto', compressionLevel: 6 };
const pool = pooledCoder({ threads: 2 });
const inline = inlineCoder({ sha256: nodeSha256, deflate: nodeDeflate });
afterAll(() => pool.close());

/** Files of the package that this process has open; none where the system does not tell. */
async function openModules(): Promise<string[]> {
  const descriptors = await readdir('/proc/self/fd').catch(() => []);
  const paths = await Promise.all(descriptors.map((fd) => readlink(`/proc/self/fd/${fd}`).catch(() => '')));
  return paths.filter((path) => path.endsWith('.js'));
}

/** Workers that start while `action` runs. */
async function startedDuring(action: () => Promise<void>): Promise<number> {
  let started = 0;
  const count = (): void => void started++;
  process.on('worker', count);
  await action();
  process.off('worker', count);
  return started;
}

/** Chunks of all kinds: some are worth a worker's while together, some are not. */
const anyChunks: fc.Arbitrary<ChunkToEncode[]> = fc.array(
  fc
    .record({
      length: fc.constantFrom(0, 1, 100, 8000, 60_000),
      width: fc.constantFrom<ChunkToEncode['width']>(0, 1, 4, 8),
      seed: fc.nat(),
      isFlat: fc.boolean(),
      isShared: fc.boolean(),
      shift: fc.constantFrom(0, 1, 4),
    })
    .map(({ length, width, seed, isFlat, isShared, shift }) => {
      const memory = isShared ? new SharedArrayBuffer(length + 8) : new ArrayBuffer(length + 8);
      const bytes = new Uint8Array(memory, shift, length);
      bytes.set(seededBytes(length, seed).map((byte) => (isFlat ? byte & 7 : byte)));
      return { bytes, width };
    }),
  { maxLength: 6 },
);

function texts(chunks: readonly (Uint8Array | undefined)[]): (string | undefined)[] {
  return chunks.map((bytes) => bytes && toHex(nodeSha256(bytes)) + bytes.length);
}

describe('a pool', () => {
  it('gives the results of the coder in this thread, for many calls at once', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(anyChunks, { maxLength: 5 }), async (calls) => {
        await Promise.all(
          calls.map(async (chunks) => {
            const plain = chunks.map(({ bytes }) => bytes);
            const [addresses, encoded, both] = await Promise.all([
              pool.address(plain),
              pool.encode(chunks, OPTIONS),
              pool.addressAndEncode(chunks, OPTIONS),
            ]);
            expect(both.map(({ address, codec, bytes }) => [toHex(address), codec, toHex(bytes)])).toEqual(
              encoded.map(({ codec, bytes }, i) => [toHex(addresses[i] as Address), codec, toHex(bytes)]),
            );
            pool.release?.(both.map(({ bytes }) => bytes)); // Other calls may write over them now.
            expect(addresses).toEqual(await inline.address(plain));
            const expected = await inline.encode(chunks, OPTIONS);
            expect(encoded.map(({ codec }) => codec)).toEqual(expected.map(({ codec }) => codec));
            expect(texts(encoded.map(({ bytes }) => bytes))).toEqual(
              texts(expected.map(({ bytes }) => bytes)),
            );
            const stored = encoded.map(({ codec, bytes }, i): StoredChunk => ({
              // Every third has the address of another chunk.
              address: (i % 3 === 2 ? addresses[0] : addresses[i]) as StoredChunk['address'],
              codec: i % 4 === 3 ? 9 : codec,
              bytes,
              length: plain[i]?.length ?? 0,
            }));
            const graph = graphInMemory(stored);
            expect((await pool.check(graph)).map(toHex)).toEqual((await inline.check(graph)).map(toHex));
            for (const verify of [true, false])
              expect(texts(await pool.decode(graph, verify))).toEqual(
                texts(await inline.decode(graph, verify)),
              );
          }),
        );
      }),
      { numRuns: runs(40) },
    );
  });

  it('takes little, then much, then little again, and leaves it with the caller', async () => {
    for (const length of [60_000, 400_000, 3_000_000, 70_000, 9_000_000, 3_000_000]) {
      const chunks = [seededBytes(length, length), seededBytes(100, 1), seededBytes(50_001, 2)];
      const expected = texts(chunks);
      const addresses = await inline.address(chunks);
      expect((await pool.address(chunks)).map(toHex)).toEqual(addresses.map(toHex));
      const encoded = await pool.addressAndEncode(
        chunks.map((bytes) => ({ bytes, width: 0 })),
        OPTIONS,
      );
      expect(encoded.map(({ address }) => toHex(address))).toEqual(addresses.map(toHex));
      expect(texts(chunks)).toEqual(expected);
    }
  });

  it('gives nothing for nothing', async () => {
    expect(await pool.address([])).toEqual([]);
    expect(await pool.encode([], OPTIONS)).toEqual([]);
    expect(await pool.decode(graphInMemory([]), true)).toEqual([]);
  });

  it('gives a chunk that is kept raw as it is, without a copy', async () => {
    const bytes = seededBytes(100_000, 1);
    const [encoded] = await pool.encode([{ bytes, width: 0 }], OPTIONS);
    expect(encoded?.bytes).toBe(bytes);
    const stored = { address: nodeSha256(bytes), codec: 0, bytes, length: bytes.length };
    expect((await pool.decode(graphInMemory([stored]), true))[0]).toBe(bytes);
  });

  it('answers every call out of very many', async () => {
    const chunks = Array.from({ length: 200 }, (_, i) => seededBytes(50_000, i));
    const addresses = await Promise.all(chunks.map((bytes) => pool.address([bytes])));
    expect(addresses.flat().map(toHex)).toEqual(chunks.map((bytes) => toHex(nodeSha256(bytes))));
  });
});

describe('a worker that dies', () => {
  // What only looks like bytes gets as far as the worker and is its end.
  const poison = [{ length: 1e6 } as unknown as Uint8Array];

  it('fails the calls that it had, and the next ones get another', async () => {
    const own = pooledCoder({ threads: 2 });
    const bytes = seededBytes(200_000, 5);
    for (let round = 0; round < 3; round++) {
      const calls = await Promise.allSettled([
        own.address(poison),
        own.address(poison),
        own.address([bytes]),
      ]);
      for (const call of calls.slice(0, 2))
        expect(call).toMatchObject({ status: 'rejected', reason: { code: 'WORKER_FAILED' } });
      if (calls[2]?.status === 'rejected') expect(calls[2].reason).toMatchObject({ code: 'WORKER_FAILED' });
      expect(await Promise.all([own.address([bytes]), own.address([bytes])])).toEqual([
        [nodeSha256(bytes)],
        [nodeSha256(bytes)],
      ]);
    }
    await own.close();
  });

  it('by being closed fails the calls that are under way', async () => {
    const own = pooledCoder({ threads: 2 });
    const calls = Promise.allSettled(Array.from({ length: 4 }, (_, i) => own.address([seededBytes(4e6, i)])));
    await own.close();
    for (const call of await calls)
      if (call.status === 'rejected') expect(call.reason).toMatchObject({ code: 'WORKER_FAILED' });
    await own.close();
  });

  it('by being closed while it is loading leaves no file open', async () => {
    const before = await openModules();
    for (let i = 0; i < 30; i++) {
      const own = pooledCoder({ threads: 2 });
      own.prepare?.();
      await sleep(i);
      await own.close();
    }
    expect(await openModules()).toEqual(before);
  });

  it('is not the end of what cannot be sent to it', async () => {
    const own = pooledCoder({ threads: 2 });
    const options = { ...OPTIONS, unsendable: () => 1 };
    const bytes = seededBytes(100_000, 1);
    await expect(own.encode([{ bytes, width: 0 }], options)).rejects.toThrow();
    expect(await own.encode([{ bytes, width: 0 }], OPTIONS)).toHaveLength(1);
    await own.close();
  });
});

describe('workers that are started before there is a pool', () => {
  const bytes = seededBytes(200_000, 7);

  async function useThreads(threads: number): Promise<void> {
    const own = pooledCoder({ threads });
    const calls = Array.from({ length: threads }, () => own.address([bytes]));
    expect(await Promise.all(calls)).toEqual(calls.map(() => [nodeSha256(bytes)]));
    await own.close();
  }

  it('are the first that a pool takes', async () => {
    expect(
      await startedDuring(async () => {
        startWorkers(2);
        await sleep(100); // They may be there before the pool is.
        await useThreads(3);
      }),
    ).toBe(3);
  });

  it('are passed over when they have died', async () => {
    const workers: Worker[] = [];
    const note = (worker: Worker): void => void workers.push(worker);
    process.on('worker', note);
    startWorkers(1);
    await sleep(1);
    process.off('worker', note);
    await Promise.all(workers.map((worker) => worker.terminate()));
    expect(await startedDuring(() => useThreads(2))).toBe(2);
  });

  it('keep no process alive', async () => {
    const program = `import { startWorkers } from 'vecsnap/platform'; startWorkers(2);`;
    await promisify(execFile)(process.execPath, ['--input-type=module', '-e', program], { timeout: 20_000 });
  });
});

it('a worker is started once what this thread has done is given on', async () => {
  const own = pooledCoder({ threads: 2 });
  const jobs: Promise<unknown>[] = [];
  const begin = async (): Promise<void> => {
    jobs.push(own.address([seededBytes(100_000, 1)]));
    await new Promise<void>((resolve) => process.nextTick(() => process.nextTick(resolve))); // A start is told in the next tick.
  };
  expect(await startedDuring(begin)).toBe(0);
  expect(await startedDuring(async () => void (await Promise.all(jobs)))).toBe(1);
  await own.close();
});

it('many tiny chunks are worth a worker, and a few are not', async () => {
  const own = pooledCoder({ threads: 2 });
  const encode = (count: number) => async (): Promise<void> => {
    const chunks = Array.from({ length: count }, (_, i) => ({
      bytes: seededBytes(200, i),
      width: 0 as const,
    }));
    expect(await own.encode(chunks, OPTIONS)).toEqual(await inline.encode(chunks, OPTIONS));
    expect(await own.addressAndEncode(chunks, OPTIONS)).toEqual(
      await inline.addressAndEncode(chunks, OPTIONS),
    );
  };
  expect(await startedDuring(encode(20))).toBe(0);
  expect(await startedDuring(encode(100))).toBe(2); // One for each call.
  await own.close();
});

it('a pool of one is the coder in this thread', async () => {
  const own = pooledCoder({ threads: 1 });
  const bytes = seededBytes(100_000, 1);
  expect(await own.address([bytes])).toEqual([nodeSha256(bytes)]);
  await own.close();
});

it('works in a program that is given on the command line', async () => {
  const program = `
    import { pooledCoder } from 'vecsnap/platform';
    const coder = pooledCoder({ threads: 2 });
    console.log((await coder.address([new Uint8Array(100_000)])).length);
    await coder.close();`;
  const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', program]);
  expect(stdout.trim()).toBe('1');
});
