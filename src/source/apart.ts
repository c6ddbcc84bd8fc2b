/** Keeps a repository from being written over by what is restored from it, and out of what is taken into it. */
import { readdir, realpath, stat } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { VecsnapError } from '../core/index.js';

/**
 * @param repository the directory of a repository.
 * @throws VecsnapError TARGET_IN_REPOSITORY when `path` is the repository, lies in it or contains it (docs/ordering.md, T5).
 */
export async function checkApart(path: string, repository: string): Promise<void> {
  if (await isWithin(path, repository)) throw notApart('is the repository, or lies in it', path);
  const own = await namesOf(await ancestorsOf(repository));
  if ([...(await namesOf(await placesOf(path)))].some((name) => own.has(name)))
    throw notApart('contains the repository', path);
}

function notApart(how: string, place: string): VecsnapError {
  return new VecsnapError('TARGET_IN_REPOSITORY', `The target ${how}, which would be written over.`, {
    place,
    remedy: 'Nothing was written. Choose a target that is apart from the repository.',
  });
}

/** Whether `path`, which need not be there, is the directory of a repository or lies in it, by whatever way it leads there. */
export async function isWithin(path: string, repository: string): Promise<boolean> {
  // The folders of the repository count themselves too: they may be mounted elsewhere.
  const names = await readdir(repository).catch(() => [] as string[]);
  const folders = names.map((name) => join(repository, name));
  const own = await namesOf([...(await placesOf(repository)), ...folders]);
  return [...(await namesOf(await ancestorsOf(path)))].some((name) => own.has(name));
}

/** Equal for equal directories, however they are reached; undefined where there is none, or the file system has no numbers for them. */
export async function directoryIdentity(path: string): Promise<string | undefined> {
  const found = await stat(path, { bigint: true }).catch(() => undefined);
  return found?.isDirectory() && found.ino !== 0n ? identityText(found) : undefined;
}

/** The {@link directoryIdentity} of a directory that was looked at. */
export function identityText({ dev, ino }: { readonly dev: bigint; readonly ino: bigint }): string {
  return `${dev}:${ino}`;
}

/** Everything by which some paths can be told: as they are, and the directories that they lead to. */
async function namesOf(paths: readonly string[]): Promise<Set<string>> {
  const identities = await Promise.all(paths.map(directoryIdentity));
  return new Set([...paths, ...identities.filter((identity) => identity !== undefined)]);
}

/**
 * A path as it is written; with what leads to it followed, which is where a rename works; and followed to the end. Of what is not
 * there yet, the nearest directory above that is there is followed.
 */
async function placesOf(path: string): Promise<string[]> {
  const place = resolve(path);
  const parent = dirname(place);
  const beside = parent === place ? place : join(await followed(parent), basename(place));
  return [...new Set([place, beside, await followed(place)])];
}

async function followed(place: string): Promise<string> {
  const parent = dirname(place);
  return realpath(place).catch(async () =>
    parent === place ? place : join(await followed(parent), basename(place)),
  );
}

/** The {@link placesOf} a path, and all directories above them. */
async function ancestorsOf(path: string): Promise<string[]> {
  const all = new Set<string>();
  for (let place of await placesOf(path)) {
    for (; !all.has(place); place = dirname(place)) all.add(place);
  }
  return [...all];
}
