// The outcome of a benchmark, as it is kept in bench/results.json and as the tables and plots are made from it.
import { summarize } from './statistics.mjs';

/**
 * @typedef {object} Benchmark
 * @property {string} date ISO 8601
 * @property {boolean} quick
 * @property {Parameters} parameters
 * @property {import('./machine.mjs').Machine} machine
 * @property {Record<string, string>} versions of every program
 * @property {Omit<import('./workloads.mjs').WorkloadStep, 'path'>[]} steps
 * @property {MeasuredTool[]} tools vecsnap first
 * @property {{ tool: string, reason: string }[]} leftOut
 * @property {import('./side-by-side.mjs').CaseSamples} cases
 * @property {import('./side-by-side.mjs').CaseSamples} asStream what vecsnap takes for the same bytes as a plain file
 * @property {Tree} tree a directory of many small files
 * @property {Record<keyof import('./limits.mjs').Limits, number[]>} limits in seconds
 * @property {number[]} start seconds that vecsnap takes to start and to do nothing
 * @property {Record<string, number[]>} manySnapshots seconds of commands on a repository of many snapshots
 * @property {import('./profile.mjs').Profile} profile
 */

/**
 * @typedef {object} Parameters
 * @property {number} rows
 * @property {number} dimension
 * @property {number} seed
 * @property {number} runs
 * @property {number} snapshots of the repository of many snapshots
 * @property {number} files of the directory of many files
 */

/**
 * @typedef {object} Tree
 * @property {number} bytes of its files
 * @property {number} changedBytes of those that are written anew
 * @property {import('./side-by-side.mjs').CaseSamples} cases
 */

/**
 * @typedef {object} MeasuredTool
 * @property {string} name
 * @property {string} settings
 * @property {Record<string, string[]>} commands by case, as typed
 */

/** The tool that everything is about. */
export const OURS = 'vecsnap';

/**
 * One number of the samples.
 * @typedef {'seconds' | 'durableSeconds' | 'cpuSeconds' | 'peakBytes' | 'storedBytes'} Quantity
 */

/**
 * The summary of one number of one case and one tool; undefined when it was not measured.
 * @param {Pick<Benchmark, 'cases'>} benchmark
 * @param {string} caseName
 * @param {string} tool
 * @param {Quantity} quantity `durableSeconds`: wall time and the further time until all was on the disk
 */
export function summaryOf({ cases }, caseName, tool, quantity) {
  const samples = cases[caseName]?.[tool];
  if (samples === undefined) return undefined;
  const values =
    quantity === 'durableSeconds'
      ? samples.seconds.map((seconds, i) => seconds + (samples.syncSeconds[i] ?? 0))
      : samples[quantity];
  return values.length === 0 ? undefined : summarize(values);
}

/**
 * vecsnap's median over the least median of a peer; undefined where nothing was measured beside it.
 * @param {Pick<Benchmark, 'cases' | 'tools'>} benchmark
 * @param {string} caseName
 * @param {Quantity} quantity
 * @param {Benchmark['cases']} [own] where vecsnap was measured
 * @returns {{ ratio: number, peer: string } | undefined}
 */
export function ratioToBestPeer(benchmark, caseName, quantity, own = benchmark.cases) {
  const ours = summaryOf({ cases: own }, caseName, OURS, quantity);
  const peers = benchmark.tools
    .filter(({ name }) => name !== OURS)
    .flatMap(({ name }) => {
      const summary = summaryOf(benchmark, caseName, name, quantity);
      return summary === undefined ? [] : [{ peer: name, median: summary.median }];
    });
  const best = peers.toSorted((a, b) => a.median - b.median)[0];
  if (ours === undefined || best === undefined) return undefined;
  return { ratio: ours.median / best.median, peer: best.peer };
}
