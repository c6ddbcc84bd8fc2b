/** Streams that changed: taken on top of what they were before, they are what they would be alone. What that adds: space.test.ts. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { DEFAULT_GEAR } from 'vecsnap/chunker';
import { inlineCoder } from 'vecsnap/cas';
import { nodeDeflate, nodeSha256 } from 'vecsnap/platform';
import { type Progress, SnapshotManager } from 'vecsnap/snapshot';
import { runs } from './support/arbitraries.js';
import { joined, seededBytes } from './support/files.js';
import { fileTreeSource } from './support/memory-source.js';
import { memoryEnvironment, memorySource, MemoryTarget } from './support/memory-environment.js';

const GEAR = { min: 64, avg: 256, max: 1024 };

function newManager(): Promise<SnapshotManager> {
  return SnapshotManager.init({ environment: memoryEnvironment() }, { gear: GEAR });
}

function sourceOf(bytes: Uint8Array) {
  return memorySource({ files: [{ path: 'stream', mode: 0o644, bytes }], sizes: [30, 400] });
}

interface Edit {
  /** Where it is, in thousandths of the stream. */
  readonly at: number;
  readonly removed: number;
  readonly inserted: number;
}

/** Nothing, a few bytes, or more than is held back. */
const anyLength = fc.oneof(fc.constant(0), fc.nat({ max: 40 }), fc.nat({ max: 12_000 }));
const anyEdits = fc.array(fc.record({ at: fc.nat({ max: 1000 }), removed: anyLength, inserted: anyLength }), {
  maxLength: 6,
});

function edited(bytes: Uint8Array, edits: readonly Edit[], seed: number): Uint8Array {
  return edits.reduce((now, { at, removed, inserted }, i) => {
    const start = Math.floor((now.length * at) / 1000);
    return joined(
      now.subarray(0, start),
      seededBytes(inserted, seed + i),
      now.subarray(Math.min(now.length, start + removed)),
    );
  }, bytes);
}

describe('a stream on top of what it was before', () => {
  it('is what it is alone, whatever was edited', async () => {
    await fc.assert(
      fc.asyncProperty(anyEdits, fc.nat({ max: 60_000 }), fc.nat(), async (edits, length, seed) => {
        const before = seededBytes(length, seed);
        const after = edited(before, edits, seed + 1);
        const manager = await newManager();
        const { id } = await manager.createSnapshot(sourceOf(before), 'before');
        const incremental = await manager.createIncrementalSnapshot(sourceOf(after), 'after', id);
        const { checksum } = await (await newManager()).createSnapshot(sourceOf(after), 'after');
        expect(incremental.checksum).toBe(checksum);
        const target = new MemoryTarget();
        await manager.restoreSnapshot(incremental.id, target);
        expect(Buffer.compare(target.files[0]?.bytes as Uint8Array, after)).toBe(0);
      }),
      { numRuns: runs(60) },
    );
  });

  it.each([
    ['chunks', DEFAULT_GEAR, 8_000_000],
    ['large chunks', { min: 2 ** 20, avg: 2 ** 21, max: 2 ** 22 }, 16_000_000],
  ])('is stored as it comes in %s, also where it has nothing in common with that', async (_, gear, bound) => {
    const environment = memoryEnvironment({
      sha256: nodeSha256,
      coder: inlineCoder({ sha256: nodeSha256, deflate: nodeDeflate }),
    });
    const manager = await SnapshotManager.init({ environment }, { gear });
    let given = 0;
    const streamOf = (bytes: Uint8Array) => {
      const read = async function* (): AsyncGenerator<Uint8Array> {
        for (given = 0; given < bytes.length;) yield bytes.slice(given, (given += 250_000));
      };
      const file = { type: 'file', path: 'stream', mode: 0o644, size: bytes.length, read } as const;
      return fileTreeSource('test', { name: 'test' }, [file]);
    };
    const { id } = await manager.createSnapshot(streamOf(seededBytes(3 * bound, 1)), 'before');
    let most = 0;
    const onProgress = ({ bytes }: Progress) => (most = Math.max(most, given - bytes));
    const after = streamOf(seededBytes(3 * bound, 2));
    await manager.createIncrementalSnapshot(after, 'after', id, { onProgress });
    expect(most).toBeLessThan(bound);
  });
});
