/** Verification: every damaged chunk that can be reached is found, not just the first, and nothing else is. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type BlobStore, memoryBlobStore } from 'vecsnap/blob';
import { type ChunkStore, inlineCoder } from 'vecsnap/cas';
import { formatAddress, parseAddress, type Schema, toHex, utf8 } from 'vecsnap/core';
import { decodeManifest, reachable } from 'vecsnap/manifest';
import { nodeDeflate, nodeSha256 } from 'vecsnap/platform';
import {
  type Environment,
  manifestAddress,
  type Problem,
  type Snapshot,
  SnapshotManager,
} from 'vecsnap/snapshot';
import { faultyBlobStore } from './fault/faulty-blob-store.js';
import { runs } from './support/arbitraries.js';
import { collect, collectAll } from './support/collect.js';
import { seededBytes } from './support/files.js';
import { memoryEnvironment, memorySource } from './support/memory-environment.js';
import { reopen } from './support/stores.js';

const SCHEMA: Schema = {
  id: 'string',
  payload: 'none',
  vectors: [{ name: 'v', dtype: 'u8', dimension: 30 }],
};
const PARAMETERS = {
  rowGroups: { targetBytes: 1, minRecords: 5, maxRecords: 5 },
  gear: { min: 64, avg: 256, max: 1024 },
  nodes: { window: 1, max: 8 },
  packBytes: 2000,
};

async function made(): Promise<{
  blobs: BlobStore;
  environment: Environment;
  manager: SnapshotManager;
  snapshots: Snapshot[];
}> {
  const blobs = memoryBlobStore();
  const coder = inlineCoder({ sha256: nodeSha256, deflate: nodeDeflate });
  const environment = memoryEnvironment({ blobs, sha256: nodeSha256, coder });
  const manager = await SnapshotManager.init({ environment }, PARAMETERS);
  const records = Array.from({ length: 120 }, (_, i) => ({
    id: `id ${String(i).padStart(4, '0')}`,
    vectors: [seededBytes(30, i)],
    payload: new Uint8Array(0),
  }));
  const files = [
    { path: 'a', mode: 0o644, bytes: seededBytes(4000, 1) },
    { path: 'b', mode: 0o644, bytes: seededBytes(3000, 2) },
  ];
  const first = await manager.createSnapshot(memorySource({ schema: SCHEMA, records, files }), 'first');
  const second = await manager.createSnapshot(
    memorySource({ schema: SCHEMA, records: records.filter((_, i) => i % 40 !== 7), files }),
    'second',
  );
  return { blobs, environment, manager, snapshots: [first, second] };
}

/** For every node, all that stands right below it; `[]` for data. */
async function childrenIn(store: ChunkStore, { checksum }: Snapshot): Promise<Map<string, string[]>> {
  const children = new Map<string, string[]>();
  const { records, files } = decodeManifest(await store.get(parseAddress(checksum).address));
  const all = await collect(reachable(store, parseAddress(checksum).address, () => true));
  const addresses = all.flatMap(({ address, data }) => [address, ...data]).map(toHex);
  for (const { address, data } of all) {
    for (const chunk of data) children.set(toHex(chunk), []);
    if (formatAddress(address, 'node') === checksum)
      children.set(
        toHex(address),
        [records, files].flatMap((tree) => (tree ? [toHex(tree.root)] : [])),
      );
    else {
      // Addresses are found in the bytes themselves, so that the test does not read nodes as the code does.
      const bytes = Buffer.from(await store.get(address)).toString('hex');
      children.set(
        toHex(address),
        addresses.filter((hex) => bytes.includes(`c420${hex}`)),
      );
    }
  }
  return children;
}

/** The damaged chunks that can be reached through whole ones. */
function reachableDamage(
  root: string,
  children: ReadonlyMap<string, string[]>,
  damaged: ReadonlySet<string>,
): Set<string> {
  const found = new Set<string>();
  const seen = new Set<string>();
  const visit = (address: string): void => {
    if (seen.has(address)) return;
    seen.add(address);
    if (damaged.has(address)) found.add(address);
    else for (const child of children.get(address) ?? []) visit(child);
  };
  visit(root);
  return found;
}

/** Flips a bit in the stored form of chunks. */
async function damage(blobs: BlobStore, addresses: ReadonlySet<string>): Promise<void> {
  const store = await reopen(blobs);
  for (const entry of await collectAll(store.parts.index.entries())) {
    if (!addresses.has(toHex(entry.address))) continue;
    const bytes = await blobs.get(entry.pack);
    await blobs.delete(entry.pack);
    const at = entry.offset + (entry.storedLength >> 1);
    await blobs.put(entry.pack, bytes.with(at, (bytes[at] as number) ^ 4));
  }
}

function addressesIn(problems: readonly Problem[]): Set<string> {
  return new Set(problems.map(({ address }) => toHex(parseAddress(address as string).address)));
}

