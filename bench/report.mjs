// The report of a benchmark: tables on the terminal, and a section of docs/benchmarks.md between two markers. What people
// wrote around the markers stays.
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import CliTable from 'cli-table3';
import { format, resolveConfig } from 'prettier';
import { bytes, losses, tablesOf } from './tables.mjs';

/** @typedef {import('./benchmark.mjs').Benchmark} Benchmark */

const BEGIN = '<!-- bench:begin, written by npm run bench -->';
const END = '<!-- bench:end -->';

/** No lines between the rows of a table. */
const WITHOUT_LINES = { mid: '', 'left-mid': '', 'mid-mid': '', 'right-mid': '' };

/** @param {Benchmark} benchmark @returns {string} */
export function terminalReport(benchmark) {
  const tables = tablesOf(benchmark).map(({ title, head, rows }) => {
    /** @type {('left' | 'right')[]} */
    const colAligns = head.map((_, i) => (i === 0 ? 'left' : 'right'));
    const table = new CliTable({
      head: head.map(plain),
      colAligns,
      chars: WITHOUT_LINES,
      style: { head: [], border: [] },
    });
    table.push(...rows.map((row) => row.map(plain)));
    return `${plain(title)}\n${table.toString()}`;
  });
  return [...tables, `Where vecsnap loses\n${lossesText(benchmark)}`].join('\n\n');
}

/**
 * Writes the section of the report into the file at `path`, between its markers.
 * @param {Benchmark} benchmark
 * @param {string} path
 * @param {Readonly<Record<string, string>>} plots the SVG of each plot, by name
 */
export async function writeReport(benchmark, path, plots) {
  const folder = join(dirname(path), 'plots');
  mkdirSync(folder, { recursive: true });
  for (const [name, svg] of Object.entries(plots)) writeFileSync(join(folder, `${name}.svg`), svg);
  const text = existsSync(path) ? readFileSync(path, 'utf8') : `# Benchmarks\n\n${BEGIN}\n${END}\n`;
  writeFileSync(path, await pretty(replaceSection(text, section(benchmark), path), path));
}

/**
 * Text in the format that the repository keeps its files in.
 * @param {string} text
 * @param {string} path of the file that it is for
 */
export async function pretty(text, path) {
  return format(text, { ...(await resolveConfig(path)), filepath: path });
}

/**
 * @param {string} text
 * @param {string} replacement
 * @param {string} path
 */
function replaceSection(text, replacement, path) {
  const [begin, end] = [text.indexOf(BEGIN), text.indexOf(END)];
  if (begin < 0 || end < begin) throw new Error(`${path} has not both markers: ${BEGIN} and ${END}`);
  return `${text.slice(0, begin)}${BEGIN}\n\n${replacement}\n\n${text.slice(end)}`;
}

/** @param {Benchmark} benchmark */
function section(benchmark) {
  return [
    ...about(benchmark),
    ...tablesOf(benchmark).flatMap(({ title, about, plot, head, rows }) => [
      `## ${title}`,
      about ?? '',
      plot === undefined ? '' : `![${title}](plots/${plot}.svg)`,
      markdownTable(head, rows),
    ]),
    '## Where vecsnap loses',
    lossesText(benchmark),
    '## Commands',
    'REPO is the repository, DATA the folder with the file, OUT an empty folder.',
    ...benchmark.tools.flatMap(commandList),
  ].join('\n\n');
}

/** @param {Benchmark} benchmark */
function about({ date, parameters, machine, versions, steps, leftOut }) {
  const { runs, seed, dimension } = parameters;
  const memory = `${(machine.memoryBytes / 2 ** 30).toFixed(1)} GiB`;
  const of = (/** @type {Record<string, string>} */ entries) =>
    Object.entries(entries).map(([name, text]) => [name, text]);
  return [
    '## What was measured, and on what',
    markdownTable(
      ['', ''],
      of({
        date,
        runs: `${runs}; each case of each run with every tool, one after the other`,
        processor: `${machine.cpu}, ${machine.cores} threads at once`,
        memory,
        system: `${machine.system}, Linux ${machine.kernel}`,
        'file system': machine.fileSystem,
        'load before': machine.load.toFixed(2),
        ...versions,
      }),
    ),
    ...leftOut.map(({ tool, reason }) => `Without ${tool}: ${reason.split('\n')[0]}.`),
    `The files (seed ${seed}, ${dimension} numbers a row):`,
    markdownTable(
      ['', 'rows', 'bytes', 'written or gone', 'SHA-256'],
      steps.map((step) => [
        step.title,
        String(step.rows),
        bytes(step.bytes),
        bytes(step.changedBytes),
        `\`${step.sha256.slice(0, 16)}…\``,
      ]),
    ),
  ];
}

/** @param {import('./benchmark.mjs').MeasuredTool} tool */
function commandList({ name, settings, commands }) {
  const lines = Object.entries(commands).flatMap(([title, typed]) =>
    typed.map((line, i) => (i === 0 ? `# ${title}\n${line}` : line)),
  );
  return [`${name} (${settings})`, `\`\`\`sh\n${lines.join('\n')}\n\`\`\``];
}

/** @param {Benchmark} benchmark */
function lossesText(benchmark) {
  if (benchmark.tools.length === 1) return 'No peer was measured beside it.';
  const found = losses(benchmark);
  if (found.length === 0) return 'In no case: neither in time nor in bytes stored nor in memory.';
  return found.map((line) => `- ${line}`).join('\n');
}

/**
 * @param {readonly string[]} head
 * @param {readonly (readonly string[])[]} rows
 */
function markdownTable(head, rows) {
  const line = (/** @type {readonly string[]} */ cells) => `| ${cells.join(' | ')} |`;
  const align = head.map((_, i) => (i === 0 ? '---' : '---:'));
  return [line(head), line(align), ...rows.map(line)].join('\n');
}

/** @param {string} text */
function plain(text) {
  return text.replaceAll('`', '');
}
