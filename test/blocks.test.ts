/** Bytes in whole blocks: what is written is what was added, whatever its pieces, and in the form that O_DIRECT asks for. */
import { readFile } from 'node:fs/promises';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type FsOperations, fsBlobStore, nodeFsOperations } from 'vecsnap/blob';
import { BLOCK_BYTES, BlockMemory, BlockWriter, type Schema } from 'vecsnap/core';
import { fbin, fileTarget, fvecs, matrixTarget, type Target } from 'vecsnap/source';
import { observedFsOperations, systemError } from './fault/fs-operations.js';
import { runs } from './support/arbitraries.js';
import { freshDirectory, joined, seededBytes } from './support/files.js';

const path = freshDirectory();

const pieceLengths = fc.array(fc.oneof(fc.nat(20_000), fc.constantFrom(0, 1, 4096, 1 << 20, 1_500_000)), {
  maxLength: 8,
});

const someTogether = fc.integer({ min: 1, max: 4 });

/** Pieces that differ from one another. */
function piecesOf(lengths: readonly number[]): Uint8Array[] {
  return lengths.map((length, i) => seededBytes(length, i + 1));
}

describe('BlockWriter', () => {
  it('writes whole blocks one after the other, and leaves less than one', async () => {
    await fc.assert(
      fc.asyncProperty(
        pieceLengths,
        someTogether,
        fc.nat(3),
        fc.boolean(),
        async (lengths, together, before, isShort) => {
          const start = before * BLOCK_BYTES;
          const written: Uint8Array[] = [];
          let [next, underWay] = [start, 0];
          const write = async (bytes: Uint8Array, position: number): Promise<number> => {
            expect(++underWay, 'one write at a time').toBe(1);
            expect([position, bytes.length % BLOCK_BYTES, bytes.byteOffset % BLOCK_BYTES]).toEqual([
              next,
              0,
              0,
            ]);
            await Promise.resolve();
            // Some disks take less than they are given, and not always whole blocks.
            const count = isShort && bytes.length > BLOCK_BYTES ? BLOCK_BYTES + 100 : bytes.length;
            const kept = count - (count % BLOCK_BYTES);
            written.push(bytes.slice(0, kept));
            next += kept;
            underWay--;
            return count;
          };
          const writer = new BlockWriter(write, new BlockMemory().take() as Uint8Array, start);
          const pieces = piecesOf(lengths);
          for (let i = 0; i < pieces.length; i += together) {
            const own = pieces.slice(i, i + together).map((piece) => piece.slice());
            await writer.add(own);
            for (const bytes of own) bytes.fill(0); // They were copied.
          }
          const { rest, position } = await writer.finish();
          expect(position).toBe(next);
          expect(rest.length).toBeLessThan(BLOCK_BYTES);
          expect(Buffer.compare(joined(...written, rest), joined(...pieces))).toBe(0);
        },
      ),
      { numRuns: runs(40) },
    );
  });

  it('tells that a write failed to who adds or finishes next', async () => {
    const failing = () => Promise.reject(systemError('ENOSPC'));
    for (const pieces of [1, 2, 3, 4]) {
      const writer = new BlockWriter(failing, new BlockMemory().take() as Uint8Array, 0);
      const work = async () => {
        for (let i = 0; i < pieces; i++) await writer.add([seededBytes(1 << 20, i)]);
        await writer.finish();
      };
      await expect(work()).rejects.toMatchObject({ code: 'ENOSPC' });
    }
  });

  it('does not go on for ever where nothing is written', async () => {
    const writer = new BlockWriter(async () => 100, new BlockMemory().take() as Uint8Array, 0);
    await writer.add([seededBytes(10_000, 1)]);
    await expect(writer.finish()).rejects.toThrow('less than a block');
  });
});

