/** Incremental snapshots that are told by fingerprints: the same as those told by bytes, and read less. */
import { describe, expect, it } from 'vitest';
import { type BlobStore, memoryBlobStore } from 'vecsnap/blob';
import { type ChunkCoder, inlineCoder } from 'vecsnap/cas';
import { ByteReader, type Schema, toHex, VecsnapError } from 'vecsnap/core';
import { nodeDeflate, nodeSha256, pooledCoder } from 'vecsnap/platform';
import { type Snapshot, SnapshotManager } from 'vecsnap/snapshot';
import type { Source } from 'vecsnap/source';
import { namesIn } from './support/blobs.js';
import { seededBytes } from './support/files.js';
import { hintedSource } from './support/hinted-source.js';
import { memoryEnvironment, memorySource, MemoryTarget } from './support/memory-environment.js';
import { recordText, type TestRecord } from './support/records.js';
import { methodsOf, seededRandom } from './support/stores.js';

const UNIT = 1024;
const SCHEMA: Schema = {
  id: 'u64',
  payload: 'none',
  vectors: [{ name: 'v', dtype: 'f32', dimension: UNIT / 4 }],
};
const PARAMETERS = { rowGroups: { targetBytes: 1, minRecords: 5, maxRecords: 8 } };
const ROWS = 800;
const NO_PAYLOAD = new Uint8Array(0);

function recordsAt(time: number, isChanged: (n: number) => boolean = () => false) {
  return Array.from({ length: ROWS }, (_, n) => ({
    id: BigInt(n),
    vectors: [finite(seededBytes(UNIT, isChanged(n) ? 10_000 * time + n : n))],
    payload: NO_PAYLOAD,
  }));
}

/** No number is NaN or infinite. */
function finite(bytes: Uint8Array): Uint8Array {
  return bytes.map((byte, i) => (i % 4 === 3 ? byte & 0xbf : byte));
}

/** Counts the bytes of chunks that are read: of packs, but for their ends, where directories are. */
function counted(inner: BlobStore): { readonly blobs: BlobStore; bytes: number } {
  const count = {
    bytes: 0,
    blobs: {
      ...methodsOf(inner),
      read: async (name, offset, into) => {
        const read = await inner.read(name, offset, into);
        const size = (await inner.stat(name))?.size ?? 0;
        if (name.startsWith('packs/') && offset + into.length < size) count.bytes += read;
        return read;
      },
    } as BlobStore,
  };
  return count;
}

/** Changes the first bit of the fingerprints of each chunk. */
function falsify(blob: Uint8Array): Uint8Array {
  const bytes = blob.slice();
  const content = bytes.subarray(0, -32);
  const reader = new ByteReader(content);
  reader.skip(16);
  while (reader.remaining > 0) {
    reader.skip(4);
    for (const length = reader.varint(), end = reader.offset + length; reader.offset < end;) {
      reader.skip(5);
      const at = reader.skip(reader.varint() >> 1);
      bytes[at] = (bytes[at] as number) ^ 1;
    }
  }
  bytes.set(nodeSha256(content), content.length);
  return bytes;
}

function newManager(
  blobs: BlobStore,
  coder: ChunkCoder = INLINE,
  parameters = PARAMETERS,
): Promise<SnapshotManager> {
  return SnapshotManager.init(
    { environment: memoryEnvironment({ sha256: nodeSha256, coder, blobs }) },
    parameters,
  );
}

const INLINE = inlineCoder({ sha256: nodeSha256, deflate: nodeDeflate });

/** An incremental snapshot, where there is one before. */
async function take(manager: SnapshotManager, source: Source, name: string): Promise<Snapshot> {
  const [base] = await manager.listSnapshots();
  return base === undefined
    ? manager.createSnapshot(source, name)
    : manager.createIncrementalSnapshot(source, name, base.id);
}

async function expectRestored(
  manager: SnapshotManager,
  id: string,
  records: readonly TestRecord[],
): Promise<void> {
  const target = new MemoryTarget();
  await manager.restoreSnapshot(id, target);
  expect(target.records.map(recordText)).toEqual(records.map(recordText));
}

const everyTenth = (n: number): boolean => n % 10 === 3;

