/** `vecsnap repair`: gets back what can be had, marks what lacks something, and makes the index again. */
import type { ConfigRepair, RepairReport } from '../../index.js';
import type { Call, CliCommand } from '../command.js';
import { EXIT } from '../exit-codes.js';
import { addLockTimeout, type LockOption, REPO } from '../options.js';
import { withRepository } from '../session.js';
import { bytesText, plural, shortId, shown } from '../text.js';

interface Flags extends LockOption {
  readonly dryRun?: boolean;
}

export const repair: CliCommand<Flags> = {
  onInterrupt: 'abort',
  configure: (command) =>
    addLockTimeout(command.argument(...REPO).option('--dry-run', 'only say what would be done')),
  examples: [
    ['vecsnap repair repo --dry-run', 'what is damaged, and what can be had back'],
    ['vecsnap repair repo', 'does it, and makes the index again from the packs'],
    ['vecsnap repair repo && vecsnap create repo docs.fbin', 'then lets the live database heal what it can'],
  ],
  notes: `Reads everything. Chunks of packs whose end is damaged are written to new packs, and so are chunks in which one flipped bit can be
mended. Snapshots that lack something stay, marked in the list; restore --salvage gives what is whole of them. Nothing is deleted
that may still be of use. Exit code 3 when something is lost or cannot be read.`,
  async run(call, [repo], flags) {
    const config = await repairConfig(repo as string, flags);
    if (config !== 'sound' && flags.dryRun)
      return { value: { config, dryRun: true }, text: () => CONFIG[config] };
    const report = await repairAll(call, repo, flags);
    const isDamaged =
      report.damagedSnapshots.length + report.unreadableSnapshots.length + report.damagedPacks.length > 0;
    return {
      value: { config, ...report },
      text: () => [...(config === 'sound' ? [] : [CONFIG[config]]), ...reportLines(report)].join('\n'),
      exitCode: isDamaged ? EXIT.damage : EXIT.done,
    };
  },
};

const CONFIG: Readonly<Record<ConfigRepair, string>> = {
  sound: 'The config is sound.',
  mended: 'The config was damaged and is mended.',
  'made anew':
    'The config was lost and is made anew with the default parameters. All snapshots can be read; the next ones may share less with them.',
};

async function repairConfig(
  snapshotDir: string,
  { dryRun = false, lockTimeout }: Flags,
): Promise<ConfigRepair> {
  const { SnapshotManager } = await import('../../index.js');
  const lock = lockTimeout === undefined ? {} : { lockTimeoutMs: Math.round(lockTimeout * 1000) };
  return SnapshotManager.repairConfig({ snapshotDir, ...lock }, { dryRun });
}

function repairAll({ signal, onProgress }: Call, repo: unknown, flags: Flags): Promise<RepairReport> {
  const { dryRun } = flags;
  return withRepository(repo, flags, (manager) => manager.repair({ dryRun, signal, onProgress }));
}

function reportLines(report: RepairReport): string[] {
  const { dryRun, packs, damagedPacks, savedChunks, writtenBytes, lostChunks, damagedSnapshots } = report;
  const lines = [
    dryRun
      ? 'Nothing was changed.'
      : `Made the index again from ${plural(packs - damagedPacks.length, 'pack')}.`,
  ];
  const would = dryRun ? 'could be' : 'were';
  if (savedChunks > 0)
    lines.push(`${plural(savedChunks, 'chunk')} ${would} saved: ${bytesText(writtenBytes)} written.`);
  for (const id of report.mendedSnapshots)
    lines.push(`Snapshot ${shortId(id)} ${dryRun ? 'could be' : 'is'} mended.`);
  for (const name of report.putBack.filter((one) => !one.startsWith('snapshots/')))
    lines.push(`${shown(name, 1000)} ${dryRun ? 'could be' : 'is'} in its place again.`);
  for (const pack of damagedPacks)
    lines.push(`${shown(pack, 1000)} is damaged and is left alone; what is sound in it stands elsewhere.`);
  for (const blob of report.unreadableSnapshots)
    lines.push(`${shown(blob, 1000)} cannot be read and is left alone.`);
  if (report.damagedCopies > 0)
    lines.push(`${plural(report.damagedCopies, 'damaged copy', 'damaged copies')} noted.`);
  if (lostChunks.length === 0) {
    const which = report.unreadableSnapshots.length === 0 ? '' : ' that can be read';
    return [...lines, `No snapshot${which} lacks anything.`];
  }
  lines.push(
    `${plural(lostChunks.length, 'chunk')} lost. A new snapshot of the same source writes again what it still has.`,
  );
  for (const { id, lostChunks: count } of damagedSnapshots)
    lines.push(`Snapshot ${shortId(id)} lacks ${plural(count, 'chunk')}; restore --salvage gives the rest.`);
  return lines;
}
