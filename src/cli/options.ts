/** Options that several commands have, and how values of options are read. */
import type { Command } from 'commander';
import { commander } from './packages.js';

/** Arguments that several commands have, with what help says about them. */
export const REPO = ['<REPO>', 'the directory of a repository (vecsnap init makes one)'] as const;
export const SNAP = ['<SNAP>', 'an id, the end of an id, a name, or latest'] as const;

/** `--lock-timeout`, for commands that write. */
export interface LockOption {
  readonly lockTimeout?: number;
}

/** The longest time that a timer takes. */
const MOST_SECONDS = (2 ** 31 - 1) / 1000;

/** Adds `--lock-timeout SECONDS`. */
export function addLockTimeout(command: Command): Command {
  return command.option(
    '--lock-timeout <SECONDS>',
    'how long to wait for another writer, 0 for not at all (default: 10)',
    parseSeconds,
  );
}

/** `--collection`. */
export interface CollectionOption {
  readonly collection?: string;
}

/** Adds `--collection C` with what it is for. */
export function addCollection(command: Command, what: string): Command {
  return command.option('--collection <C>', what);
}

function parseSeconds(text: string): number {
  const seconds = Number(text);
  if (text.trim() !== '' && seconds >= 0 && seconds <= MOST_SECONDS) return seconds;
  throw new commander.InvalidArgumentError('Give a number of seconds from 0 on.');
}

/** Reads a whole number that is at least `least`. */
export function wholeNumber(least: number): (text: string) => number {
  return (text) => {
    if (/^\d{1,15}$/.test(text) && Number(text) >= least) return Number(text);
    throw new commander.InvalidArgumentError(`Give a whole number from ${least} on.`);
  };
}

/** Gathers the values of an option that may be given several times. */
export function gather(text: string, before: readonly string[] | undefined): readonly string[] {
  return [...(before ?? []), text];
}
