/** `vecsnap restore`: writes a snapshot into a target. */
import type { Losses, LostFiles, LostRecords, Snapshot, WriteReport } from '../../index.js';
import type { CliCommand } from '../command.js';
import { EXIT } from '../exit-codes.js';
import { REPO, SNAP } from '../options.js';
import { findOne, withRepository } from '../session.js';
import { bytesText, contentText, filesText, plural, shortId, shown } from '../text.js';
import { startForPacks } from '../early-start.js';

interface Flags {
  readonly overwrite?: boolean;
  readonly salvage?: boolean;
}

export const restore: CliCommand<Flags> = {
  onInterrupt: 'abort',
  configure: (command) =>
    command
      .argument(...REPO)
      .argument(...SNAP)
      .argument('<TARGET>', 'scheme:location, or a path')
      .option('--overwrite', 'replace what stands at the target; without it, that is an error')
      .option('--salvage', 'give what is whole of a damaged snapshot, and tell what is lost'),
  examples: [
    ['vecsnap restore repo latest out.fbin', 'the newest snapshot, into a new file'],
    [
      'vecsnap restore repo "before reindexing" index/ --overwrite',
      'one that has a name, in place of what is there',
    ],
    ['vecsnap restore repo 4k2f9x1q npy:out.bin', 'in another format than it came from'],
    ['vecsnap restore repo latest rest.jsonl --salvage', 'what is left of a damaged one'],
  ],
  notes: `For a path without a telling ending, the format is the one that the snapshot came from. What stands at the target goes only
when the new content is complete; a target that is the repository, lies in it or contains it is refused. Everything that is read is checked; damage ends the restore with exit code 3. With --salvage what is whole is given all the same, and the
exit code is 3 when anything is lost; --json lists it.`,
  startEarly: ([repo], ended) => startForPacks(repo as string, ended),
  run: (call, [repo, snap, place], { overwrite, salvage }) =>
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
        { overwrite, allowDamaged: salvage, signal, onProgress },
      );
      const { lost, ...written } = report;
      return {
        value: {
          id: snapshot.id,
          target,
          ...written,
          ...(lost === undefined ? {} : { lost: lossesJson(lost) }),
        },
        text: () =>
          [reportText(snapshot, target, report), ...noteLines(report), ...lossLines(lost)].join('\n'),
        exitCode: lost !== undefined && lossLines(lost).length > 0 ? EXIT.damage : EXIT.done,
      };
    }),
};

function noteLines({ notes = [] }: WriteReport): string[] {
  return notes.map((note) => `  note     ${shown(note, 1000)}`);
}

/** Losses beyond these are only counted. */
const MOST_LINES = 20;

function lossLines(lost: Losses | undefined): string[] {
  if (lost === undefined || lost.records.length + lost.files.length === 0) return [];
  const records = lost.records.reduce((sum, { count }) => sum + count, 0);
  const files = lost.files.reduce((sum, { count }) => sum + count, 0);
  const lines = [...lost.records.map(recordsLine), ...lost.files.map(filesLine)];
  const more = lines.length - MOST_LINES;
  return [
    `Lost: ${contentText({ records, files })}.`,
    ...lines.slice(0, MOST_LINES),
    ...(more > 0 ? [`  and more in ${plural(more, 'other place')}; --json lists them`] : []),
  ];
}

function recordsLine({ count, ids, after, to, firstRow }: LostRecords): string {
  if (firstRow !== undefined) return `  ${plural(count, 'row')} from row ${firstRow} on`;
  const [from, end] = ids === undefined ? [after, to] : [ids.at(0), ids.at(-1)];
  if (end === undefined) return `  ${plural(count, 'record')}`;
  const start =
    from === undefined ? 'the first' : `${ids === undefined ? 'after ' : ''}${shown(String(from))}`;
  return `  ${plural(count, 'record')}: ${start} to ${shown(String(end))}`;
}

function filesLine({ count, path, after, to }: LostFiles): string {
  if (path !== undefined) return `  ${shown(path, 1000)}`;
  return `  ${filesText(count)} after ${shown(after ?? '', 1000)} to ${shown(to ?? '', 1000)}`;
}

/** Ids as text: JSON has no numbers of 64 bits. */
function lossesJson({ records, files }: Losses) {
  return {
    records: records.map(({ ids, after, to, ...rest }) => ({
      ...rest,
      ...(ids === undefined ? {} : { ids: Array.from(ids as Iterable<string | bigint>, String) }),
      ...(after === undefined ? {} : { after: String(after) }),
      ...(to === undefined ? {} : { to: String(to) }),
    })),
    files,
  };
}

function reportText({ id }: Snapshot, place: string, report: WriteReport): string {
  return `Restored ${shortId(id)} into ${shown(place, 1000)}: ${contentText(report)}, ${bytesText(report.bytes)}.`;
}
