/** Retention on the command line: rules, dry runs, having back, tags, pins and stored policies, as people and as programs see them. */
import { writeFile } from 'node:fs/promises';
import type { ForgetReport, Snapshot, StoredPolicy } from 'vecsnap';
import { beforeEach, describe, expect, it } from 'vitest';
import { contentOf, create, failure, json, text } from './support/cli.js';
import { freshDirectory } from './support/files.js';
import { finiteFbin } from './support/matrices.js';

const path = freshDirectory();
let repo: string;
let docs: Snapshot[];

beforeEach(async () => {
  repo = path('repo');
  await text('init', repo);
  docs = [];
  for (let i = 0; i < 3; i++) {
    await writeFile(path('docs.fbin'), finiteFbin(500, 8, i));
    docs.push(await create(repo, path('docs.fbin'), '--name', `night ${i}`));
  }
});

function idsOf(snapshots: readonly { readonly id: string }[]): string[] {
  return snapshots.map(({ id }) => id);
}

function docAt(i: number): Snapshot {
  return docs[i] as Snapshot;
}

describe('forget', () => {
  it('says what goes, why the others stay, and what gc then gives back, to the byte', async () => {
    const before = await contentOf(repo);
    const rules = ['--keep-last', '1', '--keep-yearly', '2', '--time-zone', 'Europe/Berlin'];
    const dry = await json<ForgetReport>('forget', repo, ...rules, '--dry-run');
    expect(await contentOf(repo)).toEqual(before);
    expect(dry.forget).toEqual(idsOf(docs.slice(0, 2)));
    expect(dry.keep).toEqual([
      { id: docAt(2).id, reasons: ['last 1 of 1', expect.stringMatching(/^yearly 1 of 2 \(\d{4}\)$/)] },
    ]);
    expect(idsOf(dry.bySnapshot ?? [])).toEqual(dry.forget);
    const shown = await text('forget', repo, ...rules, '--dry-run');
    expect(shown).toMatch(/^Would drop 2 snapshots; 1 snapshot stays\.\n/);
    expect(shown).toMatch(/night 0 +\d/);
    expect(shown).toMatch(/night 2 +last 1 of 1, yearly 1 of 2/);
    expect(shown).toMatch(/\nvecsnap gc would then give back [\d.]+ k?B\.\n$/);
    expect(await json('forget', repo, ...rules)).toEqual({
      forget: dry.forget,
      keep: dry.keep,
      dryRun: false,
    });
    const { reclaimedBytes } = await json<{ reclaimedBytes: number }>('gc', repo);
    expect(dry.reclaimableBytes).toBe(reclaimedBytes);
    expect(reclaimedBytes).toBeGreaterThan(0);
  });

  it('takes every rule', async () => {
    const rules = ['last', 'hourly', 'daily', 'weekly', 'monthly', 'yearly'].flatMap((rule) => [
      `--keep-${rule}`,
      '3',
    ]);
    const { keep } = await json<ForgetReport>(
      'forget',
      repo,
      ...rules,
      '--keep-within',
      '1y2m3d4h',
      '--keep-tag',
      'x',
    );
    expect(keep).toHaveLength(3);
    expect(keep[0]?.reasons).toHaveLength(7);
    for (const [option, value] of [
      ['--keep-within', 'soon'],
      ['--time-zone', 'Mars/Olympus'],
    ] as const)
      expect(await failure(2, 'forget', repo, '--keep-last', '1', option, value)).toMatchObject({
        code: 'OPTION_INVALID',
      });
  });

  it('is undone by unforget until the next gc', async () => {
    await text('forget', repo, 'night 0', 'night 1');
    expect(idsOf(await json<Snapshot[]>('list', repo, '--forgotten'))).toEqual(
      idsOf(docs.slice(0, 2)).toReversed(),
    );
    expect(await text('list', repo, '--forgotten')).toContain('night 1');
    expect(await text('unforget', repo, 'night 1')).toMatch(
      /^Had 1 snapshot back\.\n {2}\w{8} "night 1" of docs\n$/,
    );
    expect(await json('unforget', repo, '--all')).toEqual([docs[0]]);
    expect(idsOf(await json<Snapshot[]>('list', repo))).toEqual(idsOf(docs).toReversed());
    await text('forget', repo, 'night 0');
    expect(await text('gc', repo)).toContain('1 forgotten snapshot gone for ever');
    const error = await failure(1, 'unforget', repo, 'night 0');
    expect(error).toMatchObject({ code: 'SNAPSHOT_UNKNOWN' });
    expect(error.remedy).toContain('list --forgotten');
    expect(await text('list', repo, '--forgotten')).toBe('No snapshots.\n');
  });
});

describe('tag, pin and unpin', () => {
  it('change what list and show tell, and what forget keeps', async () => {
    expect(await text('tag', repo, 'night 0')).toMatch(/^\w{8} has no tags\.\n$/);
    expect(await text('tag', repo, 'night 0', '--add', 'release', '--add', 'v2')).toMatch(
      /has release, v2\n$/,
    );
    expect(await json('tag', repo, 'night 0', '--remove', 'v2')).toEqual({ ...docAt(0), tags: ['release'] });
    expect(await text('pin', repo, 'night 1')).toMatch(/^\w{8} "night 1" is pinned\.\n$/);
    expect(await json('show', repo, 'night 1')).toEqual({ ...docAt(1), pinned: true });
    expect(await text('show', repo, 'night 1')).toMatch(/^pinned +yes$/m);
    expect(await text('list', repo)).toMatch(/night 1.*\(pinned\)$/m);
    expect(await failure(1, 'forget', repo, 'night 1')).toMatchObject({ code: 'SNAPSHOT_PINNED' });
    const { keep } = await json<ForgetReport>('forget', repo, '--keep-tag', 'release', '--dry-run');
    expect(keep.map(({ reasons }) => reasons)).toEqual([['pinned'], ['tag release']]);
    expect(await json('unpin', repo, 'night 1')).toEqual([docAt(1)]);
    expect((await json<ForgetReport>('forget', repo, '--keep-tag', 'release')).forget).toEqual(
      idsOf(docs.slice(1)),
    );
  });
});

describe('policy', () => {
  it('is stored, shown, gone by and removed', async () => {
    expect(await text('policy', 'show', repo)).toBe('No policy.\n');
    expect(await failure(2, 'forget', repo)).toMatchObject({ code: 'USAGE' });
    await text(
      'policy',
      'set',
      repo,
      '--keep-daily',
      '7',
      '--keep-tag',
      'a b',
      '--time-zone',
      'Europe/Berlin',
    );
    expect(await text('policy', 'set', repo, '--collection', 'docs', '--keep-last', '2')).toBe(
      '(all others)  --keep-daily 7 --time-zone Europe/Berlin --keep-tag "a b"\ndocs          --keep-last 2\n',
    );
    expect(await json<StoredPolicy[]>('policy', 'show', repo, '--collection', 'docs')).toEqual([
      { collection: 'docs', policy: { keepLast: 2 } },
    ]);
    expect((await json<ForgetReport>('forget', repo)).forget).toEqual([docAt(0).id]);
    expect(await json<StoredPolicy[]>('policy', 'remove', repo, '--collection', 'docs')).toHaveLength(1);
    expect((await json<ForgetReport>('forget', repo, '--collection', 'docs')).forget).toEqual([docAt(1).id]);
  });
});
