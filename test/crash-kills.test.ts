/** The built command line, killed at any instant: docs/crashes.md. `npm run campaign:kill` is the long version. */
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { killMany } from './crash/kills.js';
import { freshDirectory } from './support/files.js';
import { failure, json } from './support/cli.js';

describe('a process that is killed', () => {
  it('loses nothing that was acknowledged, and is in nobody’s way', async () => {
    const { kills, completed, halfDone, failures } = await killMany({
      seed: 1,
      kills: 25,
      now: () => performance.now(),
    });
    console.log(
      `kills: ${kills} (${halfDone} in the middle of something), ${completed} done before, ${failures.length} failed`,
    );
    expect(failures).toEqual([]);
    expect(kills).toBe(25);
  }, 300_000);

  const path = freshDirectory();

  it('while it makes a repository leaves a place where one can be made', async () => {
    mkdirSync(path('repo', 'tmp'), { recursive: true });
    writeFileSync(path('repo', 'tmp', '0123456789abcdef01234567'), 'half of a config');
    await json('init', path('repo'));
    expect(readdirSync(path('repo')).toSorted()).toEqual(['config', 'reserve', 'tmp']);
    await failure(1, 'init', path('repo'));
    mkdirSync(path('other', 'tmp'), { recursive: true });
    writeFileSync(path('other', 'file'), '');
    expect(await failure(1, 'init', path('other'))).toMatchObject({ code: 'REPOSITORY_EXISTS' });
  });
});
