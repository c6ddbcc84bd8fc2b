/** Blobs that have each other's names: a repair puts every one of them back, whatever stops it (docs/ordering.md, P4 and P5). */
import { type BlobStore, memoryBlobStore } from 'vecsnap/blob';
import { isVecsnapError, toHex, VecsnapError } from 'vecsnap/core';
import { nodeSha256 } from 'vecsnap/platform';
import { type Environment, SnapshotManager } from 'vecsnap/snapshot';
import { beforeAll, describe, expect, it } from 'vitest';
import { namesIn } from './support/blobs.js';
import { lockingEnvironment } from './support/fault-environment.js';
import { flawsOf, makeRepository } from './support/worked-repository.js';

const LONG = 600_000;
const digest = (bytes: Uint8Array): string => toHex(nodeSha256(bytes)).slice(0, 16);

async function copyOf(blobs: BlobStore): Promise<BlobStore> {
  const copy = memoryBlobStore();
  for (const name of await namesIn(blobs)) await copy.put(name, await blobs.get(name));
  return copy;
}

async function replace(blobs: BlobStore, name: string, bytes: Uint8Array): Promise<void> {
  await blobs.delete(name);
  await blobs.put(name, bytes);
}

/** Gives each of these names what the one before it has. */
async function rotate(blobs: BlobStore, names: readonly string[]): Promise<void> {
  const bytes = await Promise.all(names.map((name) => blobs.get(name)));
  for (const [i, name] of names.entries()) await replace(blobs, name, bytes.at(i - 1) as Uint8Array);
}

/** What a repository is: all blobs by name, but packs, whose names mean nothing. Notes come and go with every repair. */
async function stateOf(blobs: BlobStore): Promise<string[]> {
  const lines: string[] = [];
  for (const name of await namesIn(blobs)) {
    if (name.startsWith('damage/')) continue;
    lines.push(`${name.startsWith('packs/') ? 'packs/' : name} ${digest(await blobs.get(name))}`);
  }
  return lines.toSorted();
}

/** No lock, so that who was stopped in the middle stands in nobody's way. */
function environmentOn(blobs: BlobStore): Environment {
  return { ...lockingEnvironment(blobs), lock: async () => ({ release: async () => {} }) };
}

async function repair(blobs: BlobStore) {
  const environment = environmentOn(blobs);
  await SnapshotManager.repairConfig({ environment });
  const manager = await SnapshotManager.open({ environment });
  return manager.repair();
}

let base: BlobStore;
let sound: string[];
/** One or two of each kind. */
let kinds: string[];

beforeAll(async () => {
  base = memoryBlobStore();
  const environment = environmentOn(base);
  const { first, second, files } = await makeRepository(environment);
  const manager = await SnapshotManager.open({ environment });
  await manager.pinSnapshot(first?.id ?? '');
  await manager.markSnapshot(second?.id ?? '', { add: ['a tag'] });
  await manager.setPolicy({ keepLast: 3 });
  const [pack = '', other = ''] = await namesIn(base, 'packs/');
  const whole = await base.get(pack);
  await replace(base, pack, whole.slice(0, 100));
  await manager.repair(); // For a note, which says nothing any more when the pack is back.
  await manager.close();
  await replace(base, pack, whole);
  const one = async (prefix: string): Promise<string> => (await namesIn(base, prefix))[0] ?? prefix;
  kinds = [
    'config',
    `snapshots/${first?.id}`,
    `snapshots/${files?.id}`,
    await one('forgotten/'),
    ...(await namesIn(base, 'marks/')),
    await one('policies/'),
    await one('damage/'),
    pack,
    other,
  ];
  sound = await stateOf(base);
});

