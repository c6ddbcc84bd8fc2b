/** Goes through crash states of a world, in an order and a selection that follow from a seed alone. */
import { setImmediate } from 'node:timers/promises';
import { Chance } from './chance.js';
import { checkState } from './check.js';
import { type Choice, CrashStates, DATA_FATES, digestOf, listingOf, sorted } from './states.js';
import { type CodeFlaws, textOf, type World } from './world.js';

/** How far to go. */
export interface ExploreOptions {
  readonly seed: number;
  /** The steps of the log from which on crashes happen. */
  readonly from?: number;
  /** Crashes at each step, at most. */
  readonly perStep: number;
  /** One in so many states is crashed again while it is worked with; 0 for none. */
  readonly againOneIn?: number;
  /** Whether to go on. */
  readonly goesOn?: (failures: readonly Failure[]) => boolean;
  readonly onTried?: () => void;
  readonly flaws?: CodeFlaws;
  /** Told in a description of a failure, for example what the world was made of. */
  readonly name: string;
  readonly memory: Memory;
}

/** What was checked before, as digests: there is no end to it. */
export interface Memory {
  /** States: their trees, and what was promised. */
  readonly states: Set<string>;
  /** Worlds in the middle of a check that ended well. */
  readonly worlds: Set<string>;
}

export function newMemory(): Memory {
  return { states: new Set(), worlds: new Set() };
}

/** What was found. */
export interface Findings {
  tried: number;
  /** States that came up again and were not checked again. */
  repeated: number;
  /** Those tried of which the last steps were those of another. */
  joined: number;
  readonly failures: Failure[];
}

export function nothingFound(): Findings {
  return { tried: 0, repeated: 0, joined: 0, failures: [] };
}

/** Adds what was found elsewhere. */
export function addFindings(sum: Findings, { tried, repeated, joined, failures }: Findings): void {
  sum.tried += tried;
  sum.repeated += repeated;
  sum.joined += joined;
  sum.failures.push(...failures);
}

/** A state that is not as it must be, and how it is made. */
export interface Failure {
  readonly description: string;
  readonly error: Error;
}

/** Singles that are left out, or come alone, are looked at among so many that were last. */
const RECENT = 10;
/** So many changes are few enough to go through all their subsets. */
const FEW = 3;

/** Checks states of a world. */
export async function explore(world: World, options: ExploreOptions): Promise<Findings> {
  const findings = nothingFound();
  const { from = 0, goesOn = () => true } = options;
  const states = new CrashStates(world.disk);
  for (let prefix = from; prefix <= world.disk.log.length && goesOn(findings.failures); prefix++) {
    const chance = new Chance(options.seed * 1_000_003 + prefix);
    const { count, lastSync } = states.advance(prefix);
    for (const choice of choicesAt({ prefix, count, lastSync }, chance, options.perStep)) {
      if (!goesOn(findings.failures)) break;
      await checkChoice(world, states, choice, options, findings);
    }
  }
  return findings;
}

async function checkChoice(
  world: World,
  states: CrashStates,
  choice: Choice,
  options: ExploreOptions,
  findings: Findings,
): Promise<void> {
  const { memory, flaws = {}, name, againOneIn = 0, goesOn, onTried } = options;
  const tree = sorted(states.make(choice));
  const promises = world.promisesAt(choice.prefix);
  const promised = textOf(promises);
  const digest = digestOf(`${listingOf(tree)}\n${promised}`);
  if (memory.states.has(digest)) return void findings.repeated++;
  memory.states.add(digest);
  findings.tried++;
  onTried?.();
  const chance = new Chance(choice.seed);
  const indexed = indexAt(world, choice.prefix, chance);
  const isCrashedAgain = againOneIn > 0 && chance.once(againOneIn);
  const description = `${name}: ${JSON.stringify({ ...choice, indexed })}`;
  try {
    const after = await checkState({
      tree,
      index: world.index.slice(0, indexed),
      promises,
      contents: world.contents,
      seed: seedAfter(options.seed, promised),
      unforgets: choice.seed % 2 === 0,
      flaws,
      known: isCrashedAgain ? undefined : memory.worlds,
    });
    if (after.isJoined) findings.joined++;
    // What failed to inflate is let go of between turns of the event loop, and with everything in memory nothing else waits for one.
    await setImmediate();
    if (!isCrashedAgain) return;
    const again = {
      seed: choice.seed,
      perStep: 1,
      flaws,
      memory,
      name: `${description}, and again`,
      ...(goesOn && { goesOn }),
      ...(onTried && { onTried }),
    };
    addFindings(findings, await explore(after.world, again));
  } catch (error) {
    findings.failures.push({ description, error: error as Error });
  }
}

/**
 * What those draw from who come after a crash. It is the same after all crashes under the same promises, so that states that differ only in
 * what is cleared away go the same way from then on, and another one for others.
 */
function seedAfter(seed: number, promised: string): number {
  return Buffer.from(digestOf(`${seed} ${promised}`), 'base64').readUInt32LE() >>> 2;
}

/** How much of what was ever done to the index is in it: what was done by then, nothing, or more or less than that. */
function indexAt(world: World, prefix: number, chance: Chance): number {
  const all = world.index.length;
  const then = world.index.filter(({ at }) => at <= prefix).length;
  return [then, then, 0, Math.max(0, then - 1), chance.below(then + 1), chance.below(all + 1)][
    chance.below(6)
  ] as number;
}

/** Ways to crash after a prefix, those that are most telling first. */
function choicesAt(
  { prefix, count, lastSync }: { prefix: number; count: number; lastSync: number },
  chance: Chance,
  limit: number,
): Choice[] {
  const all = Array.from({ length: count }, (_, i) => i);
  const recent = all.slice(-RECENT);
  const fates = (): Choice['data'] => chance.pick(DATA_FATES);
  const plans: Pick<Choice, 'names' | 'data'>[] = [
    { names: 'all', data: 'kept' },
    { names: 'none', data: 'kept' },
    { names: 'all', data: 'dropped' },
    { names: 'all', data: chance.pick(['zeros', 'cut', 'sectors', 'mixed']) },
    { names: { journal: lastSync + chance.below(prefix - lastSync + 1) }, data: fates() },
  ];
  const wild: Pick<Choice, 'names' | 'data'>[] = [
    ...recent.map((one) => ({ names: { only: [one] }, data: fates() })),
    ...recent.map((one) => ({ names: { only: all.filter((other) => other !== one) }, data: fates() })),
    ...subsets(all.slice(-FEW)).map((some) => ({
      names: { only: [...all.slice(0, -FEW), ...some] },
      data: fates(),
    })),
    ...Array.from({ length: 2 + limit }, () => ({
      names: { only: all.filter(() => chance.once(2)) },
      data: fates(),
    })),
  ];
  while (plans.length < limit && wild.length > 0) plans.push(...wild.splice(chance.below(wild.length), 1));
  return plans.slice(0, limit).map((plan, i) => ({ prefix, ...plan, seed: chance.below(2 ** 30) + i }));
}

function subsets(items: readonly number[]): number[][] {
  return Array.from({ length: 2 ** items.length }, (_, mask) => items.filter((_item, i) => mask & (1 << i)));
}
