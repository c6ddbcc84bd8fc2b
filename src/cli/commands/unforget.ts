/** `vecsnap unforget`: has dropped snapshots back. */
import type { Snapshot, SnapshotManager } from '../../index.js';
import type { Call, CliCommand } from '../command.js';
import { UsageError } from '../failure.js';
import { addLockTimeout, type LockOption, REPO } from '../options.js';
import { listReadable, withRepository } from '../session.js';
import { plural, shortId, shown } from '../text.js';

interface Flags extends LockOption {
  readonly all?: boolean;
}

export const unforget: CliCommand<Flags> = {
  onInterrupt: 'abort',
  configure(command) {
    command
      .argument(...REPO)
      .argument('[SNAP...]', 'ids, the ends of ids, names, or latest, among those that were dropped')
      .option('--all', 'all that can be had back');
    addLockTimeout(command);
  },
  examples: [
    ['vecsnap list repo --forgotten', 'what can be had back'],
    ['vecsnap unforget repo 4k2f9x1q', 'has this one back, as it was'],
    ['vecsnap unforget repo --all', 'has all of them back'],
    ['vecsnap unforget repo --all --json | jq length', 'and prints how many they were'],
  ],
  notes: 'vecsnap gc makes an end of what was dropped before it.',
  run: (call, [repo, snaps], flags) =>
    withRepository(repo, flags, async (manager) => {
      const wanted = await whatToHaveBack(call, manager, snaps as readonly string[], flags);
      const back = await manager.unforget(wanted, { signal: call.signal });
      return { value: back, text: () => backText(back) };
    }),
};

async function whatToHaveBack(
  call: Call,
  manager: SnapshotManager,
  snaps: readonly string[],
  { all = false }: Flags,
): Promise<readonly string[] | 'all'> {
  if (all === snaps.length > 0) throw new UsageError('give either snapshots to have back, or --all');
  if (all) return 'all';
  const { findSnapshot, VecsnapError, isVecsnapError } = await import('../../index.js');
  const listing = await listReadable(manager, call, { forgotten: true });
  return snaps.map((text) => {
    try {
      return findSnapshot(listing, text).id;
    } catch (cause) {
      if (!isVecsnapError(cause, 'SNAPSHOT_UNKNOWN')) throw cause;
      throw new VecsnapError(
        'SNAPSHOT_UNKNOWN',
        `No dropped snapshot is called ${JSON.stringify(shown(text))}.`,
        {
          place: shown(text),
          remedy:
            'vecsnap list --forgotten shows those that can be had back. What was dropped before a gc is gone for ever.',
          cause,
        },
      );
    }
  });
}

function backText(back: readonly Snapshot[]): string {
  const lines = back.map(
    ({ id, name, collection }) => `  ${shortId(id)} "${shown(name)}" of ${shown(collection)}`,
  );
  return [`Had ${plural(back.length, 'snapshot')} back.`, ...lines].join('\n');
}
