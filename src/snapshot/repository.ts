/** A repository: its config, its snapshots, and sessions that read or write its chunks. */
import { mapConcurrent } from '../core/concurrency.js';
import { isVecsnapError, VecsnapError } from '../core/errors.js';
import type { BlobStat, BlobStore } from '../blob/port.js';
import { DAMAGE_PREFIX } from '../cas/known-damage.js';
import type { ChunkIndex, ChunkStore, CompressionOptions, KnownDamage } from '../cas/index.js';
import {
  CONFIG_BLOB,
  CONFIG_REMEDY,
  decodeConfig,
  newConfig,
  notARepository,
  type RepositoryConfig,
} from './config.js';
import type { DamageNote, FoundNotes } from './damage-note.js';
import type { Environment, HeldLock, LockRequest } from './environment.js';
import { ListingCache } from './listing-cache.js';
import { blobsIn, getSealed } from './sealed-blob.js';
import { isSnapshotId, type Snapshot, SNAPSHOT_PREFIX } from './snapshot.js';

/** How a repository is worked with. */
export interface RepositoryOptions extends CompressionOptions {
  readonly verifyChecksum: boolean;
  readonly maxConcurrentIo: number;
}

/** A snapshot blob that cannot be read. */
export interface SnapshotProblem {
  readonly blob: string;
  readonly error: VecsnapError;
}

/** All snapshots that can be read, newest first, and those that cannot. */
export interface SnapshotListing {
  readonly snapshots: readonly Snapshot[];
  readonly problems: readonly SnapshotProblem[];
  /** When they were listed, in milliseconds since 1970; without it, no date is in the future. */
  readonly now?: number | undefined;
}

/** Which index is used; see {@link Environment.openIndex}. */
export type IndexKind = Parameters<Environment['openIndex']>[0];

/** The chunks of a repository for as long as one piece of work takes. */
export interface Session {
  readonly repository: Repository;
  readonly store: ChunkStore;
  readonly index: IndexKind;
  /** What repairs have noted. */
  readonly notes: FoundNotes;
}

// What a list does not need of most repositories is loaded when it is needed.
const loadDamageNotes = () => import('./damage-note.js');
const loadSnapshotBlobs = () => import('./snapshot-blob.js');

/** Snapshots that are read at the same time. */
const SNAPSHOTS_AT_ONCE = 32;

/** See the head of this file. */
export class Repository {
  readonly environment: Environment;
  readonly config: RepositoryConfig;
  readonly options: RepositoryOptions;
  /** What the last reading of content left for the next. */
  #kept: Session | undefined;
  /** While this repository is locked from here. */
  #lock: HeldLock | undefined;

  private constructor(environment: Environment, config: RepositoryConfig, options: RepositoryOptions) {
    this.environment = environment;
    this.config = config;
    this.options = options;
  }

  /** Makes a new repository. @throws VecsnapError REPOSITORY_EXISTS. */
  static async init(
    environment: Environment,
    options: RepositoryOptions,
    overrides?: Partial<Omit<RepositoryConfig, 'id'>>,
  ): Promise<Repository> {
    const { blobs, random, sha256 } = environment;
    if (await hasBlobs(environment)) throw repositoryExists(blobs.place);
    const config = newConfig(random, overrides);
    try {
      const { encodeConfig } = await import('./config-encoding.js');
      await blobs.put(CONFIG_BLOB, encodeConfig(config, sha256));
    } catch (cause) {
      throw isVecsnapError(cause, 'BLOB_EXISTS') ? repositoryExists(blobs.place) : cause;
    }
    await environment.reserve?.restore();
    return new Repository(environment, config, options);
  }

