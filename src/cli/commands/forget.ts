/** `vecsnap forget`: drops snapshots. */
import type { ForgetReport, RetentionPolicy, Snapshot, SnapshotManager } from '../../index.js';
import type { Call, CliCommand } from '../command.js';
import { UsageError } from '../failure.js';
import { addCollection, addLockTimeout, type CollectionOption, type LockOption, REPO } from '../options.js';
import { addPolicy, policyFrom, type PolicyFlags } from '../retention-options.js';
import { findAll, withRepository } from '../session.js';
import { type Column, tableText } from '../table.js';
import { bytesText, plural, printable, shortId, timeText } from '../text.js';

interface Flags extends LockOption, CollectionOption, PolicyFlags {
  readonly dryRun?: boolean;
}

export const forget: CliCommand<Flags> = {
  onInterrupt: 'abort',
  configure(command) {
    addPolicy(command.argument(...REPO).argument('[SNAP...]', 'the snapshots to drop, instead of by rule'));
    addCollection(command, 'look only at snapshots of this collection').option(
      '--dry-run',
      'only say what would be dropped, why the others stay, and what gc would then give back',
    );
    addLockTimeout(command);
  },
  examples: [
    ['vecsnap forget repo 4k2f9x1q "before reindexing"', 'drops these two'],
    [
      'vecsnap forget repo --keep-daily 7 --keep-weekly 5 --keep-monthly 12 --time-zone Europe/Berlin --dry-run',
      'says what these rules would drop of each collection, and what that would give back',
    ],
    ['vecsnap forget repo --keep-last 7 --keep-tag release && vecsnap gc repo', 'and gives their space back'],
    ['vecsnap forget repo', 'goes by the rules that vecsnap policy set has stored'],
  ],
  notes: `A snapshot stays when any rule keeps it. Pinned ones stay, and those whose date cannot be relied on: dated in the future, or
against the order in which they were taken. Until vecsnap gc, vecsnap unforget has dropped ones back. Dropping the base of an
incremental snapshot does it no harm.`,
  run: (call, [repo, snaps], flags) =>
    withRepository(repo, flags, async (manager) => {
      const { dryRun = false, collection } = flags;
      const before = (await manager.listAll()).snapshots;
      warnOfUnknown(collection, before, call);
      const what = await whatToForget(call, manager, snaps as readonly string[], flags);
      const report = await manager.forget({ ...what, collection, dryRun, signal: call.signal });
      if (report.reclaimableBytes === null)
        call.warn('gc would refuse to sweep, because something is damaged; see vecsnap verify');
      if (report.final.length > 0) call.warn('the disk is full, so unforget will not have all of them back');
      return { value: valueOf(report), text: () => reportText(report, before, repo as string) };
    }),
};

/** A slip in a name would otherwise look as if there were nothing to do. */
function warnOfUnknown(collection: string | undefined, snapshots: readonly Snapshot[], call: Call): void {
  if (collection === undefined || snapshots.some((one) => one.collection === collection)) return;
  call.warn(`no snapshot is of the collection ${collection}; vecsnap list shows those there are`);
}

/** `final` is told only when there is something to tell. */
function valueOf({ final, ...report }: ForgetReport): object {
  return final.length === 0 ? report : { ...report, final };
}

async function whatToForget(
  call: Call,
  manager: SnapshotManager,
  snaps: readonly string[],
  flags: Flags,
): Promise<{ ids?: readonly string[]; policy?: RetentionPolicy | undefined }> {
  const policy = policyFrom(flags);
  if (policy === undefined && flags.timeZone !== undefined)
    throw new UsageError("option '--time-zone' is of use only with rules such as --keep-daily");
  if (snaps.length > 0) {
    if (policy !== undefined)
      throw new UsageError('give either snapshots or rules such as --keep-last, not both');
    return { ids: (await findAll(manager, call, snaps, flags)).map(({ id }) => id) };
  }
  if (policy === undefined && (await manager.listPolicies()).length === 0)
    throw new UsageError(
      'give snapshots to drop or rules such as --keep-last; the repository stores no policy',
    );
  return { policy };
}

function reportText(report: ForgetReport, before: readonly Snapshot[], repo: string): string {
  const { forget: dropped, keep, dryRun } = report;
  const kept = `${plural(keep.length, 'snapshot')} ${keep.length === 1 ? 'stays' : 'stay'}.`;
  const stays = dryRun ? `\n${keptText(report, before)}` : '';
  if (dropped.length === 0) return `Nothing to drop; ${kept}${stays}`;
  const done = dryRun ? 'Would drop' : 'Dropped';
  const next = dryRun
    ? `\n${priceText(report)}`
    : `\nTo give their space back: vecsnap gc ${printable(repo)}`;
  return `${done} ${plural(dropped.length, 'snapshot')}; ${kept}\n${droppedText(report, before)}${stays}${next}`;
}

const COLUMNS: readonly Column[] = [
  { head: 'ID' },
  { head: 'Time (UTC)' },
  { head: 'Collection', shrinksTo: 12 },
  { head: 'Name', shrinksTo: 8 },
];
const ALONE: Column = { head: 'Exclusive', align: 'right' };
const WHY: Column = { head: 'Stays because', shrinksTo: 20 };

function droppedText({ forget: dropped, bySnapshot }: ForgetReport, before: readonly Snapshot[]): string {
  const prices = new Map(bySnapshot?.map(({ id, exclusiveBytes }) => [id, exclusiveBytes]));
  const rows = rowsOf(dropped, before, (id) => {
    const bytes = prices.get(id) ?? null;
    return bytes === null ? '?' : bytesText(bytes);
  });
  return tableText(bySnapshot === undefined ? COLUMNS : [...COLUMNS, ALONE], rows);
}

function keptText({ keep }: ForgetReport, before: readonly Snapshot[]): string {
  if (keep.length === 0) return '';
  const reasons = new Map(keep.map((one) => [one.id, one.reasons.join(', ')]));
  const oldestFirst = keep.map(({ id }) => id).toReversed();
  return tableText(
    [...COLUMNS, WHY],
    rowsOf(oldestFirst, before, (id) => reasons.get(id) ?? ''),
  );
}

function rowsOf(
  ids: readonly string[],
  before: readonly Snapshot[],
  last: (id: string) => string,
): string[][] {
  const byId = new Map(before.map((snapshot) => [snapshot.id, snapshot]));
  return ids.flatMap((id) => {
    const snapshot = byId.get(id);
    if (snapshot === undefined) return [];
    const { createdAt, collection, name } = snapshot;
    return [[shortId(id), timeText(createdAt), collection, name, last(id)]];
  });
}

function priceText({ reclaimableBytes }: ForgetReport): string {
  if (typeof reclaimableBytes !== 'number') return 'vecsnap gc would give nothing back.';
  return `vecsnap gc would then give back ${bytesText(reclaimableBytes)}.`;
}
