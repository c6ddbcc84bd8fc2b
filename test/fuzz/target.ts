/** What a decoder must do with bytes that somebody else wrote: give a value, or a VecsnapError, in bounded time and memory. */
import { isVecsnapError } from 'vecsnap/core';

/** A decoder under test. */
export interface FuzzTarget {
  readonly name: string;
  /** Valid encodings. */
  readonly seeds: readonly Uint8Array[];
  /** Makes checksums fit again after bytes were changed, in place or in a copy: what somebody who means harm would do. */
  readonly reseal?: (bytes: Uint8Array) => Uint8Array;
  /**
   * Decodes. What it throws must be a VecsnapError. What is accepted is checked as far as it can be: it encodes to the same bytes, two
   * implementations agree, a length is what was announced. A check that fails throws a {@link Wrong}.
   */
  readonly decode: (input: Uint8Array) => unknown;
  /** Bytes that decoding may take at most for an input: a multiple of its length, and a constant. Measured in the campaign. */
  readonly budget: Budget;
  /** Whether an input takes long, as where files are written: then fewer are tried in CI. */
  readonly isSlow?: boolean;
}

/** `multiple` × the bytes of the input + `constant`. */
export interface Budget {
  readonly multiple: number;
  readonly constant: number;
}

/** A decoder gave something that is wrong. */
export class Wrong extends Error {
  override readonly name = 'Wrong';
}

/** What became of one input: `accepted`, or the code and message of the error with its numbers left out. */
export type Outcome = string;

/** Runs a target on an input. @throws what is not a VecsnapError. */
export async function tryInput(target: FuzzTarget, input: Uint8Array): Promise<Outcome> {
  try {
    const result = target.decode(input);
    if (result instanceof Promise) await result;
    return 'accepted';
  } catch (error) {
    return outcomeOf(error);
  }
}

/** The same for a target whose `decode` is not asynchronous; a promise that it gives is returned. */
export function tryNow(target: FuzzTarget, input: Uint8Array): Outcome | Promise<Outcome> {
  try {
    const result = target.decode(input);
    return result instanceof Promise ? result.then(() => 'accepted', outcomeOf) : 'accepted';
  } catch (error) {
    return outcomeOf(error);
  }
}

function outcomeOf(error: unknown): Outcome {
  if (!isVecsnapError(error)) throw error;
  return `${error.code}: ${error.message.replace(/"[^"]*"|\d+/g, '').slice(0, 80)}`;
}

/** Fails unless the two are the same bytes. */
export function expectSame(what: string, a: Uint8Array, b: Uint8Array): void {
  if (Buffer.compare(a, b) !== 0) throw new Wrong(`${what}: ${a.length} bytes became ${b.length} others`);
}
