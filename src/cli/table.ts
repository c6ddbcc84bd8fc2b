/** Tables in plain text. Written for speed: a list of thousands of snapshots must come at once. */
import { cutToWidth, displayWidth, isPlain, shown } from './text.js';

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
  const heads = columns.map(({ head }) => head);
  const lines = [
    { cells: heads, widths: heads.map(displayWidth) },
    ...rows.map((row) => lineOf(row, columns.length)),
  ];
  const natural = columns.map((_, i) =>
    lines.reduce((most, { widths }) => Math.max(most, widths[i] as number), 0),
  );
  const widths = fit(columns, natural, width);
  return lines.map((line) => lineText(columns, line, widths)).join('\n');
}

/** The cells of a line and the columns of the terminal that each takes, which is found out once. */
interface Line {
  readonly cells: readonly string[];
  readonly widths: readonly number[];
}

/** Most lines have nothing in them that would have to be looked at cell by cell. */
function lineOf(row: readonly string[], columnCount: number): Line {
  const cells = row.slice(0, columnCount);
  const widths = cells.map(({ length }) => length);
  if (isPlain(cells.join('')) && Math.max(...widths) <= WIDEST_CELL) return { cells, widths };
  const printed = cells.map((cell) => shown(cell, WIDEST_CELL));
  return { cells: printed, widths: printed.map(displayWidth) };
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

function lineText(columns: readonly Column[], line: Line, widths: readonly number[]): string {
  const cells = columns.map(({ align }, i) => {
    const width = widths[i] as number;
    const isTooWide = (line.widths[i] as number) > width;
    const cell = isTooWide ? cutToWidth(line.cells[i] as string, width) : (line.cells[i] as string);
    const used = isTooWide ? displayWidth(cell) : (line.widths[i] as number);
    const length = cell.length + width - used;
    return align === 'right' ? cell.padStart(length) : cell.padEnd(length);
  });
  return cells.join(GAP).trimEnd();
}

/** Pairs of a label and a text below each other. */
export function pairsText(pairs: readonly (readonly [label: string, text: string])[]): string {
  const width = pairs.reduce((most, [label]) => Math.max(most, label.length), 0);
  return pairs.map(([label, text]) => `${label.padEnd(width)}  ${text}`.trimEnd()).join('\n');
}
