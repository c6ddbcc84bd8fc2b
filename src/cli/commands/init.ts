/** `vecsnap init`: makes a repository. */
import { resolve } from 'node:path';
import type { CliCommand } from '../command.js';
import { printable } from '../text.js';

export const init: CliCommand = {
  onInterrupt: 'exit',
  configure: (command) => command.argument('<REPO>', 'a directory that is empty or does not exist'),
  examples: [
    ['vecsnap init repo', 'makes the directory repo and an empty repository in it'],
    ['vecsnap init /backup/vectors', 'the same on another disk; the directory above must be writable'],
  ],
  async run(_, [repo]) {
    const { SnapshotManager } = await import('../../index.js');
    const manager = await SnapshotManager.init({ snapshotDir: repo as string });
    await manager.close();
    return {
      value: { repository: resolve(repo as string) },
      text: () => `Made a repository at ${printable(repo as string)}.`,
    };
  },
};
