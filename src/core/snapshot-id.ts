/** Ids of snapshots: ULIDs in lower case (https://github.com/ulid/spec), which sort by the times of which they are. */
import type { RandomBytes } from './platform.js';

const ALPHABET = '0123456789abcdefghjkmnpqrstvwxyz';
const LETTERS = 26;
/** Letters that tell the time; the others are chance. */
const TIME_LETTERS = 10;
const FORM = /^[0-7][0-9a-hjkmnp-tv-z]{25}$/;

/** A new id for a snapshot of the time `now`, in milliseconds since 1970. */
export function newSnapshotId(now: number, random: RandomBytes): string {
  let value = BigInt(now);
  for (const byte of random(10)) value = (value << 8n) | BigInt(byte);
  let id = '';
  for (let i = 0; i < LETTERS; i++) {
    id = ALPHABET[Number(value & 31n)] + id;
    value >>= 5n;
  }
  return id;
}

/** Whether `text` has the form of a whole snapshot id. */
export function isSnapshotId(text: string): boolean {
  return FORM.test(text);
}

/** The time in an id, in milliseconds since 1970; NaN for what has not the form of one. */
export function timeOfId(id: string): number {
  if (!isSnapshotId(id)) return NaN;
  let time = 0;
  for (const letter of id.slice(0, TIME_LETTERS)) time = time * 32 + ALPHABET.indexOf(letter);
  return time;
}
