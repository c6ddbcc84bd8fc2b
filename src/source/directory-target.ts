/**
 * A directory tree as a target. It is built beside its place and moved there when it is complete.
 *
 * The paths of a content are not trusted: nothing is written outside of the tree, neither by `..` nor through a link that
 * the same content brought along.
 */
import { mkdir, open, symlink } from 'node:fs/promises';
import { dirname, join, sep } from 'node:path';
import {
  BlockMemory,
  compareText,
  mapAhead,
  mapConcurrent,
  Semaphore,
  throwIfAborted,
  VecsnapError,
} from '../core/index.js';
import { writeRegularFile } from './file-writer.js';
import { systemCode } from './local-file.js';
import type { FileEntry, RegularFile, Target, WriteReport } from './port.js';
import { checkTargetFree, replaceAtomically } from './replace.js';

/** Permissions of a root that the content says nothing about, and of parents that it leaves out. */
const DEFAULT_MODE = 0o755;
/** While the tree is incomplete it is nobody else's. */
const BUILDING_MODE = 0o700;
/** Files that are written at the same time: syncing each is mostly waiting, and the disk syncs many as quickly as one. */
const FILES_AT_ONCE = 16;
/** Of those with more bytes, which take memory to be read ahead, one at a time is written. */
const LARGE_FILE_BYTES = 1024 * 1024;

/** A target that writes all files of a content below `path`. */
export function directoryTarget(path: string): Target {
  const place = `dir:${path}`;
  return {
    place,
    prepare: (options) => checkTargetFree(path, options),
    async write(content, options) {
      const { schema, files, format } = content;
      if (schema !== undefined || files === undefined) throw noFiles(place);
      const tree = { files: files(), mode: format['mode'] };
      return replaceAtomically(path, options, (temporary) =>
        writeTree(place, temporary, tree, options.signal),
      );
    },
  };
}

function noFiles(place: string): VecsnapError {
  return new VecsnapError('TARGET_UNSUITABLE', 'A dir: target takes files, and the content has records.', {
    place,
    remedy: 'Restore to a file of the format that the records came from, or to jsonl:.',
  });
}

async function writeTree(
  place: string,
  root: string,
  { files, mode }: { readonly files: AsyncIterable<FileEntry>; readonly mode: unknown },
  signal: AbortSignal | undefined,
): Promise<WriteReport> {
  const tree = new TreeWriter(place, root, signal);
  await tree.begin();
  const written = mapAhead(tree.make(files), FILES_AT_ONCE, (file) => tree.write(file));
  let bytes = 0;
  for await (const ofFile of written) bytes += ofFile;
  throwIfAborted(signal);
  await tree.finish(typeof mode === 'number' ? mode : DEFAULT_MODE);
  return { records: 0, files: tree.entries, bytes };
}

/**
 * Whether a path of a content stays inside of a tree when it is written below its root.
 * @param separator that of the system: where it is a backslash, colons have a meaning too, and so have points and spaces at an end.
 */
export function isInnerFilePath(path: string, separator: string = sep): boolean {
  const isPart = (part: string) => part !== '' && part !== '.' && part !== '..';
  if (!path.split('/').every(isPart) || path.includes('\0')) return false;
  return separator === '/' || !path.split('/').some((part) => /[\\:]|[. ]$/.test(part));
}

/** Makes the entries of a tree, each below a directory that it made itself. */
class TreeWriter {
  readonly #place: string;
  readonly #root: string;
  readonly #signal: AbortSignal | undefined;
  /** The directories made so far and the permissions that they get when everything is in them. */
  readonly #directories = new Map<string, number>();
  readonly #memory = new BlockMemory();
  readonly #large = new Semaphore(1);
  #last: string | undefined;
  #entries = 0;

  constructor(place: string, root: string, signal: AbortSignal | undefined) {
    this.#place = place;
    this.#root = root;
    this.#signal = signal;
  }

  /** Directories, links and files that the tree was given. */
  get entries(): number {
    return this.#entries;
  }

  async begin(): Promise<void> {
    await mkdir(this.#root, BUILDING_MODE);
  }

  /** Makes directories and links, and passes files on: what they stand in is there. */
  async *make(entries: AsyncIterable<FileEntry>): AsyncGenerator<RegularFile> {
    for await (const entry of entries) {
      throwIfAborted(this.#signal);
      this.#check(entry.path);
      await this.#makeParents(entry.path);
      this.#entries++;
      if (entry.type === 'file') yield entry;
      else if (entry.type === 'link') await this.#makeLink(entry.path, entry.target);
      else await this.#makeDirectory(entry.path, entry.mode);
    }
  }

  /** @returns the bytes of the file. */
  async write(file: RegularFile): Promise<number> {
    const path = join(this.#root, file.path);
    const write = () => writeRegularFile(path, file, this.#signal, this.#memory);
    const written = file.size > LARGE_FILE_BYTES ? this.#large.run(write) : write();
    return written.catch(this.#refuseTaken(file.path));
  }

  /** Gives the directories their permissions, deepest first because one may forbid to go into it, and makes them durable. */
  async finish(mode: number): Promise<void> {
    for (const directories of byDepth(this.#directories)) {
      await mapConcurrent(directories, FILES_AT_ONCE, ([path, permissions]) =>
        this.#finishDirectory(path, permissions),
      );
    }
    await this.#finishDirectory('', mode);
  }

  async #finishDirectory(path: string, mode: number): Promise<void> {
    const handle = await open(join(this.#root, path), 'r');
    try {
      await handle.chmod(mode);
      await handle.sync();
    } finally {
      await handle.close();
    }
  }

  #check(path: string): void {
    if (!isInnerFilePath(path)) throw this.#refuse(path, 'leads out of the tree or is no path');
    if (this.#last !== undefined && compareText(this.#last, path) >= 0) {
      throw this.#refuse(path, `does not come after ${JSON.stringify(this.#last)}`);
    }
    this.#last = path;
  }

  /** What is no directory of our own making (a link, for example) is never gone through. */
  async #makeParents(path: string): Promise<void> {
    const parent = dirname(path);
    if (parent === '.' || this.#directories.has(parent)) return;
    await this.#makeParents(parent);
    await this.#makeDirectory(parent, DEFAULT_MODE);
  }

  async #makeDirectory(path: string, mode: number): Promise<void> {
    await mkdir(join(this.#root, path), BUILDING_MODE).catch(this.#refuseTaken(path));
    this.#directories.set(path, mode);
  }

  async #makeLink(path: string, target: string): Promise<void> {
    await symlink(target, join(this.#root, path)).catch(this.#refuseTaken(path));
  }

  /** A file is written while what comes after it is made, so either of two with one path may be the one that is too late. */
  #refuseTaken(path: string): (cause: unknown) => never {
    return (cause) => {
      if (systemCode(cause) !== 'EEXIST') throw cause;
      throw this.#refuse(path, 'is that of something else too', cause);
    };
  }

  #refuse(path: string, why: string, cause?: unknown): VecsnapError {
    return new VecsnapError('TARGET_UNSUITABLE', `The path of a file ${why}.`, {
      place: `${this.#place}, ${JSON.stringify(path)}`,
      remedy: 'Nothing was written. Verify the snapshot; a source never gives such paths.',
      cause,
    });
  }
}

/** Directories with their permissions: those together of which none is in another, the deepest first. */
function byDepth(directories: ReadonlyMap<string, number>): [path: string, mode: number][][] {
  const levels: [string, number][][] = [];
  for (const directory of directories) (levels[directory[0].split('/').length - 1] ??= []).push(directory);
  return levels.toReversed();
}
