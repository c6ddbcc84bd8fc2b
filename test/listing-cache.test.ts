/** Listing many snapshots: what is kept to make it quick never hides what is wrong. */
import { appendFile, copyFile, readdir, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { type Snapshot, SnapshotManager } from 'vecsnap';
import { fbin, matrixSource } from 'vecsnap/source';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { itemAt } from './support/item-at.js';
import { freshDirectory } from './support/files.js';
import { finiteFbin } from './support/matrices.js';

const path = freshDirectory();
const MANY = 70;
let manager: SnapshotManager;
let taken: Snapshot[];

beforeEach(async () => {
  await writeFile(path('docs.fbin'), finiteFbin(10, 8));
  manager = await SnapshotManager.init({ snapshotDir: path('repo') });
  taken = [];
  for (let i = 0; i < MANY; i++) taken.unshift(await take(`night ${i} ü`));
});

afterEach(() => manager.close());

function take(name: string): Promise<Snapshot> {
  const metadata = { n: [1.5, { deep: null }], 'k"': 'v\n' };
  return manager.createSnapshot(matrixSource(fbin, path('docs.fbin')), name, { metadata, tags: [name] });
}

function cacheFile(): string {
  return path('repo', 'index', 'snapshots.cache');
}

async function isCached(): Promise<boolean> {
  return stat(cacheFile()).then(
    () => true,
    () => false,
  );
}

/** Parts that the cache is made of: each is four bytes with the length of a text, its SHA-256, and the text. */
async function countParts(): Promise<number> {
  const bytes = await readFile(cacheFile());
  let count = 0;
  for (let at = 0; at < bytes.length; count++) at += 36 + bytes.readUInt32LE(at);
  return count;
}

/** Lists snapshots after the blobs of some were damaged without becoming shorter, which shows only where the blobs are read. */
async function damagedIn(snapshots: readonly Snapshot[]): Promise<readonly string[]> {
  const files = snapshots.map(({ id }) => path('repo', 'snapshots', id));
  for (const file of files) await flipLastByte(file);
  const { problems } = await manager.listAll();
  for (const file of files) await flipLastByte(file);
  return problems.map(({ blob }) => blob);
}

async function flipLastByte(file: string): Promise<void> {
  const bytes = await readFile(file);
  bytes[bytes.length - 1] = (bytes.at(-1) as number) ^ 1;
  await writeFile(file, bytes);
}

describe('a list of many snapshots', () => {
  it('is the same from the blobs and from the cache, for who comes with it and who comes later', async () => {
    await rm(cacheFile()); // Taking so many has made it.
    expect(await manager.listSnapshots()).toEqual(taken);
    expect(await isCached()).toBe(true);
    expect(await manager.listSnapshots()).toEqual(taken);
    const one = await take('one more');
    await manager.deleteSnapshot(itemAt(taken, 3).id);
    const expected = [one, ...taken.toSpliced(3, 1)];
    expect(await manager.listSnapshots()).toEqual(expected);
    const other = await SnapshotManager.open({ snapshotDir: path('repo'), ownsThread: true });
    expect(await other.listSnapshots()).toEqual(expected);
    await other.close();
  });

  it('reads no blob of a snapshot that was taken here, as long as there is the cache', async () => {
    expect(await damagedIn(taken)).toEqual([]);
    await rm(cacheFile());
    const one = itemAt(taken, 0);
    expect(await damagedIn([one])).toEqual([`snapshots/${one.id}`]);
  });

  it('takes what was appended to the cache for what it is, up to where an append was cut short', async () => {
    const before = await take('before');
    await appendFile(cacheFile(), Uint8Array.of(100, 0, 0, 0, 1, 2, 3));
    const after = await take('after');
    expect(await manager.listSnapshots()).toEqual([after, before, ...taken]);
    expect(await damagedIn([after, before])).toEqual([`snapshots/${after.id}`]);
  });

  it('makes one part of many, and leaves out what is gone', async () => {
    expect(await countParts()).toBeLessThan(MANY);
    await rm(cacheFile());
    await manager.listSnapshots();
    expect(await countParts()).toBe(1);
    await take('one more');
    expect(await countParts()).toBe(2);
    for (const { id } of taken) await manager.deleteSnapshot(id);
    const { size } = await stat(cacheFile());
    for (let i = 0; i < MANY; i++) await take(`later ${i}`);
    await manager.listSnapshots();
    expect((await stat(cacheFile())).size).toBeLessThan(1.5 * size);
  });

  it('reads the blobs when the cache is damaged, gone, or in a place that cannot be written', async () => {
    await manager.listSnapshots();
    await flipLastByte(cacheFile());
    expect(await manager.listSnapshots()).toEqual(taken);
    for (const length of [0, 10, 40]) {
      await truncate(cacheFile(), length);
      expect(await manager.listSnapshots()).toEqual(taken);
    }
    await rm(path('repo', 'index'), { recursive: true });
    expect(await manager.listSnapshots()).toEqual(taken);
    expect(await readdir(path('repo'))).not.toContain('index');
  });

  it('is not taken in by a cache of another repository', async () => {
    await manager.listSnapshots();
    const other = await SnapshotManager.init({ snapshotDir: path('other') });
    const snapshot = await other.createSnapshot(matrixSource(fbin, path('docs.fbin')), 'other');
    await copyFile(cacheFile(), path('other', 'index', 'snapshots.cache'));
    expect(await other.listSnapshots()).toEqual([snapshot]);
    await other.close();
  });

  it('tells a blob that was cut short', async () => {
    await manager.listSnapshots();
    const [newest, ...others] = taken as [Snapshot, ...Snapshot[]];
    await manager.close(); // It would go on with the handle, and the size, that it has.
    await truncate(path('repo', 'snapshots', newest.id), 100);
    const { snapshots, problems } = await manager.listAll();
    expect(snapshots).toEqual(others);
    expect(problems).toMatchObject([{ blob: `snapshots/${newest.id}`, error: { code: 'SNAPSHOT_DAMAGED' } }]);
  });

  it('hides no damage from verify, the sweep and the restore', async () => {
    await manager.listSnapshots();
    const [newest] = taken as [Snapshot];
    await flipLastByte(path('repo', 'snapshots', newest.id));
    expect((await manager.verifyRepository()).problems).toMatchObject([
      { code: 'SNAPSHOT_DAMAGED', blob: `snapshots/${newest.id}` },
    ]);
    await expect(manager.collectGarbage()).rejects.toMatchObject({ code: 'SWEEP_REFUSED' });
    await expect(manager.snapshotFormat(newest.id)).rejects.toMatchObject({ code: 'SNAPSHOT_DAMAGED' });
  });

  it('gives each snapshot a time of its own, whatever the clock says', async () => {
    const createdAt = new Date(Date.parse(itemAt(taken, 0).createdAt));
    const source = matrixSource(fbin, path('docs.fbin'));
    const one = await manager.createSnapshot(source, 'one', { createdAt });
    const two = await manager.createSnapshot(source, 'two', { createdAt });
    const times = [...taken, one, two].map((snapshot) => snapshot.createdAt);
    expect(new Set(times).size).toBe(MANY + 2);
    expect(Date.parse(two.createdAt)).toBeGreaterThan(Date.parse(one.createdAt));
  });
});
