/**
 * Small things that change, told by blobs that do not: `<name>-<n>`, of which the one with the highest n counts.
 *
 * A change puts the next before it deletes the others, so that a crash leaves the old state or the new one, and perhaps a blob too many
 * (docs/ordering.md, M1). The last one is never deleted to say "nothing": a name would then be used twice, which nobody who keeps
 * a blob open could tell.
 */
import type { BlobStat, BlobStore } from '../blob/port.js';
import { blobsIn } from './sealed-blob.js';

/** The blobs of one name. */
export interface Numbered {
  readonly current: BlobStat;
  readonly number: number;
  /** Those that it has taken the place of, and that a crash has left. */
  readonly older: readonly BlobStat[];
}

const FORM = /^(.+)-(0|[1-9]\d{0,14})$/;

/** What stands under a prefix, by name. Blobs with other names are left out. */
export async function listNumbered(
  blobs: Pick<BlobStore, 'list' | 'stat'>,
  prefix: string,
): Promise<Map<string, Numbered>> {
  const found = new Map<string, Numbered>();
  for (const blob of await blobsIn(blobs, prefix)) {
    const [, name, digits] = FORM.exec(blob.name) ?? [];
    if (name === undefined) continue;
    const [before, number] = [found.get(name), Number(digits)];
    found.set(
      name,
      before === undefined ? { current: blob, number, older: [] } : newest(before, blob, number),
    );
  }
  return found;
}

function newest({ current, number, older }: Numbered, blob: BlobStat, next: number): Numbered {
  return next > number
    ? { current: blob, number: next, older: [...older, current] }
    : { current, number, older: [...older, blob] };
}

/** The number in a name; -1 in one that has none. */
export function numberOf(name: string): number {
  return Number(FORM.exec(name)?.[2] ?? -1);
}

/** Lets these bytes count from now on. The caller holds the lock. */
export async function replaceNumbered(blobs: BlobStore, name: string, bytes: Uint8Array): Promise<void> {
  const before = (await listNumbered(blobs, `${name}-`)).get(name);
  await blobs.put(`${name}-${(before?.number ?? 0) + 1}`, bytes);
  for (const blob of before === undefined ? [] : [...before.older, before.current])
    await blobs.delete(blob.name);
}
