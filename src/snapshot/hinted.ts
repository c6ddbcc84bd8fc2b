/**
 * Takes records by what the source says has changed since the snapshot before: only the row groups that a change touches, and
 * neighbours whose ends it can move, are read from the store and cut again; all else is referred to as it is. The tree that
 * comes of it is the one that a full scan builds (docs/decisions/0007-change-hints.md).
 */
import {
  compareBytes,
  compareIds,
  hashBytes,
  inBatches,
  mapAhead,
  mergeChanges,
  type Place,
  type RecordBatch,
  type RecordId,
  recut,
  type Replacement,
  type Schema,
  Semaphore,
  type Sequence,
  type Sha256,
  throwIfAborted,
  type TouchedGroup,
} from '../core/index.js';
import { findInIdColumn, gatherRowGroup, idKey, rowGroupCuts } from '../chunker/index.js';
import type { ChunkStore, ChunkWriter, NewChunk } from '../cas/index.js';
import {
  type BuiltTree,
  byPlace,
  type EditedNode,
  editTree,
  type EntryChange,
  TreePlaces,
  TreeReader,
  type TreeReference,
} from '../manifest/index.js';
import type { RepositoryConfig } from './config.js';
import { auditHints } from './hint-audit.js';
import { HintsRefused, type TakeHints } from './hints.js';
import { nonFiniteIn } from './non-finite.js';
import { findRows, type OldGroup, OldGroups, type Row, rowsOf } from './old-groups.js';
import { type GroupPatch, moreNonFinite, patchOf } from './patch.js';
import type { ProgressCounter } from './progress.js';
import { RowGroupStore } from './row-group-store.js';

/** The records of the snapshot before. */
export interface HintedBase {
  readonly store: ChunkStore;
  readonly records: TreeReference;
  readonly nonFiniteCount: number;
}

/** What taking works with. */
export interface HintedParts {
  readonly writer: ChunkWriter;
  readonly config: RepositoryConfig;
  readonly sha256: Sha256;
  readonly progress: ProgressCounter;
  readonly signal: AbortSignal | undefined;
}

/** What was taken. */
export interface HintedRecords {
  readonly tree: TreeReference;
  readonly nonFiniteCount: number;
}

/** Groups are read and stored by about so many bytes at a time: fewer at first, so that no thread waits long for work, then more. */
const FIRST_BATCH_BYTES = 1024 * 1024;
const BATCH_BYTES = 8 * 1024 * 1024;
/** Batches that are under way at the same time, of those that are read and of those that are stored. */
const BATCHES_AHEAD = 4;
/** Those that are read: what little of them is needed then waits in no thread behind much that is to be stored. */
const READ_AHEAD = 10;
/** Nodes that are stored together. */
const NODES_TOGETHER = 64;
/** When more than this part of the records may have changed, reading all of them is quicker. */
const MOST_CHANGED = 1 / 4;

/**
 * Stores what changed, and audits the rest at the same time.
 * @throws HintsRefused when that cannot be done, or something else has changed; what the source and the store throw.
 */
export async function takeHinted(
  schema: Schema,
  hints: TakeHints,
  base: HintedBase,
  parts: HintedParts,
): Promise<HintedRecords> {
  if (hints.ids.length > base.records.count * MOST_CHANGED)
    throw new HintsRefused('so many records have changed that a scan is quicker');
  const places = new TreePlaces(new TreeReader(base.store), base.records.root);
  const old = new OldGroups(base.store, schema);
  const groups = new RowGroupStore(schema, parts.config);
  const taking = new HintedTaking({ ...parts, schema, hints, places, old, groups }, base);
  const { rowGroups } = parts.config;
  const { count } = base.records;
  const auditParts = { ...parts, schema, places, count, old, groups, rowGroups };
  const run = taking.run();
  // What is looked up for the audit would keep groups from the threads that wait for them.
  const audit = taking.isUnderWay.then(() => auditHints(hints, auditParts));
  const [taken, audited] = await Promise.allSettled([run, audit]);
  if (audited.status === 'rejected') throw audited.reason;
  if (taken.status === 'rejected') throw taken.reason;
  return taken.value;
}

interface TakingParts extends HintedParts {
  readonly schema: Schema;
  readonly hints: TakeHints;
  readonly places: TreePlaces;
  readonly old: OldGroups;
  readonly groups: RowGroupStore;
}

/** A group and the changes that belong to it. */
interface Located {
  readonly place: Place<OldGroup>;
  readonly ids: readonly RecordId[];
}

