/**
 * Repairs the config, without which a repository cannot be opened. A flipped bit is mended, and one that stands elsewhere comes
 * back. What cannot be mended is made anew with the default parameters: these only say how new content is cut, so all snapshots are
 * read as before, and at worst the next ones share nothing with them.
 */
import { isVecsnapError } from '../core/index.js';
import { CONFIG_BLOB, decodeConfig, newConfig, notARepository } from './config.js';
import { encodeConfig } from './config-encoding.js';
import type { Environment, LockRequest } from './environment.js';
import { putInPlace, replace, survey } from './misplaced.js';
import { overlayOn } from './overlay.js';

/** What was done about the config. */
export type ConfigRepair = 'sound' | 'mended' | 'made anew';

/**
 * See the head of this file.
 * @param isDryRun whether it is only to be said what would be done.
 * @throws VecsnapError NOT_A_REPOSITORY, REPOSITORY_NEWER, REPOSITORY_LOCKED.
 */
export async function repairConfig(
  environment: Environment,
  request: LockRequest,
  isDryRun: boolean,
): Promise<ConfigRepair> {
  const failure = await whyUnreadable(environment);
  if (failure === undefined) return 'sound';
  if (isVecsnapError(failure, 'NOT_A_REPOSITORY') && !(await hasContent(environment))) throw failure;
  if (isDryRun) return mend({ ...environment, blobs: overlayOn(environment.blobs) });
  const lock = await environment.lock(request);
  try {
    return await mend(environment);
  } finally {
    await lock.release();
  }
}

async function mend(environment: Environment): Promise<ConfigRepair> {
  await putInPlace(environment); // The config may stand elsewhere, and something else in its place.
  if ((await whyUnreadable(environment)) === undefined) return 'mended';
  const { random, sha256 } = environment;
  await replace(environment, CONFIG_BLOB, encodeConfig(newConfig(random), sha256));
  return 'made anew';
}

/** Undefined when the config is sound. @throws VecsnapError REPOSITORY_NEWER. */
async function whyUnreadable({ blobs, sha256 }: Environment): Promise<unknown> {
  try {
    decodeConfig(await blobs.get(CONFIG_BLOB), blobs.place, sha256);
    return undefined;
  } catch (error) {
    if (isVecsnapError(error, 'BLOB_MISSING')) return notARepository(blobs.place);
    if (isVecsnapError(error, 'NOT_A_REPOSITORY', 'REPOSITORY_DAMAGED')) return error;
    throw error;
  }
}

/** Whether anything here is of this program. Others have folders of the same names. */
async function hasContent(environment: Environment): Promise<boolean> {
  for (const known of (await survey(environment)).values()) if (known !== undefined) return true;
  return false;
}
