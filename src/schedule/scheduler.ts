/**
 * Runs jobs at their times. One tick looks at the clock, begins what is due and sets the next timer; nothing relies on a timer being on
 * time, so a machine that slept and a clock that was set are noticed at the next tick.
 */
import { VecsnapError } from '../core/index.js';
import { endsWithin, type SchedulerClock, systemSchedulerClock } from './clock.js';
import { backOff, dueRun, handledNow, isToCome, nextRun, nextVerify, pastOnly } from './due.js';
import type { NewEvent, ScheduleEvent, Step } from './events.js';
import { checkJobs, type JobPlan, type ScheduledJob } from './job.js';
import {
  carryOut,
  failureReport,
  isWorthRetrying,
  repositoryKey,
  type Run,
  type RunHost,
  stepsOf,
  takenRuns,
} from './run.js';
import {
  isAtWork,
  type JobRecord,
  loadState,
  NEW_RECORD,
  NO_STATE,
  saveState,
  type ScheduleState,
  thisScheduler,
} from './state.js';
import { type JobStatus, statusOf } from './status.js';

/** How a scheduler is made. */
export interface SchedulerOptions {
  readonly jobs: readonly ScheduledJob[];
  /** Default: that of the machine. */
  readonly clock?: SchedulerClock | undefined;
  /** Called with everything that happens. It must not throw. */
  readonly onEvent: (event: ScheduleEvent) => void;
  /** Where to keep what must be known after a restart and what others may ask. Default: nowhere; the snapshots tell the most. */
  readonly stateFile?: string | undefined;
}

/** How a run ended. */
export interface RunOutcome {
  readonly job: string;
  /** Whether all steps were done. */
  readonly ok: boolean;
  readonly snapshot: string | null;
  /** What the last try failed with, or ABORTED. */
  readonly error: unknown;
}

/** How a scheduler stopped. */
export interface StopReport {
  /** Jobs whose work was abandoned. The repository is as if it had not begun, and it is due again. */
  readonly abandoned: readonly string[];
  /** Whether all work has ended. */
  readonly clean: boolean;
}

/** The defaults of {@link SnapshotScheduler}, in milliseconds. */
export const SCHEDULER_DEFAULTS = { graceMs: 60_000 } as const;

/** The clock is looked at so often even when nothing is due. */
const LONGEST_SLEEP = 60_000;
/** Work that was told to end has so long to undo what it began. */
const ABANDON_MS = 15_000;

interface LiveRun extends Run {
  retryAt: number | undefined;
  readonly startedAt: number;
  readonly outcome: Promise<RunOutcome>;
  readonly end: (outcome: RunOutcome) => void;
}

interface LiveJob {
  readonly plan: JobPlan;
  record: JobRecord;
  /** The newest time that was run, skipped or is under way. */
  handled: number;
  /** When it was last tried to verify. */
  verified: number | undefined;
  run: LiveRun | undefined;
}

/**
 * See the head of this file. A job never overlaps with itself, and jobs of one repository go one after the other.
 * @throws VecsnapError OPTION_INVALID for a job that makes no sense.
 * @example
 * const scheduler = new SnapshotScheduler({
 *   jobs: [{ name: 'docs', source: 'docs.db', repository: 'repo', cron: '0 * * * *', policy: { keepDaily: 7 } }],
 *   onEvent: (event) => console.log(JSON.stringify(event)),
 * });
 * await scheduler.start();
 */
export class SnapshotScheduler {
  readonly #jobs: readonly LiveJob[];
  readonly #clock: SchedulerClock;
  readonly #onEvent: (event: ScheduleEvent) => void;
  readonly #stateFile: string | undefined;
  readonly #abort = new AbortController();
  /** The last run of each repository, after which the next one begins. */
  readonly #queues = new Map<unknown, Promise<void>>();
  readonly #working = new Set<Promise<void>>();
  #phase: 'new' | 'started' | 'stopping' = 'new';
  #begun: Promise<void> | undefined;
  #takesDueRuns = false;
  #cancelTimer: () => void = () => undefined;
  #saving: Promise<void> = Promise.resolve();
  #isOver = false;
  #needsSave = false;
  #savedAt = -Infinity;
  #stateFailure = '';
  readonly #identity = thisScheduler();
  #stopped: Promise<StopReport> | undefined;

