/** `vecsnap forget`: drops snapshots. */
import type { RetentionDecision, Snapshot, SnapshotManager } from '../../index.js';
import type { Call, CliCommand } from '../command.js';
import { UsageError } from '../failure.js';
import {
  addCollection,
  addLockTimeout,
  type CollectionOption,
  type LockOption,
  wholeNumber,
  REPO,
} from '../options.js';
import { findAll, inCollection, withRepository } from '../session.js';
import { tableText } from '../table.js';
import { plural, printable, shortId, timeText } from '../text.js';

interface Flags extends LockOption, CollectionOption {
  readonly keepLast?: number;
  readonly dryRun?: boolean;
}

export const forget: CliCommand<Flags> = {
  onInterrupt: 'abort',
  configure(command) {
    command
      .argument(...REPO)
      .argument('[SNAP...]', 'the snapshots to drop')
      .option('--keep-last <N>', 'instead: drop all but the newest N of each collection', wholeNumber(1));
    addCollection(command, 'look only at snapshots of this collection').option(
      '--dry-run',
      'only say what would be dropped',
    );
    addLockTimeout(command);
  },
  examples: [
    ['vecsnap forget repo 4k2f9x1q "before reindexing"', 'drops these two'],
    ['vecsnap forget repo --keep-last 7', 'keeps the newest seven of each collection'],
    [
      'vecsnap forget repo --keep-last 7 --collection docs --dry-run',
      'says what that would drop of one collection',
    ],
    ['vecsnap forget repo --keep-last 7 && vecsnap gc repo', 'and gives their space back'],
  ],
  notes: 'Their bytes stay until vecsnap gc. Dropping the base of an incremental snapshot does it no harm.',
  run: (call, [repo, snaps], flags) =>
    withRepository(repo, flags, async (manager) => {
      const { dryRun = false } = flags;
      const before = (await manager.listAll()).snapshots;
      const decision = await decide(call, manager, snaps as readonly string[], flags);
      if (!dryRun) await manager.deleteSnapshots(decision.forget, { signal: call.signal });
      return {
        value: { ...decision, dryRun },
        text: () => decisionText(decision, before, repo as string, dryRun),
      };
    }),
};

async function decide(
  call: Call,
  manager: SnapshotManager,
  snaps: readonly string[],
  { keepLast, collection }: Flags,
): Promise<RetentionDecision> {
  if (keepLast === undefined && snaps.length === 0)
    throw new UsageError('give snapshots to drop, or --keep-last');
  if (keepLast === undefined) return dropNamed(call, manager, snaps, collection);
  if (snaps.length > 0) throw new UsageError('give either snapshots or --keep-last, not both');
  return manager.decideRetention({ keepLast }, { collection });
}

async function dropNamed(
  call: Call,
  manager: SnapshotManager,
  snaps: readonly string[],
  collection: string | undefined,
): Promise<RetentionDecision> {
  const dropped = new Set((await findAll(manager, call, snaps, { collection })).map(({ id }) => id));
  const { snapshots } = await manager.listAll();
  const kept = inCollection(snapshots, { collection }).filter(({ id }) => !dropped.has(id));
  return { forget: [...dropped].toSorted(), keep: kept.map(({ id }) => ({ id, reasons: ['not named'] })) };
}

function decisionText(
  { forget: dropped, keep }: RetentionDecision,
  before: readonly Snapshot[],
  repo: string,
  dryRun: boolean,
): string {
  const kept = `${plural(keep.length, 'snapshot')} ${keep.length === 1 ? 'stays' : 'stay'}.`;
  if (dropped.length === 0) return `Nothing to drop; ${kept}`;
  const byId = new Map(before.map((snapshot) => [snapshot.id, snapshot]));
  const rows = dropped.flatMap((id) => byId.get(id) ?? []).map(row);
  const done = dryRun ? 'Would drop' : 'Dropped';
  const next = dryRun ? '' : `\nTo give their space back: vecsnap gc ${printable(repo)}`;
  return `${done} ${plural(dropped.length, 'snapshot')}; ${kept}\n${tableText(COLUMNS, rows)}${next}`;
}

const COLUMNS = [
  { head: 'ID' },
  { head: 'Time (UTC)' },
  { head: 'Collection', shrinksTo: 12 },
  { head: 'Name', shrinksTo: 8 },
];

function row({ id, createdAt, collection, name }: Snapshot): string[] {
  return [shortId(id), timeText(createdAt), collection, name];
}
