/** The codes of errors: the table, docs/errors.md and what the code raises say the same. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { ERROR_CODES, isVecsnapError, throwIfAborted, VecsnapError } from 'vecsnap/core';
import { describe, expect, it } from 'vitest';

const ROOT = join(import.meta.dirname, '..');

/** Errors without a remedy, by file, and why they need none. */
const WITHOUT_REMEDY: Readonly<Record<string, string>> = {
  'src/cas/codec.ts': 'the caller names the chunk and says what to do',
  'src/cas/delta.ts': 'the caller names the chunk and says what to do',
  'src/cas/huffman.ts': 'the caller names the chunk and says what to do',
  'src/cas/pieces.ts': 'the caller names the chunk and says what to do',
  'src/cas/planes.ts': 'the caller names the chunk and says what to do',
  'src/core/address.ts': 'addresses of another length come from a mistake of the caller',
  'src/core/binary.ts': 'the caller names the pack or the index and says what to do',
  'src/snapshot/verify.ts': 'a report shows codes and messages; docs/errors.md says what to do about a code',
};

/** Places where vecsnap errors are made: the file and the text of the arguments. */
function raises(): { file: string; text: string; source: string }[] {
  const names = readdirSync(join(ROOT, 'src'), { recursive: true, encoding: 'utf8' });
  return names
    .filter((name) => name.endsWith('.ts'))
    .flatMap((name) => {
      const source = readFileSync(join(ROOT, 'src', name), 'utf8');
      return source
        .split('new VecsnapError(')
        .slice(1)
        .map((rest) => ({ file: `src/${name}`, text: argumentsIn(rest), source }));
    });
}

/** The text up to the bracket that closes the one that is open. */
function argumentsIn(text: string): string {
  let [depth, quote] = [1, ''];
  for (let i = 0; i < text.length; i++) {
    const char = text[i] as string;
    if (quote !== '') {
      if (char === '\\') i++;
      else if (char === quote) quote = '';
    } else if (`'"\``.includes(char)) quote = char;
    else if (char === '(') depth++;
    else if (char === ')' && --depth === 0) return text.slice(0, i);
  }
  throw new Error(`no end: ${text.slice(0, 80)}`);
}

/** The rows of the table on the page: code, meaning, when, what to do, exit code. */
function rowsOnPage(): string[][] {
  const page = readFileSync(join(ROOT, 'docs/errors.md'), 'utf8');
  return [...page.matchAll(/^\| `([A-Z_]+)` .*\|$/gm)].map(([row]) =>
    row
      .slice(1, -1)
      .split(' | ')
      .map((cell) => cell.trim()),
  );
}

describe('the codes of errors', () => {
  it('are on the page, with the same meanings and in the same order', () => {
    const shown = rowsOnPage().map(([code, meaning]) => [code?.replaceAll('`', ''), meaning]);
    expect(shown).toEqual(Object.entries(ERROR_CODES));
  });

  it('have a when, a remedy and an exit code on the page', () => {
    for (const row of rowsOnPage()) {
      expect(row).toHaveLength(5);
      for (const cell of row) expect(cell, row[0]).not.toBe('');
    }
  });

  it('are all raised', () => {
    const raised = new Set<string>();
    for (const { text, source } of raises()) {
      const first = text.split(',')[0] as string;
      // A helper that is given the code: its callers stand in the same file.
      const places = /['"]/.test(first) ? first : source;
      for (const [, code] of places.matchAll(/'([A-Z_]+)'/g)) raised.add(code as string);
    }
    expect(Object.keys(ERROR_CODES).filter((code) => !raised.has(code))).toEqual([]);
  });

  it('come with a remedy, but for the stated ones', () => {
    const without = raises().filter(({ text }) => !/\bremedy\b/.test(text));
    expect([...new Set(without.map(({ file }) => file))].toSorted()).toEqual(
      Object.keys(WITHOUT_REMEDY).toSorted(),
    );
  });

  const exitCodes = join(ROOT, 'dist/cli/exit-codes.js');
  it('have the exit codes that the page shows', async () => {
    const { exitCodeOf } = (await import(pathToFileURL(exitCodes).href)) as {
      exitCodeOf: (code: string) => number;
    };
    for (const [code = '', , , , shown] of rowsOnPage()) {
      expect(shown?.split(/ or |, /), code).toContain(String(exitCodeOf(code.replaceAll('`', ''))));
    }
  });
});

describe('an error', () => {
  it('carries code, place, remedy and cause', () => {
    const cause = new Error('behind it');
    const error = new VecsnapError('STORE_FAILED', 'It failed.', {
      place: 'there',
      remedy: 'Try again.',
      cause,
    });
    expect(error).toMatchObject({
      name: 'VecsnapError',
      code: 'STORE_FAILED',
      message: 'It failed.',
      place: 'there',
      remedy: 'Try again.',
      cause,
    });
    expect(error).toBeInstanceOf(Error);
    expect('cause' in new VecsnapError('STORE_FAILED', 'It failed.')).toBe(false);
  });

  it('is told from others, and by its code', () => {
    const error = new VecsnapError('STORE_FULL', 'Full.');
    expect(isVecsnapError(error)).toBe(true);
    expect(isVecsnapError(error, 'STORE_FAILED', 'STORE_FULL')).toBe(true);
    expect(isVecsnapError(error, 'STORE_FAILED')).toBe(false);
    expect(isVecsnapError(new Error('Full.'))).toBe(false);
    expect(isVecsnapError(undefined)).toBe(false);
  });

  it('comes from a signal that is aborted', () => {
    throwIfAborted(undefined);
    const controller = new AbortController();
    throwIfAborted(controller.signal);
    controller.abort('SIGINT');
    expect(() => throwIfAborted(controller.signal)).toThrow(
      expect.objectContaining({ code: 'ABORTED', cause: 'SIGINT' }),
    );
  });
});
