/** Several processes on one repository: readers beside a writer, writers one after the other, a writer that is killed. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { resolveSource, resolveTarget, type Snapshot, SnapshotManager } from 'vecsnap';
import { freshDirectory } from './support/files.js';

describe('beside a writer in another process', () => {
  const path = freshDirectory();
  let manager: SnapshotManager;
  let first: Snapshot;
  let writer: ChildProcess;
  let lines: AsyncIterator<string>;

  beforeEach(async () => {
    const rows = Float32Array.from({ length: 500 * 16 }, (_, i) => Math.cos(i));
    await writeFile(path('v.fbin'), [Buffer.from(Uint32Array.of(500, 16).buffer), Buffer.from(rows.buffer)]);
    manager = await SnapshotManager.init({ snapshotDir: path('repo'), lockTimeoutMs: 100 });
    first = await manager.createSnapshot(await resolveSource(path('v.fbin')), 'first');
    writer = spawn('node', [resolve('test/support/slow-create.mjs'), path('repo')], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    if (writer.stdout === null) throw new Error('the writer has no output');
    lines = createInterface({ input: writer.stdout })[Symbol.asyncIterator]();
    expect((await lines.next()).value).toBe('half');
  });

  afterEach(async () => {
    if (writer.exitCode === null && writer.signalCode === null) {
      writer.kill('SIGKILL');
      await once(writer, 'exit');
    }
    await manager.close();
  });

  async function finishWriter(): Promise<string> {
    writer.stdin?.write('\n');
    return String((await lines.next()).value);
  }

  async function killWriter(): Promise<void> {
    writer.kill('SIGKILL');
    await once(writer, 'exit');
  }

  it('every reading command works, and sees the new snapshot when it is complete', async () => {
    expect((await manager.listSnapshots()).map(({ id }) => id)).toEqual([first.id]);
    expect((await manager.verifyRepository()).problems).toEqual([]);
    expect((await manager.verifySnapshot(first.id)).ok).toBe(true);
    await manager.restoreSnapshot(first.id, await resolveTarget(path('out.fbin')));
    expect(await readFile(path('out.fbin'))).toEqual(await readFile(path('v.fbin')));
    expect((await manager.diffSnapshots(first.id, first.id)).identical).toBe(true);
    expect((await manager.stats()).snapshots).toBe(1);
    const id = await finishWriter();
    expect((await manager.listSnapshots()).map((snapshot) => snapshot.id)).toEqual([id, first.id]);
    expect((await manager.verifyRepository()).problems).toEqual([]);
  });

  it('a second writer is told who holds the lock, and gets it when the first is done', async () => {
    const take = async (lockTimeoutMs: number) => {
      const other = await SnapshotManager.open({ snapshotDir: path('repo'), lockTimeoutMs });
      try {
        return await other.createSnapshot(await resolveSource(path('v.fbin')), 'second');
      } finally {
        await other.close();
      }
    };
    const refused = { code: 'REPOSITORY_LOCKED', message: expect.stringContaining('create') as string };
    await expect(take(0)).rejects.toMatchObject(refused);
    await expect(take(0)).rejects.toSatisfy((error: Error & { place?: string; remedy?: string }) => {
      const text = `${error.message} ${error.place} ${error.remedy}`;
      return text.includes(String(writer.pid)) && text.includes(hostname());
    });
    await expect(manager.deleteSnapshot(first.id)).rejects.toMatchObject(refused);
    await expect(manager.collectGarbage()).rejects.toMatchObject(refused);
    const waiting = take(30_000);
    await finishWriter();
    expect((await waiting).name).toBe('second');
  });

  it('nothing is lost when the writer is killed; the next one goes on at once and a sweep leaves nothing behind', async () => {
    const before = await readdir(path('repo', 'snapshots'));
    await killWriter();
    expect(await readdir(path('repo', 'snapshots'))).toEqual(before);
    expect((await manager.verifyRepository()).problems).toEqual([]);
    const second = await manager.createSnapshot(await resolveSource(path('v.fbin')), 'second');
    expect(second.checksum).toBe(first.checksum);
    await manager.collectGarbage({ maxUnused: 0 });
    expect((await manager.stats()).unreferencedBytes).toBe(0);
    expect(await readdir(path('repo', 'locks'))).toEqual([]);
    expect(await readdir(path('repo', 'tmp'))).toEqual([]);
  });
});
