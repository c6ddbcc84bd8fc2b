/**
 * From what a person types to a source or a target: `scheme:location`, or a bare path that is recognised.
 *
 * Each scheme is a row of a table and its code is loaded when it is asked for, so that a program starts without the
 * drivers that it does not use.
 */
import { stat } from 'node:fs/promises';
import { equalBytes, VecsnapError } from '../core/index.js';
import type { MatrixFormat, MatrixScheme } from './matrix.js';
import { NPY_MAGIC } from './npy-header.js';
import type { FormatNote, Source, Target } from './port.js';

/** The first bytes of every redb file; a database of ruvector is one. */
const REDB_MAGIC = Uint8Array.of(0x72, 0x65, 0x64, 0x62, 0x1a, 0x0a, 0xa9, 0x0d, 0x0a);

/** One kind of source and target. */
interface Kind {
  readonly scheme: string;
  /** Endings of paths, in lower case and with the dot, that tell this kind. */
  readonly endings: readonly string[];
  /** The first bytes of a file that tell this kind. */
  readonly magic?: Uint8Array;
  /** Other programs use the endings too, so they tell a file that is there only together with the magic. */
  readonly sharedEndings?: boolean;
  source(location: string): Promise<Source>;
  target(location: string): Promise<Target>;
}

const KINDS: readonly Kind[] = [
  matrixKind('fbin', async () => (await import('./bin.js')).fbin),
  matrixKind('u8bin', async () => (await import('./bin.js')).u8bin),
  matrixKind('i8bin', async () => (await import('./bin.js')).i8bin),
  { ...matrixKind('npy', async () => (await import('./npy.js')).npy), magic: NPY_MAGIC },
  matrixKind('fvecs', async () => (await import('./vecs.js')).fvecs),
  matrixKind('bvecs', async () => (await import('./vecs.js')).bvecs),
  {
    scheme: 'ruvector',
    endings: ['.ruvector', '.db', '.redb'],
    magic: REDB_MAGIC,
    sharedEndings: true,
    source: async (location) => (await import('./ruvector.js')).ruvectorSource(location),
    target: async (location) => (await import('./ruvector-target.js')).ruvectorTarget(location),
  },
  {
    scheme: 'jsonl',
    endings: ['.jsonl', '.ndjson'],
    source: async (location) => (await import('./jsonl.js')).jsonlSource(location),
    target: async (location) => (await import('./jsonl-target.js')).jsonlTarget(location),
  },
  {
    scheme: 'file',
    endings: [],
    source: async (location) => (await import('./file.js')).fileSource(location),
    target: async (location) => (await import('./file-target.js')).fileTarget(location),
  },
  {
    scheme: 'dir',
    endings: [],
    source: async (location) => (await import('./directory.js')).directorySource(location),
    target: async (location) => (await import('./directory-target.js')).directoryTarget(location),
  },
];

function matrixKind(scheme: MatrixScheme, load: () => Promise<MatrixFormat>): Kind {
  return {
    scheme,
    endings: [`.${scheme}`],
    source: async (location) => (await import('./matrix.js')).matrixSource(await load(), location),
    target: async (location) => (await import('./matrix-target.js')).matrixTarget(await load(), location),
  };
}

/** The schemes that {@link resolveSource} and {@link resolveTarget} know. */
export const SCHEMES: readonly string[] = KINDS.map((kind) => kind.scheme);

/** How {@link resolveSource} makes a source. */
export interface ResolveOptions {
  /** The journal of changes to follow: see {@link followChanges}. */
  readonly changes?: string | undefined;
}

/**
 * The source that `text` names: `scheme:location`, or a path. A path is recognised by what stands there (a directory, the
 * first bytes of a file), else by its ending; any other file is taken as it is.
 * @throws VecsnapError SOURCE_UNRECOGNISED for an unknown scheme, OPTION_INVALID for no location, SOURCE_FAILED.
 */
export async function resolveSource(text: string, { changes }: ResolveOptions = {}): Promise<Source> {
  const named = await parseScheme(text);
  const source = await (named === undefined
    ? (await recognise(text)).source(text)
    : named.kind.source(named.location));
  if (changes === undefined) return source;
  const { followChanges } = await import('./follow-changes.js');
  return followChanges(source, { journal: changes });
}

