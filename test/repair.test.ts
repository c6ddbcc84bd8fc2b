/** Repair: what is saved, what is noted, what a salvaging restore gives, and how new snapshots heal (docs/repair.md). */
import { type BlobStore, memoryBlobStore } from 'vecsnap/blob';
import { type DirectoryEntry, memoryIndex, readPackDirectory } from 'vecsnap/cas';
import { concatBytes, encodeCanonical, parseAddress, utf8, VecsnapError } from 'vecsnap/core';
import { nodeSha256 } from 'vecsnap/platform';
import { type Environment, SnapshotManager } from 'vecsnap/snapshot';
import { beforeEach, describe, expect, it } from 'vitest';
import { lockingEnvironment } from './support/fault-environment.js';
import { memorySource, MemoryTarget } from './support/memory-environment.js';
import { methodsOf } from './support/stores.js';
import {
  content,
  flawsOf,
  makeRepository,
  type Named,
  restoredText,
  textOf,
} from './support/worked-repository.js';

let blobs: BlobStore;
let environment: Environment;
let snapshots: Named;
let manager: SnapshotManager;

beforeEach(async () => {
  blobs = memoryBlobStore();
  environment = lockingEnvironment(blobs);
  snapshots = await makeRepository(environment);
  manager = await SnapshotManager.open({ environment });
});

interface Placed extends DirectoryEntry {
  readonly pack: string;
  readonly size: number;
}

async function entries(): Promise<Placed[]> {
  const all: Placed[] = [];
  for await (const { name, size } of blobs.list('packs/'))
    for (const entry of await readPackDirectory(blobs, { name, size }, nodeSha256))
      all.push({ ...entry, pack: name, size });
  return all;
}

async function change(name: string, edit: (bytes: Uint8Array) => Uint8Array): Promise<void> {
  const bytes = await blobs.get(name);
  await blobs.delete(name);
  await blobs.put(name, edit(bytes.slice()));
}

/** More than one bit, so that it cannot be mended. */
async function ruin({ pack, offset, storedLength }: Placed): Promise<void> {
  await change(pack, (bytes) => {
    bytes.fill(0x5a, offset, offset + Math.min(storedLength, 12));
    return bytes;
  });
}

async function flip(name: string, at: number, bit = 3): Promise<void> {
  await change(name, (bytes) => {
    bytes[at] = (bytes[at] as number) ^ (1 << bit);
    return bytes;
  });
}

function idOf(name: string): string {
  return snapshots[name]?.id ?? 'none';
}

/** A chunk of data that stands alone and that the snapshot needs: without it, the snapshot does not verify. */
async function dataOf(name: string, packs?: readonly string[]): Promise<Placed> {
  for (const entry of await entries()) {
    if (packs?.includes(entry.pack) === false) continue;
    if (entry.kind !== 'data' || entry.bases !== undefined || entry.storedLength < 100) continue;
    const copy = memoryBlobStore();
    for await (const { name: blob } of blobs.list('')) {
      const bytes = (await blobs.get(blob)).slice();
      if (blob === entry.pack) bytes.fill(0x5a, entry.offset, entry.offset + 12);
      await copy.put(blob, bytes);
    }
    const other = await SnapshotManager.open({ environment: lockingEnvironment(copy) });
    const { ok } = await other.verifySnapshot(idOf(name));
    await other.close();
    if (!ok) return entry;
  }
  throw new Error(`${name} needs no data`);
}

describe('of a sound repository', () => {
  it('changes nothing but the index', async () => {
    const before: string[] = [];
    for await (const { name } of blobs.list('')) before.push(name);
    expect(await manager.repair()).toMatchObject({
      damagedPacks: [],
      savedChunks: 0,
      damagedCopies: 0,
      lostChunks: [],
      damagedSnapshots: [],
    });
    const after: string[] = [];
    for await (const { name } of blobs.list('')) after.push(name);
    expect(after).toEqual(before);
    expect(await flawsOf(environment, ['first', 'second', 'files'])).toEqual([]);
  });
});

