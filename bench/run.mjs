// npm run bench: vecsnap and its peers side by side, on the same files, in one run.
//
//   npm run bench                 everything: docs/benchmarks.md, docs/plots/ and bench/results.json are written anew
//   npm run bench -- --quick      small files, one run, nothing installed; the report goes to .work/bench/
//   npm run bench -- --help
//
// It ends with a non-zero exit code when vecsnap fails or restores anything but what was taken. Times are never asserted.
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join, relative, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { OURS } from './benchmark.mjs';
import { asTyped, canMeasureMemory, measure, run } from './command.mjs';
import { measureLimits, NODE_START } from './limits.mjs';
import { describeMachine } from './machine.mjs';
import { findPeers } from './peers.mjs';
import { pretty, terminalReport, writeReport } from './report.mjs';
import { CASES, commandsOf, lastSnapshotOf, SideBySide, STREAM_CASES, TREE_CASES } from './side-by-side.mjs';
import { PEERS, vecsnap } from './tools/index.mjs';
import { FILE, TREE } from './tools/tool.mjs';
import { makeTreeWorkload } from './tree-workload.mjs';
import { makeWorkload } from './workloads.mjs';

/**
 * @typedef {import('./benchmark.mjs').Benchmark} Benchmark
 * @typedef {import('./benchmark.mjs').Parameters} Parameters
 * @typedef {import('./tools/tool.mjs').Tool} Tool
 */

const ROOT = resolve(import.meta.dirname, '..');
const WORK = join(ROOT, '.work', 'bench');
const RESULTS = join(ROOT, 'bench', 'results.json');

const FULL = { rows: 200_000, dimension: 384, seed: 1, runs: 5, snapshots: 1000, files: 5000 };
const QUICK = { rows: 10_000, dimension: 384, seed: 1, runs: 1, snapshots: 30, files: 100 };

const HELP = `npm run bench -- [options]

  --quick           ${QUICK.rows} rows, ${QUICK.runs} run, ${QUICK.snapshots} snapshots; installs nothing; the report goes to .work/bench/
  --rows N          rows of the first file (${FULL.rows})
  --dimension N     numbers a row (${FULL.dimension})
  --seed N          of the files (${FULL.seed})
  --runs N          how often everything is measured (${FULL.runs})
  --snapshots N     of the repository of many snapshots (${FULL.snapshots})
  --files N         of the directory of many files (${FULL.files})
  --tools A,B,…     measure only these beside vecsnap
  --no-install      leave out the peers that are not installed
  --cli FILE        the command line to measure (dist/cli/main.js)
  --out FOLDER      where benchmarks.md and plots/ go (docs; with --quick .work/bench)
  --render FILE     measure nothing; write the report from the results in FILE
`;

const { values: options } = parseArgs({
  allowNegative: true,
  options: {
    quick: { type: 'boolean', default: false },
    rows: { type: 'string' },
    dimension: { type: 'string' },
    seed: { type: 'string' },
    runs: { type: 'string' },
    snapshots: { type: 'string' },
    files: { type: 'string' },
    tools: { type: 'string', default: Object.keys(PEERS).join() },
    install: { type: 'boolean' },
    cli: { type: 'string', default: join(ROOT, 'dist', 'cli', 'main.js') },
    out: { type: 'string' },
    render: { type: 'string' },
    help: { type: 'boolean', default: false },
  },
});

await main().catch((/** @type {unknown} */ error) => {
  console.error(`bench: ${error instanceof Error ? error.message : String(error)}`);
  process.exitCode = 1;
});

async function main() {
  if (options.help) {
    console.log(HELP);
    return;
  }
  /** @type {Benchmark} */
  const benchmark =
    options.render === undefined ? await benchmarkAll() : JSON.parse(readFileSync(options.render, 'utf8'));
  console.log(`\n${terminalReport(benchmark)}\n`);
  await keep(benchmark);
  for (const { tool, reason } of benchmark.leftOut) console.log(`Left out: ${tool}: ${reason}`);
  if (benchmark.leftOut.some(({ tool }) => tool === OURS)) process.exitCode = 1;
}

