// The cases, and the order in which they are measured: one tool after the other for each case, all cases in each run, each
// run with new repositories. So whatever drifts on the machine meets all tools alike.
import { copyFileSync, cpSync, rmSync, utimesSync } from 'node:fs';
import { join } from 'node:path';
import { measure, run, settle } from './command.mjs';
import { difference, emptyFolder, folderBytes, treeDifference } from './folder.mjs';

/**
 * @typedef {import('./tools/tool.mjs').Tool} Tool
 * @typedef {import('./tools/tool.mjs').Place} Place
 * @typedef {Pick<import('./workloads.mjs').WorkloadStep, 'path'>} Step
 */

/**
 * What one case cost one tool, one number for each run.
 * @typedef {object} Samples
 * @property {number[]} seconds wall time
 * @property {number[]} syncSeconds further time until all was on the disk
 * @property {number[]} cpuSeconds
 * @property {number[]} peakBytes
 * @property {number[]} storedBytes growth of the repository's folder; the size of it for the first case and the last
 */

/**
 * By case and tool.
 * @typedef {Record<string, Record<string, Samples>>} CaseSamples
 */

/**
 * A case of the benchmark.
 * @typedef {object} Case
 * @property {string} name
 * @property {string} title
 * @property {'create' | 'restore' | 'verify' | 'forget'} kind
 * @property {number} [step] of the workload: which file is taken
 * @property {number} [quietFor] seconds that must have passed since it was written
 */

/** @type {readonly Case[]} */
export const CASES = [
  { name: 'first', title: 'first create', kind: 'create', step: 0 },
  { name: 'unchanged', title: 'create, nothing changed', kind: 'create', step: 0, quietFor: 31 },
  { name: 'unchanged-again', title: 'create, nothing changed again', kind: 'create', step: 0 },
  { name: 'updated-1', title: 'create, 1 % updated', kind: 'create', step: 1 },
  { name: 'appended-1', title: 'create, 1 % appended', kind: 'create', step: 2 },
  { name: 'deleted-05', title: 'create, 0.5 % deleted', kind: 'create', step: 3 },
  { name: 'updated-01', title: 'create, 0.1 % updated', kind: 'create', step: 4 },
  { name: 'restore', title: 'restore the last', kind: 'restore' },
  { name: 'verify', title: 'verify every byte', kind: 'verify' },
  { name: 'forget', title: 'forget all but the last, gc', kind: 'forget' },
];

/** The cases in which vecsnap is also measured with the same bytes as a plain file. */
export const STREAM_CASES = CASES.filter(({ name }) =>
  ['first', 'updated-1', 'restore', 'verify'].includes(name),
);

/** The cases for a directory of many files. @type {readonly Case[]} */
export const TREE_CASES = [
  { name: 'first', title: 'first create', kind: 'create', step: 0, quietFor: 31 },
  { name: 'unchanged', title: 'create, nothing changed', kind: 'create', step: 0 },
  { name: 'updated-1', title: 'create, 1 % of files written anew', kind: 'create', step: 1 },
  { name: 'restore', title: 'restore the last', kind: 'restore' },
  { name: 'verify', title: 'verify every byte', kind: 'verify' },
];

/**
 * The number of the last snapshot that a run takes.
 * @param {readonly Case[]} cases
 */
export function lastSnapshotOf(cases) {
  return cases.filter(({ kind }) => kind === 'create').length - 1;
}

/**
 * What is taken.
 * @typedef {object} Subject
 * @property {string} name
 * @property {boolean} isTree whether it is a directory; of steps after the first there are only the files that are written anew
 * @property {readonly Step[]} steps
 * @property {readonly Case[]} cases
 * @property {boolean} waits whether files are left alone for as long as cases ask for
 */

/**
 * @typedef {object} Results
 * @property {CaseSamples} cases
 * @property {{ tool: string, reason: string }[]} failures tools that failed or restored something else, and are left out from there on
 */

/** Runs the cases and keeps what they cost. */
export class SideBySide {
  /** @type {Results} */
  results = { cases: {}, failures: [] };
  #tools;
  #subject;
  #directory;
  #say;
  /** @type {number | undefined} */
  #staged;
  #stagedAt = 0;

  /**
   * @param {readonly Tool[]} tools
   * @param {Subject} subject
   * @param {string} directory for repositories and what is restored
   * @param {(line: string) => void} say told what is being done
   */
  constructor(tools, subject, directory, say) {
    this.#tools = [...tools];
    this.#subject = subject;
    this.#directory = directory;
    this.#say = say;
  }

