/** Every command of the command line, as people and as programs see it, on real files. */
import { chmod, cp, mkdir, readdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import {
  type RepositoryStats,
  type Snapshot,
  type SnapshotDifference,
  SnapshotManager,
  type VerifyReport,
} from 'vecsnap';
import { fbin, matrixSource } from 'vecsnap/source';
import { beforeEach, describe, expect, it } from 'vitest';
import { itemAt } from './support/item-at.js';
import { cli, create, failure, json, text } from './support/cli.js';
import { freshDirectory } from './support/files.js';
import { finiteFbin } from './support/matrices.js';

const path = freshDirectory();
let repo: string;

beforeEach(async () => {
  repo = path('repo');
  await text('init', repo);
});

/** A matrix of 100 rows; the first differs with `seed`. */
async function matrix(name: string, seed = 0): Promise<string> {
  await writeFile(path(name), finiteFbin(100, 8, seed));
  return path(name);
}

/** Records with ids and metadata. */
async function records(name: string, lines: readonly object[]): Promise<string> {
  await writeFile(path(name), lines.map((line) => `${JSON.stringify(line)}\n`).join(''));
  return path(name);
}

function ids(snapshots: readonly { readonly id: string }[]): string[] {
  return snapshots.map(({ id }) => id);
}

function short({ id }: Snapshot): string {
  return id.slice(-8);
}

describe('init', () => {
  it('makes a repository, also where directories are missing', async () => {
    expect(await text('init', path('a', 'b'))).toBe(`Made a repository at ${path('a', 'b')}.\n`);
    expect(await json('list', path('a', 'b'))).toEqual([]);
    expect(await json('init', path('c'))).toEqual({ repository: path('c') });
  });

  it('leaves alone what stands there', async () => {
    expect(await failure(1, 'init', repo)).toMatchObject({ code: 'REPOSITORY_EXISTS', place: repo });
    await writeFile(path('file'), 'x');
    expect(await failure(1, 'init', path('file'))).toMatchObject({ code: 'REPOSITORY_EXISTS' });
    expect(await readFile(path('file'), 'utf8')).toBe('x');
  });
});

describe('create', () => {
  it('follows a journal of changes when it is given one, and notes why it could not', async () => {
    const source = await matrix('followed.fbin', 30);
    const journal = ['--changes', `${source}.changes`];
    const first = await create(repo, source, '--collection', 'followed', ...journal);
    expect(first.notes).toEqual([]);
    await matrix('followed.fbin', 30); // The same again, or nothing would be read.
    const second = await create(repo, source, '--collection', 'followed', ...journal);
    expect(second.checksum).toBe(first.checksum);
    expect(second.notes).toEqual([
      'Everything was read, and the hints about changes were not used: the source cannot find records by their ids.',
    ]);
  });

  it('takes a full snapshot first and then incremental ones on the newest of the collection', async () => {
    const source = await matrix('docs.fbin');
    const other = await create(repo, await matrix('other.fbin', 5));
    const first = await create(repo, source);
    expect(first).toMatchObject({
      name: 'docs',
      collection: 'docs',
      snapshotType: 'full',
      baseId: null,
      vectorCount: 100,
      logicalBytes: 3200,
      tags: [],
      metadata: {},
    });
    await matrix('docs.fbin', 1);
    const second = await create(repo, source);
    expect(second).toMatchObject({ snapshotType: 'incremental', baseId: first.id });
    const third = await create(repo, source);
    expect(third).toMatchObject({ baseId: second.id, addedBytes: 0, checksum: second.checksum });
    expect(await create(repo, source, '--full')).toMatchObject({ snapshotType: 'full', baseId: null });
    expect(await create(repo, source, '--base', first.id.slice(-6))).toMatchObject({ baseId: first.id });
    expect(await create(repo, source, '--base', other.id)).toMatchObject({ baseId: other.id });
  });

  it('means by latest the latest of the collection', async () => {
    const docs = await create(repo, await matrix('docs.fbin'));
    await create(repo, await matrix('other.fbin'));
    expect(await create(repo, path('docs.fbin'), '--base', 'latest')).toMatchObject({ baseId: docs.id });
  });

  it('keeps a name, a collection, tags and metadata', async () => {
    const options = ['--name', 'two words', '--collection', 'c/d', '--tag', 'x', '--tag', '--y'];
    const metadata = ['--metadata', 'model=a=b', '--metadata', 'empty='];
    const snapshot = await create(repo, await matrix('docs.fbin'), ...options, ...metadata);
    expect(snapshot).toMatchObject({
      name: 'two words',
      collection: 'c/d',
      tags: ['x', '--y'],
      metadata: { model: 'a=b', empty: '' },
    });
    expect(await json('show', repo, 'two words')).toEqual(snapshot);
  });

  it('tells people what was added, and what the source had to say', async () => {
    const numbers = finiteFbin(100, 8);
    new DataView(numbers.buffer).setFloat32(8 + 4 * 40, NaN, true);
    await writeFile(path('odd.fbin'), numbers);
    const output = await text('create', repo, path('odd.fbin'));
    expect(output).toMatch(/^Snapshot \w{8} "odd" of odd \(full\)\n {2}content {2}100 records, 3\.2 kB\n/);
    expect(output).toMatch(/\n {2}added {4}[\d.]+ kB/);
    expect(output).toContain('1 number is NaN or infinite; kept bit for bit');
    const npy = Buffer.from(
      `\x93NUMPY\x01\x00\x76\x00${"{'descr': '<c8', 'fortran_order': False, 'shape': (1, 1), }".padEnd(117)}\n12345678`,
      'latin1',
    );
    await writeFile(path('complex.npy'), npy);
    expect(await text('create', repo, path('complex.npy'))).toMatch(/1 file, .*\n(.*\n)* {2}note {5}\S/);
    expect(await text('create', repo, path('odd.fbin'))).toMatch(
      /\(incremental on \w{8}\)\n.*\n {2}added {4}0 B \(3\.2 kB, 100\.0 %, /,
    );
  });

  it('does not make a repository', async () => {
    const error = await failure(1, 'create', path('none'), await matrix('docs.fbin'));
    expect(error).toMatchObject({ code: 'REPOSITORY_MISSING', place: path('none') });
    expect(error.remedy).toContain('vecsnap init');
    expect(await readdir(path())).not.toContain('none');
  });
});

describe('list and show', () => {
  it('list the newest first as JSON and last as a table', async () => {
    const taken = [
      await create(repo, await matrix('a.fbin')),
      await create(repo, await matrix('b.fbin'), '--tag', 'night'),
    ];
    expect(await json('list', repo)).toEqual(taken.toReversed());
    expect(await json('list', repo, '--collection', 'a')).toEqual([taken[0]]);
    expect(await json('list', repo, '--collection', 'none')).toEqual([]);
    const lines = (await text('list', repo)).split('\n');
    expect(lines[0]).toMatch(/^ID +Time \(UTC\) +Collection +Name +Type +Records +Logical +Added +Tags$/);
    const [a, b] = taken as [Snapshot, Snapshot];
    const time = a.createdAt.slice(0, 19).replace('T', ' ');
    expect(lines[1]).toMatch(new RegExp(`^${short(a)}  ${time}  a +a +full +100 +3\\.2 kB`));
    expect(lines[2]).toMatch(new RegExp(`^${short(b)} .* night$`));
    expect(lines[3]).toMatch(/^2 snapshots, .* added in all$/);
    expect(await text('list', repo, '--collection', 'none')).toBe('No snapshots.\n');
  });

  it('show one in full', async () => {
    const snapshot = await create(repo, await matrix('a.fbin'), '--tag', 'x', '--metadata', 'k=v');
    for (const name of [snapshot.id, snapshot.id.toUpperCase(), snapshot.id.slice(-6), 'a', 'latest']) {
      expect(await json('show', repo, name)).toEqual(snapshot);
    }
    const output = await text('show', repo, 'latest');
    for (const part of [snapshot.id, snapshot.checksum, '3.2 kB (3,200 bytes)', 'k = "v"'])
      expect(output).toContain(part);
  });
});

describe('restore', () => {
  it('writes what was taken, byte for byte', async () => {
    const snapshot = await create(repo, await matrix('docs.fbin'));
    expect(await json('restore', repo, 'latest', path('out.fbin'))).toEqual({
      id: snapshot.id,
      target: `fbin:${path('out.fbin')}`,
      records: 100,
      files: 0,
      bytes: 3200,
    });
    expect(await readFile(path('out.fbin'))).toEqual(await readFile(path('docs.fbin')));
    const output = await text('restore', repo, short(snapshot), path('again.fbin'));
    expect(output).toBe(
      `Restored ${short(snapshot)} into fbin:${path('again.fbin')}: 100 records, 3.2 kB.\n`,
    );
  });

  it('lets the snapshot decide when the target does not tell its format', async () => {
    await create(repo, await matrix('docs.fbin'));
    await text('restore', repo, 'docs', path('without-ending'));
    expect(await readFile(path('without-ending'))).toEqual(await readFile(path('docs.fbin')));
    await text('restore', repo, 'docs', `npy:${path('other.bin')}`);
    expect((await readFile(path('other.bin'))).subarray(1, 6).toString()).toBe('NUMPY');
  });

  it('takes and writes a directory tree', async () => {
    await mkdir(path('tree', 'sub dir'), { recursive: true });
    await writeFile(path('tree', 'sub dir', 'ä.txt'), 'text', { mode: 0o640 });
    await symlink('sub dir/ä.txt', path('tree', 'link'));
    expect(await create(repo, path('tree'))).toMatchObject({ collection: 'tree', vectorCount: 0 });
    await text('restore', repo, 'tree', path('out'));
    expect(await readFile(path('out', 'link'), 'utf8')).toBe('text');
    expect((await stat(path('out', 'sub dir', 'ä.txt'))).mode & 0o777).toBe(0o640);
  });

  it('replaces what stands there only when it is told to', async () => {
    await create(repo, await matrix('docs.fbin'));
    await writeFile(path('out.fbin'), 'precious');
    const error = await failure(1, 'restore', repo, 'docs', path('out.fbin'));
    expect(error).toMatchObject({ code: 'TARGET_EXISTS' });
    expect(await readFile(path('out.fbin'), 'utf8')).toBe('precious');
    await text('restore', repo, 'docs', path('out.fbin'), '--overwrite');
    expect(await readFile(path('out.fbin'))).toEqual(await readFile(path('docs.fbin')));
  });
});

describe('verify', () => {
  it('says that all is well, of everything or of some snapshots', async () => {
    await create(repo, await matrix('docs.fbin'));
    await create(repo, await matrix('docs.fbin', 1));
    const all = await json<VerifyReport>('verify', repo);
    expect(all).toMatchObject({ ok: true, problems: [], checked: { snapshots: 2 } });
    expect(await json<VerifyReport>('verify', repo, 'latest', 'docs')).toMatchObject({
      ok: true,
      checked: { snapshots: 1 },
    });
    expect(await text('verify', repo)).toMatch(/^No damage: 2 snapshots, \d+ chunks, .* read\.\n$/);
  });

  it('names every damage and the snapshots that it concerns', async () => {
    const snapshot = await create(repo, await matrix('docs.fbin'), '--name', 'the first');
    const [pack] = (await readdir(join(repo, 'packs'))) as [string];
    const bytes = await readFile(join(repo, 'packs', pack));
    bytes[bytes.length >> 2] = (bytes[bytes.length >> 2] as number) ^ 1;
    await writeFile(join(repo, 'packs', pack), bytes);
    const printed = await cli('verify', repo, '--json');
    expect(printed).toMatchObject({ code: 3, stderr: '' });
    const report = JSON.parse(printed.stdout) as VerifyReport;
    expect(report.ok).toBe(false);
    expect(report.problems).toContainEqual(
      expect.objectContaining({ code: 'CHUNK_DAMAGED', blob: `packs/${pack}`, snapshots: [snapshot.id] }),
    );
    const { code, stdout } = await cli('verify', repo, 'the first');
    expect(code).toBe(3);
    expect(stdout).toMatch(/^CHUNK_DAMAGED: .*/m);
    expect(stdout).toContain(`${short(snapshot)} "the first"`);
    expect(stdout).toMatch(/^1 problem found: /m);
    const error = await failure(3, 'restore', repo, 'latest', path('out.fbin'));
    expect(error.code).toBe('CHUNK_DAMAGED');
    expect(await readdir(path())).not.toContain('out.fbin');
  });
});

describe('diff', () => {
  it('counts and names records that were added, removed and changed', async () => {
    const lines = Array.from({ length: 20 }, (_, i) => ({ id: `r${i}`, vector: [i, 1, 2], metadata: { i } }));
    await create(repo, await records('a.jsonl', lines), '--name', 'before');
    const after = lines
      .slice(1)
      .map((line) => ({ ...line, vector: line.id === 'r5' ? [5, 1, 6] : line.vector }));
    await create(
      repo,
      await records('a.jsonl', [...after, { id: 'new\n', vector: [0, 0, 0], metadata: {} }]),
      '--name',
      'after',
    );
    const found = await json<SnapshotDifference>('diff', repo, 'before', 'after');
    expect(found.identical).toBe(false);
    expect(found.records).toMatchObject({
      added: 1,
      removed: 1,
      changed: 1,
      addedIds: ['new\n'],
      removedIds: ['r0'],
      changedRecords: [{ id: 'r5', distance: 4, payloadChanged: false }],
    });
    const output = await text('diff', repo, 'before', 'after');
    for (const part of [
      '1 record added:\n    new\\n\n',
      '1 record removed:\n    r0\n',
      'r5 (by 4)',
      '1 vector (distance 4 on average',
    ])
      expect(output).toContain(part);
    expect(await text('diff', repo, 'before', 'before')).toMatch(/identical\.\n$/);
    expect(await text('diff', repo, 'before', 'after', '--ids', '0')).not.toContain('r5 (by');
  });

  it('tells of permissions that only the directory itself has', async () => {
    await mkdir(path('tree'), { mode: 0o755 });
    await writeFile(path('tree', 'a'), 'a');
    await create(repo, `dir:${path('tree')}`, '--name', 'before');
    await chmod(path('tree'), 0o700);
    await create(repo, `dir:${path('tree')}`, '--name', 'after');
    const found = await json<SnapshotDifference>('diff', repo, 'before', 'after');
    expect(found).toMatchObject({ identical: false, formatChanged: true, files: { changed: [] } });
    expect(await text('diff', repo, 'before', 'after')).toContain('of a directory, its own permissions');
    await chmod(path('tree'), 0o755);
    await create(repo, `dir:${path('tree')}`, '--name', 'again');
    expect(await json('diff', repo, 'before', 'again')).toMatchObject({
      identical: true,
      formatChanged: false,
    });
  });

  it('names files', async () => {
    await mkdir(path('tree'));
    for (const name of ['stays', 'changes', 'goes']) await writeFile(path('tree', name), name);
    await create(repo, path('tree'), '--name', 'before');
    await rm(path('tree', 'goes'));
    for (const name of ['comes', 'changes']) await writeFile(path('tree', name), 'new');
    await create(repo, path('tree'), '--name', 'after');
    const { files } = await json<SnapshotDifference>('diff', repo, 'before', 'after');
    expect(files).toEqual({ added: ['comes'], removed: ['goes'], changed: ['changes'] });
    expect(await text('diff', repo, 'before', 'after')).toContain('1 file changed:\n    changes');
  });

  it('compares what has another schema', async () => {
    await create(repo, await records('a.jsonl', [{ id: 'x', vector: [1, 2] }]), '--name', 'before');
    const bytes = finiteFbin(10, 8);
    await writeFile(path('n.fbin'), bytes);
    await create(repo, path('n.fbin'), '--name', 'numbers');
    const found = await json<SnapshotDifference>('diff', repo, 'before', 'numbers');
    expect(found.records).toMatchObject({ added: 10, removed: 1, schemaChanged: true });
    expect(await text('diff', repo, 'before', 'numbers')).toContain('the schema is another one');
  });
});

describe('forget and gc', () => {
  async function take(count: number, name: string): Promise<Snapshot[]> {
    const taken: Snapshot[] = [];
    for (let i = 0; i < count; i++) taken.push(await create(repo, await matrix(`${name}.fbin`, i)));
    return taken;
  }

  it('drops what is named, and nothing when one of the names is wrong', async () => {
    const [a, b, c] = (await take(3, 'docs')) as [Snapshot, Snapshot, Snapshot];
    expect(await failure(1, 'forget', repo, a.id, 'nobody')).toMatchObject({ code: 'SNAPSHOT_UNKNOWN' });
    const plan = { forget: [a.id, b.id], keep: [{ id: c.id, reasons: ['not named'] }] };
    expect(await json('forget', repo, a.id, b.id.slice(-6), a.id, '--dry-run')).toEqual({
      ...plan,
      dryRun: true,
      reclaimableBytes: expect.any(Number),
      bySnapshot: [
        { id: a.id, exclusiveBytes: expect.any(Number) },
        { id: b.id, exclusiveBytes: expect.any(Number) },
      ],
    });
    expect(await json<Snapshot[]>('list', repo)).toHaveLength(3);
    expect(await json('forget', repo, a.id, b.id)).toEqual({ ...plan, dryRun: false });
    expect(ids(await json<Snapshot[]>('list', repo))).toEqual([c.id]);
    await text('restore', repo, 'latest', path('out.fbin'));
    expect(await readFile(path('out.fbin'))).toEqual(await readFile(path('docs.fbin')));
  });

  it('keeps the last of each collection, or of one', async () => {
    const docs = await take(3, 'docs');
    const other = await take(2, 'other');
    const decided = await json<{ forget: string[]; keep: { id: string; reasons: string[] }[] }>(
      'forget',
      repo,
      '--keep-last',
      '1',
      '--dry-run',
    );
    expect(decided.forget).toEqual(ids([...docs.slice(0, 2), ...other.slice(0, 1)]));
    expect(decided.keep.map(({ id }) => id).toSorted()).toEqual(
      ids([...docs.slice(2), ...other.slice(1)]).toSorted(),
    );
    expect(decided.keep[0]?.reasons).toEqual(['last 1 of 1']);
    const output = await text('forget', repo, '--keep-last', '1', '--collection', 'docs');
    expect(output).toMatch(/^Dropped 2 snapshots; 1 snapshot stays\.\n/);
    expect(output).toContain(short(itemAt(docs, 0)));
    expect(output).toContain(`vecsnap gc ${repo}`);
    expect(await json<Snapshot[]>('list', repo)).toHaveLength(3);
    expect(await text('forget', repo, '--keep-last', '5')).toBe('Nothing to drop; 3 snapshots stay.\n');
    expect(await cli('forget', repo, '--keep-last', '5', '--collection', 'dosc')).toMatchObject({
      code: 0,
      stdout: 'Nothing to drop; 0 snapshots stay.\n',
      stderr: 'vecsnap: no snapshot is of the collection dosc; vecsnap list shows those there are\n',
    });
  });

  it('says the same in a dry run as it then does, and gives the space back', async () => {
    await writeFile(path('docs.fbin'), finiteFbin(3000, 8).subarray());
    await create(repo, path('docs.fbin'));
    await writeFile(path('docs.fbin'), finiteFbin(3000, 9).subarray()); // Nothing in common with the first.
    await create(repo, path('docs.fbin'), '--name', 'second');
    await text('forget', repo, 'docs');
    const before = await readdir(join(repo, 'packs'));
    const plan = await json<{ deletedPacks: string[]; rewrittenPacks: string[]; reclaimedBytes: number }>(
      'gc',
      repo,
      '--dry-run',
    );
    expect(await readdir(join(repo, 'packs'))).toEqual(before);
    expect(await text('gc', repo, '--dry-run')).toMatch(
      /^Would give back .*: \d packs? deleted, \d packs? rewritten, 1 forgotten snapshot gone for ever\.\n$/,
    );
    const done = await json<typeof plan>('gc', repo);
    expect(done).toMatchObject({ ...plan, dryRun: false });
    expect(plan.reclaimedBytes).toBeGreaterThan(0);
    expect(await text('gc', repo)).toBe('Nothing to give back.\n');
    expect(await json('verify', repo)).toMatchObject({ ok: true });
  });
});

describe('stats', () => {
  it('sums to the repository', async () => {
    await create(repo, await matrix('docs.fbin'));
    await create(repo, await matrix('docs.fbin', 1));
    await create(repo, await matrix('other.fbin'));
    const found = await json<RepositoryStats>('stats', repo);
    const rows = found.collections.reduce((sum, { newBytes }) => sum + newBytes, 0);
    const { unreferencedBytes, packOverheadBytes, snapshotBytes, configBytes, fingerprintBytes, indexBytes } =
      found;
    expect(
      rows +
        unreferencedBytes +
        packOverheadBytes +
        snapshotBytes +
        configBytes +
        fingerprintBytes +
        indexBytes,
    ).toBe(found.repositoryBytes);
    expect(found.snapshots).toBe(3);
  });

  it('shows people the same sums', async () => {
    await create(repo, await matrix('docs.fbin'));
    await create(repo, await matrix('docs.fbin', 1), '--name', 'a name that goes on');
    await create(repo, await matrix('other.fbin'));
    const output = await text('stats', repo);
    const [, table] = output.split('\n\n') as [string, string];
    const lines = table.split('\n').slice(1, -1);
    const last = (line: string): number => Number(line.split(/\s+/).at(-1)?.replaceAll(',', ''));
    const rows = lines.filter((line) => /^\S/.test(line) && !line.startsWith('REPOSITORY'));
    const total = lines.find((line) => line.startsWith('REPOSITORY'));
    expect(rows.reduce((sum, line) => sum + last(line), 0)).toBe(last(total as string));
    const docs = lines.slice(1, 3);
    expect(docs.reduce((sum, line) => sum + last(line), 0)).toBe(last(itemAt(lines, 0)));
    expect(output).toContain('a name that goes on');
    expect(output).toMatch(/Size of chunks +Chunks +Bytes/);
  });

  it('does not promise that all that is unreferenced comes back', async () => {
    const bytes = finiteFbin(100_000, 8);
    await writeFile(path('docs.fbin'), bytes);
    const { id } = await create(repo, path('docs.fbin'));
    for (let i = 8; i < 100_000; i++) if (i % 4 < 2) bytes[i] = (bytes[i] as number) ^ (i * 37);
    await writeFile(path('docs.fbin'), bytes);
    await create(repo, path('docs.fbin'));
    await cli('forget', repo, id);
    await cli('gc', repo);
    const { unreferencedBytes, repositoryBytes } = await json<RepositoryStats>('stats', repo);
    expect(unreferencedBytes).toBeGreaterThan(0);
    expect(unreferencedBytes).toBeLessThanOrEqual(0.05 * repositoryBytes);
    expect(await text('stats', repo)).toMatch(/^unreferenced chunks \(gc may leave 5 % of all\) +\d/m);
    expect(await text('gc', repo)).toBe('Nothing to give back.\n');
  });

  it('works on an empty repository', async () => {
    expect(await text('stats', repo)).toContain('0 snapshots of 0 collections');
  });
});

describe('export and import', () => {
  it('carry a snapshot from one repository to another', async () => {
    const snapshot = await create(repo, await matrix('docs.fbin'), '--tag', 'x', '--metadata', 'k=v');
    const report = await json<{ path: string }>('export', repo, 'latest', path('out', 'deep'));
    expect(report).toMatchObject({
      id: snapshot.id,
      records: 100,
      path: path('out', 'deep', `snapshot-${snapshot.id}`),
    });
    await text('init', path('other'));
    const imported = await json<Snapshot>('import', path('other'), report.path);
    const { name, collection, checksum, tags, metadata } = snapshot;
    expect(imported).toMatchObject({ name, collection, checksum, tags, metadata });
    await text('restore', path('other'), 'docs', path('out.fbin'));
    expect(await readFile(path('out.fbin'))).toEqual(await readFile(path('docs.fbin')));
    expect(await text('export', repo, 'docs', path('second'))).toMatch(
      /^Exported \w{8} into .*: 100 records, 3\.2 kB\.\n$/,
    );
    expect(await text('import', path('other'), path('second'))).toContain(' of docs ');
  });

  it('find a damaged folder', async () => {
    const snapshot = await create(repo, await matrix('docs.fbin'));
    await text('export', repo, 'latest', path('out'));
    const folder = path('out', `snapshot-${snapshot.id}`);
    await cp(folder, path('copy'), { recursive: true });
    await writeFile(join(path('copy'), 'vectors.bin.gz'), 'not what it was');
    expect(await failure(3, 'import', repo, path('copy'))).toMatchObject({ code: 'IMPORT_DAMAGED' });
    expect(await json<Snapshot[]>('list', repo)).toHaveLength(1);
    expect(await failure(1, 'export', repo, 'latest', path('docs.fbin'))).toMatchObject({
      code: 'TARGET_FAILED',
    });
  });
});

describe('repair', () => {
  it('makes the index again, also when it is gone', async () => {
    await create(repo, await matrix('docs.fbin'));
    await rm(join(repo, 'index'), { recursive: true });
    expect(await json('repair', repo)).toMatchObject({ packs: 1, damagedPacks: [], config: 'sound' });
    expect(await text('repair', repo)).toBe(
      'Made the index again from 1 pack.\nNo snapshot lacks anything.\n',
    );
    expect(await text('repair', repo, '--dry-run')).toBe(
      'Nothing was changed.\nNo snapshot lacks anything.\n',
    );
    expect(await json('verify', repo)).toMatchObject({ ok: true });
  });

  it('says nothing of what snapshots need that cannot be read', async () => {
    const { id } = await create(repo, await matrix('docs.fbin'));
    await create(repo, await matrix('docs.fbin', 1));
    await rm(join(repo, 'snapshots', id));
    await writeFile(join(repo, 'snapshots', id), 'short');
    const { code, stdout } = await cli('repair', repo);
    expect(code).toBe(3);
    expect(stdout).toContain(`snapshots/${id} cannot be read and is left alone.`);
    expect(stdout).toMatch(/^No snapshot that can be read lacks anything\.$/m);
  });

  it('tells the packs that cannot be read', async () => {
    await create(repo, await matrix('docs.fbin'));
    const [pack] = (await readdir(join(repo, 'packs'))) as [string];
    await writeFile(join(repo, 'packs', pack), 'short');
    const { code, stdout } = await cli('repair', repo, '--json');
    expect(code).toBe(3);
    expect(JSON.parse(stdout)).toMatchObject({ packs: 1, damagedPacks: [`packs/${pack}`] });
  });

  it('marks what is lost in the list; restore --salvage gives the rest; the next create heals', async () => {
    const source = path('docs.fbin');
    await writeFile(source, finiteFbin(20_000, 8));
    await create(repo, source, '--name', 'docs');
    const [pack] = (await readdir(join(repo, 'packs'))) as [string];
    const file = join(repo, 'packs', pack);
    const bytes = await readFile(file);
    bytes.fill(0x5a, 2000, 2020);
    await rm(file);
    await writeFile(file, bytes);
    const repaired = await cli('repair', repo);
    expect(repaired.code).toBe(3);
    expect(repaired.stdout).toMatch(
      /1 damaged copy noted\..*1 chunk lost\..*lacks 1 chunk; restore --salvage/s,
    );
    expect(await text('list', repo)).toMatch(/State[\s\S]*damaged/);
    expect(await text('show', repo, 'docs')).toMatch(/damaged\s+lacks 1 chunk/);
    expect((await cli('restore', repo, 'docs', path('damaged.fbin'))).code).toBe(3);
    const salvaged = await cli('restore', repo, 'docs', path('rest.fbin'), '--salvage');
    expect(salvaged.code).toBe(3);
    expect(salvaged.stdout).toMatch(/Lost: [\d,]+ records\.\n {2}[\d,]+ rows from row \d+ on/);
    const again = await cli('restore', repo, 'docs', path('rest2.fbin'), '--salvage', '--json');
    const { records, lost } = JSON.parse(again.stdout) as {
      records: number;
      lost: { records: { count: number }[] };
    };
    expect(records + (lost.records[0]?.count ?? 0)).toBe(20_000);
    await create(repo, source, '--name', 'again');
    expect(await text('list', repo)).not.toMatch(/damaged/);
    await text('restore', repo, 'docs', path('whole.fbin'));
    expect(await readFile(path('whole.fbin'))).toEqual(await readFile(source));
  });
});

describe('a snapshot dated in the future', () => {
  const FUTURE = '2103-05-06T07:08:09.000Z';

  /** One such snapshot, called `night` as others are, of the collection `docs`. */
  async function fromTheFuture(): Promise<Snapshot> {
    const manager = await SnapshotManager.open({ snapshotDir: repo });
    const source = matrixSource(fbin, await matrix('docs.fbin', 9));
    const createdAt = new Date(FUTURE);
    const snapshot = await manager.createSnapshot(source, 'night', { collection: 'docs', createdAt });
    await manager.close();
    return snapshot;
  }

  it('is the newest of its name, and latest, where there is no other', async () => {
    const { id } = await fromTheFuture();
    expect(await json('show', repo, 'latest')).toMatchObject({ id });
    expect(await json('show', repo, 'night')).toMatchObject({ id });
    expect(await create(repo, await matrix('docs.fbin', 1))).toMatchObject({ baseId: id });
  });

  it('is neither where there is one, nor the base of the next; that is said, and the order of the list stays', async () => {
    const first = await create(repo, await matrix('docs.fbin', 1), '--name', 'night');
    const { id } = await fromTheFuture();
    for (const snap of ['latest', 'night']) {
      const { code, stdout, stderr } = await cli('show', repo, snap, '--json');
      expect(code).toBe(0);
      expect(JSON.parse(stdout)).toMatchObject({ id: first.id });
      expect(stderr).toContain(
        `${id.slice(-8)} is dated in the future (${FUTURE}) and does not count as the newest`,
      );
    }
    const bases = [];
    for (const base of [[], ['--base', 'latest']]) {
      const { stdout, stderr } = await cli('create', repo, await matrix('docs.fbin', 2), ...base, '--json');
      bases.push((JSON.parse(stdout) as Snapshot).baseId);
      expect(stderr).toContain('dated in the future');
    }
    const [, third, second] = await json<Snapshot[]>('list', repo);
    expect(bases).toEqual([first.id, second?.id]);
    expect(ids(await json('list', repo))).toEqual([id, third?.id, second?.id, first.id]);
    const { stderr } = await cli('show', repo, id);
    expect(stderr).toBe('');
  });

  it('is not the latest of those that were dropped either', async () => {
    const first = await create(repo, await matrix('docs.fbin', 1), '--name', 'night');
    const { id } = await fromTheFuture();
    await text('forget', repo, id, first.id);
    expect(ids(await json('unforget', repo, 'latest'))).toEqual([first.id]);
  });
});
