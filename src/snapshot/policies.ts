/** Policies that are stored in the repository: one for each collection that has its own, and one for all others. */
import { asMap, type Canonical, isVecsnapError, quoteValue, VecsnapError } from '../core/index.js';
import type { RetentionPolicy } from '../gc/index.js';
import type { Environment } from './environment.js';
import { listNumbered, replaceNumbered } from './numbered-blobs.js';
import { seal } from './seal.js';
import { getSealed, unseal } from './sealed-blob.js';

/** A policy that is stored. */
export interface StoredPolicy {
  /** Null: for every collection that has none of its own. */
  readonly collection: string | null;
  readonly policy: RetentionPolicy;
}

type Where = Pick<Environment, 'blobs' | 'sha256'>;

/** Where policies stand: all in one blob. */
export const POLICIES_NAME = 'policies/all';
const MAGIC = 'vsnplcy';
const VERSION = 1;

/** All of them, that for all collections first. @throws VecsnapError POLICY_DAMAGED, REPOSITORY_NEWER. */
export async function readPolicies({ blobs, sha256 }: Where): Promise<readonly StoredPolicy[]> {
  for (;;) {
    const found = (await listNumbered(blobs, `${POLICIES_NAME}-`)).get(POLICIES_NAME);
    if (found === undefined) return [];
    const { name } = found.current;
    const bytes = await getSealed(blobs, name).catch((error: unknown) => {
      if (isVecsnapError(error, 'BLOB_MISSING')) return undefined; // Replaced since it was listed.
      throw error;
    });
    if (bytes !== undefined) return decode(unseal(MAGIC, bytes, sha256), name);
  }
}

/** Lets `policy` be that of a collection, or takes it away. The caller holds the lock. @returns whether there was one. */
export async function changePolicy(
  where: Where,
  collection: string | null,
  policy: RetentionPolicy | undefined,
): Promise<boolean> {
  const before = await readPolicies(where);
  const others = before.filter((one) => one.collection !== collection);
  const after = policy === undefined ? others : [...others, { collection, policy }];
  const isChange = policy !== undefined || others.length < before.length;
  if (isChange) await replaceNumbered(where.blobs, POLICIES_NAME, encode(after, where));
  return others.length < before.length;
}

/** The policy of each collection, as far as there is one. */
export function policyOf(
  policies: readonly StoredPolicy[],
): (collection: string) => RetentionPolicy | undefined {
  const byCollection = new Map(policies.map(({ collection, policy }) => [collection, policy]));
  return (collection) => byCollection.get(collection) ?? byCollection.get(null);
}

/** Whether these bytes are the policies of a repository, of whatever version. */
export function arePolicies(bytes: Uint8Array, sha256: Where['sha256']): boolean {
  return !('flaw' in unseal(MAGIC, bytes, sha256));
}

function encode(policies: readonly StoredPolicy[], { sha256 }: Where): Uint8Array {
  const sorted = policies.toSorted((a, b) => ((a.collection ?? '') < (b.collection ?? '') ? -1 : 1));
  return seal(MAGIC, { version: VERSION, policies: sorted } as unknown as Canonical, sha256);
}

function decode(unsealed: ReturnType<typeof unseal>, blob: string): readonly StoredPolicy[] {
  if ('flaw' in unsealed) throw policyDamaged(blob);
  const { version, policies } = asMap(unsealed.value) ?? {};
  if (version !== VERSION) throw newerPolicy(blob, version);
  if (!Array.isArray(policies) || !policies.every(isStoredPolicy)) throw policyDamaged(blob);
  return policies;
}

/** Its options are checked when it is used. */
function isStoredPolicy(value: unknown): value is StoredPolicy {
  const { collection, policy } = (value ?? {}) as { readonly [key: string]: unknown };
  const isNamed = collection === null || typeof collection === 'string';
  return isNamed && typeof policy === 'object' && policy !== null && !Array.isArray(policy);
}

function policyDamaged(place: string): VecsnapError {
  return new VecsnapError('POLICY_DAMAGED', 'The policies of the repository cannot be read.', {
    place,
    remedy:
      'Run vecsnap repair, which mends a flipped bit and puts back what stands under a wrong name. If it cannot, put the file back from another copy of the repository, or delete it and set the policies again.',
  });
}

function newerPolicy(place: string, version: Canonical | undefined): VecsnapError {
  return new VecsnapError(
    'REPOSITORY_NEWER',
    `Policies have format ${quoteValue(version)}; this vecsnap reads ${VERSION}.`,
    { place, remedy: 'Install a newer version of vecsnap.' },
  );
}
