/**
 * Repairs the config, without which a repository cannot be opened. A flipped bit is mended. What cannot be mended is made anew with the
 * default parameters: these only say how new content is cut, so all snapshots are read as before, and at worst the next ones share
 * nothing with them.
 */
import { isVecsnapError, toHex } from '../core/index.js';
import { CONFIG_BLOB, decodeConfig, encodeConfig, newConfig, notARepository } from './config.js';
import { bitsApart } from '../cas/pack.js';
import type { Environment, LockRequest } from './environment.js';
import { finishReplacing, mendSealed, replace } from './mend-blobs.js';
import { isConfig, misplacedConfig, putInPlace } from './misplaced.js';
import { SNAPSHOT_PREFIX } from './snapshot.js';

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
  const { blobs, sha256 } = environment;
  const bytes = await blobs.get(CONFIG_BLOB).catch((error: unknown) => {
    if (isVecsnapError(error, 'BLOB_MISSING')) return undefined;
    throw error;
  });
  const failure = bytes === undefined ? undefined : whyUnreadable(bytes, environment);
  if (bytes !== undefined && failure === undefined) return 'sound';
  const isForeign = bytes === undefined || isVecsnapError(failure, 'NOT_A_REPOSITORY');
  if (isForeign && !(await hasContent(environment))) throw notARepository(blobs.place);
  const mended = (bytes && mendSealed(bytes, sha256)) ?? (await misplacedConfig(blobs, sha256));
  const isMended = mended !== undefined && isConfig(mended, sha256);
  if (isDryRun) return isMended ? 'mended' : 'made anew';
  const lock = await environment.lock(request);
  try {
    await finishReplacing(environment);
    if (bytes !== undefined && !isMendedFrom(bytes, mended)) await keepOld(environment, bytes);
    const config = isMended ? mended : encodeConfig(newConfig(environment.random), sha256);
    await replace(blobs, CONFIG_BLOB, config);
    return isMended ? 'mended' : 'made anew';
  } finally {
    await lock.release();
  }
}

/** Whether the one is the other but for a bit, so that nothing is lost with it. */
function isMendedFrom(bytes: Uint8Array, mended: Uint8Array | undefined): boolean {
  return mended?.length === bytes.length && bitsApart(bytes, mended) <= 1;
}

/** What stood in the place of the config may be something else: then it goes to its own place. Else it is kept under another name. */
async function keepOld({ blobs, sha256, random }: Environment, bytes: Uint8Array): Promise<void> {
  const place = await putInPlace(blobs, CONFIG_BLOB, { sha256, random });
  if (place === undefined) await blobs.put(`rescue/damaged-${toHex(random(8))}`, bytes);
}

/** Undefined for bytes that are a config. */
function whyUnreadable(bytes: Uint8Array, { blobs, sha256 }: Environment): unknown {
  try {
    decodeConfig(bytes, blobs.place, sha256);
    return undefined;
  } catch (error) {
    if (isVecsnapError(error, 'NOT_A_REPOSITORY', 'REPOSITORY_DAMAGED')) return error;
    throw error;
  }
}

async function hasContent({ blobs }: Environment): Promise<boolean> {
  for await (const { name } of blobs.list(''))
    if (name.startsWith('packs/') || name.startsWith(SNAPSHOT_PREFIX)) return true;
  return false;
}
