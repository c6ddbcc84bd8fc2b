/** `vecsnap tag`: adds and removes tags. */
import type { CliCommand } from '../command.js';
import { addLockTimeout, gather, type LockOption, REPO, SNAP } from '../options.js';
import { findOne, withRepository } from '../session.js';
import { shortId, shown } from '../text.js';

interface Flags extends LockOption {
  readonly add?: readonly string[];
  readonly remove?: readonly string[];
}

export const tag: CliCommand<Flags> = {
  onInterrupt: 'abort',
  configure(command) {
    command
      .argument(...REPO)
      .argument(...SNAP)
      .option('--add <TAG>', 'a tag that it is to have; may be given several times', gather)
      .option('--remove <TAG>', 'a tag that it is to have no longer; may be given several times', gather);
    addLockTimeout(command);
  },
  examples: [
    ['vecsnap tag repo latest --add release --add v2', 'adds two'],
    ['vecsnap tag repo 4k2f9x1q --remove release', 'removes one'],
    ['vecsnap tag repo latest', 'shows those that it has'],
  ],
  run: (call, [repo, snap], flags) =>
    withRepository(repo, flags, async (manager) => {
      const { add, remove } = flags;
      const found = await findOne(manager, call, snap);
      const isChange = add !== undefined || remove !== undefined;
      const snapshot = isChange
        ? await manager.markSnapshot(found.id, { add, remove }, { signal: call.signal })
        : found;
      const tags = snapshot.tags.map((one) => shown(one)).join(', ');
      return {
        value: snapshot,
        text: () => `${shortId(snapshot.id)} ${tags === '' ? 'has no tags.' : `has ${tags}`}`,
      };
    }),
};
