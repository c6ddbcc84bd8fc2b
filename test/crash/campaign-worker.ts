/** A thread that goes through rounds of crash states, one after the other as it is told. Nothing is kept from one round to the next. */
import { parentPort, workerData } from 'node:worker_threads';
import { newMemory } from './explore.js';
import { MUTANTS } from './mutants.js';
import { goThroughRound } from './rounds.js';

/** What a thread is told when it is made. */
export interface CampaignTask {
  readonly seed: number;
  /** The name of one. A round then ends at the first failure. */
  readonly mutant: string | undefined;
}

/** What came of a round. */
export interface RoundReport {
  /** SHA-256 of each state that was tried, one after the other. */
  readonly states: Uint8Array;
  readonly repeated: number;
  readonly joined: number;
  readonly failures: readonly string[];
}

const { seed, mutant } = workerData as CampaignTask;

async function reportOn(round: number): Promise<RoundReport> {
  const memory = newMemory();
  const { repeated, joined, failures } = await goThroughRound({
    seed,
    round,
    memory,
    goesOn: (found) => mutant === undefined || found.length === 0,
    ...(mutant !== undefined && { mutant: MUTANTS[mutant] ?? {} }),
  });
  return {
    states: Buffer.concat(Array.from(memory.states, (digest) => Buffer.from(digest, 'base64'))),
    repeated,
    joined,
    failures: failures.map(({ description, error }) => `${description}\n${error.stack}`),
  };
}

parentPort?.on('message', (round: number) => {
  void reportOn(round).then((report) => parentPort?.postMessage(report));
});
