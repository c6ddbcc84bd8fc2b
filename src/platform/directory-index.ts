/**
 * The index of a repository in a directory: LevelDB where it can be had, else one in memory (docs/ordering.md, R7, R10 and R11). In a file of
 * its own, because what only lists snapshots does not need it.
 */
import { mkdir } from 'node:fs/promises';
import { storeFailed } from '../blob/name.js';
import type { ChunkIndex } from '../cas/index.js';
import { type IndexDatabase, type IndexPlace, levelIndex } from '../cas/level-index.js';
import { VecsnapError } from '../core/index.js';
import { breakSeal, conditionOf, removeIndex } from './index-seal.js';

/** How the index is used. */
export type IndexOptions = Pick<IndexPlace, 'ownsThread'>;

/**
 * LevelDB lets in one process at a time; any other takes an index in memory, which is as good and is gone with it. An index
 * that cannot be opened, read or relied on is discarded by who holds the lock: it is rebuilt from the packs (docs/ordering.md, R7 and R11).
 */
export async function openDirectoryIndex(
  path: string,
  prefer: 'persistent' | 'existing',
  options: IndexOptions = {},
): Promise<ChunkIndex> {
  const mayMake = prefer === 'persistent';
  try {
    const condition = await conditionOf(path);
    if (condition === 'sound' || (condition === 'missing' && mayMake))
      return await openDatabase(path, options);
    if (condition === 'in use') return indexInMemory();
  } catch (error) {
    if (isHeldElsewhere(error) || isOutOfReach(error)) return indexInMemory();
  }
  if (!mayMake) return indexInMemory();
  return openAnew(path, options).catch(indexInMemory); // Whatever is wrong there, the packs tell as much.
}

/** Loaded when it is needed: most do without. */
async function indexInMemory(): Promise<ChunkIndex> {
  return (await import('../cas/memory-index.js')).memoryIndex();
}

/** Removes the index, so that the next one opened is empty. @throws VecsnapError STORE_FAILED. */
export async function discardDirectoryIndex(path: string): Promise<void> {
  try {
    await removeIndex(path);
  } catch (cause) {
    throw storeFailed(path, 'remove the index', cause);
  }
}

/** What a verification says of the index: the seal tells whether a disk, or somebody else, has changed it. */
export async function directoryIndexFlaw(path: string): Promise<VecsnapError | undefined> {
  try {
    if ((await conditionOf(path)) !== 'damaged') return undefined;
  } catch (cause) {
    return storeFailed(path, 'read the index', cause);
  }
  const message =
    'The files of the index are not those that were written. Nothing is lost by that: repair rebuilds it.';
  return new VecsnapError('INDEX_DAMAGED', message, { place: path, remedy: 'Run repair.' });
}

async function openAnew(path: string, options: IndexOptions): Promise<ChunkIndex> {
  await removeIndex(path);
  return openDatabase(path, options);
}

async function openDatabase(path: string, options: IndexOptions): Promise<ChunkIndex> {
  const { Level } = await import('level');
  await mkdir(path, { recursive: true });
  const seal = await breakSeal(path);
  const db = new Level<Uint8Array, Uint8Array>(path, { keyEncoding: 'view', valueEncoding: 'view' });
  try {
    await db.open();
    return await levelIndex(db as unknown as IndexDatabase, {
      ...options,
      remove: () => removeIndex(path),
      onClosed: () => seal.renew(),
    });
  } catch (error) {
    await Promise.allSettled([db.close()]);
    await Promise.allSettled([seal.withdraw()]); // What failed first is what counts.
    throw error;
  }
}

function codeOf(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error ? String(error.code) : undefined;
}

function isHeldElsewhere(error: unknown): boolean {
  return causesOf(error).some((cause) => codeOf(cause) === 'LEVEL_LOCKED');
}

/** An error, what caused it, and so on. */
function causesOf(error: unknown): Error[] {
  return error instanceof Error ? [error, ...causesOf(error.cause)] : [];
}

/** A full or read-only disk: nothing is wrong with the index, it just cannot be used. */
function isOutOfReach(error: unknown): boolean {
  const message = causesOf(error)
    .map((cause) => cause.message)
    .join(' ');
  return /no space left|read-only file system|permission denied|too many open files/i.test(message);
}
