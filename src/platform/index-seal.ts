/**
 * Tells whether the files of the index are those that were written last. LevelDB believes its files: of garbled ones it gives other values
 * than were put, or ends the process. So whoever closes the index seals it, with the SHA-256 of every file; whoever opens it breaks the
 * seal, and says who it is. An index without a whole seal, which nobody alive has open, is thrown away by the next holder of the lock
 * (docs/ordering.md, R11). The seal comes before all other files, and goes after them, so files without one are damage too.
 */
import { createHash } from 'node:crypto';
import { constants } from 'node:fs';
import { lstat, open, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { toHex } from '../core/index.js';
import type { ProcessIdentity } from '../blob/lease.js';
import { systemClock, systemRandom } from './node.js';

/**
 * What can be said of an index: there is none, it may be opened, somebody has it open, somebody left it open who is dead, or its files are
 * not those that were sealed.
 */
export type IndexCondition = 'missing' | 'sound' | 'in use' | 'left open' | 'damaged';

/** A seal that this process has broken. */
export interface BrokenSeal {
  /** Seals the index again after it was closed, unless another one has come into its place. @throws the system's error. */
  renew(): Promise<void>;
  /** Takes back that this process has the index open, because it could not open it. @throws the system's error. */
  withdraw(): Promise<void>;
}

const SEAL = 'seal';
/** Files that are not LevelDB's, or of which nothing depends. */
const UNSEALED = /^(?:seal(?:-.*)?|LOCK|LOG|LOG\.old|snapshots\.cache.*|lost)$/;
/** How long an index counts as open that somebody has opened of whom nobody can tell here whether they live. */
const OUT_OF_SIGHT_MS = 24 * 60 * 60 * 1000;
/** An index whose seal was another one after each of so many looks at it is in use. */
const MOST_LOOKS = 3;

/** A FIFO without a writer is as an empty file. Windows has no such flag. */
const READ_FLAGS = constants.O_RDONLY | (constants.O_NONBLOCK ?? 0);

type Seal = { readonly files: string } | { readonly holder: ProcessIdentity | null };

/** See the head of this file. @throws the system's error when files cannot be read. */
export async function conditionOf(path: string): Promise<IndexCondition> {
  if (await hasStrangers(path)) return 'damaged';
  for (let look = 0; look < MOST_LOOKS; look++) {
    const text = await sealText(path);
    const seal = parseSeal(text);
    if (seal !== undefined && 'holder' in seal) return (await isHeld(seal.holder)) ? 'in use' : 'left open';
    const files = await fingerprint(path);
    if (files === undefined && text === undefined) return 'missing';
    if (files !== undefined && files === seal?.files) return 'sound';
    if (text === (await sealText(path))) return 'damaged'; // Else somebody opened it while it was looked at.
  }
  return 'in use';
}

/** Breaks the seal, before the index is opened. @throws the system's error. */
export async function breakSeal(path: string): Promise<BrokenSeal> {
  const { processIdentity } = await import('../blob/process-identity.js');
  const before = await sealText(path);
  const seal = parseSeal(before);
  const left = seal !== undefined && 'holder' in seal ? (before as string) : textOf({ holder: null });
  const own = textOf({ holder: processIdentity('index', systemClock) });
  await writeSeal(path, own); // Without a sync: if a power cut takes it away, the index is built anew, no more.
  const replaceOwn = async (text: string | undefined): Promise<void> => {
    if (text !== undefined && (await sealText(path)) === own) await writeSeal(path, text, true);
  };
  return {
    async renew() {
      await syncLogs(path);
      const files = await fingerprint(path);
      await replaceOwn(files && textOf({ files }));
    },
    withdraw: () => replaceOwn(left), // Somebody else may have it open, who broke the seal before.
  };
}

/** Removes the index, whole or not: the seal is broken first and goes last. @throws the system's error. */
export async function removeIndex(path: string): Promise<void> {
  if (await isDirectory(path)) {
    await Promise.allSettled([breakSeal(path)]); // On a full disk it goes all the same.
    for (const name of await readdir(path))
      if (name !== SEAL) await rm(join(path, name), { recursive: true, force: true });
  }
  await rm(path, { recursive: true, force: true });
}

/**
 * Whether the index, or anything in it, is neither a directory nor a regular file. LevelDB writes files under names that can be foretold,
 * and whoever made the repository could let links of these names lead to any file of who opens it, and FIFOs keep it waiting for ever.
 */
async function hasStrangers(path: string): Promise<boolean> {
  const index = await unlessMissing(lstat(path));
  if (index === undefined) return false;
  if (!index.isDirectory()) return true;
  const entries = (await unlessMissing(readdir(path, { withFileTypes: true }))) ?? [];
  return entries.some((entry) => !entry.isFile() && !entry.isDirectory());
}

async function isDirectory(path: string): Promise<boolean> {
  return (await unlessMissing(lstat(path)))?.isDirectory() === true;
}

async function isHeld(holder: ProcessIdentity | null): Promise<boolean> {
  if (holder === null) return false;
  const { canSeeProcess, isProcessAlive } = await import('../blob/process-identity.js');
  if (canSeeProcess(holder)) return isProcessAlive(holder);
  return systemClock.now() - holder.startedAt < OUT_OF_SIGHT_MS;
}

/** Equal for equal files; undefined when there are none. */
async function fingerprint(path: string): Promise<string | undefined> {
  const names = (await unlessMissing(readdir(path))) ?? [];
  const sealed = names.filter((name) => !UNSEALED.test(name)).toSorted();
  if (sealed.length === 0) return undefined;
  const all = createHash('sha256');
  for (const name of sealed) {
    const bytes = await unlessMissing(readFile(join(path, name), { flag: READ_FLAGS }));
    if (bytes === undefined) return `without ${name}`; // Gone since, so somebody has it open.
    all.update(`${name} ${bytes.length} `).update(createHash('sha256').update(bytes).digest());
  }
  return all.digest('hex');
}

/** What LevelDB has not synced itself, so that a power cut does not look like damage. */
async function syncLogs(path: string): Promise<void> {
  const names = (await unlessMissing(readdir(path))) ?? [];
  for (const name of names.filter((one) => one.endsWith('.log'))) {
    const file = await unlessMissing(open(join(path, name), 'r+'));
    try {
      if (file !== undefined && (await file.stat()).size > 0) await file.sync();
    } finally {
      await file?.close();
    }
  }
}

function sealText(path: string): Promise<string | undefined> {
  return unlessMissing(readFile(join(path, SEAL), { encoding: 'utf8', flag: READ_FLAGS }));
}

/** Undefined also for one that is garbled itself. One that is empty was not synced yet when the power was cut, so it was a broken one. */
function parseSeal(text: string | undefined): Seal | undefined {
  if (text === undefined) return undefined;
  if (text === '') return { holder: null };
  try {
    const { files, holder } = JSON.parse(text) as Partial<Record<string, unknown>>;
    if (typeof files === 'string') return { files };
    return holder === null || isIdentity(holder) ? { holder } : undefined;
  } catch {
    return undefined;
  }
}

function isIdentity(value: unknown): value is ProcessIdentity {
  if (typeof value !== 'object' || value === null) return false;
  const { pid, startedAt, ...texts } = value as { readonly [key: string]: unknown };
  const named = ['host', 'bootId', 'pidNamespace', 'processStart'];
  const isPid = Number.isSafeInteger(pid) && (pid as number) > 0 && Number.isSafeInteger(startedAt);
  return isPid && named.every((name) => typeof texts[name] === 'string');
}

function textOf(seal: Seal): string {
  return JSON.stringify(seal);
}

async function writeSeal(path: string, text: string, flush = false): Promise<void> {
  const temporary = join(path, `${SEAL}-${toHex(systemRandom(8))}`);
  try {
    await writeFile(temporary, text, { flag: 'wx', flush });
    await rename(temporary, join(path, SEAL));
  } catch (error) {
    await rm(temporary, { force: true }).catch(() => undefined); // What failed first is what counts.
    throw error;
  }
}

/** @throws any other error of the system. */
async function unlessMissing<T>(found: Promise<T>): Promise<T | undefined> {
  try {
    return await found;
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    throw error;
  }
}
