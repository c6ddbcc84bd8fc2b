/** How a repository is opened and worked with: the options, their defaults, and what they may be. */
import { utf8 } from '../core/bytes.js';
import { VecsnapError } from '../core/errors.js';
import type { Environment } from './environment.js';
import type { RepositoryOptions } from './repository.js';

/** How a repository is opened and worked with. Everything but the place has a default. */
export interface SnapshotConfig {
  /** The directory of the repository. Or give an `environment`. */
  readonly snapshotDir?: string;
  /** A repository that is not in a local directory. */
  readonly environment?: Environment;
  /** `auto` keeps each chunk in its smallest form, `none` keeps all as they are. Default: `auto`. */
  readonly compression?: 'auto' | 'none';
  /** How hard to search for repetitions in what is not made of numbers, from 1 (fast) to 9 (small). Default: 5. */
  readonly compressionLevel?: number;
  /** Whether every chunk that is read is compared with its address. Default: true. Without it damage goes unnoticed. */
  readonly verifyChecksum?: boolean;
  /** Reads and writes of blobs under way at the same time. Default: 8. */
  readonly maxConcurrentIo?: number;
  /** Threads that share hashing and compression; 1 is the calling thread. Default: as many as the machine runs at once. */
  readonly workers?: number;
  /**
   * Whether nobody else waits for the calling thread, as in a command: it then does small reads itself, looks at the
   * files of directories itself, and is one of the `workers`.
   * Quicker, and one thread less has to start. Default: false.
   */
  readonly ownsThread?: boolean;
  /** How long to wait for another writer, in milliseconds. Default: 10,000. */
  readonly lockTimeoutMs?: number;
  /**
   * Bytes on disk that a repository in a directory holds back, so that on a full disk a sweep has room for what it rewrites
   * (docs/repair.md). Default: 262,144.
   */
  readonly reserveBytes?: number;
}

/** The defaults of {@link SnapshotConfig}. */
export const DEFAULT_CONFIG = {
  compression: 'auto',
  compressionLevel: 5,
  verifyChecksum: true,
  maxConcurrentIo: 8,
  lockTimeoutMs: 10_000,
  reserveBytes: 262_144,
} as const satisfies SnapshotConfig;

/** Names are kept in the snapshot's own blob; this keeps that small. */
const MAX_NAME_BYTES = 65_536;

/** What was given, checked, and the defaults for the rest. */
export type Settings = RepositoryOptions & { readonly lockTimeoutMs: number };

/** @throws VecsnapError OPTION_INVALID. */
export function checkConfig(config: SnapshotConfig): Settings {
  const { compression, compressionLevel, verifyChecksum, maxConcurrentIo, lockTimeoutMs } = {
    ...DEFAULT_CONFIG,
    ...definedOnly(config),
  };
  if (compression !== 'auto' && compression !== 'none')
    throw invalidOption('compression', compression, 'auto or none');
  checkWhole('compressionLevel', compressionLevel, 1, 9);
  checkWhole('maxConcurrentIo', maxConcurrentIo, 1, 1024);
  checkWhole('lockTimeoutMs', lockTimeoutMs, 0, 2 ** 31 - 1);
  if (config.reserveBytes !== undefined)
    checkWhole('reserveBytes', config.reserveBytes, 0, Number.MAX_SAFE_INTEGER);
  if (config.workers !== undefined) checkWhole('workers', config.workers, 1, 256);
  return { compression, compressionLevel, verifyChecksum, maxConcurrentIo, lockTimeoutMs };
}

function definedOnly<T extends object>(options: T): T {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as T;
}

/** @throws VecsnapError OPTION_INVALID unless the value is a whole number in the range. */
export function checkWhole(option: string, value: number, least: number, most: number): void {
  if (!Number.isSafeInteger(value) || value < least || value > most) {
    throw invalidOption(option, value, `a whole number from ${least} to ${most}`);
  }
}

/** An option with a value that it does not take. */
export function invalidOption(option: string, value: unknown, takes: string): VecsnapError {
  return new VecsnapError(
    'OPTION_INVALID',
    `The option ${option} does not take ${value === '' ? 'an empty text' : String(value).slice(0, 80)}.`,
    {
      place: option,
      remedy: `Give ${takes}.`,
    },
  );
}

/** @throws VecsnapError OPTION_INVALID for text that is empty, too long, or has lone surrogates. */
export function checkName(name: string, option: string): void {
  if (name === '' || !name.isWellFormed() || utf8(name).length > MAX_NAME_BYTES) {
    throw invalidOption(option, name, `text of 1 to ${MAX_NAME_BYTES} bytes without lone surrogates`);
  }
}

/** The machine's own parts are loaded only where a directory is given, so that the rest runs without them. */
export async function environmentOf(
  { environment, snapshotDir, workers, ownsThread, reserveBytes }: SnapshotConfig,
  purpose: 'open' | 'init',
): Promise<Environment> {
  if (environment !== undefined) return environment;
  // An empty path is most likely a variable that is not set, and must not mean the working directory.
  if (snapshotDir === undefined || snapshotDir === '')
    throw invalidOption('snapshotDir', snapshotDir, 'the path of a directory, or an environment');
  const { checkDirectory, checkDirectoryFree, directoryEnvironment } =
    await import('../platform/directory-environment.js');
  await (purpose === 'open' ? checkDirectory(snapshotDir) : checkDirectoryFree(snapshotDir));
  return directoryEnvironment(snapshotDir, { workers, ownsThread, reserveBytes });
}
