/**
 * Code that is loaded at once and before it is needed, by `require`, where Node.js can load modules so. That takes two thirds of the time of
 * `import`, which has other threads open, read and close each file. Whoever imports the same code later finds it loaded; what
 * is not named here is loaded when it is needed, as everything is where `require` cannot.
 */
import { createRequire } from 'node:module';

const require = createRequire(import.meta.url);

/** What tells snapshots. */
const FOR_LISTS = ['../snapshot/manager.js', '../platform/directory-environment.js'];

/** What reads or writes chunks. */
const FOR_CHUNKS = [
  ...FOR_LISTS,
  '../platform/pool.js',
  '../snapshot/snapshot-blob.js',
  '../snapshot/read-manifest.js',
  '../source/registry.js',
];

/** What commands load that take long or are called often. */
const CODE: { readonly [command: string]: readonly string[] } = {
  create: [
    ...FOR_CHUNKS,
    '../platform/directory-index.js',
    '../snapshot/creating.js',
    '../snapshot/snapshot-encoding.js',
    '../platform/directory-lock.js',
  ],
  restore: [...FOR_CHUNKS, '../snapshot/content.js', '../cas/chunk-store.js'],
  verify: [...FOR_CHUNKS, '../platform/directory-index.js', '../snapshot/verify.js'],
  list: FOR_LISTS,
  show: FOR_LISTS,
};

/** Loads the definition of a command. */
export function loadDefinition(command: string): void {
  loadAtOnce([`./commands/${command}.js`]);
}

/** Loads what a command needs to do its work. */
export function loadCodeFor(command: string): void {
  loadAtOnce(CODE[command] ?? []);
}

/** Versions of Node.js that load modules by `require` and say on stderr that they do. */
const TALKATIVE = /^v(?:22\.12|23\.[0-4])\./;

/** Loads modules of this package. */
export function loadAtOnce(files: readonly string[]): void {
  if (!process.features.require_module || TALKATIVE.test(process.version)) return;
  for (const file of files) {
    try {
      require(file);
    } catch {
      // What is wrong is wrong again, and is told, when the code is needed.
    }
  }
}