describe('a chunk that is lost', () => {
  let lost: Placed;
  let pristine: Uint8Array;

  beforeEach(async () => {
    lost = await dataOf('first');
    pristine = (await blobs.get(lost.pack)).slice();
    await ruin(lost);
  });

  it('is noted: its snapshots are marked, in lists and alone', async () => {
    const report = await manager.repair();
    expect(report).toMatchObject({ damagedCopies: 1, savedChunks: 0, dryRun: false });
    expect(report.damagedSnapshots.map(({ id }) => id)).toContain(idOf('first'));
    const listed = await manager.listSnapshots();
    const marked = listed.filter(({ damage }) => damage !== undefined).map(({ id }) => id);
    expect(marked.toSorted()).toEqual(report.damagedSnapshots.map(({ id }) => id).toSorted());
    expect((await manager.getSnapshot(idOf('first')))?.damage).toMatchObject({
      lostChunks: expect.any(Number) as number,
    });
    expect((await manager.getSnapshot(idOf('files')))?.damage).toBeUndefined();
    const again = await manager.repair();
    expect({ ...again, packs: 0 }).toEqual({ ...report, packs: 0 });
  });

  it('is only told of by a dry run', async () => {
    const before: string[] = [];
    for await (const { name } of blobs.list('')) before.push(name);
    const dry = await manager.repair({ dryRun: true });
    const after: string[] = [];
    for await (const { name } of blobs.list('')) after.push(name);
    expect(after).toEqual(before);
    expect({ ...(await manager.repair()), dryRun: true }).toEqual(dry);
  });

  it('fails a restore; one that salvages gives the rest, and tells the ids', async () => {
    await manager.repair();
    await expect(manager.restoreSnapshot(idOf('first'), new MemoryTarget())).rejects.toMatchObject({
      code: 'CHUNK_MISSING',
    });
    const target = new MemoryTarget();
    const { lost: losses } = await manager.restoreSnapshot(idOf('first'), target, { allowDamaged: true });
    const all = content('first').records ?? [];
    const given = new Set(target.records.map(({ id }) => id));
    const missing = all.map(({ id }) => id).filter((id) => !given.has(id));
    expect(missing.length).toBeGreaterThan(0);
    expect(missing.length).toBeLessThan(all.length / 2);
    expect(losses?.records.reduce((sum, { count }) => sum + count, 0)).toBe(missing.length);
    const told = losses?.records.flatMap(({ ids = [] }) => Array.from(ids as Iterable<string>)) ?? [];
    const ranged = losses?.records.filter(({ ids }) => ids === undefined) ?? [];
    const isTold = (id: string): boolean =>
      told.includes(id) || ranged.some(({ after = '', to }) => id > String(after) && id <= String(to));
    expect(missing.filter((id) => !isTold(id as string))).toEqual([]);
    const expected = all.filter(({ id }) => given.has(id));
    expect(textOf({ records: target.records })).toBe(textOf({ records: expected }));
  });

  it('is salvaged without a repair too, and selections are refused', async () => {
    const target = new MemoryTarget();
    const { lost: losses } = await manager.restoreSnapshot(idOf('first'), target, { allowDamaged: true });
    expect(losses?.records.length).toBeGreaterThan(0);
    await expect(
      manager.restoreSnapshot(idOf('first'), target, { allowDamaged: true, prefix: 'a' }),
    ).rejects.toMatchObject({ code: 'OPTION_INVALID' });
    const whole = await manager.restoreSnapshot(idOf('files'), new MemoryTarget(), { allowDamaged: true });
    expect(whole.lost).toEqual({ records: [], files: [] });
  });

  it('comes back with the next snapshot of the source, although an index has it, and marks go', async () => {
    await manager.verifyRepository(); // The index that stays knows the damaged copy.
    await manager.repair();
    const again = await manager.createSnapshot(memorySource(content('first')), 'first');
    expect(again.addedBytes).toBeGreaterThan(0);
    const placed = (await entries()).filter(({ address }) => Buffer.compare(address, lost.address) === 0);
    expect(placed).toHaveLength(2);
    expect(placed.every(({ bases }) => bases === undefined)).toBe(true);
    for (const name of ['first', 'second', 'files'])
      expect(await restoredText(manager, idOf(name))).toBe(textOf(content(name)));
    expect((await manager.listSnapshots()).filter(({ damage }) => damage !== undefined)).toEqual([]);
    expect(await manager.verifyRepository()).toMatchObject({ ok: true, problems: [] });
    await manager.collectGarbage({ maxUnused: 0 });
    expect(await flawsOf(environment, ['first', 'second', 'files'])).toEqual([]);
  });

  it('comes back also when the index could not be thrown away (P3)', async () => {
    const index = memoryIndex();
    const knowing = { ...lockingEnvironment(blobs, index), discardIndex: async () => {} };
    const own = await SnapshotManager.open({ environment: knowing });
    await own.collectGarbage({ dryRun: true }); // Now the index has the damaged copy.
    await own.repair();
    await own.createSnapshot(memorySource(content('first')), 'first');
    expect(await restoredText(own, idOf('first'))).toBe(textOf(content('first')));
  });

  it('heals through an incremental snapshot, also on a damaged base', async () => {
    await manager.repair();
    await manager.createIncrementalSnapshot(memorySource(content('first')), 'first', idOf('first'));
    expect(await restoredText(manager, idOf('first'))).toBe(textOf(content('first')));
  });

  it('counts again when its pack is put back', async () => {
    await manager.repair();
    expect((await manager.getSnapshot(idOf('first')))?.damage).toBeDefined();
    await change(lost.pack, () => pristine);
    await manager.repair();
    expect((await manager.getSnapshot(idOf('first')))?.damage).toBeUndefined();
    expect(await flawsOf(environment, ['first', 'second', 'files'])).toEqual([]);
  });
});

