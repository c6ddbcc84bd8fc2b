/**
 * Cuts a changed sequence again, without looking at the parts of it that did not change.
 *
 * The sequence was cut into groups by the rule of local-minimum.ts. That rule is local: a natural end stays one, and so does
 * everything between it and the next, as long as none of the `window` items on either side of it comes or goes. So it is
 * enough to cut stretches again: each begins after an end that no edit reaches, and ends with one. Within a stretch a cutter that
 * knows nothing of what comes before or after gives the ends that one for the whole sequence gives:
 *
 * - No natural end follows another within `window` items, so a cutter that starts afresh after a natural end misses none.
 * - The natural end with which a stretch ends is smaller than the `window` items before it, so what follows it has no say about them.
 * - Forced ends are counted from the end before, and the stretch begins with one that stays.
 *
 * Groups whose items only change, without any coming or going, keep their ends and are not cut again. The same algorithm serves
 * records in row groups and entries in nodes, on every level of a tree.
 */
import { compareBytes, equalBytes } from './bytes.js';
import { LocalMinimumCutter, type LocalMinimumOptions } from './local-minimum.js';

/** A group of the sequence as it was, and where its neighbours stand. */
export interface Place<G> {
  readonly group: G;
  /** The key of its last item. Keys ascend. */
  readonly key: Uint8Array;
  next(): Promise<Place<G> | undefined>;
  previous(): Promise<Place<G> | undefined>;
}

/** How the sequence is read. */
export interface Sequence<G, T> {
  /** How many items a group had. */
  size(place: Place<G>): Promise<number>;
  /** The items that a group had. */
  items(place: Place<G>): Promise<readonly T[]>;
  /** The hash that decides whether an item ends a group. */
  hash(item: T): number;
  key(item: T): Uint8Array;
}

/** A group with its items as they are now. */
export interface TouchedGroup<G, T> {
  readonly place: Place<G>;
  /** Called only when the group has to be cut, or what became of it is asked for. */
  items(): readonly T[];
  /** How many items it had. */
  readonly size: number;
  /** How many of these come before the first that came or went, or Infinity when none did. */
  readonly before: number;
  /** How many of these come after the last that came or went, or Infinity when none did. */
  readonly after: number;
}

/** One group that goes, one that comes, or one that takes the place of another with the same key. */
export interface Replacement<G, T> {
  readonly key: Uint8Array;
  /** The group that had this key. */
  readonly old: G | undefined;
  /** The items of the group that has it now. */
  readonly items: (() => readonly T[]) | undefined;
  /** Whether it has the keys it had: items only changed. */
  readonly isSameKeys: boolean;
  /** The groups that stood where these items stand, in order. */
  readonly near: readonly G[];
}

/** An item that comes, changes or, without a value, goes. */
export interface Change<T> {
  readonly value: T | undefined;
}

/**
 * A group's items with the changes that belong to it.
 * @param order of an item and a change by their keys: negative, zero or positive.
 */
export function mergeChanges<T, C extends Change<T>>(
  items: readonly T[],
  changes: readonly C[],
  order: (item: T, change: C) => number,
): Omit<TouchedGroup<never, T>, 'place'> & { readonly isTouched: boolean } {
  const merged: T[] = [];
  let [before, after, isTouched] = [Infinity, Infinity, false];
  const edit = (at: number, gone: number) => {
    before = Math.min(before, at);
    after = items.length - at - gone;
  };
  let at = 0;
  for (const change of changes) {
    while (at < items.length && order(items[at] as T, change) < 0) merged.push(items[at++] as T);
    const isThere = at < items.length && order(items[at] as T, change) === 0;
    if (!isThere && change.value === undefined) continue;
    if (!isThere) edit(at, 0);
    else if (change.value === undefined) edit(at, 1);
    if (change.value !== undefined) merged.push(change.value);
    if (isThere) at++;
    isTouched = true;
  }
  while (at < items.length) merged.push(items[at++] as T);
  return { items: () => merged, size: items.length, before, after, isTouched };
}

/**
 * What becomes of the groups, in ascending order of the keys. Groups that stay as they are do not come.
 * @param touched the groups that changes belong to, in order; what comes after the last key belongs to the last group.
 */
