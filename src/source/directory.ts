/**
 * A directory tree as a source: its directories (empty ones too), its files and its symbolic links, which are not followed.
 *
 * Names, permissions, bytes and the targets of links are kept. Times and owners are not: they would make two copies of one
 * tree two different snapshots. Sockets, fifos and devices have no content; they are left out, and so is the repository that the
 * snapshot goes into, which would have to hold itself. A note says so.
 */
import type { Buffer } from 'node:buffer';
import { createHash } from 'node:crypto';
import type { BigIntStats } from 'node:fs';
import { readlink, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { compareText, fromUtf8, isVecsnapError, VecsnapError } from '../core/index.js';
import { directoryIdentity, identityText, isWithin } from './apart.js';
import { collectionName } from './collection-name.js';
import {
  deviceIn,
  identityOf,
  LocalFile,
  type OpenHandle,
  passTick,
  readFailure,
  sourceChanged,
  systemCode,
  tellingBoot,
} from './local-file.js';
import { type TreeCalls, treeCalls } from './tree-calls.js';
import type { FileEntry, OpenOptions, OpenSource, RegularFile, Source } from './port.js';

/** A source that reads the tree at `path`. */
export function directorySource(path: string): Source {
  return {
    place: `dir:${path}`,
    collection: collectionName(path, [], 'dir'),
    open: (options) => openDirectory(path, options),
  };
}

async function openDirectory(
  root: string,
  { repository, ownsThread }: OpenOptions = {},
): Promise<OpenSource> {
  await checkNotOwn(root, repository);
  const own = repository === undefined ? undefined : await directoryIdentity(repository);
  const calls = treeCalls(ownsThread);
  const tree = await scan(root, own, calls);
  const states = new TreeStates(tree, await tellingBoots(root, tree));
  return {
    format: { name: 'directory', mode: tree.mode },
    schema: undefined,
    records: undefined,
    files: () => entriesOf(root, tree, states, calls),
    expected: {
      bytes: tree.entries.reduce((sum, found) => sum + (found.type === 'file' ? found.size : 0), 0),
    },
    notes: [...ownNotes(tree.own), ...skippedNotes(tree.skipped)],
    state: () => states.ofAll(),
    confirmUnchanged: async () => {
      if (!isDeepStrictEqual(await scan(root, own, calls), tree)) throw sourceChanged(root);
    },
    close: async () => {},
  };
}

/** What stands in a tree at one moment, in the order of the paths. */
interface Tree {
  /** Permissions of the root. */
  readonly mode: number;
  readonly entries: readonly Found[];
  /** Paths of what is neither a directory, a regular file nor a link. */
  readonly skipped: readonly string[];
  /** Paths of the repository that the snapshot goes into. */
  readonly own: readonly string[];
}

/** What is left out. */
interface LeftOut {
  readonly type: 'skipped' | 'own';
  readonly path: string;
}

type FoundFile = Found & { readonly type: 'file' };
type Found = { readonly path: string; readonly mode: number } & (
  | { readonly type: 'directory' }
  | { readonly type: 'link'; readonly target: string }
  | { readonly type: 'file'; readonly size: number; readonly identity: string }
);

/** @param own the identity of the repository that the snapshot goes into. */
async function scan(root: string, own: string | undefined, calls: TreeCalls): Promise<Tree> {
  const mode = await checkRoot(root);
  const entries: Found[] = [];
  const leftOut: LeftOut[] = [];
  const open = [''];
  for (let directory = open.pop(); directory !== undefined; directory = open.pop()) {
    for (const found of await scanDirectory(root, directory, own, calls)) {
      if (found.type === 'directory') open.push(found.path);
      if ('mode' in found) entries.push(found);
      else leftOut.push(found);
    }
  }
  entries.sort((a, b) => compareText(a.path, b.path));
  const pathsOf = (type: LeftOut['type']) =>
    leftOut.flatMap((one) => (one.type === type ? [one.path] : [])).toSorted(compareText);
  return { mode, entries, skipped: pathsOf('skipped'), own: pathsOf('own') };
}

/** Its packs grow while they are read. */
async function checkNotOwn(root: string, repository: string | undefined): Promise<void> {
  if (repository === undefined || !(await isWithin(root, repository))) return;
  throw new VecsnapError('SOURCE_INVALID', 'The source is the repository itself, or lies in it.', {
    place: root,
    remedy: 'Take a snapshot of another directory. A repository is copied by a program that copies files.',
  });
}

async function checkRoot(root: string): Promise<number> {
  const stats = await stat(root, { bigint: true }).catch((cause: unknown) => {
    throw rootFailure(root, cause);
  });
  if (stats.isDirectory()) return modeOf(stats);
  throw new VecsnapError('SOURCE_INVALID', 'The source is not a directory.', {
    place: root,
    remedy: `Take it as file:${root}.`,
  });
}

function rootFailure(root: string, cause: unknown): VecsnapError {
  if (systemCode(cause) !== 'ENOENT' && systemCode(cause) !== 'ENOTDIR') return readFailure(root, cause);
  return new VecsnapError('SOURCE_MISSING', 'There is no directory at this path.', {
    place: root,
    remedy: 'Check the path of the source.',
    cause,
  });
}

/** Entries that are looked at together. */
const LOOKS_AT_ONCE = 64;

/** The entries of one directory. */
async function scanDirectory(
  root: string,
  directory: string,
  own: string | undefined,
  calls: TreeCalls,
): Promise<(Found | LeftOut)[]> {
  const place = join(root, directory);
  const names = await reading(place, () => calls.list(place));
  const found: (Found | LeftOut)[] = [];
  for (let i = 0; i < names.length; i += LOOKS_AT_ONCE) {
    const some = names.slice(i, i + LOOKS_AT_ONCE).map((name) => nameOf(root, directory, name));
    const paths = some.map((name) => (directory === '' ? name : `${directory}/${name}`));
    const looks = await calls.look(paths.map((path) => join(root, path)));
    for (const [k, look] of looks.entries()) {
      const path = paths[k] as string;
      if (look.status === 'rejected') throw readingFailure(join(root, path), look.reason);
      found.push(await foundAt(root, path, look.value, own));
    }
  }
  return found;
}

async function foundAt(
  root: string,
  path: string,
  stats: BigIntStats,
  own: string | undefined,
): Promise<Found | LeftOut> {
  const mode = modeOf(stats);
  if (stats.isDirectory() && identityText(stats) === own) return { type: 'own', path };
  if (stats.isDirectory()) return { type: 'directory', path, mode };
  if (stats.isFile())
    return { type: 'file', path, mode, size: Number(stats.size), identity: identityOf(stats) };
  if (!stats.isSymbolicLink()) return { type: 'skipped', path };
  const place = join(root, path);
  const target = await reading(place, () => readlink(place, { encoding: 'buffer' }));
  return { type: 'link', path, mode, target: textOf(place, 'target of a link', target) };
}

/** Runs a read of something that was listed a moment ago. */
async function reading<T>(place: string, read: () => Promise<T>): Promise<T> {
  return read().catch((cause: unknown) => {
    throw readingFailure(place, cause);
  });
}

/** What the system says when what was listed a moment ago is gone, or something else: the tree changes meanwhile. */
const SIGNS_OF_CHANGE: ReadonlySet<string | undefined> = new Set(['ENOENT', 'ENOTDIR', 'EINVAL', 'ELOOP']);

function readingFailure(place: string, cause: unknown): VecsnapError {
  return SIGNS_OF_CHANGE.has(systemCode(cause)) ? sourceChanged(place) : readFailure(place, cause);
}

/** Whether a file that was listed a moment ago is none any more. */
function isNoFileAnyMore(error: unknown): boolean {
  if (isVecsnapError(error, 'SOURCE_MISSING', 'SOURCE_INVALID')) return true;
  return isVecsnapError(error, 'SOURCE_FAILED') && SIGNS_OF_CHANGE.has(systemCode(error.cause));
}

function modeOf(stats: BigIntStats): number {
  return Number(stats.mode & 0o7777n);
}

function nameOf(root: string, directory: string, name: Buffer): string {
  return textOf(join(root, directory), 'name of a file', name);
}

function textOf(place: string, what: string, bytes: Buffer): string {
  try {
    return fromUtf8(bytes);
  } catch (cause) {
    throw new VecsnapError(
      'SOURCE_INVALID',
      `The ${what} is not UTF-8: ${JSON.stringify(bytes.toString('latin1'))}.`,
      {
        place,
        remedy: 'Rename it, or take a snapshot of another directory.',
        cause,
      },
    );
  }
}

/** What {@link tellingBoot} gives for each device on which files of the tree are. */
type TellingBoots = ReadonlyMap<string, string | undefined>;

/** Each device is asked once. */
async function tellingBoots(root: string, { entries }: Tree): Promise<TellingBoots> {
  const boots = new Map<string, string | undefined>();
  for (const found of entries) {
    if (found.type !== 'file') continue;
    const device = deviceIn(found.identity);
    if (!boots.has(device)) boots.set(device, await tellingBoot(join(root, found.path)));
  }
  return boots;
}

/** In which states the files of a tree are, and the whole (docs/ordering.md, R13 and R14). */
class TreeStates {
  readonly #tree: Tree;
  readonly #boots: TellingBoots;
  #doAllTell: boolean;
  #digest: string | undefined;

  constructor(tree: Tree, boots: TellingBoots) {
    this.#tree = tree;
    this.#boots = boots;
    this.#doAllTell = [...boots.values()].every((boot) => boot !== undefined);
  }

  of({ identity }: FoundFile): string | undefined {
    const boot = this.#boots.get(deviceIn(identity));
    return boot && `${boot}:${identity}`;
  }

  /** Called when one of the files cannot tell its state after all. */
  noteUntold(): void {
    this.#doAllTell = false;
  }

  /** Equal for the same paths, permissions and links, and files in the same states, and for no others. Undefined where a file cannot tell its own. */
  ofAll(): string | undefined {
    if (!this.#doAllTell) return undefined;
    this.#digest ??= digestOf(this.#tree.entries);
    return ['directory', this.#tree.mode, ...this.#boots.values(), this.#digest].join(':');
  }
}

function digestOf(entries: readonly Found[]): string {
  const hash = createHash('sha256');
  for (const found of entries) hash.update(JSON.stringify(found));
  return hash.digest('hex');
}

async function* entriesOf(
  root: string,
  tree: Tree,
  states: TreeStates,
  { open }: TreeCalls,
): AsyncGenerator<FileEntry> {
  await passTick();
  for (const found of tree.entries) {
    const { type, path, mode } = found;
    if (type === 'directory') yield { type, path, mode };
    else if (type === 'link') yield { type, path, mode, target: found.target };
    else yield new TreeFile(join(root, path), found, states, open);
  }
}

/** One of the files of a tree. */
class TreeFile implements RegularFile {
  readonly type = 'file';
  readonly path: string;
  readonly mode: number;
  readonly size: number;
  readonly #place: string;
  readonly #open: OpenHandle;
  readonly #identity: string;
  readonly #states: TreeStates;
  #state: string | undefined;

  /** @param open how it is opened. */
  constructor(place: string, found: FoundFile, states: TreeStates, open: OpenHandle) {
    const { path, mode, size, identity } = found;
    this.#place = place;
    this.#open = open;
    this.path = path;
    this.mode = mode;
    this.size = size;
    this.#identity = identity;
    this.#states = states;
    this.#state = states.of(found);
  }

  state(): string | undefined {
    return this.#state;
  }

  async *read(): AsyncGenerator<Uint8Array> {
    const file = await LocalFile.open(this.#place, this.#open).catch((error: unknown) => {
      throw isNoFileAnyMore(error) ? sourceChanged(this.#place) : error;
    });
    try {
      if (file.identity !== this.#identity) throw sourceChanged(this.#place);
      if (!(await file.settleOneOfMany())) this.#noteUntold();
      yield* file.stream();
    } finally {
      await file.close();
    }
  }

  #noteUntold(): void {
    this.#state = undefined;
    this.#states.noteUntold();
  }
}

const NAMED_SKIPPED = 5;

function ownNotes(own: readonly string[]): string[] {
  return own.map((path) => `Left out, being the repository that the snapshot is in: ${path}.`);
}

function skippedNotes(skipped: readonly string[]): string[] {
  if (skipped.length === 0) return [];
  const more = skipped.length > NAMED_SKIPPED ? ', …' : '';
  const names = skipped.slice(0, NAMED_SKIPPED).join(', ') + more;
  return [`Left out, being neither files, directories nor links (${skipped.length}): ${names}.`];
}