describe('a damaged chunk that is needed, in a pack that is to be rewritten', () => {
  it('does not block the sweep: before a repair the pack stays, after one the chunk is given up', async () => {
    await manager.deleteSnapshot(idOf('files'));
    const { rewrittenPacks } = await manager.collectGarbage({ dryRun: true, maxUnused: 0 });
    const lost = await dataOf('first', rewrittenPacks);
    await ruin(lost);
    const first = await manager.collectGarbage({ maxUnused: 0 });
    expect(first.keptPacks).toContain(lost.pack);
    expect(first.rewrittenPacks).not.toContain(lost.pack);
    expect(first.deletedPacks.length + first.rewrittenPacks.length).toBeGreaterThan(0);
    await manager.repair();
    const second = await manager.collectGarbage({ maxUnused: 0 });
    expect(second.keptPacks).toEqual([]);
    expect([...second.rewrittenPacks, ...second.deletedPacks]).toContain(lost.pack);
    expect((await manager.listSnapshots()).map(({ name }) => name).toSorted()).toEqual(['first', 'second']);
    expect((await manager.stats().catch(() => undefined))?.unreferencedBytes ?? 0).toBe(0);
    // What was whole before is whole still.
    await manager.createSnapshot(memorySource(content('first')), 'first');
    await manager.createSnapshot(memorySource(content('second')), 'second');
    for (const name of ['first', 'second'])
      expect(await restoredText(manager, idOf(name))).toBe(textOf(content(name)));
  });
});

