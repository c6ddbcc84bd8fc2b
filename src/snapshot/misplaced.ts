/**
 * Blobs that stand under the name of another, or have a flipped bit: recognised by what is in them, and put where they belong
 * (docs/ordering.md, P4 and P5).
 *
 *   1. Of each such blob a copy is put to `rescue/<its place>`; of a pack, whose name means nothing, to a place of its own.
 *   2. Only then does anything go: what stands in such a place and does not belong there is deleted when the same bytes stand where
 *      they belong, or in `rescue/`, and what was put to `rescue/` takes its place.
 *   3. Names in `packs/` and `damage/` whose content belongs elsewhere, and is there, are deleted.
 *
 * So at every moment all bytes are somewhere, and whoever begins again after a crash comes to the same end.
 */
import { equalBytes, isVecsnapError, toHex } from '../core/index.js';
import type { BlobStore } from '../blob/port.js';
import { PACK_PREFIX } from '../cas/index.js';
import { DAMAGE_PREFIX } from '../cas/known-damage.js';
import { bitsApart } from '../cas/pack.js';
import { CONFIG_BLOB } from './config.js';
import type { Environment } from './environment.js';
import { FORGOTTEN_PREFIX } from './forgotten.js';
import { fits, identify, type Identity, identityOf, type Known } from './identity.js';
import { MARKS_PREFIX } from './marks.js';
import { numberOf } from './numbered-blobs.js';
import { POLICIES_NAME } from './policies.js';
import { SNAPSHOT_PREFIX } from './snapshot.js';

type Store = Pick<Environment, 'blobs' | 'sha256'>;

/** Where blobs stand until they have their place. */
const RESCUE_PREFIX = 'rescue/';
/** Leases are left alone: whose they are, their holders know. */
const PREFIXES = [
  CONFIG_BLOB,
  SNAPSHOT_PREFIX,
  FORGOTTEN_PREFIX,
  MARKS_PREFIX,
  `${POLICIES_NAME}-`,
  DAMAGE_PREFIX,
  PACK_PREFIX,
] as const;

/** All blobs by their names, and what they are, as far as their content tells. */
export type Survey = ReadonlyMap<string, Known | undefined>;

/** Looks at all blobs of a repository but leases. */
export async function survey({ blobs, sha256 }: Store): Promise<Survey> {
  const found = new Map<string, Known | undefined>();
  for (const prefix of PREFIXES)
    for await (const stat of blobs.list(prefix)) found.set(stat.name, await identify(blobs, stat, sha256));
  return found;
}

/** Puts every blob where it belongs, as far as its content tells. @returns the names under which something is right again. */
export async function putInPlace(store: Store): Promise<readonly string[]> {
  const found = await survey(store);
  const waiting = await waitingPlaces(store);
  const put: string[] = [];
  for (const [name, known] of found) {
    if (known === undefined || isAtHome(name, known)) continue;
    if (known.kind === 'pack') put.push(...(await copyPack(store, name)));
    else if (!waiting.some((place) => fits(place, known))) await copyToRescue(store, name, known, found);
  }
  put.push(...(await finishReplacing(store)));
  for (const [name, known] of found)
    if (known !== undefined && !fits(name, known) && !put.includes(name)) await clear(store, name, known);
  return put;
}

/** Puts other bytes in place of a blob, which is kept in `rescue/` if it is not of use elsewhere. */
export async function replace(store: Store, name: string, bytes: Uint8Array): Promise<void> {
  const beside = `${RESCUE_PREFIX}${name}`;
  const inTheWay = await getIfThere(store.blobs, beside);
  if (inTheWay !== undefined) await keep(store, beside, inTheWay);
  await store.blobs.delete(beside);
  await store.blobs.put(beside, bytes);
  await finishReplacing(store);
}

function isAtHome(name: string, known: Known): boolean {
  return known.mended === undefined && fits(name, known);
}

/** A name is made of the content, so that somebody who begins anew makes no second copy. */
async function copyPack({ blobs, sha256 }: Store, name: string): Promise<string[]> {
  const bytes = await blobs.get(name);
  const place = `${PACK_PREFIX}${toHex(sha256(bytes)).slice(0, 32)}`;
  return (await putOnce(blobs, place, bytes)) ? [place] : [];
}

async function copyToRescue({ blobs }: Store, name: string, known: Known, found: Survey): Promise<void> {
  const place = placeOf(known, found);
  if (place === undefined) return;
  await putOnce(blobs, `${RESCUE_PREFIX}${place}`, known.mended ?? (await blobs.get(name)));
}

/** The places of what a crash has left in `rescue/`. What goes to one of them was removed from there perhaps, and belongs there still. */
async function waitingPlaces({ blobs, sha256 }: Store): Promise<string[]> {
  const places: string[] = [];
  for (const beside of await namesBelow(blobs, RESCUE_PREFIX)) {
    const place = beside.slice(RESCUE_PREFIX.length);
    const identity = identityOf(await blobs.get(beside), sha256);
    if (identity !== undefined && fits(place, identity)) places.push(place);
  }
  return places;
}

