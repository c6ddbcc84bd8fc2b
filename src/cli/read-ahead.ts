/** Has the system read files into its cache while the command that needs them still starts. */
import { closeSync, constants, openSync, readv } from 'node:fs';

/** Bytes that one call asks for: the disk then always has something to do, though this thread is busy. */
const CALL_BYTES = 18 * 1024 * 1024;
/** All of it is read into this much memory, over and over: nobody looks at it. */
const DISCARDED_BYTES = 256 * 1024;
/** Half a page behind where pages begin, as each call does in its file: docs/decisions/0022-where-reads-go.md. */
const AWAY_BYTES = 2048;
/** Calls that are begun at once, while nothing else has the threads of Node.js read and write files; and later, beside what else does. */
const FIRST_CALLS = 6;
const CALLS_AT_ONCE = 2;
/** What is no regular file any more must not keep its reader waiting. */
const OPEN_FLAGS = constants.O_RDONLY | (constants.O_NONBLOCK ?? 0) | (constants.O_NOFOLLOW ?? 0);

/** A file to be read. */
export interface FileAhead {
  readonly path: string;
  readonly size: number;
}

/**
 * Begins to read files, one after the other. What goes wrong is no matter: whoever needs the file finds out.
 * @param ended once it is aborted, nothing more is begun.
 */
export function readAhead(files: readonly FileAhead[], ended: AbortSignal): void {
  const calls = files.flatMap(({ path, size }) =>
    Array.from({ length: Math.ceil(size / CALL_BYTES) }, (_, i) => ({ path, position: i * CALL_BYTES })),
  );
  const memory = Buffer.allocUnsafeSlow(AWAY_BYTES + DISCARDED_BYTES);
  const discarded = memory.subarray(AWAY_BYTES);
  const pieces = Array.from({ length: CALL_BYTES / DISCARDED_BYTES }, () => discarded);
  let underWay = 0;
  const goOn = (most: number): void => {
    while (underWay < most && !ended.aborted) {
      const next = calls.shift();
      if (next === undefined) return;
      underWay++;
      readThrough(next.path, next.position, pieces, () => {
        underWay--;
        goOn(CALLS_AT_ONCE);
      });
    }
  };
  goOn(FIRST_CALLS);
}

function readThrough(path: string, position: number, pieces: readonly Buffer[], onEnd: () => void): void {
  let file: number;
  try {
    file = openSync(path, OPEN_FLAGS);
  } catch {
    return onEnd();
  }
  readv(file, pieces, position, () => {
    closeSync(file);
    onEnd();
  });
}
