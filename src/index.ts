/** vecsnap: space-efficient, verifiable snapshots of vector databases. */
export type { RepositoryStats } from './audit/index.js';
export {
  type Dtype,
  type ErrorCode,
  isVecsnapError,
  type RecordBatch,
  type RecordId,
  type Schema,
  type VectorColumn,
  VecsnapError,
} from './core/index.js';
export type { KeptSnapshot, RetentionDecision, RetentionPolicy, SweepPlan, SweepReport } from './gc/index.js';
export {
  type RestoreOptions,
  type RestoreReport,
  type SnapshotFilter,
  SnapshotManager,
  type TargetOf,
} from './snapshot/manager.js';
export type { CreateOptions } from './snapshot/creation.js';
export type { CollectOptions, CollectReport } from './snapshot/collect.js';
export type { ForgetOptions, ForgetPrice, ForgetReport, SnapshotPrice } from './snapshot/forget.js';
export type { Marks, MarksChange } from './snapshot/marks.js';
export type { StoredPolicy } from './snapshot/policies.js';
export { DEFAULT_CONFIG, type SnapshotConfig } from './snapshot/settings.js';
export type { ReadOptions } from './snapshot/content.js';
export type { SnapshotDifference } from './snapshot/diff.js';
export type { UnlockReport } from './snapshot/environment.js';
export { findSnapshot } from './snapshot/find.js';
export type { Progress, ProgressListener, WorkOptions } from './snapshot/progress.js';
export type { SnapshotListing, SnapshotProblem } from './snapshot/repository.js';
export type { ConfigRepair } from './snapshot/repair-config.js';
export type { RepairOptions, RepairReport } from './snapshot/repair.js';
export type { Losses, LostFiles, LostRecords } from './snapshot/salvage.js';
export type { RecordKey, Selection } from './snapshot/selection.js';
export type { Snapshot, SnapshotDamage, SnapshotType } from './snapshot/snapshot.js';
export type { Problem, VerifyReport } from './snapshot/verify.js';
export type {
  ChangeHints,
  Content,
  FileEntry,
  OpenSource,
  RecordLookup,
  Source,
  Target,
  WriteReport,
} from './source/port.js';
export { resolveSource, resolveTarget } from './source/registry.js';
