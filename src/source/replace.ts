/** How targets come to stand at their places: written beside them, then moved there. */
import { randomBytes } from 'node:crypto';
import { constants } from 'node:fs';
import { chmod, link, lstat, open, readdir, rename, rm } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { isVecsnapError, toHex, VecsnapError } from '../core/index.js';
import { messageOf, pathExists, systemCode } from './local-file.js';
import type { WriteOptions, WriteReport } from './port.js';

/**
 * @throws VecsnapError TARGET_IN_REPOSITORY when what is written to `path` would touch the repository, TARGET_EXISTS when something
 * stands there and `overwrite` is not set, TARGET_FAILED when nothing can stand there.
 */
export async function checkTargetFree(path: string, { overwrite, repository }: WriteOptions): Promise<void> {
  if (repository !== undefined) await (await import('./apart.js')).checkApart(path, repository);
  const found = await lstat(path).catch((cause: unknown) => {
    if (systemCode(cause) === 'ENAMETOOLONG') throw targetFailed(path, cause, 'Give a shorter name.');
    return undefined;
  });
  if (overwrite !== true && found !== undefined) throw targetExists(path);
}

function targetExists(path: string): VecsnapError {
  return new VecsnapError('TARGET_EXISTS', 'Something already stands at the target.', {
    place: path,
    remedy: 'Restore to another path, or say that it may be replaced (--overwrite).',
  });
}

/**
 * Runs `produce` on a path beside `path`, then moves the result to `path` (docs/ordering.md, T1 to T4). When anything fails before the result
 * stands there, what stood there stands there still and the other path is removed. Afterwards only durability can fail, which the error says.
 * @returns what `produce` gave, and a note when something that stood there before could not be removed.
 * @throws VecsnapError TARGET_IN_REPOSITORY, TARGET_EXISTS, TARGET_FAILED, STORE_FULL, or what `produce` throws when that is a VecsnapError.
 */
export async function replaceAtomically<T extends object>(
  path: string,
  options: WriteOptions,
  produce: (temporary: string) => Promise<T>,
): Promise<T & Pick<WriteReport, 'notes'>> {
  await checkTargetFree(path, options);
  const place = resolve(path);
  const temporary = pathBeside(place);
  let result: T;
  let displaced: string | undefined;
  try {
    result = await produce(temporary);
    displaced = await moveIntoPlace(temporary, place, options.overwrite === true);
  } catch (cause) {
    await removeTree(temporary).catch(() => undefined); // Why the target was not written matters more than what is left of it.
    throw writeFailure(path, cause);
  }
  await syncMoved(place, displaced);
  const left = displaced === undefined ? undefined : await whyNotRemoved(displaced);
  return left === undefined ? result : { ...result, notes: [left] };
}

/** Bytes that common file systems give a name. */
const MOST_NAME_BYTES = 255;
/** Follows the name of a directory that makes room for another. */
const DISPLACED = '.old';

/** A path that nothing stands at, in the same directory. Of a long name it has the beginning. */
function pathBeside(place: string): string {
  const ending = `.${toHex(randomBytes(6))}.partial`;
  const characters = Array.from(basename(place));
  while (Buffer.byteLength(characters.join('') + ending + DISPLACED) > MOST_NAME_BYTES) characters.pop();
  return join(dirname(place), characters.join('') + ending);
}

/** @returns where that is now which stood at the place, when it is to be removed. */
async function moveIntoPlace(
  temporary: string,
  path: string,
  overwrite: boolean,
): Promise<string | undefined> {
  const isDirectory = await isDirectoryAt(temporary);
  if (overwrite && (isDirectory || (await isDirectoryAt(path))) && (await pathExists(path)))
    return swapIntoPlace(temporary, path);
  if (overwrite) {
    await rename(temporary, path);
  } else if (isDirectory) {
    await checkTargetFree(path, {});
    await rename(temporary, path);
  } else {
    await nameFile(temporary, path);
  }
  return undefined;
}