/** @returns {Parameters} */
function readParameters() {
  const defaults = options.quick ? QUICK : FULL;
  const names = /** @type {(keyof Parameters)[]} */ (Object.keys(defaults));
  const pairs = names.map((name) => [name, wholeNumber(name, options[name]) ?? defaults[name]]);
  return Object.fromEntries(pairs);
}

/** @param {string} name @param {string | undefined} text */
function wholeNumber(name, text) {
  if (text === undefined) return undefined;
  if (!/^[1-9]\d{0,8}$/.test(text))
    throw new Error(`--${name} takes a whole number of 1 or more, not ${text}`);
  return Number(text);
}

/** @returns {Promise<Benchmark>} */
async function benchmarkAll() {
  if (!existsSync(options.cli)) throw new Error(`${options.cli} is not there: run npm run build first`);
  const parameters = readParameters();
  mkdirSync(WORK, { recursive: true });
  const machine = describeMachine(WORK);
  const { tools, missing } = findPeers({
    wanted: options.tools.split(','),
    install: options.install ?? !options.quick,
    say,
  });
  const all = [vecsnap([process.execPath, options.cli]), ...tools];
  const versions = versionsOf(all);
  say(`files: ${parameters.rows} rows of ${parameters.dimension}, seed ${parameters.seed}`);
  const steps = makeWorkload(join(WORK, 'data'), parameters);
  const tree = makeTreeWorkload(join(WORK, 'data'), parameters);
  const measured = measureSideBySide(all, steps, tree.steps, parameters);
  return {
    date: new Date().toISOString(),
    quick: options.quick,
    parameters,
    machine,
    versions,
    steps: steps.map(({ path: _, ...step }) => step),
    tools: describeTools(tools),
    leftOut: [...missing, ...measured.failures],
    cases: measured.cases,
    asStream: measured.asStream,
    tree: { bytes: tree.bytes, changedBytes: tree.changedBytes, cases: measured.ofTree },
    limits: measured.limits,
    start: measured.start,
    manySnapshots: measureManySnapshots(parameters),
    profile: await measureProfile(steps[0]?.path ?? ''),
  };
}

/**
 * @param {readonly Tool[]} tools
 * @param {import('./workloads.mjs').WorkloadStep[]} steps
 * @param {{ path: string }[]} treeSteps
 * @param {Parameters} parameters
 */
function measureSideBySide(tools, steps, treeSteps, { runs }) {
  if (!canMeasureMemory) say('there is no /usr/bin/time here, so peak memory is not measured');
  const file = { name: FILE, isTree: false, steps, waits: !options.quick };
  const sideBySide = new SideBySide(tools, { ...file, cases: CASES }, join(WORK, 'run'), say);
  /** @type {Benchmark['limits']} */
  const limits = { sha256: [], read: [], writeAndSync: [], nodeStart: [] };
  const plainly = vecsnap([process.execPath, options.cli], 'file:');
  const sayPlainly = (/** @type {string} */ line) => say(`${line}, as a plain file`);
  const streams = { ...file, cases: STREAM_CASES };
  const asStream = new SideBySide([plainly], streams, join(WORK, 'stream'), sayPlainly);
  const trees = { name: TREE, isTree: true, steps: treeSteps, cases: TREE_CASES, waits: !options.quick };
  const sayOfTree = (/** @type {string} */ line) => say(`${line}, of many files`);
  const ofTree = new SideBySide(tools, trees, join(WORK, 'tree'), sayOfTree);
  /** @type {number[]} */
  const start = [];
  for (let i = 0; i < runs; i++) {
    ofTree.prepare(); // So that its files are left alone for some time before they are taken.
    sideBySide.run(i);
    asStream.run(i);
    ofTree.run(i);
    start.push(measure([{ argv: [process.execPath, options.cli, '--version'] }]).seconds);
    const stored = sideBySide.results.cases['first']?.[OURS]?.storedBytes[0] ?? Infinity;
    const once = measureLimits(steps[0]?.path ?? '', stored, WORK);
    for (const [name, seconds] of Object.entries(once))
      limits[/** @type {keyof typeof limits} */ (name)].push(seconds);
  }
  const results = [sideBySide, asStream, ofTree].map((measured) => measured.results);
  return {
    cases: sideBySide.results.cases,
    asStream: asStream.results.cases,
    ofTree: ofTree.results.cases,
    failures: results.flatMap(({ failures }) => failures),
    limits,
    start,
  };
}

