/** What happens in a repository while its disk is watched. */
import { Chance } from './chance.js';
import { fileOf, versionOf } from './matter.js';
import { World, type WorldOptions } from './world.js';

/** One thing that a process does. */
export type Deed = (world: World) => Promise<unknown>;

const init: Deed = (world) => world.init();
const repair: Deed = (world) => world.repair();
const create = (name: string, version: number, seed = 0): Deed => {
  return (world) => world.create(name, versionOf(version, seed));
};
const createFile = (name: string, version: number): Deed => {
  return (world) => world.create(name, fileOf(version), 'files');
};
const forget = (...names: string[]): Deed => {
  return (world) => world.forget(...names);
};
const unforget = (...names: string[]): Deed => {
  return (world) => world.unforget(...names);
};
const tag = (name: string, text: string): Deed => {
  return (world) => world.tag(name, text);
};
const pin = (name: string): Deed => {
  return (world) => world.pin(name, true);
};
const unpin = (name: string): Deed => {
  return (world) => world.pin(name, false);
};
const policy = (keepLast: number): Deed => {
  return (world) => world.setPolicy(keepLast);
};
const damage = (nth: number): Deed => {
  return async (world) => world.damagePack(nth);
};
const sweep = (maxUnused?: number): Deed => {
  return (world) => world.sweep(maxUnused);
};

/** A whole life: full, incremental and unchanged snapshots, deltas, forgetting, sweeps that rewrite and flatten, and repair. */
export const LIFE: readonly Deed[] = [
  init,
  create('a0', 0),
  create('a1', 1),
  create('a1 again', 1),
  createFile('f0', 0),
  create('a2', 2),
  create('a3', 3),
  createFile('f1', 1),
  forget('a0', 'a1', 'a1 again', 'f0'),
  sweep(),
  create('a4', 4),
  forget('a2'),
  repair,
  create('a5', 5),
  create('other', 0, 77),
  forget('f1', 'a3', 'a4'),
  unforget('a3'),
  tag('a5', 'good'),
  pin('a5'),
  tag('a5', 'better'),
  unpin('a5'),
  policy(3),
  policy(4),
  forget('a3'),
  sweep(0.05),
  damage(1),
  repair,
  create('a6', 6),
  forget('a5', 'a6', 'other'),
  sweep(),
  create('a7', 7),
];

/** So many deeds of any kind, in any order. */
export function anyDeeds(seed: number, count: number): Deed[] {
  const chance = new Chance(seed);
  const names: string[] = [];
  return Array.from({ length: count }, (_, i): Deed => {
    const what = chance.below(10);
    const name = `${seed} ${i}`;
    if (what < 6) names.push(name);
    if (what < 5) return create(name, chance.below(7), chance.once(6) ? 77 : 0);
    if (what === 5) return createFile(name, chance.below(4));
    if (what === 6 && chance.once(2)) return anyChange(chance, names);
    if (what < 8) return forget(...names.filter(() => chance.once(2)));
    return sweep(chance.pick([0, 0, 0.05, 0.5]));
  });
}

function anyChange(chance: Chance, names: readonly string[]): Deed {
  const some = names.filter(() => chance.once(2));
  const [one = ''] = some;
  const broken = damage(chance.below(20));
  const repaired: Deed = async (world) => {
    await broken(world);
    await repair(world);
  };
  const deeds = [repair, repaired, unforget(...some), policy(chance.below(5) + 1), tag(one, 'tagged')];
  return chance.pick([...deeds, pin(one), unpin(one)]);
}

/** A world in which all of these were done one after the other. */
export async function live(deeds: readonly Deed[], options: WorldOptions): Promise<World> {
  const world = new World(options);
  for (const deed of deeds) await deed(world);
  return world;
}

/** A life of any deeds. */
export function anyLife(seed: number): Deed[] {
  return [init, ...anyDeeds(seed, 6 + (seed % 7))];
}

/**
 * What came of a world whose process was killed after some step, and in which others went on, often with the same. Nothing is lost by
 * that; but what was not durable still is not.
 * @returns the world, and the step at which it happened.
 */
export async function killed(world: World, seed: number): Promise<{ world: World; at: number }> {
  const chance = new Chance(seed);
  const first = world.firstPromise();
  const telling = world.namesGivenOrGone().filter((step) => step >= first);
  const at = chance.once(4) ? first + chance.below(world.disk.log.length - first) : chance.pick(telling);
  const after = await goneOn(world, at, seed, chance.pick(['the same', 'sweep', 'anything']));
  for (const deed of anyDeeds(seed, chance.below(3))) await deed(after);
  return { world: after, at };
}

/** A world whose process was killed right after a step, and in which the next one did the same again, or swept. */
export async function goneOn(
  world: World,
  at: number,
  seed: number,
  then: 'the same' | 'sweep' | 'anything',
): Promise<World> {
  const after = world.killedAt(at, seed);
  if (after.promisesAt(at).disk === 'damaged') await after.repair();
  const begun = [...after.promisesAt(at).snapshots].find(([, standing]) => standing === 'may');
  const matter = after.contents.get(begun?.[0] ?? '');
  if (then === 'the same' && matter !== undefined) await after.create('the same again', matter);
  if (then === 'sweep') await after.sweep();
  return after;
}
