/** Forgetting: by ids, by a policy, or by the policies that the repository stores; and what the sweep after it would give back. */
import { OwnershipTable } from '../audit/index.js';
import { Catalogue, type ChunkStore, NodeReader } from '../cas/index.js';
import { isUnreadable, isVecsnapError, VecsnapError } from '../core/index.js';
import {
  checkPolicy,
  decideRetention,
  DEFAULT_SWEEP,
  type Policies,
  priceSweep,
  type RetentionDecision,
  type RetentionPolicy,
} from '../gc/index.js';
import { readWhole } from './beside-sweeps.js';
import { allSnapshots, goingBlobs, prepareSweep } from './collect.js';
import type { FoundNotes } from './damage-note.js';
import { forgetSnapshot } from './forgotten.js';
import { withMarks } from './marks.js';
import { policyOf, readPolicies } from './policies.js';
import type { WorkOptions } from './progress.js';
import type { Repository } from './repository.js';
import { invalidOption } from './settings.js';
import { type Snapshot, SNAPSHOT_PREFIX } from './snapshot.js';
import { manifestAddress } from './snapshot-blob.js';

/** What is to be forgotten. Without ids and without a policy, the policies that are stored decide. */
export interface ForgetOptions extends WorkOptions {
  /** These snapshots. */
  readonly ids?: readonly string[] | undefined;
  /** What this does not keep. */
  readonly policy?: RetentionPolicy | undefined;
  /** Look only at snapshots of this collection. */
  readonly collection?: string | undefined;
  /** Only say what would be forgotten, and what the sweep after it would give back. Default: false. */
  readonly dryRun?: boolean | undefined;
}

/** What one snapshot takes alone. */
export interface SnapshotPrice {
  readonly id: string;
  /** Bytes that nobody else needs: what becomes free when this one is forgotten and all others stay. Null when damage hides it. */
  readonly exclusiveBytes: number | null;
}

/** What forgetting would give back. */
export interface ForgetPrice {
  /**
   * Bytes that blobs will take less after the sweep. What is unused already counts too, and so do the blobs of the snapshots.
   * Null when the sweep would be refused, because something is damaged that another snapshot needs.
   */
  readonly reclaimableBytes: number | null;
  /** For each that is forgotten, oldest first. What several of them share counts for none, so these do not sum to the above. */
  readonly bySnapshot: readonly SnapshotPrice[];
}

/** What was forgotten or would be, and why the others stay. */
export interface ForgetReport extends RetentionDecision, Partial<ForgetPrice> {
  readonly dryRun: boolean;
  /** Those that cannot be had back, because the disk was full. */
  readonly final: readonly string[];
}

/**
 * Forgets snapshots. The decision is made with the lock held, so that it sees every pin. A dry run takes no lock.
 * @throws VecsnapError OPTION_INVALID, SNAPSHOT_UNKNOWN, SNAPSHOT_PINNED, POLICY_DAMAGED.
 */
export async function forget(
  repository: Repository,
  locked: <T>(work: () => Promise<T>) => Promise<T>,
  options: ForgetOptions,
): Promise<ForgetReport> {
  checkOptions(options);
  if (options.dryRun === true) {
    const decision = await decide(repository, options);
    return {
      ...decision,
      dryRun: true,
      final: [],
      ...(await price(repository, decision.forget, options.signal)),
    };
  }
  return locked(async () => {
    const decision = await decide(repository, options);
    const final: string[] = [];
    for (const id of decision.forget) if (!(await forgetSnapshot(repository, id))) final.push(id);
    return { ...decision, dryRun: false, final };
  });
}

/** What a policy, or those that are stored, keep and drop. */
export async function decideBy(
  repository: Repository,
  policy: RetentionPolicy | undefined,
  collection?: string,
): Promise<RetentionDecision> {
  const { environment } = repository;
  const snapshots = await withMarks(environment, (await repository.listSnapshots()).snapshots);
  const policies = await policiesFor(repository, policy, collection);
  return decideRetention(snapshots, policies, { now: environment.clock.now() });
}

function checkOptions({ ids, policy }: ForgetOptions): void {
  if (ids !== undefined && policy !== undefined)
    throw invalidOption('policy', 'a policy beside ids', 'either ids or a policy');
  if (policy !== undefined) checkPolicy(policy);
}

async function decide(
  repository: Repository,
  { ids, policy, collection }: ForgetOptions,
): Promise<RetentionDecision> {
  return ids === undefined ? decideBy(repository, policy, collection) : named(repository, ids, collection);
}

async function policiesFor(
  repository: Repository,
  policy: RetentionPolicy | undefined,
  collection: string | undefined,
): Promise<Policies> {
  const isMeant = (name: string): boolean => collection === undefined || name === collection;
  if (policy !== undefined) {
    const checked = checkPolicy(policy);
    return (name) => (isMeant(name) ? checked : undefined);
  }
  const stored = await readPolicies(repository.environment);
  const find = policyOf(stored);
  if (collection === undefined ? stored.length === 0 : find(collection) === undefined)
    throw noPolicy(repository);
  return (name) => (isMeant(name) ? find(name) : undefined);
}

