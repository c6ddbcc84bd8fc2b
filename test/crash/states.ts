/**
 * What a crash may leave on a disk.
 *
 * After a prefix of the log everything is either durable or not: entries of directories from the next sync of their directory on,
 * bytes of files from the next sync of the file on. Of what is not, a power cut keeps any part:
 *
 * - any subset of the changes to names, in their order, so names may come before the bytes and before other names. With `journal`
 *   it is a prefix, and all that came before any sync is in it, as ext4 and xfs have it. A rename is whole;
 * - of the bytes of a file: all, none, a beginning, zeros, or any sectors of them and zeros or rubbish in place of the others,
 *   whatever the length that the file has got.
 *
 * A choice is a value, so that a state can be made again.
 */
import { hash } from 'node:crypto';
import { Chance } from './chance.js';
import { type Change, type Disk, numbered, type Tree } from './disk.js';

/** What becomes of the bytes that are not durable. */
export type DataFate = 'kept' | 'dropped' | 'cut' | 'zeros' | 'sectors' | 'mixed';
export const DATA_FATES: readonly DataFate[] = ['kept', 'dropped', 'cut', 'zeros', 'sectors', 'mixed'];

/** How a crash comes about. */
export interface Choice {
  /** Steps of the log that were made before it. */
  readonly prefix: number;
  /** Which changes to names come through, by their place among those that are not durable; or all, none, or up to a step of the log. */
  readonly names: 'all' | 'none' | { readonly only: readonly number[] } | { readonly journal: number };
  readonly data: DataFate;
  /** For what else is chosen. */
  readonly seed: number;
}

type EntryChange = Change & { readonly type: 'entry' };

/** What is not durable after a prefix of a log. */
export interface Pending {
  /** Changes to names. */
  readonly count: number;
  /** The step after the last sync. */
  readonly lastSync: number;
}

const SECTOR = 512;

/** Goes through a log once, and makes states for ever longer prefixes of it. */
export class CrashStates {
  readonly #disk: Disk;
  #prefix = 0;
  /** By number: the entries of a directory that are durable. */
  readonly #entries = new Map<number, Map<string, number>>();
  readonly #kinds: ('file' | 'directory')[] = ['directory'];
  /** By number: the bytes of a file, and how many of them are durable. */
  readonly #files = new Map<number, { bytes: Uint8Array; durable: number }>();
  #pending: { change: EntryChange; step: number }[] = [];
  #lastSync = 0;

  constructor(disk: Disk) {
    this.#disk = disk;
    this.#entries.set(0, new Map());
    for (const [i, { directory, name, bytes }] of numbered(disk.base).entries()) {
      this.#add(bytes === null ? 'directory' : 'file');
      if (bytes !== null) this.#files.set(i + 1, { bytes, durable: bytes.length });
      this.#entries.get(directory)?.set(name, i + 1);
    }
  }

