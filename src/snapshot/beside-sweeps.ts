/**
 * Reading beside a sweep, which moves chunks to other packs and deletes those of forgotten snapshots while no lock is held
 * (docs/ordering.md, R8 and R9). A chunk store finds again what was moved; here is what concerns more than a single chunk.
 */
import { isUnreadable, isVecsnapError, VecsnapError } from '../core/index.js';
import type { IndexKind, Repository, Session } from './repository.js';

/** Something that is read of the whole repository, and must be of one state of it. */
export interface WholeReading<S, T> {
  /** What is read before the chunks are opened (R1): the snapshots. */
  readonly list: () => Promise<S>;
  readonly read: (session: Session, listed: S) => Promise<T>;
  /** Whether the result tells of something missing, which may just have been moved. */
  readonly isDoubtful?: (result: T) => boolean;
  readonly prefer?: IndexKind;
}

/** Sweeps and snapshots that are forgotten that one reading puts up with. */
const MOST_ATTEMPTS = 8;

/**
 * Reads again from the start when packs or snapshots have come to be others meanwhile and something was missed, or when the
 * reading itself went on with other packs than it began with.
 * @throws VecsnapError REPOSITORY_LOCKED when that happens again and again, and what `read` throws while nothing moves.
 */
export async function readWhole<S, T>(repository: Repository, reading: WholeReading<S, T>): Promise<T> {
  for (let attempt = 1; attempt <= MOST_ATTEMPTS; attempt++) {
    const outcome = await readOnce(repository, reading);
    if (!outcome.hasMoved) return outcome.result;
  }
  throw new VecsnapError('REPOSITORY_LOCKED', 'Sweeps moved chunks again and again while they were read.', {
    place: repository.place,
    remedy: 'Run it again when no sweep is at work.',
  });
}

type Outcome<T> = { readonly hasMoved: true } | { readonly hasMoved: false; readonly result: T };

async function readOnce<S, T>(
  repository: Repository,
  { list, read, isDoubtful, prefer }: WholeReading<S, T>,
): Promise<Outcome<T>> {
  const ids = await repository.snapshotIds();
  const listed = await list();
  return repository.read(async (session): Promise<Outcome<T>> => {
    const { store } = session;
    const { generation } = store;
    const hasMoved = async (): Promise<boolean> => {
      if (store.generation === generation) await store.refresh();
      return store.generation !== generation || !sameIds(ids, await repository.snapshotIds());
    };
    try {
      const result = await read(session, listed);
      const isSuspect = store.generation !== generation || isDoubtful?.(result) === true;
      return isSuspect && (await hasMoved()) ? { hasMoved: true } : { hasMoved: false, result };
    } catch (error) {
      if (isMissed(error) && (await hasMoved())) return { hasMoved: true };
      throw error;
    }
  }, prefer);
}

/** What an error in reading snapshots means: that of one which was forgotten meanwhile is not damage. */
export async function explained(
  repository: Repository,
  ids: readonly string[],
  error: unknown,
): Promise<unknown> {
  if (!isMissed(error)) return error;
  const standing = new Set(await repository.snapshotIds());
  const gone = ids.find((id) => !standing.has(id));
  return gone === undefined ? error : snapshotForgotten(repository, gone, error);
}

/** The snapshot was there when the work began. */
export function snapshotForgotten({ place }: Repository, id: string, cause?: unknown): VecsnapError {
  return new VecsnapError('SNAPSHOT_FORGOTTEN', 'The snapshot was forgotten and swept while it was read.', {
    place: `${place}, snapshot ${id}`,
    remedy: 'Take another snapshot, see vecsnap list; pin those that must stay.',
    cause,
  });
}

function isMissed(error: unknown): boolean {
  return isUnreadable(error) || isVecsnapError(error, 'SWEEP_REFUSED', 'BLOB_MISSING');
}

function sameIds(a: readonly string[], b: readonly string[]): boolean {
  const there = new Set(b);
  return there.size === a.length && a.every((id) => there.has(id));
}
