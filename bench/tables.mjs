// The outcome of a benchmark as tables of text: the same ones for the terminal and for docs/benchmarks.md.
import { OURS, ratioToBestPeer, summaryOf } from './benchmark.mjs';
import { CASES, STREAM_CASES, TREE_CASES } from './side-by-side.mjs';
import { summarize } from './statistics.mjs';

/**
 * @typedef {import('./benchmark.mjs').Benchmark} Benchmark
 * @typedef {import('./benchmark.mjs').Quantity} Quantity
 * @typedef {import('./statistics.mjs').Summary} Summary
 */

/**
 * @typedef {object} Table
 * @property {string} title
 * @property {string} [about] a sentence or two before it
 * @property {string} [plot] the name of the plot that shows the same
 * @property {readonly string[]} head
 * @property {readonly (readonly string[])[]} rows
 */

const NOTHING = '–';
const CREATE_CASES = CASES.filter(({ kind }) => kind === 'create');

/** @param {Benchmark} benchmark @returns {Table[]} */
export function tablesOf(benchmark) {
  return [
    timeTable(benchmark),
    durableTable(benchmark),
    storedTable(benchmark),
    memoryTable(benchmark),
    streamTable(benchmark),
    treeTimeTable(benchmark),
    treeStoredTable(benchmark),
    manySnapshotsTable(benchmark),
    limitsTable(benchmark),
    profileTable(benchmark),
  ];
}

/** @param {Benchmark} benchmark @returns {Table} */
function timeTable(benchmark) {
  return {
    title: 'Time',
    about: `Wall time of the whole process in seconds: the median of ${benchmark.parameters.runs}, and the least and the most.`,
    plot: 'time',
    ...casesByTools(benchmark, CASES, 'seconds', seconds),
  };
}

/** @param {Benchmark} benchmark @returns {Table} */
function durableTable(benchmark) {
  return {
    title: 'Time until everything is on the disk',
    about:
      'The same and the time that `sync` takes right after it. A tool that leaves the writing to the kernel pays for it here.',
    ...casesByTools(
      benchmark,
      CASES.filter(({ kind }) => kind !== 'verify'),
      'durableSeconds',
      seconds,
    ),
  };
}

/** @param {Benchmark} benchmark @returns {Table} */
function storedTable(benchmark) {
  const { head, rows } = casesByTools(benchmark, CREATE_CASES, 'storedBytes', ({ median }) => bytes(median));
  const kept = casesByTools(
    benchmark,
    CASES.filter(({ kind }) => kind === 'forget'),
    'storedBytes',
    ({ median }) => bytes(median),
  );
  const [caseHead = '', ...toolHeads] = head;
  const changed = CREATE_CASES.map(({ step }, i) =>
    step === CREATE_CASES[i - 1]?.step ? 0 : benchmark.steps[Number(step)]?.changedBytes,
  );
  const withChanged = rows.map(([title = '', ...cells], i) => [title, bytes(changed[i] ?? 0), ...cells]);
  const keptRows = kept.rows.map(([, ...cells]) => [
    'left after forget and gc',
    bytes(benchmark.steps.at(-1)?.bytes ?? 0),
    ...cells,
  ]);
  return {
    title: 'Bytes stored',
    about:
      'By how much the folder of the repository grew, everything in it counted. Raw: the rows that were written or, for deleted ones, are gone.',
    plot: 'stored',
    head: [caseHead, 'raw', ...toolHeads],
    rows: [...withChanged, ...keptRows],
  };
}

/** @param {Benchmark} benchmark @returns {Table} */
function memoryTable(benchmark) {
  return {
    title: 'Peak memory',
    about: 'The largest resident set of any one process of the command, as `/usr/bin/time` gives it.',
    plot: 'memory',
    ...casesByTools(benchmark, CASES, 'peakBytes', ({ median }) => bytes(median, 0)),
  };
}

/** @param {Benchmark} benchmark @returns {Table} */
function streamTable(benchmark) {
  const { asStream } = benchmark;
  /** @param {string} caseName @param {Quantity} quantity @param {(summary: Summary) => string} show */
  const cells = (caseName, quantity, show) => {
    const summary = summaryOf({ cases: asStream }, caseName, OURS, quantity);
    const found = ratioToBestPeer(benchmark, caseName, quantity, asStream);
    return [summary === undefined ? NOTHING : show(summary), ratio(found)];
  };
  return {
    title: 'The same bytes as a plain file',
    about:
      'What vecsnap takes for `file:DATA/vectors.fbin`, which tells it nothing of rows and columns: seconds, and bytes stored, beside the best peer in the tables above, and memory.',
    head: ['', 'seconds', 'vecsnap ÷ best peer', 'bytes stored', 'vecsnap ÷ best peer', 'peak memory'],
    rows: STREAM_CASES.map(({ name, title, kind }) => [
      title,
      ...cells(name, 'seconds', seconds),
      ...(changesStore(kind)
        ? cells(name, 'storedBytes', ({ median }) => bytes(median))
        : [NOTHING, NOTHING]),
      ...cells(name, 'peakBytes', ({ median }) => bytes(median, 0)).slice(0, 1),
    ]),
  };
}

