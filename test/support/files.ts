/** Files for tests: seeded bytes, a fresh directory for each test, and a write that is sure to show. */
import { mkdtemp, open, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach } from 'vitest';

/** Gives each test of the surrounding `describe` a new directory; the function joins names to its path. */
export function freshDirectory(): (...names: string[]) => string {
  let directory = '';
  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'vecsnap-test-'));
  });
  afterEach(async () => {
    await rm(directory, { recursive: true, force: true });
  });
  return (...names) => join(directory, ...names);
}

/** `length` bytes that are the same for the same seed and look random. */
export function seededBytes(length: number, seed: number): Uint8Array {
  const words = new Uint32Array(Math.ceil(length / 4));
  let state = Math.imul(seed, 0x9e3779b1) ^ 0x85ebca6b || 1;
  for (let i = 0; i < words.length; i++) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    words[i] = state;
  }
  return new Uint8Array(words.buffer, 0, length);
}

/** The bytes one after the other. */
export function joined(...parts: readonly Uint8Array[]): Uint8Array {
  return new Uint8Array(Buffer.concat(parts));
}

/** Unsigned 32-bit numbers, little-endian. */
export function u32(...values: readonly number[]): Uint8Array {
  const bytes = Buffer.alloc(values.length * 4);
  values.forEach((value, index) => bytes.writeUInt32LE(value, index * 4));
  return new Uint8Array(bytes);
}

/** Inverts the last byte of a file in place. The clock of a file system ticks slowly, so it writes until the time differs. */
export async function invertLastByte(path: string): Promise<void> {
  const { mtimeNs, size } = await stat(path, { bigint: true });
  const handle = await open(path, 'r+');
  try {
    const last = Buffer.alloc(1);
    await handle.read(last, 0, 1, Number(size) - 1);
    last[0] = (last[0] ?? 0) ^ 0xff;
    do await handle.write(last, 0, 1, Number(size) - 1);
    while ((await handle.stat({ bigint: true })).mtimeNs === mtimeNs);
  } finally {
    await handle.close();
  }
}
