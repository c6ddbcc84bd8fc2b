/** What becomes of work that may fail, or take too much: for tests of hostile input. */
import { type ErrorCode, isVecsnapError } from 'vecsnap/core';

/** The error of work that must fail, and with a VecsnapError. */
export async function codeOf(work: Promise<unknown>): Promise<ErrorCode> {
  try {
    await work;
  } catch (error) {
    if (isVecsnapError(error)) return error.code;
    throw error;
  }
  throw new Error('it did not fail');
}

/** Bytes of array buffers that were taken at most at one of the looks; about, and enough to tell megabytes from gigabytes. */
export async function memoryOf(work: () => Promise<unknown>): Promise<number> {
  const before = process.memoryUsage().arrayBuffers;
  let most = before;
  const look = setInterval(() => (most = Math.max(most, process.memoryUsage().arrayBuffers)), 1);
  try {
    await work();
  } finally {
    clearInterval(look);
  }
  return Math.max(most, process.memoryUsage().arrayBuffers) - before;
}
