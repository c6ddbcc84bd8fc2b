/** File-system operations that are recorded, and that fail when they are told to. */
import { stat } from 'node:fs/promises';
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

/** Calls that take space or a name. On a full disk they fail; what reads and what removes does not. */
const TAKING: ReadonlySet<FsMethod> = new Set([
  'openNew',
  'openDirect',
  'writev',
  'writeAt',
  'mkdir',
  'link',
  'fsync',
]);

/** What a {@link quotaFsOperations} has to give. */
export interface Quota {
  /** Bytes that may still be written. */
  free: number;
}

/** Bytes that a name takes, and by which writes are rounded up. */
const BLOCK = 4096;

/**
 * The operations of Node on a disk that has no more than so many bytes. What is removed gives back what it took, when this wrote it or it
 * was there before.
 */
export function quotaFsOperations(quota: Quota): FsOperations {
  const take = (bytes: number): void => {
    const blocks = Math.ceil(bytes / BLOCK) * BLOCK;
    if (blocks > quota.free) throw systemError('ENOSPC');
    quota.free -= blocks;
  };
  return {
    ...nodeFsOperations,
    async openNew(path) {
      take(1);
      return nodeFsOperations.openNew(path);
    },
    async writev(descriptor, parts) {
      const bytes = parts.reduce((sum, { length }) => sum + length, 0);
      take(bytes);
      return nodeFsOperations.writev(descriptor, parts);
    },
    async writeAt(descriptor, bytes, position) {
      take(bytes.length);
      return nodeFsOperations.writeAt(descriptor, bytes, position);
    },
    async mkdir(path) {
      take(1);
      await nodeFsOperations.mkdir(path);
    },
    async unlink(path) {
      const { size } = await nodeFsOperations.lstat(path);
      const { nlink } = await stat(path);
      await nodeFsOperations.unlink(path);
      if (nlink === 1) quota.free += BLOCK + Math.ceil(size / BLOCK) * BLOCK;
    },
  };
}

/**
 * The operations of Node; the n-th call, counted from 1, fails with `code`. With `onwards`, so does every call after it that takes space
 * or a name. Nothing is synced: the machine of a test does not lose power.
 */
export function failingFsOperations(
  nth: number,
  code: string,
  { onwards = false }: { readonly onwards?: boolean } = {},
): { operations: FsOperations; calls: () => number } {
  let calls = 0;
  const failing = (method: FsMethod) =>
    async function call(...args: unknown[]): Promise<unknown> {
      calls++;
      const isDue = calls === nth || (onwards && calls > nth && TAKING.has(method));
      if (isDue && method === 'close') await nodeFsOperations.close(args[0] as number); // It is closed all the same.
      if (isDue) throw systemError(code);
      if (method === 'fsync' || method === 'syncDirectory') return undefined;
      return (nodeFsOperations[method] as (...given: unknown[]) => Promise<unknown>)(...args);
    };
  const methods = Object.keys(nodeFsOperations) as FsMethod[];
  const operations = Object.fromEntries(methods.map((method) => [method, failing(method)]));
  return { operations: operations as unknown as FsOperations, calls: () => calls };
}

/** An error as the system gives it. */
export function systemError(code: string): Error {
  return Object.assign(new Error(`${code}: injected`), { code });
}
