/**
 * Seeded damage of every kind to a repository: verify finds it, no restore ever gives wrong bytes, and after a repair and new snapshots
 * of the same sources everything is as it was.
 *
 * Some hundred cases; `npm run campaign:damage` has thousands. DAMAGE_CASES and DAMAGE_SEED set them.
 */
import { cp, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import { type BlobStore, memoryBlobStore } from 'vecsnap/blob';
import { memoryIndex } from 'vecsnap/cas';
import { isVecsnapError } from 'vecsnap/core';
import { directoryEnvironment } from 'vecsnap/platform';
import { type Environment, SnapshotManager } from 'vecsnap/snapshot';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { namesIn } from './support/blobs.js';
import { lockingEnvironment } from './support/fault-environment.js';
import { seededRandom } from './support/stores.js';
import { memorySource } from './support/memory-environment.js';
import {
  content,
  flawsOf,
  makeRepository,
  type Named,
  restoredText,
  textOf,
} from './support/worked-repository.js';

const CASES = Number(process.env['DAMAGE_CASES'] ?? 120);
const SEED = Number(process.env['DAMAGE_SEED'] ?? 20_261_122);
const LONG = 3_600_000;
/** Of so many cases one is to the index, which takes a real database. */
const INDEX_EVERY = 8;

const tally = {
  tried: 0,
  found: 0,
  /** Nothing is missing: a pack that nobody needs, two packs that have each other's names. */
  harmless: 0,
  /** A snapshot that is deleted is one that was forgotten. */
  forgotten: 0,
  /** The bits are others and mean the same: unused ones at the end of a deflate stream. */
  meaningless: 0,
  missed: 0,
  restores: 0,
  wrong: 0,
  index: 0,
  indexHarmless: 0,
  lossless: 0,
};

afterAll(() => {
  const { tried, found, harmless, forgotten, meaningless, missed, restores, wrong, lossless } = tally;
  const { index, indexHarmless } = tally;
  console.log(
    `damage (seed ${SEED}): ${tried} cases; found by verify ${found}, ${harmless} without any loss, ` +
      `${forgotten} snapshots deleted, ${meaningless} bits without a meaning, missed ${missed}; ` +
      `restores ${restores}, wrong ${wrong}; repair alone lost nothing in ${lossless}; ` +
      `cases to the index ${index}: found by verify ${index - indexHarmless}, ${indexHarmless} harmless`,
  );
});

/** Whole numbers that are the same in every run: mulberry32. */
function numbers(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return Math.floor((((t ^ (t >>> 14)) >>> 0) / 2 ** 32) * below);
  };
}

type Pick = (below: number) => number;

/** Changes some bytes, and says what it did. */
function damaged(bytes: Uint8Array, pick: Pick): { bytes: Uint8Array; what: string } {
  const at = pick(bytes.length);
  const changed = bytes.slice();
  switch (pick(6)) {
    case 0:
    case 1: {
      const bit = pick(8);
      changed[at] = (changed[at] as number) ^ (1 << bit);
      return { bytes: changed, what: `bit ${bit} of byte ${at} of ${bytes.length} flipped` };
    }
    case 2:
      return { bytes: bytes.slice(0, at), what: `cut to ${at} of ${bytes.length}` };
    case 3: {
      const end = at + 1 + pick(600);
      changed.fill(0, at, end);
      return { bytes: changed, what: `zeros from ${at} to ${end} of ${bytes.length}` };
    }
    case 4: {
      const end = Math.min(bytes.length, at + 1 + pick(64));
      for (let i = at; i < end; i++) changed[i] = pick(256);
      return { bytes: changed, what: `other bytes from ${at} to ${end} of ${bytes.length}` };
    }
    default: {
      const longer = new Uint8Array(bytes.length + 1 + pick(40));
      longer.set(bytes);
      return { bytes: longer, what: `longer by ${longer.length - bytes.length}` };
    }
  }
}

async function replace(blobs: BlobStore, name: string, bytes: Uint8Array): Promise<void> {
  await blobs.delete(name);
  await blobs.put(name, bytes);
}

/** Damages one blob, or two. Gives what was done, or nothing when the bytes are as before. */
async function damage(blobs: BlobStore, pick: Pick): Promise<string | undefined> {
  const names = await namesIn(blobs);
  // Every kind of blob has its share: most blobs are packs.
  const kind = ['packs/', 'packs/', 'snapshots/', 'config'][pick(4)] as string;
  const candidates = names.filter((name) => name.startsWith(kind));
  const name = candidates[pick(candidates.length)] as string;
  const bytes = await blobs.get(name);
  const how = pick(10);
  if (how === 0) {
    await blobs.delete(name);
    return `${name} deleted`;
  }
  if (how === 1) {
    const other = names[pick(names.length)] as string;
    if (other === name) return undefined;
    await replace(blobs, name, await blobs.get(other));
    await replace(blobs, other, bytes);
    return `${name} and ${other} swapped`;
  }
  const { bytes: changed, what } = damaged(bytes, pick);
  if (Buffer.compare(changed, bytes) === 0) return undefined;
  await replace(blobs, name, changed);
  return `${name}: ${what}`;
}