/** @param {Parameters} parameters */
function measureManySnapshots({ snapshots, runs }) {
  const repository = join(WORK, 'many');
  rmSync(repository, { recursive: true, force: true });
  say(`a repository of ${snapshots} snapshots`);
  run({ argv: [process.execPath, join(ROOT, 'bench', 'many-snapshots.mjs'), repository, String(snapshots)] });
  const commands = {
    'node -e 0': NODE_START,
    'vecsnap list': { argv: [process.execPath, options.cli, 'list', repository] },
    'vecsnap show': { argv: [process.execPath, options.cli, 'show', repository, 'latest'] },
  };
  /** @type {Record<string, number[]>} */
  const samples = {};
  for (let i = 0; i < runs; i++) {
    for (const [name, command] of Object.entries(commands))
      (samples[name] ??= []).push(measure([command]).seconds);
  }
  rmSync(repository, { recursive: true, force: true });
  return samples;
}

/** In a process of its own: what ran before must not have warmed it up. @param {string} file */
async function measureProfile(file) {
  say('profile of a first create');
  return JSON.parse(run({ argv: [process.execPath, join(ROOT, 'bench', 'profile.mjs'), file, '--json'] }));
}

/** @param {readonly Tool[]} tools @returns {Record<string, string>} */
function versionsOf(tools) {
  const home = join(WORK, 'home');
  mkdirSync(home, { recursive: true });
  const place = { repository: home, home, data: home, output: home, name: FILE, isTree: false };
  const printed = tools.map((tool) => [tool.name, run(tool.version(place)).trim().split('\n')[0]]);
  rmSync(home, { recursive: true, force: true });
  return { 'Node.js': process.version, ...Object.fromEntries(printed) };
}

/** The commands as the report prints them. @param {readonly Tool[]} peers */
function describeTools(peers) {
  const place = {
    repository: 'REPO',
    home: 'HOME',
    data: 'DATA',
    output: 'OUT',
    name: FILE,
    isTree: false,
  };
  const last = lastSnapshotOf(CASES);
  return [vecsnap(['vecsnap']), ...peers].map((tool) => ({
    name: tool.name,
    settings: tool.settings,
    commands: Object.fromEntries([
      ['init, not measured', tool.init(place).map(asTyped)],
      ['create', tool.create(place, last).map(asTyped)],
      ...CASES.filter(({ kind }) => kind !== 'create').map(({ kind, title }) => [
        title,
        (commandsOf(tool, kind, place, last, last) ?? []).map(asTyped),
      ]),
    ]),
  }));
}

/** Writes the report and, for a full benchmark, its results. @param {Benchmark} benchmark */
async function keep(benchmark) {
  const folder = options.out ?? (benchmark.quick ? WORK : join(ROOT, 'docs'));
  mkdirSync(folder, { recursive: true });
  const report = join(folder, 'benchmarks.md');
  const { plotsOf } = await import('./plots.mjs');
  await writeReport(benchmark, report, plotsOf(benchmark));
  const results = options.out === undefined && !benchmark.quick ? RESULTS : join(folder, 'results.json');
  if (options.render === undefined) writeFileSync(results, await pretty(JSON.stringify(benchmark), results));
  console.log(`Written: ${[report, results].map((path) => relative(process.cwd(), path)).join(', ')}`);
}

/** @param {string} line */
function say(line) {
  console.error(`bench: ${line}`);
}
