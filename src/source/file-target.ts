/** Writes a snapshot of one file back to a file. */
import { throwIfAborted, VecsnapError } from '../core/index.js';
import { writeRegularFile } from './file-writer.js';
import type { Content, Target, WriteReport } from './port.js';
import { checkTargetFree, replaceAtomically } from './replace.js';

/** A target that writes the one file of a content to `path`, whatever its name was. */
export function fileTarget(path: string): Target {
  const place = `file:${path}`;
  return {
    place,
    prepare: (options) => checkTargetFree(path, options),
    async write(content, options) {
      if (content.schema !== undefined || content.files === undefined) throw notOneFile(place, 'records');
      return replaceAtomically(path, options, (temporary) =>
        writeOnly(place, temporary, content, options.signal),
      );
    },
  };
}

async function writeOnly(
  place: string,
  path: string,
  content: Content,
  signal: AbortSignal | undefined,
): Promise<WriteReport> {
  let bytes: number | undefined;
  for await (const entry of content.files?.() ?? []) {
    throwIfAborted(signal);
    if (entry.type !== 'file') throw notOneFile(place, `a ${entry.type}`);
    if (bytes !== undefined) throw notOneFile(place, 'several files');
    bytes = await writeRegularFile(path, entry, signal);
  }
  if (bytes === undefined) throw notOneFile(place, 'none');
  return { records: 0, files: 1, bytes };
}

function notOneFile(place: string, what: string): VecsnapError {
  return new VecsnapError(
    'TARGET_UNSUITABLE',
    `A file: target takes one regular file, and the content has ${what}.`,
    {
      place,
      remedy: 'Restore files to dir:, and records to a file of their own format or to jsonl:.',
    },
  );
}