  /** @throws VecsnapError REPOSITORY_MISSING, NOT_A_REPOSITORY, REPOSITORY_DAMAGED, REPOSITORY_NEWER. */
  static async open(environment: Environment, options: RepositoryOptions): Promise<Repository> {
    const { blobs, sha256 } = environment;
    const bytes = await getSealed(blobs, CONFIG_BLOB).catch(async (cause: unknown) => {
      if (!isVecsnapError(cause, 'BLOB_MISSING')) throw cause;
      if (await hasBlobs(environment)) throw configMissing(blobs.place, cause);
      throw notARepository(blobs.place);
    });
    try {
      return new Repository(environment, decodeConfig(bytes, blobs.place, sha256), options);
    } catch (error) {
      const isForeign = isVecsnapError(error, 'NOT_A_REPOSITORY');
      throw isForeign && (await hasBlobs(environment, false)) ? notARepository(blobs.place, true) : error;
    }
  }

  get place(): string {
    return this.environment.blobs.place;
  }

  /**
   * Every snapshot, newest first. Those whose blob is damaged are told apart.
   * @param fresh whether every blob is read, though the snapshot is known from before: for what must find all damage.
   * @param store where they are looked for, if it is another one.
   */
  async listSnapshots({
    fresh = false,
    store = this.environment.blobs,
  }: { readonly fresh?: boolean; readonly store?: BlobStore } = {}): Promise<SnapshotListing> {
    const [blobs, cache] = await Promise.all([
      blobsIn(store, SNAPSHOT_PREFIX),
      ListingCache.load(fresh ? { sha256: this.environment.sha256 } : this.environment),
    ]);
    const unknown = blobs.filter((blob) => cache.find(blob) === undefined);
    const read = await mapConcurrent(unknown, SNAPSHOTS_AT_ONCE, ({ name }) =>
      this.#readSnapshot(name, store),
    );
    const problems = read.filter((one): one is SnapshotProblem => one !== undefined && 'error' in one);
    const fromBlobs = new Map(
      read.flatMap((one) => (one !== undefined && 'id' in one ? [[one.id, one]] : [])),
    );
    const found = blobs.flatMap((blob): [BlobStat, Snapshot][] => {
      const snapshot = cache.find(blob) ?? fromBlobs.get(blob.name.slice(SNAPSHOT_PREFIX.length));
      return snapshot === undefined ? [] : [[blob, snapshot]];
    });
    await cache.save(found);
    const mark = marker((await this.notes()).note);
    return { snapshots: found.map(([, snapshot]) => mark(snapshot)).toSorted(newestFirst), problems };
  }

  /** What repairs have noted. */
  async notes(): Promise<FoundNotes> {
    for await (const _ of this.environment.blobs.list(DAMAGE_PREFIX)) {
      const { loadNotes } = await loadDamageNotes();
      return loadNotes(this.environment);
    }
    return { note: undefined, blobs: [], problems: [] };
  }

  /** The ids of all snapshots, also of those that cannot be read. */
  async snapshotIds(): Promise<readonly string[]> {
    const blobs = await blobsIn(this.environment.blobs, SNAPSHOT_PREFIX);
    return blobs.map(({ name }) => name.slice(SNAPSHOT_PREFIX.length));
  }

  /** The snapshot of that id, or undefined. @throws VecsnapError SNAPSHOT_DAMAGED. */
  async getSnapshot(id: string): Promise<Snapshot | undefined> {
    if (!isSnapshotId(id)) return undefined;
    const read = await this.#readSnapshot(`${SNAPSHOT_PREFIX}${id}`);
    if (read !== undefined && 'error' in read) throw read.error;
    return read && marker((await this.notes()).note)(read);
  }

  /** Writes the blob of a snapshot (docs/ordering.md, W3). */
  async putSnapshot(snapshot: Snapshot): Promise<void> {
    const { blobs, sha256 } = this.environment;
    await this.confirmLock();
    const { encodeSnapshot } = await import('./snapshot-encoding.js');
    const { decodeSnapshot } = await loadSnapshotBlobs();
    const name = `${SNAPSHOT_PREFIX}${snapshot.id}`;
    const bytes = encodeSnapshot(snapshot, sha256);
    const kept = decodeSnapshot(bytes, name, sha256);
    await blobs.put(name, bytes);
    await ListingCache.append(this.environment, { name, size: bytes.length }, kept);
  }

