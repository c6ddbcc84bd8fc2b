/** Ctrl-C and SIGTERM: the first stops the work in an orderly way, the second ends the process at once. */
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
    if (!isFirst || onInterrupt === 'exit') process.exit(exitCode);
    warn('stopping; once more to end at once');
    controller.abort(name);
  };
  for (const name of SIGNALS) process.on(name, listen);
  return {
    signal: controller.signal,
    exitCode: () => exitCode,
    stopWatching: () => SIGNALS.forEach((name) => process.off(name, listen)),
  };
}
