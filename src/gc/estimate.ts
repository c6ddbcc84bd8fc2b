/**
 * What very many deltas will take when they stand alone, from encoding some of them.
 *
 * They are sorted by how much of their plaintext they are expected to take and divided into classes, so that dense and sparse ones do not
 * speak for each other. Of each class some are encoded, chosen by their addresses: these are digests, so what is chosen has nothing to do
 * with what it takes. The others are taken to miss what was expected of them as much as these do. How far that may be off in all is told by
 * how much these differ from each other, and as long as it is too much, twice as many are encoded.
 */
import { CODECS, type PackEntry } from '../cas/index.js';
import type { Address } from '../core/index.js';

/** How large a chunk will be in a pack. */
export type Priced = Pick<PackEntry, 'storedLength' | 'length' | 'codec' | 'baseCount'>;

/** A delta that is to stand alone. */
export interface ExpectedDelta {
  readonly address: Address;
  readonly length: number;
  /** About as many bytes it will take. */
  readonly expected: number;
}

/** The most classes. */
const CLASSES = 16;
/** As many of a class are encoded at least: of fewer it cannot be said how much they differ. */
const LEAST = 24;
/** An estimate may be off by this part of what it is needed for. */
const TOLERANCE = 0.02;
/** By as many standard errors an estimate is hardly ever off. */
const SURE = 4;

/** Deltas that are expected to take about the same part of their plaintext. */
interface Class {
  /** Their numbers; those first that are encoded first. */
  readonly members: readonly number[];
  /** How many are encoded. */
  encoded: number;
}

/**
 * Gives the forms of all, in order.
 * @param encode tells the forms of some.
 * @param worth what the sum of all is needed for, if it is `bytes`: by a part of that it may be off.
 * @param share the part of them that is encoded first, from 0 to 1.
 */
export async function estimateForms(
  deltas: readonly ExpectedDelta[],
  encode: (addresses: readonly Address[]) => Promise<Priced[]>,
  worth: (bytes: number) => number,
  share: number,
): Promise<Priced[]> {
  const classes = classesOf(deltas, share);
  const forms = new Map<number, Priced>();
  for (let part = Math.max(share, 1 / deltas.length); ; part *= 2) {
    for (const one of classes) {
      const wanted = Math.min(one.members.length, Math.max(LEAST, Math.ceil(one.members.length * part)));
      const fresh = one.members.slice(one.encoded, wanted);
      const found = await encode(fresh.map((number) => (deltas[number] as ExpectedDelta).address));
      for (const [i, number] of fresh.entries()) forms.set(number, found[i] as Priced);
      one.encoded = wanted;
    }
    const estimates = classes.map((one) => estimateOf(one, deltas, forms));
    const bytes = estimates.reduce((sum, estimate) => sum + estimate.bytes, 0);
    const error = Math.sqrt(estimates.reduce((sum, { variance }) => sum + variance, 0));
    if (SURE * error > TOLERANCE * Math.abs(worth(bytes))) continue;
    for (const [i, { members }] of classes.entries())
      for (const number of members)
        if (!forms.has(number))
          forms.set(number, guess(deltas[number] as ExpectedDelta, estimates[i]?.ratio));
    return deltas.map((_, number) => forms.get(number) as Priced);
  }
}

function guess({ length, expected }: ExpectedDelta, ratio = 1): Priced {
  return { codec: CODECS.raw, length, storedLength: Math.round(expected * ratio), baseCount: undefined };
}

/** Classes of as many members each, from the least part of the plaintext to the largest. */
function classesOf(deltas: readonly ExpectedDelta[], share: number): Class[] {
  const density = deltas.map(({ length, expected }) => expected / Math.max(1, length));
  const order = deltas.map((_, i) => i).toSorted((a, b) => (density[a] as number) - (density[b] as number));
  const count = Math.max(1, Math.min(CLASSES, Math.floor((order.length * share) / LEAST)));
  const size = Math.ceil(order.length / count);
  const keys = deltas.map(({ address }) => keyOf(address));
  return Array.from({ length: Math.ceil(order.length / size) }, (_, i) => ({
    members: order
      .slice(i * size, (i + 1) * size)
      .toSorted((a, b) => (keys[a] as number) - (keys[b] as number)),
    encoded: 0,
  }));
}

/** The first bytes of an address, as a number. */
function keyOf(address: Address): number {
  return address.subarray(0, 6).reduce((key, byte) => key * 256 + byte, 0);
}

/** What a class takes, by what those of it that are encoded take beside what was expected of them. */
function estimateOf(
  { members, encoded }: Class,
  deltas: readonly ExpectedDelta[],
  forms: ReadonlyMap<number, Priced>,
): { ratio: number; bytes: number; variance: number } {
  const expectedOf = (number: number): number => (deltas[number] as ExpectedDelta).expected;
  const storedOf = (number: number): number => (forms.get(number) as Priced).storedLength;
  const sample = members.slice(0, encoded);
  const stored = sum(sample, storedOf);
  const ratio = stored / Math.max(1, sum(sample, expectedOf));
  const left = members.length - encoded;
  if (left === 0) return { ratio, bytes: stored, variance: 0 };
  const spread =
    sum(sample, (number) => (storedOf(number) - ratio * expectedOf(number)) ** 2) / (encoded - 1);
  const bytes = stored + ratio * sum(members.slice(encoded), expectedOf);
  return { ratio, bytes, variance: (spread * members.length * left) / encoded };
}

function sum(numbers: readonly number[], of: (number: number) => number): number {
  return numbers.reduce((total, number) => total + of(number), 0);
}
