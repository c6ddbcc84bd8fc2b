/** Text that is safe and legible on a terminal: no control characters, cut to a width, numbers and times for people. */
import prettyBytes from 'pretty-bytes';

/**
 * Control characters, line and paragraph separators, marks that turn the direction of writing, zero-width characters that
 * hide, and lone surrogates.
 */
const UNPRINTABLE =
  // eslint-disable-next-line no-control-regex
  /[\u0000-\u001f\u007f-\u009f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ud800-\udfff]/gu;

const SHORT_ESCAPES: Readonly<Record<string, string>> = { '\n': '\\n', '\r': '\\r', '\t': '\\t' };

/** The text with everything that could disturb a terminal written as an escape such as `\n` or `\u{1b}`. */
export function printable(text: string): string {
  return text.replace(
    UNPRINTABLE,
    (character) => SHORT_ESCAPES[character] ?? `\\u{${(character.codePointAt(0) as number).toString(16)}}`,
  );
}

/** JSON in which everything that could disturb a terminal is an escape: the same value to a program. */
export function printableJson(value: unknown, indent?: number): string {
  const text = JSON.stringify(
    value,
    (_, one: unknown) => (typeof one === 'bigint' ? String(one) : one),
    indent,
  );
  // Those below U+0020 JSON escapes by itself, and others stand in texts alone; line breaks are of its layout.
  return text.replace(UNPRINTABLE, (character) => (character === '\n' ? character : jsonEscape(character)));
}

function jsonEscape(character: string): string {
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`;
}

/** Characters that take two columns: East Asian wide and full-width forms, and emoji. */
const WIDE =
  /[\u1100-\u115f\u2e80-\u303e\u3041-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6\u{1f300}-\u{1f64f}\u{1f680}-\u{1f6ff}\u{1f900}-\u{1f9ff}\u{20000}-\u{3fffd}]/u;
/** Characters that take none: what combines with the one before. */
const ZERO = /\p{Mn}|\p{Me}|\u200d|[\ufe00-\ufe0f]/u;
const ASCII = /^[\x20-\x7e]*$/;

/** Whether text is printable and each of its characters takes one column. */
export function isPlain(text: string): boolean {
  return ASCII.test(text);
}

/** The columns that printable text takes on a terminal. */
export function displayWidth(text: string): number {
  if (isPlain(text)) return text.length;
  let width = 0;
  for (const character of text) width += characterWidth(character);
  return width;
}

function characterWidth(character: string): number {
  if (ZERO.test(character)) return 0;
  return WIDE.test(character) ? 2 : 1;
}

/** Printable text cut to at most `width` columns, with an ellipsis where something is left out. */
export function cutToWidth(text: string, width: number): string {
  if (text.length <= width && isPlain(text)) return text;
  let used = 0;
  let fits = ''; // What fits together with an ellipsis.
  for (const character of text) {
    used += characterWidth(character);
    if (used > width) return `${fits}…`;
    if (used < width) fits += character;
  }
  return text;
}

/** A name, a path or any other text of a person, for one line: printable and not too long. */
export function shown(text: string, width = 200): string {
  if (text.length <= width && isPlain(text)) return text;
  // What is far beyond the width is cut before the work begins: names may have many thousands of characters.
  return cutToWidth(printable(text.slice(0, width * 4 + 4)), width);
}

/** Bytes for people: `3.06 MB`. */
export function bytesText(bytes: number): string {
  return prettyBytes(bytes);
}

const DIGITS = /\B(?=(\d{3})+$)/g;

/** A whole number with its digits in groups: `1,234,567`. */
export function countText(count: number | bigint): string {
  return String(count).replace(DIGITS, ',');
}

/** A count with its noun: `1 record`, `2 records`. */
export function plural(count: number, noun: string, several = `${noun}s`): string {
  return `${countText(count)} ${count === 1 ? noun : several}`;
}

/** A part of a whole: `98.9 %`. */
export function percentText(part: number, whole: number): string {
  return whole === 0 ? '0 %' : `${((100 * part) / whole).toFixed(1)} %`;
}

/** An ISO time as `2025-01-31 12:00:00`, in UTC. */
export function timeText(iso: string): string {
  return iso.slice(0, 19).replace('T', ' ');
}

const SHORT_ID = 8;

/** The end of an id, which is enough to name a snapshot. */
export function shortId(id: string): string {
  return id.slice(-SHORT_ID);
}

/** Entries of a tree of files. Only of a tree can there be several. */
export function filesText(count: number): string {
  return plural(count, 'file', 'files and folders');
}

/** What a snapshot has: records, files or both. */
export function contentText({
  records,
  files,
}: {
  readonly records: number;
  readonly files: number;
}): string {
  const counts = [
    ...(records > 0 || files === 0 ? [plural(records, 'record')] : []),
    ...(files > 0 ? [filesText(files)] : []),
  ];
  return counts.join(', ');
}
