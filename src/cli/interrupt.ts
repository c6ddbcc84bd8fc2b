/**
 * Ctrl-C and SIGTERM: the first stops the work in an orderly way, the second ends the process at once.
 *
 * `process.exit` is not at once: it waits for the threads of the pool, and one that opens a FIFO, or reads from a disk that is gone, never
 * comes back. So the second signal is left to the system, which ends the process by it; shells show the same exit code.
 */
import { constants } from 'node:os';
import type { CliCommand } from './command.js';

/** Watches for signals while a command runs. */
export interface Interruption {
  readonly signal: AbortSignal;
  /** The exit code that tells the signal, when there was one. */
  exitCode(): number | undefined;
  stopWatching(): void;
}

const SIGNALS = ['SIGINT', 'SIGTERM'] as const;

/** Begins to watch. @param warn tells the person that the first signal arrived. */
export function watchSignals(
  onInterrupt: CliCommand['onInterrupt'],
  warn: (message: string) => void,
): Interruption {
  const controller = new AbortController();
  let exitCode: number | undefined;
  const listen = (name: (typeof SIGNALS)[number]): void => {
    const isFirst = exitCode === undefined;
    exitCode = 128 + constants.signals[name];
    if (isFirst && onInterrupt === 'abort') {
      warn('stopping; once more to end at once');
      controller.abort(name);
      return;
    }
    stopWatching(); // So the next one ends the process, whatever holds up this one.
    if (!isFirst) process.kill(process.pid, name);
    process.exit(exitCode); // To the first process of a container the system sends no signal.
  };
  const stopWatching = (): void => SIGNALS.forEach((name) => void process.off(name, listen));
  for (const name of SIGNALS) process.on(name, listen);
  return {
    signal: controller.signal,
    exitCode: () => exitCode,
    stopWatching,
  };
}
