/** The configuration of a schedule: every mistake is named with its line and column, and nothing else ever comes of a text. */
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import * as fc from 'fast-check';
import { isVecsnapError } from 'vecsnap/core';
import {
  CONFIG_DEFAULTS,
  JOB_DEFAULTS,
  JOB_KEYS,
  loadScheduleConfig,
  parseScheduleConfig,
  SnapshotScheduler,
} from 'vecsnap/schedule';
import { describe, expect, it } from 'vitest';
import { freshDirectory } from './support/files.js';

const path = freshDirectory();

const VALID = `# Two collections.
shutdownGrace: 30s
stateFile: state/schedule.json
jobs:
  - name: docs
    source: ruvector:data/docs.db
    changes: docs.journal
    repository: repo
    collection: docs
    cron: '0 * * * *'
    timeZone: Europe/Berlin
    policy: { keepLast: 3, keepDaily: 7, keepTags: [release], timeZone: Europe/Berlin }
    gc: true
    verify: 7d
    mode: incremental
    jitter: 5min
    retry: { attempts: 5, delay: 30s, maxDelay: 10min }
    catchUp: false
    tags: [hourly]
    lockTimeout: 1min
  - name: images
    source: /data/images.fbin
    repository: repo
    cron: '@daily'
    policy: stored
    verify: 0 3 * * 0
    mode: full
`;

/** The lines that `--check` would print for a text. */
function problemsOf(text: string): string[] {
  const read = parseScheduleConfig(text, '/etc/vecsnap/backup.yaml');
  return 'config' in read
    ? []
    : read.problems.map(({ line, column, message, remedy }) => `${line}:${column} ${message} ${remedy}`);
}

describe('a valid configuration', () => {
  it('is understood, with paths relative to its folder', () => {
    const read = parseScheduleConfig(VALID, '/etc/vecsnap/backup.yaml');
    expect(read).toMatchObject({
      config: {
        shutdownGraceMs: 30_000,
        stateFile: '/etc/vecsnap/state/schedule.json',
        jobs: [
          {
            source: 'ruvector:/etc/vecsnap/data/docs.db',
            changes: '/etc/vecsnap/docs.journal',
            repository: '/etc/vecsnap/repo',
          },
          { source: '/data/images.fbin', repository: '/etc/vecsnap/repo', policy: 'stored' },
        ],
      },
    });
  });

  it('may be JSON, may share parts, and has a state file beside it by default', () => {
    const json = '{"jobs":[{"name":"a","source":"x","repository":"r","cron":"@hourly"}]}';
    expect(parseScheduleConfig(json, '/c.json')).toMatchObject({
      config: { stateFile: '/c.json.state.json' },
    });
    const shared = `
jobs:
  - &one { name: a, source: x, repository: r, cron: '@hourly' }
  - { <<: *one, name: b }
`;
    expect(parseScheduleConfig(shared, '/c.yaml')).toMatchObject({
      config: { jobs: [{ name: 'a' }, { name: 'b', cron: '@hourly' }] },
    });
  });
});

