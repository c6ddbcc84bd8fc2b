/**
 * The journal of changes: a file to which the ids of records are appended before they are written to a database, and beside it a
 * file that names the snapshots from which on they are counted.
 *
 * Places in the journal are counted from its first byte ever, so they stay right when what no snapshot needs any more is cut off at
 * the front. Only the tracker of a database writes the journal; only who takes snapshots writes the file beside it; so the
 * two may be different processes. docs/ordering.md (J) says what comes before what, docs/format.md what the bytes are.
 *
 * journal: magic `vsnchng1`, 16 bytes of chance, u64 the place at which it begins, 8 bytes of SHA-256 of these; then frames.
 * frame: magic `vsnf`, u32 length of the body, 8 bytes of SHA-256 of the body, the body: canonical msgpack `[kind, ids, open]`.
 * A frame that is not whole at the end was never acknowledged, and is passed over.
 */
import { createHash, randomBytes } from 'node:crypto';
import {
  type Canonical,
  concatBytes,
  decodeCanonical,
  encodeCanonical,
  equalBytes,
  isVecsnapError,
  toHex,
  utf8,
  VecsnapError,
  viewOf,
} from '../core/index.js';
import { readFailure, readRegular, systemCode } from './local-file.js';

/** What a frame says: a tracker began its work, something is about to be written, or an earlier write is over. */
export type FrameKind = 'opened' | 'write' | 'settled';

/** One frame of a journal. */
export interface Frame {
  readonly kind: FrameKind;
  /** The ids that are about to be written, numbers as decimal text; undefined when nobody knows. None in other kinds. */
  readonly ids: readonly string[] | undefined;
  /** The place of the first write that may not be over yet, once this frame is there; undefined when all are. */
  readonly open: number | undefined;
}

/** A frame and where it stands. */
export interface PlacedFrame extends Frame {
  readonly place: number;
}

/** A journal as it was read. */
export interface Journal {
  /** Another one for every journal that was begun anew. */
  readonly id: string;
  /** The places of its first frame and after its last one. */
  readonly start: number;
  readonly end: number;
  readonly frames: readonly PlacedFrame[];
  /** Whether there are frames after bytes that are none: then some are lost. */
  readonly isDamaged: boolean;
}

/** A snapshot, and the place in a journal from which on changes are not in it. */
export interface Mark {
  readonly snapshot: string;
  readonly journal: string;
  readonly place: number;
  /** Commits of the database at that time, and which it was, where it tells. */
  readonly commits: number | undefined;
  readonly identity: string | undefined;
}

const MAGIC = utf8('vsnchng1');
const FRAME_MAGIC = utf8('vsnf');
const ID_BYTES = 16;
const CHECK_BYTES = 8;
export const HEADER_BYTES = MAGIC.length + ID_BYTES + 8 + CHECK_BYTES;
const FRAME_HEAD_BYTES = FRAME_MAGIC.length + 4 + CHECK_BYTES;
const KINDS: readonly FrameKind[] = ['opened', 'write', 'settled'];

/** Snapshots that are remembered; those of several repositories, or of several bases, can be continued. */
const MARKS_KEPT = 8;

/** The bytes of a frame. */
export function encodeFrame({ kind, ids, open }: Frame): Uint8Array {
  const body = encodeCanonical([KINDS.indexOf(kind), ids ?? null, open ?? null]);
  const length = new Uint8Array(4);
  viewOf(length).setUint32(0, body.length, true);
  return concatBytes([FRAME_MAGIC, length, checkOf(body), body]);
}

/** The bytes with which a journal begins. @param id hexadecimal. */
export function encodeHeader(id: string, start: number): Uint8Array {
  const place = new Uint8Array(8);
  viewOf(place).setBigUint64(0, BigInt(start), true);
  const head = concatBytes([MAGIC, Buffer.from(id, 'hex'), place]);
  return concatBytes([head, checkOf(head)]);
}

export function newJournalId(): string {
  return toHex(randomBytes(ID_BYTES));
}

/**
 * The journal at `path`; undefined when there is nothing, or something that is no journal.
 * @throws VecsnapError SOURCE_FAILED.
 */
export async function readJournal(path: string): Promise<Journal | undefined> {
  const bytes = await readIfThere(path);
  return bytes && decodeJournal(bytes);
}

