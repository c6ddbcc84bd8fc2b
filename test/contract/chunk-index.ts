/**
 * The contract of every index: finds the chunks of the packs that were added, and is atomic by pack.
 *
 * An index runs it with `testChunkIndex({ … })` from a test file of its own.
 */
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { ChunkIndex, FileNote, Location, PackEntry } from 'vecsnap/cas';
import { type Address, toAddress, toHex } from 'vecsnap/core';
import { runs } from '../support/arbitraries.js';
import { collectAll } from '../support/collect.js';
import { seededBytes } from '../support/files.js';

/** Where an index lives, so that it can be opened again. */
export interface IndexPlace {
  open(): Promise<ChunkIndex>;
  remove(): Promise<void>;
}

export interface IndexFixture {
  /** For the names of the tests. */
  readonly name: string;
  /** Whether what was added is there when it is opened again. */
  readonly persistent: boolean;
  makePlace(): Promise<IndexPlace>;
}

/** The address of the n-th chunk. Neighbours differ in one byte only, some in the first and some in the last. */
export function addressOf(n: number): Address {
  const bytes = new Uint8Array(32).fill(n >> 8);
  bytes[n % 2 === 0 ? 0 : 31] = n & 0xff;
  bytes[15] = n % 251;
  return toAddress(bytes);
}

/** The directory of a pack of these chunks. */
export function entriesOf(chunks: readonly number[], shift = 0): PackEntry[] {
  let offset = 8 + shift;
  return chunks.map((n) => {
    const storedLength = 1 + (n % 300);
    const entry: PackEntry = {
      address: addressOf(n),
      kind: n % 3 === 0 ? 'node' : 'data',
      codec: n % 3,
      offset,
      storedLength,
      length: n * 1000,
    };
    offset += storedLength;
    return entry;
  });
}

function range(from: number, to: number): number[] {
  return Array.from({ length: to - from }, (_, i) => from + i);
}

function locationOf({ address: _, ...place }: PackEntry, pack: string): Location {
  return { pack, ...place };
}

function plainNote({ file, state, content }: FileNote): string {
  return [file, state, content].map(toHex).join(' ');
}