/** What is wrong after a repair of a repository that was sound, but for names. */
async function flaws(blobs: BlobStore): Promise<string[]> {
  const { unreadableSnapshots, damagedPacks, lostChunks } = await repair(blobs);
  const told = [...unreadableSnapshots, ...damagedPacks, ...lostChunks].map((one) => `told: ${one}`);
  const state = await stateOf(blobs);
  const lacks = sound.filter((line) => !state.includes(line)).map((line) => `lacks ${line}`);
  const others = state.filter((line) => !sound.includes(line)).map((line) => `has ${line}`);
  if (state.length !== sound.length) others.push(`has ${state.length} blobs instead of ${sound.length}`);
  const before = (await namesIn(blobs)).join(' ');
  const { putBack } = await repair(blobs);
  if (putBack.length > 0) others.push(`a second repair puts back ${putBack.join()}`);
  if ((await namesIn(blobs)).join(' ') !== before) others.push('a second repair changes something');
  return [...told, ...lacks, ...others];
}

describe('a repair', () => {
  it(
    'puts back any two blobs that have each other’s names',
    async () => {
      expect(new Set(kinds.map((name) => name.split('/')[0]))).toHaveLength(7);
      for (const [i, a] of kinds.entries())
        for (const b of kinds.slice(i + 1)) {
          const blobs = await copyOf(base);
          await rotate(blobs, [a, b]);
          expect(await flaws(blobs), `${a} and ${b}`).toEqual([]);
        }
    },
    LONG,
  );

  it(
    'puts back more of them, and the repository goes on',
    async () => {
      for (const step of [1, 2, 3, 4]) {
        const blobs = await copyOf(base);
        const names = kinds.filter((_, i) => (i * step) % 5 !== 1);
        await rotate(blobs, names);
        if (step % 2 === 0) await rotate(blobs, names.slice(1, 4));
        expect(await flaws(blobs), names.join(' → ')).toEqual([]);
        expect(await flawsOf(environmentOn(blobs), ['first', 'second', 'files'])).toEqual([]);
      }
    },
    LONG,
  );

  it('only tells of them when it is dry', async () => {
    const blobs = await copyOf(base);
    await rotate(blobs, [kinds[1] as string, kinds.at(-1) as string]);
    const before = await stateOf(blobs);
    const manager = await SnapshotManager.open({ environment: environmentOn(blobs) });
    const { putBack } = await manager.repair({ dryRun: true });
    expect(putBack).toHaveLength(2);
    expect(putBack).toContain(kinds[1]);
    expect(await stateOf(blobs)).toEqual(before);
    expect((await manager.repair()).putBack).toEqual(putBack);
    await rotate(blobs, ['config', kinds[2] as string]);
    const swapped = await stateOf(blobs);
    expect(await SnapshotManager.repairConfig({ environment: environmentOn(blobs) }, { dryRun: true })).toBe(
      'mended',
    );
    expect(await stateOf(blobs)).toEqual(swapped);
  });
});

describe('what is to be done', () => {
  const remedyOf = (work: Promise<unknown>): Promise<string> =>
    work.then(
      () => 'nothing',
      (error: unknown) => (isVecsnapError(error) ? `${error.code}: ${error.remedy}` : String(error)),
    );
  const open = (blobs: BlobStore) => SnapshotManager.open({ environment: environmentOn(blobs) });

  it.each([
    ['is gone', undefined, 'REPOSITORY_DAMAGED'],
    ['is cut', 60, 'REPOSITORY_DAMAGED'],
    ['is cut to almost nothing', 3, 'REPOSITORY_DAMAGED'],
    ['is empty', 0, 'NOT_A_REPOSITORY'],
  ])('is a repair first of all when the config %s', async (_, length, code) => {
    const blobs = await copyOf(base);
    if (length === undefined) await blobs.delete('config');
    else await replace(blobs, 'config', (await blobs.get('config')).slice(0, length));
    expect(await remedyOf(open(blobs))).toMatch(new RegExp(`^${code}: .*run vecsnap repair`, 'i'));
    expect(await SnapshotManager.repairConfig({ environment: environmentOn(blobs) })).toBe('made anew');
  });

  it('is a repair first of all when names are wrong', async () => {
    for (const other of kinds.slice(1)) {
      const blobs = await copyOf(base);
      await rotate(blobs, ['config', other]);
      expect(await remedyOf(open(blobs)), other).toMatch(/^REPOSITORY_DAMAGED: Run vecsnap repair/);
    }
    const blobs = await copyOf(base);
    await rotate(blobs, kinds.slice(1, 3));
    expect(await remedyOf((await open(blobs)).collectGarbage())).toMatch(
      /^SWEEP_REFUSED: Run vecsnap repair/,
    );
    await rotate(blobs, kinds.slice(1, 3));
    await rotate(blobs, kinds.slice(4, 7));
    expect(await remedyOf((await open(blobs)).forget())).toMatch(/^POLICY_DAMAGED: Run vecsnap repair/);
  });
});

