// Property tests with a new seed and many runs, for as long as one wants: npm run campaign:properties [-- RUNS [FILES…]]
import { spawnSync } from 'node:child_process';

const [runs = '2000', ...files] = process.argv.slice(2);
const seed = String(process.env.PROPERTY_SEED ?? Date.now() % 2 ** 31);
console.log(`seed ${seed}, ${runs} runs a property; repeat with PROPERTY_SEED=${seed}`);
const env = { ...process.env, PROPERTY_SEED: seed, PROPERTY_RUNS: runs };
const { status } = spawnSync('npx', ['vitest', 'run', '--testTimeout=3600000', ...files], {
  stdio: 'inherit',
  env,
});
process.exitCode = status ?? 1;
