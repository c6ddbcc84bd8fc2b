/** Round after round of crash states, each of another world, until there were enough. What is looked at follows from the seed alone. */
import {
  addFindings,
  explore,
  type Failure,
  type Findings,
  type Memory,
  newMemory,
  nothingFound,
} from './explore.js';
import { anyLife, goneOn, killed, LIFE, live } from './life.js';
import type { Mutant } from './mutants.js';
import type { World } from './world.js';

/** How much is done. */
export interface RoundsOptions {
  readonly seed: number;
  /** End after so many states. */
  readonly states: number;
  /** Begin with this round. */
  readonly firstRound?: number;
  /** End at the first failure. */
  readonly untilFailure?: boolean;
  readonly mutant?: Mutant;
}

/** One round. */
export interface RoundOptions extends Pick<RoundsOptions, 'seed' | 'mutant'> {
  readonly round: number;
  readonly memory: Memory;
  readonly goesOn?: (failures: readonly Failure[]) => boolean;
  readonly onTried?: () => void;
}

/** See the head of this file. */
export async function goThroughRounds(options: RoundsOptions): Promise<Findings> {
  const { seed, states, firstRound = 0, untilFailure = false, mutant } = options;
  const totals = nothingFound();
  const memory = newMemory();
  let tried = 0;
  const goesOn = (failures: readonly Failure[]): boolean =>
    tried < states && !(untilFailure && failures.length > 0);
  for (let round = firstRound; goesOn(totals.failures); round++) {
    const own = { seed, round, memory, goesOn, onTried: () => void tried++ };
    addFindings(totals, await goThroughRound({ ...own, ...(mutant && { mutant }) }));
  }
  return totals;
}

/** Crash states of the world of one round. */
export async function goThroughRound({ seed, round, mutant = {}, ...how }: RoundOptions): Promise<Findings> {
  const roundSeed = seed * 4096 + round;
  const { world, from, name } = await worldOf(round, roundSeed, mutant);
  return explore(world, {
    ...how,
    seed: roundSeed,
    from,
    perStep: round === 0 ? 6 : 4,
    againOneIn: round % 4 === 3 ? 10 : 0,
    name: `seed ${seed}, round ${round} (${name})`,
    ...(mutant.flaws && { flaws: mutant.flaws }),
  });
}

/**
 * Every step of a life at which a pack or a snapshot got its name or lost it, and which is not synced yet: the process is killed
 * there, the next one does the same again or sweeps, and then the power is cut.
 */
export async function goThroughKills(
  options: Pick<RoundsOptions, 'seed' | 'mutant' | 'untilFailure'>,
): Promise<Findings> {
  const { seed, untilFailure = false, mutant: { traits, flaws } = {} } = options;
  const totals = nothingFound();
  const memory = newMemory();
  const world = await live(LIFE, { seed, ...(traits && { traits }), ...(flaws && { flaws }) });
  for (const at of world.namesGivenOrGone()) {
    for (const then of ['the same', 'sweep'] as const) {
      if (untilFailure && totals.failures.length > 0) return totals;
      const after = await goneOn(world, at, seed + 1, then);
      const name = `seed ${seed}, killed at ${at}, then ${then}`;
      const found = await explore(after, {
        seed,
        from: after.disk.log.length,
        perStep: 6,
        name,
        memory,
        ...(flaws && { flaws }),
      });
      addFindings(totals, found);
    }
  }
  return totals;
}

/** The world of a round: the same life first, then any lives, and worlds in which a process was killed and others went on. */
async function worldOf(
  round: number,
  seed: number,
  { traits, flaws }: Mutant,
): Promise<{ world: World; from: number; name: string }> {
  const lacksLinks = round % 5 === 4;
  const options = { seed, isShuffled: round > 0, traits: { lacksLinks, ...traits }, flaws: flaws ?? {} };
  const isAny = round % 4 === 2;
  const world = await live(isAny ? anyLife(seed) : LIFE, options);
  const name = `${isAny ? 'any life' : 'a life'}${lacksLinks ? ' without links' : ''}`;
  if (round % 2 === 0) return { world, from: 0, name };
  const after = await killed(world, seed);
  return { world: after.world, from: after.at, name: `${name}, killed at ${after.at}` };
}