/**
 * The same for who writes it, who must begin none in place of somebody's file, which a slip of the hand may name.
 * @throws VecsnapError JOURNAL_FAILED for a file that does not begin as journals do; SOURCE_FAILED.
 */
export async function readOwnJournal(path: string): Promise<Journal | undefined> {
  const bytes = await readIfThere(path);
  if (bytes === undefined || bytes.length === 0) return undefined;
  if (equalBytes(bytes.subarray(0, MAGIC.length), MAGIC)) return decodeJournal(bytes);
  throw new VecsnapError('JOURNAL_FAILED', 'The file is no journal of changes, and was left as it is.', {
    place: path,
    remedy:
      'Nothing was written to the database. Give the journal a name of its own, or move the file away if it was a journal and is damaged.',
  });
}

function decodeJournal(bytes: Uint8Array): Journal | undefined {
  const head = bytes.subarray(0, HEADER_BYTES - CHECK_BYTES);
  const isSound =
    bytes.length >= HEADER_BYTES &&
    equalBytes(head.subarray(0, MAGIC.length), MAGIC) &&
    equalBytes(bytes.subarray(head.length, HEADER_BYTES), checkOf(head));
  if (!isSound) return undefined;
  const id = toHex(head.subarray(MAGIC.length, MAGIC.length + ID_BYTES));
  const start = Number(viewOf(head).getBigUint64(MAGIC.length + ID_BYTES, true));
  if (!Number.isSafeInteger(start + bytes.length)) return undefined;
  const shift = start - HEADER_BYTES;
  const frames: PlacedFrame[] = [];
  let at = HEADER_BYTES;
  for (let found = frameAt(bytes, at); found !== undefined; found = frameAt(bytes, at)) {
    frames.push({ ...found.frame, place: at + shift });
    at = found.end;
  }
  return { id, start, end: at + shift, frames, isDamaged: hasFrameAfter(bytes, at) };
}

function frameAt(bytes: Uint8Array, at: number): { frame: Frame; end: number } | undefined {
  const bodyAt = at + FRAME_HEAD_BYTES;
  if (bodyAt > bytes.length || !equalBytes(bytes.subarray(at, at + FRAME_MAGIC.length), FRAME_MAGIC))
    return undefined;
  const end = bodyAt + viewOf(bytes).getUint32(at + FRAME_MAGIC.length, true);
  if (end > bytes.length) return undefined;
  const body = bytes.subarray(bodyAt, end);
  if (!equalBytes(checkOf(body), bytes.subarray(bodyAt - CHECK_BYTES, bodyAt))) return undefined;
  const frame = decodeFrame(body);
  return frame && { frame, end };
}

function decodeFrame(body: Uint8Array): Frame | undefined {
  const [kind, ids = null, open = null, ...more] = listOrNothing(body);
  const name = typeof kind === 'number' ? KINDS[kind] : undefined;
  const isSound = (ids === null || isTexts(ids)) && (open === null || isPlace(open)) && more.length === 0;
  if (name === undefined || !isSound) return undefined;
  return { kind: name, ids: ids ?? undefined, open: open ?? undefined };
}

/** The items of an array; none for anything else. */
function listOrNothing(bytes: Uint8Array): readonly Canonical[] {
  try {
    const value = decodeCanonical(bytes);
    return Array.isArray(value) ? (value as readonly Canonical[]) : [];
  } catch (error) {
    if (isVecsnapError(error, 'ENCODING_INVALID')) return [];
    throw error;
  }
}

function isTexts(value: Canonical): value is readonly string[] {
  return Array.isArray(value) && value.every((item) => typeof item === 'string');
}

function isPlace(value: Canonical | undefined): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

/** So many times the bytes of a journal are hashed at most to find out whether frames follow after a torn one. */
const MOST_LOOKS = 4;

/**
 * A write that was torn leaves nothing whole behind it, unless it was not the last that was acknowledged. Where it takes too long to
 * tell, because what follows is made to look like frames, there are some.
 */
function hasFrameAfter(bytes: Uint8Array, from: number): boolean {
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  let left = MOST_LOOKS * bytes.length;
  for (let at = text.indexOf(FRAME_MAGIC, from); at >= 0; at = text.indexOf(FRAME_MAGIC, at + 1)) {
    left -= bodyLengthAt(bytes, at);
    if (left < 0 || frameAt(bytes, at) !== undefined) return true;
  }
  return false;
}