describe('bytes that a repair does not know', () => {
  it('are kept when something else belongs where they stand', async () => {
    const blobs = await copyOf(base);
    const [, snapshot = '', , , , , , , pack = ''] = kinds;
    const foreign = new Uint8Array(5000).fill(7);
    // The snapshot stands in the place of a pack, and the pack is gone for something that nobody knows.
    await replace(blobs, pack, await blobs.get(snapshot));
    await replace(blobs, snapshot, foreign);
    await repair(blobs);
    expect(digest(await blobs.get(snapshot))).toBe(digest(await base.get(snapshot)));
    const [kept = ''] = await namesIn(blobs, 'rescue/');
    expect(await blobs.get(kept)).toEqual(foreign);
    await replace(blobs, 'config', foreign);
    await repair(blobs);
    expect(await namesIn(blobs, 'rescue/')).toEqual([kept]); // The same bytes again.
  });

  it('of another program are no repository, whatever the names are', async () => {
    const blobs = memoryBlobStore();
    for (const name of ['config', 'snapshots/0a1b', 'packs/2c3d']) await blobs.put(name, new Uint8Array(300));
    const before = await stateOf(blobs);
    await expect(
      SnapshotManager.repairConfig({ environment: lockingEnvironment(blobs) }),
    ).rejects.toMatchObject({ code: 'NOT_A_REPOSITORY' });
    expect(await stateOf(blobs)).toEqual(before);
  });
});

describe('a repair that ends in the middle', () => {
  /** A store that changes something so often, and then is gone. */
  function mortal(blobs: BlobStore, changes: number): BlobStore {
    let left = changes;
    const change = <T>(work: () => Promise<T>): Promise<T> => {
      if (left-- > 0) return work();
      throw new VecsnapError('STORE_FAILED', 'the power is gone', { place: 'here', remedy: 'none' });
    };
    return {
      place: blobs.place,
      get: async (name) => blobs.get(name),
      read: async (name, offset, into) => blobs.read(name, offset, into),
      stat: async (name) => blobs.stat(name),
      list: (prefix) => blobs.list(prefix),
      close: async () => {},
      put: async (name, bytes) => change(() => blobs.put(name, bytes)),
      delete: async (name) => change(() => blobs.delete(name)),
    };
  }

  it.each([
    ['config and a snapshot', [0, 1]],
    ['a snapshot and a pack', [1, 8]],
    ['config, a snapshot, marks, a pack and policies', [0, 2, 4, 8, 6]],
    ['marks, a note, a forgotten snapshot and a pack', [5, 7, 3, 9]],
  ])(
    'after any change has lost nothing, and the next one ends it: %s',
    async (_, places) => {
      let isDone = false;
      for (let changes = 0; !isDone; changes++) {
        const blobs = await copyOf(base);
        await rotate(
          blobs,
          places.map((place) => kinds[place] as string),
        );
        isDone = await repair(mortal(blobs, changes)).then(
          () => true,
          (error: unknown) => {
            if (isVecsnapError(error, 'STORE_FAILED')) return false;
            throw error;
          },
        );
        const there: string[] = [];
        for (const name of await namesIn(blobs)) there.push(digest(await blobs.get(name)));
        const lost = sound.filter((line) => !there.includes(line.split(' ')[1] as string));
        expect(lost, `after ${changes} changes`).toEqual([]);
        expect(await flaws(blobs), `after ${changes} changes and a second repair`).toEqual([]);
      }
    },
    LONG,
  );
});
