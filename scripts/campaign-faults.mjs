// Every operation under every single fault of the store: npm run campaign:faults
import { spawnSync } from 'node:child_process';

const env = { ...process.env, FAULTS: 'all' };
const { status } = spawnSync('npx', ['vitest', 'run', 'test/faults.test.ts'], { stdio: 'inherit', env });
process.exitCode = status ?? 1;
