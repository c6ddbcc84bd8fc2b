/** `vecsnap verify`: reads everything and reports all damage. */
import type { Problem, Snapshot, VerifyReport } from '../../index.js';
import type { Call, CliCommand } from '../command.js';
import { EXIT } from '../exit-codes.js';
import { REPO } from '../options.js';
import { findAll, withRepository } from '../session.js';
import type { SnapshotManager } from '../../index.js';
import { bytesText, plural, shortId, shown } from '../text.js';
import { startForPacks } from '../early-start.js';

export const verify: CliCommand = {
  onInterrupt: 'exit',
  configure: (command) =>
    command
      .argument(...REPO)
      .argument('[SNAP...]', 'only what these snapshots need (default: the whole repository)'),
  examples: [
    ['vecsnap verify repo', 'every byte of every pack, and every reference'],
    ['vecsnap verify repo latest', 'only what the newest snapshot needs'],
    [
      "vecsnap verify repo --json | jq '.problems[].snapshots[]'",
      'the ids of the snapshots that are concerned',
    ],
  ],
  notes: 'All damage is reported, not just the first. Exit code 3 when there is any.',
  startEarly: ([repo], ended) => startForPacks(repo as string, ended),
  run: (call, [repo, snaps]) =>
    withRepository(repo, {}, async (manager) => {
      const report = await check(call, manager, snaps as readonly string[]);
      const snapshots = report.ok ? [] : (await manager.listAll()).snapshots;
      return {
        value: report,
        text: () => reportText(report, snapshots),
        exitCode: report.ok ? EXIT.done : EXIT.damage,
      };
    }),
};

async function check(call: Call, manager: SnapshotManager, snaps: readonly string[]): Promise<VerifyReport> {
  const { signal, onProgress } = call;
  if (snaps.length === 0) return manager.verifyRepository({ signal, onProgress });
  const ids = new Set((await findAll(manager, call, snaps)).map(({ id }) => id));
  return manager.verifySnapshots([...ids], { signal, onProgress });
}

function reportText({ ok, problems, checked }: VerifyReport, snapshots: readonly Snapshot[]): string {
  const amount = `${plural(checked.snapshots, 'snapshot')}, ${plural(checked.chunks, 'chunk')}, ${bytesText(checked.bytes)} read`;
  if (ok) return `No damage: ${amount}.`;
  const names = new Map(snapshots.map(({ id, name }) => [id, name]));
  const lines = problems.flatMap((problem) => problemLines(problem, names));
  return [...lines, `${plural(problems.length, 'problem')} found: ${amount}.`].join('\n');
}

function problemLines(
  { code, message, blob, address, snapshots }: Problem,
  names: ReadonlyMap<string, string>,
): string[] {
  const concerned = snapshots.map((id) => `${shortId(id)} "${shown(names.get(id) ?? '', 40)}"`);
  return [
    `${code}: ${shown(message, 1000)}`,
    ...(blob === undefined ? [] : [`  blob       ${shown(blob, 1000)}`]),
    ...(address === undefined ? [] : [`  chunk      ${address}`]),
    `  snapshots  ${concerned.length === 0 ? 'none of them needs it' : concerned.join(', ')}`,
  ];
}