async function attempt<T>(work: () => Promise<T>): Promise<{ value: T } | { error: unknown }> {
  try {
    return { value: await work() };
  } catch (error) {
    return { error };
  }
}

describe('damage to blobs', () => {
  let base: BlobStore;
  let snapshots: Named;

  beforeAll(async () => {
    base = memoryBlobStore();
    snapshots = await makeRepository(lockingEnvironment(base, memoryIndex(), seededRandom(SEED)));
  });

  async function copyOf(blobs: BlobStore): Promise<BlobStore> {
    const copy = memoryBlobStore();
    for (const name of await namesIn(blobs)) await copy.put(name, await blobs.get(name));
    return copy;
  }

  /** Gives what is wrong with how a damaged repository behaves. */
  async function flaws(blobs: BlobStore, what: string): Promise<string[]> {
    const wrong: string[] = [];
    const clear = (error: unknown, when: string): void => {
      if (!isVecsnapError(error) || error.remedy === undefined)
        wrong.push(`${when}: ${String(error)} ${(error as Error).stack}`);
    };
    // What an index still knows of the packs as they were, in every other case.
    const index = memoryIndex();
    if (tally.tried % 2 === 0) await (await opened(base, index)).verifyRepository();
    const opening = await attempt(() => opened(blobs, index));
    if ('error' in opening) {
      clear(opening.error, 'open');
      tally.found++;
      return wrong;
    }
    const manager = opening.value;
    const report = await manager.verifyRepository();
    let whole = 0;
    for (const [name, { id }] of Object.entries(snapshots)) {
      tally.restores++;
      const restored = await attempt(() => restoredText(manager, id));
      if ('error' in restored) clear(restored.error, `restore ${name}`);
      else if (restored.value === textOf(content(name))) whole++;
      else {
        tally.wrong++;
        wrong.push(`${name} is restored as something else`);
      }
    }
    await manager.close();
    const isAllThere = whole === Object.keys(snapshots).length;
    if (!report.ok) tally.found++;
    else if (/^snapshots\S+ deleted/.test(what)) tally.forgotten++;
    else if (isAllThere && /^packs\S+ (deleted|and packs)/.test(what)) tally.harmless++;
    else if (isAllThere && /flipped|other bytes/.test(what)) tally.meaningless++;
    else {
      tally.missed++;
      wrong.push('verify finds nothing');
    }
    return wrong;
  }

  async function opened(blobs: BlobStore, index = memoryIndex()): Promise<SnapshotManager> {
    return SnapshotManager.open({ environment: lockingEnvironment(blobs, index) });
  }

  /** After a repair, and new snapshots of all sources, all that is listed is whole, and sweeps run again. */
  async function flawsAfterRepair(blobs: BlobStore): Promise<string[]> {
    const environment = lockingEnvironment(blobs);
    await SnapshotManager.repairConfig({ environment });
    const manager = await SnapshotManager.open({ environment });
    const { lostChunks, unreadableSnapshots } = await manager.repair();
    if (lostChunks.length === 0 && unreadableSnapshots.length === 0) {
      tally.lossless++;
      const report = await manager.verifyRepository();
      const bad = report.problems.filter(({ snapshots: needing }) => needing.length > 0);
      if (bad.length > 0) return bad.map(({ message }) => `after a repair that lost nothing: ${message}`);
    }
    for (const name of ['first', 'second'])
      await manager.createSnapshot(memorySource(content(name)), name, { collection: 'test' });
    await manager.createSnapshot(memorySource(content('files'), 'files'), 'files');
    const { snapshots: listed, problems } = await manager.listAll();
    const marked = listed.filter((one) => one.damage !== undefined);
    const flaws = marked.map(({ name }) => `${name} is still marked as damaged`);
    // A snapshot that cannot be read is for a person to decide about.
    for (const { blob } of problems) await blobs.delete(blob);
    await manager.close();
    return [
      ...flaws,
      ...(await flawsOf(lockingEnvironment(blobs), ['first', 'second', 'files'])).filter(isNoPack),
    ];
  }

  /**
   * A pack without an end stays until nothing is missing any more, and one that says it is of a later format is left alone; verify goes
   * on to tell of them.
   */
  function isNoPack(flaw: string): boolean {
    return !/^(?:PACK_DAMAGED|REPOSITORY_NEWER A pack)/.test(flaw);
  }

  it(
    'is found, and never restored',
    async () => {
      for (let i = 0; i < CASES; i++) {
        const pick = numbers(SEED + i * 7919);
        const blobs = await copyOf(base);
        const what = await damage(blobs, pick);
        if (what === undefined) continue;
        tally.tried++;
        expect(await flaws(blobs, what), `case ${i}: ${what}`).toEqual([]);
        const repaired = await attempt(() => flawsAfterRepair(blobs));
        if ('error' in repaired) throw new Error(`case ${i}: ${what}`, { cause: repaired.error });
        expect(repaired.value, `case ${i}: ${what}, after a repair`).toEqual([]);
        // What failed to inflate is let go of between turns of the event loop, and with everything in memory nothing else waits for one.
        await setImmediate();
      }
    },
    LONG,
  );
});

