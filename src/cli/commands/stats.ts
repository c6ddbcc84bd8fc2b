/** `vecsnap stats`: what is shared, exclusive and reclaimable. */
import type { RepositoryStats } from '../../index.js';
import type { CliCommand } from '../command.js';
import { REPO } from '../options.js';
import { withRepository } from '../session.js';
import { type Column, tableText } from '../table.js';
import { bytesText, countText, percentText, plural, shortId, timeText } from '../text.js';

export const stats: CliCommand = {
  onInterrupt: 'exit',
  configure: (command) => command.argument(...REPO),
  examples: [
    ['vecsnap stats repo', 'where the bytes of the repository are'],
    ['vecsnap stats repo --json | jq .unreferencedBytes', 'bytes of chunks that no snapshot needs'],
    [
      "vecsnap stats repo --json | jq -r '.collections[] | [.collection, .exclusiveBytes] | @tsv'",
      'bytes that only one collection needs',
    ],
  ],
  notes: `New are the bytes that no older snapshot needs; they are exclusive while nobody else needs them: so much comes back when
the snapshot alone is forgotten and the repository swept. New bytes and the rows below them sum to the repository. Of unreferenced
chunks, gc may leave as much as 5 % of the repository where it is: gc --dry-run says what it would give back now.`,
  run: (_, [repo]) =>
    withRepository(repo, {}, async (manager) => {
      const found = await manager.stats();
      return {
        value: found,
        text: () => [savingsText(found), placesText(found), chunksText(found)].join('\n\n'),
      };
    }),
};

const RIGHT = { align: 'right' } as const;

function savingsText(found: RepositoryStats): string {
  const { logicalBytes, uniqueBytes, storedBytes, dedupeSavedBytes, compressionSavedBytes } = found;
  const line = (label: string, bytes: number): string[] => [
    label,
    countText(bytes),
    bytesText(bytes),
    percentText(bytes, logicalBytes),
  ];
  return tableText(
    [
      { head: `${plural(found.snapshots, 'snapshot')} of ${plural(found.collections.length, 'collection')}` },
      { head: 'Bytes', ...RIGHT },
      { head: '', ...RIGHT },
      { head: '', ...RIGHT },
    ],
    [
      line('Logical: all snapshots, each whole', logicalBytes),
      line('- saved by deduplication', dedupeSavedBytes),
      line('= unique chunks', uniqueBytes),
      line('- saved by compression', compressionSavedBytes),
      line('= stored chunks', storedBytes),
    ],
  );
}

const PLACES: readonly Column[] = [
  { head: 'Where the bytes are', shrinksTo: 30 },
  { head: 'Time (UTC)' },
  { head: 'Logical', ...RIGHT },
  { head: 'Exclusive', ...RIGHT },
  { head: 'Shared', ...RIGHT },
  { head: 'New', ...RIGHT },
];

function placesText(found: RepositoryStats): string {
  const rows = found.collections.flatMap(({ collection, snapshots, ...shares }) => [
    [collection, '', ...sharesCells(shares)],
    ...snapshots.map(({ id, name, createdAt, ...one }) => [
      `  ${shortId(id)} ${name}`,
      timeText(createdAt),
      ...sharesCells(one),
    ]),
  ]);
  const other = (
    [
      ['unreferenced chunks (gc may leave 5 % of all)', found.unreferencedBytes],
      ['heads and ends of packs', found.packOverheadBytes],
      ['snapshots', found.snapshotBytes],
      ['config and locks', found.configBytes],
      ['fingerprints', found.fingerprintBytes],
      ['index, cache and reserve', found.indexBytes],
    ] as const
  ).map(([label, bytes]) => [label, '', '', '', '', countText(bytes)]);
  const total = [
    'REPOSITORY',
    '',
    '',
    '',
    bytesText(found.repositoryBytes),
    countText(found.repositoryBytes),
  ];
  return `${tableText(PLACES, [...rows, ...other, total])}\nRows that begin at the margin sum to the repository.`;
}

interface Shares {
  readonly logicalBytes: number;
  readonly exclusiveBytes: number;
  readonly sharedBytes: number;
  readonly newBytes: number;
}

function sharesCells({ logicalBytes, exclusiveBytes, sharedBytes, newBytes }: Shares): string[] {
  return [logicalBytes, exclusiveBytes, sharedBytes, newBytes].map(countText);
}

const BAR_WIDTH = 30;

function chunksText({ chunks: { count, nodes, histogram } }: RepositoryStats): string {
  const head = `${plural(count, 'chunk')} in use, ${countText(nodes)} of them nodes of manifests`;
  if (count === 0) return head;
  const most = Math.max(...histogram.map(({ bytes }) => bytes), 1);
  const rows = histogram.map(({ fromBytes, toBytes, chunks, bytes }) => [
    `${binaryText(fromBytes)} to ${binaryText(toBytes)}`,
    countText(chunks),
    countText(bytes),
    '#'.repeat(Math.round((bytes / most) * BAR_WIDTH)),
  ]);
  const columns = [
    { head: 'Size of chunks', ...RIGHT },
    { head: 'Chunks', ...RIGHT },
    { head: 'Bytes', ...RIGHT },
    { head: '' },
  ];
  return `${head}\n${tableText(columns, rows)}`;
}

/** Powers of two, as chunk sizes are counted. */
function binaryText(bytes: number): string {
  const unit = bytes >= 2 ** 30 ? 3 : bytes >= 2 ** 20 ? 2 : bytes >= 2 ** 10 ? 1 : 0;
  return `${bytes / 1024 ** unit} ${['B', 'KiB', 'MiB', 'GiB'][unit]}`;
}
