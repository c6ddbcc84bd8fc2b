/** What a scheduler reports: one event for everything that happens. docs/schedule.md describes each for programs that read them. */

/** A part of a run, in the order in which a run does them. */
export type Step = 'snapshot' | 'forget' | 'gc' | 'verify';

/** What went wrong. `code` is that of a VecsnapError, or `UNEXPECTED` for any other error. */
export interface FailureReport {
  readonly code: string;
  readonly message: string;
  readonly place: string | null;
  readonly remedy: string | null;
}

/** Times are ISO 8601, UTC. */
type Happening =
  | { readonly event: 'ready'; readonly jobs: number }
  | {
      readonly event: 'start';
      readonly job: string;
      readonly due: string;
      readonly attempt: number;
      readonly steps: readonly Step[];
    }
  | {
      readonly event: 'snapshot';
      readonly job: string;
      readonly id: string;
      readonly collection: string;
      readonly type: 'full' | 'incremental';
      readonly records: number;
      readonly files: number;
      readonly logicalBytes: number;
      readonly addedBytes: number;
      readonly notes: readonly string[];
    }
  | {
      readonly event: 'forget';
      readonly job: string;
      readonly forgotten: readonly string[];
      readonly kept: number;
    }
  | {
      readonly event: 'gc';
      readonly job: string;
      readonly reclaimedBytes: number;
    }
  | {
      readonly event: 'verify';
      readonly job: string;
      readonly ok: boolean;
      readonly problems: number;
      readonly chunks: number;
      readonly bytes: number;
    }
  | { readonly event: 'done'; readonly job: string; readonly due: string; readonly ms: number }
  | ({
      readonly event: 'failure';
      /** Null when it is not about one job. */
      readonly job: string | null;
      readonly step: Step | 'state';
      readonly attempt: number;
      readonly willRetry: boolean;
    } & FailureReport)
  | { readonly event: 'retry'; readonly job: string; readonly attempt: number; readonly at: string }
  | {
      readonly event: 'skipped';
      readonly job: string;
      readonly due: string;
      /** Why: the run before waits for the repository, is under way, or will be tried again. */
      readonly reason: 'waiting' | 'running' | 'retrying';
      readonly count: number;
    }
  | {
      readonly event: 'caught-up';
      readonly job: string;
      readonly due: string;
      /** How many times were missed, that of `due` included; 1000 stands for more too. One run makes up for all. */
      readonly missed: number;
    }
  | {
      readonly event: 'stop';
      /** Jobs whose work was abandoned. */
      readonly abandoned: readonly string[];
      /** Whether all work has ended. */
      readonly clean: boolean;
    };

/** One event. */
export type ScheduleEvent = Happening & { readonly time: string };

/** An event before it is known when it happens. */
export type NewEvent = Happening;
