/** Where records and files come from and go to: the ports, and a source and a target for each format. */
export { fbin, i8bin, u8bin } from './bin.js';
export { directorySource } from './directory.js';
export { directoryTarget, isInnerFilePath } from './directory-target.js';
export { fileSource } from './file.js';
export { fileTarget } from './file-target.js';
export * from './local-file.js';
export * from './replace.js';
export {
  type HeadPlan,
  type MatrixFormat,
  type MatrixScheme,
  type MatrixShape,
  matrixSource,
} from './matrix.js';
export { matrixTarget, type MatrixTargetOptions } from './matrix-target.js';
export { npy } from './npy.js';
export * from './port.js';
export { type ResolveOptions, resolveSource, resolveTarget, SCHEMES } from './registry.js';
export { bvecs, fvecs } from './vecs.js';
export { folderSource, type FolderSource } from './folder-source.js';
export { folderTarget } from './folder-target.js';
export { ruvectorSource } from './ruvector.js';
export type { RuvectorHnswConfig, RuvectorMetric, RuvectorQuantization } from './ruvector-config.js';
export { ruvectorTarget, type RuvectorTargetOptions } from './ruvector-target.js';
export { RedbFile } from './redb.js';
export type { RedbLeaf, RedbTable } from './redb-pages.js';
export { canonicalJson } from './canonical-json.js';
export { jsonlSource, type JsonlSourceOptions } from './jsonl.js';
export { jsonlTarget } from './jsonl-target.js';
export { xxh3 } from './xxh3.js';
export { hasXxh3Kernel } from './xxh3-kernel.js';
export { followChanges, type FollowOptions } from './follow-changes.js';
export {
  RUVECTOR_METHODS,
  trackChanges,
  type Tracked,
  type TrackedCall,
  type TrackOptions,
  type WriteMethods,
} from './track-changes.js';
