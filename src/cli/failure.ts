/** Errors, as people and as programs read them. */
import { EXIT, exitCodeOf } from './exit-codes.js';
import { printable, printableJson } from './text.js';

/** What a failed command says and how it ends. */
export interface Failure {
  /** A code of vecsnap; `USAGE` for a wrong command line, `UNEXPECTED` for a mistake in vecsnap itself. */
  readonly code: string;
  readonly message: string;
  readonly place: string | null;
  readonly remedy: string | null;
  readonly exitCode: number;
  /** Where a mistake in vecsnap itself showed. */
  readonly stack?: string | undefined;
}

/** Longer texts of an error are cut: a name may have many thousands of characters. */
const LONGEST = 500;

/** A wrong command line. */
export function usageFailure(message: string, help: string): Failure {
  return { code: 'USAGE', message, place: null, remedy: `See ${help} --help.`, exitCode: EXIT.usage };
}

/** A command line that reads well but makes no sense. */
export class UsageError extends Error {}

/** What to say about anything that was thrown. */
export async function failureOf(error: unknown, help: string): Promise<Failure> {
  if (error instanceof UsageError) return usageFailure(error.message, help);
  const { isVecsnapError } = await import('../index.js'); // Not needed unless something fails.
  if (isVecsnapError(error)) {
    const { code, message, place = null, remedy = null } = error;
    return { code, message, place, remedy, exitCode: exitCodeOf(code) };
  }
  const { message, stack } = error instanceof Error ? error : new Error(String(error));
  return { code: 'UNEXPECTED', message, place: null, remedy: BUG, exitCode: EXIT.failed, stack };
}

const BUG = 'This is a bug in vecsnap. Please report it with the command and what stands here.';

/** One line of JSON. */
export function failureJson({ exitCode: _, stack, ...error }: Failure): string {
  return printableJson({ error: stack === undefined ? error : { ...error, stack } });
}

/** Some lines for people. */
export function failureText({ code, message, place, remedy, stack }: Failure): string {
  const lines = [`vecsnap: ${oneLine(message)}`];
  if (place !== null) lines.push(`  place:  ${oneLine(place)}`);
  if (remedy !== null) lines.push(`  remedy: ${oneLine(remedy)}`);
  lines.push(`  code:   ${code}`);
  if (stack !== undefined) lines.push(...stack.split('\n').map(printable));
  return lines.join('\n');
}

function oneLine(text: string): string {
  return printable(text.length > LONGEST ? `${text.slice(0, LONGEST)}…` : text);
}
