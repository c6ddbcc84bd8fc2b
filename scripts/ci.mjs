// Everything that must hold before a change lands: install, build, all checks, all tests, the examples and the quickstart.
// Runs on a fresh machine with Node.js and npm. The last line is "N passed, N failed".
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs';
import { relative } from 'node:path';

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
 * Steps that are all run, whatever becomes of the others.
 * @type {[string, string][]}
 */
const checks = [
  ['types of tests and scripts', 'npm run --silent typecheck'],
  ['lint', 'npm run --silent lint'],
  ['kernels as compiled', 'npm run --silent build:kernels -- --check'],
  ['format', 'npm run --silent format:check'],
  ['import directions', 'npm run --silent check:imports'],
  ['dead code', 'npm run --silent check:unused'],
  ['package shape', 'npm run --silent check:package'],
  ['tests', `npx vitest run --reporter=default --reporter=json --outputFile.json=${results}`],
  ['examples', 'npm run --silent examples'],
  ['quickstart', 'node examples/quickstart.mjs'],
  ['benchmark, in short', 'npm run --silent bench -- --quick'],
];

function run([name, command]) {
  console.log(`\n── ${name}: ${command}`);
  const started = process.hrtime.bigint();
  const { status } = spawnSync(command, { shell: true, stdio: ['ignore', 'inherit', 'inherit'] });
  const seconds = Number(process.hrtime.bigint() - started) / 1e9;
  const ok = status === 0;
  console.log(`── ${name}: ${ok ? 'passed' : `FAILED with exit code ${status}`} in ${seconds.toFixed(1)} s`);
  return { name, ok };
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
if (outcomes.every(({ ok }) => ok)) outcomes.push(...checks.map(run));

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
