/** Where records and files come from and go to: the ports, and a source and a target for each format. */
export * from './local-file.js';
export * from './port.js';
export { ruvectorSource } from './ruvector.js';
export type { RuvectorHnswConfig, RuvectorMetric, RuvectorQuantization } from './ruvector-config.js';
export { ruvectorTarget, type RuvectorTargetOptions } from './ruvector-target.js';
export { type RedbLeaf, RedbFile, type RedbTable } from './redb.js';
export { canonicalJson } from './canonical-json.js';
export { jsonlSource, type JsonlSourceOptions } from './jsonl.js';
export { jsonlTarget } from './jsonl-target.js';
export { xxh3 } from './xxh3.js';
