// What the smaller benchmarks have in common: their options, and the section of docs/benchmarks.md that each of them writes.
import { readFileSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { pretty } from './report.mjs';

const REPORT = join(resolve(import.meta.dirname, '..'), 'docs', 'benchmarks.md');

/**
 * Reads the command line: `--quick`, or, where there are `parts`, which of them. `--help` prints `help`, and what is unknown is said; both end
 * the process.
 * @param {string} help
 * @param {readonly string[]} [parts] what may be asked for by its name
 * @returns {{ quick: boolean, wanted: readonly string[] }}
 */
export function readOptions(help, parts = []) {
  try {
    const { values, positionals: wanted } = parseArgs({
      allowPositionals: parts.length > 0,
      options: { quick: { type: 'boolean', default: false }, help: { type: 'boolean', default: false } },
    });
    const unknown = wanted.find((name) => !parts.includes(name));
    if (values.quick && parts.length > 0) throw new Error('There is no option --quick here.');
    if (unknown !== undefined) throw new Error(`There is no part ${unknown}, only ${parts.join(', ')}.`);
    if (!values.help) return { quick: values.quick, wanted };
    console.log(help);
    process.exit(0);
  } catch (error) {
    console.error(`bench: ${error instanceof Error ? error.message : String(error)}`);
    process.exit(1);
  }
}

/**
 * Writes what stands in docs/benchmarks.md between two markers anew.
 * @param {'sizes' | 'space' | 'sweep'} name
 * @param {string} text
 */
export async function writeSection(name, text) {
  const begin = `<!-- ${name}:begin, written by npm run bench:${name} -->`;
  const end = `<!-- ${name}:end -->`;
  const [before = '', rest = ''] = readFileSync(REPORT, 'utf8').split(begin);
  const [, after = ''] = rest.split(end);
  if (after === '') throw new Error(`bench: ${REPORT} lacks ${begin} or ${end}`);
  writeFileSync(REPORT, await pretty(`${before}${begin}\n\n${text}\n\n${end}${after}`, REPORT));
}
