/**
 * Takes a snapshot of a source as the one writer of a repository. What does the work stands in creating.ts, which takes as long to load as
 * the lock and the index take to be had, and is loaded meanwhile.
 */
import { isVecsnapError } from '../core/errors.js';
import type { OpenOptions, OpenSource, Source } from '../source/port.js';
import type { Environment, LockRequest } from './environment.js';
import { knownSnapshot } from './find.js';
import type { WorkOptions } from './progress.js';
import type { Repository, Session } from './repository.js';
import { checkName, invalidOption } from './settings.js';
import { isSnapshotTime, type Json, type Snapshot } from './snapshot.js';

/** How a snapshot is taken. */
export interface CreateOptions extends WorkOptions {
  /** Default: the source's own name. */
  readonly collection?: string | undefined;
  readonly tags?: readonly string[] | undefined;
  /** Anything to be kept with the snapshot. */
  readonly metadata?: { readonly [key: string]: Json } | undefined;
  /** The time of the snapshot, where it is not now: for what was taken elsewhere. */
  readonly createdAt?: Date | undefined;
  /**
   * When the source tells what has changed: the part of all else that is read and compared all the same, from 0 to 1. At least one
   * row group is. Default: 1/256.
   */
  readonly auditRate?: number | undefined;
  /** Read all of the source, whatever it tells of what was written since the base was taken. Default: false. */
  readonly rescan?: boolean | undefined;
}

/** What is taken, and from where. */
export interface Creation {
  readonly source: Source;
  readonly name: string;
  /** The snapshot that it is told by; null for a full one. */
  readonly baseId: string | null;
  readonly lock: LockRequest;
}

/** Tries in all when a source changes while it is read. */
const TAKE_ATTEMPTS = 3;

const loadCreating = () => import('./creating.js');

/** Takes a snapshot. @throws what {@link SnapshotManager.createIncrementalSnapshot} does. */
export async function takeSnapshot(
  repository: Repository,
  creation: Creation,
  options: CreateOptions,
): Promise<Snapshot> {
  const { source, name } = creation;
  const collection = options.collection ?? source.collection;
  checkOptions(name, collection, options);
  void prepareFor(source, repository.environment);
  loadCreating().catch(() => undefined); // Told when it is needed.
  // The chunks are opened after the lock is taken (docs/ordering.md, W5), and the source meanwhile, because some wait before they are read.
  return repository.locked(creation.lock, async () => {
    const { directory, ownsThread } = repository.environment;
    const opening = new Opening(source, { repository: directory, ownsThread });
    try {
      const work = (session: Session) => takeIn(session, { ...creation, collection }, opening, options);
      return await repository.read(work, 'persistent', true);
    } finally {
      await opening.closeUnused();
    }
  });
}

/** A source that is being opened, once for each attempt, the first time at once, unless that may not be needed. */
class Opening {
  readonly #open: () => Promise<OpenSource>;
  #next: Promise<OpenSource> | undefined;

  constructor(source: Source, options: OpenOptions) {
    this.#open = () => source.open(options);
    if (source.state !== undefined) return;
    this.#next = this.#open();
    this.#next.catch(() => undefined); // Told to who takes it.
  }

  /** The source, to be closed by the caller. */
  async take(): Promise<OpenSource> {
    const opened = this.#next ?? this.#open();
    this.#next = undefined;
    return opened;
  }

  /** Closes what nobody has taken, because something else failed, which is what counts. */
  async closeUnused(): Promise<void> {
    await this.#next?.then((open) => open.close()).catch(() => undefined);
  }
}

async function takeIn(
  session: Session,
  { source, name, collection, baseId }: Creation & { readonly collection: string },
  opening: Opening,
  options: CreateOptions,
): Promise<Snapshot> {
  if (baseId !== null) await knownSnapshot(session.repository, baseId);
  const snapshotType = baseId === null ? 'full' : 'incremental';
  const { Creating } = await loadCreating();
  const creating = new Creating(session, { name, collection, baseId, snapshotType }, options);
  for (let attempt = 1; ; attempt++) {
    try {
      const unread = await creating.takeUnread(await source.state?.());
      return unread ?? (await creating.take(await opening.take()));
    } catch (error) {
      if (!isVecsnapError(error, 'SOURCE_CHANGED') || attempt >= TAKE_ATTEMPTS) throw error;
    }
  }
}

/** Of fewer bytes no job is worth the way to another thread; what it takes to start one shows in a snapshot of a small file. */
const WORTH_THREADS = 48 * 1024;

/** Has threads start while the repository is opened, where there may be work for them. */
async function prepareFor(source: Source, { coder }: Environment): Promise<void> {
  const bytes = await source.roughBytes?.().catch(() => undefined); // Opening it will say what is wrong.
  if (bytes === undefined || bytes >= WORTH_THREADS) coder.prepare?.();
}

/** @throws VecsnapError OPTION_INVALID. */
function checkOptions(
  name: string,
  collection: string,
  { tags = [], createdAt, auditRate = 0 }: CreateOptions,
): void {
  checkName(name, 'name');
  checkName(collection, 'collection');
  for (const tag of tags) checkName(tag, 'tag');
  if (!(auditRate >= 0 && auditRate <= 1))
    throw invalidOption('auditRate', auditRate, 'a number from 0 to 1');
  if (createdAt !== undefined && !isSnapshotTime(createdAt.getTime()))
    throw invalidOption('createdAt', createdAt, 'a time from 1970 to 10889');
}
