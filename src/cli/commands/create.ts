/** `vecsnap create`: takes a snapshot. */
import type { CreateOptions, Snapshot, SnapshotManager, Source } from '../../index.js';
import type { Call, CliCommand } from '../command.js';
import { UsageError } from '../failure.js';
import {
  addCollection,
  addLockTimeout,
  type CollectionOption,
  gather,
  type LockOption,
  REPO,
} from '../options.js';
import { choose, inCollection, listReadable, withRepository } from '../session.js';
import { summaryText } from '../summary.js';
import { shown } from '../text.js';
import { startForFile } from '../early-start.js';

interface Flags extends LockOption, CollectionOption {
  readonly name?: string;
  readonly base?: string;
  readonly full?: boolean;
  readonly rescan?: boolean;
  readonly changes?: string;
  readonly tag?: readonly string[];
  readonly metadata?: readonly string[];
}

export const create: CliCommand<Flags> = {
  onInterrupt: 'abort',
  configure(command) {
    command
      .argument(...REPO)
      .argument('<SOURCE>', 'scheme:location, or a path')
      .option('--name <NAME>', "what to call the snapshot (default: the collection's name)");
    addCollection(command, "which collection it is a snapshot of (default: the source's own name)");
    command
      .option(
        '--base <SNAP>',
        'the snapshot that it continues (default: the latest of the collection, if any)',
      )
      .option('--full', 'no base')
      .option('--rescan', 'read all of the source, whatever it tells of what was written since the base')
      .option('--changes <JOURNAL>', 'the journal of what has changed since the base (see trackChanges)')
      .option('--tag <TAG>', 'a word to find it by; may be given several times', gather)
      .option('--metadata <KEY=VALUE>', 'a text to keep with it; may be given several times', gather);
    addLockTimeout(command);
  },
  examples: [
    ['vecsnap create repo vectors.fbin', 'the first time a full snapshot, after that incremental ones'],
    [
      'vecsnap create repo index/ --name "before reindexing" --tag release',
      'a directory tree, with a name and a tag',
    ],
    [
      'vecsnap create repo npy:data.bin --collection docs --metadata model=all-MiniLM-L6-v2',
      'says the format and the collection',
    ],
    ['vecsnap create repo vectors.fbin --json | jq .addedBytes', 'prints the snapshot as JSON'],
  ],
  notes: `Whether full or incremental, a snapshot stores only what the repository does not have yet, and restores on its own.
A file, also of a directory, or a ruvector database that was not written since the base is not read again, except with
--rescan or --full.
Of a directory that contains the repository, the repository is left out. Ctrl-C leaves the repository as it was.`,
  startEarly: ([, place]) => startForFile(place as string),
  run: (call, [repo, place], flags) =>
    withRepository(repo, flags, async (manager) => {
      checkFlags(flags);
      const { resolveSource } = await import('../../source/registry.js');
      const source = await resolveSource(place as string, { changes: flags.changes });
      const snapshot = await take(call, manager, source, flags);
      return { value: snapshot, text: () => summaryText(snapshot) };
    }),
};

function checkFlags({ full, base }: Flags): void {
  if (full && base !== undefined) throw new UsageError("options '--base' and '--full' exclude each other");
}

async function take(call: Call, manager: SnapshotManager, source: Source, flags: Flags): Promise<Snapshot> {
  const { signal, onProgress } = call;
  const { collection = source.collection, name = collection, tag: tags, rescan } = flags;
  const metadata = parseMetadata(flags.metadata ?? []);
  const options: CreateOptions = { signal, onProgress, collection, tags, metadata, rescan };
  const base = await findBase(call, manager, collection, flags);
  return base === undefined
    ? manager.createSnapshot(source, name, options)
    : manager.createIncrementalSnapshot(source, name, base.id, options);
}

/** What `--base` names is looked for in the collection first, so that `latest` means the latest of the collection. */
async function findBase(
  call: Call,
  manager: SnapshotManager,
  collection: string,
  { base, full }: Flags,
): Promise<Snapshot | undefined> {
  if (full) return undefined;
  const listing = await listReadable(manager, call);
  const snapshots = inCollection(listing.snapshots, { collection });
  const { findSnapshot, newestOf } = await import('../../snapshot/find.js');
  if (base === undefined) return choose(call, listing, (now) => newestOf(snapshots, now));
  const { isVecsnapError } = await import('../../index.js');
  try {
    return choose(call, listing, (now) => findSnapshot({ ...listing, snapshots, now }, base));
  } catch (error) {
    if (!isVecsnapError(error, 'SNAPSHOT_UNKNOWN')) throw error;
    return choose(call, listing, (now) => findSnapshot({ ...listing, now }, base));
  }
}

function parseMetadata(pairs: readonly string[]): { readonly [key: string]: string } {
  const metadata = new Map<string, string>();
  for (const pair of pairs) {
    const at = pair.indexOf('=');
    if (at <= 0) throw new UsageError(`option '--metadata' takes KEY=VALUE, not '${shown(pair)}'`);
    const key = pair.slice(0, at);
    if (metadata.has(key)) throw new UsageError(`option '--metadata' is given twice for '${shown(key)}'`);
    metadata.set(key, pair.slice(at + 1));
  }
  return Object.fromEntries(metadata);
}
