/** What the command line says about itself, and about command lines that make no sense. */
import { readFile, writeFile } from 'node:fs/promises';
import { beforeAll, describe, expect, it } from 'vitest';
import { cli, failure, MAIN, text } from './support/cli.js';
import { freshDirectory } from './support/files.js';

const COMMANDS = [
  'init',
  'create',
  'list',
  'show',
  'restore',
  'verify',
  'diff',
  'forget',
  'unforget',
  'policy',
  'tag',
  'pin',
  'unpin',
  'gc',
  'schedule',
  'stats',
  'export',
  'import',
  'unlock',
  'repair',
];

describe('help', () => {
  let overview: string;
  beforeAll(async () => {
    overview = await text('--help');
  });

  it('shows the main job, every command and the exit codes', () => {
    for (const part of [
      'vecsnap create repo',
      'vecsnap restore repo latest',
      'Exit codes: 0 done, 1 failed, 2 wrong usage, 3',
    ])
      expect(overview).toContain(part);
    for (const command of COMMANDS)
      expect(overview).toMatch(new RegExp(`^  ${command} (<ACTION> )?<(REPO|CONFIG)>`, 'm'));
  });

  it.each(COMMANDS)('of %s teaches by example', async (command) => {
    const help = await text(command, '--help');
    const usage = new RegExp(`^  ${command} .*?(?=  )`, 'm').exec(overview)?.[0].trim();
    expect(help).toContain(`Usage: vecsnap ${command} [options] ${usage?.slice(command.length + 1)}`);
    const [, examples = ''] = help.split('\nExamples:\n');
    const lines = examples.split('\n').filter((line) => line.startsWith(`  vecsnap ${command} `));
    expect(lines.length).toBeGreaterThanOrEqual(2);
    expect(lines.length).toBeLessThanOrEqual(4);
    expect(help).toContain('--json');
    expect(await text('help', command)).toBe(help);
  });

  it('has a version', async () => {
    const { version } = JSON.parse(await readFile('package.json', 'utf8')) as { version: string };
    expect(await text('--version')).toBe(`${version}\n`);
    expect(await text('-V')).toBe(`${version}\n`);
  });

  it('comes when no command is given, which is wrong usage', async () => {
    const { code, stdout, stderr } = await cli();
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toContain('Usage: vecsnap');
  });
});

describe('wrong usage', () => {
  const path = freshDirectory();

  it.each([
    ['an unknown command', ['lst', 'repo'], "unknown command 'lst' (Did you mean list?)"],
    ['an unknown option', ['list', 'repo', '--colection', 'x'], "unknown option '--colection'"],
    ['an unknown option before the command', ['--nope', 'list', 'repo'], "unknown option '--nope'"],
    ['a missing argument', ['create', 'repo'], "missing required argument 'SOURCE'"],
    ['an argument too many', ['list', 'repo', 'more'], 'too many arguments'],
    ['a number that is none', ['forget', 'repo', '--keep-last', 'all'], 'whole number from 1 on'],
    ['a number out of range', ['forget', 'repo', '--keep-last', '0'], 'whole number from 1 on'],
    ['a negative number', ['forget', 'repo', '--keep-daily', '-3'], 'whole number from 1 on'],
    ['an unknown rule', ['forget', 'repo', '--keep-dayly', '3'], "unknown option '--keep-dayly'"],
    ['an unknown action', ['policy', 'get', 'repo'], 'Allowed choices are set, show, remove'],
    ['no snapshot to pin', ['pin', 'repo'], "missing required argument 'SNAP'"],
    [
      'a fraction where a whole number belongs',
      ['diff', 'repo', 'a', 'b', '--ids', '1.5'],
      'whole number from 0 on',
    ],
    ['a time that is none', ['gc', 'repo', '--lock-timeout', 'soon'], 'number of seconds'],
    ['a negative time', ['gc', 'repo', '--lock-timeout', '-1'], 'number of seconds'],
    ['a time beyond all timers', ['gc', 'repo', '--lock-timeout', '1e10'], 'number of seconds'],
  ])('%s', async (_, args, message) => {
    const error = await failure(2, ...args);
    expect(error).toMatchObject({ code: 'USAGE', place: null });
    expect(error.message).toContain(message);
    expect(error.remedy).toMatch(/^See vecsnap (\w+ )?--help\.$/);
  });

  it.each([
    ['snapshots and a rule', ['forget', 'REPO', 'x', '--keep-last', '1']],
    ['neither snapshots nor a rule', ['forget', 'REPO']],
    ['a time zone without a rule', ['forget', 'REPO', '--time-zone', 'UTC']],
    ['snapshots to have back and all', ['unforget', 'REPO', 'x', '--all']],
    ['neither snapshots to have back nor all', ['unforget', 'REPO']],
    ['a policy without a rule', ['policy', 'set', 'REPO', '--time-zone', 'UTC']],
    ['rules where there are none', ['policy', 'show', 'REPO', '--keep-last', '1']],
    ['a policy that is not there', ['policy', 'remove', 'REPO']],
    ['a base and none', ['create', 'REPO', 'x', '--base', 'y', '--full']],
    ['metadata without a value', ['create', 'REPO', 'x.fbin', '--metadata', 'key']],
    ['metadata without a key', ['create', 'REPO', 'x.fbin', '--metadata', '=value']],
    ['metadata that is given twice', ['create', 'REPO', 'x.fbin', '--metadata', 'k=1', '--metadata', 'k=2']],
  ])('%s', async (_, args) => {
    await text('init', path('repo'));
    await writeFile(path('x.fbin'), new Uint8Array(8));
    const given = args.map((arg) =>
      arg === 'REPO' ? path('repo') : arg === 'x.fbin' ? path('x.fbin') : arg,
    );
    expect(await failure(2, ...given)).toMatchObject({ code: 'USAGE' });
  });

  it('is told to people in a few lines', async () => {
    const { code, stdout, stderr } = await cli('create', 'repo');
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toBe(
      "vecsnap: missing required argument 'SOURCE'\n  remedy: See vecsnap create --help.\n  code:   USAGE\n",
    );
  });

  it('includes an option without its value', async () => {
    const { code, stderr } = await cli('create', 'repo', 'x', '--name');
    expect(code).toBe(2);
    expect(stderr).toContain("option '--name <NAME>' argument missing");
  });

  it('includes an empty name', async () => {
    await text('init', path('repo'));
    await writeFile(path('x.fbin'), new Uint8Array(8));
    expect(await failure(2, 'create', path('repo'), path('x.fbin'), '--name', '')).toMatchObject({
      code: 'OPTION_INVALID',
    });
  });
});

it('is a program of its own', async () => {
  expect(await readFile(MAIN, 'utf8')).toMatch(/^#!\/usr\/bin\/env node\n/);
});
