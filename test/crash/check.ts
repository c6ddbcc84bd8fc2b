/**
 * What must hold of any state that a crash leaves: the repository opens; what was promised is there, restores exactly and verifies;
 * the next snapshot can be taken; and once the others are forgotten, a sweep leaves nothing behind.
 */
import type { Snapshot, SnapshotManager } from 'vecsnap/snapshot';
import { isVecsnapError } from 'vecsnap/core';
import type { Tree } from './disk.js';
import { type Matter, versionOf } from './matter.js';
import { type CodeFlaws, type IndexStep, PINNED, type Promises, REPO, World } from './world.js';

/** A state, and what was promised before the crash. */
export interface CrashState {
  readonly tree: Tree;
  /** What was done to the index as it was found. */
  readonly index: readonly IndexStep[];
  readonly promises: Promises;
  readonly contents: ReadonlyMap<string, Matter>;
  /** What those who come after the crash draw from. */
  readonly seed: number;
  /** Whether what was forgotten is had back first. */
  readonly unforgets: boolean;
  readonly flaws: CodeFlaws;
  /**
   * Worlds that were come to in the middle of other checks, after which all was well: what comes of the same is not looked at again. Without
   * it, all is done.
   */
  readonly known?: Set<string> | undefined;
}

/** What was found to be as it must be. */
export interface Checked {
  /** The world afterwards, in which what was done can be crashed in turn. */
  readonly world: World;
  /** Whether the last steps were those of another check. */
  readonly isJoined: boolean;
}

const NEXT = versionOf(3, 0);
const ALL_FOLDERS = ['packs', 'snapshots', 'forgotten', 'marks', 'rescue', 'locks', 'tmp'];

/** Goes through all of it. @throws what is wrong. */
export async function checkState(state: CrashState): Promise<Checked> {
  const { tree, index, promises, contents, seed, unforgets, flaws, known } = state;
  const world = new World(
    { seed, tree, hasRepository: promises.hasRepository, index, flaws },
    { contents: new Map(contents) },
  );
  world.promise(promises);
  if (!promises.hasRepository && (await isUnmade(world))) await world.init();
  if (promises.disk === 'damaged') await step('salvage', () => salvage(world));
  if (promises.disk === 'damaged') await step('repair', () => world.repair());
  if (promises.disk !== 'sound') await step('the sweep after the repair', () => world.sweep());
  await step('reading', () => checkListed(world, world.promisesAt(Infinity)));
  const forgotten = [...world.promisesAt(Infinity).snapshots].filter(
    ([, standing]) => standing === 'forgotten',
  );
  if (forgotten.length > 0 && unforgets) {
    await step('having back', () => world.unforget(...forgotten.map(([name]) => name)));
    await step('reading what was had back', () => checkListed(world, world.promisesAt(Infinity)));
  }
  const next = `next of ${seed}`;
  await step('the next create', () => world.create(next, NEXT));
  return { world, isJoined: await takeSteps(world, stepsFrom(world, next), known) };
}

type Step = readonly [what: string, work: () => Promise<unknown>];

/** What is done once there is the snapshot `next`, up to a repository that holds nothing. */
function stepsFrom(world: World, next: string): Step[] {
  return [
    ['forgetting all others', () => world.forgetAllBut(next)],
    ['the sweep', () => world.sweep()],
    [
      'reading after the sweep',
      async () => {
        await checkListed(world, world.promisesAt(Infinity));
        await checkClean(world);
      },
    ],
    ['forgetting the last', () => world.forget(next)],
    [
      'the last sweep',
      async () => {
        await world.sweep();
        expectEmpty(world.disk.tree(), ALL_FOLDERS);
      },
    ],
  ];
}

/** Takes one step after the other until a known world comes up. @returns whether one did. */
async function takeSteps(world: World, steps: readonly Step[], known?: Set<string>): Promise<boolean> {
  const passed: string[] = [];
  const isKnown = async (i: number): Promise<boolean> => {
    if (known === undefined) return false;
    const place = `${i} ${await world.identity()}`;
    passed.push(place);
    return known.has(place);
  };
  let isJoined = false;
  for (const [i, [what, work]] of steps.entries()) {
    isJoined = await isKnown(i);
    if (isJoined) break;
    await step(what, work);
  }
  for (const place of passed) known?.add(place);
  return isJoined;
}

