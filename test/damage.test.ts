/** Damage to a repository on disk, as a person meets it: each kind is found, named, and never gives wrong bytes. */
import { copyFile, mkdtemp, readdir, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { resolveSource, resolveTarget, type Snapshot, SnapshotManager } from 'vecsnap';

const ROWS = 3000;
const DIMENSION = 32;

describe('a damaged repository', () => {
  let folder: string;
  let repo: string;
  let matrix: string;
  let manager: SnapshotManager;
  let first: Snapshot;
  let second: Snapshot;

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'vecsnap-damage-'));
    repo = join(folder, 'repo');
    matrix = join(folder, 'vectors.fbin');
    manager = await SnapshotManager.init({ snapshotDir: repo });
    first = await take('first', 0);
    second = await take('second', 10);
  });

  afterEach(async () => {
    await manager.close();
    await rm(folder, { recursive: true, force: true });
  });

  async function take(name: string, changedRows: number): Promise<Snapshot> {
    const numbers = Float32Array.from({ length: ROWS * DIMENSION }, (_, i) => Math.sin(i * 1.37));
    numbers.fill(7, 0, changedRows * DIMENSION);
    await writeFile(matrix, [
      Buffer.from(Uint32Array.of(ROWS, DIMENSION).buffer),
      Buffer.from(numbers.buffer),
    ]);
    return manager.createSnapshot(await resolveSource(matrix), name);
  }

  /** The packs, the largest first: the one that the first snapshot wrote. */
  async function packs(): Promise<string[]> {
    const names = await readdir(join(repo, 'packs'));
    const sized = await Promise.all(
      names.map(async (name) => ({
        path: join(repo, 'packs', name),
        size: (await readFile(join(repo, 'packs', name))).length,
      })),
    );
    return sized.toSorted((a, b) => b.size - a.size).map(({ path }) => path);
  }

  async function largestPack(): Promise<string> {
    const [largest] = await packs();
    if (largest === undefined) throw new Error('there is no pack');
    return largest;
  }

  async function flipByte(path: string, at: (size: number) => number): Promise<void> {
    const bytes = await readFile(path);
    const position = at(bytes.length);
    bytes[position] = (bytes[position] ?? 0) ^ 0x10;
    await rm(path);
    await writeFile(path, bytes);
  }

  async function reopen(): Promise<void> {
    await manager.close();
    manager = await SnapshotManager.open({ snapshotDir: repo });
  }

  /** Restores the first snapshot, which must give its very bytes or fail. */
  async function restoreFirst(): Promise<string> {
    const out = join(folder, 'out.fbin');
    await rm(out, { force: true });
    try {
      await manager.restoreSnapshot(first.id, await resolveTarget(out));
    } catch (error) {
      expect(await readdir(folder)).not.toContain('out.fbin');
      return (error as { code: string }).code;
    }
    const numbers = Float32Array.from({ length: ROWS * DIMENSION }, (_, i) => Math.sin(i * 1.37));
    expect((await readFile(out)).subarray(8).equals(Buffer.from(numbers.buffer))).toBe(true);
    return 'exact';
  }

  it.each([
    ['a chunk', (size: number) => Math.floor(size / 3), 'CHUNK_DAMAGED'],
    ['the header of a pack', () => 2, 'PACK_DAMAGED'],
    ['the directory of a pack', (size: number) => size - 60, 'PACK_DAMAGED'],
    ['the footer of a pack', (size: number) => size - 2, 'PACK_DAMAGED'],
  ])('with one bit flipped in %s is found by verify', async (_what, at, code) => {
    await flipByte(await largestPack(), at);
    await reopen();
    const report = await manager.verifyRepository();
    expect(report.ok).toBe(false);
    expect(report.problems.map((problem) => problem.code)).toContain(code);
    expect(report.problems.some(({ blob }) => blob?.startsWith('packs/'))).toBe(true);
    expect(['exact', 'CHUNK_DAMAGED', 'CHUNK_MISSING']).toContain(await restoreFirst());
  });

  it('names the snapshots that a damaged chunk concerns, and only those', async () => {
    const [, small] = await packs();
    await flipByte(small ?? '', () => 100);
    await reopen();
    const { problems } = await manager.verifyRepository();
    expect(problems).toHaveLength(1);
    expect(problems[0]).toMatchObject({ code: 'CHUNK_DAMAGED', snapshots: [second.id] });
    expect(problems[0]?.address).toMatch(/^ba[a-z2-7]+$/);
    expect(await restoreFirst()).toBe('exact');
    expect((await manager.verifySnapshot(first.id)).ok).toBe(true);
    expect((await manager.verifySnapshot(second.id)).ok).toBe(false);
  });

  it('with a pack cut short is found, and the index still finds the chunks that the pack has left', async () => {
    const pack = await largestPack();
    await truncate(pack, Math.floor((await readFile(pack)).length * 0.9));
    await reopen();
    const { ok, problems } = await manager.verifyRepository();
    expect(ok).toBe(false);
    const codes = problems.map(({ code }) => code);
    expect(codes).toContain('PACK_DAMAGED');
    const lost = codes.filter((code) => code === 'CHUNK_DAMAGED').length;
    expect(lost).toBeGreaterThan(0);
    expect(lost).toBeLessThan(8); // Of fifteen chunks or so, a tenth of the bytes and the nodes at the end.
    expect(codes).not.toContain('CHUNK_MISSING');
    expect(await restoreFirst()).not.toBe('exact');
    await take('again', 0);
    expect(await restoreFirst()).toBe('exact');
  });

  it('with a pack deleted is found; nothing is swept; the next snapshot writes what is missing', async () => {
    await rm(await largestPack());
    await reopen();
    const { ok, problems } = await manager.verifyRepository();
    expect(ok).toBe(false);
    expect(problems.every(({ code }) => code === 'CHUNK_MISSING')).toBe(true);
    expect(new Set(problems.flatMap(({ snapshots }) => snapshots))).toEqual(new Set([first.id, second.id]));
    await expect(manager.collectGarbage()).rejects.toMatchObject({ code: 'SWEEP_REFUSED' });
    expect(await restoreFirst()).toBe('CHUNK_MISSING');
    await take('again', 0);
    expect(await restoreFirst()).toBe('exact');
  });

  it('with the index deleted, emptied or filled with rubbish goes on as before', async () => {
    const index = join(repo, 'index');
    const fill = async (text: string): Promise<void> => {
      for (const name of await readdir(index)) await writeFile(join(index, name), text);
    };
    const harms: readonly [() => Promise<void>, readonly string[]][] = [
      [() => rm(index, { recursive: true }), []],
      [() => fill(''), []], // As if nothing had been synced yet when the power was cut.
      [() => fill('rubbish'), ['INDEX_DAMAGED']],
    ];
    for (const [harm, found] of harms) {
      await harm();
      await reopen();
      expect((await manager.verifyRepository()).problems.map(({ code }) => code)).toEqual(found);
      expect(await restoreFirst()).toBe('exact');
      expect((await take(`after ${ROWS}`, 0)).addedBytes).toBe(0);
      expect((await manager.verifyRepository()).problems).toEqual([]);
    }
  });

  it('with a snapshot blob cut short is found; other snapshots go on; nothing is swept', async () => {
    const blob = join(repo, 'snapshots', second.id);
    const whole = join(folder, 'whole');
    await copyFile(blob, whole);
    await truncate(blob, 50);
    await reopen();
    expect((await manager.listSnapshots()).map(({ id }) => id)).toEqual([first.id]);
    const { problems } = await manager.verifyRepository();
    expect(problems).toMatchObject([{ code: 'SNAPSHOT_DAMAGED', blob: `snapshots/${second.id}` }]);
    await expect(manager.getSnapshot(second.id)).rejects.toMatchObject({ code: 'SNAPSHOT_DAMAGED' });
    await expect(manager.collectGarbage()).rejects.toMatchObject({ code: 'SWEEP_REFUSED' });
    expect(await restoreFirst()).toBe('exact');
    await rm(blob);
    await copyFile(whole, blob);
    await reopen();
    expect((await manager.verifyRepository()).ok).toBe(true);
  });

  it('with a damaged, missing or newer config is refused with a remedy', async () => {
    const config = join(repo, 'config');
    const whole = await readFile(config);
    for (const [bytes, code] of [
      [whole.subarray(0, 60), 'REPOSITORY_DAMAGED'],
      [Buffer.from('something else entirely'), 'NOT_A_REPOSITORY'],
      [undefined, 'REPOSITORY_DAMAGED'],
    ] as const) {
      await rm(config, { force: true });
      if (bytes !== undefined) await writeFile(config, bytes);
      await expect(SnapshotManager.open({ snapshotDir: repo })).rejects.toMatchObject({
        code,
        remedy: expect.any(String) as string,
      });
    }
  });

  it('is rebuilt by repair, which names the packs that cannot be read', async () => {
    await rm(join(repo, 'index'), { recursive: true });
    await flipByte(await largestPack(), (size) => size - 2);
    await reopen();
    const { packs: count, damagedPacks } = await manager.repair();
    expect(count).toBe(2);
    expect(damagedPacks).toHaveLength(1);
  });
});
