/** The seal of the index: whose files it takes for its own, what verify says of others, and who may throw them away. */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { cpSync, existsSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { directoryEnvironment } from 'vecsnap/platform';
import { type Environment, SnapshotManager } from 'vecsnap/snapshot';
import { beforeEach, describe, expect, it } from 'vitest';
import { versionOf } from './crash/matter.js';
import { freshDirectory } from './support/files.js';

const PARAMETERS = {
  rowGroups: { targetBytes: 512, minRecords: 4, maxRecords: 64 },
  nodes: { window: 1, max: 8 },
  packBytes: 3000,
};
/** Files of LevelDB that it writes and does not read. */
const UNREAD = /^(?:LOCK|LOG|LOG\.old|snapshots\.cache)$/;

const path = freshDirectory();
let environment: Environment;
const index = (...names: string[]): string => path('repo', 'index', ...names);

beforeEach(async () => {
  environment = directoryEnvironment(path('repo'), { workers: 1 });
  const manager = await SnapshotManager.init({ environment }, PARAMETERS);
  await manager.createSnapshot(versionOf(0).sourceOf('c'), 'first');
});

function open(): Promise<SnapshotManager> {
  return SnapshotManager.open({ environment });
}

async function create(): Promise<void> {
  await (await open()).createSnapshot(versionOf(1).sourceOf('c'), 'next');
}

async function verified(): Promise<string[]> {
  const { problems } = await (await open()).verifyRepository();
  return problems.map(({ code }) => code);
}

function filesOf(directory: string): ReadonlyMap<string, string> {
  const names = readdirSync(directory).filter((name) => !UNREAD.test(name));
  return new Map(names.map((name) => [name, readFileSync(join(directory, name), 'latin1')]));
}

/** The seal while this process has the index open. */
async function openSeal(): Promise<{ readonly holder: Readonly<Record<string, unknown>> }> {
  const opened = await environment.openIndex('persistent');
  const text = readFileSync(index('seal'), 'utf8');
  await opened.close();
  return JSON.parse(text) as Awaited<ReturnType<typeof openSeal>>;
}

/** A seal that fits the files, as docs/format.md has it. */
function fittingSeal(): string {
  const all = createHash('sha256');
  const names = readdirSync(index()).filter((name) => !UNREAD.test(name) && name !== 'seal');
  for (const name of names.toSorted()) {
    const bytes = readFileSync(index(name));
    all.update(`${name} ${bytes.length} `).update(createHash('sha256').update(bytes).digest());
  }
  return JSON.stringify({ files: all.digest('hex') });
}

describe('a sealed index', () => {
  it('is as docs/format.md says', async () => {
    expect(readFileSync(index('seal'), 'utf8')).toBe(fittingSeal());
    expect(await openSeal()).toMatchObject({ holder: { pid: process.pid } });
    expect(readFileSync(index('seal'), 'utf8')).toBe(fittingSeal());
  });

  it('is used again, and stays through reading', async () => {
    const before = filesOf(index());
    expect(await verified()).toEqual([]);
    expect(filesOf(index())).toEqual(before);
    const opened = await environment.openIndex('persistent');
    expect(opened.packs().size).toBeGreaterThan(0);
    await opened.close();
  });

  it('is named by verify, and by nothing else, when any of its files is another, until something is written', async () => {
    cpSync(index(), path('kept'), { recursive: true });
    for (const name of filesOf(index()).keys())
      for (const how of ['deleted', 'changed', 'longer'] as const) {
        rmSync(index(), { recursive: true });
        cpSync(path('kept'), index(), { recursive: true });
        const bytes = readFileSync(index(name));
        if (how === 'deleted') rmSync(index(name));
        else if (how === 'longer') writeFileSync(index(name), Buffer.concat([bytes, Buffer.of(0)]));
        else if (bytes.length === 0) continue;
        else writeFileSync(index(name), bytes.fill((bytes[0] as number) ^ 1, 0, 1));
        const before = filesOf(index());
        expect(await verified(), `${name} ${how}`).toEqual(['INDEX_DAMAGED']);
        expect(filesOf(index())).toEqual(before);
        await (await open()).collectGarbage();
        expect(await verified(), `${name} ${how}, after a sweep`).toEqual([]);
      }
  });

  it('may be deleted, and is there again after the next snapshot', async () => {
    rmSync(index(), { recursive: true });
    expect(await verified()).toEqual([]);
    expect(existsSync(index())).toBe(false);
    await create();
    expect(readFileSync(index('seal'), 'utf8')).toBe(fittingSeal());
  });

  it('is rebuilt by repair', async () => {
    rmSync(index('CURRENT'));
    expect(await verified()).toEqual(['INDEX_DAMAGED']);
    await (await open()).repair();
    expect(await verified()).toEqual([]);
    expect(readFileSync(index('seal'), 'utf8')).toBe(fittingSeal());
  });

  it('is damaged when it holds links, which are not followed', async () => {
    writeFileSync(path('victim'), 'of another');
    rmSync(index('LOG'));
    symlinkSync(path('victim'), index('LOG'));
    expect(await verified()).toEqual(['INDEX_DAMAGED']);
    await create();
    expect(await verified()).toEqual([]);
    expect(readFileSync(path('victim'), 'utf8')).toBe('of another');
  });
});

describe('an index whose seal is broken', () => {
  it('is no damage when who broke it is dead, is left alone by readers, and is built anew by the next writer', async () => {
    const { pid } = spawnSync(process.execPath, ['-e', '']);
    const { holder } = await openSeal();
    for (const text of [JSON.stringify({ holder: { ...holder, pid } }), '{"holder":null}', '']) {
      writeFileSync(index('seal'), text);
      writeFileSync(index('CURRENT'), 'MANIFEST-of-nothing\n');
      expect(await verified(), text).toEqual([]);
      const read = await environment.openIndex('existing');
      expect(read.packs().size).toBe(0);
      await read.close();
      expect(readFileSync(index('seal'), 'utf8')).toBe(text);
      await (await open()).collectGarbage();
      expect(readFileSync(index('seal'), 'utf8')).toBe(fittingSeal());
    }
  });

  it('is in use while who broke it lives: nobody else opens it, and nothing is said of it', async () => {
    const { holder } = await openSeal();
    const text = JSON.stringify({ holder: { ...holder, pid: process.ppid, processStart: '' } });
    writeFileSync(index('seal'), text);
    const before = filesOf(index());
    expect(await verified()).toEqual([]);
    await create();
    expect(filesOf(index())).toEqual(before);
  });

  it('stays with who has it open, also when others try', async () => {
    const first = await environment.openIndex('persistent');
    const packs = first.packs().size;
    for (const prefer of ['persistent', 'existing'] as const) {
      const other = await environment.openIndex(prefer);
      expect(other.packs().size).toBe(0);
      await other.close();
    }
    expect(await first.find([])).toEqual([]);
    await first.close();
    const next = await environment.openIndex('persistent');
    expect(next.packs().size).toBe(packs);
    await next.close();
  });

  it('is not sealed when another index has come into its place', async () => {
    cpSync(index(), path('kept'), { recursive: true });
    const opened = await environment.openIndex('persistent');
    rmSync(index(), { recursive: true });
    cpSync(path('kept'), index(), { recursive: true });
    writeFileSync(index('000099.log'), 'of the process that has another one open');
    await opened.close();
    expect(readFileSync(index('seal'))).toEqual(readFileSync(path('kept', 'seal')));
    expect(await verified()).toEqual(['INDEX_DAMAGED']);
  });
});

describe('an index that is sealed and cannot be opened', () => {
  beforeEach(() => {
    writeFileSync(index('CURRENT'), 'MANIFEST-of-nothing\n');
    writeFileSync(index('seal'), fittingSeal());
  });

  it('is left alone by who reads', async () => {
    const before = filesOf(index());
    const opened = await environment.openIndex('existing');
    expect(opened.packs().size).toBe(0);
    await opened.close();
    expect(filesOf(index())).toEqual(new Map(before).set('seal', '{"holder":null}'));
    expect(await verified()).toEqual([]);
  });

  it('is built anew by who writes', async () => {
    await create();
    expect(await verified()).toEqual([]);
    expect(readFileSync(index('seal'), 'utf8')).toBe(fittingSeal());
  });
});

describe('no index', () => {
  it('is made by nobody who reads', async () => {
    rmSync(index(), { recursive: true });
    await (await environment.openIndex('existing')).close();
    expect(existsSync(index())).toBe(false);
  });
});
