/** `vecsnap policy`: the rules that are stored in the repository, for `forget` to go by. */
import type { SnapshotManager, StoredPolicy } from '../../index.js';
import type { CliCommand } from '../command.js';
import { UsageError } from '../failure.js';
import { addCollection, addLockTimeout, type CollectionOption, type LockOption, REPO } from '../options.js';
import { commander } from '../packages.js';
import { addPolicy, policyFrom, type PolicyFlags, policyText } from '../retention-options.js';
import { withRepository } from '../session.js';
import { pairsText } from '../table.js';
import { shown } from '../text.js';

interface Flags extends LockOption, CollectionOption, PolicyFlags {}

type Action = 'set' | 'show' | 'remove';

export const policy: CliCommand<Flags> = {
  onInterrupt: 'abort',
  configure(command) {
    const action = new commander.Argument('<ACTION>', 'what to do').choices(['set', 'show', 'remove']);
    addPolicy(command.addArgument(action).argument(...REPO));
    addCollection(command, 'of this collection (default: of all that have none of their own)');
    addLockTimeout(command);
  },
  examples: [
    ['vecsnap policy set repo --keep-daily 7 --keep-monthly 12', 'stores the rules for all collections'],
    ['vecsnap policy set repo --collection docs --keep-last 30', 'stores other rules for one of them'],
    ['vecsnap policy show repo', 'shows the rules of all'],
    ['vecsnap policy remove repo --collection docs', 'lets the common rules decide about it again'],
  ],
  notes:
    'vecsnap forget without rules and without snapshots goes by these. Setting rules replaces those before.',
  run: (_, [action, repo], flags) =>
    withRepository(repo, flags, async (manager) => {
      await change(manager, action as Action, flags);
      const stored = await manager.listPolicies();
      const { collection } = flags;
      const meant =
        action === 'show'
          ? stored.filter((one) => (collection ?? one.collection) === one.collection)
          : stored;
      return { value: meant, text: () => policiesText(meant) };
    }),
};

async function change(manager: SnapshotManager, action: Action, flags: Flags): Promise<void> {
  const { collection } = flags;
  const rules = policyFrom(flags);
  if (action === 'set') {
    if (rules === undefined) throw new UsageError('give at least one rule, such as --keep-daily 7');
    return manager.setPolicy(rules, { collection });
  }
  if (rules !== undefined || flags.timeZone !== undefined)
    throw new UsageError(`rules are given to 'policy set', not to 'policy ${action}'`);
  if (action === 'remove' && !(await manager.removePolicy({ collection })))
    throw new UsageError(
      `there is no policy ${collection === undefined ? 'for all collections' : `of ${shown(collection)}`}`,
    );
}

function policiesText(stored: readonly StoredPolicy[]): string {
  if (stored.length === 0) return 'No policy.';
  return pairsText(
    stored.map(({ collection, policy: rules }) => [
      collection === null ? '(all others)' : shown(collection),
      policyText(rules),
    ]),
  );
}
