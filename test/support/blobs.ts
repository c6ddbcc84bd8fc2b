/** Blobs as tests of stores need them. */
import type { BlobStat, BlobStore } from 'vecsnap/blob';
import { expect } from 'vitest';

export async function listed(store: BlobStore, prefix: string): Promise<BlobStat[]> {
  const stats: BlobStat[] = [];
  for await (const stat of store.list(prefix)) stats.push(stat);
  return stats;
}

/** The names of the blobs that begin so. */
export async function namesIn(store: BlobStore, prefix = ''): Promise<string[]> {
  return (await listed(store, prefix)).map(({ name }) => name);
}

export async function readAt(
  store: BlobStore,
  name: string,
  offset: number,
  length: number,
): Promise<Uint8Array> {
  const into = new Uint8Array(length);
  return into.subarray(0, await store.read(name, offset, into));
}

export function bytesOf(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

/** Bytes that differ from place to place and from seed to seed. */
export function pattern(length: number, seed = 0): Uint8Array {
  const bytes = new Uint8Array(length);
  for (let i = 0, x = seed + 1; i < length; i++, x = (Math.imul(x, 1_664_525) + 1_013_904_223) | 0)
    bytes[i] = x >>> 24;
  return bytes;
}

export function sharedCopy(bytes: Uint8Array): Uint8Array {
  const copy = new Uint8Array(new SharedArrayBuffer(bytes.length));
  copy.set(bytes);
  return copy;
}

/** Equal bytes, without printing megabytes when they are not. */
export function expectBytes(actual: Uint8Array, expected: Uint8Array): void {
  expect(actual.length).toBe(expected.length);
  expect(Buffer.compare(actual, expected)).toBe(0);
}