/** Bytes that a frame at this place would have to hash: none when it ends after the journal. */
function bodyLengthAt(bytes: Uint8Array, at: number): number {
  const bodyAt = at + FRAME_HEAD_BYTES;
  if (bodyAt > bytes.length) return 0;
  const length = viewOf(bytes).getUint32(at + FRAME_MAGIC.length, true);
  return bodyAt + length > bytes.length ? 0 : length;
}

function checkOf(bytes: Uint8Array): Uint8Array {
  return createHash('sha256').update(bytes).digest().subarray(0, CHECK_BYTES);
}

/** The place up to which every write is over: what a snapshot of the database as it is from now on has in it, at least. */
export function settledPlace({ frames, end }: Journal): number {
  return frames.at(-1)?.open ?? end;
}

/** The snapshots that the journal at `path` is followed from, the newest first. None when that cannot be told. */
export async function readMarks(path: string): Promise<readonly Mark[]> {
  const bytes = await readIfThere(marksPath(path));
  if (bytes === undefined || bytes.length < CHECK_BYTES) return [];
  const body = bytes.subarray(CHECK_BYTES);
  if (!equalBytes(checkOf(body), bytes.subarray(0, CHECK_BYTES))) return [];
  return listOrNothing(body).flatMap((item) => {
    const mark = toMark(item);
    return mark === undefined ? [] : [mark];
  });
}

function toMark(item: Canonical): Mark | undefined {
  if (!Array.isArray(item) || item.length !== 5) return undefined;
  const [snapshot, journal, place, commits = null, identity = null] = item as readonly Canonical[];
  if (typeof snapshot !== 'string' || typeof journal !== 'string' || !isPlace(place)) return undefined;
  if ((commits !== null && !isPlace(commits)) || (identity !== null && typeof identity !== 'string'))
    return undefined;
  return { snapshot, journal, place, commits: commits ?? undefined, identity: identity ?? undefined };
}

/**
 * Remembers one more snapshot, and forgets those of other journals and the oldest. Atomic: a crash leaves the marks from before
 * (docs/ordering.md, J3).
 * @throws VecsnapError TARGET_FAILED, STORE_FULL.
 */
export async function addMark(path: string, mark: Mark): Promise<void> {
  const before = (await readMarks(path)).filter(
    ({ journal, snapshot }) => journal === mark.journal && snapshot !== mark.snapshot,
  );
  const marks = [mark, ...before].slice(0, MARKS_KEPT);
  const body = encodeCanonical(
    marks.map(({ snapshot, journal, place, commits, identity }) => [
      snapshot,
      journal,
      place,
      commits ?? null,
      identity ?? null,
    ]),
  );
  await writeWhole(marksPath(path), concatBytes([checkOf(body), body]));
}

/** Where the marks of a journal stand. */
function marksPath(path: string): string {
  return `${path}.snapshots`;
}

/** Puts a file in the place of another, durably: there is always the one or the other. */
export async function writeWhole(path: string, bytes: Uint8Array): Promise<void> {
  const [{ FileWriter }, { replaceAtomically }] = await Promise.all([
    import('./file-writer.js'),
    import('./replace.js'),
  ]);
  await replaceAtomically(path, { overwrite: true }, async (temporary) => {
    await FileWriter.run(temporary, { mode: 0o600 }, (writer) => writer.write(bytes));
    return {};
  });
}

async function readIfThere(path: string): Promise<Uint8Array | undefined> {
  try {
    return await readRegular(path);
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return undefined;
    throw readFailure(path, error);
  }
}

/** A journal that cannot be written. */
export function journalFailed(path: string, cause: unknown): VecsnapError {
  if (isVecsnapError(cause, 'JOURNAL_FAILED')) return cause;
  const what = cause instanceof Error ? cause.message : String(cause);
  return new VecsnapError('JOURNAL_FAILED', `The journal of changes could not be written: ${what}.`, {
    place: path,
    remedy:
      'Nothing was written to the database. Check that there is space and that the file can be written, and write again.',
    cause,
  });
}
