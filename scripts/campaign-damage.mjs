// Seeded damage to packs, snapshots, config and index: npm run campaign:damage [-- --cases 10000] [--seed N]
import { spawnSync } from 'node:child_process';
import { parseArgs } from 'node:util';

const { values } = parseArgs({
  options: { cases: { type: 'string', default: '10000' }, seed: { type: 'string' } },
});
const seed = values.seed ?? String(Date.now() % 2 ** 31);
console.log(`seed ${seed}, ${values.cases} cases; repeat with --cases ${values.cases} --seed ${seed}`);
const env = { ...process.env, DAMAGE_CASES: values.cases, DAMAGE_SEED: seed };
const { status } = spawnSync('npx', ['vitest', 'run', 'test/damage-cases.test.ts'], {
  stdio: 'inherit',
  env,
});
process.exitCode = status ?? 1;
