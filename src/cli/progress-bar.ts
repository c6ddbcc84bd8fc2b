/** Progress on a terminal: one line on stderr that is drawn again and again, and cleared at the end. */
import type { SingleBar } from 'cli-progress';
import type { Progress, ProgressListener } from '../index.js';
import { loadCliProgress } from './packages.js';
import { bytesText, countText } from './text.js';

/** A progress line. */
export interface ProgressBar {
  readonly listener: ProgressListener;
  /** Clears the line. */
  stop(): void;
}

const LABELS: Readonly<Record<Progress['phase'], string>> = {
  take: 'Taking',
  restore: 'Restoring',
  verify: 'Verifying',
  mark: 'Marking',
  sweep: 'Sweeping',
  repair: 'Repairing',
};
const BAR_WIDTH = 24;
/** A rough number of seconds is soon replaced by a better one; before this share of the work there is none. */
const LEAST_SHARE_FOR_ETA = 0.02;

/** A line that appears with the first progress. */
export function progressBar(stream: NodeJS.WriteStream): ProgressBar {
  let bar: SingleBar | undefined;
  const start = (progress: Progress): void => {
    const { SingleBar } = loadCliProgress();
    const format = (_: unknown, { startTime }: { startTime: number }, { progress }: { progress: Progress }) =>
      lineText(progress, (performance.timeOrigin + performance.now() - startTime) / 1000);
    bar = new SingleBar({ stream, clearOnComplete: true, fps: 10, format });
    bar.start(1, 0, { progress });
  };
  return {
    listener(progress) {
      if (bar === undefined) start(progress);
      bar?.update(shareOf(progress) ?? 0, { progress });
    },
    stop: () => bar?.stop(),
  };
}

/** From 0 to 1, or undefined when it is not known how much is to come. */
function shareOf({ bytes, totalBytes, records, totalRecords }: Progress): number | undefined {
  const [done, total] = totalBytes ? [bytes, totalBytes] : [records, totalRecords ?? 0];
  return total === 0 ? undefined : Math.min(1, done / total);
}

function lineText(progress: Progress, seconds: number): string {
  const share = shareOf(progress);
  const { phase, bytes, totalBytes, records } = progress;
  const amount = totalBytes ? `${bytesText(bytes)} of ${bytesText(totalBytes)}` : bytesText(bytes);
  return [
    LABELS[phase],
    share === undefined ? '' : `${barText(share)} ${String(Math.floor(share * 100)).padStart(3)} %`,
    amount,
    records > 0 ? `${countText(records)} records` : '',
    share === undefined ? '' : etaText(share, seconds),
  ]
    .filter((part) => part !== '')
    .join('  ');
}

function barText(share: number): string {
  const full = Math.round(share * BAR_WIDTH);
  return `[${'='.repeat(full)}${' '.repeat(BAR_WIDTH - full)}]`;
}

function etaText(share: number, seconds: number): string {
  if (share < LEAST_SHARE_FOR_ETA) return '';
  const left = Math.round((seconds * (1 - share)) / share);
  return left < 100 ? `${left} s left` : `${Math.round(left / 60)} min left`;
}
