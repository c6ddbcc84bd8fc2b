// The built command line killed at any instant, by the hundred: npm run campaign:kill [-- --kills N --seconds N --seed N]
import { spawnSync } from 'node:child_process';

const compiled = spawnSync('npx', ['tsc', '-p', 'test/crash/tsconfig.json'], { stdio: 'inherit' });
if (compiled.status !== 0) process.exit(1);
const args = ['.work/crash/test/crash/campaign-kill.js', ...process.argv.slice(2)];
process.exitCode = spawnSync(process.execPath, args, { stdio: 'inherit' }).status ?? 1;