/** Where a blob belongs; undefined when something stands there already that belongs there as well. */
function placeOf(identity: Identity, found: Survey): string | undefined {
  const isHeld = (name: string): boolean => {
    const there = found.get(name);
    return there !== undefined && isAtHome(name, there);
  };
  const [first = ''] = identity.places;
  if (identity.kind === 'config') return isHeld(first) ? undefined : first;
  if (identity.kind === 'snapshot') {
    if (identity.places.some(isHeld)) return undefined;
    return identity.places.find((name) => found.has(name)) ?? first;
  }
  const names = [...found.keys()].filter((name) => name.startsWith(first));
  const free = names.filter((name) => !isHeld(name) && (identity.kind === 'note' || numberOf(name) >= 0));
  // With numbers, the highest counts: that one is wrong, and so this is what it should say.
  const highest = free.toSorted((a, b) => numberOf(a) - numberOf(b)).at(-1);
  return highest ?? (names.length === 0 ? `${first}1` : undefined);
}

/** Lets what stands in `rescue/` take its place, also what a crash has left there. @returns the places. */
async function finishReplacing(store: Store): Promise<string[]> {
  const { blobs, sha256 } = store;
  const taken: string[] = [];
  for (const beside of await namesBelow(blobs, RESCUE_PREFIX)) {
    const name = beside.slice(RESCUE_PREFIX.length);
    const bytes = await blobs.get(beside);
    const identity = identityOf(bytes, sha256);
    if (identity === undefined || !fits(name, identity)) continue; // Kept for somebody to look at.
    if (await takePlace(store, name, bytes)) taken.push(name);
    await blobs.delete(beside);
  }
  return taken;
}

/** @returns whether something else stood there, or nothing. */
async function takePlace(store: Store, name: string, bytes: Uint8Array): Promise<boolean> {
  const { blobs, sha256 } = store;
  const there = await getIfThere(blobs, name);
  const identity = there && identityOf(there, sha256);
  if (identity !== undefined && fits(name, identity)) return false;
  if (there !== undefined && !isAlike(there, bytes)) await keep(store, name, there);
  await blobs.delete(name);
  await blobs.put(name, bytes);
  return true;
}

/** Whether nothing is lost with the one when there is the other. */
function isAlike(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && bitsApart(a, b) <= 1;
}

/** What stands in a wrong place and goes from there is kept, unless it stands in its own place, or will. */
async function keep(store: Store, name: string, bytes: Uint8Array): Promise<void> {
  const { blobs, sha256 } = store;
  const known = await identify(blobs, { name, size: bytes.length }, sha256);
  if (known !== undefined && (await standsElsewhere(store, name, known))) return;
  await putOnce(blobs, `${RESCUE_PREFIX}damaged-${toHex(sha256(bytes)).slice(0, 32)}`, bytes);
}

/** Whether the same, or what was mended of it, stands where it belongs, or waits in `rescue/` to get there. */
async function standsElsewhere({ blobs }: Store, name: string, known: Known): Promise<boolean> {
  const bytes = known.mended ?? (await blobs.get(name));
  for (const prefix of [...known.places, ...known.places.map((place) => `${RESCUE_PREFIX}${place}`)])
    for await (const { name: other, size } of blobs.list(prefix))
      if (other !== name && size === bytes.length && equalBytes(await blobs.get(other), bytes)) return true;
  return false;
}

/**
 * A pack or a note that is something else in truth would be told as damaged for ever, and notes that are told are deleted by a repair.
 * All other names say that something is missing, and stay.
 */
async function clear(store: Store, name: string, known: Known): Promise<void> {
  const isNote = name.startsWith(DAMAGE_PREFIX);
  if (isNote) await keep(store, name, await store.blobs.get(name));
  if (isNote || (name.startsWith(PACK_PREFIX) && (await standsElsewhere(store, name, known))))
    await store.blobs.delete(name);
}

async function putOnce(blobs: BlobStore, name: string, bytes: Uint8Array): Promise<boolean> {
  if ((await blobs.stat(name)) !== undefined) return false;
  await blobs.put(name, bytes);
  return true;
}

async function getIfThere(blobs: BlobStore, name: string): Promise<Uint8Array | undefined> {
  return blobs.get(name).catch((error: unknown) => {
    if (isVecsnapError(error, 'BLOB_MISSING')) return undefined;
    throw error;
  });
}

async function namesBelow(blobs: BlobStore, prefix: string): Promise<string[]> {
  const names: string[] = [];
  for await (const { name } of blobs.list(prefix)) names.push(name);
  return names;
}
