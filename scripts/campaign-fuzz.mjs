// Feeds every decoder of bytes that vecsnap did not just write with a million inputs, guided by coverage: npm run campaign:fuzz
// [-- --target NAME[,NAME…]] [--inputs N] [--seed N] [--seconds N]. Looks for crashes, hangs, errors that are no VecsnapError, wrong
// values, and memory beyond what a target states. Prints a line for each target; inputs that failed go to .work/fuzz-findings/.
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, relative } from 'node:path';
import { parseArgs } from 'node:util';
import { Worker } from 'node:worker_threads';
import ts from 'typescript';

const { values } = parseArgs({
  options: {
    target: { type: 'string' },
    inputs: { type: 'string', default: '1000000' },
    seed: { type: 'string', default: '20261122' },
    parallel: { type: 'string', default: '2' },
  },
});
const [inputs, seed, parallel] = [Number(values.inputs), Number(values.seed), Number(values.parallel)];

/** An input that takes longer is a finding; one that takes this many times as long is a hang. */
const MOST_MILLISECONDS = 2000;
const HANG_FACTOR = 15;
/** A thread that wants more memory has run out of it. */
const HEAP_MEGABYTES = 1024;
const BUILD = '.work/fuzz';
const FINDINGS = '.work/fuzz-findings';

/** Compiles a file and all that it imports by a relative path to .work/fuzz, where the package is found by its own name too. */
function compile(file, done = new Set()) {
  if (done.has(file)) return;
  done.add(file);
  const source = readFileSync(file, 'utf8');
  const options = {
    module: ts.ModuleKind.ESNext,
    target: ts.ScriptTarget.ES2023,
    verbatimModuleSyntax: true,
  };
  const out = join(BUILD, relative('test', file).replace(/\.ts$/, '.js'));
  mkdirSync(dirname(out), { recursive: true });
  writeFileSync(out, ts.transpileModule(source, { compilerOptions: options }).outputText);
  for (const [, path] of source.matchAll(/from '(\.[^']+)'/g))
    compile(join(dirname(file), path).replace(/\.js$/, '.ts'), done);
}

/** Runs one target in a thread of its own. */
function campaign(target) {
  const shared = new SharedArrayBuffer(8 + (1 << 17));
  const progress = new Uint32Array(shared, 0, 2);
  const directory = mkdtempSync(join(shmOrTmp(), 'vecsnap-fuzz-'));
  const started = performance.now();
  const current = () => new Uint8Array(shared, 8, progress[1]).slice();
  return new Promise((resolve) => {
    const workerData = { target, inputs, seed, directory, shared, mostMilliseconds: MOST_MILLISECONDS };
    const worker = new Worker(join(process.cwd(), BUILD, 'fuzz/worker.js'), {
      workerData,
      resourceLimits: { maxOldGenerationSizeMb: HEAP_MEGABYTES },
    });
    let last = 0;
    const watch = setInterval(() => {
      if (progress[0] === last && last > 0) end({ findings: [{ what: 'hangs', input: current() }] });
      last = progress[0];
    }, MOST_MILLISECONDS * HANG_FACTOR);
    const end = (report) => {
      clearInterval(watch);
      const seconds = (performance.now() - started) / 1000;
      resolve({ target, tried: progress[0], seconds, ...report });
      void worker.terminate().finally(() => rmSync(directory, { recursive: true, force: true }));
    };
    worker.once('message', end);
    worker.once('error', (error) =>
      end({ findings: [{ what: `ends the thread: ${error.stack}`, input: current() }] }),
    );
  });
}

function shmOrTmp() {
  return statSync('/dev/shm', { throwIfNoEntry: false })?.isDirectory() ? '/dev/shm' : tmpdir();
}

function report({ target, tried, seconds, findings, ...more }) {
  const {
    accepted = 0,
    outcomes = 0,
    kept = 0,
    blocks = 0,
    longestMilliseconds = 0,
    largestShare = 0,
  } = more;
  const columns = [
    target.padEnd(17),
    `${String(tried).padStart(8)} tried`,
    `${String(findings.length).padStart(3)} failed`,
    `${String(accepted).padStart(8)} accepted`,
    `${String(outcomes).padStart(4)} outcomes`,
    `${String(kept).padStart(5)} kept`,
    `${String(blocks).padStart(5)} blocks`,
    `${longestMilliseconds.toFixed(0).padStart(5)} ms at most`,
    `${(100 * largestShare).toFixed(0).padStart(4)} % of the memory`,
    `${seconds.toFixed(0).padStart(5)} s`,
  ];
  console.log(columns.join('  '));
  for (const [i, { what, input }] of findings.entries()) {
    mkdirSync(FINDINGS, { recursive: true });
    const file = join(FINDINGS, `${target}-${i}`);
    writeFileSync(file, input);
    console.log(`  ${what}\n    ${file}, ${input.length} bytes`);
  }
}

rmSync(BUILD, { recursive: true, force: true });
compile('test/fuzz/worker.ts');
const { fuzzTargets } = await import(join(process.cwd(), BUILD, 'fuzz/targets.js'));
const scratch = mkdtempSync(join(tmpdir(), 'vecsnap-fuzz-'));
const all = (await fuzzTargets(scratch)).map(({ name }) => name);
rmSync(scratch, { recursive: true });
const chosen = values.target === undefined ? all : values.target.split(',');
const unknown = chosen.filter((name) => !all.includes(name));
if (unknown.length > 0) throw new Error(`no target ${unknown.join(', ')}; there are ${all.join(', ')}`);
console.log(`seed ${seed}, ${inputs} inputs for each of ${chosen.length} decoders`);
const totals = { tried: 0, failed: 0 };
const queue = [...chosen];
await Promise.all(
  Array.from({ length: parallel }, async () => {
    for (let target = queue.shift(); target !== undefined; target = queue.shift()) {
      const result = await campaign(target);
      totals.tried += result.tried;
      totals.failed += result.findings.length;
      report(result);
    }
  }),
);
console.log(`${totals.tried} tried, ${totals.failed} failed`);
process.exitCode = totals.failed === 0 ? 0 : 1;
