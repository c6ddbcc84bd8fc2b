/** `vecsnap pin` and `vecsnap unpin`: what no rule drops. */
import type { Snapshot } from '../../index.js';
import type { CliCommand } from '../command.js';
import { addLockTimeout, type LockOption, REPO } from '../options.js';
import { findAll, withRepository } from '../session.js';
import { shortId, shown } from '../text.js';

export const pin = pinning('pin', true, [
  ['vecsnap pin repo latest', 'keeps the newest, whatever rules forget is given'],
  ['vecsnap pin repo 4k2f9x1q "before reindexing"', 'keeps these two'],
]);

export const unpin = pinning('unpin', false, [
  ['vecsnap unpin repo 4k2f9x1q', 'lets the rules decide about it again'],
  ['vecsnap unpin repo latest && vecsnap forget repo latest', 'and drops the newest'],
]);

function pinning(name: string, pinned: boolean, examples: CliCommand['examples']): CliCommand<LockOption> {
  return {
    onInterrupt: 'abort',
    configure: (command) =>
      addLockTimeout(command.argument(...REPO).argument('<SNAP...>', `the snapshots to ${name}`)),
    examples,
    notes: 'A pinned snapshot is dropped neither by a rule nor by its name.',
    run: (call, [repo, snaps], flags) =>
      withRepository(repo, flags, async (manager) => {
        const changed: Snapshot[] = [];
        for (const { id } of await findAll(manager, call, snaps as readonly string[]))
          changed.push(await manager.markSnapshot(id, { pinned }, { signal: call.signal }));
        return { value: changed, text: () => changed.map(lineText).join('\n') };
      }),
  };
}

function lineText({ id, name, pinned }: Snapshot): string {
  return `${shortId(id)} "${shown(name)}" is ${pinned ? 'pinned.' : 'not pinned.'}`;
}
