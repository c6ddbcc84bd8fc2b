/** The part of the contract of src/blob/port.ts that is about blobs whose parts come one after the other. */
import { describe, expect, it } from 'vitest';
import type { BlobStore } from 'vecsnap/blob';
import { VecsnapError } from 'vecsnap/core';
import { bytesOf, expectBytes, listed, pattern } from '../support/blobs.js';
import { itemAt } from '../support/item-at.js';

/**
 * @param store the store of the test that runs.
 * @param reopen opens it again, where blobs outlive it.
 */
export function testPutParts(store: () => BlobStore, reopen: (() => Promise<void>) | undefined): void {
  const putParts = async (name: string, parts: AsyncIterable<readonly Uint8Array[]>): Promise<void> =>
    store().putParts?.(name, parts);

  describe('putParts', () => {
    it.each([
      [0, 1],
      [10, 3],
      [100_000, 999],
      [1_048_576, 65_536],
      [1_048_577, 70_001],
      [5_000_000, 1_200_000],
      [3_000_001, 3_000_001],
    ])('keeps %i bytes that come by %i, in memory that is used again', async (length, step) => {
      const whole = pattern(length);
      await putParts('packs/one', inOneBuffer(whole, step));
      expectBytes(await store().get('packs/one'), whole);
      expect(await store().stat('packs/one')).toEqual({ name: 'packs/one', size: length });
      await reopen?.();
      expectBytes(await store().get('packs/one'), whole);
    });

    it('shows nothing of a blob before all of it is there', async () => {
      const seen: unknown[] = [];
      const watched = async function* (): AsyncGenerator<Uint8Array[]> {
        for await (const some of inOneBuffer(pattern(2_500_000), 300_000)) {
          yield some;
          seen.push(await store().stat('packs/one'), ...(await listed(store(), '')));
        }
      };
      await putParts('packs/one', watched());
      expect(seen.filter((one) => one !== undefined)).toEqual([]);
      expect(seen.length).toBeGreaterThan(8);
      expect(await store().stat('packs/one')).toBeDefined();
    });

    it.each([0, 1, 2_500_000])('leaves nothing when parts fail after %i bytes', async (length) => {
      const failing = async function* (error: Error): AsyncGenerator<Uint8Array[]> {
        if (length > 0) yield [pattern(length)];
        throw error;
      };
      const broken = new Error('broken');
      const told = { code: 'STORE_FAILED', cause: broken };
      await expect(putParts('packs/one', failing(broken))).rejects.toMatchObject(told);
      const missing = new VecsnapError('CHUNK_MISSING', 'It is gone.', { remedy: 'None.' });
      await expect(putParts('packs/one', failing(missing))).rejects.toBe(missing);
      expect(await listed(store(), '')).toEqual([]);
      await store().put('packs/one', bytesOf('whole'));
    });

    it('never overwrites, and asks for no more parts then', async () => {
      await store().put('packs/one', bytesOf('first'));
      let asked = 0;
      const counted = async function* (): AsyncGenerator<Uint8Array[]> {
        for (; asked < 3; asked++) yield [bytesOf('second')];
      };
      await expect(putParts('packs/one', counted())).rejects.toMatchObject({ code: 'BLOB_EXISTS' });
      const before = asked;
      await new Promise((resolve) => setTimeout(resolve, 5));
      expect(asked).toBe(before);
      expect(await store().get('packs/one')).toEqual(bytesOf('first'));
    });

    it('has exactly one winner among some that race for a name, also against put', async () => {
      const rivals = Array.from({ length: 6 }, (_, rival) => pattern(rival * 400_000 + 1, rival));
      const outcomes = await Promise.allSettled(
        rivals.map((bytes, i) =>
          i % 2 === 0 ? putParts('race', inOneBuffer(bytes, 70_000)) : store().put('race', bytes),
        ),
      );
      const winners = rivals.filter((_, rival) => outcomes[rival]?.status === 'fulfilled');
      expect(winners).toHaveLength(1);
      for (const outcome of outcomes.filter(({ status }) => status === 'rejected'))
        expect(outcome).toMatchObject({ reason: { code: 'BLOB_EXISTS' } });
      expectBytes(await store().get('race'), itemAt(winners, 0));
    });
  });
}

/** All of some bytes, about `step` at a time in three parts, each in the place of the one before. */
export async function* inOneBuffer(bytes: Uint8Array, step: number): AsyncGenerator<Uint8Array[]> {
  const buffer = new Uint8Array(step);
  for (let start = 0; start < bytes.length; start += step) {
    const part = buffer.subarray(0, Math.min(step, bytes.length - start));
    part.set(bytes.subarray(start, start + step));
    const middle = part.length >>> 1;
    yield [part.subarray(0, middle), part.subarray(middle, middle), part.subarray(middle)];
    buffer.fill(0);
  }
}