describe('what can be had back', () => {
  it('a flipped bit in a small chunk', async () => {
    const node = (await entries()).find(({ kind }) => kind === 'node') as Placed;
    await flip(node.pack, node.offset + 5);
    expect((await manager.verifyRepository()).ok).toBe(false);
    const report = await manager.repair();
    expect(report).toMatchObject({ savedChunks: 1, lostChunks: [], damagedSnapshots: [], damagedCopies: 1 });
    expect(await manager.verifyRepository()).toMatchObject({ ok: true });
    expect(await flawsOf(environment, ['first', 'second', 'files'])).toEqual([]);
  });

  it.each([
    ['the directory', (size: number) => size - 70],
    ['its checksum', (size: number) => size - 30],
    ['its length', (size: number) => size - 44],
    ['its count', (size: number) => size - 39],
    ['the end', (size: number) => size - 2],
  ])('the chunks of a pack with a flipped bit in %s', async (_, at) => {
    const [{ pack, size }] = (await entries()) as [Placed];
    await flip(pack, at(size));
    const report = await manager.repair();
    expect(report).toMatchObject({ damagedPacks: [pack], lostChunks: [], damagedSnapshots: [] });
    expect(report.savedChunks).toBeGreaterThan(0);
    for (const name of ['first', 'second', 'files'])
      expect(await restoredText(manager, idOf(name))).toBe(textOf(content(name)));
    // The old pack is of no use any more.
    const { deletedPacks } = await manager.collectGarbage({ maxUnused: 0 });
    expect(deletedPacks).toContain(pack);
    expect(await flawsOf(environment, ['first', 'second', 'files'])).toEqual([]);
  });

  it('nothing once the lock was taken away: then nothing is deleted either', async () => {
    const [{ pack, size }] = (await entries()) as [Placed];
    await flip(pack, size - 70);
    const deleted: string[] = [];
    const robbed: BlobStore = {
      ...methodsOf(blobs),
      async put(name, bytes) {
        if (!name.startsWith('packs/')) return blobs.put(name, bytes);
        for await (const lease of blobs.list('locks/')) await blobs.delete(lease.name);
        throw new VecsnapError('STORE_FAILED', 'Its file is gone.', { remedy: 'None.' });
      },
      async delete(name) {
        if (!name.startsWith('locks/')) deleted.push(name);
        return blobs.delete(name);
      },
    };
    const own = await SnapshotManager.open({ environment: lockingEnvironment(robbed) });
    await expect(own.repair()).rejects.toMatchObject({ code: 'LEASE_LOST' });
    expect(deleted).toEqual([]);
  });

  it('the chunks of a pack without an end, as far as an index knows them', async () => {
    const index = memoryIndex();
    const knowing = lockingEnvironment(blobs, index);
    const own = await SnapshotManager.open({ environment: knowing });
    await own.verifyRepository();
    await own.collectGarbage({ dryRun: true }); // Reads all packs into the index that stays.
    const all = await entries();
    const told = new Set(all.filter(({ bases }) => bases !== undefined).map((entry) => entry.pack));
    const { pack } = all.find((entry) => !told.has(entry.pack)) as Placed; // What a delta copies from, an index does not know.
    await change(pack, (bytes) => bytes.slice(0, bytes.length - 60));
    const report = await own.repair();
    expect(report.damagedPacks).toEqual([pack]);
    expect(report.savedChunks).toBeGreaterThan(0);
    expect(report.lostChunks).toEqual([]);
    expect(await restoredText(own, idOf('first'))).toBe(textOf(content('first')));
  });

  it('the front of a directory whose end is ruined', async () => {
    const [first] = (await entries()) as [Placed];
    await change(first.pack, (bytes) => {
      bytes.fill(0x11, bytes.length - 44 - 40, bytes.length - 44);
      return bytes;
    });
    const report = await manager.repair();
    expect(report.damagedPacks).toEqual([first.pack]);
    expect(report.savedChunks).toBeGreaterThan(0);
  });

  it('a flipped bit in a snapshot, and snapshots that have each other’s names', async () => {
    await flip(`snapshots/${idOf('second')}`, 100);
    expect((await manager.repair()).mendedSnapshots).toEqual([idOf('second')]);
    expect(await restoredText(manager, idOf('second'))).toBe(textOf(content('second')));
    const [a, b] = [`snapshots/${idOf('first')}`, `snapshots/${idOf('files')}`];
    const [bytesA, bytesB] = [await blobs.get(a), await blobs.get(b)];
    await change(a, () => bytesB);
    await change(b, () => bytesA);
    expect((await manager.listAll()).problems).toHaveLength(2);
    expect((await manager.repair()).mendedSnapshots.toSorted()).toEqual(
      [idOf('first'), idOf('files')].toSorted(),
    );
    expect(await flawsOf(environment, ['first', 'second', 'files'])).toEqual([]);
  });

  it('a config with a flipped bit, and one that is gone', async () => {
    const whole = await blobs.get('config');
    await flip('config', 60);
    await expect(SnapshotManager.open({ environment })).rejects.toMatchObject({ code: 'REPOSITORY_DAMAGED' });
    expect(await SnapshotManager.repairConfig({ environment }, { dryRun: true })).toBe('mended');
    expect(await SnapshotManager.repairConfig({ environment })).toBe('mended');
    expect(await blobs.get('config')).toEqual(whole);
    expect(await SnapshotManager.repairConfig({ environment })).toBe('sound');
    await blobs.delete('config');
    expect(await SnapshotManager.repairConfig({ environment })).toBe('made anew');
    const own = await SnapshotManager.open({ environment });
    expect(await restoredText(own, idOf('second'))).toBe(textOf(content('second')));
    await expect(
      SnapshotManager.repairConfig({ environment: lockingEnvironment(memoryBlobStore()) }),
    ).rejects.toMatchObject({ code: 'NOT_A_REPOSITORY' });
  });

  it('nothing of a node that is lost for good, which blocks sweeps until its snapshots are healed or forgotten', async () => {
    const { address } = parseAddress(snapshots['files']?.checksum ?? '');
    const manifest = (await entries()).find(
      (entry) => Buffer.compare(entry.address, address) === 0,
    ) as Placed;
    await change(manifest.pack, (bytes) => {
      bytes.fill(0x77, manifest.offset, manifest.offset + manifest.storedLength);
      return bytes;
    });
    const { damagedSnapshots } = await manager.repair();
    expect(damagedSnapshots.map(({ id }) => id)).toEqual([idOf('files')]);
    await expect(manager.collectGarbage()).rejects.toMatchObject({ code: 'SWEEP_REFUSED' });
    await manager.deleteSnapshot(idOf('files'));
    await manager.collectGarbage({ maxUnused: 0 });
    expect((await manager.verifyRepository()).ok).toBe(true);
    expect(await flawsOf(environment, ['first', 'second'])).toEqual([]);
  });
});