/** Declares the tests of one index. */
export function testChunkIndex(fixture: IndexFixture): void {
  describe(`the contract of an index: ${fixture.name}`, () => {
    let place: IndexPlace;
    let index: ChunkIndex;
    beforeEach(async () => {
      place = await fixture.makePlace();
      index = await place.open();
    });
    afterEach(async () => {
      await index.close();
      await place.remove();
    });
    const reopen = async (): Promise<void> => {
      await index.close();
      index = await place.open();
    };
    const found = async (chunks: readonly number[]) =>
      (await index.find(chunks.map(addressOf))).map((location) => location?.pack);

    it('is empty at first', async () => {
      expect(await index.find([addressOf(1)])).toEqual([undefined]);
      expect(await index.find([])).toEqual([]);
      expect(index.packs().size).toBe(0);
      expect(await collectAll(index.entries())).toEqual([]);
      await index.removePacks(new Set(['packs/none']));
      await index.clear();
    });

    it('finds chunks, in the order that they are asked for, however often', async () => {
      const a = entriesOf(range(0, 500));
      const b = entriesOf(range(500, 600));
      await index.addPack({ name: 'packs/a', size: 99_000 }, a);
      await index.addPack({ name: 'packs/b', size: 2 ** 31 }, b);
      const asked = [599, 0, 700, 0, 250, 499, 500].map(addressOf);
      const place = (n: number) =>
        n < 500 ? locationOf(a[n] as PackEntry, 'packs/a') : locationOf(b[n - 500] as PackEntry, 'packs/b');
      expect(await index.find(asked)).toEqual([
        place(599),
        place(0),
        undefined,
        place(0),
        place(250),
        place(499),
        place(500),
      ]);
      expect(index.packs()).toEqual(
        new Map([
          ['packs/a', 99_000],
          ['packs/b', 2 ** 31],
        ]),
      );
    });

    it('takes packs of no chunks', async () => {
      await index.addPack({ name: 'packs/empty', size: 52 }, []);
      expect(index.packs()).toEqual(new Map([['packs/empty', 52]]));
    });

    it('keeps every field to its limit', async () => {
      const entry: PackEntry = {
        address: addressOf(1),
        kind: 'node',
        codec: 127,
        offset: 2 ** 31,
        storedLength: 2 ** 30,
        length: 2 ** 30,
      };
      await index.addPack({ name: 'packs/a', size: 2 ** 32 }, [entry]);
      expect(await index.find([addressOf(1)])).toEqual([locationOf(entry, 'packs/a')]);
    });

    it('finds a chunk of several packs in the one that was added last', async () => {
      await index.addPack({ name: 'packs/b', size: 1 }, entriesOf([1, 2, 3]));
      await index.addPack({ name: 'packs/a', size: 2 }, entriesOf([2, 3, 4], 50));
      expect(await found([1, 2, 3, 4])).toEqual(['packs/b', 'packs/a', 'packs/a', 'packs/a']);
      expect((await collectAll(index.entries())).length).toBe(4);
    });

    it('gives every chunk once, with its place', async () => {
      const a = entriesOf(range(0, 2500));
      await index.addPack({ name: 'packs/a', size: 1 }, a);
      const byAddress = new Map(
        (await collectAll(index.entries())).map((entry) => [toHex(entry.address), entry]),
      );
      expect(byAddress.size).toBe(2500);
      for (const entry of a)
        expect(byAddress.get(toHex(entry.address))).toEqual({ ...entry, pack: 'packs/a' });
    });

    it('forgets packs and the chunks that were found in them', async () => {
      await index.addPack({ name: 'packs/a', size: 1 }, entriesOf(range(0, 1500)));
      await index.addPack({ name: 'packs/b', size: 2 }, entriesOf(range(1400, 1600)));
      await index.addPack({ name: 'packs/c', size: 3 }, entriesOf([9000]));
      await index.removePacks(new Set(['packs/a', 'packs/c', 'packs/none']));
      expect(await found([0, 1399, 1400, 1599, 9000])).toEqual([
        undefined,
        undefined,
        'packs/b',
        'packs/b',
        undefined,
      ]);
      expect([...index.packs().keys()]).toEqual(['packs/b']);
      expect((await collectAll(index.entries())).length).toBe(200);
    });

    it('forgets packs as well when it is told what they held, and nothing else', async () => {
      await index.addPack({ name: 'packs/a', size: 1 }, entriesOf(range(0, 1500)));
      await index.addPack({ name: 'packs/b', size: 2 }, entriesOf(range(1400, 1600)));
      const told = [...range(0, 1500), 1550, 7777].map(addressOf);
      await index.removePacks(new Set(['packs/a', 'packs/none']), told);
      expect(await found([0, 1399, 1400, 1550, 7777])).toEqual([
        undefined,
        undefined,
        'packs/b',
        'packs/b',
        undefined,
      ]);
      expect([...index.packs().keys()]).toEqual(['packs/b']);
      expect((await collectAll(index.entries())).length).toBe(200);
    });

    it('forgets the chunks of packs that it goes on to know', async () => {
      await index.addPack({ name: 'packs/a', size: 1 }, entriesOf([1, 2]));
      await index.addPack({ name: 'packs/b', size: 2 }, entriesOf([2, 3]));
      await index.removeChunksOf(new Set(['packs/b', 'packs/none']));
      expect(await found([1, 2, 3])).toEqual(['packs/a', undefined, undefined]);
      expect([...index.packs().keys()].toSorted()).toEqual(['packs/a', 'packs/b']);
    });

    it('keeps in mind which trees are whole until a pack or a chunk is removed, or keeps none in mind', async () => {
      const [a, b] = [addressOf(1), addressOf(2)];
      const [none, some] = [new Uint8Array(0), seededBytes(16, 1)];
      const notes = async () => {
        const told = [await index.wholeNote?.(a), await index.wholeNote?.(b)];
        const trees = (await index.wholeTrees?.()) ?? [];
        expect(told.filter((note) => note !== undefined)).toEqual(trees.map(({ note }) => note));
        return told.map((note) => note && toHex(note));
      };
      if (index.noteWhole === undefined) return expect(await notes()).toEqual([undefined, undefined]);
      const removals = [
        () => index.removeChunksOf(new Set(['packs/a'])),
        () => index.removePacks(new Set(['packs/a'])),
        () => index.removePacks(new Set(['packs/b']), [addressOf(3)]),
        () => index.clear(),
      ];
      for (const remove of removals) {
        await index.addPack({ name: 'packs/a', size: 1 }, entriesOf([1, 2]));
        await index.addPack({ name: 'packs/b', size: 1 }, entriesOf([3]));
        expect(await notes()).toEqual([undefined, undefined]);
        await index.noteWhole(a, none, undefined);
        expect(await notes()).toEqual(['', undefined]);
        await index.noteWhole(b, none, a);
        await index.noteWhole(b, some, b);
        await index.addPack({ name: 'packs/c', size: 1 }, entriesOf([4]));
        if (fixture.persistent) await reopen();
        expect(await notes()).toEqual([undefined, toHex(some)]);
        await remove();
        expect(await notes()).toEqual([undefined, undefined]);
      }
    });

    it('keeps in mind in which state a file had which content, the last for each, or keeps none in mind', async () => {
      const note = (file: number, state: number, content: number): FileNote => ({
        file: seededBytes(16, file),
        state: seededBytes(16, state),
        content: addressOf(content),
      });
      const noted = async (file: number) => {
        const [first, told] = (await index.fileNotes?.([seededBytes(16, 5), seededBytes(16, file)])) ?? [];
        expect(first).toBeUndefined();
        return told && plainNote(told);
      };
      if (index.noteFiles === undefined) return expect(await noted(1)).toBeUndefined();
      await index.noteFiles([note(1, 1, 1), note(2, 1, 2), note(3, 1, 1)]);
      await index.noteFiles([note(2, 2, 3), note(3, 2, 1)]);
      await index.noteFiles([]);
      if (fixture.persistent) await reopen();
      expect(await noted(1)).toEqual(plainNote(note(1, 1, 1)));
      expect(await noted(2)).toEqual(plainNote(note(2, 2, 3)));
      expect(await noted(3)).toEqual(plainNote(note(3, 2, 1)));
      expect(await noted(4)).toBeUndefined();
      expect(await index.wholeTrees?.()).toEqual([]);
      await index.keepFileNotes?.((content) => toHex(content) === toHex(addressOf(1)));
      expect(await noted(2)).toBeUndefined();
      expect(await noted(3)).toEqual(plainNote(note(3, 2, 1)));
      await index.clear();
      expect(await noted(3)).toBeUndefined();
    });

    it('takes a pack again, whether it is still there or was removed', async () => {
      await index.addPack({ name: 'packs/a', size: 1 }, entriesOf([1, 2]));
      await index.addPack({ name: 'packs/b', size: 2 }, entriesOf([2, 3]));
      await index.addPack({ name: 'packs/a', size: 1 }, entriesOf([1, 2]));
      expect(await found([1, 2, 3])).toEqual(['packs/a', 'packs/a', 'packs/b']);
      await index.removePacks(new Set(['packs/a']));
      expect(await found([1, 2, 3])).toEqual([undefined, undefined, 'packs/b']);
      await index.addPack({ name: 'packs/a', size: 1 }, entriesOf([1, 2]));
      await index.addPack({ name: 'packs/d', size: 1 }, entriesOf([4]));
      expect(await found([1, 2, 3, 4])).toEqual(['packs/a', 'packs/a', 'packs/b', 'packs/d']);
    });

    it('is empty again when it is cleared, and can be filled again', async () => {
      await index.addPack({ name: 'packs/a', size: 1 }, entriesOf([1, 2]));
      await index.clear();
      expect(await found([1, 2])).toEqual([undefined, undefined]);
      expect(index.packs().size).toBe(0);
      await index.addPack({ name: 'packs/b', size: 1 }, entriesOf([2]));
      expect(await found([1, 2])).toEqual([undefined, 'packs/b']);
    });

    it('copies what it is given and gives copies', async () => {
      const entries = entriesOf([1]);
      await index.addPack({ name: 'packs/a', size: 1 }, entries);
      (entries[0] as PackEntry).address.fill(0);
      expect(await found([1])).toEqual(['packs/a']);
      for (const entry of await collectAll(index.entries())) entry.address.fill(0);
      expect(await found([1])).toEqual(['packs/a']);
    });

    it('is the same as a map after any history', async () => {
      const anyStep = fc.oneof(
        {
          weight: 4,
          arbitrary: fc.record({
            add: fc.nat({ max: 6 }),
            from: fc.nat({ max: 30 }),
            count: fc.nat({ max: 12 }),
          }),
        },
        fc.record({ remove: fc.array(fc.nat({ max: 6 }), { maxLength: 3 }) }),
        fc.constant('clear' as const),
        fc.constant('reopen' as const),
      );
      await fc.assert(
        fc.asyncProperty(fc.array(anyStep, { maxLength: 25 }), async (steps) => {
          await index.clear();
          const chunks = new Map<number, string>();
          const packs = new Set<string>();
          for (const step of steps) {
            if (step === 'clear') {
              await index.clear();
              chunks.clear();
              packs.clear();
            } else if (step === 'reopen') {
              if (fixture.persistent) await reopen();
            } else if ('add' in step) {
              const name = `packs/${step.add}`;
              const added = range(step.from, step.from + step.count);
              // A pack is immutable: added again, it has the same chunks, and here those that it had are removed first.
              await index.removePacks(new Set([name]));
              for (const [n, pack] of chunks) if (pack === name) chunks.delete(n);
              await index.addPack({ name, size: 1 }, entriesOf(added));
              packs.add(name);
              for (const n of added) chunks.set(n, name);
            } else {
              const names = new Set(step.remove.map((n) => `packs/${n}`));
              await index.removePacks(names);
              for (const name of names) packs.delete(name);
              for (const [n, pack] of chunks) if (names.has(pack)) chunks.delete(n);
            }
          }
          expect(await found(range(0, 45))).toEqual(range(0, 45).map((n) => chunks.get(n)));
          expect(new Set(index.packs().keys())).toEqual(packs);
          expect((await collectAll(index.entries())).length).toBe(chunks.size);
        }),
        { numRuns: runs(30) },
      );
    });

    it(
      fixture.persistent ? 'is the same when it is opened again' : 'is empty when it is opened again',
      async () => {
        await index.addPack({ name: 'packs/a', size: 5 }, entriesOf([1, 2]));
        await index.addPack({ name: 'packs/b', size: 6 }, entriesOf([2, 3]));
        await index.removePacks(new Set(['packs/a']));
        await reopen();
        await index.addPack({ name: 'packs/c', size: 7 }, entriesOf([4]));
        if (fixture.persistent) {
          expect(await found([1, 2, 3, 4])).toEqual([undefined, 'packs/b', 'packs/b', 'packs/c']);
          expect(index.packs()).toEqual(
            new Map([
              ['packs/b', 6],
              ['packs/c', 7],
            ]),
          );
        } else {
          expect(await found([1, 2, 3, 4])).toEqual([undefined, undefined, undefined, 'packs/c']);
        }
      },
    );
  });
}