/** Errors of file systems that have no hard links. */
const NO_LINKS: ReadonlySet<string | undefined> = new Set([
  'EPERM',
  'ENOTSUP',
  'EOPNOTSUPP',
  'ENOSYS',
  'EMLINK',
]);

/** A link fails when something came to stand at the path meanwhile; a rename, where there are no links, would replace it. */
async function nameFile(temporary: string, path: string): Promise<void> {
  try {
    await link(temporary, path);
  } catch (error) {
    if (!NO_LINKS.has(systemCode(error))) throw error;
    await checkTargetFree(path, {});
    await rename(temporary, path);
    return;
  }
  await rm(temporary).catch(() => undefined); // The target stands; this is a name that a crash may leave too.
}

/** A rename cannot replace a directory that has entries, so the old one steps aside first, and back when that was in vain. */
async function swapIntoPlace(temporary: string, path: string): Promise<string> {
  const displaced = temporary + DISPLACED;
  await rename(path, displaced);
  try {
    await rename(temporary, path);
  } catch (cause) {
    await rename(displaced, path).catch(() => {
      throw targetFailed(path, cause, `What stood there is ${displaced} now: move it back.`);
    });
    throw cause;
  }
  return displaced;
}

/** Makes the new name durable. Before that, nothing that stood there is removed (docs/ordering.md, T4). */
async function syncMoved(place: string, displaced: string | undefined): Promise<void> {
  try {
    await syncDirectory(dirname(place));
  } catch (cause) {
    const before = displaced === undefined ? '' : ` What stood there before is ${displaced}.`;
    throw new VecsnapError(
      'TARGET_FAILED',
      `The target stands at its place, whole, but may not outlast a crash: ${messageOf(cause)}.`,
      { place, remedy: `Check the disk, and restore again.${before}`, cause },
    );
  }
}

async function isDirectoryAt(path: string): Promise<boolean> {
  return lstat(path).then(
    (stats) => stats.isDirectory(),
    () => false,
  );
}

/** Removes what made room for a target. @returns what is to be said when that cannot be done. */
async function whyNotRemoved(displaced: string): Promise<string | undefined> {
  try {
    await removeTree(displaced);
    return undefined;
  } catch (error) {
    return `What stood there before could not all be removed (${messageOf(error)}). The rest is ${displaced}.`;
  }
}

/** Removes all that stands at `path`, directories without permission to write included. Nothing there is no error. */
async function removeTree(path: string): Promise<void> {
  try {
    await rm(path, { recursive: true, force: true });
  } catch (cause) {
    if (systemCode(cause) !== 'EACCES') throw cause;
    await makeWritable(path);
    await rm(path, { recursive: true, force: true });
  }
}

async function makeWritable(path: string): Promise<void> {
  if (!(await isDirectoryAt(path))) return;
  await chmod(path, 0o700);
  for (const entry of await readdir(path, { withFileTypes: true })) {
    if (entry.isDirectory()) await makeWritable(join(path, entry.name));
  }
}

/** A failed write of a target as a {@link VecsnapError}; those pass unchanged. */
export function writeFailure(path: string, cause: unknown): VecsnapError {
  if (isVecsnapError(cause)) return cause;
  if (systemCode(cause) === 'EEXIST') return targetExists(path);
  if (systemCode(cause) !== 'ENOSPC' && systemCode(cause) !== 'EDQUOT')
    return targetFailed(path, cause, 'Check that the directory exists and can be written.');
  return new VecsnapError('STORE_FULL', `The target could not be written: ${messageOf(cause)}.`, {
    place: path,
    remedy: 'Free some space or restore to another disk.',
    cause,
  });
}

function targetFailed(path: string, cause: unknown, remedy: string): VecsnapError {
  return new VecsnapError('TARGET_FAILED', `The target could not be written: ${messageOf(cause)}.`, {
    place: path,
    remedy,
    cause,
  });
}

/** Makes the names in a directory durable. */
export async function syncDirectory(path: string): Promise<void> {
  const handle = await open(path === '' ? '.' : path, constants.O_RDONLY);
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
