/** Files of one chunk, which refer to it and not to a tree of it: what they become, what they are told by, and what they are taken for. */
import { describe, expect, it } from 'vitest';
import { type Address, utf8 } from 'vecsnap/core';
import { encodeNode, fileToEntry, streamChunkToEntry } from 'vecsnap/manifest';
import { directoryEnvironment, nodeSha256 } from 'vecsnap/platform';
import { type Snapshot, SnapshotManager } from 'vecsnap/snapshot';
import type { FileEntry } from 'vecsnap/source';
import { freshDirectory, seededBytes } from './support/files.js';
import { HostileRepository } from './support/hostile-repository.js';
import { MemoryTarget } from './support/memory-environment.js';
import { fileTreeSource, regularFile } from './support/memory-source.js';

const at = freshDirectory();

const PAGE_BYTES = 16_384;
/** As databases of pages begin; such are cut into pages of {@link PAGE_BYTES}. */
const PAGED = Buffer.from('SQLite format 3\0');

/** A file in the state of the given name, or in none. */
function fileIn(state: string | undefined, bytes: Uint8Array): FileEntry {
  return { ...regularFile('file', 0o644, bytes), ...(state !== undefined && { state: () => state }) };
}

async function take(manager: SnapshotManager, file: FileEntry, base?: Snapshot): Promise<Snapshot> {
  const source = fileTreeSource('files', { name: 'directory', mode: 0o755 }, [file]);
  if (base === undefined) return manager.createSnapshot(source, 'taken');
  return manager.createIncrementalSnapshot(source, 'taken', base.id);
}

async function expectFile(manager: SnapshotManager, { id }: Snapshot, bytes: Uint8Array): Promise<void> {
  const target = new MemoryTarget();
  await manager.restoreSnapshot(id, target);
  expect(target.files.map((file) => Buffer.from(bytes).equals(file.bytes))).toEqual([true]);
}

describe('a file of one chunk', () => {
  const base = seededBytes(16_000, 1);
  const edited = base.map((byte, i) => (i === 8000 ? byte ^ 1 : byte));
  const longer = new Uint8Array(Buffer.concat([PAGED, seededBytes(2 * PAGE_BYTES, 2)]));
  const cut = longer.slice(0, PAGE_BYTES - 100);

  it.each<[string, Uint8Array, Uint8Array]>([
    ['changes', base, edited],
    ['becomes several', cut, longer],
    ['comes of several', longer, cut],
  ])('that %s is stored as what is new', async (_, before, after) => {
    const manager = await SnapshotManager.init({ snapshotDir: at('repo') });
    const first = await take(manager, fileIn(undefined, before));
    const second = await take(manager, fileIn(undefined, after), first);
    const unknown = after.length > before.length ? after.length - before.length : 0;
    expect(second.addedBytes).toBeLessThan(unknown + 1500); // A pack, its directory, and a manifest with its tree.
    await expectFile(manager, first, before);
    await expectFile(manager, second, after);
    expect((await manager.verifyRepository()).ok).toBe(true);
    await manager.deleteSnapshot(first.id);
    await manager.collectGarbage({ maxUnused: 0 });
    await expectFile(manager, second, after);
    await manager.close();
  });

  it('is only found to be one at its end, where chunks come one by one', async () => {
    const environment = directoryEnvironment(at('repo'), {});
    const manager = await SnapshotManager.init({ environment }, { fixed: { size: 2 ** 21 } });
    for (const length of [2 ** 21, 2 ** 21 + 1, 5_000_000]) {
      const bytes = new Uint8Array(Buffer.concat([PAGED, seededBytes(length, 3)]).subarray(0, length));
      await expectFile(manager, await take(manager, fileIn(undefined, bytes)), bytes);
    }
    await manager.close();
  });

  it('is not taken for the stream whose root has its bytes', async () => {
    const stream = new Uint8Array(Buffer.concat([PAGED, seededBytes(2 * PAGE_BYTES, 2)]));
    const root = encodeNode({ level: 0, entries: pagesOf(stream) });
    const manager = await SnapshotManager.init({ snapshotDir: at('repo') });
    const first = await take(manager, fileIn('first', stream));
    const second = await take(manager, fileIn(undefined, root), first); // Which tells no state, so that of the first stays noted.
    const third = await take(manager, fileIn('first', stream), second);
    expect(third.checksum).toBe(first.checksum);
    await expectFile(manager, third, stream);
    await manager.close();
  });

  it('is read again in no state but the one it was noted in', async () => {
    const manager = await SnapshotManager.init({ snapshotDir: at('repo') });
    const first = await take(manager, fileIn('first', base));
    const same = await take(manager, fileIn('first', edited), first); // A state that lies: nothing is read.
    expect(same.checksum).toBe(first.checksum);
    await expectFile(manager, await take(manager, fileIn('second', edited), same), edited);
    await manager.close();
  });

  it('is salvaged by itself', async () => {
    const repository = new HostileRepository();
    const entry = (path: string, address: Address, size: number) =>
      fileToEntry({ path, type: 'file', mode: 0o644, size, content: { kind: 'chunk', address } });
    const whole = repository.chunk(utf8('hello'));
    const files = [
      entry('a', whole, 5),
      entry('b', whole, 6),
      entry('c', nodeSha256(utf8('nowhere')), 7),
      entry('d', whole, 5),
    ];
    const { id } = await repository.snapshot({ files: repository.node(0, files) });
    const manager = await repository.open();
    const target = new MemoryTarget();
    const { lost } = await manager.restoreSnapshot(id, target, { allowDamaged: true });
    expect(lost?.files).toEqual([
      { count: 1, path: 'b' },
      { count: 1, path: 'c' },
    ]);
    expect(target.files.map(({ path, bytes }) => [path, Buffer.from(bytes).toString()])).toEqual([
      ['a', 'hello'],
      ['d', 'hello'],
    ]);
    await manager.close();
  });
});

/** What the root of a stream in pages lists. */
function pagesOf(stream: Uint8Array) {
  const pages = Array.from({ length: Math.ceil(stream.length / PAGE_BYTES) }, (_, i) =>
    stream.subarray(i * PAGE_BYTES, (i + 1) * PAGE_BYTES),
  );
  return pages.map((page) => streamChunkToEntry({ address: nodeSha256(page), length: page.length }));
}
