/** Everything that a manifest reaches: its nodes and the chunks of its data. */
import type { Address } from '../core/index.js';
import { entryToFile, entryToRowGroup, entryToStreamChunk } from './entries.js';
import { decodeManifest, type Manifest } from './manifest.js';
import type { Entry } from './node.js';
import { type ChunkReader, type DamageHandler, rethrow, type ToldTree, TreeReader } from './tree-reader.js';

/** Is told the error of a node that cannot be read, and throws it or lets the walk go on without that node. */
export type NodeDamageHandler = (error: unknown, node: Address) => void;

/** A chunk that a manifest reaches. */
export interface Reached {
  readonly address: Address;
  /** Whether it is the manifest or a node of one of its trees; else it is data. */
  readonly isNode: boolean;
}

/**
 * Every chunk below the manifest at `address`, itself included. What stands below a node is left out when `enter` gives
 * false for it, so that trees shared by several manifests are walked once.
 * @param onDamage is told when a node cannot be read; by default the error is thrown:
 * @throws VecsnapError MANIFEST_DAMAGED, or what the store throws.
 */
export async function* reachable(
  chunks: ChunkReader,
  address: Address,
  enter: (node: Address) => boolean,
  onDamage: NodeDamageHandler = rethrow,
): AsyncGenerator<Reached> {
  yield { address, isNode: true };
  if (!enter(address)) return;
  const manifest = await readManifest(chunks, address).catch((error: unknown) => onDamage(error, address));
  if (manifest) yield* reachableFrom(chunks, manifest, enter, onDamage);
}

async function readManifest(chunks: ChunkReader, address: Address): Promise<Manifest> {
  return decodeManifest(await chunks.get(address));
}

async function* reachableFrom(
  chunks: ChunkReader,
  { schema, records, files }: Manifest,
  enter: (node: Address) => boolean,
  onDamage: NodeDamageHandler,
): AsyncGenerator<Reached> {
  if (schema && records) {
    const columns = columnCount(schema);
    const dataOf = (entry: Entry) =>
      entryToRowGroup(entry, columns).columns.flatMap((column) => column.map(({ address }) => address));
    yield* walk(chunks, records.root, enter, onDamage, dataOf);
  }
  if (files) {
    const streams: ToldTree[] = [];
    const dataOf = (entry: Entry) => {
      const file = entryToFile(entry);
      if (file.type === 'file' && file.content !== null)
        streams.push({ root: file.content, bytes: file.size });
      return [];
    };
    yield* walk(chunks, files.root, enter, onDamage, dataOf);
    for (const stream of streams)
      yield* walk(chunks, stream, enter, onDamage, (entry) => [entryToStreamChunk(entry).address]);
  }
}

async function* walk(
  chunks: ChunkReader,
  tree: Address | ToldTree,
  enter: (node: Address) => boolean,
  onDamage: NodeDamageHandler,
  dataOf: (entry: Entry) => readonly Address[],
): AsyncGenerator<Reached> {
  const nodes: Address[] = [];
  let current = tree instanceof Uint8Array ? tree : tree.root;
  const visit = (node: Address): boolean => {
    nodes.push(node);
    current = node;
    return enter(node);
  };
  const onError: DamageHandler = (error) => onDamage(error, current);
  for await (const entry of new TreeReader(chunks).walk(tree, visit, onError)) {
    for (const address of nodes.splice(0)) yield { address, isNode: true };
    for (const address of orDamage(() => dataOf(entry), onError)) yield { address, isNode: false };
  }
  for (const address of nodes) yield { address, isNode: true };
}

function orDamage(decode: () => readonly Address[], onDamage: DamageHandler): readonly Address[] {
  try {
    return decode();
  } catch (error) {
    onDamage(error);
    return [];
  }
}

/** Columns of a row group: ids, vector columns, payloads, as far as the schema has them. */
export function columnCount({
  id,
  vectors,
  payload,
}: Pick<NonNullable<Manifest['schema']>, 'id' | 'vectors' | 'payload'>): number {
  return (id === 'none' ? 0 : 1) + vectors.length + (payload === 'none' ? 0 : 1);
}