describe('an incremental snapshot', () => {
  it('reads next to nothing of what it is told by, and restores to what the source was', async () => {
    const store = counted(memoryBlobStore());
    const manager = await newManager(store.blobs);
    await take(manager, memorySource({ schema: SCHEMA, records: recordsAt(0) }), 'first');
    for (const time of [1, 2, 3]) {
      const records = recordsAt(time, everyTenth);
      store.bytes = 0;
      const { id } = await take(manager, memorySource({ schema: SCHEMA, records }), `time ${time}`);
      expect(store.bytes).toBeLessThan((ROWS * UNIT) / 8);
      await expectRestored(manager, id, records);
    }
    store.bytes = 0;
    for (const name of await namesIn(store.blobs, 'fingerprints/')) await store.blobs.delete(name);
    await take(manager, memorySource({ schema: SCHEMA, records: recordsAt(4, everyTenth) }), 'without');
    expect(store.bytes).toBeGreaterThan((ROWS * UNIT) / 2); // So the count above counts.
  });

  it('after one that was told what changed reads as little', async () => {
    const store = counted(memoryBlobStore());
    const manager = await newManager(store.blobs);
    const changed = recordsAt(1, everyTenth);
    await take(manager, memorySource({ schema: SCHEMA, records: recordsAt(0) }), 'first');
    const since = () => changed.filter((_, n) => everyTenth(n)).map(({ id }) => id);
    await take(manager, hintedSource({ schema: SCHEMA, records: changed }, { since }), 'hinted');
    store.bytes = 0;
    await take(manager, memorySource({ schema: SCHEMA, records: recordsAt(2, everyTenth) }), 'scanned');
    expect(store.bytes).toBeLessThan((ROWS * UNIT) / 8);
  });

  it('after a sweep that wrote packs anew reads as little', async () => {
    const store = counted(memoryBlobStore());
    const manager = await newManager(store.blobs);
    await take(manager, memorySource({ schema: SCHEMA, records: recordsAt(0) }), 'first');
    for (const time of [1, 2])
      await take(
        manager,
        memorySource({ schema: SCHEMA, records: recordsAt(time, (n) => n < 400 || everyTenth(n)) }),
        `time ${time}`,
      );
    await manager.forget({ policy: { keepLast: 1 } });
    const { rewrittenPacks } = await manager.collectGarbage({ maxUnused: 0 });
    expect(rewrittenPacks.length).toBeGreaterThan(0);
    const groups = new Set((await namesIn(store.blobs, 'packs/')).map((name) => name.slice(6, 30)));
    for (const name of await namesIn(store.blobs, 'fingerprints/')) expect(groups).toContain(name.slice(13));
    store.bytes = 0;
    const records = recordsAt(3, everyTenth);
    const { id } = await take(manager, memorySource({ schema: SCHEMA, records }), 'after');
    expect(store.bytes).toBeLessThan((ROWS * UNIT) / 6);
    await expectRestored(manager, id, records);
  });

  it('goes on where the config was lost and made anew, with another key', async () => {
    const blobs = memoryBlobStore();
    const manager = await newManager(blobs);
    await take(manager, memorySource({ schema: SCHEMA, records: recordsAt(0) }), 'first');
    await blobs.delete('config');
    const environment = memoryEnvironment({
      sha256: nodeSha256,
      coder: INLINE,
      blobs,
      random: seededRandom(7),
    });
    await SnapshotManager.repairConfig({ environment });
    const repaired = await SnapshotManager.open({ environment });
    for (const time of [1, 2]) {
      const records = recordsAt(time, (n) => n % 8 === 3);
      const { id } = await take(repaired, memorySource({ schema: SCHEMA, records }), `time ${time}`);
      await expectRestored(repaired, id, records);
    }
  });

  it('ends when fingerprints are not those of the bytes, and stores nothing', async () => {
    const blobs = memoryBlobStore();
    const manager = await newManager(blobs);
    await take(manager, memorySource({ schema: SCHEMA, records: recordsAt(0) }), 'first');
    for (const name of await namesIn(blobs, 'fingerprints/')) {
      const bytes = falsify(await blobs.get(name));
      await blobs.delete(name);
      await blobs.put(name, bytes);
    }
    const before = await namesIn(blobs);
    const source = memorySource({ schema: SCHEMA, records: recordsAt(1, (n) => n % 8 === 3) });
    await expect(take(manager, source, 'second')).rejects.toMatchObject({
      code: 'FINGERPRINTS_WRONG',
      place: 'fingerprints/',
    });
    expect(await namesIn(blobs)).toEqual(before);
  });

  it('is taken without them where there is no space left for them', async () => {
    const inner = memoryBlobStore();
    const full: BlobStore = {
      ...methodsOf(inner),
      put: async (name, bytes) => {
        if (name.startsWith('fingerprints/')) throw new VecsnapError('STORE_FULL', 'There is no space left.');
        await inner.put(name, bytes);
      },
    };
    const manager = await newManager(full);
    for (const time of [0, 1]) {
      const records = recordsAt(time, everyTenth);
      const { id } = await take(manager, memorySource({ schema: SCHEMA, records }), `time ${time}`);
      await expectRestored(manager, id, records);
    }
    expect(await namesIn(inner, 'fingerprints/')).toEqual([]);
  });

  it('is the same whatever threads it has', async () => {
    const checksums = new Set<string>();
    for (const coder of [INLINE, pooledCoder({ threads: 2 }), pooledCoder({ threads: 2, helps: true })]) {
      const blobs = memoryBlobStore();
      const rowGroups = { targetBytes: 1, minRecords: 100, maxRecords: 100 };
      const manager = await newManager(blobs, coder, { rowGroups });
      await take(manager, memorySource({ schema: SCHEMA, records: recordsAt(0) }), 'first');
      await take(manager, memorySource({ schema: SCHEMA, records: recordsAt(1, everyTenth) }), 'second');
      let sum = '';
      for (const name of await namesIn(blobs, 'fingerprints/'))
        sum += toHex(nodeSha256(await blobs.get(name)));
      checksums.add(sum);
      await coder.close();
    }
    expect(checksums.size).toBe(1);
  });
});
