/** Every decoder that reads bytes which vecsnap did not just write. */
import { casTargets } from './targets-cas.js';
import { MANIFEST_TARGETS } from './targets-manifest.js';
import { scheduleTargets } from './targets-schedule.js';
import { sourceTargets } from './targets-source.js';
import type { FuzzTarget } from './target.js';

/** @param directory where those that read files have them. */
export async function fuzzTargets(directory: string): Promise<FuzzTarget[]> {
  return [
    ...MANIFEST_TARGETS,
    ...(await casTargets()),
    ...sourceTargets(directory),
    ...scheduleTargets(directory),
  ];
}
