/** The long version of the crash states: scripts/campaign-crash.mjs compiles and runs it. Prints what was tried and what failed. */
import { parseArgs } from 'node:util';
import { MUTANTS } from './mutants.js';
import { goThroughRounds, type Totals } from './rounds.js';

const { values } = parseArgs({
  options: {
    states: { type: 'string', default: '200000' },
    seconds: { type: 'string', default: '86400' },
    seed: { type: 'string', default: '1' },
    round: { type: 'string', default: '0' },
    mutant: { type: 'string' },
  },
});

function report({ rounds, tried, repeated, failures }: Totals): void {
  console.log(
    `${rounds} rounds: ${tried} crash states tried, ${failures.length} failed (${repeated} came up again)`,
  );
}

const mutant = values.mutant === undefined ? {} : MUTANTS[values.mutant];
if (mutant === undefined)
  throw new RangeError(`no such mutant; there are: ${Object.keys(MUTANTS).join('; ')}`);
const totals = await goThroughRounds({
  seed: Number(values.seed),
  states: Number(values.states),
  milliseconds: Number(values.seconds) * 1000,
  now: () => performance.now(),
  firstRound: Number(values.round),
  untilFailure: values.mutant !== undefined,
  mutant,
  onRound: (sofar) => {
    if (sofar.rounds % 10 === 0) report(sofar);
  },
});
report(totals);
for (const { description, error } of totals.failures.slice(0, 3))
  console.log(`\n${description}\n${error.stack}`);
process.exitCode = totals.failures.length === 0 ? 0 : 1;
