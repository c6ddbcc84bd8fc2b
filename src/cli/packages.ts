/**
 * The packages that the command line is made with.
 *
 * They are CommonJS, and `require` takes a third less time than `import`, for which Node.js first reads their text to find
 * what they export.
 */
import { createRequire } from 'node:module';
import type * as CliProgress from 'cli-progress';
import type * as Commander from 'commander';

const require = createRequire(import.meta.url);

export const commander = require('commander') as typeof Commander;

/** Loaded only when there is progress to show: most commands are done before. */
export function loadCliProgress(): typeof CliProgress {
  return require('cli-progress') as typeof CliProgress;
}
