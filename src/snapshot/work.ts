/**
 * Everything that reads or writes chunks, in one place. The manager loads it with the first piece of work that needs it, so that
 * opening a repository and listing its snapshots is quick.
 */
export { computeStats } from '../audit/index.js';
export { ChunkWriter, packEntryBytes } from '../cas/index.js';
export { checkPolicy, mark } from '../gc/index.js';
export { readWhole } from './beside-sweeps.js';
export { collectGarbage } from './collect.js';
export { contentOf, readManifest } from './content.js';
export { diffSnapshots } from './diff.js';
export { decideBy, forget } from './forget.js';
export { noteHealed } from './healing.js';
export { repairConfig } from './repair-config.js';
export { repairRepository } from './repair.js';
export { takeContent } from './take.js';
export { verifyRepository, verifySnapshots } from './verify.js';