  /**
   * All cases once, with all tools.
   * @param {number} number of the run, from 0
   */
  run(number) {
    if (this.#staged === undefined) this.prepare();
    this.#withEachTool(number, (tool) => this.#prepare(tool));
    let snapshot = 0;
    for (const one of this.#subject.cases) {
      if (one.step !== undefined) this.#stage(one.step);
      if (one.quietFor !== undefined && this.#subject.waits) this.#waitUntilQuiet(one.quietFor);
      this.#withEachTool(number, (tool) => this.#measureCase(one, tool, snapshot));
      if (one.kind === 'create') snapshot++;
      this.#say(`run ${number + 1}: ${one.title}`);
    }
    this.#withEachTool(number, (tool) => this.#restoreAndCompare(tool));
    rmSync(this.#directory, { recursive: true, force: true });
    this.#staged = undefined;
  }

  /** Puts the first files where a run takes them from, which may begin later. */
  prepare() {
    emptyFolder(this.#directory);
    emptyFolder(this.#dataFolder());
    this.#stage(0);
  }

  /**
   * Calls `use` with every tool, beginning with another one in each run. A tool that fails is left out from there on.
   * @param {number} number
   * @param {(tool: Tool) => void} use
   */
  #withEachTool(number, use) {
    const start = number % Math.max(1, this.#tools.length);
    for (const tool of [...this.#tools.slice(start), ...this.#tools.slice(0, start)]) {
      try {
        use(tool);
      } catch (error) {
        const reason = error instanceof Error ? error.message : String(error);
        this.results.failures.push({ tool: tool.name, reason });
        this.#tools = this.#tools.filter((other) => other !== tool);
        this.#say(`${tool.name} is left out from here on: ${reason}`);
      }
    }
  }

  /** @param {Tool} tool */
  #prepare(tool) {
    const place = this.#placeOf(tool);
    emptyFolder(place.repository);
    emptyFolder(place.home);
    tool.init(place).forEach(run);
  }

  /** @param {Tool} tool @returns {Place} */
  #placeOf({ name }) {
    const own = join(this.#directory, name);
    return {
      repository: join(own, 'repository'),
      home: join(own, 'home'),
      data: this.#dataFolder(),
      output: join(own, 'output'),
      name: this.#subject.name,
      isTree: this.#subject.isTree,
    };
  }

  #dataFolder() {
    return join(this.#directory, 'data');
  }

  /**
   * Puts the next file, or the next files of a directory, where all tools take them from, written in place as a database would.
   * @param {number} step
   */
  #stage(step) {
    const { name, isTree, steps } = this.#subject;
    const path = steps[step]?.path;
    if (path === undefined || this.#staged === step) return; // It must keep its date where nothing changed.
    this.#staged = step;
    const staged = join(this.#dataFolder(), name);
    if (isTree) cpSync(path, staged, { recursive: true });
    else copyDated(path, staged, step);
    settle(this.#directory);
    this.#stagedAt = Date.now();
  }

  /** @param {number} seconds that must have passed since the file was put there */
  #waitUntilQuiet(seconds) {
    const left = this.#stagedAt + seconds * 1000 - Date.now();
    if (left > 0) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, left);
  }

  /**
   * @param {Case} one
   * @param {Tool} tool
   * @param {number} snapshot the number of the snapshot that a create takes
   */
  #measureCase({ name, kind }, tool, snapshot) {
    const place = this.#placeOf(tool);
    const commands = commandsOf(tool, kind, place, snapshot, lastSnapshotOf(this.#subject.cases));
    if (commands === undefined) return;
    if (kind === 'restore') emptyFolder(place.output);
    const before = name === 'first' ? 0 : folderBytes(place.repository);
    settle(this.#directory);
    const { seconds, cpuSeconds, peakBytes } = measure(commands);
    const samples = this.#samplesOf(name, tool);
    samples.seconds.push(seconds);
    samples.syncSeconds.push(settle(this.#directory));
    if (cpuSeconds !== undefined) samples.cpuSeconds.push(cpuSeconds);
    if (peakBytes !== undefined) samples.peakBytes.push(peakBytes);
    const after = folderBytes(place.repository);
    samples.storedBytes.push(kind === 'forget' ? after : after - before);
    if (kind === 'restore') this.#compare(place);
  }

  /** What was kept after all else was given back must still be whole. @param {Tool} tool */
  #restoreAndCompare(tool) {
    const place = this.#placeOf(tool);
    emptyFolder(place.output);
    tool.restore(place, lastSnapshotOf(this.#subject.cases)).forEach(run);
    this.#compare(place);
  }

  /** @param {Place} place @throws Error when what was restored is not what was taken. */
  #compare({ data, output, name, isTree }) {
    const found = (isTree ? treeDifference : difference)(join(data, name), join(output, name));
    rmSync(output, { recursive: true, force: true });
    if (found !== undefined) throw new Error(`restored something else: ${found}`);
  }

  /** @param {string} name @param {Tool} tool */
  #samplesOf(name, tool) {
    const ofCase = (this.results.cases[name] ??= {});
    return (ofCase[tool.name] ??= {
      seconds: [],
      syncSeconds: [],
      cpuSeconds: [],
      peakBytes: [],
      storedBytes: [],
    });
  }
}

/**
 * @param {Tool} tool
 * @param {Case['kind']} kind
 * @param {Place} place
 * @param {number} snapshot
 * @param {number} last the number of the last snapshot
 */
export function commandsOf(tool, kind, place, snapshot, last) {
  if (kind === 'create') return tool.create(place, snapshot);
  if (kind === 'restore') return tool.restore(place, last);
  if (kind === 'verify') return tool.verify?.(place);
  return tool.forget(place, last);
}

/**
 * Copies a file with a date that tells the steps apart.
 * @param {string} path
 * @param {string} to
 * @param {number} step
 */
function copyDated(path, to, step) {
  copyFileSync(path, to);
  const date = Date.UTC(2001, 0, 1 + step) / 1000;
  utimesSync(to, date, date);
}
