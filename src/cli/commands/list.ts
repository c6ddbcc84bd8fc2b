/** `vecsnap list`: the snapshots of a repository. */
import type { Snapshot } from '../../index.js';
import type { CliCommand } from '../command.js';
import { EXIT } from '../exit-codes.js';
import { addCollection, type CollectionOption, REPO } from '../options.js';
import { inCollection, listReadable, withRepository } from '../session.js';
import { type Column, outputWidth, tableText } from '../table.js';
import { bytesText, countText, plural, shortId, timeText } from '../text.js';

interface Flags extends CollectionOption {
  readonly forgotten?: boolean;
}

export const list: CliCommand<Flags> = {
  onInterrupt: 'exit',
  configure: (command) =>
    addCollection(command.argument(...REPO), 'only snapshots of this collection').option(
      '--forgotten',
      'those that were dropped and that unforget can have back',
    ),
  examples: [
    ['vecsnap list repo', 'all snapshots, the newest at the bottom'],
    ['vecsnap list repo --collection docs', 'those of one collection'],
    ["vecsnap list repo --json | jq -r '.[0].id'", 'the id of the newest: JSON has the newest first'],
  ],
  notes: `ID is the end of the id, which is enough to name a snapshot. Logical is the size of the content, added what the repository
grew by. A snapshot is damaged when a repair found that it lacks something; restore --salvage gives the rest. Exit code 3 when a snapshot cannot be read; the others are listed all the same.`,
  run: (call, [repo], { forgotten = false, ...filter }) =>
    withRepository(repo, {}, async (manager) => {
      const { snapshots: all, problems } = await listReadable(manager, call, { forgotten });
      const snapshots = inCollection(all, filter);
      return {
        value: snapshots,
        text: () => listText(snapshots),
        exitCode: problems.length > 0 ? EXIT.damage : EXIT.done,
      };
    }),
};

/** Below so many columns the seconds are left out, so that there is room for names. */
const NARROW = 100;
const MINUTES = 'YYYY-MM-DD HH:MM'.length;

const COLUMNS: readonly Column[] = [
  { head: 'ID' },
  { head: 'Time (UTC)' },
  { head: 'Collection', shrinksTo: 4 },
  { head: 'Name', shrinksTo: 4 },
  { head: 'Type' },
  { head: 'Records', align: 'right' },
  { head: 'Logical', align: 'right' },
  { head: 'Added', align: 'right' },
];
const TAGS: Column = { head: 'Tags', shrinksTo: 4 };
const STATE: Column = { head: 'State' };

function listText(snapshots: readonly Snapshot[]): string {
  if (snapshots.length === 0) return 'No snapshots.';
  const added = snapshots.reduce((sum, { addedBytes }) => sum + addedBytes, 0);
  const total = `${plural(snapshots.length, 'snapshot')}, ${bytesText(added)} added in all`;
  const hasTags = snapshots.some(({ tags, pinned }) => tags.length > 0 || pinned);
  const width = outputWidth();
  const isAnyDamaged = snapshots.some(({ damage }) => damage !== undefined);
  const columns = [...COLUMNS, ...(isAnyDamaged ? [STATE] : []), ...(hasTags ? [TAGS] : [])];
  const rows = snapshots
    .toReversed()
    .map((snapshot) => [
      ...row(snapshot, width < NARROW),
      ...(isAnyDamaged ? [snapshot.damage === undefined ? '' : 'damaged'] : []),
      ...(hasTags ? [tagsText(snapshot)] : []),
    ]);
  return `${tableText(columns, rows, width)}\n${total}`;
}

function row(snapshot: Snapshot, narrow: boolean): string[] {
  const { id, createdAt, collection, name, snapshotType, logicalBytes, addedBytes } = snapshot;
  return [
    shortId(id),
    narrow ? timeText(createdAt).slice(0, MINUTES) : timeText(createdAt),
    collection,
    name,
    snapshotType === 'full' ? 'full' : 'incr',
    contentText(snapshot),
    bytesText(logicalBytes),
    bytesText(addedBytes),
  ];
}

function tagsText({ tags, pinned }: Snapshot): string {
  return [...(pinned ? ['(pinned)'] : []), ...tags].join(', ');
}

function contentText({ vectorCount, fileCount }: Snapshot): string {
  return vectorCount === 0 && fileCount > 0 ? plural(fileCount, 'file', 'entries') : countText(vectorCount);
}
