/** `vecsnap export`: writes a snapshot into a folder that stands on its own. */
import type { CliCommand } from '../command.js';
import { REPO, SNAP } from '../options.js';
import { findOne, withRepository } from '../session.js';
import { bytesText, contentText, shortId, shown } from '../text.js';

export const exportCommand: CliCommand = {
  onInterrupt: 'abort',
  configure: (command) =>
    command
      .argument(...REPO)
      .argument(...SNAP)
      .argument('<DIR>', 'where the folder snapshot-ID is made; it need not exist'),
  examples: [
    ['vecsnap export repo latest handed-over', 'the newest snapshot, whole, with its checksums'],
    [
      'vecsnap export repo 4k2f9x1q /media/usb/docs && vecsnap import other /media/usb/docs',
      'from one repository to another',
    ],
  ],
  notes: `The folder holds plain files with checksums (docs/format.md) and needs no vecsnap to be read. It must be apart from the
repository. Ctrl-C leaves nothing behind.`,
  run: (call, [repo, snap, dir]) =>
    withRepository(repo, {}, async (manager) => {
      const snapshot = await findOne(manager, call, snap);
      const { signal, onProgress } = call;
      const report = await manager.exportSnapshot(snapshot.id, dir as string, { signal, onProgress });
      return {
        value: { id: snapshot.id, ...report },
        text: () =>
          `Exported ${shortId(snapshot.id)} into ${shown(report.path, 1000)}: ${contentText(report)}, ${bytesText(report.bytes)}.`,
      };
    }),
};
