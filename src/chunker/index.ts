/** Where chunks end: row groups for records, gear chunking and fixed pages for byte streams. Pure; no I/O. */
export * from './columns.js';
export * from './fixed.js';
export * from './gear.js';
export * from './parameters.js';
export * from './row-groups.js';
export * from './stream.js';
