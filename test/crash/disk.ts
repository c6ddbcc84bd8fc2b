/**
 * A file system in memory that knows what would survive a power cut.
 *
 * It keeps a log of everything that changes it: entries of directories, bytes of files, and the syncs that make them durable.
 * test/crash/states.ts makes from a prefix of the log the trees that a crash may leave. Only what the port has is here: files are
 * made, appended to, linked, renamed and removed, and never overwritten.
 */
import type { FsEntry, FsOperations } from 'vecsnap/blob';
import { systemError } from '../fault/fs-operations.js';
import type { Chance } from './chance.js';

/** What stands at each path: bytes, or null for a directory. Paths have no slash at either end; the root is left out. */
export type Tree = ReadonlyMap<string, Uint8Array | null>;

/** One step of the log. Files and directories are told by number; the root is number 0. */
export type Change =
  | {
      readonly type: 'entry';
      readonly directory: number;
      readonly name: string;
      /** What the name means from now on; undefined when it goes. */
      readonly to: number | undefined;
      /** What is made by this step, if anything. */
      readonly makes?: Node['kind'];
      /** A rename is two steps. The second, in which the old name goes, tells the place of the first in the log. */
      readonly after?: number;
    }
  | { readonly type: 'data'; readonly file: number; readonly bytes: Uint8Array }
  /** The disk itself has changed what a file holds. */
  | { readonly type: 'damage'; readonly file: number; readonly bytes: Uint8Array }
  | { readonly type: 'sync'; readonly of: number };

/** In what a disk differs from others. */
export interface DiskTraits {
  /** Links cannot be made, as on some file systems. */
  readonly lacksLinks?: boolean;
  /** Syncs of files do nothing: no disk should be like this. */
  readonly ignoresFileSync?: boolean;
  /** Syncs of some directories do nothing: no disk should be like this. */
  readonly ignoresDirectorySync?: (path: string) => boolean;
}

type Node = FileNode | DirectoryNode;

interface FileNode {
  readonly kind: 'file';
  readonly parts: Uint8Array[];
  size: number;
}

interface DirectoryNode {
  readonly kind: 'directory';
  readonly entries: Map<string, number>;
}

/** See the head of this file. */
export class Disk {
  readonly base: Tree;
  readonly traits: DiskTraits;
  readonly log: Change[] = [];
  readonly #nodes: Node[] = [newNode('directory')];

  /** @param base what is on the disk, durably. */
  constructor(base: Tree = new Map(), traits: DiskTraits = {}) {
    this.base = base;
    this.traits = traits;
    for (const { directory, name, bytes } of numbered(base)) {
      const number = this.#nodes.push(newNode(bytes === null ? 'directory' : 'file')) - 1;
      this.#directory(directory).entries.set(name, number);
      if (bytes !== null) this.#append(number, bytes);
    }
  }

  /** The disk as it was when the first `length` steps had been made: what a process that was killed then leaves. */
  at(length: number): Disk {
    const disk = new Disk(this.base, this.traits);
    for (const change of this.log.slice(0, length)) disk.#do(change);
    return disk;
  }

