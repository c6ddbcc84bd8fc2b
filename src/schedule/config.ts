/** The configuration of a schedule: a file in YAML, or JSON, with every problem at its line and column. */
import { dirname, isAbsolute, resolve } from 'node:path';
import { type Document, isMap, isNode, isScalar, LineCounter, parseDocument } from 'yaml';
import { VecsnapError } from '../core/index.js';
import {
  checkJobs,
  checkLength,
  type ConfigProblem,
  isPlain,
  type ScheduledJob,
  unknownKeys,
} from './job.js';
import { readRegular, SCHEMES } from '../source/index.js';

/** A schedule, as its file says it. Relative paths are resolved. */
export interface ScheduleConfig {
  readonly jobs: readonly ScheduledJob[];
  /** How long work that is under way may go on after a signal, in milliseconds. */
  readonly shutdownGraceMs: number;
  /** Where the scheduler keeps what it must know after a restart. */
  readonly stateFile: string;
}

/** Something wrong in a file. Lines and columns count from 1. */
export interface LocatedProblem {
  readonly line: number;
  readonly column: number;
  readonly message: string;
  readonly remedy: string;
}

/** A file that was read: what it says, or everything that is wrong with it. */
export type ReadConfig =
  { readonly config: ScheduleConfig } | { readonly problems: readonly [LocatedProblem, ...LocatedProblem[]] };

/** The defaults of the keys beside the jobs. */
export const CONFIG_DEFAULTS = { shutdownGrace: '60s', stateFile: '<CONFIG>.state.json' } as const;

const KEYS: readonly string[] = ['jobs', 'shutdownGrace', 'stateFile'];
/** A file that is larger is no configuration. */
const MAX_BYTES = 1024 * 1024;
const DAY = 86_400_000;
const SYNTAX_REMEDY = 'Write it as YAML or JSON: see docs/schedule.md for an example.';

/**
 * Reads a configuration file.
 * @throws VecsnapError OPTION_INVALID with the place of the first problem as `file:line:column`, and when the file cannot be read.
 */
export async function loadScheduleConfig(path: string): Promise<ScheduleConfig> {
  const read = await readScheduleConfig(path);
  if ('config' in read) return read.config;
  const [{ line, column, message, remedy }, ...others] = read.problems;
  const count = others.length;
  const more =
    count === 0 ? '' : ` --check shows ${count === 1 ? 'one more problem' : `${count} more problems`}.`;
  throw new VecsnapError('OPTION_INVALID', `Line ${line}, column ${column}: ${message}${more}`, {
    place: `${path}:${line}:${column}`,
    remedy,
  });
}

/** Reads a configuration file and finds all its problems. @throws VecsnapError OPTION_INVALID when the file cannot be read. */
export async function readScheduleConfig(path: string): Promise<ReadConfig> {
  let bytes: Uint8Array;
  try {
    bytes = await readRegular(path);
  } catch (cause) {
    const what = cause instanceof Error ? cause.message : String(cause);
    throw new VecsnapError('OPTION_INVALID', `The configuration of the schedule cannot be read: ${what}.`, {
      place: path,
      remedy: 'Check the path and the permissions of the file.',
      cause,
    });
  }
  if (bytes.length > MAX_BYTES) return { problems: [syntaxProblem('The file has more than 1 MiB.')] };
  try {
    return parseScheduleConfig(new TextDecoder('utf-8', { fatal: true }).decode(bytes), path);
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    return { problems: [syntaxProblem('The file is not valid UTF-8.')] };
  }
}

/** Understands the text of a configuration. Relative paths in it are relative to the folder of `path`. */
export function parseScheduleConfig(text: string, path: string): ReadConfig {
  const lines = new LineCounter();
  const at = (offset: number): { line: number; column: number } => {
    const { line, col } = lines.linePos(offset);
    return { line: Math.max(1, line), column: Math.max(1, col) };
  };
  let document: Document;
  let value: unknown;
  try {
    document = parseDocument(text, {
      lineCounter: lines,
      merge: true,
      prettyErrors: false,
      logLevel: 'error',
    });
    const errors = [...document.errors, ...document.warnings].map(({ code, message, pos }) => ({
      ...at(pos[0]),
      ...syntaxOf(code, message),
    }));
    const [error, ...more] = errors.filter(isFirstOfLine);
    if (error !== undefined) return { problems: [error, ...more] };
    value = document.toJS({ maxAliasCount: 100 });
  } catch (error) {
    // Brackets nested thousands deep, aliases that multiply, or stand inside of what they name.
    return { problems: [syntaxProblem(error instanceof Error ? error.message : String(error))] };
  }
  const checked = checkConfig(value, path);
  if ('config' in checked) return checked;
  const [first, ...others] = checked.problems
    .map(({ message, remedy, ...where }) => ({ ...at(offsetOf(document, where)), message, remedy }))
    .toSorted((a, b) => a.line - b.line || a.column - b.column);
  return { problems: [first as LocatedProblem, ...others] };
}

