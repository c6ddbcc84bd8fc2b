/** `vecsnap restore`: writes a snapshot into a target. */
import type { Snapshot, WriteReport } from '../../index.js';
import type { CliCommand } from '../command.js';
import { REPO, SNAP } from '../options.js';
import { findOne, withRepository } from '../session.js';
import { bytesText, contentText, shortId, shown } from '../text.js';

interface Flags {
  readonly overwrite?: boolean;
}

export const restore: CliCommand<Flags> = {
  onInterrupt: 'abort',
  configure: (command) =>
    command
      .argument(...REPO)
      .argument(...SNAP)
      .argument('<TARGET>', 'scheme:location, or a path')
      .option('--overwrite', 'replace what stands at the target; without it, that is an error'),
  examples: [
    ['vecsnap restore repo latest out.fbin', 'the newest snapshot, into a new file'],
    [
      'vecsnap restore repo "before reindexing" index/ --overwrite',
      'one that has a name, in place of what is there',
    ],
    ['vecsnap restore repo 4k2f9x1q npy:out.bin', 'in another format than it came from'],
  ],
  notes: `For a path without a telling ending, the format is the one that the snapshot came from. What stands at the target goes only
when the new content is complete. Everything that is read is checked; damage ends the restore with exit code 3.`,
  run: (call, [repo, snap, place], { overwrite }) =>
    withRepository(repo, {}, async (manager) => {
      const snapshot = await findOne(manager, call, snap);
      const { resolveTarget } = await import('../../index.js');
      const { signal, onProgress } = call;
      let target = place as string;
      const report = await manager.restoreSnapshot(
        snapshot.id,
        async (format) => {
          const resolved = await resolveTarget(target, format);
          target = resolved.place;
          return resolved;
        },
        { overwrite, signal, onProgress },
      );
      return {
        value: { id: snapshot.id, target, ...report },
        text: () => reportText(snapshot, target, report),
      };
    }),
};

function reportText({ id }: Snapshot, place: string, report: WriteReport): string {
  return `Restored ${shortId(id)} into ${shown(place, 1000)}: ${contentText(report)}, ${bytesText(report.bytes)}.`;
}
