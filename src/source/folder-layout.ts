/**
 * The folder that a snapshot is exported to, for tools that do not know vecsnap. docs/format.md has every byte.
 *
 * `metadata.json` describes; `vectors.bin.gz` has the vectors of each record in order, the columns of a record one after
 * the other; `metadata.bin.gz` has ids and payloads; `index.bin.gz` has files; `checksum.sha256` has the digests of these
 * four, as `sha256sum --check` reads them.
 */
import { VecsnapError } from '../core/index.js';

/** The files of an exported folder. */
export const FOLDER_FILES = {
  description: 'metadata.json',
  vectors: 'vectors.bin.gz',
  payloads: 'metadata.bin.gz',
  files: 'index.bin.gz',
  checksums: 'checksum.sha256',
} as const;

/** The files that have a digest in `checksum.sha256`. */
export const CHECKED_FILES = [
  FOLDER_FILES.description,
  FOLDER_FILES.files,
  FOLDER_FILES.payloads,
  FOLDER_FILES.vectors,
] as const;

/** The version of this layout. */
export const FOLDER_VERSION = 1;

/** What `index.bin.gz` writes for each type of file. */
export const FILE_TYPES = { file: 0, directory: 1, link: 2 } as const;

/** The text of `checksum.sha256`. */
export function formatChecksums(digests: ReadonlyMap<string, string>): string {
  return CHECKED_FILES.map((name) => `${digests.get(name) ?? ''}  ${name}\n`).join('');
}

/** @throws VecsnapError IMPORT_DAMAGED unless there is a line for each file. */
export function parseChecksums(text: string, place: string): Map<string, string> {
  const digests = new Map<string, string>();
  for (const line of text.split('\n')) {
    const [, digest, name] = /^([0-9a-f]{64}) [ *](.+)$/.exec(line) ?? [];
    if (digest !== undefined && name !== undefined) digests.set(name, digest);
  }
  const missing = CHECKED_FILES.find((name) => !digests.has(name));
  if (missing !== undefined)
    throw importDamaged(`${FOLDER_FILES.checksums} has no line for ${missing}`, place);
  return digests;
}

/** An exported folder that cannot be imported. */
export function importDamaged(what: string, place: string, cause?: unknown): VecsnapError {
  return new VecsnapError('IMPORT_DAMAGED', `The folder cannot be imported: ${what}.`, {
    place,
    remedy: 'Export the snapshot again, or copy the folder again from where it was whole.',
    cause,
  });
}
