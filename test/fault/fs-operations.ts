/** File-system operations that are recorded, and that fail when they are told to. */
import { nodeFsOperations, type FsOperations } from 'vecsnap/blob';

export type FsMethod = keyof FsOperations;

/** One call and its arguments, for example `['link', '/d/tmp/1', '/d/a']`. */
export type FsCall = readonly [FsMethod, ...unknown[]];

/**
 * The operations of Node, every call of which goes through `before` first: what that throws, the call fails with.
 * Calls that `before` lets pass are then done.
 */
export function observedFsOperations(before: (call: FsCall, number: number) => void): FsOperations {
  let count = 0;
  const observed = (method: FsMethod) =>
    async function call(...args: unknown[]): Promise<unknown> {
      before([method, ...args], count++);
      const operation = nodeFsOperations[method] as (...args: unknown[]) => Promise<unknown>;
      return operation(...args);
    };
  const methods = Object.keys(nodeFsOperations) as FsMethod[];
  return Object.fromEntries(methods.map((method) => [method, observed(method)])) as unknown as FsOperations;
}

/** An error as the system gives it. */
export function systemError(code: string): Error {
  return Object.assign(new Error(`${code}: injected`), { code });
}