describe('files', () => {
  it('of which a chunk is lost are left out of a salvaging restore, and named', async () => {
    const lost = await dataOf('files');
    await ruin(lost);
    const target = new MemoryTarget();
    const { lost: losses } = await manager.restoreSnapshot(idOf('files'), target, { allowDamaged: true });
    expect(losses?.files).toHaveLength(1);
    const path = losses?.files[0]?.path;
    const rest = (content('files').files ?? []).filter((file) => file.path !== path);
    expect(rest).toHaveLength(2);
    expect(textOf({ files: target.files })).toBe(textOf({ files: rest }));
  });
});

describe('notes', () => {
  it('that are damaged are found by verify, do no other harm, and are written again', async () => {
    await ruin(await dataOf('first'));
    await manager.repair();
    const names: string[] = [];
    for await (const { name } of blobs.list('damage/')) names.push(name);
    expect(names).toHaveLength(1);
    await flip(names[0] as string, 40);
    const { problems } = await manager.verifyRepository();
    expect(problems.map(({ code }) => code)).toContain('NOTE_DAMAGED');
    expect((await manager.listSnapshots()).length).toBe(3);
    await manager.repair();
    const after: string[] = [];
    for await (const { name } of blobs.list('damage/')) after.push(name);
    expect(after).toHaveLength(1);
    expect((await manager.getSnapshot(idOf('first')))?.damage).toBeDefined();
  });

  it('of a version that is no number are told as newer', async () => {
    const body = concatBytes([utf8('vsndmge '), encodeCanonical({ version: { a: 1 } })]);
    await blobs.put('damage/000000000000001-00', concatBytes([body, nodeSha256(body)]));
    const { problems } = await manager.verifyRepository();
    expect(problems.map(({ code }) => code)).toContain('REPOSITORY_NEWER');
  });
});
