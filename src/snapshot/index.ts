/** Taking, restoring, verifying, comparing and dropping snapshots. */
export * from './config.js';
export * from './content.js';
export * from './diff.js';
export * from './environment.js';
export * from './find.js';
export * from './manager.js';
export * from './progress.js';
export * from './repository.js';
export * from './selection.js';
export * from './settings.js';
export * from './snapshot.js';
export * from './take.js';
export * from './verify.js';