describe('a large blob', () => {
  const parts = [seededBytes(700_001, 1), seededBytes(0, 2), seededBytes(2_000_000, 3), seededBytes(5, 4)];

  it('goes past the page cache, is synced after its last byte, and then has its name', async () => {
    const calls: string[] = [];
    const operations = observedFsOperations(([method]) => calls.push(method));
    const store = fsBlobStore(path(), { operations });
    await store.put('packs/a', parts);
    const from = calls.indexOf('openNew');
    const until = calls.indexOf('link');
    expect(
      calls.slice(from, until).filter((method) => method !== 'mkdir' && method !== 'syncDirectory'),
    ).toEqual(
      operations.openDirect === undefined
        ? ['openNew', 'writev', 'fsync', 'close']
        : ['openNew', 'openDirect', 'writeAt', 'writeAt', 'writeAt', 'close', 'writeAt', 'fsync', 'close'],
    );
    expect(Buffer.compare(await readFile(path('packs/a')), joined(...parts))).toBe(0);
    expect(Buffer.compare(await store.get('packs/a'), joined(...parts))).toBe(0);
  });

  it('is written in the usual way where the file system refuses to, from the first write on or from a later one', async () => {
    for (const refused of [1, 2, 3]) {
      const direct = new Set<number>();
      let count = 0;
      const operations: FsOperations = {
        ...nodeFsOperations,
        openDirect: async (file) => {
          const descriptor = await (nodeFsOperations.openDirect ?? nodeFsOperations.openNew)(file);
          direct.add(descriptor);
          return descriptor;
        },
        writeAt: async (descriptor, bytes, position) => {
          if (direct.has(descriptor) && ++count >= refused) throw systemError('EINVAL');
          return nodeFsOperations.writeAt(descriptor, bytes, position);
        },
        close: async (descriptor) => {
          direct.delete(descriptor);
          return nodeFsOperations.close(descriptor);
        },
      };
      if (nodeFsOperations.openDirect === undefined) return;
      await fsBlobStore(path(String(refused)), { operations }).put('packs/a', parts);
      expect(Buffer.compare(await readFile(path(String(refused), 'packs/a')), joined(...parts))).toBe(0);
    }
  });
});

describe('a large file that is restored', () => {
  it('is what was given, at any length and with any head', async () => {
    const dimension = 1001; // Neither rows nor heads fit blocks.
    const schema: Schema = {
      id: 'none',
      vectors: [{ name: 'vector', dtype: 'f32', dimension }],
      payload: 'none',
    };
    const counts = [400, 1, 333, 700, 5];
    const batches = counts.map((count, i) => seededBytes(count * dimension * 4, i));
    const content = (format: string) => ({
      format: { name: format },
      schema,
      files: undefined,
      expected: { records: counts.reduce((sum, count) => sum + count, 0) },
      records: async function* () {
        for (const [i, count] of counts.entries()) {
          let isReleased = false;
          const bytes = (batches[i] as Uint8Array).slice();
          const release = () => {
            if (!isReleased) bytes.fill(0);
            isReleased = true;
          };
          yield { count, ids: undefined, vectors: [bytes], payloads: undefined, release };
        }
      },
    });
    await matrixTarget(fbin, path('a.fbin')).write(content('fbin'), {});
    expect(Buffer.compare((await readFile(path('a.fbin'))).subarray(8), joined(...batches))).toBe(0);
    await matrixTarget(fvecs, path('a.fvecs')).write(content('fvecs'), {});
    const stride = 4 + dimension * 4;
    const rows = await readFile(path('a.fvecs'));
    const stripped = Array.from({ length: rows.length / stride }, (_, i) =>
      rows.subarray(i * stride + 4, (i + 1) * stride),
    );
    expect(Buffer.compare(joined(...stripped), joined(...batches))).toBe(0);
  });

  it('of any pieces is what was given', async () => {
    await fc.assert(
      fc.asyncProperty(pieceLengths, fc.integer({ min: 3 << 20, max: 6 << 20 }), async (lengths, first) => {
        const pieces = piecesOf([first, ...lengths]);
        const target: Target = fileTarget(path('a'));
        const file = {
          path: 'a',
          type: 'file' as const,
          mode: 0o644,
          size: joined(...pieces).length,
          read: async function* () {
            for (const piece of pieces) yield piece;
          },
        };
        const content = {
          format: { name: 'file' },
          schema: undefined,
          records: undefined,
          expected: {},
          files: async function* () {
            yield file;
          },
        };
        await target.write(content, { overwrite: true });
        expect(Buffer.compare(await readFile(path('a')), joined(...pieces))).toBe(0);
      }),
      { numRuns: runs(15) },
    );
  });
});
