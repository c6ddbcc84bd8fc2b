/** Files to which nothing was written since the snapshot before are not read, and all others are. */
import { existsSync } from 'node:fs';
import { link, mkdir, mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { directoryEnvironment } from 'vecsnap/platform';
import { type CreateOptions, type Snapshot, SnapshotManager } from 'vecsnap/snapshot';
import { fbin, fvecs, npy, resolveSource } from 'vecsnap/source';
import { create } from './support/cli.js';
import { collect } from './support/collect.js';
import {
  agedFiles,
  ageFiles,
  doShow,
  hasPython,
  secretly,
  startWriter,
  withAgedFiles,
} from './support/file-times.js';
import { freshDirectory, invertLastByte } from './support/files.js';
import { writeMatrix } from './support/matrices.js';
import { ruvector } from './support/ruvector.js';

interface Kind {
  readonly scheme: string;
  readonly make: (path: string) => unknown;
  /** Keeps the size. */
  readonly change: (path: string) => unknown;
}

const MATRICES: readonly Kind[] = [fbin, npy, fvecs].map((format) => ({
  scheme: format.scheme,
  make: (path) => writeMatrix(format, path, 300, 16),
  change: invertLastByte,
}));
const KINDS: readonly Kind[] = [
  ...MATRICES,
  { scheme: 'file', make: (path) => writeFile(path, 'some bytes'), change: invertLastByte },
  {
    scheme: 'jsonl',
    make: (path) => writeFile(path, '{"id":"a","vector":[1,2]}\n{"id":"b","vector":[3,4]}\n'),
    change: (path) => writeFile(path, '{"id":"a","vector":[1,2]}\n{"id":"b","vector":[3,5]}\n'),
  },
  {
    scheme: 'ruvector',
    make: (path) => {
      const batches = [Array.from({ length: 50 }, (_, i) => ({ id: `record ${i}`, vector: [i, 1] }))];
      ruvector(path, { options: { dimensions: 2 }, batches });
    },
    change: (path) => {
      ruvector(path, { options: { dimensions: 2 }, batches: [[{ id: 'record 7', vector: [7, 2] }]] });
    },
  },
];

describe('a file', () => {
  agedFiles();
  const at = freshDirectory();
  let manager: SnapshotManager;
  let last: Snapshot | undefined;

  beforeEach(async () => {
    manager = await SnapshotManager.init({ environment: directoryEnvironment(at('repo'), { workers: 1 }) });
    last = undefined;
  });

  afterEach(() => manager.close());

  /** Takes the next snapshot, and tells whether the source was read for it. */
  async function take(place: string, options: CreateOptions = {}): Promise<Snapshot & { isRead: boolean }> {
    const source = await resolveSource(place);
    last =
      last === undefined
        ? await manager.createSnapshot(source, 'snapshot', options)
        : await manager.createIncrementalSnapshot(source, 'snapshot', last.id, options);
    return { ...last, isRead: !last.notes.some((note) => note.startsWith('Nothing was read')) };
  }

  it.runIf(doShow).each(KINDS)('($scheme) is read again only when it was written', async (kind) => {
    const path = at('source');
    const place = `${kind.scheme}:${path}`;
    await kind.make(path);
    const first = await take(place);
    const second = await take(place);
    expect([first.isRead, second.isRead]).toEqual([true, false]);
    expect(second.checksum).toBe(first.checksum);
    await secretly(path, () => kind.change(path));
    const third = await take(place);
    expect(third.isRead).toBe(true);
    expect(third.checksum).not.toBe(first.checksum);
    expect((await take(place)).isRead).toBe(false);
    expect(await take(place, { rescan: true })).toMatchObject({ isRead: true, checksum: third.checksum });
    expect((await manager.verifyRepository()).problems).toEqual([]);
  });

  it.runIf(doShow)('is read again when another took its place, or its name changed', async () => {
    const path = at('a');
    await writeFile(path, 'some bytes');
    await take(`file:${path}`);
    await secretly(path, async () => {
      await writeFile(at('other'), 'same size!');
      await rename(at('other'), path);
    });
    expect((await take(`file:${path}`)).isRead).toBe(true);
    expect((await take(`file:${path}`)).isRead).toBe(false);
    await link(path, at('b')); // It shows in the times, too.
    expect((await take(`file:${path}`)).isRead).toBe(true);
    expect((await take(`file:${at('b')}`)).isRead).toBe(true);
  });

  it.runIf(doShow)('is read again when it is taken as another kind', async () => {
    const path = at('vectors');
    await writeMatrix(fbin, path, 300, 16);
    expect(await take(`fbin:${path}`)).toMatchObject({ vectorCount: 300, fileCount: 0 });
    expect(await take(`file:${path}`)).toMatchObject({ vectorCount: 0, fileCount: 1, isRead: true });
    expect((await take(`file:${path}`)).isRead).toBe(false);
  });

  it.runIf(doShow)('is read again by the command when that is asked for', async () => {
    const path = at('vectors');
    await writeMatrix(fbin, path, 300, 16);
    await withAgedFiles(async () => {
      const { checksum } = await create(at('repo'), path);
      expect((await create(at('repo'), path)).notes).toEqual([expect.stringMatching(/^Nothing was read/)]);
      expect(await create(at('repo'), path, '--rescan')).toMatchObject({ notes: [], checksum });
      expect(await create(at('repo'), path, '--full')).toMatchObject({ notes: [], checksum });
    });
  });

  it.runIf(existsSync('/dev/shm'))('is always read where not every write shows', async () => {
    const folder = await mkdtemp('/dev/shm/vecsnap-test-');
    try {
      const path = join(folder, 'vectors');
      await writeMatrix(fbin, path, 300, 16);
      await take(`fbin:${path}`);
      expect((await take(`fbin:${path}`)).isRead).toBe(true);
    } finally {
      await rm(folder, { recursive: true });
    }
  });

  it.runIf(doShow)('is read until it was not written for a while: a write may be under way', async () => {
    const path = at('vectors');
    await writeMatrix(fbin, path, 300, 16);
    vi.restoreAllMocks();
    await take(`fbin:${path}`);
    expect((await take(`fbin:${path}`)).isRead).toBe(true);
    ageFiles();
    expect((await take(`fbin:${path}`)).isRead).toBe(true);
    expect((await take(`fbin:${path}`)).isRead).toBe(false);
  });

  it.runIf(doShow)(
    'is read again after the system was started again: times may be those of before a power cut',
    async () => {
      const path = at('vectors');
      await writeMatrix(fbin, path, 300, 16);
      const opened = await (await resolveSource(`fbin:${path}`)).open();
      await opened.close();
      const boot = await readFile('/proc/sys/kernel/random/boot_id', 'utf8');
      expect(opened.state?.()).toContain(boot.trim());
    },
  );

  describe('that a program has mapped all the time', () => {
    const itMapped = it.runIf(doShow && hasPython);

    itMapped('is read again after writes through the mapping', async () => {
      const path = at('vectors');
      await writeMatrix(fbin, path, 300, 16);
      const writer = startWriter(path);
      try {
        const checksums = new Set<string>();
        for (let value = 1; value <= 5; value++) {
          await writer.write(value);
          const snapshot = await take(`fbin:${path}`);
          expect(snapshot.isRead).toBe(true);
          checksums.add(snapshot.checksum);
        }
        expect(checksums.size).toBe(5);
        expect((await take(`fbin:${path}`)).isRead).toBe(false);
      } finally {
        writer.end();
      }
    });

    itMapped('is not taken as part of one moment of its directory when it is written meanwhile', async () => {
      await mkdir(at('tree'));
      await writeMatrix(fbin, at('tree', 'vectors'), 300, 16);
      const writer = startWriter(at('tree', 'vectors'));
      try {
        await writer.write(1);
        const opened = await (await resolveSource(`dir:${at('tree')}`)).open();
        for await (const entry of opened.files?.() ?? [])
          if (entry.type === 'file') expect((await collect(entry.read())).length).toBe(1);
        await opened.confirmUnchanged();
        await writer.write(2);
        await expect(opened.confirmUnchanged()).rejects.toMatchObject({ code: 'SOURCE_CHANGED' });
        await opened.close();
      } finally {
        writer.end();
      }
    });

    itMapped('is not taken as the content of one moment when it is written meanwhile', async () => {
      const path = at('vectors');
      await writeMatrix(fbin, path, 300, 16);
      const writer = startWriter(path);
      try {
        await writer.write(1);
        const opened = await (await resolveSource(`fbin:${path}`)).open();
        await opened.confirmUnchanged();
        await writer.write(2);
        await expect(opened.confirmUnchanged()).rejects.toMatchObject({ code: 'SOURCE_CHANGED' });
        await opened.close();
      } finally {
        writer.end();
      }
    });
  });
});
