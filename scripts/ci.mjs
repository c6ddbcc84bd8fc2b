// Everything that must hold before a change lands: install, build, all checks, all tests, the examples and the quickstart.
// Runs on a fresh machine with Node.js and npm. The last line is "N passed, N failed".
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { relative } from 'node:path';
import { text } from 'node:stream/consumers';

const results = '.work/test-results.json';

/**
 * Steps that the others cannot do without: when one fails, nothing else is run.
 * @type {[string, string][]}
 */
const foundation = [
  // Not `npm ci`: it fails where a registry lacks the optional packages of other platforms.
  ['install', 'npm install --no-save --no-audit --no-fund --loglevel=error'],
  ['build', 'npm run --silent build'],
];

/**
 * Steps that read and change nothing that others read. As many at a time as there are processors, whatever becomes of the others.
 * @type {[string, string][]}
 */
const readings = [
  ['types of tests and scripts', 'npm run --silent typecheck'],
  ['lint', 'npm run --silent lint'],
  ['kernels as compiled', 'npm run --silent build:kernels -- --check'],
  ['format', 'npm run --silent format:check'],
  ['import directions', 'npm run --silent check:imports'],
  ['dead code', 'npm run --silent check:unused'],
  ['package shape', 'npm run --silent check:package'],
];

/**
 * Steps that need the machine for themselves. All are run, whatever becomes of the others.
 * @type {[string, string][]}
 */
const trials = [
  ['tests', `npx vitest run --reporter=default --reporter=json --outputFile.json=${results}`],
  ['examples', 'npm run --silent examples'],
  ['quickstart', 'node examples/quickstart.mjs'],
  ['benchmark, in short', 'npm run --silent bench -- --quick'],
];

function run([name, command]) {
  console.log(`\n── ${name}: ${command}`);
  const started = performance.now();
  const { status } = spawnSync(command, { shell: true, stdio: ['ignore', 'inherit', 'inherit'] });
  return outcome(name, status, started);
}

function outcome(name, status, started) {
  const seconds = ((performance.now() - started) / 1000).toFixed(1);
  const ok = status === 0;
  console.log(`── ${name}: ${ok ? 'passed' : `FAILED with exit code ${status}`} in ${seconds} s`);
  return { name, ok };
}

/** What a step prints is shown when it has ended, whole. */
async function runQuietly([name, command]) {
  const started = performance.now();
  const child = spawn(`(${command}) 2>&1`, { shell: true, stdio: ['ignore', 'pipe', 'inherit'] });
  const ended = new Promise((resolve) => child.once('close', resolve));
  const [printed, status] = await Promise.all([text(child.stdout), ended]);
  console.log(`\n── ${name}: ${command}\n${printed.trimEnd()}`);
  return outcome(name, status, started);
}

async function runTogether(steps) {
  const outcomes = [];
  const waiting = [...steps];
  const work = async () => {
    for (let step = waiting.shift(); step !== undefined; step = waiting.shift())
      outcomes.push(await runQuietly(step));
  };
  await Promise.all(Array.from({ length: availableParallelism() }, work));
  return outcomes;
}

function countTests() {
  if (!existsSync(results)) return { passed: 0, failed: 1, named: ['the tests gave no report'] };
  const report = JSON.parse(readFileSync(results, 'utf8'));
  const { numPassedTests, numFailedTests, numFailedTestSuites } = report;
  const failed = Math.max(numFailedTests, numFailedTestSuites > 0 ? 1 : 0);
  return { passed: numPassedTests, failed, named: report.testResults.flatMap(failuresIn) };
}

/** One line for each failed test of a file, or for a file that could not be run. */
function failuresIn({ name, status, message, assertionResults }) {
  const failed = assertionResults.filter((test) => test.status === 'failed');
  const file = relative('.', name);
  if (failed.length === 0 && status === 'failed') return [`${file}: ${firstLine(message)}`];
  return failed.map(
    ({ fullName, failureMessages }) => `${file}: ${fullName}: ${firstLine(failureMessages[0])}`,
  );
}

function firstLine(text = '') {
  return text.split('\n', 1)[0];
}

mkdirSync('.work', { recursive: true });
rmSync(results, { force: true });
const outcomes = [];
for (const step of foundation) {
  outcomes.push(run(step));
  if (!outcomes.at(-1).ok) break;
}
if (outcomes.every(({ ok }) => ok)) outcomes.push(...(await runTogether(readings)), ...trials.map(run));

const tests = countTests();
const failedSteps = outcomes.filter(({ name, ok }) => !ok && name !== 'tests');
const passedSteps = outcomes.filter(({ name, ok }) => ok && name !== 'tests');
const testsBroke = outcomes.some(({ name, ok }) => name === 'tests' && !ok) && tests.failed === 0 ? 1 : 0;
const failed = tests.failed + failedSteps.length + testsBroke;
console.log(`\n${passedSteps.length} checks and ${tests.passed} tests passed.`);
// Here again, because who reads a long log reads its end.
for (const { name } of failedSteps) console.log(`Failed: ${name}`);
for (const failure of tests.named) console.log(`Failed: ${failure}`);
console.log(`${passedSteps.length + tests.passed} passed, ${failed} failed`);
process.exitCode = failed === 0 ? 0 : 1;