describe('a mistake', () => {
  it.each([
    [
      'an unknown key',
      VALID.replace('repository: repo', 'repo: repo'),
      /^5:5 The job has no repository\. Add repository: to it\.$/,
    ],
    [
      'an unknown key of the whole',
      `jbos: []\n${VALID}`,
      /^1:1 The configuration has no key "jbos"\. The keys are jobs, shutdownGrace, stateFile\.$/,
    ],
    [
      'a wrong type',
      VALID.replace('gc: true', 'gc: yes'),
      /^13:9 gc does not take "yes"\. Give true or false\.$/,
    ],
    [
      'an expression that is none',
      VALID.replace("'0 * * * *'", "'0 * * *'"),
      /^10:11 cron does not take "0 \* \* \*": it has neither five nor six fields\. Give minute,/,
    ],
    [
      'an expression out of range',
      VALID.replace("'0 * * * *'", "'0 25 * * *'"),
      /^10:11 cron does not take "0 25 \* \* \*": .*hour/,
    ],
    [
      'an expression that never comes',
      VALID.replace("'0 * * * *'", "'0 0 30 2 *'"),
      /^10:11 cron "0 0 30 2 \*" never comes\./,
    ],
    [
      'a date in place of an expression',
      VALID.replace("'0 * * * *'", '2026-01-01T00:00:00'),
      /^10:11 cron does not take/,
    ],
    [
      'an unknown zone',
      VALID.replace('timeZone: Europe/Berlin\n', 'timeZone: Mars/Base\n'),
      /^11:15 There is no time zone "Mars\/Base"\. Give an IANA name, such as/,
    ],
    [
      'a rule with a wrong value',
      VALID.replace('keepLast: 3', 'keepLast: 0'),
      /^12:25 keepLast does not take 0\. Give a whole number/,
    ],
    [
      'an unknown rule',
      VALID.replace('keepLast: 3', 'keepLsat: 3'),
      /^12:25 A policy has no option keepLsat\./,
    ],
    [
      'a policy without rules',
      VALID.replace(/policy: \{.*\}/, 'policy: {}'),
      /^12:13 The policy has no rule/,
    ],
    ['a policy that is a word', VALID.replace('policy: stored', 'policy: strored'), /^25:13 /],
    [
      'two jobs of one name',
      VALID.replace('name: images', 'name: docs'),
      /^21:11 Two jobs have the name "docs"\. Give each job a name of its own\.$/,
    ],
    [
      'minutes as m',
      VALID.replace('jitter: 5min', 'jitter: 5m'),
      /^16:13 jitter does not take "5m"\. Give a length of time in s, min, h, d or w, such as 90s, 15min or 7d\.$/,
    ],
    [
      'a jitter beyond a day',
      VALID.replace('jitter: 5min', 'jitter: 2d'),
      /^16:13 jitter does not take "2d"\. The longest is 86400s\.$/,
    ],
    [
      'an unknown scheme',
      VALID.replace('ruvector:', 'mysql:'),
      /^6:13 There is no scheme mysql\. The schemes are fbin,/,
    ],
    [
      'tries that are no number',
      VALID.replace('attempts: 5', 'attempts: many'),
      /^17:24 attempts does not take "many"\./,
    ],
    [
      'a map that stands in itself',
      VALID.replace('retry: { attempts: 5', 'retry: &own { attempts: *own'),
      /^17:29 attempts does not take a map\./,
    ],
    [
      'an unknown key of retry',
      VALID.replace('attempts: 5', 'tries: 5'),
      /^17:\d+ retry has no key "tries"\./,
    ],
    [
      'a verify interval that is none',
      VALID.replace('verify: 7d', 'verify: often'),
      /^14:13 verify does not take "often"\./,
    ],
    [
      'a mode that there is not',
      VALID.replace('mode: full', 'mode: fast'),
      /^27:11 mode does not take "fast"\. Give full or incremental\.$/,
    ],
    ['no jobs', 'jobs: []', /^1:7 There are no jobs\./],
    ['nothing', '', /^1:1 The configuration is no mapping\./],
    ['a list', '- a', /^1:1 The configuration is no mapping\./],
    ['a key given twice', `${VALID}    mode: full\n`, /^28:5 Map keys must be unique\./],
    ['a tab', 'jobs:\n\t- a', /^2:1 /],
    ['a bracket that is not closed', 'jobs: [', /^1:8 /],
    ['two documents', `${VALID}---\n${VALID}`, /several documents.*Leave one/],
    ['a cron without quotes', 'jobs:\n  - cron: * * * * *\n', /^2:11 A value begins with \*.*quotes/],
    ['another', 'jobs:\n  - cron: */5 * * * *\n', /^2:\d+ A value begins with \*.*quotes/],
    ['an alias to nothing', 'jobs: *none', /^1:\d Unresolved alias/],
    ['brackets without end', '['.repeat(100_000), /^1:\d+ The file is nested too deeply\./],
    [
      'aliases that multiply',
      [
        'a: &a [x,x]',
        ...Array.from(
          { length: 20 },
          (_, i) => `b${i}: &b${i} [${i === 0 ? '*a' : `*b${i - 1}`}, ${i === 0 ? '*a' : `*b${i - 1}`}]`,
        ),
      ].join('\n'),
      /^1:1 Excessive alias count/,
    ],
  ])('%s is named with its place', (_, text, expected) => {
    expect(problemsOf(text)[0]).toMatch(expected);
  });

  it('is one of all that are shown, in the order of the file', () => {
    const text = VALID.replace('gc: true', 'gc: 1')
      .replace('verify: 7d', 'verify: 7')
      .replace('mode: full', 'mde: full');
    expect(problemsOf(text).map((line) => line.split(' ')[0])).toEqual(['13:9', '14:13', '27:5']);
  });

  it('becomes an error that names the file, the line and the column', async () => {
    await writeFile(path('c.yaml'), VALID.replace('gc: true', 'gc: 1').replace('verify: 7d', 'verify: 7'));
    await expect(loadScheduleConfig(path('c.yaml'))).rejects.toMatchObject({
      code: 'OPTION_INVALID',
      message: 'Line 13, column 9: gc does not take 1. --check shows one more problem.',
      place: `${path('c.yaml')}:13:9`,
      remedy: 'Give true or false.',
    });
  });

  it.each([
    ['missing', async () => undefined],
    ['a directory', (file: string) => mkdir(file)],
    ['not UTF-8', (file: string) => writeFile(file, Uint8Array.of(0xff, 0xfe, 0x80))],
    ['too large', (file: string) => writeFile(file, `# ${'x'.repeat(2 ** 20)}`)],
  ])('of a file that is %s is an error too', async (_, make) => {
    await make(path('c.yaml'));
    await expect(loadScheduleConfig(path('c.yaml'))).rejects.toMatchObject({ code: 'OPTION_INVALID' });
  });
});

