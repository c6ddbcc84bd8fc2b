/** What a crash may leave at any step: docs/crashes.md. A short, seeded slice; `npm run campaign:crash` is the long version. */
import { fsBlobStore } from 'vecsnap/blob';
import { describe, expect, it } from 'vitest';
import { testBlobStore } from './contract/blob-store.js';
import { Chance } from './crash/chance.js';
import { Disk } from './crash/disk.js';
import { LIFE, live } from './crash/life.js';
import { MUTANTS } from './crash/mutants.js';
import { goThroughKills, goThroughRounds } from './crash/rounds.js';
import { CrashStates, type Choice } from './crash/states.js';
import { World } from './crash/world.js';

testBlobStore({
  name: 'files on a disk in memory',
  persistent: true,
  takesParts: true,
  makePlace: async () => {
    const disk = new Disk();
    return {
      open: async () => fsBlobStore('/d', { operations: disk.operations(new Chance(1)) }),
      remove: async () => {},
    };
  },
});

describe('a disk that knows what is durable', () => {
  const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

  /** A file that is written, perhaps synced, and linked to a name in a directory that is, perhaps, synced. */
  async function diskWith({ syncsFile = false, syncsDirectory = false }) {
    const disk = new Disk(new Map([['d', null]]));
    const fs = disk.operations();
    const file = await fs.openNew('/d/t');
    await fs.writev(file, [bytes('some '), bytes('bytes')]);
    if (syncsFile) await fs.fsync(file);
    await fs.link('/d/t', '/d/name');
    if (syncsDirectory) await fs.syncDirectory('/d');
    await fs.unlink('/d/t');
    return disk;
  }

  function crash(disk: Disk, choice: Partial<Choice>): Record<string, string | null> {
    const prefix = disk.log.length;
    const states = new CrashStates(disk);
    states.advance(prefix);
    const tree = states.make({ prefix, names: 'all', data: 'kept', seed: 1, ...choice });
    return Object.fromEntries(
      Array.from(tree, ([path, content]) => [path, content && new TextDecoder().decode(content)]),
    );
  }

  it('keeps everything when only the process is gone', async () => {
    const disk = await diskWith({});
    expect(crash(disk, {})).toEqual({ d: null, 'd/name': 'some bytes' });
    expect([...disk.at(disk.log.length).tree()]).toEqual([...disk.tree()]);
  });

  it('may lose names that were not synced, and no others', async () => {
    expect(crash(await diskWith({}), { names: 'none' })).toEqual({ d: null });
    const synced = await diskWith({ syncsDirectory: true });
    expect(crash(synced, { names: 'none' })).toEqual({
      d: null,
      'd/t': 'some bytes',
      'd/name': 'some bytes',
    });
  });

  it('may keep any of the names', async () => {
    const disk = await diskWith({});
    expect(crash(disk, { names: { only: [1] } })).toEqual({ d: null, 'd/name': 'some bytes' });
    expect(crash(disk, { names: { only: [0] } })).toEqual({ d: null, 'd/t': 'some bytes' });
    expect(crash(disk, { names: { only: [0, 2] } })).toEqual({ d: null });
  });

  it('may lose or spoil bytes that were not synced, and no others', async () => {
    const disk = await diskWith({ syncsDirectory: true });
    expect(crash(disk, { data: 'dropped' })['d/name']).toBe('');
    expect('some bytes').toContain(crash(disk, { data: 'cut' })['d/name']);
    expect(crash(disk, { data: 'zeros' })['d/name']).toMatch(/^\0+$/);
    const synced = await diskWith({ syncsFile: true, syncsDirectory: true });
    for (const data of ['dropped', 'cut', 'zeros', 'sectors', 'mixed'] as const)
      expect(crash(synced, { data })['d/name']).toBe('some bytes');
  });

  it('renames wholly', async () => {
    const disk = new Disk(
      new Map<string, Uint8Array | null>([
        ['d', null],
        ['d/a', bytes('a')],
      ]),
    );
    await disk.operations().rename('/d/a', '/d/b');
    expect(crash(disk, {})).toEqual({ d: null, 'd/b': 'a' });
    expect(crash(disk, { names: { only: [1] } })).toEqual({ d: null, 'd/a': 'a' });
  });
});

describe('a crash at any step', () => {
  it('is watched while all that matters happens', async () => {
    const world = new World({ seed: 1 });
    const sweeps: unknown[] = [];
    for (const deed of LIFE) sweeps.push(await deed(world));
    expect(sweeps).toContainEqual(
      expect.objectContaining({
        flattenedChunks: expect.toSatisfy((count: number) => count > 3) as number,
        rewrittenPacks: expect.toSatisfy((packs: string[]) => packs.length > 3) as string[],
      }),
    );
    expect(sweeps).toContainEqual(
      expect.objectContaining({
        deletedPacks: expect.toSatisfy((packs: string[]) => packs.length > 1) as string[],
      }),
    );
  });

  it('is the same for the same seed', async () => {
    const one = await goThroughRounds({ seed: 5, states: 15, firstRound: 3 });
    expect(await goThroughRounds({ seed: 5, states: 15, firstRound: 3 })).toEqual(one);
    const [a, b] = await Promise.all([
      live(LIFE, { seed: 2, isShuffled: true }),
      live(LIFE, { seed: 2, isShuffled: true }),
    ]);
    expect(a.disk.log).toEqual(b.disk.log);
  });

  it('loses nothing that was promised, and leaves nothing that stays', async () => {
    const { tried, failures } = await goThroughRounds({ seed: 1, states: 400 });
    console.log(`crash states: ${tried} tried, ${failures.length} failed`);
    expect(failures.map(({ description, error }) => `${description}\n${error.message}`)).toEqual([]);
    expect(tried).toBe(400);
  }, 300_000);

  it('after a process that was killed loses nothing either', async () => {
    const { tried, failures } = await goThroughKills({ seed: 1 });
    console.log(`crash states after kills: ${tried} tried, ${failures.length} failed`);
    expect(failures.map(({ description, error }) => `${description}\n${error.message}`)).toEqual([]);
    expect(tried).toBeGreaterThan(150);
  }, 300_000);

  it.each(Object.entries(MUTANTS))(
    'would be noticed with %s',
    async (_, mutant) => {
      const options = { seed: 1, mutant, untilFailure: true };
      const { failures } = await goThroughRounds({ ...options, states: 100 });
      if (failures.length === 0) failures.push(...(await goThroughKills(options)).failures);
      expect(failures).not.toEqual([]);
    },
    300_000,
  );
});
