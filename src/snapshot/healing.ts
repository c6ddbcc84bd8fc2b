/** After a create: which of the marked snapshots lack nothing any more. */
import type { ChunkStore } from '../cas/index.js';
import { type FoundNotes, replaceNotes } from './damage-note.js';
import { findLosses } from './losses.js';
import type { Repository } from './repository.js';

/** Looks at marked snapshots again, and notes what they still lack. The caller holds the write lock. */
export async function noteHealed(
  repository: Repository,
  store: ChunkStore,
  found: FoundNotes,
): Promise<void> {
  const { note } = found;
  if (note === undefined) return;
  const { environment } = repository;
  const marked = new Set(note.snapshots.map(({ id }) => id));
  const { snapshots } = await repository.listSnapshots();
  const losses = await findLosses(
    store,
    snapshots.filter(({ id }) => marked.has(id)),
  );
  await replaceNotes(environment, found, { ...note, ...losses }, environment.clock.now());
}
