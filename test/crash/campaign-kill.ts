/** Kills by the hundred: scripts/campaign-kill.mjs compiles and runs it. Prints what was tried and what failed. */
import { parseArgs } from 'node:util';
import { killMany } from './kills.js';

const { values } = parseArgs({
  options: {
    kills: { type: 'string', default: '500' },
    seconds: { type: 'string', default: '86400' },
    seed: { type: 'string', default: '1' },
  },
});

/** Kills in one repository, before another one is made. */
const TOGETHER = 50;

const end = performance.now() + Number(values.seconds) * 1000;
const sum = { kills: 0, completed: 0, halfDone: 0, failures: [] as string[] };
for (let seed = Number(values.seed); sum.kills < Number(values.kills) && performance.now() < end; seed++) {
  const kills = Math.min(TOGETHER, Number(values.kills) - sum.kills);
  const now = (): number => performance.now();
  const totals = await killMany({ seed, kills, milliseconds: end - performance.now(), now });
  sum.kills += totals.kills;
  sum.completed += totals.completed;
  sum.halfDone += totals.halfDone;
  sum.failures.push(...totals.failures.map((failure) => `seed ${seed}\n${failure}`));
  console.log(
    `${sum.kills} killed (${sum.halfDone} in the middle of something), ${sum.completed} done before, ${sum.failures.length} failed`,
  );
}
for (const failure of sum.failures.slice(0, 3)) console.log(`\n${failure}`);
process.exitCode = sum.failures.length === 0 ? 0 : 1;
