/** How jobs stand, for people and for programs that watch over them. */
import type { FailureReport, Step } from './events.js';
import type { ScheduleConfig } from './config.js';
import { isToCome, lagOf, nextRun, pastOnly } from './due.js';
import { checkJobs, type JobPlan } from './job.js';
import { failureReport, takenRuns } from './run.js';
import { isAtWork, type JobRecord, loadState, NEW_RECORD, type Phase } from './state.js';
import type { Clock } from '../core/index.js';
import { systemClock } from '../platform/index.js';

/** How one job stands. Times are ISO 8601, UTC. */
export interface JobStatus {
  readonly name: string;
  readonly repository: string;
  /** `stopped` when no scheduler is at work. */
  readonly phase: Phase | 'stopped';
  readonly step: Step | null;
  /** When it starts the next time; null for never. */
  readonly next: string | null;
  readonly retryAt: string | null;
  readonly lastSuccess: { readonly time: string; readonly snapshot: string | null } | null;
  readonly lastFailure: ({ readonly time: string; readonly step: Step } & FailureReport) | null;
  readonly lastVerify: { readonly time: string; readonly ok: boolean } | null;
  /** How long ago the first time was for which there should be a snapshot and is none, in milliseconds; 0 when none is missing. */
  readonly lagMs: number;
}

/** How a whole schedule stands. */
export interface ScheduleStatus {
  readonly scheduler: { readonly pid: number; readonly host: string; readonly since: string } | null;
  readonly jobs: readonly JobStatus[];
  /** What could not be read: the state, a repository. */
  readonly problems: readonly ({ readonly job: string | null } & FailureReport)[];
}

/** How a job stands by what is known of it. */
export function statusOf(plan: JobPlan, record: JobRecord, now: number): JobStatus {
  const { job, name } = plan;
  const { phase, step, retryAt, knownSince, lastDue, lastSuccess, lastFailure, lastVerify } = record;
  const next = nextRun(plan, -Infinity, now);
  return {
    name,
    repository: typeof job.repository === 'string' ? job.repository : '(open)',
    phase,
    step,
    next: next === undefined ? null : new Date(next).toISOString(),
    retryAt,
    lastSuccess: pastOnly(lastSuccess, now),
    lastFailure,
    lastVerify: pastOnly(lastVerify, now),
    lagMs: lagOf(plan, { lastDue: timeOf(lastDue), knownSince: timeOf(knownSince) }, now),
  };
}

function timeOf(text: string | null): number | undefined {
  return text === null ? undefined : Date.parse(text);
}

/** How the schedule of a configuration stands, by its state file and the repositories. Disturbs nobody. */
export async function readScheduleStatus(
  { jobs, stateFile }: Pick<ScheduleConfig, 'jobs' | 'stateFile'>,
  clock: Clock = systemClock,
): Promise<ScheduleStatus> {
  const problems: ({ readonly job: string | null } & FailureReport)[] = [];
  const { state, problem } = await loadState(stateFile);
  if (problem !== undefined) problems.push({ job: null, ...failureReport(problem) });
  const scheduler = isAtWork(state, clock.now()) ? state.scheduler : null;
  const found: JobStatus[] = [];
  for (const plan of checkJobs(jobs, ['jobs']).plans) {
    const kept = Object.hasOwn(state.jobs, plan.name) ? (state.jobs[plan.name] as JobRecord) : NEW_RECORD;
    const record = await withSnapshots(plan, kept, clock.now()).catch((error: unknown) => {
      problems.push({ job: plan.name, ...failureReport(error) });
      return kept;
    });
    const status = statusOf(plan, record, clock.now());
    found.push(scheduler === null ? { ...status, phase: 'stopped', step: null, retryAt: null } : status);
  }
  const who = scheduler && {
    pid: scheduler.pid,
    host: scheduler.host,
    since: new Date(scheduler.startedAt).toISOString(),
  };
  return { scheduler: who, jobs: found, problems };
}

/** The record, with the newest snapshot of the job where the repository has one that is newer than what is known to be true. */
async function withSnapshots(plan: JobPlan, record: JobRecord, now: number): Promise<JobRecord> {
  const { past, newest } = await takenRuns(plan, now);
  const known = timeOf(record.lastDue);
  const isKnown = known !== undefined && !isToCome(known, now);
  const isNewer = past !== undefined && (!isKnown || past > known);
  const lastSuccess = pastOnly(record.lastSuccess, now);
  return {
    ...record,
    lastDue: isNewer ? new Date(past).toISOString() : isKnown ? record.lastDue : null,
    lastSuccess: lastSuccess === null || isNewer ? (newest ?? lastSuccess) : lastSuccess,
  };
}
