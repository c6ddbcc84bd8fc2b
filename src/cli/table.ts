/** Tables in plain text. Written for speed: a list of thousands of snapshots must come at once. */
import { cutToWidth, displayWidth, shown } from './text.js';

/** One column. */
export interface Column {
  readonly head: string;
  readonly align?: 'left' | 'right';
  /** May be cut, to so many columns at least, when the table is wider than the terminal. */
  readonly shrinksTo?: number;
}

const GAP = '  ';
/** The width where there is no terminal. */
const WIDTH_OF_FILES = 160;
/** No cell is wider, however wide the terminal. */
const WIDEST_CELL = 80;

/** The columns that there are to print in. */
export function outputWidth(): number {
  const { columns } = process.stdout; // Some terminals say 0.
  return columns > 0 ? columns : WIDTH_OF_FILES;
}

/** The lines of a table. Cells are made printable and cut so that a line fits into `width`; those beyond the columns are left out. */
export function tableText(
  columns: readonly Column[],
  rows: readonly (readonly string[])[],
  width: number = outputWidth(),
): string {
  const cells = [
    columns.map(({ head }) => head),
    ...rows.map((row) => columns.map((_, i) => shown(row[i] as string, WIDEST_CELL))),
  ];
  const widths = fit(columns, naturalWidths(columns, cells), width);
  return cells.map((row) => lineText(columns, row, widths)).join('\n');
}

function naturalWidths(columns: readonly Column[], cells: readonly (readonly string[])[]): number[] {
  return columns.map((_, i) =>
    cells.reduce((most, row) => Math.max(most, displayWidth(row[i] as string)), 0),
  );
}

/** Takes columns away from the widest that may shrink, one at a time, until the line fits. */
function fit(columns: readonly Column[], natural: readonly number[], width: number): number[] {
  const widths = [...natural];
  let excess = widths.reduce((sum, one) => sum + one, GAP.length * (widths.length - 1)) - width;
  for (; excess > 0; excess--) {
    const widest = columns.reduce((best, { shrinksTo = Infinity }, i) => {
      if ((widths[i] as number) <= shrinksTo) return best;
      return best === -1 || (widths[i] as number) > (widths[best] as number) ? i : best;
    }, -1);
    if (widest === -1) break;
    (widths[widest] as number)--;
  }
  return widths;
}

function lineText(columns: readonly Column[], row: readonly string[], widths: readonly number[]): string {
  const cells = row.map((cell, i) => {
    const width = widths[i] as number;
    const text = cutToWidth(cell, width);
    const space = ' '.repeat(Math.max(0, width - displayWidth(text)));
    return columns[i]?.align === 'right' ? space + text : text + space;
  });
  return cells.join(GAP).trimEnd();
}

/** Pairs of a label and a text below each other. */
export function pairsText(pairs: readonly (readonly [label: string, text: string])[]): string {
  const width = pairs.reduce((most, [label]) => Math.max(most, label.length), 0);
  return pairs.map(([label, text]) => `${label.padEnd(width)}  ${text}`.trimEnd()).join('\n');
}