describe('any other text', () => {
  /** Either a configuration that a scheduler takes, or problems whose places are in the text. */
  function expectEither(text: string): void {
    const read = parseScheduleConfig(text, '/etc/c.yaml');
    if ('config' in read) {
      const { jobs } = read.config;
      expect(new SnapshotScheduler({ jobs, onEvent: () => undefined }).status()).toHaveLength(jobs.length);
      return;
    }
    const lines = text.split(/\r\n|[\r\n]/).length;
    for (const { line, column, message, remedy } of read.problems) {
      expect(line).toBeGreaterThanOrEqual(1);
      expect(line).toBeLessThanOrEqual(lines + 1);
      expect(column).toBeGreaterThanOrEqual(1);
      expect(message).not.toBe('');
      expect(remedy).not.toBe('');
    }
  }

  const piece = fc.oneof(
    fc.constantFrom(
      '*',
      '&a ',
      '<<: ',
      '\n',
      '  ',
      ': ',
      '- ',
      '{',
      '}',
      '[',
      ']',
      "'",
      '"',
      '!!js ',
      '__proto__: ',
      '~',
      '\0',
      '|',
      '? ',
    ),
    fc.string({ maxLength: 6 }),
  );
  const edit = fc.record({ at: fc.nat(VALID.length), drop: fc.nat(12), put: piece });

  it('after edits is a configuration or a list of problems', () => {
    fc.assert(
      fc.property(fc.array(edit, { minLength: 1, maxLength: 4 }), (edits) => {
        const text = edits.reduce(
          (before, { at, drop, put }) => before.slice(0, at) + put + before.slice(at + drop),
          VALID,
        );
        expectEither(text);
      }),
      { numRuns: 400 },
    );
  });

  it('with any value at any key is too', () => {
    const key = fc.constantFrom(...JOB_KEYS, '__proto__', 'constructor');
    const job = fc.dictionary(key, fc.jsonValue());
    fc.assert(
      fc.property(job, (changed) => {
        const whole = { name: 'a', source: 'x', repository: 'r', cron: '@daily' };
        expectEither(JSON.stringify({ jobs: [{ ...whole, ...changed }] }));
      }),
      { numRuns: 400 },
    );
  });

  it('throws nothing but a VecsnapError', async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 200 }), async (bytes) => {
        await writeFile(path('any.yaml'), bytes);
        const error: unknown = await loadScheduleConfig(path('any.yaml')).catch((thrown: unknown) => thrown);
        expect(isVecsnapError(error, 'OPTION_INVALID')).toBe(true);
      }),
      { numRuns: 100 },
    );
  });
});

describe('docs/schedule.md', () => {
  it('has every key with its default, and an example that is valid', async () => {
    const page = await readFile('docs/schedule.md', 'utf8');
    const rows = new Map(
      [
        ...page.slice(0, page.indexOf('## What happens')).matchAll(/^\| `(\w+)` +\| (.*?) +\| (.*?) +\|$/gm),
      ].map(([, key, value, meaning]) => [key, [value, meaning]]),
    );
    for (const key of JOB_KEYS) expect(rows.get(key), key).toBeDefined();
    const { retry, ...others } = JOB_DEFAULTS;
    for (const [key, value] of Object.entries(others))
      expect(rows.get(key)?.[0]).toBe(`\`${String(value)}\``);
    for (const value of Object.values(retry)) expect(rows.get('retry')?.[1]).toContain(String(value));
    expect(rows.get('shutdownGrace')?.[0]).toBe(`\`${CONFIG_DEFAULTS.shutdownGrace}\``);
    const example = /```yaml\n(# backup\.yaml\n[^]*?)```/.exec(page)?.[1] ?? '';
    expect(problemsOf(example)).toEqual([]);
  });

  it('has every event', async () => {
    const page = await readFile('docs/schedule.md', 'utf8');
    const source = await readFile('src/schedule/events.ts', 'utf8');
    const events = [...source.matchAll(/readonly event: '([\w-]+)'/g)].map(([, event]) => event);
    expect(events).toHaveLength(12);
    for (const event of events) expect(page).toMatch(new RegExp(`^\\| \`${event}\` `, 'm'));
  });
});
