/** `vecsnap gc`: gives back the space of what no snapshot needs. */
import type { CollectReport } from '../../index.js';
import type { CliCommand } from '../command.js';
import { EXIT } from '../exit-codes.js';
import { addLockTimeout, type LockOption, REPO } from '../options.js';
import { withRepository } from '../session.js';
import { bytesText, plural } from '../text.js';

interface Flags extends LockOption {
  readonly dryRun?: boolean;
}

export const gc: CliCommand<Flags> = {
  onInterrupt: 'abort',
  configure: (command) =>
    addLockTimeout(command.argument(...REPO).option('--dry-run', 'only say what would be done')),
  examples: [
    ['vecsnap gc repo', 'deletes packs that nothing needs and rewrites those that little needs'],
    ['vecsnap gc repo --dry-run', 'says how much that would give back'],
    ['vecsnap gc repo --json | jq .reclaimedBytes', 'how much it gave back, as a number'],
  ],
  notes: `What was forgotten cannot be had back after this. When anything that a snapshot needs is missing, nothing is deleted, and the
exit code is 3; after a repair, chunks that are lost for good no longer stand in the way. On a full disk, what can be given back without
room is given back first; exit code 1 when some was not.`,
  run: (call, [repo], flags) =>
    withRepository(repo, flags, async (manager) => {
      const { dryRun = false } = flags;
      const { signal, onProgress } = call;
      const plan = await manager.collectGarbage({ dryRun, signal, onProgress });
      const { postponedPacks = [] } = plan;
      return {
        value: { ...plan, dryRun },
        text: () => planText(plan, dryRun),
        exitCode: postponedPacks.length > 0 ? EXIT.failed : EXIT.done,
      };
    }),
};

function planText(
  {
    deletedPacks,
    rewrittenPacks,
    keptPacks,
    flattenedChunks,
    reclaimedBytes,
    forgottenSnapshots,
    postponedPacks = [],
    roomNeeded = 0,
  }: CollectReport,
  dryRun: boolean,
): string {
  const kept =
    keptPacks.length === 0
      ? ''
      : `\n${plural(keptPacks.length, 'damaged pack')} left alone; see vecsnap verify.`;
  const postponed =
    postponedPacks.length === 0
      ? ''
      : `\nThe store is full: ${plural(postponedPacks.length, 'pack')} could not be rewritten. The next takes ${bytesText(roomNeeded)} of room: free as much, or forget more, and run it again.`;
  const count = forgottenSnapshots.length;
  const final = count === 0 ? '' : `, ${plural(count, 'forgotten snapshot')} gone for ever`;
  if (deletedPacks.length + rewrittenPacks.length + count === 0)
    return `${postponedPacks.length === 0 ? 'Nothing to give back.' : 'Nothing could be given back.'}${kept}${postponed}`;
  const packs = `${plural(deletedPacks.length, 'pack')} deleted, ${plural(rewrittenPacks.length, 'pack')} rewritten`;
  const flattened = flattenedChunks === 0 ? '' : `, ${plural(flattenedChunks, 'delta')} flattened`;
  return `${dryRun ? 'Would give' : 'Gave'} back ${bytesText(reclaimedBytes)}: ${packs}${flattened}${final}.${kept}${postponed}`;
}
