/** What commands begin before anything else, where there will be work for it: threads, and reading packs. */
import { lstatSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { startWorkers } from '../platform/workers.js';
import { type FileAhead, readAhead } from './read-ahead.js';

/** With fewer bytes a command is done before a thread has started. */
const WORTH_STARTING = 8 * 1024 * 1024;
/** Where there is more, most commands do not need most of it, and what they need is read while they work. */
const MOST_PACKS = 256;
const MOST_READ_AHEAD = 512 * 1024 * 1024;

/** For commands that read most of what a repository has. */
export function startForPacks(repo: string, ended: AbortSignal): void {
  const packs = packsOf(repo);
  const bytes = packs.reduce((sum, { size }) => sum + size, 0);
  if (bytes < WORTH_STARTING) return;
  startWorkers();
  if (bytes <= MOST_READ_AHEAD && packs.length < MOST_PACKS) readAhead(packs, ended);
}

/** The packs of a repository, the oldest first, as they are needed in most cases; of many, some. What cannot be told is told when it is opened. */
function packsOf(repo: string): FileAhead[] {
  try {
    const directory = join(repo, 'packs');
    const found = readdirSync(directory)
      .slice(0, MOST_PACKS)
      .map((name) => ({ path: join(directory, name), stats: lstatSync(join(directory, name)) }));
    return found
      .filter(({ stats }) => stats.isFile())
      .toSorted((a, b) => a.stats.mtimeMs - b.stats.mtimeMs)
      .map(({ path, stats }) => ({ path, size: stats.size }));
  } catch {
    return [];
  }
}

/** For commands that read a file. @param place a path, perhaps after the name of a format, or something else. */
export function startForFile(place: string): void {
  const path = place.replace(/^\w+:(?!\/\/)/, '');
  try {
    const found = statSync(path);
    if (found.isFile() && found.size >= WORTH_STARTING) startWorkers();
  } catch {
    // Told when it is opened.
  }
}
