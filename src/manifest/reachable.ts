/** Everything that a manifest reaches: its nodes and the chunks of its data. */
import type { Address } from '../core/index.js';
import {
  type ChunkList,
  type ChunkReference,
  chunksOfRowGroup,
  columnCount,
  entryToFile,
  entryToStreamChunk,
  onlyChunk,
} from './entries.js';
import { decodeManifest, type Manifest } from './manifest.js';
import {
  checkChild,
  checkTotals,
  childAddress,
  decodeNode,
  type Entry,
  type Key,
  type Node,
} from './node.js';
import { type ChunkReader, type DamageHandler, rethrow, type ToldTree } from './tree-reader.js';

/** Is told the error of a node that cannot be read, and throws it or lets the walk go on without that node. */
export type NodeDamageHandler = (error: unknown, node: Address) => void;

/** What reads nodes. */
export interface NodesReader extends ChunkReader {
  /** The plaintexts of the first of these chunks, at least one: as many as can be held together. Where there is none, they are read one by one. */
  getSome?(addresses: readonly Address[]): Promise<Uint8Array[]>;
}

/** A manifest, or a node of one of its trees. */
export interface Reached {
  readonly address: Address;
  /** The chunks of data that it names itself, and what it says of the length of each. */
  readonly data: readonly Address[];
  readonly lengths: readonly number[];
}

/** Nodes that are asked for together. */
const READ_TOGETHER = 64;

/**
 * The manifest at `address` and every node below it, each after a node that names it. One for which `enter` gives false is left out, with
 * what only it reaches, so that trees shared by several manifests are walked once.
 * @param onDamage is told when a node cannot be read; by default the error is thrown:
 * @throws VecsnapError MANIFEST_DAMAGED, or what the store throws.
 */
export async function* reachable(
  chunks: NodesReader,
  address: Address,
  enter: (node: Address) => boolean,
  onDamage: NodeDamageHandler = rethrow,
): AsyncGenerator<Reached> {
  const lists: Wanted[][] = [entered([{ address, open: openManifest }], enter)];
  for (let list = lists.at(-1); list !== undefined; list = lists.at(-1)) {
    const below: Wanted[] = [];
    for (const { wanted, plain } of await readSome(chunks, list)) {
      const tell: DamageHandler = (error) => onDamage(error, wanted.address);
      const { data, nodes = [] } = orDamage(() => wanted.open(contentOf(plain), tell), tell) ?? {};
      const { addresses = [], lengths = [] } = data ?? {};
      yield { address: wanted.address, data: addresses, lengths };
      for (const node of entered(nodes, enter)) below.push(node);
    }
    if (list.length === 0) lists.pop();
    if (below.length > 0) lists.push(below); // First, so that what waits is little.
  }
}

/** A node that is to be read. */
interface Wanted {
  readonly address: Address;
  /** @param tell is told of what is wrong with a part of it. @throws VecsnapError MANIFEST_DAMAGED. */
  readonly open: (plain: Uint8Array, tell: DamageHandler) => Opened;
}

/** What a node names. */
interface Opened {
  readonly data?: ChunkList;
  readonly nodes?: readonly Wanted[];
}

/** What was read in place of a node. */
interface Unreadable {
  readonly error: unknown;
}

function entered(nodes: readonly Wanted[], enter: (node: Address) => boolean): Wanted[] {
  return nodes.filter(({ address }) => enter(address));
}

/** Takes the first nodes from a list, and reads them. */
async function readSome(
  chunks: NodesReader,
  list: Wanted[],
): Promise<{ wanted: Wanted; plain: Uint8Array | Unreadable }[]> {
  const some = list.slice(0, chunks.getSome === undefined ? 1 : READ_TOGETHER);
  const addresses = some.map(({ address }) => address);
  const read = await readEach(chunks, addresses);
  list.splice(0, read.length);
  return read.map((plain, i) => ({ wanted: some[i] as Wanted, plain }));
}

/** Of several one may be damaged; each read by itself says which. */
async function readEach(
  chunks: NodesReader,
  addresses: readonly Address[],
): Promise<(Uint8Array | Unreadable)[]> {
  if (chunks.getSome !== undefined && addresses.length > 1) {
    const plain = await chunks.getSome(addresses).catch(() => undefined);
    if (plain !== undefined) return plain;
  }
  const each: (Uint8Array | Unreadable)[] = [];
  for (const address of addresses)
    each.push(await chunks.get(address).catch((error: unknown): Unreadable => ({ error })));
  return each;
}

function contentOf(plain: Uint8Array | Unreadable): Uint8Array {
  if ('error' in plain) throw plain.error;
  return plain;
}

function openManifest(plain: Uint8Array): Opened {
  const { schema, records, files }: Manifest = decodeManifest(plain);
  const nodes: Wanted[] = [];
  if (schema && records) {
    const columns = columnCount(schema);
    const openGroup = (entry: Entry): Opened => ({ data: chunksOfRowGroup(entry, columns) });
    nodes.push(rootOf(records.root, openGroup)); // Whether the manifest says how much is there is not what a walk is for.
  }
  if (files) nodes.push(rootOf(files.root, openFile));
  return { nodes };
}

function openFile(entry: Entry): Opened {
  const file = entryToFile(entry);
  if (file.type !== 'file' || file.content === null) return {};
  const only = onlyChunk(file.content, file.size);
  if (only !== undefined) return dataOf(only);
  const root = file.content.address;
  return { nodes: [rootOf(root, openStreamChunk, { root, bytes: file.size })] };
}

function openStreamChunk(entry: Entry): Opened {
  return dataOf(entryToStreamChunk(entry));
}

function dataOf({ address, length }: ChunkReference): Opened {
  return { data: { addresses: [address], lengths: [length] } };
}

/** @param openEntry tells what an entry of level 0 names. @param told what the tree must hold, where the walk is to see to it. */
function rootOf(address: Address, openEntry: (entry: Entry) => Opened, told?: ToldTree): Wanted {
  return {
    address,
    open(plain, tell) {
      const node = decodeNode(plain);
      if (told !== undefined) checkTotals(node, told, 'what refers to it');
      return openNode(node, null, openEntry, tell);
    },
  };
}

/** @param after the key before the first of the node. */
function openNode(node: Node, after: Key, openEntry: (entry: Entry) => Opened, tell: DamageHandler): Opened {
  if (node.level === 0) return openEntries(node.entries, openEntry, tell);
  let previous = after;
  const nodes = node.entries.map((entry): Wanted => {
    const before = previous;
    previous = entry.key;
    return {
      address: childAddress(entry),
      open(plain, tellOfChild) {
        const child = decodeNode(plain);
        checkChild(child, entry, node.level, before);
        return openNode(child, before, openEntry, tellOfChild);
      },
    };
  });
  return { nodes };
}

function openEntries(
  entries: readonly Entry[],
  openEntry: (entry: Entry) => Opened,
  tell: DamageHandler,
): Opened {
  const data: ChunkList = { addresses: [], lengths: [] };
  const nodes: Wanted[] = [];
  for (const entry of entries) {
    const opened = orDamage(() => openEntry(entry), tell);
    for (const address of opened?.data?.addresses ?? []) data.addresses.push(address);
    for (const length of opened?.data?.lengths ?? []) data.lengths.push(length);
    for (const node of opened?.nodes ?? []) nodes.push(node);
  }
  return { data, nodes };
}

function orDamage<T>(open: () => T, tell: DamageHandler): T | undefined {
  try {
    return open();
  } catch (error) {
    tell(error);
    return undefined;
  }
}
