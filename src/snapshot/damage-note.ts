/**
 * Notes of damage: what a repair found that could not be mended. The blob `damage/<milliseconds>-<random>` with the greatest name
 * counts; a repair that finds anything else writes a new one, and then removes the older ones (docs/ordering.md, P2).
 *
 * A note can be lost without harm: the next repair finds the same again.
 */
import { type Address, ADDRESS_LENGTH, toAddress } from '../core/address.js';
import { concatBytes, toHex } from '../core/bytes.js';
import { asMap, type Canonical, quoteValue } from '../core/canonical.js';
import { encodeCanonical } from '../core/canonical-encoding.js';
import { DigestTable } from '../core/digest-table.js';
import { isVecsnapError, VecsnapError } from '../core/errors.js';
import type { Sha256 } from '../core/platform.js';
import { DAMAGE_PREFIX, type KnownDamage } from '../cas/known-damage.js';
import type { Environment } from './environment.js';
import { seal } from './seal.js';
import { unseal } from './sealed-blob.js';

/** A copy of a chunk whose bytes are wrong. */
export interface BadCopy {
  readonly pack: string;
  readonly offset: number;
  readonly address: Address;
}

/** A snapshot that lacks chunks. */
export interface MarkedSnapshot {
  readonly id: string;
  /** Chunks that are known to be lost. Below a lost node there may be more. */
  readonly lostChunks: number;
}

/** See the head of this file. */
export interface DamageNote {
  /** When the damage was found, in milliseconds since 1970. */
  readonly notedAt: number;
  /** Copies that must not count as stored. */
  readonly copies: readonly BadCopy[];
  /** Chunks that snapshots need and that cannot be had. */
  readonly lost: DigestTable;
  readonly snapshots: readonly MarkedSnapshot[];
  /** Packs without a readable directory of which all that could be found was written to others. */
  readonly emptied: readonly string[];
}

/** All notes that stand in a store. */
export interface FoundNotes {
  /** The newest that can be read. */
  readonly note: DamageNote | undefined;
  readonly blobs: readonly string[];
  /** Those that cannot be read. */
  readonly problems: readonly { readonly blob: string; readonly error: VecsnapError }[];
}

const MAGIC = 'vsndmge';
const VERSION = 1;
/** The last millisecond that a calendar has. */
const LATEST = 8.64e15;
/** Digits of the time in a name, so that names sort by time. */
const TIME_DIGITS = 15;

/** The notes of a repository. */
export async function loadNotes({
  blobs,
  sha256,
}: Pick<Environment, 'blobs' | 'sha256'>): Promise<FoundNotes> {
  const names: string[] = [];
  for await (const { name } of blobs.list(DAMAGE_PREFIX)) names.push(name);
  const problems: { blob: string; error: VecsnapError }[] = [];
  for (const name of names.toReversed()) {
    try {
      return { note: decodeNote(await blobs.get(name), name, sha256), blobs: names, problems };
    } catch (error) {
      if (isVecsnapError(error, 'NOTE_DAMAGED', 'REPOSITORY_NEWER')) problems.push({ blob: name, error });
      else if (!isVecsnapError(error, 'BLOB_MISSING')) throw error; // A newer one has taken its place.
    }
  }
  return { note: undefined, blobs: names, problems };
}

/** Writes a note, or none when there is nothing to be noted, and removes those before (docs/ordering.md, P2). */
export async function replaceNotes(
  { blobs, sha256, random }: Pick<Environment, 'blobs' | 'sha256' | 'random'>,
  { blobs: old, note: before }: FoundNotes,
  note: Omit<DamageNote, 'notedAt'>,
  now: number,
): Promise<void> {
  if (before !== undefined && isSame(before, note)) return;
  if (!isEmpty(note)) {
    const notedAt = Math.max(Math.floor(now), ...old.map((name) => timeOf(name) + 1));
    const name = `${nameBeginning(notedAt)}${toHex(random(8))}`;
    await blobs.put(name, encodeNote({ ...note, notedAt }, sha256));
  }
  for (const name of old) await blobs.delete(name);
}

/**
 * What the index is to leave out; undefined when that is nothing. Packs that were emptied have no directories, so an index that is built
 * leaves them out by itself; but one from before the repair must not go on telling of them.
 */
export function knownDamage({ copies, emptied }: DamageNote, sha256: Sha256): KnownDamage | undefined {
  if (copies.length + emptied.length === 0) return undefined;
  const leftOut = emptied.length === 0 ? copiesByPack(copies) : [copiesByPack(copies), [...emptied]];
  const offsets = new Map<string, Set<number>>();
  const addresses = new DigestTable();
  for (const { pack, offset, address } of copies) {
    const known = offsets.get(pack) ?? new Set();
    offsets.set(pack, known.add(offset));
    addresses.add(address);
  }
  return {
    tag: `${DAMAGE_PREFIX}${toHex(sha256(encodeCanonical(leftOut))).slice(0, 32)}`,
    isBad: (pack, offset) => offsets.get(pack)?.has(offset) === true,
    concerns: (address) => addresses.has(address),
  };
}

function isEmpty({ copies, lost, snapshots, emptied }: Omit<DamageNote, 'notedAt'>): boolean {
  return copies.length + lost.size + snapshots.length + emptied.length === 0;
}

function isSame(a: Omit<DamageNote, 'notedAt'>, b: Omit<DamageNote, 'notedAt'>): boolean {
  return toHex(encodeCanonical(contentOf(a))) === toHex(encodeCanonical(contentOf(b)));
}

