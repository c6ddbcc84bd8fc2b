/** Where a repository lives: the port, and stores on a disk, in memory and in a database. */
export * from './fs.js';
export { blockingFsOperations, type FsEntry, type FsOperations, nodeFsOperations } from './fs-operations.js';
export * from './level.js';
export * from './memory.js';
export * from './name.js';
export * from './port.js';
export * from './lease.js';
export { BEAT_MS, LEASE_TTL_MS } from './lease-signs.js';
export * from './process-identity.js';