/**
 * The target that `text` names: `scheme:location`, or a path.
 *
 * For a path, a snapshot of files goes into a file or a directory whatever the ending says; records go into what the ending
 * says, and without a telling one into the format that they came from.
 * @param format the format of what is to be restored.
 * @throws VecsnapError SOURCE_UNRECOGNISED for an unknown scheme, or when nothing tells the format; OPTION_INVALID.
 */
export async function resolveTarget(text: string, format?: FormatNote): Promise<Target> {
  const named = await parseScheme(text);
  if (named !== undefined) return named.kind.target(named.location);
  const files = format?.name === 'file' || format?.name === 'directory';
  const kind = (files ? undefined : kindByEnding(text)) ?? kindByFormat(format);
  if (kind !== undefined) return kind.target(text);
  throw new VecsnapError('SOURCE_UNRECOGNISED', 'Nothing tells the format of the target.', {
    place: text,
    remedy: `Put one of ${schemeList()} before the path.`,
  });
}

/** A letter before a colon may be a drive, so a scheme has two characters or more. */
const SCHEME = /^([a-z][a-z0-9]+):/;

/** The scheme and the location of `text`; undefined for a path, also for one that only looks like a scheme. */
async function parseScheme(text: string): Promise<{ kind: Kind; location: string } | undefined> {
  if (text === '') throw noLocation(text);
  const scheme = SCHEME.exec(text)?.[1];
  if (scheme === undefined) return undefined;
  const kind = KINDS.find((one) => one.scheme === scheme);
  const { pathExists } = await import('./local-file.js');
  if (kind === undefined && (await pathExists(text))) return undefined;
  if (kind === undefined) throw unknownScheme(scheme, text);
  const location = text.slice(scheme.length + 1);
  if (location === '') throw noLocation(text);
  return { kind, location };
}

function noLocation(text: string): VecsnapError {
  return new VecsnapError('OPTION_INVALID', 'No location is given.', {
    place: JSON.stringify(text),
    remedy: 'Give a path, or a scheme, a colon and a location, for example npy:vectors.npy.',
  });
}

function unknownScheme(scheme: string, text: string): VecsnapError {
  return new VecsnapError('SOURCE_UNRECOGNISED', `There is no scheme ${scheme}.`, {
    place: text,
    remedy: `The schemes are ${schemeList()}. Put ./ before a path that has a colon.`,
  });
}

function schemeList(): string {
  return SCHEMES.map((scheme) => `${scheme}:`).join(', ');
}

function kindOf(scheme: string): Kind {
  return KINDS.find((kind) => kind.scheme === scheme) as Kind;
}

function kindByFormat(format: FormatNote | undefined): Kind | undefined {
  const scheme = format?.name === 'directory' ? 'dir' : format?.name;
  return KINDS.find((kind) => kind.scheme === scheme);
}

function kindByEnding(path: string): Kind | undefined {
  const lower = path.toLowerCase();
  return KINDS.find((kind) => kind.endings.some((ending) => lower.endsWith(ending)));
}

async function recognise(path: string): Promise<Kind> {
  const found = await stat(path).catch(() => undefined); // Opening it will say what is wrong.
  if (found?.isDirectory()) return kindOf('dir');
  const byEnding = kindByEnding(path);
  if (!found?.isFile()) return byEnding ?? kindOf('file');
  const start = await firstBytes(path);
  const byMagic = KINDS.find(({ magic }) => magic !== undefined && beginsWith(start, magic));
  return byMagic ?? (byEnding?.sharedEndings ? undefined : byEnding) ?? kindOf('file');
}

const LONGEST_MAGIC = 16;

async function firstBytes(path: string): Promise<Uint8Array> {
  const { LocalFile } = await import('./local-file.js');
  const file = await LocalFile.open(path);
  try {
    return await file.readExactly(0, Math.min(file.size, LONGEST_MAGIC));
  } finally {
    await file.close();
  }
}

function beginsWith(bytes: Uint8Array, magic: Uint8Array): boolean {
  return equalBytes(bytes.subarray(0, magic.length), magic);
}
