/**
 * The fingerprints of chunks of the store (fingerprints.ts), by their addresses. They stand in blobs beside the packs, which are read when they are first asked
 * for and kept, those used last, up to a number of bytes. Whatever is missing or damaged there is of no consequence: such chunks have no fingerprints.
 */
import {
  type Address,
  ADDRESS_LENGTH,
  concatBytes,
  DigestTable,
  isUnreadable,
  type Sha256,
  VecsnapError,
} from '../core/index.js';
import type { BlobStore } from '../blob/port.js';
import { MAX_CHAIN } from './codec.js';
import { copyFingerprints } from './delta.js';
import type { PlaceOfChunk } from './bases.js';
import type { Location } from './index-port.js';
import { fingerprintsOfPack } from './pack.js';
import { FingerprintBlob, MAX_FINGERPRINT_BLOB_BYTES } from './fingerprint-blob.js';
import { LoadingCache } from './loading-cache.js';
import { FINGERPRINT_BYTES, type StoredFingerprints } from './fingerprints.js';

/** Bytes of fingerprints that are kept. */
const KEPT_BYTES = 24 * 1024 * 1024;

/** A chunk whose fingerprints are wanted. */
export interface FingerprintRequest {
  readonly address: Address;
  /** Bytes of its records. */
  readonly unit: number;
}

/** What is needed of a store. */
export interface FingerprintSource {
  readonly blobs: BlobStore;
  readonly sha256: Sha256;
  /** With which fingerprints are made; without one there are none. */
  readonly seed: string | undefined;
  readonly locate: (addresses: readonly Address[]) => Promise<(Location | undefined)[]>;
  readonly basesOf: (locations: readonly PlaceOfChunk[]) => Promise<Address[][]>;
}

/** A chunk of the store and the fingerprints of its records, which stand in shared memory together with those of others. */
export interface FoundFingerprints {
  readonly address: Address;
  readonly fingerprints: Uint8Array;
}

/** What is known of the fingerprints of a chunk. */
interface Told {
  /** Bytes of its plaintext. */
  readonly length: number;
  readonly stored: StoredFingerprints;
  readonly bases: readonly Address[];
}

/** See the head of this file. */
export class FingerprintFinder {
  readonly #source: FingerprintSource;
  readonly #blobs = new LoadingCache(
    (name) => this.#read(name),
    (blob) => blob?.byteLength ?? 0,
    KEPT_BYTES,
  );

  constructor(source: FingerprintSource) {
    this.#source = source;
  }

  /** The fingerprints of each chunk; undefined for those that have none, or none that can be read. */
  async find(wanted: readonly FingerprintRequest[]): Promise<(FoundFingerprints | undefined)[]> {
    const known = new KnownFingerprints();
    let next: readonly Address[] = wanted.map(({ address }) => address);
    for (let round = 0; next.length > 0 && round <= MAX_CHAIN; round++) next = await this.#tell(next, known);
    const fingerprints = wanted.map(({ address, unit }) => known.fingerprintsOf(address, unit));
    return inSharedMemory(wanted, fingerprints);
  }

  /** Where the fingerprints of the chunks of a pack are; undefined when it has none. */
  blobOf(pack: string): Promise<FingerprintBlob | undefined> {
    return this.#blobs.get(fingerprintsOfPack(pack));
  }

  /** Finds what is kept for some chunks. @returns what those are told by, as far as nothing is known of it. */
  async #tell(addresses: readonly Address[], known: KnownFingerprints): Promise<Address[]> {
    const locations = await this.#source.locate(addresses);
    const blobs = await this.#blobsAt(locations);
    const there = addresses.flatMap((address, i) => {
      const location = locations[i];
      return location === undefined ? [] : [{ address, location }];
    });
    const bases = await this.#basesOf(there.map(({ location }) => location));
    const next: Address[] = [];
    for (const [i, { address, location }] of there.entries()) {
      const own = bases[i] ?? [];
      const stored = blobs.get(location.pack)?.at(location.pack, { address, bases: own });
      if (stored === undefined) continue;
      known.add(address, { length: location.length, stored, bases: own });
      if (stored.isDelta) next.push(...own);
    }
    return next.filter((address) => !known.has(address));
  }

  /** The fingerprints of all packs in which some chunks stand. */
  async #blobsAt(
    locations: readonly (Location | undefined)[],
  ): Promise<ReadonlyMap<string, FingerprintBlob | undefined>> {
    const packs = new Set<string>();
    for (const location of locations) if (location !== undefined) packs.add(location.pack);
    const blobs = new Map<string, FingerprintBlob | undefined>();
    await Promise.all(Array.from(packs, async (pack) => blobs.set(pack, await this.blobOf(pack))));
    return blobs;
  }

  /** Nothing when the directory of a pack cannot be read. */
  async #basesOf(locations: readonly Location[]): Promise<readonly Address[][]> {
    return this.#source.basesOf(locations).catch((error: unknown) => {
      if (isUnreadable(error)) return [];
      throw error;
    });
  }

  async #read(name: string): Promise<FingerprintBlob | undefined> {
    const { blobs, seed, sha256 } = this.#source;
    if (seed === undefined) return undefined;
    try {
      const { size } = (await blobs.stat(name)) ?? { size: 0 };
      if (size === 0 || size > MAX_FINGERPRINT_BLOB_BYTES) return undefined;
      return new FingerprintBlob(await blobs.get(name), seed, sha256);
    } catch (error) {
      if (error instanceof VecsnapError) return undefined;
      throw error;
    }
  }
}

