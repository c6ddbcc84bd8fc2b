/** Marks: tags and pins of snapshots as they are now. A snapshot never changes, so they stand in blobs of their own. */
import { asMap, type Canonical, quoteValue } from '../core/canonical.js';
import { mapConcurrent } from '../core/concurrency.js';
import { isVecsnapError, VecsnapError } from '../core/errors.js';
import type { Sha256 } from '../core/platform.js';
import type { Environment } from './environment.js';
import { listNumbered, type Numbered, replaceNumbered } from './numbered-blobs.js';
import { getSealed, unseal } from './sealed-blob.js';
import { checkName } from './settings.js';
import { isSnapshotId, type Snapshot } from './snapshot.js';

/** Where marks stand. */
export const MARKS_PREFIX = 'marks/';

/** What is said about a snapshot beside what it says itself. */
export interface Marks {
  readonly tags: readonly string[];
  /** No policy drops it, and nobody forgets it by its id. */
  readonly pinned: boolean;
}

/** How marks are to change. */
export interface MarksChange {
  /** Tags that the snapshot is to have. */
  readonly add?: readonly string[] | undefined;
  /** Tags that it is to have no longer; before `add`. */
  readonly remove?: readonly string[] | undefined;
  readonly pinned?: boolean | undefined;
}

/** Marks that cannot be read. */
export interface MarksProblem {
  readonly blob: string;
  readonly error: VecsnapError;
}

type Where = Pick<Environment, 'blobs' | 'sha256'>;
type Read = { readonly id: string } & (Marks | MarksProblem);

const MAGIC = 'vsnmark';
const VERSION = 1;
const READ_AT_ONCE = 32;
/** How often marks are listed anew when some were replaced before they were read. */
const ATTEMPTS = 5;

/**
 * The snapshots with their marks as they are now. Without any it costs one look into an empty folder.
 * One whose marks cannot be read counts as pinned, so that doubt keeps it.
 */
export async function withMarks(where: Where, snapshots: readonly Snapshot[]): Promise<readonly Snapshot[]> {
  const read = await readMarks(
    where,
    snapshots.length === 1 ? `${MARKS_PREFIX}${snapshots[0]?.id}-` : MARKS_PREFIX,
  );
  const byId = new Map(read.map((one) => [one.id, one]));
  return snapshots.map((snapshot) => {
    const found = byId.get(snapshot.id);
    if (found === undefined) return snapshot.pinned ? { ...snapshot, pinned: false } : snapshot;
    return {
      ...snapshot,
      ...('error' in found ? { pinned: true } : { tags: found.tags, pinned: found.pinned }),
    };
  });
}

/** The marks that cannot be read. */
export async function marksProblems(where: Where): Promise<readonly MarksProblem[]> {
  const read = await readMarks(where, MARKS_PREFIX);
  return read.flatMap((one) => ('error' in one ? [{ blob: one.blob, error: one.error }] : []));
}

/** Changes the marks of a snapshot. The caller holds the lock. @returns the snapshot with them. */
export async function changeMarks(
  where: Where,
  snapshot: Snapshot,
  { add = [], remove = [], pinned }: MarksChange,
): Promise<Snapshot> {
  for (const tag of [...add, ...remove]) checkName(tag, 'tag');
  const [before] = (await withMarks(where, [snapshot])) as [Snapshot];
  const kept = before.tags.filter((tag) => !remove.includes(tag));
  const after: Marks = { tags: [...new Set([...kept, ...add])], pinned: pinned ?? before.pinned };
  const isSame = after.pinned === before.pinned && JSON.stringify(after.tags) === JSON.stringify(before.tags);
  if (!isSame || (await marksProblems(where)).some(({ blob }) => blob.includes(snapshot.id)))
    await replaceNumbered(
      where.blobs,
      `${MARKS_PREFIX}${snapshot.id}`,
      await encode(snapshot.id, after, where.sha256),
    );
  return { ...snapshot, ...after };
}

/** Blobs of marks that count no longer, because others took their place or their snapshot is none of `ids`. */
export async function staleMarks(where: Where, ids: ReadonlySet<string>): Promise<Numbered['older']> {
  const found = await listNumbered(where.blobs, MARKS_PREFIX);
  return [...found].flatMap(([name, { current, older }]) => {
    const id = name.slice(MARKS_PREFIX.length);
    if (!isSnapshotId(id)) return [];
    return ids.has(id) ? older : [...older, current];
  });
}

async function readMarks(where: Where, prefix: string): Promise<readonly Read[]> {
  for (let attempt = 1; ; attempt++) {
    const found = [...(await listNumbered(where.blobs, prefix))];
    try {
      return await mapConcurrent(found, READ_AT_ONCE, ([name, { current }]) =>
        readOne(where, name.slice(MARKS_PREFIX.length), current.name),
      );
    } catch (error) {
      if (!isVecsnapError(error, 'BLOB_MISSING') || attempt === ATTEMPTS) throw error; // Replaced since it was listed.
    }
  }
}

async function readOne({ blobs, sha256 }: Where, id: string, blob: string): Promise<Read> {
  const unsealed = unseal(MAGIC, await getSealed(blobs, blob), sha256);
  const marks = 'flaw' in unsealed ? marksDamaged(blob) : decode(unsealed.value, id, blob);
  return marks instanceof VecsnapError ? { id, blob, error: marks } : { id, ...marks };
}

/** The id of the snapshot whose marks these bytes are; undefined for another blob. */
export function markedIdIn(bytes: Uint8Array, sha256: Sha256): string | undefined {
  const unsealed = unseal(MAGIC, bytes, sha256);
  const id = 'flaw' in unsealed ? undefined : asMap(unsealed.value)?.['id'];
  return typeof id === 'string' && isSnapshotId(id) ? id : undefined;
}

async function encode(id: string, { tags, pinned }: Marks, sha256: Sha256): Promise<Uint8Array> {
  const { seal } = await import('./seal.js'); // Most who look at marks change none.
  return seal(MAGIC, { version: VERSION, id, tags, pinned }, sha256);
}

function decode(value: Canonical, id: string, blob: string): Marks | VecsnapError {
  const { version, id: of, tags, pinned } = asMap(value) ?? {};
  if (version !== VERSION) return newerMarks(blob, version);
  const isWhole =
    of === id &&
    typeof pinned === 'boolean' &&
    Array.isArray(tags) &&
    tags.every((tag): tag is string => typeof tag === 'string');
  return isWhole ? { tags, pinned } : marksDamaged(blob);
}

function marksDamaged(place: string): VecsnapError {
  return new VecsnapError('MARKS_DAMAGED', 'The tags and the pin of a snapshot cannot be read.', {
    place,
    remedy:
      'Run vecsnap repair, which mends a flipped bit and puts back what stands under a wrong name. If it cannot, pin or unpin the snapshot, or change its tags, which writes them anew. Until then it counts as pinned.',
  });
}

function newerMarks(place: string, version: Canonical | undefined): VecsnapError {
  return new VecsnapError(
    'REPOSITORY_NEWER',
    `Tags and pins have format ${quoteValue(version)}; this vecsnap reads ${VERSION}.`,
    { place, remedy: 'Install a newer version of vecsnap.' },
  );
}
