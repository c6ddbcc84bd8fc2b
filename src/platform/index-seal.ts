/**
 * Tells whether the files of the index are those that were written last. LevelDB believes its files: of garbled ones it gives other values
 * than were put, or ends the process. So whoever closes the index seals it, with the SHA-256 of every file; whoever opens it breaks the
 * seal, and says who it is. An index without a whole seal, which nobody alive has open, is thrown away (docs/ordering.md, R11).
 */
import { createHash } from 'node:crypto';
import { readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { toHex } from '../core/index.js';
import type { ProcessIdentity } from '../blob/lease.js';
import { systemClock, systemRandom } from './node.js';

/** What can be said of an index: it may be opened, somebody has it open, or nobody should rely on it. */
export type IndexCondition = 'sound' | 'in use' | 'doubtful';

const SEAL = 'seal';
/** Files that are not LevelDB's, or of which nothing depends. */
const UNSEALED = /^(?:seal(?:-.*)?|LOCK|LOG|LOG\.old|snapshots\.cache.*|lost)$/;
/** How long an index counts as open that somebody has opened of whom nobody can tell here whether they live. */
const OUT_OF_SIGHT_MS = 24 * 60 * 60 * 1000;

type Seal = { readonly files: string } | { readonly holder: ProcessIdentity };

/** See the head of this file. An index that is not there yet is sound. */
export async function conditionOf(path: string): Promise<IndexCondition> {
  const files = await fingerprint(path);
  if (files === undefined) return 'sound';
  const seal = await readSeal(path);
  if (seal === undefined) return 'doubtful';
  if ('holder' in seal) return (await isHeld(seal.holder)) ? 'in use' : 'doubtful';
  if (seal.files === files) return 'sound';
  const now = await readSeal(path); // Somebody may have opened it while it was looked at.
  return now !== undefined && 'holder' in now ? 'in use' : 'doubtful';
}

/** Breaks the seal, before the index is opened. @throws the system's error. */
export async function breakSeal(path: string): Promise<void> {
  const { processIdentity } = await import('../blob/process-identity.js');
  await writeSeal(path, { holder: processIdentity('index', systemClock) });
}

/** Seals the index, after it was closed. @throws the system's error. */
export async function sealIndex(path: string): Promise<void> {
  const files = await fingerprint(path);
  if (files !== undefined) await writeSeal(path, { files });
}

async function isHeld(holder: ProcessIdentity): Promise<boolean> {
  const { canSeeProcess, isProcessAlive } = await import('../blob/process-identity.js');
  if (canSeeProcess(holder)) return isProcessAlive(holder);
  return systemClock.now() - holder.startedAt < OUT_OF_SIGHT_MS;
}

/** Equal for equal files; undefined when there are none. */
async function fingerprint(path: string): Promise<string | undefined> {
  const names = await readdir(path).catch(() => [] as string[]); // There is no index yet, or opening it says what is wrong.
  const sealed = names.filter((name) => !UNSEALED.test(name)).toSorted();
  if (sealed.length === 0) return undefined;
  const all = createHash('sha256');
  for (const name of sealed) {
    const bytes = await readFile(join(path, name)).catch(() => undefined); // Gone since, so somebody has it open.
    if (bytes === undefined) return `without ${name}`;
    all.update(`${name} ${bytes.length} `).update(createHash('sha256').update(bytes).digest());
  }
  return all.digest('hex');
}

async function readSeal(path: string): Promise<Seal | undefined> {
  try {
    const seal = JSON.parse(await readFile(join(path, SEAL), 'utf8')) as Partial<Record<string, unknown>>;
    const { files, holder } = seal;
    if (typeof files === 'string') return { files };
    return isIdentity(holder) ? { holder } : undefined;
  } catch {
    return undefined; // None, or one that is garbled itself.
  }
}

function isIdentity(value: unknown): value is ProcessIdentity {
  if (typeof value !== 'object' || value === null) return false;
  const { pid, startedAt, ...texts } = value as { readonly [key: string]: unknown };
  const named = ['host', 'bootId', 'pidNamespace', 'processStart'];
  const isPid = Number.isSafeInteger(pid) && (pid as number) > 0 && Number.isSafeInteger(startedAt);
  return isPid && named.every((name) => typeof texts[name] === 'string');
}

async function writeSeal(path: string, seal: Seal): Promise<void> {
  const temporary = join(path, `${SEAL}-${toHex(systemRandom(8))}`);
  try {
    await writeFile(temporary, JSON.stringify(seal), { flag: 'wx' });
    await rename(temporary, join(path, SEAL));
  } catch (error) {
    await rm(temporary, { force: true }).catch(() => undefined); // What failed first is what counts.
    throw error;
  }
}
