/** Addresses, errors, canonical msgpack, schemas and records: what every other folder builds on. */
export * from './address.js';
export * from './blocks.js';
export * from './bytes.js';
export * from './canonical.js';
export * from './concurrency.js';
export * from './digest-table.js';
export * from './errors.js';
export * from './hash.js';
export * from './limits.js';
export * from './local-minimum.js';
export * from './number-column.js';
export * from './numbers.js';
export type * from './platform.js';
export * from './prefetch.js';
export * from './records.js';
export * from './recut.js';
export * from './schema.js';
export * from './varint.js';
