/** Finds the snapshot that a person means. */
import { VecsnapError } from '../core/errors.js';
import type { Repository, SnapshotListing } from './repository.js';
import type { Snapshot } from './snapshot.js';

/** The fewest characters of the end of an id that name a snapshot. */
const LEAST_ENDING = 6;

/** Clocks of machines that share a repository differ by so much, and are set back by it. In milliseconds. */
const TOLERANCE = 60_000;

/**
 * The newest of `snapshots`. One that is dated in the future, by a clock that was ahead, counts only where there is no other: else it
 * would be the newest for years.
 * @param snapshots newest first.
 * @param now milliseconds since 1970.
 */
export function newestOf(snapshots: readonly Snapshot[], now = Infinity): Snapshot | undefined {
  return snapshots.find(({ createdAt }) => Date.parse(createdAt) <= now + TOLERANCE) ?? snapshots[0];
}

/**
 * The snapshot that `text` means: an id, six or more characters of the end of one, a name (the newest of that name), or
 * `latest`; {@link newestOf} says which is the newest. A whole id comes before a name, and a name before the end of an id.
 * @param listing snapshots newest first, and those that cannot be read: who means one of these is told so.
 * @throws VecsnapError SNAPSHOT_UNKNOWN, SNAPSHOT_AMBIGUOUS, SNAPSHOT_DAMAGED.
 */
export function findSnapshot({ snapshots, problems, now }: SnapshotListing, text: string): Snapshot {
  const byId = snapshots.find(({ id }) => id === text.toLowerCase());
  if (byId !== undefined) return byId;
  const ofName = snapshots.filter(({ name }) => name === text);
  const newest = newestOf(ofName.length === 0 && text === 'latest' ? snapshots : ofName, now);
  if (newest !== undefined) return newest;
  const byEnding =
    text.length < LEAST_ENDING ? [] : snapshots.filter(({ id }) => id.endsWith(text.toLowerCase()));
  if (byEnding.length > 1) throw ambiguous(text, byEnding);
  if (byEnding[0] !== undefined) return byEnding[0];
  const damaged =
    text.length >= LEAST_ENDING && problems.find(({ blob }) => blob.endsWith(text.toLowerCase()));
  if (damaged) throw damaged.error;
  throw unknown(text, snapshots);
}

function unknown(text: string, snapshots: readonly Snapshot[]): VecsnapError {
  const remedy =
    snapshots.length === 0
      ? 'The repository has no snapshots yet; take one with create.'
      : `Give an id, ${LEAST_ENDING} or more characters of its end, a name, or latest; list shows them.`;
  return new VecsnapError('SNAPSHOT_UNKNOWN', `There is no snapshot ${JSON.stringify(shorten(text))}.`, {
    place: shorten(text),
    remedy,
  });
}

function ambiguous(text: string, found: readonly Snapshot[]): VecsnapError {
  return new VecsnapError(
    'SNAPSHOT_AMBIGUOUS',
    `${found.length} snapshots end in ${JSON.stringify(shorten(text))}.`,
    {
      place: shorten(text),
      remedy: `Give more characters: ${found
        .slice(0, 5)
        .map(({ id }) => id)
        .join(', ')}.`,
    },
  );
}

function shorten(text: string): string {
  return text.length > 80 ? `${text.slice(0, 80)}…` : text;
}

/** The snapshot with this id. @throws VecsnapError SNAPSHOT_UNKNOWN, SNAPSHOT_DAMAGED. */
export async function knownSnapshot(repository: Repository, id: string): Promise<Snapshot> {
  const snapshot = await repository.getSnapshot(id);
  if (snapshot !== undefined) return snapshot;
  throw new VecsnapError(
    'SNAPSHOT_UNKNOWN',
    `There is no snapshot with the id ${JSON.stringify(id.slice(0, 80))}.`,
    {
      place: repository.place,
      remedy: 'listSnapshots gives the ids; findSnapshot takes names and the ends of ids.',
    },
  );
}