export async function* recut<G, T>(
  touched: AsyncIterable<TouchedGroup<G, T>>,
  sequence: Sequence<G, T>,
  cuts: LocalMinimumOptions,
): AsyncGenerator<Replacement<G, T>> {
  const walk = new Walk(sequence, cuts);
  let open: Stretch<G, T> | undefined;
  for await (const next of touched) {
    const follows = open !== undefined && (yield* walk.settle(open, next));
    const gap = follows ? NO_GAP : await walk.before(next, open);
    if (open !== undefined && !follows && !gap.reachesOpen) {
      yield* open.close();
      open = undefined;
    }
    if (open !== undefined) await walk.widen(open, next, gap.places);
    open ??= new Stretch(sequence, cuts);
    for (const place of gap.places) yield* open.add(await walk.untouched(place));
    yield* open.add({ group: next, isTouched: true });
  }
  if (open === undefined) return;
  yield* walk.settle(open, undefined);
  yield* open.close();
}

/** A group as a stretch takes it. */
interface Segment<G, T> {
  readonly group: TouchedGroup<G, T>;
  readonly isTouched: boolean;
}

/** The groups between an end that no edit reaches and a touched group. */
interface Gap<G> {
  readonly places: readonly Place<G>[];
  /** Whether there is no such end before the open stretch. */
  readonly reachesOpen: boolean;
}

const NO_GAP: Gap<never> = { places: [], reachesOpen: false };

/** Finds out how far stretches reach. A group with fewer items than `max` that is not the last has a natural end. */
class Walk<G, T> {
  readonly #sequence: Sequence<G, T>;
  readonly #cuts: LocalMinimumOptions;

  constructor(sequence: Sequence<G, T>, cuts: LocalMinimumOptions) {
    this.#sequence = sequence;
    this.#cuts = cuts;
  }

  async untouched(place: Place<G>): Promise<Segment<G, T>> {
    const items = await this.#sequence.items(place);
    const group = { place, items: () => items, size: items.length, before: Infinity, after: Infinity };
    return { group, isTouched: false };
  }

  /**
   * Goes on with the stretch until it may end.
   * @returns whether it came to `next` before that.
   */
  async *settle(
    open: Stretch<G, T>,
    next: TouchedGroup<G, T> | undefined,
  ): AsyncGenerator<Replacement<G, T>, boolean> {
    while (!open.mayEnd) {
      const place = await open.last.group.place.next();
      if (place === undefined) return false;
      if (next !== undefined && equalBytes(place.key, next.place.key)) return true;
      yield* open.add(await this.untouched(place));
    }
    return false;
  }

  /** What a stretch that begins with `next` must take in before it. */
  async before({ place, before }: TouchedGroup<G, T>, open: Stretch<G, T> | undefined): Promise<Gap<G>> {
    return before === Infinity ? NO_GAP : this.#back(place, before, open);
  }

  /** Gives a stretch that has only changed items the beginning that it needs when items come or go in its next groups. */
  async widen(open: Stretch<G, T>, next: TouchedGroup<G, T>, gap: readonly Place<G>[]): Promise<void> {
    if (open.isEdited || next.before === Infinity) return;
    let distance = next.before;
    for (const place of gap) distance += await this.#sequence.size(place);
    for (const { group } of open.held) distance += group.size;
    const { places } = await this.#back(open.first.group.place, distance, undefined);
    open.prepend(await Promise.all(places.map((place) => this.untouched(place))));
  }

  async #back(from: Place<G>, items: number, open: Stretch<G, T> | undefined): Promise<Gap<G>> {
    const places: Place<G>[] = [];
    let distance = items;
    for (let place = await from.previous(); place !== undefined; place = await place.previous()) {
      const isOpen = open !== undefined && equalBytes(place.key, open.last.group.place.key);
      const size = isOpen ? open.last.group.size : await this.#sequence.size(place);
      if (size < this.#cuts.max && distance >= this.#cuts.window) break;
      if (isOpen) return { places, reachesOpen: true };
      places.unshift(place);
      distance += size;
    }
    return { places, reachesOpen: false };
  }
}

