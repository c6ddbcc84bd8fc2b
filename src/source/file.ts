/** Any single file, kept byte for byte with its permissions. Its times and its owner are not kept. */
import { basename } from 'node:path';
import { throwIfAborted, VecsnapError } from '../core/index.js';
import { collectionName } from './collection-name.js';
import { LocalFile, sizeOfFile } from './local-file.js';
import type { Content, FileEntry, OpenSource, Source, Target, WriteReport } from './port.js';

/** A source that reads the file at `path`. */
export function fileSource(path: string): Source {
  return {
    place: `file:${path}`,
    collection: collectionName(path, [], 'file'),
    roughBytes: () => sizeOfFile(path),
    async open() {
      const file = await LocalFile.open(path);
      await file.settle();
      return openedFile(file, []);
    },
  };
}

/** A file that is open, as content; it is closed with it. */
export function openedFile(file: LocalFile, notes: readonly string[]): OpenSource {
  const { mode, size } = file;
  const entry: FileEntry = { type: 'file', path: basename(file.path), mode, size, read: () => file.stream() };
  return {
    format: { name: 'file' },
    schema: undefined,
    records: undefined,
    files: async function* () {
      yield entry;
    },
    expected: { bytes: size },
    notes,
    state: file.stateFor(`file ${basename(file.path)}`),
    confirmUnchanged: () => file.confirmUnchanged(),
    close: () => file.close(),
  };
}

/** A target that writes the one file of a content to `path`, whatever its name was. */
export function fileTarget(path: string): Target {
  const place = `file:${path}`;
  return {
    place,
    async prepare(options) {
      const { checkTargetFree } = await import('./replace.js');
      await checkTargetFree(path, options);
    },
    async write(content, options) {
      if (content.schema !== undefined || content.files === undefined) throw notOneFile(place, 'records');
      const { replaceAtomically } = await import('./replace.js');
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
  const { writeRegularFile } = await import('./file-writer.js');
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
