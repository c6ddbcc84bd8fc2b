// Runs every example as a user would, each in a process of its own, and fails when one of them does.
import { spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';

const examples = readdirSync('examples').filter((name) => name.endsWith('.mjs') && name !== 'quickstart.mjs');
const failed = examples.filter((name) => {
  console.log(`\n── examples/${name}`);
  return spawnSync('node', [`examples/${name}`], { stdio: ['ignore', 'inherit', 'inherit'] }).status !== 0;
});
console.log(
  `\n${examples.length - failed.length} examples ran, ${failed.length} failed${failed.length > 0 ? `: ${failed.join(', ')}` : ''}.`,
);
process.exitCode = failed.length === 0 ? 0 : 1;