/** @param {Benchmark} benchmark @returns {Table} */
function treeTimeTable(benchmark) {
  const { parameters, tree, tools } = benchmark;
  const changed = Math.ceil(parameters.files / 100);
  const age = benchmark.quick ? 'just written' : 'left alone for half a minute';
  return {
    title: 'A directory of many small files',
    about: `Seconds, for ${parameters.files} files of ${bytes(tree.bytes)} together: JSON, texts and vectors of 200 bytes to 64 KiB, ${age}; then ${changed} of them are written anew, which have ${bytes(tree.changedBytes)}. The commands are the same, with the directory for the file. Everything restored is compared.`,
    ...casesByTools({ tools, cases: tree.cases }, TREE_CASES, 'seconds', seconds),
  };
}

/** @param {Benchmark} benchmark @returns {Table} */
function treeStoredTable({ tree, tools }) {
  const cases = TREE_CASES.filter(({ kind }) => kind === 'create');
  return {
    title: 'Bytes stored for it',
    ...casesByTools({ tools, cases: tree.cases }, cases, 'storedBytes', ({ median }) => bytes(median)),
  };
}

/** @param {Benchmark} benchmark @returns {Table} */
function manySnapshotsTable({ manySnapshots, parameters }) {
  const base = summarize(manySnapshots['node -e 0'] ?? [0]).median;
  return {
    title: `A repository of ${parameters.snapshots} snapshots`,
    head: ['command', 'seconds', 'above `node -e 0`'],
    rows: Object.entries(manySnapshots).map(([name, samples]) => {
      const summary = summarize(samples);
      return [name, seconds(summary), `${Math.round((summary.median - base) * 1000)} ms`];
    }),
  };
}

/** @param {Benchmark} benchmark @returns {Table} */
function limitsTable(benchmark) {
  const { limits, steps } = benchmark;
  const raw = steps[0]?.bytes ?? 0;
  const stored = Math.min(raw, summaryOf(benchmark, 'first', OURS, 'storedBytes')?.median ?? raw);
  /** @param {string} name @param {number[]} samples @param {number} [size] */
  const row = (name, samples, size) => {
    const summary = summarize(samples);
    return [name, seconds(summary), size === undefined ? NOTHING : rate(size, summary.median)];
  };
  return {
    title: 'What the machine itself allows',
    about: 'Measured in the same runs, between the tools.',
    head: ['', 'seconds', 'MB/s'],
    rows: [
      row(`SHA-256 of ${bytes(raw)}, one thread, from memory`, limits.sha256, raw),
      row(`reading ${bytes(raw)} that the kernel has cached (dd)`, limits.read, raw),
      row(`writing ${bytes(stored)} and syncing (dd conv=fsync)`, limits.writeAndSync, stored),
      row('`node -e 0`', limits.nodeStart),
    ],
  };
}

/** What the names of the stages mean. @type {Record<string, string>} */
const STAGES = {
  read: 'read the file',
  cut: 'find the ends of row groups',
  hash: 'SHA-256 of every chunk',
  encode: 'split into byte planes and encode them',
  write: 'write packs and sync them',
  index: 'write the index (LevelDB)',
};

/** @param {Benchmark} benchmark @returns {Table} */
function profileTable(benchmark) {
  const { profile, start, limits } = benchmark;
  const { bytes: size, stages, wholeSeconds } = profile;
  const [starting, nodeStart, reading, hashing, writing] = [
    start,
    limits.nodeStart,
    limits.read,
    limits.sha256,
    limits.writeAndSync,
  ].map((samples) => summarize(samples).median.toFixed(3));
  /** @type {Record<string, string | undefined>} */
  const alone = { read: reading, hash: hashing, write: writing };
  /** @param {string} name @param {number} taken @param {string} [limit] */
  const row = (name, taken, limit = NOTHING) => [name, taken.toFixed(3), rate(size, taken), limit];
  const command = summaryOf(benchmark, 'first', OURS, 'seconds');
  return {
    title: 'Where the time of a first create goes',
    about:
      'Each stage alone, in one thread, on the same data (bench/profile.mjs), beside what the machine itself takes for that work. The command shares hashing and encoding among threads and overlaps them with reading and writing, so it takes less than the sum.',
    plot: 'profile',
    head: ['stage', 'seconds', 'MB/s of vectors', 'the machine alone, seconds'],
    rows: [
      ['start the program (`vecsnap --version`)', starting ?? NOTHING, NOTHING, nodeStart ?? NOTHING],
      ...stages.map(({ name, seconds: taken }) => row(STAGES[name] ?? name, taken, alone[name])),
      row('these stages together, without the start', sumOf(stages)),
      row('a create in one thread, without the start', wholeSeconds),
      ...(command === undefined ? [] : [row('the command, as measured above', command.median)]),
    ],
  };
}

