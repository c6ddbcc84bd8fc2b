/**
 * Keeps the most recently used handles open, so that reading a blob in many pieces opens it once.
 *
 * A handle is closed when nobody uses it and it is no longer kept: because others were used since, because it was
 * dropped, or because the cache was cleared.
 */

/** How a {@link HandleCache} opens and closes. */
export interface HandleOpener<H> {
  open(name: string): Promise<H>;
  close(handle: H): Promise<void>;
}

interface Entry<H> {
  readonly name: string;
  readonly opened: Promise<H>;
  users: number;
  kept: boolean;
  /** Set once, because a number that was closed twice may by then be that of another file. */
  closed: Promise<void> | undefined;
}

/** Handles by name, at most `capacity` of them kept open while idle. */
export class HandleCache<H> {
  readonly #opener: HandleOpener<H>;
  readonly #capacity: number;
  /** In the order of their last use, the oldest first. */
  readonly #entries = new Map<string, Entry<H>>();

  constructor(opener: HandleOpener<H>, capacity: number) {
    this.#opener = opener;
    this.#capacity = capacity;
  }

  /** Runs `action` on the handle of `name`, which stays open at least until `action` has settled. */
  async use<T>(name: string, action: (handle: H) => Promise<T>): Promise<T> {
    const entry = this.#take(name);
    try {
      return await action(await entry.opened);
    } finally {
      await this.#letGo([entry]);
    }
  }

  /** The same with several handles, in the order of the names. */
  async useAll<T>(names: readonly string[], action: (handles: readonly H[]) => Promise<T>): Promise<T> {
    const entries = names.map((name) => this.#take(name));
    try {
      return await action(await allOf(entries.map(({ opened }) => opened)));
    } finally {
      await this.#letGo(entries);
    }
  }

  /** Stops keeping the handle of `name`. Resolves when it is closed, or when its last user will close it. */
  async drop(name: string): Promise<void> {
    const entry = this.#entries.get(name);
    if (entry) await this.#forget(entry);
  }

  /** Stops keeping any handle. */
  async clear(): Promise<void> {
    await allOf(Array.from(this.#entries.values(), (entry) => this.#forget(entry)));
  }

  #take(name: string): Entry<H> {
    const entry = this.#entries.get(name) ?? this.#open(name);
    entry.users++;
    this.#entries.delete(name);
    this.#entries.set(name, entry);
    return entry;
  }

  #open(name: string): Entry<H> {
    const opened = this.#opener.open(name);
    const entry: Entry<H> = { name, opened, users: 0, kept: true, closed: undefined };
    // A failure reaches every user through `opened`; here it only must not be kept for the next one.
    opened.catch(() => this.#unlist(entry));
    return entry;
  }

  /** Closes those that nobody uses or keeps any more, and keeps no more than there is room for. */
  async #letGo(entries: readonly Entry<H>[]): Promise<void> {
    for (const entry of entries) entry.users--;
    const closing = entries.filter(({ kept }) => !kept).map((entry) => this.#closeIdle(entry));
    for (const oldest of this.#entries.values()) {
      if (this.#entries.size <= this.#capacity) break;
      closing.push(this.#forget(oldest));
    }
    if (closing.length > 0) await allOf(closing);
  }

  async #forget(entry: Entry<H>): Promise<void> {
    this.#unlist(entry);
    await this.#closeIdle(entry);
  }

  #unlist(entry: Entry<H>): void {
    entry.kept = false;
    if (this.#entries.get(entry.name) === entry) this.#entries.delete(entry.name);
  }

  async #closeIdle(entry: Entry<H>): Promise<void> {
    if (entry.users > 0) return;
    // When it could not be opened there is nothing to close, and this throws to its last user what the others got.
    await (entry.closed ??= entry.opened.then((handle) => this.#opener.close(handle)));
  }
}

/** Waits for all, also when one fails: what is still being opened or closed is nobody else's to wait for. */
async function allOf<T>(promises: readonly Promise<T>[]): Promise<T[]> {
  await Promise.allSettled(promises);
  return Promise.all(promises);
}
