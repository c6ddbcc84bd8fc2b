/** What a command of the command line is made of, and what it is given and gives back. */
import type { Command } from 'commander';
import type { ProgressListener } from '../index.js';

/** What a command gets besides its arguments and options. */
export interface Call {
  /** Aborted by Ctrl-C and by SIGTERM. */
  readonly signal: AbortSignal;
  /** Draws progress where there is a terminal to draw on. */
  readonly onProgress: ProgressListener | undefined;
  /** Tells the person something that is not a result, at once. */
  warn(message: string): void;
}

/** What a command did. */
export interface Outcome {
  /** What `--json` prints; undefined when everything was printed already. */
  readonly value: unknown;
  /** What people read; without the newline at its end. */
  readonly text: () => string;
  /** Default: done. */
  readonly exitCode?: number;
}

/** One command. */
export interface CliCommand<O = object> {
  /** Its options, and what help says about its arguments. */
  configure(command: Command): unknown;
  /** Command lines that show what it is for, each with what it does. */
  readonly examples: readonly (readonly [line: string, what: string])[];
  /** What else help should say. */
  readonly notes?: string;
  /**
   * What a first Ctrl-C does: `abort` lets the command undo what it began, `exit` ends the process at once. Only for commands
   * that leave everything as it was wherever they end.
   */
  readonly onInterrupt: 'abort' | 'exit';
  /**
   * Begins what takes time, before all else, when there is much to be done that would have to wait for it otherwise.
   * @param ended is aborted when the command has ended, however it did.
   */
  startEarly?(args: readonly unknown[], ended: AbortSignal): void;
  /** @param args the arguments, as many as the signature of the command says; a variadic one is an array. */
  run(call: Call, args: readonly unknown[], options: O): Promise<Outcome>;
}

/** A command as the list of commands has it: its code is loaded when it is asked for. */
export interface ListedCommand {
  /** Its name and arguments as help shows them. */
  readonly signature: string;
  readonly summary: string;
  load(): Promise<CliCommand<never>>;
}
