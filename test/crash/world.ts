/**
 * A repository on a disk in memory, and the processes that come and go there: what each was promised, and at which step of the disk's log.
 *
 * The index does not stand on that disk. It is derived, and LevelDB keeps it its own way; so what was done to it is kept as a list
 * of its own, and after a crash it may be as it was at any time, or gone.
 */
import { type BlobStore, type FsBlobStore, fsBlobStore, type ProcessIdentity } from 'vecsnap/blob';
import { type ChunkIndex, inlineCoder, memoryIndex } from 'vecsnap/cas';
import { type Address, type RandomBytes, toHex } from 'vecsnap/core';
import { fileReserve, lockDirectory, type LockParts, nodeDeflate, nodeSha256 } from 'vecsnap/platform';
import { type Environment, type Snapshot, SnapshotManager } from 'vecsnap/snapshot';
import { Chance } from './chance.js';
import { Collecting, type Matter } from './matter.js';
import { Disk, type DiskTraits, type Tree } from './disk.js';
import { digestOf, listingOf } from './states.js';
import { methodsOf } from '../support/stores.js';

/** Where the repository stands on the disk. */
export const REPO = 'r';

/**
 * What may be found under the name of a snapshot: it must be there, may be there, must not be there, or must be among those that were
 * forgotten and can be had back.
 */
export type Standing = 'must' | 'may' | 'gone' | 'forgotten';

/**
 * What was promised about all snapshots, by their names; also about tags, as `<name>#<tag>`, pins, and the stored policy, as
 * `policy <snapshots to keep>`. Until the repository is promised too, it need not open.
 */
export interface Promises {
  readonly hasRepository: boolean;
  /** A disk that has changed something is `damaged`, then `repaired`, and by the next sweep `sound`. */
  readonly disk: DiskState;
  readonly snapshots: ReadonlyMap<string, Standing>;
}

const THE_REPOSITORY = Symbol('the repository');
const THE_DISK = Symbol('the disk');

/** See {@link Promises}. */
export type DiskState = 'sound' | 'damaged' | 'repaired';

/** Code that is wrong on purpose, to see that it is noticed. */
export interface CodeFlaws {
  /** Wraps the blobs of each process. */
  readonly blobs?: (blobs: FsBlobStore) => BlobStore;
  /** What who takes the lock does not do about what a crashed writer left. */
  readonly lockSkips?: 'removeTemporary' | 'syncNames';
  /** Wraps the index of each process. */
  readonly index?: (index: ChunkIndex) => ChunkIndex;
}

/** See the head of this file. */
export interface WorldOptions {
  readonly seed: number;
  /** What is on the disk, and whether that is a repository that was promised. */
  readonly tree?: Tree;
  readonly hasRepository?: boolean;
  readonly traits?: DiskTraits;
  readonly flaws?: CodeFlaws;
  /** Whether calls that are under way together are done in any order. */
  readonly isShuffled?: boolean;
  readonly index?: readonly IndexStep[];
}

/** Something that was done to the index. */
export interface IndexStep {
  readonly at: number;
  readonly apply: (index: ChunkIndex) => Promise<void>;
}

interface Mark {
  readonly at: number;
  readonly name: string | typeof THE_REPOSITORY | typeof THE_DISK;
  readonly standing: Standing | DiskState;
}

const PARAMETERS = {
  rowGroups: { targetBytes: 8192, minRecords: 4, maxRecords: 64 },
  gear: { min: 64, avg: 512, max: 1024 },
  nodes: { window: 1, max: 8 },
  packBytes: 16_000,
};
const RESERVE_BYTES = 700;
/** Stands for a pin among the tags in promises. */
export const PINNED = '!';
const CODER = inlineCoder({ sha256: nodeSha256, deflate: nodeDeflate });

/** See the head of this file. */
export class World {
  readonly disk: Disk;
  readonly index: IndexStep[];
  readonly #options: WorldOptions;
  readonly #marks: Mark[] = [];
  /** What is in each snapshot that was ever begun, by its name. */
  readonly contents: Map<string, Matter>;
  /** What {@link index} comes to. */
  #indexNow: ChunkIndex | undefined;
  #processes = 0;

  constructor(options: WorldOptions, from: { disk?: Disk; contents?: Map<string, Matter> } = {}) {
    this.#options = options;
    this.disk = from.disk ?? new Disk(options.tree, options.traits);
    this.contents = from.contents ?? new Map<string, Matter>();
    this.index = (options.index ?? []).map(({ apply }) => ({ at: 0, apply }));
  }

