/** What calls of a file system have in common. */
import type { FsOperations } from './fs.js';

/** The system's name of an error, for example `ENOENT`. */
export function codeOf(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error ? String(error.code) : undefined;
}

/** Runs `action`, then closes. A failure of `action` goes before one of closing. */
export async function closing<T>(
  fs: Pick<FsOperations, 'close'>,
  descriptor: number,
  action: () => Promise<T>,
): Promise<T> {
  let result: T;
  try {
    result = await action();
  } catch (cause) {
    await Promise.allSettled([fs.close(descriptor)]);
    throw cause;
  }
  await fs.close(descriptor);
  return result;
}
