/**
 * Checks packs: that the directory agrees with the index, and that every chunk decodes to what its address says.
 *
 * A delta is checked together with all that it copies from, which is then not decoded again on its own. So chunks that deltas copy
 * from wait until all other chunks were checked, and only those that are left are checked by themselves.
 */
import {
  type Address,
  ADDRESS_LENGTH,
  DigestTable,
  equalBytes,
  formatAddress,
  isUnreadable,
  isVecsnapError,
  mapAhead,
  VecsnapError,
} from '../core/index.js';
import type { ChunkGraph } from './chunk-graph.js';
import type { ChunkStore } from './chunk-store.js';
import {
  chunkDamaged,
  FoundChunks,
  type StoredForm,
  type UsedChunks,
  type WantedChunks,
} from './found-chunks.js';
import type { Location } from './index-port.js';
import { checkPackHeader, type DirectoryCursor, type DirectoryEntry, readRange } from './pack.js';

/** Something wrong with a pack or with a chunk in it. */
export interface PackFinding {
  readonly error: VecsnapError;
  readonly blob: string;
  /** The chunk, when the damage is to one. */
  readonly address?: Address;
  /** Whether something is missing that only this chunk copies from: no damage when nobody needs it (docs/ordering.md, G5). */
  readonly lacksBase?: boolean;
}

const READ_BYTES = 4 * 1024 * 1024;
/** Plaintext bytes, and chunks, that are checked together. */
const PLAIN_BYTES = 1024 * 1024;
const RUN_ENTRIES = 1024;
/** Entries of a directory that are made at a time: a pack of tiny chunks has hundreds of thousands. */
const ENTRIES_TOGETHER = 4096;
/** Runs of chunks that are read and checked at the same time. */
const RUNS_AHEAD = 10;

/**
 * Reads every pack from its first byte to its last and tells everything that is wrong with them.
 * @param onChecked is called with the number of bytes of each pack that was gone through.
 */
export async function* checkPacks(
  store: ChunkStore,
  onChecked: (bytes: number) => void,
): AsyncGenerator<PackFinding> {
  const check = new PackCheck(store);
  for (const [name, size] of store.packs) yield* check.checkDirectory(name, size);
  yield* check.checkChunks(onChecked);
  yield* check.checkRest();
}

/** Chunks of a pack that are checked together, or what was found before any is read. */
type Step =
  | { readonly name: string; readonly run: readonly DirectoryEntry[] }
  | { readonly finding: PackFinding }
  | { readonly checkedBytes: number };

class PackCheck {
  readonly #store: ChunkStore;
  /** Chunks that deltas copy from. */
  readonly #copied = new DigestTable();
  /** Those of them that were checked. */
  readonly #checked = new DigestTable();
  /** Packs whose directories cannot be read. */
  readonly #unreadable = new Set<string>();

  constructor(store: ChunkStore) {
    this.#store = store;
  }