class HintedTaking {
  readonly #parts: TakingParts;
  readonly #base: HintedBase;
  #nonFinite: number;
  /** One after the other, so that the first is done when others still wait. */
  readonly #lookUps = new Semaphore(1);
  #getUnderWay = (): void => {};
  /** Resolves when all groups are being stored, or it has failed. */
  readonly isUnderWay = new Promise<void>((resolve) => (this.#getUnderWay = resolve));

  constructor(parts: TakingParts, base: HintedBase) {
    this.#parts = parts;
    this.#base = base;
    this.#nonFinite = base.nonFiniteCount;
  }

  async run(): Promise<HintedRecords> {
    try {
      return await this.#run();
    } finally {
      this.#getUnderWay();
    }
  }

  async #run(): Promise<HintedRecords> {
    const { schema, config, hints, progress } = this.#parts;
    const replacements = recut(this.#touched(), this.#sequence(), rowGroupCuts(schema, config.rowGroups));
    const runs = this.#untilUnderWay(inBatches(replacements, sizeOf, batchBytes));
    const changes: EntryChange[] = [];
    for await (const some of mapAhead(runs, BATCHES_AHEAD, (run) => this.#store(run))) changes.push(...some);
    const tree = changes.length === 0 ? this.#base.records : await this.#editTree(changes);
    const { count } = hints.lookUp;
    if (count !== undefined && count !== tree.count)
      throw new HintsRefused(
        `they are wrong, because they leave ${tree.count} records where there are ${count}`,
      );
    progress.finish(tree.count, tree.bytes);
    return { tree, nonFiniteCount: this.#nonFinite };
  }

  /** Gives runs, and says so when whoever takes them has begun with the last. */
  async *#untilUnderWay<T>(runs: AsyncIterable<T>): AsyncGenerator<T> {
    yield* runs;
    this.#getUnderWay();
  }

  /** The groups to which changed ids belong, with their records as they are now. */
  async *#touched(): AsyncGenerator<TouchedGroup<OldGroup, Row>> {
    const runs = inBatches(this.#located(), ({ place }) => place.group.entry.bytes, batchBytes);
    for await (const groups of mapAhead(runs, READ_AHEAD, (run) => this.#merge(run))) {
      throwIfAborted(this.#parts.signal);
      yield* groups;
    }
  }

  async *#located(): AsyncGenerator<Located> {
    const { hints, places, old } = this.#parts;
    const changed = Array.from(hints.ids as Iterable<RecordId>, (id) => ({ id, key: idKey(id) }));
    for await (const { place, changes } of byPlace(places, 0, changed))
      yield { place: old.at(place), ids: changes.map(({ id }) => id) };
  }

  async #merge(run: readonly Located[]): Promise<TouchedGroup<OldGroup, Row>[]> {
    const { schema, hints, old } = this.#parts;
    const asked = run.flatMap(({ ids }) => ids);
    const [found] = await Promise.all([
      this.#lookUps.run(() => findRows(hints.lookUp, schema, asked)),
      old.loadBesideVectors(run.map(({ place }) => place.group)),
    ]);
    return run.flatMap((located) => this.#patched(located, found) ?? this.#merged(located, found));
  }

  /** The group with other records in some places, when none comes or goes. */
  #patched(
    { place, ids }: Located,
    found: ReadonlyMap<RecordId, Row>,
  ): TouchedGroup<OldGroup, Row>[] | undefined {
    const { group } = place;
    const [bytes] = group.columns;
    const kind = this.#parts.schema.id as 'string' | 'u64';
    const rows = findInIdColumn(kind, bytes as Uint8Array, group.group.count, ids.map(idKey));
    if (ids.some((id, i) => found.has(id) !== (rows[i] as number) >= 0)) return undefined;
    group.patch = ids.flatMap((id, i) => {
      const by = found.get(id);
      return by === undefined ? [] : [{ row: rows[i] as number, by }];
    });
    if (group.patch.length === 0) return [];
    const items = () => mergeChanges(this.#rowsOf(group), changesOf(ids, found), byId).items();
    return [{ place, items, size: group.group.count, before: Infinity, after: Infinity }];
  }

  #merged({ place, ids }: Located, found: ReadonlyMap<RecordId, Row>): TouchedGroup<OldGroup, Row>[] {
    const { isTouched, ...merged } = mergeChanges(this.#rowsOf(place.group), changesOf(ids, found), byId);
    return isTouched ? [{ place, ...merged }] : [];
  }

  #rowsOf(group: OldGroup): Row[] {
    return rowsOf(group, this.#parts.old.idsOf(group));
  }

  /** Of groups beside touched ones, no more is read at first than their ids. */
  #sequence(): Sequence<OldGroup, Row> {
    return {
      size: async ({ group }) => group.entry.count,
      items: async ({ group }) => {
        const [ids] = await this.#parts.old.ids([group]);
        return rowsOf(group, ids ?? []);
      },
      hash: ({ id }) => hashBytes(idKey(id)),
      key: ({ id }) => idKey(id),
    };
  }

  /** Stores what comes. @returns what becomes of the entries, in the order of their keys. */
  async #store(run: readonly Replacement<OldGroup, Row>[]): Promise<EntryChange[]> {
    throwIfAborted(this.#parts.signal);
    const patched = run.filter(isPatched);
    const cut = run.filter((replacement) => !isPatched(replacement));
    const changes = await Promise.all([this.#storePatched(patched), this.#storeCut(cut)]);
    return changes.flat().toSorted((a, b) => compareBytes(a.key, b.key));
  }

  async #storePatched(run: readonly Replacement<OldGroup, Row>[]): Promise<EntryChange[]> {
    const { schema, groups, writer, progress } = this.#parts;
    const patches = run.map(({ old }) => patchOf(schema, old as OldGroup));
    const patched = await groups.patch(writer, patches);
    const changes: EntryChange[] = [];
    const whole: Replacement<OldGroup, Row>[] = [];
    for (const [i, replacement] of run.entries()) {
      const made = patched[i];
      if (made === undefined) whole.push(replacement);
      if (made?.entry === undefined) continue;
      const { entry: value, replaced } = made;
      this.#nonFinite += moreNonFinite(schema, patches[i] as GroupPatch, replaced);
      progress.add(value.count, value.bytes);
      changes.push({ key: replacement.key, value });
    }
    return [...changes, ...(await this.#storeCut(whole))];
  }

  async #storeCut(run: readonly Replacement<OldGroup, Row>[]): Promise<EntryChange[]> {
    const { schema, groups, writer, progress, old: reader } = this.#parts;
    const needed = run.flatMap(({ old, near }) => (old === undefined ? near : [...near, old]));
    await reader.load(needed);
    for (const { old } of run)
      if (old !== undefined) this.#nonFinite -= nonFiniteIn(schema, reader.batchOf(old).vectors);
    const coming = run.flatMap(({ items, near }) => {
      if (items === undefined) return [];
      for (const group of near) reader.batchOf(group);
      const rows = items().map(({ from, row }) => ({ batch: from.batch as RecordBatch, row }));
      return [{ group: gatherRowGroup(schema, rows), near: near.map(({ group }) => group) }];
    });
    const cut = coming.map(({ group }) => group);
    for (const { columns } of cut) this.#nonFinite += nonFiniteIn(schema, columns.slice(1));
    const similar = coming.map(({ near }) => near);
    const entries = await groups.put(writer, cut, { similar });
    for (const { count, bytes } of entries) progress.add(count, bytes);
    let next = 0;
    return run.map(({ key, items }) => ({ key, value: items === undefined ? undefined : entries[next++] }));
  }

  async #editTree(changes: readonly EntryChange[]): Promise<BuiltTree> {
    const { places, sha256, config, writer } = this.#parts;
    let tree: BuiltTree | undefined;
    const nodes = async function* (): AsyncGenerator<EditedNode> {
      tree = yield* editTree(places, changes, sha256, config.nodes);
    };
    const batches = inBatches(nodes(), () => 1, NODES_TOGETHER);
    for await (const _ of mapAhead(batches, BATCHES_AHEAD, (some) => writer.put(some.map(toChunk))));
    return tree as BuiltTree;
  }
}

function batchBytes(batch: number): number {
  return Math.min(BATCH_BYTES, FIRST_BATCH_BYTES * 2 ** batch);
}

function toChunk({ bytes, near }: EditedNode): NewChunk {
  const similar = near.length === 0 ? undefined : { unit: 1, addresses: near.slice(0, 4) };
  return { bytes, width: 0, kind: 'node', similar };
}

function sizeOf({ old, near }: Replacement<OldGroup, Row>): number {
  return (near[0] ?? old)?.entry.bytes ?? 0;
}

/** Whether some records of a group are others, and nothing else has become of it. */
function isPatched({ isSameKeys, old }: Replacement<OldGroup, Row>): boolean {
  return isSameKeys && old?.patch !== undefined;
}

function changesOf(ids: readonly RecordId[], found: ReadonlyMap<RecordId, Row>) {
  return ids.map((id) => ({ id, value: found.get(id) }));
}

function byId(row: Row, { id }: { readonly id: RecordId }): number {
  return compareIds(row.id, id);
}
