// The main job on a fresh machine: installs and builds what is missing, then runs examples/quickstart.mjs.
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';

function run(what, command) {
  console.log(`${what} (${command}) …`);
  const { status } = spawnSync(command, { shell: true, stdio: ['ignore', 'ignore', 'inherit'] });
  if (status !== 0) {
    console.error(`${what} failed. Run \`${command}\` to see why.`);
    process.exit(1);
  }
}

if (!existsSync('node_modules/@ruvector/core'))
  run('Installing', 'npm install --no-save --no-audit --no-fund --loglevel=error');
run('Building', 'npm run --silent build');
await import('../examples/quickstart.mjs');