  /** Goes on to a longer prefix. */
  advance(prefix: number): Pending {
    if (prefix < this.#prefix) throw new RangeError('a prefix that is shorter than the last one');
    for (; this.#prefix < prefix; this.#prefix++) this.#step(this.#disk.log[this.#prefix] as Change);
    return { count: this.#pending.length, lastSync: this.#lastSync };
  }

  /** The tree that a crash leaves. The prefix must be the one that was advanced to. */
  make(choice: Choice): Tree {
    if (choice.prefix !== this.#prefix) throw new RangeError('not the prefix that was advanced to');
    const entries = new Map(Array.from(this.#entries, ([number, names]) => [number, new Map(names)]));
    for (const { directory, name, to } of this.#surviving(choice)) {
      if (to === undefined) entries.get(directory)?.delete(name);
      else entries.get(directory)?.set(name, to);
    }
    const tree = new Map<string, Uint8Array | null>();
    const contents = new Map<number, Uint8Array>(); // A file of two names has the same bytes under both.
    const chance = new Chance(choice.seed);
    const add = (directory: number, prefix: string): void => {
      for (const [name, number] of entries.get(directory) ?? []) {
        const path = prefix + name;
        if (this.#kinds[number] === 'directory') {
          tree.set(path, null);
          add(number, `${path}/`);
        } else {
          const bytes = contents.get(number) ?? this.#contentOf(number, choice.data, chance);
          contents.set(number, bytes);
          tree.set(path, bytes);
        }
      }
    };
    add(0, '');
    return tree;
  }

  #surviving({ names }: Choice): EntryChange[] {
    const pending = this.#pending;
    if (names === 'none') return [];
    if (names === 'all') return pending.map(({ change }) => change);
    if ('journal' in names)
      return pending.filter(({ step }) => step < names.journal).map(({ change }) => change);
    const chosen = names.only.flatMap((i) => pending[i] ?? []);
    const steps = new Set(chosen.map(({ step }) => step));
    const isDurable = (step: number): boolean => !pending.some((one) => one.step === step);
    return chosen
      .filter(({ change: { after } }) => after === undefined || steps.has(after) || isDurable(after))
      .map(({ change }) => change);
  }

  #contentOf(number: number, fate: DataFate, chance: Chance): Uint8Array {
    const { bytes, durable } = this.#files.get(number) ?? { bytes: new Uint8Array(0), durable: 0 };
    if (durable === bytes.length || fate === 'kept') return bytes;
    const own = fate === 'mixed' ? chance.pick(DATA_FATES) : fate;
    if (own === 'dropped') return bytes.subarray(0, durable);
    const length = durable + 1 + chance.below(bytes.length - durable);
    if (own === 'cut') return bytes.subarray(0, length - 1);
    const result = bytes.slice(0, own === 'zeros' && chance.once(2) ? bytes.length : length);
    if (own === 'zeros') return result.fill(0, durable);
    for (let start = durable; start < result.length; start += SECTOR) {
      const sector = result.subarray(start, start + SECTOR);
      const what = chance.below(4);
      if (what === 0) sector.fill(0);
      if (what === 1) sector.set(chance.bytes(sector.length));
    }
    return result;
  }

  #add(kind: 'file' | 'directory'): void {
    const number = this.#kinds.push(kind) - 1;
    if (kind === 'directory') this.#entries.set(number, new Map());
  }

  #step(change: Change): void {
    if (change.type === 'sync') {
      this.#sync(change.of);
    } else if (change.type === 'damage') {
      this.#files.set(change.file, { bytes: change.bytes, durable: change.bytes.length });
    } else if (change.type === 'data') {
      const { bytes, durable } = this.#files.get(change.file) ?? { bytes: new Uint8Array(0), durable: 0 };
      this.#files.set(change.file, { bytes: new Uint8Array(Buffer.concat([bytes, change.bytes])), durable });
    } else {
      if (change.makes !== undefined) this.#add(change.makes);
      this.#pending.push({ change, step: this.#prefix });
    }
  }

  #sync(number: number): void {
    this.#lastSync = this.#prefix + 1;
    const file = this.#files.get(number);
    if (file !== undefined) this.#files.set(number, { bytes: file.bytes, durable: file.bytes.length });
    const entries = this.#entries.get(number);
    if (entries === undefined) return;
    for (const { change } of this.#pending) {
      if (change.directory !== number) continue;
      if (change.to === undefined) entries.delete(change.name);
      else entries.set(change.name, change.to);
    }
    this.#pending = this.#pending.filter(({ change }) => change.directory !== number);
  }
}

const digests = new WeakMap<Uint8Array, string>();

/** What stands in a tree, as text that is equal for trees that are equal and list their entries in the same order, and for no others. */
export function listingOf(tree: Tree): string {
  return Array.from(tree, ([path, bytes]) => `${path}\n${bytes === null ? '' : digestOfBytes(bytes)}\n`).join(
    '',
  );
}

/** The same tree with its entries in the order of their paths. */
export function sorted(tree: Tree): Tree {
  return new Map([...tree].toSorted(([a], [b]) => (a < b ? -1 : 1)));
}

/** SHA-256. What was seen is kept as this, and not as itself: there is much of it. */
export function digestOf(text: string): string {
  return hash('sha256', text, 'base64');
}

function digestOfBytes(bytes: Uint8Array): string {
  const known = digests.get(bytes);
  if (known !== undefined) return known;
  const digest = hash('sha256', bytes, 'base64');
  digests.set(bytes, digest);
  return digest;
}