/** @param {readonly import('./profile.mjs').Stage[]} stages */
function sumOf(stages) {
  return stages.reduce((sum, { seconds: taken }) => sum + taken, 0);
}

/**
 * One row for each case, one column for each tool, and how vecsnap compares with the best peer.
 * @param {Pick<Benchmark, 'cases' | 'tools'>} benchmark
 * @param {readonly import('./side-by-side.mjs').Case[]} cases
 * @param {Quantity} quantity
 * @param {(summary: Summary) => string} format
 */
function casesByTools(benchmark, cases, quantity, format) {
  const { tools } = benchmark;
  const rows = cases.map(({ name, title }) => [
    title,
    ...tools.map((tool) => {
      const summary = summaryOf(benchmark, name, tool.name, quantity);
      return summary === undefined ? NOTHING : format(summary);
    }),
    ...(tools.length > 1 ? [ratio(ratioToBestPeer(benchmark, name, quantity))] : []),
  ]);
  return {
    head: ['', ...tools.map(({ name }) => name), ...(tools.length > 1 ? ['vecsnap ÷ best peer'] : [])],
    rows,
  };
}

/** The cases in which a peer does better: a line for time, for bytes and for memory. @param {Benchmark} benchmark @returns {string[]} */
export function losses(benchmark) {
  /** @type {[Quantity, string][]} */
  const quantities = [
    ['seconds', 'Time'],
    ['storedBytes', 'Bytes stored'],
    ['peakBytes', 'Peak memory'],
  ];
  const { cases, asStream, tools, tree } = benchmark;
  const measured = [
    { all: { cases, tools }, own: cases, how: '', list: CASES },
    { all: { cases, tools }, own: asStream, how: ', as a plain file', list: CASES },
    { all: { cases: tree.cases, tools }, own: tree.cases, how: ', of many files', list: TREE_CASES },
  ];
  return quantities.flatMap(([quantity, words]) => {
    const lost = measured.flatMap(({ all, own, how, list }) =>
      list
        .filter(({ kind }) => quantity !== 'storedBytes' || changesStore(kind))
        .flatMap(({ name, title }) => lossText(title + how, ratioToBestPeer(all, name, quantity, own))),
    );
    return lost.length === 0 ? [] : [`${words}: ${lost.join('; ')}.`];
  });
}

/** @param {string} title @param {{ ratio: number, peer: string } | undefined} found */
function lossText(title, found) {
  return found !== undefined && found.ratio > 1 ? [`${title} ${found.ratio.toFixed(2)} × ${found.peer}`] : [];
}

/** @param {import('./side-by-side.mjs').Case['kind']} kind */
function changesStore(kind) {
  return kind === 'create' || kind === 'forget';
}

/** @param {{ ratio: number, peer: string } | undefined} found */
function ratio(found) {
  if (found === undefined || !Number.isFinite(found.ratio)) return NOTHING;
  return `${found.ratio.toFixed(found.ratio < 0.1 ? 3 : 2)} (${found.peer})`;
}

/** @param {Summary} summary */
function seconds({ median, min, max }) {
  const digits = median < 1 ? 3 : 2;
  const middle = median.toFixed(digits);
  return min === max ? middle : `${middle} (${min.toFixed(digits)}–${max.toFixed(digits)})`;
}

/**
 * Bytes in decimal units.
 * @param {number} count
 * @param {number} [digits] for megabytes
 */
export function bytes(count, digits = 2) {
  if (Math.abs(count) < 1000) return `${Math.round(count)} B`;
  if (Math.abs(count) < 1e6) return `${(count / 1e3).toFixed(1)} kB`;
  return `${(count / 1e6).toFixed(digits)} MB`;
}

/** @param {number} size @param {number} taken */
function rate(size, taken) {
  return (size / 1e6 / taken).toFixed(0);
}
