/** Takes one snapshot: reads the source, stores what is new, and undoes all of it when it fails. */
import { equalBytes, formatAddress, isUnreadable, isVecsnapError, utf8 } from '../core/index.js';
import { ChunkWriter } from '../cas/chunk-writer.js';
import type { ChunkStore, WholeNote } from '../cas/index.js';
import { FILES_VERSION } from '../manifest/manifest.js';
import type { ChangeHints, OpenSource } from '../source/port.js';
import { readManifest } from './read-manifest.js';
import type { CreateOptions } from './creation.js';
import { knownSnapshot } from './find.js';
import type { FileStates } from './file-states.js';
import { DEFAULT_AUDIT_RATE, HintsRefused, type TakeHints } from './hints.js';
import type { Repository, Session } from './repository.js';
import { newSnapshotId, nextCreationTime, type Snapshot } from './snapshot.js';
import { manifestAddress } from './snapshot-blob.js';
import { type BaseSnapshot, takeContent, type Taken, type TakeParts } from './take.js';

/** What is known of a snapshot before it is taken. */
export type NamedSnapshot = Pick<Snapshot, 'name' | 'collection' | 'baseId' | 'snapshotType'>;

/** What a source tells without being read. */
interface Told extends Pick<OpenSource, 'notes' | 'changes'> {
  readonly state: string | undefined;
}

/** How one attempt takes a snapshot. */
interface TakePlan {
  readonly base: BaseSnapshot | undefined;
  readonly take: (writer: ChunkWriter) => Promise<Taken>;
  /** To be kept with the snapshot. */
  readonly notes: readonly string[];
  /** Tells, once it is taken, what is noted with its tree, where all of that is known to be stored then and no note is there yet. */
  readonly wholeNote?: (() => WholeNote) | undefined;
  readonly changes?: ChangeHints | undefined;
  readonly fileStates?: FileStates | undefined;
}

const NOTHING_READ = 'Nothing was read: the source is as it was when the snapshot before was taken.';
const UNREAD_FILES = 'Files that were not read, being as they were when the snapshot before was taken';
/** What is kept of the SHA-256 of the state of a source, so that two are told apart. */
const STATE_BYTES = 16;

/** See the head of this file. */
export class Creating {
  readonly #session: Session;
  readonly #named: NamedSnapshot;
  readonly #options: CreateOptions;
  #base: Promise<BaseSnapshot | undefined> | undefined;

  constructor(session: Session, named: NamedSnapshot, options: CreateOptions) {
    this.#session = session;
    this.#named = named;
    this.#options = options;
  }

  /** Takes the snapshot of a source that is in this state, where nothing need be read for it; undefined elsewhere. @throws as {@link take}. */
  async takeUnread(state: string | undefined): Promise<Snapshot | undefined> {
    const plan = await this.#unreadPlan({ state, notes: [] });
    return plan && this.#takeAndCommit(plan);
  }

  /** Takes the snapshot, and closes the source. @throws VecsnapError SOURCE_CHANGED and others; everything is then as it was. */
  async take(open: OpenSource): Promise<Snapshot> {
    try {
      const unread = await this.#unreadPlan(toldBy(open));
      if (unread !== undefined) return await this.#takeAndCommit(unread);
      const base = await this.#openedBase();
      const { hints, notes } = await this.#hintsOf(open, base);
      if (hints === undefined) return await this.#takeAndCommit(await this.#readPlan(open, base, notes));
      try {
        return await this.#takeAndCommit(await this.#readPlan(open, base, notes, hints));
      } catch (error) {
        const refusal = refusalOf(error);
        if (refusal === undefined) throw error;
        return await this.#takeAndCommit(await this.#readPlan(open, base, [...notes, refusal]));
      }
    } finally {
      await open.close();
    }
  }

