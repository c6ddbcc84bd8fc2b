/** What is shared, exclusive, duplicated and reclaimable in a repository. */
export * from './ownership.js';
export * from './stats.js';
