/** The public door of vecsnap: takes, lists, restores, verifies, compares and drops snapshots of one repository. */
import { asMap } from '../core/canonical.js';
import { VecsnapError } from '../core/errors.js';
import type { RecordBatch } from '../core/records.js';
import type { RepositoryStats } from '../audit/index.js';
import type { ChunkStore } from '../cas/index.js';
import type { RetentionDecision, RetentionPolicy } from '../gc/index.js';
import type { Manifest } from '../manifest/index.js';
import type { FormatNote, Source, Target, WriteReport } from '../source/port.js';
import type { CollectOptions, CollectReport } from './collect.js';
import type { RepositoryConfig } from './config.js';
import type { ReadOptions } from './content.js';
import type { CreateOptions, Creation } from './creation.js';
import type { SnapshotDifference } from './diff.js';
import type { Environment, LockRequest, UnlockReport } from './environment.js';
import { findSnapshot, knownSnapshot } from './find.js';
import type { ForgetOptions, ForgetReport } from './forget.js';
import type { MarksChange } from './marks.js';
import type { StoredPolicy } from './policies.js';
import type { WorkOptions } from './progress.js';
import { Repository, type SnapshotListing } from './repository.js';
import {
  checkConfig,
  checkName,
  environmentOf,
  invalidOption,
  type Settings,
  type SnapshotConfig,
} from './settings.js';
import { isSnapshotTime, type Snapshot } from './snapshot.js';
import type { ConfigRepair } from './repair-config.js';
import type { RepairOptions, RepairReport } from './repair.js';
import type { Losses } from './salvage.js';
import type { VerifyReport } from './verify.js';

/** Which snapshots are meant. */
export interface SnapshotFilter {
  readonly collection?: string | undefined;
}

/** How a snapshot is restored. */
export interface RestoreOptions extends ReadOptions {
  /** Replace what stands at the target. Default: false, which makes that an error. */
  readonly overwrite?: boolean | undefined;
  /**
   * Give what is whole of a damaged snapshot, and tell what is lost, instead of failing. A row group or a file of which anything is lost
   * is left out whole. Not together with a selection. Default: false.
   */
  readonly allowDamaged?: boolean | undefined;
}

/** What a restore wrote and, with `allowDamaged`, what it could not. */
export interface RestoreReport extends WriteReport {
  readonly lost?: Losses | undefined;
}

/** Makes a target for what came from a format. */
export type TargetOf = (format: FormatNote) => Target | Promise<Target>;

/** Worker threads start before anything is known to need them when so much is to be restored. */
const WORTH_WORKERS = 8 * 1024 * 1024;

/** Loads what reads the content of snapshots. */
async function loadReading() {
  const [{ contentOf }, { readManifest }] = await Promise.all([
    import('./content.js'),
    import('./read-manifest.js'),
  ]);
  return { contentOf, readManifest };
}

/**
 * Loads what reads snapshots while the caller does other things, so that its first reading starts at once. What goes wrong
 * goes wrong again, and is told, when it is needed.
 */
function preload({ coder }: Environment): void {
  const decodeNothing = import('../cas/chunk-graph.js').then(({ graphInMemory }) =>
    coder.decode(graphInMemory([]), true),
  );
  Promise.all([loadReading(), decodeNothing]).catch(() => undefined);
}

/**
 * See the head of this file. Open one with {@link SnapshotManager.open}, or make a repository with {@link SnapshotManager.init}.
 *
 * Whatever reads gets its snapshots before it opens the chunks (docs/ordering.md, R1).
 */
export class SnapshotManager {
  readonly #repository: Repository;
  readonly #lockTimeoutMs: number;

  private constructor(repository: Repository, lockTimeoutMs: number) {
    this.#repository = repository;
    this.#lockTimeoutMs = lockTimeoutMs;
  }

