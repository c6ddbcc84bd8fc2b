/** Where reads go in memory: half a page away from where the bytes stand in the file (docs/decisions/0022-where-reads-go.md). */
import { writeFile } from 'node:fs/promises';
import fc from 'fast-check';
import { fbin, LocalFile, matrixSource } from 'vecsnap/source';
import { expect, it } from 'vitest';
import { runs } from './support/arbitraries.js';
import { freshDirectory, seededBytes } from './support/files.js';
import { finiteFbin } from './support/matrices.js';

const PAGE = 4096;
const path = freshDirectory();

/** Large memory begins 16 bytes into a page, so what is slow is up to 16 bytes before half a page, and far from this. */
function expectAway({ byteOffset }: Uint8Array, position: number): void {
  expect(byteOffset % 64).toBe(0); // Numbers of all kinds are aligned.
  const distance = (((byteOffset - position) % PAGE) + PAGE) % PAGE;
  expect(distance).toBeGreaterThan(PAGE / 2 - 64);
  expect(distance).toBeLessThanOrEqual(PAGE / 2);
}

it('bytes from any place of a file', async () => {
  const bytes = seededBytes(300_000, 1);
  await writeFile(path('file'), bytes);
  const file = await LocalFile.open(path('file'));
  const anyRange = fc.record({
    position: fc.nat({ max: 200_000 }),
    length: fc.integer({ min: 1, max: 100_000 }),
  });
  await fc.assert(
    fc.asyncProperty(anyRange, async ({ position, length }) => {
      const read = await file.readExactly(position, length);
      expect(Buffer.compare(read, bytes.subarray(position, position + length))).toBe(0);
      if (length >= 65_536) expectAway(read, position);
    }),
    { numRuns: runs(100) },
  );
  await file.close();
});

it('pieces of a file', async () => {
  const bytes = seededBytes(1_000_000, 2);
  await writeFile(path('file'), bytes);
  const file = await LocalFile.open(path('file'));
  for (const start of [0, 5]) {
    let position = start;
    for await (const piece of file.stream(start)) {
      expectAway(piece, position);
      expect(Buffer.compare(piece, bytes.subarray(position, position + piece.length))).toBe(0);
      position += piece.length;
    }
    expect(position).toBe(bytes.length);
  }
  await file.close();
});

it('rows of a matrix, in slabs that are used again', async () => {
  await writeFile(path('docs.fbin'), finiteFbin(30_000, 107));
  const opened = await matrixSource(fbin, path('docs.fbin')).open();
  let position = 8;
  let batches = 0;
  for await (const { vectors, release } of opened.records?.() ?? []) {
    const [rows] = vectors as [Uint8Array];
    expectAway(rows, position);
    position += rows.length;
    batches++;
    release?.();
  }
  expect(batches).toBeGreaterThan(2);
  expect(position).toBe(8 + 30_000 * 107 * 4);
  await opened.close();
});
