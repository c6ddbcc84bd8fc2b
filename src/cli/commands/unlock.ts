/** `vecsnap unlock`: removes the leases of writers that are dead, and those that are named. */
import type { UnlockReport } from '../../index.js';
import type { CliCommand } from '../command.js';
import { gather, REPO } from '../options.js';
import { withRepository } from '../session.js';
import { plural, shown } from '../text.js';

interface Flags {
  readonly force?: readonly string[];
}

export const unlock: CliCommand<Flags> = {
  onInterrupt: 'exit', // Each lease goes whole or stays.
  configure: (command) =>
    command
      .argument(...REPO)
      .option('--force <LEASE>', 'also this lease, whoever holds it; may be given several times', gather),
  examples: [
    ['vecsnap unlock repo', 'removes the locks of writers that are dead, and tells who holds the others'],
    ['vecsnap unlock repo --force locks/writer-1760000000000-5f…', 'removes this one too'],
    ['vecsnap unlock repo --json | jq .standing', 'who holds the lock, for programs'],
  ],
  notes: `Every writer removes the locks of dead writers itself: at once on the same machine, half an hour after the last sign of life on
another. So this is for who wants to look, or cannot wait. A writer whose lock is removed while it is at work fails with LEASE_LOST.`,
  run: (_, [repo], { force }) =>
    withRepository(repo, {}, async (manager) => {
      const report = await manager.unlock({ force: force ?? [] });
      return { value: report, text: () => unlockText(report) };
    }),
};

function unlockText({ removed, standing }: UnlockReport): string {
  const first = removed.length === 0 ? 'No lock to remove.' : `Removed ${plural(removed.length, 'lock')}.`;
  return [first, ...standing.map(leaseText)].join('\n');
}

function leaseText({ name, state, holder }: UnlockReport['standing'][number]): string {
  if (holder === undefined) return `${shown(name, 200)} cannot be decoded; it holds others off for a day`;
  const { operation, pid, host, startedAt } = holder;
  const since = new Date(startedAt).toISOString();
  const seen = state === 'live' ? 'is alive' : 'is on another machine, and gave a sign of life';
  return `${shown(name, 200)} is held by "${shown(operation)}", process ${pid} on ${shown(host)}, since ${since}, which ${seen}`;
}
