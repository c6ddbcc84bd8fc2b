/**
 * Sources that change while a snapshot of them is taken: the snapshot is what stood there at one moment, or there is none and an
 * error says so. Never a mixture.
 */
import {
  appendFile,
  readFile,
  rename,
  rm,
  stat,
  truncate,
  utimes,
  writeFile,
  mkdir,
  cp,
} from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { SnapshotManager } from 'vecsnap';
import { inlineCoder } from 'vecsnap/cas';
import { nodeDeflate, nodeSha256 } from 'vecsnap/platform';
import type { Environment } from 'vecsnap/snapshot';
import {
  directorySource,
  fbin,
  fileSource,
  folderSource,
  jsonlSource,
  matrixSource,
  ruvectorSource,
  type OpenSource,
  type Source,
} from 'vecsnap/source';
import { ruvector } from './support/ruvector.js';
import { freshDirectory } from './support/files.js';
import { memoryEnvironment, MemoryTarget } from './support/memory-environment.js';

const path = freshDirectory();
const ROWS = 20_000;

/** In memory, with what Node.js has for SHA-256 and deflate. */
function quickEnvironment(): Environment {
  const sha256 = nodeSha256;
  return memoryEnvironment({ sha256, coder: inlineCoder({ sha256, deflate: nodeDeflate }) });
}

/** A source that runs `change` after the first batch or piece of its first `times` readings. */
function changing(source: Source, change: () => Promise<void>, times: number): Source {
  let readings = 0;
  async function* after<T>(items: AsyncIterable<T>): AsyncGenerator<T> {
    let isFirst = true;
    for await (const item of items) {
      yield item;
      if (isFirst && readings++ < times) await change();
      isFirst = false;
    }
  }
  const wrap = (open: OpenSource): OpenSource => {
    const { records, files } = open;
    return {
      ...open,
      records: records && (() => after(records())),
      files:
        files &&
        async function* () {
          for await (const entry of files())
            yield entry.type === 'file' ? { ...entry, read: () => after(entry.read()) } : entry;
        },
    };
  };
  return { ...source, open: async () => wrap(await source.open()) };
}

/** All that a snapshot holds, as text. */
async function textOf(manager: SnapshotManager, id: string): Promise<string> {
  const target = new MemoryTarget();
  await manager.restoreSnapshot(id, target);
  const records = target.records.map(
    ({ id: of, vectors }) => `${of}=${Buffer.from(vectors[0] ?? []).toString('hex')}`,
  );
  return [
    ...records,
    ...target.files.map((file) => `${file.path}=${Buffer.from(file.bytes).toString('hex')}`),
  ].join();
}

/** What a snapshot of the source has now. */
async function contentOf(source: Source): Promise<string> {
  const manager = await SnapshotManager.init({ environment: quickEnvironment() });
  return textOf(manager, (await manager.createSnapshot(source, 'now')).id);
}

/** Which content a snapshot got that was taken while the source changed, or the code of the error. */
async function taken(source: Source, change: () => Promise<void>, times: number): Promise<string> {
  const before = await contentOf(source);
  const manager = await SnapshotManager.init({ environment: quickEnvironment() });
  const made = await manager
    .createSnapshot(changing(source, change, times), 'x')
    .catch((error: { code?: string }) => {
      if (error.code === undefined) throw error;
      return error.code;
    });
  if (typeof made === 'string') {
    expect(await manager.listSnapshots()).toEqual([]);
    return made;
  }
  const content = await textOf(manager, made.id);
  if (content === before) return 'before';
  return content === (await contentOf(source)) ? 'after' : 'MIXTURE';
}

/** Runs `write` and puts the time of the last write back. */
async function unseen(place: string, write: () => Promise<void>): Promise<void> {
  const { atime, mtime } = await stat(place);
  await write();
  await utimes(place, atime, mtime);
}

function jsonl(version: number, rows = ROWS, first = 0): string {
  const vector = Array.from({ length: 12 }, () => version / 8).join();
  return Array.from(
    { length: rows },
    (_, i) => `{"id":"r${String(first + i).padStart(6, '0')}","vector":[${vector}]}\n`,
  ).join('');
}

function matrix(version: number): Uint8Array {
  const rows = new Float32Array(ROWS * 64).fill(version);
  return Buffer.concat([Buffer.from(Uint32Array.of(ROWS, 64).buffer), Buffer.from(rows.buffer)]);
}

/** Another version each time, of the same length. */
function versions() {
  let version = 1;
  return () => (version = (version % 7) + 1);
}

describe('jsonl', () => {
  const place = () => path('a.jsonl');
  const next = versions();
  const ways: [string, () => Promise<void>][] = [
    ['appended to', () => appendFile(place(), jsonl(next(), 300, 900_000 + next() * 1000))],
    ['written over in place', () => writeFile(place(), jsonl(next()), { flag: 'r+' })],
    [
      'written over in place with its size and time as they were',
      () => unseen(place(), () => writeFile(place(), jsonl(next()), { flag: 'r+' })),
    ],
    [
      'replaced by a rename',
      async () => {
        await writeFile(path('b.jsonl'), jsonl(next()));
        await rename(path('b.jsonl'), place());
      },
    ],
    ['cut short', async () => truncate(place(), Math.floor((await stat(place())).size / 2 / 5) * 5)],
  ];

  it.each(ways)('%s once gives what stood there afterwards', async (name, change) => {
    await writeFile(place(), jsonl(0));
    const outcome = await taken(jsonlSource(place()), change, 1);
    // What is cut in the middle of a line is no JSON afterwards.
    expect(name === 'cut short' ? ['after', 'SOURCE_INVALID'] : ['after']).toContain(outcome);
  });

  it.each(ways)('%s again and again gives an error', async (name, change) => {
    await writeFile(place(), jsonl(0));
    const outcome = await taken(jsonlSource(place()), change, 9);
    expect(
      name === 'appended to' || name === 'cut short'
        ? ['SOURCE_CHANGED', 'SOURCE_INVALID', 'SOURCE_DUPLICATE_ID']
        : ['SOURCE_CHANGED'],
    ).toContain(outcome);
  });

  it('removed gives an error', async () => {
    await writeFile(place(), jsonl(0));
    expect(await taken(jsonlSource(place()), () => rm(place()), 1)).toBe('SOURCE_MISSING');
  });
});