  /** The world as it is when whoever made step `prefix` of the log was killed right after it. Nothing is lost by that. */
  killedAt(prefix: number, seed: number): World {
    const killed = new World(
      { ...this.#options, seed, index: [] },
      { disk: this.disk.at(prefix), contents: new Map(this.contents) },
    );
    killed.#marks.push(...this.#marks.filter(({ at }) => at <= prefix));
    killed.index.push(...this.index.filter(({ at }) => at <= prefix));
    killed.#processes = this.#processes;
    return killed;
  }

  /** The step of the log at which the repository was promised. */
  firstPromise(): number {
    return this.#marks.find(({ name }) => name === THE_REPOSITORY)?.at ?? 0;
  }

  /** The steps of the log right after which a pack or a snapshot has got its name or lost it, and nothing is synced yet. */
  namesGivenOrGone(): number[] {
    return this.disk.log.flatMap((change, step) => {
      const isTelling = change.type === 'entry' && /^[0-9a-z]{26}$|^[0-9a-f]{32}$/.test(change.name);
      return isTelling ? [step + 1] : [];
    });
  }

  /** What holds after so many steps of the log. */
  promisesAt(prefix: number): Promises {
    const snapshots = new Map<string, Standing>();
    let hasRepository = this.#options.hasRepository ?? false;
    let disk: DiskState = 'sound';
    for (const { at, name, standing } of this.#marks) {
      if (at > prefix) break;
      if (name === THE_REPOSITORY) hasRepository = true;
      else if (name === THE_DISK) disk = standing as DiskState;
      else snapshots.set(name, standing as Standing);
    }
    return { hasRepository, disk, snapshots };
  }

  /**
   * A digest that is equal for worlds in which the same work goes the same way: of what is on the disk and in the index, in the order in
   * which it is listed, what was promised, and what the next process draws from. What led to it, which a crash might undo, is not in it.
   */
  async identity(): Promise<string> {
    const index = await this.#index();
    const known = Array.from(index.packs(), ([pack, size]) => `${pack} ${size}`);
    for await (const some of index.entries())
      for (const { address, ...place } of some)
        known.push(`${toHex(address)} ${Object.values(place).join(' ')}`);
    const { seed } = this.#options;
    const promises = textOf(this.promisesAt(Infinity));
    return digestOf(
      [listingOf(this.disk.tree()), known.join('\n'), promises, seed, this.#processes].join('\n\n'),
    );
  }

  /** Says what is known of snapshots from before. */
  promise(promises: Promises): void {
    for (const [name, standing] of promises.snapshots) this.#mark(name, standing);
    this.#mark(THE_DISK, promises.disk);
  }

  async init(): Promise<void> {
    const manager = await SnapshotManager.init(this.#config(), PARAMETERS);
    this.#mark(THE_REPOSITORY, 'must');
    await manager.close();
  }

  /** Takes a snapshot, which goes on from the newest of its collection. */
  async create(name: string, content: Matter, collection = 'a'): Promise<void> {
    if (this.contents.has(name)) throw new RangeError(`there was a snapshot ${name} before`);
    this.contents.set(name, content);
    await this.#run(async (manager) => {
      this.#mark(name, 'may');
      const source = content.sourceOf(collection);
      const [base] = await manager.listSnapshots({ collection });
      if (base === undefined) await manager.createSnapshot(source, name);
      else await manager.createIncrementalSnapshot(source, name, base.id);
      this.#mark(name, 'must');
    });
  }

  /** Forgets snapshots, also pinned ones, which are unpinned first. */
  async forget(...names: readonly string[]): Promise<void> {
    await this.#run(async (manager) => {
      const listed = await manager.listSnapshots();
      for (const one of listed)
        if (one.pinned && names.includes(one.name)) await this.#pin(manager, one, false);
      const ids = listed.filter(({ name }) => names.includes(name)).map(({ id }) => id);
      for (const name of names) this.#mark(name, 'may');
      await manager.deleteSnapshots(ids);
      const gone = new Set(listed.map(({ name }) => name));
      for (const name of names) this.#mark(name, gone.has(name) ? 'forgotten' : 'gone');
    });
  }

  async forgetAllBut(name: string): Promise<void> {
    const listed = await this.#run((manager) => manager.listSnapshots());
    await this.forget(...listed.map((one) => one.name).filter((one) => one !== name));
  }

  /** Has snapshots back that were forgotten, as far as they can be. */
  async unforget(...names: readonly string[]): Promise<void> {
    await this.#run(async (manager) => {
      const { snapshots } = await manager.listForgotten();
      const back = snapshots.filter(({ name }) => names.includes(name));
      for (const { name } of back) this.#mark(name, 'may');
      await manager.unforget(back.map(({ id }) => id));
      for (const { name } of back) this.#mark(name, 'must');
    });
  }

  /** Gives a snapshot a tag. */
  async tag(name: string, tag: string): Promise<void> {
    await this.#run(async (manager) => {
      const snapshot = (await manager.listSnapshots()).find((one) => one.name === name);
      if (snapshot === undefined) return;
      this.#mark(`${name}#${tag}`, 'may');
      await manager.markSnapshot(snapshot.id, { add: [tag] });
      this.#mark(`${name}#${tag}`, 'must');
    });
  }

  /** Pins a snapshot, or unpins it. */
  async pin(name: string, pinned: boolean): Promise<void> {
    await this.#run(async (manager) => {
      const snapshot = (await manager.listSnapshots()).find((one) => one.name === name);
      if (snapshot !== undefined && snapshot.pinned !== pinned) await this.#pin(manager, snapshot, pinned);
    });
  }

  async #pin(manager: SnapshotManager, { id, name }: Snapshot, pinned: boolean): Promise<void> {
    this.#mark(`${name}#${PINNED}`, 'may');
    await (pinned ? manager.pinSnapshot(id) : manager.unpinSnapshot(id));
    this.#mark(`${name}#${PINNED}`, pinned ? 'must' : 'gone');
  }

  /** Stores a policy in the place of those before. */
  async setPolicy(keepLast: number): Promise<void> {
    const before = [...this.promisesAt(Infinity).snapshots.keys()].filter((key) => key.startsWith('policy '));
    await this.#run(async (manager) => {
      for (const key of [...before, `policy ${keepLast}`]) this.#mark(key, 'may');
      await manager.setPolicy({ keepLast });
      for (const key of before) this.#mark(key, 'gone');
      this.#mark(`policy ${keepLast}`, 'must');
    });
  }

  /** Sweeps as thoroughly as can be unless told otherwise. What was forgotten can not be had back from its beginning on. */
  async sweep(maxUnused = 0) {
    const { disk, snapshots } = this.promisesAt(Infinity);
    for (const [name, standing] of snapshots) if (standing === 'forgotten') this.#mark(name, 'gone');
    const report = await this.#run((manager) => manager.collectGarbage({ maxUnused }));
    if (disk === 'repaired') this.#mark(THE_DISK, 'sound');
    return report;
  }

  /** Flips a bit near the end of a pack, which is where it says what it holds. */
  damagePack(nth: number): void {
    const packs = [...this.disk.tree().keys()].filter((path) => path.startsWith(`${REPO}/packs/`));
    const path = packs[nth % packs.length];
    if (path === undefined) return;
    this.#mark(THE_DISK, 'damaged');
    this.disk.damage(`/${path}`, (bytes) => {
      const at = bytes.length - 120;
      bytes[at] = (bytes[at] as number) ^ 4;
      return bytes;
    });
  }

  async repair(): Promise<void> {
    await this.#run((manager) => manager.repair());
    if (this.promisesAt(Infinity).disk === 'damaged') this.#mark(THE_DISK, 'repaired');
  }

  /** Runs work as a process of its own. */
  async read<T>(work: (manager: SnapshotManager) => Promise<T>): Promise<T> {
    return this.#run(work);
  }

  /** @throws when a snapshot of that name does not restore to what it was taken of. */
  async checkRestored(manager: SnapshotManager, id: string, name: string): Promise<void> {
    const target = new Collecting();
    await manager.restoreSnapshot(id, target);
    if (target.text !== this.#textOf(name))
      throw new Error(`the snapshot ${name} restores to something else`);
  }

  /** @throws when what can be had of a snapshot, damaged or not, is not what it was taken of, without what is told to be lost. */
  async checkSalvaged(manager: SnapshotManager, id: string, name: string): Promise<void> {
    const target = new Collecting();
    const { lost = { records: [], files: [] } } = await manager.restoreSnapshot(id, target, {
      allowDamaged: true,
    });
    const all = this.#textOf(name).split('\n');
    const lines = target.text.split('\n').filter((line) => line !== '');
    const count = [...lost.records, ...lost.files].reduce((sum, one) => sum + one.count, lines.length);
    if (count !== all.length || !lines.every((line) => all.includes(line)))
      throw new Error(`of the snapshot ${name} something else is left`);
  }

  #textOf(name: string): string {
    const content = this.contents.get(name);
    if (content === undefined) throw new Error(`nobody took a snapshot ${name}`);
    return content.text;
  }

  #mark(name: Mark['name'], standing: Mark['standing']): void {
    this.#marks.push({ at: this.disk.log.length, name, standing });
  }

  async #run<T>(work: (manager: SnapshotManager) => Promise<T>): Promise<T> {
    const manager = await SnapshotManager.open(this.#config());
    try {
      return await work(manager);
    } finally {
      await manager.close();
    }
  }

  #config() {
    return { environment: this.#process(), lockTimeoutMs: 0, maxConcurrentIo: 4, ownsThread: true };
  }

  #process(): Environment {
    const { seed, isShuffled = false, flaws = {} } = this.#options;
    const pid = ++this.#processes;
    const random = randomOf(seed * 1000 + pid);
    let time = Date.UTC(2024, 0, 1) + pid * 60_000;
    const clock = { now: () => time++ };
    const operations = this.disk.operations(isShuffled ? new Chance(seed * 1000 + pid) : undefined);
    // Half of the worlds write every blob past the cache, as large ones are.
    const directBytes = seed % 2 === 0 ? 0 : Infinity;
    const files = fsBlobStore(`/${REPO}`, { operations, random, directBytes });
    const blobs = flaws.blobs?.(files) ?? files;
    return {
      blobs,
      coder: CODER,
      sha256: nodeSha256,
      clock,
      random,
      openIndex: async (prefer) => {
        const index = prefer === 'memory' ? memoryIndex() : await this.#openIndex();
        return flaws.index?.(index) ?? index;
      },
      discardIndex: () => this.#openIndex().then((index) => index.clear()),
      lock: (request) => {
        const parts: LockParts = {
          kind: 'writer',
          identity: {
            ...NOBODY,
            operation: request.operation,
            bootId: String(seed),
            pid,
            startedAt: clock.now(),
          },
          // One process at a time.
          isAlive: (holder: ProcessIdentity) => holder.pid === pid && holder.bootId === String(seed),
          clock,
          random,
        };
        return lockDirectory(lockable(blobs, files, flaws.lockSkips), request, parts);
      },
      reserve: fileReserve(`/${REPO}/reserve`, operations, RESERVE_BYTES, random),
      indexBytes: async () => 0,
      close: () => blobs.close(),
    };
  }

  async #index(): Promise<ChunkIndex> {
    return (this.#indexNow ??= await indexAfter(this.index));
  }

  /** The index as it is now. What is done to it is noted. */
  async #openIndex(): Promise<ChunkIndex> {
    const index = await this.#index();
    const noted = async (apply: IndexStep['apply']): Promise<void> => {
      this.index.push({ at: this.disk.log.length, apply });
      await apply(index);
    };
    const notedWith = (
      names: ReadonlySet<string>,
      apply: (one: ChunkIndex, copy: ReadonlySet<string>) => Promise<void>,
    ): Promise<void> => {
      const copy = new Set(names);
      return noted((one) => apply(one, copy));
    };
    return {
      ...index,
      addPack: (pack, entries) => noted((one) => one.addPack(pack, entries)),
      removePacks: (names, chunks) => {
        const theirs = chunks && Array.from(chunks, (address) => address.slice() as Address);
        return notedWith(names, (one, copy) => one.removePacks(copy, theirs));
      },
      removeChunksOf: (names) => notedWith(names, (one, copy) => one.removeChunksOf(copy)),
      clear: () => noted((one) => one.clear()),
    };
  }
}

async function indexAfter(steps: readonly IndexStep[]): Promise<ChunkIndex> {
  const index = memoryIndex();
  for (const { apply } of steps) await apply(index);
  return index;
}

/** Promises as text that is equal for equal ones and for no others. */
export function textOf({ hasRepository, disk, snapshots }: Promises): string {
  return `${hasRepository} ${disk} ${Array.from(snapshots, ([name, standing]) => `${name}: ${standing}`).join(', ')}`;
}

/** The blobs of a process, flawed as they may be, with the methods that only the lock needs. */
function lockable(blobs: BlobStore, files: FsBlobStore, skips: CodeFlaws['lockSkips']): FsBlobStore {
  return {
    ...methodsOf(blobs),
    putParts: (name, parts) => files.putParts(name, parts), // A lock is put as a whole.
    removeTemporary: async () => (skips === 'removeTemporary' ? 0 : files.removeTemporary()),
    syncNames: async () => (skips === 'syncNames' ? undefined : files.syncNames()),
  };
}

const NOBODY = { host: 'here', pidNamespace: '', processStart: '' };

function randomOf(seed: number): RandomBytes {
  const chance = new Chance(seed);
  return (length) => chance.bytes(length);
}