/** Whether the making of the repository came to nothing, so that it can be made again. */
async function isUnmade(world: World): Promise<boolean> {
  try {
    await world.read(async () => undefined);
    return false;
  } catch (error) {
    if (isVecsnapError(error, 'NOT_A_REPOSITORY')) return true;
    throw error;
  }
}

/** Lists, verifies and restores. */
async function checkListed(world: World, { snapshots }: Promises): Promise<readonly Snapshot[]> {
  return world.read(async (manager) => {
    const listing = await manager.listAll();
    if (listing.problems.length > 0) throw new Error(`snapshots cannot be read: ${said(listing.problems)}`);
    compare(await foundIn(manager, listing.snapshots), snapshots);
    const { problems } = await manager.verifyRepository();
    if (problems.length > 0) throw new Error(`verify finds ${said(problems)}`);
    for (const { id, name } of listing.snapshots) await world.checkRestored(manager, id, name);
    const [last] = listing.snapshots;
    if (last !== undefined) await world.checkSalvaged(manager, last.id, last.name);
    return listing.snapshots;
  });
}

/** What is given of snapshots of which a disk has damaged something. */
async function salvage(world: World): Promise<void> {
  await world.read(async (manager) => {
    for (const { id, name } of await manager.listSnapshots())
      await world.checkSalvaged(manager, id, name).catch((error: unknown) => {
        if (!isVecsnapError(error, 'CHUNK_MISSING', 'CHUNK_DAMAGED', 'PACK_DAMAGED')) throw error;
      });
  });
}

/** What there is, by the keys of {@link Promises}, and as what. */
async function foundIn(
  manager: SnapshotManager,
  listed: readonly Snapshot[],
): Promise<Map<string, 'there' | 'forgotten'>> {
  const forgotten = await manager.listForgotten();
  if (forgotten.problems.length > 0)
    throw new Error(`forgotten snapshots cannot be read: ${said(forgotten.problems)}`);
  const policies = await manager.listPolicies();
  return new Map([
    ...forgotten.snapshots.map(({ name }) => [name, 'forgotten'] as const),
    ...listed.map(({ name }) => [name, 'there'] as const),
    ...listed.flatMap(({ name, tags }) => tags.map((tag) => [`${name}#${tag}`, 'there'] as const)),
    ...listed.filter(({ pinned }) => pinned).map(({ name }) => [`${name}#${PINNED}`, 'there'] as const),
    ...policies.map(({ policy }) => [`policy ${policy.keepLast}`, 'there'] as const),
  ]);
}

function compare(found: ReadonlyMap<string, 'there' | 'forgotten'>, promised: Promises['snapshots']): void {
  for (const [key, standing] of promised) {
    const isOfSnapshot = found.get(key.split('#')[0] as string) === 'there' || key.startsWith('policy ');
    if (standing === 'must' && found.get(key) !== 'there' && (isOfSnapshot || !key.includes('#')))
      throw new Error(`${key} is lost`);
    if (standing === 'forgotten' && found.get(key) !== 'forgotten')
      throw new Error(`${key} cannot be had back`);
  }
  for (const [key, as] of found) {
    const standing = promised.get(key) ?? 'gone';
    if (as === 'there' && (standing === 'gone' || standing === 'forgotten'))
      throw new Error(`${key} came back`);
  }
}

/** Nothing is left that nothing needs. */
async function checkClean(world: World): Promise<void> {
  const { unreferencedBytes } = await world.read((manager) => manager.stats());
  if (unreferencedBytes !== 0) throw new Error(`${unreferencedBytes} bytes are left that nothing needs`);
  expectEmpty(world.disk.tree(), ['locks', 'tmp']);
}

function expectEmpty(tree: Tree, folders: readonly string[]): void {
  const left = [...tree.keys()].filter((path) =>
    folders.some((folder) => path.startsWith(`${REPO}/${folder}/`)),
  );
  if (left.length > 0) throw new Error(`left behind: ${left.join(', ')}`);
}

async function step<T>(what: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (cause) {
    const message = cause instanceof Error ? cause.message : String(cause);
    const place = isVecsnapError(cause) ? ` (${cause.code}, ${cause.place})` : '';
    throw new Error(`${what}: ${message}${place}`, { cause });
  }
}

function said(problems: readonly unknown[]): string {
  return JSON.stringify(problems).slice(0, 5000);
}
