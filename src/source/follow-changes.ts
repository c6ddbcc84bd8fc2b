/** Gives a source the hints of a journal: which records changed since a snapshot. */
import { compareIds, type IdKind } from '../core/index.js';
import { addMark, type Journal, type Mark, readJournal, readMarks, settledPlace } from './change-journal.js';
import type { ChangeHints, OpenSource, RecordLookup, Source, WriteCount } from './port.js';

/** How {@link followChanges} works. */
export interface FollowOptions {
  /** The journal that {@link trackChanges} writes. */
  readonly journal: string;
}

/**
 * The same source, for snapshots that read no more than what the journal names. The first snapshot reads everything, and so does
 * each whose base the journal does not follow; its notes then say why.
 *
 * The source must find records by their ids ({@link OpenSource.lookUp}), as that of ruvector does.
 */
export function followChanges(source: Source, { journal: path }: FollowOptions): Source {
  return {
    place: source.place,
    collection: source.collection,
    async open(options) {
      // Whatever is over now is in what the source gives; what comes later may be, or not (docs/ordering.md, J2).
      const before = await readJournal(path);
      const open = await source.open(options);
      return following(open, new JournalHints(path, before, open));
    },
  };
}

function following(open: OpenSource, changes: ChangeHints): OpenSource {
  const { format, schema, records, files, expected, notes, lookUp } = open;
  return {
    format,
    schema,
    records,
    files,
    expected,
    notes,
    state: () => open.state?.(),
    lookUp,
    changes,
    confirmUnchanged: () => open.confirmUnchanged(),
    close: () => open.close(),
  };
}

type Told = Awaited<ReturnType<ChangeHints['since']>>;

class JournalHints implements ChangeHints {
  readonly #path: string;
  /** The journal as it was before the source was opened. */
  readonly #before: Journal | undefined;
  readonly #idKind: IdKind;
  readonly #lookUp: RecordLookup | undefined;

  constructor(path: string, before: Journal | undefined, { schema, lookUp }: OpenSource) {
    this.#path = path;
    this.#before = before;
    this.#idKind = schema?.id ?? 'none';
    this.#lookUp = lookUp;
  }

  /** Read after the source was opened: then it names everything that the source may show (docs/ordering.md, J2). */
  async since(snapshot: string): Promise<Told> {
    const journal = await readJournal(this.#path);
    if (journal === undefined) return { unknown: `there is no journal of changes at ${this.#path}` };
    const mark = (await readMarks(this.#path)).find((one) => one.snapshot === snapshot);
    if (mark === undefined) return { unknown: 'the journal of changes does not follow the snapshot before' };
    const { id, start, end, isDamaged } = journal;
    if (isDamaged) return { unknown: 'the journal of changes is damaged' };
    if (mark.journal !== id || mark.place < start || mark.place > end)
      return { unknown: 'the journal of changes does not go back to the snapshot before' };
    return this.#told(journal, mark);
  }

  async follow(snapshot: string): Promise<void> {
    if (this.#before === undefined) return; // Nobody tracks anything yet.
    const { commits, identity } = this.#lookUp?.writes ?? {};
    const place = settledPlace(this.#before);
    await addMark(this.#path, { snapshot, journal: this.#before.id, place, commits, identity });
  }

  #told({ frames }: Journal, mark: Mark): Told {
    const later = frames.filter(({ place }) => place >= mark.place);
    const writes = later.filter(({ kind }) => kind === 'write');
    const openings = later.filter(({ kind }) => kind === 'opened').length;
    const doubt = doubtOf(mark, this.#lookUp?.writes, writes.length, openings);
    if (doubt !== undefined) return { unknown: doubt };
    const ids = new Set<string>();
    for (const write of writes) {
      if (write.ids === undefined) return { unknown: 'something was written without telling which records' };
      for (const id of write.ids) ids.add(id);
    }
    return this.#sorted(ids);
  }

  #sorted(texts: ReadonlySet<string>): Told {
    if (this.#idKind === 'string') return { ids: [...texts].toSorted(compareIds) };
    const other = [...texts].find((text) => !/^\d{1,20}$/.test(text) || BigInt(text) >= 2n ** 64n);
    if (other !== undefined)
      return {
        unknown: `the journal names ${JSON.stringify(other.slice(0, 80))}, which is no id of this source`,
      };
    return { ids: BigUint64Array.from(texts, BigInt).sort() };
  }
}

/** Whether the database was written more often than the journal knows of, or is another one. */
function doubtOf(
  mark: Mark,
  now: WriteCount | undefined,
  writes: number,
  openings: number,
): string | undefined {
  if (now === undefined || mark.commits === undefined) return undefined;
  if (now.identity !== mark.identity || now.commits < mark.commits)
    return 'the database is another one, or an older state of it';
  const unknown = now.commits - mark.commits - writes - openings * now.perOpening;
  if (unknown <= 0) return undefined;
  return `the database was written ${unknown} times of which the journal does not know`;
}