  async #takeAndCommit(plan: TakePlan): Promise<Snapshot> {
    const { base, take, wholeNote } = plan;
    const { repository, store } = this.#session;
    const writer = new ChunkWriter(store, { areKinWhole: base?.wholeNote !== undefined });
    let snapshot: Snapshot | undefined;
    try {
      const taken = await take(writer);
      const totals = await writer.commit();
      snapshot = await this.#describe(taken, totals.bytes, notesOf(plan));
      await repository.putSnapshot(snapshot);
    } catch (error) {
      const own = isVecsnapError(error, 'BLOB_EXISTS') ? undefined : snapshot;
      const undoing = await this.#undoTake(writer, own).catch((failure: unknown) => failure);
      // Whoever has the lock now has removed what was being written, which is why it could not be.
      if (isVecsnapError(error, 'STORE_FAILED') && isVecsnapError(undoing, 'LEASE_LOST')) throw undoing;
      // What cannot be removed now is referred to by nothing, and is swept one day. The first error says what is wrong.
      throw error;
    }
    if (wholeNote !== undefined)
      await store.noteWhole(manifestAddress(snapshot), wholeNote(), base?.taken.manifest);
    return this.#healed(await followedBy(plan.changes, snapshot));
  }

  /** Where the source is in the state from which the base was taken, and all of that is there (docs/ordering.md, R13): it is the base again. */
  async #unreadPlan({ state, notes, changes }: Told): Promise<TakePlan | undefined> {
    if (state === undefined || this.#options.rescan) return undefined;
    const base = await this.#openedBase();
    if (base?.wholeNote === undefined || !equalBytes(base.wholeNote, this.#noteOf(state))) return undefined;
    return { base, take: async () => base.taken, notes: [...notes, NOTHING_READ], changes };
  }

  async #readPlan(
    open: OpenSource,
    base: BaseSnapshot | undefined,
    notes: readonly string[],
    hints?: TakeHints,
  ): Promise<TakePlan> {
    // By hints, what has not changed is not looked up, so it is as whole as it was. Nor is it read: so hints are audited again in the same state.
    const isWhole = hints === undefined || base?.wholeNote !== undefined;
    const fileStates = await this.#fileStatesOf(open);
    return {
      base,
      fileStates,
      take: (writer) => this.#read(open, writer, { base, hints, fileStates }),
      notes: [...open.notes, ...notes],
      wholeNote: isWhole ? () => this.#noteOf(hints === undefined ? open.state?.() : undefined) : undefined,
      changes: open.changes,
    };
  }

  /** Undefined for a source that has no files. */
  async #fileStatesOf({ files }: OpenSource): Promise<FileStates | undefined> {
    if (files === undefined) return undefined;
    const { FileStates } = await import('./file-states.js');
    const { index } = this.#session.store.parts;
    const isTrusted = this.#options.rescan !== true;
    return new FileStates(
      index,
      this.#session.repository.environment.sha256,
      this.#named.collection,
      isTrusted,
    );
  }

  /** What is noted with a tree that was taken from a source in this state. */
  #noteOf(state: string | undefined): WholeNote {
    if (state === undefined) return new Uint8Array(0);
    return this.#session.repository.environment.sha256(utf8(state)).subarray(0, STATE_BYTES);
  }

  /** Notes which snapshots lack nothing any more. When that fails, they stay marked until the next create or repair. */
  async #healed(snapshot: Snapshot): Promise<Snapshot> {
    const { repository, store, notes } = this.#session;
    if (notes.note === undefined || notes.note.snapshots.length === 0) return snapshot;
    const { noteHealed } = await import('./healing.js');
    try {
      await noteHealed(repository, store, notes);
      return snapshot;
    } catch (error) {
      const what = error instanceof Error ? error.message : String(error);
      const note = `Snapshots may be whole again and stay marked as damaged until the next repair: ${what}`;
      return { ...snapshot, notes: [...snapshot.notes, note] };
    }
  }

  /** What the source tells about changes since the base, or a note on why that cannot be used. */
  async #hintsOf(
    { changes, lookUp }: OpenSource,
    base: BaseSnapshot | undefined,
  ): Promise<{ hints?: TakeHints; notes: readonly string[] }> {
    const { baseId } = this.#named;
    const { auditRate = DEFAULT_AUDIT_RATE } = this.#options;
    if (changes === undefined || baseId === null || this.#options.rescan) return { notes: [] };
    if (base === undefined) return { notes: [scanNote('the snapshot before cannot be read')] };
    if (base.mayLack) return { notes: [scanNote('something that the snapshot before needs may be lost')] };
    if (lookUp === undefined) return { notes: [scanNote('the source cannot find records by their ids')] };
    const told = await changes.since(baseId);
    if ('unknown' in told) return { notes: [scanNote(told.unknown)] };
    const { random } = this.#session.repository.environment;
    return { hints: { ids: told.ids, lookUp, auditRate, random }, notes: [] };
  }

  /**
   * Removes what a take has written. The snapshot may be there although its put failed, when only the confirmation was lost; so
   * it goes first, and as long as it cannot be removed its packs stay (docs/ordering.md, W4).
   */
  async #undoTake(writer: ChunkWriter, snapshot: Snapshot | undefined): Promise<void> {
    const { repository } = this.#session;
    await writer.abandon(async () => {
      await repository.confirmLock();
      if (snapshot !== undefined) await repository.deleteSnapshot(snapshot.id);
    });
  }

  /** The base, opened once, however many attempts there are. */
  #openedBase(): Promise<BaseSnapshot | undefined> {
    return (this.#base ??= this.#openBase());
  }

  /** Undefined when it cannot be read: a snapshot does not need its base, it only takes less space with it. */
  async #openBase(): Promise<BaseSnapshot | undefined> {
    const { repository, store } = this.#session;
    const { baseId } = this.#named;
    if (baseId === null) return undefined;
    const snapshot = await knownSnapshot(repository, baseId);
    try {
      const manifest = await readManifest(store, snapshot);
      const mayLack = store.hasLost || store.problems.length > 0 || snapshot.damage !== undefined;
      const { vectorCount, fileCount, logicalBytes, nonFiniteCount } = snapshot;
      const address = manifestAddress(snapshot);
      const taken = { manifest: address, vectorCount, fileCount, logicalBytes, nonFiniteCount };
      const wholeNote = await store.wholeNote(address);
      return { taken, manifest, chunks: store, mayLack, wholeNote };
    } catch (error) {
      if (isUnreadable(error)) return undefined;
      throw error;
    }
  }

  async #read(
    open: OpenSource,
    writer: ChunkWriter,
    from: Pick<TakeParts, 'base' | 'hints' | 'fileStates'>,
  ): Promise<Taken> {
    const { config, environment } = this.#session.repository;
    const filesVersion = open.files === undefined ? undefined : await this.#filesVersion();
    const parts = { writer, config, sha256: environment.sha256, filesVersion, ...from };
    const taken = await takeContent(open, parts, this.#options);
    await open.confirmUnchanged();
    return taken;
  }

  /**
   * Where a snapshot of the collection lacks something that is only written in an earlier version of manifests, it is written again; undefined
   * for the version of now.
   */
  async #filesVersion(): Promise<number | undefined> {
    const { repository, store, notes } = this.#session;
    for (const { id } of notes.note?.snapshots ?? []) {
      const version = await filesVersionOf(repository, store, id, this.#named.collection);
      if (version !== undefined && version < FILES_VERSION) return version;
    }
    return undefined;
  }

  async #describe(
    { manifest, ...taken }: Taken,
    addedBytes: number,
    notes: readonly string[],
  ): Promise<Snapshot> {
    const { repository } = this.#session;
    const { tags = [], metadata = {}, createdAt } = this.#options;
    const { clock, random } = repository.environment;
    const time = nextCreationTime(
      createdAt === undefined ? clock : { now: () => createdAt.getTime() },
      await repository.snapshotIds(),
    );
    // An incremental one has its base, and need not look at the others, of which there may be thousands.
    const isUntold = this.#named.baseId === null && createdAt === undefined;
    const { afterId, unknown } = isUntold ? await this.#lastTaken() : {};
    return {
      id: newSnapshotId(time, random),
      ...this.#named,
      ...(afterId !== undefined && { afterId }),
      createdAt: new Date(time).toISOString(),
      ...taken,
      checksum: formatAddress(manifest, 'node'),
      sizeBytes: taken.logicalBytes,
      addedBytes,
      tags: [...tags],
      pinned: false,
      metadata,
      notes: unknown === undefined ? [...notes] : [...notes, unknown],
    };
  }

  /** The last snapshot of the collection that there is, or a note on why that cannot be told. Those that cannot be read are passed over. */
  async #lastTaken(): Promise<{ afterId?: string | undefined; unknown?: string }> {
    const { collection } = this.#named;
    try {
      const { snapshots } = await this.#session.repository.listSnapshots();
      const own = snapshots.filter((one) => one.collection === collection);
      if (own.length === 0) return {};
      const { lastTaken } = await import('../gc/dates.js');
      return { afterId: lastTaken(own)?.id };
    } catch (error) {
      // A place on the disk that cannot be read must not be in the way of new snapshots.
      if (!isVecsnapError(error, 'STORE_FAILED')) throw error;
      return { unknown: `It is not known which snapshot was taken before this one: ${error.message}` };
    }
  }
}

