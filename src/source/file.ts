/** Any single file, kept byte for byte with its permissions. Its times and its owner are not kept. */
import { basename } from 'node:path';
import { collectionName } from './collection-name.js';
import { LocalFile, sizeOfFile } from './local-file.js';
import type { FileEntry, OpenSource, Source } from './port.js';

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
    state: () => file.stateFor(`file ${basename(file.path)}`),
    confirmUnchanged: () => file.confirmUnchanged(),
    close: () => file.close(),
  };
}