describe('a matrix, a file and a directory', () => {
  const next = versions();
  const place = () => path('tree', 'm.fbin');
  const sources: [string, () => Source][] = [
    ['fbin', () => matrixSource(fbin, place())],
    ['file', () => fileSource(place())],
    ['directory', () => directorySource(path('tree'))],
  ];
  const ways: [string, () => Promise<void>][] = [
    ['written over in place', () => writeFile(place(), matrix(next()), { flag: 'r+' })],
    [
      'written over in place with its size and time as they were',
      () => unseen(place(), () => writeFile(place(), matrix(next()), { flag: 'r+' })),
    ],
    [
      'replaced by a rename',
      async () => {
        await writeFile(path('new'), matrix(next()));
        await rename(path('new'), place());
      },
    ],
    ['appended to', () => appendFile(place(), matrix(next()))],
    ['cut short', async () => truncate(place(), Math.floor((await stat(place())).size / 2))],
  ];

  it.each(sources.flatMap(([of, source]) => ways.map(([way, change]) => [of, way, source, change] as const)))(
    '%s %s',
    async (of, way, source, change) => {
      await mkdir(path('tree'), { recursive: true });
      await writeFile(place(), matrix(0));
      const isBroken = of === 'fbin' && (way === 'cut short' || way === 'appended to');
      expect(isBroken ? ['after', 'SOURCE_TRUNCATED', 'SOURCE_INVALID'] : ['after']).toContain(
        await taken(source(), change, 1),
      );
      await writeFile(place(), matrix(0));
      expect(['SOURCE_CHANGED', 'SOURCE_TRUNCATED', 'SOURCE_INVALID']).toContain(
        await taken(source(), change, 9),
      );
    },
    30_000,
  );
});

describe('an exported folder', () => {
  it('replaced by another while it is read gives an error', async () => {
    await writeFile(path('a.jsonl'), jsonl(1));
    await writeFile(path('b.jsonl'), jsonl(2));
    const manager = await SnapshotManager.init({ environment: quickEnvironment() });
    await mkdir(path('out'));
    const exported = async (name: string) => {
      const { id } = await manager.createSnapshot(jsonlSource(path(name)), name);
      return (await manager.exportSnapshot(id, path('out'))).path;
    };
    const [a, b] = [await exported('a.jsonl'), await exported('b.jsonl')];
    await cp(a, path('folder'), { recursive: true });
    const source = await folderSource(path('folder'));
    const replace = async (): Promise<void> => {
      await rename(path('folder'), path('old'));
      await cp(b, path('folder'), { recursive: true });
    };
    expect(await taken(source, replace, 1)).toBe('SOURCE_CHANGED');
  });
});

describe('ruvector', () => {
  const place = () => path('v.db');
  const next = versions();
  const rows = (version: number, first = 0, count = 9000) =>
    Array.from({ length: count }, (_, i) => ({
      id: `r${String(first + i).padStart(6, '0')}`,
      vector: new Array<number>(64).fill(version),
    }));
  const write = (at: string, version: number, first = 0, count = 9000) =>
    void ruvector(at, { options: { dimensions: 64 }, batches: [rows(version, first, count)] });
  const other = async (version: number): Promise<Buffer> => {
    await rm(path('other.db'), { force: true });
    write(path('other.db'), version);
    return readFile(path('other.db'));
  };
  const ways: [string, () => Promise<void>, string][] = [
    ['written by its program', async () => write(place(), next(), 4000, 1000), 'after'],
    ['given more records by its program', async () => write(place(), next(), 9000, 500), 'after'],
    [
      'replaced by a rename',
      async () => {
        await other(next());
        await rename(path('other.db'), place());
      },
      'after',
    ],
    [
      'written over in place with its time as it was',
      async () => {
        const bytes = await other(next());
        await unseen(place(), () => writeFile(place(), bytes, { flag: 'r+' }));
      },
      'after',
    ],
  ];

  it.each(ways)(
    '%s once gives what stood there afterwards',
    async (_, change, outcome) => {
      write(place(), 0);
      expect(await taken(ruvectorSource(place()), change, 1)).toBe(outcome);
    },
    60_000,
  );

  it('written again and again gives an error', async () => {
    write(place(), 0);
    const change = async () => write(place(), next(), 4000, 1000);
    expect(await taken(ruvectorSource(place()), change, 9)).toBe('SOURCE_CHANGED');
  }, 60_000);

  it('cut short gives what stood there before, or an error', async () => {
    write(place(), 0);
    const outcome = await taken(ruvectorSource(place()), async () => truncate(place(), 200_000), 9);
    expect(['before', 'SOURCE_CHANGED', 'SOURCE_TRUNCATED', 'SOURCE_INVALID']).toContain(outcome);
  }, 60_000);
});
