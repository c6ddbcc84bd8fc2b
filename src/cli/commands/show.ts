/** `vecsnap show`: everything about one snapshot. */
import type { Snapshot, SnapshotDamage } from '../../index.js';
import type { CliCommand } from '../command.js';
import { REPO, SNAP } from '../options.js';
import { findOne, withRepository } from '../session.js';
import { pairsText } from '../table.js';
import { bytesText, countText, plural, printableJson, shown, timeText } from '../text.js';

export const show: CliCommand = {
  onInterrupt: 'exit',
  configure: (command) => command.argument(...REPO).argument(...SNAP),
  examples: [
    ['vecsnap show repo latest', 'the newest snapshot'],
    ['vecsnap show repo 4k2f9x1q --json', 'one that list shows, as JSON'],
  ],
  run: (call, [repo, snap]) =>
    withRepository(repo, {}, async (manager) => {
      const snapshot = await findOne(manager, call, snap);
      return { value: snapshot, text: () => snapshotText(snapshot) };
    }),
};

const LONGEST = 1000;

/** Some lines about a snapshot. */
function snapshotText(snapshot: Snapshot): string {
  const { id, name, collection, createdAt, baseId, vectorCount, fileCount } = snapshot;
  const metadata = Object.entries(snapshot.metadata).map(([key, value]): [string, string] => [
    'metadata',
    `${shown(key)} = ${shown(printableJson(value), LONGEST)}`,
  ]);
  return pairsText([
    ['id', id],
    ['name', shown(name, LONGEST)],
    ['collection', shown(collection, LONGEST)],
    ['time', `${timeText(createdAt)} UTC`],
    ['type', baseId === null ? 'full' : `incremental on ${baseId}`],
    ['records', countText(vectorCount)],
    ['files, folders', countText(fileCount)],
    ['logical', exactText(snapshot.logicalBytes)],
    ['added', exactText(snapshot.addedBytes)],
    ['NaN or infinite', countText(snapshot.nonFiniteCount)],
    ['tags', snapshot.tags.map((tag) => shown(tag)).join(', ')],
    ['pinned', snapshot.pinned ? 'yes' : 'no'],
    ...metadata,
    ...snapshot.notes.map((note): [string, string] => ['note', shown(note, LONGEST)]),
    ...(snapshot.damage === undefined ? [] : [damageLine(snapshot.damage)]),
    ['checksum', snapshot.checksum],
  ]);
}

function damageLine({ lostChunks, notedAt }: SnapshotDamage): [string, string] {
  return [
    'damaged',
    `lacks ${plural(lostChunks, 'chunk')}, noted ${timeText(notedAt)} UTC; see restore --salvage`,
  ];
}

function exactText(bytes: number): string {
  return bytes < 1000 ? bytesText(bytes) : `${bytesText(bytes)} (${countText(bytes)} bytes)`;
}
