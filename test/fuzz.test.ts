/**
 * Every decoder of bytes that vecsnap did not just write, fed with valid encodings that were changed and with bytes of chance: it gives
 * a value or a VecsnapError. `npm run campaign:fuzz` tries a million for each, guided by coverage, and measures time and memory too.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, describe, expect, it } from 'vitest';
import { applyEdits, type Edit, EDITS, randomBytes, seededNumbers } from './fuzz/mutation.js';
import { type FuzzTarget, tryInput } from './fuzz/target.js';
import { fuzzTargets } from './fuzz/targets.js';
import { withoutPauses } from './fuzz/without-pauses.js';
import { runs } from './support/arbitraries.js';

const directory = mkdtempSync(join(tmpdir(), 'vecsnap-fuzz-'));
const targets = await fuzzTargets(directory);
withoutPauses();
afterAll(() => rmSync(directory, { recursive: true, force: true }));

const anyEdit: fc.Arbitrary<Edit> = fc.record({
  kind: fc.constantFrom(...EDITS),
  at: fc.nat({ max: 0xffff }),
  value: fc.nat({ max: 0xffff }),
});

/** Bytes of chance as a seed, which does not shrink, and a length, which does. */
const anyNoise = fc
  .record({ seed: fc.nat(), length: fc.nat({ max: 300 }) })
  .map(({ seed, length }) => randomBytes(seededNumbers(seed), length));

function inputsOf({ seeds, reseal = (bytes) => bytes }: FuzzTarget): fc.Arbitrary<Uint8Array> {
  const changed = fc
    .record({
      base: fc.constantFrom(...seeds),
      other: fc.constantFrom(...seeds),
      edits: fc.array(anyEdit, { minLength: 1, maxLength: 6 }),
      seal: fc.boolean(),
    })
    .map(({ base, other, edits, seal }) => {
      const bytes = applyEdits(base, edits, other);
      return seal ? reseal(bytes) : bytes;
    });
  return fc.oneof({ weight: 6, arbitrary: changed }, { weight: 1, arbitrary: anyNoise });
}

describe.each(targets)('$name', (target) => {
  it('takes what is valid', async () => {
    for (const seed of target.seeds.slice(0, 2)) expect(await tryInput(target, seed)).toBe('accepted');
  });

  it('gives a value or a VecsnapError for anything else', async () => {
    const numRuns = runs(target.isSlow === true ? 200 : 1300);
    await fc.assert(
      fc.asyncProperty(inputsOf(target), async (input) => {
        await tryInput(target, input);
      }),
      { numRuns },
    );
  });
});
