/** `vecsnap export`: writes a snapshot into a folder that stands on its own. */
import type { CliCommand } from '../command.js';
import { REPO, SNAP } from '../options.js';
import { findOne, withRepository } from '../session.js';
import { shortId, shown } from '../text.js';

interface Flags {
  readonly overwrite?: boolean;
}

export const exportCommand: CliCommand<Flags> = {
  onInterrupt: 'abort',
  configure: (command) =>
    command
      .argument(...REPO)
      .argument(...SNAP)
      .argument('<DIR>', 'a directory that is empty or does not exist'),
  examples: [
    ['vecsnap export repo latest handed-over', 'the newest snapshot, whole, with its checksums'],
    [
      'vecsnap export repo 4k2f9x1q /media/usb/docs && vecsnap import other /media/usb/docs',
      'from one repository to another',
    ],
  ],
  run: (call, [repo, snap, dir]) =>
    withRepository(repo, {}, async (manager) => {
      const snapshot = await findOne(manager, call, snap);
      const { signal, onProgress } = call;
      const report = await manager.exportSnapshot(snapshot.id, dir as string, { signal, onProgress });
      return {
        value: { id: snapshot.id, directory: dir, ...report },
        text: () => `Exported ${shortId(snapshot.id)} into ${shown(dir as string, 1000)}.`,
      };
    }),
};
