/** Taking, restoring, verifying, comparing and dropping snapshots. */
export type * from './collect.js';
export {
  CONFIG_BLOB,
  CONFIG_REMEDY,
  decodeConfig,
  newConfig,
  notARepository,
  type RepositoryConfig,
} from './config.js';
export * from './config-encoding.js';
export type * from './creation.js';
export * from './content.js';
export * from './diff.js';
export * from './environment.js';
export * from './find.js';
export type * from './forget.js';
export * from './manager.js';
export type * from './marks.js';
export type * from './policies.js';
export * from './progress.js';
export * from './repository.js';
export * from './selection.js';
export * from './settings.js';
export * from './snapshot.js';
export { decodeSnapshot, manifestAddress } from './snapshot-blob.js';
export * from './snapshot-encoding.js';
export * from './take.js';
export * from './verify.js';