  /** Removes the blob of a snapshot. Its chunks stay until the next sweep (docs/ordering.md, F1). */
  async deleteSnapshot(id: string): Promise<void> {
    await this.environment.blobs.delete(`${SNAPSHOT_PREFIX}${id}`);
  }

  /** Runs `work` on the chunks, for reading. Writers elsewhere are not disturbed. */
  async read<T>(
    work: (session: Session) => Promise<T>,
    prefer: IndexKind = 'memory',
    isLocked = false,
  ): Promise<T> {
    const session = await this.openSession(prefer, isLocked);
    try {
      return await work(session);
    } finally {
      await session.store.close();
    }
  }

  /**
   * Opens the chunks to read the content of snapshots. An index in memory that another such reading gave back is used again, and
   * of the packs only those are looked at that are new (docs/ordering.md, R4). The caller gives the session back.
   */
  async borrowSession(): Promise<Session> {
    const kept = this.#kept;
    if (kept === undefined) return this.openSession('memory');
    this.#kept = undefined; // It is for one at a time: another one would change it under the first.
    const damage = await this.#damageIn(await this.notes());
    if (damage?.tag === kept.store.parts.damage?.tag) {
      await kept.store.refresh();
      if (kept.store.problems.length === 0) return kept;
    }
    await kept.store.close();
    return this.openSession('memory');
  }

  /** Takes back what {@link borrowSession} gave. After a failure nobody should rely on it. */
  async giveBack(session: Session, { hasFailed }: { readonly hasFailed: boolean }): Promise<void> {
    const isKept = !hasFailed && session.index === 'memory' && session.store.problems.length === 0;
    if (isKept && this.#kept === undefined) this.#kept = session;
    else await session.store.close();
  }

  /** Lets go of everything. */
  async close(): Promise<void> {
    await this.#kept?.store.close();
    this.#kept = undefined;
    await this.environment.close();
  }

  /** Runs `work` with the write lock but without opening the chunks (docs/ordering.md, L4). @throws VecsnapError REPOSITORY_LOCKED. */
  async locked<T>(request: LockRequest, work: () => Promise<T>): Promise<T> {
    return this.#holding(await this.environment.lock(request), work);
  }

  /** Looks whether the lock is still held (docs/ordering.md, L6). @throws VecsnapError LEASE_LOST. */
  async confirmLock(): Promise<void> {
    await this.#lock?.confirm?.();
  }

  /**
   * The same for work that gives space back, or has back what was forgotten: on a full disk the reserve is given up for it, and held
   * back again afterwards (docs/ordering.md, G8). @throws VecsnapError REPOSITORY_LOCKED, STORE_FULL.
   */
  async lockedWithReserve<T>(request: LockRequest, work: () => Promise<T>): Promise<T> {
    const { reserve } = this.environment;
    const lock = await this.environment.lock(request).catch(async (error: unknown) => {
      if (!isVecsnapError(error, 'STORE_FULL') || !(await reserve?.giveUp())) throw error;
      return this.environment.lock(request);
    });
    try {
      return await this.#holding(lock, work);
    } finally {
      await reserve?.restore();
    }
  }

  async #holding<T>(lock: HeldLock, work: () => Promise<T>): Promise<T> {
    this.#lock = lock;
    try {
      return await work();
    } finally {
      this.#lock = undefined;
      await lock.release();
    }
  }

