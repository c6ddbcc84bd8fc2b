/**
 * All snapshots in one place, so that listing thousands of them takes one read instead of thousands.
 *
 * It is derived, and for lists alone: snapshots never change, so an entry is as good as the blob of the same name and size.
 * What must not be wrong reads the blobs themselves. Whatever is wrong here counts as nothing being there.
 *
 * It is made of parts, one after the other: four bytes with the length of a text (little-endian), the SHA-256 of the text, and the text, JSON.
 * A list that finds much to be missing, or many parts, makes one of all; so there is none in small repositories. Whoever takes a snapshot appends a
 * part where there is one. Nothing is read behind a part that is damaged.
 */
import type { BlobStat } from '../blob/port.js';
import { concatBytes, equalBytes, fromUtf8, utf8, viewOf } from '../core/bytes.js';
import type { Sha256 } from '../core/platform.js';
import type { Environment } from './environment.js';
import { isSnapshot, type Json, type Snapshot, SNAPSHOT_PREFIX } from './snapshot.js';

/** Another version is not read. */
const VERSION = 2;
const LENGTH_BYTES = 4;
const HEAD_BYTES = LENGTH_BYTES + 32;
/** So many snapshots must be unknown before all is written again. */
const WORTH_WRITING = 16;
/** It is also written again when it has more parts: each takes a while, and some tell of snapshots that are gone. */
const MOST_PARTS = 64;

type Entry = readonly [blob: string, size: number, snapshot: Snapshot];

type CacheEnvironment = Pick<Environment, 'cache' | 'sha256'>;

/** Snapshots by the names and sizes of their blobs. */
export class ListingCache {
  readonly #environment: CacheEnvironment;
  readonly #entries: ReadonlyMap<string, Entry>;
  readonly #partCount: number;

  private constructor(environment: CacheEnvironment, parts: readonly (readonly Entry[])[]) {
    this.#environment = environment;
    this.#entries = new Map(parts.flat().map((entry) => [entry[0], entry]));
    this.#partCount = parts.length;
  }

  static async load(environment: CacheEnvironment): Promise<ListingCache> {
    const bytes = await environment.cache?.load();
    return new ListingCache(environment, bytes === undefined ? [] : decode(bytes, environment.sha256));
  }

  /** Keeps a snapshot that was taken just now, as its blob tells it, so that no list need read that. */
  static async append(
    { cache, sha256 }: CacheEnvironment,
    { name, size }: BlobStat,
    snapshot: Snapshot,
  ): Promise<void> {
    if (isExactInJson(snapshot.metadata)) await cache?.append(encodePart([[name, size, snapshot]], sha256));
  }

  /** The snapshot of a blob, where it is known. */
  find({ name, size }: BlobStat): Snapshot | undefined {
    const entry = this.#entries.get(name);
    return entry?.[1] === size ? entry[2] : undefined;
  }

  /** Keeps what a list has found, where that saves the next one much. */
  async save(found: readonly (readonly [BlobStat, Snapshot])[]): Promise<void> {
    const { cache, sha256 } = this.#environment;
    if (cache === undefined) return;
    const kept = found.filter(([, { metadata }]) => isExactInJson(metadata));
    if (!this.#isWorthWriting(kept.map(([blob]) => blob))) return;
    const entries = kept.map(([{ name, size }, snapshot]): Entry => [name, size, snapshot]);
    await cache.save(encodePart(entries, sha256));
  }

  #isWorthWriting(blobs: readonly BlobStat[]): boolean {
    if (this.#partCount > MOST_PARTS) return true;
    return blobs.filter((blob) => this.find(blob) === undefined).length >= WORTH_WRITING;
  }
}

function encodePart(entries: readonly Entry[], sha256: Sha256): Uint8Array {
  const text = utf8(JSON.stringify({ version: VERSION, entries }));
  const length = new Uint8Array(LENGTH_BYTES);
  viewOf(length).setUint32(0, text.length, true);
  return concatBytes([length, sha256(text), text]);
}

/** What parts hold, up to one that is damaged. */
function decode(bytes: Uint8Array, sha256: Sha256): (readonly Entry[])[] {
  const view = viewOf(bytes);
  const parts: (readonly Entry[])[] = [];
  for (let at = 0; at + HEAD_BYTES <= bytes.length;) {
    const end = at + HEAD_BYTES + view.getUint32(at, true);
    const text = bytes.subarray(at + HEAD_BYTES, end);
    if (end > bytes.length || !equalBytes(sha256(text), bytes.subarray(at + LENGTH_BYTES, at + HEAD_BYTES)))
      break;
    parts.push(decodePart(text));
    at = end;
  }
  return parts;
}

function decodePart(text: Uint8Array): readonly Entry[] {
  const part = parseOrNothing(text);
  const isOurs = part?.version === VERSION && Array.isArray(part.entries);
  return isOurs ? (part.entries as readonly unknown[]).filter(isEntry) : [];
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
