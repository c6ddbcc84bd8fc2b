/** Snapshots at set times: jobs, their configuration file, and the scheduler that runs them. */
export * from './clock.js';
export {
  CONFIG_DEFAULTS,
  loadScheduleConfig,
  type LocatedProblem,
  parseScheduleConfig,
  type ReadConfig,
  readScheduleConfig,
  type ScheduleConfig,
} from './config.js';
export * from './cron.js';
export type * from './events.js';
export { JOB_DEFAULTS, JOB_KEYS, type RetryOptions, type ScheduledJob } from './job.js';
export {
  type RunOutcome,
  type SchedulerOptions,
  SCHEDULER_DEFAULTS,
  SnapshotScheduler,
  type StopReport,
} from './scheduler.js';
export { type JobStatus, readScheduleStatus, type ScheduleStatus } from './status.js';