function checkConfig(
  value: unknown,
  path: string,
): { readonly config: ScheduleConfig } | { readonly problems: readonly ConfigProblem[] } {
  if (!isPlain(value)) {
    const message = 'The configuration is no mapping.';
    return { problems: [{ path: [], message, remedy: 'Begin it with jobs: and a list below.' }] };
  }
  const problems = unknownKeys(value, KEYS, [], 'The configuration');
  const report = (key: string | readonly (string | number)[], message: string, remedy: string): void => {
    problems.push({ path: [key].flat(), message, remedy });
  };
  const shutdownGraceMs = checkLength(
    value,
    'shutdownGrace',
    CONFIG_DEFAULTS.shutdownGrace,
    [0, DAY],
    report,
  );
  const { stateFile = `${path}.state.json` } = value;
  if (typeof stateFile !== 'string' || stateFile === '' || stateFile.includes('\0'))
    report('stateFile', 'stateFile is no path.', 'Give the path of a file, or leave it out.');
  const checked = checkJobs(value['jobs'], ['jobs']);
  problems.push(...checked.problems);
  if (problems.length > 0) return { problems };
  const folder = dirname(resolve(path));
  const jobs = checked.plans.map(({ job }) => withPaths(job, folder));
  return {
    config: {
      jobs,
      shutdownGraceMs,
      stateFile: resolve(folder, stateFileName(stateFile as string, path, folder)),
    },
  };
}

/** The default stands beside the file; what is given is relative to its folder, as all paths in it are. */
function stateFileName(given: string, path: string, folder: string): string {
  return given === `${path}.state.json` ? resolve(given) : resolve(folder, given);
}

function withPaths(job: ScheduledJob, folder: string): ScheduledJob {
  const { source, repository, changes } = job;
  return {
    ...job,
    source: typeof source === 'string' ? placeIn(source, folder) : source,
    repository: typeof repository === 'string' ? resolve(folder, repository) : repository,
    ...(typeof changes === 'string' ? { changes: resolve(folder, changes) } : {}),
  };
}

function placeIn(place: string, folder: string): string {
  const scheme = SCHEMES.find((one) => place.startsWith(`${one}:`));
  if (scheme === undefined) return resolve(folder, place);
  const location = place.slice(scheme.length + 1);
  return location === '' || isAbsolute(location) ? place : `${scheme}:${resolve(folder, location)}`;
}

/** What is told in place of what the parser says, which is meant for programmers. */
const SYNTAX: Readonly<Record<string, { readonly message: string; readonly remedy: string }>> = {
  BAD_ALIAS: {
    message: 'A value begins with *, which stands for the name of another value.',
    remedy: 'Put the value in quotes, such as cron: "* * * * *".',
  },
  MULTIPLE_DOCS: {
    message: 'The file holds several documents.',
    remedy: 'Leave one, and no line --- after its first.',
  },
};

/** @param code that of the parser. */
function syntaxOf(code: string, message: string): { message: string; remedy: string } {
  const told = message.startsWith('Maximum call stack') ? 'The file is nested too deeply' : message;
  const [firstLine = ''] = told.split('\n');
  const known = told.startsWith('Unexpected alias') ? SYNTAX['BAD_ALIAS'] : SYNTAX[code];
  return known ?? { message: `${firstLine.slice(0, 200).replace(/\.$/, '')}.`, remedy: SYNTAX_REMEDY };
}

/** One slip of the pen leaves a line with many errors. */
function isFirstOfLine({ line }: LocatedProblem, i: number, all: readonly LocatedProblem[]): boolean {
  return all.findIndex((one) => one.line === line) === i;
}

function syntaxProblem(message: string): LocatedProblem {
  return { line: 1, column: 1, ...syntaxOf('', message) };
}

/** Where a value stands, or its key; for what is not there, or came by an alias, where that is which should have it. */
function offsetOf(document: Document, { path, isKey }: Pick<ConfigProblem, 'path' | 'isKey'>): number {
  for (let length = path.length; length >= 0; length--) {
    const node =
      length === 0
        ? document.contents
        : nodeAt(document, path.slice(0, length), isKey === true && length === path.length);
    const start = isNode(node) ? node.range?.[0] : undefined;
    if (start !== undefined) return start;
  }
  return 0;
}

function nodeAt(document: Document, path: readonly (string | number)[], isKey: boolean): unknown {
  if (!isKey) return document.getIn(path, true);
  const parent = path.length === 1 ? document.contents : document.getIn(path.slice(0, -1), true);
  const key = path.at(-1);
  const pair = isMap(parent)
    ? parent.items.find((one) => isScalar(one.key) && String(one.key.value) === key)
    : undefined;
  return pair?.key;
}