  /** Checks what a pack says of itself. */
  async *checkDirectory(name: string, size: number): AsyncGenerator<PackFinding> {
    try {
      checkPackHeader(name, await readRange(this.#store.parts.blobs, name, 0, Math.min(8, size)));
      this.#noteBases(await this.#store.openDirectory(name));
    } catch (error) {
      if (!isVecsnapError(error, 'PACK_MISSING', 'PACK_DAMAGED', 'REPOSITORY_NEWER')) throw error;
      this.#unreadable.add(name);
      yield { error, blob: name };
    }
  }

  /**
   * Checks the chunks that no delta copies from, and all that they copy from.
   * @param onChecked is called with the number of bytes of each pack that was gone through.
   */
  async *checkChunks(onChecked: (bytes: number) => void): AsyncGenerator<PackFinding> {
    yield* this.#checkSteps(this.#firstSteps(), onChecked);
  }

  /** Checks what is left. */
  async *checkRest(): AsyncGenerator<PackFinding> {
    if (this.#checked.size < this.#copied.size) yield* this.#checkSteps(this.#restOfSteps(), () => {});
  }

  async *#firstSteps(): AsyncGenerator<Step> {
    for (const [name, size] of this.#store.packs) {
      for await (const entries of this.#entries(name)) yield* this.#firstStepsOf(name, entries);
      yield { checkedBytes: size };
    }
  }

  async *#firstStepsOf(name: string, entries: readonly DirectoryEntry[]): AsyncGenerator<Step> {
    const located = await this.#store.locate(entries.map(({ address }) => address));
    for (const [i, entry] of entries.entries()) {
      if (!agrees(entry, name, located[i]))
        yield {
          finding: { error: indexDisagrees(entry, name), blob: name, address: entry.address },
        };
    }
    const first = entries.filter(
      (entry, i) => !this.#copied.has(entry.address) || !isAt(located[i], name, entry),
    );
    for (const run of inRuns(first)) yield { name, run };
  }

  async *#restOfSteps(): AsyncGenerator<Step> {
    const isLeft = ({ address }: DirectoryEntry): boolean =>
      this.#copied.has(address) && !this.#checked.has(address);
    for (const name of this.#store.packs.keys())
      for await (const entries of this.#entries(name))
        for (const run of inRuns(entries.filter(isLeft))) yield { name, run };
  }

  /** Whether the copy is known to be damaged. Where somebody needs the chunk, it is missed there. */
  #isKnown(name: string, { offset }: DirectoryEntry): boolean {
    return this.#store.parts.damage?.isBad(name, offset) === true;
  }

  #noteBases(cursor: DirectoryCursor): void {
    while (cursor.next())
      for (let i = 0; i < cursor.baseCount; i++)
        this.#copied.addAt(cursor.bytes, cursor.basesAt + i * ADDRESS_LENGTH);
  }

  /**
   * What the pack has, or as much as the index knows of it: its chunks may be whole although its directory is damaged. Some at a time, without
   * those that are known to be damaged.
   */
  async *#entries(name: string): AsyncGenerator<readonly DirectoryEntry[]> {
    const parts = this.#unreadable.has(name)
      ? [await this.#indexedEntries(name)]
      : inParts(await this.#store.openDirectory(name));
    for (const entries of parts) yield entries.filter((entry) => !this.#isKnown(name, entry));
  }

  async #indexedEntries(name: string): Promise<DirectoryEntry[]> {
    const entries: DirectoryEntry[] = [];
    if ((await this.#store.parts.blobs.stat(name)) === undefined) return entries; // They are missed where somebody needs them.
    for await (const some of this.#store.parts.index.entries())
      for (const entry of some) if (entry.pack === name) entries.push(entry);
    return entries.toSorted((a, b) => a.offset - b.offset);
  }

  /** Checks runs of chunks ahead, across the ends of packs. */
  async *#checkSteps(
    steps: AsyncIterable<Step>,
    onChecked: (bytes: number) => void,
  ): AsyncGenerator<PackFinding> {
    const done = mapAhead(steps, RUNS_AHEAD, async (step) =>
      'run' in step ? { name: step.name, ...(await checkRun(this.#store, step.name, step.run)) } : step,
    );
    for await (const step of done) {
      if ('finding' in step) yield step.finding;
      else if ('checkedBytes' in step) onChecked(step.checkedBytes);
      else yield* this.#findingsIn(step.name, step);
    }
  }

  async *#findingsIn(name: string, { chunks, damaged }: CheckedRun): AsyncGenerator<PackFinding> {
    for (const { entry, place, error } of chunks) {
      // A sweep that was cut off leaves deltas whose bases are gone, and which nobody reads: others stand in for them.
      if (error !== undefined && !(await this.#isRead(name, entry))) continue;
      const problem =
        error ??
        (damaged.has(entry.address) ? chunkDamaged(entry.address, { ...entry, pack: name }) : undefined);
      if (problem !== undefined)
        yield { error: problem, blob: name, address: entry.address, lacksBase: error !== undefined };
      if (place !== undefined) yield* this.#noteBasesOf(place.found, place.number, damaged);
    }
  }

  /** Whether a chunk is read from this place: it may stand elsewhere too. */
  async #isRead(name: string, entry: DirectoryEntry): Promise<boolean> {
    const [location] = await this.#store.locate([entry.address]);
    return location === undefined || isAt(location, name, entry);
  }

  /** Notes that all that a delta copies from was checked with it. */
  async *#noteBasesOf(found: FoundChunks, number: number, damaged: DigestTable): AsyncGenerator<PackFinding> {
    for (const base of found.basesOf(number)) {
      const address = found.addresses[base] as Address;
      if (!this.#checked.addNew(address)) continue; // With all that it copies from.
      yield* this.#noteBasesOf(found, base, damaged);
      if (!damaged.has(address)) continue;
      const { pack } = found.forms[base] as StoredForm;
      yield { error: chunkDamaged(address, found.forms[base] as StoredForm), blob: pack, address };
    }
  }
}

/** A chunk of a pack that was looked at. */
interface CheckedChunk {
  readonly entry: DirectoryEntry;
  /** Where it stands among chunks with all that they copy from. */
  readonly place?: { readonly found: FoundChunks; readonly number: number };
  /** Why it cannot be put together. */
  readonly error?: VecsnapError;
}

/** Chunks that were looked at, and the addresses of those that are damaged, among them and all that they copy from. */
interface CheckedRun {
  readonly chunks: readonly CheckedChunk[];
  readonly damaged: DigestTable;
}

async function checkRun(
  store: ChunkStore,
  name: string,
  run: readonly DirectoryEntry[],
): Promise<CheckedRun> {
  try {
    return await checkTogether(store, name, run);
  } catch (error) {
    if (!isUnreadable(error)) throw error;
    return checkOneByOne(store, name, run); // Something is missing, which only some of them may need.
  }
}

async function checkTogether(
  store: ChunkStore,
  name: string,
  run: readonly DirectoryEntry[],
): Promise<CheckedRun> {
  const wanted = await findRun(store, name, run);
  const inPlace = await store.useFound(wanted, (used) => damagedAmong(store, used));
  // What could not be read in place is read again, so that a failure of the store is not taken for damage.
  const damaged =
    inPlace.size === 0 ? inPlace : await store.useFoundInMemory(wanted, (used) => damagedAmong(store, used));
  const { found } = wanted;
  return { chunks: run.map((entry, number) => ({ entry, place: { found, number } })), damaged };
}

async function checkOneByOne(
  store: ChunkStore,
  name: string,
  run: readonly DirectoryEntry[],
): Promise<CheckedRun> {
  const all = new DigestTable();
  const chunks: CheckedChunk[] = [];
  for (const entry of run) {
    try {
      const { chunks: checked, damaged } = await checkTogether(store, name, [entry]);
      for (const address of damaged) all.add(address);
      chunks.push(...checked);
    } catch (error) {
      if (!isUnreadable(error)) throw error;
      const isItself = error.code === 'PACK_DAMAGED' && error.place === name; // The pack ends before it does.
      if (isItself) all.add(entry.address);
      chunks.push(isItself ? { entry } : { entry, error });
    }
  }
  return { chunks, damaged: all };
}

/** Chunks as they stand in a pack, also where the index has them in another; their numbers are their places in the run. */
async function findRun(
  store: ChunkStore,
  name: string,
  run: readonly DirectoryEntry[],
): Promise<WantedChunks> {
  const found = new FoundChunks();
  const roots = run.map(({ address }) => found.addCopy(address));
  for (const [i, entry] of run.entries())
    found.place(roots[i] as number, { ...entry, pack: name }, entry.bases ?? []);
  await store.findMentioned(found, run.length);
  return { found, roots };
}

async function damagedAmong(store: ChunkStore, used: UsedChunks): Promise<DigestTable> {
  const damaged = new DigestTable();
  for (const address of await store.parts.coder.check(used.graph())) damaged.add(address);
  return damaged;
}

/** What became of a copy of a chunk that was read. */
export interface CheckedCopy {
  readonly entry: DirectoryEntry;
  /**
   * `bad`: its own bytes are wrong. `odd`: they are not as they were written, and say the same. `baseless`: what it copies from cannot
   * be had, so nobody can tell.
   */
  readonly state: 'sound' | 'odd' | 'bad' | 'baseless';
  /** As it is kept; not there when it cannot be put together. */
  readonly bytes?: Uint8Array | undefined;
  /** The chunk with all that it copies from, when it is bad and can be read. */
  readonly graph?: ChunkGraph | undefined;
}

/** Reads copies of chunks that stand in a pack, in order, and tells of each whether it is sound. */
export async function* checkCopies(
  store: ChunkStore,
  name: string,
  entries: readonly DirectoryEntry[],
): AsyncGenerator<CheckedCopy> {
  for (const run of inRuns(entries)) yield* await copiesIn(store, name, run);
}

async function copiesIn(
  store: ChunkStore,
  name: string,
  run: readonly DirectoryEntry[],
): Promise<readonly CheckedCopy[]> {
  try {
    const wanted = await findRun(store, name, run);
    return await store.useFoundInMemory(wanted, (used) => checkUsed(store, run, used));
  } catch (error) {
    if (!isUnreadable(error)) throw error;
    const [only] = run;
    if (run.length > 1 || only === undefined)
      return (await Promise.all(run.map((entry) => copiesIn(store, name, [entry])))).flat();
    const isItself = only.offset + only.storedLength > (store.packs.get(name) ?? 0); // The pack ends before it does.
    return [{ entry: only, state: isItself ? 'bad' : 'baseless' }];
  }
}

async function checkUsed(
  store: ChunkStore,
  run: readonly DirectoryEntry[],
  used: UsedChunks,
): Promise<CheckedCopy[]> {
  const damaged = await damagedAmong(store, used);
  return Promise.all(
    run.map(async (entry, number): Promise<CheckedCopy> => {
      const state = damaged.has(entry.address) ? await stateOf(store, used, number) : 'sound';
      const graph = state === 'bad' ? used.graph([number]) : undefined;
      return { entry, state, bytes: used.bytesInMemory(number), graph };
    }),
  );
}

/** Of a chunk of which some copy is damaged, or something that it copies from. */
async function stateOf(store: ChunkStore, used: UsedChunks, number: number): Promise<CheckedCopy['state']> {
  const { coder } = store.parts;
  const [plain] = await coder.decode(used.graph([number]), true);
  if (plain !== undefined) {
    const flagged = await coder.check(used.graph([number])); // What copies from an odd chunk is flagged too.
    const isOwn =
      flagged.length === 1 && equalBytes(flagged[0] as Address, used.found.addresses[number] as Address);
    return isOwn ? 'odd' : 'sound';
  }
  const bases = await coder.decode(used.graph(used.found.basesOf(number)), true);
  return bases.includes(undefined) ? 'baseless' : 'bad';
}

/** The entries of a directory, some at a time. */
function* inParts(cursor: DirectoryCursor): Generator<DirectoryEntry[]> {
  let part: DirectoryEntry[] = [];
  while (cursor.next()) {
    part.push(cursor.entry());
    if (part.length < ENTRIES_TOGETHER) continue;
    yield part;
    part = [];
  }
  if (part.length > 0) yield part;
}

/** Consecutive entries of a pack, so many that they are worth one read. */
export function* inRuns(entries: readonly DirectoryEntry[]): Generator<DirectoryEntry[]> {
  let run: DirectoryEntry[] = [];
  let plain = 0;
  for (const entry of entries) {
    const start = run[0]?.offset ?? entry.offset;
    const bytes = entry.offset + entry.storedLength - start;
    const isFull = bytes > READ_BYTES || plain + entry.length > PLAIN_BYTES || run.length === RUN_ENTRIES;
    if (run.length > 0 && isFull) {
      yield run;
      run = [];
      plain = 0;
    }
    run.push(entry);
    plain += entry.length;
  }
  if (run.length > 0) yield run;
}

function isAt(location: Location | undefined, name: string, { offset }: DirectoryEntry): boolean {
  return location?.pack === name && location.offset === offset;
}

/** Whether the index has the chunk in another pack, or just where this pack has it. */
function agrees(entry: DirectoryEntry, name: string, location: Location | undefined): boolean {
  if (location === undefined) return false;
  if (location.pack !== name) return true;
  const { offset, storedLength, length, kind, codec } = location;
  return (
    offset === entry.offset &&
    storedLength === entry.storedLength &&
    length === entry.length &&
    kind === entry.kind &&
    codec === entry.codec
  );
}

function indexDisagrees({ address, kind }: DirectoryEntry, name: string): VecsnapError {
  return new VecsnapError('INDEX_DAMAGED', 'The index has a chunk at another place than its pack.', {
    place: `${formatAddress(address, kind)} in ${name}`,
    remedy: 'Run repair: it rebuilds the index from the packs.',
  });
}
