/**
 * Wraps a database so that the ids of all records that are written through it are in a journal before they are written
 * (docs/ordering.md, J1). The wrapper has the shape of the database; what only reads goes straight through.
 */
import { randomUUID } from 'node:crypto';
import { JournalWriter } from './journal-writer.js';

/** What a call writes. */
export interface TrackedCall {
  /** The ids of the records that it may insert, change or delete; undefined when that cannot be told before. */
  readonly ids: readonly (string | number | bigint)[] | undefined;
  /** The arguments to call the database with, where they should be others. */
  readonly args?: readonly unknown[];
}

/** The methods of a database that write, and how the ids are found in their arguments. */
export interface WriteMethods {
  readonly [method: string]: (...args: readonly never[]) => TrackedCall;
}

/** How {@link trackChanges} works. */
export interface TrackOptions {
  /** The path of the journal; beside the database, for example `articles.db.changes`. It is made when there is none. */
  readonly journal: string;
  /** Methods that write, in place of or beside those of {@link RUVECTOR_METHODS}. */
  readonly methods?: WriteMethods;
}

/** A database whose writes are tracked. */
export type Tracked<T> = T & {
  /** Closes the journal. The database stays open, but must not be written through this any more. */
  [Symbol.asyncDispose](): Promise<void>;
};

interface Entry {
  readonly id?: string;
}

/** An entry without an id is given one here, as the database would. */
function withId<E extends Entry>(entry: E): E & { readonly id: string } {
  return { ...entry, id: entry.id ?? randomUUID() };
}

/** The methods of `@ruvector/core` that write. */
export const RUVECTOR_METHODS = {
  insert: (entry: Entry): TrackedCall => {
    const named = withId(entry);
    return { ids: [named.id], args: [named] };
  },
  insertBatch: (entries: readonly Entry[]): TrackedCall => {
    const named = entries.map(withId);
    return { ids: named.map(({ id }) => id), args: [named] };
  },
  delete: (id: string): TrackedCall => ({ ids: [id] }),
} satisfies WriteMethods;

/**
 * A wrapper of `db` that notes what is written through it, for snapshots that read no more than that
 * (see {@link followChanges}). Everything that writes to the database must go through it. One tracker at a time may write a journal.
 *
 * A method that writes is called once its ids are durable, and gives a promise. It rejects with JOURNAL_FAILED, and the database is
 * not called, when they cannot be written.
 * @example
 * const db = trackChanges(new VectorDb({ dimensions: 384, storagePath: 'a.db' }), { journal: 'a.db.changes' });
 */
export function trackChanges<T extends object>(db: T, { journal, methods = {} }: TrackOptions): Tracked<T> {
  const writer = new JournalWriter(journal);
  writer.prepare();
  const writing = new Map<PropertyKey, WriteMethods[string]>(
    Object.entries({ ...RUVECTOR_METHODS, ...methods } as WriteMethods),
  );
  return new Proxy(db, {
    get(target, property) {
      if (property === Symbol.asyncDispose) return () => writer.close();
      const value: unknown = Reflect.get(target, property, target);
      if (typeof value !== 'function') return value;
      const describe = writing.get(property);
      if (describe === undefined) return value.bind(target) as unknown;
      return (...args: readonly never[]) =>
        trackedCall(writer, describe(...args), args, (given) => Reflect.apply(value, target, given));
    },
  }) as Tracked<T>;
}

async function trackedCall(
  writer: JournalWriter,
  { ids, args }: TrackedCall,
  given: readonly unknown[],
  call: (args: readonly unknown[]) => unknown,
): Promise<unknown> {
  const place = await writer.add(ids?.map(String));
  try {
    return await call(args ?? given);
  } finally {
    await writer.settle(place);
  }
}
