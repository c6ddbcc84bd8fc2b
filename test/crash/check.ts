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
  readonly seed: number;
  readonly flaws: CodeFlaws;
}

const NEXT = versionOf(3, 0);

/** Goes through all of it. @returns the world afterwards, in which what was done can be crashed in turn. @throws what is wrong. */
export async function checkState({
  tree,
  index,
  promises,
  contents,
  seed,
  flaws,
}: CrashState): Promise<World> {
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
  if (forgotten.length > 0 && seed % 2 === 0) {
    await step('having back', () => world.unforget(...forgotten.map(([name]) => name)));
    await step('reading what was had back', () => checkListed(world, world.promisesAt(Infinity)));
  }
  const next = `next of ${seed}`;
  await step('the next create', () => world.create(next, NEXT));
  await step('forgetting all others', () => world.forgetAllBut(next));
  await step('the sweep', () => world.sweep());
  await step('reading after the sweep', async () => {
    await checkListed(world, world.promisesAt(Infinity));
    await checkClean(world);
  });
  await step('forgetting the last', () => world.forget(next));
  await step('the last sweep', () => world.sweep());
  expectEmpty(world.disk.tree(), ['packs', 'snapshots', 'forgotten', 'marks', 'rescue', 'locks', 'tmp']);
  return world;
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
