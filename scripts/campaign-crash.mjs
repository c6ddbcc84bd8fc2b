// Crash states by the hundred thousand: npm run campaign:crash [-- --states N --seconds N --seed N --round N --workers N --progress FILE --mutant NAME]
// Whole rounds are done; what is tried is the same for any number of workers. With a file, the next call goes on where the last one ended.
// A failure is told with its seed and round: --seed and --round begin there again.
import { spawnSync } from 'node:child_process';

const compiled = spawnSync('npx', ['tsc', '-p', 'test/crash/tsconfig.json'], { stdio: 'inherit' });
if (compiled.status !== 0) process.exit(1);
const { status } = spawnSync(
  process.execPath,
  ['.work/crash/test/crash/campaign.js', ...process.argv.slice(2)],
  {
    stdio: 'inherit',
  },
);
process.exitCode = status ?? 1;
