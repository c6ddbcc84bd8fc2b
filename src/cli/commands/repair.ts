/** `vecsnap repair`: rebuilds the index from the packs. */
import type { CliCommand } from '../command.js';
import { EXIT } from '../exit-codes.js';
import { addLockTimeout, type LockOption, REPO } from '../options.js';
import { withRepository } from '../session.js';
import { plural, shown } from '../text.js';

export const repair: CliCommand<LockOption> = {
  onInterrupt: 'exit', // The index is derived: wherever this ends, whoever opens the repository next brings it up to date.
  configure: (command) => addLockTimeout(command.argument(...REPO)),
  examples: [
    ['vecsnap repair repo', 'throws the index away and makes it again from the directories of the packs'],
    ['vecsnap repair repo && vecsnap verify repo', 'and checks everything'],
  ],
  notes: `Only the index is derived. Damaged packs and snapshots cannot be made again: put them back from another copy, or take a new
snapshot of the same source. Exit code 3 when a pack cannot be read.`,
  run: (_, [repo], flags) =>
    withRepository(repo, flags, async (manager) => {
      const report = await manager.repair();
      const { packs, damagedPacks } = report;
      const damage = damagedPacks.map((pack) => `\n  ${shown(pack, 1000)} cannot be read`);
      return {
        value: report,
        text: () =>
          `Made the index again from ${plural(packs - damagedPacks.length, 'pack')}.${damage.join('')}`,
        exitCode: damagedPacks.length > 0 ? EXIT.damage : EXIT.done,
      };
    }),
};
