/**
 * The program that a ruvector target runs in a process of its own: it makes one new database and fills it.
 *
 * `@ruvector/core` has no close: a process that opened a database keeps its lock, and its view of the path, until it ends.
 * It can also end the process by itself, on vectors that its graph cannot order. So it works here, where neither matters.
 * It takes the messages of {@link WriterMessage} and answers each with a {@link WriterAnswer}.
 */
import type { RuvectorConfig } from './ruvector-config.js';

/** What the target asks for: first a database, then batches. */
export type WriterMessage =
  | { readonly type: 'create'; readonly path: string; readonly config: RuvectorConfig }
  | {
      readonly type: 'insert';
      readonly ids: readonly string[];
      /** All vectors, one after the other. */
      readonly vectors: Float32Array;
      /** JSON, or undefined for a record without metadata. */
      readonly metadata: readonly (string | undefined)[];
    };

/** How it went. `unavailable`: the package is not there, or has no part for this system. */
export type WriterAnswer =
  | { readonly ok: true }
  | { readonly ok: false; readonly reason: 'unavailable' | 'failed'; readonly message: string };

interface Database {
  insertBatch(entries: readonly { id: string; vector: Float32Array; metadata?: string }[]): Promise<unknown>;
}

type DatabaseClass = new (options: RuvectorConfig & { storagePath: string }) => Database;

let database: Database | undefined;
let dimensions = 0;

// Ctrl-C reaches every process of a terminal: the target decides when this one ends.
process.on('SIGINT', () => undefined);
process.on('disconnect', () => process.exit(1));
process.on('message', (message: WriterMessage) => {
  void answerTo(message).then((answer) => process.send?.(answer));
});

async function answerTo(message: WriterMessage): Promise<WriterAnswer> {
  if (message.type === 'insert') return attempt('failed', () => insert(message));
  let VectorDb: DatabaseClass | undefined;
  const loaded = await attempt('unavailable', async () => {
    VectorDb = await loadDatabaseClass();
  });
  if (!loaded.ok || VectorDb === undefined) return loaded;
  const Class = VectorDb;
  return attempt('failed', async () => {
    dimensions = message.config.dimensions;
    database = new Class({ ...message.config, storagePath: message.path });
  });
}

async function attempt(reason: 'unavailable' | 'failed', act: () => Promise<unknown>): Promise<WriterAnswer> {
  try {
    await act();
    return { ok: true };
  } catch (error) {
    return { ok: false, reason, message: error instanceof Error ? error.message : String(error) };
  }
}

/** The package is one of CommonJS, so its class may stand under `default`. */
async function loadDatabaseClass(): Promise<DatabaseClass> {
  const name: string = '@ruvector/core';
  const module = (await import(name)) as { VectorDb?: DatabaseClass; default?: { VectorDb?: DatabaseClass } };
  const VectorDb = module.VectorDb ?? module.default?.VectorDb;
  if (VectorDb === undefined) throw new Error('This version of @ruvector/core has no VectorDb.');
  return VectorDb;
}

async function insert(message: Extract<WriterMessage, { type: 'insert' }>): Promise<void> {
  const entries = message.ids.map((id, index) => {
    const vector = message.vectors.subarray(index * dimensions, (index + 1) * dimensions);
    const metadata = message.metadata[index];
    return metadata === undefined ? { id, vector } : { id, vector, metadata };
  });
  await database?.insertBatch(entries);
}
