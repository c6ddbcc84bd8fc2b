/** The machine behind the pure parts: hashing, deflate, worker threads. */
export * from './node.js';
export * from './node-deflate.js';
export * from './pool.js';
export * from './portable.js';
export * from './directory-environment.js';
export * from './directory-lock.js';
export * from './file-reserve.js';
export { startWorkers } from './workers.js';
