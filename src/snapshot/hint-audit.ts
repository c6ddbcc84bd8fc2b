/**
 * Reads some of the row groups in which, as the source says, nothing has changed, and compares them with the snapshot before.
 *
 * Records are counted off: between two groups that are read there are as many others in the mean as the rate says, at random.
 * So a rate of 1 reads every group, and a small one does not even read the nodes of the tree between.
 */
import {
  compareIds,
  encodeCanonical,
  equalBytes,
  inBatches,
  mapAhead,
  quoteId,
  type RandomBytes,
  type RecordBatch,
  type RecordId,
  type Schema,
  type Sha256,
  throwIfAborted,
  viewOf,
} from '../core/index.js';
import { gatherRowGroup, rowGroupCuts, type RowGroupOptions } from '../chunker/index.js';
import type { TreePlaces } from '../manifest/index.js';
import { HintsRefused, type TakeHints } from './hints.js';
import { findRows, type OldGroup, type OldGroups } from './old-groups.js';
import type { RowGroupStore } from './row-group-store.js';

/** What an audit works with. */
export interface AuditParts {
  readonly schema: Schema;
  readonly places: TreePlaces;
  /** Records in the snapshot before; more than none. */
  readonly count: number;
  readonly old: OldGroups;
  readonly groups: RowGroupStore;
  readonly rowGroups: RowGroupOptions;
  readonly sha256: Sha256;
  readonly signal: AbortSignal | undefined;
}

/** Groups are compared by about this many bytes at a time. */
const BATCH_BYTES = 1024 * 1024;
const BATCHES_AHEAD = 2;

/** @throws HintsRefused when a group is not what it should be. */
export async function auditHints(hints: TakeHints, parts: AuditParts): Promise<void> {
  const runs = inBatches(sampled(hints, parts), ({ entry }) => entry.bytes, BATCH_BYTES);
  for await (const lie of mapAhead(runs, BATCHES_AHEAD, (run) => findLie(run, hints, parts))) {
    throwIfAborted(parts.signal);
    if (lie !== undefined) throw new HintsRefused(`they are wrong, because they do not tell that ${lie}`);
  }
}

/** The groups to read: at least one, if there is one in which nothing should have changed. */
async function* sampled(
  { auditRate, random }: TakeHints,
  { places, count, schema, rowGroups, old }: AuditParts,
): AsyncGenerator<OldGroup> {
  const mean = 2 * rowGroupCuts(schema, rowGroups).window + 1;
  const gap = auditRate === 0 ? count : Math.min(count, (1 / auditRate - 1) * mean);
  const skip = () => Math.floor(2 * gap * fraction(random));
  const first = skip();
  for (let position = first < count ? first : Math.floor(count * fraction(random)); position < count;) {
    const { place, end } = await places.at(position);
    yield old.at(place).group;
    position = end + skip();
  }
}

/** A number from 0 up to but not including 1. */
function fraction(random: RandomBytes): number {
  return viewOf(random(4)).getUint32(0, true) / 2 ** 32;
}

/** What is not as it should be among these groups, if anything. */
async function findLie(
  run: readonly OldGroup[],
  { ids: changed, lookUp }: TakeHints,
  { schema, old, groups, sha256 }: AuditParts,
): Promise<string | undefined> {
  const columns = await old.ids(run);
  const quiet = run.flatMap((group, i) => {
    const ids = Array.from(columns[i] as Iterable<RecordId>);
    return anyWithin(changed, ids[0] as RecordId, ids.at(-1) as RecordId) ? [] : [{ group, ids }];
  });
  const found = await findRows(
    lookUp,
    schema,
    quiet.flatMap(({ ids }) => ids),
  );
  for (const { group, ids } of quiet) {
    const missing = ids.find((id) => !found.has(id));
    if (missing !== undefined) return `the record ${quoteId(missing)} is gone`;
    const rows = ids.map((id) => found.get(id) as { from: { batch: RecordBatch }; row: number });
    const now = groups.entryOf(
      gatherRowGroup(
        schema,
        rows.map(({ from, row }) => ({ batch: from.batch, row })),
      ),
      sha256,
    );
    if (!sameValue(now.value, group.entry.value))
      return `a record from ${quoteId(ids[0] as RecordId)} to ${quoteId(ids.at(-1) as RecordId)} has changed`;
  }
  return undefined;
}

function sameValue(a: OldGroup['entry']['value'], b: OldGroup['entry']['value']): boolean {
  return equalBytes(encodeCanonical(a), encodeCanonical(b));
}

/** Whether one of the ids lies between two others or is one of them. */
function anyWithin(ids: TakeHints['ids'], first: RecordId, last: RecordId): boolean {
  let [low, high] = [0, ids.length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (compareIds(ids[middle] as RecordId, first) < 0) low = middle + 1;
    else high = middle;
  }
  return low < ids.length && compareIds(ids[low] as RecordId, last) <= 0;
}