  constructor({ jobs, clock = systemSchedulerClock, onEvent, stateFile }: SchedulerOptions) {
    this.#jobs = plansOf(jobs).map((plan) => ({
      plan,
      record: NEW_RECORD,
      handled: -Infinity,
      verified: undefined,
      run: undefined,
    }));
    this.#clock = clock;
    this.#onEvent = onEvent;
    this.#stateFile = stateFile;
  }

  /**
   * Learns what was done before, and begins. What was missed since then is made up for once.
   * @throws VecsnapError SCHEDULE_RUNNING when another scheduler works with the same state file.
   */
  async start(): Promise<void> {
    await this.#begin();
    this.#takesDueRuns = true;
    this.#tick();
  }

  /** Instead of {@link start}: runs every job that is due once, with its retries, and stops. */
  async runDue(): Promise<readonly RunOutcome[]> {
    await this.start();
    this.#takesDueRuns = false;
    const outcomes = await Promise.all(
      this.#jobs.flatMap(({ run }) => (run === undefined ? [] : [run.outcome])),
    );
    await this.stop();
    return outcomes;
  }

  /**
   * Runs a job now, whatever its times say; when it is at work, that run is the one. Before {@link start} it runs alone.
   * @throws VecsnapError OPTION_INVALID for a name that no job has.
   */
  async runNow(name: string): Promise<RunOutcome> {
    const job = this.#jobs.find(({ plan }) => plan.name === name);
    if (job === undefined) {
      throw new VecsnapError('OPTION_INVALID', `There is no job ${JSON.stringify(name.slice(0, 80))}.`, {
        place: 'name',
        remedy: `The jobs are ${this.#jobs.map(({ plan }) => plan.name).join(', ')}.`,
      });
    }
    await this.#begin();
    if (job.run === undefined) this.#beginRun(job, this.#clock.now(), stepsOf(job.plan, false));
    this.#setTimer();
    return (job.run as unknown as LiveRun).outcome;
  }

  /** How each job stands. */
  status(): readonly JobStatus[] {
    return this.#jobs.map(({ plan, record }) => statusOf(plan, record, this.#clock.now()));
  }

  /**
   * Begins nothing any more, gives what is at work `graceMs` to finish its step, then has it undo what it began. Called again, it gives
   * the same promise.
   */
  stop({
    graceMs = SCHEDULER_DEFAULTS.graceMs,
  }: { readonly graceMs?: number | undefined } = {}): Promise<StopReport> {
    return (this.#stopped ??= this.#stop(graceMs));
  }

  async #stop(graceMs: number): Promise<StopReport> {
    this.#phase = 'stopping';
    this.#cancelTimer();
    for (const job of this.#jobs) if (job.record.phase === 'retrying') this.#endRun(job, aborted());
    const work = Promise.all(this.#working);
    let clean = await this.#endsWithin(work, graceMs);
    const abandoned = clean
      ? []
      : this.#jobs.filter(({ record }) => record.phase === 'running').map(({ plan }) => plan.name);
    if (!clean) {
      this.#abort.abort('stop');
      clean = await this.#endsWithin(work, ABANDON_MS);
    }
    this.#isOver = clean;
    this.#save();
    await this.#saving;
    this.#emit({ event: 'stop', abandoned, clean });
    return { abandoned, clean };
  }

  #endsWithin(work: Promise<unknown>, ms: number): Promise<boolean> {
    return this.#working.size === 0 ? Promise.resolve(true) : endsWithin(work, ms, this.#clock);
  }

  #begin(): Promise<void> {
    return (this.#begun ??= this.#learn());
  }

  async #learn(): Promise<void> {
    const state = await this.#loadState();
    for (const job of this.#jobs) await this.#recall(job, state);
    if (this.#phase === 'stopping') return; // Meanwhile.
    this.#phase = 'started';
    this.#save();
    await this.#saving;
    this.#emit({ event: 'ready', jobs: this.#jobs.length });
  }

  async #loadState(): Promise<ScheduleState> {
    if (this.#stateFile === undefined) return NO_STATE;
    const { state, problem } = await loadState(this.#stateFile);
    if (problem !== undefined) this.#emitStateFailure(problem);
    const isOwn = state.scheduler?.pid === process.pid && state.scheduler.host === this.#identity.host;
    if (isOwn || !isAtWork(state, this.#clock.now())) return state;
    const { pid, host } = state.scheduler ?? {};
    throw new VecsnapError('SCHEDULE_RUNNING', `Process ${pid} on ${host} works with this schedule.`, {
      place: this.#stateFile,
      remedy: 'Stop it first. If it is gone, on another machine or in another container, delete the file.',
    });
  }

  /** What the newest snapshot and the state tell of a job. Of times to come, which a wrong clock left, only that there is nothing to make up for. */
  async #recall(job: LiveJob, state: ScheduleState): Promise<void> {
    const { plan } = job;
    const now = this.#clock.now();
    const kept = Object.hasOwn(state.jobs, plan.name) ? state.jobs[plan.name] : undefined;
    const fromSnapshots = await takenRuns(plan, now).catch((error: unknown) => {
      this.#emit({
        event: 'failure',
        job: plan.name,
        step: 'state',
        attempt: 1,
        willRetry: false,
        ...failureReport(error),
      });
      return { past: undefined, future: false, newest: null };
    });
    const keptDue = kept?.lastDue ? Date.parse(kept.lastDue) : undefined;
    const past = [fromSnapshots.past, keptDue].filter((due) => due !== undefined && due <= now) as number[];
    const isFuture = fromSnapshots.future || (keptDue !== undefined && keptDue > now);
    const lastDue = past.length === 0 ? undefined : Math.max(...past);
    job.record = {
      ...NEW_RECORD,
      ...kept,
      phase: 'idle',
      step: null,
      retryAt: null,
      knownSince: isoOf(Math.min(now, kept?.knownSince ? Date.parse(kept.knownSince) : now)),
      lastDue: lastDue === undefined ? null : isoOf(lastDue),
      lastSuccess: pastOnly(kept?.lastSuccess, now) ?? fromSnapshots.newest,
      lastVerify: pastOnly(kept?.lastVerify, now),
    };
    const { lastVerify } = job.record;
    job.verified = lastVerify === null ? undefined : Date.parse(lastVerify.time);
    job.handled = plan.catchUp
      ? (lastDue ?? (isFuture ? now - plan.offsetMs : -Infinity))
      : now - plan.offsetMs;
  }

  #tick(): void {
    if (this.#phase !== 'started') return;
    const now = this.#clock.now();
    if (Math.abs(now - this.#savedAt) >= LONGEST_SLEEP / 2) this.#save(); // Tells others that this one is alive.
    for (const job of this.#jobs) {
      this.#forgetFuture(job, now);
      if (this.#takesDueRuns) this.#takeDue(job, now);
      const { run } = job;
      if (run?.retryAt === undefined) continue;
      const latest = now + backOff(job.plan, run.attempt); // Later than that only when the clock was set back.
      if (run.retryAt > latest) {
        run.retryAt = latest;
        this.#note(job, { retryAt: isoOf(latest) });
      }
      if (run.retryAt <= now) this.#enqueue(job, run);
    }
    this.#setTimer();
  }

  /** What was noted while the clock was ahead says nothing any more; the snapshots tell what was done before. */
  #forgetFuture(job: LiveJob, now: number): void {
    const { lastDue, lastSuccess, lastVerify } = job.record;
    if (pastOnly(lastVerify, now) !== lastVerify) this.#note(job, { lastVerify: null });
    if (pastOnly(lastSuccess, now) !== lastSuccess) this.#note(job, { lastSuccess: null });
    if (lastDue === null || !isToCome(Date.parse(lastDue), now) || job.run !== undefined) return;
    this.#note(job, { lastDue: null });
    const work = this.#learnAgain(job, now);
    this.#working.add(work);
    void work.then(() => this.#working.delete(work));
  }

  /** Never fails: a repository that cannot be read tells nothing, and the next run says why. */
  async #learnAgain(job: LiveJob, now: number): Promise<void> {
    const { past, newest } = await takenRuns(job.plan, now).catch(() => ({ past: undefined, newest: null }));
    const { lastDue, lastSuccess } = job.record; // What a run has noted meanwhile is newer.
    this.#note(job, {
      lastDue: lastDue ?? (past === undefined ? null : isoOf(past)),
      lastSuccess: lastSuccess ?? newest,
    });
  }

  #takeDue(job: LiveJob, now: number): void {
    const { plan, record } = job;
    job.handled = handledNow(plan, job.handled, now);
    const isFirst = job.handled === -Infinity;
    const found = dueRun(plan, job.handled, now);
    const verifyAt = nextVerify(plan, job.verified, now);
    const verifies = verifyAt !== undefined && verifyAt <= now;
    if (found !== undefined) {
      const { due, count } = found;
      job.handled = due;
      if (record.phase !== 'idle') {
        this.#emit({ event: 'skipped', job: plan.name, due: isoOf(due), reason: record.phase, count });
        return;
      }
      const late = now - due - plan.offsetMs;
      if (!isFirst && (count > 1 || late > LONGEST_SLEEP))
        this.#emit({ event: 'caught-up', job: plan.name, due: isoOf(due), missed: count });
      this.#beginRun(job, due, stepsOf(plan, verifies));
    } else if (verifies && record.phase === 'idle' && record.lastDue !== null) {
      this.#beginRun(job, now, ['verify']);
    }
  }

  #setTimer(): void {
    this.#cancelTimer();
    if (this.#phase !== 'started') return;
    const now = this.#clock.now();
    const wakeAt = this.#jobs.reduce((earliest, { plan, handled, verified, run }) => {
      const verifyAt = run === undefined ? nextVerify(plan, verified, now) : undefined;
      const times = [
        nextRun(plan, handled, now),
        run?.retryAt,
        verifyAt === -Infinity ? undefined : verifyAt,
      ];
      return Math.min(earliest, ...times.filter((time) => time !== undefined));
    }, now + LONGEST_SLEEP);
    this.#cancelTimer = this.#clock.setTimer(Math.max(1, wakeAt - now), () => this.#tick());
  }

  #beginRun(job: LiveJob, due: number, steps: Step[]): void {
    let end: (outcome: RunOutcome) => void = () => undefined;
    const outcome = new Promise<RunOutcome>((resolve) => (end = resolve));
    const startedAt = this.#clock.now();
    job.run = {
      plan: job.plan,
      due,
      steps,
      attempt: 0,
      snapshot: null,
      hasForgotten: false,
      retryAt: undefined,
      startedAt,
      outcome,
      end,
    };
    this.#enqueue(job, job.run);
  }

  /** Has a run wait for its repository, and then work. */
  #enqueue(job: LiveJob, run: LiveRun): void {
    run.retryAt = undefined;
    run.attempt++;
    this.#note(job, { phase: 'waiting', retryAt: null });
    const key = repositoryKey(job.plan);
    const work = this.#workAfter(this.#queues.get(key), job, run);
    this.#queues.set(key, work);
    this.#working.add(work);
    void this.#leaveQueue(key, work);
  }

  async #workAfter(before: Promise<void> | undefined, job: LiveJob, run: LiveRun): Promise<void> {
    await before;
    await this.#work(job, run);
  }

  async #leaveQueue(key: unknown, work: Promise<void>): Promise<void> {
    await work;
    this.#working.delete(work);
    if (this.#queues.get(key) === work) this.#queues.delete(key);
  }

  /** One try of a run. Never fails. */
  async #work(job: LiveJob, run: LiveRun): Promise<void> {
    if (this.#phase === 'stopping') return this.#endRun(job, aborted());
    const { plan, attempt, steps } = run;
    this.#note(job, { phase: 'running' });
    this.#emit({ event: 'start', job: plan.name, due: isoOf(run.due), attempt, steps: [...steps] });
    try {
      await carryOut(run, this.#hostOf(job, run));
    } catch (error) {
      this.#failed(job, run, error);
      return;
    }
    if (steps.length > 0) return this.#endRun(job, aborted());
    const now = this.#clock.now();
    if (run.snapshot !== null) this.#note(job, { lastSuccess: { time: isoOf(now), snapshot: run.snapshot } });
    this.#emit({ event: 'done', job: plan.name, due: isoOf(run.due), ms: Math.max(0, now - run.startedAt) });
    this.#endRun(job, undefined);
  }

  #hostOf(job: LiveJob, run: LiveRun): RunHost {
    return {
      signal: this.#abort.signal,
      isStopping: () => this.#phase === 'stopping',
      emit: (event) => this.#emit(event),
      onStep: (step) => this.#note(job, { step }),
      onSnapshot: () => this.#note(job, { lastDue: isoOf(run.due) }),
      onVerified: (ok) => {
        job.verified = this.#clock.now();
        this.#note(job, { lastVerify: { time: isoOf(job.verified), ok } });
      },
    };
  }

  #failed(job: LiveJob, run: LiveRun, error: unknown): void {
    const { plan, attempt } = run;
    const step = run.steps[0] as Step;
    const now = this.#clock.now();
    const willRetry = this.#phase === 'started' && attempt < plan.retry.attempts && isWorthRetrying(error);
    const report = failureReport(error);
    if (report.code !== 'ABORTED') this.#note(job, { lastFailure: { time: isoOf(now), step, ...report } });
    this.#emit({ event: 'failure', job: plan.name, step, attempt, willRetry, ...report });
    if (!willRetry) {
      if (step === 'verify') job.verified = now; // Else it would be tried again at once.
      return this.#endRun(job, error);
    }
    run.retryAt = now + backOff(plan, attempt);
    this.#note(job, { phase: 'retrying', step: null, retryAt: isoOf(run.retryAt) });
    this.#emit({ event: 'retry', job: plan.name, attempt: attempt + 1, at: isoOf(run.retryAt) });
    this.#setTimer();
  }

  #endRun(job: LiveJob, error: unknown): void {
    const { run, plan } = job;
    job.run = undefined;
    this.#note(job, { phase: 'idle', step: null, retryAt: null });
    run?.end({ job: plan.name, ok: error === undefined, snapshot: run.snapshot, error });
    this.#setTimer();
  }

  #note(job: LiveJob, change: Partial<JobRecord>): void {
    job.record = { ...job.record, ...change };
    this.#save();
  }

  /** Has the state written, once for all changes that come while it is being written. */
  #save(): void {
    const path = this.#stateFile;
    if (path === undefined || this.#needsSave) return;
    this.#needsSave = true;
    this.#saving = this.#write(path, this.#saving);
  }

  async #write(path: string, before: Promise<void>): Promise<void> {
    await before;
    this.#needsSave = false;
    this.#savedAt = this.#clock.now();
    const jobs = Object.fromEntries(this.#jobs.map(({ plan, record }) => [plan.name, record]));
    const scheduler = this.#isOver ? null : this.#identity;
    try {
      await saveState(path, { scheduler, seen: isoOf(this.#savedAt), jobs });
    } catch (error) {
      this.#emitStateFailure(error);
    }
  }

  #emitStateFailure(error: unknown): void {
    const report = failureReport(error);
    if (report.message === this.#stateFailure) return; // Once is enough.
    this.#stateFailure = report.message;
    this.#emit({
      event: 'failure',
      job: null,
      step: 'state',
      attempt: 1,
      willRetry: false,
      ...report,
    });
  }

  #emit(event: NewEvent): void {
    this.#onEvent({ time: isoOf(this.#clock.now()), ...event });
  }
}

/** @throws VecsnapError OPTION_INVALID that names the first thing that is wrong. */
function plansOf(jobs: readonly ScheduledJob[]): readonly JobPlan[] {
  const { plans, problems } = checkJobs(jobs, ['jobs']);
  const [first] = problems;
  if (first === undefined) return plans;
  throw new VecsnapError('OPTION_INVALID', first.message, {
    place: first.path.join('.'),
    remedy: first.remedy,
  });
}

function isoOf(time: number): string {
  return new Date(time).toISOString();
}

function aborted(): VecsnapError {
  return new VecsnapError('ABORTED', 'The scheduler was stopped.', {
    remedy: 'Nothing is half done. The run is due again when the scheduler is started.',
  });
}