/** Where a segment stands among the items of its stretch. */
interface Fed<G, T> {
  readonly segment: Segment<G, T>;
  readonly start: number;
  readonly end: number;
}

/** Consecutive groups that are cut again. As long as items only changed in it, it keeps its groups. */
class Stretch<G, T> {
  readonly #sequence: Sequence<G, T>;
  readonly #cuts: LocalMinimumOptions;
  #cutter: LocalMinimumCutter | undefined;
  /** Segments that the cutter has not seen. */
  held: Segment<G, T>[] = [];
  /** Segments that the cutter has seen and whose last item belongs to no new group yet. */
  #fed: Fed<G, T>[] = [];
  #items: T[] = [];
  #position = 0;
  /** The old groups of which it is not known yet whether one with the same key comes. */
  #waiting: Place<G>[] = [];
  #last: Segment<G, T> | undefined;
  #after = Infinity;

  constructor(sequence: Sequence<G, T>, cuts: LocalMinimumOptions) {
    this.#sequence = sequence;
    this.#cuts = cuts;
  }

  /** Whether items came or went. */
  get isEdited(): boolean {
    return this.#after !== Infinity;
  }

  get first(): Segment<G, T> {
    return this.held[0] as Segment<G, T>;
  }

  get last(): Segment<G, T> {
    return this.#last as Segment<G, T>;
  }

  /** Whether it ends with a natural end that no edit reaches. */
  get mayEnd(): boolean {
    return this.last.group.size < this.#cuts.max && this.#after > this.#cuts.window;
  }

  prepend(segments: readonly Segment<G, T>[]): void {
    this.held.unshift(...segments);
  }

  *add(segment: Segment<G, T>): Generator<Replacement<G, T>> {
    const { group } = segment;
    this.held.push(segment);
    this.#last = segment;
    this.#after = group.after === Infinity ? this.#after + group.size : group.after;
    if (!this.isEdited) return;
    for (const one of this.held.splice(0)) yield* this.#feed(one);
  }

  *close(): Generator<Replacement<G, T>> {
    for (const { group, isTouched } of this.held) {
      const { key, group: old } = group.place;
      if (isTouched) yield { key, old, items: () => group.items(), isSameKeys: true, near: [old] };
    }
    for (const size of this.#cutter?.finish() ?? []) yield* this.#end(size);
    yield* this.#goneBefore(undefined);
  }

  *#feed(segment: Segment<G, T>): Generator<Replacement<G, T>> {
    const start = this.#position + this.#items.length;
    const items = segment.group.items();
    this.#cutter ??= new LocalMinimumCutter(this.#cuts);
    this.#fed.push({ segment, start, end: start + items.length });
    this.#waiting.push(segment.group.place);
    for (const item of items) {
      this.#items.push(item);
      const size = this.#cutter.push(this.#sequence.hash(item));
      if (size > 0) yield* this.#end(size);
    }
  }

  /** The next `size` items are a group. */
  *#end(size: number): Generator<Replacement<G, T>> {
    const start = this.#position;
    const end = start + size;
    const items = this.#items.splice(0, size);
    const key = this.#sequence.key(items.at(-1) as T);
    const over = this.#fed.filter((fed) => fed.start < end && fed.end > start);
    this.#fed = this.#fed.filter((fed) => fed.end > end);
    this.#position = end;
    yield* this.#goneBefore(key);
    const [first] = this.#waiting;
    const old = first !== undefined && equalBytes(first.key, key) ? this.#waiting.shift() : undefined;
    const [only] = over;
    const stays = only?.start === start && only.end === end && !only.segment.isTouched;
    const near = over.map(({ segment }) => segment.group.place.group);
    if (!stays) yield { key, old: old?.group, items: () => items, isSameKeys: false, near };
  }

  /** An item that was added after the last group may end a group before all items of that one are given. */
  *#goneBefore(key: Uint8Array | undefined): Generator<Replacement<G, T>> {
    for (;;) {
      const [first] = this.#waiting;
      if (first === undefined || (key !== undefined && compareBytes(first.key, key) >= 0)) return;
      this.#waiting.shift();
      yield { key: first.key, old: first.group, items: undefined, isSameKeys: false, near: [] };
    }
  }
}
