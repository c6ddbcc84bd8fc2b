/** Threads that commands start before anything else, where there will be work for them. */
import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { startWorkers } from '../platform/workers.js';

/** With fewer bytes a command is done before a thread has started. */
const WORTH_STARTING = 8 * 1024 * 1024;
/** Packs that are looked at: most have more than {@link WORTH_STARTING}. */
const MOST_PACKS = 16;

/** Starts threads when a repository has much in it. */
export function startThreadsForPacks(repo: string): void {
  const packs = join(repo, 'packs');
  startThreadsFor(function* () {
    for (const name of readdirSync(packs).slice(0, MOST_PACKS)) yield statSync(join(packs, name)).size;
  });
}

/** Starts threads for a large file. @param place a path, perhaps after the name of a format, or something else. */
export function startThreadsForFile(place: string): void {
  const path = place.replace(/^\w+:(?!\/\/)/, '');
  startThreadsFor(function* () {
    const found = statSync(path);
    if (found.isFile()) yield found.size;
  });
}

/** Starts threads when these are many bytes. What cannot be told is no reason to, and is told when it is opened. */
function startThreadsFor(sizes: () => Iterable<number>): void {
  let bytes = 0;
  try {
    for (const size of sizes()) {
      bytes += size;
      if (bytes >= WORTH_STARTING) return startWorkers();
    }
  } catch {
    return;
  }
}