  /** What anybody sees. */
  tree(): Tree {
    const tree = new Map<string, Uint8Array | null>();
    const add = (directory: DirectoryNode, prefix: string): void => {
      for (const [name, number] of directory.entries) {
        const node = this.#nodes[number] as Node;
        tree.set(prefix + name, node.kind === 'file' ? bytesOf(node) : null);
        if (node.kind === 'directory') add(node, `${prefix}${name}/`);
      }
    };
    add(this.#directory(0), '');
    return tree;
  }

  /** The calls that a process makes. @param chance in what order calls that are under way together are done. */
  operations(chance?: Chance): FsOperations {
    const open: number[] = [];
    const run = async <T>(call: () => T): Promise<T> => {
      for (let turns = chance?.below(6) ?? 0; turns > 0; turns--) await Promise.resolve();
      return call();
    };
    const opened = (descriptor: number): number => open[descriptor] as number;
    const entry = (number: number): FsEntry => {
      const node = this.#nodes[number] as Node;
      return { kind: node.kind, size: node.kind === 'file' ? node.size : 0 };
    };
    return {
      openToRead: (path) => run(() => open.push(this.#find(path)) - 1),
      openNew: (path) => run(() => open.push(this.#make(path, 'file')) - 1),
      fstat: (descriptor) => run(() => entry(opened(descriptor))),
      lstat: (path) => run(() => entry(this.#find(path))),
      read: (descriptor, into, position) => run(() => this.#read(opened(descriptor), into, position)),
      writev: (descriptor, parts) => run(() => this.#write(opened(descriptor), parts)),
      openDirect: (path) => run(() => open.push(this.#find(path)) - 1),
      writeAt: (descriptor, bytes, position) => run(() => this.#writeAt(opened(descriptor), bytes, position)),
      fsync: (descriptor) =>
        run(() => void (this.traits.ignoresFileSync || this.#do({ type: 'sync', of: opened(descriptor) }))),
      close: () => run(() => undefined),
      link: (from, to) => run(() => this.#link(from, to)),
      rename: (from, to) => run(() => this.#rename(from, to)),
      unlink: (path) => run(() => this.#unlink(path)),
      mkdir: (path) => run(() => void this.#make(path, 'directory')),
      readdir: (path) => run(() => this.#list(path)),
      syncDirectory: (path) => run(() => this.#syncDirectory(path)),
    };
  }

  /** Changes what a file holds, as a disk does that is failing. */
  damage(path: string, change: (bytes: Uint8Array) => Uint8Array): void {
    const file = this.#find(path);
    this.#do({ type: 'damage', file, bytes: change(bytesOf(this.#nodes[file] as FileNode).slice()) });
  }

  #do(change: Change): void {
    this.log.push(change);
    if (change.type === 'damage') {
      const file = this.#nodes[change.file] as FileNode;
      file.parts.splice(0, file.parts.length, change.bytes);
      file.size = change.bytes.length;
    }
    if (change.type === 'data') this.#append(change.file, change.bytes);
    if (change.type !== 'entry') return;
    const { directory, name, to, makes } = change;
    if (makes !== undefined) this.#nodes.push(newNode(makes));
    const { entries } = this.#directory(directory);
    if (to === undefined) entries.delete(name);
    else entries.set(name, to);
  }

  #append(number: number, bytes: Uint8Array): void {
    const file = this.#nodes[number] as FileNode;
    file.parts.push(bytes);
    file.size += bytes.length;
  }

  #make(path: string, makes: Node['kind']): number {
    const { directory, name } = this.#place(path);
    if (this.#directory(directory).entries.has(name)) throw refusal('EEXIST');
    const to = this.#nodes.length;
    this.#do({ type: 'entry', directory, name, to, makes });
    return to;
  }

  #read(number: number, into: Uint8Array, position: number): number {
    const file = this.#nodes[number] as FileNode;
    const bytes = bytesOf(file).subarray(position, position + into.length);
    into.set(bytes);
    return bytes.length;
  }

  #write(file: number, parts: readonly Uint8Array[]): number {
    const bytes = new Uint8Array(Buffer.concat(parts));
    this.#do({ type: 'data', file, bytes });
    return bytes.length;
  }

  /** Only at the end of a file, which is where a store writes. */
  #writeAt(file: number, bytes: Uint8Array, position: number): number {
    if (position !== (this.#nodes[file] as FileNode).size) throw systemError('EINVAL');
    return this.#write(file, [bytes]);
  }

  #link(from: string, to: string): void {
    if (this.traits.lacksLinks) throw refusal('EPERM');
    const { directory, name } = this.#place(to);
    if (this.#directory(directory).entries.has(name)) throw refusal('EEXIST');
    this.#do({ type: 'entry', directory, name, to: this.#find(from) });
  }

  #rename(from: string, to: string): void {
    const old = this.#place(from);
    const after = this.log.length;
    this.#do({ type: 'entry', ...this.#place(to), to: this.#find(from) });
    this.#do({ type: 'entry', ...old, to: undefined, after });
  }

  #unlink(path: string): void {
    if (this.#nodes[this.#find(path)]?.kind === 'directory') throw refusal('EISDIR');
    this.#do({ type: 'entry', ...this.#place(path), to: undefined });
  }

  #list(path: string): { name: string; kind: Node['kind'] }[] {
    const { entries } = this.#directory(this.#find(path));
    return Array.from(entries, ([name, number]) => ({ name, kind: (this.#nodes[number] as Node).kind }));
  }

  #syncDirectory(path: string): void {
    const number = this.#find(path);
    if (!this.traits.ignoresDirectorySync?.(path)) this.#do({ type: 'sync', of: number });
  }

  #find(path: string): number {
    return path
      .split('/')
      .filter((part) => part !== '')
      .reduce((number, part) => {
        const found = this.#directory(number).entries.get(part);
        if (found === undefined) throw refusal('ENOENT');
        return found;
      }, 0);
  }

  #place(path: string): { directory: number; name: string } {
    const end = path.lastIndexOf('/');
    return { directory: this.#find(path.slice(0, end)), name: path.slice(end + 1) };
  }

  #directory(number: number): DirectoryNode {
    const node = this.#nodes[number] as Node;
    if (node.kind !== 'directory') throw refusal('ENOTDIR');
    return node;
  }
}

/** What stands in a tree, parents first, in the order of their numbers from 1 on. */
export function numbered(tree: Tree): { directory: number; name: string; bytes: Uint8Array | null }[] {
  const numbers = new Map([['', 0]]);
  return [...tree]
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(([path, bytes], i) => {
      numbers.set(path, i + 1);
      const end = path.lastIndexOf('/');
      return {
        directory: numbers.get(path.slice(0, Math.max(0, end))) as number,
        name: path.slice(end + 1),
        bytes,
      };
    });
}

function newNode(kind: Node['kind']): Node {
  return kind === 'file' ? { kind, parts: [], size: 0 } : { kind, entries: new Map() };
}

/** An error as the system gives it, without the calls that led to it: there are many of these, and nobody looks at one. */
function refusal(code: string): Error {
  const { stackTraceLimit } = Error;
  Error.stackTraceLimit = 0;
  try {
    return systemError(code);
  } finally {
    Error.stackTraceLimit = stackTraceLimit;
  }
}

/** The bytes of a file, which becomes one part by that. */
function bytesOf({ parts }: FileNode): Uint8Array {
  if (parts.length !== 1) parts.splice(0, parts.length, new Uint8Array(Buffer.concat(parts)));
  return parts[0] as Uint8Array;
}