/** What was found for some chunks, by which their fingerprints are put together. */
class KnownFingerprints {
  readonly #numbers = new DigestTable();
  readonly #told: Told[] = [];
  /** What was put together for records of some length; undefined where that cannot be done. */
  readonly #made = new Map<
    number,
    { readonly unit: number; readonly fingerprints: Uint8Array | undefined }
  >();

  has(address: Address): boolean {
    return this.#numbers.has(address);
  }

  add(address: Address, told: Told): void {
    this.#told[this.#numbers.add(address)] = told;
  }

  /** The fingerprints of a chunk with records of `unit` bytes. */
  fingerprintsOf(address: Address, unit: number): Uint8Array | undefined {
    const number = this.#numbers.find(address);
    const told = this.#told[number];
    if (told === undefined || told.length % unit !== 0) return undefined;
    const { isDelta, bytes } = told.stored;
    const length = (told.length / unit) * FINGERPRINT_BYTES;
    if (!isDelta) return bytes.length === length ? bytes : undefined;
    const made = this.#made.get(number);
    if (made?.unit === unit) return made.fingerprints;
    this.#made.set(number, { unit, fingerprints: undefined }); // Whoever is told by itself has none.
    const fingerprints = putTogether(
      bytes,
      told.bases.map((base) => this.fingerprintsOf(base, unit)),
      length,
    );
    this.#made.set(number, { unit, fingerprints });
    return fingerprints;
  }
}

/** One after the other in memory that other threads see: sending them there copies nothing. */
function inSharedMemory(
  chunks: readonly FingerprintRequest[],
  fingerprints: readonly (Uint8Array | undefined)[],
): (FoundFingerprints | undefined)[] {
  const length = fingerprints.reduce(
    (sum, own) => sum + (own === undefined ? 0 : ADDRESS_LENGTH + own.length),
    0,
  );
  const memory = new Uint8Array(new SharedArrayBuffer(length));
  let at = 0;
  const keep = (bytes: Uint8Array): Uint8Array => {
    memory.set(bytes, at);
    at += bytes.length;
    return memory.subarray(at - bytes.length, at);
  };
  return fingerprints.map((own, i) => {
    if (own === undefined) return undefined;
    const { address } = chunks[i] as FingerprintRequest;
    return { address: keep(address) as Address, fingerprints: keep(own) };
  });
}

function putTogether(
  told: Uint8Array,
  bases: readonly (Uint8Array | undefined)[],
  length: number,
): Uint8Array | undefined {
  const known = bases.filter((base) => base !== undefined);
  if (known.length < bases.length) return undefined;
  try {
    return copyFingerprints(told, known.length === 1 ? (known[0] as Uint8Array) : concatBytes(known), length);
  } catch (error) {
    if (error instanceof VecsnapError) return undefined;
    throw error;
  }
}