/** All are looked up, and none is pinned, before the first is forgotten (docs/ordering.md, F2). */
async function named(
  repository: Repository,
  ids: readonly string[],
  collection: string | undefined,
): Promise<RetentionDecision> {
  const { snapshots } = await repository.listSnapshots();
  const marked = await withMarks(repository.environment, snapshots);
  const wanted = new Set(ids);
  for (const id of wanted) {
    const found = marked.find((one) => one.id === id) ?? (await repository.getSnapshot(id));
    if (found === undefined) throw unknown(repository, id);
    if (found.pinned) throw pinned(found);
  }
  const others = marked.filter(
    (one) => !wanted.has(one.id) && (collection ?? one.collection) === one.collection,
  );
  return { forget: [...wanted].toSorted(), keep: others.map(({ id }) => ({ id, reasons: ['not named'] })) };
}

/** What a sweep would give back when these were forgotten. Writers are not disturbed. */
async function price(
  repository: Repository,
  ids: readonly string[],
  signal: AbortSignal | undefined,
): Promise<ForgetPrice> {
  const sizes = new Map<string, number>();
  for await (const { name, size } of repository.environment.blobs.list(SNAPSHOT_PREFIX))
    sizes.set(name.slice(SNAPSHOT_PREFIX.length), size);
  const sizeOf = (id: string): number => sizes.get(id) ?? 0;
  return readWhole(repository, {
    list: async () => (await repository.listSnapshots({ fresh: true })).snapshots,
    async read({ store, notes }, snapshots) {
      const packBytes = await sweptBytes(repository, { store, notes }, new Set(ids), signal);
      const exclusive = await unlessDamaged(() => exclusiveBytes(store, snapshots));
      const blobBytes = ids.reduce((sum, id) => sum + sizeOf(id), 0);
      return {
        reclaimableBytes: packBytes === null ? null : packBytes + blobBytes,
        bySnapshot: ids.map((id) => ({
          id,
          exclusiveBytes: exclusive === null ? null : (exclusive.get(id) ?? 0) + sizeOf(id),
        })),
      };
    },
    isDoubtful: ({ reclaimableBytes, bySnapshot }) =>
      reclaimableBytes === null || bySnapshot.some(({ exclusiveBytes }) => exclusiveBytes === null),
  });
}

/** Bytes that a sweep would give back without these snapshots, their own blobs left out. */
async function sweptBytes(
  repository: Repository,
  { store, notes }: { readonly store: ChunkStore; readonly notes: FoundNotes },
  going: ReadonlySet<string>,
  signal: AbortSignal | undefined,
): Promise<number | null> {
  return unlessDamaged(async () => {
    const staying = (await allSnapshots(repository)).filter(({ id }) => !going.has(id));
    const prepared = await prepareSweep(store, staying, notes, { ...DEFAULT_SWEEP, signal });
    const packBytes = await priceSweep(store, prepared);
    const small = await goingBlobs(repository, new Set(staying.map(({ id }) => id)));
    return small.reduce((sum, { size }) => sum + size, packBytes);
  });
}

/** Null when damage is in the way. */
async function unlessDamaged<T>(work: () => Promise<T>): Promise<T | null> {
  try {
    return await work();
  } catch (error) {
    if (isUnreadable(error) || isVecsnapError(error, 'SWEEP_REFUSED', 'MANIFEST_DAMAGED')) return null;
    throw error;
  }
}

/** Bytes in packs that only one snapshot needs, by its id. */
async function exclusiveBytes(
  store: ChunkStore,
  snapshots: readonly Snapshot[],
): Promise<Map<string, number>> {
  const audited = snapshots
    .toReversed()
    .map(({ id, collection, checksum }) => ({ id, collection, manifest: manifestAddress({ checksum }) }));
  const catalogue = await Catalogue.read(store);
  const ownership = await OwnershipTable.build(catalogue, new NodeReader(store, catalogue), audited);
  await ownership.addBases();
  const bytes = new Map<string, number>();
  for (let number = 0; number < catalogue.size; number++) {
    const found = ownership.of(number);
    const owner = found === undefined || found.shared ? undefined : audited[found.owner];
    if (owner !== undefined) bytes.set(owner.id, (bytes.get(owner.id) ?? 0) + catalogue.sizeOf(number));
  }
  return bytes;
}

function unknown({ place }: Repository, id: string): VecsnapError {
  return new VecsnapError(
    'SNAPSHOT_UNKNOWN',
    `There is no snapshot with the id ${JSON.stringify(id.slice(0, 80))}.`,
    {
      place,
      remedy: 'listSnapshots gives the ids; findSnapshot takes names and the ends of ids.',
    },
  );
}

function pinned({ id, name }: Snapshot): VecsnapError {
  return new VecsnapError('SNAPSHOT_PINNED', `The snapshot ${JSON.stringify(name.slice(0, 80))} is pinned.`, {
    place: id,
    remedy: 'Unpin it first: vecsnap unpin, or unpinSnapshot.',
  });
}

function noPolicy({ place }: Repository): VecsnapError {
  return new VecsnapError(
    'OPTION_INVALID',
    'No policy is given, and the repository stores none that applies.',
    {
      place,
      remedy: 'Give a policy, or store one: vecsnap policy set, or setPolicy.',
    },
  );
}