/** The version of the manifest of a snapshot of this collection that has files and can be read. */
async function filesVersionOf(
  repository: Repository,
  store: ChunkStore,
  id: string,
  collection: string,
): Promise<number | undefined> {
  try {
    const snapshot = await knownSnapshot(repository, id);
    if (snapshot.collection !== collection || snapshot.fileCount === 0) return undefined;
    return (await readManifest(store, snapshot)).version;
  } catch (error) {
    if (isUnreadable(error) || isVecsnapError(error, 'SNAPSHOT_UNKNOWN', 'SNAPSHOT_FORGOTTEN'))
      return undefined;
    throw error;
  }
}

function toldBy(open: OpenSource): Told {
  return { state: open.state?.(), notes: open.notes, changes: open.changes };
}

/** What is kept with the snapshot, once it is taken. */
function notesOf({ notes, fileStates }: TakePlan): readonly string[] {
  const unread = fileStates?.unread ?? 0;
  return unread === 0 ? notes : [...notes, `${UNREAD_FILES}: ${unread}.`];
}

/** Why a snapshot whose source tells what changed is taken by reading everything; undefined for an error that ends it. */
function refusalOf(error: unknown): string | undefined {
  if (error instanceof HintsRefused) return scanNote(error.message);
  if (!isUnreadable(error)) return undefined;
  return scanNote(`a part of the snapshot before cannot be read (${error.message})`);
}

function scanNote(reason: string): string {
  return `Everything was read, and the hints about changes were not used: ${reason}.`;
}

/** Lets the source tell changes since this snapshot from now on. When that fails, the snapshot is there nevertheless. */
async function followedBy(changes: ChangeHints | undefined, snapshot: Snapshot): Promise<Snapshot> {
  try {
    await changes?.follow(snapshot.id);
    return snapshot;
  } catch (error) {
    const what = error instanceof Error ? error.message : String(error);
    const note = `The next snapshot will be taken by reading everything: ${what}`;
    return { ...snapshot, notes: [...snapshot.notes, note] };
  }
}
