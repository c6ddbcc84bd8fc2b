/** Decoders of what a schedule reads: its configuration, which people write, and its state. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { utf8 } from 'vecsnap/core';
import { parseScheduleConfig, readScheduleStatus } from 'vecsnap/schedule';
import { type FuzzTarget, Wrong } from './target.js';

const CONFIGS = [
  `shutdownGrace: 60s
jobs:
  - &docs
    name: docs
    source: ruvector:/data/docs.db
    repository: /backup/repo
    cron: '*/5 0 * * 1-5'
    timeZone: Europe/Berlin
    policy: { keepHourly: 24, keepWithin: 1y2m, keepTags: [a], timeZone: Europe/Berlin }
    retry: { attempts: 3 }
    verify: 7d
  - { <<: *docs, name: other, cron: '@daily', tags: [x], jitter: 90s }
`,
  // Maps and lists that stand in themselves.
  `stateFile: &s [*s]
shutdownGrace: *s
jobs: &jobs
  - *jobs
  - &own { name: *own, source: *own, repository: *own, collection: *own, cron: *own, timeZone: *own, verify: *own, gc: *own }
  - &all { name: a, source: a.fbin, repository: r, cron: '@daily', policy: &p { keepTags: [*p], keepLast: *p, keepWithin: *p } }
  - { <<: *all, name: b, changes: *jobs, mode: *jobs, jitter: *jobs, catchUp: *jobs, tags: &t [*t], lockTimeout: *t }
  - { <<: *all, name: c, policy: *own, retry: &r { attempts: *r, delay: *r, maxDelay: *r }, *r : *r }
`,
  '{"jobs":[{"name":"j","source":"a.fbin","repository":"r","cron":"0 0 1 1 *"}],"stateFile":"s.json"}',
].map(utf8);

const STATE = utf8(
  JSON.stringify({
    version: 1,
    scheduler: {
      host: 'h',
      bootId: 'b',
      pidNamespace: 'n',
      processStart: '1',
      pid: 77,
      operation: 'schedule',
      startedAt: 1,
    },
    seen: '2026-01-01T00:00:00.000Z',
    jobs: {
      docs: {
        phase: 'retrying',
        step: 'snapshot',
        retryAt: '2026-01-01T00:00:00.000Z',
        lastDue: '2026-01-01T00:00:00.000Z',
        lastSuccess: { time: '2026-01-01T00:00:00.000Z', snapshot: 'x' },
        lastFailure: { time: '2026-01-01T00:00:00.000Z', step: 'gc', code: 'STORE_FULL', message: 'm' },
        lastVerify: { time: '2026-01-01T00:00:00.000Z', ok: true },
      },
    },
  }),
);

/** A configuration, or at least one problem whose place is inside of the text. */
function parse(input: Uint8Array): void {
  const text = Buffer.from(input).toString('utf8');
  const read = parseScheduleConfig(text, '/etc/vecsnap/backup.yaml');
  if ('config' in read) return;
  const lines = text.split(/\r\n|\n|\r/).length;
  if (read.problems.length === 0) throw new Wrong('neither a configuration nor a problem');
  for (const { line, column } of read.problems)
    if (!(line >= 1 && line <= lines + 1 && column >= 1)) throw new Wrong(`line ${line} of ${lines}`);
}

/** Makes the targets; the state is written below `directory`, again and again. */
export function scheduleTargets(directory: string): FuzzTarget[] {
  const stateFile = join(directory, 'state.json');
  return [
    {
      name: 'schedule-config',
      seeds: CONFIGS,
      decode: parse,
      budget: { multiple: 20_000, constant: 8 << 20 },
      isSlow: true, // Times of cron expressions are looked for.
    },
    {
      name: 'schedule-state',
      seeds: [STATE],
      async decode(input) {
        writeFileSync(stateFile, input);
        await readScheduleStatus({ jobs: [], stateFile });
      },
      budget: { multiple: 200, constant: 1 << 20 },
    },
  ];
}
