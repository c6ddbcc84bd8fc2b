/** The long version of the crash states: scripts/campaign-crash.mjs compiles and runs it. Prints what was tried and what failed. */
import { once } from 'node:events';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { Worker } from 'node:worker_threads';
import { ADDRESS_LENGTH, type Address, DigestTable } from 'vecsnap/core';
import type { CampaignTask, RoundReport } from './campaign-worker.js';
import { MUTANTS } from './mutants.js';

const { values } = parseArgs({
  options: {
    states: { type: 'string', default: '200000' },
    seconds: { type: 'string', default: '86400' },
    seed: { type: 'string', default: '1' },
    round: { type: 'string', default: '0' },
    workers: { type: 'string', default: '1' },
    progress: { type: 'string' },
    mutant: { type: 'string' },
  },
});
const { progress: file, mutant } = values;
const task: CampaignTask = { seed: Number(values.seed), mutant };
if (mutant !== undefined && !(mutant in MUTANTS))
  throw new RangeError(`no such mutant; there are: ${Object.keys(MUTANTS).join('; ')}`);

/** How far a campaign has come, as it stands in the file for the next call. */
interface Progress {
  readonly seed: number;
  round: number;
  rounds: number;
  repeated: number;
  joined: number;
  seconds: number;
  failures: string[];
  /** Digests of all states that were tried. */
  readonly states: DigestTable;
}

const began = performance.now();
const secondsNow = (): number => (performance.now() - began) / 1000;
const sofar = file !== undefined && existsSync(file) ? load(file) : newProgress();
const secondsBefore = sofar.seconds;

function newProgress(): Progress {
  return {
    seed: task.seed,
    round: Number(values.round),
    rounds: 0,
    repeated: 0,
    joined: 0,
    seconds: 0,
    failures: [],
    states: new DigestTable(),
  };
}

function load(path: string): Progress {
  const kept = JSON.parse(readFileSync(path, 'utf8')) as Progress & { states: string };
  if (kept.seed !== task.seed) throw new RangeError(`${path} is of seed ${kept.seed}`);
  const states = new DigestTable();
  addStates(states, Buffer.from(kept.states, 'base64'));
  return { ...kept, states };
}

function save(path: string): void {
  const states = Buffer.concat([...sofar.states]).toString('base64');
  writeFileSync(path, JSON.stringify({ ...sofar, states }));
}

/** Gives how many were there before: the beginnings of all repositories are equal. */
function addStates(known: DigestTable, digests: Uint8Array): number {
  let repeated = 0;
  for (let at = 0; at < digests.length; at += ADDRESS_LENGTH)
    if (!known.addNew(digests.subarray(at, at + ADDRESS_LENGTH) as Address)) repeated++;
  return repeated;
}

function take({ states, repeated, joined, failures }: RoundReport): void {
  sofar.rounds++;
  sofar.repeated += repeated + addStates(sofar.states, states);
  sofar.joined += joined;
  sofar.failures.push(...failures);
  sofar.seconds = secondsBefore + secondsNow();
  if (sofar.rounds % 10 === 0) report();
}

function report(): void {
  const { rounds, repeated, joined, seconds, failures, states } = sofar;
  const megabytes = Math.round(process.resourceUsage().maxRSS / 1024);
  console.log(
    `${rounds} rounds: ${states.size} crash states tried, ${failures.length} failed ` +
      `(${repeated} came up again, ${joined} ended like another); ${Math.round(seconds)} s, ${megabytes} MiB`,
  );
}

function goesOn(): boolean {
  const isOver = sofar.states.size >= Number(values.states) || secondsNow() >= Number(values.seconds);
  return !isOver && !(mutant !== undefined && sofar.failures.length > 0);
}

/** Rounds are handed out one at a time, and those that were begun are ended. So what is tried does not depend on who does it. */
async function workThrough(): Promise<void> {
  const worker = new Worker(new URL('campaign-worker.js', import.meta.url), { workerData: task });
  while (goesOn()) {
    worker.postMessage(sofar.round++);
    const [result] = (await once(worker, 'message')) as [RoundReport];
    take(result);
  }
  await worker.terminate();
}

await Promise.all(Array.from({ length: Number(values.workers) }, workThrough));
report();
if (file !== undefined) save(file);
console.log(`the next round is --round ${sofar.round}`);
for (const failure of sofar.failures.slice(0, 3)) console.log(`\n${failure}`);
process.exitCode = sofar.failures.length === 0 ? 0 : 1;
