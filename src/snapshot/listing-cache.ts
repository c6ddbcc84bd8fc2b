/**
 * All snapshots in one place, so that listing thousands of them takes one read instead of thousands.
 *
 * It is derived, and for lists alone: snapshots never change, so an entry is as good as the blob of the same name and size.
 * What must not be wrong reads the blobs themselves. Whatever is wrong here counts as nothing being there.
 */
import type { BlobStat } from '../blob/port.js';
import { concatBytes, equalBytes, fromUtf8, utf8 } from '../core/bytes.js';
import type { Sha256 } from '../core/platform.js';
import type { Environment } from './environment.js';
import { isSnapshot, type Json, type Snapshot, SNAPSHOT_PREFIX } from './snapshot.js';

/** Another version is not read. */
const VERSION = 1;
const CHECKSUM_BYTES = 32;
/** So many snapshots must be new before the cache is written again: not each time, and not in small repositories. */
const WORTH_WRITING = 64;

type Entry = readonly [blob: string, size: number, snapshot: Snapshot];

/** Snapshots by the names and sizes of their blobs. */
export class ListingCache {
  readonly #environment: Pick<Environment, 'cache' | 'sha256'>;
  readonly #entries: ReadonlyMap<string, Entry>;

  private constructor(environment: Pick<Environment, 'cache' | 'sha256'>, entries: readonly Entry[]) {
    this.#environment = environment;
    this.#entries = new Map(entries.map((entry) => [entry[0], entry]));
  }

  static async load(environment: Pick<Environment, 'cache' | 'sha256'>): Promise<ListingCache> {
    const bytes = await environment.cache?.load();
    return new ListingCache(environment, bytes === undefined ? [] : decode(bytes, environment.sha256));
  }

  /** The snapshot of a blob, where it is known. */
  find({ name, size }: BlobStat): Snapshot | undefined {
    const entry = this.#entries.get(name);
    return entry?.[1] === size ? entry[2] : undefined;
  }

  /** Keeps what a list has found, where that saves the next one much. */
  async save(found: readonly (readonly [BlobStat, Snapshot])[]): Promise<void> {
    const { cache, sha256 } = this.#environment;
    const news = found.filter(([blob]) => this.find(blob) === undefined).length;
    if (cache === undefined || news < WORTH_WRITING) return;
    const entries = found
      .filter(([, { metadata }]) => isExactInJson(metadata))
      .map(([{ name, size }, snapshot]): Entry => [name, size, snapshot]);
    await cache.save(encode(entries, sha256));
  }
}

function encode(entries: readonly Entry[], sha256: Sha256): Uint8Array {
  const body = utf8(JSON.stringify({ version: VERSION, entries }));
  return concatBytes([sha256(body), body]);
}

function decode(bytes: Uint8Array, sha256: Sha256): readonly Entry[] {
  const body = bytes.subarray(CHECKSUM_BYTES);
  if (!equalBytes(sha256(body), bytes.subarray(0, CHECKSUM_BYTES))) return [];
  const cached = parseOrNothing(body);
  const isOurs = cached?.version === VERSION && Array.isArray(cached.entries);
  return isOurs ? (cached.entries as readonly unknown[]).filter(isEntry) : [];
}

function parseOrNothing(body: Uint8Array): { readonly version?: unknown; readonly entries?: unknown } | null {
  try {
    return JSON.parse(fromUtf8(body)) as { version?: unknown; entries?: unknown } | null;
  } catch (error) {
    if (error instanceof SyntaxError || error instanceof TypeError) return null; // The blobs say it all.
    throw error;
  }
}

/** The checksum has no key: whoever can write the file can say anything in it. */
function isEntry(entry: unknown): entry is Entry {
  if (!Array.isArray(entry) || entry.length !== 3) return false;
  const [blob, size, snapshot] = entry as readonly unknown[];
  return (
    typeof blob === 'string' &&
    typeof size === 'number' &&
    isSnapshot(snapshot) &&
    blob === `${SNAPSHOT_PREFIX}${snapshot.id}` &&
    isCreationTime(snapshot.createdAt) &&
    isNodeAddress(snapshot.checksum)
  );
}

function isCreationTime(text: string): boolean {
  const time = new Date(text);
  return !Number.isNaN(time.getTime()) && time.toISOString() === text;
}

/** Only its form: that the checksum is looked at when the snapshot is used, and listing thousands must be quick. */
function isNodeAddress(text: string): boolean {
  return /^bagaqiera[a-z2-7]{52}$/.test(text);
}

/** Whether JSON gives back the same: it has no NaN, no infinity, and no 64-bit integers. */
function isExactInJson(value: Json): boolean {
  if (typeof value === 'number') return Number.isFinite(value);
  if (typeof value === 'bigint') return false;
  return typeof value !== 'object' || value === null || Object.values(value).every(isExactInJson);
}
