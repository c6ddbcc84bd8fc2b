/** `vecsnap diff`: what differs between two snapshots. */
import type { RecordId, Snapshot, SnapshotDifference } from '../../index.js';
import type { CliCommand } from '../command.js';
import { wholeNumber, REPO } from '../options.js';
import { findAll, withRepository } from '../session.js';
import { countText, plural, shortId, shown } from '../text.js';

interface Flags {
  readonly ids?: number;
}

const DEFAULT_IDS = 10;

export const diff: CliCommand<Flags> = {
  onInterrupt: 'exit',
  configure: (command) =>
    command
      .argument(...REPO)
      .argument('<A>', 'the snapshot to begin from')
      .argument('<B>', 'the snapshot to compare with it')
      .option(
        '--ids <N>',
        `show so many ids or paths of each kind (default: ${DEFAULT_IDS}; with --json: all)`,
        wholeNumber(0),
      ),
  examples: [
    ['vecsnap diff repo monday tuesday', 'what was added, removed and changed from monday to tuesday'],
    ['vecsnap diff repo 4k2f9x1q latest --ids 100', 'the same with more of the ids'],
    ["vecsnap diff repo monday tuesday --json | jq '.records.changed'", 'the number of records that changed'],
  ],
  notes: `The distance of a changed record is the Euclidean one between its vectors. In JSON a distance that is no number (NaN or
infinite) is null, and an id above 2^53 − 1 is text.`,
  run: (call, [repo, a, b], { ids }) =>
    withRepository(repo, {}, async (manager) => {
      const [left, right] = (await findAll(manager, call, [a as string, b as string])) as [
        Snapshot,
        Snapshot,
      ];
      const difference = await manager.diffSnapshots(left.id, right.id);
      return {
        value: toJson(difference, ids ?? Infinity),
        text: () => differenceText(left, right, difference, ids ?? DEFAULT_IDS),
      };
    }),
};

function toJson({ records, files, ...rest }: SnapshotDifference, ids: number): unknown {
  return {
    ...rest,
    records: {
      ...records,
      addedIds: records.addedIds.slice(0, ids).map(idToJson),
      removedIds: records.removedIds.slice(0, ids).map(idToJson),
      changedRecords: records.changedRecords.slice(0, ids).map((one) => ({ ...one, id: idToJson(one.id) })),
    },
    files: {
      added: files.added.slice(0, ids),
      removed: files.removed.slice(0, ids),
      changed: files.changed.slice(0, ids),
    },
  };
}

/** Most readers of JSON know no whole numbers beyond the safe ones. */
function idToJson(id: RecordId): string | number {
  return typeof id === 'bigint' && id <= Number.MAX_SAFE_INTEGER ? Number(id) : String(id);
}

function differenceText(a: Snapshot, b: Snapshot, difference: SnapshotDifference, ids: number): string {
  const head = `From ${titleText(a)} to ${titleText(b)}`;
  if (difference.identical) return `${head}: identical.`;
  const hasFiles = a.fileCount > 0 || b.fileCount > 0;
  const hasRecords = a.vectorCount > 0 || b.vectorCount > 0 || !hasFiles;
  return [
    `${head}:`,
    ...(difference.formatChanged
      ? ['  the format is another one, or what belongs to it (of a directory, its own permissions)']
      : []),
    ...(hasRecords ? recordLines(difference, ids) : []),
    ...(hasFiles ? fileLines(difference, ids) : []),
  ].join('\n');
}

function titleText({ id, name }: Snapshot): string {
  return `${shortId(id)} "${shown(name, 40)}"`;
}

function recordLines({ records }: SnapshotDifference, ids: number): string[] {
  const { added, removed, changed, addedIds, removedIds, changedRecords } = records;
  const changes = changedRecords
    .slice(0, ids)
    .map(({ id, distance, payloadChanged }) => `${idText(id)} (${distanceText(distance, payloadChanged)})`);
  return [
    ...(records.schemaChanged
      ? ['  the schema is another one, so all records count as removed and added']
      : []),
    `  ${plural(added, 'record')} added${idList(addedIds.slice(0, ids).map(idText), addedIds.length)}`,
    `  ${plural(removed, 'record')} removed${idList(removedIds.slice(0, ids).map(idText), removedIds.length)}`,
    `  ${plural(changed, 'record')} changed${idList(changes, changed)}`,
    ...(changed > 0 ? [`    ${changesText(records)}`] : []),
  ];
}

function changesText({
  vectorsChanged,
  payloadsChanged,
  meanDistance,
  maxDistance,
}: SnapshotDifference['records']): string {
  const distances =
    vectorsChanged > 0
      ? ` (distance ${numberText(meanDistance)} on average, ${numberText(maxDistance)} at most)`
      : '';
  return `${plural(vectorsChanged, 'vector')}${distances}, ${plural(payloadsChanged, 'payload')}`;
}

function distanceText(distance: number, payloadChanged: boolean): string {
  if (distance === 0) return 'payload';
  return `by ${numberText(distance)}${payloadChanged ? ', and the payload' : ''}`;
}

function fileLines({ files }: SnapshotDifference, ids: number): string[] {
  return (['added', 'removed', 'changed'] as const).map((kind) => {
    const paths = files[kind];
    return `  ${plural(paths.length, 'file')} ${kind}${idList(
      paths.slice(0, ids).map((path) => shown(path)),
      paths.length,
    )}`;
  });
}

/** Some of `total` things, one a line. */
function idList(some: readonly string[], total: number): string {
  if (some.length === 0) return '';
  const more = total > some.length ? [`… and ${countText(total - some.length)} more`] : [];
  return `:${[...some, ...more].map((line) => `\n    ${line}`).join('')}`;
}

function idText(id: RecordId): string {
  return shown(String(id));
}

function numberText(value: number): string {
  return Number.isFinite(value) ? String(Number(value.toPrecision(4))) : String(value);
}