  /**
   * Opens the chunks. The caller closes the store. An index in memory knows nothing of packs whose directory is damaged; the
   * persistent one may still know where their chunks are.
   * @param isLocked whether the write lock is held, so that nobody else moves chunks (docs/ordering.md, R8).
   */
  async openSession(prefer: IndexKind, isLocked = false): Promise<Session> {
    const session = await this.#openStore(prefer, isLocked);
    if (prefer !== 'memory' || session.store.problems.length === 0) return session;
    await session.store.close();
    return this.#openStore('existing', isLocked);
  }

  async #openStore(prefer: IndexKind, isLocked: boolean): Promise<Session> {
    const notes = await this.notes();
    const index = await this.environment.openIndex(prefer);
    const store = await this.openChunks(index, { damage: await this.#damageIn(notes), isLocked });
    return { repository: this, index: prefer, store, notes };
  }

  /** Opens the chunks of `blobs` with an index, which is closed when that fails. */
  async openChunks(
    index: ChunkIndex,
    {
      blobs = this.environment.blobs,
      damage,
      isLocked = false,
    }: { blobs?: BlobStore; damage?: KnownDamage | undefined; isLocked?: boolean },
  ): Promise<ChunkStore> {
    const { coder, sha256, random } = this.environment;
    try {
      const { ChunkStore } = await import('../cas/chunk-store.js'); // Not needed to list snapshots.
      const { id, packBytes } = this.config;
      const options = { ...this.options, packBytes, fingerprintSeed: id, followsSweeps: !isLocked };
      return await ChunkStore.open({ blobs, index, coder, sha256, random, damage }, options);
    } catch (error) {
      await index.close();
      throw error;
    }
  }

  async #damageIn({ note }: FoundNotes): Promise<KnownDamage | undefined> {
    return note && (await loadDamageNotes()).knownDamage(note, this.environment.sha256);
  }

  async #readSnapshot(
    blob: string,
    store = this.environment.blobs,
  ): Promise<Snapshot | SnapshotProblem | undefined> {
    const { decodeSnapshot } = await loadSnapshotBlobs();
    try {
      return decodeSnapshot(await getSealed(store, blob), blob, this.environment.sha256);
    } catch (error) {
      if (isVecsnapError(error, 'BLOB_MISSING')) return undefined; // Forgotten since it was listed.
      if (isVecsnapError(error, 'SNAPSHOT_DAMAGED', 'REPOSITORY_NEWER', 'ENCODING_INVALID'))
        return { blob, error };
      throw error;
    }
  }
}

/** Gives a snapshot what a repair has noted about it. */
function marker(note: DamageNote | undefined): (snapshot: Snapshot) => Snapshot {
  if (note === undefined) return (snapshot) => snapshot;
  const lost = new Map(note.snapshots.map(({ id, lostChunks }) => [id, lostChunks]));
  const notedAt = new Date(note.notedAt).toISOString();
  return (snapshot) => {
    const lostChunks = lost.get(snapshot.id);
    return lostChunks === undefined ? snapshot : { ...snapshot, damage: { lostChunks, notedAt } };
  };
}

function newestFirst(a: Snapshot, b: Snapshot): number {
  if (a.createdAt !== b.createdAt) return a.createdAt < b.createdAt ? 1 : -1;
  return a.id < b.id ? 1 : -1;
}

async function hasBlobs({ blobs }: Environment, withConfig = true): Promise<boolean> {
  for await (const { name } of blobs.list('')) {
    if ((withConfig && name === CONFIG_BLOB) || name.startsWith('packs/') || name.startsWith(SNAPSHOT_PREFIX))
      return true;
  }
  return false;
}

function repositoryExists(place: string): VecsnapError {
  return new VecsnapError('REPOSITORY_EXISTS', 'There is a repository at this place already.', {
    place,
    remedy: 'Use it as it is, or make a new one at another place.',
  });
}

function configMissing(place: string, cause: unknown): VecsnapError {
  return new VecsnapError('REPOSITORY_DAMAGED', 'The config of the repository is gone.', {
    place: `${place}, config`,
    remedy: CONFIG_REMEDY,
    cause,
  });
}
