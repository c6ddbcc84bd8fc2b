/** `vecsnap import`: takes in a folder that `vecsnap export` wrote. */
import type { CliCommand } from '../command.js';
import { addLockTimeout, type LockOption, REPO } from '../options.js';
import { withRepository } from '../session.js';
import { summaryText } from '../summary.js';

export const importCommand: CliCommand<LockOption> = {
  onInterrupt: 'abort',
  configure: (command) =>
    addLockTimeout(command.argument(...REPO).argument('<DIR>', 'a folder that vecsnap export wrote')),
  examples: [
    ['vecsnap import repo handed-over', 'a snapshot that came from elsewhere'],
    ['vecsnap import repo handed-over --json', 'prints the snapshot as JSON'],
  ],
  notes:
    'The checksums of the folder are checked first; a folder that is damaged ends with exit code 3 and changes nothing.',
  run: (call, [repo, dir], flags) =>
    withRepository(repo, flags, async (manager) => {
      const { signal, onProgress } = call;
      const snapshot = await manager.importSnapshot(dir as string, { signal, onProgress });
      return { value: snapshot, text: () => summaryText(snapshot) };
    }),
};
