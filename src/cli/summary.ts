/** What is said about a snapshot that was just taken. */
import type { Snapshot } from '../index.js';
import { bytesText, contentText, countText, percentText, shortId, shown } from './text.js';

/** Some lines that end without a newline. */
export function summaryText(snapshot: Snapshot): string {
  const { id, name, collection, baseId, vectorCount, fileCount, logicalBytes, addedBytes } = snapshot;
  const kind = baseId === null ? 'full' : `incremental on ${shortId(baseId)}`;
  const head = `Snapshot ${shortId(id)} "${shown(name)}" of ${shown(collection)} (${kind})`;
  return [
    head,
    `  content  ${contentText({ records: vectorCount, files: fileCount })}, ${bytesText(logicalBytes)}`,
    `  added    ${bytesText(addedBytes)}${savedText(logicalBytes, addedBytes)}`,
    `  id       ${id}`,
    ...remarks(snapshot),
  ].join('\n');
}

function savedText(logicalBytes: number, addedBytes: number): string {
  const saved = logicalBytes - addedBytes;
  if (saved <= 0) return '';
  return ` (${bytesText(saved)}, ${percentText(saved, logicalBytes)}, was there already or compressed away)`;
}

function remarks({ notes, nonFiniteCount }: Snapshot): string[] {
  const lines = notes.map((note) => `  note     ${shown(note, 1000)}`);
  if (nonFiniteCount === 0) return lines;
  const what = nonFiniteCount === 1 ? 'number is' : 'numbers are';
  return [...lines, `  note     ${countText(nonFiniteCount)} ${what} NaN or infinite; kept bit for bit`];
}