  /**
   * Opens a repository.
   * @throws VecsnapError REPOSITORY_MISSING, NOT_A_REPOSITORY, REPOSITORY_DAMAGED, REPOSITORY_NEWER, OPTION_INVALID.
   * @example
   * const manager = await SnapshotManager.open({ snapshotDir: 'repo' });
   */
  static async open(config: SnapshotConfig): Promise<SnapshotManager> {
    const settings = checkConfig(config);
    const environment = await environmentOf(config, 'open');
    if (!config.ownsThread) preload(environment);
    return SnapshotManager.#with(environment, settings, () => Repository.open(environment, settings));
  }

  /**
   * Makes a new, empty repository and opens it.
   * @param parameters how content is cut, where that should differ from the defaults; fixed for the repository's life.
   * @throws VecsnapError REPOSITORY_EXISTS, OPTION_INVALID.
   */
  static async init(
    config: SnapshotConfig,
    parameters?: Partial<Omit<RepositoryConfig, 'id'>>,
  ): Promise<SnapshotManager> {
    const settings = checkConfig(config);
    const environment = await environmentOf(config, 'init');
    return SnapshotManager.#with(environment, settings, () =>
      Repository.init(environment, settings, parameters),
    );
  }

  /**
   * Makes a repository that cannot be opened because of its config one that can (docs/repair.md). Nothing is done to a sound one.
   * @throws VecsnapError NOT_A_REPOSITORY, REPOSITORY_NEWER, REPOSITORY_LOCKED, STORE_FAILED.
   */
  static async repairConfig(
    config: SnapshotConfig,
    { dryRun = false }: { readonly dryRun?: boolean } = {},
  ): Promise<ConfigRepair> {
    const { lockTimeoutMs: timeoutMs } = checkConfig(config);
    const environment = await environmentOf(config, 'open');
    try {
      const { repairConfig } = await import('./repair-config.js');
      return await repairConfig(environment, { operation: 'repair', timeoutMs }, dryRun);
    } finally {
      if (config.environment === undefined) await environment.close();
    }
  }

  static async #with(
    environment: Environment,
    { lockTimeoutMs }: Settings,
    make: () => Promise<Repository>,
  ): Promise<SnapshotManager> {
    try {
      return new SnapshotManager(await make(), lockTimeoutMs);
    } catch (error) {
      await environment.close();
      throw error;
    }
  }

  /**
   * Takes a snapshot of everything that `source` holds.
   * @throws VecsnapError what the source throws; REPOSITORY_LOCKED, STORE_FULL, STORE_FAILED, ABORTED. The repository is then
   * as it was.
   */
  async createSnapshot(source: Source, name: string, options: CreateOptions = {}): Promise<Snapshot> {
    return this.#create({ source, name, baseId: null }, options);
  }

  /**
   * Takes a snapshot and notes that it continues `baseId`. What it stores and restores is the same as for a full one; either
   * way only chunks that are not in the store are written. When the source tells what has changed since `baseId`, no more is read
   * than that and a sample of the rest; should that turn out wrong, everything is read, and the snapshot's notes say so.
   * @throws VecsnapError SNAPSHOT_UNKNOWN, and as {@link createSnapshot}.
   */
  async createIncrementalSnapshot(
    source: Source,
    name: string,
    baseId: string,
    options: CreateOptions = {},
  ): Promise<Snapshot> {
    return this.#create({ source, name, baseId }, options);
  }

  /**
   * Every snapshot, newest first, of one collection or of all. Damaged ones are left out; {@link verifyRepository} tells them.
   */
  async listSnapshots(filter: SnapshotFilter = {}): Promise<readonly Snapshot[]> {
    const { snapshots } = await this.listAll();
    return snapshots.filter(matches(filter));
  }

  /** The same as {@link listSnapshots} with a collection. */
  async listSnapshotsForCollection(collection: string): Promise<readonly Snapshot[]> {
    return this.listSnapshots({ collection });
  }

  /** The snapshots that can be read and the blobs of those that cannot. */
  async listAll(): Promise<SnapshotListing> {
    const { snapshots, problems } = await this.#repository.listSnapshots();
    return { snapshots: await this.#marked(snapshots), problems, now: this.#now() };
  }

  /** Snapshots that were forgotten and can be had back by {@link unforget}, newest first, and those that cannot be read. */
  async listForgotten(filter: SnapshotFilter = {}): Promise<SnapshotListing> {
    const { listForgotten } = await import('./forgotten.js');
    const { snapshots, problems } = await listForgotten(this.#repository);
    const marked = await this.#marked(snapshots);
    return { snapshots: marked.filter(matches(filter)), problems, now: this.#now() };
  }

  /** The snapshot of that id, or undefined. @throws VecsnapError SNAPSHOT_DAMAGED. */
  async getSnapshot(id: string): Promise<Snapshot | undefined> {
    const snapshot = await this.#repository.getSnapshot(id);
    return snapshot && (await this.#marked([snapshot]))[0];
  }

  /**
   * The snapshot that a person means by an id, six or more characters of its end, a name, or `latest`. One dated in the future counts
   * as the newest only where there is no other.
   * @throws VecsnapError SNAPSHOT_UNKNOWN, SNAPSHOT_AMBIGUOUS, SNAPSHOT_DAMAGED.
   */
  async findSnapshot(text: string, filter: SnapshotFilter = {}): Promise<Snapshot> {
    const listing = await this.listAll();
    return findSnapshot({ ...listing, snapshots: listing.snapshots.filter(matches(filter)) }, text);
  }

  /** The format that a snapshot's content came from. @throws VecsnapError SNAPSHOT_UNKNOWN, CHUNK_MISSING, … */
  async snapshotFormat(id: string): Promise<FormatNote> {
    const snapshot = await this.#mustGet(id);
    const { readManifest } = await import('./read-manifest.js');
    return this.#reading([id], async (store) => (await readManifest(store, snapshot)).format);
  }

  /**
   * Writes a snapshot, or the selected records of one, into a target.
   * @param target where to; or a function that is called with the format of the snapshot and gives that.
   * @throws VecsnapError SNAPSHOT_UNKNOWN, OPTION_INVALID, TARGET_IN_REPOSITORY, CHUNK_MISSING, CHUNK_DAMAGED, …, and what the target throws.
   * The target is then as it was.
   */
  async restoreSnapshot(
    id: string,
    target: Target | TargetOf,
    options: RestoreOptions = {},
  ): Promise<RestoreReport> {
    const snapshot = await this.#mustGet(id);
    const writing = { ...options, repository: this.#repository.environment.directory };
    if (typeof target !== 'function') await target.prepare(writing);
    if (snapshot.logicalBytes >= WORTH_WORKERS) this.#repository.environment.coder.prepare?.();
    const { contentOf, readManifest } = await loadReading();
    return this.#reading([id], async (store) => {
      const manifest = await readManifest(store, snapshot);
      const { content, lost } = options.allowDamaged
        ? await wholeContentOf(store, manifest, options)
        : { content: contentOf(store, manifest, options) };
      const made = typeof target === 'function' ? await target(manifest.format) : target;
      if (typeof target === 'function') await made.prepare(writing);
      const report = await made.write(content, writing);
      return lost === undefined ? report : { ...report, lost };
    });
  }

  /**
   * The records of a snapshot, in the order of their ids, in batches. They are read and checked ahead of the consumer, up to
   * `readAheadBytes`; a consumer that is slow, or pauses, holds no more memory than that. The first batches are small, so that
   * they come soon. Of a range, a prefix, or what comes after an id, only the parts of the tree and the row groups are read that
   * it needs. Leaving the loop, or `return()`, ends all reading before it resolves.
   * @throws VecsnapError SNAPSHOT_UNKNOWN, OPTION_INVALID, ABORTED, CHUNK_MISSING, CHUNK_DAMAGED, …
   * @example
   * for await (const { count, ids, vectors } of manager.readSnapshot(id, { prefix: 'user:', after: lastSeen })) { … }
   */
  async *readSnapshot(id: string, options: ReadOptions = {}): AsyncGenerator<RecordBatch> {
    const snapshot = await this.#mustGet(id);
    const { contentOf, readManifest } = await loadReading();
    const session = await this.#repository.borrowSession();
    let hasFailed = false;
    try {
      const manifest = await readManifest(session.store, snapshot);
      const { records } = contentOf(session.store, manifest, options);
      if (records !== undefined) yield* records();
    } catch (error) {
      hasFailed = true;
      throw await this.#explained([id], error);
    } finally {
      await this.#repository.giveBack(session, { hasFailed });
    }
  }

  /**
   * Writes a snapshot as a folder of plain files, `snapshot-{id}` in `directory` (docs/format.md), which need not be there, for tools
   * that do not know vecsnap.
   * @returns the path of the folder, and what was written.
   * @throws VecsnapError SNAPSHOT_UNKNOWN, TARGET_EXISTS, TARGET_IN_REPOSITORY, TARGET_FAILED, …
   */
  async exportSnapshot(
    id: string,
    directory: string,
    { overwrite, signal, onProgress }: Omit<RestoreOptions, keyof ReadOptions> & WorkOptions = {},
  ): Promise<WriteReport & { path: string }> {
    const { folderTarget } = await import('../source/folder-target.js');
    const [snapshot] = (await this.#marked([await this.#mustGet(id)])) as [Snapshot];
    const path = `${directory.replace(/\/+$/, '')}/snapshot-${snapshot.id}`;
    const options = { overwrite, signal, onProgress }; // All records: the folder says that it is the snapshot.
    return { path, ...(await this.restoreSnapshot(id, folderTarget(path, snapshot), options)) };
  }

  /**
   * Takes a snapshot of a folder that {@link exportSnapshot} made; `directory` is that folder, or holds it alone. Name,
   * collection, time, tags and metadata are those of the exported snapshot; the id is new.
   * @throws VecsnapError IMPORT_DAMAGED, SOURCE_MISSING, and as {@link createSnapshot}.
   */
  async importSnapshot(directory: string, options: WorkOptions = {}): Promise<Snapshot> {
    const { folderSource } = await import('../source/folder-source.js');
    const source = await folderSource(directory);
    const { name, ...described } = importedFrom(source.snapshot, directory);
    return this.createSnapshot(source, name, { ...options, ...described });
  }

  /** Reads everything that a snapshot needs. @throws VecsnapError SNAPSHOT_UNKNOWN. */
  async verifySnapshot(id: string, options: WorkOptions = {}): Promise<VerifyReport> {
    return this.verifySnapshots([id], options);
  }

  /** Reads what several snapshots need, each chunk once. */
  async verifySnapshots(ids: readonly string[], options: WorkOptions = {}): Promise<VerifyReport> {
    const snapshots = await Promise.all(ids.map((id) => this.#mustGet(id)));
    const { verifySnapshots } = await import('./verify.js');
    return verifySnapshots(this.#repository, snapshots, options);
  }

  /** Reads the whole repository, from the first byte of every pack to the last. */
  async verifyRepository(options: WorkOptions = {}): Promise<VerifyReport> {
    const { verifyRepository } = await import('./verify.js');
    return verifyRepository(this.#repository, options);
  }

  /** What differs between two snapshots. @throws VecsnapError SNAPSHOT_UNKNOWN. */
  async diffSnapshots(a: string, b: string): Promise<SnapshotDifference> {
    const [left, right] = [await this.#mustGet(a), await this.#mustGet(b)];
    const { diffSnapshots } = await import('./diff.js');
    return this.#reading([a, b], (store) => diffSnapshots(store, left, right));
  }

  /**
   * Drops a snapshot. Its chunks stay until {@link collectGarbage}, and so long {@link unforget} has it back.
   * @throws VecsnapError SNAPSHOT_UNKNOWN, SNAPSHOT_PINNED, REPOSITORY_LOCKED.
   */
  async deleteSnapshot(id: string): Promise<void> {
    await this.deleteSnapshots([id]);
  }

  /**
   * Drops several snapshots, or none when one of them is unknown or pinned. `signal` ends the wait for another writer
   * (docs/ordering.md, F2).
   */
  async deleteSnapshots(ids: readonly string[], { signal }: WorkOptions = {}): Promise<void> {
    await this.forget({ ids, signal });
  }

  /**
   * Drops all but the newest `keep` snapshots of each collection.
   * @returns the ids of those that were dropped, oldest first.
   * @throws VecsnapError OPTION_INVALID unless `keep` is at least 1.
   */
  async cleanupOldSnapshots(keep: number, { collection }: SnapshotFilter = {}): Promise<readonly string[]> {
    return (await this.forget({ policy: { keepLast: keep }, collection })).forget;
  }

  /**
   * Drops the snapshots of these ids, or those that a policy, or the stored policies, do not keep (docs/retention.md).
   * @returns what was dropped, and why the others stay; for a dry run also what the sweep after it would give back.
   * @throws VecsnapError OPTION_INVALID, SNAPSHOT_UNKNOWN, SNAPSHOT_PINNED, POLICY_DAMAGED, REPOSITORY_LOCKED.
   * @example
   * const { forget, keep, reclaimableBytes } = await manager.forget({ policy: { keepDaily: 7, keepMonthly: 12 }, dryRun: true });
   */
  async forget(options: ForgetOptions = {}): Promise<ForgetReport> {
    const { forget } = await import('./forget.js');
    const lock = this.#lockFor('forget', options.signal);
    return forget(this.#repository, (work) => this.#repository.lockedWithReserve(lock, work), options);
  }

  /**
   * Has forgotten snapshots back, as they were, or all of them. Possible until the next sweep.
   * @throws VecsnapError SNAPSHOT_UNKNOWN for one that is not forgotten or was swept; none is had back then.
   */
  async unforget(ids: readonly string[] | 'all', { signal }: WorkOptions = {}): Promise<readonly Snapshot[]> {
    const { unforget } = await import('./forgotten.js');
    return this.#repository.lockedWithReserve(this.#lockFor('unforget', signal), async () =>
      this.#marked(await unforget(this.#repository, ids)),
    );
  }

  /** Changes the tags of a snapshot, or pins or unpins it. @throws VecsnapError SNAPSHOT_UNKNOWN, OPTION_INVALID. */
  async markSnapshot(id: string, change: MarksChange, { signal }: WorkOptions = {}): Promise<Snapshot> {
    const { changeMarks } = await import('./marks.js');
    return this.#repository.locked(this.#lockFor('mark', signal), async () =>
      changeMarks(this.#repository.environment, await this.#mustGet(id), change),
    );
  }

  /** Keeps a snapshot whatever policies say, and from being forgotten by its id. */
  async pinSnapshot(id: string): Promise<Snapshot> {
    return this.markSnapshot(id, { pinned: true });
  }

  /** The opposite of {@link pinSnapshot}. */
  async unpinSnapshot(id: string): Promise<Snapshot> {
    return this.markSnapshot(id, { pinned: false });
  }

  /** The policies that the repository stores. @throws VecsnapError POLICY_DAMAGED. */
  async listPolicies(): Promise<readonly StoredPolicy[]> {
    const { readPolicies } = await import('./policies.js');
    return readPolicies(this.#repository.environment);
  }

  /**
   * Stores the policy of a collection, or of all that have none of their own, in place of the one before. {@link forget} without a
   * policy goes by it.
   */
  async setPolicy(policy: RetentionPolicy, { collection }: SnapshotFilter = {}): Promise<void> {
    const { checkPolicy } = await import('../gc/index.js');
    if (collection !== undefined) checkName(collection, 'collection');
    await this.#changePolicy(collection, checkPolicy(policy));
  }

  /** Takes a stored policy away. @returns whether there was one. */
  async removePolicy({ collection }: SnapshotFilter = {}): Promise<boolean> {
    return this.#changePolicy(collection, undefined);
  }

  /** What a policy would keep and drop; without one, those that are stored. */
  async decideRetention(policy?: RetentionPolicy, filter: SnapshotFilter = {}): Promise<RetentionDecision> {
    const { decideBy } = await import('./forget.js');
    return decideBy(this.#repository, policy, filter.collection);
  }

  /**
   * Gives back the space of chunks that no snapshot needs. What was forgotten cannot be had back after it.
   * @returns what was done or, for a dry run, would be.
   * @throws VecsnapError SWEEP_REFUSED when anything that a snapshot needs is missing; nothing is deleted then (docs/ordering.md,
   * G1 and G2).
   */
  async collectGarbage(options: CollectOptions = {}): Promise<CollectReport> {
    const { collectGarbage } = await import('./collect.js');
    return this.#repository.lockedWithReserve(this.#lockFor('gc', options.signal), () =>
      collectGarbage(this.#repository, options),
    );
  }

  /** What is shared, exclusive and reclaimable. */
  async stats(): Promise<RepositoryStats> {
    const [{ computeStats }, { manifestAddress }, { readWhole }] = await Promise.all([
      import('../audit/index.js'),
      import('./snapshot-blob.js'),
      import('./beside-sweeps.js'),
    ]);
    return readWhole(this.#repository, {
      list: async () => ({ ...(await this.#repository.listSnapshots()), other: await this.#otherBytes() }),
      read({ store }, { snapshots, other }) {
        const audited = snapshots
          .toReversed()
          .map((snapshot) => ({ ...snapshot, manifest: manifestAddress(snapshot) }));
        return computeStats(store, audited, other);
      },
    });
  }

  /** Bytes of the whole repository where it is kept. */
  async totalSize(): Promise<number> {
    let bytes = await this.#repository.environment.indexBytes();
    for await (const { size } of this.#repository.environment.blobs.list('')) bytes += size;
    return bytes;
  }

  /** Bytes that the chunks of a collection's snapshots take where they are kept, each counted once, those of others included. */
  async collectionSize(collection: string): Promise<number> {
    const { readWhole } = await import('./beside-sweeps.js');
    return readWhole(this.#repository, {
      list: () => this.listSnapshots({ collection }),
      read: ({ store }, snapshots) => sizeOnDisk(store, snapshots),
    });
  }

  /**
   * Gets back what can be had of a damaged repository, marks the snapshots that lack something, and builds the index anew
   * (docs/repair.md; docs/ordering.md, R7 and P1).
   * @throws VecsnapError REPOSITORY_LOCKED, STORE_FULL, STORE_FAILED, ABORTED.
   */
  async repair(options: RepairOptions = {}): Promise<RepairReport> {
    const { repairRepository } = await import('./repair.js');
    return this.#repository.lockedWithReserve(this.#lockFor('repair', options.signal), () =>
      repairRepository(this.#repository, options),
    );
  }

  /**
   * Removes the leases of writers that are dead, which the next writer would do as well, and those that `force` names, whoever holds
   * them: one that is at work then fails with LEASE_LOST.
   */
  async unlock({ force = [] }: { readonly force?: readonly string[] } = {}): Promise<UnlockReport> {
    return (await this.#repository.environment.unlock?.(force)) ?? { removed: [], standing: [] };
  }

  /** Lets go of files and worker threads. */
  async close(): Promise<void> {
    await this.#repository.close();
  }

  async #create(creation: Omit<Creation, 'lock'>, options: CreateOptions): Promise<Snapshot> {
    const { takeSnapshot } = await import('./creation.js');
    const lock = this.#lockFor('create', options.signal);
    return takeSnapshot(this.#repository, { ...creation, lock }, options);
  }

  /** Runs `work` on the chunks, to read the content of these snapshots. */
  async #reading<T>(ids: readonly string[], work: (store: ChunkStore) => Promise<T>): Promise<T> {
    const session = await this.#repository.borrowSession();
    const result = work(session.store);
    await this.#repository.giveBack(session, { hasFailed: await isRejected(result) });
    return result.catch(async (error: unknown) => {
      throw await this.#explained(ids, error);
    });
  }

  /** What an error in reading these snapshots means (docs/ordering.md, R9). */
  async #explained(ids: readonly string[], error: unknown): Promise<unknown> {
    const { explained } = await import('./beside-sweeps.js');
    return explained(this.#repository, ids, error);
  }

  async #mustGet(id: string): Promise<Snapshot> {
    return knownSnapshot(this.#repository, id);
  }

  #now(): number {
    return this.#repository.environment.clock.now();
  }

  #lockFor(operation: string, signal?: AbortSignal): LockRequest {
    return { operation, timeoutMs: this.#lockTimeoutMs, signal };
  }

  /** The snapshots with their tags and pins of now. */
  async #marked(snapshots: readonly Snapshot[]): Promise<readonly Snapshot[]> {
    const { withMarks } = await import('./marks.js');
    return withMarks(this.#repository.environment, snapshots);
  }

  async #changePolicy(collection: string | undefined, policy: RetentionPolicy | undefined): Promise<boolean> {
    const { changePolicy } = await import('./policies.js');
    return this.#repository.locked(this.#lockFor('policy'), () =>
      changePolicy(this.#repository.environment, collection ?? null, policy),
    );
  }

  async #otherBytes() {
    const { environment } = this.#repository;
    const indexBytes = await environment.indexBytes();
    const bytes = { snapshotBytes: 0, configBytes: 0, fingerprintBytes: 0, indexBytes };
    for await (const { name, size } of environment.blobs.list('')) {
      if (/^(snapshots|forgotten|marks)\//.test(name)) bytes.snapshotBytes += size;
      else if (name.startsWith('fingerprints/')) bytes.fingerprintBytes += size;
      else if (!name.startsWith('packs/')) bytes.configBytes += size;
    }
    return bytes;
  }
}

/** What can be read of a damaged snapshot; what cannot is in `lost` when the content was read. @throws VecsnapError OPTION_INVALID. */
async function wholeContentOf(store: ChunkStore, manifest: Manifest, options: RestoreOptions) {
  const given = (['from', 'to', 'after', 'prefix'] as const).find((option) => options[option] !== undefined);
  if (given !== undefined)
    throw invalidOption(given, options[given], 'no selection together with allowDamaged');
  const { salvagedContent } = await import('./salvage.js');
  const lost: Losses = { records: [], files: [] };
  return { content: salvagedContent(store, manifest, lost, options), lost };
}

/** Waits for the end of `work`. */
function isRejected(work: Promise<unknown>): Promise<boolean> {
  return work.then(
    () => false,
    () => true,
  );
}

function matches({ collection }: SnapshotFilter): (snapshot: Snapshot) => boolean {
  return (snapshot) => collection === undefined || snapshot.collection === collection;
}

/** What an exported folder says about its snapshot. @throws VecsnapError IMPORT_DAMAGED. */
function importedFrom(snapshot: unknown, place: string): CreateOptions & { name: string } {
  const { name, collection, createdAt, tags, metadata = {} } = (snapshot ?? {}) as Partial<Snapshot>;
  const time = new Date(typeof createdAt === 'string' ? createdAt : Number.NaN);
  const isWhole =
    typeof name === 'string' &&
    typeof collection === 'string' &&
    Array.isArray(tags) &&
    tags.every((tag) => typeof tag === 'string') &&
    asMap(metadata) !== undefined;
  if (isWhole && isSnapshotTime(time.getTime())) return { name, collection, createdAt: time, tags, metadata };
  throw new VecsnapError('IMPORT_DAMAGED', 'The folder does not say which snapshot it is.', {
    place,
    remedy: 'Export the snapshot again.',
  });
}

async function sizeOnDisk(store: ChunkStore, snapshots: readonly Snapshot[]): Promise<number> {
  const [{ manifestsOf }, { mark }] = await Promise.all([import('./collect.js'), import('../gc/index.js')]);
  const live = await mark(store, manifestsOf(snapshots));
  let bytes = 0;
  for (let number = 0; number < live.catalogue.size; number++)
    if (live.isLive(number)) bytes += live.catalogue.sizeOf(number);
  return bytes;
}
