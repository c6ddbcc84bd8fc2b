// npm run bench:sizes: time and peak memory of vecsnap at 0.3, 3 and 10 GB of vectors, one run each.
//
// Its section of docs/benchmarks.md is written anew. It needs about 45 GB of free disk and some
// minutes. A process that was killed leaves its files in .work/sizes/.
import { existsSync, mkdirSync, rmSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { canMeasureMemory, measure, run, settle } from './command.mjs';
import { describeMachine } from './machine.mjs';
import { readOptions, writeSection } from './section.mjs';
import { writeTiles } from './workloads.mjs';

/** @typedef {import('./command.mjs').Cost} Cost */

const ROOT = resolve(import.meta.dirname, '..');
const WORK = join(ROOT, '.work', 'sizes');
const CLI = [process.execPath, join(ROOT, 'dist', 'cli', 'main.js')];

const { quick } = readOptions(`npm run bench:sizes -- [options]

  --quick   0.3 GB only, printed and not written
`);

const TILE = { rows: 200_000, dimension: 384, seed: 1 };
/** How many times the rows of a tile; a tile is 0.307 GB. */
const TILES = quick ? [1] : [1, 10, 33];
/** What the machine itself takes: `dd` of as many bytes. */
const DD = ['bs=1M', 'status=none'];

await main();

async function main() {
  if (!canMeasureMemory)
    throw new Error('bench: there is no /usr/bin/time here, so peak memory cannot be measured');
  mkdirSync(WORK, { recursive: true });
  const rows = TILES.map(measureSize);
  rmSync(WORK, { recursive: true, force: true });
  if (!quick) await writeSection('sizes', sectionText(rows));
  console.log(sectionText(rows));
}

/** @param {number} tiles */
function measureSize(tiles) {
  const file = join(WORK, 'vectors.fbin');
  const changed = join(WORK, 'changed.fbin');
  const output = join(WORK, 'restored.fbin');
  const repository = join(WORK, 'repository');
  console.error(`bench: ${tiles} × ${TILE.rows} rows`);
  const bytes = writeTiles(file, TILE, tiles, 0);
  run({ argv: [...CLI, 'init', repository] });
  /** @type {Record<string, Cost>} */
  const costs = {};
  /** @param {string} name @param {readonly string[]} argv */
  const stepBy = (name, ...argv) => {
    settle(WORK);
    evict(join(repository, 'packs'));
    costs[name] = measure([{ argv }]);
    console.error(`bench:   ${name} ${costs[name]?.seconds.toFixed(1)} s`);
  };
  /** @param {string} name @param {readonly string[]} args */
  const step = (name, ...args) => stepBy(name, ...CLI, ...args);
  stepBy('read (dd)', 'dd', `if=${file}`, 'of=/dev/null', ...DD);
  const length = `count=${Math.round(bytes / 2 ** 20)}`;
  stepBy('write (dd)', 'dd', 'if=/dev/zero', `of=${output}`, length, 'oflag=direct', 'conv=fsync', ...DD);
  rmSync(output);
  step('first create', 'create', repository, file, '--collection', 'any');
  rmSync(file);
  writeTiles(changed, TILE, tiles, 0.001); // Only now, so that all that a step reads fits into memory.
  step('0.1 % updated', 'create', repository, changed, '--collection', 'any');
  stepBy('read packs (cat)', 'sh', '-c', `find ${repository}/packs -type f -exec cat {} + > /dev/null`);
  step('restore', 'restore', repository, 'latest', output);
  run({ argv: ['cmp', output, changed] });
  rmSync(output);
  step('verify', 'verify', repository);
  run({ argv: [...CLI, 'forget', repository, '--keep-last', '1'] });
  step('gc', 'gc', repository);
  rmSync(changed);
  rmSync(repository, { recursive: true });
  return { bytes, costs };
}

/**
 * Has the page cache let go of the packs, else what a step finds there depends on the size: few packs are all cached by the step
 * before, many are not.
 * @param {string} packs
 */
function evict(packs) {
  if (!existsSync(packs)) return;
  const letGo = 'for f do dd if="$f" iflag=nocache count=0 status=none; done';
  run({ argv: ['find', packs, '-type', 'f', '-exec', 'sh', '-c', letGo, 'sh', '{}', '+'] });
}

/** @param {readonly { bytes: number, costs: Readonly<Record<string, Cost>> }[]} rows */
function sectionText(rows) {
  const { cpu, cores, node } = describeMachineShort();
  const steps = Object.keys(rows[0]?.costs ?? {});
  const lines = rows.map(({ bytes, costs }) => {
    const cells = steps.map((name) => {
      const cost = costs[name];
      if (cost === undefined) return '';
      const { seconds, peakBytes = 0 } = cost;
      return `${seconds.toFixed(1)} s, ${((seconds * 1e9) / bytes).toFixed(1)} s/GB, ${(peakBytes / 2 ** 20).toFixed(0)} MiB`;
    });
    return `| ${(bytes / 1e9).toFixed(1)} GB | ${cells.join(' | ')} |`;
  });
  return [
    `One run each, whole process, on ${cpu} (${cores} threads), Node.js ${node}; ${TILE.dimension} × f32 vectors of unit length. Time, time for each GB, peak memory. The file is in the page cache, packs are not: they are read from the disk, as fast as \`cat\` shows.`,
    '',
    `| | ${steps.join(' | ')} |`,
    `| --- | ${steps.map(() => '---').join(' | ')} |`,
    ...lines,
  ].join('\n');
}

function describeMachineShort() {
  const machine = describeMachine(WORK);
  return { cpu: machine.cpu, cores: machine.cores, node: process.version };
}