describe('damage to the index', () => {
  let base: string;

  beforeAll(async () => {
    base = await mkdtemp(join(tmpdir(), 'vecsnap-damage-'));
    const environment = directoryEnvironment(join(base, 'repo'), { workers: 1 });
    await makeRepository(environment);
  });
  afterAll(async () => rm(base, { recursive: true, force: true }));

  /** Damages one file of the database, or two, or deletes all of it. */
  async function damageIndex(index: string, pick: Pick): Promise<string> {
    const names = (await readdir(index)).filter((name) => name !== 'LOCK').toSorted();
    const name = names[pick(names.length)] as string;
    const bytes = new Uint8Array(await readFile(join(index, name)));
    const how = pick(12);
    if (how === 0) {
      await rm(index, { recursive: true });
      return 'all of it deleted';
    }
    if (how < 3) {
      await rm(join(index, name));
      return `${name} deleted`;
    }
    if (how === 3 || bytes.length === 0) {
      const other = names[pick(names.length)] as string;
      await writeFile(join(index, name), await readFile(join(index, other)));
      await writeFile(join(index, other), bytes);
      return `${name} and ${other} swapped`;
    }
    const { bytes: changed, what } = damaged(bytes, pick);
    await writeFile(join(index, name), changed);
    return `${name}: ${what}`;
  }

  /** The files that make an index what it is. There is no harm in others, in no index at all, and in one that a crash left open. */
  async function indexFiles(index: string): Promise<ReadonlyMap<string, string> | undefined> {
    const all = await readdir(index).catch(() => [] as string[]); // Deleted.
    const names = all.filter((name) => !/^(?:LOCK|LOG|LOG\.old|snapshots\.cache)$/.test(name));
    const files = new Map<string, string>();
    for (const name of names.toSorted()) files.set(name, await readFile(join(index, name), 'latin1'));
    return files.size === 0 || files.get('seal') === '' ? undefined : files;
  }

  it(
    'is found unless it is harmless, and does no harm',
    async () => {
      const whole = await indexFiles(join(base, 'repo', 'index'));
      for (let i = 0; i < Math.ceil(CASES / INDEX_EVERY); i++) {
        const pick = numbers(SEED + 1 + i * 104_729);
        const directory = await mkdtemp(join(base, 'copy-'));
        await cp(join(base, 'repo'), directory, { recursive: true });
        const what = await damageIndex(join(directory, 'index'), pick);
        const files = await indexFiles(join(directory, 'index'));
        const isHarmless = files === undefined || isDeepStrictEqual(files, whole);
        tally.index++;
        if (isHarmless) tally.indexHarmless++;
        const environment = directoryEnvironment(directory, { workers: 1 });
        const found = await attempt(async () => ({
          codes: i % 2 === 0 ? [] : await codesBeforeRepair(environment),
          flaws: await flawsOf(environment, ['first', 'second', 'files']),
          after: await codesOf(environment),
        }));
        if ('error' in found) throw new Error(`case ${i}: ${what}`, { cause: found.error });
        const { codes, flaws, after } = found.value;
        const told = [...codes, ...flaws.map((flaw) => flaw.split(' ')[0])];
        expect(told, `case ${i}: ${what}`).toEqual(isHarmless ? [] : ['INDEX_DAMAGED']);
        expect(after, `case ${i}: ${what}, after a writer`).toEqual([]);
        await rm(directory, { recursive: true, force: true });
      }
    },
    LONG,
  );

  async function codesOf(environment: Environment): Promise<string[]> {
    const manager = await SnapshotManager.open({ environment });
    const { problems } = await manager.verifyRepository();
    await manager.close(); // Or the files of every case stay open.
    return problems.map(({ code }) => code);
  }

  async function codesBeforeRepair(environment: Environment): Promise<string[]> {
    const codes = await codesOf(environment);
    const manager = await SnapshotManager.open({ environment });
    await manager.repair();
    await manager.close();
    return codes;
  }
});