/** What the name of the note that these bytes are begins with; undefined for another blob. */
export function noteNameIn(bytes: Uint8Array, sha256: Sha256): string | undefined {
  const unsealed = unseal(MAGIC, bytes, sha256);
  const notedAt = 'flaw' in unsealed ? undefined : asMap(unsealed.value)?.['notedAt'];
  const isTime =
    typeof notedAt === 'number' && Number.isSafeInteger(notedAt) && notedAt >= 0 && notedAt <= LATEST;
  return isTime ? nameBeginning(notedAt) : undefined;
}

function nameBeginning(notedAt: number): string {
  return `${DAMAGE_PREFIX}${String(notedAt).padStart(TIME_DIGITS, '0')}-`;
}

/** Milliseconds in the name of a note; below all others for a name that is none of ours. */
function timeOf(name: string): number {
  const digits = name.slice(DAMAGE_PREFIX.length).split('-')[0] as string;
  return /^\d{1,15}$/.test(digits) ? Number(digits) : -1;
}

function encodeNote(note: DamageNote, sha256: Sha256): Uint8Array {
  return seal(MAGIC, { version: VERSION, notedAt: note.notedAt, ...contentOf(note) }, sha256);
}

function contentOf({ copies, lost, snapshots, emptied }: Omit<DamageNote, 'notedAt'>) {
  return {
    copies: copiesByPack(copies),
    lost: concatBytes([...lost]),
    snapshots: snapshots.map(({ id, lostChunks }) => [id, lostChunks]),
    emptied: [...emptied],
  } satisfies { readonly [key: string]: Canonical };
}

/** For each pack `[name, [offset, address, offset, address, …]]`, in order. */
function copiesByPack(copies: readonly BadCopy[]): (readonly [string, Canonical[]])[] {
  const packs = new Map<string, BadCopy[]>();
  for (const copy of copies) {
    const some = packs.get(copy.pack);
    if (some === undefined) packs.set(copy.pack, [copy]);
    else some.push(copy);
  }
  return [...packs]
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(([pack, some]) => [
      pack,
      some
        .toSorted((a, b) => a.offset - b.offset)
        .flatMap(({ offset, address }): Canonical[] => [offset, address as Uint8Array]),
    ]);
}

/** @throws VecsnapError NOTE_DAMAGED, REPOSITORY_NEWER. */
function decodeNote(bytes: Uint8Array, blob: string, sha256: Sha256): DamageNote {
  const unsealed = unseal(MAGIC, bytes, sha256);
  if ('flaw' in unsealed) throw noteDamaged(blob);
  const { version, notedAt, copies, lost, snapshots, emptied } = unsealed.value as {
    readonly [key: string]: Canonical;
  };
  if (version !== VERSION) throw newerNote(blob, version);
  try {
    return {
      notedAt: wholeNumber(notedAt, LATEST),
      copies: list(copies).flatMap(decodeCopies),
      lost: decodeAddresses(lost),
      snapshots: list(snapshots).map(decodeMark),
      emptied: list(emptied).map(text),
    };
  } catch (cause) {
    if (cause instanceof TypeError) throw noteDamaged(blob, cause);
    throw cause;
  }
}

function decodeCopies(value: Canonical): BadCopy[] {
  const [pack, places] = list(value);
  const parts = list(places);
  return Array.from({ length: parts.length / 2 }, (_, i) => ({
    pack: text(pack),
    offset: wholeNumber(parts[i * 2]),
    address: toAddress(bytesOf(parts[i * 2 + 1], ADDRESS_LENGTH)),
  }));
}

function decodeMark(value: Canonical): MarkedSnapshot {
  const [id, lostChunks] = list(value);
  return { id: text(id), lostChunks: wholeNumber(lostChunks) };
}

function decodeAddresses(value: Canonical | undefined): DigestTable {
  const table = new DigestTable();
  const joined = bytesOf(value);
  for (let at = 0; at < joined.length; at += ADDRESS_LENGTH)
    table.add(toAddress(joined.subarray(at, at + ADDRESS_LENGTH)));
  return table;
}

function list(value: Canonical | undefined): readonly Canonical[] {
  if (!Array.isArray(value)) throw new TypeError('not a list');
  return value as readonly Canonical[];
}

function text(value: Canonical | undefined): string {
  if (typeof value !== 'string') throw new TypeError('not a text');
  return value;
}

function wholeNumber(value: Canonical | undefined, most = Number.MAX_SAFE_INTEGER): number {
  if (!Number.isSafeInteger(value) || (value as number) < 0 || (value as number) > most)
    throw new TypeError('not a whole number');
  return value as number;
}

function bytesOf(value: Canonical | undefined, length?: number): Uint8Array {
  const isRight = value instanceof Uint8Array && value.length % ADDRESS_LENGTH === 0;
  if (!isRight || (length !== undefined && value.length !== length)) throw new TypeError('not as many bytes');
  return value;
}

function noteDamaged(blob: string, cause?: unknown): VecsnapError {
  return new VecsnapError('NOTE_DAMAGED', 'The note of a repair is damaged.', {
    place: blob,
    remedy: 'Run repair: it finds again what the note said, and writes a new one.',
    cause,
  });
}

function newerNote(blob: string, version: Canonical | undefined): VecsnapError {
  return new VecsnapError(
    'REPOSITORY_NEWER',
    `The note of a repair has format ${quoteValue(version)}; this vecsnap reads ${VERSION}.`,
    { place: blob, remedy: 'Install a newer version of vecsnap.' },
  );
}