describe('a verification', () => {
  it('finds every damaged chunk that can be reached, and says which snapshots need it', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.nat(), { minLength: 1, maxLength: 8 }),
        fc.boolean(),
        async (picks, nodesOnly) => {
          const { blobs, manager, snapshots } = await made();
          const store = await reopen(blobs);
          const entries = (await collectAll(store.parts.index.entries())).filter(
            ({ kind }) => !nodesOnly || kind === 'node',
          );
          const damaged = new Set(
            picks.map((n) => toHex(entries[n % entries.length]?.address as Uint8Array)),
          );
          const children = await Promise.all(snapshots.map((snapshot) => childrenIn(store, snapshot)));
          await damage(blobs, damaged);
          const expected = snapshots.map((snapshot, i) =>
            reachableDamage(toHex(manifestAddress(snapshot)), children[i] as Map<string, string[]>, damaged),
          ) as [Set<string>, Set<string>];

          for (const [i, snapshot] of snapshots.entries()) {
            const report = await manager.verifySnapshot(snapshot.id);
            expect(addressesIn(report.problems)).toEqual(expected[i]);
            expect(report.ok).toBe(expected[i]?.size === 0);
          }
          const both = await manager.verifySnapshots(snapshots.map(({ id }) => id));
          expect(addressesIn(both.problems)).toEqual(new Set([...expected[0], ...expected[1]]));
          for (const { address, snapshots: needing, code } of both.problems) {
            const hex = toHex(parseAddress(address as string).address);
            expect(needing).toEqual(snapshots.filter((_, i) => expected[i]?.has(hex)).map(({ id }) => id));
            expect(code).toBe('CHUNK_DAMAGED');
          }
          const whole = await manager.verifyRepository();
          expect(addressesIn(whole.problems)).toEqual(damaged);
          expect(whole.ok).toBe(false);
        },
      ),
      { numRuns: runs(25) },
    );
  });

  it('finds every chunk of packs that are gone', async () => {
    const { blobs, manager, snapshots } = await made();
    const store = await reopen(blobs);
    const children = await Promise.all(snapshots.map((snapshot) => childrenIn(store, snapshot)));
    for (const [name] of store.packs) {
      const gone = new Set<string>();
      for (const { pack, address } of await collectAll(store.parts.index.entries()))
        if (pack === name) gone.add(toHex(address));
      const bytes = await blobs.get(name);
      await blobs.delete(name);
      const expected = new Set(
        snapshots.flatMap((snapshot, i) => [
          ...reachableDamage(toHex(manifestAddress(snapshot)), children[i] as Map<string, string[]>, gone),
        ]),
      );
      for (const report of [
        await manager.verifyRepository(),
        await manager.verifySnapshots(snapshots.map(({ id }) => id)),
      ]) {
        expect(addressesIn(report.problems)).toEqual(expected);
        expect(new Set(report.problems.map(({ code }) => code))).toEqual(new Set(['CHUNK_MISSING']));
      }
      await expect(manager.collectGarbage()).rejects.toThrow(
        expect.objectContaining({ code: 'SWEEP_REFUSED' }),
      );
      await blobs.put(name, bytes);
    }
    expect(await manager.verifyRepository()).toMatchObject({ ok: true, problems: [] });
  });

  it('ends soon when the store fails, also in what it does meanwhile', async () => {
    const { blobs, environment, manager } = await made();
    for (let i = 0; i < 40; i++) {
      const file = { path: 'a', mode: 0o644, bytes: seededBytes(50, 100 + i) };
      await manager.createSnapshot(memorySource({ files: [file] }), `small ${i}`);
    }
    const failing = faultyBlobStore(blobs);
    const verifying = await SnapshotManager.open({ environment: { ...environment, blobs: failing } });
    const readsOf = async (verification: Promise<unknown>): Promise<number> => {
      const before = failing.calls.length;
      await verification;
      return failing.calls.slice(before).filter(({ method }) => method === 'read').length;
    };
    const all = await readsOf(verifying.verifyRepository());
    const nth = Math.floor(all / 4);
    failing.setFaults({ failures: [{ nth, method: 'read', onwards: true }] });
    const failed = expect(verifying.verifyRepository()).rejects.toMatchObject({ code: 'STORE_FAILED' });
    expect(await readsOf(failed)).toBeLessThan(nth + all / 8);
  });

  it('finds snapshots that cannot be read, and a sweep waits for somebody to look', async () => {
    const { blobs, manager, snapshots } = await made();
    const [first, second] = snapshots as [Snapshot, Snapshot];
    const name = `snapshots/${first.id}`;
    const bytes = await blobs.get(name);
    for (const harm of [
      bytes.slice(0, -1),
      bytes.with(20, (bytes[20] as number) ^ 1),
      utf8('something else'),
      new Uint8Array(0),
    ]) {
      await blobs.delete(name);
      await blobs.put(name, harm);
      expect(await manager.verifyRepository()).toMatchObject({
        ok: false,
        problems: [{ code: 'SNAPSHOT_DAMAGED', blob: name }],
      });
      await expect(manager.getSnapshot(first.id)).rejects.toThrow(
        expect.objectContaining({ code: 'SNAPSHOT_DAMAGED', place: name }),
      );
      await expect(manager.collectGarbage()).rejects.toThrow(
        expect.objectContaining({ code: 'SWEEP_REFUSED', place: name }),
      );
      expect((await manager.listSnapshots()).map(({ id }) => id)).toEqual([second.id]);
      expect((await manager.verifySnapshot(second.id)).ok).toBe(true);
    }
  });
});
